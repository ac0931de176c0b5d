//! `POST /api_keys/validations`, in the order of steps that [`shared::validation`] states.

use std::rc::Rc;

use shared::{
    caller,
    digest::{Digest, KvKey, Place},
    error::ApiError,
    record::Record,
    scope::Scope,
    validation::{Answer, BODY_LIMIT, Validation},
};
use worker::{Context, Request, Response};

use crate::{
    body, clock,
    config::Config,
    counters::count,
    failure::Failure,
    isolate::{Found, Knowledge},
    response,
};

/// On whose account questions about unknown management keys go: nobody is known yet.
const NOBODY: Place = Place([0; 16]);
/// How often a caller's record may turn out to be unknown again while its customer's key is looked up.
const ATTEMPTS: usize = 3;
/// Says how old what the answer relies on is, in milliseconds.
const AGE: &str = "latchkey-age-ms";

/// Says whether the key in the body is good, to whoever may ask.
pub async fn answer(request: Request, config: &Config, context: &Context) -> Result<Response, Failure> {
    count(|counters| counters.validations += 1);
    let knowledge = Knowledge { edge: config.edge()?, context };
    let answer = validate(request, &knowledge).await?;
    let response = response::json(200, answer.body)?;
    if let Some(age) = knowledge.age() {
        response.headers().set(AGE, &age.to_string())?;
    }
    Ok(response)
}

async fn validate(mut request: Request, knowledge: &Knowledge<'_>) -> Result<Answer, Failure> {
    let authorization = request.headers().get("authorization")?;
    let text = caller::management_key(authorization.as_deref())?;
    let caller_key = KvKey::management_key(&Digest::of(text));
    let account = caller_key.place();
    let mut record = caller_record(knowledge.find(&caller_key, NOBODY).await?)?;
    caller::authorize(&record, Scope::ApiKeysValidate, clock::now())?;
    let body = body::read(&mut request, BODY_LIMIT).await?;
    let validation = Validation::parse(&body)?;

    for _ in 0..ATTEMPTS {
        let now = clock::now();
        let caller = caller::authorize(&record, Scope::ApiKeysValidate, now)?;
        let text = match validation.key_text(caller) {
            Ok(text) => text,
            Err(reason) => {
                count(|counters| counters.refused_unseen += 1);
                return Ok(Answer::refused(reason));
            }
        };
        let key = KvKey::api_key(&record.environment, &Digest::of(text));
        let found = knowledge.find(&key, account).await?;
        // Both must be good at one moment, and the caller's key was looked up earlier.
        if let Some(caller_now) = knowledge.recall(&caller_key, NOBODY) {
            let now = clock::now();
            let caller_now = caller_record(caller_now)?;
            caller::authorize(&caller_now, Scope::ApiKeysValidate, now)?;
            return Ok(match found {
                Found::Refused(reason) => Answer::refused(reason),
                Found::Record(found) => validation.answer(&caller_now.environment, Some(&found), now),
            });
        }
        record = caller_record(knowledge.find(&caller_key, NOBODY).await?)?;
    }
    let message = "The caller's key changed again and again while this one was looked up. Try again in a second.";
    Err(Failure::passing(ApiError::new(503, "caller_unsettled", message)))
}

/// The record of the caller's management key.
fn caller_record(found: Found) -> Result<Rc<Record>, Failure> {
    match found {
        Found::Record(record) => Ok(record),
        Found::Refused(_) => Err(ApiError::unauthorized().into()),
    }
}
