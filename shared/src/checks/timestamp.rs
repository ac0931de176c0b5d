use serde::Deserialize;

use super::{Outcome, arbitrary, equal, property, vectors};
use crate::{Rfc3339, Timestamp};

const GOLDEN: &str = include_str!("../../testdata/timestamps.json");

#[derive(Deserialize)]
struct Golden {
    read: Vec<Moment>,
    refused: Vec<String>,
    shown: Vec<Moment>,
}

#[derive(Deserialize)]
struct Moment {
    text: String,
    millis: i64,
}

pub fn golden_read() -> Outcome {
    vectors::<Golden>(GOLDEN)?.read.iter().try_for_each(|vector| {
        let moment = Timestamp::from_millis(vector.millis);
        equal(&vector.text, Timestamp::parse(&vector.text), Some(moment))?;
        let json = serde_json::to_string(&vector.text).map_err(|error| error.to_string())?;
        equal(&vector.text, serde_json::from_str::<Rfc3339>(&json).ok(), Some(Rfc3339(moment)))
    })
}

pub fn golden_refused() -> Outcome {
    vectors::<Golden>(GOLDEN)?.refused.iter().try_for_each(|text| equal(text, Timestamp::parse(text), None))
}

pub fn golden_shown() -> Outcome {
    vectors::<Golden>(GOLDEN)?.shown.iter().try_for_each(|vector| {
        let moment = Timestamp::from_millis(vector.millis);
        equal("shown", moment.to_string(), vector.text.clone())?;
        equal("as JSON", serde_json::to_string(&Rfc3339(moment)).ok(), Some(format!("\"{}\"", vector.text)))?;
        equal("as it is stored", serde_json::to_string(&moment).ok(), Some(vector.millis.to_string()))
    })
}

pub fn what_is_shown_is_read_again() -> Outcome {
    property(arbitrary::timestamp(), |moment| equal("again", Timestamp::parse(&moment.to_string()), Some(moment)))
}

pub fn text_is_ordered_like_time() -> Outcome {
    property((arbitrary::timestamp(), arbitrary::timestamp()), |(one, other)| {
        equal("their order", one.to_string().cmp(&other.to_string()), one.cmp(&other))
    })
}
