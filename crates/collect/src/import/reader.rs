//! From the bytes of a file to lines: gzip by its first bytes, head line, encoding, one [`Line`] per record with its row
//! key. Pure: it opens nothing and sends nothing.
//!
//! Lines equal in all fields are separate lines. The row key is made of all fields and of the how-manieth equal line of
//! this file it is; so the same line of two files has the same key, and the union of both holds each line as often as
//! the file that has more of it, in whichever order the files come.

use super::error::{ImportError, Unreadable, shape};
use super::mapping::{Columns, Dates, Encoding, Mapping};
use aws_lc_rs::digest;
use csv::ByteRecord;
use jiff::civil::Date;
use model::{At, Day, ItemCode, Money};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;

/// Longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Most different lines of one file, so that counting repeats stays within some 100 MB.
pub const LINES_MAX: usize = 1 << 22;
/// Most columns of one file.
pub const COLUMNS_MAX: usize = 256;
/// Longest invoice number, in bytes.
const INVOICE_BYTES_MAX: usize = 64;
/// Longest customer id, in bytes, as for any identifier.
const CUSTOMER_BYTES_MAX: usize = 512;

/// One readable line.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Which line of the file, head line = 1; a quoted line break counts.
    pub number: u64,
    /// Key of the line: all fields, and which of the equal lines it is. Never 0.
    pub row: u64,
    /// Invoice number.
    pub invoice: String,
    /// Item code.
    pub item: ItemCode,
    /// Description as it stands, trimmed.
    pub description: String,
    /// How many; negative when taken back.
    pub quantity: i32,
    /// On which day, in the shop's own time.
    pub date: Date,
    /// Of one.
    pub price: Money,
    /// Who; `None` when unknown.
    pub customer: Option<String>,
}

/// How one record of the file reads.
#[derive(Clone, PartialEq, Eq)]
pub enum Record {
    /// A line.
    Line(Line),
    /// A line that cannot be read: its number, and why.
    Unreadable(u64, Unreadable),
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({})", self.number)
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => line.fmt(f),
            Self::Unreadable(number, reason) => write!(f, "Unreadable({number}, {reason})"),
        }
    }
}

/// SHA-256 of a file's bytes: under this name its position is kept.
///
/// # Errors
/// When reading fails.
pub fn fingerprint(mut file: impl Read) -> std::io::Result<[u8; 32]> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        context.update(buffer.get(..n).unwrap_or_default());
    }
    Ok(bytes_of(&context.finish()))
}

pub(super) fn bytes_of<const N: usize>(digest: &digest::Digest) -> [u8; N] {
    let mut bytes = [0; N];
    for (target, source) in bytes.iter_mut().zip(digest.as_ref()) {
        *target = *source;
    }
    bytes
}

/// Lets at most so many bytes through until the allowance is renewed: a line without an end cannot fill the memory.
struct Allowance<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Allowance<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(std::io::Error::other(LongLine));
        }
        let most = left.min(out.len());
        let n = self.inner.read(out.get_mut(..most).unwrap_or_default())?;
        self.left.set(left - n.min(left));
        Ok(n)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a line is too long")]
struct LongLine;

/// Reads one file through one mapping.
pub struct Reader<'m> {
    csv: csv::Reader<Allowance<Box<dyn BufRead + 'm>>>,
    allowance: Rc<Cell<usize>>,
    places: Places,
    mapping: &'m Mapping,
    record: ByteRecord,
    seen: HashMap<u64, u32>,
    codes: HashMap<Vec<u8>, ItemCode>,
    latest_date: (Vec<u8>, Date),
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.mapping.name)
    }
}

