use shared::{
    digest::Digest,
    id::EnvironmentId,
    record::ManagementKeyGrant,
    usage::Outcome,
    validation::{Answer, Validation},
};

use crate::{
    clock::Clock,
    service::{Database, Result, usage::Usage},
    storage::api_keys as rows,
};

/// Validates a key for a caller of this environment, and counts the outcome.
///
/// # Errors
/// If the database fails.
pub async fn validate(
    database: &Database,
    usage: &Usage,
    environment: &EnvironmentId,
    caller: &ManagementKeyGrant,
    validation: &Validation<'_>,
    clock: &Clock,
) -> Result<Answer> {
    let text = match validation.key_text(caller) {
        Ok(text) => text,
        Err(reason) => {
            usage.count_unknown(environment, reason, clock.now());
            return Ok(Answer::refused(reason));
        }
    };
    let digest = Digest::of(text);
    let row = rows::by_digest(database.read().await?.conn(), environment, &digest).await?;
    // After the row was read: a key that expired before that is refused.
    let now = clock.now();
    let record = row.map(|row| row.into_record(now));
    let answer = validation.answer(environment, record.as_ref(), now);
    match (&record, answer.refused) {
        (None, Some(reason)) => usage.count_unknown(environment, reason, now),
        (_, refused) => usage.count_key(environment, digest, Outcome::from(refused), now),
    }
    Ok(answer)
}
