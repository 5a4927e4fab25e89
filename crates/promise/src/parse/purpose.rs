//! `[purpose.*]` and `[source.*]`.

use super::keys;
use super::leaving::lapse_days;
use super::read::{Findings, Section};
use super::words::{plain, said};
use super::{Draft, did_you_mean};
use crate::declaration::{Basis, EventPlan, Field, Purpose, Source, SourceKind, TraitPlan};
use model::{EventName, FieldName, PurposeName, SourceName, TraitName};
use std::collections::{BTreeMap, BTreeSet};

/// Most levels of one purpose.
const LEVELS_MAX: usize = 5;

impl Draft<'_, '_, '_> {
    pub(super) fn purposes(&mut self, version: Option<u32>) -> BTreeMap<PurposeName, Purpose> {
        let sections = self.root.children("purpose", self.findings);
        if sections.is_empty() {
            let title = "the file declares no purpose".to_owned();
            self.findings.error("FL004", 0..1, title, "begin with [purpose.orders]");
        }
        let purposes = sections.iter().filter_map(|section| self.purpose(section, version));
        purposes.map(|purpose| (purpose.name.clone(), purpose)).collect()
    }

    fn purpose(&mut self, section: &Section<'_>, version: Option<u32>) -> Option<Purpose> {
        let findings = &mut *self.findings;
        section.knows(&keys::PURPOSE, findings);
        let name = name(section, PurposeName::parse, findings);
        let says = said(section, "says", &self.languages, findings);
        if let Some(says) = &says {
            plain(&format!("`says` of {}", section.what), says, findings);
        }
        let basis = choice(section, "basis", &[("contract", Basis::Contract), ("consent", Basis::Consent)], findings);
        section.missing("basis", findings);
        let levels = levels(section, findings);
        if basis == Some(Basis::Contract) && !levels.is_empty() {
            section.wrong_value("levels", "only a consent purpose has levels: a contract has no switch", findings);
        }
        let since_notice = since_notice(section, version, findings);
        let lapse_days = lapse_days(section, basis, findings);
        let says = says?;
        Some(Purpose {
            name: name?,
            says: says.default,
            says_in: says.others,
            basis: basis?,
            since_notice,
            levels,
            lapse_days,
        })
    }

    /// FL103: a level that names nothing would be a switch that does nothing.
    pub(super) fn levels_name_something(
        &mut self,
        purposes: &BTreeMap<PurposeName, Purpose>,
        fields: &BTreeMap<FieldName, Field>,
        events: &BTreeMap<EventName, EventPlan>,
        traits: &BTreeMap<TraitName, TraitPlan>,
    ) {
        let mut known: BTreeSet<&str> = fields.keys().map(FieldName::as_str).collect();
        known.extend(traits.keys().map(TraitName::as_str));
        known.extend(events.values().flat_map(|event| event.has.keys().map(String::as_str)));
        if events.values().any(|event| event.lines) {
            known.extend(EventPlan::LINE_PROPERTIES);
        }
        for purpose in purposes.values() {
            let named = purpose.levels.last().map(|(_, names)| names);
            for name in named.into_iter().flatten().filter(|name| !known.contains(name.as_str())) {
                let sections = self.root.children("purpose", self.findings);
                let Some(section) = sections.iter().find(|section| section.name == purpose.name.as_str()) else {
                    continue;
                };
                let title = format!("a level of {} names `{name}`, which is not declared", section.what);
                let help = did_you_mean(name, known.iter().copied());
                let label = "no field, trait or property has this name";
                self.findings.error_with_help("FL103", section.value_span("levels"), title, label, help);
            }
        }
    }

    pub(super) fn sources(&mut self, purposes: &BTreeMap<PurposeName, Purpose>) -> BTreeMap<SourceName, Source> {
        let sections = self.root.children("source", self.findings);
        let sources = sections.iter().filter_map(|section| self.source(section, purposes));
        sources.map(|source| (source.name.clone(), source)).collect()
    }

    fn source(&mut self, section: &Section<'_>, purposes: &BTreeMap<PurposeName, Purpose>) -> Option<Source> {
        let findings = &mut *self.findings;
        section.knows(&keys::SOURCE, findings);
        let name = name(section, SourceName::parse, findings);
        section.missing("kind", findings);
        let kinds = [("browser", SourceKind::Browser), ("server", SourceKind::Server), ("import", SourceKind::Import)];
        let kind = choice(section, "kind", &kinds, findings);
        let mut origins = Vec::new();
        for text in section.texts("origins", findings).unwrap_or_default() {
            if is_origin(&text.value) {
                origins.push(text.value);
            } else {
                let title = format!("`origins` of {} has something else", section.what);
                findings.error("FL005", text.span, title, "expected an origin, such as \"https://shop.example\"");
            }
        }
        if kind == Some(SourceKind::Browser) && !section.has("origins") {
            section.missing("origins", findings);
        } else if kind.is_some_and(|kind| kind != SourceKind::Browser) && !origins.is_empty() {
            section.wrong_value("origins", "only a browser source has origins", findings);
        }
        let by_consent = purposes.values().filter(|purpose| purpose.basis == Basis::Consent);
        let mut consent: BTreeMap<String, PurposeName> =
            by_consent.map(|purpose| (purpose.name.as_str().to_owned(), purpose.name.clone())).collect();
        for (category, _, purpose) in section.text_table("consent", findings) {
            match purposes.get(purpose.value.as_str()) {
                Some(known) if known.basis == Basis::Consent => {
                    consent.insert(category, known.name.clone());
                }
                Some(_) => {
                    let title = format!("category `{category}` of {} stands for a contract purpose", section.what);
                    findings.error("FL005", purpose.span, title, "only a consent purpose can be agreed to");
                }
                None if self.names.has("purpose", &purpose.value) => {}
                None => {
                    let title = format!("category `{category}` of {} stands for no declared purpose", section.what);
                    let help = did_you_mean(&purpose.value, self.names.of("purpose").iter().map(String::as_str));
                    findings.error_with_help("FL101", purpose.span, title, "no [purpose.*] has this name", help);
                }
            }
        }
        Some(Source { name: name?, kind: kind?, origins, consent })
    }
}

