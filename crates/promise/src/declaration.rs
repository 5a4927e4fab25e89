//! What the promise file declares, after it has been checked: every name resolved, every length of time in days.

use crate::artefact::Artefact;
use crate::rule::Rule;
use model::{
    ArtefactId, CampaignName, Class, Context, Currency, Day, EventName, FieldName, Kind, OfferName, PurposeName,
    RecipientName, SegmentName, SourceName, TraitName,
};
use std::collections::{BTreeMap, BTreeSet};

/// The whole promise, valid by construction: only `parse` makes one.
#[derive(Debug, Clone)]
pub struct Promise {
    /// The legal name people see.
    pub company: String,
    /// Where people write to.
    pub contact: String,
    /// Postal address for message footers.
    pub address: String,
    /// House time zone (IANA).
    pub zone: String,
    /// House currency.
    pub currency: Currency,
    /// Languages of the notice, first is the default.
    pub languages: Vec<String>,
    /// Why people's data is used.
    pub purposes: BTreeMap<PurposeName, Purpose>,
    /// Declared ways in.
    pub sources: BTreeMap<SourceName, Source>,
    /// Collected or stated fields.
    pub fields: BTreeMap<FieldName, Field>,
    /// Events that may be taken.
    pub events: BTreeMap<EventName, EventPlan>,
    /// Facts worked out by rule.
    pub traits: BTreeMap<TraitName, TraitPlan>,
    /// Segments.
    pub segments: BTreeMap<SegmentName, SegmentPlan>,
    /// What may be shown.
    pub offers: BTreeMap<OfferName, OfferPlan>,
    /// To whom, by what, when.
    pub campaigns: BTreeMap<CampaignName, CampaignPlan>,
    /// Who else gets data of people.
    pub recipients: BTreeMap<RecipientName, RecipientPlan>,
    /// The one cap over everything.
    pub cap: CapPlan,
    /// What may never be inferred, and the smallest group.
    pub guard: GuardPlan,
    /// Versions of the notice, ascending; the last one whose day has come binds.
    pub notice: NoticePlan,
    /// What becomes of people's data once they have left; `None` = nobody counts as having left.
    pub after_leaving: Option<AfterLeaving>,
    /// Where each declaration stands, for "the promise line that decided": (kind, name) → line.
    pub lines: BTreeMap<(&'static str, String), u32>,
    /// SHA-256 of the canonical form: spaces, comments and order do not change it.
    pub hash: [u8; 32],
    /// The candidate items per person, declared by any offer that picks an item.
    pub candidates: Option<CandidatesPlan>,
    pub(crate) artefacts: BTreeMap<ArtefactId, Artefact>,
    pub(crate) retentions: BTreeMap<RetentionId, Retention>,
}

/// The legal ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// Needed for the service: no switch. In force only through a server key or a mapping that says so.
    Contract,
    /// Off until the person says yes.
    Consent,
}

/// `[purpose.NAME]`
#[derive(Debug, Clone)]
pub struct Purpose {
    /// Its name.
    pub name: PurposeName,
    /// Shown to people word for word, in the default language.
    pub says: String,
    /// The same in the other languages of the notice.
    pub says_in: BTreeMap<String, String>,
    /// The legal ground.
    pub basis: Basis,
    /// The notice version since which the purpose reads as it does now: older answers do not cover it.
    pub since_notice: u32,
    /// How much a person may choose to share, least first: level name → names of properties readable at that level.
    /// Empty = no levels. The level "full" is what a plain yes means.
    pub levels: Vec<(String, BTreeSet<String>)>,
    /// A yes ends after so many days without an act of the person. Of no meaning for a contract.
    pub lapse_days: i32,
}

/// `[recipient.NAME]`: somebody who gets data of people. Nothing leaves to anybody who has no such section, but mails
/// through the relay of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientPlan {
    /// Its name.
    pub name: RecipientName,
    /// Who it is: legal name, as people should read it.
    pub who: String,
    /// Why it gets anything.
    pub why: String,
    /// What it gets, in words.
    pub what: Vec<String>,
    /// Where it is, as people should read it (a country).
    pub place: String,
    /// The last day on which it gets anything; `None` = until the section goes.
    pub until: Option<Day>,
    /// Where it is told to erase somebody; `None` = it cannot be told by a call.
    pub erase: Option<String>,
}

