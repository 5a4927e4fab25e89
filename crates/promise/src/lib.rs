//! The promise file: what a company says it will do with people's data, parsed, checked, judged and told.
//!
//! One file, `promise.toml`, is the plan for everything else: sources, fields, events, purposes, traits, segments,
//! offers, campaigns, caps, notices. This room reads it ([`parse`]), reports all mistakes with their place
//! ([`diagnostic`]) and explains them ([`mod@explain`]), turns it into typed declarations ([`declaration`]), derives what has
//! to be reviewed ([`artefact`]), decides purely who may read what ([`mod@judge`]), evaluates rules for one person
//! ([`rule`]), writes the plain-English notice ([`notice`]), says what a new file changes ([`change`]) and what may never be
//! taken at all ([`mod@never`], [`guard`]). It opens no file, no socket, and asks no clock.
//!
//! To add one more key to the promise file: its name in `parse/keys.rs`, its typed form in [`declaration`], its reading and
//! checks with an `FL` code in `parse/`, its line in the canonical form (`lookup.rs`) and in [`change`], a page with a wrong
//! and a right example in `explain/` (a test runs both), and the JSON Schema in [`mod@schema`].

pub mod aggregate;
pub mod artefact;
mod canonical;
pub mod change;
pub mod declaration;
pub mod diagnostic;
pub mod explain;
pub mod fixture;
pub mod format;
pub mod guard;
pub mod judge;
pub mod leaving;
mod lookup;
pub mod never;
pub mod notice;
mod parse;
mod quiet;
mod refusal;
pub mod rule;
pub mod schema;
pub mod starter;

pub use artefact::{Artefact, ArtefactKind, ReviewRole, Terms};
pub use change::{Change, Changes, Direction, changes};
pub use declaration::*;
pub use diagnostic::{Diagnostic, Report, Severity, Style};
pub use explain::explain;
pub use format::fmt;
pub use judge::{Refusal, RefusalReason, Relation, Standing, Verdict, judge, judge_fact};
pub use leaving::Hold;
pub use never::{NeverReason, never, never_key};
pub use notice::{HoldsOn, Notice, NoticeItem, NoticeSection, RemovalRecord};
pub use parse::{DECLARATIONS_MAX, FILE_BYTES_MAX, days, parse, parse_with_warnings};
pub use quiet::{Zone, is_zone};
pub use rule::{Rule, RuleError, RuleMistake, RuleValue};
pub use schema::{schema, schema_text};
pub use starter::starter;
