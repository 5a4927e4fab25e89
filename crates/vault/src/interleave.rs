//! Responsible for `./gate interleave`: the real consent gate, urgent overlay, committer and second look on the memory engine, under
//! shuttle's scheduler, which tries one order of their threads after the other. Each scenario is a few threads that do what a
//! door, a sender and a person do, and says what must hold in every order; each must also meet every way in which it can
//! end, and catch what is planted.
//!
//! What "after the acknowledgement" means: the person was told before the other side took its look. A thread that was
//! stopped between a look that said yes and what it releases has released at its look, as in the product, where both stand
//! next to each other and no lock can be held over a socket.
//!
//! Deliberately not: disks (`./gate kill`, `power`), and models of what is not our code (`./gate models`).

use crate::engine::{Keyspace, Op};
use crate::fixture::{self, Counts};
use crate::sync::thread;
use crate::{
    Attempt, AttemptEnd, Erasure, FactRead, Household, ItemBasis, NewDecision, NotBegun, Reduction, Subject, Trace,
    Vault,
};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    At, CampaignName, Clock, ConsentStatus, DecisionId, ItemCode, MessageId, Method, OfferName, ProfileId, Rng,
};
use promise::{ArtefactKind, ChannelKind, Promise, RefusalReason};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

/// Of each thread's stack, in bytes: opening a record and signing a receipt need more than shuttle's own size.
const STACK_BYTES: usize = 512 << 10;
/// How many changes of the running thread the second scheduler plants at random places.
const CHANGES: usize = 3;
/// Schedules within which a planted fault must be caught.
const CAUGHT_WITHIN: usize = 5_000;

/// Chance that begins alike for every house, so that its keys are the same, and then differs.
struct Chance {
    first: Seeded,
    then: Seeded,
    has_begun: AtomicBool,
}

impl Rng for Chance {
    fn fill(&self, out: &mut [u8]) {
        if self.has_begun.load(SeqCst) { self.then.fill(out) } else { self.first.fill(out) }
    }
}

/// What every schedule begins with.
struct Prepared {
    promise: Arc<Promise>,
    projection: Arc<Counts>,
    rows: Vec<Op>,
    person: ProfileId,
    /// Two messages that wait, of two campaigns.
    messages: [MessageId; 2],
}

/// One house with one person, as a schedule has it.
struct Shop {
    vault: Vault,
    clock: Arc<ManualClock>,
    chance: Arc<Chance>,
    prepared: &'static Prepared,
    /// The person was told that it is done.
    told: AtomicBool,
    /// The person's latest word is on its way to the committer, as a yes.
    asked: AtomicBool,
    n_sent: AtomicUsize,
    planted: Option<Fault>,
}

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// Released without the second look.
    NoSecondLook,
    /// Acknowledged before the lock is taken.
    ToldEarly,
    /// A yes is given out as queued before it has its place.
    PlaceLate,
    /// A message that left is reported as not sent.
    SentIsNotCounted,
    /// Two locks in the other order.
    LocksTurned,
}

/// How people take something back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Less {
    Withdraw,
    Stop,
    LeaveMeAlone,
    Erase,
}

/// How often each end was met, by scenario.
static MET: Mutex<BTreeMap<(&'static str, &'static str), u64>> = Mutex::new(BTreeMap::new());
/// The scenario that runs.
static RUNNING: Mutex<&'static str> = Mutex::new("");
/// Schedules so far: each draws its ids from a chance of its own.
static N_SCHEDULES: AtomicU64 = AtomicU64::new(0);
static PREPARED: OnceLock<Prepared> = OnceLock::new();

fn met(end: &'static str) {
    let running = *RUNNING.lock().unwrap();
    *MET.lock().unwrap().entry((running, end)).or_default() += 1;
}

