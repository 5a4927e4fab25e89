//! Responsible for what stands in a stream: a head (which house, which batch, how far the two files beside it reach), rows
//! in the order of keyspaces and keys, and a trailer with the digest that the house signed.
//!
//! Body = kind u8 · rest. 1 head (CBOR) · 2 base: batch 8, digest 32 · 3 put: keyspace 1, key length 2, key, value ·
//! 4 delete: keyspace 1, key · 5 ring file · 9 trailer: rows 8, digest 32, signature 64.
//!
//! The digest covers head, ring and rows of the whole state, not the file: a stream of changes carries the digest of what
//! it makes of its base, so that a chain of streams is held against what the house signed.
//!
//! Deliberately not: files and folders (`shelf`), and merging (`merge`).

use super::frame::{FrameReader, FrameWriter};
use crate::VaultError;
use crate::engine::Keyspace;
use crate::folder::HouseFile;
use crate::format::{self, Bytes16, Bytes32};
use crate::key::{Signer, Stretch};
use crate::log::Hash;
use crate::narrowing::Reach;
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use minicbor::{Decode, Encode};
use model::{At, HouseId};
use std::io::{Read, Write};
use std::path::Path;

const HEAD: u8 = 1;
const BASE: u8 = 2;
const PUT: u8 = 3;
const DELETE: u8 = 4;
const RING: u8 = 5;
const TRAILER: u8 = 9;

const SIGNATURE_BYTES: usize = 64;

/// What a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) enum Kind {
    /// All keyspaces but the keys.
    #[n(0)]
    Data,
    /// The keys.
    #[n(1)]
    Keys,
}

/// Of what a stream is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Head {
    #[n(0)]
    pub kind: Kind,
    #[n(1)]
    house: Bytes16,
    /// The newest batch in it, and the root of the log with it.
    #[n(2)]
    pub batch: u64,
    #[n(3)]
    log_root: Bytes32,
    /// How far the files beside it reached, as the store knew.
    #[n(4)]
    tombstones: (u64, Bytes32),
    #[n(5)]
    narrowings: (u64, Bytes32),
    #[n(6)]
    at: i64,
    #[n(7)]
    root_check: Bytes32,
    /// How a passphrase becomes the root key, as it stands in the file `house`.
    #[n(8)]
    stretch: Option<String>,
}

/// What a head is made from.
pub(super) struct Facts {
    pub house: HouseFile,
    pub batch: u64,
    pub log_root: Hash,
    pub tombstones: Reach,
    pub narrowings: Reach,
    pub at: At,
}

impl Head {
    pub(super) fn new(kind: Kind, facts: &Facts) -> Self {
        let reach = |reach: Reach| (reach.epoch, reach.mac.into());
        Self {
            kind,
            house: (*facts.house.house.as_bytes()).into(),
            batch: facts.batch,
            log_root: facts.log_root.into(),
            tombstones: reach(facts.tombstones),
            narrowings: reach(facts.narrowings),
            at: facts.at.ms(),
            root_check: facts.house.check.into(),
            stretch: facts.house.stretch.as_ref().map(Stretch::to_text),
        }
    }

    pub(super) fn house(&self) -> HouseId {
        HouseId::from_bytes(*self.house)
    }

    pub(super) fn log_root(&self) -> Hash {
        *self.log_root
    }

    pub(super) fn tombstones(&self) -> Reach {
        Reach { epoch: self.tombstones.0, mac: *self.tombstones.1 }
    }

    pub(super) fn narrowings(&self) -> Reach {
        Reach { epoch: self.narrowings.0, mac: *self.narrowings.1 }
    }

    pub(super) fn at(&self) -> At {
        At::from_ms(self.at)
    }

    /// What the file `house` says; `None` when the root key comes from something that this program does not know.
    pub(super) fn house_file(&self) -> Option<HouseFile> {
        let stretch = match &self.stretch {
            Some(text) => Some(Stretch::from_text(text)?),
            None => None,
        };
        Some(HouseFile { house: self.house(), check: *self.root_check, stretch })
    }
}

/// What a stream of changes builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    pub batch: u64,
    pub digest: Hash,
}

/// The end of a stream: what the house signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trailer {
    pub n_rows: u64,
    pub digest: Hash,
    signature: [u8; SIGNATURE_BYTES],
}

