//! What can go wrong here, for the log and for problem documents. Never a personal value.

/// An error of the portal.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// The desk may not read about this person, or nobody is there.
    #[error("reading a person at the desk")]
    Refused(#[from] promise::Refusal),
    /// The vault did not take or answer a command.
    #[error("asking the vault")]
    Vault(#[from] vault::VaultError),
    /// A page could not be put together.
    #[error("rendering a page")]
    Page(#[from] askama::Error),
    /// The copy could not be written as JSON.
    #[error("writing the copy as JSON")]
    Json(#[from] serde_json::Error),
    /// A table of the copy could not be written.
    #[error("writing a table of the copy")]
    Table(#[from] csv::Error),
    /// The archive of the copy could not be put together.
    #[error("packing the copy")]
    Archive(#[from] zip::result::ZipError),
    /// A part of the archive could not be written.
    #[error("packing a part of the copy")]
    Part(#[from] std::io::Error),
}
