//! What the back end of a product asks of Latchkey, in the words of its API.

use serde_json::{Value, json};
use shared::{entropy::Repeating, key::KeyText};

use crate::{
    http::{Answer, Client},
    wait::{CONVERGENCE, eventually},
};

/// A customer's key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// Its text.
    pub value: String,
}

/// A user in an organization.
#[derive(Debug, Clone)]
pub struct Member {
    /// The id of the user.
    pub user: String,
    /// The id of the membership.
    pub membership: String,
}

impl Client {
    /// Makes an organization, and returns its id.
    #[track_caller]
    #[must_use]
    pub fn create_organization(&self) -> String {
        text(&self.post("/organizations", &json!({"name": "Acme"})).expect(201), "id")
    }

    /// Makes a permission.
    #[track_caller]
    pub fn create_permission(&self, slug: &str) {
        let body = json!({"slug": slug, "name": slug});
        let _ = self.post("/authorization/permissions", &body).expect(201);
    }

    /// Makes a key of an organization.
    #[track_caller]
    #[must_use]
    pub fn create_key(&self, organization: &str, permissions: &[&str]) -> Key {
        let path = format!("/organizations/{organization}/api_keys");
        let key = self.post(&path, &json!({"name": "Production", "permissions": permissions})).expect(201);
        Key { id: text(&key, "id"), value: text(&key, "value") }
    }

    /// Makes a role of an organization's own, which allows this.
    #[track_caller]
    pub fn create_role(&self, organization: &str, slug: &str, permissions: &[&str]) {
        let path = format!("/authorization/organizations/{organization}/roles");
        let _ = self.post(&path, &json!({"slug": slug, "name": slug})).expect(201);
        let path = format!("{path}/{slug}/permissions");
        let _ = self.put(&path, &json!({"permissions": permissions})).expect(200);
    }

    /// Makes a user a member of an organization, with this role.
    #[track_caller]
    #[must_use]
    pub fn create_member(&self, organization: &str, role: &str) -> Member {
        let user = text(&self.post("/user_management/users", &json!({})).expect(201), "id");
        let body = json!({"organization_id": organization, "user_id": user, "role_slug": role});
        let membership = text(&self.post("/user_management/organization_memberships", &body).expect(201), "id");
        Member { user, membership }
    }

    /// Makes a key of a member.
    #[track_caller]
    #[must_use]
    pub fn create_key_of(&self, member: &Member, organization: &str, permissions: &[&str]) -> Key {
        let path = format!("/user_management/users/{}/api_keys", member.user);
        let body = json!({"name": "Mine", "organization_id": organization, "permissions": permissions});
        let key = self.post(&path, &body).expect(201);
        Key { id: text(&key, "id"), value: text(&key, "value") }
    }

    /// Makes a key of an organization of its own, without permissions.
    #[track_caller]
    #[must_use]
    pub fn create_lone_key(&self) -> Key {
        self.create_key(&self.create_organization(), &[])
    }

    /// All events of these types in the log, oldest first.
    ///
    /// # Panics
    /// If the log has no end.
    #[track_caller]
    #[must_use]
    pub fn events(&self, types: &[&str]) -> Vec<Value> {
        let (types, mut events, mut after) = (types.join(","), vec![], String::new());
        loop {
            let page = self.get(&format!("/events?limit=100&events={types}&after={after}")).expect(200);
            events.extend(page["data"].as_array().expect("a list").iter().cloned());
            match page["list_metadata"]["after"].as_str() {
                Some(last) => after = last.to_owned(),
                None => return events,
            }
        }
    }

    /// Lets a key expire now.
    #[track_caller]
    pub fn expire(&self, key: &Key) {
        let _ = self.post(&format!("/api_keys/{}/expire", key.id), &json!({})).expect(200);
    }

    /// Revokes a key.
    #[track_caller]
    pub fn revoke(&self, key: &Key) {
        let _ = self.delete(&format!("/api_keys/{}", key.id)).expect(204);
    }

    /// Validates the text of a key.
    #[track_caller]
    #[must_use]
    pub fn validate(&self, value: &str) -> Answer {
        self.post("/api_keys/validations", &json!({ "value": value }))
    }

    /// Waits until a key is accepted, and returns it as the answer shows it.
    #[track_caller]
    pub fn until_valid(&self, key: &Key) -> Value {
        self.until(key, "a key is accepted", |answer| answer["api_key"].is_object())["api_key"].take()
    }

    /// Waits until a key is refused for this reason.
    #[track_caller]
    pub fn until_refused(&self, key: &Key, code: &str) {
        let what = format!("a key is refused as {code}");
        let answer = self.until(key, &what, |answer| answer["code"] == code);
        assert!(answer["api_key"].is_null(), "{answer}");
    }

    /// Waits until the answer to a validation is as wanted.
    #[track_caller]
    pub fn until(&self, key: &Key, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(CONVERGENCE, what, || {
            let answer = self.validate(&key.value);
            // Until the caller's own key has arrived, the edge does not know who asks.
            if answer.status == 401 {
                return Err(answer.text);
            }
            let body = answer.expect(200);
            if wanted(&body) { Ok(body) } else { Err(answer.text) }
        })
    }
}

/// A key of the right form that nobody was ever given.
///
/// # Panics
/// Never: the prefix is one.
#[must_use]
pub fn a_key_that_was_never_made(seed: u8) -> String {
    let prefix = "lk_live".parse().expect("a prefix");
    KeyText::generate(&prefix, &mut Repeating(seed)).expose().to_owned()
}

/// A field that is text.
///
/// # Panics
/// If it is not.
#[track_caller]
#[must_use]
pub fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {object}")).to_owned()
}
