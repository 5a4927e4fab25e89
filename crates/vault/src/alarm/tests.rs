//! A year of an ordinary shop, hour by hour, under several seeds: no alarm. Then what is out of the ordinary, minute by
//! minute: one alarm, in its minute. Judges that are wrong on purpose are noticed by the same year and the same cases.

use super::*;
use model::Rng;
use model::chance::Seeded;

const SEEDS: [u64; 4] = [1, 2, 3, 5];
const DAYS: i64 = 365;
const DAY_HOURS: i64 = 24;

/// A Monday, at midnight.
fn monday() -> At {
    At::parse("2026-01-05T00:00:00Z").unwrap()
}

type Judge = fn(&[Reading]) -> Vec<Finding>;

/// A shop whose traffic varies as that of shops does.
struct Shop {
    habit: Habit,
    rng: Seeded,
    judge: Judge,
    now: At,
    reviews: BTreeMap<String, At>,
    found: Vec<(At, Finding)>,
}

impl Shop {
    fn new(seed: u64, judge: Judge) -> Self {
        let reviews = BTreeMap::from([("campaign win_back", 0), ("campaign garden", 0), ("model items", 0)]);
        let reviews = reviews.into_iter().map(|(who, day)| (who.to_owned(), monday().plus_days(day))).collect();
        let (habit, rng) = (Habit::default(), Seeded::new(seed));
        Self { habit, rng, judge, now: monday(), reviews, found: Vec::new() }
    }

    fn goes_to(&mut self, day: i64, hour: i64, minute: i64) {
        self.now = monday().plus_ms((day * DAY_HOURS + hour) * HOUR_MS + minute * 60_000);
        self.habit.turn(self.now);
    }

    /// So many people, give or take a fifth.
    fn about(&self, n: f64) -> u32 {
        let rng: &dyn Rng = &self.rng;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of people")]
        let n = (n * (0.8 + 0.4 * rng.unit())).round() as u32;
        n
    }

    fn reads(&mut self, who: &str, fields: &[&str], n: u32) {
        let from = u32::try_from((&self.rng as &dyn Rng).below(1_000)).unwrap();
        let people = range(from, n);
        for field in fields {
            self.habit.asked(who, field, self.now);
            if n > 0 {
                self.habit.read(who, field, &people);
            }
        }
        let reviews = &self.reviews;
        let reviewed_at = |who: &str| if who == "page desk" { None } else { reviews.get(who).copied() };
        let readings = self.habit.readings(self.now, reviewed_at);
        let found = (self.judge)(&readings);
        self.found.extend(found.into_iter().map(|finding| (self.now, finding)));
    }

    fn opens(&mut self, staff: &str, people: std::ops::Range<u32>) {
        for person in people {
            let found = self.habit.opened(staff, person, self.now.day());
            self.found.extend(found.map(|finding| (self.now, finding)));
        }
    }

    /// One ordinary day.
    fn lives(&mut self, day: i64) {
        let rng_below = |shop: &Self, n: u64| (&shop.rng as &dyn Rng).below(n);
        let weekend = if day % 7 >= 5 { 0.55 } else { 1.0 };
        #[expect(clippy::cast_precision_loss, reason = "days of a year")]
        let growth = 1.0 + 0.6 * day as f64 / DAYS as f64;
        // Some days are twice as busy: sales, the weeks before a feast.
        let busy = if rng_below(self, 30) == 0 || (320..330).contains(&day) { 1.9 } else { 1.0 };
        let size = weekend * growth * busy;
        for hour in 0..DAY_HOURS {
            self.goes_to(day, hour, 0);
            let shape = [1.0, 3.0, 12.0, 40.0, 55.0, 48.0, 60.0, 30.0][usize::try_from(hour / 3).unwrap()];
            let n = self.about(shape * size);
            self.reads("campaign win_back", &["orders_90d", "candidates", "segment lapsed", "record contact"], n);
            // A small campaign that few people see, and one day a month a dozen.
            let is_feast = day % 30 == 17 && hour == 15;
            let n = if is_feast { 12 } else { u32::try_from(rng_below(self, 3)).unwrap() };
            self.reads("campaign garden", &["favourite_group"], n);
            if hour == 2 {
                let n = self.about(5_000.0 * growth);
                self.reads("model items", &["Order Completed"], n);
            }
            // Mail goes out on Mondays, to more people before a feast.
            if day % 7 == 0 && hour == 9 {
                let n = self.about(2_000.0 * growth * busy);
                self.reads("campaign win_back", &["email", "orders_90d", "candidates", "record contact"], n);
            }
            // Every seven weeks a new campaign, reviewed on the day it starts.
            let launch = day / 49 * 49;
            let name = format!("campaign season_{}", day / 49);
            if day == launch && hour == 8 {
                self.reviews.insert(name.clone(), self.now);
            }
            if (day - launch) % 7 == 0 && hour == 10 {
                let n = self.about(1_200.0 * growth * busy);
                self.reads(&name, &["email", "favourite_group", "record contact"], n);
            }
            if (9..17).contains(&hour) && weekend > 0.9 {
                for staff in ["Ada", "Grace", "Lin"] {
                    let first = u32::try_from(rng_below(self, 4_000)).unwrap();
                    let n = u32::try_from(rng_below(self, 3)).unwrap();
                    self.reads("page desk", &["email", "zone", "shirt_size", "Order Completed"], n);
                    self.opens(staff, first..first + n);
                }
            }
        }
    }

