//! What a product does with WorkOS's client for Rust, here against Latchkey.

mod events;
mod members;

use std::fmt::Display;

use futures::TryStreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tests::wait::{CONVERGENCE, Deadline, PAUSE};
use workos::{
    ApiKey, ApiKeyOwnerOneOf, Client, Error, PaginationOrder, RequestOptions, ValidateApiKey,
    resources::api_keys::{
        CreateApiKeyExpireParams, CreateOrganizationApiKeyParams, CreateValidationParams, ListOrganizationApiKeysParams,
    },
    resources::authorization::{CreatePermissionParams, ListPermissionsParams, UpdatePermissionParams},
    resources::organizations::{CreateOrganizationParams, ListOrganizationsParams, UpdateOrganizationParams},
};

const NOBODY: &str = "org_01KF0JZ4G0000000000000000A";
const LATER: &str = "2130-01-01T00:00:00.000Z";

/// Everything, one after the other.
pub async fn run(base_url: &str, management_key: &str) -> Result<(), Error> {
    let connect = |key: &str| Client::builder().api_key(key).base_url(base_url).build();
    let (client, stranger) = (connect(management_key), connect("mk_wrong"));
    lists(&client).await?;
    organizations(&client, &stranger).await?;
    permissions(&client).await?;
    organization_keys(&client, &stranger).await?;
    idempotency(&client).await?;
    members::roles(&client).await?;
    members::users(&client).await?;
    members::memberships(&client).await?;
    members::user_keys(&client).await?;
    events::webhook_endpoints(&client).await?;
    events::log(&client).await
}

/// How refusals arrive, of a server that allows one request a second; the other key may only read.
pub async fn refusals(base_url: &str, management_key: &str, reading_key: &str) -> Result<(), Error> {
    let connect = |key: &str| Client::builder().api_key(key).base_url(base_url);
    let (reader, hasty) = (connect(reading_key).build(), connect(management_key).max_retries(0).build());
    assert_refused(create_organization(&reader, json!({"name": "Acme"})).await, 403, "forbidden");
    let list =
        async |client: &Client| client.organizations().list_organizations(ListOrganizationsParams::default()).await;
    let mut last = Ok(());
    for _ in 0..60 {
        last = last.and(list(&hasty).await.map(drop));
    }
    assert_refused(last, 429, "rate_limited");
    // Who waits for as long as the answer says is let in.
    let patient = connect(management_key).build();
    assert!(list(&patient).await?.data.is_empty());
    Ok(())
}

/// A body of a request. The structs have many fields that are mostly left out.
fn body<T: DeserializeOwned>(fields: Value) -> T {
    serde_json::from_value(fields).unwrap()
}

/// The status and the code of an error of the API.
#[track_caller]
fn refusal<T>(result: Result<T, Error>) -> (u16, String) {
    let error = result.err().expect("an error");
    assert!(error.api().is_some_and(|error| !error.message.is_empty()), "{error}");
    assert!(error.request_id().is_some(), "which request it was");
    (error.status().unwrap(), error.code().unwrap_or_default().to_owned())
}

#[track_caller]
fn assert_refused<T>(result: Result<T, Error>, status: u16, code: impl Display) {
    assert_eq!(refusal(result), (status, code.to_string()));
}

async fn create_organization(client: &Client, fields: Value) -> Result<workos::Organization, Error> {
    client.organizations().create_organization(CreateOrganizationParams::new(body(fields))).await
}

async fn validate(client: &Client, value: &str) -> Result<Option<ApiKey>, Error> {
    let params = CreateValidationParams::new(ValidateApiKey { value: workos::SecretString::new(value) });
    Ok(client.api_keys().create_validation(params).await?.api_key)
}

