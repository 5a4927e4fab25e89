//! What a history can ask of a house, and what it may look at: the same for the reference and for every engine. Ids that
//! chance made are compared by the order in which they first appear.

use model::{
    ArtefactId, At, CampaignName, ConsentId, ConsentStatus, DecisionId, Event, Fact, FactName, ItemCode, Method,
    ProfileId, ProfileKind, Provenance, PurposeName, TraitName, Value,
};
use promise::{CandidatesPlan, Promise, Refusal};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use vault::campaign::State;
use vault::{
    AnonymousSale, Attempt, AttemptEnd, ConsentChange, FactWrite, Identifier, Intake, Join, NewDecision, NotBegun,
    Outcome, OutcomeReason, Reduction,
};

/// One command.
#[derive(Clone)]
pub enum Call {
    Take(Vec<Intake>),
    Consent(Box<ConsentChange>),
    Fact(Box<FactWrite>),
    Join(Box<Join>),
    Decide(Box<NewDecision>),
    /// Begins the message of a decision.
    Begin(DecisionId),
    Finish(DecisionId, Attempt, AttemptEnd),
    Reduce(ProfileId, Reduction),
    Erase(ProfileId),
    Sale(Box<AnonymousSale>),
    Campaign(String, State),
}

/// What it led to.
pub enum Answer {
    Outcomes(Vec<Outcome>),
    Consent(Option<ProfileId>, Option<ConsentId>, Option<OutcomeReason>),
    Done(Result<(), Refusal>),
    Decided(Result<DecisionId, Refusal>),
    Begun(Result<Attempt, NotBegun>),
}

/// One line of the ledger.
#[derive(Debug, PartialEq, Eq)]
pub struct LedgerLine {
    pub purpose: String,
    pub status: ConsentStatus,
    pub level: Option<String>,
    pub answered_at: At,
    pub method: Method,
    pub notice_version: u32,
}

/// One decision and where its message stands.
pub struct MessageLine {
    pub id: DecisionId,
    pub at: At,
    pub held_out: bool,
    pub state: Option<String>,
}

/// Everything a permit opens.
pub struct Seen {
    pub level: Option<String>,
    pub kind: ProfileKind,
    pub facts: Vec<String>,
    pub events: Vec<String>,
    pub is_member: Option<bool>,
    pub sent_at: Vec<At>,
    pub at_most: Option<u32>,
    pub zone: Option<(String, bool)>,
    pub turned_down: Vec<String>,
    pub suppressed: bool,
    pub ledger: Vec<LedgerLine>,
    pub decisions: Vec<MessageLine>,
}

/// Everything a set opens.
pub struct Crowd {
    pub people: Vec<ProfileId>,
    pub count: Option<u64>,
    pub column: Option<Vec<Option<i64>>>,
    pub members: Option<BTreeSet<ProfileId>>,
}

/// A campaign in numbers: people, goals and buyers of both arms.
#[derive(Default)]
pub struct Known {
    pub n_arms: [u64; 2],
    pub n_goals: [u64; 2],
    pub n_buyers: [u64; 2],
    pub n_reduced: u64,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_arms, n_goals, n_buyers, n_reduced } = self;
        write!(f, "people {n_arms:?} goals {n_goals:?} buyers {n_buyers:?} reduced {n_reduced}")
    }
}

/// A house under a clock that stands still.
pub trait World {
    /// Commands that arrive together; their answers, in order.
    fn calls(&mut self, calls: Vec<Call>) -> Vec<Answer>;
    /// Time goes on.
    fn advance(&mut self, ms: i64);
    /// Closed and opened again, perhaps under another promise.
    fn restart(&mut self, promise: Option<Arc<Promise>>);
    /// Somebody reviews every artefact.
    fn review(&mut self);
    /// The sweeper runs.
    fn sweep(&mut self);
    /// The keys are rotated.
    fn rotate(&mut self);
    /// What was acknowledged before the store has it reaches the store.
    fn settle(&mut self);
    fn now(&self) -> At;
    fn promise(&self) -> Arc<Promise>;
    fn find(&mut self, identifier: &Identifier) -> Option<ProfileId>;
    /// The person's wishes, as the second look sees them.
    fn seq(&mut self, person: ProfileId) -> Option<u64>;
    fn see(&mut self, person: ProfileId, artefact: ArtefactId) -> Result<Seen, Refusal>;
    fn crowd(&mut self, artefact: ArtefactId) -> Result<Crowd, Refusal>;
    /// The three counts of the shop's segment.
    fn segment(&mut self) -> Result<String, Refusal>;
    /// Messages that are due: since when, of which decision, tries, whether one was left open.
    fn due(&mut self) -> Vec<(At, DecisionId, u32, bool)>;
    /// Sales of nobody: lines and sum.
    fn sales(&mut self) -> (u64, i64);
    /// A campaign in numbers.
    fn numbers(&mut self, campaign: ArtefactId) -> Result<String, Refusal>;
}

