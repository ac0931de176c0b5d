//! Making keys: environments and management keys, as the command line and the first run of `serve` do.

use shared::{
    digest::Digest,
    id::{EnvironmentId, ManagementKeyId},
    key::{self, KeyText, Prefix},
    scope::{self, Scope},
};

use crate::{
    clock::Clock,
    entropy::OsEntropy,
    storage::{
        self, Conn, JsonText,
        environments::{self, Environment},
        management_keys::{self, NewManagementKey},
        outbox,
    },
};

/// Adds an environment.
pub async fn create_environment(
    conn: Conn<'_>,
    name: &str,
    key_prefix: Prefix,
    clock: &Clock,
) -> storage::Result<Environment> {
    let now = clock.now();
    let environment = Environment {
        id: EnvironmentId::generate(now, &mut OsEntropy),
        name: name.to_owned(),
        prefixes: JsonText(vec![key_prefix.clone()]),
        key_prefix,
        accepts_foreign: false,
        generation: 0,
        created_at: now,
        updated_at: now,
    };
    environments::insert(conn, &environment).await?;
    Ok(environment)
}

/// A management key that was just made: the only moment at which its text is known.
pub struct CreatedManagementKey {
    /// Its id.
    pub id: ManagementKeyId,
    /// Its text.
    pub text: KeyText,
}

/// Adds a management key, and queues it for the edge.
pub async fn create_management_key(
    transaction: &mut storage::Writer,
    environment: &EnvironmentId,
    name: &str,
    scopes: &[String],
    clock: &Clock,
) -> storage::Result<CreatedManagementKey> {
    let now = clock.now();
    let id = ManagementKeyId::generate(now, &mut OsEntropy);
    let text = KeyText::generate_management(&mut OsEntropy);
    let key = NewManagementKey {
        id: &id,
        environment_id: environment,
        name,
        digest: &Digest::of(text.expose()),
        obfuscated_value: &key::mask(text.expose()),
        scopes,
        now,
    };
    management_keys::insert(transaction.conn(), &key).await?;
    let version = shared::record::Version::first(now);
    outbox::add(transaction.conn(), outbox::Kind::ManagementKey, id.as_str(), version, outbox::Route::FeedFirst, now)
        .await?;
    Ok(CreatedManagementKey { id, text })
}

/// Reads a scope of the command line: `*`, or one by its name.
pub fn parse_scope(text: &str) -> Result<String, String> {
    if text == scope::ALL {
        return Ok(text.to_owned());
    }
    text.parse::<Scope>().map(|scope| scope.to_string()).map_err(|error| {
        let known: Vec<&str> = Scope::EVERY.iter().map(|scope| scope.as_str()).collect();
        format!("{error}; use `*` for all, or: {}", known.join(", "))
    })
}
