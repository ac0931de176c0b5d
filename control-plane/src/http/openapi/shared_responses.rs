//! Error responses that are alike in several operations. Each is in the components once, and operations refer to it.

use std::collections::BTreeMap;

use utoipa::openapi::{OpenApi, Ref, RefOr, Response, path::Operation};

use super::walk::operations;

/// The statuses of errors that mostly do not depend on the operation.
const STATUSES: [&str; 9] = ["401", "403", "404", "408", "413", "414", "429", "500", "503"];

/// Moves responses that several operations have to the components.
pub fn refer_to_all(document: &mut OpenApi) {
    let mut counts: BTreeMap<String, (RefOr<Response>, usize)> = BTreeMap::new();
    for (_, operation) in operations(document) {
        for (name, response) in named(operation) {
            let (first, count) = counts.entry(name).or_insert_with(|| (response.clone(), 0));
            *count += usize::from(first == response);
        }
    }
    counts.retain(|_, (_, count)| *count > 1);
    for (_, operation) in operations(document) {
        for (name, response) in named(operation) {
            // An operation whose response differs keeps its own.
            if counts.get(&name).is_some_and(|(first, _)| first == response) {
                *response = RefOr::Ref(Ref::new(format!("#/components/responses/{name}")));
            }
        }
    }
    let responses = counts.into_iter().map(|(name, (response, _))| (name, response));
    document.components.get_or_insert_default().responses.extend(responses);
}

fn named(operation: &mut Operation) -> impl Iterator<Item = (String, &mut RefOr<Response>)> {
    let responses = operation.responses.responses.iter_mut();
    let errors = responses.filter(|(status, _)| STATUSES.contains(&status.as_str()));
    errors.filter_map(|(_, response)| Some((name(response)?, response)))
}

/// The name of a response is that of its most specific example: `ApiKeyNotFound` for `api_key_not_found`.
fn name(response: &RefOr<Response>) -> Option<String> {
    let RefOr::T(response) = response else { return None };
    let RefOr::T(content) = response.content.values().next()? else { return None };
    let pending = "edge_propagation_pending";
    let example = if content.examples.contains_key(pending) { pending } else { content.examples.keys().next()? };
    let capitalized = example.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    Some(capitalized.collect())
}
