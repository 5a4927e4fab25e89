//! What a source tells us, after the gate: parsed, minimised, with the names the promise declares and no others.

use crate::id::{EventId, ItemCode, ProfileId};
use crate::money::Money;
use crate::name::{EventName, SourceName};
use crate::time::{At, Day};
use crate::value::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The six calls of the Segment spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// Something happened.
    Track,
    /// A page was seen.
    Page,
    /// A screen was seen.
    Screen,
    /// Traits were given.
    Identify,
    /// A group was named.
    Group,
    /// Two ids were tied together.
    Alias,
}

/// How far a source is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// A browser with a public write key: may speak of its own device only.
    Browser,
    /// The company's server with a secret key.
    Server,
    /// A reviewed import mapping.
    Import,
}

/// One line of an order or a refund.
#[derive(Clone, PartialEq, Eq)]
pub struct LineItem {
    /// Key made of the source's own values and the how-manieth equal line it is, so that a line read twice is one line
    /// (see `collect::import`). Zero for lines from the wire.
    pub row: u64,
    /// What.
    pub item: ItemCode,
    /// How many; negative when taken back.
    pub quantity: i32,
    /// Price of one.
    pub price: Money,
}

/// One event about one profile.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Ours; made from source values for imports, so that a second import meets the first.
    pub id: EventId,
    /// About whom. Never changes, also when profiles are joined.
    pub profile: ProfileId,
    /// Which call.
    pub kind: EventKind,
    /// Which event of the promise file. Page views are "Page Viewed", screens "Screen Viewed", identify "Identify".
    pub name: EventName,
    /// Through which declared source.
    pub source: SourceName,
    /// How far that source is believed.
    pub trust: Trust,
    /// When it happened, as far as believed.
    pub occurred_at: At,
    /// When we received it: the clock of retention, unless the class says otherwise.
    pub received_at: At,
    /// The date that stood in the source, when a history was shifted.
    pub source_day: Option<Day>,
    /// Declared properties only.
    pub properties: BTreeMap<String, Value>,
    /// Lines of an order or refund.
    pub lines: Vec<LineItem>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} via {})", self.name, self.source)
    }
}

impl fmt::Debug for LineItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineItem(…)")
    }
}
