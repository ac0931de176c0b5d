//! The rules of Latchkey, and nothing else: what a key looks like, what the edge stores of it, who may do what, and
//! whether a key is accepted. The server, the Worker and the tests all run this very code.
//!
//! It is pure. There is no clock, no randomness, no I/O and no async here; whatever a rule needs, it is handed.
//!
//! ```
//! use shared::{decide::{decide, Request}, digest::Digest, key::{KeyText, Prefix}, reason::Reason};
//! # use shared::{id::EnvironmentId, record::Record, Timestamp};
//! # fn look_up(_: Digest) -> Record { Record::example() }
//! # let now = Timestamp::from_millis(1_768_478_400_000);
//! # let environment = Record::example().environment;
//! // A typo is refused before anything is looked up.
//! assert!(shared::key::parse("lk_live_typo").is_err());
//!
//! let prefix: Prefix = "lk_live".parse()?;
//! let text = KeyText::generate(&prefix, &mut shared::entropy::Repeating(7));
//! let record = look_up(Digest::of(text.expose()));
//! let request = Request::of_environment(&environment);
//! assert_eq!(decide(&record, &request, now), Ok(()));
//! assert_eq!(decide(&record, &request, record.expires_at.unwrap()), Err(Reason::Expired));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod api_key;
pub mod bearer;
pub mod caller;
#[cfg(any(test, feature = "checks"))]
pub mod checks;
pub mod decide;
pub mod digest;
pub mod entropy;
pub mod error;
pub mod feed;
pub mod freshness;
pub mod id;
pub mod json;
pub mod key;
pub mod permission;
pub mod reason;
pub mod record;
pub mod scope;
pub mod seal;
mod timestamp;
pub mod usage;
pub mod validation;

pub use timestamp::{Rfc3339, Timestamp};
