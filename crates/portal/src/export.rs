//! The copy a person takes along: one zip with a page to read, data for programs, tables for a spreadsheet, and the signed
//! receipts. It is made in memory from the same copy the pages show, handed over, and kept nowhere.

use crate::PortalError;
use crate::copy::{EventCopy, FactCopy, PersonCopy, ValueCopy};
use crate::frame::{Frame, SHEET};
use askama::Template;
use std::borrow::Cow;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The description of `data.json`, a JSON Schema.
pub const SCHEMA: &str = include_str!("schema.json");

/// `/privacy/me/export`
#[derive(Template)]
#[template(path = "export.html")]
pub(crate) struct ExportPage {
    pub(crate) frame: Frame,
    pub(crate) csrf: String,
}

/// `index.html` inside the archive: stands alone, needs no network.
#[derive(Template)]
#[template(path = "copy.html")]
struct IndexPage<'c> {
    sheet: &'static str,
    contact: &'c str,
    copy: &'c PersonCopy,
}

/// Packs the whole copy.
pub(crate) fn pack(copy: &PersonCopy, contact: &str, keys_json: &str) -> Result<Vec<u8>, PortalError> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(64 * 1024)));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut part = |name: &str, bytes: &[u8]| -> Result<(), PortalError> {
        archive.start_file(name, options)?;
        archive.write_all(bytes)?;
        Ok(())
    };
    part("index.html", IndexPage { sheet: SHEET, contact, copy }.render()?.as_bytes())?;
    part("data.json", &serde_json::to_vec_pretty(copy)?)?;
    part("schema.json", SCHEMA.as_bytes())?;
    for (name, table) in tables(copy)? {
        part(&format!("{name}.csv"), &table)?;
    }
    for answer in &copy.answers {
        part(&answer.receipt_file, answer.receipt.as_bytes())?;
    }
    part("receipts/keys.json", keys_json.as_bytes())?;
    Ok(archive.finish()?.into_inner())
}

/// A cell that a spreadsheet would run as a formula is made text by an apostrophe before it.
fn cell(text: &str) -> Cow<'_, str> {
    let runs = |first: char| matches!(first, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '|' | '%');
    match text.chars().next() {
        Some(first) if runs(first) => Cow::Owned(format!("'{text}")),
        _ => Cow::Borrowed(text),
    }
}

/// A value for a table: numbers stay numbers, texts are made safe.
fn value(value: &ValueCopy) -> String {
    match value {
        ValueCopy::Text(text) => cell(text).into_owned(),
        ValueCopy::Number(number) => number.to_string(),
        ValueCopy::Money { amount, currency } => format!("{amount} {currency}"),
        ValueCopy::Flag(flag) => flag.to_string(),
        ValueCopy::Instant(at) => at.0.to_string(),
        ValueCopy::Date(day) => day.clone(),
        ValueCopy::Ranking(items) => {
            let codes: Vec<&str> = items.iter().map(|guess| guess.item.as_str()).collect();
            cell(&codes.join(" ")).into_owned()
        }
    }
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Result<Vec<u8>, PortalError> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(&row)?;
    }
    writer.into_inner().map_err(|error| PortalError::Part(error.into_error()))
}

