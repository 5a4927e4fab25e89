//! Consent × queue × send: one person, one purpose, one sender, a batch in two halves, and a crash anywhere.

use super::{Met, PERSON, finds, holds, now};
use crate::commit::with_pending;
use crate::fixture;
use crate::format::{self, Bytes16, CoreForm, LedgerForm, RelationForm};
use crate::order::Order;
use crate::state::{Person, Wishes};
use crate::wish::{self, Wish};
use model::{ConsentStatus, Method, ProfileKind, PurposeName};
use promise::{ArtefactKind, Promise, Verdict};
use stateright::{Model, Property};
use std::sync::Arc;

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
