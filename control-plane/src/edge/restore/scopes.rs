//! What the feed has of scopes, given back to the database: of what many keys depend on at once.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    Timestamp,
    feed::{Effect, Scope, wire::WireEntry},
    id::{EnvironmentId, MembershipId, OrganizationId, RoleId, UserId},
    record::Version,
};

use crate::{
    clock::Clock,
    storage::{
        self, Conn, Db, Priority, api_keys,
        feed::{self, ScopeChange},
        memberships, organizations, permissions, restore, roles, user_api_keys, users,
    },
};

/// Scopes of which the feed has an entry, with their generations.
#[derive(Debug, Default)]
pub struct ChangedScopes {
    organizations: BTreeMap<OrganizationId, Version>,
    users: BTreeMap<UserId, Version>,
    memberships: BTreeMap<MembershipId, (Version, Effect)>,
    roles: BTreeMap<RoleId, (Version, BTreeSet<String>)>,
    permissions: BTreeMap<EnvironmentId, Vec<(String, Version)>>,
}

impl ChangedScopes {
    /// Notes an entry, to be taken over later.
    pub fn add(&mut self, entry: &WireEntry, effect: &Effect) {
        let (kind, id) = entry.name.split_once(':').unwrap_or_default();
        if self.note(kind, id, entry.version, effect).is_none() {
            // Nothing has such an effect in this version of the server.
            tracing::warn!(scope = entry.name, "what the change feed says of this scope is not understood");
        }
    }

    fn note(&mut self, kind: &str, id: &str, generation: Version, effect: &Effect) -> Option<()> {
        match (kind, effect) {
            ("organization", Effect::Revoke) => {
                self.organizations.insert(id.parse().ok()?, generation);
            }
            ("user", Effect::Revoke) => {
                self.users.insert(id.parse().ok()?, generation);
            }
            ("membership", Effect::Revoke | Effect::Disable | Effect::Role(_)) => {
                self.memberships.insert(id.parse().ok()?, (generation, effect.clone()));
            }
            ("role", Effect::AllowOnly(allowed)) => {
                self.roles.insert(id.parse().ok()?, (generation, allowed.clone()));
            }
            ("permission", Effect::Revoke) => {
                let (environment, slug) = id.split_once(':')?;
                let of_environment = self.permissions.entry(environment.parse().ok()?).or_default();
                of_environment.push((slug.to_owned(), generation));
            }
            _ => return None,
        }
        Some(())
    }

    /// Takes over what is newer than the database, and returns of how many scopes. Permissions come last, because a role may
    /// have got one before that was deleted.
    pub async fn take_over(self, db: &Db, clock: &Clock) -> storage::Result<u64> {
        let mut changed = 0;
        for (id, generation) in self.organizations {
            changed += delete_organization(db, clock, &id, generation).await?;
        }
        for (id, generation) in self.users {
            changed += delete_user(db, clock, &id, generation).await?;
        }
        for (id, (generation, allowed)) in self.roles {
            changed += change_role(db, clock, &id, generation, allowed).await?;
        }
        for (id, (generation, effect)) in self.memberships {
            changed += change_membership(db, clock, &id, generation, effect).await?;
        }
        for (environment, permissions) in self.permissions {
            changed += delete_permissions(db, clock, &environment, &permissions).await?;
        }
        Ok(changed)
    }
}

async fn delete_organization(db: &Db, clock: &Clock, id: &OrganizationId, generation: Version) -> storage::Result<u64> {
    let now = clock.now();
    let mut transaction = db.write_as(Priority::Publisher).await?;
    let Some(environment) = restore::organization_below(transaction.conn(), id, generation).await? else {
        return Ok(0);
    };
    let Some(reached) = organizations::delete(transaction.conn(), &environment, id, now).await? else {
        return Ok(0);
    };
    add_scope(transaction.conn(), &Scope::Organization(id), &environment, reached, Effect::Revoke, now).await?;
    let reason = "organization_deleted";
    api_keys::revoke_all_of_organization(transaction.conn(), &environment, id, reason, now).await?;
    transaction.commit().await?;
    Ok(1)
}

