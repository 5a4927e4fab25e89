//! Responsible for the sealed form of every record: compressed, padded, encrypted, and bound to its place, so that it
//! opens nowhere else.
//!
//! Value = format u8 · key epoch u32 · algorithm u8 · nonce 12 · ciphertext and tag. Associated data = format, algorithm,
//! epoch, house, profile, retention class, kind, record id. Inside: codec u8 · content · 0x80 · zeros up to a bucket, so
//! that a stolen file shows no exact length.
//!
//! Deliberately not: which key (`key`), which record, or what is in it (`format`).

use crate::VaultError;
use crate::key::{RecordKey, Secret};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use model::{HouseId, ProfileId, Rng};
use promise::RetentionId;
use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use zstd::zstd_safe::CParameter;

/// Bytes of a nonce and of a tag.
pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;

/// Largest content of one record, in bytes (house records reach this).
pub(crate) const PLAIN_BYTES_MAX: usize = 17 << 20;

const FORMAT: u8 = 1;
const AES_256_GCM_SIV_ID: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 1 + NONCE_BYTES;

const CODEC_PLAIN: u8 = 0;
/// zstd without a dictionary: read for ever, not written any more.
const CODEC_ZSTD: u8 = 1;
/// zstd with [`DICTIONARY`].
const CODEC_ZSTD_DICTIONARY: u8 = 2;
const ZSTD_LEVEL: i32 = 1;

/// What records of any shop have in common, learned from made-up ones (`seal/dictionary.rs`). Never changed: another one
/// would be another codec.
static DICTIONARY: &[u8] = include_bytes!("../../../formats/dictionary-1.zstd");
static TO_COMPRESS: LazyLock<zstd::dict::EncoderDictionary<'static>> =
    LazyLock::new(|| zstd::dict::EncoderDictionary::copy(DICTIONARY, ZSTD_LEVEL));
static TO_DECOMPRESS: LazyLock<zstd::dict::DecoderDictionary<'static>> =
    LazyLock::new(|| zstd::dict::DecoderDictionary::copy(DICTIONARY));

/// Sizes that show on the disk; above the last, multiples of it.
const BUCKETS: [usize; 6] = [32, 64, 128, 256, 512, 1_024];

/// What kind of record; a number of its own for ever (10, 11 and 14 were given and never used; 21 is
/// what is said while the root key is away, which has an envelope of its own: `sealed`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// What belongs to no class of a person.
    Person = 1,
    /// Facts of one class of a person.
    Profile = 2,
    /// One event.
    Event = 3,
    /// One answer about a purpose.
    Ledger = 4,
    /// One decision with its trace.
    Decision = 5,
    /// One message to send.
    Outbox = 6,
    /// One record of the house.
    House = 7,
    /// One entry of the urgent log.
    Urgent = 8,
    /// A sale of nobody.
    Sale = 9,
    /// A request of a person and its clock.
    Request = 12,
    /// One set-wise reading and whom it touched.
    UseRun = 13,
    /// The review of an artefact.
    Review = 15,
    /// What it takes to undo an erasure within its day.
    Undo = 16,
    /// One call to a recipient about somebody who was erased.
    EraseCall = 17,
}

impl RecordKind {
    /// The highest number in use.
    pub(crate) const LAST: u8 = 17;

    /// The kind of a number.
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Person,
            2 => Self::Profile,
            3 => Self::Event,
            4 => Self::Ledger,
            5 => Self::Decision,
            6 => Self::Outbox,
            7 => Self::House,
            8 => Self::Urgent,
            9 => Self::Sale,
            12 => Self::Request,
            13 => Self::UseRun,
            15 => Self::Review,
            16 => Self::Undo,
            17 => Self::EraseCall,
            _ => return None,
        })
    }
}

/// Where a record lies; it opens nowhere else.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Which house.
    pub(crate) house: &'a HouseId,
    /// Whose; all zeros for the house itself.
    pub(crate) profile: &'a ProfileId,
    /// Kept how long.
    pub(crate) class: RetentionId,
    /// What.
    pub(crate) kind: RecordKind,
    /// Which.
    pub(crate) id: &'a [u8],
}

