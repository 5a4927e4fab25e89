//! Responsible for taking the streams of a house into the folders of a backup: the keys whole, of the data only what
//! changed since the newest stream that lies there, then the files beside them, then away with keys that are too old.
//!
//! Deliberately not: where the bytes come from; that is the program's affair.

use super::frame::unusable;
use super::merge::{BUFFER_BYTES, Merged};
use super::shelf::{Beside, CHAIN_MAX, Shelf, data_name, keys_name};
use super::stream::{Base, Change, Head, Kind, StreamReader, StreamWriter, Trailer};
use crate::VaultError;
use crate::disk::{Disk, file_error};
use crate::failpoint::{Step, around};
use model::At;
use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};

/// How much of the data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What changed since the newest stream in the folder; all of it when there is none.
    Changes,
    /// All of it.
    Full,
}

/// What was written, and what was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The batch that it is the state of.
    pub batch: u64,
    /// The new data stream; `None` when the newest one there is of this very state.
    pub data: Option<PathBuf>,
    /// On which batch it builds; `None` for all of the data.
    pub base: Option<u64>,
    /// Rows of the house, without keys.
    pub n_rows: u64,
    /// Rows written, changed or gone.
    pub n_written: u64,
    /// The new key stream.
    pub keys: PathBuf,
    /// Key streams that were too old, and are gone.
    pub removed: Vec<PathBuf>,
}

/// Takes both streams, as [`super::Source::write`] gives them, into the folders.
///
/// # Errors
/// [`VaultError::Backup`] when a stream is not whole, or what lies in the folder cannot be built on; [`VaultError::File`].
pub fn take(
    streams: &mut dyn Read,
    shelf: &Shelf,
    beside: &Beside,
    extent: Extent,
    now: At,
) -> Result<Taken, VaultError> {
    shelf.make()?;
    let name = Path::new("from the house");
    let mut reader = StreamReader::new(&mut *streams, name)?;
    let batch = reader.head.batch;
    let house = reader.head.house();
    let mut keys = Part::begin(&shelf.keys.join(keys_name(batch)), &reader.head, None)?;
    if reader.head.kind != Kind::Keys {
        return Err(unusable(name, "its first stream is not the one of the keys"));
    }
    if let Some(ring) = &reader.ring {
        keys.ring(ring)?;
    }
    while let Some(row) = reader.next()? {
        keys.change(&row)?;
    }
    let keys = keys.finish(reader.trailer()?)?;

    let mut reader = StreamReader::new(&mut *streams, name)?;
    if reader.head.kind != Kind::Data || (reader.head.batch, reader.head.house()) != (batch, house) {
        return Err(unusable(name, "its two streams are not of the same moment"));
    }
    let data = take_data(&mut reader, shelf, extent)?;
    shelf.copy_beside(beside)?;
    let removed = shelf.prune(house, now)?;
    let n_rows = reader.trailer()?.n_rows;
    Ok(Taken { batch, data: data.path, base: data.base, n_rows, n_written: data.n_written, keys, removed })
}

struct Data {
    path: Option<PathBuf>,
    base: Option<u64>,
    n_written: u64,
}

