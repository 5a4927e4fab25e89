//! Staff: single-use invites and sessions. An invite is a house record under its keyed hash, valid for 15 minutes; a session is
//! 256 random bits in a cookie, held in memory under its hash, so a restart signs everybody out. Passkeys are not here yet.

use model::id::{base32, from_base32};
use model::{At, Rng, StaffName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use vault::{StaffAct, Vault, VaultError};

/// How long an invite may be used, in milliseconds.
pub const INVITE_MS: i64 = 15 * 60 * 1000;
/// A session ends after so long without a page, in milliseconds.
pub const IDLE_MS: i64 = 30 * 60 * 1000;
/// A session ends after so long in any case, in milliseconds.
pub const SESSION_MS: i64 = 12 * 60 * 60 * 1000;
/// At most so many sessions at once; the oldest goes first.
pub const SESSIONS_MAX: usize = 1_000;

/// What a member of staff may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything; starts and pauses campaigns, reviews.
    Marketer,
    /// Everything; reviews, runs nothing.
    Privacy,
    /// The program itself: live events and the log.
    Operator,
    /// Groups only.
    Agency,
}

/// The pages of the console, each with what lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The newest events.
    Live,
    /// Groups of people.
    Segments,
    /// Campaigns and what they gained.
    Campaigns,
    /// What waits for a review.
    Reviews,
    /// The one log.
    Log,
}

impl Page {
    /// Every page, in the order of the menu.
    pub const ALL: [Self; 5] = [Self::Live, Self::Segments, Self::Campaigns, Self::Reviews, Self::Log];

    /// Its address.
    #[must_use]
    pub const fn href(self) -> &'static str {
        match self {
            Self::Live => "/",
            Self::Segments => "/segments",
            Self::Campaigns => "/campaigns",
            Self::Reviews => "/reviews",
            Self::Log => "/log",
        }
    }

    /// Its name in the menu.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Live => "Live events",
            Self::Segments => "Segments",
            Self::Campaigns => "Campaigns",
            Self::Reviews => "Reviews",
            Self::Log => "Log",
        }
    }

    /// The page that an address belongs to; none for what is no page ("/leave").
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let first = path.split('/').nth(1).unwrap_or_default();
        let is_it = |page: &Self| page.href().trim_start_matches('/') == first;
        if first == "live" { Some(Self::Live) } else { Self::ALL.into_iter().find(is_it) }
    }
}

impl Role {
    /// Reads the word of the command line.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Marketer, Self::Privacy, Self::Operator, Self::Agency].into_iter().find(|role| role.as_str() == word)
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Marketer => "marketer",
            Self::Privacy => "privacy",
            Self::Operator => "operator",
            Self::Agency => "agency",
        }
    }

    /// May open this page of the console.
    #[must_use]
    pub const fn may_see(self, page: Page) -> bool {
        match self {
            Self::Marketer | Self::Privacy => true,
            Self::Operator => matches!(page, Page::Live | Page::Log),
            Self::Agency => matches!(page, Page::Segments),
        }
    }

    /// May start and pause campaigns.
    #[must_use]
    pub const fn may_run_campaigns(self) -> bool {
        matches!(self, Self::Marketer)
    }

    /// May say what came of an alarm.
    #[must_use]
    pub const fn may_acknowledge(self) -> bool {
        matches!(self, Self::Privacy | Self::Operator)
    }

    /// May review artefacts.
    #[must_use]
    pub const fn may_review(self) -> bool {
        matches!(self, Self::Marketer | Self::Privacy)
    }
}

