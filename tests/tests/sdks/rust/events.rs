//! Webhook endpoints and the event log.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use serde_json::json;
use workos::{
    Client, Error, EventSchema, PaginationOrder, WebhookEndpointStatus,
    resources::{
        events::ListEventsParams,
        webhooks::{CreateWebhookEndpointParams, ListWebhookEndpointsParams, UpdateWebhookEndpointParams},
    },
};

use super::{assert_refused, body, create_organization};

pub async fn webhook_endpoints(client: &Client) -> Result<(), Error> {
    let api = client.webhooks();
    let create = |url: &str| {
        let fields = json!({"endpoint_url": url, "events": ["api_key.created"]});
        api.create_webhook_endpoint(CreateWebhookEndpointParams::new(body(fields)))
    };
    let url = "https://example.com/hooks";
    let created = create(url).await?;
    assert_eq!((created.endpoint_url.as_str(), &created.status), (url, &WebhookEndpointStatus::Enabled));
    assert!(created.secret.expose().starts_with("whsec_"));
    let list = api.list_webhook_endpoints(ListWebhookEndpointsParams::default()).await?;
    assert_eq!(list.data.iter().map(|endpoint| &endpoint.id).collect::<Vec<_>>(), [&created.id]);
    let disable = UpdateWebhookEndpointParams::new(body(json!({"status": "disabled"})));
    let disabled = api.update_webhook_endpoint(&created.id, disable).await?;
    assert_eq!(disabled.status, WebhookEndpointStatus::Disabled);
    assert_refused(create(url).await, 409, "duplicate_endpoint");
    assert_refused(create("https://127.0.0.1").await, 422, "invalid_url");
    api.delete_webhook_endpoint(&created.id).await?;
    assert_refused(api.delete_webhook_endpoint(&created.id).await, 404, "entity_not_found");
    Ok(())
}

/// Comes after all that causes the events.
pub async fn log(client: &Client) -> Result<(), Error> {
    let organization = create_organization(client, json!({"name": "Has events"})).await?.id;
    let changes = |what: &str| ["created", "updated", "deleted"].map(|change| format!("{what}.{change}"));
    let mut names =
        ["organization", "organization_membership", "organization_role", "permission", "user"].map(changes).concat();
    names.extend(["api_key.created", "api_key.revoked", "role.created", "role.updated"].map(str::to_owned));
    // Unlike the other clients, it asks for the newest first unless it is told otherwise.
    let params =
        ListEventsParams { order: Some(PaginationOrder::Asc), limit: Some(7), ..ListEventsParams::new(names.clone()) };
    let log: Vec<EventSchema> = client.events().list_events_auto_paging(params.clone()).try_collect().await?;
    assert!(log.is_sorted_by(|a, b| a.id < b.id), "each event once, oldest first");
    let seen: BTreeSet<&str> = log.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(seen, names.iter().map(String::as_str).collect(), "an event of each type");
    for event in &log {
        let object = event.event.split('.').next();
        assert_eq!((event.data["object"].as_str(), event.object.as_str()), (object, "event"), "{event:?}");
    }
    let newest = ListEventsParams { order: Some(PaginationOrder::Desc), limit: Some(2), ..params.clone() };
    let newest = client.events().list_events(newest).await?.data;
    assert_eq!(
        newest.iter().rev().map(|event| &event.id).collect::<Vec<_>>(),
        [&log[log.len() - 2].id, &log[log.len() - 1].id]
    );
    let of_organization = ListEventsParams { organization_id: Some(organization), ..params };
    assert_eq!(client.events().list_events(of_organization).await?.data.len(), 1);
    Ok(())
}
