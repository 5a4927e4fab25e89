//! What can go wrong while understanding, in words for the operator. Never a personal value.

use promise::Refusal;
use vault::VaultError;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum UnderstandError {
    /// The vault could not do its part.
    #[error("the vault did not take or give what understanding needs")]
    Vault(#[from] VaultError),
    /// The model's artefact may not read.
    #[error("the item model may not read: {}", .0.reason.as_str())]
    Refused(Refusal),
    /// The stored model is not a model.
    #[error("the house record model/items is not an item model")]
    Model,
    /// A house record of this room is not what it should be.
    #[error("the house record {name} cannot be read")]
    Record {
        /// Which.
        name: String,
    },
}
