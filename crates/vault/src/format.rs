//! Storage forms: what lies, sealed, in the keyspaces. CBOR with numbered fields; a number is never used twice, unknown
//! numbers are ignored. Separate from the records that cross the wall, so that either may change without the other. It
//! is long because every stored thing stands in one place, where a reviewer can see what is kept.
//!
//! It does not seal (`seal`), does not know keys or places, and checks nothing but form: what does not read back as what it
//! should be is [`VaultError::Damaged`].

use crate::VaultError;
use crate::projection::Bucket;
use crate::record::{FactRead, Item, ItemBasis, Step, Trace};
use minicbor::{Decode, Encode};
use model::{
    ArtefactId, At, Awareness, Class, ConsentStatus, Context, Currency, Day, DecisionId, Event, EventId, EventKind,
    EventName, Fact, FactName, FieldName, ItemCode, LineItem, Method, Money, ProfileId, ProfileKind, Provenance,
    PurposeName, RankedItem, SourceName, TraitName, Trust, Value,
};
use promise::{ChannelKind, Fate, Hold, RefusalReason, Relation, Standing};
use std::collections::BTreeMap;

/// Sixteen raw bytes (ids).
pub(crate) type Bytes16 = minicbor::bytes::ByteArray<16>;
/// Thirty-two raw bytes (hashes, artefact ids).
pub(crate) type Bytes32 = minicbor::bytes::ByteArray<32>;

/// Writes a form.
pub(crate) fn encode<T: Encode<()>>(form: &T) -> Vec<u8> {
    // Writing into a Vec cannot fail: its error type is `Infallible`.
    minicbor::to_vec(form).unwrap_or_default()
}

/// Reads a form back.
pub(crate) fn decode<'b, T: Decode<'b, ()>>(keyspace: &'static str, bytes: &'b [u8]) -> Result<T, VaultError> {
    minicbor::decode(bytes).map_err(|error| damaged(keyspace, &error.to_string()))
}

/// A record that is not what it should be.
pub(crate) fn damaged(keyspace: &'static str, what: &str) -> VaultError {
    VaultError::Damaged { keyspace, what: what.to_owned() }
}

// ── words as numbers ──────────────────────────────────────────────────────────────────────────────────────────────────