impl Place<'_> {
    fn bytes(&self, format: u8, algorithm: u8, epoch: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.id.len());
        out.extend_from_slice(&[format, algorithm]);
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(self.house.as_bytes());
        out.extend_from_slice(self.profile.as_bytes());
        out.extend_from_slice(&self.class.0);
        out.push(self.kind as u8);
        out.extend_from_slice(self.id);
        out
    }
}

/// Random nonces, drawn in blocks: one draw from the system costs more than an encryption. Never a counter: a restored
/// backup or a cloned machine would rewind it.
pub(crate) struct Nonces {
    rng: Arc<dyn Rng>,
    block: Mutex<(Box<[u8; Self::BLOCK_BYTES]>, usize)>,
}

impl Nonces {
    const BLOCK_BYTES: usize = 256 * NONCE_BYTES;

    /// Draws from `rng`, which must be cryptographic outside tests.
    pub(crate) fn new(rng: Arc<dyn Rng>) -> Self {
        Self { rng, block: Mutex::new((Box::new([0; Self::BLOCK_BYTES]), Self::BLOCK_BYTES)) }
    }

    /// One that was never given before.
    pub(crate) fn next(&self) -> [u8; NONCE_BYTES] {
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        if block.1 >= Self::BLOCK_BYTES {
            self.rng.fill(block.0.as_mut_slice());
            block.1 = 0;
        }
        let nonce = block.0.get(block.1..).and_then(<[u8]>::first_chunk).copied();
        block.1 += NONCE_BYTES;
        nonce.unwrap_or_else(|| self.rng.bytes())
    }
}

/// Seals a record for its place.
pub(crate) fn seal(
    key: &RecordKey,
    epoch: u32,
    place: &Place<'_>,
    plain: &[u8],
    nonces: &Nonces,
) -> Result<Vec<u8>, VaultError> {
    seal_with(key, epoch, place, plain, nonces.next())
}

fn seal_with(
    key: &RecordKey,
    epoch: u32,
    place: &Place<'_>,
    plain: &[u8],
    nonce: [u8; NONCE_BYTES],
) -> Result<Vec<u8>, VaultError> {
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(VaultError::TooLarge { what: "a record", bytes: plain.len(), limit: PLAIN_BYTES_MAX });
    }
    let mut out = Vec::with_capacity(HEAD_BYTES + bucket(plain.len() + 2) + TAG_BYTES);
    out.push(FORMAT);
    out.extend_from_slice(&epoch.to_be_bytes());
    out.push(AES_256_GCM_SIV_ID);
    out.extend_from_slice(&nonce);
    pack(plain, &mut out);
    let place = place.bytes(FORMAT, AES_256_GCM_SIV_ID, epoch);
    let content = out.get_mut(HEAD_BYTES..).ok_or(VaultError::Seal)?;
    let tag = cipher(key)?.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), content);
    out.extend_from_slice(tag.map_err(|_| VaultError::Seal)?.as_ref());
    Ok(out)
}

/// Opens a record where it lies; [`VaultError::Seal`] for another key, another place, or a changed byte.
pub(crate) fn open(key: &RecordKey, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let (head, rest) = sealed.split_first_chunk::<6>().ok_or(VaultError::Seal)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::Seal)?;
    let [FORMAT, e0, e1, e2, e3, AES_256_GCM_SIV_ID] = *head else { return Err(VaultError::Seal) };
    let epoch = u32::from_be_bytes([e0, e1, e2, e3]);
    unpack(&decrypt(key, *nonce, &place.bytes(FORMAT, AES_256_GCM_SIV_ID, epoch), rest)?)
}

/// Whether bytes begin like a sealed value (census, which does not know where one begins).
pub(crate) fn looks_sealed(bytes: &[u8]) -> bool {
    bytes.len() >= HEAD_BYTES + TAG_BYTES && bytes.first() == Some(&FORMAT) && bytes.get(5) == Some(&AES_256_GCM_SIV_ID)
}

/// AES-256-GCM-SIV: ciphertext and tag.
pub(crate) fn encrypt(
    key: &Secret,
    nonce: [u8; NONCE_BYTES],
    place: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, VaultError> {
    let mut bytes = Vec::with_capacity(plain.len() + TAG_BYTES);
    bytes.extend_from_slice(plain);
    let key = cipher(key)?;
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut bytes)
        .map_err(|_| VaultError::Seal)?;
    Ok(bytes)
}

