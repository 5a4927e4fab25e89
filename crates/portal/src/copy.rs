//! A person's own copy: everything a permit of the portal opens, as plain data with its words. The pages, the export and
//! the API all show this one thing, so none of them can know more than another. It is read by [`crate::reader`] and
//! renders nothing.

use crate::leaving::LeavingCopy;
use crate::words::{self, When};
use model::{At, Value};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything known about one person.
#[derive(Serialize)]
pub(crate) struct PersonCopy {
    pub(crate) format: &'static str,
    pub(crate) made_at: When,
    pub(crate) company: String,
    pub(crate) person: String,
    pub(crate) notice_version: u32,
    pub(crate) facts: Vec<FactCopy>,
    pub(crate) events: Vec<EventCopy>,
    pub(crate) answers: Vec<AnswerCopy>,
    pub(crate) messages: Vec<MessageCopy>,
    pub(crate) contact: ContactCopy,
    pub(crate) uses: Vec<UseCopy>,
    pub(crate) staff_reads: Vec<StaffCopy>,
    pub(crate) given: Vec<GivenCopy>,
    pub(crate) leaving: LeavingCopy,
}

/// What somebody else got, and when.
#[derive(Serialize, Clone)]
pub(crate) struct GivenCopy {
    pub(crate) recipient: String,
    /// Who it is.
    pub(crate) who: String,
    pub(crate) what: Vec<String>,
    pub(crate) first_at: When,
    pub(crate) last_at: When,
    pub(crate) n: u32,
}

/// One thing we know or think.
#[derive(Serialize, Clone)]
pub(crate) struct FactCopy {
    pub(crate) name: String,
    /// What it is called on a page: the field's name, or the recipe of a trait.
    pub(crate) label: String,
    pub(crate) kind: &'static str,
    pub(crate) value: ValueCopy,
    pub(crate) origin: &'static str,
    pub(crate) origin_words: String,
    pub(crate) source: Option<String>,
    /// Where it came from, in words.
    pub(crate) from: String,
    /// Everything it rests on, all the way down.
    pub(crate) rests_on: Vec<String>,
    pub(crate) as_of: When,
    pub(crate) told_at: Option<When>,
    pub(crate) told_how: &'static str,
    pub(crate) told_words: &'static str,
    pub(crate) purposes: Vec<PurposeCopy>,
    pub(crate) notice_version: u32,
    pub(crate) class: &'static str,
    pub(crate) context: &'static str,
    pub(crate) until: When,
    /// Share of its life that is over, in percent.
    pub(crate) life_used_percent: u8,
    pub(crate) read_by: Vec<ReaderCopy>,
}

/// A purpose with the words people read.
#[derive(Serialize, Clone)]
pub(crate) struct PurposeCopy {
    pub(crate) name: String,
    pub(crate) says: String,
}

/// Who read something, and how often in the last 30 days.
#[derive(Serialize, Clone)]
pub(crate) struct ReaderCopy {
    pub(crate) artefact: String,
    #[serde(skip)]
    pub(crate) artefact_words: String,
    pub(crate) n: u32,
}

/// A value as data and as words.
#[derive(Serialize, Clone)]
#[serde(untagged)]
pub(crate) enum ValueCopy {
    Text(String),
    Number(i64),
    Money { amount: String, currency: String },
    Flag(bool),
    Instant(When),
    Date(String),
    Ranking(Vec<GuessCopy>),
}

/// One thing we think a person could like, with the one purchase that speaks for it.
#[derive(Serialize, Clone)]
pub(crate) struct GuessCopy {
    pub(crate) item: String,
    pub(crate) title: String,
    pub(crate) because: Option<String>,
    pub(crate) because_title: Option<String>,
}

/// One event.
#[derive(Serialize, Clone)]
pub(crate) struct EventCopy {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) occurred_at: When,
    pub(crate) received_at: When,
    /// The date in the source, when a history was moved in time.
    pub(crate) source_day: Option<String>,
    pub(crate) properties: BTreeMap<String, ValueCopy>,
    pub(crate) lines: Vec<LineCopy>,
    pub(crate) purposes: Vec<PurposeCopy>,
    pub(crate) until: When,
}

/// One line of an order.
#[derive(Serialize, Clone)]
pub(crate) struct LineCopy {
    pub(crate) item: String,
    pub(crate) title: String,
    pub(crate) quantity: i32,
    pub(crate) price: String,
    pub(crate) currency: String,
    #[serde(skip)]
    pub(crate) price_words: String,
}

