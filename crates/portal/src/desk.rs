//! What staff at the company's desk may take for a person who asked by letter or at the counter: the same copy that the
//! person's own pages show. Who asked, and why, is written down by the caller before anything is read.

use crate::PortalError;
use crate::copy::{EventCopy, FactCopy, PersonCopy};
use crate::export::pack;
use crate::reader::{self, Reader};
use model::ProfileId;
use promise::Artefact;
use serde::Serialize;
use vault::Vault;

/// What the desk sees: facts and events, not the messages and not who read what.
#[derive(Serialize)]
struct DeskCopy {
    person: String,
    facts: Vec<FactCopy>,
    events: Vec<EventCopy>,
}

/// Facts and events of a person as one line of JSON, read as the desk.
///
/// # Errors
/// The refusal when nobody is there or the desk may not read; [`PortalError`] otherwise.
pub fn copy_json(vault: &Vault, person: ProfileId) -> Result<String, PortalError> {
    let snapshot = vault.snapshot();
    let permit = snapshot.permit(person, reader::page(snapshot.promise(), Artefact::DESK)?)?;
    let reader = Reader::new(&snapshot);
    let copy = DeskCopy {
        person: person.show(permit.kind()),
        facts: reader.facts(&permit),
        events: reader.events(&permit, reader::EVENTS_MAX)?,
    };
    Ok(serde_json::to_string(&copy)?)
}

/// The person's whole copy, packed: to be handed to that person and to nobody else.
///
/// # Errors
/// The refusal when nobody is there; [`PortalError`] otherwise.
pub fn export(vault: &Vault, person: ProfileId) -> Result<Vec<u8>, PortalError> {
    let snapshot = vault.snapshot();
    let copy = PersonCopy::read(&snapshot, person)?;
    pack(&copy, &snapshot.promise().contact, &vault.public_keys_json())
}
