//! Responsible for what is looked for, and in which spellings a program may have written it down.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use std::fmt;

/// Shortest needle, in bytes: shorter ones are found by chance.
pub const NEEDLE_BYTES_MIN: usize = 4;

/// Longest needle, in bytes; of a longer one its first bytes are looked for.
pub const NEEDLE_BYTES_MAX: usize = 4_096;

/// Shortest spelling in base64 that is looked for, in characters.
const BASE64_CHARS_MIN: usize = 6;

/// Something that must not be found, with a name that may be shown in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Needle {
    /// What it is ("email", "row 2"): stands in findings and on screens.
    pub what: String,
    bytes: Vec<u8>,
}

impl Needle {
    /// `None` when shorter than [`NEEDLE_BYTES_MIN`].
    #[must_use]
    pub fn new(what: &str, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..bytes.len().min(NEEDLE_BYTES_MAX))?;
        (bytes.len() >= NEEDLE_BYTES_MIN).then(|| Self { what: what.to_owned(), bytes: bytes.to_vec() })
    }

    /// The bytes as the person's record has them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Needle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Needle({}, {} bytes)", self.what, self.bytes.len())
    }
}

/// How a needle was written where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spelling {
    /// As it is.
    Plain,
    /// UTF-16, least significant byte first.
    Utf16Le,
    /// UTF-16, most significant byte first.
    Utf16Be,
    /// Hexadecimal, small letters.
    HexLower,
    /// Hexadecimal, capital letters.
    HexUpper,
    /// Base64, standard alphabet, at any alignment.
    Base64,
    /// Base64 for URLs, at any alignment.
    Base64Url,
}

impl Spelling {
    /// Text spellings may be broken into lines.
    pub(super) const fn is_wrapped_text(self) -> bool {
        matches!(self, Self::HexLower | Self::HexUpper | Self::Base64 | Self::Base64Url)
    }
}

impl fmt::Display for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "as it is",
            Self::Utf16Le | Self::Utf16Be => "in UTF-16",
            Self::HexLower | Self::HexUpper => "in hexadecimal",
            Self::Base64 | Self::Base64Url => "in base64",
        })
    }
}

/// All byte strings that betray a needle.
pub(super) fn spellings(needle: &Needle) -> Vec<(Spelling, Vec<u8>)> {
    let bytes = needle.bytes();
    let mut all = vec![(Spelling::Plain, bytes.to_vec())];
    if let Ok(text) = std::str::from_utf8(bytes) {
        all.push((Spelling::Utf16Le, text.encode_utf16().flat_map(u16::to_le_bytes).collect()));
        all.push((Spelling::Utf16Be, text.encode_utf16().flat_map(u16::to_be_bytes).collect()));
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    all.push((Spelling::HexUpper, hex.to_uppercase().into_bytes()));
    all.push((Spelling::HexLower, hex.into_bytes()));
    for shift in 0..3 {
        let shifted = [vec![0; shift].as_slice(), bytes].concat();
        // Only the characters that the needle alone decides: not those it shares with its neighbours.
        let (begin, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        let standard = BASE64_STANDARD_NO_PAD.encode(&shifted);
        let url = BASE64_URL_SAFE_NO_PAD.encode(&shifted);
        for (spelling, text) in [(Spelling::Base64, standard), (Spelling::Base64Url, url)] {
            if let Some(inner) = text.get(begin..end).filter(|inner| inner.len() >= BASE64_CHARS_MIN) {
                all.push((spelling, inner.as_bytes().to_vec()));
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|(_, bytes)| seen.insert(bytes.clone()));
    all
}