/// One answer of the person.
#[derive(Serialize, Clone)]
pub(crate) struct AnswerCopy {
    pub(crate) id: String,
    pub(crate) purpose: String,
    pub(crate) says: String,
    pub(crate) status: &'static str,
    pub(crate) status_words: &'static str,
    pub(crate) level: Option<String>,
    pub(crate) words: String,
    pub(crate) language: String,
    pub(crate) answered_at: When,
    pub(crate) method: &'static str,
    pub(crate) method_words: &'static str,
    pub(crate) notice_version: u32,
    /// Made up for a demonstration.
    pub(crate) made_up: bool,
    /// Where the receipt lies in the export.
    pub(crate) receipt_file: String,
    #[serde(skip)]
    pub(crate) receipt: String,
}

/// One decision about the person, and its message.
#[derive(Serialize, Clone)]
pub(crate) struct MessageCopy {
    pub(crate) decision: String,
    pub(crate) at: When,
    pub(crate) campaign: String,
    pub(crate) channel: &'static str,
    pub(crate) held_out: bool,
    pub(crate) offer: Option<String>,
    pub(crate) item: Option<String>,
    pub(crate) item_title: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) says: Option<String>,
    pub(crate) why: Option<String>,
    /// How it ended, in the house's word.
    pub(crate) state: Option<String>,
    pub(crate) facts: Vec<FactCopy>,
    pub(crate) steps: Vec<StepCopy>,
    pub(crate) basis: &'static str,
    /// How many people share the combination that was used.
    pub(crate) shared_by: u32,
    pub(crate) exposure: String,
    /// The chance with which this was chosen, in millionths.
    pub(crate) propensity_micros: u32,
    pub(crate) notice_version: u32,
    /// SHA-256 of the promise in force, hexadecimal.
    pub(crate) promise: String,
}

/// One rule of a decision and its answer.
#[derive(Serialize, Clone)]
pub(crate) struct StepCopy {
    pub(crate) rule: String,
    pub(crate) passed: bool,
    pub(crate) reason: Option<&'static str>,
}

/// Contact so far and its limits.
#[derive(Serialize, Clone)]
pub(crate) struct ContactCopy {
    pub(crate) sent_at: Vec<When>,
    /// The person's own limit.
    pub(crate) at_most: Option<u32>,
    /// The company's limit.
    pub(crate) company_at_most: u32,
    /// Both count within this many days.
    pub(crate) per_days: i32,
    pub(crate) zone: Option<String>,
    pub(crate) turned_down: Vec<String>,
    /// The same with the names people know.
    #[serde(skip)]
    pub(crate) turned_down_words: Vec<String>,
}

/// One artefact's reads on one day.
#[derive(Serialize, Clone)]
pub(crate) struct UseCopy {
    pub(crate) day: String,
    pub(crate) artefact: String,
    #[serde(skip)]
    pub(crate) artefact_words: String,
    pub(crate) purpose: Option<String>,
    pub(crate) n: u32,
}

/// One time that staff opened this person.
#[derive(Serialize, Clone)]
pub(crate) struct StaffCopy {
    pub(crate) at: When,
    pub(crate) staff: String,
    pub(crate) reason: String,
}
impl PersonCopy {
    /// The newest answer about a purpose, if the person ever gave one.
    pub(crate) fn answer(&self, purpose: &str) -> Option<&AnswerCopy> {
        self.answers.iter().filter(|answer| answer.purpose == purpose).max_by(|a, b| a.id.cmp(&b.id))
    }

    /// The value of a stated or collected field.
    pub(crate) fn fact(&self, name: &str) -> Option<&FactCopy> {
        self.facts.iter().find(|fact| fact.name == name)
    }
}

impl ValueCopy {
    /// The value in words; items of a ranking are shown by their own rows.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Text(text) | Self::Date(text) => text.clone(),
            Self::Number(number) => vault::trace::in_words(&Value::Number(*number)).unwrap_or_default(),
            Self::Money { amount, currency } => money(amount, currency),
            Self::Flag(flag) => if *flag { "Yes" } else { "No" }.to_owned(),
            Self::Instant(at) => at.minute(),
            Self::Ranking(items) => words::count(items.len(), "thing", "things"),
        }
    }

    /// The guesses of a ranking, best first.
    pub(crate) fn guesses(&self) -> &[GuessCopy] {
        match self {
            Self::Ranking(items) => items,
            _ => &[],
        }
    }
}

fn money(amount: &str, currency: &str) -> String {
    model::Currency::parse(currency)
        .and_then(|currency| model::Money::parse(amount, currency))
        .map_or_else(|| format!("{amount} {currency}"), vault::trace::money_in_words)
}

impl FactCopy {
    /// The value for a list: of a ranking, the names of its things.
    pub(crate) fn short(&self) -> String {
        let titles: Vec<&str> = self.value.guesses().iter().map(|guess| guess.title.as_str()).collect();
        if titles.is_empty() { self.value.in_words() } else { words::list(&titles) }
    }

