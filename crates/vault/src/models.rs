//! Responsible for `./gate models`: every order of what can happen to one person's answers, one person's messages, and one person's
//! keys, tried to exhaustion (stateright). The steps are the product's own pure functions, which the committer, the urgent path, the
//! rotation and the restore call; a model only says who may take which step when. Each must reach every variant of its actions
//! and every end, end by exhaustion, and notice what is planted.
//!
//! Deliberately not: threads (`interleave`), disks (`tests/gates`), or more than two of anything.

use crate::backup::{Fate, fate};
use crate::commit::{Part, RotationStep, with_pending};
use crate::format::{self, Bytes16, ContactForm, CoreForm, LedgerForm, RelationForm, RotationForm, RotationStage};
use crate::narrowing::Reach;
use crate::order::Order;
use crate::pressure;
use crate::state::{Person, Wishes};
use crate::tombstone::Tombstones;
use crate::wish::{self, Wish};
use crate::{Erasure, fixture};
use model::{At, ConsentStatus, HouseId, Method, ProfileId, ProfileKind, PurposeName};
use promise::{ArtefactKind, CapPlan, Promise, Verdict};
use stateright::{Checker, Model, Property};
use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

const PERSON: ProfileId = ProfileId::from_bytes([7; 16]);

fn now() -> At {
    At::parse(fixture::TODAY).unwrap()
}

/// What was met on the way, by name.
#[derive(Default)]
struct Met(Mutex<BTreeSet<&'static str>>);

impl Met {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().insert(what);
    }
}

