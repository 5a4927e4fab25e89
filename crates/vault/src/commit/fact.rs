//! Facts that rooms write: stated in the portal, guessed by a model. Class, context, purposes and life are set here from
//! the promise, never by the writer.

use super::batch::Batch;
use crate::VaultError;
use crate::person::{self, Open};
use crate::record::FactWrite;
use crate::retention;
use model::{Class, Context, Fact, FactName, Kind, Provenance, Value};
use promise::{Artefact, CandidatesPlan, Refusal, RefusalReason, Verdict};
use std::sync::Arc;

/// Most items in a ranking.
const RANKING_MAX: usize = 50;

impl Batch<'_> {
    pub(crate) fn write_fact(&mut self, write: FactWrite) -> Result<Result<(), Refusal>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let Some(artefact) = promise.artefacts().get(&write.artefact) else {
            return Ok(Err(Refusal::because(RefusalReason::UnknownArtefact)));
        };
        if !self.is_reviewed(artefact)? {
            return Ok(Err(Refusal::because(RefusalReason::NotReviewed)));
        }
        let written = self.with(&write.person.to_owned(), |batch, open| batch.write_into(open, artefact, write))?;
        Ok(written.unwrap_or(Err(Refusal::because(RefusalReason::NoSuchPerson))))
    }

    fn write_into(
        &mut self,
        open: &mut Open,
        artefact: &Artefact,
        write: FactWrite,
    ) -> Result<Result<(), Refusal>, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let standing = open.core.standing()?;
        if let Verdict::No(refusal) = promise::judge(&promise, artefact, &standing, self.now) {
            return Ok(Err(refusal));
        }
        if let Some(name) = &write.remove {
            self.remove_fact(open, name)?;
        }
        let Some(mut fact) = write.fact else { return Ok(Ok(())) };
        let no = |reason| Ok(Err(Refusal { reason, purpose: artefact.terms.purpose.clone(), line: None }));
        let is_own_page = artefact.is_portal() || artefact.is_desk();
        let Some(retention) = retention::of_fact(&promise, &fact.name) else { return no(RefusalReason::NotInTerms) };
        match &fact.name {
            FactName::Field(name) => {
                let Some(field) = promise.fields.get(name) else { return no(RefusalReason::NotInTerms) };
                let may = is_own_page || artefact.terms.reads.contains(name.as_str());
                let listed = match &fact.value {
                    Value::Text(text) => field.one_of.is_empty() || field.one_of.contains(text),
                    _ => field.one_of.is_empty(),
                };
                let is_zone = promise.zone_field().is_some_and(|zone| zone.name == *name);
                let names_a_zone = matches!(&fact.value, Value::Text(text) if promise::is_zone(text));
                if !may || !listed || !fits(field.kind, &fact.value) || (is_zone && !names_a_zone) {
                    return no(RefusalReason::NotInTerms);
                }
                if field.class >= Class::Never {
                    return no(RefusalReason::Guarded);
                }
                // Whoever said "leave me alone" and was erased is not written to through somebody else's page either.
                if let Some(address) = super::batch::address(field.kind, &fact.value)
                    && self.left(&address)?.is_some_and(|left| left.restrained)
                {
                    return no(RefusalReason::Restrained);
                }
                (fact.class, fact.context) = (field.class, field.context);
            }
            FactName::Trait(name) => {
                let is_ranking = matches!(&fact.value, Value::Ranking(items) if items.len() <= RANKING_MAX);
                let is_inferred = matches!(fact.provenance, Provenance::Inferred { .. });
                let writer = artefact.kind == promise::ArtefactKind::Model || is_own_page;
                if name.as_str() != CandidatesPlan::NAME || !is_ranking || !is_inferred || !writer {
                    return no(RefusalReason::NotInTerms);
                }
                (fact.class, fact.context) = (Class::Plain, Context::Shopping);
            }
        }
        // One of the fact's own purposes must be in force, whoever writes it: nothing is stored for no purpose.
        let in_force =
            retention.purposes.iter().map(|purpose| promise.in_force(purpose, &standing, self.now)).collect::<Vec<_>>();
        if !in_force.iter().any(Result::is_ok) {
            let first = in_force.into_iter().find_map(Result::err);
            return Ok(Err(first.unwrap_or(Refusal::because(RefusalReason::OtherPurpose))));
        }
        fact.purposes = promise.fact_purposes(&fact.name).unwrap_or(&[]).to_vec();
        if matches!(fact.provenance, Provenance::Inferred { .. }) {
            (fact.told_at, fact.told_how) = person::told(&standing, &fact.purposes);
        }
        fact.as_of = fact.as_of.min(self.now);
        let life = retention::expires_at(retention, &self.house.clocks(&open.core), fact.as_of);
        fact.expires_at = write.inputs_expire_at.map_or(life, |inputs| inputs.min(life));
        if is_own_page {
            open.core.told_version = open.core.told_version.max(promise.binding_notice(self.now));
        }
        fact.notice_version = fact.notice_version.min(open.core.told_version);
        if fact.expires_at <= self.now {
            return no(RefusalReason::Expired);
        }
        self.put_fact(open, &fact)?;
        Ok(Ok(()))
    }

    fn remove_fact(&mut self, open: &mut Open, name: &FactName) -> Result<(), VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let kind = promise.fact_kind(name.as_str());
        for class in self.house.terms().classes_of_fact(name) {
            let record = open.class(self.house, &*self.store, class)?;
            let Some(at) = record.facts.iter().position(|known| known.is(name)) else { continue };
            let gone: Fact = record.facts.remove(at).fact()?;
            open.changed.insert(class);
            if let Some(address) = kind.and_then(|kind| super::batch::address(kind, &gone.value)) {
                self.remove_identifier(open, &address)?;
            }
        }
        Ok(())
    }
}

/// Whether a value is of the declared kind.
fn fits(kind: Kind, value: &Value) -> bool {
    matches!(
        (kind, value),
        (Kind::Text | Kind::Email | Kind::Id, Value::Text(_))
            | (Kind::Number, Value::Number(_))
            | (Kind::Money, Value::Money(_))
            | (Kind::Flag, Value::Flag(_))
            | (Kind::Instant, Value::Instant(_))
            | (Kind::Date, Value::Date(_))
            | (Kind::Ranking, Value::Ranking(_))
    )
}