/// Every name a fact can have in a promise.
pub fn fact_names(promise: &Promise) -> Vec<FactName> {
    let fields = promise.fields.keys().cloned().map(FactName::Field);
    let traits = promise.traits.keys().cloned().map(FactName::Trait);
    let candidates = FactName::Trait(TraitName::parse(CandidatesPlan::NAME).unwrap());
    fields.chain(traits).chain(std::iter::once(candidates)).collect()
}

/// A fact as a line of text, or why not.
pub fn said(name: &FactName, fact: Result<Option<Fact>, Refusal>) -> String {
    match fact {
        Ok(Some(fact)) => format!("{} {}", name.as_str(), show_fact(&fact)),
        Ok(None) => format!("{} –", name.as_str()),
        Err(refusal) => format!("{} {}", name.as_str(), show_refusal(&refusal)),
    }
}

pub fn show_refusal(refusal: &Refusal) -> String {
    let purpose = refusal.purpose.as_ref().map_or("", PurposeName::as_str);
    format!("refused: {} {purpose} {:?}", refusal.reason.as_str(), refusal.line)
}

fn show_value(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Money(money) => money.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Instant(at) => at.to_string(),
        Value::Date(day) => day.to_string(),
        Value::Ranking(items) => {
            let items = items.iter().map(|ranked| {
                let because = ranked.because.as_ref().map_or("", ItemCode::as_str);
                format!("{}({because})", ranked.item.as_str())
            });
            items.collect::<Vec<_>>().join(" ")
        }
    }
}

fn show_provenance(provenance: &Provenance) -> String {
    match provenance {
        Provenance::Provided { source } => format!("provided by {}", source.as_str()),
        Provenance::Observed { source } => format!("observed by {}", source.as_str()),
        Provenance::Derived { ancestors } => format!("derived from {ancestors:?}"),
        Provenance::Inferred { ancestors } => format!("inferred from {ancestors:?}"),
        Provenance::ThirdParty { party } => format!("told by {party}"),
    }
}

fn names<'a>(purposes: impl IntoIterator<Item = &'a PurposeName>) -> Vec<&'a str> {
    purposes.into_iter().map(PurposeName::as_str).collect()
}

pub fn show_fact(fact: &Fact) -> String {
    let Fact { name: _, value, class, context, provenance, as_of, told_at, told_how, purposes, notice_version, .. } =
        fact;
    format!(
        "{} {class:?} {context:?} {} as of {as_of} told {told_at:?} {told_how:?} for {:?} notice {notice_version} until {}",
        show_value(value),
        show_provenance(provenance),
        names(purposes),
        fact.expires_at
    )
}

pub fn show_event(event: &Event, ends: At, purposes: &[PurposeName]) -> String {
    let properties: Vec<String> =
        event.properties.iter().map(|(name, value)| format!("{name}={}", show_value(value))).collect();
    let lines: Vec<String> = event
        .lines
        .iter()
        .map(|line| format!("{}:{}x{}@{}", line.row, line.item.as_str(), line.quantity, line.price))
        .collect();
    format!(
        "{} {:?} {} {:?} at {} received {} {properties:?} {lines:?} for {:?} until {ends}",
        event.occurred_at,
        event.kind,
        event.name,
        event.trust,
        event.source.as_str(),
        event.received_at,
        names(purposes)
    )
}

pub fn win_back() -> CampaignName {
    CampaignName::parse("win_back").unwrap()
}
