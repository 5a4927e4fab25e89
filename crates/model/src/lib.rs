//! The words of the trade: ids, time, money, values, events, facts, consent.
//!
//! This room holds what every other room speaks about and nothing else: no file, no socket, no async, no
//! serialisation. Wire forms live at the doors (`collect`, `portal`, …), storage forms in `vault::format`.
//!
//! Reading order: [`id`] and [`name`] (what things are called) → [`time`] and [`chance`] (clock and randomness, passed
//! in, never taken) → [`money`] and [`value`] (what can be said) → [`event`] (what a source sends) → [`fact`] (what the
//! vault holds) → [`consent`] (what a person said) → [`quota`] (how much one caller may ask for).
//!
//! To add one more kind of value: a variant in [`value::Value`], its kind in [`value::Kind`], then follow the compiler.

pub mod chance;
pub mod consent;
pub mod event;
pub mod fact;
pub mod id;
pub mod money;
pub mod name;
pub mod quota;
pub mod time;
pub mod value;

pub use chance::Rng;
pub use consent::{ConsentStatus, Method, Words};
pub use event::{Event, EventKind, LineItem, Trust};
pub use fact::{Awareness, Class, Context, Fact, FactName, Provenance};
pub use id::{
    AlarmId, ArtefactId, ConsentId, DecisionId, EventId, HouseId, ItemCode, MessageId, ProfileId, ProfileKind,
    RequestId,
};
pub use money::{Currency, Money};
pub use name::{
    CampaignName, EventName, FieldName, OfferName, PurposeName, RecipientName, SegmentName, SourceName, StaffName,
    TraitName,
};
pub use quota::{Buckets, Quota};
pub use time::{At, Clock, DAY_MS, Day};
pub use value::{Kind, RankedItem, Value};