impl RecipientPlan {
    /// The name under which the mail relay stands in the register; no section may have it.
    pub const RELAY: &str = "relay";

    /// Whether it may be handed anything on a day.
    #[must_use]
    pub fn is_in_force(&self, today: Day) -> bool {
        self.until.is_none_or(|until| today <= until)
    }
}

/// What kind of way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// Browsers, with a public write key.
    Browser,
    /// The company's server, with a secret key.
    Server,
    /// Files, through a reviewed mapping.
    Import,
}

/// `[source.NAME]`
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// What kind.
    pub kind: SourceKind,
    /// Origins whose pages may send (browser sources).
    pub origins: Vec<String>,
    /// `context.consent` category → purpose; a category of the same name maps by default.
    pub consent: BTreeMap<String, PurposeName>,
}

/// How long something is kept and what starts its clock: one *retention class* per distinct (purposes, keep, since).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Retention {
    /// For which purposes.
    pub purposes: Vec<PurposeName>,
    /// For how many days.
    pub keep_days: i32,
    /// From when.
    pub since: Since,
    /// The person's next event of this name ends it as well, whichever comes first.
    pub end_on: Option<EventName>,
    /// Short stable id: the first four bytes of the SHA-256 of the canonical text.
    pub(crate) id: RetentionId,
}

/// What starts a retention clock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Since {
    /// When we got it (for a history: when it happened).
    Receipt,
    /// The person's latest event of this name.
    Last(EventName),
    /// When the person leaves: says so, or has been silent for as long as `[after_leaving]` names.
    Leaving,
}

/// Short stable id of a retention class: first four bytes of the SHA-256 of its canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetentionId(pub [u8; 4]);

/// `[field.NAME]`
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: FieldName,
    /// What it holds.
    pub kind: Kind,
    /// Allowed texts; empty = any of its kind.
    pub one_of: Vec<String>,
    /// Where it comes from, in words people read.
    pub from: String,
    /// Stated by the person in the portal.
    pub stated: bool,
    /// Purposes, life and clock.
    pub retention: Retention,
    /// How sensitive.
    pub class: Class,
    /// Part of life.
    pub context: Context,
}

/// `[event."NAME"]`
#[derive(Debug, Clone)]
pub struct EventPlan {
    /// Its name.
    pub name: EventName,
    /// Purposes, life and clock.
    pub retention: Retention,
    /// Declared properties and their kinds.
    pub has: BTreeMap<String, Kind>,
    /// Whether it carries order lines (`products` on the wire).
    pub lines: bool,
    /// How sensitive.
    pub class: Class,
    /// Part of life.
    pub context: Context,
}

impl EventPlan {
    /// What every order line carries besides quantity and price; levels name these like properties.
    pub const LINE_PROPERTIES: [&'static str; 2] = ["item", "group"];
}

/// The aggregate behind a trait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregate {
    /// How many events; within the last `window_days`, or within what may be kept.
    Count {
        /// Of which event.
        event: EventName,
        /// In how many days back, today included.
        window_days: Option<i32>,
    },
    /// Sum of a money or number property.
    Sum {
        /// Of which event.
        event: EventName,
        /// Which property.
        property: String,
        /// In how many days back, today included.
        window_days: Option<i32>,
    },
    /// Days since the latest event.
    DaysSince {
        /// Of which event.
        event: EventName,
    },
    /// Days since the first event that may still be kept.
    DaysSinceFirst {
        /// Of which event.
        event: EventName,
    },
}

/// `[trait.NAME]`
#[derive(Debug, Clone)]
pub struct TraitPlan {
    /// Its name.
    pub name: TraitName,
    /// What is computed.
    pub is: Aggregate,
    /// For which purposes it may be read.
    pub purposes: Vec<PurposeName>,
    /// The recipe in words a person can read, e.g. "how many orders you placed in the last 90 days".
    pub says: String,
    /// The same in the other languages of the notice.
    pub says_in: BTreeMap<String, String>,
    /// What kind of value it is: a number, or money for a sum of money.
    pub kind: Kind,
}

/// The implicit trait "candidates": items for a person, best first, each with the purchase that speaks for it. Declared
/// by any offer that picks an item; a ranking, inferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidatesPlan {
    /// Purposes of the campaigns that pick items.
    pub purposes: Vec<PurposeName>,
    /// The events with lines that it rests on.
    pub events: BTreeSet<EventName>,
    /// The shortest life among those events.
    pub retention: Retention,
}

