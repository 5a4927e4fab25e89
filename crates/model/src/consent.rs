//! What a person said about one purpose, with the words they were shown.

use crate::time::At;
use std::fmt;

/// State of one purpose for one person (W3C DPV consent statuses).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConsentStatus {
    /// Asked, no answer yet.
    Requested,
    /// The person will answer later.
    Deferred,
    /// Never asked.
    Unknown,
    /// Yes.
    Given,
    /// No.
    Refused,
    /// Yes, later taken back by the person.
    Withdrawn,
    /// Ended by us.
    Revoked,
    /// Outlived.
    Expired,
    /// Found not to have been valid.
    Invalidated,
}

impl ConsentStatus {
    /// Only a given consent lets anything happen.
    #[must_use]
    pub const fn is_given(self) -> bool {
        matches!(self, Self::Given)
    }

    /// The word used on the wire, in records and on pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Deferred => "deferred",
            Self::Unknown => "unknown",
            Self::Given => "given",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Invalidated => "invalidated",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Requested,
            Self::Deferred,
            Self::Unknown,
            Self::Given,
            Self::Refused,
            Self::Withdrawn,
            Self::Revoked,
            Self::Expired,
            Self::Invalidated,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
    }

    /// Of two answers the one that lets less happen: on a join the stricter wins.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self.is_given(), other.is_given()) {
            (true, false) => other,
            _ => self,
        }
    }
}

/// By which act an answer reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// A tap on a form of the company's site.
    SiteForm,
    /// A switch in the portal.
    Portal,
    /// A link in a message.
    MessageLink,
    /// The company's server reports it, with the words shown.
    Server,
    /// A reviewed import mapping reports it.
    Import,
    /// Global Privacy Control.
    Gpc,
    /// `fineline person …` at the desk, on the person's request.
    Desk,
}

impl Method {
    /// The word used in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SiteForm => "site_form",
            Self::Portal => "portal",
            Self::MessageLink => "message_link",
            Self::Server => "server",
            Self::Import => "import",
            Self::Gpc => "gpc",
            Self::Desk => "desk",
        }
    }
}

/// The exact words a person saw when they answered, and when.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    /// The text shown, byte for byte.
    pub text: String,
    /// BCP 47 language of the text ("en").
    pub language: String,
    /// When the answer was given.
    pub answered_at: At,
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({}, {} bytes)", self.language, self.text.len())
    }
}
