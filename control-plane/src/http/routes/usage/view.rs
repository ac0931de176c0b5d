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
    /// From when on. Left out: 24 hours before `to`, or 30 days if the interval is a day.
    from: Option<Rfc3339>,
    /// Until when. Left out: now.
    to: Option<Rfc3339>,
    /// How long an interval is. Of hours there can be 31 days at the most, of days 400.
    #[param(inline)]
    interval: Option<Interval>,
}

/// How long an interval is. Days begin at midnight UTC.
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

    /// How many days are shown if nobody says from when on.
    const fn default_days(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => 30,
        }
    }

    /// How many days can be asked for.
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
    let text = query.get(name).filter(|text| !text.is_empty())?;
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

/// What was asked for, as it was understood.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Range {
    /// How long each interval is.
    pub interval: Interval,
    /// From when on: the beginning of the first interval.
    pub from: Rfc3339,
    /// Until when: the end of the last interval.
    pub to: Rfc3339,
}

/// The validations of an interval.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntervalUsage {
    /// When the interval begins.
    pub start: Rfc3339,
    /// How many there were, by outcome: `valid`, or the code of the refusal.
    pub outcomes: BTreeMap<String, i64>,
    /// How many there were.
    pub total: i64,
}
