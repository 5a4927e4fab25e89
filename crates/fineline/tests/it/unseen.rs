//! As if they had never been there: a day after an erasure every number that the house can show is the number of a house
//! that never saw the person. Random histories are told to two houses under the same clock and the same chance, one of
//! them without the person; in the other the person is erased. What may lawfully differ is named in `docs/erasure.md`, and
//! nothing else is left out here.

use decide::house::refusals;
use decide::run::Runs;
use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    ArtefactId, At, CampaignName, Class, Clock, ConsentStatus, DecisionId, EventKind, EventName, FactName, FieldName,
    ItemCode, LineItem, Method, Money, OfferName, ProfileId, PurposeName, Rng, SegmentName, SourceName, TraitName,
    Trust, Value, Words,
};
use promise::{Artefact, ArtefactKind, ChannelKind, Promise};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use understand::Traits;
use understand::follow::Follower;
use vault::{
    AttemptEnd, ConsentChange, Erasure, Household, Identifier, IdentifierKind, Intake, Item, ItemBasis, Join,
    JoinProof, MessageKey, NewDecision, Reduction, Subject, Trace, Vault,
};

/// Who is erased in one of the houses.
const GONE: usize = 0;
/// Histories told. More of them are a matter of this number.
const N_HISTORIES: u64 = 8;

/// Chance that depends on what is being done and not on what was done before: the same act draws the same in both houses.
#[derive(Default)]
struct SameForSame(Mutex<(u64, BTreeMap<usize, Seeded>)>);

impl SameForSame {
    fn begin(&self, act: u64) {
        *self.0.lock().unwrap() = (act, BTreeMap::new());
    }
}

impl Rng for SameForSame {
    fn fill(&self, out: &mut [u8]) {
        let mut held = self.0.lock().unwrap();
        let seed = held.0.wrapping_mul(1_000_003).wrapping_add(out.len() as u64);
        held.1.entry(out.len()).or_insert_with(|| Seeded::new(seed)).fill(out);
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Order { who: usize, days_ago: i32, items: Vec<usize>, refund: bool },
    Wire { who: usize, items: Vec<usize> },
    Say { who: usize, given: bool, little: bool },
    Page { who: usize, n: u32 },
    Tie { who: usize },
    Less { who: usize },
    Taste { who: usize, taste: usize },
    Decide { who: usize, held_out: bool, basis: usize, sent: bool, bounced: bool },
    Read,
    Follow,
    Hours(i64),
}

impl Act {
    fn who(&self) -> Option<usize> {
        match self {
            Self::Order { who, .. }
            | Self::Wire { who, .. }
            | Self::Say { who, .. }
            | Self::Page { who, .. }
            | Self::Tie { who }
            | Self::Less { who }
            | Self::Taste { who, .. }
            | Self::Decide { who, .. } => Some(*who),
            Self::Read | Self::Follow | Self::Hours(_) => None,
        }
    }
}

const ITEMS: [(&str, &str, Class); 6] = [
    ("KETTLE", "kitchen", Class::Plain),
    ("TEAPOT", "kitchen", Class::Plain),
    ("SPADE", "garden", Class::Plain),
    ("RAKE", "garden", Class::Plain),
    ("CARD", "stationery", Class::Plain),
    ("BIB", "baby", Class::Sensitive),
];
const TASTES: [&str; 3] = ["garden", "kitchen", "games"];
const BASES: [ItemBasis; 3] = [ItemBasis::Purchase, ItemBasis::Group, ItemBasis::Popular];

/// A history of a shop with so many people, everybody's beginning among it.
fn history(seed: u64, n_people: usize) -> Vec<Act> {
    let rng = Seeded::new(seed);
    let below = |n: u64| (&rng as &dyn Rng).below(n);
    let pick = |n: usize| usize::try_from(below(n as u64)).unwrap();
    let items = || (0..=pick(3)).map(|_| pick(ITEMS.len())).collect::<Vec<_>>();
    let mut acts = Vec::new();
    for who in 0..n_people {
        for n in 0..3 {
            let days_ago = 100 + 20 * n + i32::try_from(pick(20)).unwrap();
            acts.push(Act::Order { who, days_ago, items: items(), refund: false });
        }
        acts.push(Act::Say { who, given: true, little: pick(10) == 0 });
    }
    acts.push(Act::Follow);
    for _ in 0..120 {
        let who = if pick(6) == 0 { GONE } else { pick(n_people) };
        acts.push(match pick(14) {
            0 | 1 => Act::Order {
                who,
                days_ago: 95 + i32::try_from(pick(200)).unwrap(),
                items: items(),
                refund: pick(4) == 0,
            },
            2 | 3 => Act::Wire { who, items: items() },
            4 => Act::Say { who, given: pick(3) > 0, little: pick(3) == 0 },
            5 => Act::Page { who, n: u32::try_from(pick(99)).unwrap() },
            6 => Act::Tie { who },
            7 => Act::Less { who },
            8 => Act::Taste { who, taste: pick(TASTES.len()) },
            9 | 10 => Act::Decide {
                who,
                held_out: pick(4) == 0,
                basis: pick(BASES.len()),
                sent: pick(2) == 0,
                bounced: pick(5) == 0,
            },
            11 => Act::Read,
            12 => Act::Follow,
            _ => Act::Hours(i64::try_from(below(9)).unwrap()),
        });
    }
    acts
}

struct Shop {
    vault: Vault,
    clock: Arc<ManualClock>,
    chance: Arc<SameForSame>,
    promise: Arc<Promise>,
    follower: Follower,
    runs: Runs,
}

fn name(who: usize) -> String {
    format!("u{who}")
}

fn user(who: usize) -> Identifier {
    Identifier { kind: IdentifierKind::User, value: name(who) }
}

fn browser(who: usize) -> Identifier {
    Identifier { kind: IdentifierKind::Anonymous, value: format!("browser {who}") }
}

fn code(at: usize) -> ItemCode {
    ItemCode::parse(ITEMS[at].0).unwrap()
}

fn purpose(name: &str) -> PurposeName {
    PurposeName::parse(name).unwrap()
}

impl Shop {
    fn new() -> Self {
        let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
        let chance = Arc::new(SameForSame::default());
        let household = Household {
            promise: Arc::clone(&promise),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            rng: Arc::clone(&chance) as Arc<dyn Rng>,
            projection: Arc::new(Traits::new(&promise)),
        };
        let vault = Vault::in_memory(household).unwrap();
        let item = |(at, (_, group, class)): (usize, &(&str, &str, Class))| Item {
            code: code(at),
            title: ITEMS[at].0.to_lowercase(),
            group: (*group).to_owned(),
            class: *class,
            price: None,
        };
        vault.put_items(ITEMS.iter().enumerate().map(item).collect()).unwrap().wait().unwrap();
        let running = serde_json::json!({ "state": "running", "run": 1, "started_at": 0, "by": "Test" });
        let shop = Self { vault, clock, chance, promise, follower: Follower::new(), runs: Runs::new() };
        shop.put("campaign/win_back", &running);
        shop
    }

