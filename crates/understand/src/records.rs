//! The house records that this room leaves for others, and its own place-mark. None is about a person: codes of things,
//! and counts of at least the smallest group. JSON, except the model's own bytes.

use crate::UnderstandError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vault::{Snapshot, Vault};

/// The item-to-item model.
pub(crate) const MODEL: &str = "model/items";
/// What many people buy.
pub(crate) const POPULAR: &str = "model/popular";
/// How many of an audience share what: one record for each segment.
pub(crate) const COMBINATION: &str = "combination/";
/// Records of one kind, at most.
const RECORDS_MAX: usize = 10_000;
/// How far this room has followed.
pub(crate) const MARK: &str = "follow/mark";

/// How far this room has followed the log, and how old its model is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Cursor of `touched_since`.
    pub cursor: u64,
    /// Day number on which the model was learnt; `None` = there is none yet.
    pub model_day: Option<i32>,
    /// People touched since then.
    pub n_changed: u64,
    /// Whether everybody has had candidates from this model.
    pub all_served: bool,
}

/// How many people of a campaign's audience share what: `combination/<segment>`. Counts below the smallest group are left
/// out, so that the record itself tells nothing about few.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Combination {
    /// When it was counted, milliseconds since 1970.
    pub as_of: i64,
    pub n_people: u32,
    pub items: BTreeMap<String, u32>,
    pub groups: BTreeMap<String, u32>,
}

/// What many people buy, most first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Popular {
    pub items: Vec<String>,
    pub groups: BTreeMap<String, Vec<String>>,
}

pub(crate) fn read<T: DeserializeOwned>(snapshot: &Snapshot, name: &str) -> Result<Option<T>, UnderstandError> {
    let parse =
        |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|_| UnderstandError::Record { name: name.to_owned() });
    snapshot.house_record(name)?.map(parse).transpose()
}

pub(crate) fn write(vault: &Vault, name: &str, value: &impl Serialize) -> Result<(), UnderstandError> {
    let bytes = serde_json::to_vec(value).map_err(|_| UnderstandError::Record { name: name.to_owned() })?;
    vault.put_house_record(name, Some(bytes))?.wait()?;
    Ok(())
}

pub(crate) fn remove(vault: &Vault, name: &str) -> Result<(), UnderstandError> {
    vault.put_house_record(name, None)?.wait()?;
    Ok(())
}

/// Takes away the records of a kind that are not to stay.
pub(crate) fn retain(
    vault: &Vault,
    snapshot: &Snapshot,
    prefix: &str,
    stays: impl Fn(&str) -> bool,
) -> Result<(), UnderstandError> {
    for (name, _) in snapshot.house_records(prefix, RECORDS_MAX)? {
        if !stays(&name) {
            remove(vault, &name)?;
        }
    }
    Ok(())
}
