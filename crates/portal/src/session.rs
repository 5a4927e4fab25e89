//! Who is signed in: one-time hand-off links, sessions, and receipts that outlive a session by an hour. All in memory, all
//! found by a blind token, so a memory picture opens no session. A restart signs everybody out. It knows no HTTP.

use model::id::base32;
use model::{At, ProfileId, Rng};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vault::Vault;

/// How long a hand-off link opens, in milliseconds: 10 minutes.
pub const LINK_MS: i64 = 10 * 60_000;
/// How long a session lives without a request, in milliseconds: 30 minutes.
pub const IDLE_MS: i64 = 30 * 60_000;
/// How long a session lives at most, in milliseconds: 24 hours.
pub const SESSION_MS: i64 = 24 * 3_600_000;
/// After how long a session gets a new token, in milliseconds: 10 minutes.
pub const ROTATE_MS: i64 = 10 * 60_000;
/// How long the old token still opens after a rotation, in milliseconds: requests already on their way.
pub const OVERLAP_MS: i64 = 30_000;
/// How long the receipt of an erasure at once can be fetched, in milliseconds: 1 hour.
pub const RECEIPT_MS: i64 = 3_600_000;
/// How long the page of an erasure within a day opens, and takes it back, in milliseconds: 24 hours.
pub const UNDO_MS: i64 = 24 * 3_600_000;
/// Entries of each kind held at once; above it the ones that end first go.
pub const ENTRIES_MAX: usize = 100_000;

type Blind = [u8; 32];

/// What proved who somebody is when their session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The company's own sign-in vouched for them through a server key.
    HandOff,
}

impl Proof {
    /// Whether it is strong enough to destroy at once what nobody can bring back.
    #[must_use]
    pub const fn is_strong(self) -> bool {
        match self {
            Self::HandOff => true,
        }
    }
}

/// A signed-in person, as one request sees it.
#[derive(Clone)]
pub struct Session {
    /// Who.
    pub person: ProfileId,
    /// What proved it.
    pub proof: Proof,
    /// What each form of this session must carry.
    pub csrf: String,
    /// A new token for the cookie, when this request made one.
    pub renewed: Option<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session(…)")
    }
}

struct Link {
    person: ProfileId,
    until: At,
}

struct Open {
    person: ProfileId,
    proof: Proof,
    csrf: String,
    /// End of the 24 hours, whatever happens.
    ends_at: At,
    /// End of the idle time or of the overlap.
    until: At,
    /// When it gets a successor; `None` once it has one.
    rotate_at: Option<At>,
}

struct Kept {
    receipt: Receipt,
    until: At,
}

/// A receipt that is shown after its person is gone; it holds no value about anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Flattened JWS, JSON.
    pub json: String,
    /// The request on record.
    pub request: model::RequestId,
    /// From this day on unrecoverable from every place we know.
    pub unrecoverable_on: model::Day,
    /// Whether the person said "now".
    pub how: vault::Erasure,
}

#[derive(Default)]
struct Held {
    links: HashMap<Blind, Link>,
    open: HashMap<Blind, Open>,
    kept: HashMap<Blind, Kept>,
}

/// Every session and one-time link of this process.
pub struct Sessions {
    vault: Vault,
    rng: Arc<dyn Rng>,
    held: Mutex<Held>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions(…)")
    }
}

