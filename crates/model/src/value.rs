//! What can be said about a person: a small set of typed values. `Debug` tells the kind, never the value; there is no
//! `Display` and no serialisation here, so a value cannot slip into a log, an error or a URL.

use crate::id::ItemCode;
use crate::money::Money;
use crate::time::{At, Day};
use std::fmt;

/// The kind of a [`Value`], as declared in the promise file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Short text from a declared list or pattern, at most 64 characters.
    Text,
    /// A whole number.
    Number,
    /// An amount of money.
    Money,
    /// Yes or no.
    Flag,
    /// An instant.
    Instant,
    /// A calendar day.
    Date,
    /// An e-mail address.
    Email,
    /// An id of the company's own.
    Id,
    /// Items in order of preference, each with its reason.
    Ranking,
}

/// One value. Compare and match freely inside the core; show it only through a permit and a page.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, email and id values.
    Text(String),
    /// A whole number.
    Number(i64),
    /// An amount.
    Money(Money),
    /// Yes or no.
    Flag(bool),
    /// An instant.
    Instant(At),
    /// A day.
    Date(Day),
    /// Items in order of preference.
    Ranking(Vec<RankedItem>),
}

/// One candidate item with the one purchase that speaks for it.
#[derive(Clone, PartialEq, Eq)]
pub struct RankedItem {
    /// What might be offered.
    pub item: ItemCode,
    /// The item bought before that speaks for it; none for a popular item.
    pub because: Option<ItemCode>,
    /// Strength in millionths; only the order matters.
    pub score_micros: i64,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Text(_) => "text",
            Self::Number(_) => "number",
            Self::Money(_) => "money",
            Self::Flag(_) => "flag",
            Self::Instant(_) => "instant",
            Self::Date(_) => "date",
            Self::Ranking(_) => "ranking",
        };
        write!(f, "Value({kind})")
    }
}

impl fmt::Debug for RankedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RankedItem(…)")
    }
}
