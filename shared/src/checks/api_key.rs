use serde_json::Value;

use super::{Outcome, arbitrary, ensure, equal, property};
use crate::{
    api_key::ApiKeyObject,
    record::{ApiKeyGrant, Grant, Record},
};

/// What clients of WorkOS insist on, in the order in which it is shown.
const ALWAYS: [&str; 10] = [
    "object",
    "id",
    "owner",
    "name",
    "obfuscated_value",
    "last_used_at",
    "expires_at",
    "permissions",
    "created_at",
    "updated_at",
];
/// What only we have.
const OURS: [&str; 4] = ["enabled", "not_before", "ip_allow_list", "metadata"];

/// Shows a key of each record that is one.
fn each_key(holds: impl Fn(&Record, &ApiKeyGrant, &str, &Value) -> Outcome) -> Outcome {
    property(arbitrary::record(), |record| {
        let Grant::ApiKey(key) = &record.grant else { return Ok(()) };
        let text = serde_json::to_string(&ApiKeyObject::new(&record, key)).map_err(|error| error.to_string())?;
        let shown = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        holds(&record, key, &text, &shown)
    })
}

pub fn what_clients_insist_on_is_always_there_and_first() -> Outcome {
    each_key(|_, _, text, shown| {
        let fields = shown.as_object().ok_or("an object")?;
        for field in ALWAYS {
            ensure(field, fields.contains_key(field))?;
        }
        let first_of_ours = OURS.iter().filter_map(|field| text.rfind(&format!(",\"{field}\":"))).min();
        let last_of_theirs = text.rfind("\"updated_at\":");
        ensure("in this order", first_of_ours.is_none_or(|at| Some(at) > last_of_theirs))
    })
}

pub fn what_only_we_have_is_left_out_while_it_says_nothing() -> Outcome {
    each_key(|record, key, _, shown| {
        let said = [
            record.disabled.then_some(Value::Bool(false)),
            record.not_before.map(|at| Value::String(at.to_string())),
            Some(key.ip_allow_list.iter().map(|range| Value::String(range.to_string())).collect())
                .filter(|_| !key.ip_allow_list.is_empty()),
            Some(key.metadata.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect())
                .filter(|_| !key.metadata.is_empty()),
        ];
        for (field, said) in OURS.into_iter().zip(&said) {
            equal(field, shown.get(field), said.as_ref())?;
        }
        let fields = shown.as_object().map_or(0, serde_json::Map::len);
        equal("nothing else", fields, ALWAYS.len() + said.iter().flatten().count())
    })
}