fn code<T: PartialEq>(table: &[T], value: &T) -> u8 {
    table.iter().position(|known| known == value).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn word<T: Copy>(table: &[T], code: u8, what: &str) -> Result<T, VaultError> {
    table.get(usize::from(code)).copied().ok_or_else(|| damaged("profiles", &format!("unknown {what} {code}")))
}

const STATUSES: [ConsentStatus; 9] = [
    ConsentStatus::Requested,
    ConsentStatus::Deferred,
    ConsentStatus::Unknown,
    ConsentStatus::Given,
    ConsentStatus::Refused,
    ConsentStatus::Withdrawn,
    ConsentStatus::Revoked,
    ConsentStatus::Expired,
    ConsentStatus::Invalidated,
];
const METHODS: [Method; 7] =
    [Method::SiteForm, Method::Portal, Method::MessageLink, Method::Server, Method::Import, Method::Gpc, Method::Desk];
const EVENT_KINDS: [EventKind; 6] =
    [EventKind::Track, EventKind::Page, EventKind::Screen, EventKind::Identify, EventKind::Group, EventKind::Alias];
const TRUSTS: [Trust; 3] = [Trust::Browser, Trust::Server, Trust::Import];
const CLASSES: [Class; 4] = [Class::Plain, Class::Personal, Class::Sensitive, Class::Never];
const CONTEXTS: [Context; 4] = [Context::Shopping, Context::Work, Context::Health, Context::Social];
const AWARENESSES: [Awareness; 5] =
    [Awareness::Opened, Awareness::AtTheMoment, Awareness::InNotice, Awareness::InTerms, Awareness::Never];
const KINDS: [ProfileKind; 2] = [ProfileKind::Person, ProfileKind::Device];
const CHANNELS: [ChannelKind; 2] = [ChannelKind::Email, ChannelKind::Page];
const BASES: [ItemBasis; 5] =
    [ItemBasis::Purchase, ItemBasis::Group, ItemBasis::Popular, ItemBasis::Stated, ItemBasis::None];
const REASONS: [RefusalReason; 30] = [
    RefusalReason::NoSuchPerson,
    RefusalReason::Restrained,
    RefusalReason::NotReviewed,
    RefusalReason::UnknownArtefact,
    RefusalReason::NeverAsked,
    RefusalReason::SaidNo,
    RefusalReason::Withdrawn,
    RefusalReason::NoContract,
    RefusalReason::NotTold,
    RefusalReason::NotInTerms,
    RefusalReason::OtherPurpose,
    RefusalReason::AboveLevel,
    RefusalReason::Expired,
    RefusalReason::Guarded,
    RefusalReason::GroupTooSmall,
    RefusalReason::CapReached,
    RefusalReason::QuietHours,
    RefusalReason::HeldOut,
    RefusalReason::NoAddress,
    RefusalReason::TurnedDown,
    RefusalReason::NothingFits,
    RefusalReason::ChangedMeanwhile,
    RefusalReason::NotInSegment,
    RefusalReason::AlreadyDecided,
    RefusalReason::Suppressed,
    RefusalReason::AnswerLapsed,
    RefusalReason::NoLongerSo,
    RefusalReason::Paused,
    RefusalReason::NotCounted,
    RefusalReason::Held,
];

pub(crate) fn status_code(status: ConsentStatus) -> u8 {
    code(&STATUSES, &status)
}
pub(crate) fn status_of(code: u8) -> Result<ConsentStatus, VaultError> {
    word(&STATUSES, code, "consent status")
}
pub(crate) fn method_code(method: Method) -> u8 {
    code(&METHODS, &method)
}
pub(crate) fn method_of(code: u8) -> Result<Method, VaultError> {
    word(&METHODS, code, "method")
}
pub(crate) fn kind_code(kind: ProfileKind) -> u8 {
    code(&KINDS, &kind)
}
pub(crate) fn kind_of(code: u8) -> Result<ProfileKind, VaultError> {
    word(&KINDS, code, "profile kind")
}
pub(crate) fn channel_code(channel: ChannelKind) -> u8 {
    code(&CHANNELS, &channel)
}
pub(crate) fn channel_of(code: u8) -> Result<ChannelKind, VaultError> {
    word(&CHANNELS, code, "channel")
}

fn name<T, E>(parsed: Result<T, E>) -> Result<T, VaultError> {
    parsed.map_err(|_| damaged("profiles", "a stored name is not a name"))
}

// ── values ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A value.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) enum ValueForm {
    #[n(0)]
    Text(#[n(0)] String),
    #[n(1)]
    Number(#[n(0)] i64),
    #[n(2)]
    Money(#[n(0)] i64, #[n(1)] String),
    #[n(3)]
    Flag(#[n(0)] bool),
    #[n(4)]
    Instant(#[n(0)] i64),
    #[n(5)]
    Date(#[n(0)] i32),
    #[n(6)]
    Ranking(#[n(0)] Vec<RankedForm>),
}

/// One candidate.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct RankedForm {
    #[n(0)]
    item: String,
    #[n(1)]
    because: Option<String>,
    #[n(2)]
    score_micros: i64,
}

fn item_code(text: &str) -> Result<ItemCode, VaultError> {
    ItemCode::parse(text).ok_or_else(|| damaged("profiles", "a stored item code is not one"))
}

fn currency(text: &str) -> Result<Currency, VaultError> {
    Currency::parse(text).ok_or_else(|| damaged("profiles", "a stored currency is not one"))
}

impl ValueForm {
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text.clone()),
            Value::Number(number) => Self::Number(*number),
            Value::Money(money) => Self::Money(money.micros, money.currency.as_str().to_owned()),
            Value::Flag(flag) => Self::Flag(*flag),
            Value::Instant(at) => Self::Instant(at.ms()),
            Value::Date(day) => Self::Date(day.number()),
            Value::Ranking(items) => Self::Ranking(
                items
                    .iter()
                    .map(|ranked| RankedForm {
                        item: ranked.item.as_str().to_owned(),
                        because: ranked.because.as_ref().map(|item| item.as_str().to_owned()),
                        score_micros: ranked.score_micros,
                    })
                    .collect(),
            ),
        }
    }

    pub(crate) fn value(&self) -> Result<Value, VaultError> {
        Ok(match self {
            Self::Text(text) => Value::Text(text.clone()),
            Self::Number(number) => Value::Number(*number),
            Self::Money(micros, text) => Value::Money(Money { micros: *micros, currency: currency(text)? }),
            Self::Flag(flag) => Value::Flag(*flag),
            Self::Instant(ms) => Value::Instant(At::from_ms(*ms)),
            Self::Date(number) => Value::Date(Day::from_number(*number)),
            Self::Ranking(items) => Value::Ranking(
                items
                    .iter()
                    .map(|ranked| {
                        Ok(RankedItem {
                            item: item_code(&ranked.item)?,
                            because: ranked.because.as_deref().map(item_code).transpose()?,
                            score_micros: ranked.score_micros,
                        })
                    })
                    .collect::<Result<_, VaultError>>()?,
            ),
        })
    }
}

// ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// One event. Its profile is its key's; its class and clock day stand before the sealed bytes.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct EventForm {
    #[n(0)]
    pub id: Bytes16,
    #[n(1)]
    kind: u8,
    #[n(2)]
    name: String,
    #[n(3)]
    source: String,
    #[n(4)]
    trust: u8,
    #[n(5)]
    occurred_at: i64,
    #[n(6)]
    received_at: i64,
    #[n(7)]
    source_day: Option<i32>,
    #[n(8)]
    properties: BTreeMap<String, ValueForm>,
    #[n(9)]
    lines: Vec<LineForm>,
    /// Purposes that `context.consent` took away for this event alone.
    #[n(10)]
    pub not_for: Vec<String>,
}

/// One order line.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct LineForm {
    #[n(0)]
    row: u64,
    #[n(1)]
    item: String,
    #[n(2)]
    quantity: i32,
    #[n(3)]
    micros: i64,
    #[n(4)]
    currency: String,
}

impl LineForm {
    pub(crate) fn of(line: &LineItem) -> Self {
        Self {
            row: line.row,
            item: line.item.as_str().to_owned(),
            quantity: line.quantity,
            micros: line.price.micros,
            currency: line.price.currency.as_str().to_owned(),
        }
    }

    pub(crate) fn line(&self) -> Result<LineItem, VaultError> {
        Ok(LineItem {
            row: self.row,
            item: item_code(&self.item)?,
            quantity: self.quantity,
            price: Money { micros: self.micros, currency: currency(&self.currency)? },
        })
    }
}

impl EventForm {
    pub(crate) fn of(event: &Event, not_for: &[PurposeName]) -> Self {
        Self {
            id: (*event.id.as_bytes()).into(),
            kind: code(&EVENT_KINDS, &event.kind),
            name: event.name.as_str().to_owned(),
            source: event.source.as_str().to_owned(),
            trust: code(&TRUSTS, &event.trust),
            occurred_at: event.occurred_at.ms(),
            received_at: event.received_at.ms(),
            source_day: event.source_day.map(Day::number),
            properties: event.properties.iter().map(|(key, value)| (key.clone(), ValueForm::of(value))).collect(),
            lines: event.lines.iter().map(LineForm::of).collect(),
            not_for: not_for.iter().map(|purpose| purpose.as_str().to_owned()).collect(),
        }
    }

    pub(crate) fn event(&self, profile: ProfileId) -> Result<Event, VaultError> {
        Ok(Event {
            id: EventId::from_bytes(*self.id),
            profile,
            kind: word(&EVENT_KINDS, self.kind, "event kind")?,
            name: name(EventName::parse(&self.name))?,
            source: name(SourceName::parse(&self.source))?,
            trust: word(&TRUSTS, self.trust, "trust")?,
            occurred_at: At::from_ms(self.occurred_at),
            received_at: At::from_ms(self.received_at),
            source_day: self.source_day.map(Day::from_number),
            properties: self
                .properties
                .iter()
                .map(|(key, value)| Ok((key.clone(), value.value()?)))
                .collect::<Result<_, VaultError>>()?,
            lines: self.lines.iter().map(LineForm::line).collect::<Result<_, VaultError>>()?,
        })
    }
}

// ── facts and buckets: one record per person and retention class ──────────────────────────────────────────────────────

/// One fact.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct FactForm {
    #[n(0)]
    is_trait: bool,
    #[n(1)]
    name: String,
    #[n(2)]
    value: ValueForm,
    #[n(3)]
    class: u8,
    #[n(4)]
    context: u8,
    #[n(5)]
    provenance: u8,
    #[n(6)]
    from: Vec<String>,
    #[n(7)]
    as_of: i64,
    #[n(8)]
    told_at: Option<i64>,
    #[n(9)]
    told_how: u8,
    #[n(10)]
    purposes: Vec<String>,
    #[n(11)]
    notice_version: u32,
    #[n(12)]
    expires_at: i64,
}

