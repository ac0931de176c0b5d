//! Whole-system tests of Latchkey, on real parts: the program `latchkey`, the Worker in `wrangler dev`, SQLite, Postgres.
//!
//! This library is what the suites in `tests/` share. `cargo xtask test` builds the parts, says where they are, and runs
//! the suites; [`parts`] is what is made of that.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`stack`] | a whole system: start here |
//! | [`fleet`] | the same with several isolates of the Worker |
//! | [`latchkey`], [`edge`], [`database`] | its parts |
//! | [`session`] | a database connection of a test's own |
//! | [`cluster`], [`pgbouncer`] | a Postgres server that a test can stop, and a pooler in front of one |
//! | [`silent_proxy`] | a network that stops delivering without closing a connection |
//! | [`small_disk`] | a file system that is soon full |
//! | [`refusals`] | what a client is told while the database is at fault |
//! | [`http`], [`calls`] | asking them |
//! | [`half_request`] | a request that is in progress for as long as a test likes |
//! | [`receiver`] | a receiver of webhooks |
//! | [`recorder`], [`openapi`] | what a client was answered, and whether that is what a description of the API promises |
//! | [`process`], [`processes`] | children that never outlive a test |
//! | [`wait`] | the one way to wait: look again until a deadline |
//! | [`workerd`], [`hand`] | the Worker in plain workerd, and the control plane's part played by hand |
//! | [`load`], [`cost`] | asking as fast as a server answers, and what that costs: for the benchmarks |
//! | [`crowd`], [`fast_edge`] | a database with very many keys, and an edge that costs nothing, for measuring |
//! | [`held_kv`], [`stale_kv`] | the stand-ins: one delays what is real, the other is a KV that is stale, slow or broken |

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop, and say why")]

pub mod calls;
pub mod cluster;
pub mod cost;
pub mod crowd;
pub mod database;
pub mod edge;
pub mod fast_edge;
pub mod fleet;
pub mod half_request;
pub mod hand;
pub mod held_kv;
pub mod http;
pub mod latchkey;
pub mod load;
pub mod openapi;
pub mod parts;
pub mod pgbouncer;
pub mod ports;
pub mod process;
pub mod processes;
pub mod receiver;
pub mod recorder;
pub mod refusals;
pub mod session;
pub mod silent_proxy;
pub mod small_disk;
pub mod stack;
pub mod stale_kv;
pub mod wait;
pub mod workerd;

use std::hash::{BuildHasher, RandomState};

/// A number that no other test has.
#[must_use]
pub fn unique() -> u64 {
    RandomState::new().hash_one(())
}
