//! Following a small house in memory: candidates with their reasons, audiences counted, and nobody there who should not be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    At, Class, Clock, ConsentStatus, EventKind, EventName, FactName, FieldName, ItemCode, LineItem, Method, Money,
    ProfileId, PurposeName, SourceName, TraitName, Trust, Value, Words,
};
use promise::{ArtefactKind, Promise};
use std::collections::BTreeMap;
use std::sync::Arc;
use understand::Traits;
use understand::follow::Follower;
use vault::{ConsentChange, Household, Identifier, IdentifierKind, Intake, Item, MessageKey, Outcome, Subject, Vault};

struct House {
    vault: Vault,
    clock: Arc<ManualClock>,
    promise: Arc<Promise>,
    n_events: u64,
}

fn code(text: &str) -> ItemCode {
    ItemCode::parse(text).unwrap()
}

fn subject(user: &str) -> Subject {
    let user = Identifier { kind: IdentifierKind::User, value: user.to_owned() };
    Subject::Identifiers { user: Some(user), anonymous: None }
}

impl House {
    fn new() -> Self {
        let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
        let household = Household {
            promise: Arc::clone(&promise),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            rng: Arc::new(Seeded::new(7)),
            projection: Arc::new(Traits::new(&promise)),
        };
        let vault = Vault::in_memory(household).unwrap();
        let item = |code_text: &str, group: &str, class| Item {
            code: code(code_text),
            title: code_text.to_lowercase(),
            group: group.to_owned(),
            class,
            price: None,
        };
        let items = vec![
            item("KETTLE", "kitchen", Class::Plain),
            item("TEAPOT", "kitchen", Class::Plain),
            item("SPADE", "garden", Class::Plain),
            item("BIB", "baby", Class::Sensitive),
        ];
        vault.put_items(items).unwrap().wait().unwrap();
        Self { vault, clock, promise, n_events: 0 }
    }

    fn order(&mut self, user: &str, days_ago: i32, refund: bool, items: &[&str]) -> ProfileId {
        self.n_events += 1;
        let at = self.clock.now().plus_days(-days_ago);
        let sign = if refund { -1 } else { 1 };
        let price = Money { micros: 2_000_000, currency: self.promise.currency };
        let line = |(row, item): (u64, &&str)| LineItem { row, item: code(item), quantity: sign, price };
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.n_events.to_be_bytes());
        let intake = Intake {
            subject: subject(user),
            kind: EventKind::Track,
            name: EventName::parse(if refund { "Order Refunded" } else { "Order Completed" }).unwrap(),
            source: SourceName::parse("history").unwrap(),
            trust: Trust::Import,
            occurred_at: at,
            source_day: None,
            properties: BTreeMap::from([("total".to_owned(), Value::Money(price))]),
            lines: (1..).zip(items).map(line).collect(),
            fields: vec![(FieldName::parse("email").unwrap(), Value::Text(format!("{user}@shop.example")))],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::History(key),
        };
        match self.vault.take(vec![intake]).unwrap().wait().unwrap().remove(0) {
            Outcome::Kept { profile, .. } => profile,
            other => panic!("not kept: {other:?}"),
        }
    }

    fn answer(&self, user: &str, status: ConsentStatus, level: Option<&str>) {
        let change = ConsentChange {
            subject: subject(user),
            source: Some(SourceName::parse("shop").unwrap()),
            purpose: PurposeName::parse("offers").unwrap(),
            status,
            level: level.map(str::to_owned),
            words: Words { text: "Offers?".into(), language: "en".into(), answered_at: self.clock.now() },
            method: Method::Server,
            notice_version: 1,
            made_up: false,
        };
        self.vault.consent(change).unwrap().wait().unwrap();
    }

    fn follow(&self, follower: &mut Follower) {
        for _ in 0..100 {
            let progress = follower.step(&self.vault, 20).unwrap();
            if progress == understand::follow::Progress::default() {
                return;
            }
        }
        panic!("following does not end");
    }

    /// Candidates of a person as the campaign may read them: (item, because).
    fn candidates(&self, person: ProfileId) -> Option<Vec<(String, Option<String>)>> {
        let snapshot = self.vault.snapshot();
        let campaign = self.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
        let permit = snapshot.permit(person, campaign).ok()?;
        let name = FactName::Trait(TraitName::parse("candidates").unwrap());
        let fact = permit.fact(&name).ok()??;
        assert!(fact.reveal().expires_at <= self.clock.now().plus_days(1_096));
        let Value::Ranking(ranking) = &fact.reveal().value else { panic!("not a ranking") };
        let text = |code: &ItemCode| code.as_str().to_owned();
        Some(ranking.iter().map(|ranked| (text(&ranked.item), ranked.because.as_ref().map(text))).collect())
    }

    fn record(&self, name: &str) -> serde_json::Value {
        let bytes = self.vault.snapshot().house_record(name).unwrap();
        bytes.map_or(serde_json::Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
    }
}