/// The other way round.
pub(crate) fn decrypt(
    key: &Secret,
    nonce: [u8; NONCE_BYTES],
    place: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, VaultError> {
    let mut bytes = sealed.to_vec();
    let key = cipher(key)?;
    let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut bytes);
    let n_bytes = opened.map_err(|_| VaultError::Seal)?.len();
    bytes.truncate(n_bytes);
    Ok(bytes)
}

fn cipher(key: &Secret) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM_SIV, key.bytes()).map(LessSafeKey::new).map_err(|_| VaultError::Seal)
}

thread_local! {
    /// A zstd context is dear to make, and each thread seals many records.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    static WITHOUT_DICTIONARY: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Adds the content: codec, plain or compressed bytes, end marker, zeros.
pub(crate) fn pack(plain: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    // Codec and end marker; what lands in the same bucket either way is left as it is.
    let as_it_is = bucket(plain.len() + 2);
    let compressed = (as_it_is > BUCKETS[0]).then(|| compress(plain)).flatten();
    match compressed {
        Some(bytes) if bucket(bytes.len() + 6) < as_it_is => {
            out.push(CODEC_ZSTD_DICTIONARY);
            out.extend_from_slice(&u32::try_from(plain.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(&bytes);
        }
        _ => {
            out.push(CODEC_PLAIN);
            out.extend_from_slice(plain);
        }
    }
    out.push(0x80);
    out.resize(begin + bucket(out.len() - begin), 0);
}

pub(crate) fn unpack(content: &[u8]) -> Result<Vec<u8>, VaultError> {
    let end = content.iter().rposition(|byte| *byte != 0).ok_or(VaultError::Seal)?;
    let (codec, rest) = content.get(..end).and_then(<[u8]>::split_first).ok_or(VaultError::Seal)?;
    match *codec {
        CODEC_PLAIN => Ok(rest.to_vec()),
        CODEC_ZSTD | CODEC_ZSTD_DICTIONARY => {
            let (n_bytes, rest) = rest.split_first_chunk::<4>().ok_or(VaultError::Seal)?;
            let n_bytes = usize::try_from(u32::from_be_bytes(*n_bytes)).unwrap_or(usize::MAX);
            let plain = (n_bytes <= PLAIN_BYTES_MAX).then(|| decompress(*codec, rest, n_bytes)).flatten();
            plain.filter(|plain| plain.len() == n_bytes).ok_or(VaultError::Seal)
        }
        _ => Err(VaultError::Seal),
    }
}

fn bucket(n_bytes: usize) -> usize {
    let last = BUCKETS.last().copied().unwrap_or(1);
    BUCKETS.into_iter().find(|size| n_bytes <= *size).unwrap_or_else(|| n_bytes.next_multiple_of(last))
}

fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|held| {
        if held.is_none() {
            let mut compressor = zstd::bulk::Compressor::with_prepared_dictionary(&TO_COMPRESS).ok()?;
            // Size and dictionary stand before the frame already.
            for flag in [CParameter::ContentSizeFlag(false), CParameter::DictIdFlag(false)] {
                compressor.set_parameter(flag).ok()?;
            }
            *held = Some(compressor);
        }
        held.as_mut()?.compress(plain).ok()
    })
}

fn decompress(codec: u8, bytes: &[u8], n_bytes: usize) -> Option<Vec<u8>> {
    let with = |held: &mut Option<_>, make: fn() -> std::io::Result<zstd::bulk::Decompressor<'static>>| {
        if held.is_none() {
            *held = make().ok();
        }
        held.as_mut()?.decompress(bytes, n_bytes).ok()
    };
    match codec {
        CODEC_ZSTD => WITHOUT_DICTIONARY.with_borrow_mut(|held| with(held, zstd::bulk::Decompressor::new)),
        _ => DECOMPRESSOR
            .with_borrow_mut(|held| with(held, || zstd::bulk::Decompressor::with_prepared_dictionary(&TO_DECOMPRESS))),
    }
}

#[cfg(test)]
mod dictionary;
#[cfg(test)]
mod tests;