impl FactForm {
    pub(crate) fn of(fact: &Fact) -> Self {
        let (provenance, from) = match &fact.provenance {
            Provenance::Provided { source } => (0, vec![source.as_str().to_owned()]),
            Provenance::Observed { source } => (1, vec![source.as_str().to_owned()]),
            Provenance::Derived { ancestors } => (2, ancestors.clone()),
            Provenance::Inferred { ancestors } => (3, ancestors.clone()),
            Provenance::ThirdParty { party } => (4, vec![party.clone()]),
        };
        Self {
            is_trait: matches!(fact.name, FactName::Trait(_)),
            name: fact.name.as_str().to_owned(),
            value: ValueForm::of(&fact.value),
            class: code(&CLASSES, &fact.class),
            context: code(&CONTEXTS, &fact.context),
            provenance,
            from,
            as_of: fact.as_of.ms(),
            told_at: fact.told_at.map(At::ms),
            told_how: code(&AWARENESSES, &fact.told_how),
            purposes: fact.purposes.iter().map(|purpose| purpose.as_str().to_owned()).collect(),
            notice_version: fact.notice_version,
            expires_at: fact.expires_at.ms(),
        }
    }

    pub(crate) fn is(&self, name: &FactName) -> bool {
        self.is_trait == matches!(name, FactName::Trait(_)) && self.name == name.as_str()
    }

    pub(crate) fn fact(&self) -> Result<Fact, VaultError> {
        let first = || self.from.first().cloned().ok_or_else(|| damaged("profiles", "a fact without a source"));
        let source = || first().and_then(|text| name(SourceName::parse(&text)));
        Ok(Fact {
            name: if self.is_trait {
                FactName::Trait(name(TraitName::parse(&self.name))?)
            } else {
                FactName::Field(name(FieldName::parse(&self.name))?)
            },
            value: self.value.value()?,
            class: word(&CLASSES, self.class, "class")?,
            context: word(&CONTEXTS, self.context, "context")?,
            provenance: match self.provenance {
                0 => Provenance::Provided { source: source()? },
                1 => Provenance::Observed { source: source()? },
                2 => Provenance::Derived { ancestors: self.from.clone() },
                3 => Provenance::Inferred { ancestors: self.from.clone() },
                4 => Provenance::ThirdParty { party: first()? },
                other => return Err(damaged("profiles", &format!("unknown provenance {other}"))),
            },
            as_of: At::from_ms(self.as_of),
            told_at: self.told_at.map(At::from_ms),
            told_how: word(&AWARENESSES, self.told_how, "awareness")?,
            purposes: purposes(&self.purposes)?,
            notice_version: self.notice_version,
            expires_at: At::from_ms(self.expires_at),
        })
    }
}

pub(crate) fn purposes(names: &[String]) -> Result<Vec<PurposeName>, VaultError> {
    names.iter().map(|text| name(PurposeName::parse(text))).collect()
}

/// Facts and trait buckets of one retention class.
#[derive(Clone, Default, PartialEq, Encode, Decode)]
pub(crate) struct ClassForm {
    #[n(0)]
    pub facts: Vec<FactForm>,
    /// Names of the traits that `buckets` speak of, so that a new column order does not move a sum to another trait.
    #[n(1)]
    traits: Vec<String>,
    #[n(2)]
    buckets: Vec<(u16, i32, i64)>,
}

impl ClassForm {
    pub(crate) fn n_buckets(&self) -> usize {
        self.buckets.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.buckets.is_empty()
    }

    /// Buckets by today's column order; a trait that is no longer declared is left out.
    pub(crate) fn buckets(&self, columns: &[crate::TraitColumn]) -> Vec<Bucket> {
        let place_of = |text: &String| columns.iter().position(|column| column.name.as_str() == text);
        let is_moved = !self.are_today(columns);
        let places = if is_moved { self.traits.iter().map(place_of).collect() } else { Vec::new() };
        let column = |place: u16| match is_moved {
            true => places.get(usize::from(place)).copied().flatten().and_then(|at| u16::try_from(at).ok()),
            false => Some(place).filter(|place| usize::from(*place) < columns.len()),
        };
        let bucket = |(place, day, amount): &(u16, i32, i64)| {
            Some(Bucket { column: column(*place)?, day: Day::from_number(*day), amount: *amount })
        };
        let mut buckets: Vec<Bucket> = self.buckets.iter().filter_map(bucket).collect();
        buckets.sort_by_key(|bucket| (bucket.column, bucket.day));
        buckets
    }

    /// Whether the traits of the buckets are today's columns, in today's order.
    fn are_today(&self, columns: &[crate::TraitColumn]) -> bool {
        self.traits.iter().map(String::as_str).eq(columns.iter().map(|column| column.name.as_str()))
    }

    pub(crate) fn set_buckets(&mut self, columns: &[crate::TraitColumn], buckets: &[Bucket]) {
        if !self.are_today(columns) {
            self.traits = columns.iter().map(|column| column.name.as_str().to_owned()).collect();
        }
        self.buckets = buckets.iter().map(|bucket| (bucket.column, bucket.day.number(), bucket.amount)).collect();
    }
}

// ── the core record of a person ───────────────────────────────────────────────────────────────────────────────────────

/// How a person stands to one purpose.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct RelationForm {
    #[n(0)]
    pub purpose: String,
    #[n(1)]
    pub status: u8,
    #[n(2)]
    pub notice_version: u32,
    #[n(3)]
    pub at: i64,
    #[n(4)]
    pub level: Option<String>,
}

/// One try at sending, as far as the cap counts it.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct ContactForm {
    #[n(0)]
    pub message: Bytes16,
    #[n(1)]
    pub at: i64,
    /// It counts for good: the relay took it, or may have. False = still trying.
    #[n(2)]
    pub sent: bool,
}