fn promise_text() -> String {
    let one = "[campaign.win_back]";
    let begins = promise::fixture::SHOP.find(one).unwrap();
    let rest = &promise::fixture::SHOP[begins..];
    let ends = rest[1..].find("\n[").unwrap() + 1;
    let second = format!("\n[campaign.win_back_2]{}", &rest[one.len()..ends]);
    promise::fixture::SHOP.replace("at_most = \"2 per week\"", "at_most = \"1 per week\"") + &second
}

fn household(promise: &Arc<Promise>, projection: &Arc<Counts>) -> (Household, Arc<Chance>, Arc<ManualClock>) {
    let n = N_SCHEDULES.fetch_add(1, SeqCst);
    let chance = Arc::new(Chance { first: Seeded::new(7), then: Seeded::new(1_000 + n), has_begun: false.into() });
    let clock = Arc::new(ManualClock::new(At::parse(fixture::TODAY).unwrap()));
    let household = Household {
        promise: Arc::clone(promise),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        rng: Arc::clone(&chance) as Arc<dyn Rng>,
        projection: Arc::clone(projection) as Arc<dyn crate::Projection>,
    };
    (household, chance, clock)
}

fn rows(vault: &Vault) -> Vec<Op> {
    let store = vault.inner.house.engine.snapshot();
    let of =
        |space: Keyspace| store.scan(space, &[]).map(move |row| row.map(|(key, value)| Op::Put(space, key, value)));
    Keyspace::ALL.into_iter().flat_map(of).collect::<Result<_, _>>().unwrap()
}

/// A customer who said yes, and two messages that wait.
fn prepare() -> Prepared {
    let promise = Arc::new(promise::parse("shop.toml", &promise_text()).expect("the shop's promise parses"));
    let projection = Arc::new(Counts::new());
    let (household, chance, clock) = household(&promise, &projection);
    let house = fixture::House::in_memory(household, Arc::clone(&clock));
    chance.has_begun.store(true, SeqCst);
    let person = house.customer("ada", 3, 100);
    let messages = ["win_back", "win_back_2"].map(|campaign| {
        let new = decision(&house.vault, &promise, person, campaign, ChannelKind::Email).unwrap();
        let id = house.vault.decide(new).unwrap().wait().unwrap().unwrap();
        let due = house.vault.snapshot().outbox_due(10).unwrap();
        due.into_iter().find(|entry| entry.decision == id).unwrap().message
    });
    let rows = rows(&house.vault);
    Prepared { promise, projection, rows, person, messages }
}

impl Shop {
    fn open(planted: Option<Fault>) -> Arc<Self> {
        let prepared = PREPARED.get_or_init(prepare);
        let (household, chance, clock) = household(&prepared.promise, &prepared.projection);
        let vault = Vault::in_memory_again(household, prepared.rows.clone()).unwrap();
        chance.has_begun.store(true, SeqCst);
        let (told, asked, n_sent) = (false.into(), false.into(), 0.into());
        Arc::new(Self { vault, clock, chance, prepared, told, asked, n_sent, planted })
    }

    fn has(&self, fault: Fault) -> bool {
        self.planted == Some(fault)
    }

    fn was_told(&self) -> bool {
        self.told.load(SeqCst)
    }

    /// The person takes something back, and is told.
    fn less(&self, less: Less) {
        let person = self.prepared.person;
        if self.has(Fault::ToldEarly) {
            self.told.store(true, SeqCst);
        }
        match less {
            Less::Withdraw => {
                self.answer(ConsentStatus::Withdrawn).wait().unwrap();
            }
            Less::Stop => self.reduce(Reduction::Stop {
                purpose: fixture::purpose("offers"),
                words: fixture::words(self.vault.now()),
                method: Method::Portal,
            }),
            Less::LeaveMeAlone => self.reduce(Reduction::LeaveMeAlone),
            Less::Erase => {
                self.vault.erase(person, Erasure::Now).unwrap().wait().unwrap();
            }
        }
        self.told.store(true, SeqCst);
    }

