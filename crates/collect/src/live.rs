//! What the console shows as it happens: the newest events with what became of each, names and reasons only, never a
//! value. In memory, gone with the process.

use model::{At, SourceName};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Events remembered.
pub const LIVE_MAX: usize = 1_000;
/// Names of cut properties shown of one event.
pub const CUTS_MAX: usize = 32;
/// Longest name shown, in characters.
const NAME_CHARS_MAX: usize = 64;
/// Stands for a name that could be somebody's.
const NOT_SHOWN: &str = "(not shown)";

/// What became of an event, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LiveWord {
    /// Stored whole.
    Taken,
    /// Stored without what is not declared.
    Trimmed,
    /// Had come before; nothing changed.
    Repeated,
    /// Not stored.
    Refused,
}

impl LiveWord {
    /// The word on the page and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Trimmed => "trimmed",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
        }
    }
}

/// Why a property was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CutReason {
    /// Not declared.
    Undeclared,
    /// Declared, but not of its kind or not in its list.
    WrongKind,
    /// A browser claims it; only a server key proves it.
    Claim,
}

impl CutReason {
    /// The word on the page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undeclared => "undeclared",
            Self::WrongKind => "wrong_kind",
            Self::Claim => "claim",
        }
    }
}

/// A property or trait that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its name.
    pub name: String,
    /// The kind it might be declared with, guessed from the form of its value.
    pub looks_like: &'static str,
    /// Why.
    pub reason: CutReason,
}

impl Cut {
    /// From a name and the raw JSON of its value.
    #[must_use]
    pub fn new(name: &str, json: &str, reason: CutReason) -> Self {
        Self { name: shown(name), looks_like: looks_like(json), reason }
    }
}

fn looks_like(json: &str) -> &'static str {
    match json.bytes().next() {
        Some(b't' | b'f') => "flag",
        Some(b'"') if json.contains('@') => "email",
        Some(b'"') => "text",
        Some(b'-' | b'0'..=b'9') if json.contains('.') => "money",
        Some(b'-' | b'0'..=b'9') => "number",
        _ => "nothing we have a kind for",
    }
}

/// A client's word as it may stand on a page: short, printable, and not when it could be an address or a number of
/// somebody.
#[must_use]
pub fn shown(name: &str) -> String {
    let n_digits = name.chars().filter(char::is_ascii_digit).count();
    if name.is_empty() || name.contains('@') || n_digits >= 6 || promise::never("", name).is_some() {
        return NOT_SHOWN.to_owned();
    }
    name.chars().take(NAME_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// One event as it went by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Counts up from 1 while the process runs.
    pub seq: u64,
    /// When it came.
    pub at: At,
    /// Through which source.
    pub source: SourceName,
    /// The event's name.
    pub event: String,
    /// What became of it.
    pub word: LiveWord,
    /// Why it was refused.
    pub reason: Option<&'static str>,
    /// The promise line that decided.
    pub line: Option<u32>,
    /// What was cut off, at most [`CUTS_MAX`].
    pub cut: Vec<Cut>,
}

impl Seen {
    /// Lines for the promise file that would declare what was missing, ready to paste; the purpose is left to a person.
    #[must_use]
    pub fn stanza(&self) -> Option<String> {
        let undeclared = self.cut.iter().filter(|cut| cut.reason == CutReason::Undeclared && is_plain(&cut.name));
        let has: Vec<String> = undeclared
            .filter(|cut| !cut.looks_like.contains(' '))
            .map(|cut| format!("{} = \"{}\"", cut.name, cut.looks_like))
            .collect();
        let event = self.event.replace(['"', '\\'], "");
        if self.reason == Some(vault::OutcomeReason::UndeclaredEvent.as_str()) && self.event != NOT_SHOWN {
            let has = has.join(", ");
            return Some(format!(
                "[event.\"{event}\"]\nfor = [\"…\"]         # which purpose?\nkeep = \"90 days\"   # how long?\nhas = {{ {has} }}\n"
            ));
        }
        (!has.is_empty()).then(|| format!("# in [event.\"{event}\"], add to has:\n{}\n", has.join(", ")))
    }
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.is_empty()
}

#[derive(Debug, Default)]
struct Ring {
    newest: VecDeque<Seen>,
    seq: u64,
}

/// The newest events. Clones share one ring.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<Mutex<Ring>>);

impl Live {
    /// Remembers one event and forgets the oldest above [`LIVE_MAX`]; `seq` is set here.
    pub fn note(&self, mut seen: Seen) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.seq += 1;
        seen.seq = ring.seq;
        seen.event = shown(&seen.event);
        seen.cut.truncate(CUTS_MAX);
        ring.newest.push_front(seen);
        ring.newest.truncate(LIVE_MAX);
    }

    /// The newest first, at most `limit`.
    #[must_use]
    pub fn newest(&self, limit: usize) -> Vec<Seen> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.newest.iter().take(limit).cloned().collect()
    }

    /// Those that came after one that was shown, newest first.
    #[must_use]
    pub fn since(&self, seq: u64) -> Vec<Seen> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.newest.iter().take_while(|seen| seen.seq > seq).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(event: &str, reason: Option<&'static str>, cut: Vec<Cut>) -> Seen {
        let source = SourceName::parse("web").unwrap();
        let (at, event) = (At::from_ms(0), event.to_owned());
        Seen { seq: 0, at, source, event, word: LiveWord::Trimmed, reason, line: None, cut }
    }

    #[test]
    fn the_ring_keeps_the_newest_and_says_what_is_new() {
        let live = Live::default();
        (0..LIVE_MAX + 5).for_each(|_| live.note(seen("A", None, Vec::new())));
        assert_eq!(live.newest(usize::MAX).len(), LIVE_MAX);
        assert_eq!(live.newest(1)[0].seq, LIVE_MAX as u64 + 5);
        assert_eq!(live.since(LIVE_MAX as u64 + 3).len(), 2);
        assert!(live.since(u64::MAX).is_empty());
    }

    #[test]
    fn a_name_that_could_be_somebodys_is_not_shown() {
        for name in ["anna@example.com", "call 0123456789", "", "4111 1111 1111 1111"] {
            assert_eq!(shown(name), NOT_SHOWN);
        }
        assert_eq!(shown("Product\nViewed"), "Product?Viewed");
        assert_eq!(shown(&"x".repeat(500)).len(), NAME_CHARS_MAX);
    }

    #[test]
    fn an_undeclared_event_comes_with_lines_to_paste() {
        let cut = vec![
            Cut::new("plan", "\"gold\"", CutReason::Undeclared),
            Cut::new("seats", "3", CutReason::Undeclared),
            Cut::new("nested", "{}", CutReason::Undeclared),
            Cut::new("odd name", "1", CutReason::Undeclared),
        ];
        let stanza = seen("Plan Chosen", Some("undeclared_event"), cut.clone()).stanza().unwrap();
        assert!(stanza.contains("[event.\"Plan Chosen\"]"), "{stanza}");
        assert!(stanza.contains("has = { plan = \"text\", seats = \"number\" }"), "{stanza}");
        assert!(seen("Plan Chosen", None, cut).stanza().unwrap().starts_with("# in [event.\"Plan Chosen\"]"));
        assert_eq!(seen("Plan Chosen", None, Vec::new()).stanza(), None);
    }
}
