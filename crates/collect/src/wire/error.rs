//! Why a wire request is refused: status, code and message as the released clients understand them (a 400 or 401 is final
//! for every client, 429 and 503 are tried again). Never a personal value.

use vault::VaultError;

/// A request that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Something is larger than its limit.
    #[error("{what} has more than {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit with its unit.
        limit: &'static str,
    },
    /// Not readable as what it should be.
    #[error("{0}")]
    Malformed(&'static str),
    /// No write key came along, in none of the four ways.
    #[error("no write key: send it as Basic user name, in the body, or in the query")]
    NoKey,
    /// The write key is not one of ours.
    #[error("the write key is not known here; it may have been rotated")]
    UnknownKey,
    /// A browser key from a page that its source does not name.
    #[error("this origin is not among the origins of the key's source")]
    ForeignOrigin,
    /// There is nothing at this address.
    #[error("there is nothing at this address")]
    NotFound,
    /// The committer's queue is full.
    #[error("too busy right now; try again after the seconds in Retry-After")]
    Busy,
    /// One person, or one browser, sends more than anybody does.
    #[error("more than one person does; try again after the seconds in Retry-After")]
    TooMany,
    /// The disk is full.
    #[error("the disk is full: only a no is taken; try again after the seconds in Retry-After")]
    DiskFull,
    /// The vault takes nothing.
    #[error("nothing is taken right now; try again")]
    Unavailable,
}

impl WireError {
    /// Seconds after which to try again when busy.
    pub const RETRY_AFTER_S: u32 = 2;
    /// Seconds after which to try again when somebody has to make room first.
    pub const ROOM_AFTER_S: u32 = 60;

    /// Seconds after which to try again; `None` = never, or nobody knows.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Busy | Self::TooMany | Self::Unavailable => Some(Self::RETRY_AFTER_S),
            Self::DiskFull => Some(Self::ROOM_AFTER_S),
            _ => None,
        }
    }

    /// The HTTP status: 400, 401, 404, 429 or 503, no others.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } | Self::Malformed(_) => 400,
            Self::NoKey | Self::UnknownKey | Self::ForeignOrigin => 401,
            Self::NotFound => 404,
            Self::Busy | Self::TooMany => 429,
            Self::DiskFull | Self::Unavailable => 503,
        }
    }

    /// The word for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Malformed(_) => "malformed",
            Self::NoKey => "no_key",
            Self::UnknownKey => "unknown_key",
            Self::ForeignOrigin => "foreign_origin",
            Self::NotFound => "not_found",
            Self::Busy => "busy",
            Self::TooMany => "slow_down",
            Self::DiskFull => "disk_full",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<VaultError> for WireError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Busy => Self::Busy,
            // Told once, by whoever minds the disk.
            VaultError::DiskFull => Self::DiskFull,
            other => {
                tracing::error!(error = &other as &dyn std::error::Error, "the vault takes nothing");
                Self::Unavailable
            }
        }
    }
}
