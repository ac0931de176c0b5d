//! `POST /api_keys/validations`: its request and its answers, the same at the edge and at the control plane.
//!
//! Both take the steps in one order: the caller, the body, the shape of the key, the look-up, the decision.

use std::{borrow::Cow, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    api_key::ApiKeyObject,
    decide::{Request, decide},
    error::{ApiError, FieldError},
    id::EnvironmentId,
    json, key,
    permission::Expression,
    reason::Reason,
    record::{Grant, ManagementKeyGrant, Record},
};

/// The longest body that is read.
pub const BODY_LIMIT: usize = 16 * 1024;

/// What a caller asks. It holds the text of a key, so it cannot be printed.
pub struct Validation<'a> {
    value: Cow<'a, str>,
    ip: Option<IpAddr>,
    permissions: Option<Expression>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(default, borrow)]
    ip: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    permissions: Option<Cow<'a, str>>,
}

impl<'a> Validation<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    /// 400, 413 or 422 as the mistake is.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        if body.len() > BODY_LIMIT {
            return Err(ApiError::too_large(BODY_LIMIT));
        }
        let Body { value, ip, permissions } = json::parse(body)?;
        let ip = ip.map(|text| text.parse().map_err(|_| bad_ip())).transpose()?;
        let permissions = permissions.map(|text| text.parse().map_err(bad_permissions)).transpose()?;
        Ok(Self { value, ip, permissions })
    }

    /// The text of the key, if it can be one of the caller's environment at all; else it is refused unseen.
    ///
    /// # Errors
    /// [`Reason::Malformed`].
    pub fn key_text(&self, caller: &ManagementKeyGrant) -> Result<&str, Reason> {
        key::recognise(&self.value, &caller.prefixes, caller.accepts_foreign).map_err(|_| Reason::Malformed)?;
        Ok(&self.value)
    }

    /// Decides on what the look-up found: the key as the answer shows it, or why it is refused.
    ///
    /// # Errors
    /// The reason.
    pub fn decide<'r>(
        &self,
        environment: &EnvironmentId,
        found: Option<&'r Record>,
        now: Timestamp,
    ) -> Result<ApiKeyObject<'r>, Reason> {
        let Some((record, Grant::ApiKey(key))) = found.map(|record| (record, &record.grant)) else {
            return Err(Reason::NotFound);
        };
        let request = Request { environment, ip: self.ip, permissions: self.permissions.as_ref() };
        decide(record, &request, now).map(|()| ApiKeyObject::new(record, key))
    }

    /// The same, and words the answer.
    #[must_use]
    pub fn answer(&self, environment: &EnvironmentId, found: Option<&Record>, now: Timestamp) -> Answer {
        match self.decide(environment, found, now) {
            Ok(api_key) => Answer::accepted(&api_key),
            Err(reason) => Answer::refused(reason),
        }
    }
}

fn bad_ip() -> ApiError {
    FieldError::new("ip", "invalid", "must be an IPv4 or IPv6 address").into()
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn bad_permissions(error: crate::permission::BadExpression) -> ApiError {
    FieldError::new("permissions", "invalid", error.to_string()).into()
}

/// The answer to a validation, ready to send with status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The JSON body.
    pub body: String,
    /// Why the key was refused, if it was.
    pub refused: Option<Reason>,
}

#[derive(Serialize)]
struct Accepted<'a> {
    api_key: &'a ApiKeyObject<'a>,
}

#[derive(Serialize)]
struct Refused {
    api_key: (),
    code: &'static str,
    message: &'static str,
}

impl Answer {
    /// The answer that shows a key that is accepted. It is the same one as long as its record is.
    #[must_use]
    pub fn accepted(api_key: &ApiKeyObject<'_>) -> Self {
        Self { body: serde_json::to_string(&Accepted { api_key }).unwrap_or_default(), refused: None }
    }

    /// The answer that refuses a key for this reason.
    #[must_use]
    pub fn refused(reason: Reason) -> Self {
        let refused = Refused { api_key: (), code: reason.code(), message: reason.message() };
        Self { body: serde_json::to_string(&refused).unwrap_or_default(), refused: Some(reason) }
    }
}
