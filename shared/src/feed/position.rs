//! Where in a feed something is.

use serde::{Deserialize, Serialize};

/// One life of a feed. A feed that is made anew, or that lost something, has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// The order of changes within an epoch.
pub type Sequence = u64;

/// How far someone has come in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// In which life of the feed.
    pub epoch: Epoch,
    /// Up to which change.
    pub sequence: Sequence,
}
