//! What can go wrong in this room, in words for the operator. Never a personal value.

use crate::dkim::DkimError;
use crate::egress::RelayError;
use crate::sender::SenderError;
use vault::VaultError;

/// An error of this room. What becomes of a single message is not an error but its outcome.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The vault could not be read or written.
    #[error("the vault did not answer")]
    Vault(#[from] VaultError),
    /// The company as sender.
    #[error("the sender of mails is not usable")]
    Sender(#[from] SenderError),
    /// The signature.
    #[error("mails cannot be signed")]
    Dkim(#[from] DkimError),
    /// The relay's configuration.
    #[error("the mail relay's configuration is not usable")]
    Relay(#[from] RelayError),
    /// The signing domain is not the sender's.
    #[error("mails from {from} cannot be signed as {signer}: receivers would not believe it")]
    Alignment {
        /// Domain of the sender's address.
        from: String,
        /// Domain that signs.
        signer: String,
    },
    /// A record of the recipient register cannot be read.
    #[error("the register entry of recipient {0} cannot be read")]
    Recipient(String),
}
