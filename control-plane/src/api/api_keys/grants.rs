//! Who may put which permissions on a key: nobody grants what may not be granted, on any path.

use shared::{
    error::{ApiError, FieldError},
    id::{EnvironmentId, OrganizationId, UserId},
    permission::grants,
    record::Owner,
};

use crate::{
    api::Error,
    storage::{Writer, environments, memberships, permissions, roles},
};

/// Every permission that a key is to have must be one of the environment's, be offered for keys of its owner's kind, and be
/// among what its user's role allows, but for those that the key has already. All that stays so until the transaction
/// ends. Whoever changes a key asks this before it locks the key, as who takes a permission away locks that first.
pub async fn require_permissions(
    transaction: &mut Writer,
    environment: &EnvironmentId,
    owner: &Owner,
    wanted: &[String],
    kept: &[String],
) -> Result<(), Error> {
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
            Some(("not_held", "the user's role does not allow this"))
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
    if errors.is_empty() { Ok(()) } else { Err(ApiError::unprocessable(errors).into()) }
}

/// What the user's role allows.
async fn held_by(
    transaction: &mut Writer,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Vec<String>, Error> {
    let membership = memberships::hold_of(transaction.conn(), environment, organization, user).await?;
    let membership = membership.ok_or_else(membership_required)?;
    let role = roles::hold(transaction.conn(), &membership.role_id).await?.ok_or_else(membership_required)?;
    Ok(role.permissions.0)
}

/// A user who is to get a key must be an active member of the organization, and stays so until the transaction ends.
pub async fn require_member(transaction: &mut Writer, environment: &EnvironmentId, owner: &Owner) -> Result<(), Error> {
    let Owner::User { id, organization_id } = owner else { return Ok(()) };
    let membership = memberships::hold_of(transaction.conn(), environment, organization_id, id).await?;
    if membership.is_some_and(|membership| !membership.inactive) { Ok(()) } else { Err(membership_required()) }
}

fn membership_required() -> Error {
    let message = "The user must be an active member of the organization to have keys in it.";
    let mut error = ApiError::new(400, "organization_membership_required", message);
    error.body.errors.push(FieldError::new("organization_id", "organization_membership_required", message));
    error.into()
}
