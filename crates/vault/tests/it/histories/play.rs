//! Plays a history in a [`World`] and writes down, line by line, what it answered and what could be seen.

use super::act::{Act, Chosen, ITEMS, N_NAMES, Tap, Told, Who, Written, end};
use super::engine::ASKED;
use super::world::{Answer, Call, Seen, World, show_refusal, win_back};
use crate::fixture::{TODAY, anonymous, user, words};
use model::{
    At, Awareness, Class, Context, Currency, DecisionId, Fact, FactName, FieldName, ItemCode, LineItem, Method, Money,
    OfferName, ProfileId, Provenance, PurposeName, RankedItem, SourceName, TraitName, Trust, Value,
};
use promise::{ArtefactKind, ChannelKind, Promise};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vault::campaign::State;
use vault::{
    AnonymousSale, Attempt, ConsentChange, FactWrite, Identifier, IdentifierKind, Intake, ItemBasis, Join, MessageKey,
    NewDecision, NotBegun, Outcome, Reduction, Subject, Trace,
};

/// Plays.
pub struct Player<'w, W: World> {
    world: &'w mut W,
    promises: Vec<Arc<Promise>>,
    /// In order of first appearance.
    people: Vec<ProfileId>,
    answers: Vec<[u8; 16]>,
    /// The wishes as last looked at.
    seqs: BTreeMap<ProfileId, u64>,
    /// Decisions made, and those whose message was ever due.
    decided: Vec<(ProfileId, DecisionId, u32, bool)>,
    were_due: Vec<DecisionId>,
    attempts: Vec<(DecisionId, Attempt)>,
    n_decisions: u64,
    lines: Vec<String>,
}

/// What a history led to, a line for each step and each thing seen.
pub fn play<W: World>(world: &mut W, promises: &[Arc<Promise>], acts: &[Act], n_crowd: usize) -> Vec<String> {
    let mut player = Player {
        world,
        promises: promises.to_vec(),
        people: Vec::new(),
        answers: Vec::new(),
        seqs: BTreeMap::new(),
        decided: Vec::new(),
        were_due: Vec::new(),
        attempts: Vec::new(),
        n_decisions: 0,
        lines: Vec::new(),
    };
    player.crowd(n_crowd);
    for (n, act) in acts.iter().enumerate() {
        player.lines.push(format!("── {n} {}", kind_of(act)));
        player.act(act, n);
        player.glance(n);
    }
    player.lines
}

fn kind_of(act: &Act) -> String {
    let text = format!("{act:?}");
    text.chars().take(160).collect()
}

