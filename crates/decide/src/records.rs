//! The house records that cross the wall to this room and from it. None is about a person: names, counts and codes of
//! things. Counts of a run are as they are; who tells them keeps to the smallest group. JSON; unknown keys are ignored.

use model::ItemCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
pub use vault::campaign::{CampaignState, State};

/// Where `understand` leaves what many people buy.
pub const POPULAR: &str = "model/popular";

/// How the people of one run stand: `run/<name>`, written by this room. Counts of the latest look at everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// Which run.
    pub run: u32,
    /// When everybody had been looked at last, milliseconds since 1970; 0 = not yet.
    pub looked_at: i64,
    /// Decisions of this run that this process made.
    pub n_decided: u64,
    /// People by outcome word: why there is no decision for them now.
    pub outcomes: BTreeMap<String, u64>,
}

/// How many people of a campaign's audience share a purchase: `combination/<segment>`, written by `understand`. Only
/// counts of at least the smallest group stand in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combination {
    /// People in the segment about whom the campaign may read.
    #[serde(default)]
    pub n_people: u32,
    /// Of them, how many bought an item.
    #[serde(default)]
    pub items: BTreeMap<String, u32>,
    /// Of them, how many bought something of a group.
    #[serde(default)]
    pub groups: BTreeMap<String, u32>,
}

/// What many people buy, most first: [`POPULAR`], written by `understand`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Popular {
    /// Item codes.
    #[serde(default)]
    pub items: Vec<String>,
    /// Item codes by group.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
}

impl Combination {
    /// The name of the record of a segment.
    #[must_use]
    pub fn name(segment: &model::SegmentName) -> String {
        format!("combination/{segment}")
    }

    /// How many share an item; 0 when fewer than the smallest group.
    #[must_use]
    pub fn of_item(&self, item: &ItemCode) -> u32 {
        self.items.get(item.as_str()).copied().unwrap_or(0)
    }

    /// How many share a group; 0 when fewer than the smallest group.
    #[must_use]
    pub fn of_group(&self, group: &str) -> u32 {
        self.groups.get(group).copied().unwrap_or(0)
    }
}
