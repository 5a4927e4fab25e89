//! Responsible for one pass over a stream of bytes: patterns are matched across chunk borders, and wherever something
//! begins like gzip, zip or zstd it is unpacked on the side and looked through in the same way, up to
//! [`DEPTH_MAX`] deep. Memory is bounded; whatever a bound cuts off is reported, never passed over.

use super::needle::{Needle, Spelling, spellings};
use super::walk::{Finding, Layer, Wrapping};
use aho_corasick::{AhoCorasick, MatchKind};
use flate2::{Decompress, FlushDecompress, Status};
use std::path::PathBuf;
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

/// How deep a stream may lie in streams.
pub(super) const DEPTH_MAX: usize = 3;

/// What all streams of one file may unpack to, in bytes.
pub(super) const UNPACKED_BYTES_MAX: u64 = 4 << 30;

/// What unpacks at the same time in one stream.
const OPEN_STREAMS_MAX: usize = 64;

/// Longest head of a compressed stream, in bytes (gzip with name and comment, zip with extra fields).
const HEAD_BYTES_MAX: usize = 130 << 10;

const UNPACK_CHUNK_BYTES: usize = 64 << 10;

/// Findings kept per search; more only count.
pub(super) const FINDINGS_MAX: usize = 10_000;

/// What a matched pattern means.
#[derive(Clone, Copy)]
enum Meaning {
    Needle(usize, Spelling),
    Begins(Wrapping),
    /// Bytes to hand to the caller from here on.
    Capture,
}

/// Everything that is looked for, compiled once.
pub(super) struct Patterns {
    matcher: AhoCorasick,
    meanings: Vec<Meaning>,
    /// Only the spellings that may be broken into lines.
    wrapped: AhoCorasick,
    wrapped_meanings: Vec<Meaning>,
    longest: usize,
    names: Vec<String>,
    capture_bytes_max: usize,
}

impl Patterns {
    /// `capture`: a magic after which the following bytes are kept, up to a number.
    pub(super) fn new(needles: &[Needle], capture: Option<(&[u8], usize)>) -> Option<Self> {
        let (mut patterns, mut meanings) = (Vec::new(), Vec::new());
        let (mut wrapped, mut wrapped_meanings) = (Vec::new(), Vec::new());
        for (number, needle) in needles.iter().enumerate() {
            for (spelling, bytes) in spellings(needle) {
                if spelling.is_wrapped_text() {
                    wrapped.push(bytes.clone());
                    wrapped_meanings.push(Meaning::Needle(number, spelling));
                }
                patterns.push(bytes);
                meanings.push(Meaning::Needle(number, spelling));
            }
        }
        for wrapping in [Wrapping::Gzip, Wrapping::Zip, Wrapping::Zstd] {
            patterns.push(wrapping.magic().to_vec());
            meanings.push(Meaning::Begins(wrapping));
        }
        if let Some((magic, _)) = capture {
            patterns.push(magic.to_vec());
            meanings.push(Meaning::Capture);
        }
        let build = |patterns: &[Vec<u8>]| AhoCorasick::builder().match_kind(MatchKind::Standard).build(patterns).ok();
        Some(Self {
            matcher: build(&patterns)?,
            meanings,
            wrapped: build(&wrapped)?,
            wrapped_meanings,
            longest: patterns.iter().map(Vec::len).max().unwrap_or(1),
            names: needles.iter().map(|needle| needle.what.clone()).collect(),
            capture_bytes_max: capture.map_or(0, |(_, n_bytes)| n_bytes),
        })
    }

    /// Whether there is nothing but magic bytes to look for.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

/// A file, and the bytes that followed a magic in it.
pub(super) type Captured = (PathBuf, Vec<u8>);

/// What one search has found so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    pub(super) n_findings: u64,
    pub(super) captured: Vec<Captured>,
    /// Why something of the present file was not looked into.
    pub(super) cut: Vec<&'static str>,
    unpacked: u64,
    file: PathBuf,
}

impl Found {
    /// Goes on to the next file.
    pub(super) fn begin(&mut self, file: &std::path::Path) {
        self.file = file.to_path_buf();
        self.unpacked = 0;
        self.cut.clear();
    }

