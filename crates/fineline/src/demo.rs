//! The demonstration: a made-up gift shop with thirteen months of orders, served with console, portal and inbox from a
//! temporary folder. Nothing outside this machine is contacted, and nothing is left behind.
//!
//! Reading order: [`catalogue`] (what is sold) → [`people`] (who bought what, from a seed) → [`shop`] (the shop's own
//! server) → [`http`] (its pages, and the inbox) → [`load`] (the history goes in) →
//! [`stage`] (from the first to the last minute) → [`lift`] (purchases with a known lift).
//! It is not a test fixture of the rooms: everything here goes in through their public doors.

pub mod catalogue;
pub mod drawing;
pub mod http;
pub mod lift;
pub mod load;
pub mod people;
pub mod shop;
pub mod stage;
