//! Deciding: which offer, if any, one person gets now, and the trace that says why.
//!
//! [`decide`](crate::decide::decide) is the pure heart: rules in a fixed order over what a permit opens. [`choose`] picks
//! the item and keeps the combination floor. [`quiet`] knows the hours in which nothing leaves. [`records`] are the counts
//! and states that cross the wall.
//!
//! It learns nothing (that is `understand`), sends nothing (that is `deliver`), and never takes a purpose from a request.
//!
//! To add one more rule: a step in `decide.rs` with its reason in `promise::RefusalReason`, placed before the hold-out if
//! it may stop a message, and a test in which it is the one that decides.

pub mod choose;
pub mod decide;
mod error;
pub mod quiet;
pub mod records;

pub use error::DecideError;
