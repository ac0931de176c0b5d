use serde::Deserialize;

use super::{Outcome, ensure, equal, validation::GoldenError, vectors};
use crate::{
    Timestamp, caller,
    record::Record,
    scope::{self, Scope},
};

const GOLDEN: &str = include_str!("../../testdata/callers.json");

#[derive(Deserialize)]
struct Golden {
    unauthorized: GoldenError,
    headers: Vec<Header>,
    authorized: Vec<Authorized>,
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    authorization: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Authorized {
    name: String,
    record: Record,
    needs: String,
    now: Timestamp,
    error: Option<GoldenError>,
}

pub fn golden_headers() -> Outcome {
    let golden: Golden = vectors(GOLDEN)?;
    golden.headers.iter().try_for_each(|vector| {
        let what = format!("{:?}", vector.authorization);
        match (caller::management_key(vector.authorization.as_deref()), &vector.text) {
            (Err(error), None) => equal(&what, &GoldenError::from(error), &golden.unauthorized),
            (found, text) => equal(&what, found.ok(), text.as_deref()),
        }
    })
}

pub fn golden_authorized() -> Outcome {
    vectors::<Golden>(GOLDEN)?.authorized.into_iter().try_for_each(|vector| {
        let needed = vector.needs.parse().map_err(|unknown: scope::UnknownScope| unknown.to_string())?;
        let error = caller::authorize(&vector.record, needed, vector.now).err().map(GoldenError::from);
        equal(&vector.name, error, vector.error)
    })
}

pub fn golden_scopes() -> Outcome {
    let scopes = vectors::<Golden>(GOLDEN)?.scopes;
    let known: Vec<String> = Scope::EVERY.iter().map(ToString::to_string).collect();
    equal("every scope", known, scopes)?;
    for scope in Scope::EVERY {
        equal("its text", scope.as_str().parse(), Ok(*scope))?;
        ensure("granted by the star", scope.is_granted_by(&[scope::ALL.to_owned()]))?;
        let granted: Vec<_> = Scope::EVERY.iter().filter(|other| other.is_granted_by(&[scope.to_string()])).collect();
        equal("grants itself alone", granted, vec![scope])?;
    }
    ensure("no scope of this name", "*".parse::<Scope>().is_err())
}