    fn add(&mut self, patterns: &Patterns, meaning: Meaning, layers: &[Layer], offset: u64) {
        let Meaning::Needle(number, spelling) = meaning else { return };
        self.n_findings += 1;
        if self.findings.len() < FINDINGS_MAX {
            let what = patterns.names.get(number).cloned().unwrap_or_default();
            let inside = layers.to_vec();
            self.findings.push(Finding { file: self.file.clone(), inside, offset, how: spelling, what });
        }
    }

    fn cut(&mut self, why: &'static str) {
        if !self.cut.contains(&why) {
            self.cut.push(why);
        }
    }
}

/// One stream of bytes: the file itself, or what something in it unpacks to.
pub(super) struct Stream {
    layers: Vec<Layer>,
    /// The last bytes of the chunk before, without and with its line breaks taken out.
    tail: Vec<u8>,
    wrapped_tail: Vec<u8>,
    /// Whether line breaks were taken out of it.
    tail_was_broken: bool,
    /// How many bytes were pushed.
    n_bytes: u64,
    open: Vec<Unpacking>,
}

impl Stream {
    pub(super) fn new(layers: Vec<Layer>) -> Self {
        Self {
            layers,
            tail: Vec::new(),
            wrapped_tail: Vec::new(),
            tail_was_broken: false,
            n_bytes: 0,
            open: Vec::new(),
        }
    }

    /// The next bytes.
    pub(super) fn push(&mut self, bytes: &[u8], patterns: &Patterns, found: &mut Found) {
        let window = [self.tail.as_slice(), bytes].concat();
        let n_old = self.tail.len();
        let begins_at = self.n_bytes - n_old as u64;
        self.open.retain_mut(|unpacking| unpacking.push(bytes, patterns, found));
        for hit in patterns.matcher.find_overlapping_iter(&window).filter(|hit| hit.end() > n_old) {
            let Some(meaning) = patterns.meanings.get(hit.pattern().as_usize()).copied() else { continue };
            let offset = begins_at + hit.start() as u64;
            let kind = match meaning {
                Meaning::Needle(..) => {
                    found.add(patterns, meaning, &self.layers, offset);
                    continue;
                }
                Meaning::Begins(_) if self.layers.len() >= DEPTH_MAX => {
                    found.cut("something compressed lies deeper than three layers");
                    continue;
                }
                Meaning::Begins(wrapping) => Kind::new(wrapping),
                Meaning::Capture => Some(Kind::Capture),
            };
            if self.open.len() >= OPEN_STREAMS_MAX {
                found.cut("more than 64 compressed streams overlap");
                continue;
            }
            let wrapping = if let Meaning::Begins(wrapping) = meaning { Some(wrapping) } else { None };
            let Some(mut unpacking) = kind.map(|kind| Unpacking::new(kind, wrapping, offset, &self.layers)) else {
                continue;
            };
            if unpacking.push(window.get(hit.start()..).unwrap_or_default(), patterns, found) {
                self.open.push(unpacking);
            }
        }
        self.match_wrapped(bytes, patterns, found);
        self.n_bytes += bytes.len() as u64;
        let keep = window.len().min(patterns.longest - 1);
        self.tail = window.get(window.len() - keep..).unwrap_or_default().to_vec();
    }

    /// Base64 and hexadecimal are often broken into lines: looks at the text with its line breaks taken out.
    fn match_wrapped(&mut self, bytes: &[u8], patterns: &Patterns, found: &mut Found) {
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let is_broken = bytes.contains(&b'\n') || bytes.contains(&b'\r');
        let was_broken = std::mem::replace(&mut self.tail_was_broken, is_broken);
        if !is_broken && !was_broken {
            // Nothing to take out: the plain pass has seen it all.
            self.wrapped_tail.clone_from(&self.tail);
            self.wrapped_tail.extend_from_slice(bytes);
            let keep = self.wrapped_tail.len().min(patterns.longest - 1);
            self.wrapped_tail.drain(..self.wrapped_tail.len() - keep);
            return;
        }
        let n_old = self.wrapped_tail.len();
        let mut window = std::mem::take(&mut self.wrapped_tail);
        window.extend(bytes.iter().filter(|byte| !is_break(byte)));
        for hit in patterns.wrapped.find_overlapping_iter(&window).filter(|hit| hit.end() > n_old) {
            let skip = hit.start().saturating_sub(n_old);
            let at =
                |nth: usize| bytes.iter().enumerate().filter(|(_, byte)| !is_break(byte)).nth(nth).map(|(at, _)| at);
            let (first, last) = (at(skip).unwrap_or(0), at(hit.end() - n_old - 1).unwrap_or(0));
            let is_whole = hit.start() >= n_old && last - first + 1 == hit.end() - hit.start();
            let in_old = hit.start() < n_old
                && self.tail.ends_with(window.get(hit.start()..n_old).unwrap_or_default())
                && last + 1 == hit.end() - n_old;
            if let Some(meaning) =
                patterns.wrapped_meanings.get(hit.pattern().as_usize()).filter(|_| !is_whole && !in_old)
            {
                found.add(patterns, *meaning, &self.layers, self.n_bytes + first as u64);
            }
        }
        let keep = window.len().min(patterns.longest - 1);
        window.drain(..window.len() - keep);
        self.wrapped_tail = window;
    }