    /// "Send you offers …" of each purpose, in one line.
    pub(crate) fn used_for(&self) -> String {
        let says: Vec<&str> = self.purposes.iter().map(|purpose| purpose.says.as_str()).collect();
        says.join(" ")
    }

    /// "win back (3 times)" of each reader, in one line.
    pub(crate) fn readers(&self) -> String {
        let readers: Vec<String> = self
            .read_by
            .iter()
            .map(|by| format!("{} ({})", by.artefact_words, words::count(by.n as usize, "time", "times")))
            .collect();
        words::list(&readers)
    }

    /// What it rests on, in one line.
    pub(crate) fn evidence(&self) -> String {
        let parts: Vec<String> = self.rests_on.iter().map(|part| words::label(part)).collect();
        words::list(&parts)
    }
}

impl EventCopy {
    /// One line for a list: how many things, or the properties.
    pub(crate) fn summary(&self) -> String {
        let mut parts = Vec::new();
        if !self.lines.is_empty() {
            parts.push(words::count(self.lines.len(), "line", "lines"));
        }
        let shown = self.properties.iter().map(|(name, value)| format!("{}: {}", words::label(name), value.in_words()));
        parts.extend(shown.take(4));
        parts.join(" · ")
    }
}

impl MessageCopy {
    /// Without the facts that are past their end, and then without the sentences that may quote them.
    pub(crate) fn without_expired(mut self, now: At) -> Self {
        let n_facts = self.facts.len();
        self.facts.retain(|fact| fact.until.0 > now);
        if self.facts.len() < n_facts {
            (self.why, self.says, self.title) = (None, None, None);
        }
        self
    }

    /// How the message ended, in plain words.
    pub(crate) fn state_words(&self) -> String {
        let said = self.state.as_deref().unwrap_or(if self.channel == "page" { "shown" } else { "" });
        match said.split_once(": ") {
            Some(("failed", "unknown")) => "We handed it over and do not know whether it arrived".to_owned(),
            Some(("refused", why)) => format!("Not sent: {}", reason_words(why)),
            Some(("failed", why)) => format!("Not sent: {}", reason_words(why)),
            Some((word, rest)) => format!("{}: {}", words::label(word), reason_words(rest)),
            None => match said {
                "sent" => "Sent".to_owned(),
                "waiting" => "Waiting to be sent".to_owned(),
                "shown" => "Shown on a page".to_owned(),
                "" => "No message".to_owned(),
                other => words::label(other),
            },
        }
    }
}

fn reason_words(word: &str) -> String {
    match word {
        "changed_meanwhile" => "something changed just before it left".to_owned(),
        "withdrawn" | "said_no" => "you had said no".to_owned(),
        "cap_reached" => "you had enough messages".to_owned(),
        "quiet_hours" => "your quiet hours".to_owned(),
        "address_refused" => "your mail box did not take it".to_owned(),
        "no_address" => "we have no address".to_owned(),
        "no_longer_so" | "expired" => "what it would have said was no longer so".to_owned(),
        "not_in_segment" => "you no longer belong to the group it was for".to_owned(),
        "above_level" => "you chose to share less".to_owned(),
        "paused" => "we paused this campaign".to_owned(),
        "not_counted" => "we could not have written down what we read for it".to_owned(),
        "restrained" => "you asked to be left alone".to_owned(),
        "message_refused" => "the mail server did not take it".to_owned(),
        "gave_up" => "it could not be sent for a day".to_owned(),
        "relay_down" | "relay_busy" => "the mail server was busy".to_owned(),
        other => words::inner(&words::label(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use promise::RefusalReason;

    fn said(state: &str) -> String {
        MessageCopy { state: Some(state.to_owned()), ..Sample::Calm.message(1) }.state_words()
    }

    #[test]
    fn every_end_of_a_message_is_told_as_it_was() {
        let unknown = said("failed: unknown");
        assert!(unknown.contains("do not know") && !unknown.contains("Not sent"), "{unknown}");
        let changed = said("refused: changed_meanwhile");
        assert!(
            changed.starts_with("Not sent") && changed.contains("changed") && !changed.contains(" no"),
            "{changed}"
        );
        assert!(!said("failed: gave_up").contains("tried"), "a relay that is down for a day costs no try");
        assert!(said("refused: withdrawn").contains("you had said no"));
        for reason in RefusalReason::ALL {
            let words = said(&format!("refused: {}", reason.as_str()));
            assert!(words.starts_with("Not sent: ") && !words.contains('_'), "{words}");
        }
        assert_eq!(said("waiting: quiet_hours"), "Waiting: your quiet hours");
    }
}