/// An identifier, for showing and for its token after erasure.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct IdentifierForm {
    #[n(0)]
    pub kind: u8,
    #[n(1)]
    pub value: String,
}

/// How often an artefact read this person on a day; `fact` = one fact of it.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct UseForm {
    #[n(0)]
    pub day: i32,
    #[n(1)]
    pub artefact: String,
    #[n(2)]
    pub purpose: Option<String>,
    #[n(3)]
    pub fact: Option<String>,
    #[n(4)]
    pub n: u32,
}

/// One campaign decided for this person.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct DecidedForm {
    #[n(0)]
    pub campaign: String,
    #[n(1)]
    pub run: u32,
    #[n(2)]
    pub decision: Bytes16,
    #[n(3)]
    pub at: i64,
    #[n(4)]
    pub by_mail: bool,
    /// It stands no more: its message was refused, or another took its place. The run may decide again.
    #[n(5)]
    pub is_over: Option<bool>,
}

/// The number of a tie that nothing proves.
pub(crate) const CLAIM: u8 = 2;

/// A tie to another profile.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct JoinForm {
    #[n(0)]
    pub other: Bytes16,
    #[n(1)]
    pub proof: u8,
    #[n(2)]
    pub at: i64,
}

/// A member of staff opened this person.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct StaffForm {
    #[n(0)]
    pub at: i64,
    #[n(1)]
    pub staff: String,
    #[n(2)]
    pub reason: String,
    /// What they did; not known of reads from before this was kept.
    #[n(3)]
    pub act: Option<String>,
}

/// A token that opens a decision; only its keyed hash.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct TokenForm {
    #[n(0)]
    pub hash: Bytes32,
    #[n(1)]
    pub decision: Bytes16,
    /// The decision was shown on a page and not mailed: such a token may make room for newer ones.
    #[n(2)]
    pub of_page: Option<bool>,
}

/// What is known about a profile itself, sealed under its core key.
#[derive(Clone, Default, PartialEq, Encode, Decode)]
pub(crate) struct CoreForm {
    #[n(0)]
    pub number: u32,
    #[n(1)]
    pub kind: u8,
    #[n(2)]
    pub relations: Vec<RelationForm>,
    #[n(3)]
    pub told_version: u32,
    #[n(4)]
    pub consent_seq: u64,
    #[n(5)]
    pub restrained: bool,
    #[n(6)]
    pub contacts: Vec<ContactForm>,
    /// The person's own limit of messages in the cap's days.
    #[n(7)]
    pub at_most: Option<u32>,
    #[n(8)]
    pub turned_down: Vec<String>,
    /// The address bounced or complained.
    #[n(9)]
    pub suppressed: bool,
    #[n(10)]
    pub identifiers: Vec<IdentifierForm>,
    #[n(11)]
    pub joins: Vec<JoinForm>,
    #[n(12)]
    pub uses: Vec<UseForm>,
    #[n(13)]
    pub tokens: Vec<TokenForm>,
    /// Latest instant of each event name that starts a retention clock.
    #[n(14)]
    pub last: BTreeMap<String, i64>,
    #[n(15)]
    pub n_ledger: u64,
    #[n(16)]
    pub decided: Vec<DecidedForm>,
    /// Position in the order in which profiles were last touched by events.
    #[n(17)]
    pub touched: u64,
    #[n(18)]
    pub staff_reads: Vec<StaffForm>,
    #[n(19)]
    pub created_at: i64,
    /// Ids of the latest wishes written from the urgent log.
    #[n(20)]
    pub wishes_done: Vec<Bytes16>,
    /// The latest "less", as long as it can be taken back.
    #[n(21)]
    pub less: Option<LessForm>,
    /// The rows under this person's keys, but for this one.
    #[n(22)]
    pub tally: Option<TallyForm>,
    /// Who else got something about this person.
    #[n(23)]
    pub given: Option<Vec<GivenForm>>,
    /// When the person said that they leave.
    #[n(26)]
    pub left_at: Option<i64>,
    /// The person's latest own act: an event, a visit, an answer, a tap. `None` = of before this was kept.
    #[n(27)]
    pub last_act: Option<i64>,
    /// What the person chose for the time after leaving.
    #[n(28)]
    pub fate: Option<FateForm>,
    /// The latest reminder of what they share.
    #[n(29)]
    pub reminder: Option<ReminderForm>,
    /// What must not be deleted yet.
    #[n(30)]
    pub holds: Option<Vec<HoldForm>>,
}

/// What one recipient got, of one sort: when first and last, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct GivenForm {
    #[n(0)]
    pub recipient: String,
    /// In the words of the promise.
    #[n(1)]
    pub what: Vec<String>,
    #[n(2)]
    pub first_at: i64,
    #[n(3)]
    pub last_at: i64,
    #[n(4)]
    pub n: u32,
}

/// What becomes of somebody's data after leaving, as they chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FateForm {
    /// 0 forget, 1 minimum, 2 until.
    #[n(0)]
    kind: u8,
    /// The day on which everything ends.
    #[n(1)]
    until: Option<i32>,
    /// When they chose.
    #[n(2)]
    pub at: i64,
}

impl FateForm {
    pub(crate) fn of(fate: Fate, at: At) -> Self {
        let (kind, until) = match fate {
            Fate::Forget => (0, None),
            Fate::Minimum => (1, None),
            Fate::Until(day) => (2, Some(day.number())),
        };
        Self { kind, until, at: at.ms() }
    }

    /// What cannot be read is the strictest.
    pub(crate) fn fate(&self) -> Fate {
        match (self.kind, self.until) {
            (1, _) => Fate::Minimum,
            (2, Some(day)) => Fate::Until(Day::from_number(day)),
            _ => Fate::Forget,
        }
    }
}

/// A reminder that was put in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ReminderForm {
    #[n(0)]
    pub at: i64,
    #[n(1)]
    pub decision: Bytes16,
}

/// A legal hold on a person's data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct HoldForm {
    #[n(0)]
    pub id: Bytes16,
    /// The events and fields it is about; none = everything.
    #[n(1)]
    pub names: Vec<String>,
    #[n(2)]
    pub reason: String,
    #[n(3)]
    pub staff: String,
    #[n(4)]
    pub at: i64,
    /// It ends when this day begins.
    #[n(5)]
    pub until: i32,
}