impl<'m> Reader<'m> {
    /// Reads the head line and finds the columns.
    ///
    /// # Errors
    /// [`ImportError`] when the file does not fit the mapping.
    pub fn new(file: impl BufRead + 'm, mapping: &'m Mapping) -> Result<Self, ImportError> {
        let file = unpacked(file)?;
        let allowance = Rc::new(Cell::new(LINE_BYTES_MAX));
        let mut csv = csv::ReaderBuilder::new()
            .delimiter(mapping.file.delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(32 * 1024)
            .from_reader(Allowance { inner: file, left: allowance.clone() });
        let mut head = ByteRecord::new();
        if !csv.read_byte_record(&mut head).map_err(|error| unreadable(error, 1))? {
            return Err(ImportError::Empty);
        }
        let places = Places::find(&head, &mapping.columns, mapping.file.delimiter)?;
        Ok(Self {
            csv,
            allowance,
            places,
            mapping,
            record: ByteRecord::new(),
            seen: HashMap::new(),
            codes: HashMap::new(),
            latest_date: (Vec::new(), Date::ZERO),
        })
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// [`ImportError`] when the file cannot be read on.
    pub fn next_record(&mut self) -> Result<Option<Record>, ImportError> {
        let number = self.csv.position().line();
        self.allowance.set(LINE_BYTES_MAX);
        let there_is_one = self.csv.read_byte_record(&mut self.record).map_err(|error| unreadable(error, number))?;
        if !there_is_one {
            return Ok(None);
        }
        let row = self.row_key()?;
        Ok(Some(match self.line(number, row) {
            Ok(line) => Record::Line(line),
            Err(reason) => Record::Unreadable(number, reason),
        }))
    }

    /// Also unreadable lines are counted, so that a later, wiser mapping gives the same keys to the others.
    fn row_key(&mut self) -> Result<u64, ImportError> {
        let mut context = digest::Context::new(&digest::SHA256);
        for field in &self.record {
            context.update(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
            context.update(field);
        }
        let fields = u64::from_be_bytes(bytes_of(&context.finish()));
        if self.seen.len() >= LINES_MAX && !self.seen.contains_key(&fields) {
            return Err(ImportError::TooManyLines { limit: LINES_MAX });
        }
        let count = self.seen.entry(fields).or_insert(0);
        *count += 1;
        Ok(row_of(fields, *count))
    }

    fn line(&mut self, number: u64, row: u64) -> Result<Line, Unreadable> {
        let (found, expected) = (self.record.len(), self.places.n);
        if found != expected {
            return Err(Unreadable::Columns { found, expected });
        }
        let encoding = self.mapping.file.encoding;
        let field = |place: usize| text(self.record.get(place).unwrap_or_default(), encoding).map(trimmed);
        let invoice = field(self.places.invoice)?;
        if invoice.is_empty() || invoice.len() > INVOICE_BYTES_MAX {
            return Err(Unreadable::Invoice);
        }
        let quantity = field(self.places.quantity)?;
        let quantity: i32 = quantity.parse().map_err(|_| Unreadable::Quantity { shape: shape(&quantity) })?;
        let price = field(self.places.price)?;
        let price = Money::parse(&price, self.mapping.currency).ok_or(Unreadable::Price { shape: shape(&price) })?;
        let customer = Some(field(self.places.customer)?).filter(|customer| !customer.is_empty());
        if customer.as_ref().is_some_and(|customer| customer.len() > CUSTOMER_BYTES_MAX) {
            return Err(Unreadable::Customer);
        }
        let (invoice, description) = (invoice.into_owned(), field(self.places.description)?.into_owned());
        let customer = customer.map(Cow::into_owned);
        let item = self.item()?;
        let date = self.date()?;
        Ok(Line { number, row, invoice, item, description, quantity, date, price, customer })
    }

    /// Codes repeat: each is parsed once.
    fn item(&mut self) -> Result<ItemCode, Unreadable> {
        let bytes = self.record.get(self.places.item).unwrap_or_default();
        if let Some(known) = self.codes.get(bytes) {
            return Ok(known.clone());
        }
        let code = ItemCode::parse(&text(bytes, self.mapping.file.encoding)?).ok_or(Unreadable::Item)?;
        if self.codes.len() < LINES_MAX {
            self.codes.insert(bytes.to_vec(), code.clone());
        }
        Ok(code)
    }

    /// Lines of one invoice share their date: it is parsed once.
    fn date(&mut self) -> Result<Date, Unreadable> {
        let bytes = self.record.get(self.places.date).unwrap_or_default();
        if self.latest_date.0 != bytes || bytes.is_empty() {
            let text = text(bytes, self.mapping.file.encoding)?;
            let parsed = Date::strptime(&self.mapping.dates.format, text.trim());
            let parsed = parsed.map_err(|_| Unreadable::Date { shape: shape(text.trim()) })?;
            self.latest_date = (bytes.to_vec(), parsed);
        }
        Ok(self.latest_date.1)
    }
}

/// The first of equal lines has the hash of its fields, the others are stepped from it.
fn row_of(fields: u64, count: u32) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut row = fields.wrapping_add(STEP.wrapping_mul(u64::from(count)));
    row = (row ^ (row >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    row = (row ^ (row >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (row ^ (row >> 31)).max(1)
}

fn unpacked<'m>(mut file: impl BufRead + 'm) -> Result<Box<dyn BufRead + 'm>, ImportError> {
    let head = file.fill_buf().map_err(ImportError::Read)?;
    if head.starts_with(&[0x1f, 0x8b]) {
        let inner = flate2::bufread::MultiGzDecoder::new(file);
        return plain(BufReader::with_capacity(64 * 1024, inner));
    }
    plain(file)
}

/// Takes a byte order mark off.
fn plain<'m>(mut file: impl BufRead + 'm) -> Result<Box<dyn BufRead + 'm>, ImportError> {
    let head = file.fill_buf().map_err(ImportError::Read)?;
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(ImportError::Utf16);
    }
    if head.starts_with(&[0xef, 0xbb, 0xbf]) {
        file.consume(3);
    }
    Ok(Box::new(file))
}

fn unreadable(error: csv::Error, line: u64) -> ImportError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<LongLine>()) => {
            ImportError::LongLine { line, limit: LINE_BYTES_MAX }
        }
        csv::ErrorKind::Io(error) => ImportError::Read(error),
        other => ImportError::Read(std::io::Error::other(format!("{other:?}"))),
    }
}

