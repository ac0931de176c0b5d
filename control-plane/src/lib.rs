//! The control plane of Latchkey: the management API, its storage, and the tasks that keep the edge up to date.
//!
//! From the top layer down; nothing imports from a layer above its own:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`] | the commands of the binary `latchkey` |
//! | [`http`] | every route, and the server |
//! | [`state`] | what handlers are given |
//! | [`tasks`] | what runs by itself beside the server |
//! | [`service`] | the use cases, each of them once |
//! | [`edge`] | the change feed, Workers KV, and the wait for them |
//! | [`events`] | what happened: the types of events, and the log |
//! | [`objects`] | the JSON object of each resource |
//! | [`storage`] | every SQL statement |
//! | [`limits`] | how many requests a caller may make |
//! | [`config`] | every setting, with `defaults.toml` beside it |
//! | [`encryption`] | encryption of secrets that must be readable again |
//! | [`metrics`], `text` | what is counted; invisible characters, and folding for search |
//! | `files` | the files beside a SQLite database |
//! | [`clock`], [`entropy`] | the only places that read the time and randomness |
//!
//! The binary `latchkey` is a thin shell around it; this is all it takes to answer a request:
//!
//! ```
//! use axum::{body::Body, http::Request};
//! use control_plane::{
//!     clock::Clock,
//!     config::Config,
//!     http,
//!     service::usage::{Retention, Usage},
//!     state::AppState,
//!     storage::Db,
//!     tasks::TaskContext,
//! };
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("latchkey.db");
//! let db = Db::open(&format!("sqlite:{}", file.display())).await?;
//! db.migrate().await?;
//! let context = TaskContext::new(db, Clock::system(), Usage::new(Retention::default()));
//! let database = context.database();
//! let state = AppState::new(database, context.clock, context.usage, context.metrics);
//! let router = http::router(state, &Config::load(None, None)?);
//!
//! let answer = router.oneshot(Request::get("/ready").body(Body::empty())?).await?;
//! assert_eq!(answer.status(), 200);
//! # Ok(())
//! # }
//! ```

pub mod cli;
pub mod clock;
pub mod config;
pub mod edge;
pub mod encryption;
pub mod entropy;
pub mod events;
mod files;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod objects;
pub mod service;
pub mod state;
pub mod storage;
pub mod tasks;
#[cfg(test)]
pub(crate) mod testing;
mod text;
pub mod webhooks;