    fn put(&self, name: &str, value: &serde_json::Value) {
        self.vault.put_house_record(name, Some(value.to_string().into_bytes())).unwrap().wait().unwrap();
    }

    fn artefact(&self, kind: ArtefactKind, name: &str) -> ArtefactId {
        self.promise.artefact(kind, name).unwrap().id
    }

    fn find(&self, who: usize) -> Option<ProfileId> {
        self.vault.snapshot().find(&user(who))
    }

    fn order(&self, who: usize, days_ago: i32, items: &[usize], refund: bool, key: u64) -> Intake {
        let price = Money { micros: 2_000_000 + i64::from(days_ago), currency: self.promise.currency };
        let line =
            |(row, at): (u64, &usize)| LineItem { row, item: code(*at), quantity: if refund { -1 } else { 1 }, price };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.to_be_bytes());
        Intake {
            subject: Subject::Identifiers { user: Some(user(who)), anonymous: None },
            kind: EventKind::Track,
            name: EventName::parse(if refund { "Order Refunded" } else { "Order Completed" }).unwrap(),
            source: SourceName::parse("history").unwrap(),
            trust: Trust::Import,
            occurred_at: self.clock.now().plus_days(-days_ago),
            source_day: None,
            properties: BTreeMap::from([("total".to_owned(), Value::Money(price))]),
            lines: (1..).zip(items).map(line).collect(),
            fields: vec![(FieldName::parse("email").unwrap(), Value::Text(format!("{}@shop.example", name(who))))],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::History(bytes),
        }
    }