/// One wording of one declaration, and when it was in force.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SpokenForm {
    /// 0 an event, 1 a field, 2 what is worked out.
    #[n(0)]
    pub of: u8,
    #[n(1)]
    pub name: String,
    #[n(2)]
    pub from: i64,
    #[n(3)]
    pub until: Option<i64>,
    #[n(4)]
    pub purposes: Vec<String>,
    #[n(5)]
    pub keep_days: i32,
    /// 0 receipt, 1 the latest event of a name, 2 leaving.
    #[n(6)]
    pub clock: u8,
    #[n(7)]
    pub clock_event: Option<String>,
    #[n(8)]
    pub end_on: Option<String>,
}

/// The holds that are on.
pub(crate) struct Held(Vec<Hold>);

impl Held {
    /// Whether something of this name is held.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.0.iter().any(|hold| hold.covers(name))
    }

    /// Whether everything is.
    pub(crate) fn is_all(&self) -> bool {
        self.0.iter().any(|hold| hold.names.is_empty())
    }

    /// Whether the event behind a trait is.
    pub(crate) fn covers_column(&self, columns: &[crate::TraitColumn], column: u16) -> bool {
        columns.get(usize::from(column)).is_some_and(|column| self.covers(column.event.as_str()))
    }

    /// When the first of them ends.
    pub(crate) fn until(&self) -> Option<At> {
        self.0.iter().map(|hold| hold.until.start()).min()
    }
}

impl HoldForm {
    pub(crate) fn hold(&self) -> Hold {
        Hold { names: self.names.iter().cloned().collect(), until: Day::from_number(self.until) }
    }
}

/// Every wording that was ever in force. Nothing in it is about a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct TermsForm {
    #[n(0)]
    pub spoken: Vec<SpokenForm>,
}

/// How far the removal of what has ended has come. Nothing in it is about a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RemovalForm {
    /// When this began to be written down.
    #[n(0)]
    pub since: i64,
    /// What had ended by then was taken out of the store by the latest whole sweep.
    #[n(1)]
    pub swept_at: Option<i64>,
    /// What had ended by then is being taken out of the files.
    #[n(2)]
    pub covered_at: Option<i64>,
    /// What had ended by then is in no file and no new backup of keys.
    #[n(3)]
    pub clean_at: i64,
    /// Rounds that removed something: when, and how long the oldest of it had been over, in milliseconds.
    #[n(4)]
    pub rounds: Vec<(i64, i64)>,
}

/// How many rows a person has, in the order of `erase::OWN`, and the sum of their marks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct TallyForm {
    #[n(0)]
    pub n: Vec<u64>,
    #[n(1)]
    pub sum: Bytes16,
}

/// The rows of the house after a batch: keyspace, how many, sum of their marks.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct HouseTallyForm {
    #[n(0)]
    pub batch: u64,
    #[n(1)]
    pub rows: Vec<(u8, u64, Bytes16)>,
}

/// A "less" said in a message, and what it can be taken back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LessForm {
    /// In the message of this decision.
    #[n(0)]
    pub by: Bytes16,
    /// The person's own limit before.
    #[n(1)]
    pub before: Option<u32>,
    #[n(2)]
    pub at: i64,
}

impl CoreForm {
    pub(crate) fn standing(&self) -> Result<Standing, VaultError> {
        let mut relations = BTreeMap::new();
        for form in &self.relations {
            relations.insert(
                name(PurposeName::parse(&form.purpose))?,
                Relation {
                    status: status_of(form.status)?,
                    notice_version: form.notice_version,
                    at: At::from_ms(form.at),
                    level: form.level.clone(),
                },
            );
        }
        Ok(Standing {
            erased: false,
            restrained: self.restrained,
            relations,
            told_version: self.told_version,
            // A browser that is tied to a person leaves with them, and not by its own silence.
            last_act: (!self.is_tied_device()).then(|| self.heard_at()),
            left_at: self.left_at.map(At::from_ms),
            fate: self.fate.map(|form| form.fate()),
            holds: self.holds.iter().flatten().map(HoldForm::hold).collect(),
        })
    }

    /// Whether this is a browser that a proof ties to a person.
    pub(crate) fn is_tied_device(&self) -> bool {
        let is_device = self.kind == kind_code(ProfileKind::Device);
        is_device && self.joins.iter().any(|join| join.proof != CLAIM)
    }

    /// What is held at an instant; `None` = nothing is.
    pub(crate) fn held(&self, now: At) -> Option<Held> {
        let mut holds: Vec<Hold> = self.holds.iter().flatten().map(HoldForm::hold).collect();
        holds.retain(|hold| hold.is_on(now));
        (!holds.is_empty()).then_some(Held(holds))
    }

    /// Notes an act of the person.
    pub(crate) fn acted(&mut self, at: At) {
        self.last_act = Some(self.last_act.map_or(at.ms(), |known| known.max(at.ms())));
    }

    /// When the person was last heard of, as far as it is known.
    pub(crate) fn heard_at(&self) -> At {
        let answers = self.relations.iter().map(|relation| relation.at);
        let known = || answers.chain(self.last.values().copied()).max().unwrap_or(i64::MIN).max(self.created_at);
        At::from_ms(self.last_act.unwrap_or_else(known))
    }

    /// How the person stands to a purpose.
    pub(crate) fn relation(&self, purpose: &str) -> Option<&RelationForm> {
        self.relations.iter().find(|known| known.purpose == purpose)
    }

    /// The decision that stands for a run of a campaign by mail, or on pages.
    pub(crate) fn standing_decision(&self, campaign: &str, run: u32, by_mail: bool, now: At) -> Option<DecisionId> {
        let oldest = crate::retention::oldest_decision(now).ms();
        let stands = |known: &&DecidedForm| {
            let is_it = known.campaign == campaign && known.run == run && known.by_mail == by_mail;
            is_it && known.is_over != Some(true) && known.at >= oldest
        };
        self.decided.iter().rev().find(stands).map(|known| DecisionId::from_bytes(*known.decision))
    }

    /// A decision stands no more: its run may decide again.
    pub(crate) fn end_decision(&mut self, decision: &Bytes16) {
        self.decided
            .iter_mut()
            .filter(|known| known.decision == *decision)
            .for_each(|known| known.is_over = Some(true));
    }