    /// A year, or the days until one.
    fn lives_until(mut self, day: i64) -> Self {
        (0..day).for_each(|day| self.lives(day));
        self
    }

    fn kinds(&self) -> BTreeSet<(AlarmKind, String)> {
        self.found.iter().map(|(_, finding)| (finding.kind, finding.who.clone())).collect()
    }
}

/// Each planted case by its name: what happens on day 300, minute by minute, and the minute in which it must be noticed.
fn planted(seed: u64, judge: Judge) -> Vec<(&'static str, Shop, i64)> {
    let lived = Shop::new(seed, judge).lives_until(300);
    let ordinary = || Shop {
        habit: lived.habit.clone(),
        rng: Seeded::new(seed),
        reviews: lived.reviews.clone(),
        found: lived.found.clone(),
        ..lived
    };
    let mut first = ordinary();
    first.goes_to(300, 14, 7);
    first.reads("campaign win_back", &["orders_90d", "shirt_size"], 1);

    let mut many = ordinary();
    let highest = *many.habit.counts[&pair("campaign win_back", "email")].values().max().unwrap();
    // The minute in which a steady leak of a tenth of the highest hour per minute goes past three times it.
    let per_minute = u32::try_from(highest).unwrap() / 10;
    for minute in 0..60u32 {
        many.goes_to(300, 3, i64::from(minute));
        let people = range(0, per_minute * (minute + 1));
        many.habit.read("campaign win_back", "email", &people);
        many.reads("model items", &[], 0);
    }
    let due = u64::from(per_minute);
    let due = i64::try_from((highest * TIMES_USUAL) / due).unwrap();

    let mut staff = ordinary();
    for person in 0..25u32 {
        staff.goes_to(300, 11, i64::from(person));
        staff.opens("Mallory", person..person + 1);
        staff.opens("Mallory", person..person + 1);
    }
    vec![("first", first, 14 * 60 + 7), ("many", many, 3 * 60 + due), ("staff", staff, 11 * 60 + 20)]
}

fn range(from: u32, n: u32) -> RoaringBitmap {
    let mut people = RoaringBitmap::new();
    people.insert_range(from..from + n);
    people
}

fn pair(artefact: &str, field: &str) -> Pair {
    (artefact.to_owned(), field.to_owned())
}

#[test]
fn c04_an_ordinary_year_raises_no_alarm() {
    for seed in SEEDS {
        let shop = Shop::new(seed, judge).lives_until(DAYS);
        assert!(shop.found.is_empty(), "seed {seed}: {:?}", shop.found.first());
    }
}

#[test]
fn c04_each_planted_case_is_noticed_once_and_in_its_minute() {
    let kinds = [AlarmKind::FirstRead, AlarmKind::ManyRead, AlarmKind::ManyOpened];
    for seed in SEEDS.into_iter().take(2) {
        for ((name, shop, minute), kind) in planted(seed, judge).into_iter().zip(kinds) {
            let (at, finding) = shop.found.first().unwrap_or_else(|| panic!("seed {seed}: {name} was not noticed"));
            assert_eq!(finding.kind, kind, "{name}");
            assert_eq!(shop.kinds().len(), 1, "{name}: {:?}", shop.kinds());
            let due = monday().plus_days(300).plus_ms(minute * 60_000);
            let late = at.ms() - due.ms();
            assert!((0..=60_000).contains(&late), "seed {seed}: {name} was noticed at {at}, due at {due}");
        }
    }
}

