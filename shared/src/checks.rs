//! What must hold of the rules: golden vectors, which pin down what is stored and answered, and properties.
//!
//! They are plain functions, so that one list of them runs natively (`cargo test -p shared`) and in the Worker runtime
//! (`tests/rules-worker`). The vectors in `shared/testdata/` were made by another program than this, in another language.
//! Whoever changes a rule changes them by hand, and thinks of the records that are already stored.

use std::fmt::Debug;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use serde::de::DeserializeOwned;

mod api_key;
mod arbitrary;
mod caller;
mod decide;
mod feed;
mod freshness;
mod id;
mod json;
mod key;
mod permission;
mod record;
mod scopes;
mod seal;
mod timestamp;
mod usage;
mod validation;

/// Nothing, or what does not hold.
pub type Outcome = Result<(), String>;

/// Lists the checks, by module and name, and makes a native test of each.
macro_rules! checks {
    ($($module:ident { $($name:ident)* })*) => {
        /// Every check and its name.
        pub const ALL: &[(&str, fn() -> Outcome)] =
            &[$($((concat!(stringify!($module), "::", stringify!($name)), $module::$name),)*)*];

        #[cfg(test)]
        mod tests {
            $(mod $module {
                $(#[test]
                fn $name() -> super::super::Outcome {
                    super::super::$module::$name()
                })*
            })*
        }
    };
}

checks! {
    key {
        golden_generated golden_texts golden_prefixes golden_recognised golden_places
        a_new_key_is_a_key a_changed_character_is_noticed a_cut_is_noticed swapped_neighbours_are_noticed
        no_character_is_favoured bytes_that_would_favour_are_drawn_again
        a_mask_shows_the_prefix_and_four_characters any_text_can_be_asked_about
    }
    id { golden_generated golden_good_and_bad a_new_id_is_an_id ids_are_ordered_by_time }
    timestamp { golden_read golden_refused golden_shown what_is_shown_is_read_again text_is_ordered_like_time }
    permission {
        golden_slugs golden_expressions golden_errors
        what_is_printed_is_parsed_again any_text_can_be_parsed more_permissions_never_do_harm
        a_star_grants_what_begins_like_it all_and_any_mean_what_they_say two_sets_grant_what_each_does
    }
    seal {
        golden_secrets golden_bad_secrets golden_records
        what_is_sealed_opens a_changed_byte_is_noticed a_cut_is_noticed another_place_is_noticed another_secret_is_noticed
        any_text_can_be_opened the_secret_is_not_shown
    }
    record { versions_go_up any_record_is_read_again usual_fields_are_left_out }
    decide {
        golden_reasons golden_decisions golden_versions
        another_environment_wins revoked_wins disabled_wins only_within_its_time a_demand_dropped_does_no_harm
        what_is_accepted_has_nothing_against_it
    }
    scopes {
        a_key_dies_with_what_it_belongs_to an_inactive_membership_disables_until_it_is_active
        a_role_allows_what_it_allows_now another_role_is_depended_on_from_then_on a_deleted_permission_leaves_key_and_role
    }
    api_key { what_clients_insist_on_is_always_there_and_first what_only_we_have_is_left_out_while_it_says_nothing }
    json { the_field_at_fault_is_named what_was_given_is_not_repeated }
    validation {
        golden_bodies golden_lengths golden_answers
        any_body_can_be_read errors_do_not_repeat_the_key an_answer_is_one_of_two_shapes
    }
    caller { golden_headers golden_authorized golden_scopes }
    feed {
        golden_pages what_is_encoded_is_decoded a_cut_page_is_noticed a_longer_page_is_noticed
        any_bytes_can_be_read_as_a_page another_version_of_a_page_is_not_read an_unknown_mark_is_not_read
    }
    freshness {
        records_are_bounded heavy_records_leave_room absences_are_bounded absences_are_believed_for_a_while questions_are_budgeted_by_caller callers_are_bounded
        too_many_floors_are_refused a_creation_clears_an_absence a_change_clears_an_absence
        trimmed_floors_are_forgotten what_is_too_old_is_not_decided_on a_scope_narrows_records
        a_revoked_key_is_refused_at_once a_revocation_counts_however_old_it_is who_doubts_polls_first
    }
    usage {
        golden_batches outcomes_have_codes a_tally_is_bounded only_what_was_accepted_was_used one_waits_at_a_time many_keys_are_told_sooner
        what_was_refused_is_lost whatever_happens_it_counts_once
    }
}

/// Enough natively to find what is rare; fewer in the Worker runtime, which is there to differ and not to search.
const CASES: u32 = if cfg!(target_family = "wasm") { 64 } else { 1024 };

/// Checks a property of many values. They are the same ones every time: there is no entropy here, and no flaky test.
fn property<S: Strategy>(values: S, holds: impl Fn(S::Value) -> Outcome) -> Outcome {
    let config = Config { cases: CASES, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&values, |value| holds(value).map_err(TestCaseError::fail)).map_err(|error| error.to_string())
}

/// Reads golden vectors.
fn vectors<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("the vectors cannot be read: {error}"))
}

/// That two values are equal.
fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

/// That something holds.
fn ensure(what: &str, holds: bool) -> Outcome {
    if holds { Ok(()) } else { Err(format!("{what}: does not hold")) }
}
