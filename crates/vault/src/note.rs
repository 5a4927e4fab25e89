//! Responsible for signed notes (C2SP): a text that a person can read, an empty line, and a signature line that says by whom.
//!
//! Deliberately not: what a note says (`log` for checkpoints, `witness` for what was seen elsewhere).

use crate::VaultError;
use crate::key::Signer;
use crate::log::sha256;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Begins the signature line of a signed note.
const SIGNED_BY: &str = "\u{2014} ";
const ED25519_ID: u8 = 1;

/// Signs `body`, whose lines all end in a line feed, under a name.
pub(crate) fn sign(name: &str, body: &str, signer: &Signer) -> Result<String, VaultError> {
    let signature = [key_id(name, signer.public()).as_slice(), &signer.sign(body.as_bytes())?].concat();
    Ok(format!("{body}\n{SIGNED_BY}{name} {}\n", BASE64_STANDARD.encode(signature)))
}

/// The text before the empty line, with its last line feed; nobody is asked who signed it.
pub(crate) fn body(note: &str) -> Option<&str> {
    let end = note.find("\n\n")?;
    note.get(..=end)
}

/// The text of a note that this key signed under this name.
pub(crate) fn verify<'n>(note: &'n str, name: &str, public: &[u8]) -> Option<&'n str> {
    let body = body(note)?;
    let signatures = note.get(body.len()..)?;
    let is_ours = signatures.lines().any(|line| {
        let signature = line.strip_prefix(SIGNED_BY).and_then(|line| line.strip_prefix(name));
        let bytes = signature.and_then(|text| BASE64_STANDARD.decode(text.trim_start()).ok()).unwrap_or_default();
        bytes.split_first_chunk::<4>().is_some_and(|(id, signature)| {
            *id == key_id(name, public)
                && UnparsedPublicKey::new(&ED25519, public).verify(body.as_bytes(), signature).is_ok()
        })
    });
    is_ours.then_some(body)
}

fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &[ED25519_ID], public]);
    [a, b, c, d]
}
