//! Anything that may use personal data: canonical bytes, SHA-256 id, and the terms it was reviewed with.

use model::{ArtefactId, PurposeName};
use std::collections::BTreeSet;

/// What kind of thing wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArtefactKind {
    /// A campaign with its offers.
    Campaign,
    /// A segment's rule.
    Segment,
    /// A trait's rule.
    Trait,
    /// A model (item-to-item).
    Model,
    /// An export of people.
    Export,
    /// A page that shows a person's facts: the portal (to themselves), the desk.
    Page,
    /// An import mapping.
    Mapping,
}

/// Who has to look before it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewRole {
    /// Part of the program: reviewed with it.
    BuiltIn,
    /// One reviewer.
    One,
    /// Two different people.
    Two,
}

/// What an artefact may read, for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The purpose it acts for; `None` only for the person's own right of access (the portal).
    pub purpose: Option<PurposeName>,
    /// Names of fields, traits and events it may read. Reading another is refused.
    pub reads: BTreeSet<String>,
    /// Properties of events it may read (subject to the person's level).
    pub properties: BTreeSet<String>,
}

/// One artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// SHA-256 of `canonical`.
    pub id: ArtefactId,
    /// What kind.
    pub kind: ArtefactKind,
    /// Its declared name ("win_back").
    pub name: String,
    /// What it may read.
    pub terms: Terms,
    /// Who reviews.
    pub review: ReviewRole,
    /// The bytes that were reviewed.
    pub canonical: Vec<u8>,
}
