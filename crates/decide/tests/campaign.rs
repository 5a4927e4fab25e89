//! A campaign over a small house in memory: its run, and the door for a place on a page.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use base64::Engine;
use decide::http::{Door, routes};
use decide::order::{Wish, order};
use decide::records::{CampaignState, Combination, Popular, RunState, State};
use decide::run::{Progress, Runs};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    At, Awareness, CampaignName, Class, Clock, ConsentStatus, Context, Day, Event, EventKind, EventName, Fact,
    FactName, FieldName, ItemCode, LineItem, Method, Money, ProfileId, Provenance, PurposeName, RankedItem,
    SegmentName, SourceName, TraitName, Trust, Value, Words,
};
use promise::{ArtefactKind, Promise};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tower::util::ServiceExt;
use vault::{
    AttemptEnd, Bucket, ConsentChange, FactWrite, Household, Identifier, IdentifierKind, Intake, Item, MessageKey,
    Outcome, Projection, Reduction, Subject, TraitColumn, Vault,
};

/// Two traits, one segment: whoever ordered three times, but not lately. The real projection is another room's.
struct ThreeOrders {
    columns: Vec<TraitColumn>,
    segments: Vec<SegmentName>,
}

impl Projection for ThreeOrders {
    fn columns(&self) -> &[TraitColumn] {
        &self.columns
    }
    fn fold(&self, event: &Event, sign: i64, buckets: &mut Vec<Bucket>) {
        let day = event.occurred_at.day();
        buckets.extend([0, 1].map(|column| Bucket { column, day, amount: sign }));
        buckets.sort_by_key(|bucket| (bucket.column, bucket.day));
    }
    fn values(&self, buckets: &[Bucket], today: Day) -> (Vec<Option<i64>>, Option<Day>) {
        let sum = |column: u16, since: Day| {
            let counts = buckets.iter().filter(|bucket| bucket.column == column && bucket.day > since);
            Some(counts.map(|bucket| bucket.amount).sum())
        };
        (vec![sum(0, today.plus(-1_000)), sum(1, today.plus(-90))], None)
    }
    fn segments(&self) -> &[SegmentName] {
        &self.segments
    }
    fn members(&self, values: &[Option<i64>]) -> Vec<bool> {
        vec![values[0] >= Some(3) && values[1] == Some(0)]
    }
}

struct House {
    vault: Vault,
    clock: Arc<ManualClock>,
    promise: Arc<Promise>,
    people: Vec<ProfileId>,
    n_asked: AtomicU64,
}

fn code(text: &str) -> ItemCode {
    ItemCode::parse(text).unwrap()
}

fn subject(user: &str) -> Subject {
    let user = Identifier { kind: IdentifierKind::User, value: user.to_owned() };
    Subject::Identifiers { user: Some(user), anonymous: None }
}

impl House {
    /// `n` people of three old orders of a kettle, who agreed to offers and have candidates.
    fn new(n: usize) -> Self {
        Self::under(promise::fixture::SHOP, n)
    }

    fn under(promise: &str, n: usize) -> Self {
        let promise = Arc::new(promise::parse("shop.toml", promise).unwrap());
        let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
        let projection = ThreeOrders {
            columns: ["orders_all", "orders_90d"]
                .map(|name| TraitColumn {
                    name: TraitName::parse(name).unwrap(),
                    event: EventName::parse("Order Completed").unwrap(),
                })
                .to_vec(),
            segments: vec![SegmentName::parse("lapsed").unwrap()],
        };
        let household = Household {
            promise: Arc::clone(&promise),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            rng: Arc::new(Seeded::new(11)),
            projection: Arc::new(projection),
        };
        let vault = Vault::in_memory(household).unwrap();
        let item = |text: &str, group: &str| Item {
            code: code(text),
            title: text.to_lowercase(),
            group: group.to_owned(),
            class: Class::Plain,
            price: None,
        };
        vault
            .put_items(vec![item("KETTLE", "kitchen"), item("TEAPOT", "kitchen"), item("SPADE", "garden")])
            .unwrap()
            .wait()
            .unwrap();
        let mut house = Self { vault, clock, promise, people: Vec::new(), n_asked: AtomicU64::new(5) };
        for n in 0..n {
            house.person(n);
        }
        house
    }

