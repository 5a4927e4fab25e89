//! From JSON text to calls of the Segment spec: one event or a batch, whoever sent it. Names as on the wire, nothing
//! minimised yet. It decides nothing about people.

use super::error::WireError;
use super::json::{Object, Shape};
use model::{At, EventKind};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Largest event, in bytes.
pub const EVENT_BYTES_MAX: usize = 32 * 1024;
/// Most events of one batch.
pub const BATCH_EVENTS_MAX: usize = 2_500;
/// Most properties or traits of one event.
pub const PROPERTIES_MAX: usize = 255;
/// Longest identifier, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 512;

/// A request body, taken apart.
#[derive(Debug)]
pub struct Calls<'a> {
    /// The write key in the body, if there is one.
    pub write_key: Option<String>,
    /// One per event: the call, or why it cannot be read.
    pub calls: Vec<Result<Call<'a>, Unfit>>,
    /// Whether the body is a single event (its fault is then the request's).
    pub is_single: bool,
}

/// Why one event cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Above a limit.
    TooLarge,
    /// Not an event.
    Malformed,
}

/// One event of a client.
#[derive(Debug)]
pub struct Call<'a> {
    /// Which call.
    pub kind: EventKind,
    /// The event's name: the client's for track, ours for the other calls.
    pub name: String,
    /// `userId`.
    pub user: Option<String>,
    /// `anonymousId`.
    pub anonymous: Option<String>,
    /// `previousId` of an alias.
    pub previous: Option<String>,
    /// `messageId`.
    pub message_id: Option<String>,
    /// When the client says it happened.
    pub original_at: Option<At>,
    /// When the client says it was sent.
    pub sent_at: Option<At>,
    /// `properties`.
    pub properties: Object<'a>,
    /// `traits`, for RudderStack also those in the context.
    pub traits: Object<'a>,
    /// `context.consent` by category, in both dialects.
    pub consent: BTreeMap<String, bool>,
    /// `context.timezone`.
    pub timezone: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    batch: Option<Batch<'a>>,
    #[serde(borrow, default, rename = "writeKey")]
    write_key: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "sentAt")]
    sent_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
}

/// At most [`BATCH_EVENTS_MAX`] raw events.
struct Batch<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Batch<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Events;
        impl<'de> Visitor<'de> for Events {
            type Value = Vec<&'de RawValue>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {BATCH_EVENTS_MAX} events")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut events = Vec::new();
                while let Some(event) = list.next_element()? {
                    if events.len() >= BATCH_EVENTS_MAX {
                        return Err(serde::de::Error::custom("too many events"));
                    }
                    events.push(event);
                }
                Ok(events)
            }
        }
        deserializer.deserialize_seq(Events).map(Batch)
    }
}

/// Takes a body apart. `by_path` is the call that the address names, for events that do not say their type.
///
/// # Errors
/// [`WireError::Malformed`] when it is not JSON of that form. What is wrong with one event stands in its place.
pub fn read<'a>(json: &'a str, by_path: Option<EventKind>) -> Result<Calls<'a>, WireError> {
    let not_calls = WireError::Malformed("the body is not a JSON object: an event, or a batch of at most 2,500 events");
    if !super::json::is_object(json) {
        return Err(not_calls);
    }
    let envelope: Envelope<'a> = serde_json::from_str(json).map_err(|_| not_calls)?;
    let write_key = envelope.write_key.and_then(|raw| super::json::text(raw.get()));
    let sent_at = envelope.sent_at.and_then(|raw| instant(raw.get()));
    let Some(batch) = envelope.batch else {
        let call = event(json, by_path, None, &Object::default());
        return Ok(Calls { write_key, calls: vec![call], is_single: true });
    };
    let context = envelope.context.map(RawValue::get).filter(|json| json.len() <= EVENT_BYTES_MAX);
    let context = context.filter(|json| Shape::of(json).fits()).and_then(Object::read).unwrap_or_default();
    let calls = batch.0.into_iter().map(|raw| event(raw.get(), by_path, sent_at, &context)).collect();
    Ok(Calls { write_key, calls, is_single: false })
}

