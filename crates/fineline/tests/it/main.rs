//! The whole system, tested as a whole: one binary, one module per promise we make, one [`house::House`] for all.

mod canary;
mod command_line;
mod durable;
mod house;
mod program;
mod reference;
mod story;
