use std::str::FromStr;

use serde::Deserialize;

use super::{
    Outcome,
    arbitrary::{self, Counting},
    ensure, equal, property, vectors,
};
use crate::{
    Timestamp,
    id::{ApiKeyId, EnvironmentId, ManagementKeyId, OrganizationDomainId, OrganizationId, PermissionId, UserId},
};

const GOLDEN: &str = include_str!("../../testdata/ids.json");

#[derive(Deserialize)]
struct Golden {
    generated: Vec<Generated>,
    good: Vec<Text>,
    bad: Vec<Text>,
}

#[derive(Deserialize)]
struct Generated {
    kind: String,
    now: Timestamp,
    first_byte: u8,
    text: String,
}

#[derive(Deserialize)]
struct Text {
    kind: String,
    text: String,
}

/// Calls for each type of id, because they have no trait in common and need none.
macro_rules! of_kind {
    ($kind:expr, $id:ident => $then:expr) => {
        of_kind!($kind, $id => $then;
            EnvironmentId OrganizationId OrganizationDomainId UserId ApiKeyId ManagementKeyId PermissionId)
    };
    ($kind:expr, $id:ident => $then:expr; $($type:ident)*) => {
        match $kind {
            $(kind if kind == $type::PREFIX => { type $id = $type; $then })*
            kind => Err(format!("there is no id of the kind {kind}")),
        }
    };
}

pub fn golden_generated() -> Outcome {
    vectors::<Golden>(GOLDEN)?.generated.iter().try_for_each(|vector| {
        let mut entropy = Counting(vector.first_byte);
        let text = of_kind!(vector.kind.as_str(), Id => Ok(String::from(Id::generate(vector.now, &mut entropy))))?;
        equal(&vector.kind, text, vector.text.clone())
    })
}

pub fn golden_good_and_bad() -> Outcome {
    let is_id = |vector: &Text| of_kind!(vector.kind.as_str(), Id => Ok(Id::from_str(&vector.text).is_ok()));
    let Golden { good, bad, .. } = vectors(GOLDEN)?;
    good.iter().try_for_each(|vector| equal(&vector.text, is_id(vector)?, true))?;
    bad.iter().try_for_each(|vector| equal(&format!("{} as {}", vector.text, vector.kind), is_id(vector)?, false))
}

pub fn a_new_id_is_an_id() -> Outcome {
    property((arbitrary::environment_id(), arbitrary::text()), |(id, text)| {
        equal("its text", id.as_str().parse(), Ok(id.clone()))?;
        equal("its JSON", serde_json::to_string(&id).ok(), Some(format!("\"{id}\"")))?;
        ensure("no id of another kind", OrganizationId::from_str(id.as_str()).is_err())?;
        ensure(
            "no id with something after it",
            text.is_empty() || EnvironmentId::from_str(&format!("{id}{text}")).is_err(),
        )
    })
}

pub fn ids_are_ordered_by_time() -> Outcome {
    let moments = (arbitrary::timestamp(), arbitrary::timestamp());
    property(moments, |(first, second)| {
        let [one, other] = [(first, 255), (second, 0)].map(|(now, byte)| UserId::generate(now, &mut Counting(byte)));
        equal("their order", first < second && one >= other, false)
    })
}