    fn person(&mut self, n: usize) {
        let user = format!("u{n}");
        let profile = [200, 201, 202].map(|days| self.order(n, days))[0];
        self.answer(&user, ConsentStatus::Given);
        let now = self.clock.now();
        let fact = Fact {
            name: FactName::Trait(TraitName::parse("candidates").unwrap()),
            value: Value::Ranking(vec![RankedItem {
                item: code("TEAPOT"),
                because: Some(code("KETTLE")),
                score_micros: 5,
            }]),
            class: Class::Personal,
            context: Context::Shopping,
            provenance: Provenance::Inferred { ancestors: vec!["Order Completed".into()] },
            as_of: now,
            told_at: Some(now),
            told_how: Awareness::InNotice,
            purposes: Vec::new(),
            notice_version: 1,
            expires_at: now.plus_days(300),
        };
        self.people.push(profile);
        let Some(model) = self.promise.artefact(ArtefactKind::Model, "items") else { return };
        let artefact = model.id;
        let write = FactWrite { person: profile, artefact, fact: Some(fact), remove: None, inputs_expire_at: None };
        self.vault.write_facts(vec![write]).unwrap().wait().unwrap().remove(0).unwrap();
    }

    /// A person's order of some days ago.
    fn order(&self, n: usize, days: i32) -> ProfileId {
        let user = format!("u{n}");
        let price = Money { micros: 2_000_000, currency: self.promise.currency };
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(n as u64).to_be_bytes());
        key[8..12].copy_from_slice(&days.to_be_bytes());
        let order = Intake {
            subject: subject(&user),
            kind: EventKind::Track,
            name: EventName::parse("Order Completed").unwrap(),
            source: SourceName::parse("history").unwrap(),
            trust: Trust::Import,
            occurred_at: self.clock.now().plus_days(-days),
            source_day: None,
            properties: BTreeMap::from([("total".to_owned(), Value::Money(price))]),
            lines: vec![LineItem { row: 1, item: code("KETTLE"), quantity: 1, price }],
            fields: vec![(FieldName::parse("email").unwrap(), Value::Text(format!("{user}@shop.example")))],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::History(key),
        };
        match self.vault.take(vec![order]).unwrap().wait().unwrap()[0] {
            Outcome::Kept { profile, .. } => profile,
            other => panic!("not kept: {other:?}"),
        }
    }

    /// What somebody says about themselves in the portal.
    fn state_taste(&self, person: ProfileId, taste: &str) {
        let now = self.clock.now();
        let fact = Fact {
            name: FactName::Field(FieldName::parse("favourite_group").unwrap()),
            value: Value::Text(taste.to_owned()),
            class: Class::Plain,
            context: Context::Shopping,
            provenance: Provenance::Provided { source: SourceName::parse("portal").unwrap() },
            as_of: now,
            told_at: Some(now),
            told_how: Awareness::AtTheMoment,
            purposes: Vec::new(),
            notice_version: 1,
            expires_at: now.plus_days(300),
        };
        let artefact = self.promise.artefact(ArtefactKind::Page, promise::Artefact::PORTAL).unwrap().id;
        let write = FactWrite { person, artefact, fact: Some(fact), remove: None, inputs_expire_at: None };
        self.vault.write_facts(vec![write]).unwrap().wait().unwrap().remove(0).unwrap();
    }

    /// Somebody whom the lot does not leave alone, and the request for their place on the page.
    fn somebody(&self) -> (usize, serde_json::Value) {
        let n = self.people.iter().position(|person| !is_held_out(person)).unwrap();
        (n, serde_json::json!({"userId": format!("u{n}"), "placement": "home"}))
    }

    fn answer(&self, user: &str, status: ConsentStatus) {
        self.answer_with(user, status, None);
    }

    fn answer_with(&self, user: &str, status: ConsentStatus, level: Option<&str>) {
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

    fn put(&self, name: &str, value: &impl serde::Serialize) {
        self.vault.put_house_record(name, Some(serde_json::to_vec(value).unwrap())).unwrap().wait().unwrap();
    }

    fn start(&self, run: u32) {
        for campaign in self.promise.campaigns.keys() {
            let state = running(run);
            self.put(&format!("campaign/{campaign}"), &state);
        }

        self.count();
        let garden = BTreeMap::from([("garden".to_owned(), vec!["SPADE".to_owned()])]);
        self.put("model/popular", &Popular { items: vec!["SPADE".into()], groups: garden });
    }

    /// Counts the audience as `understand` does.
    fn count(&self) {
        let n = u32::try_from(self.people.len()).unwrap();
        let n_told = if n < self.promise.guard.smallest_group { 0 } else { n };
        let of = |name: &str| BTreeMap::from([(name.to_owned(), n_told)]);
        let counts = Combination { n_people: n_told, items: of("KETTLE"), groups: of("kitchen") };
        self.put("combination/lapsed", &counts);
    }

    fn run(&self) -> usize {
        let (mut runs, rng) = (Runs::new(), Seeded::new(3));
        let mut n_decided = 0;
        for _ in 0..100 {
            let progress = runs.step(&self.vault, &rng, 17).unwrap();
            assert!(progress.n_asked <= 17);
            n_decided += progress.n_decided;
            if progress.n_left == 0 {
                return n_decided;
            }
        }
        panic!("the run does not end");
    }

    fn state(&self) -> CampaignState {
        serde_json::from_slice(&self.vault.snapshot().house_record("campaign/win_back").unwrap().unwrap()).unwrap()
    }

    fn numbers(&self) -> vault::CampaignNumbers {
        let campaign = self.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
        self.vault.snapshot().campaign_numbers(campaign).unwrap()
    }

    fn key(&self, source: &str) -> String {
        self.vault.issue_source_key(&SourceName::parse(source).unwrap(), false).unwrap().wait().unwrap()
    }

    async fn ask(&self, key: &str, body: serde_json::Value) -> (StatusCode, serde_json::Value) {
        let (status, allowed, answer) = self.ask_from("http://localhost:4000", key, body).await;
        assert_eq!(allowed.as_deref(), Some("http://localhost:4000"));
        (status, answer)
    }

    /// Asks from a page of this origin; says which origin may read the answer.
    async fn ask_from(
        &self,
        origin: &str,
        key: &str,
        body: serde_json::Value,
    ) -> (StatusCode, Option<String>, serde_json::Value) {
        let door = Door::new(
            self.vault.clone(),
            Arc::new(Seeded::new(self.n_asked.fetch_add(1, Relaxed))),
            "http://localhost:4000/",
        );
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        let request = Request::post("/v1/decide")
            .header(header::AUTHORIZATION, format!("Basic {basic}"))
            .header(header::ORIGIN, origin)
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = routes(Arc::new(door)).oneshot(request).await.unwrap();
        let allowed = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        let allowed = allowed.map(|origin| origin.to_str().unwrap().to_owned());
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
        (status, allowed, serde_json::from_slice(&bytes).unwrap())
    }
}

