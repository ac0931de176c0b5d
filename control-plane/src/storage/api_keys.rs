//! Customers' keys.

use std::collections::BTreeMap;

use ipnet::IpNet;
use shared::{
    Timestamp,
    digest::{Digest, KvKey},
    id::{ApiKeyId, EnvironmentId, ManagementKeyId, MembershipId, OrganizationId, RoleId, UserId},
    record::{ApiKeyGrant, Generations, Grant, Membership, Owner, Record, Revoked, Role, Version},
};
use sqlx::FromRow;

use super::{Conn, JsonText, Page, PageRequest, Result, dialect::sql, management_keys::revoked, outbox::unless_queued};

/// A customer's key, with what its record needs of its organization and environment.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its tenant.
    pub environment_id: EnvironmentId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Its user, if it is a user's.
    pub user_id: Option<UserId>,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its text.
    pub digest: Vec<u8>,
    /// What people may see of its text.
    pub obfuscated_value: String,
    /// The slugs of what it may do.
    pub permissions: JsonText<Vec<String>>,
    /// The resources that it is limited to.
    pub resources: JsonText<Vec<String>>,
    /// The addresses that it may be used from.
    pub ip_allow_list: JsonText<Vec<IpNet>>,
    /// The product's own notes.
    pub metadata: JsonText<BTreeMap<String, String>>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Until when it is refused.
    pub not_before: Option<Timestamp>,
    /// Whether it is refused for the time being.
    pub disabled: bool,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// Orders its states.
    pub version: Version,
    /// The management key that created it.
    pub created_by: String,
    /// The key that it took the place of.
    pub rotated_from: Option<ApiKeyId>,
    /// The key that took its place.
    pub rotated_to: Option<ApiKeyId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was last changed in a way that the change feed has an entry of its own for. `None`: never.
    pub changed_at: Option<Timestamp>,
    /// Whether somebody was told that this change has reached the edge.
    pub acknowledged: bool,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revoked_reason: Option<String>,
    /// Its organization's generation.
    pub organization_generation: i64,
    /// Its environment's generation.
    pub environment_generation: i64,
    /// Its user's membership, if it is a user's.
    pub membership_id: Option<MembershipId>,
    /// The generation of that.
    pub membership_generation: Option<i64>,
    /// Whether that is inactive.
    pub membership_inactive: Option<bool>,
    /// What the user is in the organization.
    pub role_id: Option<RoleId>,
    /// The generation of that role.
    pub role_generation: Option<i64>,
    /// The slugs of what that role allows.
    pub role_permissions: Option<JsonText<Vec<String>>>,
}

macro_rules! select {
    ($($rest:literal)?) => {
        concat!(
            "SELECT k.id, k.environment_id, k.organization_id, k.user_id, k.name, k.digest, k.obfuscated_value,
                k.permissions, k.resources, k.ip_allow_list, k.metadata, k.expires_at, k.not_before, k.disabled,
                k.version, k.created_by, k.rotated_from, k.rotated_to, k.created_at, k.updated_at, k.changed_at,
                k.acknowledged, k.revoked_at, k.revoked_reason,
                o.generation AS organization_generation, e.generation AS environment_generation,
                l.used_at AS last_used_at, m.id AS membership_id, m.generation AS membership_generation, m.inactive AS membership_inactive,
                r.id AS role_id, r.generation AS role_generation, r.permissions AS role_permissions
             FROM api_keys k
             JOIN organizations o ON o.id = k.organization_id
             JOIN environments e ON e.id = k.environment_id
             LEFT JOIN last_uses l ON l.key_id = k.id
             LEFT JOIN memberships m ON m.organization_id = k.organization_id AND m.user_id = k.user_id
             LEFT JOIN roles r ON r.id = m.role_id ",
            $($rest)?
        )
    };
}
pub(super) use select as select_api_keys;

