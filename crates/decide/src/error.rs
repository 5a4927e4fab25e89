//! What can go wrong while deciding, in words for the operator. Never a personal value.

use promise::Refusal;
use vault::VaultError;

/// An error of this room. "Not allowed" is a [`promise::Refusal`] and not an error.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The vault could not do its part.
    #[error("the vault did not take or give what deciding needs")]
    Vault(#[from] VaultError),
    /// A campaign may not run.
    #[error("campaign {campaign} may not run")]
    Refused {
        /// Which.
        campaign: String,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// A house record is not what it should be.
    #[error("the house record {name} cannot be read")]
    Record {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}
