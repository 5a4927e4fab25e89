//! What crosses the vault's wall: inputs of commands and views that a permit opens. Plain data; the storage forms are
//! `format`'s own. It is long because every such record stands here.

mod leaving;

pub use leaving::*;

use crate::permit::Disclosed;
use model::{
    ArtefactId, At, CampaignName, Class, ConsentId, ConsentStatus, Day, DecisionId, EventId, EventKind, EventName,
    Fact, FieldName, ItemCode, LineItem, MessageId, Method, Money, OfferName, ProfileId, PurposeName, RequestId,
    SegmentName, SourceName, Trust, Value, Words,
};
use promise::{ChannelKind, Refusal, RefusalReason, Zone};
use std::collections::{BTreeMap, BTreeSet};

// ── intake ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// What kind of identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifierKind {
    /// The company's own id of a person (`userId`).
    User,
    /// A browser's id (`anonymousId`).
    Anonymous,
    /// An e-mail address.
    Email,
}

/// An identifier as a door received it. `Debug` redacts.
#[derive(Clone, PartialEq, Eq)]
pub struct Identifier {
    /// What kind.
    pub kind: IdentifierKind,
    /// At most 512 bytes; compared byte for byte, e-mail addresses in lower case.
    pub value: String,
}

impl std::fmt::Debug for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identifier({:?}, …)", self.kind)
    }
}

/// About whom a door speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Already known here.
    Profile(ProfileId),
    /// By the identifiers that came along; at least one. A browser's `userId` is dropped before (a claim, not a key).
    Identifiers {
        /// From a server key or a mapping only.
        user: Option<Identifier>,
        /// A browser.
        anonymous: Option<Identifier>,
    },
}

/// One event from a door: parsed, minimised, not yet judged.
#[derive(Debug, Clone)]
pub struct Intake {
    /// About whom.
    pub subject: Subject,
    /// Which call.
    pub kind: EventKind,
    /// Declared event name.
    pub name: EventName,
    /// Declared source.
    pub source: SourceName,
    /// How far it is believed.
    pub trust: Trust,
    /// When it happened, clamped.
    pub occurred_at: At,
    /// Date in the source, when shifted.
    pub source_day: Option<Day>,
    /// Declared properties.
    pub properties: BTreeMap<String, Value>,
    /// Order lines.
    pub lines: Vec<LineItem>,
    /// Declared fields given along (identify traits).
    pub fields: Vec<(FieldName, Value)>,
    /// When and how the person was told of what this event tells us: notice version served.
    pub told_version: Option<u32>,
    /// What `context.consent` says: may narrow only, or allow measuring a device.
    pub consent: BTreeMap<PurposeName, bool>,
    /// Makes the event's id and its dedup key. Wire: the client's `messageId`. Import: made of source values.
    pub message_key: MessageKey,
}

/// How repeats are recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageKey {
    /// The client's message id; seen twice within 7 days from the same source = [`Outcome::Repeated`].
    Wire(String),
    /// A key made from source values: the same key meets the stored event again, lines are united by [`LineItem::row`].
    History([u8; 16]),
}

/// What became of one event. Exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Kept {
        /// As this event.
        event: EventId,
        /// About this profile.
        profile: ProfileId,
    },
    /// Had been stored before; nothing changed.
    Repeated,
    /// Not stored.
    Refused {
        /// Why.
        reason: OutcomeReason,
        /// The promise line that decided.
        line: Option<u32>,
    },
}

/// Why an event was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeReason {
    /// No purpose of this event is in force for this person.
    NoPurpose,
    /// Neither id came along.
    NoSubject,
    /// The person was erased; this is from before, or came without a newer consent.
    Erased,
    /// The person said "leave me alone".
    Restrained,
    /// Outlived already.
    Expired,
    /// On the Never list.
    Never,
    /// The event is not declared.
    UndeclaredEvent,
    /// Not readable as what it should be.
    Malformed,
    /// Above a size limit.
    TooLarge,
}

