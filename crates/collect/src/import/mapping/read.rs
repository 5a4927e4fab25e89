//! From the text of a mapping file to a checked [`Mapping`], or to all of its mistakes at once, each with its place.

use super::{
    CataloguePlan, Columns, ConsentRule, Dates, Encoding, EventRule, FilePlan, Filling, GuardedFamily,
    MAPPING_BYTES_MAX, MadeUp, Mapping, Titles,
};
use crate::import::words::{WORDS_MAX, WordList};
use model::{Currency, Day, EventName, FieldName, Kind, PurposeName, SourceName};
use promise::{Basis, Diagnostic, Promise, Report, Severity, SourceKind};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    edition: Spanned<i64>,
    name: Text,
    source: Text,
    purpose: Text,
    keep: Text,
    history_ends: Option<Text>,
    told_notice: Option<Spanned<u32>>,
    file: RawFile,
    columns: RawColumns,
    dates: RawDates,
    money: RawMoney,
    #[serde(rename = "event")]
    events: Vec<RawEvent>,
    properties: BTreeMap<Text, Text>,
    made_up: Option<RawMadeUp>,
    catalogue: RawCatalogue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    format: Text,
    delimiter: Text,
    encoding: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumns {
    invoice: String,
    item: String,
    description: String,
    quantity: String,
    date: String,
    price: String,
    customer: String,
    #[serde(default)]
    only_for_the_row_key: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDates {
    format: Text,
    zone: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMoney {
    currency: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent {
    invoice_prefix: String,
    name: Text,
    says: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMadeUp {
    says: String,
    key: Text,
    email: Option<Text>,
    #[serde(default)]
    consent: Vec<RawConsent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConsent {
    purpose: Text,
    words: Text,
    language: String,
    yes: Spanned<u8>,
    no: u8,
    yes_then_no: u8,
    never_asked: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    titles: Text,
    not_for_sale: RawNotForSale,
    #[serde(default)]
    guarded: Vec<RawGuarded>,
    #[serde(default)]
    plain: Vec<RawPlain>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotForSale {
    group: String,
    codes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGuarded {
    family: String,
    words: Spanned<Vec<String>>,
    #[serde(default)]
    but_not: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlain {
    group: String,
    words: Spanned<Vec<String>>,
}

/// Collects mistakes with their places.
struct Findings<'t> {
    file_name: &'t str,
    text: &'t str,
    found: Vec<Diagnostic>,
}

impl Findings<'_> {
    fn add(&mut self, code: &'static str, span: Range<usize>, title: String, help: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        self.found.push(Diagnostic {
            code,
            severity: Severity::Error,
            title,
            line: count(before.matches('\n').count()),
            column: count(before.get(line_start..).unwrap_or("").chars().count()),
            span,
            label: "here".to_owned(),
            help: Some(help.into()),
        });
    }

    fn report(self) -> Report {
        Report { file_name: self.file_name.to_owned(), diagnostics: self.found }
    }
}

pub(super) fn read(file_name: &str, text: &str, promise: &Promise) -> Result<Mapping, Report> {
    let mut findings = Findings { file_name, text, found: Vec::new() };
    if text.len() > MAPPING_BYTES_MAX {
        let help = format!("a mapping file has at most {MAPPING_BYTES_MAX} bytes");
        findings.add("FL900", 0..0, "the mapping file is too large".to_owned(), help);
        return Err(findings.report());
    }
    let raw: Raw = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            let help = "docs/reference/mapping.md lists every key";
            findings.add("FL900", span, error.message().trim().replace('\n', ", "), help);
            return Err(findings.report());
        }
    };
    match check(raw, text, promise, &mut findings) {
        Some(mapping) if findings.found.is_empty() => Ok(mapping),
        _ => Err(findings.report()),
    }
}

fn check(raw: Raw, text: &str, promise: &Promise, findings: &mut Findings<'_>) -> Option<Mapping> {
    if *raw.edition.get_ref() != 1 {
        let help = "this program reads edition 1";
        findings.add("FL900", raw.edition.span(), format!("edition {} is not known", raw.edition.get_ref()), help);
    }
    let name = name(&raw.name, findings);
    let source = source(&raw.source, promise, findings);
    let purpose = contract(&raw.purpose, promise, findings);
    let keep_days = keep(&raw.keep, findings);
    let history_ends = raw.history_ends.as_ref().and_then(|day| history_ends(day, findings));
    told(raw.told_notice.as_ref(), promise, findings);
    let file = file(&raw.file, findings);
    let dates = dates(&raw.dates, findings);
    let currency = currency(&raw.money.currency, promise, findings);
    let mut events = Vec::new();
    for event in &raw.events {
        events.extend(event_rule(event, purpose.as_ref(), keep_days, &raw.keep, promise, findings));
    }
    if raw.events.is_empty() {
        findings.add("FL901", 0..0, "no [[event]] is mapped".to_owned(), "name the event an invoice becomes");
    }
    events.sort_by_key(|rule: &EventRule| std::cmp::Reverse(rule.invoice_prefix.len()));
    let properties = properties(&raw.properties, &events, promise, findings);
    let made_up = raw.made_up.map(|made_up| made_up_of(made_up, promise, findings));
    let catalogue = catalogue(raw.catalogue, findings);
    Some(Mapping {
        name: name?,
        source: source?,
        purpose: purpose?,
        keep_days: keep_days?,
        history_ends,
        told_notice: raw.told_notice.map(Spanned::into_inner),
        file: file?,
        columns: columns(raw.columns),
        dates: dates?,
        currency: currency?,
        events,
        properties,
        made_up,
        catalogue: catalogue?,
        bytes: text.as_bytes().to_vec(),
    })
}

fn name(name: &Text, findings: &mut Findings<'_>) -> Option<String> {
    let text = name.get_ref();
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !fits {
        let help = "small letters, digits and '-', at most 64";
        findings.add("FL900", name.span(), "the mapping's name does not fit".to_owned(), help);
    }
    fits.then(|| text.clone())
}

fn source(name: &Text, promise: &Promise, findings: &mut Findings<'_>) -> Option<SourceName> {
    let known = promise.sources.get(name.get_ref().as_str()).filter(|source| source.kind == SourceKind::Import);
    if known.is_none() {
        let title = format!("`{}` is not an import source of the promise", name.get_ref());
        findings.add("FL901", name.span(), title, "declare [source.NAME] with kind = \"import\"");
    }
    known.map(|source| source.name.clone())
}

fn contract(name: &Text, promise: &Promise, findings: &mut Findings<'_>) -> Option<PurposeName> {
    let known = promise.purposes.get(name.get_ref().as_str()).filter(|purpose| purpose.basis == Basis::Contract);
    if known.is_none() {
        let title = format!("`{}` is not a purpose under contract", name.get_ref());
        findings.add("FL901", name.span(), title, "a history sets only contract purposes in force");
    }
    known.map(|purpose| purpose.name.clone())
}

fn keep(keep: &Text, findings: &mut Findings<'_>) -> Option<i32> {
    let days = promise::days(keep.get_ref());
    if days.is_none() {
        let title = format!("`{}` is not a length of time", keep.get_ref());
        findings.add("FL902", keep.span(), title, "such as \"36 months\"");
    }
    days
}

fn history_ends(day: &Text, findings: &mut Findings<'_>) -> Option<Day> {
    let parsed = Day::parse(day.get_ref());
    if parsed.is_none() {
        findings.add("FL903", day.span(), format!("`{}` is not a day", day.get_ref()), "such as \"2011-12-09\"");
    }
    parsed
}

fn told(version: Option<&Spanned<u32>>, promise: &Promise, findings: &mut Findings<'_>) {
    if let Some(version) = version.filter(|version| *version.get_ref() > promise.notice.version) {
        let title = format!("there is no notice {} yet", version.get_ref());
        findings.add("FL901", version.span(), title, format!("the newest is {}", promise.notice.version));
    }
}

fn file(file: &RawFile, findings: &mut Findings<'_>) -> Option<FilePlan> {
    if file.format.get_ref() != "csv" {
        findings.add("FL900", file.format.span(), "only csv is read".to_owned(), "write format = \"csv\"");
    }
    let delimiter = match file.delimiter.get_ref().as_bytes() {
        [byte] if matches!(*byte, b',' | b';' | b'\t' | b'|') => Some(*byte),
        _ => {
            findings.add("FL900", file.delimiter.span(), "not a delimiter".to_owned(), "one of , ; | or \\t");
            None
        }
    };
    let encoding = match file.encoding.get_ref().as_str() {
        "utf-8" => Some(Encoding::Utf8),
        "latin-1" => Some(Encoding::Latin1),
        other => {
            let title = format!("`{other}` is not an encoding we read");
            findings.add("FL900", file.encoding.span(), title, "\"utf-8\" or \"latin-1\"");
            None
        }
    };
    Some(FilePlan { delimiter: delimiter?, encoding: encoding? })
}

fn columns(raw: RawColumns) -> Columns {
    Columns {
        invoice: raw.invoice,
        item: raw.item,
        description: raw.description,
        quantity: raw.quantity,
        date: raw.date,
        price: raw.price,
        customer: raw.customer,
        only_for_the_row_key: raw.only_for_the_row_key,
    }
}

fn dates(raw: &RawDates, findings: &mut Findings<'_>) -> Option<Dates> {
    let sample = jiff::civil::date(2011, 12, 9).at(8, 26, 0, 0);
    let format = raw.format.get_ref();
    let written = jiff::fmt::strtime::format(format, sample);
    let reads_back = written.is_ok_and(|text| jiff::civil::Date::strptime(format, &text).is_ok());
    if !reads_back {
        let title = format!("`{format}` is not a date format");
        findings.add("FL903", raw.format.span(), title, "such as \"%Y-%m-%d %H:%M:%S\"");
    }
    let zone = jiff::tz::TimeZone::get(raw.zone.get_ref()).ok();
    if zone.is_none() {
        let title = format!("`{}` is not a time zone", raw.zone.get_ref());
        findings.add("FL903", raw.zone.span(), title, "such as \"Europe/London\"");
    }
    zone.filter(|_| reads_back).map(|zone| Dates { format: format.clone(), zone })
}

fn currency(code: &Text, promise: &Promise, findings: &mut Findings<'_>) -> Option<Currency> {
    let parsed = Currency::parse(code.get_ref()).filter(|parsed| *parsed == promise.currency);
    if parsed.is_none() {
        let title = format!("prices in `{}`", code.get_ref());
        findings.add("FL901", code.span(), title, format!("the house counts in {}", promise.currency));
    }
    parsed
}

fn event_rule(
    raw: &RawEvent,
    purpose: Option<&PurposeName>,
    keep_days: Option<i32>,
    keep: &Text,
    promise: &Promise,
    findings: &mut Findings<'_>,
) -> Option<EventRule> {
    let written = raw.name.get_ref();
    let name = EventName::parse(written).ok();
    let Some(plan) = name.as_ref().and_then(|name| promise.events.get(name)) else {
        let title = format!("`{written}` is not an event of the promise");
        findings.add("FL901", raw.name.span(), title, "declare it, or name another");
        return None;
    };
    if !plan.lines {
        let title = format!("`{written}` carries no order lines");
        findings.add("FL901", raw.name.span(), title, "say lines = true in the promise");
    }
    if purpose.is_some_and(|purpose| !plan.retention.purposes.contains(purpose)) {
        let title = format!("`{written}` is not for the mapping's purpose");
        findings.add("FL901", raw.name.span(), title, "name the purpose in the promise's `for`");
    }
    if keep_days.is_some_and(|days| days != plan.retention.keep_days) {
        let title = format!("the promise keeps `{written}` {} days", plan.retention.keep_days);
        findings.add("FL902", keep.span(), title, "the mapping must say the same");
    }
    let rule = EventRule { invoice_prefix: raw.invoice_prefix.clone(), name: name?, says: raw.says.clone() };
    Some(rule)
}

fn properties(
    raw: &BTreeMap<Text, Text>,
    events: &[EventRule],
    promise: &Promise,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, Filling> {
    let mut filled = BTreeMap::new();
    for (property, filling) in raw {
        let (filling_of, kinds): (_, &[Kind]) = match filling.get_ref().as_str() {
            "{invoice}" => (Filling::Invoice, &[Kind::Id, Kind::Text]),
            "{total}" => (Filling::Total, &[Kind::Money]),
            other => {
                let title = format!("`{other}` fills nothing");
                findings.add("FL901", filling.span(), title, "\"{invoice}\" or \"{total}\"");
                continue;
            }
        };
        let name = property.get_ref();
        let plans = events.iter().filter_map(|rule| promise.events.get(&rule.name));
        for plan in plans.filter(|plan| !plan.has.get(name).is_some_and(|kind| kinds.contains(kind))) {
            let title = format!("`{}` has no property `{name}` of that kind", plan.name);
            findings.add("FL901", property.span(), title, "declare it in `has`");
        }
        filled.insert(name.clone(), filling_of);
    }
    filled
}

fn made_up_of(raw: RawMadeUp, promise: &Promise, findings: &mut Findings<'_>) -> MadeUp {
    if raw.key.get_ref().len() < 16 {
        findings.add("FL905", raw.key.span(), "the key is short".to_owned(), "at least 16 characters");
    }
    let email = raw.email.and_then(|pattern| {
        let field = FieldName::parse("email").ok().filter(|field| promise.fields.contains_key(field));
        let fits = pattern.get_ref().contains("{customer}") && pattern.get_ref().contains('@');
        if field.is_none() || !fits {
            let help = "a pattern such as \"customer-{customer}@shop.example\", and [field.email] in the promise";
            findings.add("FL905", pattern.span(), "no address can be made of this".to_owned(), help);
        }
        field.filter(|_| fits).map(|field| (field, pattern.into_inner()))
    });
    let consents = raw.consent.into_iter().filter_map(|consent| consent_rule(consent, promise, findings)).collect();
    MadeUp { says: raw.says, key: raw.key.into_inner(), email, consents }
}

fn consent_rule(raw: RawConsent, promise: &Promise, findings: &mut Findings<'_>) -> Option<ConsentRule> {
    let name = raw.purpose.get_ref().as_str();
    let known = promise.purposes.get(name).filter(|purpose| purpose.basis == Basis::Consent);
    if known.is_none() {
        let title = format!("`{name}` is not a purpose that asks for consent");
        findings.add("FL901", raw.purpose.span(), title, "name one with basis = \"consent\"");
    }
    if raw.words.get_ref().trim().is_empty() {
        findings.add("FL905", raw.words.span(), "an answer needs words".to_owned(), "what would they have seen?");
    }
    let yes = *raw.yes.get_ref();
    let shares = [yes, raw.no, raw.yes_then_no, raw.never_asked];
    let sum: u32 = shares.iter().copied().map(u32::from).sum();
    if sum != 100 {
        findings.add("FL905", raw.yes.span(), format!("the four shares make {sum}"), "they must make 100");
    }
    Some(ConsentRule {
        purpose: known?.name.clone(),
        words: raw.words.into_inner(),
        language: raw.language,
        yes,
        no: raw.no,
        yes_then_no: raw.yes_then_no,
    })
}

fn catalogue(raw: RawCatalogue, findings: &mut Findings<'_>) -> Option<CataloguePlan> {
    let titles = match raw.titles.get_ref().as_str() {
        "sentence" => Some(Titles::Sentence),
        "as written" => Some(Titles::AsWritten),
        _ => {
            let help = "\"sentence\" or \"as written\"";
            findings.add("FL904", raw.titles.span(), "titles are written in two ways".to_owned(), help);
            None
        }
    };
    let mut guarded = Vec::new();
    for family in raw.guarded {
        let span = family.words.span();
        let words = word_list(&span, family.words.get_ref(), findings);
        let but_not = word_list(&span, &family.but_not, findings);
        guarded.push(GuardedFamily { family: family.family, words: words?, but_not: but_not? });
    }
    let mut plain = Vec::new();
    for group in raw.plain {
        let words = word_list(&group.words.span(), group.words.get_ref(), findings);
        plain.push((group.group, words?));
    }
    let codes = raw.not_for_sale.codes.iter().map(|code| code.trim().to_uppercase()).collect();
    Some(CataloguePlan { titles: titles?, not_for_sale: (raw.not_for_sale.group, codes), guarded, plain })
}

fn word_list(span: &Range<usize>, words: &[String], findings: &mut Findings<'_>) -> Option<WordList> {
    if words.len() > WORDS_MAX {
        let help = format!("at most {WORDS_MAX} words in one list");
        findings.add("FL904", span.clone(), "too many words".to_owned(), help);
        return None;
    }
    match WordList::new(words.iter().map(String::as_str)) {
        Ok(list) => Some(list),
        Err(written) => {
            let title = format!("`{written}` is no word; there is no catch-all");
            findings.add("FL904", span.clone(), title, "what no word names is guarded, counted and listed");
            None
        }
    }
}