/// 60 lapsed people who own a kettle; the first 30 of them also a teapot, five a bib; all agreed.
fn kettles() -> (House, Vec<ProfileId>) {
    let mut house = House::new();
    let mut people = Vec::new();
    for n in 0..60 {
        let user = format!("u{n}");
        let person = house.order(&user, 300, false, &["KETTLE"]);
        house.order(&user, 250, false, if n < 30 { &["TEAPOT", "KETTLE"] } else { &["KETTLE"] });
        house.order(&user, 200, false, if n < 5 { &["BIB"] } else { &["KETTLE"] });
        house.answer(&user, ConsentStatus::Given, None);
        people.push(person);
    }
    (house, people)
}

#[test]
fn b14_candidates_come_with_the_purchase_that_speaks_for_them() {
    let (house, people) = kettles();
    let mut follower = Follower::new();
    house.follow(&mut follower);
    assert_eq!(house.candidates(people[40]).unwrap(), [("TEAPOT".to_owned(), Some("KETTLE".to_owned()))]);
    assert_eq!(house.candidates(people[10]), None, "whoever owns both is offered neither, and few own a spade");
    for person in &people {
        let candidates = house.candidates(*person).unwrap_or_default();
        assert!(candidates.iter().all(|(item, because)| item != "BIB" && because.as_deref() != Some("BIB")));
    }
}

#[test]
fn an_audience_is_counted_and_few_are_not_told() {
    let (house, _) = kettles();
    house.follow(&mut Follower::new());
    let counts = house.record("combination/lapsed");
    assert_eq!(counts["n_people"], 60);
    assert_eq!(counts["items"], serde_json::json!({"KETTLE": 60}), "30 teapots are fewer than the smallest group");
    assert_eq!(counts["groups"], serde_json::json!({"kitchen": 60}));
    assert_eq!(house.record("model/popular")["items"], serde_json::json!(["KETTLE"]));
}

#[test]
fn an_audience_that_has_moved_is_counted_anew_within_a_minute() {
    let mut house = House::new();
    let lapse = |house: &mut House, n: u64| {
        let user = format!("u{n}");
        for days_ago in [300, 250, 200] {
            house.order(&user, days_ago, false, &["KETTLE"]);
        }
        house.answer(&user, ConsentStatus::Given, None);
    };
    // Enough to learn from, too few to write to.
    for n in 0..60 {
        let user = format!("once{n}");
        house.order(&user, 10, false, &["TEAPOT"]);
        house.answer(&user, ConsentStatus::Given, None);
    }
    for n in 0..49 {
        lapse(&mut house, n);
    }
    let mut follower = Follower::new();
    house.follow(&mut follower);
    let n_people = |house: &House| house.record("combination/lapsed")["n_people"].as_u64().unwrap();
    assert_eq!(n_people(&house), 0);
    // Whoever comes in, and when that is known: at the floor, at 10 % more, above 10 % more.
    for (n, counted) in [(50, 50), (55, 50), (56, 56)] {
        for n in n_people(&house).max(49)..n {
            lapse(&mut house, n);
        }
        let before = n_people(&house);
        house.clock.advance_ms(59_999);
        house.follow(&mut follower);
        assert_eq!(n_people(&house), before, "at most once a minute");
        house.clock.advance_ms(1);
        house.follow(&mut follower);
        assert_eq!(n_people(&house), counted, "{n} people");
    }
    // And the other way round: fewer than the smallest group are not told.
    for n in 0..7 {
        house.answer(&format!("u{n}"), ConsentStatus::Withdrawn, None);
    }
    house.clock.advance_ms(60_000);
    house.follow(&mut follower);
    assert_eq!(n_people(&house), 0);
}