    pub(crate) fn set_relation(&mut self, purpose: &PurposeName, relation: &Relation) {
        let form = RelationForm {
            purpose: purpose.as_str().to_owned(),
            status: status_code(relation.status),
            notice_version: relation.notice_version,
            at: relation.at.ms(),
            level: relation.level.clone(),
        };
        match self.relations.iter_mut().find(|known| known.purpose == form.purpose) {
            Some(known) => *known = form,
            None => self.relations.push(form),
        }
    }
}

// ── ledger ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Where an entry stands in the one log.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct ProofForm {
    /// Hides the entry's content in its leaf.
    #[n(0)]
    pub salt: Bytes16,
    /// Which batch.
    #[n(1)]
    pub batch: u64,
    /// Which entry of the batch.
    #[n(2)]
    pub index: u32,
}

/// One answer of the person.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct LedgerForm {
    #[n(0)]
    pub id: Bytes16,
    #[n(1)]
    pub purpose: String,
    #[n(2)]
    pub status: u8,
    #[n(3)]
    pub level: Option<String>,
    #[n(4)]
    pub text: String,
    #[n(5)]
    pub language: String,
    #[n(6)]
    pub answered_at: i64,
    #[n(7)]
    pub method: u8,
    #[n(8)]
    pub notice_version: u32,
    #[n(9)]
    pub made_up: bool,
    #[n(10)]
    pub source: Option<String>,
    #[n(11)]
    pub at: i64,
    #[n(12)]
    pub proof: Option<ProofForm>,
    /// An urgent answer: from when on it must be in the log.
    #[n(13)]
    pub included_by: Option<i64>,
}

// ── decisions and messages ────────────────────────────────────────────────────────────────────────────────────────────

/// One step of a decision.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct StepForm {
    #[n(0)]
    rule: String,
    #[n(1)]
    passed: bool,
    #[n(2)]
    reason: Option<u8>,
}

/// One fact as read.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct ReadForm {
    #[n(0)]
    fact: FactForm,
    #[n(1)]
    ancestors: Vec<String>,
    #[n(2)]
    life_used_percent: u8,
    #[n(3)]
    label: String,
}

/// Everything behind one decision.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct TraceForm {
    #[n(0)]
    facts: Vec<ReadForm>,
    #[n(1)]
    steps: Vec<StepForm>,
    #[n(2)]
    texts: (String, String, String),
    #[n(3)]
    slots: BTreeMap<String, String>,
    #[n(4)]
    propensity_micros: u32,
    #[n(5)]
    basis: u8,
    #[n(6)]
    shared_by: u32,
    #[n(7)]
    exposure: String,
    #[n(8)]
    promise: Bytes32,
    #[n(9)]
    notice_version: u32,
}

/// What a trace lost because it had ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stripped {
    /// A fact.
    pub any: bool,
    /// A fact that an item is picked by: a ranking, or a stated taste.
    pub pick: bool,
}

impl TraceForm {
    pub(crate) fn of(trace: &Trace) -> Self {
        let [title, says, why] = trace.texts.clone();
        Self {
            facts: trace
                .facts
                .iter()
                .map(|read| ReadForm {
                    fact: FactForm::of(&read.fact),
                    ancestors: read.ancestors.clone(),
                    life_used_percent: read.life_used_percent,
                    label: read.label.clone(),
                })
                .collect(),
            steps: trace
                .steps
                .iter()
                .map(|step| StepForm {
                    rule: step.rule.clone(),
                    passed: step.passed,
                    reason: step.reason.map(|reason| code(&REASONS, &reason)),
                })
                .collect(),
            texts: (title, says, why),
            slots: trace.slots.clone(),
            propensity_micros: trace.propensity_micros,
            basis: code(&BASES, &trace.basis),
            shared_by: trace.shared_by,
            exposure: trace.exposure.clone(),
            promise: trace.promise.into(),
            notice_version: trace.notice_version,
        }
    }

    pub(crate) fn basis(&self) -> Result<ItemBasis, VaultError> {
        word(&BASES, self.basis, "basis")
    }

    /// Takes out every fact that has outlived itself, and the sentences that may say it; with one that an item can be picked by
    /// also what was said of the item.
    pub(crate) fn strip(&mut self, now: At) -> Stripped {
        let mut stripped = Stripped::default();
        self.facts.retain(|read| {
            let lives = read.fact.expires_at > now.ms();
            stripped.any |= !lives;
            stripped.pick |= !lives && matches!(read.fact.value, ValueForm::Ranking(_) | ValueForm::Text(_));
            lives
        });
        if stripped.any {
            // A sentence may say it in words of its own.
            let (title, _, _) = std::mem::take(&mut self.texts);
            self.texts = (title, String::new(), String::new());
        }
        if stripped.pick {
            // The offer's code is the same for everybody.
            self.slots.retain(|name, _| name == "code");
        }
        if stripped.any {
            self.slots.insert(Self::STRIPPED.to_owned(), String::new());
        }
        stripped
    }

    /// The slot that says that something was taken out. No template can name it: names in templates have no space around them.
    const STRIPPED: &str = " stripped ";

    /// Whether something was taken out since the decision was entered in the log.
    pub(crate) fn is_stripped(&self) -> bool {
        self.slots.contains_key(Self::STRIPPED)
    }

    /// The reason of the last step that did not pass: in a decision that was made, why it waits.
    pub(crate) fn waits_for(&self) -> Result<Option<promise::RefusalReason>, VaultError> {
        let last = self.steps.iter().rev().find(|step| !step.passed).and_then(|step| step.reason);
        last.map(|code| word(&REASONS, code, "reason")).transpose()
    }

    pub(crate) fn trace(&self) -> Result<Trace, VaultError> {
        let (title, says, why) = self.texts.clone();
        Ok(Trace {
            facts: self
                .facts
                .iter()
                .map(|read| {
                    Ok(FactRead {
                        fact: read.fact.fact()?,
                        ancestors: read.ancestors.clone(),
                        life_used_percent: read.life_used_percent,
                        label: read.label.clone(),
                    })
                })
                .collect::<Result<_, VaultError>>()?,
            steps: self
                .steps
                .iter()
                .map(|step| {
                    Ok(Step {
                        rule: step.rule.clone(),
                        passed: step.passed,
                        reason: step.reason.map(|code| word(&REASONS, code, "reason")).transpose()?,
                    })
                })
                .collect::<Result<_, VaultError>>()?,
            texts: [title, says, why],
            slots: self.slots.clone(),
            propensity_micros: self.propensity_micros,
            basis: self.basis()?,
            shared_by: self.shared_by,
            exposure: self.exposure.clone(),
            promise: *self.promise,
            notice_version: self.notice_version,
        })
    }
}

