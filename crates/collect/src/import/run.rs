//! One file through one mapping into the vault: chunk by chunk, each committed before its position is, so that a kill at
//! any point loses nothing and doubles nothing. While a chunk is being committed the next one is read.

use super::catalogue::Catalogue;
use super::error::{ImportError, Unreadable};
use super::made_up::{Answer, Lot, email};
use super::mapping::{ConsentRule, Filling, Mapping};
use super::position::{Position, catalogue_name, load, patiently, position_name, save, shift};
use super::reader::{Instants, Line, Reader, Record, bytes_of};
use super::report::{ImportReport, KindCount, MadeUpCount, Shift, UNREADABLE_MAX};
use super::totals::totals;
use aws_lc_rs::digest;
use model::{At, ConsentStatus, Day, EventKind, LineItem, Method, Money, Trust, Value, Words};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::BufRead;
use std::ops::ControlFlow;
use vault::{
    AnonymousSale, ConsentChange, Identifier, IdentifierKind, Intake, MessageKey, Outcome, Pending, Subject, Vault,
};

/// Orders and refunds in one chunk.
pub const CHUNK_ORDERS_MAX: usize = 250;
/// Lines in one chunk.
pub const CHUNK_LINES_MAX: usize = 5_000;
/// Lines after which a file that does not fit its mapping is given up, before anything is written.
pub const TRIAL_LINES: u64 = 1_000;

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Lines of the file read so far.
    pub n_lines: u64,
    /// Lines whose chunk is committed.
    pub n_committed: u64,
}

/// Reads a file through a mapping into the vault. `sha256` is the file's [`super::fingerprint`]; `progress` is called
/// after each chunk and may stop the import there: the next run goes on from that place.
///
/// # Errors
/// [`ImportError`]. What was committed stays.
pub fn import(
    vault: &Vault,
    mapping: &Mapping,
    sha256: &[u8; 32],
    file: impl BufRead,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<ImportReport, ImportError> {
    let mut reader = Reader::new(file, mapping)?;
    let mut import = Import::new(vault, mapping, sha256)?;
    let mut is_finished = true;
    while let Some(record) = reader.next_record()? {
        if import.hear(record, progress)?.is_break() {
            is_finished = false;
            break;
        }
    }
    import.finish(is_finished, progress)
}

/// One order or refund, while its lines come in.
struct Order {
    rule: usize,
    invoice: String,
    customer: String,
    at: At,
    source_day: Day,
    first_record: u64,
    lines: Vec<LineItem>,
    total: Money,
}

/// A chunk on its way to the vault.
struct Sent {
    people: Vec<NewPerson>,
    orders: Pending<Vec<Outcome>>,
    sales: Option<Pending<Vec<Outcome>>>,
    lines_done: u64,
}

/// Somebody whose first order is in this chunk.
struct NewPerson {
    order: usize,
    customer: String,
    at: At,
    source_day: Day,
}

struct Import<'a> {
    vault: &'a Vault,
    mapping: &'a Mapping,
    instants: Instants<'a>,
    shift: Option<Shift>,
    position_name: String,
    position: Position,
    /// Records that an earlier run had committed.
    n_resumed: u64,
    resume_new_people_at: BTreeSet<u64>,
    catalogue: Catalogue<'a>,
    report: ImportReport,
    first_unreadable: Option<(u64, Unreadable)>,
    seen: HashSet<[u8; 16]>,
    n_records: u64,
    open: Option<Order>,
    orders: Vec<Order>,
    sales: Vec<AnonymousSale>,
    n_chunk_lines: usize,
    sent: Option<Sent>,
    saved: Option<Pending<()>>,
}

impl<'a> Import<'a> {
    fn new(vault: &'a Vault, mapping: &'a Mapping, sha256: &[u8; 32]) -> Result<Self, ImportError> {
        let snapshot = vault.snapshot();
        if !snapshot.is_reviewed(&mapping.artefact()) {
            return Err(ImportError::NotReviewed { name: mapping.name.clone() });
        }
        let position_name = position_name(mapping, sha256);
        let stored: Position = load(&snapshot, &position_name)?.unwrap_or_default();
        // A finished file that is read again is sent again: the vault recognises what it has.
        let stored = if stored.is_finished { Position::default() } else { stored };
        let shift = shift(vault, &snapshot, mapping)?;
        let kind = |rule: &super::mapping::EventRule| KindCount {
            says: rule.says.clone(),
            event: rule.name.as_str().to_owned(),
            n_orders: 0,
            n_lines: 0,
            n_lines_of_nobody: 0,
        };
        let made_up = mapping.made_up.as_ref();
        let report = ImportReport {
            mapping: mapping.name.clone(),
            kinds: mapping.events.iter().map(kind).collect(),
            made_up: made_up.map(|made_up| MadeUpCount { says: made_up.says.clone(), ..MadeUpCount::default() }),
            shift,
            ..ImportReport::default()
        };
        Ok(Self {
            vault,
            mapping,
            instants: Instants::new(&mapping.dates, shift.map_or(0, |shift| shift.days)),
            shift,
            position_name,
            resume_new_people_at: stored.new_people_at.iter().copied().collect(),
            n_resumed: stored.lines_done,
            position: stored,
            catalogue: Catalogue::new(&mapping.catalogue),
            report,
            first_unreadable: None,
            seen: HashSet::new(),
            n_records: 0,
            open: None,
            orders: Vec::new(),
            sales: Vec::new(),
            n_chunk_lines: 0,
            sent: None,
            saved: None,
        })
    }

