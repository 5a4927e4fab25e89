//! A person's own copy: everything a permit of the portal opens, as plain data with its words. The pages, the export and
//! the API all show this one thing, so none of them can know more than another. It renders nothing.

use crate::words::{self, When};
use model::{ArtefactId, At, Class, Context, Day, EventKind, ItemCode, Kind, Method, ProfileId, Value};
use promise::{Artefact, ArtefactKind, CandidatesPlan, ChannelKind, Promise, Refusal, RefusalReason};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use vault::{DecisionView, EventView, FactRead, FactView, ItemBasis, LedgerEntry, Permit, Snapshot};

/// Most events in one copy; the newest come first.
pub(crate) const EVENTS_MAX: usize = 100_000;
/// Most decisions in one copy; the newest come first.
pub(crate) const DECISIONS_MAX: usize = 10_000;

/// Everything known about one person.
#[derive(Serialize)]
pub(crate) struct PersonCopy {
    pub(crate) format: &'static str,
    pub(crate) made_at: When,
    pub(crate) company: String,
    pub(crate) person: String,
    pub(crate) notice_version: u32,
    pub(crate) facts: Vec<FactCopy>,
    pub(crate) events: Vec<EventCopy>,
    pub(crate) answers: Vec<AnswerCopy>,
    pub(crate) messages: Vec<MessageCopy>,
    pub(crate) contact: ContactCopy,
    pub(crate) uses: Vec<UseCopy>,
    pub(crate) staff_reads: Vec<StaffCopy>,
}

/// One thing we know or think.
#[derive(Serialize, Clone)]
pub(crate) struct FactCopy {
    pub(crate) name: String,
    /// What it is called on a page: the field's name, or the recipe of a trait.
    pub(crate) label: String,
    pub(crate) kind: &'static str,
    pub(crate) value: ValueCopy,
    pub(crate) origin: &'static str,
    pub(crate) origin_words: String,
    pub(crate) source: Option<String>,
    /// Where it came from, in words.
    pub(crate) from: String,
    /// Everything it rests on, all the way down.
    pub(crate) rests_on: Vec<String>,
    pub(crate) as_of: When,
    pub(crate) told_at: Option<When>,
    pub(crate) told_how: &'static str,
    pub(crate) told_words: &'static str,
    pub(crate) purposes: Vec<PurposeCopy>,
    pub(crate) notice_version: u32,
    pub(crate) class: &'static str,
    pub(crate) context: &'static str,
    pub(crate) until: When,
    /// Share of its life that is over, in percent.
    pub(crate) life_used_percent: u8,
    pub(crate) read_by: Vec<ReaderCopy>,
}

/// A purpose with the words people read.
#[derive(Serialize, Clone)]
pub(crate) struct PurposeCopy {
    pub(crate) name: String,
    pub(crate) says: String,
}

/// Who read something, and how often in the last 30 days.
#[derive(Serialize, Clone)]
pub(crate) struct ReaderCopy {
    pub(crate) artefact: String,
    #[serde(skip)]
    pub(crate) artefact_words: String,
    pub(crate) n: u32,
}

/// A value as data and as words.
#[derive(Serialize, Clone)]
#[serde(untagged)]
pub(crate) enum ValueCopy {
    Text(String),
    Number(i64),
    Money { amount: String, currency: String },
    Flag(bool),
    Instant(When),
    Date(String),
    Ranking(Vec<GuessCopy>),
}

/// One thing we think a person could like, with the one purchase that speaks for it.
#[derive(Serialize, Clone)]
pub(crate) struct GuessCopy {
    pub(crate) item: String,
    pub(crate) title: String,
    pub(crate) because: Option<String>,
    pub(crate) because_title: Option<String>,
}

/// One event.
#[derive(Serialize, Clone)]
pub(crate) struct EventCopy {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) occurred_at: When,
    pub(crate) received_at: When,
    /// The date in the source, when a history was moved in time.
    pub(crate) source_day: Option<String>,
    pub(crate) properties: BTreeMap<String, ValueCopy>,
    pub(crate) lines: Vec<LineCopy>,
    pub(crate) purposes: Vec<PurposeCopy>,
    pub(crate) until: When,
}

/// One line of an order.
#[derive(Serialize, Clone)]
pub(crate) struct LineCopy {
    pub(crate) item: String,
    pub(crate) title: String,
    pub(crate) quantity: i32,
    pub(crate) price: String,
    pub(crate) currency: String,
    #[serde(skip)]
    pub(crate) price_words: String,
}

