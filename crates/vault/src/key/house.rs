//! Responsible for the keys of the house itself: blind index, tokens, house records, tombstones, and the two signing
//! keys (review, receipts). All derive from the house secret in the ring, each under a name of its own.
//!
//! Deliberately not: rotated with the key-encryption key. They protect look-ups and proofs, not what people entrusted.

use super::recovery::RecoveryKey;
use super::{MacKey, RecordKey, Secret};
use crate::VaultError;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::HouseId;

/// What a house signs and looks things up with.
pub(crate) struct HouseKeys {
    /// Identities → blind index.
    index: MacKey,
    /// Identifiers of people who left.
    left: MacKey,
    token: MacKey,
    tombstone: MacKey,
    /// Marks rows for their tally.
    tally: Secret,
    narrowing: MacKey,
    /// Opens what was taken while the root key was away.
    pub(crate) sealed: RecoveryKey,
    /// Seals house records.
    pub(crate) house_record: RecordKey,
    /// Seals entries of the urgent log.
    pub(crate) urgent: RecordKey,
    /// Signs reviews.
    pub(crate) review: Signer,
    /// Signs receipts and checkpoints.
    pub(crate) receipt: Signer,
}

impl HouseKeys {
    pub(super) fn derive(house_secret: &Secret, house: &HouseId) -> Result<Self, VaultError> {
        let key = |name: &str| house_secret.derive(house.as_bytes(), name.as_bytes());
        Ok(Self {
            index: MacKey::new(&key("index")),
            left: MacKey::new(&key("left")),
            token: MacKey::new(&key("token")),
            tombstone: MacKey::new(&key("tombstone")),
            tally: key("tally"),
            narrowing: MacKey::new(&key("narrowing")),
            sealed: RecoveryKey::from_secret(key("sealed")),
            house_record: key("house record"),
            urgent: key("urgent"),
            review: Signer::new(&key("review"))?,
            receipt: Signer::new(&key("receipt"))?,
        })
    }

    /// Keyed token of a secret (source keys, links, sessions): what is stored in its place.
    pub(crate) fn token(&self, label: &str, secret: &str) -> [u8; 32] {
        self.token.mac(&[label.as_bytes(), secret.as_bytes()])
    }

    /// The key of the blind index.
    pub(crate) fn index(&self) -> &MacKey {
        &self.index
    }

    /// The key of the tokens of those who left.
    pub(crate) fn left(&self) -> &MacKey {
        &self.left
    }

    /// The key of the marks of rows.
    pub(crate) fn tally(&self) -> &Secret {
        &self.tally
    }

    /// The key of the tombstone file.
    pub(crate) fn tombstone(&self) -> &MacKey {
        &self.tombstone
    }

    /// The key of the file of what people took back.
    pub(crate) fn narrowing(&self) -> &MacKey {
        &self.narrowing
    }
}

/// An Ed25519 key pair with its published name.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    kid: String,
}

impl Signer {
    /// From 32 secret bytes.
    pub(crate) fn new(seed: &Secret) -> Result<Self, VaultError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(|_| VaultError::Seal)?;
        let kid = thumbprint(&BASE64_URL_SAFE_NO_PAD.encode(pair.public_key()));
        Ok(Self { pair, kid })
    }

    /// RFC 7638 thumbprint of the public key.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key, 32 bytes.
    pub(crate) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The public key as JWK `x`.
    pub(crate) fn x(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.public())
    }

    /// Signs bytes as they will be stored.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.pair.try_sign(bytes).map(|signature| signature.as_ref().to_vec()).map_err(|_| VaultError::Seal)
    }
}

/// RFC 7638: SHA-256 over the members in alphabetical order.
pub(crate) fn thumbprint(x: &str) -> String {
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()))
}