#[test]
fn a_browser_key_answers_only_the_pages_that_its_source_names() {
    let house = House::new(1);
    let (web, shop) = (house.key("web"), house.key("shop"));
    let body = || serde_json::json!({ "anonymousId": "b1", "placement": "home" });
    blocking(async {
        let (status, allowed, _) = house.ask_from("HTTP://localhost:4000", &web, body()).await;
        assert_eq!((status, allowed.as_deref()), (StatusCode::OK, Some("HTTP://localhost:4000")));
        for foreign in ["https://elsewhere.example", "http://localhost:40000", "null"] {
            let (status, allowed, answer) = house.ask_from(foreign, &web, body()).await;
            assert_eq!((status, allowed), (StatusCode::FORBIDDEN, None), "{foreign}");
            assert_eq!(answer["code"], "wrong_origin");
            let (status, allowed, _) = house.ask_from(foreign, &shop, body()).await;
            assert_eq!((status, allowed), (StatusCode::OK, None), "a secret key is not bound to a page");
        }
    });
}

#[test]
fn why_nobody_was_decided_can_be_read_for_the_present_run() {
    let house = House::new(60);
    house.start(1);
    let campaign = CampaignName::parse("win_back").unwrap();
    let outcomes = BTreeMap::from([("no_address".to_owned(), 61)]);
    for (run, expected) in [(1, &outcomes), (2, &BTreeMap::new())] {
        house.put("run/win_back", &RunState { run, outcomes: outcomes.clone(), ..RunState::default() });
        assert_eq!(&decide::house::refusals(&house.vault.snapshot(), &campaign).unwrap(), expected);
    }
}

