//! Every state of small worlds: the rules of the change feed and of an isolate's lease, checked by a model checker.
//!
//! A world has a database, publishers, a feed, KV, isolates, clients, and time. What happens next is never chosen: the
//! checker follows every order of everything. It drives the product's own [`shared::feed::Feed`] and
//! [`shared::freshness::Isolate`]; only what surrounds them is modelled.

#[path = "../common/mod.rs"]
mod common;
mod steps;
mod world;
mod worlds;