#[test]
fn what_is_bought_or_given_back_changes_the_candidates() {
    let (mut house, people) = kettles();
    let mut follower = Follower::new();
    house.follow(&mut follower);
    assert!(house.candidates(people[40]).is_some());
    house.order("u40", 0, false, &["TEAPOT"]);
    house.follow(&mut follower);
    assert_eq!(house.candidates(people[40]), None);
    house.order("u40", 0, true, &["TEAPOT"]);
    house.follow(&mut follower);
    assert!(house.candidates(people[40]).is_some());
}

#[test]
fn whoever_agrees_later_is_served_without_another_order() {
    let (mut house, _) = kettles();
    let late = house.order("late", 200, false, &["KETTLE"]);
    let mut follower = Follower::new();
    house.follow(&mut follower);
    assert_eq!(house.candidates(late), None);
    house.answer("late", ConsentStatus::Given, None);
    house.follow(&mut follower);
    assert_eq!(house.candidates(late).unwrap(), [("TEAPOT".to_owned(), Some("KETTLE".to_owned()))]);
}

#[test]
fn whoever_said_no_or_shares_less_has_no_candidates_and_is_not_counted() {
    let (mut house, people) = kettles();
    let no = house.order("no", 200, false, &["KETTLE"]);
    house.answer("no", ConsentStatus::Refused, None);
    house.answer("u41", ConsentStatus::Given, Some("little"));
    house.answer("u42", ConsentStatus::Withdrawn, None);
    house.follow(&mut Follower::new());
    for person in [no, people[41], people[42]] {
        assert_eq!(house.candidates(person), None);
    }
    let counts = house.record("combination/lapsed");
    assert_eq!((&counts["n_people"], &counts["items"]["KETTLE"]), (&59.into(), &58.into()));
}

#[test]
fn b03_fewer_than_the_smallest_group_teach_and_tell_nothing() {
    let mut house = House::new();
    for n in 0..49 {
        house.order(&format!("u{n}"), 200, false, &["KETTLE", "TEAPOT"]);
        house.answer(&format!("u{n}"), ConsentStatus::Given, None);
    }
    house.follow(&mut Follower::new());
    for name in ["model/popular", "combination/lapsed"] {
        assert_eq!(house.record(name), serde_json::Value::Null, "{name}");
    }
    assert!(house.vault.snapshot().house_record("model/items").unwrap().is_none());
}

#[test]
fn b03_what_forty_nine_bought_is_neither_counted_nor_popular_nor_proposed() {
    let mut house = House::new();
    let mut people = Vec::new();
    for n in 0..60 {
        let user = format!("u{n}");
        people.push(house.order(&user, 300, false, &["KETTLE"]));
        house.order(&user, 250, false, &["KETTLE"]);
        house.order(&user, 200, false, if n < 49 { &["SPADE"] } else { &["KETTLE"] });
        house.answer(&user, ConsentStatus::Given, None);
    }
    for n in 0..49 {
        let user = format!("tea{n}");
        house.order(&user, 10, false, &["TEAPOT"]);
        house.answer(&user, ConsentStatus::Given, None);
    }
    house.follow(&mut Follower::new());
    let counts = house.record("combination/lapsed");
    assert_eq!(counts["items"], serde_json::json!({"KETTLE": 60}), "49 spades are not told");
    assert_eq!(counts["groups"], serde_json::json!({"kitchen": 60}), "nor that 49 bought for the garden");
    let popular = house.record("model/popular");
    assert_eq!(popular["items"], serde_json::json!(["KETTLE"]));
    assert_eq!(popular["groups"], serde_json::json!({"kitchen": ["KETTLE"]}));
    let proposed = |person| house.candidates(person).unwrap_or_default();
    assert!(people.iter().all(|person| proposed(*person).iter().all(|(item, _)| item != "TEAPOT")));
}

#[test]
fn another_follower_goes_on_where_the_mark_lies_and_learns_again_the_next_day() {
    let (house, people) = kettles();
    house.follow(&mut Follower::new());
    let mut next = Follower::new();
    let first = next.step(&house.vault, 20).unwrap();
    assert!(!first.is_learnt && first.n_served == 0);
    house.clock.advance_days(1);
    assert!(next.step(&house.vault, 20).unwrap().is_learnt);
    house.follow(&mut next);
    assert!(house.candidates(people[40]).is_some());
}
