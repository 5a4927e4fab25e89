//! The commands, one file each: `Args`, and `run` that does it and says what to do next.

pub mod apply;
pub mod audit;
pub mod breach;
pub mod campaign;
pub mod census;
pub mod check;
pub mod completions;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod fmt;
pub mod fsck;
pub mod import;
pub mod init;
pub mod key;
pub mod man;
pub mod notice;
pub mod person;
pub mod plan;
pub mod segment;
pub mod serve;
pub mod source;
pub mod staff;
pub mod upgrade;
