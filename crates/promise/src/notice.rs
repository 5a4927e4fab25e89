//! The notice that people read, written from the declarations alone: every sentence is one that the program carries out.
//!
//! It is data with headings and lines; pages lay it out, [`Notice::to_text`] is the plain form. The default language is
//! English; `says` of a purpose comes in the language asked for where the file has it.

use crate::declaration::{
    AfterLeaving, Basis, EventPlan, FateKind, Field, Promise, Purpose, Retention, Since, SourceKind, TraitPlan,
};
use crate::lookup;
use crate::never::NeverReason;
use model::{Day, Kind, PurposeName};

/// What a company promises, in plain English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// "What Corner Gifts Ltd does with your data".
    pub title: String,
    /// Which version this is.
    pub version: u32,
    /// From which day it binds.
    pub starts: Day,
    /// Its parts, in reading order.
    pub sections: Vec<NoticeSection>,
}

/// One part of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSection {
    /// "What we keep".
    pub heading: &'static str,
    /// What it says, one thing per entry.
    pub items: Vec<NoticeItem>,
}

/// One thing that a notice says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeItem {
    /// Which declaration proves it: ("field", "email"); built-in sentences have ("", "").
    pub proof: (&'static str, String),
    /// What it is about ("email"), if it has a name.
    pub about: Option<String>,
    /// Whole sentences.
    pub text: String,
}

/// The heading over what is kept.
const KEPT: &str = "What we keep, and for how long";

impl NoticeItem {
    fn new(proof: (&'static str, &str), about: Option<String>, text: String) -> Self {
        Self { proof: (proof.0, proof.1.to_owned()), about, text }
    }

    fn plain(section: &'static str, text: impl Into<String>) -> Self {
        Self::new((section, ""), None, text.into())
    }
}

/// Holds that are on, as a notice tells them: no person, no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldsOn {
    /// Of how many people something is held.
    pub n_people: u64,
    /// When the last of them ends.
    pub until: Day,
}

/// What was measured of the promise to remove what has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovalRecord {
    /// How many times it was looked at.
    pub n_rounds: u64,
    /// Since which day.
    pub since: Day,
    /// The longest time it took, in whole days, rounded up.
    pub longest_days: i32,
}

impl Notice {
    /// The same with what only the running house knows: which holds are on, and how long removing took.
    #[must_use]
    pub fn with_record(mut self, holds: Option<HoldsOn>, record: Option<RemovalRecord>) -> Self {
        let Some(kept) = self.sections.iter_mut().find(|section| section.heading == KEPT) else { return self };
        if let Some(HoldsOn { n_people, until }) = holds {
            let whose = if n_people == 1 { "one person".to_owned() } else { format!("{n_people} people") };
            let text = format!("A hold is on: data of {whose} is kept until {until} at the latest, for that alone.");
            kept.items.push(NoticeItem::plain("hold", text));
        }
        if let Some(RemovalRecord { n_rounds, since, longest_days }) = record {
            let (days, rounds) = (length(longest_days), if n_rounds == 1 { "time" } else { "times" });
            let text = format!("Measured {n_rounds} {rounds} since {since}: removing took {days} at the longest.");
            kept.items.push(NoticeItem::plain("removal", text));
        }
        self
    }

    /// The plain form: headings underlined, one line per thing.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{}\nVersion {}, from {}.\n", self.title, self.version, self.starts);
        for section in &self.sections {
            out.push_str(&format!("\n{}\n{}\n", section.heading, "-".repeat(section.heading.chars().count())));
            for item in &section.items {
                match &item.about {
                    Some(about) => out.push_str(&format!("* {about}: {}\n", item.text)),
                    None => out.push_str(&format!("* {}\n", item.text)),
                }
            }
        }
        out
    }
}

impl Promise {
    /// The notice of this promise in a language; what the file does not say in it stays in the default language.
    #[must_use]
    pub fn notice_text(&self, language: &str) -> Notice {
        let kept = self.fields.values().map(field).chain(self.events.values().map(event));
        let kept = kept.chain([self.removal()]).collect();
        let sections = vec![
            NoticeSection { heading: "Who we are", items: vec![self.who()] },
            NoticeSection {
                heading: "What we use your data for",
                items: self.purposes.values().map(|plan| purpose(plan, language)).collect(),
            },
            NoticeSection { heading: KEPT, items: kept },
            NoticeSection { heading: "What we work out from it", items: self.worked_out(language) },
            NoticeSection { heading: "When you leave", items: self.leaving() },
            NoticeSection { heading: "Who gets it", items: self.recipients() },
            NoticeSection { heading: "How often we write", items: self.contact() },
            NoticeSection { heading: "What we never do", items: self.never_done() },
            NoticeSection { heading: "What you can do", items: self.choices() },
        ];
        let sections = sections.into_iter().filter(|section| !section.items.is_empty()).collect();
        Notice {
            title: format!("What {} does with your data", self.company),
            version: self.notice.version,
            starts: self.notice.starts,
            sections,
        }
    }

