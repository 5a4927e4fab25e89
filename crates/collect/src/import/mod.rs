//! A company's own history, read through a reviewed mapping: orders and refunds of people, sales of nobody, a catalogue.
//!
//! [`mapping`] says what the columns are → [`reader`] turns bytes into lines with row keys → [`run`] makes orders of
//! lines, commits them chunk by chunk and remembers the [`position`] → [`catalogue`] classes items → [`made_up`] fills
//! what a demonstration needs → [`mod@totals`] asks the vault what it now holds → [`report`] tells.
//!
//! To add one more file format: a reader that yields the same [`reader::Record`]s. To add one more key to the mapping:
//! its raw and typed form in `mapping`, `docs/reference/mapping.md`, and a test that leaves it out.

pub mod catalogue;
pub mod error;
pub mod made_up;
pub mod mapping;
pub mod position;
pub mod reader;
pub mod report;
pub mod run;
#[cfg(test)]
mod tests;
pub mod totals;
pub mod words;

pub use error::{ImportError, Unreadable};
pub use mapping::Mapping;
pub use reader::fingerprint;
pub use report::{ImportReport, Shift, Totals};
pub use run::{Progress, import};
pub use totals::totals;
