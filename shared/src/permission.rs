//! Permissions: their slugs, and the small expression in which a caller says which it needs.

use std::str::FromStr;

use crate::key;

/// The longest slug.
pub const SLUG_MAX_LENGTH: usize = 48;
/// The longest expression.
pub const EXPRESSION_MAX_LENGTH: usize = 1024;
/// How deep parentheses may nest.
pub const EXPRESSION_MAX_DEPTH: usize = 16;

/// Whether the text can be the slug of a permission: lowercase letters, digits and `-_:.*`.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    (1..=SLUG_MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_slug_byte)
}

const fn is_slug_byte(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b':' | b'.' | b'*')
}

/// Whether one of the held permissions grants the wanted one. `posts:*` grants all that begins with `posts:`, `*` all.
pub fn grants<S: AsRef<str>>(held: &[S], wanted: &str) -> bool {
    held.iter().map(AsRef::as_ref).any(|held| match held.strip_suffix('*') {
        Some(stem) if stem.is_empty() || stem.ends_with(':') => wanted.starts_with(stem),
        _ => held == wanted,
    })
}

/// What two sets of permissions both grant: those of the one that the other grants, and the other way round. It is shown as
/// few permissions as say it, the first set's first.
#[must_use]
pub fn of_both(one: &[String], other: &[String]) -> Vec<String> {
    let mut both: Vec<String> = one.iter().filter(|slug| grants(other, slug)).cloned().collect();
    for slug in other.iter().filter(|slug| grants(one, slug)) {
        if !grants(&both, slug) {
            both.push(slug.clone());
        }
    }
    both
}

/// What a caller demands of a key: `posts:read AND (posts:write OR admin)`. `AND` binds closer than `OR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// This permission.
    Permission(String),
    /// All of these.
    All(Vec<Expression>),
    /// One of these at least.
    Any(Vec<Expression>),
}

impl Expression {
    /// Whether these permissions meet the demand.
    #[must_use]
    pub fn is_met_by(&self, held: &[String]) -> bool {
        match self {
            Self::Permission(wanted) => grants(held, wanted),
            Self::All(parts) => parts.iter().all(|part| part.is_met_by(held)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met_by(held)),
        }
    }
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadExpression {
    /// More than [`EXPRESSION_MAX_LENGTH`] bytes.
    #[error("must have at most 1,024 characters")]
    TooLong,
    /// More than [`EXPRESSION_MAX_DEPTH`] parentheses within each other.
    #[error("must not nest parentheses more than 16 deep")]
    TooDeep,
    /// It ends where a permission should stand.
    #[error("ends where a permission or `(` is expected")]
    EndsEarly,
    /// A word where it cannot stand.
    #[error("has {} at character {at}, where {expected} is expected", shown(word))]
    Unexpected {
        /// The word.
        word: String,
        /// Where it begins, counted from 1.
        at: usize,
        /// What could stand there.
        expected: &'static str,
    },
}

/// A word as errors show it. One that is long may be a secret in the wrong place.
fn shown(word: &str) -> String {
    if word.len() <= key::REPEATED_MAX { format!("`{word}`") } else { "a long word".to_owned() }
}

impl FromStr for Expression {
    type Err = BadExpression;

    fn from_str(text: &str) -> Result<Self, BadExpression> {
        if text.len() > EXPRESSION_MAX_LENGTH {
            return Err(BadExpression::TooLong);
        }
        let mut words = Words { text, at: 0 };
        let expression = any(&mut words, 0)?;
        match words.peek() {
            None => Ok(expression),
            Some(word) => Err(words.unexpected(word, "`AND`, `OR` or the end")),
        }
    }
}

fn any(words: &mut Words<'_>, depth: usize) -> Result<Expression, BadExpression> {
    let parts = joined_by("OR", words, |words| joined_by("AND", words, |words| term(words, depth)).map(all_of))?;
    Ok(one_or(parts, Expression::Any))
}

fn all_of(parts: Vec<Expression>) -> Expression {
    one_or(parts, Expression::All)
}

fn one_or(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}

fn joined_by(
    conjunction: &str,
    words: &mut Words<'_>,
    mut part: impl FnMut(&mut Words<'_>) -> Result<Expression, BadExpression>,
) -> Result<Vec<Expression>, BadExpression> {
    let mut parts = vec![part(words)?];
    while words.take(conjunction) {
        parts.push(part(words)?);
    }
    Ok(parts)
}

fn term(words: &mut Words<'_>, depth: usize) -> Result<Expression, BadExpression> {
    if depth > EXPRESSION_MAX_DEPTH {
        return Err(BadExpression::TooDeep);
    }
    if words.take("(") {
        let inner = any(words, depth + 1)?;
        return match words.peek() {
            Some(")") => {
                words.take(")");
                Ok(inner)
            }
            Some(word) => Err(words.unexpected(word, "`AND`, `OR` or `)`")),
            None => Err(BadExpression::EndsEarly),
        };
    }
    let word = words.peek().ok_or(BadExpression::EndsEarly)?;
    if !is_slug(word) {
        return Err(words.unexpected(word, "a permission or `(`"));
    }
    words.take(word);
    Ok(Expression::Permission(word.to_owned()))
}

/// The words of an expression: parentheses, and whatever stands between them and white space.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        let rest = self.text[self.at..].trim_start();
        let length = match rest.chars().next()? {
            '(' | ')' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(rest.len()),
        };
        Some(&rest[..length])
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.at += self.white_space() + word.len();
        }
        found
    }

    fn white_space(&self) -> usize {
        let rest = &self.text[self.at..];
        rest.len() - rest.trim_start().len()
    }

    fn unexpected(&self, word: &str, expected: &'static str) -> BadExpression {
        let at = self.text[..self.at + self.white_space()].chars().count() + 1;
        BadExpression::Unexpected { word: word.chars().take(SLUG_MAX_LENGTH).collect(), at, expected }
    }
}