/// Staff could not be invited or signed in.
#[derive(Debug, thiserror::Error)]
pub enum StaffError {
    /// The vault did not take it.
    #[error("writing the invite")]
    Vault(#[from] VaultError),
    /// A record is not what it should be.
    #[error("the stored invite cannot be read")]
    Record(#[from] serde_json::Error),
}

/// A fresh invite, shown once.
#[derive(Debug)]
pub struct Invite {
    /// The secret part of the link: `/enter/SECRET`.
    pub secret: String,
    /// Until when.
    pub expires_at: At,
}

#[derive(Serialize, Deserialize)]
struct InviteRecord {
    name: String,
    role: Role,
    expires_at_ms: i64,
}

fn record_name(vault: &Vault, secret: &str) -> String {
    format!("staff_invite/{}", base32(&vault.blind("staff_invite", secret)))
}

/// Makes an invite for a member of staff.
///
/// # Errors
/// [`StaffError`] when the vault does not take it.
pub fn invite(vault: &Vault, rng: &dyn Rng, name: &StaffName, role: Role) -> Result<Invite, StaffError> {
    let secret = base32(&rng.bytes::<32>());
    let expires_at = vault.now().plus_ms(INVITE_MS);
    let record = InviteRecord { name: name.as_str().to_owned(), role, expires_at_ms: expires_at.ms() };
    vault.put_house_record(&record_name(vault, &secret), Some(serde_json::to_vec(&record)?))?.wait()?;
    Ok(Invite { secret, expires_at })
}

/// Uses an invite up. `None` when it is unknown, used or too old: the page says the same for all three.
fn redeem(vault: &Vault, secret: &str) -> Result<Option<Staff>, StaffError> {
    let name = record_name(vault, secret);
    let Some(bytes) = vault.snapshot().house_record(&name)? else { return Ok(None) };
    let record: InviteRecord = serde_json::from_slice(&bytes)?;
    vault.put_house_record(&name, None)?.wait()?;
    if record.expires_at_ms <= vault.now().ms() {
        return Ok(None);
    }
    vault
        .staff_act(StaffAct {
            staff: record.name.clone(),
            act: "signed_in",
            person: None,
            reason: "used an invite".to_owned(),
            at: vault.now(),
        })?
        .wait()?;
    Ok(Some(Staff { name: record.name, role: record.role }))
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staff {
    /// As invited.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

#[derive(Debug)]
struct Session {
    staff: Staff,
    csrf: String,
    began_at: At,
    seen_at: At,
}

/// Sessions by the keyed hash of their cookie.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<BTreeMap<[u8; 32], Session>>,
    /// One at a time comes in: between looking for an invite and removing it nobody else may find it.
    door: Mutex<()>,
}

impl Sessions {
    /// Uses an invite up, once. Waits for the vault.
    pub(crate) fn redeem(&self, vault: &Vault, secret: &str) -> Result<Option<Staff>, StaffError> {
        let _alone = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        redeem(vault, secret)
    }

    /// Begins a session; returns the cookie's value.
    pub(crate) fn begin(&self, vault: &Vault, rng: &dyn Rng, staff: Staff) -> String {
        let cookie = base32(&rng.bytes::<32>());
        let now = vault.now();
        let mut sessions = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.seen_at).map(|(key, _)| *key);
            oldest.map(|key| sessions.remove(&key));
        }
        let session = Session { staff, csrf: base32(&rng.bytes::<16>()), began_at: now, seen_at: now };
        sessions.insert(vault.blind("staff_session", &cookie), session);
        cookie
    }

    /// Who this cookie belongs to, and the word its forms must carry.
    pub(crate) fn find(&self, vault: &Vault, cookie: &str) -> Option<(Staff, String)> {
        from_base32::<32>(cookie)?;
        let now = vault.now();
        let key = vault.blind("staff_session", cookie);
        let mut sessions = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&key)?;
        let lives = now < session.seen_at.plus_ms(IDLE_MS) && now < session.began_at.plus_ms(SESSION_MS);
        if !lives {
            sessions.remove(&key);
            return None;
        }
        session.seen_at = now;
        Some((session.staff.clone(), session.csrf.clone()))
    }

    /// Ends a session.
    pub(crate) fn end(&self, vault: &Vault, cookie: &str) {
        let key = vault.blind("staff_session", cookie);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}
