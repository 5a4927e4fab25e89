//! `/privacy/me/choices`: a yes and a no per purpose, with the same weight, and what each leads to, said before. The
//! words on the page are the words in the ledger.

use crate::copy::{AnswerCopy, ContactCopy, PersonCopy};
use crate::frame::Frame;
use crate::leaving::LeavingPart;
use crate::words;
use askama::Template;
use model::{At, ConsentStatus, Method, ProfileId, PurposeName, Words};
use promise::{Basis, ChannelKind, Promise, Purpose};
use vault::{ConsentChange, Subject};

/// The words of a yes.
pub(crate) const YES: &str = "Yes, do this";
/// The words of a no.
pub(crate) const NO: &str = "No, do not";

/// `/privacy/me/choices`
#[derive(Template)]
#[template(path = "choices.html")]
pub(crate) struct ChoicesPage {
    pub(crate) frame: Frame,
    pub(crate) csrf: String,
    pub(crate) choices: Vec<ChoiceRow>,
    /// How often we write now.
    pub(crate) rate: String,
    /// What "half as often" leads to, and from where.
    pub(crate) less: String,
    pub(crate) limit: u32,
    /// Things and offers that never come again, in one line.
    pub(crate) turned_down: String,
    pub(crate) leaving: Option<LeavingPart>,
}

/// One purpose.
pub(crate) struct ChoiceRow {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The exact words a yes agrees to.
    pub(crate) words: String,
    pub(crate) needed: bool,
    pub(crate) is_yes: bool,
    pub(crate) state: String,
    pub(crate) when: Option<String>,
    /// The day on which the yes ends if nothing is heard of the person.
    pub(crate) lapses: Option<String>,
    pub(crate) made_up: bool,
    pub(crate) levels: Vec<LevelRow>,
    pub(crate) yes_effect: String,
    pub(crate) no_effect: String,
}

/// How much a yes may cover.
pub(crate) struct LevelRow {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) is_chosen: bool,
}

/// `/privacy/me/alone`
#[derive(Template)]
#[template(path = "alone.html")]
pub(crate) struct AlonePage {
    pub(crate) frame: Frame,
    pub(crate) csrf: String,
    pub(crate) is_done: bool,
}

impl ChoicesPage {
    pub(crate) fn new(frame: Frame, promise: &Promise, copy: &PersonCopy) -> Self {
        let row = |purpose: &Purpose| {
            let lapses = copy.leaving.lapses_at(purpose.name.as_str()).map(crate::words::When::day);
            ChoiceRow { lapses, ..choice(promise, purpose, copy.answer(purpose.name.as_str())) }
        };
        let (needed, free): (Vec<_>, Vec<_>) =
            promise.purposes.values().partition(|purpose| purpose.basis == Basis::Contract);
        Self {
            csrf: frame.csrf().to_owned(),
            frame,
            choices: free.into_iter().chain(needed).map(row).collect(),
            rate: rate(&copy.contact),
            less: less(&copy.contact),
            limit: limit(&copy.contact),
            turned_down: words::list(&copy.contact.turned_down_words),
            leaving: LeavingPart::new(promise, copy),
        }
    }
}

/// "At most 1 message in 7 days, as you asked."
pub(crate) fn rate(contact: &ContactCopy) -> String {
    let days = words::count(usize::try_from(contact.per_days).unwrap_or_default(), "day", "days");
    let messages = |n: u32| words::count(n as usize, "message", "messages");
    match contact.at_most {
        Some(0) => format!("No messages at all, as you asked. Our usual rate is {}.", contact.company_at_most),
        Some(own) if own < contact.company_at_most => {
            format!("At most {} in {days}, as you asked. Our usual rate is {}.", messages(own), contact.company_at_most)
        }
        _ => format!("At most {} in {days}. That is our usual rate.", messages(contact.company_at_most)),
    }
}

/// Most messages per window, as it stands.
pub(crate) fn limit(contact: &ContactCopy) -> u32 {
    contact.at_most.unwrap_or(contact.company_at_most).min(contact.company_at_most)
}

/// What "less often" leads to from here: half, and from one message none.
pub(crate) fn less(contact: &ContactCopy) -> String {
    let days = words::count(usize::try_from(contact.per_days).unwrap_or_default(), "day", "days");
    match limit(contact) {
        0 | 1 => "Then you get no more messages, until you undo it.".to_owned(),
        now => format!(
            "At most {} in {days} instead of {now}. You can undo it.",
            words::count((now / 2) as usize, "message", "messages")
        ),
    }
}

