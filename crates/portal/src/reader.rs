//! Reads a person's copy under a permit: turns facts, events, answers and decisions into plain data, with the names of one
//! snapshot. The permit has decided what may be read; nothing is added here.

use crate::copy::{
    AnswerCopy, ContactCopy, EventCopy, FactCopy, GivenCopy, GuessCopy, LineCopy, MessageCopy, PersonCopy, PurposeCopy,
    ReaderCopy, StaffCopy, StepCopy, UseCopy, ValueCopy,
};
use crate::leaving::LeavingCopy;
use crate::words::{self, When};
use model::{ArtefactId, At, Day, EventKind, ItemCode, Kind, Method, ProfileId, Value};
use promise::{Artefact, ArtefactKind, CandidatesPlan, ChannelKind, Promise, Refusal, RefusalReason};
use std::cell::RefCell;
use std::collections::HashMap;
use vault::{DecisionView, EventView, FactRead, FactView, LedgerEntry, Permit, Snapshot};

/// Most events in one copy; the newest come first.
pub(crate) const EVENTS_MAX: usize = 100_000;
/// Most decisions in one copy; the newest come first.
pub(crate) const DECISIONS_MAX: usize = 10_000;

/// The built-in page of this name ([`Artefact::PORTAL`], [`Artefact::DESK`]).
pub(crate) fn page(promise: &Promise, name: &str) -> Result<ArtefactId, Refusal> {
    let found = promise.artefact(ArtefactKind::Page, name);
    found.map(|artefact| artefact.id).ok_or(Refusal::because(RefusalReason::UnknownArtefact))
}

impl PersonCopy {
    /// Reads everything under the person's own right of access.
    pub(crate) fn read(snapshot: &Snapshot, person: ProfileId) -> Result<Self, Refusal> {
        Self::with_events(snapshot, person, EVENTS_MAX)
    }

    /// Everything but the events: for pages that show none.
    pub(crate) fn without_events(snapshot: &Snapshot, person: ProfileId) -> Result<Self, Refusal> {
        Self::with_events(snapshot, person, 0)
    }

    fn with_events(snapshot: &Snapshot, person: ProfileId, events_max: usize) -> Result<Self, Refusal> {
        let promise = snapshot.promise();
        let permit = snapshot.permit(person, page(promise, Artefact::PORTAL)?)?;
        let reader = Reader::new(snapshot);
        Ok(Self {
            format: "fineline-person-1",
            made_at: When(reader.now),
            company: promise.company.clone(),
            person: person.show(permit.kind()),
            notice_version: promise.notice.version,
            facts: reader.facts(&permit),
            events: reader.events(&permit, events_max)?,
            answers: reader.answers(&permit)?,
            messages: permit.decisions(DECISIONS_MAX)?.iter().map(|decision| reader.message(decision)).collect(),
            contact: reader.contact(&permit),
            uses: permit.uses()?.iter().map(|used| reader.use_copy(used.reveal())).collect(),
            staff_reads: permit.staff_reads()?.iter().map(|read| staff_copy(read.reveal())).collect(),
            given: permit.given()?.iter().map(|given| given_copy(given.reveal())).collect(),
            leaving: LeavingCopy::new(permit.leaving()?.reveal(), permit.shared()?.iter().map(|yes| yes.reveal())),
        })
    }
}

fn given_copy(given: &vault::GivenView) -> GivenCopy {
    GivenCopy {
        recipient: given.recipient.clone(),
        who: given.who.clone(),
        what: given.what.clone(),
        first_at: When(given.first_at),
        last_at: When(given.last_at),
        n: given.n,
    }
}