fn event_of(told: &Told, now: At) -> Intake {
    let (browser, server) = (|n: u8| anonymous(&format!("b{n}")), |n: u8| user(&format!("u{n}")));
    let subject = match told.who {
        Who::User(n) => Subject::Identifiers { user: Some(server(n)), anonymous: None },
        Who::Browser(n) => Subject::Identifiers { user: None, anonymous: Some(browser(n)) },
        Who::Both(n, m) => Subject::Identifiers { user: Some(server(n)), anonymous: Some(browser(m)) },
        Who::Known(_) => unreachable!("resolved before"),
    };
    let is_history = told.trust == Trust::Import;
    // The same order of a history happened when it happened.
    let at =
        if is_history { At::parse("2025-06-01T09:00:00Z").unwrap().plus_days(i32::from(told.key) * 97) } else { now };
    let occurred_at = if is_history { at.min(now) } else { now.plus_ms(-told.ago_ms) };
    let price = Money::parse("12.50", Currency::GBP).unwrap();
    let rows: BTreeSet<u8> = told.rows.iter().copied().collect();
    let line = |row: &u8| LineItem {
        row: u64::from(*row) + 1,
        item: ItemCode::parse(ITEMS[usize::from(*row) % ITEMS.len()]).unwrap(),
        quantity: i32::from(*row) + 1,
        price,
    };
    let is_order = told.name.starts_with("Order");
    let lines: Vec<LineItem> = rows.iter().filter(|_| is_order).map(line).collect();
    let micros: i64 = lines.iter().map(|line| line.price.micros * i64::from(line.quantity)).sum();
    let total = Money { micros: if lines.is_empty() { 9_990_000 } else { micros }, currency: Currency::GBP };
    let properties = match told.name {
        "Page Viewed" => vec![("path", Value::Text("/candles".into()))],
        "Product Viewed" => vec![("item", Value::Text("22423".into()))],
        name if name.starts_with("Order") => vec![("total", Value::Money(total))],
        _ => Vec::new(),
    };
    let source = match told.trust {
        Trust::Browser => "web",
        Trust::Server => "shop",
        Trust::Import => "history",
    };
    let mut key = [told.key; 16];
    key[0] = match told.who {
        Who::User(n) | Who::Both(n, _) | Who::Browser(n) => n,
        Who::Known(_) => 0,
    };
    Intake {
        subject,
        kind: told.kind,
        name: crate::fixture::event(told.name),
        source: SourceName::parse(source).unwrap(),
        trust: told.trust,
        occurred_at,
        source_day: None,
        properties: properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        lines,
        fields: told
            .fields
            .iter()
            .map(|(name, text)| (FieldName::parse(name).unwrap(), Value::Text(text.clone())))
            .collect(),
        told_version: told.told,
        consent: told.consent.iter().map(|(name, yes)| (PurposeName::parse(name).unwrap(), *yes)).collect(),
        message_key: if is_history { MessageKey::History(key) } else { MessageKey::Wire(format!("m{}", told.key)) },
    }
}