/// One answer of the person.
#[derive(Serialize, Clone)]
pub(crate) struct AnswerCopy {
    pub(crate) id: String,
    pub(crate) purpose: String,
    pub(crate) says: String,
    pub(crate) status: &'static str,
    pub(crate) status_words: &'static str,
    pub(crate) level: Option<String>,
    pub(crate) words: String,
    pub(crate) language: String,
    pub(crate) answered_at: When,
    pub(crate) method: &'static str,
    pub(crate) method_words: &'static str,
    pub(crate) notice_version: u32,
    /// Made up for a demonstration.
    pub(crate) made_up: bool,
    /// Where the receipt lies in the export.
    pub(crate) receipt_file: String,
    #[serde(skip)]
    pub(crate) receipt: String,
}

/// One decision about the person, and its message.
#[derive(Serialize, Clone)]
pub(crate) struct MessageCopy {
    pub(crate) decision: String,
    pub(crate) at: When,
    pub(crate) campaign: String,
    pub(crate) channel: &'static str,
    pub(crate) held_out: bool,
    pub(crate) offer: Option<String>,
    pub(crate) item: Option<String>,
    pub(crate) item_title: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) says: Option<String>,
    pub(crate) why: Option<String>,
    /// How it ended, in the house's word.
    pub(crate) state: Option<String>,
    pub(crate) facts: Vec<FactCopy>,
    pub(crate) steps: Vec<StepCopy>,
    pub(crate) basis: &'static str,
    /// How many people share the combination that was used.
    pub(crate) shared_by: u32,
    pub(crate) exposure: String,
    /// The chance with which this was chosen, in millionths.
    pub(crate) propensity_micros: u32,
    pub(crate) notice_version: u32,
    /// SHA-256 of the promise in force, hexadecimal.
    pub(crate) promise: String,
}

/// One rule of a decision and its answer.
#[derive(Serialize, Clone)]
pub(crate) struct StepCopy {
    pub(crate) rule: String,
    pub(crate) passed: bool,
    pub(crate) reason: Option<&'static str>,
}

/// Contact so far and its limits.
#[derive(Serialize, Clone)]
pub(crate) struct ContactCopy {
    pub(crate) sent_at: Vec<When>,
    /// The person's own limit.
    pub(crate) at_most: Option<u32>,
    /// The company's limit.
    pub(crate) company_at_most: u32,
    /// Both count within this many days.
    pub(crate) per_days: i32,
    pub(crate) zone: Option<String>,
    pub(crate) turned_down: Vec<String>,
    /// The same with the names people know.
    #[serde(skip)]
    pub(crate) turned_down_words: Vec<String>,
}

/// One artefact's reads on one day.
#[derive(Serialize, Clone)]
pub(crate) struct UseCopy {
    pub(crate) day: String,
    pub(crate) artefact: String,
    #[serde(skip)]
    pub(crate) artefact_words: String,
    pub(crate) purpose: Option<String>,
    pub(crate) n: u32,
}

/// One time that staff opened this person.
#[derive(Serialize, Clone)]
pub(crate) struct StaffCopy {
    pub(crate) at: When,
    pub(crate) staff: String,
    pub(crate) reason: String,
}

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
        })
    }

    /// The newest answer about a purpose, if the person ever gave one.
    pub(crate) fn answer(&self, purpose: &str) -> Option<&AnswerCopy> {
        self.answers.iter().filter(|answer| answer.purpose == purpose).max_by(|a, b| a.id.cmp(&b.id))
    }

    /// The value of a stated or collected field.
    pub(crate) fn fact(&self, name: &str) -> Option<&FactCopy> {
        self.facts.iter().find(|fact| fact.name == name)
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
            zone: contact.zone.clone(),
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
            class: class(fact.class),
            context: context(fact.context),
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
            basis: basis(trace.basis),
            shared_by: trace.shared_by,
            exposure: trace.exposure.clone(),
            propensity_micros: trace.propensity_micros,
            notice_version: trace.notice_version,
            promise: trace.promise.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl ValueCopy {
    /// The value in words; items of a ranking are shown by their own rows.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Text(text) | Self::Date(text) => text.clone(),
            Self::Number(number) => vault::trace::in_words(&Value::Number(*number)).unwrap_or_default(),
            Self::Money { amount, currency } => money(amount, currency),
            Self::Flag(flag) => if *flag { "Yes" } else { "No" }.to_owned(),
            Self::Instant(at) => at.minute(),
            Self::Ranking(items) => words::count(items.len(), "thing", "things"),
        }
    }

    /// The guesses of a ranking, best first.
    pub(crate) fn guesses(&self) -> &[GuessCopy] {
        match self {
            Self::Ranking(items) => items,
            _ => &[],
        }
    }
}

