//! Understanding: from what people did to what may serve them.
//!
//! [`traits`] keeps traits and segments in step with the events, inside the committer's own call. [`items`] learns which
//! item goes with which. [`follow`] walks behind the log, gives each person candidates with their reasons and counts how
//! many people share each combination. [`lift`] says what a campaign changed.
//!
//! It chooses nothing for anybody (that is `decide`), sends nothing, and sees only what a permit of the reviewed model
//! opens.
//!
//! To add one more trait function: its aggregate in `promise::Aggregate`, one arm in [`traits`], and the slow model in its
//! test, which recomputes from all events.

mod error;
pub mod follow;
pub mod items;
pub mod lift;
mod records;
pub mod traits;

pub use error::UnderstandError;
pub use traits::Traits;

/// What this room counts: name and help.
pub const METRICS: &[(&str, &str)] = &[
    ("fineline_understand_models_total", "Times the item model was learnt"),
    ("fineline_understand_people_total", "People looked at for new candidates"),
];
