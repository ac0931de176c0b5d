//! `POST /api_keys/validations`, in the order of steps that [`shared::validation`] states.

use shared::{
    caller,
    digest::{Digest, KvKey},
    error::ApiError,
    record::Record,
    scope::Scope,
    validation::{Answer, Validation},
};
use worker::{Request, Response};

use crate::{
    body, clock,
    config::{Config, Edge},
    counters::count,
    failure::Failure,
    response,
    store::look_up,
};

/// Says whether the key in the body is good, to whoever may ask.
pub async fn answer(request: Request, config: &Config) -> Result<Response, Failure> {
    count(|counters| counters.validations += 1);
    let answer = validate(request, config.edge()?).await?;
    Ok(response::json(200, answer.body)?)
}

async fn validate(mut request: Request, edge: &Edge) -> Result<Answer, Failure> {
    let record = caller_record(&request, edge).await?;
    let caller = caller::authorize(&record, Scope::ApiKeysValidate, clock::now())?;
    let body = body::read(&mut request).await?;
    let validation = Validation::parse(&body)?;
    let text = match validation.key_text(caller) {
        Ok(text) => text,
        Err(reason) => {
            count(|counters| counters.refused_unseen += 1);
            return Ok(Answer::refused(reason));
        }
    };
    let found = look_up(edge, &KvKey::api_key(&record.environment, &Digest::of(text))).await?;
    Ok(validation.answer(&record.environment, found.as_ref(), clock::now()))
}

/// The record of the caller's management key.
async fn caller_record(request: &Request, edge: &Edge) -> Result<Record, Failure> {
    let authorization = request.headers().get("authorization")?;
    let text = caller::management_key(authorization.as_deref())?;
    let found = look_up(edge, &KvKey::management_key(&Digest::of(text))).await?;
    found.ok_or_else(|| ApiError::unauthorized().into())
}
