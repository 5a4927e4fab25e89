//! Whether a campaign runs: the one house record on which deciding (no new decision) and sending (no attempt) must agree.
//! It stands here because those two rooms do not know each other.
//!
//! It starts and pauses nothing: `decide::order` does, for staff.

use crate::VaultError;
use crate::format;
use crate::house::House;
use crate::person::Rows;
use serde::{Deserialize, Serialize};

/// Whether a campaign runs: `campaign/<name>`, written by the console, the command line, and by a run that is refused. JSON;
/// unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignState {
    /// What it does now.
    pub state: State,
    /// How many times it was started; one decision per person and run.
    #[serde(default = "first")]
    pub run: u32,
    /// When it was started, milliseconds since 1970.
    #[serde(default)]
    pub started_at: i64,
    /// Who started it.
    #[serde(default)]
    pub by: String,
    /// The reason word, when it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_for: Option<String>,
}

const fn first() -> u32 {
    1
}

/// What a campaign does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Decides and sends.
    Running,
    /// Decides and sends nothing for now; what waits in the outbox waits on.
    Paused,
    /// Over.
    Stopped,
    /// Fewer people than the smallest group, or not reviewed: it never began, or rests until it is started again.
    Refused,
}

impl CampaignState {
    /// The name of a campaign's record.
    #[must_use]
    pub fn record_name(campaign: &str) -> String {
        format!("campaign/{campaign}")
    }
}

impl House {
    /// Whether messages of a campaign may leave. One without a record was never started by staff, so nobody stopped it.
    pub(crate) fn is_running(&self, rows: &(impl Rows + ?Sized), campaign: &str) -> Result<bool, VaultError> {
        let Some(record) = self.house_record(rows, &CampaignState::record_name(campaign))? else { return Ok(true) };
        let known: CampaignState =
            serde_json::from_slice(&record).map_err(|_| format::damaged("house", "not the state of a campaign"))?;
        Ok(known.state == State::Running)
    }
}