    fn reduce(&self, reduction: Reduction) {
        self.vault.reduce(self.prepared.person, reduction).unwrap().wait().unwrap();
    }

    fn answer(&self, status: ConsentStatus) -> crate::Pending<crate::ConsentAnswer> {
        let change = crate::ConsentChange {
            subject: Subject::Profile(self.prepared.person),
            source: None,
            purpose: fixture::purpose("offers"),
            status,
            level: None,
            words: fixture::words(self.vault.now()),
            method: Method::SiteForm,
            notice_version: 1,
            made_up: false,
        };
        self.vault.consent(change).unwrap()
    }

    fn may_be_offered(&self) -> bool {
        let campaign = self.prepared.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
        self.vault.snapshot().permit(self.prepared.person, campaign).is_ok()
    }

    /// What `POST /v1/decide` does: read, decide, commit, token, look, release.
    fn serve(&self) {
        let was_told = self.was_told();
        let person = self.prepared.person;
        let Ok(new) = decision(&self.vault, &self.prepared.promise, person, "win_back", ChannelKind::Page) else {
            return met("served: no permit");
        };
        assert!(!was_told, "a permit was given after the acknowledgement");
        let (id, consent_seq) = (new.id, new.consent_seq);
        match self.vault.decide(new).unwrap().wait().unwrap() {
            Ok(_) => {}
            Err(refusal) => {
                assert!(refusal.reason != RefusalReason::AlreadyDecided, "nobody else decides here");
                return met("served: refused by the commit");
            }
        }
        let token = self.vault.message_token(id).unwrap().wait().unwrap();
        let was_told = self.was_told();
        if !self.has(Fault::NoSecondLook) && self.vault.look(person, consent_seq).is_err() {
            return met("served: refused by the look");
        }
        assert!(!was_told, "an answer was released after the acknowledgement");
        assert!(token.is_some(), "who is not erased has a link");
        met("served: released");
    }

    /// What a sender does: attempt, connect, MAIL, RCPT, look, DATA, and the end.
    fn send(&self, message: MessageId) {
        let was_told = self.was_told();
        let attempt: Attempt = match self.vault.begin_attempt(message).unwrap().wait().unwrap() {
            Ok(attempt) => attempt,
            Err(NotBegun::Refused(refusal)) if refusal.reason == RefusalReason::CapReached => return met("sent: cap"),
            Err(NotBegun::Refused(_)) => return met("sent: refused by the commit"),
            Err(NotBegun::Unknown) => panic!("no earlier attempt was left without an end"),
        };
        assert!(!was_told, "an attempt began after the acknowledgement");
        thread::yield_now(); // MAIL and RCPT
        let was_told = self.was_told();
        let looked = self.vault.look(attempt.person, attempt.consent_seq);
        let end = match looked {
            Err(refusal) if !self.has(Fault::NoSecondLook) => {
                met("sent: refused by the look");
                AttemptEnd::Refused(refusal)
            }
            _ => {
                assert!(!was_told, "DATA began after the acknowledgement");
                let n_before = self.n_sent.fetch_add(1, SeqCst);
                assert!(n_before == 0, "two messages where the cap is one");
                met("sent: DATA");
                match self.planted {
                    Some(Fault::SentIsNotCounted) => AttemptEnd::Later { why: "relay_busy", at: self.vault.now() },
                    _ => AttemptEnd::Sent,
                }
            }
        };
        self.vault.finish_attempt(attempt, end).unwrap().wait().unwrap();
    }
}

