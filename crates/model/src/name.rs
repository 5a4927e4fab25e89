//! Names that a company gives to its own things in the promise file. Parsed once, then trusted.

use std::fmt;
use std::sync::Arc;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A name was not of the allowed form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside the allowed set; its byte position.
    #[error("a name here is written in small letters, digits and '_', beginning with a letter (position {0})")]
    Character(usize),
}

fn identifier(text: &str) -> Result<Arc<str>, NameError> {
    length(text)?;
    let bad = text.bytes().enumerate().find(|(at, byte)| match byte {
        b'a'..=b'z' => false,
        b'0'..=b'9' | b'_' => *at == 0,
        _ => true,
    });
    match bad {
        Some((at, _)) => Err(NameError::Character(at)),
        None => Ok(Arc::from(text)),
    }
}

/// Event names are the client's words ("Order Completed"): any printable text without control characters.
fn printable(text: &str) -> Result<Arc<str>, NameError> {
    length(text)?;
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(NameError::Character(at)),
        None => Ok(Arc::from(text)),
    }
}

fn length(text: &str) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        n if n > NAME_BYTES_MAX => Err(NameError::TooLong(n)),
        _ => Ok(()),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $parse:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            ///
            /// # Errors
            /// [`NameError`] when the text is empty, too long or has a character that is not allowed.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                $parse(text).map(Self)
            }

            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// Why data is used: `[purpose.NAME]`.
    PurposeName = identifier;
    /// A stated or collected field: `[field.NAME]`.
    FieldName = identifier;
    /// A fact worked out by a declared rule: `[trait.NAME]`.
    TraitName = identifier;
    /// A rule over facts with a live membership: `[segment.NAME]`.
    SegmentName = identifier;
    /// What may be shown: `[offer.NAME]`.
    OfferName = identifier;
    /// To whom, by what, when: `[campaign.NAME]`.
    CampaignName = identifier;
    /// A declared way in: `[source.NAME]`.
    SourceName = identifier;
    /// Somebody who gets data of people: `[recipient.NAME]`.
    RecipientName = identifier;
    /// A member of staff, as invited.
    StaffName = printable;
    /// What a client calls an event: `[event."NAME"]`.
    EventName = printable;
}
