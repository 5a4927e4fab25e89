//! The portal: the person's own pages and the company's server-side door to them.
//!
//! Three ways in. A **message token** opens the why of that one message and lets its person have less of it (`message`
//! pages, `/m/…`, no sign-in). A **hand-off** from the company's shop opens everything (`/privacy/me`, [`Sessions`]). A
//! **server key** asks on behalf of a person (`/v1/…`). Whatever opens, the person is read once into one copy (`copy`), and
//! pages, export and JSON show that copy, so none of them can know more than another. Every page works without a script.
//!
//! Reading order: `copy` (what is known), `reader` (how it is read) and `words` (how it is said) → one file per page (`front`, `message`, `profile`,
//! `guess`, `choice`, `taste`, `decision`, `receipt`, `export`, `erasure`), each with its view and its template in `templates/` →
//! `session` (who is signed in) → `http` (the doors). [`sample`] renders every page with made-up people, for tests and
//! screenshots.
//!
//! It decides nothing: what may be read is the permit's answer, and every act is a command of the vault.
//!
//! To add one more page: a view struct with its template, an entry in `sample`, a route in `http`, and a row in
//! `frame::MENU` if people should find it.

mod choice;
mod copy;
mod decision;
pub mod desk;
mod erasure;
mod error;
mod export;
mod frame;
mod front;
mod guess;
mod http;
mod leaving;
mod message;
mod profile;
mod reader;
mod receipt;
pub mod sample;
pub mod session;
mod taste;
mod words;

#[cfg(test)]
mod tests;

pub use error::PortalError;
pub use export::SCHEMA;
pub use frame::{MARK, SHEET};
pub use http::{Api, log_routes, routes};
pub use session::{Proof, Session, Sessions};

use model::{At, ProfileId, Rng};
use std::sync::Arc;
use vault::Vault;

/// Names of this room's metrics, with their help.
pub const METRICS: &[(&str, &str)] = &[];

/// What the portal works with. One per process; it holds the sessions.
#[derive(Debug)]
pub struct State {
    vault: VaultHandle,
    base_url: String,
    sessions: Sessions,
}

/// The vault, without anything to print.
struct VaultHandle(Vault);

impl std::fmt::Debug for VaultHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl State {
    /// `base_url` is how people reach this listener, without a final slash (`https://shop.example`); links are made from
    /// it, and cookies are bound to https when it is.
    #[must_use]
    pub fn new(vault: Vault, base_url: &str, rng: Arc<dyn Rng>) -> Self {
        let sessions = Sessions::new(vault.clone(), rng);
        Self { vault: VaultHandle(vault), base_url: base_url.trim_end_matches('/').to_owned(), sessions }
    }

    /// A one-time address that opens a person's own pages, and until when: for whoever has proven who they are.
    #[must_use]
    pub fn hand_off(&self, person: ProfileId) -> (String, At) {
        let (secret, until) = self.sessions.hand_off(person);
        (format!("{}/privacy/enter/{secret}", self.base_url), until)
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.vault.0
    }

    /// Name of the cookie, and whether it is bound to https.
    pub(crate) fn cookie(&self) -> (&'static str, bool) {
        if self.base_url.starts_with("https://") { ("__Host-fl", true) } else { ("fl", false) }
    }
}