impl CandidatesPlan {
    /// The name under which the ranking is written and read.
    pub const NAME: &'static str = "candidates";
}

/// `[segment.NAME]`
#[derive(Debug, Clone)]
pub struct SegmentPlan {
    /// Its name.
    pub name: SegmentName,
    /// For which purpose its members may be addressed.
    pub purpose: PurposeName,
    /// Under which purpose people may be counted (as a number of at least `smallest_group`) before consent is looked at.
    pub counted_for: Option<PurposeName>,
    /// The rule, as written.
    pub who: String,
    /// The rule, parsed.
    pub rule: Rule,
    /// Traits and fields the rule reads.
    pub reads: BTreeSet<String>,
}

/// `[offer.NAME]`
#[derive(Debug, Clone)]
pub struct OfferPlan {
    /// Its name.
    pub name: OfferName,
    /// Headline (mail subject, placement title): never names an item or a fact.
    pub title: String,
    /// Text with `{item}` and `{trait}` slots.
    pub says: String,
    /// The reason line, with `{trait}`, `{item}`, `{because}` slots.
    pub why: String,
    /// `says` in the other languages of the notice.
    pub says_in: BTreeMap<String, String>,
    /// `why` in the other languages of the notice.
    pub why_in: BTreeMap<String, String>,
    /// `title` in the other languages of the notice.
    pub title_in: BTreeMap<String, String>,
    /// Code to redeem, if any.
    pub code: Option<String>,
    /// Link people follow.
    pub link: String,
    /// Whether an item is picked for the person.
    pub picks_item: bool,
    /// Facts that `says` and `why` name.
    pub reads: BTreeSet<String>,
    /// Page placements where it may stand.
    pub placements: Vec<String>,
}

/// How a campaign reaches people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChannelKind {
    /// E-mail.
    Email,
    /// A placement on a page, through `POST /v1/decide`.
    Page,
}

/// `[campaign.NAME]`
#[derive(Debug, Clone)]
pub struct CampaignPlan {
    /// Its name.
    pub name: CampaignName,
    /// To which segment.
    pub to: SegmentName,
    /// Offers to choose from.
    pub offers: Vec<OfferName>,
    /// By which channels.
    pub by: Vec<ChannelKind>,
    /// Share held out, in thousandths (10 % = 100).
    pub hold_out_permille: u16,
    /// Event that counts as success in the report, and within how many days after.
    pub goal: (EventName, i32),
}

/// `[cap.default]`
#[derive(Debug, Clone)]
pub struct CapPlan {
    /// At most this many messages …
    pub at_most: u32,
    /// … in this many days.
    pub per_days: i32,
    /// Quiet from (minute of day) …
    pub quiet_from: u16,
    /// … until (minute of day), in the person's zone. Equal = no quiet hours.
    pub quiet_until: u16,
}

/// `[guard]`
#[derive(Debug, Clone)]
pub struct GuardPlan {
    /// Traits of life that may not be inferred.
    pub never_infer: Vec<String>,
    /// No segment, count or offer below this many people. At least 50.
    pub smallest_group: u32,
}

/// `[after_leaving]`: what people may choose for the time after they have left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AfterLeaving {
    /// So many days without an act of the person count as leaving.
    pub inactive_days: i32,
    /// What may be chosen. To be forgotten is always among it, and holds for whoever chose nothing.
    pub choices: BTreeSet<FateKind>,
    /// "All until a date" reaches at most so many days ahead.
    pub until_days_max: i32,
}

/// What becomes of somebody's data once they have left, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FateKind {
    /// Everything is erased.
    Forget,
    /// What the contract purposes need stays as long as its dates say; every other purpose ends.
    Minimum,
    /// Everything stays until a date, and is erased on it.
    Until,
}

/// A fate as one person chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Fate {
    /// Everything is erased.
    #[default]
    Forget,
    /// What the contract purposes need stays as long as its dates say; every other purpose ends.
    Minimum,
    /// Everything stays until this day begins, and is erased then.
    Until(Day),
}

/// `[notice]`
#[derive(Debug, Clone)]
pub struct NoticePlan {
    /// Which version this file is.
    pub version: u32,
    /// From which day it binds.
    pub starts: Day,
    /// How long before a change people are told.
    pub tell_people_before_days: i32,
    /// Within how many days after its end a thing is removed from live files and from backups of keys.
    pub removed_within_days: i32,
}
