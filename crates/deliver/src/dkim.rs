//! The signature under every mail (DKIM, RFC 6376 and 8463), made over the finished bytes.
//!
//! Relaxed/relaxed, RSA-2048 and Ed25519 through aws-lc-rs, the clock passed in. Every header that a reader or a mail
//! client acts on is named once more often than it stands ("over-signed"), so that a second `Subject` or
//! `List-Unsubscribe` put in front breaks the signature; so does an added `Cc` or `Content-Transfer-Encoding`.
//!
//! It does not verify (the tests do, and a second implementation outside), and it looks nothing up: [`Key::dns_record`] is
//! the text that the operator publishes.

#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::At;
use std::fmt;

/// House records with the private keys: `dkim/<selector>`, PKCS#8.
pub const RECORD_PREFIX: &str = "dkim/";

/// Keys that sign at once: one of each algorithm, twice while one is being replaced.
pub const KEYS_MAX: usize = 4;

/// Headers that are signed, each once more often than it stands. Those that are absent may not be added.
const SIGNED: [&str; 13] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Cc",
    "Sender",
];

/// A key or a message cannot be used for signing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DkimError {
    /// The private key cannot be read.
    #[error("the private key of selector {selector} is neither RSA of 2048 to 4096 bits nor Ed25519 in PKCS#8")]
    Key {
        /// Which.
        selector: String,
    },
    /// No key could be made.
    #[error("no key could be made")]
    Generate,
    /// The selector is not a DNS label.
    #[error("a selector is 1 to 63 letters, digits or '-'")]
    Selector,
    /// The domain is not one.
    #[error("the signing domain must be a plain domain name")]
    Domain,
    /// There is nothing to sign with.
    #[error("a signer needs 1 to {KEYS_MAX} keys")]
    Keys,
    /// A header that may stand once stands twice.
    #[error("the mail has more than one {0} header")]
    Twice(&'static str),
    /// Not a mail, or a line end that is not CRLF.
    #[error("the mail has no end of headers, or a bare line break")]
    Form,
    /// The cipher refused.
    #[error("signing failed")]
    Sign,
}

/// Which signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha256`, 2048 bits: every receiver knows it.
    RsaSha256,
    /// `ed25519-sha256`: short, young; beside RSA, not instead of it.
    Ed25519Sha256,
}

enum Secret {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// A private key under its selector. `Debug` shows the selector only.
pub struct Key {
    selector: String,
    secret: Secret,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {:?})", self.selector, self.algorithm())
    }
}