fn money(amount: &str, currency: &str) -> String {
    model::Currency::parse(currency)
        .and_then(|currency| model::Money::parse(amount, currency))
        .map_or_else(|| format!("{amount} {currency}"), vault::trace::money_in_words)
}

impl FactCopy {
    /// The value for a list: of a ranking, the names of its things.
    pub(crate) fn short(&self) -> String {
        let titles: Vec<&str> = self.value.guesses().iter().map(|guess| guess.title.as_str()).collect();
        if titles.is_empty() { self.value.in_words() } else { words::list(&titles) }
    }

    /// "Send you offers …" of each purpose, in one line.
    pub(crate) fn used_for(&self) -> String {
        let says: Vec<&str> = self.purposes.iter().map(|purpose| purpose.says.as_str()).collect();
        says.join(" ")
    }

    /// "win back (3 times)" of each reader, in one line.
    pub(crate) fn readers(&self) -> String {
        let readers: Vec<String> = self
            .read_by
            .iter()
            .map(|by| format!("{} ({})", by.artefact_words, words::count(by.n as usize, "time", "times")))
            .collect();
        words::list(&readers)
    }

    /// What it rests on, in one line.
    pub(crate) fn evidence(&self) -> String {
        let parts: Vec<String> = self.rests_on.iter().map(|part| words::label(part)).collect();
        words::list(&parts)
    }
}

impl EventCopy {
    /// One line for a list: how many things, or the properties.
    pub(crate) fn summary(&self) -> String {
        let mut parts = Vec::new();
        if !self.lines.is_empty() {
            parts.push(words::count(self.lines.len(), "line", "lines"));
        }
        let shown = self.properties.iter().map(|(name, value)| format!("{}: {}", words::label(name), value.in_words()));
        parts.extend(shown.take(4));
        parts.join(" · ")
    }
}

impl MessageCopy {
    /// How the message ended, in plain words.
    pub(crate) fn state_words(&self) -> String {
        let said = self.state.as_deref().unwrap_or(if self.channel == "page" { "shown" } else { "" });
        match said.split_once(": ") {
            Some(("refused", why)) => format!("Not sent: {}", reason_words(why)),
            Some(("failed", why)) => format!("Not sent: {}", reason_words(why)),
            Some((word, rest)) => format!("{}: {}", words::label(word), reason_words(rest)),
            None => match said {
                "sent" => "Sent".to_owned(),
                "waiting" => "Waiting to be sent".to_owned(),
                "shown" => "Shown on a page".to_owned(),
                "" => "No message".to_owned(),
                other => words::label(other),
            },
        }
    }
}

fn reason_words(word: &str) -> String {
    match word {
        "changed_meanwhile" | "withdrawn" | "said_no" => "you had said no".to_owned(),
        "cap_reached" => "you had enough messages".to_owned(),
        "quiet_hours" => "your quiet hours".to_owned(),
        "address_refused" => "your mail box did not take it".to_owned(),
        "no_address" => "we have no address".to_owned(),
        "restrained" => "you asked to be left alone".to_owned(),
        "message_refused" => "the mail server did not take it".to_owned(),
        "gave_up" => "we tried too often".to_owned(),
        "relay_down" | "relay_busy" => "the mail server was busy".to_owned(),
        other => words::inner(&words::label(other)),
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

const fn class(class: Class) -> &'static str {
    match class {
        Class::Plain => "plain",
        Class::Personal => "personal",
        Class::Sensitive => "sensitive",
        Class::Never => "never",
    }
}

const fn context(context: Context) -> &'static str {
    match context {
        Context::Shopping => "shopping",
        Context::Work => "work",
        Context::Health => "health",
        Context::Social => "social",
    }
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

const fn basis(basis: ItemBasis) -> &'static str {
    match basis {
        ItemBasis::Purchase => "purchase",
        ItemBasis::Group => "group",
        ItemBasis::Popular => "popular",
        ItemBasis::Stated => "stated",
        ItemBasis::None => "none",
    }
}