fn running(run: u32) -> CampaignState {
    CampaignState { state: State::Running, run, started_at: 1, by: "Demo".into(), refused_for: None }
}

fn is_held_out(person: &ProfileId) -> bool {
    decide::decide::is_held_out(&CampaignName::parse("win_back").unwrap(), person, 100)
}

fn blocking<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

#[test]
fn everybody_of_the_audience_is_decided_once_per_run() {
    let house = House::new(70);
    assert_eq!(house.run(), 0, "nothing happens before the campaign is started");
    house.start(1);
    assert_eq!(house.run(), 70);
    assert_eq!(house.run(), 0, "another process finds everything done");
    let numbers = house.numbers();
    let n_held_out = house.people.iter().filter(|person| is_held_out(person)).count() as u64;
    assert_eq!((numbers.n_treated, numbers.n_held_out), (70 - n_held_out, n_held_out));
    assert_eq!(numbers.basis.get("purchase"), Some(&(70 - n_held_out)));
    assert_eq!(house.vault.snapshot().outbox_due(100).unwrap().len() as u64, 70 - n_held_out);
}

#[test]
fn b03_an_audience_of_one_by_rule_is_refused_and_says_so() {
    for (n, state) in [(1, State::Refused), (49, State::Refused), (50, State::Running)] {
        let house = House::new(n);
        house.start(1);
        let n_decided = house.run();
        assert_eq!(house.state().state, state, "{n} people");
        assert_eq!(n_decided, if state == State::Running { 50 } else { 0 });
        assert_eq!(house.state().by, "Demo");
        let word = (state == State::Refused).then(|| "group_too_small".to_owned());
        assert_eq!(house.state().refused_for, word);
    }
}

#[test]
fn counts_of_too_few_refuse_nobody_who_comes_later() {
    let mut house = House::new(49);
    house.start(1);
    let (mut runs, rng) = (Runs::new(), Seeded::new(3));
    let mut step = |house: &House| runs.step(&house.vault, &rng, 1_000).unwrap();
    assert_eq!(step(&house), Progress::default());
    assert_eq!(house.state().state, State::Refused);
    // People come in, and staff start it again before the counts are taken anew.
    for n in 49..60 {
        house.person(n);
    }
    let state = CampaignState { state: State::Running, run: 2, started_at: 2, by: "Demo".into(), refused_for: None };
    house.put("campaign/win_back", &state);
    for _ in 0..2 {
        assert_eq!(step(&house), Progress { n_left: 60, ..Progress::default() }, "nobody is asked");
    }
    house.count();
    assert_eq!(step(&house), Progress { n_asked: 60, n_decided: 60, n_left: 0 });
    assert_eq!(house.state().state, State::Running);
}

#[test]
fn who_withdrew_or_turned_it_down_is_counted_and_not_decided() {
    let house = House::new(60);
    house.answer("u3", ConsentStatus::Withdrawn);
    let offer = model::OfferName::parse("come_back").unwrap();
    house.vault.reduce(house.people[4], Reduction::NotThis { offer, item: None }).unwrap().wait().unwrap();
    house.start(1);
    assert_eq!(house.run(), 58);
    let run: RunState =
        serde_json::from_slice(&house.vault.snapshot().house_record("run/win_back").unwrap().unwrap()).unwrap();
    assert_eq!(run.outcomes, BTreeMap::from([("turned_down".to_owned(), 1)]));
    assert_eq!((run.run, run.n_decided), (1, 58));
}

#[test]
fn whoever_shares_less_than_items_is_offered_what_many_buy() {
    let house = House::new(60);
    let key = house.key("shop");
    let n = house.people.iter().position(|person| !is_held_out(person)).unwrap();
    house.answer_with(&format!("u{n}"), ConsentStatus::Given, Some("little"));
    house.start(1);
    house.run();
    assert_eq!(house.numbers().basis.get("popular"), Some(&1));
    let (_, answer) = blocking(house.ask(&key, serde_json::json!({"userId": format!("u{n}"), "placement": "home"})));
    assert_eq!(answer["offer"]["item"], "SPADE");
    assert!(answer["reason"].as_str().unwrap().ends_with("We picked spade because many people buy it."));
}

