//! The outbox with a house in memory on one side and a sink on the other. It is long because each way a try can end has a
//! test.

mod said;

use super::*;
use crate::Recipient;
use crate::dkim::{Algorithm, Key};
use crate::egress::tests::{against, bind, config, inbox};
use crate::egress::{Patience, RelayConfig};
use crate::mail::OpenedMail;
use crate::sender::BaseUrl;
use crate::sink::{Inbox, Manner, Stage};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    ArtefactId, Awareness, CampaignName, Class, Clock as _, ConsentStatus, Context, Day, DecisionId, EventKind,
    EventName, Fact, FieldName, ItemCode, MessageId, Method, OfferName, ProfileId, Provenance, PurposeName, Rng,
    SegmentName, SourceName, TraitName, Trust, Words,
};
use promise::{ArtefactKind, ChannelKind};
use std::sync::{Arc, LazyLock};
use vault::{
    ConsentChange, Erasure, FactRead, Household, Identifier, IdentifierKind, Intake, ItemBasis, MessageKey,
    NewDecision, Outcome, Subject, Trace,
};

// ── a house with people and a campaign ────────────────────────────────────────────────────────────────────────────────

/// Noon in London, far from quiet hours.
const NOON: &str = "2026-03-02T12:00:00Z";

static KEY: LazyLock<Vec<u8>> = LazyLock::new(|| Key::generate(Algorithm::Ed25519Sha256).unwrap());

struct House {
    vault: Vault,
    clock: Arc<ManualClock>,
    rng: Arc<dyn Rng>,
    campaign: ArtefactId,
}

fn promise() -> Promise {
    promise::parse("shop.toml", promise::fixture::SHOP).unwrap()
}

/// Everybody is said to have ordered three times more than they did, and is lapsed up to the fifth order.
struct Orders {
    columns: Vec<vault::TraitColumn>,
    segments: Vec<SegmentName>,
}

impl Orders {
    fn new() -> Self {
        let event = EventName::parse("Order Completed").unwrap();
        let columns = vec![vault::TraitColumn { name: TraitName::parse("orders_all").unwrap(), event }];
        Self { columns, segments: vec![SegmentName::parse("lapsed").unwrap()] }
    }
}

impl vault::Projection for Orders {
    fn columns(&self) -> &[vault::TraitColumn] {
        &self.columns
    }
    fn fold(&self, event: &model::Event, sign: i64, buckets: &mut Vec<vault::Bucket>) {
        buckets.push(vault::Bucket { column: 0, day: event.occurred_at.day(), amount: sign });
    }
    fn values(&self, buckets: &[vault::Bucket], _: Day) -> (Vec<Option<i64>>, Option<Day>) {
        (vec![Some(3 + buckets.iter().map(|bucket| bucket.amount).sum::<i64>())], None)
    }
    fn segments(&self) -> &[SegmentName] {
        &self.segments
    }
    fn members(&self, values: &[Option<i64>]) -> Vec<bool> {
        vec![values.first().copied().flatten().is_some_and(|n| n <= 5)]
    }
}

impl House {
    /// In memory, with the relay in its register.
    async fn new() -> Self {
        let promise = promise();
        let clock = Arc::new(ManualClock::new(At::parse(NOON).unwrap()));
        let rng: Arc<dyn Rng> = Arc::new(Seeded::new(1));
        let campaign = promise
            .artefacts()
            .values()
            .find(|artefact| artefact.kind == ArtefactKind::Campaign && artefact.name == "win_back")
            .unwrap()
            .id;
        let vault = Vault::in_memory(Household {
            promise: Arc::new(promise),
            clock: clock.clone(),
            rng: rng.clone(),
            projection: Arc::new(Orders::new()),
        })
        .unwrap();
        Recipient::relay("The test's own sink", None).register(&vault).await.unwrap();
        Self { vault, clock, rng, campaign }
    }

    /// Somebody who ordered, left an address and said yes to offers.
    async fn person(&self, name: &str) -> ProfileId {
        let profile = self.order(name, 1).await;
        self.answer(profile, ConsentStatus::Given).await;
        profile
    }

