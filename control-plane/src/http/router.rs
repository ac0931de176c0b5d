//! Every route, and the layers around them.

use std::sync::LazyLock;

use axum::{Extension, Router};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Error, RequestError, middleware,
    openapi::{Document, complete},
    routes::{
        api_key_permissions, api_keys, events, memberships, operations, organizations, permissions, roles, usage,
        user_api_keys, users, webhooks,
    },
};
use crate::{config::Config, state::AppState};

/// The routes, with their descriptions.
fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(organizations::create::create, organizations::list::list))
        .routes(routes!(organizations::get::get, organizations::update::update, organizations::delete::delete))
        .routes(routes!(organizations::get_by_external_id::get_by_external_id))
        .routes(routes!(organizations::expiry_policy::get, organizations::expiry_policy::set))
        .routes(routes!(api_keys::create::create, api_keys::list::list))
        .routes(routes!(api_keys::get::get, api_keys::update::update, api_keys::delete::delete))
        .routes(routes!(api_keys::expire::expire))
        .routes(routes!(api_keys::rotate::rotate))
        .routes(routes!(api_keys::validate::validate))
        .routes(routes!(api_keys::usage::usage))
        .routes(routes!(permissions::create::create, permissions::list::list))
        .routes(routes!(permissions::get::get, permissions::update::update, permissions::delete::delete))
        .routes(routes!(api_key_permissions::get::get, api_key_permissions::set::set))
        .routes(routes!(roles::of_environment::create::create, roles::of_environment::list::list))
        .routes(routes!(roles::of_environment::get::get, roles::of_environment::update::update))
        .routes(routes!(
            roles::of_environment::set_permissions::set_permissions,
            roles::of_environment::add_permission::add_permission
        ))
        .routes(routes!(roles::of_organization::create::create, roles::of_organization::list::list))
        .routes(routes!(
            roles::of_organization::get::get,
            roles::of_organization::update::update,
            roles::of_organization::delete::delete
        ))
        .routes(routes!(
            roles::of_organization::set_permissions::set_permissions,
            roles::of_organization::add_permission::add_permission
        ))
        .routes(routes!(roles::of_organization::remove_permission::remove_permission))
        .routes(routes!(users::create::create, users::list::list))
        .routes(routes!(users::get::get, users::update::update, users::delete::delete))
        .routes(routes!(users::get_by_external_id::get_by_external_id))
        .routes(routes!(user_api_keys::create::create, user_api_keys::list::list))
        .routes(routes!(memberships::create::create, memberships::list::list))
        .routes(routes!(memberships::get::get, memberships::update::update, memberships::delete::delete))
        .routes(routes!(memberships::deactivate::deactivate))
        .routes(routes!(memberships::reactivate::reactivate))
        .routes(routes!(events::list::list))
        .routes(routes!(webhooks::create::create, webhooks::list::list))
        .routes(routes!(webhooks::get::get, webhooks::update::update, webhooks::delete::delete))
        .routes(routes!(webhooks::rotate_secret::rotate_secret))
        .routes(routes!(webhooks::end_overlap::end_overlap))
        .routes(routes!(webhooks::replay::replay))
        .routes(routes!(webhooks::deliveries::list::list))
        .routes(routes!(webhooks::deliveries::get::get))
        .routes(routes!(webhooks::deliveries::replay::replay))
        .routes(routes!(usage::get::get))
        .routes(routes!(operations::health))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
}

/// The description of every route, made once.
#[must_use]
pub fn openapi() -> &'static utoipa::openapi::OpenApi {
    static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(|| complete(routes().split_for_parts().1));
    &DOCUMENT
}

/// The route that the Worker calls for itself, if there is a Worker. Clients do not use it, so it is not in the description.
fn routes_of_the_edge(config: &Config) -> Router<AppState> {
    match config.edge() {
        Ok(Some(edge)) => usage::ingest::route(edge.secrets),
        _ => Router::new(),
    }
}

/// The server.
pub fn router(state: AppState, config: &Config) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = router
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(Extension(operations::MetricsAccess::new(config)))
        .layer(Extension(operations::Description(openapi())))
        .with_state(state.clone());
    middleware::around(router, routes_of_the_edge(config).with_state(state.clone()), state)
}

async fn no_such_route() -> Error {
    RequestError::RouteNotFound.into()
}

async fn no_such_method() -> Error {
    RequestError::MethodNotAllowed.into()
}