fn tables(copy: &PersonCopy) -> Result<[(&'static str, Vec<u8>); 8], PortalError> {
    let text = |text: &str| cell(text).into_owned();
    let maybe = |text: &Option<String>| text.as_deref().map(|text| cell(text).into_owned()).unwrap_or_default();
    let facts = table(
        [
            "name",
            "label",
            "value",
            "origin",
            "from",
            "rests_on",
            "as_of",
            "told_at",
            "told_how",
            "purposes",
            "kept_until",
        ],
        copy.facts.iter().map(|fact| {
            [
                text(&fact.name),
                text(&fact.label),
                value(&fact.value),
                fact.origin.to_owned(),
                text(&fact.from),
                text(&fact.rests_on.join("; ")),
                fact.as_of.0.to_string(),
                fact.told_at.map(|at| at.0.to_string()).unwrap_or_default(),
                fact.told_how.to_owned(),
                purposes(fact),
                fact.until.0.to_string(),
            ]
        }),
    )?;
    let events = table(
        ["id", "name", "occurred_at", "source", "source_day", "properties", "lines", "kept_until"],
        copy.events.iter().map(|event| {
            [
                event.id.clone(),
                text(&event.name),
                event.occurred_at.0.to_string(),
                text(&event.source),
                event.source_day.clone().unwrap_or_default(),
                text(&properties(event)),
                event.lines.len().to_string(),
                event.until.0.to_string(),
            ]
        }),
    )?;
    let lines = table(
        ["event", "item", "title", "quantity", "price", "currency"],
        copy.events.iter().flat_map(|event| event.lines.iter().map(move |line| (event, line))).map(|(event, line)| {
            [
                event.id.clone(),
                text(&line.item),
                text(&line.title),
                line.quantity.to_string(),
                line.price.clone(),
                line.currency.clone(),
            ]
        }),
    )?;
    let answers = table(
        ["id", "purpose", "status", "level", "words", "answered_at", "method", "notice_version", "made_up", "receipt"],
        copy.answers.iter().map(|answer| {
            [
                answer.id.clone(),
                text(&answer.purpose),
                answer.status.to_owned(),
                maybe(&answer.level),
                text(&answer.words),
                answer.answered_at.0.to_string(),
                answer.method.to_owned(),
                answer.notice_version.to_string(),
                answer.made_up.to_string(),
                answer.receipt_file.clone(),
            ]
        }),
    )?;
    let messages = table(
        ["decision", "at", "campaign", "channel", "held_out", "offer", "item", "title", "why", "state", "shared_by"],
        copy.messages.iter().map(|message| {
            [
                message.decision.clone(),
                message.at.0.to_string(),
                text(&message.campaign),
                message.channel.to_owned(),
                message.held_out.to_string(),
                maybe(&message.offer),
                maybe(&message.item),
                maybe(&message.title),
                maybe(&message.why),
                maybe(&message.state),
                message.shared_by.to_string(),
            ]
        }),
    )?;
    let uses = table(
        ["day", "artefact", "purpose", "times"],
        copy.uses.iter().map(|used| [used.day.clone(), text(&used.artefact), maybe(&used.purpose), used.n.to_string()]),
    )?;
    let staff = table(
        ["at", "staff", "reason"],
        copy.staff_reads.iter().map(|read| [read.at.0.to_string(), text(&read.staff), text(&read.reason)]),
    )?;
    let given = table(
        ["recipient", "who", "what", "first_at", "last_at", "times"],
        copy.given.iter().map(|given| {
            [
                text(&given.recipient),
                text(&given.who),
                text(&given.what.join("; ")),
                given.first_at.0.to_string(),
                given.last_at.0.to_string(),
                given.n.to_string(),
            ]
        }),
    )?;
    Ok([
        ("facts", facts),
        ("events", events),
        ("event_lines", lines),
        ("choices", answers),
        ("messages", messages),
        ("who_read", uses),
        ("staff_reads", staff),
        ("who_got", given),
    ])
}

fn purposes(fact: &FactCopy) -> String {
    let names: Vec<&str> = fact.purposes.iter().map(|purpose| purpose.name.as_str()).collect();
    names.join("; ")
}

fn properties(event: &EventCopy) -> String {
    let shown: Vec<String> = event.properties.iter().map(|(name, held)| format!("{name}={}", value(held))).collect();
    shown.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_in_a_cell_is_only_text() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "|cmd"] {
            assert!(cell(text).starts_with('\''), "{text:?}");
        }
        assert_eq!(cell("A little something"), "A little something");
        assert_eq!(value(&ValueCopy::Number(-3)), "-3", "a number is not a formula");
    }
}