/// The edge may hear of a new key a moment after its creation was answered; of a change of one it has heard.
async fn until_valid(client: &Client, value: &str) -> Result<ApiKey, Error> {
    let deadline = Deadline::after(CONVERGENCE);
    loop {
        if let Some(key) = validate(client, value).await? {
            return Ok(key);
        }
        assert!(!deadline.is_over(), "a new key is not accepted");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn organizations(client: &Client, stranger: &Client) -> Result<(), Error> {
    let fields = json!({
        "name": "Acme", "external_id": "acme-1", "metadata": {"tier": "gold"},
        "domain_data": [{"domain": "acme.com", "state": "verified"}],
    });
    let created = create_organization(client, fields.clone()).await?;
    assert_eq!((created.name.as_str(), created.external_id.as_deref()), ("Acme", Some("acme-1")));
    assert_eq!((created.domains[0].domain.as_str(), created.metadata["tier"].as_str()), ("acme.com", "gold"));
    let api = client.organizations();
    assert_eq!(api.get_organization(&created.id).await?.updated_at, created.updated_at);
    assert_eq!(api.get_organization_by_external_id("acme-1").await?.id, created.id);

    let renamed = UpdateOrganizationParams::new(body(json!({"name": "Acme, Inc."})));
    let updated = api.update_organization(&created.id, renamed).await?;
    assert_eq!((updated.name.as_str(), updated.external_id.as_deref()), ("Acme, Inc.", Some("acme-1")));

    assert_refused(api.get_organization(NOBODY).await, 404, "entity_not_found");
    assert_refused(create_organization(client, json!({"name": ""})).await, 422, "invalid_request_parameters");
    assert_refused(create_organization(client, fields).await, 400, "external_id_already_used");
    let refused = stranger.organizations().get_organization(&created.id).await;
    assert!(refused.is_err_and(|error| error.is_unauthorized()));

    api.delete_organization(&created.id).await?;
    assert!(api.get_organization(&created.id).await.is_err_and(|error| error.is_not_found()));
    Ok(())
}

async fn lists(client: &Client) -> Result<(), Error> {
    let mut newest_first = vec![];
    for n in 0..12 {
        newest_first.push(create_organization(client, json!({"name": format!("No. {n}")})).await?.id);
    }
    newest_first.sort_by(|a, b| b.cmp(a));
    let oldest_first: Vec<String> = newest_first.iter().rev().cloned().collect();
    let api = client.organizations();
    let ids = |list: workos::OrganizationList| list.data.into_iter().map(|one| one.id).collect::<Vec<_>>();
    let five = || ListOrganizationsParams { limit: Some(5), ..ListOrganizationsParams::default() };
    let ascending = || ListOrganizationsParams { order: Some(PaginationOrder::Asc), ..five() };

    assert_eq!(ids(api.list_organizations(ListOrganizationsParams::default()).await?), newest_first[..10]);
    let all = |params| api.list_organizations_auto_paging(params).map_ok(|one| one.id).try_collect::<Vec<_>>();
    assert_eq!(all(five()).await?, newest_first);
    assert_eq!(all(ascending()).await?, oldest_first);

    let first = api.list_organizations(ascending()).await?;
    assert_eq!((&first.list_metadata.before, first.list_metadata.after.as_ref()), (&None, Some(&oldest_first[4])));
    let after = ListOrganizationsParams { after: first.list_metadata.after.clone(), ..ascending() };
    let second = api.list_organizations(after).await?;
    assert_eq!(second.list_metadata.before.as_ref(), Some(&oldest_first[5]));
    let before = ListOrganizationsParams { before: second.list_metadata.before, ..ascending() };
    assert_eq!(ids(api.list_organizations(before).await?), oldest_first[..5]);
    let normal = ListOrganizationsParams { order: Some(PaginationOrder::Normal), ..five() };
    assert_eq!(ids(api.list_organizations(normal).await?), newest_first[..5]);

    let domain = json!([{"domain": "zenith.org", "state": "pending"}]);
    let named = create_organization(client, json!({"name": "Zenith", "domain_data": domain})).await?.id;
    let domains = Some(vec!["zenith.org".to_owned(), "zenith.net".to_owned()]);
    let by_domain = ListOrganizationsParams { domains, ..ListOrganizationsParams::default() };
    assert_eq!(ids(api.list_organizations(by_domain).await?), std::slice::from_ref(&named));
    let search = Some("zEnI".to_owned());
    let by_name = ListOrganizationsParams { search, ..ListOrganizationsParams::default() };
    assert_eq!(ids(api.list_organizations(by_name).await?), [named]);
    let too_many = ListOrganizationsParams { limit: Some(101), ..ListOrganizationsParams::default() };
    assert_refused(api.list_organizations(too_many).await, 422, "invalid_request_parameters");
    Ok(())
}

async fn permissions(client: &Client) -> Result<(), Error> {
    let api = client.authorization();
    let create = |slug: &str, name: &str| {
        let fields = json!({"slug": slug, "name": name, "description": "As its name says"});
        api.create_permission(CreatePermissionParams::new(body(fields)))
    };
    let created = create("posts:read", "Read posts").await?;
    assert_eq!((created.slug.as_str(), created.system), ("posts:read", false));
    create("posts:write", "Write posts").await?;
    assert_eq!(api.get_permission("posts:read").await?.id, created.id);
    let params = ListPermissionsParams { limit: Some(1), ..ListPermissionsParams::default() };
    let slugs: Vec<String> = api.list_permissions_auto_paging(params).map_ok(|one| one.slug).try_collect().await?;
    assert_eq!(slugs, ["posts:write", "posts:read"]);

    let renamed = UpdatePermissionParams::new(body(json!({"name": "Read any post"})));
    assert_eq!(api.update_permission("posts:read", renamed).await?.name, "Read any post");

    assert_refused(create("posts:read", "Again").await, 409, "permission_slug_conflict");
    assert_refused(create("Posts!", "No slug").await, 422, "invalid_request_parameters");
    assert_refused(api.get_permission("posts:none").await, 404, "entity_not_found");

    create("short:lived", "Short-lived").await?;
    api.delete_permission("short:lived").await?;
    assert_refused(api.delete_permission("short:lived").await, 404, "entity_not_found");
    Ok(())
}

async fn organization_keys(client: &Client, stranger: &Client) -> Result<(), Error> {
    let organization = create_organization(client, json!({"name": "Has keys"})).await?.id;
    let api = client.api_keys();
    let create = |organization: String, fields: Value| {
        let params = CreateOrganizationApiKeyParams::new(body(fields));
        let api = client.api_keys();
        async move { api.create_organization_api_key(&organization, params).await }
    };
    let expire = |id: String, fields: Value| {
        let params = CreateApiKeyExpireParams::new(body(fields));
        let api = client.api_keys();
        async move { api.create_api_key_expire(&id, params).await }
    };

    let fields = json!({"name": "Production", "permissions": ["posts:read", "posts:write"], "expires_at": LATER});
    let created = create(organization.clone(), fields).await?;
    assert_eq!((created.owner.id.as_str(), created.expires_at.as_deref()), (organization.as_str(), Some(LATER)));
    let value = created.value.expose();
    assert!(created.obfuscated_value.ends_with(&value[value.len() - 4..]));
    let valid = until_valid(client, value).await?;
    assert_eq!((&valid.id, &valid.permissions), (&created.id, &created.permissions));
    assert!(matches!(valid.owner, ApiKeyOwnerOneOf::ApiKeyOwner(owner) if owner.id == organization));
    assert!(validate(client, "garbage").await?.is_none());
    assert!(validate(stranger, value).await.is_err_and(|error| error.is_unauthorized()));

    for n in 0..4 {
        create(organization.clone(), json!({"name": format!("No. {n}")})).await?;
    }
    let two = || ListOrganizationApiKeysParams { limit: Some(2), ..ListOrganizationApiKeysParams::default() };
    let all: Vec<_> = api.list_organization_api_keys_auto_paging(&organization, two()).try_collect().await?;
    assert_eq!((all.len(), &all[4].id), (5, &created.id));
    assert_refused(api.list_organization_api_keys(NOBODY, two()).await, 404, "entity_not_found");
    assert_refused(create(NOBODY.to_owned(), json!({"name": "Nobody's"})).await, 404, "entity_not_found");
    let unknown = json!({"name": "Unknown permission", "permissions": ["posts:none"]});
    assert_refused(create(organization.clone(), unknown).await, 422, "invalid_request_parameters");

    let later = expire(created.id.clone(), json!({"expires_at": "2131-01-01T00:00:00Z"})).await?;
    assert_eq!(later.expires_at.as_deref(), Some("2131-01-01T00:00:00.000Z"));
    assert!(validate(client, value).await?.is_some());
    expire(created.id.clone(), json!({})).await?;
    assert!(validate(client, value).await?.is_none(), "refused at the next call");
    assert_refused(expire(created.id.clone(), json!({})).await, 409, "api_key_already_expired");

    let lost = create(organization.clone(), json!({"name": "Lost"})).await?;
    until_valid(client, lost.value.expose()).await?;
    api.delete_api_key(&lost.id).await?;
    assert!(validate(client, lost.value.expose()).await?.is_none(), "refused at the next call");
    assert_refused(api.delete_api_key(&lost.id).await, 404, "entity_not_found");
    Ok(())
}

async fn idempotency(client: &Client) -> Result<(), Error> {
    let organization = create_organization(client, json!({"name": "Creates once"})).await?.id;
    let (api, organization) = (client.api_keys(), organization.as_str());
    let create = async |name: &str, key: &str| {
        let options = RequestOptions::new().idempotency_key(key);
        let params = CreateOrganizationApiKeyParams::new(body(json!({"name": name})));
        api.create_organization_api_key_with_options(organization, params, Some(&options)).await
    };
    let first = create("Production", "first").await?;
    let again = create("Production", "first").await?;
    assert_eq!((&again.id, again.value.expose()), (&first.id, first.value.expose()), "its text included");
    assert_ne!(create("Production", "second").await?.id, first.id);
    assert_refused(create("Another name", "first").await, 422, "idempotency_key_reused");
    let all = api.list_organization_api_keys(organization, ListOrganizationApiKeysParams::default()).await?;
    assert_eq!(all.data.len(), 2);
    Ok(())
}
