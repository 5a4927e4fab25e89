//! The whole system, tested as a whole: one binary, one module per promise we make, one [`house::House`] for all.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod backup;
mod canary;
mod command_line;
mod demo;
mod drill;
mod durable;
mod forgetting;
mod full;
mod history;
mod house;
mod kept;
mod keys;
#[cfg(test)]
mod log;
mod packaging;
mod program;
mod reference;
mod story;
mod unseen;