/// Runs a model to its end: nothing found, everything met.
fn holds<M>(name: &str, model: M, met: &Arc<Met>, all: &[&'static str])
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: std::fmt::Debug + PartialEq + Send + Sync + Clone + 'static,
{
    let checker = model.checker().spawn_bfs().join();
    eprintln!("{name}: {} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
    assert!(checker.is_done(), "{name}: it did not end by exhaustion");
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{name}: {property}: {:?}", path.into_actions());
    }
    let met = met.0.lock().unwrap();
    let missing: Vec<_> = all.iter().filter(|each| !met.contains(**each)).collect();
    assert!(missing.is_empty(), "{name}: never met {missing:?}");
}

/// Runs a model in which something is planted: it must be found.
fn finds<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: std::fmt::Debug + PartialEq + Send + Sync + Clone + 'static,
{
    let checker = model.checker().spawn_bfs().join();
    let found: Vec<_> = checker.discoveries().into_keys().collect();
    eprintln!("control {}: {name}: {found:?}", if found.is_empty() { "NOT caught" } else { "caught" });
    assert!(!found.is_empty(), "what was planted was not found: {name}");
}

// ── consent × queue × send ───────────────────────────────────────────────────────────────────────────────────────────

/// One person, one purpose, one sender.
#[derive(Clone)]
struct Consent {
    promise: Arc<Promise>,
    purpose: PurposeName,
    met: Arc<Met>,
    looks: bool,
}

/// The person's record, as far as answers go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Record {
    is_yes: bool,
    seq: u64,
    written: Vec<u8>,
}

/// The person as memory has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Memory {
    is_yes: bool,
    seq: u64,
    pending: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Queued {
    Yes { place: u64 },
    Begin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sender {
    Idle,
    Queued,
    Begun { seq: u64 },
    Over,
}

/// A batch: what it was made of, and what it makes of the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Made {
    record: Record,
    drained: Vec<u8>,
    n_yes: usize,
    begun: Option<Result<u64, ()>>,
    is_written: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Answers {
    record: Record,
    memory: Memory,
    /// The urgent log.
    urgent: Vec<u8>,
    queue: Vec<Queued>,
    order: Order,
    batch: Option<Made>,
    sender: Sender,
    next: u8,
    n_yes: u8,
    n_crashes: u8,
    /// A no was acknowledged, and no yes was given since.
    told_no: bool,
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    SayNo,
    SayYes,
    Send,
    Make,
    Write,
    Publish,
    Look,
    Crash,
}

impl Consent {
    fn new(looks: bool) -> Self {
        let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        Self { promise, purpose: fixture::purpose("offers"), met: Arc::default(), looks }
    }

    fn entry(&self, id: u8, status: ConsentStatus) -> LedgerForm {
        let change = crate::ConsentChange {
            subject: crate::Subject::Profile(PERSON),
            source: None,
            purpose: self.purpose.clone(),
            status,
            level: None,
            words: fixture::words(now()),
            method: Method::SiteForm,
            notice_version: 1,
            made_up: false,
        };
        crate::commit::consent_entry(&change, model::ConsentId::from_bytes([id; 16]), now())
    }

    fn no(&self, id: u8) -> Wish {
        Wish::Answer(self.entry(id, ConsentStatus::Withdrawn))
    }

    fn core(&self, record: &Record) -> CoreForm {
        let status = if record.is_yes { ConsentStatus::Given } else { ConsentStatus::Withdrawn };
        let relation = RelationForm {
            purpose: self.purpose.as_str().to_owned(),
            status: format::status_code(status),
            notice_version: 1,
            at: now().ms(),
            level: None,
        };
        let wishes_done = record.written.iter().map(|id| Bytes16::from([*id; 16])).collect();
        CoreForm {
            relations: vec![relation],
            told_version: 1,
            consent_seq: record.seq,
            wishes_done,
            ..CoreForm::default()
        }
    }

    fn is_yes(&self, standing: &promise::Standing) -> bool {
        let artefact = self.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap();
        !matches!(promise::judge(&self.promise, artefact, standing, now()), Verdict::No(_))
    }

    fn record(&self, core: &CoreForm) -> Record {
        let written = core.wishes_done.iter().map(|id| id[0]).collect();
        Record { is_yes: self.is_yes(&core.standing().unwrap()), seq: core.consent_seq, written }
    }

    /// The person as memory has it after a batch, before anything that waits.
    fn published(&self, core: &CoreForm) -> Person {
        Person {
            id: PERSON,
            number: 1,
            kind: ProfileKind::Person,
            wishes: Arc::new(Wishes { standing: core.standing().unwrap(), seq: core.consent_seq }),
            pending: Vec::new(),
            reach: crate::state::Reach::default(),
            touched: 0,
        }
    }

    fn person(&self, memory: &Memory) -> Person {
        let core = self.core(&Record { is_yes: memory.is_yes, seq: memory.seq, written: Vec::new() });
        let pending = memory.pending.iter().map(|id| Arc::new(self.no(*id))).collect();
        Person { pending, ..self.published(&core) }
    }

    fn memory(&self, person: &Person) -> Memory {
        let pending = person.pending.iter().map(|wish| wish.id()[0]).collect();
        Memory { is_yes: self.is_yes(&person.wishes.standing), seq: person.wishes.seq, pending }
    }

    fn hold(&self, memory: &Memory, id: u8) -> Memory {
        let (mut person, wish) = (self.person(memory), self.no(id));
        person.pending.push(Arc::new(wish.clone()));
        wish.hold(&mut person);
        self.memory(&person)
    }

    /// One batch: urgent commands first, then the queue.
    fn make(&self, state: &mut Answers) {
        let mut core = self.core(&state.record);
        for id in &state.urgent {
            let wish = self.no(*id);
            if wish.is_written(&core) {
                self.met.note("a wish was played again");
                continue;
            }
            wish.note_written(&mut core);
            wish.apply(&mut core).unwrap();
        }
        let (mut n_yes, mut begun) = (0, None);
        for command in std::mem::take(&mut state.queue) {
            match command {
                Queued::Yes { place } => {
                    n_yes += 1;
                    if state.order.is_overtaken(place, PERSON, &self.purpose) {
                        self.met.note("a yes was overtaken");
                    } else if !self.is_yes(&core.standing().unwrap()) {
                        Wish::Answer(self.entry(0, ConsentStatus::Given)).apply(&mut core).unwrap();
                        self.met.note("a yes was written");
                    }
                }
                Queued::Begin => {
                    let may = self.is_yes(&core.standing().unwrap());
                    self.met.note(if may { "an attempt began" } else { "an attempt was refused" });
                    begun = Some(if may { Ok(core.consent_seq) } else { Err(()) });
                }
            }
        }
        let record = self.record(&core);
        state.batch = Some(Made { record, drained: state.urgent.clone(), n_yes, begun, is_written: false });
    }

    fn publish(&self, state: &mut Answers, made: Made) {
        let drained: Vec<Bytes16> = made.drained.iter().map(|id| Bytes16::from([*id; 16])).collect();
        let here = self.person(&state.memory);
        let person = with_pending(self.published(&self.core(&made.record)), Some(&here), &drained);
        state.memory = self.memory(&person);
        state.urgent.retain(|id| !made.drained.contains(id));
        (0..made.n_yes).for_each(|_| state.order.leave());
        match made.begun {
            Some(Ok(seq)) => state.sender = Sender::Begun { seq },
            Some(Err(())) => state.sender = Sender::Over,
            None => {}
        }
    }

    fn look(&self, state: &mut Answers, seq: u64) {
        state.sender = Sender::Over;
        if self.looks && wish::look(Some(state.memory.seq), seq).is_err() {
            return self.met.note("refused by the look");
        }
        self.met.note("DATA");
        if state.told_no {
            state.broken = Some("DATA after a no was acknowledged");
        }
    }

    /// What is on the disk is read again, and the urgent log played.
    fn crash(&self, state: &mut Answers) {
        if let Some(made) = state.batch.take().filter(|made| made.is_written) {
            state.record = made.record;
        }
        let core = self.core(&state.record);
        state.memory = self.memory(&self.published(&core));
        for id in std::mem::take(&mut state.urgent) {
            if self.no(id).is_written(&core) {
                self.met.note("a wish was there already");
            } else {
                state.urgent.push(id);
                state.memory = self.hold(&state.memory, id);
            }
        }
        (state.queue, state.order) = (Vec::new(), Order::default());
        state.sender = Sender::Over;
        state.n_crashes += 1;
    }
}

impl Model for Consent {
    type State = Answers;
    type Action = Act;

    fn init_states(&self) -> Vec<Answers> {
        let record = Record { is_yes: true, seq: 1, written: Vec::new() };
        let memory = self.memory(&self.published(&self.core(&record)));
        vec![Answers {
            record,
            memory,
            urgent: Vec::new(),
            queue: Vec::new(),
            order: Order::default(),
            batch: None,
            sender: Sender::Idle,
            next: 1,
            n_yes: 0,
            n_crashes: 0,
            told_no: false,
            broken: None,
        }]
    }

    fn actions(&self, state: &Answers, actions: &mut Vec<Act>) {
        if state.next <= 2 {
            actions.push(Act::SayNo);
        }
        if state.n_yes < 2 {
            actions.push(Act::SayYes);
        }
        match &state.batch {
            Some(made) if made.is_written => actions.push(Act::Publish),
            Some(_) => actions.push(Act::Write),
            None if !state.urgent.is_empty() || !state.queue.is_empty() => actions.push(Act::Make),
            None => {}
        }
        match state.sender {
            Sender::Idle => actions.push(Act::Send),
            Sender::Begun { .. } => actions.push(Act::Look),
            Sender::Queued | Sender::Over => {}
        }
        if state.n_crashes == 0 {
            actions.push(Act::Crash);
        }
    }

    fn next_state(&self, last: &Answers, action: Act) -> Option<Answers> {
        let mut state = last.clone();
        match action {
            Act::SayNo => {
                self.met.note("no");
                state.order.narrow(PERSON, &self.purpose);
                state.urgent.push(state.next);
                state.memory = self.hold(&state.memory, state.next);
                state.next += 1;
                state.told_no = true;
            }
            Act::SayYes => {
                self.met.note("yes");
                let place = state.order.place();
                state.queue.push(Queued::Yes { place });
                state.n_yes += 1;
                state.told_no = false;
            }
            Act::Send => {
                state.queue.push(Queued::Begin);
                state.sender = Sender::Queued;
            }
            Act::Make => self.make(&mut state),
            Act::Write => {
                let made = state.batch.as_mut()?;
                made.is_written = true;
                state.record = made.record.clone();
            }
            Act::Publish => {
                let made = state.batch.take()?;
                self.publish(&mut state, made);
            }
            Act::Look => {
                let Sender::Begun { seq } = state.sender else { return None };
                self.look(&mut state, seq);
            }
            Act::Crash => self.crash(&mut state),
        }
        if state.told_no && state.memory.is_yes {
            state.broken = Some("memory says yes after a no was acknowledged");
        }
        let is_quiet = state.batch.is_none() && state.urgent.is_empty() && state.queue.is_empty();
        if is_quiet && state.record.is_yes != state.memory.is_yes {
            state.broken = Some("the record says otherwise than memory");
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("a no that was acknowledged is obeyed", |_, state: &Answers| state.broken.is_none())]
    }
}

#[test]
fn every_order_of_answers_batches_and_a_send_obeys_the_last_no() {
    let model = Consent::new(true);
    let met = Arc::clone(&model.met);
    let all = [
        "no",
        "yes",
        "a yes was overtaken",
        "a yes was written",
        "a wish was there already",
        "an attempt began",
        "an attempt was refused",
        "refused by the look",
        "DATA",
    ];
    holds("consent × queue × send", model, &met, &all);
    finds("no second look at the serving", Consent::new(false));
}

// ── one cap, two senders ─────────────────────────────────────────────────────────────────────────────────────────────

/// Two messages of one person, each with a sender of its own; the cap is one in two days.
#[derive(Clone)]
struct Cap {
    met: Arc<Met>,
    /// Read in the commit; planted: read before it.
    in_commit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Waiting,
    /// Planted: there was room when it was read.
    HasRoom,
    Trying,
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pressure {
    /// Message, day, counted for good.
    contacts: Vec<(u8, i32, bool)>,
    messages: [Message; 2],
    day: i32,
    own: Option<u32>,
    /// Days on which something was received.
    received: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Try {
    Begin(u8),
    Sent(u8),
    Unknown(u8),
    Later(u8),
    Day,
    Less,
}

impl Pressure {
    fn core(&self) -> CoreForm {
        let contact = |(message, day, sent): &(u8, i32, bool)| ContactForm {
            message: Bytes16::from([*message; 16]),
            at: now().plus_days(*day).ms(),
            sent: *sent,
        };
        CoreForm { contacts: self.contacts.iter().map(contact).collect(), at_most: self.own, ..CoreForm::default() }
    }

    fn changed(&mut self, change: impl FnOnce(&mut CoreForm)) {
        let mut core = self.core();
        change(&mut core);
        let day = |at: i64| At::from_ms(at).day().since(now().day());
        self.contacts = core.contacts.iter().map(|each| (each.message[0], day(each.at), each.sent)).collect();
    }
}

impl Cap {
    const PLAN: CapPlan = CapPlan { at_most: 1, per_days: 2, quiet_from: 0, quiet_until: 0 };

    fn has_room(state: &Pressure) -> bool {
        let core = state.core();
        let contacts = core.contacts.iter().map(|contact| At::from_ms(contact.at));
        pressure::room(&Self::PLAN, core.at_most, contacts, now().plus_days(state.day)).is_ok()
    }
}

impl Model for Cap {
    type State = Pressure;
    type Action = Try;

    fn init_states(&self) -> Vec<Pressure> {
        let messages = [Message::Waiting; 2];
        vec![Pressure { contacts: Vec::new(), messages, day: 0, own: None, received: Vec::new() }]
    }

    fn actions(&self, state: &Pressure, actions: &mut Vec<Try>) {
        for (number, message) in (0..).zip(state.messages) {
            match message {
                Message::Waiting | Message::HasRoom => actions.push(Try::Begin(number)),
                Message::Trying => actions.extend([Try::Sent(number), Try::Unknown(number), Try::Later(number)]),
                Message::Over => {}
            }
        }
        if state.day < 4 {
            actions.push(Try::Day);
        }
        if state.own.is_none() {
            actions.push(Try::Less);
        }
    }

    fn next_state(&self, last: &Pressure, action: Try) -> Option<Pressure> {
        let mut state = last.clone();
        let at = now().plus_days(state.day);
        let id = |number: u8| Bytes16::from([number; 16]);
        match action {
            Try::Begin(number) => {
                let message = &mut state.messages[usize::from(number)];
                let may = *message == Message::HasRoom || Self::has_room(last);
                if !may {
                    self.met.note("no room");
                    return None;
                }
                if *message == Message::Waiting && !self.in_commit {
                    *message = Message::HasRoom;
                    return Some(state);
                }
                *message = Message::Trying;
                state.changed(|core| pressure::begin_attempt(core, id(number), at));
            }
            Try::Sent(number) | Try::Unknown(number) => {
                self.met.note(if action == Try::Sent(number) { "sent" } else { "unknown" });
                state.messages[usize::from(number)] = Message::Over;
                state.changed(|core| pressure::count_for_good(core, &id(number)));
                // It left when the attempt began, at the earliest.
                let begun = state.contacts.iter().find(|(message, ..)| *message == number)?.1;
                state.received.push(begun);
            }
            Try::Later(number) => {
                self.met.note("later");
                state.messages[usize::from(number)] = Message::Waiting;
                state.changed(|core| pressure::forget_attempt(core, &id(number)));
            }
            Try::Day => {
                self.met.note("a day");
                state.day += 1;
            }
            Try::Less => {
                self.met.note("less");
                state.own = Some(Wish::less(state.own, &Self::PLAN));
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("no window holds more than the cap", |_, state: &Pressure| {
            let tried = state.contacts.iter().filter(|(_, _, sent)| !sent).map(|(_, day, _)| *day);
            let days: Vec<i32> = state.received.iter().copied().chain(tried).collect();
            let most = Cap::PLAN.at_most as usize;
            days.iter().all(|first| days.iter().filter(|day| (0..2).contains(&(**day - first))).count() <= most)
        })]
    }
}

#[test]
fn every_order_of_two_senders_keeps_one_cap() {
    let model = Cap { met: Arc::default(), in_commit: true };
    let met = Arc::clone(&model.met);
    holds("cap × two senders", model, &met, &["no room", "sent", "unknown", "later", "a day", "less"]);
    finds("the cap is read outside the commit", Cap { met: Arc::default(), in_commit: false });
}

// ── erase × backup × rotate × restore ────────────────────────────────────────────────────────────────────────────────

/// One person who goes and one who stays, one rotation after the other, one backup.
#[derive(Clone)]
struct Forgetting {
    met: Arc<Met>,
    planted: Option<Planted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    /// The erasures of the backup count, not the newest.
    TombstonesInTheBackup,
    /// A rotation that destroys no version.
    NothingDestroyed,
    /// Versions are destroyed before the rows are wrapped anew.
    DestroyedFirst,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Disk {
    /// The version that each of the two wrapped keys is under: who goes, who stays.
    rows: [Option<u32>; 2],
    versions: Vec<u32>,
    next: u32,
    form: (u32, u8, bool, bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Keys {
    disk: Disk,
    n_tombstones: usize,
    step: Option<RotationStep>,
    /// The person's rows still have to go.
    is_leaving: bool,
    was_told: bool,
    /// A copy of the person's wrapped key that somebody took from the files.
    stolen: Option<u32>,
    /// A rotation that began after the rows were gone has ended.
    is_covered: bool,
    backup: Option<(Disk, usize)>,
    n_rotations: u8,
    n_crashes: u8,
    n_restores: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Erase,
    Drain,
    Steal,
    Rotate,
    Step,
    Crash,
    BackUp,
    Restore,
    RestoreOlder,
}

impl Disk {
    fn form(&self) -> RotationForm {
        let (version, stage, covered, forgotten) = self.form;
        let stage = [RotationStage::None, RotationStage::Rewrap, RotationStage::Compact].into_iter().nth(stage.into());
        RotationForm {
            ended_at: None,
            version,
            stage: stage.unwrap(),
            forgotten_at: forgotten.then_some(1),
            covered_at: covered.then_some(1),
        }
    }

    fn set(&mut self, form: &RotationForm) {
        let stage = match form.stage {
            RotationStage::None => 0,
            RotationStage::Rewrap => 1,
            RotationStage::Compact => 2,
        };
        self.form = (form.version, stage, form.covered_at.is_some(), form.forgotten_at.is_some());
    }

    fn current(&self) -> u32 {
        self.versions.last().copied().unwrap_or(0)
    }

    fn opens(&self, row: u32) -> bool {
        self.versions.contains(&row)
    }

    /// One step; what comes next.
    fn step(&mut self, step: RotationStep, model: &Forgetting) -> Option<RotationStep> {
        let planted = |fault| model.planted == Some(fault);
        let next = step.next();
        match step {
            RotationStep::Begin => {
                model.met.note("begin");
                let form = self.form().begun(self.next);
                self.set(&form);
            }
            RotationStep::AddVersion => {
                model.met.note("add a version");
                self.versions.push(self.next);
                self.next += 1;
                if planted(Planted::DestroyedFirst) {
                    self.versions = vec![self.current()];
                }
            }
            RotationStep::Rewrap(walk) if walk.part == Part::Recoveries => {
                model.met.note("wrap recoveries");
                return Some(walk.next(0, None));
            }
            RotationStep::Rewrap(walk) => {
                model.met.note("wrap keys");
                // One row a slice, in the order of the rows.
                let current = self.current();
                let begins = walk.after.first().map_or(0, |last| usize::from(*last) + 1);
                let found = (begins..2).find(|each| self.rows[*each].is_some_and(|row| row != current));
                let Some(found) = found else { return Some(walk.next(0, None)) };
                // What does not open stops the rotation (`rewrapped_key`).
                if !self.rows[found].is_some_and(|row| self.opens(row)) {
                    return None;
                }
                self.rows[found] = Some(current);
                return Some(walk.next(1, Some(vec![u8::try_from(found).unwrap()])));
            }
            RotationStep::Destroy => {
                model.met.note("destroy");
                if !planted(Planted::NothingDestroyed) {
                    self.versions = vec![self.current()];
                }
            }
            RotationStep::Log => {
                model.met.note("log");
                let form = self.form().logged(self.current());
                self.set(&form);
            }
            RotationStep::Compact => model.met.note("compact"),
            RotationStep::End => {
                model.met.note("end");
                let form = self.form().ended(now());
                self.set(&form);
            }
        }
        next
    }

    fn unfinished(&self) -> Option<RotationStep> {
        RotationStep::unfinished(&self.form(), self.current(), self.versions.len())
    }
}

/// A file with so many erasures, by the product's own hand, and how far it reaches.
fn tombstones(n: usize) -> (Tombstones, Reach) {
    let house = HouseId::from_bytes([1; 16]);
    let rng = model::chance::Seeded::new(1);
    let keys = crate::key::Ring::in_memory(&house, &rng).house_keys().unwrap();
    let mut tombstones = Tombstones::in_memory(&keys);
    for _ in 0..n {
        tombstones.add(&PERSON, now(), Erasure::Now).unwrap();
    }
    let end = tombstones.end();
    (tombstones, end)
}

impl Forgetting {
    /// Restores; `None` when it is refused.
    fn restored(&self, state: &Keys, n_tombstones: usize) -> Option<Keys> {
        let (disk, noted) = state.backup.clone()?;
        let (file, _) = tombstones(n_tombstones);
        if !file.reaches(tombstones(noted).1) {
            self.met.note("refused: older erasures");
            return None;
        }
        let n_known = if self.planted == Some(Planted::TombstonesInTheBackup) { noted } else { n_tombstones };
        let is_erased = tombstones(n_known).0.contains(&PERSON);
        let mut disk = disk;
        let has = disk.rows[0].is_some();
        match fate(is_erased, (has, has), false) {
            Fate::Erased => {
                self.met.note("taken out");
                disk.rows[0] = None;
            }
            Fate::Stays => self.met.note("came back"),
            // Gone before the backup was made: nobody asks for it.
            Fate::WithoutKeys | Fate::Torn => {}
        }
        let mut step = disk.unfinished().or(Some(RotationStep::Begin));
        while let Some(each) = step {
            step = disk.step(each, self);
        }
        Some(Keys {
            disk,
            n_tombstones: n_known,
            step: None,
            is_leaving: false,
            n_restores: state.n_restores + 1,
            ..state.clone()
        })
    }
}

impl Model for Forgetting {
    type State = Keys;
    type Action = Deed;

    fn init_states(&self) -> Vec<Keys> {
        let disk = Disk { rows: [Some(1); 2], versions: vec![1], next: 2, form: (0, 0, false, false) };
        vec![Keys {
            disk,
            n_tombstones: 0,
            step: None,
            is_leaving: false,
            was_told: false,
            stolen: None,
            is_covered: false,
            backup: None,
            n_rotations: 0,
            n_crashes: 0,
            n_restores: 0,
        }]
    }

    fn actions(&self, state: &Keys, actions: &mut Vec<Deed>) {
        let mut may = |deed: Deed, may: bool| {
            if may {
                actions.push(deed);
            }
        };
        may(Deed::Erase, !state.was_told);
        may(Deed::Drain, state.is_leaving);
        may(Deed::Steal, state.stolen.is_none() && state.disk.rows[0].is_some() && state.n_restores == 0);
        may(Deed::Rotate, state.step.is_none() && state.n_rotations < 2);
        may(Deed::Step, state.step.is_some());
        may(Deed::Crash, state.n_crashes < 2);
        may(Deed::BackUp, state.backup.is_none());
        may(Deed::Restore, state.backup.is_some() && state.n_restores < 1);
        may(Deed::RestoreOlder, state.backup.is_some() && state.n_restores < 1 && state.n_tombstones > 0);
    }

    fn next_state(&self, last: &Keys, deed: Deed) -> Option<Keys> {
        let mut state = last.clone();
        match deed {
            Deed::Erase => {
                self.met.note("erase");
                state.n_tombstones = 1;
                (state.is_leaving, state.was_told) = (state.disk.rows[0].is_some(), true);
            }
            Deed::Drain => {
                self.met.note("drain");
                state.disk.rows[0] = None;
                state.is_leaving = false;
                let mut form = state.disk.form();
                form.forgotten_at.get_or_insert(1);
                state.disk.set(&form);
            }
            Deed::Steal => {
                self.met.note("steal");
                state.stolen = state.disk.rows[0];
            }
            Deed::Rotate => {
                state.n_rotations += 1;
                state.step = Some(RotationStep::Begin);
            }
            Deed::Step => {
                let step = state.step.take()?;
                let ends = step == RotationStep::End;
                // What the product says about itself: nothing deleted waits for a rotation any more.
                state.step = state.disk.step(step, self);
                let form = state.disk.form();
                let is_gone = state.was_told && state.disk.rows[0].is_none() && !state.is_leaving;
                state.is_covered |= ends && is_gone && form.forgotten_at.is_none() && form.covered_at.is_none();
            }
            Deed::Crash => {
                self.met.note("crash");
                state.n_crashes += 1;
                state.step = state.disk.unfinished();
                // Opening finds the tombstone and lets the rows go.
                state.is_leaving = state.n_tombstones > 0 && state.disk.rows[0].is_some();
            }
            Deed::BackUp => {
                self.met.note("back up");
                state.backup = Some((state.disk.clone(), state.n_tombstones));
            }
            Deed::Restore => return self.restored(last, last.n_tombstones),
            Deed::RestoreOlder => {
                // An older copy of the file is noticed where the backup knew of more; where it did not, the witness says so
                // (`backup`'s own tests).
                let (_, noted) = last.backup.as_ref()?;
                return if *noted > 0 { self.restored(last, 0) } else { None };
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("who stays is always opened", |_, state: &Keys| {
                state.disk.rows[1].is_some_and(|row| state.disk.opens(row))
            }),
            Property::always("who was erased is read nowhere", |_, state: &Keys| {
                !state.was_told || state.n_tombstones > 0 || state.disk.rows[0].is_none()
            }),
            Property::always("after the rotation that covers it, a stolen key opens nothing", |_, state: &Keys| {
                !state.is_covered || state.n_restores > 0 || state.stolen.is_none_or(|row| !state.disk.opens(row))
            }),
        ]
    }
}

#[test]
fn every_order_of_erasing_rotating_backing_up_and_restoring_forgets_for_good() {
    let model = Forgetting { met: Arc::default(), planted: None };
    let met = Arc::clone(&model.met);
    let all = [
        "erase",
        "drain",
        "steal",
        "crash",
        "back up",
        "begin",
        "add a version",
        "wrap keys",
        "wrap recoveries",
        "destroy",
        "log",
        "compact",
        "end",
        "refused: older erasures",
        "taken out",
        "came back",
    ];
    holds("erase × backup × rotate × restore", model, &met, &all);
    for planted in [Planted::TombstonesInTheBackup, Planted::NothingDestroyed, Planted::DestroyedFirst] {
        finds(&format!("{planted:?}"), Forgetting { met: Arc::default(), planted: Some(planted) });
    }
}
