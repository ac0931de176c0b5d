//! The HTTP interface: the management API, and what the Worker and operators call.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`router`](router()) | every route, and the layers around them |
//! | `routes` | the handlers: one verb, one file |
//! | `extract` | what handlers take from a request |
//! | `middleware` | what happens around every request |
//! | `error` | error responses |
//! | `openapi` | the description of the API |
//! | [`server`] | how long connections may wait |
//!
//! A handler reads the request, calls a use case of [`crate::service`], and makes the response.

#[cfg(test)]
mod acknowledgements;
mod error;
mod extract;
mod list;
mod middleware;
mod openapi;
mod router;
mod routes;
pub mod server;
#[cfg(test)]
mod sweep;

pub use self::{
    error::{EdgePending, Error, RequestError},
    middleware::REQUEST_TIME_LIMIT,
    router::{openapi, router},
    routes::operations::DATABASE_ID,
};
