//! Who may call a handler: its signature says so, by taking one of these.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use shared::{
    caller,
    digest::Digest,
    error::ApiError,
    id::EnvironmentId,
    record::{Grant, ManagementKeyGrant},
    scope::Scope,
};

use super::{Error, request_log::CallerCell};
use crate::{app::App, storage::management_keys};

/// Whoever calls, as its management key shows.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The environment, which is all that the caller can see.
    pub environment: EnvironmentId,
    /// What its management key carries.
    pub grant: ManagementKeyGrant,
}

macro_rules! access {
    ($($(#[$doc:meta])* $name:ident => $scope:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub Caller);

        impl FromRequestParts<App> for $name {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
                authorize(parts, app, Scope::$scope).await.map(Self)
            }
        }
    )*};
}

access! {
    /// May validate customers' keys.
    ValidateApiKeys => ApiKeysValidate;
    /// May see customers' keys.
    ReadApiKeys => ApiKeysRead;
    /// May create, expire and revoke customers' keys.
    WriteApiKeys => ApiKeysWrite;
    /// May see organizations.
    ReadOrganizations => OrganizationsRead;
    /// May create, change and delete organizations.
    WriteOrganizations => OrganizationsWrite;
    /// May see permissions.
    ReadPermissions => PermissionsRead;
    /// May create, change and delete permissions.
    WritePermissions => PermissionsWrite;
    /// May see roles.
    ReadRoles => RolesRead;
    /// May create, change and delete roles.
    WriteRoles => RolesWrite;
    /// May see users and their memberships.
    ReadUsers => UsersRead;
    /// May create, change and delete users and their memberships.
    WriteUsers => UsersWrite;
}

/// The `Authorization` header, if there is exactly one.
pub fn authorization(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let only = all.next().filter(|_| all.next().is_none())?;
    only.to_str().ok()
}

async fn authorize(parts: &Parts, app: &App, needed: Scope) -> Result<Caller, Error> {
    let digest = Digest::of(caller::management_key(authorization(&parts.headers))?);
    let now = app.clock.now();
    app.limits.count_key(parts, digest, now)?;
    let key = management_keys::by_digest(app.db.read().await?.conn(), &digest).await?;
    let record = key.ok_or_else(ApiError::unauthorized)?.into_record(now);
    if let (Grant::ManagementKey(grant), Some(cell)) = (&record.grant, parts.extensions.get::<CallerCell>()) {
        cell.set(&grant.id, &record.environment);
    }
    caller::authorize(&record, needed, now)?;
    match record.grant {
        Grant::ManagementKey(grant) => Ok(Caller { environment: record.environment, grant }),
        Grant::ApiKey(_) => Err(ApiError::unauthorized().into()),
    }
}