impl Key {
    /// A fresh private key as PKCS#8, for the house record `dkim/<selector>`. RSA takes up to a second.
    ///
    /// # Errors
    /// [`DkimError::Generate`].
    pub fn generate(algorithm: Algorithm) -> Result<Vec<u8>, DkimError> {
        match algorithm {
            Algorithm::RsaSha256 => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| DkimError::Generate)?;
                let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).map_err(|_| DkimError::Generate)?;
                Ok(der.as_ref().to_vec())
            }
            Algorithm::Ed25519Sha256 => {
                let key = Ed25519KeyPair::generate().map_err(|_| DkimError::Generate)?;
                Ok(key.to_pkcs8().map_err(|_| DkimError::Generate)?.as_ref().to_vec())
            }
        }
    }

    /// Reads a private key; which algorithm stands in the key.
    ///
    /// # Errors
    /// [`DkimError::Selector`], [`DkimError::Key`].
    pub fn from_pkcs8(selector: &str, pkcs8: &[u8]) -> Result<Self, DkimError> {
        if !is_label(selector) {
            return Err(DkimError::Selector);
        }
        let secret = match Ed25519KeyPair::from_pkcs8(pkcs8) {
            Ok(key) => Secret::Ed25519(Box::new(key)),
            Err(_) => {
                let key = RsaKeyPair::from_pkcs8(pkcs8);
                let key = key.map_err(|_| DkimError::Key { selector: selector.to_owned() })?;
                Secret::Rsa(Box::new(key))
            }
        };
        Ok(Self { selector: selector.to_owned(), secret })
    }

    /// Its selector.
    #[must_use]
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match &self.secret {
            Secret::Rsa(_) => Algorithm::RsaSha256,
            Secret::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// The line that the operator puts into the zone of `domain`, in strings of at most 255 bytes.
    ///
    /// # Errors
    /// [`DkimError::Sign`] when the public key cannot be written.
    pub fn dns_record(&self, domain: &str) -> Result<String, DkimError> {
        let (word, public) = match &self.secret {
            Secret::Rsa(key) => {
                let der = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).map_err(|_| DkimError::Sign)?;
                ("rsa", STANDARD.encode(der.as_ref()))
            }
            Secret::Ed25519(key) => ("ed25519", STANDARD.encode(key.public_key().as_ref())),
        };
        let strings: Vec<String> =
            pieces(&format!("v=DKIM1; k={word}; p={public}"), 255).map(|piece| format!("\"{piece}\"")).collect();
        Ok(format!("{}._domainkey.{domain}. IN TXT ( {} )", self.selector, strings.join(" ")))
    }

    fn word(&self) -> &'static str {
        match self.algorithm() {
            Algorithm::RsaSha256 => "rsa-sha256",
            Algorithm::Ed25519Sha256 => "ed25519-sha256",
        }
    }

    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, DkimError> {
        match &self.secret {
            Secret::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature)
                    .map_err(|_| DkimError::Sign)?;
                Ok(signature)
            }
            // RFC 8463: Ed25519 signs the hash, not the text.
            Secret::Ed25519(key) => Ok(key.sign(digest(&SHA256, input).as_ref()).as_ref().to_vec()),
        }
    }
}

/// Signs for one domain, with one or more keys side by side.
#[derive(Debug)]
pub struct Signer {
    domain: String,
    keys: Vec<Key>,
}