async fn delete_user(db: &Db, clock: &Clock, id: &UserId, generation: Version) -> storage::Result<u64> {
    let now = clock.now();
    let mut transaction = db.write_as(Priority::Publisher).await?;
    let Some(environment) = restore::environment_of_user(transaction.conn(), id).await? else { return Ok(0) };
    memberships::delete_all_of_user(transaction.conn(), id).await?;
    user_api_keys::revoke_all_of_user(transaction.conn(), &environment, id, "user_deleted", now).await?;
    users::delete(transaction.conn(), id).await?;
    add_scope(transaction.conn(), &Scope::User(id), &environment, generation, Effect::Revoke, now).await?;
    transaction.commit().await?;
    Ok(1)
}

async fn change_role(
    db: &Db,
    clock: &Clock,
    id: &RoleId,
    generation: Version,
    allowed: BTreeSet<String>,
) -> storage::Result<u64> {
    let now = clock.now();
    let mut transaction = db.write_as(Priority::Publisher).await?;
    let permissions: Vec<String> = allowed.iter().cloned().collect();
    let changed = restore::change_role(transaction.conn(), id, &permissions, generation, now).await?;
    let Some(environment) = changed else { return Ok(0) };
    user_api_keys::touch_all_of_roles(transaction.conn(), &environment, std::slice::from_ref(id), now).await?;
    let effect = Effect::AllowOnly(allowed);
    add_scope(transaction.conn(), &Scope::Role(id), &environment, generation, effect, now).await?;
    transaction.commit().await?;
    Ok(1)
}

async fn change_membership(
    db: &Db,
    clock: &Clock,
    id: &MembershipId,
    generation: Version,
    effect: Effect,
) -> storage::Result<u64> {
    let now = clock.now();
    let mut transaction = db.write_as(Priority::Publisher).await?;
    let Some(below) = restore::membership_below(transaction.conn(), id, generation).await? else { return Ok(0) };
    let (environment, pair) = (&below.environment_id, (&below.organization_id, &below.user_id));
    if effect == Effect::Revoke {
        let reason = "membership_deleted";
        user_api_keys::revoke_all_of_membership(transaction.conn(), environment, pair, reason, now).await?;
        memberships::delete(transaction.conn(), id).await?;
    } else {
        // A role that was made since the backup is none here, and who had it is refused until somebody gives another one.
        let role = match &effect {
            Effect::Role(role) => roles::hold(transaction.conn(), &role.id).await?,
            _ => None,
        };
        let role = role.as_ref().map(|role| &role.id);
        restore::change_membership(transaction.conn(), id, role, generation, now).await?;
        user_api_keys::touch_all_of_membership(transaction.conn(), environment, pair, now).await?;
    }
    add_scope(transaction.conn(), &Scope::Membership(id), environment, generation, effect, now).await?;
    transaction.commit().await?;
    Ok(1)
}

/// All of an environment in one transaction, because its generation tells which of them are known here.
async fn delete_permissions(
    db: &Db,
    clock: &Clock,
    environment: &EnvironmentId,
    permissions: &[(String, Version)],
) -> storage::Result<u64> {
    let now = clock.now();
    let mut transaction = db.write_as(Priority::Publisher).await?;
    let Some(reached) = restore::generation(transaction.conn(), environment).await? else { return Ok(0) };
    let mut deleted = 0;
    for (slug, generation) in permissions.iter().filter(|(_, generation)| *generation > reached) {
        if let Some(reached) = permissions::delete(transaction.conn(), environment, slug, now).await? {
            let scope = Scope::Permission(environment, slug);
            add_scope(transaction.conn(), &scope, environment, reached, Effect::Revoke, now).await?;
            deleted += 1;
        }
        // Before any key, as whoever deletes a permission locks them.
        restore::raise_generation(transaction.conn(), environment, *generation).await?;
        storage::environments::remove_permission(transaction.conn(), environment, slug).await?;
        // A role or a record that was just taken over may hold one that was made and deleted since the backup.
        let roles = roles::remove_permission(transaction.conn(), environment, slug, now).await?;
        api_keys::remove_permission(transaction.conn(), environment, slug, &roles, now).await?;
    }
    transaction.commit().await?;
    Ok(deleted)
}

