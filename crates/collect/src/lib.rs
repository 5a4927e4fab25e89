//! The gate: everything that comes in about people comes in here, is cut down to what the promise declares, and is handed
//! to the vault, which judges it.
//!
//! Three doors. [`wire`]: what unmodified Segment clients send, read as text of bounded shape, then [`minimise`]d and taken
//! ([`intake`]). [`consent`]: one answer about one purpose with the words shown. [`import`]: a company's own history
//! through a reviewed mapping. What goes by is shown on the [`live`] page by names and reasons. [`http`] is the only file
//! that knows the web framework.
//!
//! It reads no cookie, opens no file, keeps no IP address, and decides nothing about purposes: that is judged in the vault's
//! commit. An event is acknowledged after its sync.
//!
//! To add one more way in: a module that turns it into [`vault::Intake`]s through [`minimise::Gate`], its limits named and
//! tested, a source kind in the promise if it is believed differently, a route in `http`.

pub mod consent;
pub mod http;
pub mod import;
pub mod intake;
pub mod live;
pub mod minimise;
#[cfg(test)]
mod tests;
pub mod wire;

use live::Live;
use model::{Buckets, Quota, Rng};
use promise::{Promise, Source};
use std::sync::Arc;
use vault::Vault;

/// Events by source, outcome word and reason word.
pub const EVENTS_TOTAL: &str = "fineline_collect_events_total";
/// Requests by route kind and status.
pub const REQUESTS_TOTAL: &str = "fineline_collect_requests_total";
/// Answers about purposes by status word, and whether they were recorded.
pub const CONSENTS_TOTAL: &str = "fineline_collect_consents_total";

/// Names and help texts of this room's metrics.
pub const METRICS: &[(&str, &str)] = &[
    (EVENTS_TOTAL, "Events by source, outcome (taken, trimmed, repeated, refused) and reason"),
    (REQUESTS_TOTAL, "Requests of clients by door (wire, settings, consent) and status"),
    (CONSENTS_TOTAL, "Answers about purposes by status and whether they were recorded"),
];

/// What the doors work with.
pub struct State {
    /// Where everything goes.
    pub vault: Vault,
    /// The promise in force.
    pub promise: Arc<Promise>,
    /// What went by.
    pub live: Live,
    /// Chance, for events without a message id.
    pub rng: Arc<dyn Rng>,
    /// Where this house is reached, without a slash at the end ("http://localhost:4000").
    pub base_url: String,
    /// What one person or browser may send.
    pub subjects: Buckets,
}

/// What one person or browser may send through one source, in events: a long visit, or a till's evening sent at once.
pub const PER_SUBJECT: Quota = Quota { per_second: 50, burst: 5_000 };

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({})", self.base_url)
    }
}

impl State {
    /// The source of a write key.
    #[must_use]
    pub fn source_of(&self, key: &str) -> Option<&Source> {
        self.vault.source_of_key(key).and_then(|name| self.promise.sources.get(&name))
    }
}