/// How a message stands.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) enum MessageState {
    /// In the outbox, not being tried.
    #[n(0)]
    Waiting,
    /// An attempt has begun.
    #[n(1)]
    Trying,
    /// The relay took it.
    #[n(2)]
    Sent,
    /// Never.
    #[n(3)]
    Failed,
    /// The person's wishes, or the promise, refused it.
    #[n(4)]
    Refused,
}

/// The message of a decision.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct MessageForm {
    #[n(0)]
    pub id: Bytes16,
    #[n(1)]
    pub due_at: i64,
    #[n(2)]
    pub state: MessageState,
    #[n(3)]
    pub n_attempts: u32,
    /// The reason word of a wait, a failure or a refusal.
    #[n(4)]
    pub why: Option<String>,
    #[n(5)]
    pub ended_at: Option<i64>,
}

impl MessageForm {
    /// Whether the relay has it, or may have.
    pub(crate) fn may_have_left(&self) -> bool {
        match self.state {
            MessageState::Sent | MessageState::Trying => true,
            MessageState::Failed => self.why.as_deref() == Some(crate::record::UNKNOWN),
            MessageState::Waiting | MessageState::Refused => false,
        }
    }

    /// In words: "waiting", "waiting: quiet_hours", "sent", "refused: withdrawn".
    pub(crate) fn words(&self) -> String {
        let state = match self.state {
            MessageState::Waiting => "waiting",
            MessageState::Trying => "trying",
            MessageState::Sent => "sent",
            MessageState::Failed => "failed",
            MessageState::Refused => "refused",
        };
        match &self.why {
            Some(why) => format!("{state}: {why}"),
            None => state.to_owned(),
        }
    }
}

/// One decision.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct DecisionForm {
    #[n(0)]
    pub id: Bytes16,
    #[n(1)]
    pub at: i64,
    #[n(2)]
    pub campaign: String,
    #[n(3)]
    pub artefact: Bytes32,
    #[n(4)]
    pub offer: Option<String>,
    #[n(5)]
    pub item: Option<String>,
    #[n(6)]
    pub held_out: bool,
    #[n(7)]
    pub channel: u8,
    #[n(8)]
    pub run: u32,
    #[n(9)]
    pub trace: TraceForm,
    #[n(10)]
    pub message: Option<MessageForm>,
    /// The person reduced or withdrew within 14 days of the message.
    #[n(11)]
    pub reduced: bool,
    #[n(12)]
    pub proof: Option<ProofForm>,
}

/// One message in the outbox; sealed under a house key, names no value.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct OutboxForm {
    #[n(0)]
    pub message: Bytes16,
    #[n(1)]
    pub decision: Bytes16,
    #[n(2)]
    pub person: Bytes16,
    #[n(3)]
    pub artefact: Bytes32,
    #[n(4)]
    pub n_attempts: u32,
    #[n(5)]
    pub trying: bool,
    #[n(6)]
    pub why: Option<String>,
}

// ── house ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A catalogue entry.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct ItemForm {
    #[n(0)]
    code: String,
    #[n(1)]
    title: String,
    #[n(2)]
    group: String,
    #[n(3)]
    class: u8,
    #[n(4)]
    price: Option<(i64, String)>,
}

impl ItemForm {
    pub(crate) fn of(item: &Item) -> Self {
        Self {
            code: item.code.as_str().to_owned(),
            title: item.title.clone(),
            group: item.group.clone(),
            class: code(&CLASSES, &item.class),
            price: item.price.map(|price| (price.micros, price.currency.as_str().to_owned())),
        }
    }

    pub(crate) fn item(&self) -> Result<Item, VaultError> {
        Ok(Item {
            code: item_code(&self.code)?,
            title: self.title.clone(),
            group: self.group.clone(),
            class: word(&CLASSES, self.class, "class")?,
            price: match &self.price {
                Some((micros, text)) => Some(Money { micros: *micros, currency: currency(text)? }),
                None => None,
            },
        })
    }
}

/// Sales of nobody of one day under one event name: rows already counted, and the sum.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct SaleForm {
    #[n(0)]
    pub event: String,
    #[n(1)]
    pub day: i32,
    #[n(2)]
    pub line: LineForm,
}

/// A review on record: the signed statement and who.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct ReviewForm {
    #[n(0)]
    pub artefact: Bytes32,
    #[n(1)]
    pub staff: String,
    #[n(2)]
    pub role: String,
    #[n(3)]
    pub at: i64,
    #[n(4)]
    pub promise: Bytes32,
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: Vec<u8>,
}

impl ReviewForm {
    /// The bytes that are signed.
    pub(crate) fn statement(&self) -> Vec<u8> {
        let artefact = ArtefactId::from_bytes(*self.artefact);
        let promise = model::id::base32(&*self.promise);
        format!("fineline review 1\n{artefact}\n{promise}\n{}\n{}\n{}\n", self.staff, self.role, self.at).into_bytes()
    }
}

/// A set-wise read.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct UseRunForm {
    #[n(0)]
    pub artefact: String,
    #[n(1)]
    pub purpose: Option<String>,
    #[n(2)]
    pub day: i32,
    #[n(3)]
    pub fields: Vec<String>,
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub people: Vec<u8>,
    /// Fields, by their place in `fields`, that were read of fewer than all, and of whom.
    #[n(5)]
    pub apart: Option<Vec<(u32, minicbor::bytes::ByteVec)>>,
}

/// How often one artefact read one field in one hour: of how many different people, and never of whom.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct CountForm {
    #[n(0)]
    pub artefact: String,
    #[n(1)]
    pub field: String,
    #[n(2)]
    pub n: u64,
}

/// What was read in one hour.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct HourForm {
    #[n(0)]
    pub hour: i64,
    #[n(1)]
    pub counts: Vec<CountForm>,
}

/// What artefacts have ever read, and since when that is counted.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct HabitForm {
    #[n(0)]
    pub since: i64,
    /// Artefact, when it first read anything, and the fields.
    #[n(1)]
    pub known: Vec<(String, i64, Vec<String>)>,
}

