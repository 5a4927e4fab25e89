//! What can go wrong with an import as a whole, and with one line of it. Never a personal value: what was found is told
//! by its shape ("9/99/9999 9:99"), never by its content.

use std::fmt;
use vault::VaultError;

/// The import stopped. What was committed before stays, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be read.
    #[error("reading the file")]
    Read(#[source] std::io::Error),
    /// The file is empty.
    #[error("the file is empty: it must begin with a line of column names")]
    Empty,
    /// Written in an encoding with two bytes a character.
    #[error("the file is written in UTF-16; write it as UTF-8 (`iconv -f utf-16 -t utf-8`)")]
    Utf16,
    /// The head line is one column, and holds another delimiter.
    #[error(
        "the head line has one column between '{expected}', but {n} between '{found}': say delimiter = \"{found}\" in [file] of the mapping"
    )]
    Delimiter {
        /// As the mapping says.
        expected: char,
        /// As it seems to be.
        found: char,
        /// How many columns that would be.
        n: usize,
    },
    /// Columns that the mapping names are missing.
    #[error(
        "the head line has no column {missing}; it has: {found}. Name the columns as they are in [columns] of the mapping"
    )]
    Columns {
        /// Names that are missing.
        missing: String,
        /// Names that are there.
        found: String,
    },
    /// More than half of the first lines cannot be read: the mapping does not fit the file.
    #[error("{n} of the first {of} lines cannot be read, line {line} because {reason}. {way_out}")]
    DoesNotFit {
        /// How many.
        n: u64,
        /// Of how many.
        of: u64,
        /// The first of them.
        line: u64,
        /// Why it cannot be read.
        reason: Unreadable,
        /// What to change in the mapping.
        way_out: &'static str,
    },
    /// A line without an end.
    #[error("line {line} is longer than {limit} bytes: is a quotation mark missing?")]
    LongLine {
        /// Which line.
        line: u64,
        /// How long a line may be.
        limit: usize,
    },
    /// Too many different lines to count repeats of.
    #[error("the file has more than {limit} different lines: split it, one part of the history each")]
    TooManyLines {
        /// How many may be.
        limit: usize,
    },
    /// Too many different items.
    #[error("the file has more than {limit} different items")]
    TooManyItems {
        /// How many may be.
        limit: usize,
    },
    /// The mapping was not reviewed as it stands.
    #[error("the mapping `{name}` was not reviewed as it stands; `fineline import … --as NAME` reviews it")]
    NotReviewed {
        /// Its name.
        name: String,
    },
    /// A record that an earlier run left cannot be read.
    #[error("the record {name} of an earlier run cannot be read")]
    Record {
        /// Name of the house record.
        name: String,
    },
    /// The vault refused to go on.
    #[error("writing to the vault")]
    Vault(#[from] VaultError),
}

/// Why one line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Another number of columns than the head line.
    Columns {
        /// How many it has.
        found: usize,
        /// How many the head line has.
        expected: usize,
    },
    /// Not in the encoding of the mapping.
    Encoding {
        /// The first byte that does not fit.
        byte: u8,
    },
    /// No invoice number, or one that is too long.
    Invoice,
    /// No rule of the mapping fits the invoice number.
    NoEvent,
    /// No item code, or one that is too long.
    Item,
    /// Not a whole number.
    Quantity {
        /// What it looks like.
        shape: String,
    },
    /// Not a date as the mapping says.
    Date {
        /// What it looks like.
        shape: String,
    },
    /// Not an amount of money.
    Price {
        /// What it looks like.
        shape: String,
    },
    /// A customer id of more than 512 bytes.
    Customer,
    /// The sum of an order does not fit.
    TooMuch,
}

impl Unreadable {
    /// What to change in the mapping when most lines fail like this.
    #[must_use]
    pub const fn way_out(&self) -> &'static str {
        match self {
            Self::Columns { .. } => "Is the delimiter in [file] of the mapping right?",
            Self::Encoding { .. } => "If the file is ISO 8859-1, say encoding = \"latin-1\" in [file] of the mapping.",
            Self::Date { .. } => "Say how dates are written in [dates] of the mapping, as for strftime.",
            Self::Quantity { .. } | Self::Price { .. } => "Are the columns in [columns] of the mapping the right ones?",
            _ => "Do [columns] and [[event]] of the mapping fit this file?",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns { found, expected } => write!(f, "it has {found} columns instead of {expected}"),
            Self::Encoding { byte } => write!(f, "byte 0x{byte:02x} is not UTF-8"),
            Self::Invoice => f.write_str("the invoice number is missing or too long"),
            Self::NoEvent => f.write_str("no [[event]] fits the invoice number"),
            Self::Item => f.write_str("the item code is missing or too long"),
            Self::Quantity { shape } => write!(f, "the quantity looks like {shape:?}, not like a whole number"),
            Self::Date { shape } => write!(f, "the date looks like {shape:?}"),
            Self::Price { shape } => write!(f, "the price looks like {shape:?}, not like 9.99"),
            Self::Customer => f.write_str("the customer id is too long"),
            Self::TooMuch => f.write_str("the amount is too large"),
        }
    }
}

/// What a text looks like: digits become 9, letters a; at most 24 characters.
#[must_use]
pub fn shape(text: &str) -> String {
    let one = |c: char| match c {
        '0'..='9' => '9',
        c if c.is_alphabetic() => 'a',
        c if c.is_control() => '?',
        c => c,
    };
    text.chars().take(24).map(one).collect()
}
