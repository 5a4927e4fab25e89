//! The company's pages: live events, segments, campaigns with their lift, the review queue, the log.
//!
//! They stand on a listener of their own and behind a staff session: `fineline staff invite` makes a single-use link, the
//! link makes a session ([`session`]). A page shows groups, counts and rules, never a person; counts below the smallest
//! group are not told. What a page shows is read through the vault and the working rooms, put into a plain view struct in
//! `page`, and rendered by a template of the same name.
//!
//! To add one more page: a view struct in `page.rs`, a template, a route in `http.rs`, a line in the menu, and its row in the
//! browser tests.

mod chart;
pub mod http;
mod page;
pub mod session;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use http::routes;
pub use session::{Invite, Page, Role, Staff, StaffError, invite};
pub use state::State;

/// Names and help texts of this room's metrics.
pub const METRICS: &[(&str, &str)] = &[("fineline_console_pages_total", "pages of the console served")];
