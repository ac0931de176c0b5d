//! Which permissions may be put on a key, for every use case that does so.

use shared::{
    error::FieldError,
    id::{EnvironmentId, OrganizationId, UserId},
    permission::grants,
    record::Owner,
};

use crate::{
    service::{Error, Refusal, Result, Transaction},
    storage::{environments, memberships, permissions, roles},
};

/// Requires each permission that a key does not have yet to be a permission of the environment, to be offered for keys of this
/// kind of owner, and to be allowed by the role of its user, and locks all that until the transaction ends. It must be called
/// before the key is locked, because whoever removes a permission locks that first.
pub async fn require_permissions(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    owner: &Owner,
    wanted: &[String],
    kept: &[String],
) -> Result<()> {
    if wanted.iter().all(|slug| kept.contains(slug)) {
        return Ok(());
    }
    let known = permissions::hold(transaction.conn(), environment, wanted).await?;
    let offered = environments::hold_offered(transaction.conn(), environment).await?;
    let (offered, held) = match owner {
        Owner::Organization { .. } => (offered.organization_key_permissions, None),
        Owner::User { id, organization_id } => {
            (offered.user_key_permissions, Some(held_by(transaction, environment, organization_id, id).await?))
        }
    };
    let against = |slug: &String| {
        if !known.contains(slug) {
            Some(("not_found", "there is no such permission"))
        } else if offered.as_ref().is_some_and(|offered| !offered.0.contains(slug)) {
            Some(("not_offered", "this permission is not offered for such keys"))
        } else if held.as_ref().is_some_and(|held| !grants(held, slug)) {
            Some(("not_held", "the user's role does not have this permission"))
        } else {
            None
        }
    };
    let added = wanted.iter().enumerate().filter(|(_, slug)| !kept.contains(slug));
    let errors: Vec<FieldError> = added
        .filter_map(|(at, slug)| {
            let (code, message) = against(slug)?;
            Some(FieldError::new(format!("permissions.{at}"), code, message))
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// The permissions of the user's role.
async fn held_by(
    transaction: &mut Transaction,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Vec<String>> {
    let membership = memberships::hold_of(transaction.conn(), environment, organization, user).await?;
    let membership = membership.ok_or(Error::Refused(Refusal::MembershipRequired))?;
    let role = roles::hold(transaction.conn(), &membership.role_id)
        .await?
        .ok_or(Error::Refused(Refusal::MembershipRequired))?;
    Ok(role.permissions.0)
}

/// Requires a user who is to get a key to be an active member of the organization, and locks the membership.
pub async fn require_member(transaction: &mut Transaction, environment: &EnvironmentId, owner: &Owner) -> Result<()> {
    let Owner::User { id, organization_id } = owner else { return Ok(()) };
    let membership = memberships::hold_of(transaction.conn(), environment, organization_id, id).await?;
    if membership.is_some_and(|membership| !membership.inactive) {
        Ok(())
    } else {
        Err(Refusal::MembershipRequired.into())
    }
}
