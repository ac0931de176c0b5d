//! What a client is told while the database cannot do what it asked for.

use crate::http::Answer;

/// The codes of failures that pass, each with the status 503.
pub const PASSING: [&str; 4] = ["overloaded", "database_unavailable", "database_read_only", "database_full"];

impl Answer {
    /// The code of a 503 that says when to try again.
    ///
    /// # Panics
    /// If it is another status, or no failure of the database that passes.
    #[track_caller]
    #[must_use]
    pub fn refusal(&self) -> String {
        let code = self.error(503);
        assert!(PASSING.contains(&code.as_str()), "{self:?}");
        let wait: Option<u32> = self.header("retry-after").and_then(|value| value.parse().ok());
        assert!(wait.is_some_and(|seconds| seconds >= 1), "no Retry-After: {self:?}");
        code
    }

    /// Whether this was done; if not, that it may be tried again.
    ///
    /// # Panics
    /// If it is neither this status nor a 503 of those.
    #[track_caller]
    #[must_use]
    pub fn is_done(&self, status: u16) -> bool {
        if self.status == status {
            return true;
        }
        let _ = self.refusal();
        false
    }
}