    fn who(&self) -> NoticeItem {
        NoticeItem::plain("", format!("{}, {}. Write to {}.", self.company, self.address, self.contact))
    }

    /// What the program does with whatever has reached its end, and the two exceptions.
    fn removal(&self) -> NoticeItem {
        let within = length(self.notice.removed_within_days);
        let text = format!(
            "What has reached its end is read by nothing here any more, from the midnight on which it ends. \
             It is removed from our disks within {within} of that day, backups of keys included. \
             Two things last longer. What a court or an authority tells us to hold is kept, closed to every other use. \
             Each hold stands here and on your page, with its end. \
             A backup of sealed records lasts longer too. What is put back from one has ended all the same."
        );
        NoticeItem::plain("notice", text)
    }

    fn leaving(&self) -> Vec<NoticeItem> {
        let Some(AfterLeaving { inactive_days, choices, until_days_max }) = &self.after_leaving else {
            return Vec::new();
        };
        let left = format!(
            "You leave by saying so on your page. To hear nothing of you for {} counts as leaving too. \
             An order, a visit, an answer or a tap of yours counts; what we send does not.",
            length(*inactive_days)
        );
        let mut fate = "When you have left, we forget you: everything about you is erased.".to_owned();
        if choices.len() > 1 {
            fate.push_str(" You can choose otherwise on your page, at any time.");
        }
        if choices.contains(&FateKind::Minimum) {
            let needed = self.purposes.values().filter(|purpose| purpose.basis == Basis::Contract);
            let needed: Vec<PurposeName> = needed.map(|purpose| purpose.name.clone()).collect();
            let needed = if needed.is_empty() { "nothing".to_owned() } else { names(&needed) };
            fate.push_str(&format!(
                " The minimum: only what is for {needed} stays, as long as its dates say. Every yes of yours ends."
            ));
        }
        if choices.contains(&FateKind::Until) {
            let at_most = length(*until_days_max);
            fate.push_str(&format!(
                " Until a date: everything stays until a day you name, at most {at_most} ahead. Then we forget you."
            ));
        }
        vec![NoticeItem::plain("after_leaving", left), NoticeItem::plain("after_leaving", fate)]
    }

    fn worked_out(&self, language: &str) -> Vec<NoticeItem> {
        let traits = self.traits.values().map(|plan| {
            let text = format!("{}. For: {}.", capital(plan.says_in(language)), names(&plan.purposes));
            NoticeItem::new(("trait", plan.name.as_str()), Some(spaced(plan.name.as_str())), text)
        });
        let candidates = self.candidates.iter().map(|plan| {
            let text = format!(
                "Which items to offer you, from what you bought. Each comes with the purchase that speaks for it. For: {}.",
                names(&plan.purposes)
            );
            NoticeItem::new(("trait", ""), Some("items for you".to_owned()), text)
        });
        traits.chain(candidates).collect()
    }

    fn recipients(&self) -> Vec<NoticeItem> {
        let mails = self.campaigns.values().any(|campaign| campaign.by.contains(&crate::ChannelKind::Email));
        let mut items = vec![NoticeItem::plain("", "This program sends your data to nobody but those listed here.")];
        if mails {
            let text = "To write to you, we hand your address and the message to a mail server. \
                        Your page lists each message we sent.";
            items.push(NoticeItem::plain("campaign", text));
        }
        items.extend(self.recipients.values().map(|plan| {
            let until = plan.until.map_or_else(String::new, |until| format!(" Until {until}."));
            let told = match plan.erase {
                Some(_) => "When you are erased, we tell them, and your receipt says what they answered.",
                None => "When you are erased, we cannot tell them by ourselves.",
            };
            let text = format!(
                "{}, {}. They get: {}. Why: {}.{until} {told}",
                plan.who,
                plan.place,
                plan.what.join(", "),
                plan.why
            );
            NoticeItem::new(("recipient", plan.name.as_str()), None, text)
        }));
        items
    }

