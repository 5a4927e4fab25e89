//! One consistent reading: engine snapshot + columns + bitmaps of the same generation.

use crate::VaultError;
use crate::permit::{Permit, PermitSet};
use crate::record::{
    AnonymousSales, ArtefactState, DecisionView, Identifier, Item, LogEntryView, OutboxEntry, TokenTarget,
};
use model::{ArtefactId, At, DecisionId, ItemCode, ProfileId, SegmentName};
use promise::{Promise, Refusal};

/// One consistent reading of the house. Consistent, not recent: acting needs a commit with the `consent_seq` seen here.
pub struct Snapshot {
    _generation: (),
}

impl Snapshot {
    /// When it was opened; every judgement in it uses this instant.
    #[must_use]
    pub fn now(&self) -> At {
        unimplemented!()
    }

    /// The promise in force.
    #[must_use]
    pub fn promise(&self) -> &Promise {
        unimplemented!()
    }

    /// The only maker of a permit: loads artefact, review, consent, notice and clock itself.
    ///
    /// # Errors
    /// The refusal.
    pub fn permit(&self, person: ProfileId, artefact: ArtefactId) -> Result<Permit<'_>, Refusal> {
        let _ = (person, artefact);
        unimplemented!()
    }

    /// Everybody about whom this artefact may read, as one set.
    ///
    /// # Errors
    /// The refusal when the artefact is unknown or not reviewed.
    pub fn permit_set(&self, artefact: ArtefactId) -> Result<PermitSet<'_>, Refusal> {
        let _ = artefact;
        unimplemented!()
    }

    /// The three counts of a segment with their drop-offs; numbers below the smallest group are not told.
    ///
    /// # Errors
    /// The refusal when the segment is unknown or not reviewed.
    pub fn segment_count(&self, segment: &SegmentName) -> Result<SegmentCount, Refusal> {
        let _ = segment;
        unimplemented!()
    }

    /// Looks a proven identifier up in the blind index.
    #[must_use]
    pub fn find(&self, identifier: &Identifier) -> Option<ProfileId> {
        let _ = identifier;
        unimplemented!()
    }

    /// A catalogue entry.
    #[must_use]
    pub fn item(&self, code: &ItemCode) -> Option<Item> {
        let _ = code;
        unimplemented!()
    }

    /// The whole catalogue, by code.
    ///
    /// # Errors
    /// [`VaultError`] when the store cannot be read.
    pub fn items(&self) -> Result<Vec<Item>, VaultError> {
        unimplemented!()
    }

    /// Totals of sales of nobody that may still be kept.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn anonymous_sales(&self) -> Result<AnonymousSales, VaultError> {
        unimplemented!()
    }

    /// A house record.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn house_record(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let _ = name;
        unimplemented!()
    }

    /// House records whose name begins so, in order, at most `limit`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn house_records(&self, prefix: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, VaultError> {
        let _ = (prefix, limit);
        unimplemented!()
    }

    /// People whose events were committed after a cursor, at most `limit`, and the new cursor: what `understand` follows.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn touched_since(&self, cursor: u64, limit: usize) -> Result<(Vec<ProfileId>, u64), VaultError> {
        let _ = (cursor, limit);
        unimplemented!()
    }

    /// Messages that are due, oldest first, at most `limit`. Names no person's value.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn outbox_due(&self, limit: usize) -> Result<Vec<OutboxEntry>, VaultError> {
        let _ = limit;
        unimplemented!()
    }

    /// How many messages are in the outbox, by state word.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn outbox_counts(&self) -> Result<Vec<(&'static str, u64)>, VaultError> {
        unimplemented!()
    }

    /// A decision with its trace, readable under the permit of its own person (the why) or of its own campaign.
    ///
    /// # Errors
    /// The refusal.
    pub fn decision<'p>(&self, permit: &'p Permit<'_>, id: DecisionId) -> Result<Option<DecisionView<'p>>, Refusal> {
        let _ = (permit, id);
        unimplemented!()
    }

    /// What a message token opens, if it still does.
    #[must_use]
    pub fn token(&self, token: &str) -> Option<TokenTarget> {
        let _ = token;
        unimplemented!()
    }

    /// Campaign outcomes as numbers: per arm people, reached, buyers within the goal's days, revenue, refusals by reason.
    ///
    /// # Errors
    /// The refusal.
    pub fn campaign_numbers(&self, artefact: ArtefactId) -> Result<crate::record::CampaignNumbers, Refusal> {
        let _ = artefact;
        unimplemented!()
    }

    /// Artefacts with their review state.
    #[must_use]
    pub fn artefacts(&self) -> Vec<ArtefactState> {
        unimplemented!()
    }

    /// The newest entries of the one log, newest first, at most `limit`; no personal value in them.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn log_entries(&self, limit: usize) -> Result<Vec<LogEntryView>, VaultError> {
        let _ = limit;
        unimplemented!()
    }
}

/// Three counts and why they differ. `None` = fewer than the smallest group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentCount {
    /// Match the rule (counted under `counted_for`).
    pub matching: Option<u64>,
    /// May be told: consent, notice, not restrained.
    pub tellable: Option<u64>,
    /// Will hear this week: an address, and room under the cap.
    pub hearing: Option<u64>,
    /// Each drop-off: reason and how many.
    pub dropped: Vec<(promise::RefusalReason, Option<u64>)>,
    /// The floor.
    pub floor: u32,
}