impl OutcomeReason {
    /// The word in metrics and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPurpose => "no_purpose",
            Self::NoSubject => "no_subject",
            Self::Erased => "erased",
            Self::Restrained => "restrained",
            Self::Expired => "expired",
            Self::Never => "never",
            Self::UndeclaredEvent => "undeclared_event",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }
}

/// An answer about one purpose.
#[derive(Debug, Clone)]
pub struct ConsentChange {
    /// About whom. An unknown browser that says yes becomes a device profile; an unknown one that says no leaves nothing.
    pub subject: Subject,
    /// Through which source.
    pub source: Option<SourceName>,
    /// Which purpose.
    pub purpose: PurposeName,
    /// The answer.
    pub status: ConsentStatus,
    /// How much, for a purpose with levels.
    pub level: Option<String>,
    /// The words shown.
    pub words: Words,
    /// By which act.
    pub method: Method,
    /// The notice version shown.
    pub notice_version: u32,
    /// Made up for a demonstration (mapping); screens say so.
    pub made_up: bool,
}

/// What a consent change or reduction led to.
#[derive(Debug, Clone)]
pub struct ConsentAnswer {
    /// About whom; `None` when nothing was stored.
    pub profile: Option<ProfileId>,
    /// The ledger entry.
    pub consent: Option<ConsentId>,
    /// The signed receipt (flattened JWS, JSON); for an urgent change first with a promise of inclusion.
    pub receipt: Option<String>,
    /// When nothing was stored: why.
    pub refusal: Option<OutcomeReason>,
}

/// Facts to write about one person.
#[derive(Debug, Clone)]
pub struct FactWrite {
    /// About whom.
    pub person: ProfileId,
    /// The writer's artefact (portal page, model).
    pub artefact: ArtefactId,
    /// The fact; `expires_at`, `purposes`, class and context are set from the promise by the vault.
    pub fact: Option<Fact>,
    /// Or: this fact is gone.
    pub remove: Option<model::FactName>,
    /// For derived facts: the earliest expiry among the inputs.
    pub inputs_expire_at: Option<At>,
}

/// A thing the company sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Code.
    pub code: ItemCode,
    /// Words people read.
    pub title: String,
    /// Its group (by which it is counted when the item itself is too rare).
    pub group: String,
    /// Sensitivity.
    pub class: Class,
    /// Usual price.
    pub price: Option<Money>,
}

/// One line sold to nobody known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnonymousSale {
    /// Row key from source values.
    pub row: u64,
    /// Invoice it belongs to, hashed.
    pub invoice: [u8; 16],
    /// When, shifted.
    pub occurred_at: At,
    /// What, how many, at what price.
    pub line: LineItem,
    /// Declared event whose retention applies.
    pub event: EventName,
}

/// Totals of sales of nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnonymousSales {
    /// Lines.
    pub n_lines: u64,
    /// Sum in micros.
    pub micros: i64,
}

/// A tie between profiles.
#[derive(Debug, Clone)]
pub struct Join {
    /// The browser.
    pub anonymous: Identifier,
    /// The person.
    pub user: Identifier,
    /// By which proof.
    pub proof: JoinProof,
    /// When.
    pub at: At,
}

/// What makes a join true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinProof {
    /// A server key said so.
    ServerKey,
    /// The person did it in the portal.
    OwnAct,
    /// Nothing: a claim. Stored, without effect.
    Claim,
}

// ── deciding and sending ──────────────────────────────────────────────────────────────────────────────────────────────

/// One step of a decision, in order: what was asked, and the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The rule's word ("segment", "hold_out", "cap", "item").
    pub rule: String,
    /// Passed or not.
    pub passed: bool,
    /// The reason word when it did not.
    pub reason: Option<RefusalReason>,
}