#[test]
fn newcomers_are_decided_and_a_new_run_decides_everybody_again() {
    let mut house = House::new(55);
    house.start(1);
    let (mut runs, rng) = (Runs::new(), Seeded::new(3));
    let mut all = |house: &House| {
        let progress = std::iter::repeat_with(|| runs.step(&house.vault, &rng, 1_000).unwrap());
        progress.take(3).map(|progress| progress.n_decided).sum::<usize>()
    };
    assert_eq!(all(&house), 55);
    house.person(55);
    assert_eq!(all(&house), 1);
    house.start(2);
    assert_eq!(all(&house), 56);
}

#[test]
fn the_page_shows_the_decision_of_the_mail() {
    let house = House::new(60);
    let key = house.key("shop");
    house.start(1);
    house.run();
    let n = house.people.iter().position(|person| !is_held_out(person)).unwrap();
    let body = serde_json::json!({"userId": format!("u{n}"), "placement": "home"});
    let (status, answer) = blocking(house.ask(&key, body.clone()));
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["offer"]["title"], "A little something for you");
    assert_eq!(answer["offer"]["says"], "teapot is 20% off for you this week.");
    assert_eq!((&answer["offer"]["item"], &answer["offer"]["code"]), (&"TEAPOT".into(), &"BACK20".into()));
    assert!(answer["reason"].as_str().unwrap().ends_with("We picked teapot because you bought kettle."));
    assert!(answer["why_url"].as_str().unwrap().starts_with("http://localhost:4000/m/"));
    let (_, again) = blocking(house.ask(&key, body));
    assert_eq!(again["decision_id"], answer["decision_id"]);
    assert_eq!(house.numbers().n_treated, house.people.iter().filter(|person| !is_held_out(person)).count() as u64);
}

#[test]
fn a_page_decides_itself_when_no_mail_did_and_obeys_what_was_taken_back() {
    let house = House::new(60);
    let key = house.key("shop");
    let n = house.people.iter().position(|person| !is_held_out(person)).unwrap();
    let body = serde_json::json!({"userId": format!("u{n}"), "placement": "home"});
    assert_eq!(blocking(house.ask(&key, body.clone())).1["reason"], "nothing_fits", "the campaign does not run");
    house.start(1);
    let (_, first) = blocking(house.ask(&key, body.clone()));
    assert!(first["offer"].is_object());
    let (_, again) = blocking(house.ask(&key, body.clone()));
    assert_eq!(again["decision_id"], first["decision_id"]);
    house.answer(&format!("u{n}"), ConsentStatus::Withdrawn);
    let (status, after) = blocking(house.ask(&key, body));
    assert_eq!(
        (status, &after["offer"], &after["reason"]),
        (StatusCode::OK, &serde_json::Value::Null, &"withdrawn".into())
    );
    let (_, elsewhere) = blocking(house.ask(&key, serde_json::json!({"userId": "u1", "placement": "footer"})));
    assert_eq!(elsewhere["reason"], "nothing_fits");
}

#[test]
fn what_a_page_shows_follows_the_level_the_purchases_and_the_taste_of_now() {
    let house = House::new(60);
    let key = house.key("shop");
    let (n, body) = house.somebody();
    house.start(1);
    let ask = || blocking(house.ask(&key, body.clone())).1;
    let says = |answer: &serde_json::Value, why: &str| {
        assert!(answer["reason"].as_str().unwrap().ends_with(why), "{answer}");
    };
    let first = ask();
    says(&first, "because you bought kettle.");

    house.answer_with(&format!("u{n}"), ConsentStatus::Given, Some("little"));
    let narrowed = ask();
    says(&narrowed, "because many people buy it.");
    assert_ne!(narrowed["decision_id"], first["decision_id"]);
    assert_eq!(ask()["decision_id"], narrowed["decision_id"], "what holds stands");

    house.answer_with(&format!("u{n}"), ConsentStatus::Given, None);
    house.clock.advance_ms(1);
    house.state_taste(house.people[n], "garden");
    let stated = ask();
    says(&stated, "because you told us that you like garden.");
    assert_eq!(ask()["decision_id"], stated["decision_id"]);
    assert_eq!(house.numbers().basis, BTreeMap::from([("stated".to_owned(), 1)]), "one decision stands");

    house.order(n, 0);
    let gone = ask();
    assert_eq!((&gone["offer"], &gone["reason"]), (&serde_json::Value::Null, &"not_in_segment".into()));
}

