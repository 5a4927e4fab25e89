//! Responsible for key material: where each key comes from, and that it is wiped when dropped.
//!
//! root file or passphrase → key-encryption keys ([`ring`]) → one wrapped row per person ([`person`]) → class secret, with the day
//! secret ([`day`]) → record key. The house's own keys ([`house`]) hang on the ring too.
//!
//! Deliberately not: sealing records (`seal`), storing rows (the committer), or caching: key material lives for a batch.

pub(crate) mod day;
pub(crate) mod house;
pub(crate) mod person;
pub(crate) mod recovery;
pub(crate) mod ring;
pub(crate) mod root;

pub(crate) use day::DaySecrets;
pub(crate) use house::{HouseKeys, Signer};
pub(crate) use person::PersonKey;
pub(crate) use ring::{KekVersion, Ring};
pub use root::{PASSPHRASE_CHARS_MIN, Passphrase, RootSource, is_for_owner_alone};
pub(crate) use root::{Root, Stretch};

use aws_lc_rs::hmac;
use model::Rng;
use std::sync::LazyLock;

/// Bytes of every symmetric key and secret here.
pub(crate) const KEY_BYTES: usize = 32;

/// 32 secret bytes on the heap: moving it moves a pointer, and dropping it leaves zeros.
pub(crate) struct Secret(Box<[u8; KEY_BYTES]>);

impl Secret {
    /// Fresh from chance.
    pub(crate) fn generate(rng: &dyn Rng) -> Self {
        let mut secret = Self(Box::new([0; KEY_BYTES]));
        rng.fill(secret.0.as_mut_slice());
        secret
    }

    /// Copies the bytes of a slice; `None` when it is not exactly [`KEY_BYTES`] long.
    pub(crate) fn copy(bytes: &[u8]) -> Option<Self> {
        let mut secret = Self(Box::new([0; KEY_BYTES]));
        (bytes.len() == KEY_BYTES).then(|| secret.0.copy_from_slice(bytes))?;
        Some(secret)
    }

    /// The bytes, for deriving and sealing.
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Derives a key from this one: HKDF-SHA-256 (RFC 5869) with 32 bytes of output.
    pub(crate) fn derive(&self, salt: &[u8], info: &[u8]) -> Self {
        derive(salt, self.bytes(), info)
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(self.0.as_mut_slice());
    }
}

/// Seals one record, or the records of one (class, day) of one person.
pub(crate) type RecordKey = Secret;

/// HKDF's first step without a salt: the same key for everybody, so that it is set up once.
static NO_SALT: LazyLock<hmac::Key> = LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &[]));

/// HKDF-SHA-256 with one block of output.
pub(crate) fn derive(salt: &[u8], key: &[u8], info: &[u8]) -> Secret {
    let extracted = match salt {
        [] => hmac::sign(&NO_SALT, key),
        salt => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), key),
    };
    let mut expand = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, extracted.as_ref()));
    expand.update(info);
    expand.update(&[1]);
    let mut out = Secret(Box::new([0; KEY_BYTES]));
    for (target, source) in out.0.iter_mut().zip(expand.sign().as_ref()) {
        *target = *source;
    }
    out
}

/// A key that only makes tokens, set up once: a house asks for several with each event.
#[derive(Clone)]
pub(crate) struct MacKey(hmac::Key);

impl MacKey {
    pub(crate) fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.bytes()))
    }

    /// HMAC-SHA-256 over parts, each preceded by its length, so that no two lists of parts give the same bytes.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; KEY_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut out = [0; KEY_BYTES];
        for (target, source) in out.iter_mut().zip(context.sign().as_ref()) {
            *target = *source;
        }
        out
    }
}

/// Writes zeros in a way the compiler cannot leave out.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(&*bytes);
}

/// Bytes that are wiped when dropped: plain forms of rows and files of keys.
pub(crate) struct Wiped(pub(crate) Vec<u8>);

impl Wiped {
    /// Room for all that will be pushed: a vector that grows leaves copies behind.
    pub(crate) fn with_room(n_bytes: usize) -> Self {
        Self(Vec::with_capacity(n_bytes))
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

#[cfg(test)]
mod tests;
