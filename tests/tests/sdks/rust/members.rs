//! Roles, users, their memberships and their keys.

use futures::TryStreamExt;
use serde_json::{Value, json};
use workos::{
    ApiKeyOwnerOneOf, Client, Error, Role, RoleType, UserOrganizationMembershipStatus,
    resources::{
        authorization::{
            AddEnvironmentRolePermissionParams, AddOrganizationRolePermissionParams, CreateEnvironmentRoleParams,
            CreateOrganizationRoleParams, SetEnvironmentRolePermissionsParams, SetOrganizationRolePermissionsParams,
            UpdateEnvironmentRoleParams, UpdateOrganizationRoleParams,
        },
        organization_membership::{
            CreateOrganizationMembershipParams, ListOrganizationMembershipsParams, UpdateOrganizationMembershipParams,
        },
        user_management::{
            CreateUserApiKeyParams, CreateUserParams, ListUserApiKeysParams, ListUsersParams, UpdateUserParams,
        },
    },
};

use super::{assert_refused, body, create_organization, refusal, until_valid, validate};

const EMAIL: &str = "marcelina@example.com";

/// Needs the permissions `posts:read` and `posts:write`.
pub async fn roles(client: &Client) -> Result<(), Error> {
    let api = client.authorization();
    let create = |slug: &str| {
        api.create_environment_role(CreateEnvironmentRoleParams::new(body(json!({"slug": slug, "name": "Editor"}))))
    };
    let created = create("editor").await?;
    assert_eq!((&created.type_, created.permissions.len()), (&RoleType::EnvironmentRole, 0));
    assert_eq!(api.get_environment_role("editor").await?.id, created.id);
    assert!(slugs(&api.list_environment_roles().await?.data).contains(&"editor"));
    let renamed = UpdateEnvironmentRoleParams::new(body(json!({"name": "Editor in chief"})));
    assert_eq!(api.update_environment_role("editor", renamed).await?.name, "Editor in chief");
    let set = SetEnvironmentRolePermissionsParams::new(body(json!({"permissions": ["posts:read"]})));
    assert_eq!(api.set_environment_role_permissions("editor", set).await?.permissions, ["posts:read"]);
    let add = AddEnvironmentRolePermissionParams::new(body(json!({"slug": "posts:write"})));
    assert_eq!(api.add_environment_role_permission("editor", add).await?.permissions.len(), 2);
    assert_eq!(refusal(create("editor").await).0, 409);
    assert_eq!(refusal(create("Bad slug!").await).0, 422);
    assert_refused(api.get_environment_role("nobody").await, 404, "entity_not_found");

    let organization = create_organization(client, json!({"name": "Has roles"})).await?.id;
    let billing = "org-billing";
    let create = || {
        let fields = json!({"slug": billing, "name": "Billing"});
        api.create_organization_role(&organization, CreateOrganizationRoleParams::new(body(fields)))
    };
    assert_eq!(create().await?.type_, RoleType::OrganizationRole);
    let list = api.list_organization_roles(&organization).await?.data;
    assert!(slugs(&list).contains(&"editor") && slugs(&list).contains(&billing), "those of the environment too");
    let renamed = UpdateOrganizationRoleParams::new(body(json!({"name": "Billing and tax"})));
    assert_eq!(api.update_organization_role(&organization, billing, renamed).await?.name, "Billing and tax");
    let set = SetOrganizationRolePermissionsParams::new(body(json!({"permissions": ["posts:read"]})));
    api.set_organization_role_permissions(&organization, billing, set).await?;
    let add = AddOrganizationRolePermissionParams::new(body(json!({"slug": "posts:write"})));
    api.add_organization_role_permission(&organization, billing, add).await?;
    api.remove_organization_role_permission(&organization, billing, "posts:read").await?;
    assert_eq!(api.get_organization_role(&organization, billing).await?.permissions, ["posts:write"]);
    assert_eq!(refusal(create().await).0, 409);
    api.delete_organization_role(&organization, billing).await?;
    assert_refused(api.delete_organization_role(&organization, billing).await, 404, "entity_not_found");
    Ok(())
}

fn slugs(roles: &[Role]) -> Vec<&str> {
    roles.iter().map(|role| role.slug.as_str()).collect()
}

