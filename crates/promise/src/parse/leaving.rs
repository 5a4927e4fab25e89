//! How things end: `[after_leaving]`, after how long a silence a yes lapses, and within how many days what has ended is
//! removed from the disks.

use super::Draft;
use super::kept::{days, list};
use super::keys;
use super::read::{Findings, Section};
use crate::declaration::{AfterLeaving, Basis, EventPlan, FateKind, Field, Purpose};
use crate::leaving::{LAPSE_DAYS, REMOVED_WITHIN_DAYS};
use model::{Class, EventName, FieldName, PurposeName};
use std::collections::{BTreeMap, BTreeSet};

/// Longest silence that may be declared before somebody counts as having left, in days (10 years).
const INACTIVE_DAYS_MAX: i32 = 3_650;
/// Shortest one, in days: nobody leaves by a holiday.
const INACTIVE_DAYS_MIN: i32 = 30;
/// How far ahead "all until a date" may reach, in days (10 years).
const UNTIL_DAYS_MAX: i32 = 3_650;
/// Longest silence after which a yes may still stand, in days (5 years).
const LAPSE_DAYS_MAX: i32 = 1_825;
/// Shortest one, in days.
const LAPSE_DAYS_MIN: i32 = 30;
/// Longest time until what has ended is removed, in days.
const REMOVED_WITHIN_DAYS_MAX: i32 = 30;

const CHOICES: [(&str, FateKind); 3] =
    [("forget", FateKind::Forget), ("minimum", FateKind::Minimum), ("until", FateKind::Until)];

impl Draft<'_, '_, '_> {
    /// FL207.
    pub(super) fn after_leaving(&mut self) -> Option<AfterLeaving> {
        let findings = &mut *self.findings;
        let section = self.root.child("after_leaving", findings)?;
        section.knows(&keys::AFTER_LEAVING, findings);
        section.missing("inactive", findings);
        let inactive_days = section.text("inactive", findings).and_then(|text| {
            let found = days(&text.value).filter(|days| (INACTIVE_DAYS_MIN..=INACTIVE_DAYS_MAX).contains(days));
            if found.is_none() {
                let title = "this silence cannot count as leaving".to_owned();
                let label = format!("expected {INACTIVE_DAYS_MIN} days to 10 years, such as \"3 years\"");
                findings.error("FL207", text.span, title, label);
            }
            found
        });
        let mut choices = BTreeSet::from([FateKind::Forget]);
        for text in section.texts("choices", findings).unwrap_or_default() {
            match CHOICES.iter().find(|(word, _)| *word == text.value) {
                Some((_, choice)) => drop(choices.insert(*choice)),
                None => {
                    let title =
                        format!("`{}` is nothing that people can choose for the time after leaving", text.value);
                    findings.error("FL207", text.span, title, "expected \"forget\", \"minimum\" or \"until\"");
                }
            }
        }
        let mut until_days_max = 0;
        if choices.contains(&FateKind::Until) {
            section.missing("until_at_most", findings);
        }
        if let Some(text) = section.text("until_at_most", findings) {
            match days(&text.value).filter(|days| *days <= UNTIL_DAYS_MAX) {
                Some(days) => until_days_max = days,
                None => {
                    let title = "this is no time that a date can be ahead".to_owned();
                    findings.error("FL207", text.span, title, "expected 1 day to 10 years, such as \"5 years\"");
                }
            }
        }
        Some(AfterLeaving { inactive_days: inactive_days?, choices, until_days_max })
    }

    /// FL208: an answer about sensitive data never outlives two years of silence.
    pub(super) fn sensitive_answers_lapse(
        &mut self,
        purposes: &BTreeMap<PurposeName, Purpose>,
        fields: &BTreeMap<FieldName, Field>,
        events: &BTreeMap<EventName, EventPlan>,
    ) {
        let fields = fields.values().map(|field| (field.class, &field.retention));
        let events = events.values().map(|event| (event.class, &event.retention));
        let sensitive: BTreeSet<&PurposeName> = fields
            .chain(events)
            .filter(|(class, _)| *class >= Class::Sensitive)
            .flat_map(|(_, retention)| &retention.purposes)
            .collect();
        for purpose in purposes.values() {
            let is_long = purpose.basis == Basis::Consent && purpose.lapse_days > LAPSE_DAYS;
            if !is_long || !sensitive.contains(&purpose.name) {
                continue;
            }
            let sections = self.root.children("purpose", self.findings);
            let Some(section) = sections.iter().find(|section| section.name == purpose.name.as_str()) else { continue };
            let title = format!("{} reads sensitive data, and its yes outlives two years of silence", section.what);
            let label = format!(
                "at most \"24 months\" where `{}` reads what is sensitive",
                list(std::slice::from_ref(&purpose.name))
            );
            self.findings.error("FL208", section.value_span("lapses_after"), title, label);
        }
    }
}

/// FL208: `lapses_after = "24 months"`.
pub(super) fn lapse_days(section: &Section<'_>, basis: Option<Basis>, findings: &mut Findings<'_>) -> i32 {
    let Some(text) = section.text("lapses_after", findings) else { return LAPSE_DAYS };
    if basis == Some(Basis::Contract) {
        let title = format!("{} is a contract, and has no yes that could lapse", section.what);
        findings.error("FL208", text.span, title, "only a consent purpose lapses");
        return LAPSE_DAYS;
    }
    let found = days(&text.value).filter(|days| (LAPSE_DAYS_MIN..=LAPSE_DAYS_MAX).contains(days));
    found.unwrap_or_else(|| {
        let title = format!("the yes to {} cannot lapse after this silence", section.what);
        let label = format!("expected {LAPSE_DAYS_MIN} days to 5 years, such as \"24 months\"");
        findings.error("FL208", text.span, title, label);
        LAPSE_DAYS
    })
}

/// FL604: what is promised is what can be done.
pub(super) fn removed_within(section: &Section<'_>, findings: &mut Findings<'_>) -> i32 {
    let Some(text) = section.text("removed_within", findings) else { return REMOVED_WITHIN_DAYS };
    let found = days(&text.value);
    match found.filter(|days| (REMOVED_WITHIN_DAYS..=REMOVED_WITHIN_DAYS_MAX).contains(days)) {
        Some(days) => days,
        None => {
            let title = "this promise about deleting cannot be kept".to_owned();
            let label = format!(
                "backups of keys live {REMOVED_WITHIN_DAYS} days: expected {REMOVED_WITHIN_DAYS} to {REMOVED_WITHIN_DAYS_MAX} days"
            );
            findings.error("FL604", text.span, title, label);
            REMOVED_WITHIN_DAYS
        }
    }
}

impl FateKind {
    /// As written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        CHOICES.iter().find(|(_, choice)| *choice == self).map_or("forget", |(word, _)| word)
    }

    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        CHOICES.iter().find(|(known, _)| *known == word).map(|(_, choice)| *choice)
    }
}