    /// Does one thing of the history; `act` is its place in it, the same in both houses.
    fn does(&mut self, act_at: u64, act: &Act) {
        self.chance.begin(act_at);
        match act {
            Act::Order { who, days_ago, items, refund } => {
                let order = self.order(*who, *days_ago, items, *refund, act_at);
                self.vault.take(vec![order]).unwrap().wait().unwrap();
            }
            Act::Wire { who, items } => {
                let mut order = self.order(*who, 0, items, false, act_at);
                order.trust = Trust::Server;
                order.source = SourceName::parse("shop").unwrap();
                order.message_key = MessageKey::Wire(format!("m{act_at}"));
                // Sent twice, as clients do.
                self.vault.take(vec![order.clone(), order]).unwrap().wait().unwrap();
            }
            Act::Say { who, given, little } => {
                let status = if *given { ConsentStatus::Given } else { ConsentStatus::Withdrawn };
                let subject = Subject::Identifiers { user: Some(user(*who)), anonymous: None };
                self.say(subject, "offers", status, little.then(|| "little".to_owned()));
            }
            Act::Page { who, n } => {
                let subject = Subject::Identifiers { user: None, anonymous: Some(browser(*who)) };
                self.say(subject.clone(), "measuring", ConsentStatus::Given, None);
                let mut page = self.order(*who, 0, &[], false, act_at);
                page.subject = subject;
                (page.kind, page.name) = (EventKind::Page, EventName::parse("Page Viewed").unwrap());
                (page.trust, page.source) = (Trust::Browser, SourceName::parse("web").unwrap());
                page.properties = BTreeMap::from([("path".to_owned(), Value::Text(format!("/{n}")))]);
                page.fields = Vec::new();
                page.message_key = MessageKey::Wire(format!("p{act_at}"));
                self.vault.take(vec![page]).unwrap().wait().unwrap();
            }
            Act::Tie { who } => {
                let (anonymous, user, at) = (browser(*who), user(*who), self.clock.now());
                let join = Join { anonymous, user, proof: JoinProof::ServerKey, at };
                let _ = self.vault.join(join).unwrap().wait().unwrap();
            }
            Act::Less { who } => {
                if let Some(person) = self.find(*who) {
                    self.vault.reduce(person, Reduction::Less).unwrap().wait().unwrap();
                }
            }
            Act::Taste { who, taste } => self.taste(*who, TASTES[*taste]),
            Act::Decide { who, held_out, basis, sent, bounced } => {
                self.decide(*who, *held_out, BASES[*basis], *sent, *bounced);
            }
            Act::Read => {
                // Two marketers and a pump read of everybody.
                let segment = SegmentName::parse("lapsed").unwrap();
                let _ = self.vault.snapshot().segment_count(&segment);
                let campaign = self.artefact(ArtefactKind::Campaign, "win_back");
                let snapshot = self.vault.snapshot();
                let _ = snapshot.permit_set(campaign).unwrap().column(&TraitName::parse("orders_all").unwrap());
                let _ = snapshot.campaign_numbers(campaign);
            }
            Act::Follow => self.follow(),
            Act::Hours(n) => self.clock.advance_ms(n * 3_600_000),
        }
        // What is urgent, or was read, is written as part of this act, and draws its chance with it.
        self.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    }

    fn say(&self, subject: Subject, name: &str, status: ConsentStatus, level: Option<String>) {
        let change = ConsentChange {
            subject,
            source: Some(SourceName::parse("shop").unwrap()),
            purpose: purpose(name),
            status,
            level,
            words: Words { text: "Yes?".into(), language: "en".into(), answered_at: self.clock.now() },
            method: Method::Server,
            notice_version: 1,
            made_up: false,
        };
        self.vault.consent(change).unwrap().wait().unwrap();
    }

    fn taste(&self, who: usize, taste: &str) {
        let Some(person) = self.find(who) else { return };
        let now = self.clock.now();
        let fact = model::Fact {
            name: FactName::Field(FieldName::parse("favourite_group").unwrap()),
            value: Value::Text(taste.to_owned()),
            class: Class::Plain,
            context: model::Context::Shopping,
            provenance: model::Provenance::Provided { source: SourceName::parse("portal").unwrap() },
            as_of: now,
            told_at: Some(now),
            told_how: model::Awareness::AtTheMoment,
            purposes: Vec::new(),
            notice_version: 1,
            expires_at: now.plus_days(300),
        };
        let artefact = self.artefact(ArtefactKind::Page, Artefact::PORTAL);
        let write = vault::FactWrite { person, artefact, fact: Some(fact), remove: None, inputs_expire_at: None };
        let _ = self.vault.write_facts(vec![write]).unwrap().wait().unwrap();
    }

