//! From the text of a promise file to a checked [`Promise`], or to all of its mistakes at once.
//!
//! The TOML tree with its byte spans is read by [`read`]; each of the other files checks one group of sections. A name
//! counts as declared as soon as it has a section, so that one mistake is reported once and not at every use.

mod house;
mod kept;
pub(crate) mod keys;
mod leaving;
mod offered;
mod purpose;
mod read;
mod recipient;
mod words;

use crate::artefact;
use crate::canonical;
use crate::declaration::{Promise, Retention, RetentionId};
use crate::diagnostic::{Diagnostic, Report, Severity};
pub use kept::days;
use model::Kind;
use read::{Findings, Section};
use std::collections::{BTreeMap, BTreeSet};
use toml::de::DeTable;

/// Largest promise file, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// Most declarations of one sort.
pub const DECLARATIONS_MAX: usize = 1_000;

/// Reads a promise file; on success its warnings are in the second part.
///
/// # Errors
/// A [`Report`] with every mistake, errors and warnings.
pub fn parse_with_warnings(file_name: &str, text: &str) -> Result<(Promise, Report), Report> {
    let mut findings = Findings::new(text);
    let promise = read_file(text, &mut findings);
    let mut report = Report { file_name: file_name.to_owned(), diagnostics: findings.into_diagnostics() };
    let key = |diagnostic: &Diagnostic| (diagnostic.span.start, diagnostic.code);
    report.diagnostics.sort_by_key(key);
    report.diagnostics.dedup();
    match promise {
        Some(promise) if report.n_errors() == 0 => Ok((promise, report)),
        _ => Err(report),
    }
}

/// Reads a promise file.
///
/// # Errors
/// A [`Report`] with every mistake, errors and warnings.
pub fn parse(file_name: &str, text: &str) -> Result<Promise, Report> {
    parse_with_warnings(file_name, text).map(|(promise, _)| promise)
}

fn read_file(text: &str, findings: &mut Findings<'_>) -> Option<Promise> {
    if too_large(text, findings) {
        return None;
    }
    let document = toml(text, findings)?;
    let root = Section::root(document.get_ref(), findings);
    let names = Names::collect(&root, findings);
    Draft { findings, root: &root, names, languages: Vec::new() }.read()
}

fn toml<'t>(text: &'t str, findings: &mut Findings<'_>) -> Option<toml::Spanned<DeTable<'t>>> {
    let (document, mistakes) = DeTable::parse_recoverable(text);
    let mut before = None;
    for mistake in &mistakes {
        let span = mistake.span().unwrap_or(0..1);
        let message = mistake.message().replace('\n', "; ");
        let line = text.bytes().take(span.start).filter(|byte| *byte == b'\n').count();
        // A section that stands twice is one mistake, and not one more for each of its lines.
        let goes_on =
            before.replace((line, message.clone())).is_some_and(|(above, same)| above + 1 == line && same == message);
        if !goes_on {
            findings.error("FL001", span, "this is not TOML".to_owned(), message);
        }
    }
    mistakes.is_empty().then_some(document)
}

/// Whether a text is TOML at all, for those who only want its form.
///
/// # Errors
/// A [`Report`] with FL001 or FL006.
pub(crate) fn check_syntax(file_name: &str, text: &str) -> Result<(), Report> {
    let mut findings = Findings::new(text);
    too_large(text, &mut findings);
    if !findings.has_errors() {
        toml(text, &mut findings);
    }
    let has_errors = findings.has_errors();
    let report = Report { file_name: file_name.to_owned(), diagnostics: findings.into_diagnostics() };
    if has_errors { Err(report) } else { Ok(()) }
}

fn too_large(text: &str, findings: &mut Findings<'_>) -> bool {
    let too_large = text.len() > FILE_BYTES_MAX;
    if too_large {
        let title = format!("the file has {} bytes, at most {FILE_BYTES_MAX} are read", text.len());
        findings.error("FL006", 0..1, title, "people have to be able to read what is promised");
    }
    too_large
}

/// Every name that has a section, whether or not the section is right.
struct Names {
    sections: BTreeMap<&'static str, BTreeSet<String>>,
}