pub async fn users(client: &Client) -> Result<(), Error> {
    let api = client.user_management();
    let create = |fields: Value| api.create_user(CreateUserParams::new(body(fields)));
    let fields = json!({"email": EMAIL, "first_name": "Marcelina", "external_id": "u-1", "metadata": {"team": "blue"}});
    let created = create(fields).await?;
    assert_eq!((created.email.as_str(), created.last_name, created.email_verified), (EMAIL, None, false));
    assert_eq!(api.get_user(&created.id).await?.external_id.as_deref(), Some("u-1"));
    assert_eq!(api.get_user_by_external_id("u-1").await?.id, created.id);
    let renamed = UpdateUserParams::new(body(json!({"last_name": "Davis"})));
    let updated = api.update_user(&created.id, renamed).await?;
    assert_eq!((updated.first_name.as_deref(), updated.last_name.as_deref()), (Some("Marcelina"), Some("Davis")));

    let other = create(json!({"email": "other@example.com"})).await?;
    let by_email = ListUsersParams { email: Some(EMAIL.to_owned()), ..ListUsersParams::default() };
    assert_eq!(api.list_users(by_email).await?.data.len(), 1);
    let one = ListUsersParams { limit: Some(1), ..ListUsersParams::default() };
    let all: Vec<String> = api.list_users_auto_paging(one).map_ok(|user| user.id).try_collect().await?;
    assert_eq!(all, [other.id.clone(), created.id]);
    assert_eq!(refusal(create(json!({"email": EMAIL})).await).0, 400);
    assert_eq!(refusal(create(json!({"email": "no address"})).await).0, 422);
    api.delete_user(&other.id).await?;
    assert_refused(api.get_user(&other.id).await, 404, "entity_not_found");
    Ok(())
}

/// Needs the role and the user of above.
pub async fn memberships(client: &Client) -> Result<(), Error> {
    let api = client.organization_membership();
    let user = client.user_management().get_user_by_external_id("u-1").await?.id;
    let organization = create_organization(client, json!({"name": "Has members"})).await?.id;
    let create =
        |fields: Value| api.create_organization_membership(CreateOrganizationMembershipParams::new(body(fields)));
    let created = create(json!({"user_id": user, "organization_id": organization, "role_slug": "editor"})).await?;
    assert_eq!((created.status.as_str(), created.role.slug.as_str()), ("active", "editor"));
    assert_eq!(api.get_organization_membership(&created.id).await?.user.id, user);
    let of_user = || ListOrganizationMembershipsParams {
        user_id: Some(user.clone()),
        ..ListOrganizationMembershipsParams::default()
    };
    let all: Vec<_> = api.list_organization_memberships_auto_paging(of_user()).try_collect().await?;
    assert_eq!((all.len(), &all[0].id), (1, &created.id));

    assert_eq!(api.deactivate_organization_membership(&created.id).await?.status.as_str(), "inactive");
    let again = api.reactivate_organization_membership(&created.id).await?;
    assert_eq!(again.status, UserOrganizationMembershipStatus::Active);
    let another = create_organization(client, json!({"name": "Another"})).await?.id;
    let second = create(json!({"user_id": user, "organization_id": another})).await?.id;
    let editor = UpdateOrganizationMembershipParams::new(body(json!({"role_slug": "editor"})));
    assert_eq!(api.update_organization_membership(&second, editor).await?.role.slug, "editor");
    api.delete_organization_membership(&second).await?;
    assert_refused(api.get_organization_membership(&second).await, 404, "entity_not_found");
    Ok(())
}

/// Needs the membership of above.
pub async fn user_keys(client: &Client) -> Result<(), Error> {
    let api = client.user_management();
    let user = api.get_user_by_external_id("u-1").await?.id;
    let memberships = client.organization_membership();
    let params = ListOrganizationMembershipsParams {
        user_id: Some(user.clone()),
        ..ListOrganizationMembershipsParams::default()
    };
    let list = memberships.list_organization_memberships(params).await?.data;
    let membership = list.first().expect("the membership of above");
    let create = |organization: &str| {
        let permissions = ["posts:read", "posts:write"];
        let fields = json!({"name": "Marcelina's", "organization_id": organization, "permissions": permissions});
        api.create_user_api_key(&user, CreateUserApiKeyParams::new(body(fields)))
    };
    let created = create(&membership.organization_id).await?;
    assert_eq!((&created.owner.id, &created.owner.organization_id), (&user, &membership.organization_id));
    let value = created.value.expose();
    let valid = until_valid(client, value).await?;
    assert!(matches!(valid.owner, ApiKeyOwnerOneOf::UserApiKeyOwner(owner) if owner.id == user));
    let keys: Vec<_> =
        api.list_user_api_keys_auto_paging(&user, ListUserApiKeysParams::default()).try_collect().await?;
    assert_eq!((keys.len(), &keys[0].id), (1, &created.id));
    let elsewhere = create_organization(client, json!({"name": "No member"})).await?.id;
    assert_eq!(refusal(create(&elsewhere).await).0, 400);

    // A key is worth no more than the role of its user, and nothing without the membership.
    let narrower = SetEnvironmentRolePermissionsParams::new(body(json!({"permissions": ["posts:read"]})));
    client.authorization().set_environment_role_permissions("editor", narrower).await?;
    let narrowed = validate(client, value).await?.expect("it is valid");
    assert_eq!(narrowed.permissions, ["posts:read"], "at the next call");
    memberships.deactivate_organization_membership(&membership.id).await?;
    assert!(validate(client, value).await?.is_none(), "refused at the next call");
    Ok(())
}
