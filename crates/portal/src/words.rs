//! Plain words for what the house says in types: dates, names, origins, how somebody was told. One place, so that a page,
//! a mail link and the export say the same thing. It reads nothing and decides nothing.

use model::{At, Awareness, ConsentStatus, Method, Provenance, Value};
use promise::Promise;
use serde::{Serialize, Serializer};

/// An instant, shown as a day and written as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct When(pub(crate) At);

impl When {
    /// "23 November 2026".
    pub(crate) fn day(&self) -> String {
        vault::trace::day_in_words(self.0.day())
    }

    /// "23 November 2026, 17:32 UTC".
    pub(crate) fn minute(&self) -> String {
        self.0.timestamp().strftime("%-d %B %Y, %H:%M UTC").to_string()
    }

    /// "2026-11-23", for `<time>`.
    pub(crate) fn iso_day(&self) -> String {
        self.0.day().to_string()
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// "favourite_group" → "Favourite group".
pub(crate) fn label(name: &str) -> String {
    let spaced = name.replace('_', " ");
    let mut letters = spaced.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A first letter in lower case, for the middle of a sentence, and no full stop.
pub(crate) fn inner(sentence: &str) -> String {
    let mut letters = sentence.trim().trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// "a", "a and b", "a, b and c".
pub(crate) fn list<S: AsRef<str>>(parts: &[S]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}

/// "1 order", "4 orders".
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// "s•••@shop.example": enough to recognise one's own address, not enough to learn another's.
pub(crate) fn masked(address: &str) -> String {
    let (name, host) = address.split_once('@').unwrap_or((address, ""));
    let first: String = name.chars().take(1).collect();
    if host.is_empty() { format!("{first}•••") } else { format!("{first}•••@{host}") }
}

/// The word of an origin in data, and its words on a page.
pub(crate) fn origin(provenance: &Provenance) -> (&'static str, String) {
    match provenance {
        Provenance::Provided { .. } => ("provided", "You told us".to_owned()),
        Provenance::Observed { .. } => ("observed", "We saw it".to_owned()),
        Provenance::Derived { .. } => ("derived", "We worked it out".to_owned()),
        Provenance::Inferred { .. } => ("inferred", "A guess".to_owned()),
        Provenance::ThirdParty { party } => ("third_party", format!("Told by {party}")),
    }
}

/// The way in, where there is one.
pub(crate) fn source(provenance: &Provenance) -> Option<&str> {
    match provenance {
        Provenance::Provided { source } | Provenance::Observed { source } => Some(source.as_str()),
        Provenance::ThirdParty { party } => Some(party),
        Provenance::Derived { .. } | Provenance::Inferred { .. } => None,
    }
}

/// How the person learnt that we hold this: the word in data, and the words on a page.
pub(crate) const fn told(how: Awareness) -> (&'static str, &'static str) {
    match how {
        Awareness::Opened => ("opened", "on a page that you opened"),
        Awareness::AtTheMoment => ("at_the_moment", "when you gave it"),
        Awareness::InNotice => ("in_notice", "in our notice"),
        Awareness::InTerms => ("in_terms", "in our terms only"),
        Awareness::Never => ("never", "not yet"),
    }
}

/// By which act an answer came: words on a page.
pub(crate) const fn method(method: Method) -> &'static str {
    match method {
        Method::SiteForm => "on our site",
        Method::Portal => "on these pages",
        Method::MessageLink => "by a link in a message",
        Method::Server => "through our shop",
        Method::Import => "in our old records",
        Method::Gpc => "by a signal of your browser",
        Method::Desk => "at our desk, as you asked",
    }
}

/// What an answer was, in the past: "You said yes".
pub(crate) const fn answer(status: ConsentStatus) -> &'static str {
    match status {
        ConsentStatus::Given => "You said yes",
        ConsentStatus::Refused => "You said no",
        ConsentStatus::Withdrawn => "You said yes, and later no",
        ConsentStatus::Requested => "We asked, you did not answer",
        ConsentStatus::Deferred => "You wanted to answer later",
        ConsentStatus::Unknown => "We never asked",
        ConsentStatus::Revoked => "We ended it",
        ConsentStatus::Expired => "Your yes has run out",
        ConsentStatus::Invalidated => "Your yes was not valid, so it does not count",
    }
}

/// The kind's word of a value in data.
pub(crate) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "text",
        Value::Number(_) => "number",
        Value::Money(_) => "money",
        Value::Flag(_) => "flag",
        Value::Instant(_) => "instant",
        Value::Date(_) => "date",
        Value::Ranking(_) => "ranking",
    }
}

/// The sentence a purpose is told with.
pub(crate) fn purpose(promise: &Promise, name: &model::PurposeName) -> String {
    promise.purposes.get(name).map_or_else(|| label(name.as_str()), |purpose| purpose.says.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_by_its_first_letter_only() {
        assert_eq!(masked("sam.jones@shop.example"), "s•••@shop.example");
        assert_eq!(masked("no-at-sign"), "n•••");
        assert_eq!(masked(""), "•••");
    }

    #[test]
    fn lists_and_labels_read_aloud() {
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(label("favourite_group"), "Favourite group");
        assert_eq!(inner("Send you offers."), "send you offers");
    }
}