    fn contact(&self) -> Vec<NoticeItem> {
        if self.campaigns.is_empty() {
            return Vec::new();
        }
        let cap = &self.cap;
        let messages = if cap.at_most == 1 { "message" } else { "messages" };
        let mut text = format!("At most {} {messages} in {}.", cap.at_most, length(cap.per_days));
        if cap.is_ever_quiet() {
            let (from, until) = (clock(cap.quiet_from), clock(cap.quiet_until));
            // A zone that the person cannot state is a guess, and under a guess it is quiet at the house as well.
            let whose = match self.zone_field() {
                Some(field) if field.stated => {
                    "of your time, once you told us your time zone; until then of the time in"
                }
                _ => "of the time in",
            };
            text.push_str(&format!(" None between {from} and {until} {whose} {}.", self.zone));
        }
        let held = "Part of the people who match a campaign get nothing. That is how we measure what it does.";
        vec![NoticeItem::new(("cap", "default"), None, text), NoticeItem::plain("campaign", held)]
    }

    fn never_done(&self) -> Vec<NoticeItem> {
        let guessed = format!("We never work out: {}.", self.guard.never_infer.join(", "));
        let group = format!("We look at counts of {} people or more, never fewer.", self.guard.smallest_group);
        let refused: Vec<&str> = NeverReason::ALL.iter().map(|reason| reason.says()).collect();
        let refused = format!("We refuse to take: {}.", refused.join("; "));
        vec![
            NoticeItem::plain("guard", guessed),
            NoticeItem::plain("guard", group),
            NoticeItem::plain("", refused),
            NoticeItem::plain("", "We take silence as a no."),
        ]
    }

    fn choices(&self) -> Vec<NoticeItem> {
        let told = format!(
            "Before a change that lets us do more, you hear from us {} ahead. Without your yes the old terms stay.",
            length(self.notice.tell_people_before_days)
        );
        let page =
            "On your page you can see, correct, export and erase what we hold. There you can also take back any yes.";
        let receipt = "Each answer you give is kept with the words you saw. You get a signed receipt for it.";
        let mut items = vec![NoticeItem::plain("", page), NoticeItem::plain("", receipt)];
        let asks = self.purposes.values().any(|purpose| purpose.basis == Basis::Consent);
        if asks && self.fields.values().any(|field| field.kind == Kind::Email) {
            let reminded = "Once a year we write to you what you share. One tap keeps it, lessens it or stops it.";
            items.push(NoticeItem::plain("", reminded));
        }
        items.push(NoticeItem::plain("notice", told));
        items
    }
}

impl Purpose {
    /// The exact words a person agrees to, for the consent ledger and for every form that asks.
    #[must_use]
    pub fn words(&self, company: &str) -> String {
        self.words_in(company, "")
    }

    /// The same with `says` in a language, where the file has it.
    #[must_use]
    pub fn words_in(&self, company: &str, language: &str) -> String {
        let says = self.says_in(language);
        format!(
            "{company} asks for your yes. {says} Without your yes this does not happen. You can take it back at any time."
        )
    }
}

impl TraitPlan {
    /// What is said in a language; the default language's text when there is no other.
    #[must_use]
    pub fn says_in(&self, language: &str) -> &str {
        self.says_in.get(language).unwrap_or(&self.says)
    }
}

impl Retention {
    /// "for 2 years after your last order".
    #[must_use]
    pub fn in_words(&self) -> String {
        let length = length(self.keep_days);
        let mut words = match &self.since {
            Since::Receipt => format!("for {length}"),
            Since::Last(event) if event.as_str() == "Order Completed" => format!("for {length} after your last order"),
            Since::Last(event) => format!("for {length} after your last “{event}”"),
            Since::Leaving => format!("for {length} after you leave"),
        };
        if let Some(event) = &self.end_on {
            words.push_str(&format!(", or until your next “{event}” if that is sooner"));
        }
        words
    }
}

fn purpose(purpose: &Purpose, language: &str) -> NoticeItem {
    let mut text = purpose.says_in(language).to_owned();
    match purpose.basis {
        Basis::Contract => text.push_str(" This is needed to serve you, so it has no switch."),
        Basis::Consent => text.push_str(&format!(
            " This is off until you say yes. You can take your yes back at any time. \
             It ends by itself when we hear nothing of you for {}.",
            length(purpose.lapse_days)
        )),
    }
    if let Some((_, fullest)) = purpose.levels.last() {
        let listed: Vec<String> = fullest.iter().map(|name| spaced(name)).collect();
        text.push_str(&format!(" You choose how much we use of: {}.", listed.join(", ")));
        for (level, names) in &purpose.levels {
            let names: Vec<String> = names.iter().map(|name| spaced(name)).collect();
            let used = if names.is_empty() { "none of these".to_owned() } else { names.join(", ") };
            text.push_str(&format!(" “{}”: {used}.", spaced(level)));
        }
    }
    NoticeItem::new(("purpose", purpose.name.as_str()), Some(spaced(purpose.name.as_str())), text)
}

