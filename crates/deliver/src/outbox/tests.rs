//! The outbox with a house in memory on one side and a sink on the other.

use super::*;
use model::chance::Seeded;
use model::{ArtefactId, DecisionId, MessageId, ProfileId, Rng};

#[test]
fn rests_double_from_a_minute_to_two_hours() {
    let minutes: Vec<i64> = (0..12).map(|n| rest_ms(n) / 60_000).collect();
    assert_eq!(minutes, [1, 1, 2, 4, 8, 16, 32, 64, 120, 120, 120, 120]);
    assert_eq!(rest_ms(u32::MAX), REST_MS_MAX);
}

#[test]
fn a_message_is_given_up_after_a_day_of_waiting_and_not_before() {
    let rng: &dyn Rng = &Seeded::new(1);
    let due_at = At::from_ms(0);
    let entry = |n_attempts| OutboxEntry {
        message: MessageId::new(due_at, rng),
        decision: DecisionId::new(due_at, rng),
        person: ProfileId::random(rng),
        artefact: ArtefactId::from_bytes([0; 32]),
        n_attempts,
        due_at,
    };
    assert!(!is_given_up(&entry(0), due_at));
    assert!(!is_given_up(&entry(0), due_at.plus_ms(LIFE_MS - 1)));
    assert!(is_given_up(&entry(0), due_at.plus_ms(LIFE_MS)));
    // Seventeen rests make 22 hours and 7 minutes, eighteen more than a day.
    assert!(!is_given_up(&entry(17), due_at));
    assert!(is_given_up(&entry(18), due_at));
    assert!(is_given_up(&entry(u32::MAX), due_at));
}
