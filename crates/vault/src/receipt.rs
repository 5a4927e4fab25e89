//! Responsible for receipts: what the person takes home. A flattened JWS (EdDSA) over a small JSON payload, with the key
//! in it, and the proof that the one log holds it; [`verify`] needs nothing but the file.
//!
//! The payload is stored and signed as bytes, and holds strings and integers only. The proof stands in the unprotected
//! header: it proves itself. A receipt that was given before its batch carries `included_by`, a signed promise, in the
//! payload; the proof joins it later at the same address.
//!
//! Deliberately not: what a receipt says (the committer), or who may fetch it (the portal).

use crate::VaultError;
use crate::chain::Proof;
use crate::key::house::thumbprint;
use crate::key::{HouseKeys, Signer};
use crate::log::{Checkpoint, Hash, LogLeaf, SALT_BYTES, root_from_path};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Largest receipt that is read, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 256 << 10;

const TYPE: &str = "fineline-receipt";

/// A receipt that holds, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says: the signed JSON, byte for byte.
    pub payload: String,
    /// The name of the key that signed it (RFC 7638 thumbprint).
    pub kid: String,
    /// Where that key is known from.
    pub key: KeyTrust,
    /// Whether the one log holds it.
    pub inclusion: Inclusion,
}

/// Where the signing key is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyTrust {
    /// It is in the key set that the reader brought along.
    Pinned,
    /// It only stands in the receipt itself: whoever made the receipt chose it.
    Embedded,
}

/// Whether the one log holds a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inclusion {
    /// Proven up to a signed checkpoint.
    Proven {
        /// Which log.
        log: String,
        /// Which batch of it, from 1.
        batch: u64,
        /// How many batches the checkpoint covers.
        size: u64,
    },
    /// Promised, over the same signature, until an instant (RFC 3339).
    Promised {
        /// Until when.
        by: String,
    },
    /// Neither.
    Unsaid,
}

