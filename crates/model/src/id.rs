//! The one registry of ids and their prefixes.
//!
//! Everything shown is `prefix_` + Crockford base32 (lower case, no padding). [`ProfileId`] is 16 random bytes for a
//! device and a person alike, so an id never tells when somebody came; all other 16-byte ids begin with their time.

use crate::chance::Rng;
use crate::time::At;
use std::fmt;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An id could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not an id that begins with {expected}_")]
pub struct IdError {
    expected: &'static str,
}

/// Crockford base32 of some bytes, most significant bit first.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(digit(buffer >> bits));
        }
    }
    if bits > 0 {
        out.push(digit(buffer << (5 - bits)));
    }
    out
}

fn digit(value: u32) -> char {
    ALPHABET.get((value & 31) as usize).map_or('0', |byte| char::from(*byte))
}

/// Reads [`base32`] back; `None` for a wrong character or length. Upper case and the look-alikes i, l, o are accepted.
#[must_use]
pub fn from_base32<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut out = [0u8; N];
    let mut next = out.iter_mut();
    let (mut buffer, mut bits) = (0u32, 0u32);
    for byte in text.bytes() {
        let byte = match byte.to_ascii_lowercase() {
            b'i' | b'l' => b'1',
            b'o' => b'0',
            other => other,
        };
        let value = ALPHABET.iter().position(|known| *known == byte)?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            *next.next()? = u8::try_from((buffer >> bits) & 0xff).ok()?;
        }
        buffer &= (1 << bits) - 1;
    }
    (buffer == 0).then_some(out)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident[$n:literal] = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $n]);

        impl $name {
            /// What it begins with when shown, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// From raw bytes, as stored.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $n]) -> Self {
                Self(bytes)
            }

            /// Raw bytes, as stored.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $n] {
                &self.0
            }

            /// Reads the shown form.
            ///
            /// # Errors
            /// [`IdError`] when the prefix, the length or a character is wrong.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(from_base32::<$n>)
                    .map(Self)
                    .ok_or(IdError { expected: $prefix })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), base32(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

ids! {
    /// One data folder, one controller. Random, made by `init`.
    HouseId[16] = "house";
    /// What the vault holds about one person or one device: 16 random bytes. `Display` shows `per_`; a device is shown
    /// by [`ProfileId::show`].
    ProfileId[16] = "per";
    /// One event.
    EventId[16] = "evt";
    /// One decision.
    DecisionId[16] = "dec";
    /// One message to one person.
    MessageId[16] = "msg";
    /// A reviewed artefact: SHA-256 of its canonical bytes.
    ArtefactId[32] = "art";
    /// One ledger entry about consent.
    ConsentId[16] = "con";
    /// One request of a person (access, erase, …).
    RequestId[16] = "req";
    /// One alarm about reading.
    AlarmId[16] = "alarm";
}

/// Whether a profile stands for a human being or for a browser that nobody has claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileKind {
    /// `per_…`
    Person,
    /// `dev_…`
    Device,
}

impl ProfileId {
    /// A fresh one.
    pub fn random(rng: &dyn Rng) -> Self {
        Self(rng.bytes())
    }

    /// The shown form with the prefix of its kind.
    #[must_use]
    pub fn show(&self, kind: ProfileKind) -> String {
        let prefix = match kind {
            ProfileKind::Person => "per",
            ProfileKind::Device => "dev",
        };
        format!("{prefix}_{}", base32(&self.0))
    }

    /// Reads `per_…` or `dev_…`.
    ///
    /// # Errors
    /// [`IdError`] when it is neither.
    pub fn parse_any(text: &str) -> Result<(Self, ProfileKind), IdError> {
        match text.strip_prefix("dev_") {
            Some(rest) => {
                from_base32(rest).map(|bytes| (Self(bytes), ProfileKind::Device)).ok_or(IdError { expected: "dev" })
            }
            None => Self::parse(text).map(|id| (id, ProfileKind::Person)),
        }
    }
}

/// Six bytes of time, ten of chance: sorts by time, cannot be guessed.
fn timed(at: At, rng: &dyn Rng) -> [u8; 16] {
    let mut bytes: [u8; 16] = rng.bytes();
    let ms = u64::try_from(at.ms()).unwrap_or(0).to_be_bytes();
    for (target, source) in bytes.iter_mut().zip(ms.iter().skip(2)) {
        *target = *source;
    }
    bytes
}

macro_rules! timed_ids {
    ($($name:ident),*) => {$(
        impl $name {
            /// A fresh one that sorts by time.
            pub fn new(at: At, rng: &dyn Rng) -> Self {
                Self(timed(at, rng))
            }

            /// When it was made, as it says itself.
            #[must_use]
            pub fn made_at(&self) -> At {
                let mut ms = [0; 8];
                ms.iter_mut().skip(2).zip(self.0).for_each(|(target, source)| *target = source);
                At::from_ms(i64::from_be_bytes(ms))
            }
        }
    )*};
}
timed_ids!(EventId, DecisionId, MessageId, ConsentId, RequestId, AlarmId);

/// The company's own code of a thing it sells, upper case ("85123A"). Not personal by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemCode(std::sync::Arc<str>);

impl ItemCode {
    /// Longest code, in bytes.
    pub const BYTES_MAX: usize = 40;

    /// Reads a code: trimmed, upper case; `None` when empty, too long or with control characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() <= Self::BYTES_MAX && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_uppercase().into()))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ItemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Seeded;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parse_reads_back_what_display_shows(bytes: [u8; 16]) {
            let id = ProfileId::from_bytes(bytes);
            prop_assert_eq!(ProfileId::parse(&id.to_string()).unwrap(), id);
            let device = id.show(ProfileKind::Device);
            prop_assert_eq!(ProfileId::parse_any(&device).unwrap(), (id, ProfileKind::Device));
        }

        #[test]
        fn a_cut_or_foreign_id_is_refused(text in "[a-z_0-9]{0,40}") {
            if let Ok(id) = DecisionId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn timed_ids_sort_by_time() {
        let rng = Seeded::new(7);
        let early = EventId::new(At::from_ms(1_000), &rng);
        let late = EventId::new(At::from_ms(2_000), &rng);
        assert!(early < late);
        assert_eq!(late.made_at(), At::from_ms(2_000));
    }
}
