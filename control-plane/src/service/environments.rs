//! Environments: tenants that share nothing, such as staging and production.

use shared::{
    Timestamp,
    entropy::Entropy,
    id::{EnvironmentId, RoleId},
    key::Prefix,
    record::Version,
};

use super::{Change, Transaction, roles::DEFAULT_ROLE};
use crate::events::changes;
use crate::storage::{
    self, JsonText,
    environments::{self as rows, Environment},
    roles::{self, Role},
};

/// Creates an environment with its default role.
///
/// # Errors
/// If the database fails.
pub async fn create(
    transaction: &mut Transaction,
    name: &str,
    key_prefix: Prefix,
    now: Timestamp,
    entropy: &mut impl Entropy,
) -> storage::Result<(Environment, Change)> {
    let environment = Environment {
        id: EnvironmentId::generate(now, entropy),
        name: name.to_owned(),
        prefixes: JsonText(vec![key_prefix.clone()]),
        key_prefix,
        accepts_foreign: false,
        generation: 0,
        created_at: now,
        updated_at: now,
    };
    rows::insert(transaction.conn(), &environment).await?;
    roles::insert(transaction.conn(), &default_role(&environment, entropy)).await?;
    let event = changes::environment_created(&environment)?;
    Ok((environment, Change::local(event)))
}

/// The role that members have if no other is named. It has no permissions until some are set.
fn default_role(environment: &Environment, entropy: &mut impl Entropy) -> Role {
    Role {
        id: RoleId::generate(environment.created_at, entropy),
        environment_id: environment.id.clone(),
        organization_id: None,
        slug: DEFAULT_ROLE.to_owned(),
        name: "Member".to_owned(),
        description: Some("The role of a member if no other is named.".to_owned()),
        resource_type_slug: "organization".to_owned(),
        permissions: JsonText(vec![]),
        generation: Version::first(environment.created_at),
        created_at: environment.created_at,
        updated_at: environment.created_at,
    }
}
