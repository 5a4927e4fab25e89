//! What crosses the wall about what leaves the house: to a recipient, and for good; and about those who have left and may
//! still come back.

use super::Identifier;
use model::{At, Day, ProfileId, RecipientName, RequestId};

/// Something about a person that is to leave to a recipient.
#[derive(Debug, Clone)]
pub struct HandOn {
    /// About whom.
    pub person: ProfileId,
    /// To whom: a `[recipient.NAME]` of the promise.
    pub recipient: RecipientName,
    /// What, in words that the promise has under `what`.
    pub what: Vec<String>,
}

/// Why nothing may leave. The text is a sentence for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHandedOn {
    /// The promise declares no such recipient.
    #[error("the promise declares no recipient of this name: nothing may leave to it; add a [recipient] section")]
    NotARecipient,
    /// Its last day has passed.
    #[error("the last day of this recipient has passed: nothing may leave to it any more")]
    Ended,
    /// It does not get this.
    #[error("the promise does not say that this recipient gets this: add it to `what`")]
    NotDeclared,
    /// Nobody is there, or wants to be left alone.
    #[error("there is nobody of whom anything may leave")]
    Nobody,
}

/// What one recipient got of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenView {
    /// The recipient's name in the register.
    pub recipient: String,
    /// Who it is, as people read it.
    pub who: String,
    /// What it got.
    pub what: Vec<String>,
    /// When first.
    pub first_at: At,
    /// When last.
    pub last_at: At,
    /// How often.
    pub n: u32,
}

/// Which call to a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseCallId {
    /// Of which erasure.
    pub request: RequestId,
    /// To whom.
    pub recipient: String,
}

/// A call to a recipient that has to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseCall {
    /// Which.
    pub id: EraseCallId,
    /// Its name on the wire: the same at every try, and nobody learns the request from it.
    pub wire_id: String,
    /// What the recipient knows the person by.
    pub reference: String,
    /// When the person asked to be erased.
    pub asked_at: At,
    /// When it is to be made.
    pub due_at: At,
    /// Tries so far.
    pub n_tries: u32,
    /// Why the last try did not end it.
    pub why: Option<String>,
}

/// How a try to tell a recipient ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EraseCallEnd {
    /// The recipient took the call.
    Told,
    /// The recipient says that it has erased.
    Confirmed,
    /// Not now: again at this instant.
    Later {
        /// Why.
        why: &'static str,
        /// When again.
        at: At,
    },
    /// Never.
    Impossible {
        /// Why.
        why: &'static str,
    },
}

impl EraseCallEnd {
    /// The word of a recipient that the promise does not declare any more.
    pub const NOT_REGISTERED: &str = "not_registered";
}

/// How a recipient stands to an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The call has not ended yet.
    Waiting,
    /// The recipient took the call.
    Told,
    /// The recipient says that it has erased.
    Confirmed,
    /// It cannot be told.
    Impossible,
}

impl Told {
    /// The word in receipts, pages and counts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Told => "told",
            Self::Confirmed => "confirmed",
            Self::Impossible => "impossible",
        }
    }
}

/// One recipient of an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientTold {
    /// Its name in the register.
    pub recipient: String,
    /// Who it is, as people read it.
    pub who: String,
    /// How it stands.
    pub state: Told,
    /// The reason word, where there is one.
    pub why: Option<String>,
    /// Since when.
    pub at: At,
    /// Tries.
    pub n_tries: u32,
}

/// An erasure as it stands: what is on record, and nothing about anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureView {
    /// The request.
    pub request: RequestId,
    /// When it was asked for: gone for everybody here since then.
    pub asked_at: At,
    /// Until when it can be taken back; `None` = not, or not any more.
    pub undo_until: Option<At>,
    /// It was taken back.
    pub taken_back_at: Option<At>,
    /// From this day on unrecoverable from every place we know.
    pub unrecoverable_on: Day,
    /// When a rotation had destroyed the keys here; `None` = not yet.
    pub keys_destroyed_at: Option<At>,
    /// Who got something.
    pub recipients: Vec<RecipientTold>,
    /// All of it in sentences: only what is certain.
    pub says: Vec<String>,
    /// The same, signed as of now (flattened JWS, JSON).
    pub receipt: String,
}

/// Whose erasure is to be taken back. Nothing leads to the person any more, so only those who wait are looked through.
#[derive(Debug, Clone)]
pub enum ErasedWho {
    /// By the id they had.
    Profile(ProfileId),
    /// By the request that their receipt names.
    Request(RequestId),
    /// By an identifier they had.
    Identifier(Identifier),
}

/// Who takes an erasure back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UndoneBy {
    /// The person, from the page that the erasure left them.
    Person,
    /// Staff; the person sees both.
    Staff {
        /// Who.
        staff: String,
        /// Why, at most 200 characters.
        reason: String,
    },
}

/// An erasure that was taken back.
#[derive(Debug, Clone)]
pub struct ErasureUndone {
    /// Who is there again.
    pub person: ProfileId,
    /// The request on record.
    pub request: RequestId,
    /// Signed receipt of the taking back.
    pub receipt: String,
}

/// Why an erasure cannot be taken back. The text is a sentence for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUndone {
    /// No erasure by this name is in its day.
    #[error("no erasure waits under this id: it was never asked for, was done at once, or its 24 hours have passed")]
    NobodyWaits,
    /// It was asked for "now".
    #[error("this erasure was done at once, and nobody can undo it")]
    Now,
    /// The day is over.
    #[error("the 24 hours in which this erasure could be undone have passed, and the keys are gone")]
    TooLate,
    /// A new person began under one of the identifiers.
    #[error(
        "somebody new has begun under an address or number of this person since: undoing would make two people of one"
    )]
    TakenMeanwhile,
}
