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

fn covers(report: &Measured, lift: f64) -> bool {
    report.interval.is_some_and(|(low, high)| low <= lift && lift <= high)
}

#[test]
fn the_interval_covers_the_true_lift_at_least_35_times_of_40() {
    for lift in [0.0, 0.2, -0.1] {
        for base in [0.1, 0.25] {
            let reports: Vec<Measured> =
                (1..=40).map(|seed| measure(&campaign(seed, 1_500, base, lift), 100)).collect();
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
        let n = (1..=1_000).filter(|seed| covers(&measure(&campaign(*seed, n_people, base, 0.2), 100), 0.2)).count();
        assert!((930..=985).contains(&n), "{n_people} people at {base}: covered {n} of 1,000");
    }
}

#[test]
fn a_large_true_lift_is_found_and_a_loss_is_called_a_loss() {
    let helps = measure(&campaign(1, 20_000, 0.2, 0.3), 100);
    assert_eq!(helps.finding, Finding::Helps);
    assert!(helps.sentence.contains("per 1,000 with it"), "{}", helps.sentence);
    assert!(!helps.sentence.starts_with("No evidence"));
    assert_eq!(measure(&campaign(1, 20_000, 0.3, -0.3), 100).finding, Finding::Harms);
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
    let nothing = measure(&CampaignNumbers::default(), 100);
    assert_eq!((nothing.lift, nothing.interval, nothing.finding), (None, None, Finding::NoEvidence));
    assert!(nothing.sentence.starts_with("No evidence yet"));
    let numbers = CampaignNumbers { n_treated: 900, n_held_out: 100, n_buyers: [40, 0], ..Default::default() };
    let one_sided = measure(&numbers, 100);
    assert_eq!(one_sided.lift, None);
    assert!(one_sided.interval.unwrap().1.is_infinite());
    let numbers = CampaignNumbers { n_treated: 900, n_held_out: 100, n_buyers: [0, 40], ..Default::default() };
    assert_eq!(measure(&numbers, 100).finding, Finding::Harms);
}

#[test]
fn a_broken_split_names_no_winner() {
    let numbers = CampaignNumbers { n_treated: 5_000, n_held_out: 1_000, n_buyers: [2_500, 200], ..Default::default() };
    let broken = measure(&numbers, 100);
    assert!(!broken.sample_ratio.is_fine);
    assert_eq!(broken.finding, Finding::NoEvidence);
    assert!(broken.sentence.contains("not the sizes"));
    let fine = measure(&CampaignNumbers { n_treated: 9_000, n_held_out: 1_000, ..numbers }, 100);
    assert!((fine.sample_ratio.p - 1.0).abs() < 1e-12);
    assert_eq!(fine.finding, Finding::Helps);
}

fn sent_to(n_treated: u64, n_held_out: u64) -> CampaignNumbers {
    let counts = |parts: &[(&str, u64)]| parts.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
    CampaignNumbers {
        n_treated,
        n_held_out,
        n_sent: n_treated - 61,
        n_buyers: [n_treated / 4, n_held_out / 4],
        n_goals: [n_treated / 3, n_held_out / 3],
        waiting: counts(&[("quiet_hours", 61)]),
        basis: counts(&[("purchase", n_treated)]),
        ..Default::default()
    }
}

#[test]
fn b03_an_arm_below_the_floor_tells_nothing_of_either_arm() {
    for (n_treated, n_held_out) in [(450, 49), (901, 1), (70, 20)] {
        let numbers = sent_to(n_treated, n_held_out);
        let few = report(&numbers, 100, 50);
        assert_eq!(few.trial, None, "{numbers:?}");
        assert!(few.sentence.starts_with("Too few to say: one of the two groups has fewer than 50 people"));
        assert!(few.sentence.contains("over 500 people"), "{}", few.sentence);
        let told = format!("{few:?}");
        for n in [n_treated, n_held_out, numbers.n_sent, numbers.n_buyers[0], numbers.n_goals[0]] {
            assert!(n < 2 || !told.contains(&n.to_string()), "{n} is told in {told}");
        }
    }
    assert!(report(&sent_to(450, 50), 100, 50).trial.is_some(), "control: at the floor it is told");
    assert_eq!(report(&sent_to(450, 79), 100, 80).trial, None, "the floor is the house's own");
    assert!(report(&sent_to(450, 0), 0, 50).sentence.contains("no second group"));
}

#[test]
fn b03_parts_below_the_floor_are_not_told_and_no_difference_gives_them_away() {
    let mut numbers = sent_to(1_000, 100);
    let fine = report(&numbers, 100, 50).trial.unwrap();
    assert_eq!((fine.sent, fine.basis["purchase"]), (Count::Exactly(939), Count::Exactly(1_000)));
    assert_eq!((fine.held_out.buyers, fine.treated.buyers), (Count::Fewer(50), Count::Exactly(250)));
    assert_eq!(fine.held_out.goals, Count::Fewer(50));

    // One message waits: "sent" must not say how many did not go out.
    numbers.waiting = BTreeMap::from([("quiet_hours".to_owned(), 1), ("relay_down".to_owned(), 60)]);
    numbers.refused = BTreeMap::from([("withdrawn".to_owned(), 0)]);
    numbers.basis = BTreeMap::from([("purchase".to_owned(), 971), ("popular".to_owned(), 29)]);
    let rounded = report(&numbers, 100, 50);
    assert_eq!(rounded.waiting["quiet_hours"], Count::Fewer(50));
    assert_eq!(rounded.waiting["relay_down"], Count::About(50));
    assert_eq!(rounded.refused["withdrawn"], Count::Exactly(0));
    let trial = rounded.trial.unwrap();
    assert_eq!(trial.sent, Count::About(950));
    assert_eq!((trial.basis["purchase"], trial.basis["popular"]), (Count::About(950), Count::Fewer(50)));
    // What is in no part is a part too.
    numbers = CampaignNumbers { n_sent: 990, waiting: BTreeMap::new(), ..sent_to(1_000, 100) };
    assert_eq!(report(&numbers, 100, 50).trial.unwrap().sent, Count::About(1_000));
    let words = [Count::Exactly(939), Count::About(950), Count::Fewer(50)].map(|count| count.to_string());
    assert_eq!(words, ["939", "about 950", "fewer than 50"]);
    assert_eq!(Count::Fewer(50).machine(), serde_json::Value::Null);
}
