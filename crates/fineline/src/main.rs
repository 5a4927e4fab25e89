//! The door of the program: hands the command line to the library and its answer to the shell. Nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    fineline::run(std::env::args_os())
}