impl Trailer {
    pub(super) fn sign(n_rows: u64, digest: Hash, signer: &Signer) -> Result<Self, VaultError> {
        let signature = signer.sign(&statement(n_rows, &digest))?.try_into().map_err(|_| VaultError::Seal)?;
        Ok(Self { n_rows, digest, signature })
    }

    /// Whether this house gave the stream out.
    pub(super) fn is_signed(&self, signer: &Signer) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, signer.public());
        key.verify(&statement(self.n_rows, &self.digest), &self.signature).is_ok()
    }
}

fn statement(n_rows: u64, digest: &Hash) -> Vec<u8> {
    [b"fineline backup 1\n".as_slice(), &n_rows.to_be_bytes(), digest].concat()
}

/// One row, or that a row is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub keyspace: Keyspace,
    pub key: Vec<u8>,
    /// `None` in a stream of changes: the row is gone.
    pub value: Option<Vec<u8>>,
}

impl Change {
    pub(super) fn place(&self) -> (Keyspace, &[u8]) {
        (self.keyspace, &self.key)
    }

    fn to_body(&self) -> Vec<u8> {
        let keyspace = self.keyspace as u8;
        match &self.value {
            Some(value) => {
                let length = u16::try_from(self.key.len()).unwrap_or(u16::MAX).to_be_bytes();
                [[PUT, keyspace].as_slice(), &length, &self.key, value].concat()
            }
            None => [[DELETE, keyspace].as_slice(), &self.key].concat(),
        }
    }

    fn from_body(kind: u8, rest: &[u8]) -> Option<Self> {
        let (keyspace, rest) = rest.split_first()?;
        let keyspace = *Keyspace::ALL.get(usize::from(*keyspace))?;
        if kind == DELETE {
            return Some(Self { keyspace, key: rest.to_vec(), value: None });
        }
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (key, value) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        Some(Self { keyspace, key: key.to_vec(), value: Some(value.to_vec()) })
    }
}

/// The digest of a state, in the making.
pub(super) struct Content {
    context: Context,
    n_rows: u64,
}

impl Content {
    pub(super) fn new(head: &Head) -> Self {
        let mut content = Self { context: Context::new(&SHA256), n_rows: 0 };
        content.part(&head_body(head));
        content
    }

    pub(super) fn ring(&mut self, ring: &[u8]) {
        self.part(&[&[RING], ring].concat());
    }

    pub(super) fn row(&mut self, row: &Change) {
        self.n_rows = self.n_rows.saturating_add(1);
        self.part(&row.to_body());
    }

    pub(super) fn finish(self) -> (u64, Hash) {
        let mut digest = [0; 32];
        for (target, source) in digest.iter_mut().zip(self.context.finish().as_ref()) {
            *target = *source;
        }
        (self.n_rows, digest)
    }

    fn part(&mut self, bytes: &[u8]) {
        self.context.update(&(bytes.len() as u64).to_be_bytes());
        self.context.update(bytes);
    }
}

fn head_body(head: &Head) -> Vec<u8> {
    [[HEAD].as_slice(), &format::encode(head)].concat()
}

/// Writes a stream.
pub(super) struct StreamWriter<W>(FrameWriter<W>);

impl<W: Write> StreamWriter<W> {
    pub(super) fn new(out: W, head: &Head, base: Option<&Base>) -> std::io::Result<Self> {
        let mut frames = FrameWriter::new(out)?;
        frames.write(&head_body(head))?;
        if let Some(base) = base {
            frames.write(&[[BASE].as_slice(), &base.batch.to_be_bytes(), &base.digest].concat())?;
        }
        Ok(Self(frames))
    }

    pub(super) fn ring(&mut self, ring: &[u8]) -> std::io::Result<()> {
        self.0.write(&[&[RING], ring].concat())
    }

    pub(super) fn change(&mut self, change: &Change) -> std::io::Result<()> {
        self.0.write(&change.to_body())
    }

    pub(super) fn finish(mut self, trailer: &Trailer) -> std::io::Result<W> {
        let rows = trailer.n_rows.to_be_bytes();
        self.0.write(&[[TRAILER].as_slice(), &rows, &trailer.digest, &trailer.signature].concat())?;
        Ok(self.0.into_inner())
    }
}