/// A declaration's own name.
pub(super) fn name<T>(
    section: &Section<'_>,
    parse: fn(&str) -> Result<T, model::name::NameError>,
    findings: &mut Findings<'_>,
) -> Option<T> {
    let parsed = parse(&section.name);
    if let Err(error) = &parsed {
        findings.error(
            "FL007",
            section.span.clone(),
            format!("{} cannot be called this", section.what),
            error.to_string(),
        );
    }
    parsed.ok()
}

/// One word of a list.
pub(super) fn choice<T: Copy>(
    section: &Section<'_>,
    key: &str,
    choices: &[(&str, T)],
    findings: &mut Findings<'_>,
) -> Option<T> {
    let text = section.text(key, findings)?;
    let found = choices.iter().find(|(word, _)| *word == text.value);
    if found.is_none() {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let title = format!("`{key}` of {} cannot be `{}`", section.what, text.value);
        let help = did_you_mean(&text.value, words.iter().copied());
        findings.error_with_help("FL005", text.span, title, format!("expected one of: {}", words.join(", ")), help);
    }
    found.map(|(_, value)| *value)
}

/// `levels = { little = ["group"], full = ["group", "item"] }`: each must hold all of the one below it.
fn levels(section: &Section<'_>, findings: &mut Findings<'_>) -> Vec<(String, BTreeSet<String>)> {
    let Some(inner) = section.inner("levels", findings) else { return Vec::new() };
    let mut levels: Vec<(String, BTreeSet<String>)> = Vec::new();
    for (level, span) in inner.keys() {
        if model::FieldName::parse(level).is_err() {
            let title = format!("a level of {} cannot be called `{level}`", section.what);
            findings.error("FL007", span, title, "small letters, digits and '_'");
            continue;
        }
        let names = inner.texts(level, findings).unwrap_or_default();
        levels.push((level.to_owned(), names.into_iter().map(|text| text.value).collect()));
    }
    levels.sort_by(|(a_name, a), (b_name, b)| a.len().cmp(&b.len()).then_with(|| a_name.cmp(b_name)));
    let grows = levels.windows(2).all(|pair| match pair {
        [(_, less), (_, more)] => less.len() < more.len() && less.is_subset(more),
        _ => true,
    });
    if !grows || levels.len() > LEVELS_MAX {
        let label = format!("at most {LEVELS_MAX} levels, each with everything of the one below it and more");
        section.wrong_value("levels", label, findings);
    }
    levels
}

fn since_notice(section: &Section<'_>, version: Option<u32>, findings: &mut Findings<'_>) -> u32 {
    let Some(number) = section.number("since_notice", findings) else { return 1 };
    match u32::try_from(number).ok().filter(|number| *number >= 1 && version.is_none_or(|version| *number <= version)) {
        Some(number) => number,
        None => {
            let title = format!("{} reads as it does since a notice that is not there yet", section.what);
            let label = match version {
                Some(version) => format!("the notice has versions 1 to {version}"),
                None => "expected a version of the notice".to_owned(),
            };
            findings.error("FL602", section.value_span("since_notice"), title, label);
            1
        }
    }
}

/// Scheme, host and perhaps a port; no path.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        !host.is_empty() && host.chars().all(allowed)
    })
}
