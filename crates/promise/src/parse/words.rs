//! Texts that people read: languages, slots, and the lint for plain words.

use super::read::{Findings, Section, Text};
use std::collections::BTreeMap;

/// Longest text that people read, in bytes.
const SAYS_BYTES_MAX: usize = 600;
/// Longest sentence, in words.
const SENTENCE_WORDS_MAX: usize = 20;
/// Words that hide what is meant.
const VAGUE: [&str; 7] = ["may", "might", "some", "often", "partners", "legitimate interest", "possible"];

/// A text in the languages of the notice.
pub(super) struct Said {
    pub(super) default: String,
    pub(super) others: BTreeMap<String, String>,
    /// All of them with their places.
    pub(super) texts: Vec<Text>,
}

/// Reads `key = "…"` or `key = { en = "…", fr = "…" }`.
pub(super) fn said(
    section: &Section<'_>,
    key: &str,
    languages: &[String],
    findings: &mut Findings<'_>,
) -> Option<Said> {
    section.missing(key, findings);
    if !section.is_table(key) {
        let text = section.need_text(key, findings)?;
        fits(section, key, &text, findings);
        return Some(Said { default: text.value.clone(), others: BTreeMap::new(), texts: vec![text] });
    }
    let mut others = BTreeMap::new();
    let mut texts = Vec::new();
    for (language, span, text) in section.text_table(key, findings) {
        if !languages.contains(&language) {
            let title = format!("`{key}` of {} is written in `{language}`", section.what);
            findings.error("FL603", span, title, format!("the notice has the languages: {}", languages.join(", ")));
        }
        fits(section, key, &text, findings);
        others.insert(language, text.value.clone());
        texts.push(text);
    }
    let missing: Vec<&str> =
        languages.iter().map(String::as_str).filter(|language| !others.contains_key(*language)).collect();
    if !missing.is_empty() {
        let title = format!("`{key}` of {} is missing in: {}", section.what, missing.join(", "));
        findings.error("FL603", section.value_span(key), title, "every language of the notice must be here");
    }
    let default = others.remove(languages.first()?)?;
    Some(Said { default, others, texts })
}

fn fits(section: &Section<'_>, key: &str, text: &Text, findings: &mut Findings<'_>) {
    if text.value.len() > SAYS_BYTES_MAX || text.value.chars().any(|c| c.is_control() && c != '\n') {
        let title = format!("`{key}` of {} is too long, or has control characters", section.what);
        findings.error("FL005", text.span.clone(), title, format!("at most {SAYS_BYTES_MAX} bytes"));
    }
}

/// FL401, FL402: short sentences, no word that hides what is meant.
pub(super) fn plain(what: &str, said: &Said, findings: &mut Findings<'_>) {
    for text in &said.texts {
        let mut start = 0;
        for sentence in text.value.split_inclusive(['.', '!', '?']) {
            let n_words = sentence.split_whitespace().count();
            if n_words > SENTENCE_WORDS_MAX {
                let lead = sentence.len() - sentence.trim_start().len();
                let span = text.part(start + lead, sentence.trim().len());
                let title = format!("a sentence of {what} has {n_words} words");
                findings.warning("FL401", span, title, format!("people read {SENTENCE_WORDS_MAX} words at a time"));
            }
            start += sentence.len();
        }
        if let Some((at, word)) = promises_an_end(&text.value) {
            let title = format!("{what} promises when data is deleted");
            let span = text.part(at, word.len());
            let label = "`keep` says how long, and the notice says it for you, as it is done";
            findings.error("FL605", span, title, label);
        }
        for (at, word) in vague(&text.value) {
            let title = format!("{what} says `{word}`");
            let span = text.part(at, word.len());
            findings.warning("FL402", span, title, "say what happens, when, and with whom");
        }
    }
}

/// Words with which a text says that data ends. How long something is kept is declared, so that it is also done.
const ENDS: [&str; 14] = [
    "delete",
    "deletes",
    "deleted",
    "deleting",
    "erase",
    "erases",
    "erased",
    "erasing",
    "wipe",
    "wiped",
    "purge",
    "purged",
    "destroy",
    "destroyed",
];

/// The first word with which a text promises that data ends.
fn promises_an_end(text: &str) -> Option<(usize, &'static str)> {
    let lower = text.to_ascii_lowercase();
    ENDS.iter().filter_map(|word| places_of(&lower, word).next().map(|at| (at, *word))).min()
}

/// Vague words as whole words, with their places.
fn vague(text: &str) -> Vec<(usize, &'static str)> {
    // Lower-casing ASCII only keeps byte positions.
    let lower = text.to_ascii_lowercase();
    let mut found: Vec<(usize, &'static str)> =
        VAGUE.iter().flat_map(|word| places_of(&lower, word).map(|at| (at, *word)).collect::<Vec<_>>()).collect();
    found.sort_unstable();
    found
}

/// Where a word stands in a text as a whole word, not inside another or in a slot.
pub(super) fn places_of<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '{');
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text.get(..*at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !letter(before) && !letter(after)
    })
}

/// One `{name}` in a text.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) len: usize,
}

/// The slots of a text, or the place of a brace that is not closed or not opened.
pub(super) fn slots(text: &str) -> Result<Vec<Slot>, usize> {
    let mut slots = Vec::new();
    let mut at = 0;
    while let Some(offset) = text.get(at..).and_then(|rest| rest.find(['{', '}'])) {
        let open = at + offset;
        let rest = text.get(open..).unwrap_or("");
        let inside = rest.strip_prefix('{').ok_or(open)?;
        let len = inside.find(['{', '}']).filter(|len| inside.get(*len..).is_some_and(|rest| rest.starts_with('}')));
        let len = len.ok_or(open)?;
        slots.push(Slot { name: inside.get(..len).unwrap_or("").to_owned(), at: open, len: len + 2 });
        at = open + len + 2;
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_and_stray_braces_are_named() {
        let names = |text| slots(text).map(|slots| slots.into_iter().map(|slot| slot.name).collect::<Vec<_>>());
        assert_eq!(names("{item} is for {name}."), Ok(vec!["item".to_owned(), "name".to_owned()]));
        assert_eq!(names("none"), Ok(vec![]));
        assert_eq!(names("a } b"), Err(2));
        assert_eq!(names("a {b"), Err(2));
        assert_eq!(names("{a{b}}"), Err(0));
    }

    #[test]
    fn vague_words_are_whole_words() {
        assert_eq!(vague("We may share, MAYBE, with Partners."), [(3, "may"), (26, "partners")]);
        assert_eq!(vague("something {some} dismay"), []);
        assert_eq!(vague("For our legitimate interest."), [(8, "legitimate interest")]);
    }
}
