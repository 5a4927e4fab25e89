//! What the gate lets through of one call: the event if the promise declares it, its declared properties and no others,
//! each parsed as its kind; order lines; declared fields of an identify. Pure: promise, call and instant in, an
//! [`Intake`] or a reason out. Whether any purpose is in force is judged later, in the vault's commit.
//!
//! A browser speaks of its own device only: its `userId` and its addresses are claims and are dropped. Addresses of pages
//! lose their query. The caller's IP address is never looked at.

use crate::live::{Cut, CutReason};
use crate::wire::Call;
use crate::wire::call::IDENTIFIER_BYTES_MAX;
use crate::wire::json::{IsKey, Object, is_number, search, text};
use aws_lc_rs::digest;
use model::{
    At, Currency, DAY_MS, Day, EventKind, EventName, FieldName, ItemCode, Kind, LineItem, Money, PurposeName, Rng,
    Trust, Value,
};
use promise::{Basis, EventPlan, Promise, Source, SourceKind, never, never_key};
use std::collections::BTreeMap;
use vault::{Identifier, IdentifierKind, Intake, Join, JoinProof, MessageKey, OutcomeReason, Subject};

/// Longest text and id value, in characters.
pub const TEXT_CHARS_MAX: usize = 64;
/// Longest e-mail address, in bytes.
pub const EMAIL_BYTES_MAX: usize = 254;
/// Longest message id taken as it is; a longer one is hashed.
pub const MESSAGE_ID_BYTES_MAX: usize = 100;
/// How far back a browser may date an event, in milliseconds.
pub const BROWSER_PAST_MS_MAX: i64 = DAY_MS;
/// How far ahead any client may date an event, in milliseconds.
pub const FUTURE_MS_MAX: i64 = 5 * 60 * 1_000;
/// Events whose lines count as taken back, whatever sign the client gives them.
const REFUND: &str = "Order Refunded";

/// What the gate knows besides the call.
#[derive(Clone, Copy)]
pub struct Gate<'a> {
    /// The promise in force.
    pub promise: &'a Promise,
    /// The source of the write key.
    pub source: &'a Source,
    /// When the request came.
    pub now: At,
    /// The request carried `Sec-GPC: 1`: a no to every consent purpose for these events.
    pub is_gpc: bool,
    /// For events without a message id.
    pub rng: &'a dyn Rng,
}

impl std::fmt::Debug for Gate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({})", self.source.name)
    }
}

/// What the gate makes of one call.
#[derive(Debug)]
pub enum Minimised {
    /// Goes to the vault, which judges it.
    Take(Box<Intake>),
    /// Only ties two ids together, by a server key.
    Join(Join),
    /// Goes nowhere.
    Refuse(OutcomeReason),
}

/// How far a source is believed.
#[must_use]
pub const fn trust(source: &Source) -> Trust {
    match source.kind {
        SourceKind::Browser => Trust::Browser,
        SourceKind::Server => Trust::Server,
        SourceKind::Import => Trust::Import,
    }
}

