//! `/privacy/me/tastes`: what a person states about themselves, in fields the promise declares for it. A stated value beats
//! a worked-out one. It reads the form and checks it against the declaration; the vault judges whether it may be kept.

use crate::copy::{PersonCopy, ValueCopy};
use crate::frame::Frame;
use crate::words;
use askama::Template;
use model::{
    ArtefactId, At, Awareness, Context, Day, Fact, FactName, Kind, Money, ProfileId, Provenance, SourceName, Value,
};
use promise::{Field, Promise, Refusal, RefusalReason};
use vault::FactWrite;

/// Longest stated text, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 64;
/// What the form calls a field begins so.
pub(crate) const FORM_PREFIX: &str = "taste_";

/// `/privacy/me/tastes`
#[derive(Template)]
#[template(path = "tastes.html")]
pub(crate) struct TastesPage {
    pub(crate) frame: Frame,
    pub(crate) csrf: String,
    pub(crate) tastes: Vec<TasteRow>,
    pub(crate) is_saved: bool,
    pub(crate) sorries: Vec<String>,
}

/// One field to state.
pub(crate) struct TasteRow {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) used_for: String,
    pub(crate) kept: String,
    /// What a browser should ask for.
    pub(crate) input: &'static str,
    pub(crate) options: Vec<String>,
    pub(crate) value: String,
}

impl TastesPage {
    pub(crate) fn new(
        frame: Frame,
        promise: &Promise,
        copy: &PersonCopy,
        is_saved: bool,
        sorries: Vec<String>,
    ) -> Self {
        let tastes = promise.fields.values().filter(|field| field.stated).map(|field| row(promise, copy, field));
        Self { csrf: frame.csrf().to_owned(), frame, tastes: tastes.collect(), is_saved, sorries }
    }
}

fn row(promise: &Promise, copy: &PersonCopy, field: &Field) -> TasteRow {
    let says: Vec<String> = field.retention.purposes.iter().map(|name| words::purpose(promise, name)).collect();
    let options = match field.kind {
        Kind::Flag => vec!["yes".to_owned(), "no".to_owned()],
        _ => field.one_of.clone(),
    };
    TasteRow {
        name: field.name.to_string(),
        label: words::label(field.name.as_str()),
        used_for: says.join(" "),
        kept: field.retention.in_words(),
        input: match field.kind {
            Kind::Number => "number",
            Kind::Date => "date",
            Kind::Email => "email",
            _ => "text",
        },
        options,
        value: copy.fact(field.name.as_str()).map(|fact| form_value(&fact.value)).unwrap_or_default(),
    }
}

/// A value as its form field holds it.
fn form_value(value: &ValueCopy) -> String {
    match value {
        ValueCopy::Text(text) | ValueCopy::Date(text) => text.clone(),
        ValueCopy::Number(number) => number.to_string(),
        ValueCopy::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        ValueCopy::Money { amount, .. } => amount.clone(),
        ValueCopy::Instant(at) => at.0.to_string(),
        ValueCopy::Ranking(_) => String::new(),
    }
}

/// Reads one stated value; `None` when the declaration does not allow it.
pub(crate) fn parse(field: &Field, promise: &Promise, text: &str) -> Option<Value> {
    let listed = field.one_of.is_empty() || field.one_of.iter().any(|allowed| allowed == text);
    if !listed || text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
        return None;
    }
    match field.kind {
        Kind::Text if promise.zone_field().is_some_and(|zone| zone.name == field.name) => {
            promise::is_zone(text).then(|| Value::Text(text.to_owned()))
        }
        Kind::Text | Kind::Id => Some(Value::Text(text.to_owned())),
        Kind::Email => {
            let (name, host) = text.split_once('@')?;
            let fits = !name.is_empty() && host.contains('.') && !text.contains(char::is_whitespace);
            fits.then(|| Value::Text(text.to_lowercase()))
        }
        Kind::Number => text.parse().ok().map(Value::Number),
        Kind::Money => Money::parse(text, promise.currency).map(Value::Money),
        Kind::Flag => match text {
            "yes" => Some(Value::Flag(true)),
            "no" => Some(Value::Flag(false)),
            _ => None,
        },
        Kind::Date => Day::parse(text).map(Value::Date),
        Kind::Instant => At::parse(text).map(Value::Instant),
        Kind::Ranking => None,
    }
}

/// The writes that a sent form asks for, only where it differs from what is known; the labels of fields that cannot be
/// read as declared come second.
pub(crate) fn writes(
    promise: &Promise,
    copy: &PersonCopy,
    form: &[(String, String)],
    person: ProfileId,
    artefact: ArtefactId,
    now: At,
) -> (Vec<FactWrite>, Vec<String>) {
    let mut writes = Vec::new();
    let mut unreadable = Vec::new();
    for field in promise.fields.values().filter(|field| field.stated) {
        let sent = form.iter().find(|(key, _)| key.strip_prefix(FORM_PREFIX) == Some(field.name.as_str()));
        let Some(text) = sent.map(|(_, text)| text.trim()) else { continue };
        let before = copy.fact(field.name.as_str()).map(|fact| form_value(&fact.value)).unwrap_or_default();
        if text == before {
            continue;
        }
        let name = FactName::Field(field.name.clone());
        if text.is_empty() {
            writes.push(FactWrite { person, artefact, fact: None, remove: Some(name), inputs_expire_at: None });
            continue;
        }
        match parse(field, promise, text).zip(SourceName::parse("portal").ok()) {
            Some((value, source)) => {
                let fact = stated(promise, field, name, value, source, now);
                writes.push(FactWrite { person, artefact, fact: Some(fact), remove: None, inputs_expire_at: None });
            }
            None => unreadable.push(words::label(field.name.as_str())),
        }
    }
    (writes, unreadable)
}

/// What a write is about, in words.
pub(crate) fn label(write: &FactWrite) -> String {
    let name = write.fact.as_ref().map(|fact| &fact.name).or(write.remove.as_ref());
    name.map(|name| words::label(name.as_str())).unwrap_or_default()
}

/// Why the vault did not keep a stated value, to the person.
pub(crate) fn sorry(label: &str, refusal: &Refusal) -> String {
    match refusal.reason {
        RefusalReason::Restrained => format!("{label}: you asked us to leave you alone, so we keep nothing new."),
        RefusalReason::NeverAsked | RefusalReason::SaidNo | RefusalReason::Withdrawn | RefusalReason::NoContract => {
            format!("{label}: we may keep this only after a yes of yours. You find it under “Choices”.")
        }
        _ => format!("{label}: our promise does not let us keep this."),
    }
}

/// The vault sets class, purposes and expiry from the promise; what stands here is what the person did.
fn stated(promise: &Promise, field: &Field, name: FactName, value: Value, source: SourceName, now: At) -> Fact {
    Fact {
        name,
        value,
        class: field.class,
        context: Context::default(),
        provenance: Provenance::Provided { source },
        as_of: now,
        told_at: Some(now),
        told_how: Awareness::AtTheMoment,
        purposes: field.retention.purposes.clone(),
        notice_version: promise.binding_notice(now),
        expires_at: field.retention.expires_at(now),
    }
}