/// The sections that hold declarations by name.
const NAMED: [&str; 9] = ["purpose", "source", "field", "event", "trait", "segment", "offer", "campaign", "recipient"];

impl Names {
    fn collect(root: &Section<'_>, findings: &mut Findings<'_>) -> Self {
        let mut sections = BTreeMap::new();
        for section in NAMED {
            let children = root.children(section, findings);
            if let Some(child) = children.get(DECLARATIONS_MAX) {
                let title = format!("more than {DECLARATIONS_MAX} [{section}.*] sections");
                findings.error("FL006", child.span.clone(), title, "this one is too many");
            }
            sections.insert(section, children.iter().map(|child| child.name.clone()).collect());
        }
        Self { sections }
    }

    fn of(&self, section: &str) -> &BTreeSet<String> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        self.sections.get(section).unwrap_or(&NONE)
    }

    fn has(&self, section: &str, name: &str) -> bool {
        self.of(section).contains(name)
    }
}

/// What is known while the sections are read, one group after the other.
struct Draft<'d, 'f, 's> {
    findings: &'f mut Findings<'s>,
    root: &'d Section<'d>,
    names: Names,
    languages: Vec<String>,
}

impl Draft<'_, '_, '_> {
    fn read(mut self) -> Option<Promise> {
        let house = self.house();
        let notice = self.notice();
        let purposes = self.purposes(notice.as_ref().map(|notice| notice.version));
        let sources = self.sources(&purposes);
        let fields = self.fields();
        let events = self.events();
        let traits = self.traits(&events);
        self.levels_name_something(&purposes, &fields, &events, &traits);
        let guard = self.guard();
        let facts = Facts::new(&fields, &traits);
        let segments = self.segments(&facts, &guard);
        let offers = self.offers(&facts, &guard);
        let campaigns = self.campaigns(&offered::Parts {
            segments: &segments,
            offers: &offers,
            events: &events,
            facts: &facts,
            purposes: &purposes,
        });
        self.guarded_names(&guard);
        let recipients = self.recipients();
        let cap = self.cap();
        let after_leaving = self.after_leaving();
        self.sensitive_answers_lapse(&purposes, &fields, &events);
        if self.findings.has_errors() {
            return None;
        }
        let candidates = offered::candidates(&campaigns, &offers, &segments, &events);
        let house = house?;
        let lines = self.lines();
        let mut promise = Promise {
            company: house.company,
            contact: house.contact,
            address: house.address,
            zone: house.zone,
            currency: house.currency,
            languages: self.languages,
            purposes,
            sources,
            fields,
            events,
            traits,
            segments,
            offers,
            campaigns,
            recipients,
            cap,
            guard,
            notice: notice?,
            after_leaving,
            lines,
            hash: [0; 32],
            candidates,
            artefacts: BTreeMap::new(),
            retentions: BTreeMap::new(),
        };
        promise.hash = canonical::hash(&promise.canonical());
        promise.retentions = retentions(&promise);
        promise.artefacts = artefact::of(&promise);
        Some(promise)
    }

    /// Where each declaration stands.
    fn lines(&mut self) -> BTreeMap<(&'static str, String), u32> {
        let mut lines = BTreeMap::new();
        for section in NAMED.into_iter().chain(["cap"]) {
            for child in self.root.children(section, self.findings) {
                lines.insert((section, child.name.clone()), self.findings.line(child.span.start));
            }
        }
        for section in ["guard", "notice", "after_leaving"] {
            if let Some(span) = self.root.key_span(section) {
                lines.insert((section, String::new()), self.findings.line(span.start));
            }
        }
        lines
    }
}

fn retentions(promise: &Promise) -> BTreeMap<RetentionId, Retention> {
    let fields = promise.fields.values().map(|field| &field.retention);
    let events = promise.events.values().map(|event| &event.retention);
    let candidates = promise.candidates.iter().map(|candidates| &candidates.retention);
    fields.chain(events).chain(candidates).map(|retention| (retention.id(), retention.clone())).collect()
}

/// Fields and traits as rules, templates and campaigns see them.
struct Facts {
    by_name: BTreeMap<String, FactPlan>,
}

/// One fact that is declared and right.
#[derive(Clone)]
struct FactPlan {
    kind: Kind,
    purposes: Vec<model::PurposeName>,
    guarded: bool,
}