impl ApiKey {
    /// Where the edge finds it. `None` if the row's digest has been tampered with.
    #[must_use]
    pub fn kv_key(&self) -> Option<KvKey> {
        Digest::from_bytes(&self.digest).map(|digest| KvKey::api_key(&self.environment_id, &digest))
    }

    /// What limits it, if it is a user's.
    fn membership(&mut self) -> Option<Membership> {
        Some(Membership {
            id: self.membership_id.take()?,
            generation: self.membership_generation?,
            inactive: self.membership_inactive?,
            role: Role {
                id: self.role_id.take()?,
                generation: self.role_generation?,
                permissions: self.role_permissions.take()?.0,
            },
        })
    }

    /// Its record, as of now.
    #[must_use]
    pub fn into_record(mut self, now: Timestamp) -> Record {
        let membership = self.membership();
        let owner = match self.user_id {
            Some(id) => Owner::User { id, organization_id: self.organization_id },
            None => Owner::Organization { id: self.organization_id },
        };
        Record {
            environment: self.environment_id,
            name: self.name,
            obfuscated_value: self.obfuscated_value,
            created_at: self.created_at,
            updated_at: self.updated_at,
            expires_at: self.expires_at,
            not_before: self.not_before,
            disabled: self.disabled,
            revoked: revoked(self.revoked_at, self.revoked_reason),
            version: self.version,
            sealed_at: now,
            generations: Generations {
                environment: self.environment_generation,
                organization: self.organization_generation,
            },
            grant: Grant::ApiKey(ApiKeyGrant {
                id: self.id,
                owner,
                permissions: self.permissions.0,
                resources: self.resources.0,
                ip_allow_list: self.ip_allow_list.0,
                metadata: self.metadata.0,
                last_used_at: self.last_used_at,
                membership,
            }),
        }
    }
}

/// What can be changed about a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiKeySettings {
    /// What people call it.
    pub name: String,
    /// The slugs of what it may do.
    pub permissions: Vec<String>,
    /// The resources that it is limited to.
    pub resources: Vec<String>,
    /// The addresses that it may be used from.
    pub ip_allow_list: Vec<IpNet>,
    /// The product's own notes.
    pub metadata: BTreeMap<String, String>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Until when it is refused.
    pub not_before: Option<Timestamp>,
    /// Whether it is refused for the time being.
    pub disabled: bool,
}

impl ApiKey {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let organization_id = self.organization_id.clone();
        match &self.user_id {
            Some(id) => Owner::User { id: id.clone(), organization_id },
            None => Owner::Organization { id: organization_id },
        }
    }

    /// What can be changed about it.
    #[must_use]
    pub fn settings(&self) -> ApiKeySettings {
        ApiKeySettings {
            name: self.name.clone(),
            permissions: self.permissions.0.clone(),
            resources: self.resources.0.clone(),
            ip_allow_list: self.ip_allow_list.0.clone(),
            metadata: self.metadata.0.clone(),
            expires_at: self.expires_at,
            not_before: self.not_before,
            disabled: self.disabled,
        }
    }
}

/// What a new key is made of.
#[derive(Debug)]
pub struct NewApiKey<'a> {
    /// Its id.
    pub id: &'a ApiKeyId,
    /// Its tenant.
    pub environment_id: &'a EnvironmentId,
    /// Whose it is.
    pub owner: &'a Owner,
    /// SHA-256 of its text.
    pub digest: &'a Digest,
    /// What people may see of its text.
    pub obfuscated_value: &'a str,
    /// What can be changed about it.
    pub settings: &'a ApiKeySettings,
    /// The key that it takes the place of.
    pub rotated_from: Option<&'a ApiKeyId>,
    /// Who creates it.
    pub created_by: &'a ManagementKeyId,
    /// When it is created.
    pub now: Timestamp,
}