    /// The stream ends here: what was being captured is handed over.
    pub(super) fn end(&mut self, found: &mut Found) {
        for mut unpacking in self.open.drain(..) {
            unpacking.end(found);
        }
    }

    /// Whether something compressed, or captured, has not ended yet.
    pub(super) fn is_unpacking(&self) -> bool {
        !self.open.is_empty()
    }

    /// A long run of zeros was skipped: no needle goes on across it.
    pub(super) fn skip(&mut self, n_bytes: u64) {
        self.tail.clear();
        self.wrapped_tail.clear();
        self.n_bytes += n_bytes;
    }
}

enum Kind {
    Gzip(Inflating),
    Zip(Inflating),
    Zstd(Box<zstd::stream::raw::Decoder<'static>>),
    Capture,
}

/// Raw deflate behind a head of its own.
struct Inflating {
    inflate: Box<Decompress>,
    head_done: bool,
}

impl Kind {
    fn new(wrapping: Wrapping) -> Option<Self> {
        let inflating = || Inflating { inflate: Box::new(Decompress::new(false)), head_done: false };
        Some(match wrapping {
            Wrapping::Gzip => Self::Gzip(inflating()),
            Wrapping::Zip => Self::Zip(inflating()),
            Wrapping::Zstd => Self::Zstd(Box::new(zstd::stream::raw::Decoder::new().ok()?)),
        })
    }
}

/// Something compressed that is being looked into while the stream around it goes by.
struct Unpacking {
    kind: Kind,
    /// Bytes of the head so far, or what is captured.
    held: Vec<u8>,
    stream: Box<Stream>,
}

impl Unpacking {
    fn new(kind: Kind, wrapping: Option<Wrapping>, at: u64, layers: &[Layer]) -> Self {
        let mut layers = layers.to_vec();
        layers.extend(wrapping.map(|wrapping| Layer { wrapping, at }));
        Self { kind, held: Vec::new(), stream: Box::new(Stream::new(layers)) }
    }

    /// Whether it wants more.
    fn push(&mut self, bytes: &[u8], patterns: &Patterns, found: &mut Found) -> bool {
        let goes_on = match &mut self.kind {
            Kind::Capture => {
                let room = patterns.capture_bytes_max - self.held.len();
                self.held.extend(bytes.iter().take(room));
                self.held.len() < patterns.capture_bytes_max
            }
            Kind::Zstd(decoder) => unpack_zstd(decoder, bytes, &mut self.stream, patterns, found),
            Kind::Gzip(inflating) | Kind::Zip(inflating) if inflating.head_done => {
                inflate(&mut inflating.inflate, bytes, &mut self.stream, patterns, found)
            }
            Kind::Gzip(_) | Kind::Zip(_) => return self.push_head(bytes, patterns, found),
        };
        if !goes_on {
            self.end(found);
        }
        goes_on
    }

    fn push_head(&mut self, bytes: &[u8], patterns: &Patterns, found: &mut Found) -> bool {
        self.held.extend_from_slice(bytes);
        let head = match &self.kind {
            Kind::Gzip(_) => gzip_head(&self.held),
            _ => zip_head(&self.held),
        };
        match head {
            Head::Bytes(n_bytes) => {
                let rest = self.held.split_off(n_bytes.min(self.held.len()));
                if let Kind::Gzip(inflating) | Kind::Zip(inflating) = &mut self.kind {
                    inflating.head_done = true;
                }
                self.push(&rest, patterns, found)
            }
            Head::NotYet => self.held.len() < HEAD_BYTES_MAX,
            Head::None => false,
        }
    }