/// Reads a stream: head first, then its rows, then what the house signed.
pub(super) struct StreamReader<R> {
    frames: FrameReader<R>,
    pub head: Head,
    pub base: Option<Base>,
    pub ring: Option<Vec<u8>>,
    /// Read ahead to see whether a base or a ring stands before the rows.
    ahead: Option<Vec<u8>>,
    content: Option<Content>,
    last: Option<(Keyspace, Vec<u8>)>,
    trailer: Option<Trailer>,
}

impl<R: Read> StreamReader<R> {
    pub(super) fn new(input: R, name: &Path) -> Result<Self, VaultError> {
        let mut frames = FrameReader::new(input, name)?;
        let body = frames.next()?;
        let head = body.strip_prefix(&[HEAD]).and_then(|head| format::decode::<Head>("backup", head).ok());
        let head = head.ok_or_else(|| frames.wrong("is not the head of a stream"))?;
        let mut content = Content::new(&head);
        let (mut base, mut ring) = (None, None);
        let mut body = frames.next()?;
        if let Some(rest) = body.strip_prefix(&[BASE]) {
            let parts = rest.split_first_chunk::<8>().zip(rest.get(8..).and_then(|digest| digest.try_into().ok()));
            let ((batch, _), digest) = parts.ok_or_else(|| frames.wrong("does not say what it builds on"))?;
            base = Some(Base { batch: u64::from_be_bytes(*batch), digest });
            body = frames.next()?;
        }
        if let Some(bytes) = body.strip_prefix(&[RING]) {
            content.ring(bytes);
            ring = Some(bytes.to_vec());
            body = frames.next()?;
        }
        let content = base.is_none().then_some(content);
        Ok(Self { frames, head, base, ring, ahead: Some(body), content, last: None, trailer: None })
    }

    /// The next row; `None` after the last, when [`StreamReader::trailer`] is there.
    pub(super) fn next(&mut self) -> Result<Option<Change>, VaultError> {
        if self.trailer.is_some() {
            return Ok(None);
        }
        let body = match self.ahead.take() {
            Some(body) => body,
            None => self.frames.next()?,
        };
        match body.split_first() {
            Some((&TRAILER, rest)) => self.end(rest).map(|()| None),
            Some((kind @ &(PUT | DELETE), rest)) if *kind == PUT || self.base.is_some() => {
                let change = Change::from_body(*kind, rest).ok_or_else(|| self.frames.wrong("is not a row"))?;
                if self.last.as_ref().is_some_and(|(keyspace, key)| change.place() <= (*keyspace, key.as_slice())) {
                    return Err(self.frames.wrong("is out of order, or a row for the second time"));
                }
                if (change.keyspace == Keyspace::Keys) != (self.head.kind == Kind::Keys)
                    && change.keyspace != Keyspace::House
                {
                    return Err(self.frames.wrong("does not belong into a stream of this kind"));
                }
                self.last = Some((change.keyspace, change.key.clone()));
                if let Some(content) = &mut self.content {
                    content.row(&change);
                }
                Ok(Some(change))
            }
            _ => Err(self.frames.wrong("is of a kind that does not belong here")),
        }
    }

    fn end(&mut self, rest: &[u8]) -> Result<(), VaultError> {
        let parts = rest.split_first_chunk::<8>().and_then(|(n_rows, rest)| {
            let (digest, signature) = rest.split_first_chunk::<32>()?;
            Some(Trailer {
                n_rows: u64::from_be_bytes(*n_rows),
                digest: *digest,
                signature: signature.try_into().ok()?,
            })
        });
        let trailer = parts.ok_or_else(|| self.frames.wrong("is not the end of a stream"))?;
        if let Some(content) = self.content.take()
            && content.finish() != (trailer.n_rows, trailer.digest)
        {
            return Err(self.frames.wrong("does not end the rows that stand before it"));
        }
        self.trailer = Some(trailer);
        Ok(())
    }

    /// What the house signed; once all rows were read.
    pub(super) fn trailer(&self) -> Result<&Trailer, VaultError> {
        self.trailer.as_ref().ok_or_else(|| self.frames.wrong("is not the last: the stream was not read to its end"))
    }

    /// Whether nothing follows the trailer.
    pub(super) fn ends(&mut self) -> Result<(), VaultError> {
        self.frames.ends()
    }

    pub(super) fn name(&self) -> &Path {
        self.frames.name()
    }
}

#[cfg(test)]
pub(crate) mod vector;
