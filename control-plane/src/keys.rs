//! Making keys: environments and management keys, as the command line and the first run of `serve` do.

use shared::{
    digest::Digest,
    id::{EnvironmentId, ManagementKeyId, RoleId},
    key::{self, KeyText, Prefix},
    record::Version,
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
        roles::{self, Role},
    },
};

/// Adds an environment.
pub async fn create_environment(
    mut conn: Conn<'_>,
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
    environments::insert(conn.reborrow(), &environment).await?;
    roles::insert(conn, &default_role(&environment)).await?;
    Ok(environment)
}

/// What a user is in an organization unless something else is said.
pub const DEFAULT_ROLE: &str = "member";

/// Each environment has this role from the beginning. It allows nothing until somebody says what it allows.
fn default_role(environment: &Environment) -> Role {
    Role {
        id: RoleId::generate(environment.created_at, &mut OsEntropy),
        environment_id: environment.id.clone(),
        organization_id: None,
        slug: DEFAULT_ROLE.to_owned(),
        name: "Member".to_owned(),
        description: Some("What a user is unless something else is said.".to_owned()),
        resource_type_slug: "organization".to_owned(),
        permissions: JsonText(vec![]),
        generation: Version::first(environment.created_at),
        created_at: environment.created_at,
        updated_at: environment.created_at,
    }
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
    let version = Version::first(now);
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
