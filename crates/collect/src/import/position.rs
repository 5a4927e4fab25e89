//! What a mapping remembers between runs, as house records: how far each file got, by how many days dates are moved, what
//! is known of items. Nothing about people: lines of the file are named by their place.

use super::error::ImportError;
use super::mapping::Mapping;
use super::report::Shift;
use model::Day;
use serde::{Deserialize, Serialize};
use vault::{Pending, Snapshot, Vault, VaultError};

/// How far one file got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Records of the file whose chunk was committed.
    pub lines_done: u64,
    /// The file was read to its end.
    #[serde(rename = "finished")]
    pub is_finished: bool,
    /// Records at which, in the chunk that was being sent, the first order of a new person begins: their made-up answers
    /// may be missing after a crash.
    #[serde(default)]
    pub new_people_at: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct ShiftRecord {
    days: i32,
    history_ends: String,
}

pub(super) fn position_name(mapping: &Mapping, sha256: &[u8; 32]) -> String {
    let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("import/{}/{hex}", mapping.name)
}

pub(super) fn catalogue_name(mapping: &Mapping) -> String {
    format!("import/{}/catalogue", mapping.name)
}

pub(super) fn load<T: for<'d> Deserialize<'d>>(snapshot: &Snapshot, name: &str) -> Result<Option<T>, ImportError> {
    let unreadable = |_| ImportError::Record { name: name.to_owned() };
    snapshot.house_record(name)?.map(|bytes| serde_json::from_slice(&bytes).map_err(unreadable)).transpose()
}

pub(super) fn save<T: Serialize>(vault: &Vault, name: &str, value: &T) -> Result<Pending<()>, ImportError> {
    let bytes = serde_json::to_vec(value).map_err(|_| ImportError::Record { name: name.to_owned() })?;
    Ok(patiently(|| vault.put_house_record(name, Some(bytes.clone())))?)
}

/// By how many days this mapping moves dates: fixed at its first import, then always the same.
pub(super) fn shift(vault: &Vault, snapshot: &Snapshot, mapping: &Mapping) -> Result<Option<Shift>, ImportError> {
    let Some(history_ends) = mapping.history_ends else { return Ok(None) };
    let name = format!("import/{}/shift", mapping.name);
    let days = match load::<ShiftRecord>(snapshot, &name)? {
        Some(record) => record.days,
        None => {
            let days = yesterday(vault).since(history_ends);
            save(vault, &name, &ShiftRecord { days, history_ends: history_ends.to_string() })?.wait()?;
            days
        }
    };
    Ok(Some(Shift { days, history_ends, ends_now: history_ends.plus(days) }))
}

fn yesterday(vault: &Vault) -> Day {
    vault.now().day().plus(-1)
}

/// How long to wait before asking a busy committer again, in milliseconds.
const BUSY_PAUSE_MS: u64 = 5;
/// How often to ask a busy committer.
const BUSY_TRIES_MAX: u32 = 6_000;

/// Hands a command over; a full queue makes an import wait, never fail.
pub(super) fn patiently<T>(mut command: impl FnMut() -> Result<T, VaultError>) -> Result<T, VaultError> {
    for _ in 1..BUSY_TRIES_MAX {
        match command() {
            Err(VaultError::Busy) => std::thread::sleep(std::time::Duration::from_millis(BUSY_PAUSE_MS)),
            answer => return answer,
        }
    }
    command()
}
