//! What the console's handlers share.

use crate::session::Sessions;
use collect::live::Live;
use model::Rng;
use promise::Promise;
use std::sync::Arc;
use vault::Vault;

/// Handed to [`crate::routes`] once by the program.
pub struct State {
    /// The house.
    pub vault: Vault,
    /// The promise in force.
    pub promise: Arc<Promise>,
    /// The newest events as taken, trimmed or refused.
    pub live: Live,
    /// Chance for cookies and tokens.
    pub rng: Arc<dyn Rng>,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Said on every page of a demonstration ("This is a demonstration: …").
    pub banner: Option<String>,
}

impl State {
    /// With nobody signed in and no banner.
    #[must_use]
    pub fn new(vault: Vault, promise: Arc<Promise>, live: Live, rng: Arc<dyn Rng>) -> Self {
        Self { vault, promise, live, rng, sessions: Sessions::default(), banner: None }
    }

    /// Says this on every page.
    #[must_use]
    pub fn with_banner(self, banner: String) -> Self {
        Self { banner: Some(banner), ..self }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("console::State")
    }
}
