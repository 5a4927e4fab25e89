//! "That is not me": a guessed thing leaves the stored ranking at once, and is never guessed or offered again. The guess
//! itself was made elsewhere; here it is only taken back.

use crate::reader;
use model::{FactName, ItemCode, ProfileId, TraitName, Value};
use promise::{Artefact, CandidatesPlan, Refusal};
use vault::{FactWrite, Snapshot};

/// The ranking without one thing; `None` when it does not stand in it.
pub(crate) fn without(snapshot: &Snapshot, person: ProfileId, item: &ItemCode) -> Result<Option<FactWrite>, Refusal> {
    let artefact = reader::page(snapshot.promise(), Artefact::PORTAL)?;
    let permit = snapshot.permit(person, artefact)?;
    let Ok(name) = TraitName::parse(CandidatesPlan::NAME).map(FactName::Trait) else { return Ok(None) };
    let Some(ranking) = permit.fact(&name)? else { return Ok(None) };
    let mut fact = ranking.reveal().clone();
    let Value::Ranking(guesses) = &mut fact.value else { return Ok(None) };
    let before = guesses.len();
    guesses.retain(|guess| guess.item != *item);
    if guesses.len() == before {
        return Ok(None);
    }
    let inputs_expire_at = Some(fact.expires_at);
    let (fact, remove) = if guesses.is_empty() { (None, Some(name)) } else { (Some(fact), None) };
    Ok(Some(FactWrite { person, artefact, fact, remove, inputs_expire_at }))
}
