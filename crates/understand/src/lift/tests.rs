//! The interval against simulated campaigns whose true lift is known.

use super::*;
use model::Rng;
use model::chance::Seeded;

/// A campaign of `n_people` with a hold-out of one in ten, drawn person by person.
fn campaign(seed: u64, n_people: u64, base: f64, lift: f64) -> CampaignNumbers {
    let rng: &dyn Rng = &Seeded::new(seed << 32);
    let mut numbers = CampaignNumbers::default();
    for _ in 0..n_people {
        let is_held_out = rng.below(10) == 0;
        let chance = if is_held_out { base } else { base * (1.0 + lift) };
        let buys = u64::from(rng.unit() < chance);
        let [with, without] = &mut numbers.n_buyers;
        if is_held_out {
            numbers.n_held_out += 1;
            *without += buys;
        } else {
            numbers.n_treated += 1;
            *with += buys;
        }
    }
    numbers
}

fn covers(report: &Report, lift: f64) -> bool {
    report.interval.is_some_and(|(low, high)| low <= lift && lift <= high)
}

#[test]
fn the_interval_covers_the_true_lift_at_least_35_times_of_40() {
    for lift in [0.0, 0.2, -0.1] {
        for base in [0.1, 0.25] {
            let reports: Vec<Report> = (1..=40).map(|seed| report(&campaign(seed, 1_500, base, lift), 100)).collect();
            let n = reports.iter().filter(|report| covers(report, lift)).count();
            assert!(n >= 35, "lift {lift}, base {base}: covered {n} of 40");
            if lift == 0.0 {
                let n = reports.iter().filter(|report| report.finding != Finding::NoEvidence).count();
                assert!(n <= 5, "base {base}: {n} false winners of 40");
            }
        }
    }
}

#[test]
fn the_interval_keeps_95_percent_also_with_few_buyers() {
    for (n_people, base) in [(1_500, 0.02), (600, 0.15), (5_000, 0.05)] {
        let n = (1..=1_000).filter(|seed| covers(&report(&campaign(*seed, n_people, base, 0.2), 100), 0.2)).count();
        assert!((930..=985).contains(&n), "{n_people} people at {base}: covered {n} of 1,000");
    }
}

#[test]
fn a_large_true_lift_is_found_and_a_loss_is_called_a_loss() {
    let helps = report(&campaign(1, 20_000, 0.2, 0.3), 100);
    assert_eq!(helps.finding, Finding::Helps);
    assert!(helps.sentence.contains("per 1,000 with it"), "{}", helps.sentence);
    assert!(!helps.sentence.starts_with("No evidence"));
    assert_eq!(report(&campaign(1, 20_000, 0.3, -0.3), 100).finding, Finding::Harms);
}

#[test]
fn a_known_interval_is_met() {
    // 15 of 100 against 10 of 100: the point is +50 %; the ends solve the score equation.
    let (treated, held_out) = (Arm { n_people: 100, n_buyers: 15 }, Arm { n_people: 100, n_buyers: 10 });
    let (low, high) = interval(treated, held_out).unwrap();
    assert!((score(treated, held_out, 1.0 + low) - Z_95).abs() < 1e-6);
    assert!((score(treated, held_out, 1.0 + high) + Z_95).abs() < 1e-6);
    assert!((low + 0.286).abs() < 0.02 && (high - 2.19).abs() < 0.1, "{low} {high}");
}

#[test]
fn no_buyers_no_people_and_one_sided_buyers_are_told_as_such() {
    let nothing = report(&CampaignNumbers::default(), 100);
    assert_eq!((nothing.lift, nothing.interval, nothing.finding), (None, None, Finding::NoEvidence));
    assert!(nothing.sentence.starts_with("No evidence yet"));
    let numbers = CampaignNumbers { n_treated: 900, n_held_out: 100, n_buyers: [40, 0], ..Default::default() };
    let one_sided = report(&numbers, 100);
    assert_eq!(one_sided.lift, None);
    assert!(one_sided.interval.unwrap().1.is_infinite());
    let numbers = CampaignNumbers { n_treated: 900, n_held_out: 100, n_buyers: [0, 40], ..Default::default() };
    assert_eq!(report(&numbers, 100).finding, Finding::Harms);
}

#[test]
fn a_broken_split_names_no_winner() {
    let numbers = CampaignNumbers { n_treated: 5_000, n_held_out: 1_000, n_buyers: [2_500, 200], ..Default::default() };
    let broken = report(&numbers, 100);
    assert!(!broken.sample_ratio.is_fine);
    assert_eq!(broken.finding, Finding::NoEvidence);
    assert!(broken.sentence.contains("not the sizes"));
    let fine = report(&CampaignNumbers { n_treated: 9_000, n_held_out: 1_000, ..numbers }, 100);
    assert!((fine.sample_ratio.p - 1.0).abs() < 1e-12);
    assert_eq!(fine.finding, Finding::Helps);
}
