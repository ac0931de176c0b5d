//! The findings of `latchkey doctor`, as text or as JSON.

use std::io::{self, Write};

use anyhow::bail;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It works, and may not do so for long, or not as intended.
    Warning,
    /// It does not work. The doctor's exit code says so.
    Error,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// For programs. It does not change.
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(code: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Ok, code, message: message.into(), advice: None }
    }

    pub(super) fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::ok(code, message) }
    }

    pub(super) fn warning(code: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, code, message: message.into(), advice: Some(advice.into()) }
    }

    pub(super) fn error(code: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Error, ..Self::warning(code, message, advice) }
    }
}

/// All findings. For people, each is printed as soon as it is there.
pub(super) struct Findings {
    json: bool,
    all: Vec<Finding>,
}

impl Findings {
    pub(super) const fn new(json: bool) -> Self {
        Self { json, all: vec![] }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if !self.json {
            let Finding { level, message, advice, .. } = &finding;
            let mark = match level {
                Level::Ok => '✓',
                Level::Note => '·',
                Level::Warning => '!',
                Level::Error => '✗',
            };
            let advice = advice.as_ref().map(|advice| format!("\n  → {advice}")).unwrap_or_default();
            // If nobody reads it any more, the exit code still tells.
            let _ = writeln!(io::stdout(), "{mark} {message}{advice}");
        }
        self.all.push(finding);
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Prints the JSON document, if that is wanted. Fails if there is an error among the findings.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if self.json {
            let _ = writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&self.all)?);
        }
        match self.all.iter().filter(|finding| finding.level == Level::Error).count() {
            0 => Ok(()),
            1 => bail!("1 problem found"),
            errors => bail!("{errors} problems found"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_fail_the_command() {
        for (finding, is_well) in [
            (Finding::ok("x", "x"), true),
            (Finding::note("x", "x"), true),
            (Finding::warning("x", "x", "y"), true),
            (Finding::error("x", "x", "y"), false),
        ] {
            let mut findings = Findings::new(true);
            findings.add(finding);
            assert_eq!(findings.finish().is_ok(), is_well);
        }
    }
}
