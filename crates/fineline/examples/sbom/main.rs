//! Writes the bill of materials of this source, CycloneDX 1.5 in JSON, to stdout: every package of the lock file. Part of
//! `packaging/release`; not committed, as `THIRD-PARTY.md` says the same to people and the lock file is the truth of both.
#![expect(clippy::print_stdout, reason = "its output is the file")]

mod bill;

use std::error::Error;
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).ok_or("the source has no top folder")?;
    #[expect(clippy::disallowed_methods, reason = "a tool reads the lock file")]
    let lock = std::fs::read_to_string(top.join("Cargo.lock"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).args(["metadata", "--format-version", "1", "--locked"]).current_dir(top).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let bill = bill::of(&lock, &serde_json::from_slice(&output.stdout)?)?;
    println!("{}", serde_json::to_string_pretty(&bill)?);
    Ok(())
}