    /// One order of somebody.
    async fn order(&self, name: &str, n: usize) -> ProfileId {
        let subject = Subject::Identifiers {
            user: Some(Identifier { kind: IdentifierKind::User, value: name.to_owned() }),
            anonymous: None,
        };
        let intake = Intake {
            subject: subject.clone(),
            kind: EventKind::Track,
            name: EventName::parse("Order Completed").unwrap(),
            source: SourceName::parse("shop").unwrap(),
            trust: Trust::Server,
            occurred_at: self.clock.now(),
            source_day: None,
            properties: BTreeMap::from([("order_id".to_owned(), Value::Text(name.to_owned()))]),
            lines: Vec::new(),
            fields: vec![(FieldName::parse("email").unwrap(), Value::Text(format!("{name}@example.com")))],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::Wire(format!("order {n} of {name}")),
        };
        let outcomes = self.vault.take(vec![intake]).unwrap().await.unwrap();
        let Some(Outcome::Kept { profile, .. }) = outcomes.first() else { panic!("not kept: {outcomes:?}") };
        *profile
    }

    fn change(&self, person: ProfileId, status: ConsentStatus) -> ConsentChange {
        let text = "Send you offers picked from what you bought.".to_owned();
        ConsentChange {
            subject: Subject::Profile(person),
            source: Some(SourceName::parse("shop").unwrap()),
            purpose: PurposeName::parse("offers").unwrap(),
            status,
            level: None,
            words: Words { text, language: "en".to_owned(), answered_at: self.clock.now() },
            method: Method::Server,
            notice_version: 1,
            made_up: false,
        }
    }

    async fn answer(&self, person: ProfileId, status: ConsentStatus) {
        let answer = self.vault.consent(self.change(person, status)).unwrap().await.unwrap();
        assert_eq!(answer.refusal, None);
    }

    /// A decision to write to somebody.
    async fn decide(&self, person: ProfileId, run: u32) -> DecisionId {
        let snapshot_seq = {
            let snapshot = self.vault.snapshot();
            snapshot.permit(person, self.campaign).unwrap().consent_seq()
        };
        let id = DecisionId::new(self.clock.now(), &*self.rng);
        let decision = NewDecision {
            id,
            person,
            artefact: self.campaign,
            campaign: CampaignName::parse("win_back").unwrap(),
            consent_seq: snapshot_seq,
            offer: Some(OfferName::parse("come_back").unwrap()),
            item: ItemCode::parse("85123A"),
            held_out: false,
            channel: ChannelKind::Email,
            send_at: None,
            run,
            replaces: None,
            trace: trace(self.clock.now()),
        };
        assert_eq!(self.vault.decide(decision).unwrap().await.unwrap(), Ok(id));
        id
    }

    async fn step(&self, mailer: &Mailer) -> Progress {
        step(&self.vault, mailer, BUDGET_MAX).await.unwrap()
    }

    fn advance_minutes(&self, minutes: i64) {
        self.clock.advance_ms(minutes * 60_000);
    }

    /// How a message stands, in the words of its decision.
    fn state(&self, person: ProfileId, decision: DecisionId) -> String {
        let snapshot = self.vault.snapshot();
        let permit = snapshot.permit(person, self.campaign).unwrap();
        snapshot.decision(&permit, decision).unwrap().unwrap().message_state.unwrap()
    }

    fn n_in_outbox(&self) -> u64 {
        self.vault.snapshot().outbox_counts().unwrap().iter().map(|(_, n)| n).sum()
    }
}

fn trace(now: At) -> Trace {
    let offer = promise().offers.into_values().next().unwrap();
    let slots = [("item", "a red lamp"), ("because", "a blue lamp"), ("code", "BACK20")];
    let orders = Fact {
        name: model::FactName::Trait(TraitName::parse("orders_all").unwrap()),
        value: Value::Number(4),
        class: Class::Plain,
        context: Context::Shopping,
        provenance: Provenance::Derived { ancestors: vec!["Order Completed".to_owned()] },
        as_of: now,
        told_at: Some(now),
        told_how: Awareness::InNotice,
        purposes: vec![PurposeName::parse("offers").unwrap()],
        notice_version: 1,
        expires_at: now.plus_days(100),
    };
    Trace {
        facts: vec![FactRead {
            fact: orders,
            ancestors: vec!["Order Completed".to_owned()],
            life_used_percent: 1,
            label: "how many orders you placed".to_owned(),
        }],
        steps: Vec::new(),
        texts: [offer.title, offer.says, offer.why],
        slots: slots.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        propensity_micros: 900_000,
        basis: ItemBasis::Purchase,
        shared_by: 120,
        exposure: "private_mail".to_owned(),
        promise: [0; 32],
        notice_version: 1,
    }
}