impl Sessions {
    /// None yet.
    #[must_use]
    pub fn new(vault: Vault, rng: Arc<dyn Rng>) -> Self {
        Self { vault, rng, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 256 bits of chance, 52 letters and digits.
    fn secret(&self) -> String {
        base32(&self.rng.bytes::<32>())
    }

    fn blind(&self, secret: &str) -> Blind {
        self.vault.blind("portal", secret)
    }

    /// A one-time link for a person the company's server vouches for: its secret, and until when it opens.
    #[must_use]
    pub fn hand_off(&self, person: ProfileId) -> (String, At) {
        let (secret, until) = (self.secret(), self.vault.now().plus_ms(LINK_MS));
        let blind = self.blind(&secret);
        let mut held = self.held();
        make_room(&mut held.links, self.vault.now(), |link| link.until);
        held.links.insert(blind, Link { person, until });
        (secret, until)
    }

    /// Whether a link would still open. Changes nothing.
    #[must_use]
    pub fn is_link(&self, secret: &str) -> bool {
        let blind = self.blind(secret);
        self.held().links.get(&blind).is_some_and(|link| self.vault.now() < link.until)
    }

    /// Uses a link up: the token of the new session's cookie.
    #[must_use]
    pub fn enter(&self, secret: &str) -> Option<(String, ProfileId)> {
        let now = self.vault.now();
        let (blind, token, csrf) = (self.blind(secret), self.secret(), self.secret());
        let session = self.blind(&token);
        let mut held = self.held();
        let link = held.links.remove(&blind).filter(|link| now < link.until)?;
        make_room(&mut held.open, now, |open| open.until);
        let ends_at = now.plus_ms(SESSION_MS);
        let rotate_at = Some(now.plus_ms(ROTATE_MS));
        let proof = Proof::HandOff;
        let open = Open { person: link.person, proof, csrf, ends_at, until: now.plus_ms(IDLE_MS), rotate_at };
        held.open.insert(session, open);
        Some((token, link.person))
    }

    /// The session of a cookie, if it is still open; keeps it open, and gives it a new token from time to time.
    #[must_use]
    pub fn find(&self, token: &str) -> Option<Session> {
        let now = self.vault.now();
        let blind = self.blind(token);
        let mut held = self.held();
        let open = held.open.get_mut(&blind)?;
        if now >= open.until || now >= open.ends_at {
            held.open.remove(&blind);
            return None;
        }
        let (person, proof, csrf, ends_at) = (open.person, open.proof, open.csrf.clone(), open.ends_at);
        let Some(rotate_at) = open.rotate_at else { return Some(Session { person, proof, csrf, renewed: None }) };
        if now < rotate_at {
            open.until = now.plus_ms(IDLE_MS);
            return Some(Session { person, proof, csrf, renewed: None });
        }
        open.rotate_at = None;
        open.until = now.plus_ms(OVERLAP_MS);
        let fresh = self.secret();
        let rotate_at = Some(now.plus_ms(ROTATE_MS));
        let successor = Open { person, proof, csrf: csrf.clone(), ends_at, until: now.plus_ms(IDLE_MS), rotate_at };
        held.open.insert(self.blind(&fresh), successor);
        Some(Session { person, proof, csrf, renewed: Some(fresh) })
    }

    /// Ends every session and link of a person: after an erasure.
    pub fn end(&self, person: ProfileId) {
        let mut held = self.held();
        held.open.retain(|_, open| open.person != person);
        held.links.retain(|_, link| link.person != person);
    }

    /// Ends one session, with the token it replaced and the one that replaced it.
    pub fn leave(&self, session: &Session) {
        self.held().open.retain(|_, open| open.csrf != session.csrf);
    }

    /// Keeps a receipt, for an hour or as long as it can be taken back; the secret of its address.
    #[must_use]
    pub fn keep(&self, receipt: Receipt) -> String {
        let now = self.vault.now();
        let secret = self.secret();
        let blind = self.blind(&secret);
        let mut held = self.held();
        make_room(&mut held.kept, now, |kept| kept.until);
        let until = match receipt.how {
            vault::Erasure::Now => now.plus_ms(RECEIPT_MS),
            vault::Erasure::WithinADay => now.plus_ms(UNDO_MS),
        };
        held.kept.insert(blind, Kept { receipt, until });
        secret
    }

    /// Keeps a receipt no longer: its erasure was taken back.
    pub fn drop_kept(&self, secret: &str) {
        let blind = self.blind(secret);
        self.held().kept.remove(&blind);
    }

    /// A kept receipt, while it is.
    #[must_use]
    pub fn kept(&self, secret: &str) -> Option<Receipt> {
        let blind = self.blind(secret);
        let held = self.held();
        held.kept.get(&blind).filter(|kept| self.vault.now() < kept.until).map(|kept| kept.receipt.clone())
    }
}

/// Drops what has ended; when that is not enough, the entry that ends first.
fn make_room<T>(entries: &mut HashMap<Blind, T>, now: At, until: impl Fn(&T) -> At) {
    if entries.len() < ENTRIES_MAX {
        return;
    }
    entries.retain(|_, entry| now < until(entry));
    if entries.len() >= ENTRIES_MAX
        && let Some(first) = entries.iter().min_by_key(|(_, entry)| until(entry)).map(|(blind, _)| *blind)
    {
        entries.remove(&first);
    }
}
