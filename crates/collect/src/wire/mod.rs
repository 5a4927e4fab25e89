//! The Segment wire, as unmodified clients speak it: bytes → text → calls. [`body`] unpacks, [`json`] bounds, [`call`]
//! reads, [`key`] finds the write key, [`settings`] answers the browser client's first question, [`error`] says no in
//! words clients understand. What becomes of a call is for `minimise` and the vault.

pub mod body;
pub mod call;
pub mod error;
pub mod json;
pub mod key;
pub mod settings;

pub use call::{Call, Calls, Unfit};
pub use error::WireError;
