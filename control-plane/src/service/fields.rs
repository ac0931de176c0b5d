//! What the fields of requests may hold. Everything that reaches the database has passed here or is an id.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Deserializer};
use shared::{error::FieldError, json::metadata_field, permission};

use super::{Error, Result};
use crate::text::{is_blank, is_invisible, reorders_text};

/// The longest name of a key or an organization.
pub const NAME_MAX_LENGTH: usize = 255;
/// The longest name of a permission or a role.
const PERMISSION_NAME_MAX_LENGTH: usize = 48;
/// The longest description.
const DESCRIPTION_MAX_LENGTH: usize = 150;
/// The longest external id.
pub const EXTERNAL_ID_MAX_LENGTH: usize = 128;
/// The longest e-mail address, in bytes (RFC 5321, with erratum 1690 of RFC 3696).
const EMAIL_MAX_LENGTH: usize = 254;
/// The longest name of a language, as `en-US`.
pub const LOCALE_MAX_LENGTH: usize = 35;
/// How many entries metadata may have, and how long their keys and values may be.
pub const METADATA_MAX_ENTRIES: usize = 50;
const METADATA_KEY_MAX_LENGTH: usize = 40;
const METADATA_VALUE_MAX_LENGTH: usize = 600;
/// How many permissions one key may have.
pub const PERMISSIONS_MAX: usize = 100;
/// How many permissions one role may have.
pub const ROLE_PERMISSIONS_MAX: usize = 200;
/// How many roles an environment may have, and how many an organization of its own.
pub const ROLES_MAX: usize = 200;
/// How many domains an organization may have.
pub const DOMAINS_MAX: usize = 50;

/// Collects what is wrong with a request, so that the caller learns all of it at once.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes an error of a field, unless the condition holds.
    pub fn require(&mut self, condition: bool, field: &str, code: &str, message: impl Into<String>) {
        if !condition {
            self.0.push(FieldError::new(field, code, message));
        }
    }

    /// A text that people read: not blank, nothing that is not to be shown, not too long.
    pub fn text(&mut self, field: &str, text: &str, max_length: usize) {
        self.require(!is_blank(text), field, "required", "must not be blank");
        self.at_most(field, text, max_length);
    }

    /// A name that may be empty, and is not to be invisible otherwise.
    pub fn optional_name(&mut self, field: &str, text: &str, max_length: usize) {
        self.require(text.is_empty() || !is_blank(text), field, "invalid", "must not be blank");
        self.at_most(field, text, max_length);
    }

    /// A text that may be blank.
    pub fn at_most(&mut self, field: &str, text: &str, max_length: usize) {
        let fits = text.chars().count() <= max_length;
        self.require(fits, field, "too_long", format!("must have at most {max_length} characters"));
        let printable = !text.chars().any(char::is_control);
        self.require(printable, field, "invalid", "must not contain control characters");
        let message = "must not contain characters that reorder text (U+202A to U+202E, U+2066 to U+2069)";
        self.require(!text.chars().any(reorders_text), field, "invalid", message);
    }

    /// The slug of a permission.
    pub fn slug(&mut self, field: &str, slug: &str) {
        let message = "must have 1 to 48 lowercase letters, digits, and `-_:.*`";
        self.require(permission::is_slug(slug), field, "invalid", message);
    }

    /// The length of a list.
    pub fn at_most_items(&mut self, field: &str, count: usize, max: usize) {
        self.require(count <= max, field, "too_long", format!("must have at most {max} items"));
    }

    /// The slugs of permissions, not too many.
    pub fn slugs(&mut self, field: &str, slugs: &[String], max: usize) {
        self.at_most_items(field, slugs.len(), max);
        for (at, slug) in slugs.iter().enumerate().take(max) {
            self.slug(&format!("{field}.{at}"), slug);
        }
    }

    /// What people read of a permission or a role.
    pub fn described(&mut self, name: Option<&str>, description: Option<&str>) {
        if let Some(name) = name {
            self.text("name", name, PERMISSION_NAME_MAX_LENGTH);
        }
        self.at_most("description", description.unwrap_or_default(), DESCRIPTION_MAX_LENGTH);
    }

    /// What the product calls something.
    pub fn external_id(&mut self, text: &str) {
        let message = "must have 1 to 128 printable ASCII characters";
        self.require(is_external_id(text), "external_id", "invalid", message);
    }

    /// An address for e-mail. Whether it exists is not for us to find out.
    pub fn email(&mut self, text: &str) {
        let message = "must be an e-mail address of at most 254 characters";
        self.require(is_email(text), "email", "invalid", message);
    }

    /// The product's own notes.
    pub fn metadata(&mut self, metadata: &BTreeMap<String, String>) {
        let fits = metadata.len() <= METADATA_MAX_ENTRIES;
        self.require(fits, "metadata", "too_long", format!("must have at most {METADATA_MAX_ENTRIES} entries"));
        for (key, value) in metadata.iter().take(METADATA_MAX_ENTRIES) {
            let field = metadata_field(key);
            self.text(&field, key, METADATA_KEY_MAX_LENGTH);
            self.at_most(&field, value, METADATA_VALUE_MAX_LENGTH);
        }
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// If anything was wrong.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

/// Each of these texts once, in their order.
pub fn without_repeats(texts: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.into_iter().filter(|text| seen.insert(text.clone())).collect()
}

/// Adds, replaces or removes entries of metadata. Null instead of entries removes all.
pub fn merge_metadata(metadata: &mut BTreeMap<String, String>, changes: Option<BTreeMap<String, Option<String>>>) {
    let Some(changes) = changes else {
        return metadata.clear();
    };
    for (key, value) in changes {
        match value {
            Some(value) => metadata.insert(key, value),
            None => metadata.remove(&key),
        };
    }
}

/// Whether the text can be an external id.
pub fn is_external_id(text: &str) -> bool {
    (1..=EXTERNAL_ID_MAX_LENGTH).contains(&text.len()) && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

fn is_email(text: &str) -> bool {
    let is_plain =
        |part: &str| !part.is_empty() && !part.chars().any(|c| c == '@' || c.is_control() || is_invisible(c));
    text.len() <= EMAIL_MAX_LENGTH && text.split_once('@').is_some_and(|(user, host)| is_plain(user) && is_plain(host))
}

/// Whether the text has the form of a domain name, in lower case.
pub fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

/// Tells a field that was left out (`None`) from one that is null (`Some(None)`).
/// Use it as `#[serde(default, deserialize_with = "or_null")]`.
pub fn or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