fn staff_copy(read: &vault::StaffRead) -> StaffCopy {
    StaffCopy { at: When(read.at), staff: read.staff.clone(), reason: read.reason.clone() }
}
/// Turns what a permit opens into copies, with the names of one snapshot.
pub(crate) struct Reader<'s> {
    snapshot: &'s Snapshot,
    promise: &'s Promise,
    now: At,
    /// Shows of an address no more than its owner needs: for pages that open without a sign-in.
    masks: bool,
    titles: RefCell<HashMap<ItemCode, String>>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot) -> Self {
        Self { snapshot, promise: snapshot.promise(), now: snapshot.now(), masks: false, titles: RefCell::default() }
    }

    pub(crate) fn masking(snapshot: &'s Snapshot) -> Self {
        Self { masks: true, ..Self::new(snapshot) }
    }

    /// Every fact the permit opens.
    pub(crate) fn facts(&self, permit: &Permit<'_>) -> Vec<FactCopy> {
        permit.facts().iter().map(|fact| self.fact(fact.reveal())).collect()
    }

    /// Every event the permit opens, newest first, at most `limit`.
    pub(crate) fn events(&self, permit: &Permit<'_>, limit: usize) -> Result<Vec<EventCopy>, Refusal> {
        Ok(permit.all_events(limit)?.iter().map(|event| self.event(event.reveal())).collect())
    }

    /// Contact so far and its limits.
    pub(crate) fn contact(&self, permit: &Permit<'_>) -> ContactCopy {
        let contact = permit.contact();
        let contact = contact.reveal();
        ContactCopy {
            sent_at: contact.sent_at.iter().copied().map(When).collect(),
            at_most: contact.at_most,
            company_at_most: self.promise.cap.at_most,
            per_days: self.promise.cap.per_days,
            zone: contact.zone.as_ref().map(|zone| zone.name.clone()),
            turned_down: contact.turned_down.clone(),
            turned_down_words: contact.turned_down.iter().map(|name| self.turned_down(name)).collect(),
        }
    }

    /// An item's title or an offer's, from the name that was turned down.
    fn turned_down(&self, name: &str) -> String {
        match self.promise.offers.get(name) {
            Some(offer) => offer.title.clone(),
            None => ItemCode::parse(name).map_or_else(|| name.to_owned(), |code| self.title(&code)),
        }
    }

    /// The ledger, newest first.
    pub(crate) fn answers(&self, permit: &Permit<'_>) -> Result<Vec<AnswerCopy>, Refusal> {
        let mut answers: Vec<_> = permit.ledger()?.iter().map(|entry| self.answer(entry.reveal())).collect();
        answers.sort_by(|a, b| b.answered_at.cmp(&a.answered_at).then(b.id.cmp(&a.id)));
        Ok(answers)
    }

    pub(crate) fn fact(&self, view: &FactView) -> FactCopy {
        let read_by = view.read_by.iter().map(|(name, n)| ReaderCopy {
            artefact: name.clone(),
            artefact_words: self.artefact(name),
            n: *n,
        });
        FactCopy { from: view.from.clone(), read_by: read_by.collect(), ..self.bare(&view.fact) }
    }

    /// A fact as one decision read it: its label and ancestors are the trace's own.
    fn fact_read(&self, read: &FactRead) -> FactCopy {
        let bare = self.bare(&read.fact);
        FactCopy {
            label: words::label(&read.label),
            rests_on: read.ancestors.clone(),
            life_used_percent: read.life_used_percent.min(100),
            ..bare
        }
    }

    fn bare(&self, fact: &model::Fact) -> FactCopy {
        let name = fact.name.as_str();
        let (origin, origin_words) = words::origin(&fact.provenance);
        let (told_how, told_words) = words::told(fact.told_how);
        FactCopy {
            name: name.to_owned(),
            label: self.label(&fact.name),
            kind: words::kind(&fact.value),
            value: self.fact_value(fact),
            origin,
            origin_words,
            source: words::source(&fact.provenance).map(str::to_owned),
            from: self.from(&fact.name),
            rests_on: match &fact.provenance {
                model::Provenance::Derived { ancestors } | model::Provenance::Inferred { ancestors } => {
                    ancestors.clone()
                }
                _ => Vec::new(),
            },
            as_of: When(fact.as_of),
            told_at: fact.told_at.map(When),
            told_how,
            told_words,
            purposes: self.purposes(&fact.purposes),
            notice_version: fact.notice_version,
            class: fact.class.as_str(),
            context: fact.context.as_str(),
            until: When(fact.expires_at),
            life_used_percent: life_used(fact.as_of, fact.expires_at, self.now),
            read_by: Vec::new(),
        }
    }

    fn fact_value(&self, fact: &model::Fact) -> ValueCopy {
        let is_address = self.promise.fact_kind(fact.name.as_str()) == Some(Kind::Email);
        match &fact.value {
            Value::Text(address) if is_address && self.masks => ValueCopy::Text(words::masked(address)),
            // A decision needs to know that there is an address, not which.
            Value::Flag(true) if is_address => ValueCopy::Text("There is one".to_owned()),
            value => self.value(value),
        }
    }

    fn label(&self, name: &model::FactName) -> String {
        match name {
            model::FactName::Trait(name) => match self.promise.traits.get(name) {
                Some(plan) if !plan.says.is_empty() => words::label(&plan.says),
                _ if name.as_str() == CandidatesPlan::NAME => "Things we think you could like".to_owned(),
                _ => words::label(name.as_str()),
            },
            model::FactName::Field(name) => words::label(name.as_str()),
        }
    }

    fn from(&self, name: &model::FactName) -> String {
        match name {
            model::FactName::Field(name) => self.promise.fields.get(name).map(|field| field.from.clone()),
            model::FactName::Trait(name) => {
                self.promise.traits.get(name).map(|plan| format!("your “{}” records", plan.is.event()))
            }
        }
        .unwrap_or_default()
    }

    fn value(&self, value: &Value) -> ValueCopy {
        match value {
            Value::Text(text) => ValueCopy::Text(text.clone()),
            Value::Number(number) => ValueCopy::Number(*number),
            Value::Money(money) => {
                let shown = money.to_string();
                let amount = shown.split(' ').next().unwrap_or_default().to_owned();
                ValueCopy::Money { amount, currency: money.currency.to_string() }
            }
            Value::Flag(flag) => ValueCopy::Flag(*flag),
            Value::Instant(at) => ValueCopy::Instant(When(*at)),
            Value::Date(day) => ValueCopy::Date(day.to_string()),
            Value::Ranking(items) => ValueCopy::Ranking(
                items
                    .iter()
                    .map(|ranked| GuessCopy {
                        item: ranked.item.to_string(),
                        title: self.title(&ranked.item),
                        because: ranked.because.as_ref().map(ToString::to_string),
                        because_title: ranked.because.as_ref().map(|item| self.title(item)),
                    })
                    .collect(),
            ),
        }
    }

    /// An item's title, looked up once per reading.
    fn title(&self, code: &ItemCode) -> String {
        let mut titles = self.titles.borrow_mut();
        let look = || self.snapshot.item(code).map_or_else(|| code.to_string(), |item| item.title);
        titles.entry(code.clone()).or_insert_with(look).clone()
    }

    fn use_copy(&self, used: &vault::UseCount) -> UseCopy {
        UseCopy {
            day: used.day.to_string(),
            artefact: used.artefact.clone(),
            artefact_words: self.artefact(&used.artefact),
            purpose: used.purpose.as_ref().map(ToString::to_string),
            n: used.n,
        }
    }

    /// Who or what read, in words people know.
    fn artefact(&self, name: &str) -> String {
        let promise = self.promise;
        match name {
            Artefact::PORTAL => "You, on these pages".to_owned(),
            Artefact::DESK => "Our staff".to_owned(),
            Artefact::BREACH_NOTICE => "We, to tell you that data was taken".to_owned(),
            Artefact::REMINDER => "We, to remind you of what you share".to_owned(),
            Artefact::ITEMS => "What goes with what".to_owned(),
            _ if promise.campaigns.contains_key(name) => format!("Campaign “{}”", name.replace('_', " ")),
            _ if promise.segments.contains_key(name) => format!("Group “{}”", name.replace('_', " ")),
            _ => promise.traits.get(name).map_or_else(|| words::label(name), |plan| words::label(&plan.says)),
        }
    }

    fn purposes(&self, names: &[model::PurposeName]) -> Vec<PurposeCopy> {
        let copy = |name| PurposeCopy { name: ToString::to_string(name), says: words::purpose(self.promise, name) };
        names.iter().map(copy).collect()
    }

    fn event(&self, view: &EventView) -> EventCopy {
        let event = &view.event;
        EventCopy {
            id: event.id.to_string(),
            kind: event_kind(event.kind),
            name: event.name.to_string(),
            source: event.source.to_string(),
            occurred_at: When(event.occurred_at),
            received_at: When(event.received_at),
            source_day: event.source_day.map(|day: Day| day.to_string()),
            properties: event.properties.iter().map(|(name, value)| (name.clone(), self.value(value))).collect(),
            lines: event
                .lines
                .iter()
                .map(|line| LineCopy {
                    item: line.item.to_string(),
                    title: self.title(&line.item),
                    quantity: line.quantity,
                    price: line.price.to_string().split(' ').next().unwrap_or_default().to_owned(),
                    currency: line.price.currency.to_string(),
                    price_words: vault::trace::money_in_words(line.price),
                })
                .collect(),
            purposes: self.purposes(&view.purposes),
            until: When(view.expires_at),
        }
    }

    fn answer(&self, entry: &LedgerEntry) -> AnswerCopy {
        AnswerCopy {
            id: entry.id.to_string(),
            purpose: entry.purpose.to_string(),
            says: words::purpose(self.promise, &entry.purpose),
            status: entry.status.as_str(),
            status_words: words::answer(entry.status),
            level: entry.level.clone(),
            words: entry.words.text.clone(),
            language: entry.words.language.clone(),
            answered_at: When(entry.words.answered_at),
            method: Method::as_str(entry.method),
            method_words: words::method(entry.method),
            notice_version: entry.notice_version,
            made_up: entry.made_up,
            receipt_file: format!("receipts/{}.json", entry.id),
            receipt: entry.receipt.clone(),
        }
    }

    /// One decision with everything behind it.
    pub(crate) fn message(&self, view: &DecisionView<'_>) -> MessageCopy {
        let trace = view.trace.reveal();
        let step = |step: &vault::Step| StepCopy {
            rule: step.rule.clone(),
            passed: step.passed,
            reason: step.reason.map(RefusalReason::as_str),
        };
        MessageCopy {
            decision: view.id.to_string(),
            at: When(view.at),
            campaign: view.campaign.to_string(),
            channel: match view.channel {
                ChannelKind::Email => "email",
                ChannelKind::Page => "page",
            },
            held_out: view.held_out,
            offer: view.offer.as_ref().map(ToString::to_string),
            item: view.item.as_ref().map(ToString::to_string),
            item_title: view.item.as_ref().map(|item| self.title(item)),
            title: trace.title().filter(|text| !text.is_empty()),
            says: trace.says().filter(|text| !text.is_empty()),
            why: trace.why().filter(|text| !text.is_empty()),
            state: view.message_state.clone(),
            facts: trace.facts.iter().map(|read| self.fact_read(read)).collect(),
            steps: trace.steps.iter().map(step).collect(),
            basis: trace.basis.as_str(),
            shared_by: trace.shared_by,
            exposure: trace.exposure.clone(),
            propensity_micros: trace.propensity_micros,
            notice_version: trace.notice_version,
            promise: trace.promise.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}
/// Share of a life that is over, in percent.
fn life_used(from: At, until: At, now: At) -> u8 {
    let (whole, used) = (until.ms().saturating_sub(from.ms()), now.ms().saturating_sub(from.ms()));
    if whole <= 0 {
        return 100;
    }
    u8::try_from((i128::from(used.clamp(0, whole)) * 100) / i128::from(whole)).unwrap_or(100)
}

const fn event_kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Track => "track",
        EventKind::Page => "page",
        EventKind::Screen => "screen",
        EventKind::Identify => "identify",
        EventKind::Group => "group",
        EventKind::Alias => "alias",
    }
}
