//! A real house as a [`World`]: one engine, its own folder, its own chance.

use super::world::{Answer, Call, Crowd, Known, LedgerLine, MessageLine, Seen, World, fact_names, said, show_event};
use crate::fixture::House;
use model::{ArtefactId, At, Day, DecisionId, MessageId, ProfileId, SegmentName, TraitName};
use promise::{ArtefactKind, Promise, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vault::campaign::CampaignState;
use vault::{Attempt, Erasure, Identifier, NotBegun, Pending};

/// More events than any history has.
const EVENTS_MAX: usize = 10_000;

pub struct Engine {
    house: Option<House>,
    /// Messages that were seen, by their decision.
    messages: BTreeMap<DecisionId, MessageId>,
}

/// An answer on its way.
enum Waiting {
    Take(Pending<Vec<vault::Outcome>>),
    Consent(Pending<vault::ConsentAnswer>),
    Facts(Pending<Vec<Result<(), Refusal>>>),
    Refusable(Pending<Result<(), Refusal>>),
    Decide(Pending<Result<DecisionId, Refusal>>),
    Begin(Pending<Result<Attempt, NotBegun>>),
    Done(Pending<()>),
    Erase(Pending<vault::ErasureAnswer>),
}

impl Engine {
    pub fn new(house: House) -> Self {
        Self { house: Some(house), messages: BTreeMap::new() }
    }

    pub fn house(&self) -> &House {
        self.house.as_ref().expect("open")
    }

    fn begin(&self, call: Call) -> Waiting {
        let vault = &self.house().vault;
        match call {
            Call::Take(events) => Waiting::Take(vault.take(events).unwrap()),
            Call::Consent(change) => Waiting::Consent(vault.consent(*change).unwrap()),
            Call::Fact(write) => Waiting::Facts(vault.write_facts(vec![*write]).unwrap()),
            Call::Join(join) => Waiting::Refusable(vault.join(*join).unwrap()),
            Call::Decide(new) => Waiting::Decide(vault.decide(*new).unwrap()),
            Call::Begin(id) => Waiting::Begin(vault.begin_attempt(self.message(&id)).unwrap()),
            Call::Finish(id, attempt, end) => {
                let attempt = Attempt { message: self.message(&id), ..attempt };
                Waiting::Done(vault.finish_attempt(attempt, end).unwrap())
            }
            Call::Reduce(person, reduction) => Waiting::Consent(vault.reduce(person, reduction).unwrap()),
            Call::Erase(person) => {
                let how = if person.as_bytes()[0] % 2 == 0 { Erasure::Now } else { Erasure::WithinADay };
                Waiting::Erase(vault.erase(person, how).unwrap())
            }
            Call::Sale(sale) => Waiting::Take(vault.put_anonymous_sales(vec![*sale]).unwrap()),
            Call::Campaign(name, state) => {
                let (by, refused_for) = (String::new(), None);
                let state = CampaignState { state, run: 1, started_at: 0, by, refused_for };
                let bytes = serde_json::to_vec(&state).unwrap();
                Waiting::Done(vault.put_house_record(&CampaignState::record_name(&name), Some(bytes)).unwrap())
            }
        }
    }

    /// One that nobody has seen is known to no sender.
    fn message(&self, decision: &DecisionId) -> MessageId {
        self.messages.get(decision).copied().unwrap_or(MessageId::from_bytes([0; 16]))
    }
}

fn end(waiting: Waiting) -> Answer {
    match waiting {
        Waiting::Take(pending) => Answer::Outcomes(pending.wait().unwrap()),
        Waiting::Consent(pending) => {
            let answer = pending.wait().unwrap();
            Answer::Consent(answer.profile, answer.consent, answer.refusal)
        }
        Waiting::Facts(pending) => Answer::Done(pending.wait().unwrap().remove(0)),
        Waiting::Refusable(pending) => Answer::Done(pending.wait().unwrap()),
        Waiting::Decide(pending) => Answer::Decided(pending.wait().unwrap()),
        Waiting::Begin(pending) => Answer::Begun(pending.wait().unwrap()),
        Waiting::Done(pending) => {
            pending.wait().unwrap();
            Answer::Done(Ok(()))
        }
        Waiting::Erase(pending) => {
            let answer = pending.wait().unwrap();
            assert!(answer.unrecoverable_on > Day::from_number(0));
            Answer::Done(Ok(()))
        }
    }
}

impl World for Engine {
    fn calls(&mut self, calls: Vec<Call>) -> Vec<Answer> {
        let waiting: Vec<Waiting> = calls.into_iter().map(|call| self.begin(call)).collect();
        waiting.into_iter().map(end).collect()
    }

    fn advance(&mut self, ms: i64) {
        self.house().clock.advance_ms(ms);
    }

    fn restart(&mut self, promise: Option<Arc<Promise>>) {
        let house = self.house.take().expect("open");
        self.house = Some(match promise {
            Some(promise) => house.reopened_under(promise),
            None => house.reopened(),
        });
    }

    fn review(&mut self) {
        self.house().review_all();
    }

    fn sweep(&mut self) {
        self.house().vault.sweep().unwrap().wait().unwrap();
    }

    fn rotate(&mut self) {
        self.house().vault.rotate().unwrap().wait().unwrap();
    }

    fn settle(&mut self) {
        self.house().vault.put_items(Vec::new()).unwrap().wait().unwrap();
    }

    fn now(&self) -> At {
        self.house().now()
    }

    fn promise(&self) -> Arc<Promise> {
        Arc::clone(&self.house().promise)
    }

    fn find(&mut self, identifier: &Identifier) -> Option<ProfileId> {
        self.house().vault.snapshot().find(identifier)
    }

    fn seq(&mut self, person: ProfileId) -> Option<u64> {
        let house = self.house();
        let snapshot = house.vault.snapshot();
        let seq = snapshot.permit(person, house.portal()).ok()?.consent_seq();
        house.vault.look(person, seq).expect("nobody moved it meanwhile");
        Some(seq)
    }

    fn see(&mut self, person: ProfileId, artefact: ArtefactId) -> Result<Seen, Refusal> {
        let house = self.house();
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, artefact)?;
        let names = fact_names(&house.promise);
        let fact = |name| permit.fact(name).map(|fact| fact.map(|fact| fact.reveal().clone()));
        let facts = names.iter().map(|name| said(name, fact(name))).collect();
        let views = permit.all_events(EVENTS_MAX)?;
        let mut events: Vec<String> = views
            .iter()
            .map(|view| show_event(&view.reveal().event, view.reveal().expires_at, &view.reveal().purposes))
            .collect();
        events.sort();
        let contact = permit.contact();
        let contact = contact.reveal();
        let ledger = permit.ledger().unwrap_or_default();
        let ledger = ledger.iter().map(|entry| {
            let entry = entry.reveal();
            LedgerLine {
                purpose: entry.purpose.as_str().to_owned(),
                status: entry.status,
                level: entry.level.clone(),
                answered_at: entry.words.answered_at,
                method: entry.method,
                notice_version: entry.notice_version,
            }
        });
        let decisions = permit.decisions(EVENTS_MAX).unwrap_or_default();
        let decisions = decisions.iter().map(|view| MessageLine {
            id: view.id,
            at: view.at,
            held_out: view.held_out,
            state: view.message_state.clone(),
        });
        Ok(Seen {
            level: permit.level().map(str::to_owned),
            kind: permit.kind(),
            facts,
            events,
            is_member: permit.is_member(&SegmentName::parse("lapsed").unwrap()).ok(),
            sent_at: contact.sent_at.clone(),
            at_most: contact.at_most,
            zone: contact.zone.as_ref().map(|zone| (zone.name.clone(), zone.is_stated)),
            turned_down: contact.turned_down.clone(),
            suppressed: contact.suppressed,
            ledger: ledger.collect(),
            decisions: decisions.collect(),
        })
    }

    fn crowd(&mut self, artefact: ArtefactId) -> Result<Crowd, Refusal> {
        let snapshot = self.house().vault.snapshot();
        let set = snapshot.permit_set(artefact)?;
        let people = set.people().collect();
        let (count, column) = (set.count(), set.column(&TraitName::parse("orders_all").unwrap()).ok());
        let within = set.within(&SegmentName::parse("lapsed").unwrap());
        let members = within.ok().map(|set| set.people().collect::<BTreeSet<_>>());
        Ok(Crowd { people, count, column, members })
    }

    fn segment(&mut self) -> Result<String, Refusal> {
        let count = self.house().vault.snapshot().segment_count(&SegmentName::parse("lapsed").unwrap())?;
        Ok(format!("{:?} {:?} {:?} {:?}", count.matching, count.tellable, count.hearing, count.dropped))
    }

    fn due(&mut self) -> Vec<(At, DecisionId, u32, bool)> {
        let entries = self.house().vault.snapshot().outbox_due(EVENTS_MAX).unwrap();
        self.messages.extend(entries.iter().map(|entry| (entry.decision, entry.message)));
        let due = entries.iter().map(|entry| (entry.due_at, entry.decision, entry.n_attempts, entry.is_left_open));
        let mut due: Vec<_> = due.collect();
        due.sort_unstable_by_key(|(at, id, ..)| (*at, *id));
        due
    }

    fn sales(&mut self) -> (u64, i64) {
        let sales = self.house().vault.snapshot().anonymous_sales().unwrap();
        (sales.n_lines, sales.micros)
    }

    fn numbers(&mut self, campaign: ArtefactId) -> Result<String, Refusal> {
        let numbers = self.house().vault.snapshot().campaign_numbers(campaign)?;
        let known = Known {
            n_arms: [numbers.n_treated, numbers.n_held_out],
            n_goals: numbers.n_goals,
            n_buyers: numbers.n_buyers,
            n_reduced: numbers.n_reduced,
        };
        Ok(known.to_string())
    }
}

/// The artefacts that are asked, by kind and name.
pub const ASKED: [(ArtefactKind, &str); 7] = [
    (ArtefactKind::Campaign, "win_back"),
    (ArtefactKind::Segment, "lapsed"),
    (ArtefactKind::Count, "lapsed"),
    (ArtefactKind::Model, "items"),
    (ArtefactKind::Trait, "spent_all"),
    (ArtefactKind::Page, "portal"),
    (ArtefactKind::Page, "desk"),
];
