//! One statement about a person and everything that must be known before it may be read.

use crate::name::{FieldName, PurposeName, SourceName, TraitName};
use crate::time::At;
use crate::value::Value;
use std::fmt;

/// What a fact is called: a declared field, a declared trait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactName {
    /// Given or collected.
    Field(FieldName),
    /// Worked out by a declared rule.
    Trait(TraitName),
}

impl FactName {
    /// The declared name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Field(name) => name.as_str(),
            Self::Trait(name) => name.as_str(),
        }
    }
}

/// Sensitivity of a field or an item. Ordered: a combination takes the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Says nothing intimate.
    Plain,
    /// Points at a person.
    Personal,
    /// Guarded: needs its own yes. Unknown things are treated as this.
    Sensitive,
    /// Refused everywhere.
    Never,
}

impl Class {
    /// The word in the promise file and in a person's copy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Personal => "personal",
            Self::Sensitive => "sensitive",
            Self::Never => "never",
        }
    }
}

/// In which part of life a fact was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Context {
    /// Buying and browsing in the shop.
    #[default]
    Shopping,
    /// Work.
    Work,
    /// Health.
    Health,
    /// Among friends.
    Social,
}

impl Context {
    /// The word in the promise file and in a person's copy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shopping => "shopping",
            Self::Work => "work",
            Self::Health => "health",
            Self::Social => "social",
        }
    }
}

/// Where a fact comes from. A fact without provenance cannot be written: the type asks for it.
#[derive(Clone, PartialEq, Eq)]
pub enum Provenance {
    /// The person stated it.
    Provided {
        /// Where.
        source: SourceName,
    },
    /// Seen in an event.
    Observed {
        /// Through which source.
        source: SourceName,
    },
    /// Computed by a declared rule from what was observed or provided.
    Derived {
        /// Names of the facts and events it rests on, all the way down.
        ancestors: Vec<String>,
    },
    /// Guessed by a model.
    Inferred {
        /// Names of the facts and events it rests on, all the way down.
        ancestors: Vec<String>,
    },
    /// Told by a named third party.
    ThirdParty {
        /// Who.
        party: String,
    },
}

/// How a person learnt that we hold this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Awareness {
    /// Opened a page that shows it.
    Opened,
    /// Told at the moment it was given.
    AtTheMoment,
    /// Told in a notice that reached them.
    InNotice,
    /// Stands in the terms only.
    InTerms,
    /// Never told.
    Never,
}

/// One statement about one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is called.
    pub name: FactName,
    /// What it says.
    pub value: Value,
    /// How sensitive.
    pub class: Class,
    /// Given in which part of life.
    pub context: Context,
    /// Where from.
    pub provenance: Provenance,
    /// When it was stated, seen or computed.
    pub as_of: At,
    /// When the person was told that we hold it; `None` = not yet, so it cannot be read.
    pub told_at: Option<At>,
    /// How.
    pub told_how: Awareness,
    /// For which purposes it may be read, if they are in force.
    pub purposes: Vec<PurposeName>,
    /// Under which notice it was taken.
    pub notice_version: u32,
    /// From this instant on it does not exist. A derived fact takes its earliest input's.
    pub expires_at: At,
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fact({})", self.name.as_str())
    }
}

impl fmt::Debug for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provided { .. } => "Provided",
            Self::Observed { .. } => "Observed",
            Self::Derived { .. } => "Derived",
            Self::Inferred { .. } => "Inferred",
            Self::ThirdParty { .. } => "ThirdParty",
        })
    }
}