fn mailer_with(config: RelayConfig) -> Mailer {
    let base = BaseUrl::parse("https://corner.example").unwrap();
    let sender = Sender::new(&promise(), "hello@corner.example", base).unwrap();
    let signer = Signer::new("corner.example", vec![Key::from_pkcs8("e1", &KEY).unwrap()]).unwrap();
    Mailer::new(sender, signer, Relay::new(config).unwrap()).unwrap()
}

fn mailer(port: u16) -> Mailer {
    mailer_with(config(port))
}

fn ended<const N: usize>(expected: [(&'static str, u64); N]) -> BTreeMap<&'static str, u64> {
    expected.into()
}

fn taking() -> Arc<Inbox> {
    inbox(|_, _| Manner::Take)
}

// ── what must happen ──────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_due_message_leaves_once_signed_with_its_why_and_its_links() {
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let inbox = taking();
    against(&inbox, async |port| {
        let mailer = mailer(port);
        let progress = house.step(&mailer).await;
        assert_eq!(progress, Progress { ended: ended([("sent", 1)]), ..Progress::default() });
        house.clock.advance_days(1);
        assert_eq!(house.step(&mailer).await, Progress::default());
    })
    .await;
    assert_eq!(house.state(person, decision), "sent");
    assert_eq!((inbox.n_received(), house.n_in_outbox()), (1, 0));

    let received = inbox.mail(1).unwrap();
    assert_eq!(received.to, ["jo@example.com"]);
    assert!(received.bytes.starts_with(b"DKIM-Signature: v=1; a=ed25519-sha256;"));
    let mail = OpenedMail::read(&received.bytes).unwrap();
    assert_eq!(mail.header("Subject"), Some("A little something for you"));
    for part in [&mail.text, &mail.html] {
        for said in [
            "a red lamp is 20% off for you this week.",
            "You placed 4 orders with us, but none in the last 90 days. We picked a red lamp because you bought a blue lamp.",
            "BACK20",
        ] {
            assert!(part.contains(said), "{said} in {part}");
        }
    }
    // The links open this decision's pages, for this person.
    let token = mail.text.split("https://corner.example/m/").nth(1).unwrap().split_whitespace().next().unwrap();
    let target = house.vault.snapshot().token(token).unwrap();
    assert_eq!((target.person, target.decision), (person, Some(decision)));
    assert!(mail.header("List-Unsubscribe").unwrap().contains(token));
}

#[tokio::test]
async fn a_mail_whose_reason_is_no_longer_so_is_not_sent() {
    let house = House::new().await;
    let (jo, mia) = (house.person("jo").await, house.person("mia").await);
    let (to_jo, to_mia) = (house.decide(jo, 1).await, house.decide(mia, 1).await);
    // One order more than the mail would say; two more, and no longer in the group that the mail is for.
    house.order("jo", 2).await;
    house.order("mia", 2).await;
    house.order("mia", 3).await;
    let inbox = taking();
    against(&inbox, async |port| {
        let progress = house.step(&mailer(port)).await;
        assert_eq!(progress.ended, ended([("no_longer_so", 1), ("not_in_segment", 1)]));
    })
    .await;
    assert_eq!((house.state(jo, to_jo), inbox.n_received()), ("refused: no_longer_so".to_owned(), 0));
    assert_eq!((house.state(mia, to_mia), house.n_in_outbox()), ("refused: not_in_segment".to_owned(), 0));
}

#[tokio::test]
async fn what_waits_of_a_paused_campaign_leaves_only_when_it_goes_on() {
    use vault::campaign::{CampaignState, State};
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let set = async |state| {
        let state = CampaignState { state, run: 1, started_at: 1, by: "Ada".to_owned(), refused_for: None };
        let (name, bytes) = (CampaignState::record_name("win_back"), serde_json::to_vec(&state).unwrap());
        house.vault.put_house_record(&name, Some(bytes)).unwrap().await.unwrap();
    };
    let inbox = taking();
    against(&inbox, async |port| {
        let mailer = mailer(port);
        for state in [State::Paused, State::Refused, State::Stopped] {
            set(state).await;
            assert_eq!(house.step(&mailer).await.ended, ended([("paused", 1)]));
            assert_eq!(house.state(person, decision), "waiting: paused");
            house.advance_minutes(10);
        }
        set(State::Running).await;
        assert_eq!(house.step(&mailer).await.n_sent(), 1);
    })
    .await;
    assert_eq!((house.state(person, decision), inbox.n_received()), ("sent".to_owned(), 1));
}

#[tokio::test]
async fn d17_a_withdrawal_between_rcpt_and_data_stops_the_mail() {
    let house = Arc::new(House::new().await);
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let withdrawing = house.clone();
    let inbox = inbox(move |stage, _| {
        if stage == Stage::Rcpt {
            // Acknowledged before the relay answers: from here on nothing may leave.
            let withdrawal = withdrawing.change(person, ConsentStatus::Withdrawn);
            let pending = withdrawing.vault.consent(withdrawal).unwrap();
            std::thread::scope(|scope| scope.spawn(|| pending.wait().unwrap()).join().unwrap());
        }
        assert_ne!(stage, Stage::Data, "the text must not be asked for");
        Manner::Take
    });
    let progress = against(&inbox, async |port| house.step(&mailer(port)).await).await;
    assert_eq!(progress.n_sent(), 0);
    assert_eq!(progress.ended.values().sum::<u64>(), 1, "{progress:?}");
    assert_eq!((inbox.n_received(), house.n_in_outbox()), (0, 0));
    house.answer(person, ConsentStatus::Given).await;
    assert!(house.state(person, decision).starts_with("refused: "));
}

#[tokio::test]
async fn a_withdrawal_or_an_erasure_before_the_step_stops_the_mail() {
    let house = House::new().await;
    let (jo, mo) = (house.person("jo").await, house.person("mo").await);
    house.decide(jo, 1).await;
    house.decide(mo, 1).await;
    house.answer(jo, ConsentStatus::Withdrawn).await;
    house.vault.erase(mo, Erasure::Now).unwrap().await.unwrap();
    let inbox = taking();
    let progress = against(&inbox, async |port| house.step(&mailer(port)).await).await;
    assert_eq!((progress.n_sent(), inbox.n_received(), house.n_in_outbox()), (0, 0, 0), "{progress:?}");
}

#[tokio::test]
async fn quiet_hours_hold_a_mail_back_until_they_end() {
    let house = House::new().await;
    let person = house.person("jo").await;
    house.decide(person, 1).await;
    house.clock.set(At::parse("2026-03-02T22:00:00Z").unwrap());
    let inbox = taking();
    against(&inbox, async |port| {
        let mailer = mailer(port);
        let progress = house.step(&mailer).await;
        assert_eq!(progress.ended, ended([("quiet_hours", 1)]));
        house.clock.set(At::parse("2026-03-03T07:59:00Z").unwrap());
        assert_eq!(house.step(&mailer).await, Progress::default());
        house.clock.set(At::parse("2026-03-03T08:00:00Z").unwrap());
        assert_eq!(house.step(&mailer).await.n_sent(), 1);
    })
    .await;
}

#[tokio::test]
async fn c16_many_messages_at_once_never_break_one_persons_cap() {
    let house = House::new().await;
    let person = house.person("jo").await;
    for run in 1..=5 {
        house.decide(person, run).await;
    }
    let inbox = taking();
    against(&inbox, async |port| {
        let mailer = mailer(port);
        let progress = house.step(&mailer).await;
        assert_eq!(progress.ended, ended([("sent", 2), ("cap_reached", 3)]), "the promise says 2 per week");
        for _ in 0..6 {
            house.clock.advance_days(1);
            assert_eq!(house.step(&mailer).await.n_sent(), 0);
        }
    })
    .await;
    assert_eq!(inbox.n_received(), 2);
}

// ── relays that are down, slow, busy, or say no ───────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_relay_that_is_down_costs_no_attempt_and_is_left_alone() {
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let (listener, port) = bind().await;
    drop(listener);
    let mailer = mailer(port);
    for minutes in [1, 2, 4, 8] {
        let progress = house.step(&mailer).await;
        let Some(Stop::Resting(rest)) = progress.stopped else { panic!("not resting: {progress:?}") };
        assert_eq!((rest.fault, rest.until), (RelayFault::Down, house.clock.now().plus_ms(minutes * 60_000)));
        assert_eq!((progress.ended, progress.n_left), (BTreeMap::new(), 1));
        // Until then nothing is tried: the fault is not counted again.
        house.clock.advance_ms(minutes * 60_000 - 1);
        assert_eq!(house.step(&mailer).await.stopped, Some(Stop::Resting(rest)));
        house.clock.advance_ms(1);
    }
    assert_eq!(house.state(person, decision), "waiting");
}

#[tokio::test]
async fn a_relay_that_comes_back_gets_what_waited() {
    let house = House::new().await;
    let person = house.person("jo").await;
    house.decide(person, 1).await;
    let is_down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let seen = is_down.clone();
    let inbox = inbox(move |stage, _| match stage {
        Stage::Greeting if seen.load(std::sync::atomic::Ordering::SeqCst) => Manner::Drop,
        _ => Manner::Take,
    });
    against(&inbox, async |port| {
        let mailer = mailer(port);
        assert_eq!(house.step(&mailer).await.n_sent(), 0);
        is_down.store(false, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(house.step(&mailer).await.n_sent(), 0, "still resting");
        house.advance_minutes(1);
        assert_eq!(house.step(&mailer).await.n_sent(), 1);
        assert_eq!(mailer.rest(), None);
    })
    .await;
}

#[tokio::test]
async fn a_message_nobody_can_send_is_given_up_after_a_day() {
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let (listener, port) = bind().await;
    drop(listener);
    let mailer = mailer(port);
    house.step(&mailer).await;
    house.clock.advance_days(1);
    assert_eq!(house.step(&mailer).await.ended, ended([("gave_up", 1)]));
    assert_eq!(house.state(person, decision), "failed: gave_up");
    assert_eq!((house.n_in_outbox(), house.step(&mailer).await.ended.len()), (0, 0));
}

#[tokio::test]
async fn a_message_put_off_is_tried_again_with_longer_rests_until_it_is_given_up() {
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let inbox = inbox(|stage, _| match stage {
        Stage::Rcpt => Manner::Answer("450 4.2.1 mailbox busy"),
        _ => Manner::Take,
    });
    against(&inbox, async |port| {
        let mailer = mailer(port);
        let mut waited_ms = 0;
        let mut n_tries = 0;
        loop {
            let progress = house.step(&mailer).await;
            if progress.ended == ended([("gave_up", 1)]) {
                break;
            }
            if progress.ended.contains_key("put_off") {
                assert_eq!(progress.ended, ended([("put_off", 1)]));
                assert_eq!(progress.stopped, None, "the relay itself is fine");
                assert_eq!(house.state(person, decision), "waiting: put_off");
                n_tries += 1;
            }
            assert!(n_tries < 40, "it ends");
            // One minute before it is due nothing happens.
            let rest = rest_ms(n_tries);
            if progress.ended == ended([("put_off", 1)]) {
                house.clock.advance_ms(rest - 1);
                assert_eq!(house.step(&mailer).await, Progress::default());
                house.clock.advance_ms(1);
                waited_ms += rest;
            } else {
                assert!(progress.ended.is_empty() || progress.ended == ended([("quiet_hours", 1)]), "{progress:?}");
                house.advance_minutes(60);
            }
        }
        assert!((LIFE_MS - REST_MS_MAX..=LIFE_MS + REST_MS_MAX).contains(&waited_ms), "{waited_ms}");
    })
    .await;
    assert_eq!((house.state(person, decision).as_str(), inbox.n_received()), ("failed: gave_up", 0));
}

#[tokio::test]
async fn a_relay_that_falls_silent_is_named_slow_and_left_alone() {
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let inbox = inbox(|stage, _| if stage == Stage::Rcpt { Manner::Hang } else { Manner::Take });
    against(&inbox, async |port| {
        let patience = Patience { command: Duration::from_millis(200), ..Patience::default() };
        let mailer = mailer_with(RelayConfig { patience, ..config(port) });
        let progress = house.step(&mailer).await;
        assert_eq!(progress.ended, ended([("relay_slow", 1)]));
        assert!(matches!(progress.stopped, Some(Stop::Resting(Rest { fault: RelayFault::Slow, .. }))));
    })
    .await;
    assert_eq!(house.state(person, decision), "waiting: relay_slow");
}

#[tokio::test]
async fn silence_after_the_text_ends_unknown_and_is_never_sent_again() {
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let inbox = inbox(|stage, _| if stage == Stage::End { Manner::Drop } else { Manner::Take });
    against(&inbox, async |port| {
        let mailer = mailer(port);
        assert_eq!(house.step(&mailer).await.ended, ended([("unknown", 1)]));
        for _ in 0..3 {
            house.clock.advance_days(1);
            assert_eq!(house.step(&mailer).await, Progress::default());
        }
    })
    .await;
    assert_eq!((house.state(person, decision).as_str(), house.n_in_outbox()), ("failed: unknown", 0));
}

#[tokio::test]
async fn c16_mails_that_may_have_arrived_count_under_the_cap() {
    let house = House::new().await;
    let person = house.person("jo").await;
    for run in 1..=3 {
        house.decide(person, run).await;
    }
    let inbox = inbox(|stage, _| if stage == Stage::End { Manner::Drop } else { Manner::Take });
    against(&inbox, async |port| {
        // One after the other: the relay keeps what it got and breaks off.
        for expected in ["unknown", "unknown", "cap_reached"] {
            house.advance_minutes(5);
            let mailer = mailer(port);
            let progress = step(&house.vault, &mailer, 1).await.unwrap();
            assert_eq!(progress.ended, ended([(expected, 1)]));
        }
    })
    .await;
    assert_eq!(house.vault.snapshot().outbox_counts().unwrap(), [("due", 0), ("waiting", 1), ("trying", 0)]);
}

#[tokio::test]
async fn an_attempt_whose_sender_died_ends_unknown_and_is_never_sent() {
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let message = house.vault.snapshot().outbox_due(1).unwrap()[0].message;
    // Committed, and then the process is gone: before DATA or after it, nobody knows.
    house.vault.begin_attempt(message).unwrap().await.unwrap().unwrap();
    let inbox = taking();
    against(&inbox, async |port| {
        let mailer = mailer(port);
        assert_eq!(house.step(&mailer).await, Progress::default(), "it may still be at work");
        house.advance_minutes(10);
        assert_eq!(house.step(&mailer).await.ended, ended([("unknown", 1)]));
        house.clock.advance_days(1);
        assert_eq!(house.step(&mailer).await, Progress::default());
    })
    .await;
    assert_eq!((house.state(person, decision).as_str(), inbox.n_received()), ("failed: unknown", 0));
}

#[tokio::test]
async fn an_address_refused_for_good_is_written_to_no_more() {
    let house = House::new().await;
    let person = house.person("gone").await;
    let first = house.decide(person, 1).await;
    let second = house.decide(person, 2).await;
    let inbox = inbox(|stage, _| if stage == Stage::Rcpt { Manner::Answer("550 5.1.1 unknown") } else { Manner::Take });
    against(&inbox, async |port| {
        let mailer = mailer_with(RelayConfig { connections: 1, ..config(port) });
        assert_eq!(house.step(&mailer).await.ended, ended([("address_refused", 1), ("suppressed", 1)]));
        assert_eq!(mailer.rest(), None, "not the relay's fault");
    })
    .await;
    let mut states = [house.state(person, first), house.state(person, second)];
    states.sort();
    assert_eq!(states, ["failed: address_refused", "refused: suppressed"]);
}

#[tokio::test]
async fn a_relay_that_does_not_serve_us_condemns_no_address() {
    let house = House::new().await;
    let person = house.person("jo").await;
    let decision = house.decide(person, 1).await;
    let inbox =
        inbox(
            |stage, _| {
                if stage == Stage::Rcpt { Manner::Answer("554 5.7.1 relay access denied") } else { Manner::Take }
            },
        );
    against(&inbox, async |port| {
        let progress = house.step(&mailer(port)).await;
        assert_eq!(progress.ended, ended([("relay_refused", 1)]));
        assert!(matches!(progress.stopped, Some(Stop::Resting(Rest { fault: RelayFault::Refused, .. }))));
    })
    .await;
    assert_eq!(house.state(person, decision), "waiting: relay_refused");
}

#[tokio::test]
async fn every_message_ends_in_exactly_one_outcome_whatever_the_relay_does() {
    let house = House::new().await;
    let manners = ["ok", "gone", "busy", "spam"];
    let mut decided = Vec::new();
    for n in 0..40 {
        let person = house.person(&format!("{}{n}", manners[n % 4])).await;
        decided.push((n % 4, person, house.decide(person, 1).await));
    }
    let greeted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = greeted.clone();
    let rcpt = Arc::new(std::sync::Mutex::new(String::new()));
    let inbox = inbox(move |stage, given| match stage {
        Stage::Greeting => {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Manner::Take
        }
        Stage::Rcpt if given.starts_with("gone") => Manner::Answer("550 5.1.1 unknown"),
        Stage::Rcpt if given.starts_with("busy") => Manner::Answer("452 4.2.2 full"),
        Stage::Rcpt => {
            given.clone_into(&mut rcpt.lock().unwrap());
            Manner::Take
        }
        Stage::Data if rcpt.lock().unwrap().starts_with("spam") => Manner::Answer("554 5.6.0 no"),
        _ => Manner::Take,
    });
    let progress = against(&inbox, async |port| {
        let mailer = mailer_with(RelayConfig { connections: 1, ..config(port) });
        house.step(&mailer).await
    })
    .await;
    let expected = ended([("sent", 10), ("address_refused", 10), ("put_off", 10), ("message_refused", 10)]);
    assert_eq!(progress, Progress { ended: expected, ..Progress::default() });
    for (manner, person, decision) in decided {
        let state = house.state(person, decision);
        let expected = ["sent", "failed: address_refused", "waiting: put_off", "failed: message_refused"];
        assert_eq!(state, expected[manner]);
    }
    assert_eq!((inbox.n_received(), greeted.load(std::sync::atomic::Ordering::SeqCst)), (10, 1));
}

#[tokio::test]
async fn many_messages_share_at_most_four_connections() {
    let house = House::new().await;
    for n in 0..60 {
        let person = house.person(&format!("p{n}")).await;
        house.decide(person, 1).await;
    }
    let greeted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = greeted.clone();
    let inbox = inbox(move |stage, _| {
        if stage == Stage::Greeting {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        Manner::Take
    });
    against(&inbox, async |port| {
        let mailer = mailer(port);
        let progress = step(&house.vault, &mailer, 25).await.unwrap();
        assert_eq!((progress.n_sent(), progress.is_more), (25, true), "no more than asked for");
        assert!(greeted.load(std::sync::atomic::Ordering::SeqCst) <= CONNECTIONS_MAX);
        let progress = house.step(&mailer).await;
        assert_eq!((progress.n_sent(), progress.is_more), (35, false));
    })
    .await;
    let mut to: Vec<String> = inbox.mails().iter().flat_map(|mail| mail.to.clone()).collect();
    to.sort();
    to.dedup();
    assert_eq!(to.len(), 60, "everybody once");
}

// ── the register ──────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a08_nothing_leaves_to_a_recipient_outside_the_register_or_past_its_last_day() {
    let house = House::new().await;
    let person = house.person("jo").await;
    house.decide(person, 1).await;
    let inbox = taking();
    against(&inbox, async |port| {
        let mut other = config(port);
        other.recipient.name = "other".to_owned();
        let other = mailer_with(other);
        let progress = house.step(&other).await;
        assert_eq!(progress, Progress { n_left: 1, stopped: Some(Stop::NotRegistered), ..Progress::default() });

        let today = house.clock.now().day();
        let mailer = mailer(port);
        Recipient::relay("The test's own sink", Some(today.plus(-1))).register(&house.vault).await.unwrap();
        assert_eq!(house.step(&mailer).await.stopped, Some(Stop::NotRegistered));
        Recipient::relay("The test's own sink", Some(today)).register(&house.vault).await.unwrap();
        assert_eq!(house.step(&mailer).await.n_sent(), 1);
    })
    .await;
    assert_eq!(inbox.n_received(), 1);
}

#[tokio::test]
async fn the_register_reads_back_what_was_written() {
    let house = House::new().await;
    let until = Day::parse("2027-12-31");
    let post = Recipient { name: "post".to_owned(), ..Recipient::relay("Printer Ltd, United Kingdom", until) };
    post.register(&house.vault).await.unwrap();
    let relay = Recipient::relay("The test's own sink", None);
    assert_eq!(recipients(&house.vault.snapshot()).unwrap(), [post, relay]);
    house.vault.put_house_record("recipient/post", Some(b"{".to_vec())).unwrap().await.unwrap();
    let error = recipients(&house.vault.snapshot()).unwrap_err();
    assert_eq!(error.to_string(), "the register entry of recipient post cannot be read");
}

// ── pure parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

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
        is_left_open: false,
    };
    assert!(!is_given_up(&entry(0), due_at));
    assert!(!is_given_up(&entry(0), due_at.plus_ms(LIFE_MS - 1)));
    assert!(is_given_up(&entry(0), due_at.plus_ms(LIFE_MS)));
    // Seventeen rests make 22 hours and 7 minutes, eighteen more than a day.
    assert!(!is_given_up(&entry(17), due_at));
    assert!(is_given_up(&entry(18), due_at));
    assert!(is_given_up(&entry(u32::MAX), due_at));
}

