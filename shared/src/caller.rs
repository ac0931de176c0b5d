//! Who is asking: the management key of a request, and whether it may do what is asked.

use crate::{
    Timestamp, bearer,
    decide::{Request, decide},
    error::ApiError,
    key,
    record::{Grant, ManagementKeyGrant, Record},
    scope::Scope,
};

/// The management key of an `Authorization` header. What cannot be one is refused unseen.
///
/// # Errors
/// 401 if there is no header, or it holds no management key.
pub fn management_key(authorization: Option<&str>) -> Result<&str, ApiError> {
    let text = authorization.and_then(bearer::token);
    text.filter(|text| key::parse(text) == Ok(key::MANAGEMENT_PREFIX)).ok_or_else(ApiError::unauthorized)
}

/// Admits the management key that this record describes, if it may do what the scope names.
///
/// # Errors
/// 401 if the key is not good, 403 if it lacks the scope.
pub fn authorize(record: &Record, needed: Scope, now: Timestamp) -> Result<&ManagementKeyGrant, ApiError> {
    let Grant::ManagementKey(grant) = &record.grant else {
        return Err(ApiError::unauthorized());
    };
    decide(record, &Request::of_environment(&record.environment), now).map_err(|_| ApiError::unauthorized())?;
    if needed.is_granted_by(&grant.scopes) { Ok(grant) } else { Err(ApiError::forbidden(needed)) }
}
