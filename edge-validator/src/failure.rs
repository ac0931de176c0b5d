//! Why a request fails, and the response to that.

use std::cell::Cell;

use shared::{bearer, error::ApiError};
use worker::{Response, console_error};

use crate::response;

/// Why a request was not answered as asked.
pub struct Failure {
    error: ApiError,
    /// Whether the same request may well succeed in a second.
    passing: bool,
}

impl Failure {
    /// An error that will pass.
    pub const fn passing(error: ApiError) -> Self {
        Self { error, passing: true }
    }

    /// The answer to a request with this `Authorization` header.
    pub fn into_response(self, authorization: Option<&str>) -> worker::Result<Response> {
        let response = response::json(self.error.status, self.error.to_json())?;
        if self.error.status == 401 {
            response.headers().set("www-authenticate", bearer::challenge(authorization.is_some()))?;
        }
        if self.passing {
            response.headers().set("retry-after", &retry_after().to_string())?;
        }
        Ok(response)
    }
}

/// One to three seconds in turn, so that those who were refused together do not come back together.
fn retry_after() -> u8 {
    thread_local! {
        static LAST: Cell<u8> = const { Cell::new(0) };
    }
    LAST.set(LAST.get() % 3 + 1);
    LAST.get()
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, passing: false }
    }
}

/// A failure of ours. The log has the cause, the caller a constant.
impl From<worker::Error> for Failure {
    fn from(cause: worker::Error) -> Self {
        console_error!("Internal error: {cause}");
        ApiError::new(500, "internal_error", "Something went wrong in the Worker. Its log has the cause.").into()
    }
}