impl<W: World> Player<'_, W> {
    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    /// A name for an id that chance made.
    fn name(&mut self, id: ProfileId) -> String {
        if *id.as_bytes() == [0; 16] {
            return "nobody".to_owned();
        }
        let at = self.people.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.people.push(id);
            self.people.len() - 1
        });
        format!("p{at}")
    }

    fn answer_name(&mut self, id: [u8; 16]) -> String {
        let at = self.answers.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.answers.push(id);
            self.answers.len() - 1
        });
        format!("a{at}")
    }

    /// A shop full of people who ordered thrice, half a year ago, so that groups are large enough to be told.
    fn crowd(&mut self, n: usize) {
        let now = self.world.now();
        let mut events = Vec::new();
        for person in 0..n {
            for order in 0..3u8 {
                let told = Told {
                    who: Who::User(u8::try_from(person).unwrap() + N_NAMES),
                    name: "Order Completed",
                    kind: model::EventKind::Track,
                    trust: Trust::Import,
                    ago_ms: 0,
                    key: order,
                    rows: vec![order],
                    fields: vec![("email", format!("c{person}@shop.example"))],
                    told: Some(1),
                    consent: Vec::new(),
                };
                events.push(event_of(&told, now));
            }
        }
        for some in events.chunks(200) {
            self.run(vec![Call::Take(some.to_vec())]);
        }
        for at in 0..n.saturating_sub(n / 10) {
            let Some(person) = self.people.get(at).copied() else { continue };
            let change = self.change(Subject::Profile(person), "offers", model::ConsentStatus::Given);
            self.run(vec![Call::Consent(Box::new(change))]);
        }
    }

    fn change(&self, subject: Subject, purpose: &str, status: model::ConsentStatus) -> ConsentChange {
        ConsentChange {
            subject,
            source: None,
            purpose: PurposeName::parse(purpose).unwrap(),
            status,
            level: None,
            words: words(self.world.now()),
            method: Method::SiteForm,
            notice_version: 1,
            made_up: false,
        }
    }

    fn subject(&self, who: Who) -> Option<Subject> {
        let ids = |user, anonymous| Some(Subject::Identifiers { user, anonymous });
        match who {
            Who::User(n) => ids(Some(user(&format!("u{n}"))), None),
            Who::Browser(n) => ids(None, Some(anonymous(&format!("b{n}")))),
            Who::Both(n, m) => ids(Some(user(&format!("u{n}"))), Some(anonymous(&format!("b{m}")))),
            Who::Known(n) => Some(Subject::Profile(*self.people.get(n)?)),
        }
    }

    /// A step as commands; one about somebody who never came is none.
    fn call(&mut self, act: &Act) -> Option<Call> {
        let now = self.world.now();
        Some(match act {
            Act::Take(told) => {
                let mut events = Vec::new();
                for told in told {
                    let Some(subject) = self.subject(told.who) else { continue };
                    let of_nobody = Told { who: Who::User(0), ..told.clone() };
                    let is_known = matches!(told.who, Who::Known(_));
                    let intake = event_of(if is_known { &of_nobody } else { told }, now);
                    events.push(Intake { subject, ..intake });
                }
                Call::Take(events)
            }
            Act::Consent { who, purpose, status, level, method, notice, ago_ms } => {
                let mut change = self.change(self.subject(*who)?, purpose, *status);
                change.level = level.then(|| "little".to_owned());
                change.words.answered_at = now.plus_ms(-ago_ms);
                (change.method, change.notice_version) = (*method, *notice);
                Call::Consent(Box::new(change))
            }
            Act::Fact(person, written) => Call::Fact(Box::new(self.write(*person, written)?)),
            Act::Join { browser, user: person, proof, ago_ms } => Call::Join(Box::new(Join {
                anonymous: anonymous(&format!("b{browser}")),
                user: user(&format!("u{person}")),
                proof: *proof,
                at: now.plus_ms(-ago_ms),
            })),
            Act::Decide(chosen) => Call::Decide(Box::new(self.decision(chosen)?)),
            Act::Begin { nth, is_due } => {
                let due: Vec<DecisionId> = self.world.due().into_iter().map(|(_, id, ..)| id).collect();
                due.iter().for_each(|id| {
                    if !self.were_due.contains(id) {
                        self.were_due.push(*id);
                    }
                });
                let from = if *is_due { &due } else { &self.were_due };
                Call::Begin(*from.get(nth % from.len().max(1))?)
            }
            Act::Finish { nth, end: n } => {
                let newest = self.attempts.len().checked_sub(1 + nth)?;
                let (id, attempt) = *self.attempts.get(newest)?;
                Call::Finish(id, attempt, end(*n, now))
            }
            Act::Tap(person, tap) => Call::Reduce(*self.people.get(*person)?, self.reduction(tap)?),
            Act::Erase(person) => {
                let person = *self.people.get(*person)?;
                self.world.seq(person)?;
                Call::Erase(person)
            }
            Act::Sale { invoice, row } => Call::Sale(Box::new(AnonymousSale {
                row: u64::from(*row),
                invoice: [*invoice; 16],
                // A line of a history was sold when it was sold.
                occurred_at: At::parse(TODAY).unwrap().plus_days(-150 * i32::from(*invoice)),
                line: LineItem {
                    row: u64::from(*row),
                    item: ItemCode::parse("POST").unwrap(),
                    quantity: 2,
                    price: Money::parse("1.25", Currency::GBP).unwrap(),
                },
                event: crate::fixture::event("Order Completed"),
            })),
            Act::Campaign(runs) => {
                Call::Campaign("win_back".to_owned(), if *runs { State::Running } else { State::Paused })
            }
            _ => return None,
        })
    }

    fn reduction(&self, tap: &Tap) -> Option<Reduction> {
        let item = |n: u8| ItemCode::parse(ITEMS[usize::from(n) % ITEMS.len()]).unwrap();
        let of = |n: usize| self.decided.get(n).map(|(_, id, ..)| *id);
        Some(match *tap {
            Tap::Less => Reduction::Less,
            Tap::LessBy(n) => Reduction::LessBy(of(n)?),
            Tap::UndoLess => Reduction::UndoLess,
            Tap::UndoLessBy(n) => Reduction::UndoLessBy(of(n)?),
            Tap::NotThis(0) => Reduction::NotThis { offer: OfferName::parse("come_back").unwrap(), item: None },
            Tap::NotThis(n) | Tap::NotMe(n) => Reduction::NotMe { item: item(n) },
            Tap::Stop(purpose) => Reduction::Stop {
                purpose: PurposeName::parse(purpose).unwrap(),
                words: words(self.world.now()),
                method: Method::MessageLink,
            },
            Tap::LeaveMeAlone => Reduction::LeaveMeAlone,
        })
    }

    fn write(&self, person: usize, written: &Written) -> Option<FactWrite> {
        let (promise, now) = (self.world.promise(), self.world.now());
        let person = *self.people.get(person)?;
        let field = |name: &str| FactName::Field(FieldName::parse(name).unwrap());
        let artefact = |kind, name| promise.artefact(kind, name).unwrap().id;
        let (portal, campaign) = ((ArtefactKind::Page, "portal"), (ArtefactKind::Campaign, "win_back"));
        let by_person = Provenance::Provided { source: SourceName::parse("web").unwrap() };
        let by_model = Provenance::Inferred { ancestors: vec!["Order Completed".to_owned()] };
        let (by, name, value, provenance, inputs) = match written {
            Written::Portal(name, text) => (portal, field(name), Some(Value::Text(text.clone())), by_person, None),
            Written::Campaign(name, text) => (campaign, field(name), Some(Value::Text(text.clone())), by_person, None),
            Written::Removed(name) => (portal, field(name), None, by_person, None),
            Written::Ranking(n, inputs) => {
                let items = (0..*n).map(|n| RankedItem {
                    item: ItemCode::parse(ITEMS[usize::from(n)]).unwrap(),
                    because: ItemCode::parse(ITEMS[0]).filter(|_| n % 2 == 0),
                    score_micros: i64::from(n),
                });
                let name = FactName::Trait(TraitName::parse("candidates").unwrap());
                let inputs = inputs.map(|days| now.plus_days(days));
                ((ArtefactKind::Model, "items"), name, Some(Value::Ranking(items.collect())), by_model, inputs)
            }
        };
        let remove = value.is_none().then(|| name.clone());
        let fact = value.map(|value| Fact {
            name,
            value,
            class: Class::Plain,
            context: Context::Shopping,
            provenance,
            as_of: now,
            told_at: Some(now),
            told_how: Awareness::AtTheMoment,
            purposes: Vec::new(),
            notice_version: promise.binding_notice(now),
            expires_at: now,
        });
        Some(FactWrite { person, artefact: artefact(by.0, by.1), fact, remove, inputs_expire_at: inputs })
    }

    fn decision(&mut self, chosen: &Chosen) -> Option<NewDecision> {
        let promise = self.world.promise();
        let person = *self.people.get(chosen.person)?;
        let fresh = self.world.seq(person);
        let stale = self.seqs.get(&person).copied();
        if let Some(fresh) = fresh {
            self.seqs.insert(person, fresh);
        }
        let earlier = self.decided.iter().rev();
        let same = |known: &&(ProfileId, DecisionId, u32, bool)| {
            known.0 == person && known.2 == chosen.run && known.3 == chosen.by_mail
        };
        let replaces = earlier.filter(|_| chosen.replaces).find(same).map(|(_, id, ..)| *id);
        self.n_decisions += 1;
        Some(NewDecision {
            id: DecisionId::from_bytes(u128::from(self.n_decisions).to_be_bytes()),
            person,
            artefact: promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id,
            campaign: win_back(),
            consent_seq: if chosen.is_stale { stale.or(fresh) } else { fresh }.unwrap_or(0),
            offer: OfferName::parse("come_back").ok().filter(|_| !chosen.held_out),
            item: ItemCode::parse(ITEMS[usize::from(chosen.item)]),
            held_out: chosen.held_out,
            channel: if chosen.by_mail { ChannelKind::Email } else { ChannelKind::Page },
            send_at: (chosen.send_in_ms > 0).then(|| self.world.now().plus_ms(chosen.send_in_ms)),
            run: chosen.run,
            replaces,
            trace: Trace {
                facts: Vec::new(),
                steps: Vec::new(),
                texts: ["title".into(), "says".into(), "why".into()],
                slots: BTreeMap::new(),
                propensity_micros: 1_000_000,
                basis: ItemBasis::Popular,
                shared_by: 80,
                exposure: "private_mail".into(),
                promise: promise.hash,
                notice_version: 1,
            },
        })
    }

    fn act(&mut self, act: &Act, n: usize) {
        match act {
            Act::Together(acts) => {
                let calls: Vec<Call> = acts.iter().filter_map(|act| self.call(act)).collect();
                self.run(calls);
            }
            Act::Advance(ms) => self.world.advance(*ms),
            Act::Restart => self.world.restart(None),
            Act::Promise => {
                if self.promises.len() > 1 {
                    self.promises.remove(0);
                    let next = Arc::clone(&self.promises[0]);
                    self.world.restart(Some(next));
                }
            }
            Act::Review => self.world.review(),
            Act::Sweep => self.world.sweep(),
            Act::Rotate => self.world.rotate(),
            Act::Look => self.look(),
            other => {
                // A second no on top of one that is not yet written is written twice, and says nothing else.
                if n.is_multiple_of(2) || matches!(other, Act::Consent { .. } | Act::Tap(_, Tap::Stop(_))) {
                    self.world.settle();
                }
                let call = self.call(other);
                self.run(call.into_iter().collect());
            }
        }
    }

    fn run(&mut self, calls: Vec<Call>) {
        let asked = calls.clone();
        let answers = self.world.calls(calls);
        assert_eq!(asked.len(), answers.len());
        for (call, answer) in asked.into_iter().zip(answers) {
            let line = self.told(&call, answer);
            self.say(line);
        }
    }

    fn told(&mut self, call: &Call, answer: Answer) -> String {
        match answer {
            Answer::Outcomes(outcomes) => {
                let told = outcomes.into_iter().map(|outcome| match outcome {
                    Outcome::Kept { profile, .. } => format!("kept of {}", self.name(profile)),
                    Outcome::Repeated => "repeated".to_owned(),
                    Outcome::Refused { reason, line } => format!("refused {} {line:?}", reason.as_str()),
                });
                told.collect::<Vec<_>>().join(", ")
            }
            Answer::Consent(profile, consent, refusal) => {
                let profile = profile.map(|profile| self.name(profile));
                let consent = consent.map(|consent| self.answer_name(*consent.as_bytes()));
                format!("answer {profile:?} {consent:?} {refusal:?}")
            }
            Answer::Done(done) => done.map_or_else(|refusal| show_refusal(&refusal), |()| "done".to_owned()),
            Answer::Decided(Ok(id)) => {
                if let Call::Decide(new) = call {
                    self.decided.push((new.person, id, new.run, new.channel == ChannelKind::Email));
                }
                format!("decided {id}")
            }
            Answer::Decided(Err(refusal)) => show_refusal(&refusal),
            Answer::Begun(Ok(attempt)) => {
                if let Call::Begin(id) = call {
                    self.attempts.push((*id, attempt));
                }
                format!("begun {} seq {} n {}", self.name(attempt.person), attempt.consent_seq, attempt.n)
            }
            Answer::Begun(Err(NotBegun::Unknown)) => "not begun: unknown".to_owned(),
            Answer::Begun(Err(NotBegun::Refused(refusal))) => format!("not begun: {}", show_refusal(&refusal)),
        }
    }

    // ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// One person by one artefact, in turn.
    fn glance(&mut self, n: usize) {
        if let Some(person) = self.people.get(n % self.people.len().max(1)).copied() {
            let (kind, name) = ASKED[n % ASKED.len()];
            self.see(person, kind, name);
        }
    }

    fn see(&mut self, person: ProfileId, kind: ArtefactKind, name: &str) {
        let artefact = self.world.promise().artefact(kind, name).unwrap().id;
        let seen = self.world.see(person, artefact);
        let who = self.name(person);
        let seen = match seen {
            Ok(seen) => self.show(seen),
            Err(refusal) => vec![show_refusal(&refusal)],
        };
        for line in seen {
            self.say(format!("   {who} to {} {name}: {line}", kind.as_str()));
        }
    }

    fn show(&mut self, seen: Seen) -> Vec<String> {
        let Seen { level, kind, facts, events, is_member, sent_at, at_most, zone, turned_down, suppressed, .. } = &seen;
        let mut lines = vec![format!("yes {level:?} {kind:?} member {is_member:?}")];
        lines.push(format!("contact {sent_at:?} at most {at_most:?} {zone:?} {turned_down:?} {suppressed}"));
        lines.extend(facts.iter().map(|fact| format!("fact {fact}")));
        lines.extend(events.iter().map(|event| format!("event {event}")));
        lines.extend(seen.ledger.iter().map(|entry| format!("ledger {entry:?}")));
        let mut decisions: Vec<String> = seen
            .decisions
            .iter()
            .map(|known| format!("decision {} {} held out {} {:?}", known.id, known.at, known.held_out, known.state))
            .collect();
        decisions.sort();
        lines.extend(decisions);
        lines
    }

    fn look(&mut self) {
        self.world.settle();
        let names = |kind, letter: &str, n: u8| Identifier { kind, value: format!("{letter}{n}") };
        for n in 0..N_NAMES {
            for identifier in [
                names(IdentifierKind::User, "u", n),
                names(IdentifierKind::Anonymous, "b", n),
                Identifier { kind: IdentifierKind::Email, value: format!("e{n}@shop.example") },
            ] {
                let found = self.world.find(&identifier).map(|person| self.name(person));
                self.say(format!("   {} leads to {found:?}", identifier.value));
            }
        }
        for person in self.people.clone().into_iter().take(2 * usize::from(N_NAMES)) {
            let seq = self.world.seq(person);
            self.seqs.extend(seq.map(|seq| (person, seq)));
            let who = self.name(person);
            self.say(format!("   {who} wishes {seq:?}"));
            for (kind, name) in ASKED {
                self.see(person, kind, name);
            }
        }
        for (kind, name) in ASKED {
            let artefact = self.world.promise().artefact(kind, name).unwrap().id;
            let line = match self.world.crowd(artefact) {
                Ok(crowd) => {
                    let people: Vec<String> = crowd.people.iter().map(|person| self.name(*person)).collect();
                    let members = crowd
                        .members
                        .map(|members| members.iter().map(|person| self.name(*person)).collect::<BTreeSet<_>>());
                    // A page is about one person: no column is read for it.
                    let column = crowd.column.filter(|_| kind != ArtefactKind::Page);
                    format!("{people:?} count {:?} orders {column:?} lapsed {members:?}", crowd.count)
                }
                Err(refusal) => show_refusal(&refusal),
            };
            self.say(format!("   everybody to {} {name}: {line}", kind.as_str()));
        }
        let segment = self.world.segment().unwrap_or_else(|refusal| show_refusal(&refusal));
        self.say(format!("   lapsed: {segment}"));
        let due = self.world.due();
        self.were_due
            .extend(due.iter().map(|(_, id, ..)| *id).filter(|id| !self.were_due.contains(id)).collect::<Vec<_>>());
        self.say(format!("   due: {due:?}"));
        let sales = self.world.sales();
        self.say(format!("   sales of nobody: {sales:?}"));
        let campaign = self.world.promise().artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
        let numbers = self.world.numbers(campaign).unwrap_or_else(|refusal| show_refusal(&refusal));
        self.say(format!("   campaign: {numbers}"));
        self.world.settle();
    }
}