/// One fact as it was read for a decision, with all that is needed to explain it without the store.
#[derive(Clone, PartialEq, Eq)]
pub struct FactRead {
    /// The fact itself, as read.
    pub fact: Fact,
    /// Names of everything it rests on, all the way down.
    pub ancestors: Vec<String>,
    /// Share of its life used, in percent.
    pub life_used_percent: u8,
    /// The sentence in which it appears names it.
    pub label: String,
}

impl std::fmt::Debug for FactRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FactRead({})", self.label)
    }
}

/// Everything behind one decision. Ordered; same input, same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Facts actually read, in order of reading.
    pub facts: Vec<FactRead>,
    /// Rules passed and failed, in order.
    pub steps: Vec<Step>,
    /// The offer's texts as reviewed: title, says, why.
    pub texts: [String; 3],
    /// Slot values for the texts that are not facts: item and because titles, code.
    pub slots: BTreeMap<String, String>,
    /// Probability with which the lot treated the person like this (written to, or left alone), in millionths.
    pub propensity_micros: u32,
    /// Whether the item was personal, of the item's group, or popular.
    pub basis: ItemBasis,
    /// How many people share the combination used (segment rule ∧ anchor purchase); 0 = not counted, as for a stated taste.
    pub shared_by: u32,
    /// Exposure class of the channel ("private_mail", "page").
    pub exposure: String,
    /// Hash of the promise in force.
    pub promise: [u8; 32],
    /// Notice version in force.
    pub notice_version: u32,
}

/// What the choice of an item rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemBasis {
    /// One anchor purchase of this person.
    Purchase,
    /// The group of that purchase, because fewer than the smallest group share the purchase.
    Group,
    /// What many buy.
    Popular,
    /// The person stated it.
    Stated,
    /// No item.
    None,
}

impl ItemBasis {
    /// The word in counts and in a person's copy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::Group => "group",
            Self::Popular => "popular",
            Self::Stated => "stated",
            Self::None => "none",
        }
    }
}

/// A decision to record.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// Its id.
    pub id: DecisionId,
    /// About whom.
    pub person: ProfileId,
    /// The campaign's artefact.
    pub artefact: ArtefactId,
    /// The campaign.
    pub campaign: CampaignName,
    /// The person's wishes as of the reading.
    pub consent_seq: u64,
    /// Chosen offer; none when held out or nothing fits.
    pub offer: Option<OfferName>,
    /// Chosen item.
    pub item: Option<ItemCode>,
    /// In the group that is left alone.
    pub held_out: bool,
    /// By which channel.
    pub channel: ChannelKind,
    /// For mail: not before this instant (quiet hours).
    pub send_at: Option<At>,
    /// Which run of the campaign: one decision per person, run and channel stands.
    pub run: u32,
    /// The decision of the same run and channel whose place it takes, because it no longer holds.
    pub replaces: Option<DecisionId>,
    /// Everything behind it.
    pub trace: Trace,
}

/// A decision as its person (or its campaign) may read it.
#[derive(Debug)]
pub struct DecisionView<'p> {
    /// Its id.
    pub id: DecisionId,
    /// When.
    pub at: At,
    /// Campaign.
    pub campaign: CampaignName,
    /// Offer.
    pub offer: Option<OfferName>,
    /// Item.
    pub item: Option<ItemCode>,
    /// Left alone to measure.
    pub held_out: bool,
    /// By which channel.
    pub channel: ChannelKind,
    /// Everything behind it.
    pub trace: Disclosed<'p, Trace>,
    /// How the message ended, if there was one ("waiting", "sent", "refused: …", "failed: …").
    pub message_state: Option<String>,
}

/// One message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The message.
    pub message: MessageId,
    /// Its decision.
    pub decision: DecisionId,
    /// To whom.
    pub person: ProfileId,
    /// Under which artefact its address and trace may be read.
    pub artefact: ArtefactId,
    /// Tries so far.
    pub n_attempts: u32,
    /// When it became due.
    pub due_at: At,
    /// Its last try has no end: whoever made it died. Nobody knows whether the relay took it, so it is not tried again.
    pub is_left_open: bool,
}