#[test]
fn two_requests_at_once_lead_to_one_decision() {
    let house = House::new(60);
    let key = house.key("shop");
    let (_, body) = house.somebody();
    house.start(1);
    let ((_, one), (_, other)) =
        blocking(async { tokio::join!(house.ask(&key, body.clone()), house.ask(&key, body.clone())) });
    assert_eq!(one["decision_id"], other["decision_id"]);
    assert!(one["offer"].is_object() && other["offer"].is_object());
    assert_eq!(house.numbers().basis, BTreeMap::from([("purchase".to_owned(), 1)]));
}

#[test]
fn a_page_that_shows_the_mails_offer_follows_what_the_person_shares_now() {
    let house = House::new(60);
    let key = house.key("shop");
    let (n, body) = house.somebody();
    house.start(1);
    house.run();
    house.answer_with(&format!("u{n}"), ConsentStatus::Given, Some("little"));
    let (_, answer) = blocking(house.ask(&key, body));
    assert!(answer["reason"].as_str().unwrap().ends_with("because many people buy it."));
    assert_eq!(house.run(), 0, "the mail of this run stands until it is sent or refused");
}

#[test]
fn whoever_is_refused_a_message_because_it_is_no_longer_so_is_asked_again_the_next_day() {
    let house = House::new(60);
    house.start(1);
    let (mut runs, rng) = (Runs::new(), Seeded::new(3));
    let mut all = || (0..2).map(|_| runs.step(&house.vault, &rng, 1_000).unwrap().n_decided).sum::<usize>();
    assert_eq!(all(), 60);
    let due = house.vault.snapshot().outbox_due(1).unwrap();
    let attempt = house.vault.begin_attempt(due[0].message).unwrap().wait().unwrap().unwrap();
    let refusal = promise::Refusal::because(promise::RefusalReason::NoLongerSo);
    house.vault.finish_attempt(attempt, AttemptEnd::Refused(refusal)).unwrap().wait().unwrap();
    house.clock.advance_days(1);
    assert_eq!(all(), 1);
    assert_eq!(house.numbers().refused, BTreeMap::new(), "the new decision took its place");
    house.clock.advance_days(1);
    assert_eq!(all(), 0);
}

#[test]
fn a_campaign_that_was_refused_and_is_started_again_decides_nobody_twice() {
    let house = House::new(50);
    house.start(1);
    let win_back = CampaignName::parse("win_back").unwrap();
    let order = |wish| order(&house.vault, &house.promise, &win_back, wish, "Ada").unwrap();
    assert_eq!(house.run(), 50);
    house.answer("u0", ConsentStatus::Withdrawn);
    assert_eq!((house.run(), house.state().state), (0, State::Refused));
    house.answer("u0", ConsentStatus::Given);
    let again = order(Wish::Start);
    assert_eq!((again.state, again.run, again.refused_for), (State::Running, 1, None));
    assert_eq!(house.run(), 0);
    order(Wish::Pause);
    assert_eq!(order(Wish::Start).run, 1);
}

#[test]
fn an_offer_that_picks_no_item_needs_no_counts_of_items() {
    let promise = promise::fixture::SHOP
        .replace("picks_item = true\n", "")
        .replace("{item} is 20% off", "Everything is 20% off")
        .replace(" We picked {item} because you bought {because}.", "");
    for (n, n_decided) in [(49, 0), (60, 60)] {
        let house = House::under(&promise, n);
        house.put("campaign/win_back", &running(1));
        let key = house.key("shop");
        let (_, body) = house.somebody();
        let (_, shown) = blocking(house.ask(&key, body));
        assert_eq!(shown["offer"]["says"] == "Everything is 20% off for you this week.", n == 60, "{shown}");
        assert_eq!(house.run(), n_decided);
    }
}