/// Adds a key.
pub async fn insert(conn: Conn<'_>, key: &NewApiKey<'_>) -> Result<()> {
    const SQL: &str = "INSERT INTO api_keys
            (id, environment_id, organization_id, user_id, digest, obfuscated_value, name, permissions, resources,
             ip_allow_list, metadata, expires_at, not_before, disabled, rotated_from, version, created_by, created_at,
             updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18)";
    let user = match key.owner {
        Owner::Organization { .. } => None,
        Owner::User { id, .. } => Some(id),
    };
    on_db!(conn, c => sqlx::query(SQL)
        .bind(key.id)
        .bind(key.environment_id)
        .bind(key.owner.organization())
        .bind(user)
        .bind(key.digest.as_bytes().as_slice())
        .bind(key.obfuscated_value)
        .bind(&key.settings.name)
        .bind(JsonText(&key.settings.permissions))
        .bind(JsonText(&key.settings.resources))
        .bind(JsonText(&key.settings.ip_allow_list))
        .bind(JsonText(&key.settings.metadata))
        .bind(key.settings.expires_at)
        .bind(key.settings.not_before)
        .bind(key.settings.disabled)
        .bind(key.rotated_from)
        .bind(Version::first(key.now))
        .bind(key.created_by)
        .bind(key.now)
        .execute(c).await.map(drop))
}

/// The key with this id, unless it is revoked.
pub async fn get(conn: Conn<'_>, environment: &EnvironmentId, id: &ApiKeyId) -> Result<Option<ApiKey>> {
    const SQL: &str = select!("WHERE k.environment_id = $1 AND k.id = $2 AND k.revoked_at IS NULL");
    on_db!(conn, c => sqlx::query_as(SQL).bind(environment).bind(id).fetch_optional(c).await)
}

/// Whether there is a key with this id, or ever was.
pub async fn ever_was(conn: Conn<'_>, environment: &EnvironmentId, id: &ApiKeyId) -> Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM api_keys WHERE environment_id = $1 AND id = $2";
    let count: i64 = on_db!(conn, c => sqlx::query_scalar(SQL).bind(environment).bind(id).fetch_one(c).await)?;
    Ok(count > 0)
}

/// The key with this digest, revoked or not.
pub async fn by_digest(conn: Conn<'_>, environment: &EnvironmentId, digest: &Digest) -> Result<Option<ApiKey>> {
    const SQL: &str = select!("WHERE k.environment_id = $1 AND k.digest = $2");
    on_db!(conn, c => sqlx::query_as(SQL)
        .bind(environment)
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(c).await)
}

/// Which keys a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that are not revoked.
    Unrevoked,
    /// All there ever were.
    All,
}

/// A page of the keys that an organization owns itself.
pub async fn list_of_organization(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    which: Which,
    request: &PageRequest,
) -> Result<Page<ApiKey>> {
    const OLDER: &str = select!(
        "WHERE k.environment_id = $1 AND k.organization_id = $2 AND k.user_id IS NULL AND k.revoked_at IS NULL
           AND k.id < $3 ORDER BY k.id DESC LIMIT $4"
    );
    const NEWER: &str = select!(
        "WHERE k.environment_id = $1 AND k.organization_id = $2 AND k.user_id IS NULL AND k.revoked_at IS NULL
           AND k.id > $3 ORDER BY k.id LIMIT $4"
    );
    const ALL_OLDER: &str = select!(
        "WHERE k.environment_id = $1 AND k.organization_id = $2 AND k.user_id IS NULL
           AND k.id < $3 ORDER BY k.id DESC LIMIT $4"
    );
    const ALL_NEWER: &str = select!(
        "WHERE k.environment_id = $1 AND k.organization_id = $2 AND k.user_id IS NULL
           AND k.id > $3 ORDER BY k.id LIMIT $4"
    );
    let walk = request.walk();
    let sql = match (which, walk.towards_older) {
        (Which::Unrevoked, true) => OLDER,
        (Which::Unrevoked, false) => NEWER,
        (Which::All, true) => ALL_OLDER,
        (Which::All, false) => ALL_NEWER,
    };
    let rows = on_db!(conn, c => sqlx::query_as(sql)
        .bind(environment)
        .bind(organization)
        .bind(walk.beyond)
        .bind(walk.limit)
        .fetch_all(c).await)?;
    Ok(request.page(rows))
}