impl Signer {
    /// Signs as this domain with these keys.
    ///
    /// # Errors
    /// [`DkimError::Domain`], [`DkimError::Keys`].
    pub fn new(domain: &str, keys: Vec<Key>) -> Result<Self, DkimError> {
        if domain.len() > 253 || !domain.split('.').all(is_label) {
            return Err(DkimError::Domain);
        }
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(DkimError::Keys);
        }
        Ok(Self { domain: domain.to_owned(), keys })
    }

    /// Signs with the keys that the house keeps under [`RECORD_PREFIX`].
    ///
    /// # Errors
    /// [`crate::DeliverError::Vault`], [`crate::DeliverError::Dkim`].
    pub fn load(snapshot: &vault::Snapshot, domain: &str) -> Result<Self, crate::DeliverError> {
        let records = snapshot.house_records(RECORD_PREFIX, KEYS_MAX)?;
        let keys = records
            .iter()
            .map(|(name, bytes)| Key::from_pkcs8(name.strip_prefix(RECORD_PREFIX).unwrap_or(name), bytes));
        Ok(Self::new(domain, keys.collect::<Result<_, _>>()?)?)
    }

    /// The domain that signs.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// What the operator publishes: one line per key.
    ///
    /// # Errors
    /// [`DkimError::Sign`].
    pub fn dns_records(&self) -> Result<Vec<String>, DkimError> {
        self.keys.iter().map(|key| key.dns_record(&self.domain)).collect()
    }

    /// The mail with one `DKIM-Signature` per key in front.
    ///
    /// # Errors
    /// [`DkimError::Form`], [`DkimError::Twice`], [`DkimError::Sign`].
    pub fn sign(&self, mail: &[u8], at: At) -> Result<Vec<u8>, DkimError> {
        let text = std::str::from_utf8(mail).map_err(|_| DkimError::Form)?;
        if has_bare_break(mail) {
            return Err(DkimError::Form);
        }
        let (head, body) = text.split_once("\r\n\r\n").ok_or(DkimError::Form)?;
        let fields = fields(head);
        let body_hash = STANDARD.encode(digest(&SHA256, relaxed_body(body).as_bytes()));
        let mut names: Vec<&str> = Vec::new();
        let mut input = String::new();
        for name in SIGNED {
            let mut standing = fields.iter().filter(|field| is_named(field, name));
            if let Some(field) = standing.next() {
                input.push_str(&relaxed_field(field));
                input.push_str("\r\n");
                names.push(name);
            }
            if standing.next().is_some() {
                return Err(DkimError::Twice(name));
            }
            names.push(name);
        }
        let mut out = Vec::with_capacity(mail.len() + 1_024 * self.keys.len());
        for key in &self.keys {
            let unsigned = self.field(key, at, &names, &body_hash);
            let signature = key.sign(format!("{input}{}", relaxed_field(&unsigned)).as_bytes())?;
            let signature = STANDARD.encode(signature);
            out.extend_from_slice(unsigned.as_bytes());
            for piece in pieces(&signature, 72) {
                out.extend_from_slice(piece.as_bytes());
                out.extend_from_slice(b"\r\n ");
            }
            out.truncate(out.len().saturating_sub(1));
        }
        out.extend_from_slice(mail);
        Ok(out)
    }

    /// The field with an empty `b=`, folded.
    fn field(&self, key: &Key, at: At, names: &[&str], body_hash: &str) -> String {
        let mut list = String::new();
        let mut width = 0;
        for (n, name) in names.iter().enumerate() {
            if n > 0 {
                list.push(':');
            }
            if width + name.len() > 68 {
                list.push_str("\r\n  ");
                width = 0;
            }
            list.push_str(name);
            width += name.len() + 1;
        }
        format!(
            "DKIM-Signature: v=1; a={}; c=relaxed/relaxed;\r\n d={}; s={}; t={};\r\n h={list};\r\n bh={body_hash};\r\n b=",
            key.word(),
            self.domain,
            key.selector,
            at.ms().div_euclid(1_000),
        )
    }
}

/// A header field with its continuation lines, without the last CRLF.
fn fields(head: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => {
                field.push_str("\r\n");
                field.push_str(line);
            }
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

fn is_named(field: &str, name: &str) -> bool {
    field.split_once(':').is_some_and(|(found, _)| found.trim_end().eq_ignore_ascii_case(name))
}

/// RFC 6376, 3.4.2: small letters before the colon, one line, one space for many, none at the ends.
fn relaxed_field(field: &str) -> String {
    let (name, value) = field.split_once(':').unwrap_or((field, ""));
    let words: Vec<&str> = value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    format!("{}:{}", name.trim_end().to_ascii_lowercase(), words.join(" "))
}

/// RFC 6376, 3.4.4: one space for many, none at the end of a line, no empty lines at the end of the body.
fn relaxed_body(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    for line in body.split("\r\n") {
        let mut in_space = false;
        for c in line.trim_end_matches([' ', '\t']).chars() {
            let is_space = matches!(c, ' ' | '\t');
            match (is_space, in_space) {
                (true, true) => {}
                (true, false) => out.push(' '),
                (false, _) => out.push(c),
            }
            in_space = is_space;
        }
        out.push_str("\r\n");
    }
    out.truncate(out.trim_end_matches("\r\n").len());
    if !out.is_empty() {
        out.push_str("\r\n");
    }
    out
}

/// A CR or LF on its own: two readers could see two different mails.
fn has_bare_break(mail: &[u8]) -> bool {
    let mut before = 0;
    for byte in mail {
        if (*byte == b'\n') != (before == b'\r') {
            return true;
        }
        before = *byte;
    }
    before == b'\r'
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// ASCII text in pieces of at most `n` bytes.
fn pieces(text: &str, n: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, tail) = rest.split_at_checked(n.min(rest.len()))?;
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}