#[test]
fn c04_control_judges_that_are_wrong_on_purpose_are_noticed() {
    // More than ever before is not far above: the year is lively enough to catch a judge that thinks so.
    let nervous: Judge = |readings| {
        let lower = |reading: &Reading| Reading { highest: reading.highest / TIMES_USUAL, ..reading.clone() };
        judge(&readings.iter().map(lower).collect::<Vec<_>>())
    };
    // Without the floor, three after one would be an alarm.
    let petty: Judge = |readings| {
        let higher = |reading: &Reading| {
            let is_more = reading.n > reading.highest * TIMES_USUAL;
            Reading { n: if is_more { reading.n.max(READS_FLOOR) } else { reading.n }, ..reading.clone() }
        };
        judge(&readings.iter().map(higher).collect::<Vec<_>>())
    };
    // A review gives no time to learn.
    let strict: Judge = |readings| {
        let known = |reading: &Reading| Reading { is_learning: false, ..reading.clone() };
        judge(&readings.iter().map(known).collect::<Vec<_>>())
    };
    for (name, wrong) in [("nervous", nervous), ("petty", petty), ("strict", strict)] {
        let caught = SEEDS.iter().any(|seed| !Shop::new(*seed, wrong).lives_until(120).found.is_empty());
        assert!(caught, "{name}: no ordinary year shows that it is wrong");
    }
    let blind: Judge = |_| Vec::new();
    let missed = planted(SEEDS[0], blind).into_iter().filter(|(_, shop, _)| shop.found.is_empty()).count();
    assert_eq!(missed, 2, "who never judges a reading misses both cases of reading");
}

#[test]
fn what_is_usual_is_what_was_so_in_four_weeks() {
    let reading = |n, highest, is_first, is_learning| Reading {
        artefact: "campaign a".into(),
        field: "email".into(),
        n,
        highest,
        is_first,
        is_learning,
    };
    let kinds = |reading| judge(&[reading]).iter().map(|finding| finding.kind).collect::<Vec<_>>();
    assert_eq!(kinds(reading(3, 1, false, false)), []);
    assert_eq!(kinds(reading(49, 0, false, false)), [], "below the floor");
    assert_eq!(kinds(reading(50, 0, false, false)), [AlarmKind::ManyRead]);
    assert_eq!(kinds(reading(300, 100, false, false)), [], "three times is not more than three times");
    assert_eq!(kinds(reading(301, 100, false, false)), [AlarmKind::ManyRead]);
    assert_eq!(kinds(reading(0, 0, true, false)), [AlarmKind::FirstRead], "asking is enough");
    assert_eq!(kinds(reading(500, 0, true, true)), [], "on its first day it learns");

    let mut habit = Habit::default();
    let read = |habit: &mut Habit, hours: i64, n: u32| {
        let at = monday().plus_ms(hours * HOUR_MS);
        let gone = habit.turn(at);
        habit.read("campaign a", "email", &range(0, n));
        let readings = habit.readings(at, |_| Some(monday().plus_days(-9)));
        (readings[0].n, readings[0].highest, gone.len())
    };
    assert_eq!(read(&mut habit, 0, 100), (100, 0, 0));
    assert_eq!(read(&mut habit, 0, 100), (100, 0, 0), "who is read twice in an hour counts once");
    assert_eq!(read(&mut habit, HABIT_HOURS, 7), (7, 100, 0));
    assert_eq!(read(&mut habit, HABIT_HOURS + 1, 7), (7, 7, 1), "after four weeks it is not usual any more");
}

#[test]
fn a_house_that_counted_later_than_it_was_reviewed_learns_for_a_week_and_a_dormant_artefact_does_not() {
    let is_learning = |since: i32, reviewed: i32, at: i32| {
        let mut habit = Habit { since: Some(monday().plus_days(since)), ..Habit::default() };
        let at = monday().plus_days(at);
        habit.turn(at);
        habit.asked("campaign a", "email", at);
        habit.readings(at, |_| Some(monday().plus_days(reviewed)))[0].is_learning
    };
    assert!(is_learning(0, -30, 6) && !is_learning(0, -30, 7));
    assert!(is_learning(0, 5, 5) && !is_learning(0, 5, 6));
    assert!(!is_learning(0, 5, 26), "reviewed and forgotten, then started: somebody has to look");
}

#[test]
fn staff_are_counted_by_the_day_and_by_different_people() {
    let mut habit = Habit::default();
    let day = monday().day();
    assert!((0..20).all(|person| habit.opened("Ada", person, day).is_none()));
    assert!((0..20).all(|person| habit.opened("Ada", person, day).is_none()), "the same people again");
    assert!((20..40).all(|person| habit.opened("Grace", person, day).is_none()), "somebody else");
    assert!(habit.opened("Ada", 20, day).is_some());
    assert!(habit.opened("Ada", 21, day.plus(1)).is_none(), "the next day");
    assert!(habit.opened("Ada", 22, day).is_none(), "yesterday is over");
}