fn choice(promise: &Promise, purpose: &Purpose, answer: Option<&AnswerCopy>) -> ChoiceRow {
    let is_yes = answer.is_some_and(|answer| answer.status == ConsentStatus::Given.as_str());
    let chosen = answer.and_then(|answer| answer.level.as_deref()).or_else(|| purpose.fullest_level());
    ChoiceRow {
        name: purpose.name.to_string(),
        title: words::label(purpose.name.as_str()),
        words: match purpose.basis {
            Basis::Contract => purpose.says.clone(),
            Basis::Consent => purpose.words(&promise.company),
        },
        needed: purpose.basis == Basis::Contract,
        is_yes,
        state: answer.map_or("We never asked, so it is a no", |answer| answer.status_words).to_owned(),
        when: answer.map(|answer| format!("on {}, {}", answer.answered_at.day(), answer.method_words)),
        lapses: None,
        made_up: answer.is_some_and(|answer| answer.made_up),
        levels: purpose
            .levels
            .iter()
            .map(|(name, _)| LevelRow {
                label: level_words(purpose, name),
                is_chosen: Some(name.as_str()) == chosen,
                name: name.clone(),
            })
            .collect(),
        yes_effect: yes_effect(promise, purpose),
        no_effect: no_effect(promise, purpose),
    }
}

/// "Full: the group and the item of what you bought", from the declaration.
fn level_words(purpose: &Purpose, level: &str) -> String {
    let properties = purpose.levels.iter().find(|(name, _)| name == level).map(|(_, properties)| properties);
    let names: Vec<String> =
        properties.into_iter().flatten().map(|name| format!("the {}", name.replace('_', " "))).collect();
    match names.is_empty() {
        true => format!("{}: nothing of what you bought", words::label(level)),
        false => format!("{}: {} of what you bought", words::label(level), words::list(&names)),
    }
}

/// Names of what a purpose reads: fields and events, those that nothing else needs apart.
fn uses(promise: &Promise, name: &PurposeName) -> (Vec<String>, Vec<String>) {
    let fields =
        promise.fields.values().map(|field| (words::inner(&words::label(field.name.as_str())), &field.retention));
    let events = promise.events.values().map(|event| (format!("“{}”", event.name), &event.retention));
    let mut all = Vec::new();
    let mut alone = Vec::new();
    for (what, retention) in fields.chain(events).filter(|(_, retention)| retention.purposes.contains(name)) {
        if retention.purposes.len() == 1 {
            alone.push(what.clone());
        }
        all.push(what);
    }
    (all, alone)
}

fn writes_mail(promise: &Promise, name: &PurposeName) -> bool {
    promise.campaigns.values().any(|campaign| {
        let segment = promise.segments.get(&campaign.to);
        campaign.by.contains(&ChannelKind::Email) && segment.is_some_and(|segment| segment.purpose == *name)
    })
}

fn yes_effect(promise: &Promise, purpose: &Purpose) -> String {
    let (all, _) = uses(promise, &purpose.name);
    let mut said = if all.is_empty() { String::new() } else { format!("We use: {}.", words::list(&all)) };
    if writes_mail(promise, &purpose.name) {
        said.push_str(" We write to you, as often as the rate below allows.");
    }
    said.trim_start().to_owned()
}

fn no_effect(promise: &Promise, purpose: &Purpose) -> String {
    let (_, alone) = uses(promise, &purpose.name);
    let mut said = if writes_mail(promise, &purpose.name) {
        "It stops at once, messages that wait included.".to_owned()
    } else {
        "It stops at once.".to_owned()
    };
    if !alone.is_empty() {
        said.push_str(&format!(" We close what is only for this: {}.", words::list(&alone)));
    }
    said
}

/// The words that stood on the page when somebody tapped yes or no, with the level they picked.
fn words_shown(company: &str, purpose: &Purpose, status: ConsentStatus, level: Option<&str>) -> String {
    let words = purpose.words(company);
    match (status.is_given(), level) {
        (true, Some(level)) => format!("{words} {}. {YES}", level_words(purpose, level)),
        (true, None) => format!("{words} {YES}"),
        (false, _) => format!("{words} {NO}"),
    }
}

/// Reads the form: the change to record, or `None` when it names no switchable purpose, no answer, or no declared level.
pub(crate) fn change(
    promise: &Promise,
    person: ProfileId,
    purpose: &str,
    answer: &str,
    level: Option<&str>,
    had_yes: bool,
    now: At,
) -> Option<ConsentChange> {
    let purpose = promise.purposes.get(purpose).filter(|purpose| purpose.basis == Basis::Consent)?;
    let status = match answer {
        "yes" => ConsentStatus::Given,
        "no" if had_yes => ConsentStatus::Withdrawn,
        "no" => ConsentStatus::Refused,
        _ => return None,
    };
    let level = match level {
        Some(level) if status.is_given() && !purpose.levels.is_empty() => {
            Some(purpose.levels.iter().find(|(name, _)| name == level)?.0.clone())
        }
        _ => None,
    };
    let text = words_shown(&promise.company, purpose, status, level.as_deref());
    let language = promise.languages.first().cloned().unwrap_or_else(|| "en".to_owned());
    Some(ConsentChange {
        subject: Subject::Profile(person),
        source: None,
        purpose: purpose.name.clone(),
        status,
        level,
        words: Words { text, language, answered_at: now },
        method: Method::Portal,
        notice_version: promise.binding_notice(now),
        made_up: false,
    })
}
