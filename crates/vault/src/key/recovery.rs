//! Responsible for sealing to a public key: what an erasure keeps for its announced delay, so that a wrong one can be
//! undone, and only by whoever holds the private half.
//!
//! X25519 with a fresh key per blob → HKDF-SHA-256 over both public keys → AES-256-GCM-SIV. The private half belongs to
//! one version of the ring and goes with it, so that stale copies of a blob die at the rotation.
//!
//! Deliberately not: keeping the blobs or their clock (the committer's erasure does).

use super::{KEY_BYTES, Secret, derive};
use crate::VaultError;
use crate::seal::{NONCE_BYTES, TAG_BYTES, decrypt, encrypt};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use model::Rng;

/// The public half.
pub(crate) type RecoveryPublic = [u8; KEY_BYTES];

/// The private half, held in the ring file.
#[derive(Clone)]
pub(crate) struct RecoveryKey(Secret);

impl RecoveryKey {
    pub(crate) fn generate(rng: &dyn Rng) -> Self {
        Self(Secret::generate(rng))
    }

    pub(crate) fn from_secret(secret: Secret) -> Self {
        Self(secret)
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }

    pub(crate) fn public(&self) -> Result<RecoveryPublic, VaultError> {
        let key = private(&self.0)?.compute_public_key().map_err(|_| VaultError::Seal)?;
        <[u8; KEY_BYTES]>::try_from(key.as_ref()).map_err(|_| VaultError::Seal)
    }

    /// Opens what was sealed to the public half with the same `place`.
    pub(crate) fn open(&self, place: &[u8], blob: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (theirs, rest) = blob.split_first_chunk::<KEY_BYTES>().ok_or(VaultError::Seal)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::Seal)?;
        let key = shared(&self.0, theirs, theirs, &self.public()?)?;
        decrypt(&key, *nonce, place, sealed)
    }
}

/// Seals `plain` to a public half, bound to `place`: public key of the blob · nonce · ciphertext and tag.
pub(crate) fn seal_to(
    public: &RecoveryPublic,
    place: &[u8],
    plain: &[u8],
    rng: &dyn Rng,
) -> Result<Vec<u8>, VaultError> {
    let fresh = RecoveryKey::generate(rng);
    let ours = fresh.public()?;
    let key = shared(&fresh.0, public, &ours, public)?;
    let nonce = rng.bytes::<NONCE_BYTES>();
    let mut blob = Vec::with_capacity(KEY_BYTES + NONCE_BYTES + plain.len() + TAG_BYTES);
    blob.extend_from_slice(&ours);
    blob.extend_from_slice(&nonce);
    blob.append(&mut encrypt(&key, nonce, place, plain)?);
    Ok(blob)
}

fn private(secret: &Secret) -> Result<PrivateKey, VaultError> {
    PrivateKey::from_private_key(&X25519, secret.bytes()).map_err(|_| VaultError::Seal)
}

fn shared(
    ours: &Secret,
    peer: &RecoveryPublic,
    fresh: &RecoveryPublic,
    held: &RecoveryPublic,
) -> Result<Secret, VaultError> {
    let info = [b"fineline recovery v1".as_slice(), fresh, held].concat();
    let peer = UnparsedPublicKey::new(&X25519, peer);
    agree(&private(ours)?, peer, VaultError::Seal, |agreed| Ok(derive(b"", agreed, &info)))
}