fn text(bytes: &[u8], encoding: Encoding) -> Result<Cow<'_, str>, Unreadable> {
    match (encoding, std::str::from_utf8(bytes)) {
        (Encoding::Utf8, Ok(text)) => Ok(Cow::Borrowed(text)),
        (Encoding::Utf8, Err(error)) => {
            Err(Unreadable::Encoding { byte: bytes.get(error.valid_up_to()).copied().unwrap_or_default() })
        }
        (Encoding::Latin1, _) => Ok(Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect())),
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Where the columns stand.
struct Places {
    n: usize,
    invoice: usize,
    item: usize,
    description: usize,
    quantity: usize,
    date: usize,
    price: usize,
    customer: usize,
}

impl Places {
    fn find(head: &ByteRecord, columns: &Columns, delimiter: u8) -> Result<Self, ImportError> {
        let names: Vec<String> =
            head.iter().take(COLUMNS_MAX).map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let mut missing = Vec::new();
        let mut place = |name: &str| match names.iter().position(|found| found == name) {
            Some(at) => at,
            None => {
                missing.push(name.to_owned());
                0
            }
        };
        let places = Self {
            n: head.len(),
            invoice: place(&columns.invoice),
            item: place(&columns.item),
            description: place(&columns.description),
            quantity: place(&columns.quantity),
            date: place(&columns.date),
            price: place(&columns.price),
            customer: place(&columns.customer),
        };
        columns.only_for_the_row_key.iter().for_each(|name| {
            place(name);
        });
        if missing.is_empty() {
            return Ok(places);
        }
        if let (1, Some(line)) = (head.len(), names.first()) {
            let others = [',', ';', '\t', '|'].into_iter().filter(|other| *other != char::from(delimiter));
            let best = others.map(|other| (line.matches(other).count() + 1, other)).max();
            if let Some((n, found)) = best.filter(|(n, _)| *n > 1) {
                return Err(ImportError::Delimiter { expected: char::from(delimiter), found, n });
            }
        }
        let found: Vec<&str> = names.iter().map(String::as_str).take(32).collect();
        Err(ImportError::Columns { missing: missing.join(", "), found: found.join(", ") })
    }
}

/// Turns a date of the file into an instant: noon of that day in the shop's zone, shifted by whole days. The time of day is
/// not kept: nobody promised to need it, and lines of one invoice differ in it, while the invoice must come out the same
/// from every file.
#[derive(Debug)]
pub struct Instants<'m> {
    dates: &'m Dates,
    shift_days: i32,
    latest: Option<(Date, (At, Day))>,
}

impl<'m> Instants<'m> {
    /// Of one mapping, with its shift.
    #[must_use]
    pub const fn new(dates: &'m Dates, shift_days: i32) -> Self {
        Self { dates, shift_days, latest: None }
    }

    /// When, shifted; and the day that stands in the source.
    #[must_use]
    pub fn of(&mut self, date: Date) -> (At, Day) {
        if let Some((known, answer)) = self.latest
            && known == date
        {
            return answer;
        }
        let answer = (self.shifted(date), day_of(date));
        self.latest = Some((date, answer));
        answer
    }

    fn shifted(&self, date: Date) -> At {
        let span = jiff::Span::new().try_days(self.shift_days).unwrap_or_default();
        let noon = date.checked_add(span).unwrap_or(date).at(12, 0, 0, 0);
        let zoned = noon.to_zoned(self.dates.zone.clone());
        zoned.map_or(At::from_ms(0), |zoned| At::from_ms(zoned.timestamp().as_millisecond()))
    }
}

/// A calendar date as a day.
#[must_use]
pub fn day_of(date: Date) -> Day {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = date.since((jiff::Unit::Day, epoch)).map_or(0, |span| span.get_days());
    Day::from_number(days)
}
