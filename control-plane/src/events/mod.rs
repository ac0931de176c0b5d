//! Events: what happened, for programs to read.
//!
//! ```text
//!  use case ──► commit ──► event_queue ──► append ──► events        ──► GET /events
//!               (one transaction)          (one at a time)  └──► webhook_queue ──► webhooks
//! ```
//!
//! A change and its event are written in one transaction, so there are both or neither. [`append`] then moves committed events into
//! the log, and gives each its id. Only one process appends at a time, so an id is visible before any greater one is given: a
//! reader who asks for the events after one that it has never misses any, however transactions interleave. Nothing waits for
//! transactions of others, and no time decides anything.
//!
//! A change of many things, such as the deletion of an organization with all its keys, writes a single event. The events of the keys
//! follow from the ids that the change notes as *targets*, in batches. Until they are all in the log, the later events of the same
//! environment wait, so an event never comes before another one that caused it; other environments do not wait.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`types`] | each type of event |
//! | [`changes`] | the event of each change |
//! | [`data`] | an event that is not in the log yet, and who made the change |
//! | [`json`] | the one JSON text of an event, which webhooks sign |
//! | [`append`] | how events get into the log |

pub mod append;
pub mod changes;
pub mod data;
pub mod json;
pub mod types;

pub use data::{Actor, NewEvent};
pub use types::EventType;
