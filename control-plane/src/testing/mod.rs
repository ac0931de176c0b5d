//! What tests share: a server, an edge to inject faults into, and backups.

pub mod backup;
pub mod fake_worker;
pub mod receiver;
pub mod server;
pub mod world;