impl Facts {
    fn new(
        fields: &BTreeMap<model::FieldName, crate::Field>,
        traits: &BTreeMap<model::TraitName, crate::TraitPlan>,
    ) -> Self {
        let fields = fields.values().map(|field| {
            let guarded = field.class >= model::Class::Sensitive;
            let plan = FactPlan { kind: field.kind, purposes: field.retention.purposes.clone(), guarded };
            (field.name.as_str().to_owned(), plan)
        });
        let traits = traits.values().map(|plan| {
            let fact = FactPlan { kind: plan.kind, purposes: plan.purposes.clone(), guarded: false };
            (plan.name.as_str().to_owned(), fact)
        });
        Self { by_name: fields.chain(traits).collect() }
    }
}

/// The most alike of some names, if any is alike at all.
fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let far = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, known)| format!("did you mean `{known}`?"))
}

impl Severity {
    pub(crate) const fn is_error(self) -> bool {
        matches!(self, Self::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Style;
    use crate::fixture::SHOP;
    use proptest::prelude::*;

    #[test]
    fn lines_end_either_way() {
        let windows = SHOP.replace('\n', "\r\n");
        assert_eq!(parse("a", &windows).unwrap().hash, parse("b", SHOP).unwrap().hash);
    }

    #[test]
    fn a_broken_declaration_is_reported_once_and_not_at_every_use() {
        let wrong = SHOP.replace("is = \"count('Order Completed')\"", "is = \"count(Order)\"");
        let report = parse("shop.toml", &wrong).unwrap_err();
        assert_eq!(report.counts(), "1 error", "{report}");
    }

    #[test]
    fn marks_in_texts_with_escapes_fall_back_to_the_whole_text() {
        let wrong = SHOP.replace("who = \"orders_all", "who = \"\\torders_al");
        let report = parse("shop.toml", &wrong).unwrap_err();
        let diagnostic = &report.diagnostics[0];
        assert_eq!(diagnostic.code, "FL302");
        assert!(wrong[diagnostic.span.clone()].starts_with("\"\\torders_al"));
    }

    #[test]
    fn columns_count_characters() {
        let report = parse("p.toml", "edition = 1\n\"é\" = 1\nx = 1\n").unwrap_err();
        let places: Vec<_> = report
            .diagnostics
            .iter()
            .filter(|found| found.code == "FL002")
            .map(|found| (found.line, found.column))
            .collect();
        assert_eq!(places, [(2, 1), (3, 1)]);
    }

    proptest! {
        /// Whatever stands in the file: no panic, every mark inside the text, and it can be shown.
        #[test]
        fn no_file_ends_the_process(cuts in prop::collection::vec((0usize..4_500, 0usize..40, ".{0,6}"), 1..6)) {
            let mut chars: Vec<char> = SHOP.chars().collect();
            for (at, len, more) in cuts {
                let at = at.min(chars.len());
                let end = (at + len).min(chars.len());
                chars.splice(at..end, more.chars());
            }
            let text: String = chars.into_iter().collect();
            if let Err(report) = parse("shop.toml", &text) {
                for diagnostic in &report.diagnostics {
                    prop_assert!(diagnostic.span.end <= text.len().max(1), "{:?}", diagnostic);
                }
                prop_assert!(!report.render(&text, Style::Plain).is_empty());
                prop_assert!(report.n_errors() > 0);
            }
        }

        /// Wrong types anywhere are named, not fatal.
        #[test]
        fn any_value_may_stand_anywhere(line in 0usize..140, value in prop::sample::select(vec!["1", "true", "[]", "{}", "''", "2026-01-15", "[[1]]", "{ a = 1 }", "-9223372036854775808", "\"{\"", "'é{'"])) {
            let text: String = SHOP
                .lines()
                .enumerate()
                .map(|(at, text)| match text.split_once(" = ") {
                    Some((key, _)) if at == line => format!("{key} = {value}\n"),
                    _ => format!("{text}\n"),
                })
                .collect();
            if let Err(report) = parse("shop.toml", &text) {
                prop_assert!(!report.render(&text, Style::Plain).is_empty());
            }
        }
    }
}