#[test]
fn whoever_cannot_be_written_to_any_more_is_in_neither_arm() {
    let (before, campaign) = promise::fixture::SHOP.split_once("[campaign.win_back]").unwrap();
    let (campaign, after) = campaign.split_once("[cap.default]").unwrap();
    let house = House::under(
        &format!("{before}[campaign.win_back]{campaign}[campaign.other]{campaign}[cap.default]{after}"),
        120,
    );
    house.start(1);
    let other = CampaignName::parse("other").unwrap();
    house.vault.put_house_record("campaign/win_back", None).unwrap().wait().unwrap();
    house.run();
    let mut refused = Vec::new();
    for entry in house.vault.snapshot().outbox_due(1_000).unwrap() {
        if is_held_out(&entry.person) {
            let attempt = house.vault.begin_attempt(entry.message).unwrap().wait().unwrap().unwrap();
            let end = AttemptEnd::Failed { why: "address_refused" };
            house.vault.finish_attempt(attempt, end).unwrap().wait().unwrap();
            refused.push(entry.person);
        }
    }
    assert!(refused.len() > 3, "{refused:?}");
    assert!(refused.iter().all(|person| !decide::decide::is_held_out(&other, person, 100)));
    house.put("campaign/win_back", &running(1));
    house.run();
    let n_held_out = house.people.iter().filter(|person| is_held_out(person)).count();
    assert_eq!(house.numbers().n_held_out, (n_held_out - refused.len()) as u64);
}

#[test]
fn c16_five_campaigns_in_parallel_never_break_one_persons_cap() {
    let (before, campaign) = promise::fixture::SHOP.split_once("[campaign.win_back]").unwrap();
    let (campaign, after) = campaign.split_once("[cap.default]").unwrap();
    let five: String = (1..=5).map(|n| format!("[campaign.number_{n}]{campaign}")).collect();
    let house = House::under(&format!("{before}{five}[cap.default]{after}"), 60);
    house.start(1);
    let less_often = house.people[7];
    house.vault.reduce(less_often, Reduction::Less).unwrap().wait().unwrap();
    assert!(house.run() > 200);
    let due = house.vault.snapshot().outbox_due(1_000).unwrap();
    assert!(due.len() > 200);
    let sent = std::sync::Mutex::new(BTreeMap::<ProfileId, u32>::new());
    std::thread::scope(|scope| {
        for part in 0..5 {
            let (due, sent, vault) = (&due, &sent, &house.vault);
            scope.spawn(move || {
                for entry in due.iter().skip(part).step_by(5) {
                    let Ok(attempt) = vault.begin_attempt(entry.message).unwrap().wait().unwrap() else { continue };
                    *sent.lock().unwrap().entry(entry.person).or_default() += 1;
                    vault.finish_attempt(attempt, AttemptEnd::Sent).unwrap().wait().unwrap();
                }
            });
        }
    });
    let sent = sent.into_inner().unwrap();
    assert!(sent.values().all(|n| *n <= 2) && sent.values().any(|n| *n == 2), "{:?}", sent.values().max());
    assert!(sent.get(&less_often).is_none_or(|n| *n <= 1));
}

#[test]
fn whoever_is_left_alone_sees_nothing_on_a_page_either() {
    let house = House::new(60);
    let key = house.key("shop");
    house.start(1);
    house.run();
    let n = house.people.iter().position(is_held_out).unwrap();
    let (_, answer) = blocking(house.ask(&key, serde_json::json!({"userId": format!("u{n}"), "placement": "home"})));
    assert_eq!((&answer["offer"], &answer["reason"]), (&serde_json::Value::Null, &"held_out".into()));
    assert!(answer["decision_id"].is_string());
}

#[test]
fn a_browser_key_speaks_of_its_own_device_only_and_no_key_of_nobody() {
    let house = House::new(1);
    let (browser, import) = (house.key("web"), house.key("shop"));
    let ask = |key: &str, body: serde_json::Value| {
        let (status, answer) = blocking(house.ask(key, body));
        (status.as_u16(), answer)
    };
    let (status, answer) = ask(&browser, serde_json::json!({"userId": "u0", "placement": "home"}));
    assert_eq!((status, &answer["code"]), (400, &"bad_request".into()));
    let (status, answer) = ask(&browser, serde_json::json!({"anonymousId": "a-1", "placement": "home"}));
    assert_eq!((status, &answer["reason"]), (200, &"no_such_person".into()));
    let (status, answer) = ask("fl_sec_made_up", serde_json::json!({"userId": "u0", "placement": "home"}));
    assert_eq!((status, &answer["code"]), (401, &"unauthorised".into()));
    for body in [
        serde_json::json!({"placement": "home"}),
        serde_json::json!([]),
        serde_json::json!({"userId": "u0", "placement": ""}),
    ] {
        let (status, answer) = ask(&import, body);
        assert_eq!(status, 400);
        assert!(answer["message"].is_string() && !answer.to_string().contains("u0"));
    }
}
