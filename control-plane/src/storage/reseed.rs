//! What a feed must be told that knows nothing any more.

use shared::Timestamp;
use sqlx::FromRow;

use super::{Conn, Result, outbox::Kind};

/// A key that was changed, and when.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ChangedKey {
    /// When.
    pub changed_at: Timestamp,
    /// Its id.
    pub id: String,
}

/// The next keys of a kind in the order in which they were changed, beyond this moment and this id. Those that a change of a whole scope
/// changed are not among them: the feed has an entry of the scope.
pub async fn changed_after(
    conn: Conn<'_>,
    kind: Kind,
    moment: Timestamp,
    id: &str,
    limit: i64,
) -> Result<Vec<ChangedKey>> {
    let sql = match kind {
        Kind::ApiKey => {
            "SELECT changed_at, id FROM api_keys
             WHERE changed_at >= $1 AND (changed_at, id) > ($1, $2) ORDER BY changed_at, id LIMIT $3"
        }
        Kind::ManagementKey => {
            "SELECT changed_at, id FROM management_keys
             WHERE changed_at >= $1 AND (changed_at, id) > ($1, $2) ORDER BY changed_at, id LIMIT $3"
        }
    };
    on_db!(conn, c => sqlx::query_as(sql).bind(moment).bind(id).bind(limit).fetch_all(c).await)
}

/// The next keys of a kind by id, of those whose change goes to the store after it went to the feed, and is not in the store yet.
pub async fn unwritten_after(conn: Conn<'_>, kind: Kind, id: &str, limit: i64) -> Result<Vec<String>> {
    const SQL: &str = "SELECT key_id FROM outbox
        WHERE kind = $1 AND through_feed AND key_id > $2 ORDER BY key_id LIMIT $3";
    on_db!(conn, c => sqlx::query_scalar(SQL).bind(kind.as_str()).bind(id).bind(limit).fetch_all(c).await)
}