/// Whoever asked for it was told long ago.
pub(super) async fn add_scope(
    conn: Conn<'_>,
    scope: &Scope<'_>,
    environment: &EnvironmentId,
    generation: Version,
    effect: Effect,
    now: Timestamp,
) -> storage::Result<()> {
    let change = ScopeChange::new(scope, environment, generation, effect, now);
    feed::add_scope(conn, &ScopeChange { acknowledged: true, ..change }).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::feed::Position;

    use super::super::{Restored, Restorer};
    use crate::{
        api::testing::Server,
        edge::testing::{World, backup},
        storage::{Db, testing::conformance},
    };

    /// A caller in the world's environment, who tells no edge by itself.
    async fn server(world: &World) -> Server {
        Server::of(world.app()).await.of_environment(&world.tenant.environment).await
    }

    async fn publish(world: &World) {
        world.feed_all().await;
        world.flusher().flush().await.unwrap();
    }

    async fn catch_up(world: &World) -> Restored {
        let (feed, secrets) = (world.feed_client(), world.secrets());
        let restorer = Restorer { db: &world.db, clock: &world.clock, feed: &feed, secrets: &secrets };
        restorer
            .take_over_after(Position { epoch: world.feed.status().epoch, sequence: 0 }, Restored::default())
            .await
            .unwrap()
    }

    struct Member {
        user: String,
        membership: String,
        value: String,
    }

    async fn member(server: &Server, organization: &str) -> Member {
        let user = server.user(json!({})).await;
        let membership = server.membership(organization, &user, Some("editor")).await;
        let body = json!({"name": "k", "organization_id": organization, "permissions": ["a", "b"]});
        let value = server.user_api_key(&user, body).await["value"].as_str().unwrap().to_owned();
        Member { user, membership, value }
    }

    conformance! {
        async fn what_became_of_users_memberships_and_roles_is_not_forgotten(db: Db) {
            let world = World::new(db).await;
            let server = server(&world).await;
            server.permissions(&["a", "b"]).await;
            server.role("editor", &["a", "b"]).await;
            server.role("reader", &["a"]).await;
            let organization = server.organization().await;
            let mut members = vec![];
            for _ in 0..6 {
                members.push(member(&server, &organization).await);
            }
            let [same, gone, inactive, ended, reader, lost] = <[Member; 6]>::try_from(members).unwrap_or_else(|_| unreachable!());
            publish(&world).await;
            backup::back_up(&world.db).await;

            world.advance(std::time::Duration::from_secs(1));
            let path = |member: &Member| format!("/user_management/organization_memberships/{}", member.membership);
            server.put("/authorization/roles/editor/permissions", json!({"permissions": ["b"]})).await.expect(200);
            server.delete(&format!("/user_management/users/{}", gone.user)).await.expect(200);
            server.put(&format!("{}/deactivate", path(&inactive)), json!({})).await.expect(200);
            server.delete(&path(&ended)).await.expect(200);
            server.put(&path(&reader), json!({"role_slug": "reader"})).await.expect(200);
            server.role("made_since", &["a"]).await;
            server.put(&path(&lost), json!({"role_slug": "made_since"})).await.expect(200);
            publish(&world).await;
            backup::restore(&world.db).await;

            let answer = async |member: &Member| {
                let answer = server.validate(&member.value).await;
                if answer["api_key"].is_null() { answer["code"].clone() } else { answer["api_key"]["permissions"].clone() }
            };
            assert_eq!(answer(&gone).await, json!(["a", "b"]), "the backup knows nothing of it");
            assert_eq!(catch_up(&world).await.scopes, 6);
            let mut answers: Vec<Value> = vec![];
            for member in [&same, &gone, &inactive, &ended, &reader, &lost] {
                answers.push(answer(member).await);
            }
            // Nobody knows what the role was that was made since, so who had it is refused.
            let expected = [json!(["b"]), json!("revoked"), json!("disabled"), json!("revoked"), json!(["a"]), json!("disabled")];
            assert_eq!(answers, expected);
            publish(&world).await;
            assert_eq!(catch_up(&world).await.scopes, 0, "it is known now");
        }
    }
}
