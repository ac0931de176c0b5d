//! The control plane of Latchkey: the management API, its storage, and the publisher that feeds the edge.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`api`] | every route, one file for each verb |
//! | [`storage`] | every SQL text |
//! | [`edge`] | what the edge is told: the publisher, and the rebuilding and comparing of its store |
//! | [`usage`] | how often keys are validated: the server's own count, and the task that writes it |
//! | `server` | how long connections may wait, beneath [`api`] |
//! | `sweeper` | the task that forgets what is old |
//! | `text` | which characters people cannot see, and which texts search takes for the same |
//! | [`cli`] | the commands of the binary `latchkey` |
//! | [`config`] | every setting, with `defaults.toml` beside it |
//! | [`clock`], [`entropy`] | the two places that read time and randomness |
//!
//! The binary `latchkey` is a thin shell around it; this is all it takes to answer a request:
//!
//! ```
//! use axum::{body::Body, http::Request};
//! use control_plane::{api, app::App, clock::Clock, config::Config, storage::Db};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("latchkey.db");
//! let db = Db::open(&format!("sqlite:{}", file.display())).await?;
//! db.migrate().await?;
//! let router = api::router(App::new(db, Clock::system()), &Config::load(None, None)?);
//!
//! let answer = router.oneshot(Request::get("/ready").body(Body::empty())?).await?;
//! assert_eq!(answer.status(), 200);
//! # Ok(())
//! # }
//! ```

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod edge;
pub mod entropy;
pub mod keys;
pub mod metrics;
mod server;
pub mod storage;
mod sweeper;
mod text;
pub mod usage;
