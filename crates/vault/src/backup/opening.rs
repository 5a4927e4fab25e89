//! Responsible for trying every key and every record of a store: does each open at its place, with the keys that lie beside
//! it? That is what a backup is worth.
//!
//! Deliberately not: what a record says, and taking anything away.

use crate::VaultError;
use crate::engine::{EngineSnapshot, Keyspace};
use crate::format::{self, ClassForm, DecisionForm};
use crate::house::House;
use crate::key::DaySecrets;
use crate::person::{self, Open};
use crate::retention::CORE;
use crate::seal::{self, Place, RecordKind};
use model::ProfileId;
use promise::RetentionId;

/// What opened, and what did not.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Key rows and records that opened.
    pub n_opened: u64,
    /// Records whose class or day was closed for ever, as they should be.
    pub n_closed: u64,
    /// Rows that should open and do not.
    pub shut: Vec<(Keyspace, Vec<u8>)>,
}

/// How one row did.
enum Row {
    Opened,
    Closed,
    Shut,
}

impl Opened {
    fn add(&mut self, keyspace: Keyspace, key: Vec<u8>, row: Row) {
        match row {
            Row::Opened => self.n_opened = self.n_opened.saturating_add(1),
            Row::Closed => self.n_closed = self.n_closed.saturating_add(1),
            Row::Shut => self.shut.push((keyspace, key)),
        }
    }
}

/// Tries everything that is sealed. Rows in clear (index, marks, chain, log) have nothing to open.
pub(super) fn open_all(house: &House, store: &dyn EngineSnapshot) -> Result<Opened, VaultError> {
    let mut opened = Opened::default();
    for row in store.scan(Keyspace::Keys, &[]) {
        let (key, wrapped) = row?;
        let is_open = match <[u8; 16]>::try_from(key.as_slice()) {
            Ok(id) => house.unwrap_person(&ProfileId::from_bytes(id), &wrapped).is_ok(),
            Err(_) => house.ring.unwrap(&DaySecrets::place(&house.id, &key), &wrapped).is_ok(),
        };
        opened.add(Keyspace::Keys, key, if is_open { Row::Opened } else { Row::Shut });
    }
    for keyspace in crate::commit::erase::OWN {
        let mut here: Option<(ProfileId, Option<Open>)> = None;
        for row in store.scan(keyspace, &[]) {
            let (key, value) = row?;
            let Some(id) = key.first_chunk::<16>().map(|id| ProfileId::from_bytes(*id)) else {
                opened.add(keyspace, key, Row::Shut);
                continue;
            };
            if here.as_ref().is_none_or(|(known, _)| *known != id) {
                here = Some((id, Open::load(house, store, &id).ok().flatten()));
            }
            let open = here.as_ref().and_then(|(_, open)| open.as_ref());
            let row = match open {
                Some(open) => own(house, open, keyspace, &key, &value),
                // Sealed rows of somebody who left wait a day, their key with the recovery key.
                None if store.get(Keyspace::House, &House::recovery_row(&id))?.is_some() => Row::Closed,
                None => Row::Shut,
            };
            opened.add(keyspace, key, row);
        }
    }
    for row in store.scan(Keyspace::Outbox, &[]) {
        let (key, value) = row?;
        let is_open = house.open_house(RecordKind::Outbox, &key, &value).is_ok();
        opened.add(Keyspace::Outbox, key, if is_open { Row::Opened } else { Row::Shut });
    }
    for (prefix, kind) in SEALED {
        for row in store.scan(Keyspace::House, prefix) {
            let (key, value) = row?;
            let is_open = house.open_house(kind, &key, &value).is_ok();
            opened.add(Keyspace::House, key, if is_open { Row::Opened } else { Row::Shut });
        }
    }
    Ok(opened)
}

/// The sealed rows of the house.
const SEALED: [(&[u8], RecordKind); 7] = [
    (House::SALES, RecordKind::Sale),
    (House::USES, RecordKind::UseRun),
    (House::ITEMS, RecordKind::House),
    (House::RECORDS, RecordKind::House),
    (House::REVIEWS, RecordKind::Review),
    (House::SOURCE_KEYS, RecordKind::House),
    (House::REQUESTS, RecordKind::Request),
];

/// One record of a person.
fn own(house: &House, open: &Open, keyspace: Keyspace, key: &[u8], value: &[u8]) -> Row {
    let (id, shut_or_open) = (person::tail(key), |is_open: bool| if is_open { Row::Opened } else { Row::Shut });
    match keyspace {
        Keyspace::Profiles => {
            let Ok(class) = <[u8; 4]>::try_from(id).map(RetentionId) else { return Row::Shut };
            if class == CORE {
                return Row::Opened;
            }
            let Some(key) = open.key.record_key(class) else { return Row::Closed };
            let place = Place { house: &house.id, profile: &open.id, class, kind: RecordKind::Profile, id: &[] };
            let plain = seal::open(key, &place, value);
            shut_or_open(plain.is_ok_and(|plain| format::decode::<ClassForm>("profiles", &plain).is_ok()))
        }
        Keyspace::Events => match open.open_event(house, key, value) {
            Ok(Some(_)) => Row::Opened,
            Ok(None) => Row::Closed,
            Err(_) => Row::Shut,
        },
        Keyspace::Ledger => shut_or_open(open.open_ledger(house, key, value).is_ok()),
        _ => {
            let plain = open.open_own(house, RecordKind::Decision, id, value);
            shut_or_open(plain.is_ok_and(|plain| format::decode::<DecisionForm>("decisions", &plain).is_ok()))
        }
    }
}
