//! Deciding: which offer, if any, one person gets now, and the trace that says why.
//!
//! [`decide`](crate::decide::decide) is the pure heart: rules in a fixed order over what a permit opens. [`choose`] picks
//! the item and keeps the combination floor. [`records`] are the counts and states that cross the wall. [`run`] goes through
//! a campaign's audience; [`http`] answers for a place on a page.
//!
//! It learns nothing (that is `understand`), sends nothing (that is `deliver`), and never takes a purpose from a request.
//!
//! To add one more rule: a step in `decide.rs` with its reason in `promise::RefusalReason`, placed before the hold-out if
//! it may stop a message, and a test in which it is the one that decides.

pub mod choose;
pub mod decide;
mod error;
pub mod house;
pub mod http;
pub mod order;
pub mod records;
pub mod run;

pub use error::DecideError;

/// What this room counts: name and help.
pub const METRICS: &[(&str, &str)] = &[
    ("fineline_decide_answers_total", "Answers of POST /v1/decide, by outcome"),
    ("fineline_decide_decisions_total", "Decisions recorded by running campaigns"),
];
