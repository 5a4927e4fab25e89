//! Responsible for reading a full stream and the streams of changes on it as one stream of rows: newest wins, what was
//! deleted is gone, and at the end the state is the one that the house signed.
//!
//! Memory holds one row per stream. Deliberately not: which files belong together (`shelf`).

use super::frame::unusable;
use super::stream::{Change, Content, Head, StreamReader, Trailer};
use crate::VaultError;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

/// Bytes read at a time.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// One stream of a chain, and the row that it would give next.
struct Layer {
    reader: StreamReader<BufReader<File>>,
    next: Option<Change>,
}

impl Layer {
    fn step(&mut self) -> Result<Option<Change>, VaultError> {
        let next = self.reader.next()?;
        if next.is_none() {
            self.reader.ends()?;
        }
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// A chain of streams, oldest first, as one.
pub(super) struct Merged {
    layers: Vec<Layer>,
    content: Option<Content>,
    trailer: Option<Trailer>,
}

impl Merged {
    /// Opens the files of a chain: the full stream first, then each on the one before.
    pub(super) fn open(files: &[PathBuf]) -> Result<Self, VaultError> {
        let mut layers = Vec::new();
        for path in files {
            let file = crate::disk::Disk::open_to_read(path)?;
            let reader = StreamReader::new(BufReader::with_capacity(BUFFER_BYTES, file), path)?;
            let mut layer = Layer { reader, next: None };
            layer.step()?;
            layers.push(layer);
        }
        let head = layers.last().map(|layer| layer.reader.head.clone());
        let head = head.ok_or_else(|| unusable(&PathBuf::new(), "there is no stream"))?;
        Ok(Self { layers, content: Some(Content::new(&head)), trailer: None })
    }

    /// Of what the newest stream is.
    pub(super) fn head(&self) -> Option<&Head> {
        self.layers.last().map(|layer| &layer.reader.head)
    }

    /// The next row; `None` once all was read, and is what was signed.
    pub(super) fn next(&mut self) -> Result<Option<Change>, VaultError> {
        loop {
            let places = self.layers.iter().filter_map(|layer| layer.next.as_ref().map(Change::place));
            let Some(least) = places.min().map(|(keyspace, key)| (keyspace, key.to_vec())) else {
                return self.end().map(|()| None);
            };
            let mut newest = None;
            for layer in &mut self.layers {
                if layer.next.as_ref().is_some_and(|next| next.place() == (least.0, least.1.as_slice())) {
                    newest = layer.step()?;
                }
            }
            if let Some(row) = newest.filter(|row| row.value.is_some()) {
                if let Some(content) = &mut self.content {
                    content.row(&row);
                }
                return Ok(Some(row));
            }
        }
    }

    fn end(&mut self) -> Result<(), VaultError> {
        let Some(content) = self.content.take() else { return Ok(()) };
        let mut before: Option<(u64, [u8; 32])> = None;
        for layer in &self.layers {
            let base = layer.reader.base.map(|base| (base.batch, base.digest));
            if base != before {
                return Err(unusable(layer.reader.name(), "it builds on another stream than the one that lies here"));
            }
            let trailer = layer.reader.trailer()?;
            before = Some((layer.reader.head.batch, trailer.digest));
            self.trailer = Some(trailer.clone());
        }
        let signed = self.trailer.as_ref().map(|trailer| (trailer.n_rows, trailer.digest));
        if Some(content.finish()) != signed {
            let newest = self.layers.last().map(|layer| layer.reader.name().to_path_buf()).unwrap_or_default();
            return Err(unusable(&newest, "with those it builds on it does not give the rows that the house signed"));
        }
        Ok(())
    }

    /// What the house signed, once all was read.
    pub(super) fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }
}
