//! `/privacy/me`: everything known, in rows a person can read. Guesses stand apart, with their evidence. It shows what
//! the copy holds and adds nothing.

use crate::copy::{EventCopy, FactCopy, PersonCopy};
use crate::frame::Frame;
use crate::words;
use askama::Template;
use std::collections::BTreeMap;

/// Events on the first page.
pub(crate) const EVENTS_FIRST: usize = 8;
/// Events on each page of all events.
pub(crate) const EVENTS_A_PAGE: usize = 40;
/// Guesses shown with a button; the rest follow as a list.
pub(crate) const GUESSES_SHOWN: usize = 5;

/// `/privacy/me`
#[derive(Template)]
#[template(path = "me.html")]
pub(crate) struct MePage {
    pub(crate) frame: Frame,
    pub(crate) csrf: String,
    pub(crate) n_facts: usize,
    pub(crate) n_guesses: usize,
    pub(crate) n_events: usize,
    pub(crate) n_reads: u32,
    pub(crate) groups: Vec<Group>,
    pub(crate) guesses: Vec<FactCopy>,
    pub(crate) events: Vec<EventCopy>,
    pub(crate) readers: Vec<ReaderRow>,
    pub(crate) copy: PersonCopy,
}

/// Facts of one origin.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) says: &'static str,
    pub(crate) facts: Vec<FactCopy>,
}

/// One artefact and how often it read.
pub(crate) struct ReaderRow {
    pub(crate) artefact: String,
    pub(crate) says: String,
    pub(crate) last_day: String,
    pub(crate) n: u32,
}

/// `/privacy/me/events`
#[derive(Template)]
#[template(path = "events.html")]
pub(crate) struct EventsPage {
    pub(crate) frame: Frame,
    pub(crate) page: usize,
    pub(crate) n_pages: usize,
    pub(crate) events: Vec<EventCopy>,
}

/// `/privacy/me/events/{evt_…}`
#[derive(Template)]
#[template(path = "event.html")]
pub(crate) struct EventPage {
    pub(crate) frame: Frame,
    pub(crate) event: EventCopy,
}

const GROUPS: [(&[&str], &str, &str); 4] = [
    (&["provided"], "You told us", "You can change what you told us under “Tastes”."),
    (&["observed"], "We saw it", "It came with something you did."),
    (&["derived"], "We worked it out", "Each is counted by a fixed rule. No guessing."),
    (&["third_party"], "Others told us", "Each row names who."),
];

impl MePage {
    pub(crate) fn new(frame: Frame, copy: PersonCopy) -> Self {
        let of = |origins: &[&str]| -> Vec<FactCopy> {
            copy.facts.iter().filter(|fact| origins.contains(&fact.origin)).cloned().collect()
        };
        let groups: Vec<Group> = GROUPS
            .iter()
            .map(|(origins, title, says)| Group { title, says, facts: of(origins) })
            .filter(|group| !group.facts.is_empty())
            .collect();
        let guesses = of(&["inferred"]);
        Self {
            csrf: frame.csrf().to_owned(),
            frame,
            n_facts: copy.facts.len().saturating_sub(guesses.len()),
            n_guesses: guesses.iter().map(|guess| guess.value.guesses().len().max(1)).sum(),
            n_events: copy.events.len(),
            n_reads: copy.uses.iter().map(|used| used.n).sum(),
            groups,
            guesses,
            events: copy.events.iter().take(EVENTS_FIRST).cloned().collect(),
            readers: readers(&copy),
            copy,
        }
    }
}

fn readers(copy: &PersonCopy) -> Vec<ReaderRow> {
    let mut rows: BTreeMap<(&str, Option<&str>), (u32, &str)> = BTreeMap::new();
    for used in &copy.uses {
        let row = rows.entry((&used.artefact_words, used.purpose.as_deref())).or_default();
        row.0 = row.0.saturating_add(used.n);
        row.1 = row.1.max(&used.day);
    }
    let says = |purpose: Option<&str>| match purpose {
        None => "your own right to see".to_owned(),
        Some(purpose) => words::label(purpose),
    };
    rows.into_iter()
        .map(|((artefact, purpose), (n, last_day))| ReaderRow {
            artefact: artefact.to_owned(),
            says: says(purpose),
            last_day: last_day.to_owned(),
            n,
        })
        .collect()
}

impl EventsPage {
    /// One page of all events; a page outside the range is the nearest one inside.
    pub(crate) fn new(frame: Frame, copy: PersonCopy, page: usize) -> Self {
        let n_pages = copy.events.len().div_ceil(EVENTS_A_PAGE).max(1);
        let page = page.clamp(1, n_pages);
        let events = copy.events.into_iter().skip((page - 1) * EVENTS_A_PAGE).take(EVENTS_A_PAGE).collect();
        Self { frame, page, n_pages, events }
    }
}
