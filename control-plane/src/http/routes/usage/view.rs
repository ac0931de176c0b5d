use std::collections::BTreeMap;

use serde::Serialize;
use shared::{
    Rfc3339, Timestamp,
    usage::{HOUR_MILLIS, hour_of},
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{Error, extract::query::Query},
    service::Checks,
    storage::usage::{Span, Total},
};

/// The query parameters of a question for usage, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `Query` reads the parameters")]
pub struct UsageParams {
    /// The start of the range, at most 31 days before `to`, or 400 days if `interval` is `day`. Default: 24 hours
    /// before `to`, or 30 days if `interval` is `day`.
    from: Option<Rfc3339>,
    /// The end of the range. Default: now.
    to: Option<Rfc3339>,
    /// The length of the intervals: `hour` or `day`. Days begin at midnight UTC. Default: `hour`.
    #[param(inline)]
    interval: Option<Interval>,
}

/// The length of an interval. Days begin at midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "hour")]
pub enum Interval {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Interval {
    const fn hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
        }
    }

    /// The number of days of a report without `from`.
    const fn default_days(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 30,
        }
    }

    /// The maximum number of days of a report.
    const fn days_max(self) -> i64 {
        match self {
            Self::Hour => 31,
            Self::Day => 400,
        }
    }
}

const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;

/// What is asked for, in whole intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    interval: Interval,
    /// As the database is asked for it.
    pub span: Span,
}

impl Wanted {
    /// Reads the query, and widens what it asks for to whole intervals.
    pub fn read(query: &Query, now: Timestamp) -> Result<Self, Error> {
        let mut checks = Checks::default();
        let interval = match query.get("interval") {
            None | Some("hour") => Interval::Hour,
            Some("day") => Interval::Day,
            Some(_) => {
                checks.require(false, "interval", "invalid", "must be `hour` or `day`");
                Interval::Hour
            }
        };
        // This very millisecond is shown too.
        let to = moment(query, "to", &mut checks).unwrap_or_else(|| now.plus_millis(1));
        let default_from = to.plus_millis(-interval.default_days() * DAY_MILLIS);
        let from = moment(query, "from", &mut checks).unwrap_or(default_from);
        checks.require(from < to, "from", "invalid", "must lie before `to`");
        let is_short = to.as_millis() - from.as_millis() <= interval.days_max() * DAY_MILLIS;
        let message = format!("must lie at most {} days before `to` for this interval", interval.days_max());
        checks.require(is_short, "from", "out_of_range", message);
        checks.finish()?;
        Ok(Self { interval, span: span(from, to, interval.hours()) })
    }

    /// The intervals of the answer, those without a validation left out.
    pub fn data(totals: Vec<Total>) -> Vec<IntervalUsage> {
        let mut data: Vec<IntervalUsage> = vec![];
        for Total { start, outcome, count } in totals {
            let start = Rfc3339(beginning_of(start));
            if data.last().is_none_or(|last| last.start != start) {
                data.push(IntervalUsage { start, outcomes: BTreeMap::new(), total: 0 });
            }
            if let Some(last) = data.last_mut() {
                last.total += count;
                last.outcomes.insert(outcome, count);
            }
        }
        data
    }

    /// What is shown of the question.
    pub const fn shown(self) -> Range {
        let (from, to) = (beginning_of(self.span.first), beginning_of(self.span.end));
        Range { interval: self.interval, from: Rfc3339(from), to: Rfc3339(to) }
    }
}

fn moment(query: &Query, name: &str, checks: &mut Checks) -> Option<Timestamp> {
    let text = query.get_unless_empty(name)?;
    let moment = Timestamp::parse(text);
    let message = "must be an RFC 3339 date and time, such as 2030-01-01T00:00:00Z";
    checks.require(moment.is_some(), name, "invalid", message);
    moment
}

fn span(from: Timestamp, to: Timestamp, interval: i64) -> Span {
    let last = hour_of(to.plus_millis(-1));
    let first = hour_of(from).max(0).div_euclid(interval) * interval;
    Span { first, end: (last.div_euclid(interval) + 1) * interval, interval }
}

const fn beginning_of(hour: i64) -> Timestamp {
    Timestamp::from_millis(hour.saturating_mul(HOUR_MILLIS))
}

/// The range of a usage report, extended to whole intervals.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Range {
    /// The length of each interval.
    pub interval: Interval,
    /// The start of the first interval.
    pub from: Rfc3339,
    /// The end of the last interval.
    pub to: Rfc3339,
}

/// Counts of the validations in one interval.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntervalUsage {
    /// The start of the interval.
    pub start: Rfc3339,
    /// The number of validations by outcome: `valid`, or the code of the refusal.
    pub outcomes: BTreeMap<String, i64>,
    /// The number of validations.
    pub total: i64,
}