fn field(field: &Field) -> NoticeItem {
    let from = if field.stated { "you, on your page".to_owned() } else { field.from.clone() };
    let choice = if field.one_of.is_empty() { String::new() } else { format!(" One of: {}.", field.one_of.join(", ")) };
    let (purposes, kept) = (names(&field.retention.purposes), field.retention.in_words());
    let text = format!("From: {from}.{choice} For: {purposes}. Kept {kept}.");
    NoticeItem::new(("field", field.name.as_str()), Some(spaced(field.name.as_str())), text)
}

fn event(event: &EventPlan) -> NoticeItem {
    let mut parts: Vec<String> = event.has.keys().map(|property| spaced(property)).collect();
    if event.lines {
        parts.push("each item with its number and price".to_owned());
    }
    let with = if parts.is_empty() { String::new() } else { format!(" With: {}.", parts.join(", ")) };
    let (purposes, kept) = (names(&event.retention.purposes), event.retention.in_words());
    let text = format!("That it happened, and when.{with} For: {purposes}. Kept {kept}.");
    NoticeItem::new(("event", event.name.as_str()), Some(format!("“{}”", event.name)), text)
}

fn names(purposes: &[PurposeName]) -> String {
    purposes.iter().map(|purpose| spaced(purpose.as_str())).collect::<Vec<_>>().join(", ")
}

/// "favourite_group" → "favourite group".
fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

fn capital(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Minute of day → "21:00".
fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Days in the words people use: "2 years", "13 months", "90 days".
#[must_use]
pub fn length(days: i32) -> String {
    let of = |n: i32, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    let months = (3..120).find(|months| months * 365 / 12 == days);
    match months {
        _ if days % 365 == 0 && days > 0 => of(days / 365, "year"),
        Some(months) => of(months, "month"),
        None => of(days, "day"),
    }
}

impl SourceKind {
    /// Who speaks through such a source, in words people read.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Browser => "your browser, on our pages",
            Self::Server => "our own server",
            Self::Import => "a file that we loaded",
        }
    }
}

/// The word for a kind of value in the promise file ("text", "money", …; "ranking" cannot be declared).
#[must_use]
pub const fn kind_word(kind: Kind) -> &'static str {
    lookup::kind(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Promise {
        crate::parse("shop.toml", crate::fixture::SHOP).unwrap()
    }

    #[test]
    fn the_notice_of_the_shop_reads_as_shown() {
        insta::assert_snapshot!("shop", shop().notice_text("en").to_text());
    }

    #[test]
    fn every_declaration_that_touches_people_stands_in_the_notice() {
        let promise = shop();
        let notice = promise.notice_text("en");
        let proofs: Vec<_> =
            notice.sections.iter().flat_map(|section| &section.items).map(|item| item.proof.clone()).collect();
        let declared =
            promise.lines.keys().filter(|(kind, _)| matches!(*kind, "purpose" | "field" | "event" | "trait"));
        for (kind, name) in declared {
            assert!(proofs.contains(&(*kind, name.clone())), "{kind} {name}");
        }
        for (kind, name) in proofs.iter().filter(|(kind, name)| !kind.is_empty() && !name.is_empty()) {
            assert!(promise.line(kind, name).is_some(), "{kind} {name} is proven by nothing");
        }
    }

    #[test]
    fn the_notice_uses_plain_words_itself() {
        let text = shop().notice_text("en").to_text();
        for word in ["may ", "might", "some ", "often ", "partners", "legitimate", "possible"] {
            let found = text.lines().find(|line| line.to_lowercase().contains(word) && !line.starts_with("How often"));
            assert_eq!(found, None, "{word}");
        }
        for sentence in text.split(['.', '\n', ':']) {
            assert!(sentence.split_whitespace().count() <= 20, "{sentence}");
        }
    }

    #[test]
    fn the_words_of_a_purpose_are_what_the_ledger_keeps() {
        let promise = shop();
        let offers = promise.purposes.get("offers").unwrap();
        assert_eq!(
            offers.words(&promise.company),
            "Corner Gifts Ltd asks for your yes. Send you offers picked from what you bought. \
             Without your yes this does not happen. You can take it back at any time."
        );
    }

    #[test]
    fn lengths_of_time_read_as_people_say_them() {
        for (days, expected) in [
            (730, "2 years"),
            (1_095, "3 years"),
            (395, "13 months"),
            (90, "90 days"),
            (30, "30 days"),
            (1, "1 day"),
            (365, "1 year"),
        ] {
            assert_eq!(length(days), expected);
        }
    }
}