/// A decision as the deciding room makes it: permit, one fact, and the sequence that was seen.
fn decision(
    vault: &Vault,
    promise: &Promise,
    person: ProfileId,
    campaign: &str,
    channel: ChannelKind,
) -> Result<NewDecision, promise::Refusal> {
    let artefact = promise.artefact(ArtefactKind::Campaign, campaign).unwrap().id;
    let snapshot = vault.snapshot();
    let permit = snapshot.permit(person, artefact)?;
    let fact = permit.fact(&fixture::computed("orders_all")).unwrap().unwrap().reveal().clone();
    Ok(NewDecision {
        id: DecisionId::from_bytes(vault.inner.house.rng().bytes()),
        person,
        artefact,
        campaign: CampaignName::parse(campaign).unwrap(),
        consent_seq: permit.consent_seq(),
        offer: Some(OfferName::parse("come_back").unwrap()),
        item: ItemCode::parse("22423"),
        held_out: false,
        channel,
        send_at: None,
        run: 1,
        replaces: None,
        trace: Trace {
            facts: vec![FactRead { fact, ancestors: Vec::new(), life_used_percent: 9, label: "orders".into() }],
            steps: Vec::new(),
            texts: ["title".into(), "says".into(), "You placed {orders_all} orders.".into()],
            slots: BTreeMap::new(),
            propensity_micros: 1_000_000,
            basis: ItemBasis::Purchase,
            shared_by: 80,
            exposure: "own_page".into(),
            promise: promise.hash,
            notice_version: 1,
        },
    })
}

// ── scenarios ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Part = Box<dyn FnOnce(&Shop) + Send>;

/// Most times that a thread lets the others go first: as many schedules give it no lead as a long one, because the threads
/// are of unequal length, and the short one would nearly always be over before the long one has done anything.
const LEADS: u64 = 10;

