//! The one JSON text of an event. Some verifiers of signatures have only the parsed body: they sign what
//! `JSON.stringify(JSON.parse(body))` returns. So that must be the body itself: without white space, and with the keys of an
//! object in the order in which JavaScript keeps them. Keys that are array indexes come first, in the order of their numbers
//! (<https://tc39.es/ecma262/#sec-ordinaryownpropertykeys>), and all others stay in the order of the text.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// Serializes a value as JavaScript would.
///
/// # Errors
/// If it cannot be JSON, or has a number that JavaScript would write in another way: a fraction, or one beyond 2^53.
pub fn to_text(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    let mut json: Json = serde_json::from_str(&text)?;
    json.sort_keys();
    serde_json::to_string(&json)
}

enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    fn sort_keys(&mut self) {
        match self {
            Self::List(items) => items.iter_mut().for_each(Self::sort_keys),
            Self::Object(fields) => {
                fields.iter_mut().for_each(|(_, value)| value.sort_keys());
                // Stable, so that all other keys stay as they are.
                fields.sort_by_key(|(key, _)| array_index(key).map_or(u64::MAX, u64::from));
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {}
        }
    }
}

/// The number of a key that JavaScript takes for an array index: 0 to 2^32 - 2, without leading zeros.
fn array_index(key: &str) -> Option<u32> {
    let index: u32 = key.parse().ok()?;
    (index < u32::MAX && index.to_string() == key).then_some(index)
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => serializer.collect_map(fields.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

/// Beyond this, JavaScript cannot tell integers apart.
const INTEGER_MAX: i64 = 1 << 53;
const INTEGER_MIN: i64 = -INTEGER_MAX;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON whose numbers are integers up to 2^53")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Json, E> {
        match number {
            INTEGER_MIN..=INTEGER_MAX => Ok(Json::Number(number)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Json, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = vec![];
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut fields = vec![];
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn array_indexes_come_first_in_the_order_of_their_numbers() {
        let metadata: BTreeMap<&str, u8> =
            ["a", "10", "9", "01", "4294967294", "4294967295", "-1", "1.0", ""].map(|key| (key, 1)).into();
        let expected = r#"{"9":1,"10":1,"4294967294":1,"":1,"-1":1,"01":1,"1.0":1,"4294967295":1,"a":1}"#;
        assert_eq!(to_text(&metadata).unwrap(), expected);
    }

    #[test]
    fn fields_of_structs_stay_in_their_order() {
        #[derive(Serialize)]
        struct Thing {
            object: &'static str,
            id: u8,
            all: [bool; 2],
        }
        let text = to_text(&Thing { object: "thing", id: 1, all: [true, false] }).unwrap();
        assert_eq!(text, r#"{"object":"thing","id":1,"all":[true,false]}"#);
    }

    #[test]
    fn numbers_that_javascript_writes_in_another_way_are_refused() {
        for number in [json!(1.0), json!(-0.0), json!(1e21), json!(9_007_199_254_740_993_i64), json!(u64::MAX)] {
            assert!(to_text(&json!({"n": number})).is_err(), "{number}");
        }
        assert_eq!(to_text(&json!([0, -1, 9_007_199_254_740_992_i64])).unwrap(), "[0,-1,9007199254740992]");
    }
}