    /// A decision of the first run, with a message that ends in one way or another, or waits.
    fn decide(&self, who: usize, held_out: bool, basis: ItemBasis, sent: bool, bounced: bool) {
        let campaign = self.artefact(ArtefactKind::Campaign, "win_back");
        let Some(person) = self.find(who) else { return };
        let snapshot = self.vault.snapshot();
        let Ok(permit) = snapshot.permit(person, campaign) else { return };
        let (consent_seq, now) = (permit.consent_seq(), self.clock.now());
        drop(permit);
        drop(snapshot);
        let decision = NewDecision {
            id: DecisionId::new(now, self.chance.as_ref()),
            person,
            artefact: campaign,
            campaign: CampaignName::parse("win_back").unwrap(),
            consent_seq,
            offer: (!held_out).then(|| OfferName::parse("come_back").unwrap()),
            item: (!held_out).then(|| code(0)),
            held_out,
            channel: ChannelKind::Email,
            send_at: None,
            run: 1,
            replaces: None,
            trace: Trace {
                facts: Vec::new(),
                steps: Vec::new(),
                texts: ["t".into(), "s".into(), "w".into()],
                slots: BTreeMap::new(),
                propensity_micros: 900_000,
                basis,
                shared_by: 60,
                exposure: "private_mail".into(),
                promise: self.promise.hash,
                notice_version: 1,
            },
        };
        if self.vault.decide(decision).unwrap().wait().unwrap().is_err() || !sent {
            return;
        }
        let due = self.vault.snapshot().outbox_due(1_000).unwrap();
        let Some(entry) = due.iter().find(|entry| entry.person == person) else { return };
        let Ok(attempt) = self.vault.begin_attempt(entry.message).unwrap().wait().unwrap() else { return };
        let end = if bounced { AttemptEnd::Failed { why: "message_refused" } } else { AttemptEnd::Sent };
        self.vault.finish_attempt(attempt, end).unwrap().wait().unwrap();
    }

    fn follow(&mut self) {
        for _ in 0..200 {
            let progress = self.follower.step(&self.vault, 50).unwrap();
            if progress == understand::follow::Progress::default() {
                return;
            }
        }
        panic!("following does not end");
    }

    /// A night and a morning: everything that runs by itself has run.
    fn day_after(&mut self, act_at: u64) {
        self.chance.begin(act_at);
        let today = self.clock.now().day();
        self.clock.set(today.plus(1).start().plus_ms(12 * 3_600_000));
        self.vault.sweep().unwrap().wait().unwrap();
        self.follow();
        let rng = Seeded::new(act_at);
        let second = serde_json::json!({ "state": "running", "run": 2, "started_at": 0, "by": "Test" });
        self.put("campaign/win_back", &second);
        for _ in 0..50 {
            let progress = self.runs.step(&self.vault, &rng, 50).unwrap();
            if progress.n_asked == 0 {
                break;
            }
        }
        self.follow();
    }

    /// Every number that the house can show, as text: one line each.
    fn shown(&self, n_people: usize) -> String {
        let mut out = String::new();
        let snapshot = self.vault.snapshot();
        let record = |name: &str| snapshot.house_record(name).unwrap();
        writeln!(out, "model {:?}", record("model/items")).unwrap();
        let named = ["model/", "combination/", "run/", "campaign/"];
        for (name, bytes) in named.iter().flat_map(|prefix| snapshot.house_records(prefix, 1_000).unwrap()) {
            writeln!(out, "{name} {}", String::from_utf8_lossy(&bytes)).unwrap();
        }
        for segment in self.promise.segments.keys() {
            writeln!(out, "segment {segment} {:?}", snapshot.segment_count(segment)).unwrap();
        }
        let campaign = self.artefact(ArtefactKind::Campaign, "win_back");
        let numbers = snapshot.campaign_numbers(campaign).unwrap();
        let name = CampaignName::parse("win_back").unwrap();
        writeln!(out, "campaign {numbers:?} {:?}", refusals(&snapshot, &name).unwrap()).unwrap();
        writeln!(out, "lift {:?}", understand::lift::report(&numbers, 100, 50)).unwrap();
        writeln!(out, "sales of nobody {:?}", snapshot.anonymous_sales().unwrap()).unwrap();
        let waiting: u64 = snapshot.outbox_counts().unwrap().iter().map(|(_, n)| n).sum();
        writeln!(out, "outbox {waiting}").unwrap();
        let history = SourceName::parse("history").unwrap();
        for artefact in self.promise.artefacts().values() {
            let Ok(set) = snapshot.permit_set(artefact.id) else { continue };
            let mut people: Vec<ProfileId> = set.people().collect();
            people.sort();
            let kind = artefact.kind.as_str();
            writeln!(out, "set {kind} {} {:?} {people:?}", artefact.name, set.count()).unwrap();
            for column in self.promise.traits.keys() {
                let mut values = set.column(column).unwrap_or_default();
                values.sort_unstable();
                writeln!(out, "column {column} {values:?}").unwrap();
            }
            let mut baskets = set.baskets(100).unwrap_or_default();
            baskets.sort();
            writeln!(out, "baskets {baskets:?}").unwrap();
            let totals = snapshot.import_totals(artefact, &history).unwrap();
            writeln!(out, "totals {totals:?}").unwrap();
        }
        let portal = self.artefact(ArtefactKind::Page, Artefact::PORTAL);
        let candidates = FactName::Trait(TraitName::parse("candidates").unwrap());
        for who in (0..n_people).filter(|who| *who != GONE) {
            let Some(person) = snapshot.find(&user(who)) else { continue };
            let campaign = snapshot.permit(person, campaign).ok();
            let ranking = campaign.as_ref().and_then(|permit| permit.fact(&candidates).ok().flatten());
            let ranking = ranking.map(|fact| fact.reveal().value.clone());
            let decided = campaign.as_ref().map(|permit| {
                (permit.decided(1, ChannelKind::Email).is_some(), permit.decided(2, ChannelKind::Email).is_some())
            });
            writeln!(
                out,
                "person {who} {person:?} candidates {} {decided:?}",
                ranking.map_or_else(|| "none".to_owned(), |value| format!("{:?}", Shown(&value)))
            )
            .unwrap();
            let permit = snapshot.permit(person, portal).unwrap();
            let contact = permit.contact().reveal().clone();
            writeln!(out, "contact {contact:?}").unwrap();
        }
        out
    }
}

