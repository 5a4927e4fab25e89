//! Ties between a browser and a person. A proven one leads what the browser does next to the person; what it did before
//! keeps its profile, so that the tie can be cut. The stricter of two answers wins on both sides.
//!
//! A claim changes nothing.

use super::batch::Batch;
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, Bytes16, JoinForm};
use crate::person::Open;
use crate::record::{Join, JoinProof};
use model::{ConsentId, ProfileId, PurposeName};
use promise::{Refusal, RefusalReason, Relation};

impl Batch<'_> {
    pub(crate) fn join(&mut self, join: &Join) -> Result<Result<(), Refusal>, VaultError> {
        for identifier in [&join.anonymous, &join.user] {
            if let Some(left) = self.left(identifier)?
                && (left.restrained || join.at.ms() <= left.erased_at)
            {
                return Ok(Err(Refusal::because(RefusalReason::NoSuchPerson)));
            }
        }
        let (device, person) = (self.find(&join.anonymous)?, self.find(&join.user)?);
        match (device, person, join.proof) {
            (_, None, JoinProof::Claim) | (None, Some(_), JoinProof::Claim) | (None, None, _) => {
                Ok(Err(Refusal::because(RefusalReason::NoSuchPerson)))
            }
            (Some(device), Some(person), _) if device == person => Ok(Ok(())),
            (None, Some(person), _) => self.add_identifier(&person, &join.anonymous).map(Ok),
            (Some(device), None, _) => {
                if !self.has_a_yes(&device)? {
                    return Ok(Err(Refusal::because(RefusalReason::NoSuchPerson)));
                }
                let person = self.create(std::slice::from_ref(&join.user))?;
                self.tie(join, device, person)
            }
            (Some(device), Some(person), _) => self.tie(join, device, person),
        }
    }

    fn has_a_yes(&mut self, id: &ProfileId) -> Result<bool, VaultError> {
        let Some(open) = self.person(id)? else { return Ok(false) };
        Ok(open.core.standing()?.relations.values().any(|relation| relation.status.is_given()))
    }

    fn tie(&mut self, join: &Join, device: ProfileId, person: ProfileId) -> Result<Result<(), Refusal>, VaultError> {
        let tied = self
            .with(&device, |batch, device| batch.with(&person, |batch, person| batch.tie_both(join, device, person)))?;
        Ok(tied.flatten().ok_or(Refusal::because(RefusalReason::NoSuchPerson)))
    }

    fn tie_both(&mut self, join: &Join, device: &mut Open, person: &mut Open) -> Result<(), VaultError> {
        let form = |other: &Open| JoinForm {
            other: Bytes16::from(*other.id.as_bytes()),
            proof: proof_code(join.proof),
            at: join.at.ms(),
        };
        let (to_person, to_device) = (form(person), form(device));
        if device.core.joins.iter().any(|known| known.other == to_person.other && known.proof == to_person.proof) {
            return Ok(());
        }
        device.core.joins.push(to_person);
        person.core.joins.push(to_device);
        if join.proof == JoinProof::Claim {
            return Ok(());
        }
        // The browser speaks for the person from here on.
        self.put(Keyspace::Index, self.house.index_row(&join.anonymous), person.id.as_bytes().to_vec());
        let identifier = crate::house::House::identifier_form(&join.anonymous);
        if !person.core.identifiers.contains(&identifier) {
            person.core.identifiers.push(identifier);
        }
        self.leaf("join", person.id.as_bytes());
        self.settle(device, person)
    }

    /// Both sides take the stricter answer; an answer that only one side gave is the other's too.
    fn settle(&mut self, device: &mut Open, person: &mut Open) -> Result<(), VaultError> {
        let (on_device, on_person) = (device.core.standing()?.relations, person.core.standing()?.relations);
        let purposes: std::collections::BTreeSet<&PurposeName> = on_device.keys().chain(on_person.keys()).collect();
        for purpose in purposes {
            let by_consent = self.house.is_by_consent(purpose);
            match (on_device.get(purpose), on_person.get(purpose)) {
                (Some(theirs), None) if by_consent => self.copy_answer(device, person, purpose, theirs)?,
                (Some(theirs), Some(own)) if by_consent => {
                    let stricter = own.status.stricter(theirs.status);
                    if stricter != own.status {
                        self.copy_answer(device, person, purpose, theirs)?;
                    } else if stricter != theirs.status {
                        self.copy_answer(person, device, purpose, own)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn copy_answer(
        &mut self,
        from: &Open,
        to: &mut Open,
        purpose: &PurposeName,
        relation: &Relation,
    ) -> Result<(), VaultError> {
        match self.latest_entry(from, purpose.as_str())? {
            Some(mut entry) => {
                entry.id = (*ConsentId::new(self.now, self.house.rng()).as_bytes()).into();
                entry.at = self.now.ms();
                self.apply_answer(to, entry).map(|_| ())
            }
            None => {
                to.core.set_relation(purpose, relation);
                to.core.consent_seq = to.core.consent_seq.saturating_add(1);
                Ok(())
            }
        }
    }
}

const fn proof_code(proof: JoinProof) -> u8 {
    match proof {
        JoinProof::ServerKey => 0,
        JoinProof::OwnAct => 1,
        JoinProof::Claim => format::CLAIM,
    }
}
