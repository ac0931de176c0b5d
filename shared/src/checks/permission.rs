use proptest::prelude::*;
use serde::Deserialize;

use super::{Outcome, arbitrary, ensure, equal, property, vectors};
use crate::permission::{BadExpression, EXPRESSION_MAX_LENGTH, Expression, grants, is_slug, of_both};

const GOLDEN: &str = include_str!("../../testdata/permissions.json");

#[derive(Deserialize)]
struct Golden {
    slugs: Slugs,
    expressions: Vec<Good>,
    errors: Vec<Bad>,
}

#[derive(Deserialize)]
struct Slugs {
    good: Vec<String>,
    bad: Vec<String>,
}

#[derive(Deserialize)]
struct Good {
    text: String,
    met_by: Vec<Vec<String>>,
    not_met_by: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Bad {
    text: String,
    error: String,
}

pub fn golden_slugs() -> Outcome {
    let Slugs { good, bad } = vectors::<Golden>(GOLDEN)?.slugs;
    good.iter().try_for_each(|text| equal(text, is_slug(text), true))?;
    bad.iter().try_for_each(|text| equal(text, is_slug(text), false))
}

pub fn golden_expressions() -> Outcome {
    vectors::<Golden>(GOLDEN)?.expressions.iter().try_for_each(|vector| {
        let text = &vector.text;
        let expression: Expression = text.parse().map_err(|bad| format!("{text}: {bad}"))?;
        let met = |held: &Vec<String>, expected| {
            equal(&format!("{text} with {held:?}"), expression.is_met_by(held), expected)
        };
        vector.met_by.iter().try_for_each(|held| met(held, true))?;
        vector.not_met_by.iter().try_for_each(|held| met(held, false))
    })
}

pub fn golden_errors() -> Outcome {
    vectors::<Golden>(GOLDEN)?.errors.iter().try_for_each(|vector| {
        let found = vector.text.parse::<Expression>().map_err(|bad| bad.to_string());
        equal(&vector.text, found, Err(vector.error.clone()))
    })
}

/// Prints an expression with as few parentheses as say the same: around every part that is joined the other way, or
/// the same way, and none around `AND` within `OR`, which binds closer anyway.
fn print(expression: &Expression) -> String {
    let printed = |part: &Expression, bare: bool| if bare { print(part) } else { format!("({})", print(part)) };
    let join = |parts: &[Expression], is_bare: fn(&Expression) -> bool, with: &str| {
        parts.iter().map(|part| printed(part, is_bare(part))).collect::<Vec<_>>().join(with)
    };
    match expression {
        Expression::Permission(slug) => slug.clone(),
        Expression::All(parts) => join(parts, |part| matches!(part, Expression::Permission(_)), " AND "),
        Expression::Any(parts) => join(parts, |part| !matches!(part, Expression::Any(_)), " OR "),
    }
}

pub fn what_is_printed_is_parsed_again() -> Outcome {
    property(arbitrary::expression(), |expression| {
        let text = print(&expression);
        let expected = if text.len() > EXPRESSION_MAX_LENGTH { Err(BadExpression::TooLong) } else { Ok(expression) };
        equal(&text, text.parse(), expected)
    })
}

pub fn any_text_can_be_parsed() -> Outcome {
    property(arbitrary::text_like_an_expression(), |text| match text.parse::<Expression>() {
        Ok(expression) => equal(&text, print(&expression).parse(), Ok(expression)),
        Err(BadExpression::Unexpected { word, at, .. }) => {
            let rest: String = text.chars().skip(at - 1).collect();
            ensure(&format!("{word} at character {at} of {text:?}"), rest.starts_with(&word))
        }
        Err(_) => Ok(()),
    })
}

pub fn more_permissions_never_do_harm() -> Outcome {
    let values = (arbitrary::expression(), arbitrary::permissions(), arbitrary::permission());
    property(values, |(expression, mut held, more)| {
        let before = expression.is_met_by(&held);
        held.push(more);
        ensure("still met", !before || expression.is_met_by(&held))?;
        ensure("the star meets all", expression.is_met_by(&["*".to_owned()]))?;
        ensure("nothing meets none", !expression.is_met_by(&[]))
    })
}

pub fn a_star_grants_what_begins_like_it() -> Outcome {
    property((arbitrary::permission(), arbitrary::permission()), |(held, wanted)| {
        let expected = held == wanted
            || held == "*"
            || held
                .split_once(":*")
                .is_some_and(|(stem, rest)| rest.is_empty() && wanted.starts_with(&format!("{stem}:")));
        equal(&format!("{held} for {wanted}"), grants(&[held], &wanted), expected)
    })
}

pub fn all_and_any_mean_what_they_say() -> Outcome {
    let values = (prop::collection::vec(arbitrary::expression(), 2..4), arbitrary::permissions());
    property(values, |(parts, held)| {
        let met: Vec<bool> = parts.iter().map(|part| part.is_met_by(&held)).collect();
        equal("all", Expression::All(parts.clone()).is_met_by(&held), !met.contains(&false))?;
        equal("any", Expression::Any(parts).is_met_by(&held), met.contains(&true))
    })
}

pub fn two_sets_grant_what_each_does() -> Outcome {
    let values = (arbitrary::permissions(), arbitrary::permissions(), arbitrary::permission());
    property(values, |(one, other, wanted)| {
        let both = of_both(&one, &other);
        equal(
            &format!("{wanted} by {both:?}"),
            grants(&both, &wanted),
            grants(&one, &wanted) && grants(&other, &wanted),
        )
    })
}
