//! Who may call a handler: its signature says so, by taking one of these extractors.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use shared::{
    caller,
    digest::Digest,
    error::ApiError,
    id::{EnvironmentId, ManagementKeyId},
    record::{Grant, ManagementKeyGrant},
    scope::Scope,
};

use crate::{
    events::Actor, http::Error, limits::KeyGuard, service::api_keys::Creator, state::AppState, storage::management_keys,
};

/// The management key of a request, once it is known: an extension of the request.
#[derive(Debug, Clone, Default)]
pub struct CallerCell(Arc<OnceLock<(ManagementKeyId, EnvironmentId)>>);

impl CallerCell {
    /// Records whose request it is.
    pub fn set(&self, management_key: &ManagementKeyId, environment: &EnvironmentId) {
        // A request has one management key, so whoever sets it again sets the same.
        let _ = self.0.set((management_key.clone(), environment.clone()));
    }

    /// Whose request it is, if that is known.
    pub fn get(&self) -> Option<&(ManagementKeyId, EnvironmentId)> {
        self.0.get()
    }
}

/// The caller, as its management key shows.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The environment, which is all that the caller can see.
    pub environment: EnvironmentId,
    /// The grant of its management key.
    pub grant: ManagementKeyGrant,
    /// The display name of its management key.
    name: String,
}

impl Caller {
    /// The caller as the actor of a change.
    pub fn actor(&self) -> Actor {
        Actor::ManagementKey { id: self.grant.id.clone(), name: self.name.clone() }
    }

    /// The caller as the creator of keys.
    pub const fn creator(&self) -> Creator<'_> {
        Creator { environment: &self.environment, management_key: &self.grant.id }
    }
}

macro_rules! access {
    ($($(#[$doc:meta])* $name:ident => $scope:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub Caller);

        impl FromRequestParts<AppState> for $name {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
                authorize(parts, state, Scope::$scope).await.map(Self)
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
    /// May see events.
    ReadEvents => EventsRead;
    /// May see webhook endpoints and their deliveries.
    ReadWebhooks => WebhooksRead;
    /// May create, change and delete webhook endpoints, and send events again.
    WriteWebhooks => WebhooksWrite;
}

/// The `Authorization` header, if there is exactly one.
pub fn authorization(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let only = all.next().filter(|_| all.next().is_none())?;
    only.to_str().ok()
}

async fn authorize(parts: &Parts, state: &AppState, needed: Scope) -> Result<Caller, Error> {
    let digest = Digest::of(caller::management_key(authorization(&parts.headers))?);
    // Later than the arrival, by as long as the body took: with an older time, the limit of the key would forget what came since.
    let now = state.clock.now();
    state.limits.count_key(parts.extensions.get::<KeyGuard>(), digest, now)?;
    let key = management_keys::by_digest(state.database.read().await?.conn(), &digest).await?;
    let record = key.ok_or_else(ApiError::unauthorized)?.into_record(now);
    if let (Grant::ManagementKey(grant), Some(cell)) = (&record.grant, parts.extensions.get::<CallerCell>()) {
        cell.set(&grant.id, &record.environment);
    }
    caller::authorize(&record, needed, now)?;
    match record.grant {
        Grant::ManagementKey(grant) => Ok(Caller { environment: record.environment, grant, name: record.name }),
        Grant::ApiKey(_) => Err(ApiError::unauthorized().into()),
    }
}
