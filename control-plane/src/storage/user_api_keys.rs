//! Customers' keys that users hold, each within an organization.

use shared::{
    Timestamp,
    id::{EnvironmentId, OrganizationId, RoleId, UserId},
};

use super::{
    Conn, JsonText, Page, PageRequest, Result,
    api_keys::{ApiKey, Which, ids_with_role, queue_changed, revoke_all, select_api_keys, target_revoked},
    dialect::sql,
    outbox::unless_queued,
};

/// A page of the keys of a user, in every organization or in this one.
pub async fn list(
    conn: Conn<'_>,
    environment: &EnvironmentId,
    user: &UserId,
    organization: Option<&OrganizationId>,
    which: Which,
    request: &PageRequest,
) -> Result<Page<ApiKey>> {
    const OLDER: &str = select_api_keys!(
        "WHERE k.environment_id = $1 AND k.user_id = $2 AND ($3 IS NULL OR k.organization_id = $3)
           AND (k.revoked_at IS NULL OR $4) AND k.id < $5 ORDER BY k.id DESC LIMIT $6"
    );
    const NEWER: &str = select_api_keys!(
        "WHERE k.environment_id = $1 AND k.user_id = $2 AND ($3 IS NULL OR k.organization_id = $3)
           AND (k.revoked_at IS NULL OR $4) AND k.id > $5 ORDER BY k.id LIMIT $6"
    );
    let walk = request.walk();
    let sql = if walk.towards_older { OLDER } else { NEWER };
    let rows = on_db!(conn, c => sqlx::query_as(sql)
        .bind(environment)
        .bind(user)
        .bind(organization)
        .bind(which == Which::All)
        .bind(walk.beyond)
        .bind(walk.limit)
        .fetch_all(c).await)?;
    Ok(request.page(rows))
}

macro_rules! of_user {
    () => {
        "environment_id = $1 AND user_id = $2 AND revoked_at IS NULL"
    };
}

macro_rules! of_membership {
    () => {
        "environment_id = $1 AND user_id = $2 AND organization_id = $4 AND revoked_at IS NULL"
    };
}

/// Revokes every key of a user, and queues them for the store: the feed has an entry of the user. Nobody adds a key
/// meanwhile, because the user's row is locked.
pub async fn revoke_all_of_user(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    user: &UserId,
    reason: &str,
    batch: &str,
    now: Timestamp,
) -> Result<()> {
    const TARGET: &str = target_revoked!(of_user);
    const REVOKE: &str = revoke_all!("$4", of_user);
    let queue = queue_changed!(conn, (text of_user));
    on_db!(conn.reborrow(), c => sqlx::query(queue).bind(environment).bind(user).bind(now).execute(c).await.map(drop))?;
    on_db!(conn.reborrow(), c => sqlx::query(TARGET).bind(environment).bind(user).bind(batch).execute(c).await.map(drop))?;
    on_db!(conn, c => sqlx::query(REVOKE)
        .bind(environment)
        .bind(user)
        .bind(now)
        .bind(reason)
        .execute(c).await.map(drop))
}

/// Revokes every key of a membership, and queues them for the store: the feed has an entry of the membership. Nobody adds
/// a key meanwhile, because the membership's row is locked.
pub async fn revoke_all_of_membership(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    (organization, user): (&OrganizationId, &UserId),
    reason: &str,
    batch: &str,
    now: Timestamp,
) -> Result<()> {
    const TARGET: &str = target_revoked!(of_membership);
    const REVOKE: &str = revoke_all!("$5", of_membership);
    let queue = queue_changed!(conn, (text of_membership));
    on_db!(conn.reborrow(), c => sqlx::query(queue)
        .bind(environment)
        .bind(user)
        .bind(now)
        .bind(organization)
        .execute(c).await.map(drop))?;
    on_db!(conn.reborrow(), c => sqlx::query(TARGET)
        .bind(environment)
        .bind(user)
        .bind(batch)
        .bind(organization)
        .execute(c).await.map(drop))?;
    on_db!(conn, c => sqlx::query(REVOKE)
        .bind(environment)
        .bind(user)
        .bind(now)
        .bind(organization)
        .bind(reason)
        .execute(c).await.map(drop))
}

macro_rules! next_version {
    ($condition:ident) => {
        concat!(
            "UPDATE api_keys SET version = CASE WHEN version >= $3 THEN version + 1 ELSE $3 END WHERE ",
            $condition!()
        )
    };
}

/// Gives every key of a membership its next version, because its record has changed, and queues it for the store.
pub async fn touch_all_of_membership(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    (organization, user): (&OrganizationId, &UserId),
    now: Timestamp,
) -> Result<()> {
    for sql in [queue_changed!(conn, (text of_membership)), next_version!(of_membership)] {
        on_db!(conn.reborrow(), c => sqlx::query(sql)
            .bind(environment)
            .bind(user)
            .bind(now)
            .bind(organization)
            .execute(c).await.map(drop))?;
    }
    Ok(())
}

/// The same for every key of every user who has one of these roles.
pub async fn touch_all_of_roles(
    mut conn: Conn<'_>,
    environment: &EnvironmentId,
    roles: &[RoleId],
    now: Timestamp,
) -> Result<()> {
    if roles.is_empty() {
        return Ok(());
    }
    let queue = queue_changed!(conn, "revoked_at IS NULL AND id IN (" (text ids_with_role) (texts of "$2") "))");
    let next = sql!(conn,
        "UPDATE api_keys SET version = CASE WHEN version >= $3 THEN version + 1 ELSE $3 END
         WHERE revoked_at IS NULL AND id IN (" (text ids_with_role) (texts of "$2") "))");
    for sql in [queue, next] {
        on_db!(conn.reborrow(), c => sqlx::query(sql)
            .bind(environment)
            .bind(JsonText(roles))
            .bind(now)
            .execute(c).await.map(drop))?;
    }
    Ok(())
}
