//! The bound, from dates alone.

use super::RemovalState;
use model::At;

fn at(text: &str) -> At {
    At::parse(text).unwrap()
}

#[test]
fn d03_the_bound_counts_from_the_first_midnight_that_nothing_was_removed_after() {
    let state = |clean: &str| RemovalState { swept_at: None, clean_at: at(clean), within_days: 7, record: None };
    let clean = state("2026-11-23T12:00:00Z");
    assert_eq!(clean.due_at(), at("2026-12-01T00:00:00Z"), "what ended at the next midnight, and seven days");
    assert!(!clean.is_late(at("2026-12-01T00:00:00Z")));
    assert!(clean.is_late(at("2026-12-01T00:00:00.001Z")));
}

#[test]
fn d03_a_rotation_is_pressed_for_before_the_bound_is_past_and_only_when_there_is_something_to_rewrite() {
    let swept =
        |swept_at| RemovalState { swept_at, clean_at: at("2026-11-23T12:00:00Z"), within_days: 7, record: None };
    let later = Some(at("2026-11-28T00:01:00Z"));
    assert!(!swept(later).is_pressing(at("2026-11-28T23:59:59Z")));
    assert!(swept(later).is_pressing(at("2026-11-29T00:00:00Z")));
    assert!(!swept(None).is_pressing(at("2026-11-29T00:00:00Z")), "what was not swept, no rewriting removes");
}