#[test]
fn a_signature_of_another_domain_is_refused_at_the_start() {
    let base = BaseUrl::parse("https://corner.example").unwrap();
    let make = |from: &str, signer: &str| {
        let sender = Sender::new(&promise(), from, base.clone()).unwrap();
        let signer = Signer::new(signer, vec![Key::from_pkcs8("e1", &KEY).unwrap()]).unwrap();
        Mailer::new(sender, signer, Relay::new(config(25)).unwrap()).map(|_| ())
    };
    assert!(make("hello@corner.example", "corner.example").is_ok());
    assert!(make("hello@mail.corner.example", "Corner.example").is_ok());
    for (from, signer) in [
        ("hello@corner.example", "mail.corner.example"),
        ("hello@evilcorner.example", "corner.example"),
        ("hello@corner.example", "other.example"),
    ] {
        assert!(matches!(make(from, signer), Err(DeliverError::Alignment { .. })), "{from} {signer}");
    }
}

/// The program runs steps on its own threads.
#[test]
fn a_step_can_be_sent_between_threads() {
    fn check<T: Send>(_: impl FnOnce(&'static Vault, &'static Mailer) -> T) {}
    check(|vault, mailer| step(vault, mailer, 1));
}

// ── the yearly reminder ───────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn d11_the_yearly_reminder_tells_what_is_shared_and_sells_nothing() {
    let house = House::new().await;
    let person = house.person("jo").await;
    house.clock.advance_days(365);
    assert_eq!(house.vault.sweep().unwrap().await.unwrap().n_reminded, 1);
    let inbox = taking();
    against(&inbox, async |port| {
        assert_eq!(house.step(&mailer(port)).await.ended, ended([("sent", 1)]));
    })
    .await;
    let received = inbox.mail(1).unwrap();
    assert_eq!(received.to, ["jo@example.com"]);
    assert!(received.bytes.starts_with(b"DKIM-Signature: "));
    let mail = OpenedMail::read(&received.bytes).unwrap();
    assert_eq!(mail.header("Subject"), Some("What you share with us"));
    assert_eq!(mail.header("List-Unsubscribe"), None, "it is no advertisement");
    let token = mail.text.split("https://corner.example/m/").nth(1).unwrap().split_whitespace().next().unwrap();
    for part in [&mail.text, &mail.html] {
        let words = part.split_whitespace().collect::<Vec<_>>().join(" ");
        for said in [
            "You said yes on 2 March 2026 to: “Send you offers picked from what you bought.”",
            "“Order Completed”",
            "your yes ends on 1 March 2028.",
        ] {
            assert!(words.contains(said), "{said} in {words}");
        }
        for way in ["keep", "less", "stop"] {
            assert!(part.contains(&format!("https://corner.example/m/{token}#{way}")), "{way}");
        }
        assert!(!part.contains("jo@example.com") && !part.contains("20% off"), "no value of theirs, and no offer");
    }
    assert_eq!(house.vault.snapshot().token(token).map(|target| target.person), Some(person));
}

#[tokio::test]
async fn d11_a_reminder_that_waits_is_not_sent_once_the_yes_has_ended() {
    let house = House::new().await;
    let person = house.person("jo").await;
    house.clock.advance_days(365);
    house.vault.sweep().unwrap().await.unwrap();
    house.answer(person, ConsentStatus::Withdrawn).await;
    let inbox = taking();
    against(&inbox, async |port| {
        assert_eq!(house.step(&mailer(port)).await.ended, ended([("answer_lapsed", 1)]));
    })
    .await;
    assert_eq!((inbox.n_received(), house.n_in_outbox()), (0, 0));
}