/// An alarm on record.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct AlarmForm {
    #[n(0)]
    pub kind: u8,
    /// The artefact, or the member of staff.
    #[n(1)]
    pub who: String,
    #[n(2)]
    pub fields: Vec<String>,
    #[n(3)]
    pub at: i64,
    /// Of how many people.
    #[n(4)]
    pub n: u64,
    /// What was usual.
    #[n(5)]
    pub usual: u64,
    #[n(6)]
    pub acknowledged: Option<AcknowledgedForm>,
}

/// Who looked at an alarm, and what they found.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct AcknowledgedForm {
    #[n(0)]
    pub at: i64,
    #[n(1)]
    pub staff: String,
    #[n(2)]
    pub reason: String,
}

/// One entry of the one log, without its content.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct LogForm {
    #[n(0)]
    pub at: i64,
    #[n(1)]
    pub kind: String,
    #[n(2)]
    pub hash: Bytes32,
}

/// What stays of an identifier after erasure: its keyed token is the key.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct LeftForm {
    #[n(0)]
    pub erased_at: i64,
    #[n(1)]
    pub restrained: bool,
}

/// A request on record.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct RequestForm {
    #[n(0)]
    pub id: Bytes16,
    #[n(1)]
    pub kind: String,
    #[n(2)]
    pub at: i64,
    #[n(3)]
    pub unrecoverable_on: i32,
    #[n(4)]
    pub proof: Option<ProofForm>,
    /// The erasure was taken back within its day.
    #[n(5)]
    pub taken_back_at: Option<i64>,
    #[n(6)]
    pub taken_back_proof: Option<ProofForm>,
    /// Who got something, and whether they know.
    #[n(7)]
    pub told: Option<Vec<ToldForm>>,
    /// Until when it can be taken back; missing of one that was done at once, or is older than its words.
    #[n(8)]
    pub undo_until: Option<i64>,
    /// Which words its receipt is written in; missing = the first ones, without sentences.
    #[n(9)]
    pub words: Option<u8>,
}

/// How one recipient stands to an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ToldForm {
    #[n(0)]
    pub recipient: String,
    #[n(1)]
    pub state: ToldState,
    /// The reason word, where there is one.
    #[n(2)]
    pub why: Option<String>,
    /// Since when it stands so.
    #[n(3)]
    pub at: i64,
    #[n(4)]
    pub n_tries: u32,
}

/// The states of a call. All but the first are its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum ToldState {
    #[n(0)]
    Waiting,
    #[n(1)]
    Told,
    #[n(2)]
    Confirmed,
    #[n(3)]
    Impossible,
}

/// A call that has to be made. It goes when the call has ended, and the reference with it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct EraseCallForm {
    #[n(0)]
    pub request: Bytes16,
    #[n(1)]
    pub recipient: String,
    /// What the recipient knows the person by.
    #[n(2)]
    pub reference: String,
    #[n(3)]
    pub asked_at: i64,
    #[n(4)]
    pub due_at: i64,
    #[n(5)]
    pub n_tries: u32,
    /// Why the last try did not end it.
    #[n(6)]
    pub why: Option<String>,
}

/// A wrapped key row kept for a day, sealed to the recovery key.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct RecoveryForm {
    #[n(0)]
    pub until: i64,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
    /// An [`UndoForm`], sealed under the core key that `sealed` holds. Missing where an erasure is older than undoing.
    #[n(2)]
    pub undo: Option<minicbor::bytes::ByteVec>,
}

/// What an erasure took away beside the keys, so that undoing it gives back exactly that.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct UndoForm {
    /// Rows of the index and the outbox: keyspace, key, value.
    #[n(0)]
    pub rows: Vec<(u8, minicbor::bytes::ByteVec, minicbor::bytes::ByteVec)>,
    #[n(1)]
    pub left: Vec<UndoLeftForm>,
    #[n(2)]
    pub joins: Vec<UndoJoinForm>,
    /// Wishes that were on the urgent log only.
    #[n(3)]
    pub wishes: Vec<crate::wish::Wish>,
    /// Which traits the buckets were folded for.
    #[n(4)]
    pub columns: Option<minicbor::bytes::ByteVec>,
    #[n(5)]
    pub request: Bytes16,
}

impl UndoForm {
    /// Of a request, with nothing taken away yet.
    pub(crate) fn new(request: Bytes16) -> Self {
        let (rows, left, joins, wishes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { rows, left, joins, wishes, columns: None, request }
    }
}

/// A keyed token that an erasure wrote, and what lay there before.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct UndoLeftForm {
    #[n(0)]
    pub key: minicbor::bytes::ByteVec,
    #[n(1)]
    pub before: Option<minicbor::bytes::ByteVec>,
    #[n(2)]
    pub written: minicbor::bytes::ByteVec,
}

/// A tie that an erasure took out of the record of somebody who stays.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct UndoJoinForm {
    /// In whose record.
    #[n(0)]
    pub of: Bytes16,
    /// At which place.
    #[n(1)]
    pub at: u32,
    #[n(2)]
    pub join: JoinForm,
}

/// Where the rotation of keys stands. Nothing in it is about a person.
#[derive(Clone, Default, PartialEq, Encode, Decode)]
pub(crate) struct RotationForm {
    /// When the last whole one ended.
    #[n(0)]
    pub ended_at: Option<i64>,
    /// The version that the one under way, or the last one, made.
    #[n(1)]
    pub version: u32,
    #[n(2)]
    pub stage: RotationStage,
    /// Since when a deleted key waits that the one under way does not cover.
    #[n(3)]
    pub forgotten_at: Option<i64>,
    /// Since when a deleted key waits that the one under way covers.
    #[n(4)]
    pub covered_at: Option<i64>,
}

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum RotationStage {
    /// None is under way.
    #[default]
    #[n(0)]
    None,
    /// A version is made, rows are wrapped anew, old versions are destroyed.
    #[n(1)]
    Rewrap,
    /// The old versions are gone and the log says so; the files still have to be rewritten.
    #[n(2)]
    Compact,
}

/// A source key: its blind token and whose.
#[derive(Clone, PartialEq, Encode, Decode)]
pub(crate) struct SourceKeyForm {
    #[n(0)]
    pub token: Bytes32,
    #[n(1)]
    pub source: String,
    #[n(2)]
    pub at: i64,
}

#[cfg(test)]
mod tests;