    fn end(&mut self, found: &mut Found) {
        if matches!(self.kind, Kind::Capture) {
            found.captured.push((found.file.clone(), std::mem::take(&mut self.held)));
        }
        self.stream.end(found);
    }
}

/// What `unpacked` brings; whether there is still room.
fn pass_on(unpacked: &[u8], stream: &mut Stream, patterns: &Patterns, found: &mut Found) -> bool {
    if unpacked.is_empty() {
        return true;
    }
    found.unpacked = found.unpacked.saturating_add(unpacked.len() as u64);
    if found.unpacked > UNPACKED_BYTES_MAX {
        found.cut("what is compressed in it unpacks to more than 4 GiB");
        return false;
    }
    stream.push(unpacked, patterns, found);
    true
}

fn inflate(
    inflate: &mut Decompress,
    bytes: &[u8],
    stream: &mut Stream,
    patterns: &Patterns,
    found: &mut Found,
) -> bool {
    let (mut rest, mut out) = (bytes, vec![0; UNPACK_CHUNK_BYTES]);
    loop {
        let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(rest, &mut out, FlushDecompress::None);
        let n_in = usize::try_from(inflate.total_in() - before_in).unwrap_or(0);
        let n_out = usize::try_from(inflate.total_out() - before_out).unwrap_or(0);
        rest = rest.get(n_in..).unwrap_or_default();
        // Also what came before an error: a torn file still says something.
        if !pass_on(out.get(..n_out).unwrap_or_default(), stream, patterns, found) {
            return false;
        }
        match status {
            Err(_) | Ok(Status::StreamEnd) => return false,
            Ok(_) if n_in == 0 && n_out == 0 => return true,
            Ok(_) => {}
        }
    }
}

fn unpack_zstd(
    decoder: &mut zstd::stream::raw::Decoder<'static>,
    bytes: &[u8],
    stream: &mut Stream,
    patterns: &Patterns,
    found: &mut Found,
) -> bool {
    let mut out = vec![0; UNPACK_CHUNK_BYTES];
    let mut input = InBuffer::around(bytes);
    loop {
        let before = input.pos();
        let mut output = OutBuffer::around(out.as_mut_slice());
        let left = decoder.run(&mut input, &mut output);
        let n_out = output.pos();
        let moved = input.pos() > before || n_out > 0;
        if !pass_on(out.get(..n_out).unwrap_or_default(), stream, patterns, found) {
            return false;
        }
        match left {
            Err(_) | Ok(0) => return false,
            Ok(_) if !moved => return true,
            Ok(_) => {}
        }
    }
}

enum Head {
    Bytes(usize),
    NotYet,
    None,
}

/// RFC 1952 § 2.3.
fn gzip_head(bytes: &[u8]) -> Head {
    let Some([_, _, method, flags, ..]) = bytes.first_chunk::<10>() else { return Head::NotYet };
    if *method != 8 || flags & 0xe0 != 0 {
        return Head::None;
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some([low, high]) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return Head::NotYet };
        at += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            let Some(end) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
                return Head::NotYet;
            };
            at += end + 1;
        }
    }
    at += if flags & 2 != 0 { 2 } else { 0 };
    if bytes.len() < at { Head::NotYet } else { Head::Bytes(at) }
}

/// The local head of a file in a zip; what is only stored needs no unpacking.
fn zip_head(bytes: &[u8]) -> Head {
    let Some(head) = bytes.first_chunk::<30>() else { return Head::NotYet };
    let [_, _, _, _, _, _, flags, _, m0, m1, rest @ ..] = head;
    let [.., n0, n1, e0, e1] = rest;
    if u16::from_le_bytes([*m0, *m1]) != 8 || flags & 1 != 0 {
        return Head::None;
    }
    let n_bytes = 30 + usize::from(u16::from_le_bytes([*n0, *n1])) + usize::from(u16::from_le_bytes([*e0, *e1]));
    if bytes.len() < n_bytes { Head::NotYet } else { Head::Bytes(n_bytes) }
}