/// The version of a key that was revoked, if nobody was told yet that this has reached the edge.
pub async fn unacknowledged_revocation(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    id: &ApiKeyId,
) -> Result<Option<Version>> {
    const SQL: &str = "SELECT version FROM api_keys
        WHERE environment_id = $1 AND id = $2 AND revoked_at IS NOT NULL AND NOT acknowledged";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(environment).bind(id).fetch_optional(c).await)
}

/// Revokes a key, and returns its new version. `None` if there is none, or it is revoked already.
pub async fn revoke(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    id: &ApiKeyId,
    revoked: &Revoked,
    now: Timestamp,
) -> Result<Option<Version>> {
    const SQL: &str = "UPDATE api_keys
        SET revoked_at = $3, revoked_reason = $4, updated_at = $5,
            version = CASE WHEN version >= $5 THEN version + 1 ELSE $5 END
        WHERE environment_id = $1 AND id = $2 AND revoked_at IS NULL
        RETURNING version";
    on_db!(conn, c => sqlx::query_scalar(SQL)
        .bind(environment)
        .bind(id)
        .bind(revoked.at)
        .bind(&revoked.reason)
        .bind(now)
        .fetch_optional(c).await)
}

/// Queues the keys of this condition for the store, with the versions that they are about to get, and locks them in the
/// order of their ids, so that two changes of many keys never wait for each other. A million keys pass through no memory
/// of ours. `$3` is now.
macro_rules! queue_changed {
    ($conn:expr, $($condition:tt)+) => {
        sql!($conn,
            "WITH its AS (SELECT id, version FROM api_keys WHERE " $($condition)+ " ORDER BY id" (for update) ")
             INSERT INTO outbox (key_id, kind, version, queued_at, next_attempt_at)
             SELECT id, 'api_key', CASE WHEN version >= $3 THEN version + 1 ELSE $3 END, $3, $3 FROM its
             WHERE TRUE ORDER BY id " (text unless_queued))
    };
}

/// Notes the keys of this condition, which are locked, as targets of a batch: each is revoked. `$3` is the name of the batch.
macro_rules! target_revoked {
    ($condition:ident) => {
        concat!(
            "INSERT INTO event_targets (batch, event, id) SELECT $3, 'api_key.revoked', id FROM api_keys WHERE ",
            $condition!()
        )
    };
}

/// Revokes the keys of this condition. `$3` is now, and the reason is where it is said to be.
macro_rules! revoke_all {
    ($reason:literal, $condition:ident) => {
        concat!(
            "UPDATE api_keys
             SET revoked_at = $3, revoked_reason = ",
            $reason,
            ", updated_at = $3, version = CASE WHEN version >= $3 THEN version + 1 ELSE $3 END
             WHERE ",
            $condition!()
        )
    };
}

/// The ids of keys whose users have a role of a list, which follows.
macro_rules! ids_with_role {
    () => {
        "SELECT k.id FROM memberships m CROSS JOIN api_keys k
         WHERE k.environment_id = $1 AND k.user_id = m.user_id AND k.organization_id = m.organization_id
           AND m.role_id IN ("
    };
}

pub(super) use {ids_with_role, queue_changed, revoke_all, target_revoked};

macro_rules! of_organization {
    () => {
        "environment_id = $1 AND organization_id = $2 AND revoked_at IS NULL"
    };
}

/// Revokes every key of an organization, and queues them for the store: the feed has an entry of the organization. Nobody
/// adds a key to it meanwhile, because its row is locked.
pub async fn revoke_all_of_organization(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    organization: &OrganizationId,
    reason: &str,
    batch: &str,
    now: Timestamp,
) -> Result<()> {
    const TARGET: &str = target_revoked!(of_organization);
    const REVOKE: &str = revoke_all!("$4", of_organization);
    let queue = queue_changed!(conn, (text of_organization));
    on_db!(conn.reborrow(), c => sqlx::query(queue)
        .bind(environment)
        .bind(organization)
        .bind(now)
        .execute(c).await.map(drop))?;
    on_db!(conn.reborrow(), c => sqlx::query(TARGET)
        .bind(environment)
        .bind(organization)
        .bind(batch)
        .execute(c).await.map(drop))?;
    on_db!(conn, c => sqlx::query(REVOKE)
        .bind(environment)
        .bind(organization)
        .bind(now)
        .bind(reason)
        .execute(c).await.map(drop))
}

/// Those that have a permission, and those whose users have one of some roles, whose ids follow.
macro_rules! having_permission {
    () => {
        concat!(
            "environment_id = $1 AND revoked_at IS NULL AND (replace(permissions, $2, '') <> permissions OR id IN (",
            ids_with_role!()
        )
    };
}

/// Takes a permission from every key that has it, and queues them for the store, with the keys of users whose roles had it:
/// the feed has an entry of the permission. Nobody gives it to a key meanwhile, because its row is gone. Slugs hold no
/// quotes, so a quoted slug in the JSON is that slug whole.
pub async fn remove_permission(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    slug: &str,
    roles: &[RoleId],
    batch: &str,
    now: Timestamp,
) -> Result<()> {
    // With the permissions that each key had.
    const TARGET: &str = "INSERT INTO event_targets (batch, event, id, details)
        SELECT $3, 'api_key.updated', id, permissions FROM api_keys
        WHERE environment_id = $1 AND revoked_at IS NULL AND replace(permissions, $2, '') <> permissions";
    let quoted = format!("\"{slug}\"");
    let queue = queue_changed!(conn, (text having_permission) (texts of "$4") ")))");
    let remove = sql!(conn,
        "UPDATE api_keys
         SET permissions = replace(replace(replace(permissions, $2 || ',', ''), ',' || $2, ''), $2, ''),
             updated_at = CASE WHEN replace(permissions, $2, '') <> permissions THEN $3 ELSE updated_at END,
             version = CASE WHEN version >= $3 THEN version + 1 ELSE $3 END
         WHERE " (text having_permission) (texts of "$4") ")))");
    on_db!(conn.reborrow(), c => sqlx::query(queue)
        .bind(environment)
        .bind(&quoted)
        .bind(now)
        .bind(JsonText(roles))
        .execute(c).await.map(drop))?;
    on_db!(conn.reborrow(), c => sqlx::query(TARGET)
        .bind(environment)
        .bind(&quoted)
        .bind(batch)
        .execute(c).await.map(drop))?;
    on_db!(conn, c => sqlx::query(remove)
        .bind(environment)
        .bind(&quoted)
        .bind(now)
        .bind(JsonText(roles))
        .execute(c).await.map(drop))
}

/// The keys with these ids, revoked or not.
pub async fn of_ids(conn: Conn<'_>, ids: &[&str]) -> Result<Vec<ApiKey>> {
    let sql = sql!(conn, (text select) "WHERE k.id IN (" (texts of "$1") ")");
    on_db!(conn, c => sqlx::query_as(sql).bind(JsonText(ids)).fetch_all(c).await)
}

/// The next keys by id, for rebuilding and comparing the edge's store.
pub async fn after(conn: Conn<'_>, cursor: &str, limit: i64) -> Result<Vec<ApiKey>> {
    const SQL: &str = select!("WHERE k.id > $1 ORDER BY k.id LIMIT $2");
    on_db!(conn, c => sqlx::query_as(SQL).bind(cursor).bind(limit).fetch_all(c).await)
}