/// One try at sending, committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Of which message.
    pub message: MessageId,
    /// To whom.
    pub person: ProfileId,
    /// The person's wishes as of the commit: for the second look.
    pub consent_seq: u64,
    /// Which try, from 1.
    pub n: u32,
}

/// Why no try was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotBegun {
    /// Not now, or never.
    Refused(Refusal),
    /// An earlier try had no end. The message has now ended as [`UNKNOWN`], and counts under the cap.
    Unknown,
}

impl NotBegun {
    /// The outcome's word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason.as_str(),
            Self::Unknown => UNKNOWN,
        }
    }
}

/// The word of a message of which nobody knows whether it arrived.
pub const UNKNOWN: &str = "unknown";

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The relay took it.
    Sent,
    /// The text has gone and no answer came: perhaps the relay took it. Never again, and it counts under the cap.
    Unknown,
    /// Not now: again at this instant. The word names why ("relay_down", "relay_busy", "quiet_hours").
    Later {
        /// Why.
        why: &'static str,
        /// When again.
        at: At,
    },
    /// Never ("address_refused", "message_refused", "gave_up").
    Failed {
        /// Why.
        why: &'static str,
    },
    /// The second look refused.
    Refused(Refusal),
}

/// What a person takes back with one tap, no sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reduction {
    /// Half as often.
    Less,
    /// Half as often, said in a message: the same message takes it back within an hour.
    LessBy(DecisionId),
    /// Back to the company's cap: by the signed-in person only.
    UndoLess,
    /// Back to what stood before the [`Reduction::LessBy`] of this decision; refused when that was not the person's latest
    /// word, or is more than an hour old.
    UndoLessBy(DecisionId),
    /// Never this item again, nor offers of this kind.
    NotThis {
        /// Offer turned down.
        offer: OfferName,
        /// Item turned down.
        item: Option<ItemCode>,
    },
    /// "That is not me": never this item again, whoever offers it.
    NotMe {
        /// Item turned down.
        item: ItemCode,
    },
    /// No more messages for the purpose of this campaign (withdraws).
    Stop {
        /// The purpose.
        purpose: PurposeName,
        /// Words shown.
        words: Words,
        /// By which act.
        method: Method,
    },
    /// Leave me alone: everything but what law requires; survives erasure.
    LeaveMeAlone,
}

/// Contact so far and its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactState {
    /// Instants of messages in the cap's window, oldest first.
    pub sent_at: Vec<At>,
    /// The person's own limit: at most this many in the cap's days; `None` = the company's.
    pub at_most: Option<u32>,
    /// The person's zone, if known.
    pub zone: Option<Zone>,
    /// Offers and items turned down.
    pub turned_down: Vec<String>,
    /// The address was refused by its mail server, or complained.
    pub suppressed: bool,
}

/// What a message token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTarget {
    /// The person.
    pub person: ProfileId,
    /// The decision whose why it opens, while that lasts (30 days).
    pub decision: Option<DecisionId>,
    /// The decision it was made for (for reductions).
    pub made_for: DecisionId,
    /// The campaign's artefact.
    pub artefact: ArtefactId,
}

/// A campaign in numbers. Counts of people; buyers counted within the goal's days after their own decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CampaignNumbers {
    /// Decided to contact.
    pub n_treated: u64,
    /// Left alone to measure.
    pub n_held_out: u64,
    /// Of the treated: a message was sent.
    pub n_sent: u64,
    /// Buyers among the treated / the held out (both counted from the decision on).
    pub n_buyers: [u64; 2],
    /// Goal events among the treated / the held out.
    pub n_goals: [u64; 2],
    /// Refusals by reason word.
    pub refused: BTreeMap<String, u64>,
    /// Waiting, by reason word.
    pub waiting: BTreeMap<String, u64>,
    /// By basis of the item.
    pub basis: BTreeMap<String, u64>,
    /// Withdrawals and "less" within 14 days of a message.
    pub n_reduced: u64,
}

// ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A fact with who read it.
#[derive(Clone, PartialEq, Eq)]
pub struct FactView {
    /// The fact.
    pub fact: Fact,
    /// Where it came from, in words ("checkout form", "your orders").
    pub from: String,
    /// Which artefacts read it in the last 30 days, with counts.
    pub read_by: Vec<(String, u32)>,
}

/// An event as a permit opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct EventView {
    /// Ours.
    pub event: model::Event,
    /// From this instant on it does not exist.
    pub expires_at: At,
    /// Which of its purposes are in force.
    pub purposes: Vec<PurposeName>,
}

impl std::fmt::Debug for FactView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FactView(…)")
    }
}

impl std::fmt::Debug for EventView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventView(…)")
    }
}

/// One answer of the person, as stored.
#[derive(Debug, Clone)]
pub struct LedgerEntry {
    /// Its id.
    pub id: ConsentId,
    /// Purpose.
    pub purpose: PurposeName,
    /// Answer.
    pub status: ConsentStatus,
    /// Level.
    pub level: Option<String>,
    /// Words shown.
    pub words: Words,
    /// By which act.
    pub method: Method,
    /// Notice version.
    pub notice_version: u32,
    /// Made up for a demonstration.
    pub made_up: bool,
    /// Signed receipt (flattened JWS, JSON), with its proof once the log has it.
    pub receipt: String,
}

/// How often one artefact read this person's facts on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseCount {
    /// On which day.
    pub day: Day,
    /// Artefact's declared name.
    pub artefact: String,
    /// For which purpose.
    pub purpose: Option<PurposeName>,
    /// How often.
    pub n: u32,
}

/// A member of staff opened this person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaffRead {
    /// When.
    pub at: At,
    /// Who.
    pub staff: String,
    /// The reason they gave.
    pub reason: String,
}

/// What a permit has read, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Facts, as read.
    pub facts: Vec<Fact>,
    /// Segments asked, with the answer.
    pub segments: Vec<(SegmentName, bool)>,
    /// Events read: name and how many.
    pub events: Vec<(EventName, u32)>,
}

// ── rights and house ──────────────────────────────────────────────────────────────────────────────────────────────────

/// How to erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// Keys sealed 24 h to the recovery key (a wrongful erasure can be undone), then gone.
    WithinADay,
    /// The person, strongly signed in, said "now".
    Now,
}

/// What an erasure led to.
#[derive(Debug, Clone)]
pub struct ErasureAnswer {
    /// The request on record.
    pub request: RequestId,
    /// Signed receipt: only what is certain.
    pub receipt: String,
    /// From this day on unrecoverable from every place we know.
    pub unrecoverable_on: Day,
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The new version.
    pub version: u32,
    /// Wrapped keys that are under it now: of persons, of days, and those that wait with the recovery key.
    pub n_rows: u64,
}

/// Where the rotation of keys stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationState {
    /// The version that wraps now.
    pub version: u32,
    /// When the last whole rotation ended; `None` = there was none yet.
    pub ended_at: Option<At>,
    /// Since when the oldest deleted key waits for a rotation to make it unrecoverable; `None` = none waits.
    pub forgotten_at: Option<At>,
    /// One has begun and not ended.
    pub is_under_way: bool,
}

/// When somebody leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenLeaving {
    /// When nothing is heard of them for as long as the promise names.
    IfSilent,
    /// Now: they say so.
    Now,
}

/// What somebody wants for the time after leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeavingChoice {
    /// Who.
    pub person: ProfileId,
    /// What is to become of their data.
    pub fate: promise::Fate,
    /// Whether they leave now.
    pub when: WhenLeaving,
}

