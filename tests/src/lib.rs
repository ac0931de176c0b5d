//! Whole-system tests of Latchkey, on real parts: the program `latchkey`, the Worker in `wrangler dev`, SQLite, Postgres.
//!
//! This library is what the suites in `tests/` share. `cargo xtask test` builds the parts, says where they are, and runs
//! the suites; [`parts`] is what is made of that.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`stack`] | a whole system: start here |
//! | [`latchkey`], [`edge`], [`database`] | its parts |
//! | [`http`], [`calls`] | asking them |
//! | [`process`], [`processes`] | children that never outlive a test |
//! | [`wait`] | the one way to wait: look again until a deadline |
//! | [`held_kv`] | the one stand-in: it delays what is real |

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop, and say why")]

pub mod calls;
pub mod database;
pub mod edge;
pub mod held_kv;
pub mod http;
pub mod latchkey;
pub mod parts;
pub mod ports;
pub mod process;
pub mod processes;
pub mod stack;
pub mod wait;

use std::hash::{BuildHasher, RandomState};

/// A number that no other test has.
#[must_use]
pub fn unique() -> u64 {
    RandomState::new().hash_one(())
}