impl Gate<'_> {
    /// Takes one call; the second part names what was cut off, without values.
    #[must_use]
    pub fn minimise(&self, call: &Call<'_>) -> (Minimised, Vec<Cut>) {
        let mut cut = Vec::new();
        let minimised = self.take(call, &mut cut).unwrap_or_else(Minimised::Refuse);
        (minimised, cut)
    }

    fn take(&self, call: &Call<'_>, cut: &mut Vec<Cut>) -> Result<Minimised, OutcomeReason> {
        let plan = self.promise.events.get(call.name.as_str());
        if plan.is_none() && !matches!(call.kind, EventKind::Identify | EventKind::Alias) {
            cut.extend(call.properties.iter().map(|(name, json)| Cut::new(name, json, CutReason::Undeclared)));
            return Err(OutcomeReason::UndeclaredEvent);
        }
        if [&call.properties, &call.traits].into_iter().any(holds_never) {
            return Err(OutcomeReason::Never);
        }
        if call.kind == EventKind::Alias {
            return self.alias(call).map(Minimised::Join);
        }
        let subject = self.subject(call).ok_or(OutcomeReason::NoSubject)?;
        let mut fields = if call.kind == EventKind::Identify { self.fields(&call.traits, cut) } else { Vec::new() };
        if plan.is_none() && fields.is_empty() {
            // An identify that declares nothing may still tie a browser to a person.
            return self.join(call.anonymous.as_deref(), call.user.as_deref()).map(Minimised::Join);
        }
        fields.extend(self.guessed_zone(call));
        let (properties, lines) = plan.map(|plan| self.properties(plan, &call.properties, cut)).unwrap_or_default();
        let told_version = Some(self.promise.binding_notice(self.now)).filter(|version| *version > 0);
        Ok(Minimised::Take(Box::new(Intake {
            subject,
            kind: call.kind,
            name: EventName::parse(&call.name).map_err(|_| OutcomeReason::UndeclaredEvent)?,
            source: self.source.name.clone(),
            trust: trust(self.source),
            occurred_at: self.occurred_at(call, plan),
            source_day: None,
            properties,
            lines,
            fields,
            told_version,
            consent: self.consent(&call.consent),
            message_key: MessageKey::Wire(self.message_id(call)),
        })))
    }

    /// `context.timezone`, where the promise declares a field for it: a guess that the person's own word beats.
    fn guessed_zone(&self, call: &Call<'_>) -> Option<(FieldName, Value)> {
        let field = self.promise.zone_field()?;
        let zone = call.timezone.clone().filter(|zone| promise::is_zone(zone))?;
        Some((field.name.clone(), Value::Text(zone)))
    }

    fn is_browser(&self) -> bool {
        self.source.kind == SourceKind::Browser
    }

    fn subject(&self, call: &Call<'_>) -> Option<Subject> {
        let user = call.user.as_ref().filter(|_| !self.is_browser());
        let identifier = |kind| move |value: &String| Identifier { kind, value: value.clone() };
        let user = user.map(identifier(IdentifierKind::User));
        let anonymous = call.anonymous.as_ref().map(identifier(IdentifierKind::Anonymous));
        (user.is_some() || anonymous.is_some()).then_some(Subject::Identifiers { user, anonymous })
    }

    fn alias(&self, call: &Call<'_>) -> Result<Join, OutcomeReason> {
        self.join(call.previous.as_deref().or(call.anonymous.as_deref()), call.user.as_deref())
    }

    /// The tie that an identify with both ids makes besides what it tells, when a server key says so.
    #[must_use]
    pub fn tie(&self, call: &Call<'_>) -> Option<Join> {
        let is_identify = call.kind == EventKind::Identify;
        is_identify.then(|| self.join(call.anonymous.as_deref(), call.user.as_deref()).ok()).flatten()
    }

    /// Only a server key proves that a browser is a person's; a browser's word is a claim, and is dropped.
    fn join(&self, anonymous: Option<&str>, user: Option<&str>) -> Result<Join, OutcomeReason> {
        let (Some(anonymous), Some(user), false) = (anonymous, user, self.is_browser()) else {
            return Err(OutcomeReason::UndeclaredEvent);
        };
        Ok(Join {
            anonymous: Identifier { kind: IdentifierKind::Anonymous, value: anonymous.to_owned() },
            user: Identifier { kind: IdentifierKind::User, value: user.to_owned() },
            proof: JoinProof::ServerKey,
            at: self.now,
        })
    }

    fn fields(&self, traits: &Object<'_>, cut: &mut Vec<Cut>) -> Vec<(FieldName, Value)> {
        let mut fields = Vec::new();
        for (name, json) in traits.iter() {
            let Some(field) = self.promise.fields.get(name) else {
                cut.push(Cut::new(name, json, CutReason::Undeclared));
                continue;
            };
            if field.kind == Kind::Email && self.is_browser() {
                cut.push(Cut::new(name, json, CutReason::Claim));
                continue;
            }
            let allowed = |value: &Value| match value {
                Value::Text(text) => field.one_of.is_empty() || field.one_of.contains(text),
                _ => true,
            };
            match value(field.kind, json, self.promise.currency).filter(allowed) {
                Some(value) => fields.push((field.name.clone(), value)),
                None => cut.push(Cut::new(name, json, CutReason::WrongKind)),
            }
        }
        fields
    }

    fn properties(
        &self,
        plan: &EventPlan,
        given: &Object<'_>,
        cut: &mut Vec<Cut>,
    ) -> (BTreeMap<String, Value>, Vec<LineItem>) {
        let currency = given.text("currency").and_then(|code| Currency::parse(&code)).unwrap_or(self.promise.currency);
        let mut properties = BTreeMap::new();
        for (name, json) in given.iter() {
            let is_read_otherwise = name == "currency" || (plan.lines && name == "products");
            match plan.has.get(name) {
                Some(kind) => match value(*kind, json, currency) {
                    Some(value) => {
                        properties.insert(name.to_owned(), value);
                    }
                    None => cut.push(Cut::new(name, json, CutReason::WrongKind)),
                },
                None if is_read_otherwise || json == "null" => {}
                None => cut.push(Cut::new(name, json, CutReason::Undeclared)),
            }
        }
        let lines = if plan.lines { given.objects("products") } else { Vec::new() };
        let sign = if plan.name.as_str() == REFUND { -1 } else { 1 };
        let lines = lines.iter().filter_map(|product| line(product, currency, sign)).collect();
        (properties, lines)
    }

    /// `receivedAt − (sentAt − originalTimestamp)`, within what this kind of source may date.
    fn occurred_at(&self, call: &Call<'_>, plan: Option<&EventPlan>) -> At {
        let now = self.now;
        let at = match (call.original_at, call.sent_at) {
            (Some(original), Some(sent)) => now.plus_ms(original.ms().saturating_sub(sent.ms())),
            (Some(original), None) => original,
            (None, _) => now,
        };
        let past_ms = if self.is_browser() {
            BROWSER_PAST_MS_MAX
        } else {
            plan.map_or(BROWSER_PAST_MS_MAX, |plan| i64::from(plan.retention.keep_days) * DAY_MS)
        };
        at.clamp(now.plus_ms(-past_ms), now.plus_ms(FUTURE_MS_MAX))
    }

    fn consent(&self, categories: &BTreeMap<String, bool>) -> BTreeMap<PurposeName, bool> {
        let mut consent: BTreeMap<PurposeName, bool> = BTreeMap::new();
        let purposes = &self.promise.purposes;
        for (category, flag) in categories {
            let mapped = self.source.consent.get(category);
            let Some(purpose) = mapped.or_else(|| purposes.get(category.as_str()).map(|purpose| &purpose.name)) else {
                continue;
            };
            let known = consent.entry(purpose.clone()).or_insert(*flag);
            *known &= *flag;
        }
        if self.is_gpc {
            let asked = purposes.values().filter(|purpose| purpose.basis == Basis::Consent);
            consent.extend(asked.map(|purpose| (purpose.name.clone(), false)));
        }
        // A server key only narrows.
        consent.retain(|_, flag| self.is_browser() || !*flag);
        consent
    }

    fn message_id(&self, call: &Call<'_>) -> String {
        match &call.message_id {
            Some(id) if (1..=MESSAGE_ID_BYTES_MAX).contains(&id.len()) => id.clone(),
            Some(id) if !id.is_empty() => model::id::base32(digest::digest(&digest::SHA256, id.as_bytes()).as_ref()),
            _ => model::id::base32(&self.rng.bytes::<16>()),
        }
    }
}