/// An order to hold data of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldOrder {
    /// Whose.
    pub person: ProfileId,
    /// Which fields and events; none = everything.
    pub names: BTreeSet<String>,
    /// Why; shown to the person. At most 200 characters.
    pub reason: String,
    /// Who ordered it.
    pub staff: String,
    /// It ends by itself when this day begins; at most 730 days ahead.
    pub until: Day,
}

/// A hold that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldView {
    /// By which it is lifted.
    pub id: String,
    /// Which fields and events; none = everything.
    pub names: Vec<String>,
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub staff: String,
    /// Since when.
    pub at: At,
    /// It ends by itself when this day begins.
    pub until: Day,
}

/// One purpose that the person said yes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedView {
    /// Which.
    pub purpose: PurposeName,
    /// Since when.
    pub since: At,
    /// When it ends if nothing is heard of them.
    pub lapses_at: Option<At>,
}

/// When and how things end for one person by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingView {
    /// When they count as having left, if nothing is heard of them; `None` = leaving is not declared.
    pub leaves_at: Option<At>,
    /// What becomes of their data then.
    pub fate: promise::Fate,
    /// When they chose it; `None` = they did not, and it is the strictest.
    pub chosen_at: Option<At>,
    /// When everything about them ends; `None` = it does not end all at once.
    pub ends_at: Option<At>,
    /// When they said that they leave.
    pub left_at: Option<At>,
    /// When they were last reminded of what they share.
    pub reminded_at: Option<At>,
    /// Holds that are on.
    pub holds: Vec<HoldView>,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Records.
    pub n_records: u64,
    /// Day secrets.
    pub n_day_secrets: u64,
    /// Yeses that lapsed after a silence.
    pub n_lapsed: u64,
    /// People of whom everything had ended: erased.
    pub n_left: u64,
    /// Reminders put in the outbox.
    pub n_reminded: u64,
}

/// A member of staff reviewed an artefact.
#[derive(Debug, Clone)]
pub struct Review {
    /// Which artefact.
    pub artefact: ArtefactId,
    /// Who.
    pub staff: String,
    /// In which role.
    pub role: String,
    /// When.
    pub at: At,
}

/// An artefact and whether it may run.
#[derive(Debug, Clone)]
pub struct ArtefactState {
    /// Its id.
    pub id: ArtefactId,
    /// Kind word and declared name.
    pub kind: promise::ArtefactKind,
    /// Declared name.
    pub name: String,
    /// Who reviewed it, and when.
    pub reviewed: Vec<(String, At)>,
    /// May run.
    pub is_effective: bool,
}

/// Something staff did.
#[derive(Debug, Clone)]
pub struct StaffAct {
    /// Who.
    pub staff: String,
    /// What ("opened_person", "started_campaign", …).
    pub act: &'static str,
    /// About whom, if about one person: shown to that person.
    pub person: Option<ProfileId>,
    /// The reason they gave, at most 200 characters.
    pub reason: String,
    /// When.
    pub at: At,
}

impl StaffAct {
    /// The act of handing a person over to their own pages: shown to them once a day for each source and reason, because
    /// many visits would push out who really looked.
    pub const HANDED_OFF: &str = "handed_off";
    /// The act of taking an erasure back within its day.
    pub const UNDID_ERASURE: &str = "undid_erasure";

    /// Whether an act opens a person's record to staff: what the alarm about staff counts.
    #[must_use]
    pub fn is_a_look(act: &str) -> bool {
        act != Self::HANDED_OFF && act != Self::UNDID_ERASURE
    }
}

/// One entry of the one log, without any personal value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntryView {
    /// Position of its batch.
    pub batch: u64,
    /// When.
    pub at: At,
    /// What kind of entry ("consent", "decision", "review", "erase", …).
    pub kind: String,
    /// Hash, hex.
    pub hash: String,
}