    /// One record of the file.
    fn hear(
        &mut self,
        record: Record,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ImportError> {
        self.n_records += 1;
        let mut flow = ControlFlow::Continue(());
        match record {
            Record::Unreadable(number, reason) => self.note(number, &reason),
            Record::Line(line) => match self.mapping.event_of(&line.invoice) {
                None => self.note(line.number, &Unreadable::NoEvent),
                Some((rule, _)) => {
                    let goes_on = self.open.as_ref().is_some_and(|order| order.is_of(&line));
                    if !goes_on {
                        self.close();
                        if self.is_full() {
                            flow = self.send(self.n_records - 1, progress)?;
                        }
                    }
                    self.take(rule, line)?;
                }
            },
        }
        if self.n_records == TRIAL_LINES {
            self.does_it_fit()?;
        }
        Ok(flow)
    }

    fn is_full(&self) -> bool {
        self.orders.len() >= CHUNK_ORDERS_MAX || self.n_chunk_lines >= CHUNK_LINES_MAX
    }

    fn note(&mut self, number: u64, reason: &Unreadable) {
        self.report.n_unreadable += 1;
        if self.report.unreadable.len() < UNREADABLE_MAX {
            self.report.unreadable.push((number, reason.to_string()));
        }
        if self.report.n_unreadable == 1 {
            self.first_unreadable = Some((number, reason.clone()));
        }
    }

    /// Gives a file up that does not fit its mapping. Chunks are larger than the trial: nothing was written yet.
    fn does_it_fit(&self) -> Result<(), ImportError> {
        match &self.first_unreadable {
            Some((line, reason)) if self.report.n_unreadable * 2 > self.n_records => Err(ImportError::DoesNotFit {
                n: self.report.n_unreadable,
                of: self.n_records,
                line: *line,
                reason: reason.clone(),
                way_out: reason.way_out(),
            }),
            _ => Ok(()),
        }
    }

    fn take(&mut self, rule: usize, line: Line) -> Result<(), ImportError> {
        let (at, source_day) = self.instants.of(line.date);
        self.report.n_lines += 1;
        self.catalogue.hear(&line.item, &line.description, source_day, line.price)?;
        let Some(worth) = line.price.times(i64::from(line.quantity)) else {
            self.report.n_lines -= 1;
            self.note(line.number, &Unreadable::TooMuch);
            return Ok(());
        };
        let is_done = self.n_records <= self.n_resumed;
        let Some(kind) = self.report.kinds.get_mut(rule) else { return Ok(()) };
        let item = LineItem { row: line.row, item: line.item, quantity: line.quantity, price: line.price };
        let Some(customer) = line.customer else {
            kind.n_lines_of_nobody += 1;
            if !is_done {
                let invoice = self.key(&["sale", &line.invoice]);
                let Some(event) = self.mapping.events.get(rule).map(|rule| rule.name.clone()) else { return Ok(()) };
                self.sales.push(AnonymousSale { row: line.row, invoice, occurred_at: at, line: item, event });
                self.n_chunk_lines += 1;
            }
            return Ok(());
        };
        kind.n_lines += 1;
        self.n_chunk_lines += usize::from(!is_done);
        match &mut self.open {
            Some(order) => {
                order.total.micros = order.total.micros.saturating_add(worth.micros);
                order.lines.push(item);
            }
            None => {
                kind.n_orders += 1;
                self.open = Some(Order {
                    rule,
                    invoice: line.invoice,
                    customer,
                    at,
                    source_day,
                    first_record: self.n_records,
                    lines: vec![item],
                    total: worth,
                });
            }
        }
        Ok(())
    }

    /// The order whose lines have ended joins the chunk, or was committed by an earlier run.
    fn close(&mut self) {
        let Some(order) = self.open.take() else { return };
        if order.first_record <= self.n_resumed {
            self.seen.insert(self.key(&["person", &order.customer]));
        } else {
            self.orders.push(order);
        }
    }

    /// Waits for the chunk before, then hands this one over.
    fn send(
        &mut self,
        lines_done: u64,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ImportError> {
        let flow = self.settle(progress)?;
        if flow.is_break() {
            return Ok(flow);
        }
        let orders = std::mem::take(&mut self.orders);
        let sales = std::mem::take(&mut self.sales);
        self.n_chunk_lines = 0;
        let people = self.new_people(&orders);
        self.position.new_people_at =
            people.iter().filter_map(|person| orders.get(person.order)).map(|order| order.first_record).collect();
        self.save_position()?;
        let intakes: Vec<Intake> = orders.into_iter().filter_map(|order| self.intake(order)).collect();
        let orders = patiently(|| self.vault.take(intakes.clone()))?;
        let sales = match sales.is_empty() {
            true => None,
            false => Some(patiently(|| self.vault.put_anonymous_sales(sales.clone()))?),
        };
        self.sent = Some(Sent { people, orders, sales, lines_done });
        Ok(ControlFlow::Continue(()))
    }

    /// People of this chunk whom neither this file nor another one has brought before.
    fn new_people(&mut self, orders: &[Order]) -> Vec<NewPerson> {
        let snapshot = self.vault.snapshot();
        let mut people = Vec::new();
        for (at, order) in orders.iter().enumerate() {
            if !self.seen.insert(self.key(&["person", &order.customer])) {
                continue;
            }
            let is_new = || snapshot.find(&user(&order.customer)).is_none();
            if self.resume_new_people_at.contains(&order.first_record) || is_new() {
                let (customer, source_day) = (order.customer.clone(), order.source_day);
                people.push(NewPerson { order: at, customer, at: order.at, source_day });
            }
        }
        people
    }

    fn intake(&self, order: Order) -> Option<Intake> {
        let name = self.mapping.events.get(order.rule)?.name.clone();
        let message_key = MessageKey::History(self.key(&["order", &order.invoice, &order.customer]));
        let fill = |filling: &Filling| match filling {
            Filling::Invoice => Value::Text(order.invoice.clone()),
            Filling::Total => Value::Money(order.total),
        };
        let properties = self.mapping.properties.iter().map(|(name, filling)| (name.clone(), fill(filling))).collect();
        // With each order, not with the first alone: an address that is kept two years from the last order would have
        // outlived itself when an old first order brings it.
        let address = self.mapping.made_up.as_ref().and_then(|made_up| made_up.email.as_ref());
        let fields = address.map(|(field, pattern)| (field.clone(), Value::Text(email(pattern, &order.customer))));
        Some(Intake {
            subject: Subject::Identifiers { user: Some(user(&order.customer)), anonymous: None },
            kind: EventKind::Track,
            name,
            source: self.mapping.source.clone(),
            trust: Trust::Import,
            occurred_at: order.at,
            source_day: self.shift.is_some().then_some(order.source_day),
            properties,
            lines: order.lines,
            fields: fields.into_iter().collect(),
            told_version: self.mapping.told_notice,
            consent: BTreeMap::new(),
            message_key,
        })
    }

    /// The chunk before is committed: counts its outcomes, writes made-up answers, notes the position.
    fn settle(
        &mut self,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ImportError> {
        let Some(sent) = self.sent.take() else { return Ok(ControlFlow::Continue(())) };
        let orders = sent.orders.wait()?;
        let sales = sent.sales.map(Pending::wait).transpose()?.unwrap_or_default();
        for outcome in orders.iter().chain(&sales) {
            match outcome {
                Outcome::Kept { .. } => {}
                Outcome::Repeated => self.report.n_repeated += 1,
                Outcome::Refused { reason, .. } => {
                    *self.report.refused.entry(reason.as_str()).or_default() += 1;
                }
            }
        }
        let is_here = |person: &&NewPerson| !matches!(orders.get(person.order), Some(Outcome::Refused { .. }) | None);
        let people: Vec<&NewPerson> = sent.people.iter().filter(is_here).collect();
        self.make_up(&people)?;
        self.position.lines_done = sent.lines_done;
        self.position.new_people_at.clear();
        Ok(progress(Progress { n_lines: self.n_records, n_committed: sent.lines_done }))
    }

    /// Made-up answers of new people: first every yes and no, and when these hold, every later no.
    fn make_up(&mut self, people: &[&NewPerson]) -> Result<(), ImportError> {
        let (Some(made_up), Some(counts)) = (self.mapping.made_up.as_ref(), self.report.made_up.as_mut()) else {
            return Ok(());
        };
        if made_up.email.is_some() {
            counts.n_addresses += people.len() as u64;
        }
        let ends = self.mapping.history_ends;
        let shift_days = self.shift.map_or(0, |shift| shift.days);
        let now = self.vault.now();
        let mut later = Vec::new();
        let mut pending = Vec::new();
        for person in people {
            let lot = Lot::of(made_up, &person.customer);
            for rule in &made_up.consents {
                let answer = lot.answer(rule);
                let row = counts.answers.entry(rule.purpose.as_str().to_owned()).or_default();
                if let Some(count) = row.get_mut(answer as usize) {
                    *count += 1;
                }
                let first = match answer {
                    Answer::NeverAsked => continue,
                    Answer::No => ConsentStatus::Refused,
                    Answer::Yes | Answer::YesThenNo => ConsentStatus::Given,
                };
                let change = consent(self.mapping, rule, person, first, person.at);
                pending.push(patiently(|| self.vault.consent(change.clone()))?);
                if answer == Answer::YesThenNo {
                    let day = lot.later_day(person.source_day, ends.unwrap_or(person.source_day));
                    let at = day.plus(shift_days + 1).start().plus_ms(-1).min(now);
                    later.push(consent(self.mapping, rule, person, ConsentStatus::Withdrawn, at));
                }
            }
        }
        for answer in pending {
            answer.wait()?;
        }
        let later: Result<Vec<_>, _> =
            later.into_iter().map(|change| patiently(|| self.vault.consent(change.clone()))).collect();
        for answer in later? {
            answer.wait()?;
        }
        Ok(())
    }

    fn save_position(&mut self) -> Result<(), ImportError> {
        if let Some(saved) = self.saved.take() {
            saved.wait()?;
        }
        self.saved = Some(save(self.vault, &self.position_name, &self.position)?);
        Ok(())
    }

    fn finish(
        mut self,
        mut is_finished: bool,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ImportReport, ImportError> {
        self.report.n_resumed_lines = self.n_resumed;
        if is_finished {
            if self.n_records < TRIAL_LINES {
                self.does_it_fit()?;
            }
            self.close();
            is_finished = self.send(self.n_records, progress)?.is_continue() && self.settle(progress)?.is_continue();
        }
        if is_finished {
            self.stock()?;
        }
        // Only now: after a kill before this line the next run does what was left.
        self.position.is_finished = is_finished;
        self.save_position()?;
        if let Some(saved) = self.saved.take() {
            saved.wait()?;
        }
        self.report.is_finished = is_finished;
        if is_finished {
            self.report.totals = Some(totals(&self.vault.snapshot(), self.mapping)?);
        }
        Ok(self.report)
    }

    /// Writes the catalogue, joined with what other files told.
    fn stock(&mut self) -> Result<(), ImportError> {
        let name = catalogue_name(self.mapping);
        let stored = self.vault.snapshot().house_record(&name)?;
        let catalogue = std::mem::replace(&mut self.catalogue, Catalogue::new(&self.mapping.catalogue));
        let stocked = catalogue.finish(stored.as_deref(), self.mapping.currency, &name)?;
        patiently(|| self.vault.put_items(stocked.items.clone()))?.wait()?;
        patiently(|| self.vault.put_house_record(&name, Some(stocked.record.clone())))?.wait()?;
        self.report.catalogue = stocked.summary;
        Ok(())
    }

    /// Sixteen bytes made of source values: the same in every run.
    fn key(&self, parts: &[&str]) -> [u8; 16] {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [self.mapping.source.as_str()].iter().chain(parts) {
            context.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            context.update(part.as_bytes());
        }
        bytes_of(&context.finish())
    }
}

impl Order {
    fn is_of(&self, line: &Line) -> bool {
        self.invoice == line.invoice && line.customer.as_deref() == Some(self.customer.as_str())
    }
}

fn user(customer: &str) -> Identifier {
    Identifier { kind: IdentifierKind::User, value: customer.to_owned() }
}

fn consent(
    mapping: &Mapping,
    rule: &ConsentRule,
    person: &NewPerson,
    status: ConsentStatus,
    answered_at: At,
) -> ConsentChange {
    ConsentChange {
        subject: Subject::Identifiers { user: Some(user(&person.customer)), anonymous: None },
        source: Some(mapping.source.clone()),
        purpose: rule.purpose.clone(),
        status,
        level: None,
        words: Words { text: rule.words.clone(), language: rule.language.clone(), answered_at },
        method: Method::Import,
        notice_version: mapping.told_notice.unwrap_or(0),
        made_up: true,
    }
}