fn take_data<R: Read>(reader: &mut StreamReader<R>, shelf: &Shelf, extent: Extent) -> Result<Data, VaultError> {
    let batch = reader.head.batch;
    let newest = shelf.newest()?;
    if newest.is_some_and(|newest| newest > batch) {
        let what = "it holds streams of a later state than this house has (was it restored?): choose another folder";
        return Err(unusable(&shelf.data, what));
    }
    let chain = newest.map(|newest| shelf.chain(newest)).transpose()?.unwrap_or_default();
    if let Some(first) = chain.first()
        && super::shelf::head(first)?.house() != reader.head.house()
    {
        return Err(unusable(&shelf.data, "it holds the streams of another house: choose another folder"));
    }
    // Asked for all of it where only changes lie, it is written beside them, and counts in their place.
    if newest == Some(batch) && (extent == Extent::Changes || chain.len() == 1) {
        return same(reader, &chain, shelf);
    }
    let base = newest.filter(|_| extent == Extent::Changes && chain.len() <= CHAIN_MAX);
    let path = shelf.data.join(data_name(batch, base));
    let mut n_written = 0u64;
    let Some(newest) = base else {
        let mut part = Part::begin(&path, &reader.head, None)?;
        while let Some(row) = reader.next()? {
            part.change(&row)?;
            n_written = n_written.saturating_add(1);
        }
        let path = part.finish(reader.trailer()?)?;
        return Ok(Data { path: Some(path), base, n_written });
    };
    // The base is read twice: what it must end in stands at its end, and a stream of changes says so at its beginning.
    let digest = digest(&chain)?;
    let mut old = Merged::open(&chain)?;
    let mut part = Part::begin(&path, &reader.head, Some(&Base { batch: newest, digest }))?;
    let (mut was, mut now) = (old.next()?, reader.next()?);
    while was.is_some() || now.is_some() {
        let order = match (&was, &now) {
            (Some(was), Some(now)) => was.place().cmp(&now.place()),
            (Some(_), None) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        let change = match order {
            std::cmp::Ordering::Less => was.take().map(|was| Change { value: None, ..was }),
            std::cmp::Ordering::Equal if was == now => None,
            _ => now.clone(),
        };
        if let Some(change) = change {
            part.change(&change)?;
            n_written = n_written.saturating_add(1);
        }
        if order.is_le() {
            was = old.next()?;
        }
        if order.is_ge() {
            now = reader.next()?;
        }
    }
    let path = part.finish(reader.trailer()?)?;
    Ok(Data { path: Some(path), base, n_written })
}

/// What a chain ends in.
fn digest(chain: &[PathBuf]) -> Result<[u8; 32], VaultError> {
    let mut merged = Merged::open(chain)?;
    while merged.next()?.is_some() {}
    let digest = merged.trailer().map(|trailer| trailer.digest);
    digest.ok_or_else(|| unusable(Path::new(""), "there is no stream"))
}

/// The newest stream is of this batch already: it must be of the same rows.
fn same<R: Read>(reader: &mut StreamReader<R>, chain: &[PathBuf], shelf: &Shelf) -> Result<Data, VaultError> {
    let mut old = Merged::open(chain)?;
    loop {
        match (old.next()?, reader.next()?) {
            (None, None) => return Ok(Data { path: None, base: None, n_written: 0 }),
            (was, now) if was == now => {}
            _ => {
                let what = "it holds another state of this batch (was the house restored?): choose another folder";
                return Err(unusable(&shelf.data, what));
            }
        }
    }
}

/// A stream that has no name yet.
struct Part {
    writer: StreamWriter<BufWriter<File>>,
    from: PathBuf,
    to: PathBuf,
}

impl Part {
    fn begin(to: &Path, head: &Head, base: Option<&Base>) -> Result<Self, VaultError> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let from = to.with_file_name(name);
        let out = BufWriter::with_capacity(BUFFER_BYTES, Disk::begin(&from)?);
        let writer = StreamWriter::new(out, head, base).map_err(|source| file_error("writing", &from, source))?;
        Ok(Self { writer, from, to: to.to_path_buf() })
    }

    fn ring(&mut self, ring: &[u8]) -> Result<(), VaultError> {
        self.writer.ring(ring).map_err(|source| file_error("writing", &self.from, source))
    }

    fn change(&mut self, change: &Change) -> Result<(), VaultError> {
        self.writer.change(change).map_err(|source| file_error("writing", &self.from, source))
    }

    fn finish(self, trailer: &Trailer) -> Result<PathBuf, VaultError> {
        let failed = |source| file_error("writing", &self.from, source);
        let out = self.writer.finish(trailer).map_err(failed)?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        around(Step::BackupStream, || Disk::finish(&file, &self.from, &self.to))?;
        Ok(self.to)
    }
}
