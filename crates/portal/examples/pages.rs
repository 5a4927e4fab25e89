//! Writes every page of the portal with its sample person into a folder, with sheet and mark beside them, so that a browser
//! or a screenshot tool can look at it: `cargo run -p fineline-portal --example pages -- FOLDER`.

use std::path::PathBuf;

#[expect(clippy::disallowed_methods, reason = "a developer's tool that writes where it is told")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name a folder")?);
    let promise = promise::parse("shop.toml", promise::fixture::SHOP).map_err(|report| report.counts())?;
    std::fs::create_dir_all(folder.join("privacy"))?;
    std::fs::write(folder.join("privacy/fineline.css"), portal::SHEET)?;
    std::fs::write(folder.join("privacy/mark.svg"), portal::MARK)?;
    std::fs::write(folder.join("my-data.zip"), portal::sample::archive(&promise, portal::sample::Sample::Calm)?)?;
    for (name, page) in portal::sample::pages(&promise, portal::sample::Sample::Calm)? {
        std::fs::write(folder.join(format!("{name}.html")), page)?;
    }
    Ok(())
}