/// A ranking, readable.
struct Shown<'v>(&'v Value);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Value::Ranking(items) = self.0 else { return f.write_str("not a ranking") };
        let text = |item: &ItemCode| item.as_str().to_owned();
        let each =
            items.iter().map(|ranked| (text(&ranked.item), ranked.because.as_ref().map(text), ranked.score_micros));
        f.debug_list().entries(each).finish()
    }
}

fn first_difference(with: &str, without: &str) -> Option<String> {
    let mut pairs = with.lines().zip(without.lines());
    let differing = pairs.find(|(with, without)| with != without);
    let n = (with.lines().count(), without.lines().count());
    match differing {
        Some((with, without)) => Some(format!("erased:    {with}\nnever saw: {without}")),
        None => (n.0 != n.1).then(|| format!("{n:?} lines")),
    }
}

fn told(seed: u64, n_people: usize, erased: bool) -> String {
    let acts = history(seed, n_people);
    let mut shop = Shop::new();
    for (at, act) in (1u64..).zip(&acts) {
        if erased || act.who() != Some(GONE) {
            shop.does(at, act);
        }
    }
    let n_acts = acts.len() as u64;
    if erased {
        shop.chance.begin(n_acts + 1);
        if let Some(person) = shop.find(GONE) {
            let how = if seed.is_multiple_of(2) { Erasure::Now } else { Erasure::WithinADay };
            shop.vault.erase(person, how).unwrap().wait().unwrap();
        }
        // A browser that never was tied goes by itself.
        let device = shop.vault.snapshot().find(&browser(GONE));
        device.into_iter().for_each(|device| drop(shop.vault.erase(device, Erasure::Now).unwrap().wait().unwrap()));
    }
    shop.day_after(n_acts + 2);
    shop.shown(n_people)
}

#[test]
fn d10_a_day_after_an_erasure_every_number_is_that_of_a_house_that_never_saw_the_person() {
    for seed in 0..N_HISTORIES {
        // Now and then the person is the fiftieth: without them there is too little of anything.
        let n_people = if seed % 4 == 3 { 50 } else { 56 };
        let (with, without) = (told(seed, n_people, true), told(seed, n_people, false));
        if let Some(difference) = first_difference(&with, &without) {
            panic!("history {seed} with {n_people} people:\n{difference}");
        }
    }
}

#[test]
fn b02_the_same_history_told_again_shows_the_same_numbers() {
    let (once, again) = (told(7, 56, false), told(7, 56, false));
    assert_eq!(first_difference(&once, &again), None);
    assert!(once.contains("KETTLE") && once.contains("segment lapsed"), "something is shown");
}

#[test]
fn d10_control_before_the_erasure_the_numbers_are_others() {
    for (seed, n_people) in [(1, 56), (3, 50)] {
        let acts = history(seed, n_people);
        let mut shop = Shop::new();
        (1u64..).zip(&acts).for_each(|(at, act)| shop.does(at, act));
        shop.day_after(acts.len() as u64 + 2);
        let without = told(seed, n_people, false);
        assert!(first_difference(&shop.shown(n_people), &without).is_some(), "somebody who is there is counted");
    }
}
