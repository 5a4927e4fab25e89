//! How a command ends: six exit codes, and the failures that lead to them. It does not print; [`crate::say`] does.

use std::process::ExitCode;

/// The exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Fine.
    Fine = 0,
    /// Findings: a promise is or would be broken.
    Findings = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// `plan --exit-code`: changes wait.
    ChangesWait = 3,
    /// Refused by the promise.
    Refused = 4,
    /// Something could not be reached or opened.
    CannotOpen = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure whose exit code is not [`Exit::CannotOpen`], which every other error ends with.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or a setting is wrong.
    #[error("{0}")]
    Usage(String),
    /// The promise does not allow it.
    #[error("{0}")]
    Refused(String),
    /// Something was found that should not be.
    #[error("{0}")]
    Findings(String),
    /// Changes wait.
    #[error("{0}")]
    Waits(String),
}

impl Failure {
    /// A wrong command line or setting.
    pub fn usage(text: impl Into<String>) -> anyhow::Error {
        Self::Usage(text.into()).into()
    }

    /// Not allowed by the promise.
    pub fn refused(text: impl Into<String>) -> anyhow::Error {
        Self::Refused(text.into()).into()
    }

    /// Something was found.
    pub fn findings(text: impl Into<String>) -> anyhow::Error {
        Self::Findings(text.into()).into()
    }

    /// Something waits.
    pub fn waits(text: impl Into<String>) -> anyhow::Error {
        Self::Waits(text.into()).into()
    }
}

/// The exit code that an error ends with.
#[must_use]
pub fn of(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(_)) => return Exit::Usage,
        Some(Failure::Refused(_)) => return Exit::Refused,
        Some(Failure::Findings(_)) => return Exit::Findings,
        Some(Failure::Waits(_)) => return Exit::ChangesWait,
        None => {}
    }
    if error.chain().any(|cause| cause.is::<promise::Refusal>()) { Exit::Refused } else { Exit::CannotOpen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_failure_keeps_its_exit_code_also_under_context() {
        let refused = Failure::refused("an audience under 50 is refused");
        assert_eq!(of(&refused.context("starting win_back")), Exit::Refused);
        assert_eq!(of(&Failure::usage("no such flag")), Exit::Usage);
        let io = Err::<(), _>(std::io::Error::other("gone")).context("reading promise.toml").unwrap_err();
        assert_eq!(of(&io), Exit::CannotOpen);
    }
}
