//! Restores scopes from the change feed: what many keys depend on at once.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    Timestamp,
    feed::{Effect, wire::WireEntry},
    id::{EnvironmentId, MembershipId, OrganizationId, RoleId, UserId},
    record::Version,
};

use crate::{
    clock::Clock,
    events::Actor,
    service::{
        Change, Database, Result, commit_without_waiting, memberships, organizations, permissions, roles, users,
    },
    storage::{self, Priority, restore as rows},
};

/// Scopes that have an entry in the feed, with their generations.
#[derive(Debug, Default)]
pub struct ChangedScopes {
    organizations: BTreeMap<OrganizationId, Version>,
    users: BTreeMap<UserId, Version>,
    memberships: BTreeMap<MembershipId, (Version, Effect)>,
    roles: BTreeMap<RoleId, (Version, BTreeSet<String>)>,
    permissions: BTreeMap<EnvironmentId, Vec<(String, Version)>>,
}

impl ChangedScopes {
    /// Collects an entry, to be restored later.
    pub fn add(&mut self, entry: &WireEntry, effect: &Effect) {
        let (kind, id) = entry.name.split_once(':').unwrap_or_default();
        if self.note(kind, id, entry.version, effect).is_none() {
            tracing::warn!(
                cache_tag = entry.name,
                "ignored an entry of the change feed that this version does not understand"
            );
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
}

/// Restores scopes.
#[derive(Debug)]
pub struct ScopeRestorer<'a> {
    pub database: &'a Database,
    pub clock: &'a Clock,
}

impl ScopeRestorer<'_> {
    /// Restores what is newer than the database, and returns how many scopes that were. Permissions come last, because a role may
    /// have been given one before that was deleted.
    pub async fn restore(&self, changed: ChangedScopes) -> Result<u64> {
        let mut restored = 0;
        for (id, generation) in changed.organizations {
            restored += self.delete_organization(&id, generation).await?;
        }
        for (id, generation) in changed.users {
            restored += self.delete_user(&id, generation).await?;
        }
        for (id, (generation, slugs)) in changed.roles {
            restored += self.set_role_permissions(&id, generation, &slugs).await?;
        }
        for (id, (generation, effect)) in changed.memberships {
            restored += self.change_membership(&id, generation, &effect).await?;
        }
        for (environment, permissions) in changed.permissions {
            restored += self.delete_permissions(&environment, &permissions).await?;
        }
        Ok(restored)
    }

    async fn delete_organization(&self, id: &OrganizationId, generation: Version) -> Result<u64> {
        let now = self.beyond(generation);
        let mut transaction = self.database.begin(Actor::Server, Priority::Publisher).await?;
        let Some(environment) = rows::organization_below(transaction.conn(), id, generation).await? else {
            return Ok(0);
        };
        let change = organizations::delete(&mut transaction, &environment, id, now).await?;
        commit_without_waiting(transaction, change, now).await?;
        Ok(1)
    }

    async fn delete_user(&self, id: &UserId, generation: Version) -> Result<u64> {
        let now = self.beyond(generation);
        let mut transaction = self.database.begin(Actor::Server, Priority::Publisher).await?;
        let Some(environment) = rows::environment_of_user(transaction.conn(), id).await? else { return Ok(0) };
        let change = users::delete(&mut transaction, &environment, id, now).await?;
        commit_without_waiting(transaction, change, now).await?;
        Ok(1)
    }

    async fn set_role_permissions(&self, id: &RoleId, generation: Version, slugs: &BTreeSet<String>) -> Result<u64> {
        let now = self.beyond(generation);
        let mut transaction = self.database.begin(Actor::Server, Priority::Publisher).await?;
        let Some(environment) = rows::role_below(transaction.conn(), id, generation).await? else { return Ok(0) };
        let slugs: Vec<String> = slugs.iter().cloned().collect();
        let (_, change) = roles::set_permissions(&mut transaction, &environment, id, &slugs, now).await?;
        commit_without_waiting(transaction, change, now).await?;
        Ok(1)
    }

    async fn change_membership(&self, id: &MembershipId, generation: Version, effect: &Effect) -> Result<u64> {
        let now = self.beyond(generation);
        let mut transaction = self.database.begin(Actor::Server, Priority::Publisher).await?;
        let Some(environment) = rows::environment_of_membership_below(transaction.conn(), id, generation).await? else {
            return Ok(0);
        };
        let change = match effect {
            Effect::Revoke => memberships::delete(&mut transaction, &environment, id, now).await?,
            // A role that was created after the backup does not exist here. Its members are refused until they get another one.
            Effect::Role(role) => {
                let role = storage::roles::hold(transaction.conn(), &role.id).await?;
                memberships::restore(&mut transaction, &environment, id, role, now).await?
            }
            _ => memberships::restore(&mut transaction, &environment, id, None, now).await?,
        };
        commit_without_waiting(transaction, change, now).await?;
        Ok(1)
    }

    /// All of an environment in one transaction, because its generation tells which of them the database knows of.
    async fn delete_permissions(&self, environment: &EnvironmentId, permissions: &[(String, Version)]) -> Result<u64> {
        let mut transaction = self.database.begin(Actor::Server, Priority::Publisher).await?;
        let Some(known) = rows::generation(transaction.conn(), environment).await? else { return Ok(0) };
        let (mut changes, mut deleted) = (vec![], 0);
        for (slug, generation) in permissions.iter().filter(|(_, generation)| *generation > known) {
            let now = self.beyond(*generation);
            let change = match permissions::delete_if_exists(&mut transaction, environment, slug, now).await? {
                Some(change) => {
                    deleted += 1;
                    change
                }
                // A role or a record that was just restored may have one that was created and deleted after the backup.
                None => {
                    rows::raise_generation(transaction.conn(), environment, *generation).await?;
                    permissions::remove_everywhere(&mut transaction, environment, slug, now).await?
                }
            };
            changes.push(change);
        }
        if let Some(change) = changes.into_iter().reduce(Change::and) {
            commit_without_waiting(transaction, change, self.clock.now()).await?;
        }
        Ok(deleted)
    }

    /// Now, or a time beyond this generation if the clock is behind it: what is restored must be newer than what the feed has.
    fn beyond(&self, generation: Version) -> Timestamp {
        Timestamp::from_millis(generation.next(self.clock.now()).0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::feed::Position;

    use super::super::{Restored, Restorer};
    use crate::{
        storage::{Db, testing::conformance},
        testing::server::Server,
        testing::{backup, world::World},
    };

    /// A caller in the world's environment, who tells no edge by itself.
    async fn server(world: &World) -> Server {
        Server::of(world.context()).await.of_environment(&world.tenant.environment).await
    }

    async fn publish(world: &World) {
        world.feed_all().await;
        world.flusher().flush().await.unwrap();
    }

    async fn catch_up(world: &World) -> Restored {
        let (feed, secrets) = (world.feed_client(), world.secrets());
        let database = &world.context().database();
        let restorer = Restorer { db: &world.db, database, clock: &world.clock, feed: &feed, secrets: &secrets };
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
