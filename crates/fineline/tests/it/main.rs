//! The whole system, tested as a whole: one binary, one module per promise we make.

mod command_line;
mod program;
mod reference;
