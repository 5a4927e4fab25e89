//! The mapping file: how a company's own export becomes orders, refunds, sales of nobody and a catalogue. A reviewed
//! artefact. Typed here; read and checked in `mapping/read.rs`. It opens nothing.

mod read;

use super::words::WordList;
use model::{ArtefactId, Currency, Day, EventName, FieldName, PurposeName, SourceName};
use promise::{Artefact, Promise, Report};
use std::collections::{BTreeMap, BTreeSet};

/// Largest mapping file, in bytes.
pub const MAPPING_BYTES_MAX: usize = 256 * 1024;

/// One mapping, valid by construction: only [`Mapping::parse`] makes one.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Its own name: positions and the shift of dates are kept under it.
    pub name: String,
    /// Import source of the promise through which the lines come.
    pub source: SourceName,
    /// The contract purpose that these orders set in force.
    pub purpose: PurposeName,
    /// For how many days orders are kept: what the promise says.
    pub keep_days: i32,
    /// The day on which the history in the file ends; shifted to yesterday. `None` = dates stay as they are.
    pub history_ends: Option<Day>,
    /// The notice version that these people were given.
    pub told_notice: Option<u32>,
    /// How the file is written.
    pub file: FilePlan,
    /// Which column holds what.
    pub columns: Columns,
    /// How dates are written.
    pub dates: Dates,
    /// Of all prices.
    pub currency: Currency,
    /// Which event an invoice becomes; longest prefix first.
    pub events: Vec<EventRule>,
    /// Property of the event → what fills it.
    pub properties: BTreeMap<String, Filling>,
    /// What is not in the data and made up.
    pub made_up: Option<MadeUp>,
    /// Classes and groups of items.
    pub catalogue: CataloguePlan,
    bytes: Vec<u8>,
}

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePlan {
    /// Between two columns.
    pub delimiter: u8,
    /// Of the text.
    pub encoding: Encoding,
}

/// How bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, checked.
    Utf8,
    /// ISO 8859-1: every byte is a character.
    Latin1,
}

/// Names of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Number of the order or cancellation.
    pub invoice: String,
    /// Code of the item.
    pub item: String,
    /// Words for the item.
    pub description: String,
    /// How many; negative when taken back.
    pub quantity: String,
    /// When.
    pub date: String,
    /// Of one.
    pub price: String,
    /// Who; empty when unknown.
    pub customer: String,
    /// Read to tell equal lines from different ones, and forgotten.
    pub only_for_the_row_key: Vec<String>,
}

/// How dates are written.
#[derive(Debug, Clone)]
pub struct Dates {
    /// As for strftime.
    pub format: String,
    /// The shop's time zone.
    pub zone: jiff::tz::TimeZone,
}

/// Which event an invoice becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRule {
    /// What the invoice number begins with.
    pub invoice_prefix: String,
    /// The declared event.
    pub name: EventName,
    /// What it is, in words for the report.
    pub says: String,
}

/// What fills a property of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// The invoice number.
    Invoice,
    /// The sum of the lines.
    Total,
}

/// What is not in the data.
#[derive(Debug, Clone)]
pub struct MadeUp {
    /// Shown on every screen that shows made-up things.
    pub says: String,
    /// Key of the hash that decides.
    pub key: String,
    /// The field and the pattern of the address, with `{customer}`.
    pub email: Option<(FieldName, String)>,
    /// Answers, one rule a purpose.
    pub consents: Vec<ConsentRule>,
}

/// Made-up answers about one purpose. The four shares make 100.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRule {
    /// Which purpose.
    pub purpose: PurposeName,
    /// The words these people are said to have seen.
    pub words: String,
    /// Language of the words.
    pub language: String,
    /// Of a hundred: said yes.
    pub yes: u8,
    /// Said no.
    pub no: u8,
    /// Said yes, and later no.
    pub yes_then_no: u8,
}

/// Classes and groups of items.
#[derive(Debug, Clone)]
pub struct CataloguePlan {
    /// Whether titles are written as sentences ("White metal lantern") or as they stand.
    pub titles: Titles,
    /// Group and codes of what is on invoices, but never offered.
    pub not_for_sale: (String, BTreeSet<String>),
    /// Families of guarded words.
    pub guarded: Vec<GuardedFamily>,
    /// Groups of plain words; the first that fits names the group.
    pub plain: Vec<(String, WordList)>,
}

/// How titles are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Titles {
    /// One capital, then small letters.
    Sentence,
    /// As they stand.
    AsWritten,
}

/// Words that make an item guarded.
#[derive(Debug, Clone)]
pub struct GuardedFamily {
    /// What it points at.
    pub family: String,
    /// The words.
    pub words: WordList,
    /// Descriptions that hold one of these are not meant.
    pub but_not: WordList,
}

impl Mapping {
    /// Reads a mapping file against the promise in force.
    ///
    /// # Errors
    /// A [`Report`] with every mistake and its place.
    pub fn parse(file_name: &str, text: &str, promise: &Promise) -> Result<Self, Report> {
        read::read(file_name, text, promise)
    }

    /// The bytes that are reviewed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is reviewed: may read (and fills) these events and the made-up address, for the contract purpose.
    #[must_use]
    pub fn artefact(&self) -> Artefact {
        let events = self.events.iter().map(|rule| rule.name.as_str().to_owned());
        let email = self.made_up.iter().filter_map(|made_up| made_up.email.as_ref());
        let writes: BTreeSet<String> = events.chain(email.map(|(field, _)| field.as_str().to_owned())).collect();
        let lines = promise::EventPlan::LINE_PROPERTIES.iter().map(|name| (*name).to_owned());
        let properties = self.properties.keys().cloned().chain(lines).collect();
        Artefact::of_mapping(&self.name, &self.bytes, self.purpose.clone(), writes, properties)
    }

    /// The id that a review names.
    #[must_use]
    pub fn artefact_id(&self) -> ArtefactId {
        self.artefact().id
    }

    /// Which event an invoice number becomes.
    #[must_use]
    pub fn event_of(&self, invoice: &str) -> Option<(usize, &EventRule)> {
        self.events.iter().enumerate().find(|(_, rule)| invoice.starts_with(&rule.invoice_prefix))
    }

    /// Name of the house record that holds the reviewed bytes.
    #[must_use]
    pub fn record_name(&self) -> String {
        format!("mapping/{}", self.name)
    }
}