/// Card numbers, national ids and their like are refused wherever they stand, also in what would be cut off.
fn holds_never(given: &Object<'_>) -> bool {
    let mut look = |text: &str, is_key: IsKey| match is_key {
        IsKey::Yes => never_key(text),
        IsKey::No => never("", text),
    };
    given.iter().any(|(name, json)| never_key(name).is_some() || search(json, &mut look).is_some())
}

/// One value of a declared kind, out of raw JSON. Money and numbers are read from the digits as written.
#[must_use]
pub fn value(kind: Kind, json: &str, currency: Currency) -> Option<Value> {
    let digits = || if is_number(json) { Some(json.to_owned()) } else { text(json) };
    match kind {
        Kind::Text => text(json).and_then(|text| short(without_query(text.trim()))).map(Value::Text),
        Kind::Id => digits().and_then(|id| short(id.trim())).map(Value::Text),
        Kind::Email => text(json).and_then(|text| email(&text)).map(Value::Text),
        Kind::Number => digits()?.trim().parse().ok().map(Value::Number),
        Kind::Money => Money::parse(&digits()?, currency).map(Value::Money),
        Kind::Flag => json.parse().ok().map(Value::Flag),
        Kind::Instant => At::parse(&text(json)?).map(Value::Instant),
        Kind::Date => Day::parse(&text(json)?).map(Value::Date),
        Kind::Ranking => None,
    }
}

fn short(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// Addresses of pages often carry tokens and names behind the question mark.
fn without_query(text: &str) -> &str {
    let is_address = text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://");
    if is_address { text.split(['?', '#']).next().unwrap_or(text) } else { text }
}

fn email(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (local, domain) = text.split_once('@')?;
    let fits = !local.is_empty()
        && domain.contains('.')
        && !domain.contains('@')
        && text.len() <= EMAIL_BYTES_MAX.min(IDENTIFIER_BYTES_MAX)
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    fits.then_some(text)
}

fn line(product: &Object<'_>, currency: Currency, sign: i32) -> Option<LineItem> {
    let code = ["sku", "product_id", "item"].into_iter().find_map(|name| product.id(name))?;
    let quantity: i32 = product.raw("quantity").map_or(Some(1), |json| json.parse().ok())?;
    let quantity = if sign < 0 { quantity.checked_abs()?.checked_neg()? } else { quantity };
    let price = product
        .raw("price")
        .map_or(Some(Value::Money(Money { micros: 0, currency })), |json| value(Kind::Money, json, currency));
    let Some(Value::Money(price)) = price else { return None };
    Some(LineItem { row: 0, item: ItemCode::parse(&code)?, quantity, price })
}

#[cfg(test)]
mod tests;
