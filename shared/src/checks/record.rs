use proptest::prelude::*;

use super::{Outcome, arbitrary, ensure, equal, property};
use crate::record::{Record, Version};

pub fn versions_go_up() -> Outcome {
    // Up to a version that no clock reaches in the next ten thousand years.
    property((0..1_000_000_000_000_000_i64, arbitrary::timestamp()), |(version, now)| {
        let next = Version(version).next(now);
        ensure("above the one before", next > Version(version))?;
        ensure("not before the first of a new key", next >= Version::first(now))?;
        equal("no further than needed", next.0, (version + 1).max(now.as_millis()))
    })
}

pub fn any_record_is_read_again() -> Outcome {
    property(arbitrary::record(), |record| {
        let json = serde_json::to_string(&record).map_err(|error| error.to_string())?;
        equal("read again", serde_json::from_str(&json).map_err(|error| error.to_string()), Ok(record))
    })
}

pub fn usual_fields_are_left_out() -> Outcome {
    property(any::<bool>(), |disabled| {
        let record = Record { expires_at: None, disabled, ..Record::example() };
        let json = serde_json::to_string(&record).map_err(|error| error.to_string())?;
        equal("disabled", json.contains("disabled"), disabled)?;
        for field in ["expires_at", "not_before", "revoked", "generations", "resources", "ip_allow_list", "metadata"] {
            ensure(field, !json.contains(field))?;
        }
        Ok(())
    })
}
