//! The control plane of Latchkey: the management API, its storage, and the publisher that feeds the edge.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`api`] | every route, one file for each verb |
//! | [`storage`] | every SQL text |
//! | [`edge`] | what the edge is told: the publisher, and the rebuilding and comparing of its store |
//! | [`cli`] | the commands of the binary `latchkey` |
//! | [`config`] | every setting, with `defaults.toml` beside it |
//! | [`clock`], [`entropy`] | the two places that read time and randomness |

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod edge;
pub mod entropy;
pub mod keys;
pub mod metrics;
pub mod storage;
