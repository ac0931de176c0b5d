//! Every route. One verb, one file: what it takes, what it answers, and its tests.

mod access;
#[cfg(test)]
mod acknowledgements;
mod api_key_permissions;
mod api_keys;
mod body;
mod client_address;
mod error;
mod fields;
mod idempotency;
mod layers;
pub mod limits;
mod list;
mod memberships;
mod openapi;
pub mod operations;
mod organizations;
mod path;
mod permissions;
mod request_id;
mod request_log;
mod roles;
#[cfg(test)]
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
mod usage;
mod user_api_keys;
mod users;

use axum::Router;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, config::Config};

pub use error::{EdgePending, Error};
pub use layers::REQUEST_TIME_LIMIT;
pub use openapi::openapi;

/// The routes, with their descriptions.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
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
        .routes(routes!(usage::get::get))
        .routes(routes!(operations::health))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
}

/// What the Worker asks for itself, if there is one. It is not for clients, so it is not in the document.
fn routes_of_the_edge(config: &Config) -> Router<App> {
    match config.edge() {
        Ok(Some(edge)) => usage::take::route(edge.secrets),
        _ => Router::new(),
    }
}

/// The server.
pub fn router(app: App, config: &Config) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = router
        .fallback(layers::no_such_route)
        .method_not_allowed_fallback(layers::no_such_method)
        .layer(axum::Extension(operations::MetricsAccess::new(config)))
        .with_state(app.clone());
    layers::around(router, routes_of_the_edge(config).with_state(app.clone()), app)
}
