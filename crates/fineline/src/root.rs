//! Where the root key comes from, as set: a file, a credential of the service manager, or a passphrase out of a file or asked
//! for on the terminal. Never from an argument or the environment: others can read those.
//!
//! Not here: what the key opens (`vault`).

use crate::say::Say;
use anyhow::Context;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use vault::{PASSPHRASE_CHARS_MIN, Passphrase, RootSource};

/// How a setting names a credential that the service manager has put into a folder for us alone.
const CREDENTIAL: &str = "credential:";
/// Where that folder is.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// Longest passphrase that is read from the terminal, in bytes.
const LINE_BYTES_MAX: u64 = 4_096;

/// Where the root key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A key file.
    File(PathBuf),
    /// A passphrase, in a file or asked for.
    Passphrase(Option<PathBuf>),
}

/// How often a passphrase is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// It opens something: a slip of the finger is told at once.
    Once,
    /// It will have to open something later.
    Twice,
}

/// A path, or `credential:NAME` in the folder of the service manager. `None` for a name that is no name.
#[must_use]
pub fn path(text: &str) -> Option<PathBuf> {
    let Some(name) = text.strip_prefix(CREDENTIAL) else { return Some(PathBuf::from(text)) };
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    // Without the folder there is no such file, which is what is said then.
    let folder = std::env::var_os(CREDENTIALS_DIRECTORY).unwrap_or_else(|| "/run/credentials/none".into());
    is_name.then(|| Path::new(&folder).join(name))
}

impl Root {
    /// Why it cannot be had just now; `None` = it can.
    #[must_use]
    pub fn away(&self) -> Option<String> {
        match self {
            Self::File(path) if !path.exists() => Some(format!("there is no {}", path.display())),
            Self::Passphrase(Some(path)) if !path.exists() => Some(format!("there is no {}", path.display())),
            Self::Passphrase(None) if !std::io::stdin().is_terminal() => {
                Some("no `root_passphrase_file` is set and there is no terminal to ask for the passphrase".to_owned())
            }
            _ => None,
        }
    }

    /// The source for the vault; asks for a passphrase where none is in a file.
    ///
    /// # Errors
    /// A passphrase that is too short, typed differently the second time, in a file that others can read, or nowhere.
    pub fn source(&self, say: Say, asking: Asking) -> anyhow::Result<RootSource> {
        match self {
            Self::File(path) => Ok(RootSource::File(path.clone())),
            Self::Passphrase(Some(path)) => Ok(RootSource::Passphrase(Passphrase::read(path)?)),
            Self::Passphrase(None) => {
                if let Some(why) = self.away() {
                    anyhow::bail!("{why}");
                }
                let prompt = format!("Passphrase of the root key (at least {PASSPHRASE_CHARS_MIN} characters): ");
                let first = Passphrase::new(asked(say, &prompt)?)?;
                if asking == Asking::Twice {
                    let again = Passphrase::new(asked(say, "The same once more: ")?)?;
                    anyhow::ensure!(first.is_same(&again), "the two passphrases differ: nothing was made");
                }
                Ok(RootSource::Passphrase(first))
            }
        }
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "the key file {}", path.display()),
            Self::Passphrase(Some(path)) => write!(f, "the passphrase in {}", path.display()),
            Self::Passphrase(None) => f.write_str("a passphrase that is asked for on the terminal"),
        }
    }
}

/// A line from the terminal, which does not show it.
fn asked(say: Say, prompt: &str) -> anyhow::Result<String> {
    use std::io::Read;
    say.stderr(prompt);
    let _quiet = Quiet::begin()?;
    let mut line = String::new();
    std::io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line).context("reading the passphrase")?;
    say.stderr("\n");
    let n_bytes = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(n_bytes);
    Ok(line)
}

/// The terminal, not showing what is typed until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("asking the terminal")?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet).context("asking the terminal not to show it")?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_name_in_one_folder() {
        assert_eq!(path("keys/root"), Some(PathBuf::from("keys/root")));
        assert!(path("credential:root").is_some_and(|path| path.ends_with("root")));
        for text in ["credential:", "credential:..", "credential:a/b", "credential:/etc/shadow"] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        let missing = PathBuf::from("/nonexistent/root");
        for root in [Root::File(missing.clone()), Root::Passphrase(Some(missing))] {
            assert_eq!(root.away().as_deref(), Some("there is no /nonexistent/root"));
        }
        assert_eq!(Root::File(PathBuf::from("/dev/null")).away(), None);
    }
}