/// Lets these happen at once, and waits for all of them.
fn at_once(shop: &Arc<Shop>, parts: Vec<Part>) {
    #[expect(clippy::disallowed_methods, reason = "threads of a test, under shuttle's scheduler")]
    let start = |part: Part| {
        let (shop, lead) = (Arc::clone(shop), (shop.chance.as_ref() as &dyn Rng).below(LEADS));
        thread::spawn(move || {
            (1..1u32 << lead).for_each(|_| thread::yield_now());
            part(&shop);
        })
    };
    let threads: Vec<_> = parts.into_iter().map(start).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn serving_against(less: Less, planted: Option<Fault>) {
    let shop = Shop::open(planted);
    at_once(&shop, vec![Box::new(move |shop| shop.less(less)), Box::new(Shop::serve)]);
    assert!(!shop.may_be_offered(), "who took it back is offered nothing in the end");
}

fn sending_against(less: Less, planted: Option<Fault>) {
    let shop = Shop::open(planted);
    let first = shop.prepared.messages[0];
    at_once(&shop, vec![Box::new(move |shop| shop.less(less)), Box::new(move |shop| shop.send(first))]);
    assert!(!shop.may_be_offered(), "who took it back is offered nothing in the end");
}

/// A yes and a no at once, from somebody who had said no: whoever spoke last is obeyed, and a no overtakes every yes that waits.
fn yes_after_no(planted: Option<Fault>) {
    let shop = Shop::open(planted);
    shop.less(Less::Withdraw);
    shop.told.store(false, SeqCst);
    let order = Arc::new(Mutex::new((false, false)));
    let (of_yes, of_no) = (Arc::clone(&order), Arc::clone(&order));
    let yes = move |shop: &Shop| {
        of_yes.lock().unwrap().0 = shop.was_told();
        if shop.has(Fault::PlaceLate) {
            shop.asked.store(true, SeqCst);
            thread::yield_now();
        }
        let pending = shop.answer(ConsentStatus::Given);
        shop.asked.store(true, SeqCst);
        pending.wait().unwrap();
    };
    let no = move |shop: &Shop| {
        of_no.lock().unwrap().1 = shop.asked.load(SeqCst);
        shop.less(Less::Withdraw);
    };
    at_once(&shop, vec![Box::new(yes), Box::new(no)]);
    let (no_was_told, yes_was_queued) = *order.lock().unwrap();
    let is_yes = shop.may_be_offered();
    match (no_was_told, yes_was_queued) {
        (true, _) => assert!(is_yes, "a yes given after an acknowledged no counts"),
        (_, true) => assert!(!is_yes, "a no overtakes every yes that waits"),
        (false, false) => {}
    }
    met(if is_yes { "in the end: yes" } else { "in the end: no" });
    // The store says what memory says.
    shop.vault.close().unwrap();
    let (household, ..) = household(&shop.prepared.promise, &shop.prepared.projection);
    let again = Vault::in_memory_again(household, rows(&shop.vault)).unwrap();
    let campaign = shop.prepared.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
    let stored = again.snapshot().permit(shop.prepared.person, campaign).is_ok();
    assert!(stored == is_yes, "the store says otherwise than memory did");
}

fn two_senders(planted: Option<Fault>) {
    let shop = Shop::open(planted);
    let [first, second] = shop.prepared.messages;
    at_once(&shop, vec![Box::new(move |shop| shop.send(first)), Box::new(move |shop| shop.send(second))]);
    assert!(planted.is_some() || shop.n_sent.load(SeqCst) == 1, "one of the two goes");
}

/// Two senders take the same message, which one of them may do.
fn one_message_twice(planted: Option<Fault>) {
    let shop = Shop::open(planted);
    let first = shop.prepared.messages[0];
    at_once(&shop, vec![Box::new(move |shop| shop.send(first)), Box::new(move |shop| shop.send(first))]);
    assert!(shop.n_sent.load(SeqCst) == 1, "it goes once");
}

/// Everything at once, while the day turns.
fn a_turn_of_the_day(planted: Option<Fault>) {
    let shop = Shop::open(planted);
    let first = shop.prepared.messages[0];
    let less = if N_SCHEDULES.load(SeqCst).is_multiple_of(2) { Less::Withdraw } else { Less::Erase };
    let turn = |shop: &Shop| {
        shop.clock.advance_days(1);
        drop(shop.vault.snapshot());
    };
    at_once(
        &shop,
        vec![
            Box::new(turn),
            Box::new(move |shop| shop.less(less)),
            Box::new(Shop::serve),
            Box::new(move |shop| shop.send(first)),
        ],
    );
    assert!(!shop.may_be_offered(), "who took it back is offered nothing in the end");
}

/// A planted deadlock: an erasure holds `urgent` and then `leaving`; here somebody takes them the other way round.
fn locks_turned() {
    let shop = Shop::open(Some(Fault::LocksTurned));
    let turned = |shop: &Shop| {
        let leaving = shop.vault.inner.house.stall();
        drop(shop.vault.inner.house.waiting());
        drop(leaving);
    };
    at_once(&shop, vec![Box::new(turned), Box::new(|shop| shop.less(Less::Erase))]);
}

// ── running them ─────────────────────────────────────────────────────────────────────────────────────────────────────

type Scenario = (&'static str, fn(Option<Fault>), &'static [&'static str]);

const SERVED: &[&str] =
    &["served: no permit", "served: refused by the commit", "served: refused by the look", "served: released"];
const SENT: &[&str] = &["sent: refused by the commit", "sent: refused by the look", "sent: DATA"];

/// Name, what happens, and the ends that must be met.
const SCENARIOS: &[Scenario] = &[
    ("withdraw against serve", |planted| serving_against(Less::Withdraw, planted), SERVED),
    ("stop against serve", |planted| serving_against(Less::Stop, planted), SERVED),
    ("leave me alone against serve", |planted| serving_against(Less::LeaveMeAlone, planted), SERVED),
    ("erase against serve", |planted| serving_against(Less::Erase, planted), SERVED),
    ("withdraw against send", |planted| sending_against(Less::Withdraw, planted), SENT),
    ("leave me alone against send", |planted| sending_against(Less::LeaveMeAlone, planted), SENT),
    ("erase against send", |planted| sending_against(Less::Erase, planted), SENT),
    ("yes after no", yes_after_no, &["in the end: yes", "in the end: no"]),
    ("two senders, one cap", two_senders, &["sent: DATA", "sent: cap"]),
    ("two senders, one message", one_message_twice, &["sent: DATA", "sent: refused by the commit"]),
    (
        "a turn of the day",
        a_turn_of_the_day,
        &["served: released", "served: refused by the look", "sent: DATA", "sent: refused by the look"],
    ),
];

/// What is planted, and where it must be caught.
const CONTROLS: &[(&str, fn())] = &[
    ("no second look before an answer", || serving_against(Less::Withdraw, Some(Fault::NoSecondLook))),
    ("no second look before DATA", || sending_against(Less::Withdraw, Some(Fault::NoSecondLook))),
    ("no second look before DATA, erasing", || sending_against(Less::Erase, Some(Fault::NoSecondLook))),
    ("acknowledged before the lock, serving", || serving_against(Less::Withdraw, Some(Fault::ToldEarly))),
    ("acknowledged before the lock, sending", || sending_against(Less::LeaveMeAlone, Some(Fault::ToldEarly))),
    ("acknowledged before the lock, erasing", || serving_against(Less::Erase, Some(Fault::ToldEarly))),
    ("a yes that takes its place late", || yes_after_no(Some(Fault::PlaceLate))),
    ("a message that left is not counted", || two_senders(Some(Fault::SentIsNotCounted))),
    ("two locks in the other order", locks_turned),
];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs so many schedules; how many ran.
fn run(scheduler: impl Scheduler + 'static, scenario: impl Fn() + Send + Sync + 'static) -> usize {
    let mut config = shuttle::Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    shuttle::Runner::new(scheduler, config).run(scenario)
}

/// After how many schedules a planted fault was caught.
fn caught(seed: u64, scenario: fn()) -> Option<usize> {
    let begun = Arc::new(AtomicUsize::new(0));
    let n = Arc::clone(&begun);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        run(RandomScheduler::new_from_seed(seed, CAUGHT_WITHIN), move || {
            n.fetch_add(1, SeqCst);
            scenario();
        })
    }));
    ran.is_err().then(|| begun.load(SeqCst))
}