/// Why a receipt does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a receipt of ours at all.
    #[error("this is not a receipt: {0}")]
    Form(&'static str),
    /// The signature is not over these bytes by this key.
    #[error("the signature does not belong to what the receipt says")]
    Signature,
    /// The key is not one of those the reader brought along.
    #[error("the receipt is signed by key {kid}, which is not among the pinned keys")]
    UnknownKey {
        /// The name of the key, as computed from it.
        kid: String,
    },
    /// The proof leads somewhere else.
    #[error("the proof does not show that the log holds this receipt")]
    Proof,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jws {
    payload: String,
    protected: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<Unprotected>,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Protected {
    alg: String,
    typ: String,
    kid: String,
    jwk: Jwk,
}

#[derive(Serialize, Deserialize)]
struct Jwk {
    crv: String,
    kty: String,
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    used: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unprotected {
    proof: WireProof,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireProof {
    salt: String,
    batch: u64,
    chain: String,
    index: u64,
    entries: u64,
    entry_path: Vec<String>,
    log_path: Vec<String>,
    checkpoint: String,
}

/// Signs a payload, without a proof yet. The payload must be a JSON object of strings, integers, and lists and objects
/// of them.
pub(crate) fn sign(signer: &Signer, payload: &str) -> Result<String, VaultError> {
    let plain = serde_json::from_str::<Value>(payload).is_ok_and(|value| value.is_object() && is_plain(&value));
    if !plain || payload.len() > RECEIPT_BYTES_MAX / 4 {
        return Err(form("its payload is too long, or not an object of strings and integers"));
    }
    let jwk = Jwk { crv: "Ed25519".to_owned(), kty: "OKP".to_owned(), x: signer.x(), kid: None, used: None };
    let protected = Protected { alg: "EdDSA".to_owned(), typ: TYPE.to_owned(), kid: signer.kid().to_owned(), jwk };
    let protected = serde_json::to_string(&protected).map_err(|_| form("its header cannot be written"))?;
    let (protected, payload) = (BASE64.encode(protected), BASE64.encode(payload));
    let signature = BASE64.encode(signer.sign(format!("{protected}.{payload}").as_bytes())?);
    to_json(&Jws { payload, protected, header: None, signature })
}

/// The same receipt with the proof that the log holds its payload under this salt.
pub(crate) fn with_proof(receipt: &str, salt: &[u8; SALT_BYTES], proof: &Proof) -> Result<String, VaultError> {
    let mut jws: Jws = serde_json::from_str(receipt).map_err(|_| form("it cannot be read"))?;
    let path = |path: &[Hash]| path.iter().map(|hash| BASE64.encode(hash)).collect();
    jws.header = Some(Unprotected {
        proof: WireProof {
            salt: BASE64.encode(salt),
            batch: proof.batch,
            chain: BASE64.encode(proof.chain),
            index: proof.index,
            entries: proof.n_entries,
            entry_path: path(&proof.entry_path),
            log_path: path(&proof.log_path),
            checkpoint: proof.checkpoint.clone(),
        },
    });
    to_json(&jws)
}

/// The house's public keys as a JWK set.
pub(crate) fn public_keys_json(keys: &HouseKeys) -> String {
    let jwk = |signer: &Signer| Jwk {
        crv: "Ed25519".to_owned(),
        kty: "OKP".to_owned(),
        x: signer.x(),
        kid: Some(signer.kid().to_owned()),
        used: Some("sig".to_owned()),
    };
    serde_json::to_string(&JwkSet { keys: vec![jwk(&keys.receipt), jwk(&keys.review)] }).unwrap_or_default()
}

/// A public key of a house.
pub(crate) struct PublicKey {
    /// Its published name.
    pub(crate) kid: String,
    /// Its 32 bytes.
    pub(crate) public: Vec<u8>,
}

/// The Ed25519 keys of a JWK set; `None` when it is none, or has no such key.
pub(crate) fn key_set(json: &str) -> Option<Vec<PublicKey>> {
    let set: JwkSet = serde_json::from_str(json).ok()?;
    let ours = set.keys.iter().filter(|key| (key.kty.as_str(), key.crv.as_str()) == ("OKP", "Ed25519"));
    let keys = ours.map(|key| Some(PublicKey { kid: thumbprint(&key.x), public: decoded(&key.x)? }));
    keys.collect::<Option<Vec<PublicKey>>>().filter(|keys| !keys.is_empty())
}

/// Checks a receipt with nothing but the file, and a JWK set of keys that the reader trusts when there is one.
///
/// # Errors
/// [`ReceiptError`] for the first thing that does not hold. A broken proof is an error, not a receipt without proof.
pub fn verify(json: &str, pinned_keys: Option<&str>) -> Result<Verified, ReceiptError> {
    if json.len() > RECEIPT_BYTES_MAX {
        return Err(ReceiptError::Form("it is too long"));
    }
    let jws: Jws = serde_json::from_str(json).map_err(|_| ReceiptError::Form("it is not a flattened JWS of ours"))?;
    let protected: Protected = decoded(&jws.protected)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(ReceiptError::Form("its protected header cannot be read"))?;
    let known_kind = protected.alg == "EdDSA"
        && protected.typ == TYPE
        && (protected.jwk.kty.as_str(), protected.jwk.crv.as_str()) == ("OKP", "Ed25519");
    if !known_kind {
        return Err(ReceiptError::Form("it is of another kind, or signed by another algorithm"));
    }
    let public = decoded(&protected.jwk.x).ok_or(ReceiptError::Form("its key cannot be read"))?;
    let kid = thumbprint(&protected.jwk.x);
    if protected.kid != kid {
        return Err(ReceiptError::Form("its key has another name than it says"));
    }
    let key = match pinned_keys {
        None => KeyTrust::Embedded,
        Some(set) if is_pinned(set, &protected.jwk.x)? => KeyTrust::Pinned,
        Some(_) => return Err(ReceiptError::UnknownKey { kid }),
    };
    let signature = decoded(&jws.signature).ok_or(ReceiptError::Signature)?;
    let signed = format!("{}.{}", jws.protected, jws.payload);
    UnparsedPublicKey::new(&ED25519, &public)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| ReceiptError::Signature)?;
    let payload = decoded(&jws.payload).and_then(|bytes| String::from_utf8(bytes).ok());
    let payload = payload.ok_or(ReceiptError::Form("its payload is not text"))?;
    let inclusion = match &jws.header {
        Some(header) => proven(&header.proof, payload.as_bytes(), &public).ok_or(ReceiptError::Proof)?,
        None => promised(&payload),
    };
    Ok(Verified { payload, kid, key, inclusion })
}

fn proven(wire: &WireProof, payload: &[u8], public: &[u8]) -> Option<Inclusion> {
    let hash = |text: &str| Hash::try_from(decoded(text)?).ok();
    let path = |path: &[String]| path.iter().map(|text| hash(text)).collect::<Option<Vec<Hash>>>();
    let salt: [u8; SALT_BYTES] = decoded(&wire.salt)?.try_into().ok()?;
    let proof = Proof {
        batch: wire.batch,
        chain: hash(&wire.chain)?,
        index: wire.index,
        n_entries: wire.entries,
        entry_path: path(&wire.entry_path)?,
        log_path: path(&wire.log_path)?,
        checkpoint: wire.checkpoint.clone(),
    };
    let checkpoint = Checkpoint::verify(&proof.checkpoint, public)?;
    let leaf = proof.leaf(LogLeaf::commit(&salt, payload))?;
    let root = root_from_path(leaf, proof.batch.checked_sub(1)?, checkpoint.size, &proof.log_path)?;
    let inclusion = Inclusion::Proven { log: checkpoint.origin, batch: proof.batch, size: checkpoint.size };
    (root == checkpoint.root).then_some(inclusion)
}

fn promised(payload: &str) -> Inclusion {
    let value: Value = serde_json::from_str(payload).unwrap_or_default();
    match value.get("included_by").and_then(Value::as_str) {
        Some(by) => Inclusion::Promised { by: by.to_owned() },
        None => Inclusion::Unsaid,
    }
}

fn is_pinned(set: &str, x: &str) -> Result<bool, ReceiptError> {
    let set: JwkSet = serde_json::from_str(set).map_err(|_| ReceiptError::Form("the pinned keys are not a JWK set"))?;
    Ok(set.keys.iter().any(|key| key.x == x && key.kty == "OKP" && key.crv == "Ed25519"))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Array(values) => values.iter().all(is_plain),
        Value::Object(fields) => fields.values().all(is_plain),
        Value::Null | Value::Bool(_) => false,
    }
}

fn to_json(jws: &Jws) -> Result<String, VaultError> {
    serde_json::to_string(jws).map_err(|_| form("it cannot be written"))
}

fn form(what: &str) -> VaultError {
    VaultError::Damaged { keyspace: "receipt", what: what.to_owned() }
}

#[cfg(test)]
mod tests;
