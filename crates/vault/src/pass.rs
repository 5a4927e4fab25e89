//! Responsible for the operator's pass: while a house is served, a random token stands in its data folder, for its owner
//! alone. Whoever can show it can read the data folder, and that is who the operator is; no account, no password.
//!
//! It also says where the serving process answers, so that nobody has to be told twice. Made at start over whatever a
//! crash left behind, gone when the house is closed.
//!
//! Deliberately not: what it opens. That is the affair of the program's own routes.

use crate::VaultError;
use crate::disk::{Disk, file_error};
use crate::house::House;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the process that serves a data folder answers, and the token that it wants to see.
pub struct Pass {
    /// Its listener for staff.
    pub at: SocketAddr,
    token: String,
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pass({})", self.at)
    }
}

impl Pass {
    /// The token, to be shown to the serving process and nobody else.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whether this is the token; the time it takes tells nothing of how near a guess was.
    #[must_use]
    pub fn admits(&self, offered: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(offered.as_bytes(), self.token.as_bytes()).is_ok()
    }

    /// Reads the pass of the process that serves a data folder, without the folder's lock; `None` when none is served, or
    /// the file is not one.
    ///
    /// # Errors
    /// [`VaultError::File`] when it cannot be read: it is for the owner of the data folder alone.
    pub fn read(data: &Path) -> Result<Option<Self>, VaultError> {
        let Some(bytes) = Disk::read(&file(data))? else { return Ok(None) };
        let text = String::from_utf8(bytes).unwrap_or_default();
        let parsed = text.trim_end().split_once(' ').and_then(|(at, token)| Some((at.parse().ok()?, token.to_owned())));
        Ok(parsed.map(|(at, token)| Self { at, token }))
    }

    pub(crate) fn issue(house: &House, at: SocketAddr) -> Result<Self, VaultError> {
        let pass = Self { at, token: model::id::base32(&house.rng().bytes::<32>()) };
        if let Some(data) = house.data() {
            Disk::replace(&file(data), format!("{at} {}\n", pass.token).as_bytes())?;
        }
        Ok(pass)
    }

    pub(crate) fn withdraw(data: &Path) -> Result<(), VaultError> {
        let path = file(data);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file_error("removing", &path, error)),
            _ => Ok(()),
        }
    }
}

fn file(data: &Path) -> PathBuf {
    data.join("pass")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Household, NoProjection, Options, Vault};
    use model::time::ManualClock;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    #[test]
    fn a_pass_is_for_the_owner_alone_replaces_an_older_one_and_ends_with_the_house() {
        let folder = tempfile::tempdir().unwrap();
        let household = || Household {
            promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
            clock: Arc::new(ManualClock::new(model::At::parse("2026-03-02T12:00:00Z").unwrap())),
            rng: Arc::new(model::chance::Seeded::new(5)),
            projection: Arc::new(NoProjection),
        };
        let data = folder.path().join("data");
        let options = Options {
            data: data.clone(),
            engine: crate::EngineKind::Redb,
            root: folder.path().join("root").into(),
            queue_max: 9,
            witness: None,
        };
        Vault::create(&options, &household()).unwrap();
        let vault = Vault::open(&options, household()).unwrap();
        assert!(Pass::read(&data).unwrap().is_none());
        let at = "127.0.0.1:4001".parse().unwrap();
        let older = vault.issue_pass(at).unwrap();
        let pass = vault.issue_pass(at).unwrap();
        assert!(pass.admits(pass.token()) && !pass.admits(older.token()) && !pass.admits(""));
        let read = Pass::read(&data).unwrap().unwrap();
        assert_eq!((read.at, read.token()), (at, pass.token()));
        assert_eq!(std::fs::metadata(file(&data)).unwrap().permissions().mode() & 0o777, 0o600);
        vault.close().unwrap();
        assert!(Pass::read(&data).unwrap().is_none());
    }
}