/// The gate. `GATE_N` schedules over all scenarios, half of them with few changes of thread at random places, from
/// `GATE_SEED` on.
#[test]
fn no_order_of_threads_breaks_a_promise() {
    let (n, seed) = (number("GATE_N", 2_000), number("GATE_SEED", 1));
    run(RandomScheduler::new_from_seed(seed, 1), || {
        PREPARED.get_or_init(prepare);
    });
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let controls: Vec<_> = CONTROLS.iter().map(|(name, control)| (name, caught(seed, *control))).collect();
    std::panic::set_hook(quiet);
    for (name, caught) in &controls {
        let within = caught.map_or_else(|| "NOT caught".to_owned(), |n| format!("caught after {n} schedules"));
        eprintln!("control {within}: {name}");
    }
    let each = usize::try_from(n).unwrap().div_ceil(2 * SCENARIOS.len());
    let mut n_ran = 0;
    for (name, scenario, ends) in SCENARIOS {
        *RUNNING.lock().unwrap() = name;
        n_ran += run(RandomScheduler::new_from_seed(seed, each), || scenario(None));
        n_ran += run(PctScheduler::new_from_seed(seed, CHANGES, each), || scenario(None));
        let met = MET.lock().unwrap();
        let met: BTreeMap<_, _> =
            met.iter().filter(|((of, _), _)| of == name).map(|((_, end), n)| (*end, *n)).collect();
        eprintln!("{name}: {met:?}");
        let missing: BTreeSet<_> = ends.iter().filter(|end| !met.contains_key(**end)).collect();
        assert!(missing.is_empty(), "{name}: never met {missing:?}");
    }
    eprintln!("{n_ran} schedules");
    assert!(controls.iter().all(|(_, caught)| caught.is_some()), "a planted fault was not caught");
}