fn event<'a>(
    json: &'a str,
    by_path: Option<EventKind>,
    sent_at: Option<At>,
    batch_context: &Object<'a>,
) -> Result<Call<'a>, Unfit> {
    if json.len() > EVENT_BYTES_MAX || !Shape::of(json).fits() {
        return Err(Unfit::TooLarge);
    }
    let event = Object::read(json).ok_or(Unfit::Malformed)?;
    let kind = event.text("type").and_then(|word| kind_of(&word)).or(by_path).ok_or(Unfit::Malformed)?;
    let context = event.object("context");
    let mut properties = event.object("properties");
    let mut traits = event.object("traits");
    if kind == EventKind::Identify {
        traits.add(context.object("traits"));
    }
    if matches!(kind, EventKind::Page | EventKind::Screen) {
        properties.add_from("name", &event, "name");
        properties.add_from("category", &event, "category");
        properties.add_from("path", &context.object("page"), "path");
    }
    if properties.len() > PROPERTIES_MAX || traits.len() > PROPERTIES_MAX {
        return Err(Unfit::TooLarge);
    }
    let name = match kind {
        EventKind::Track => event.text("event").ok_or(Unfit::Malformed)?,
        other => name_of(other).to_owned(),
    };
    let mut consent = consent_of(batch_context);
    for (category, flag) in consent_of(&context) {
        *consent.entry(category).or_insert(flag) &= flag;
    }
    let id = |name: &str| match event.id(name) {
        Some(id) if id.len() > IDENTIFIER_BYTES_MAX => Err(Unfit::TooLarge),
        id => Ok(id),
    };
    let at = |name: &str| event.raw(name).and_then(instant);
    Ok(Call {
        kind,
        name,
        user: id("userId")?,
        anonymous: id("anonymousId")?,
        previous: id("previousId")?,
        message_id: event.text("messageId"),
        original_at: at("originalTimestamp").or_else(|| at("timestamp")),
        sent_at: at("sentAt").or(sent_at),
        properties,
        traits,
        consent,
        timezone: context.text("timezone").or_else(|| batch_context.text("timezone")),
    })
}

/// `categoryPreferences` of Segment, `allowedConsentIds` and `deniedConsentIds` of RudderStack. A no wins.
fn consent_of(context: &Object<'_>) -> BTreeMap<String, bool> {
    let mut consent = BTreeMap::new();
    let segment = context.object("consent").object("categoryPreferences");
    for (category, _) in segment.iter() {
        if let Some(flag) = segment.flag(category) {
            consent.insert(category.to_owned(), flag);
        }
    }
    let rudder = context.object("consentManagement");
    for (list, flag) in [("allowedConsentIds", true), ("deniedConsentIds", false)] {
        let ids = rudder.raw(list).and_then(|json| serde_json::from_str::<Vec<String>>(json).ok());
        for category in ids.unwrap_or_default() {
            let known = consent.entry(category).or_insert(flag);
            *known &= flag;
        }
    }
    consent
}

/// RFC 3339, as every client sends it.
fn instant(json: &str) -> Option<At> {
    super::json::text(json).and_then(|text| At::parse(&text))
}

/// The call that a word of the wire names.
#[must_use]
pub fn kind_of(word: &str) -> Option<EventKind> {
    Some(match word {
        "track" | "t" => EventKind::Track,
        "page" | "p" => EventKind::Page,
        "screen" | "s" => EventKind::Screen,
        "identify" | "i" => EventKind::Identify,
        "group" | "g" => EventKind::Group,
        "alias" | "a" => EventKind::Alias,
        _ => return None,
    })
}

/// What calls without a name of their own are called in the promise.
#[must_use]
pub const fn name_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Track => "Track",
        EventKind::Page => "Page Viewed",
        EventKind::Screen => "Screen Viewed",
        EventKind::Identify => "Identify",
        EventKind::Group => "Group",
        EventKind::Alias => "Alias",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_of_the_batch_or_of_the_event_wins_over_the_others_yes() {
        let says = |flag: bool| format!(r#"{{"consent":{{"categoryPreferences":{{"offers":{flag}}}}}}}"#);
        let event = |flag| format!(r#"{{"type":"track","event":"Order Completed","context":{}}}"#, says(flag));
        for (batch, own) in [(true, true), (true, false), (false, true), (false, false)] {
            let json = format!(r#"{{"batch":[{}],"context":{}}}"#, event(own), says(batch));
            let calls = read(&json, None).unwrap();
            let call = calls.calls[0].as_ref().unwrap();
            assert_eq!(call.consent.get("offers"), Some(&(batch && own)), "{batch} {own}");
        }
    }
}
