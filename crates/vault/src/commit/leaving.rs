//! Dates that come by themselves, carried out: a yes lapses after a silence, and whoever has left gets the fate they chose.
//! Reading waits for none of this (`promise::leaving` says what is over, at read time); here it is written down, and what
//! somebody does next is counted from there.
//!
//! An act of the person moves their dates on, and never brings back what had ended before it.

use super::batch::Batch;
use super::sweep::Fated;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, FateForm, LedgerForm};
use crate::person::Open;
use crate::record::{LeavingChoice, WhenLeaving};
use model::{At, ConsentId, ConsentStatus, DAY_MS, Method, ProfileId, PurposeName};
use promise::{Fate, FateKind, Refusal, RefusalReason};
use std::sync::Arc;

/// Nothing lapses, and nobody leaves, within so many milliseconds of an act: the shortest silence that can be declared.
const QUIET_MS_MIN: i64 = 30 * DAY_MS;

impl Batch<'_> {
    /// The person visits their page, or taps "keep" in a reminder.
    pub(crate) fn visit(&mut self, id: &ProfileId) -> Result<(), VaultError> {
        let now = self.now;
        self.with(id, |batch, open| batch.act(open, now)).map(|_| ())
    }

    /// The person did something at an instant: what was over by then is written down as over, then their dates move on. For
    /// somebody whose everything has ended nothing moves.
    pub(crate) fn act(&mut self, open: &mut Open, at: At) -> Result<(), VaultError> {
        let at = at.min(self.now);
        let is_quiet = open.core.left_at.is_none()
            && open.core.last_act.is_some_and(|last| self.now.ms().saturating_sub(last) < QUIET_MS_MIN);
        if !is_quiet {
            if self.house.household.promise.is_gone(&open.core.standing()?, self.now) {
                return Ok(());
            }
            self.settle_dates(open)?;
        }
        open.core.acted(at);
        Ok(())
    }

    /// Writes down every yes that has lapsed.
    pub(crate) fn settle_dates(&mut self, open: &mut Open) -> Result<u64, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let standing = open.core.standing()?;
        let over = |purpose: &&PurposeName| promise.lapses_at(purpose, &standing).is_some_and(|at| at <= self.now);
        let lapsed: Vec<PurposeName> = standing.relations.keys().filter(over).cloned().collect();
        let mut n_lapsed = 0u64;
        for purpose in lapsed {
            let Some(declared) = promise.purposes.get(&purpose) else { continue };
            let has_left = promise.leaves_at(&standing).is_some_and(|at| at <= self.now);
            let why = if has_left {
                "You have left, so this yes of yours has ended".to_owned()
            } else {
                format!(
                    "We heard nothing of you for {}, so this yes of yours has ended",
                    promise::notice::length(declared.lapse_days)
                )
            };
            let entry = LedgerForm {
                id: (*ConsentId::new(self.now, self.house.rng()).as_bytes()).into(),
                purpose: purpose.as_str().to_owned(),
                status: format::status_code(ConsentStatus::Expired),
                level: None,
                text: format!("{why}: “{}”", declared.says),
                language: promise.languages.first().cloned().unwrap_or_else(|| "en".to_owned()),
                answered_at: self.now.ms(),
                method: format::method_code(Method::Server),
                notice_version: open.core.relation(purpose.as_str()).map_or(0, |known| known.notice_version),
                made_up: false,
                source: None,
                at: self.now.ms(),
                proof: None,
                included_by: None,
            };
            self.apply_answer(open, entry)?;
            n_lapsed = n_lapsed.saturating_add(1);
        }
        Ok(n_lapsed)
    }

    /// What the person wants for the time after leaving, and whether that is now.
    pub(crate) fn choose_fate(&mut self, choice: LeavingChoice) -> Result<Result<(), Refusal>, VaultError> {
        let chosen = self.with(&choice.person, |batch, open| batch.set_fate(open, choice))?;
        Ok(chosen.unwrap_or(Err(Refusal::because(RefusalReason::NoSuchPerson))))
    }

    fn set_fate(&mut self, open: &mut Open, choice: LeavingChoice) -> Result<Result<(), Refusal>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let no = |reason| Ok(Err(Refusal { reason, purpose: None, line: promise.line("after_leaving", "") }));
        let Some(plan) = &promise.after_leaving else { return no(RefusalReason::UnknownArtefact) };
        let kind = match choice.fate {
            Fate::Forget => FateKind::Forget,
            Fate::Minimum => FateKind::Minimum,
            Fate::Until(_) => FateKind::Until,
        };
        let today = self.now.day();
        let is_near = match choice.fate {
            Fate::Until(day) => day > today && day.since(today) <= plan.until_days_max,
            Fate::Forget | Fate::Minimum => true,
        };
        if !plan.choices.contains(&kind) || !is_near {
            return no(RefusalReason::NotInTerms);
        }
        if promise.is_gone(&open.core.standing()?, self.now) {
            return Ok(Err(Refusal::because(RefusalReason::NoSuchPerson)));
        }
        self.act(open, self.now)?;
        open.core.fate = Some(FateForm::of(choice.fate, self.now));
        // Whoever had left, and now says "when you hear nothing of me", is back.
        open.core.left_at = (choice.when == WhenLeaving::Now).then(|| self.now.ms());
        self.settle_dates(open)?;
        self.leaf("leaving", open.id.as_bytes());
        Ok(Ok(()))
    }

    /// What has become of somebody by now: the yeses that lapsed are written down, and whether they are to be erased is
    /// told.
    pub(crate) fn settle_leaving(&mut self, open: &mut Open, fated: &mut Fated) -> Result<u64, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let standing = open.core.standing()?;
        if promise.is_gone(&standing, self.now) {
            fated.to_erase.push(open.id);
            return Ok(0);
        }
        self.settle_dates(open)
    }

    /// Whether somebody left with the minimum, and nothing of it is left.
    pub(crate) fn has_outlived_the_minimum(&mut self, open: &mut Open) -> Result<bool, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let standing = open.core.standing()?;
        let has_left = promise.leaves_at(&standing).is_some_and(|at| at <= self.now);
        let keeps_minimum = has_left && promise.fate(&standing) == Fate::Minimum;
        Ok(keeps_minimum && standing.any_held_until(self.now).is_none() && !self.has_anything(open)?)
    }

    /// Whether any fact or event of somebody is left.
    fn has_anything(&mut self, open: &mut Open) -> Result<bool, VaultError> {
        let (house, store) = (self.house, Arc::clone(&self.store));
        for class in open.key.classes().collect::<Vec<_>>() {
            if !open.class(house, &*store, class)?.is_empty() {
                return Ok(true);
            }
        }
        for row in store.scan(Keyspace::Events, open.id.as_bytes()) {
            let (key, _) = row?;
            if self.is_there(Keyspace::Events, &key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
