use serde_json::{Value, json};

use crate::{
    encryption::EncryptionKey,
    storage::{Db, testing::conformance},
    testing::server::*,
};

const URL: &str = "https://example.com/hooks";

async fn create(server: &Server) -> Value {
    server.post("/webhook_endpoints", json!({"endpoint_url": URL, "events": ["api_key.created"]})).await.expect(201)
}

conformance! {
    async fn the_secret_is_shown_whole_once_and_masked_afterwards(db: Db) {
        let server = Server::new(db).await;
        let created = create(&server).await;
        let secret = created["secret"].as_str().unwrap();
        assert!(secret.starts_with("whsec_") && secret.len() == 38, "{secret}");
        let path = format!("/webhook_endpoints/{}", id_of(&created));
        let masked = format!("whsec_…{}", &secret[34..]);
        for shown in [
            server.get(&path).await.expect(200),
            server.get("/webhook_endpoints").await.expect(200)["data"][0].clone(),
            server.patch(&path, json!({"events": ["api_key.revoked"]})).await.expect(200),
        ] {
            assert_eq!(shown["secret"], json!(masked));
        }
        let events = server.get("/events?events=webhook_endpoint.created,webhook_endpoint.updated").await.expect(200);
        assert_eq!(ids_of(&events).len(), 2);
        assert!(!events.to_string().contains(secret));
    }

    async fn a_url_belongs_to_one_endpoint(db: Db) {
        let server = Server::new(db).await;
        let created = create(&server).await;
        let body = json!({"endpoint_url": URL, "events": ["api_key.created"]});
        assert_eq!(server.post("/webhook_endpoints", body.clone()).await.error(409), "duplicate_endpoint");
        let other = json!({"endpoint_url": "https://example.org/", "events": ["api_key.created"]});
        let other = server.post("/webhook_endpoints", other).await.expect(201);
        let path = format!("/webhook_endpoints/{}", id_of(&other));
        assert_eq!(server.patch(&path, json!({"endpoint_url": URL})).await.error(409), "duplicate_endpoint");
        server.delete(&format!("/webhook_endpoints/{}", id_of(&created))).await.expect(204);
        server.post("/webhook_endpoints", body).await.expect(201);
    }

    async fn an_unacceptable_url_is_refused_with_a_code_of_its_own(db: Db) {
        let server = Server::new(db).await;
        for url in ["", "x", "ftp://example.com", "https://10.0.0.1", "https://user@example.com",
            "https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/", "https://2130706433/x#y"] {
            let reply = server.post("/webhook_endpoints", json!({"endpoint_url": url, "events": ["api_key.created"]})).await;
            assert_eq!(reply.error(422), "invalid_url", "{url}");
        }
        for events in [json!([]), json!(["api_key.exploded"]), json!(["*"])] {
            let reply = server.post("/webhook_endpoints", json!({"endpoint_url": URL, "events": events})).await;
            assert_eq!(reply.error(422), "invalid_request_parameters", "{events}");
        }
        server.post("/webhook_endpoints", json!({"endpoint_url": URL, "events": ["dsync.user.created"]})).await.expect(201);
    }

    async fn a_server_without_an_encryption_key_asks_for_one(db: Db) {
        let mut server = Server::new(db).await;
        server.set_encryption(EncryptionKey::not_configured());
        let body = json!({"endpoint_url": URL, "events": ["api_key.created"]});
        let reply = server.post("/webhook_endpoints", body).await;
        assert_eq!(reply.error(409), "encryption_key_required");
        assert!(reply.text.contains("LATCHKEY_ENCRYPTION_KEY"), "{}", reply.text);
    }

    async fn a_repeated_creation_answers_with_the_same_secret(db: Db) {
        let server = Server::new(db).await;
        let body = json!({"endpoint_url": URL, "events": ["api_key.created"]});
        let (_, first) = server.post_with("idempotency-key", "once", "/webhook_endpoints", &body).await;
        let (_, second) = server.post_with("idempotency-key", "once", "/webhook_endpoints", &body).await;
        assert_eq!((first.status, &first.text), (201, &second.text));
    }

    async fn another_environment_sees_no_endpoint(db: Db) {
        let server = Server::new(db).await;
        let path = format!("/webhook_endpoints/{}", id_of(&create(&server).await));
        let stranger = server.of_another_environment().await;
        assert_eq!(stranger.get(&path).await.error(404), "entity_not_found");
        assert_eq!(stranger.get(&format!("{path}/deliveries")).await.error(404), "entity_not_found");
        assert_eq!(stranger.delete(&path).await.error(404), "entity_not_found");
        assert!(ids_of(&stranger.get("/webhook_endpoints").await.expect(200)).is_empty());
    }

    async fn deliveries_are_filtered_by_their_status(db: Db) {
        let server = Server::new(db).await;
        let path = format!("/webhook_endpoints/{}/deliveries", id_of(&create(&server).await));
        assert_eq!(server.get(&format!("{path}?status=lost")).await.fields(), ["status"]);
        let organization = server.organization().await;
        server.api_key(&organization, json!({"name": "k"})).await;
        while server.append_events().await {}
        assert_eq!(ids_of(&server.get(&format!("{path}?status=pending")).await.expect(200)).len(), 1);
        assert!(ids_of(&server.get(&format!("{path}?status=failed")).await.expect(200)).is_empty());
    }
}
