//! `POST /api_keys/validations`, in the order of steps that [`shared::validation`] states.
//!
//! A key that is in use is answered [`at_once`]: nothing is waited for, and JavaScript is called twice, for the time and for
//! the response. All else takes the longer way, [`answer`]. Both decide by the same rules, and word what they decided alike.

use std::{cell::RefCell, rc::Rc};

use secrecy::{ExposeSecret, SecretString};
use shared::{
    Timestamp, caller,
    digest::{Digest, KvKey, Place},
    error::ApiError,
    id::EnvironmentId,
    reason::Reason,
    scope::Scope,
    usage::Outcome,
    validation::{Answer, Validation},
};
use worker::{Context, Response, js_sys::Uint8Array};

use crate::{
    clock,
    config::Config,
    counters::count,
    failure::Failure,
    isolate::{Found, Knowledge},
    known::Known,
    response::{self, RawResponse},
    usage,
};

/// On whose account questions about unknown management keys go: nobody is known yet.
const NOBODY: Place = Place([0; 16]);
/// How often a caller's record may turn out to be unknown again while its customer's key is looked up.
const ATTEMPTS: usize = 3;

/// What was asked.
pub struct Question<'a> {
    /// The header that says who asks.
    pub authorization: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// Says whether the key in the body is good, if all that this takes is known already. `None` leaves the question, and
/// whatever is wrong with it, to [`answer`].
pub fn at_once(question: &Question<'_>, context: &Context) -> Option<RawResponse> {
    let config = Config::known()?;
    let knowledge = Knowledge { edge: config.edge().ok()?, context };
    let now = clock::now();
    let age = knowledge.age(now)?;

    let account = account(question.authorization?)?;
    let Found::Record(caller) = knowledge.recall(account, NOBODY, now)? else { return None };
    let grant = caller::authorize(&caller.record, Scope::ApiKeysValidate, now).ok()?;
    let validation = Validation::parse(question.body).ok()?;
    let environment = &caller.record.environment;
    let body = match validation.key_text(grant) {
        Ok(text) => {
            let digest = Digest::of(text);
            let place = Place::of_api_key(environment, &digest);
            let found = knowledge.recall(place, account, now)?;
            judge(&validation, environment, &Key { place, digest }, &found, now)
        }
        Err(reason) => unseen(reason, environment, now),
    };
    count(|counters| counters.validations += 1);
    usage::tell(&config, context, now);
    Some(response::validation(&body, age as f64))
}

/// Where the management key of this header stands. Whoever asked last mostly asks next, and two hashes are saved then.
fn account(header: &str) -> Option<Place> {
    thread_local! {
        static LAST: RefCell<Option<(SecretString, Place)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((asked, place)) if is_same(asked.expose_secret(), header) => Some(*place),
        _ => {
            let place = Place::of_management_key(&Digest::of(caller::management_key(Some(header)).ok()?));
            *last = Some((header.into(), place));
            Some(place)
        }
    })
}

/// Compares secrets, and takes as long wherever they differ.
fn is_same(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

/// Says whether the key in the body is good, to whoever may ask.
pub async fn answer(question: &Question<'_>, config: &Rc<Config>, context: &Context) -> Result<Response, Failure> {
    count(|counters| counters.validations += 1);
    let knowledge = Knowledge { edge: config.edge()?, context };
    let body = validate(question, &knowledge).await?;
    let now = clock::now();
    usage::tell(config, context, now);
    // There is a lease, or nothing had been decided.
    let age = knowledge.age(now).ok_or_else(|| Failure::passing(unsettled()))?;
    Ok(response::validation(&body, age as f64).into())
}

async fn validate(question: &Question<'_>, knowledge: &Knowledge<'_>) -> Result<Uint8Array, Failure> {
    let text = caller::management_key(question.authorization)?;
    let caller_key = KvKey::management_key(&Digest::of(text));
    let account = caller_key.place();
    let mut caller = caller_record(knowledge.find(&caller_key, NOBODY).await?)?;
    caller::authorize(&caller.record, Scope::ApiKeysValidate, clock::now())?;
    let validation = Validation::parse(question.body)?;

    for _ in 0..ATTEMPTS {
        let now = clock::now();
        let environment = &caller.record.environment;
        let grant = caller::authorize(&caller.record, Scope::ApiKeysValidate, now)?;
        let text = match validation.key_text(grant) {
            Ok(text) => text,
            Err(reason) => return Ok(unseen(reason, environment, now)),
        };
        let digest = Digest::of(text);
        let name = KvKey::api_key(environment, &digest);
        let found = knowledge.find(&name, account).await?;
        // Both must be good at one moment, and the caller's key was looked up earlier.
        let now = clock::now();
        if let Some(caller_now) = knowledge.recall(account, NOBODY, now) {
            let caller_now = caller_record(caller_now)?;
            caller::authorize(&caller_now.record, Scope::ApiKeysValidate, now)?;
            let key = Key { place: name.place(), digest };
            return Ok(judge(&validation, &caller_now.record.environment, &key, &found, now));
        }
        caller = caller_record(knowledge.find(&caller_key, NOBODY).await?)?;
    }
    Err(Failure::passing(unsettled()))
}

/// The record of the caller's management key.
fn caller_record(found: Found) -> Result<Rc<Known>, Failure> {
    match found {
        Found::Record(record) => Ok(record),
        Found::Refused(_) => Err(ApiError::unauthorized().into()),
    }
}

/// A key that was looked up.
struct Key {
    place: Place,
    digest: Digest,
}

/// Decides on what is known of a key, counts that, and words it.
fn judge(
    validation: &Validation<'_>,
    environment: &EnvironmentId,
    key: &Key,
    found: &Found,
    now: Timestamp,
) -> Uint8Array {
    let decided = match found {
        Found::Record(known) => validation.decide(environment, Some(&known.record), now).map(|key| (known, key)),
        Found::Refused(reason) => Err(*reason),
    };
    let outcome = decided.as_ref().map_or_else(|reason| Outcome::Refused(*reason), |_| Outcome::Valid);
    usage::count(outcome, environment, key.place, key.digest, now);
    match decided {
        Ok((known, api_key)) => known.answer(|| Answer::accepted(&api_key).body),
        Err(reason) => response::refusal(reason),
    }
}

/// Refuses a key for its shape, without a look-up.
fn unseen(reason: Reason, environment: &EnvironmentId, now: Timestamp) -> Uint8Array {
    count(|counters| counters.refused_unseen += 1);
    usage::count_unknown(environment, reason, now);
    response::refusal(reason)
}

fn unsettled() -> ApiError {
    let message = "The management key kept changing during the lookup. Try again in a second.";
    ApiError::new(503, "caller_unsettled", message)
}
