//! Who else gets to see anything: the register of recipients, readable by the pages. Most stand in the promise; the relay
//! that carries our mail, which sees addresses and texts, is a setting and has a house record.
//!
//! Nothing is handed to a party that does not stand here with its name, the reason, and the day until which it may be used:
//! [`crate::outbox::step`] checks it of the relay, and a call is made to a [`Registered`] only, which comes from here.

use crate::DeliverError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::{Day, Rng};
use promise::RecipientPlan;
use serde::{Deserialize, Serialize};
use vault::{Snapshot, Vault};

/// House records of the register: `recipient/<name>`.
pub const RECORD_PREFIX: &str = "recipient/";

/// House records of the secrets that sign calls: `recipient_secret/<name>`.
const SECRET_PREFIX: &str = "recipient_secret/";

/// How a secret begins where it is written down.
const SECRET_WORD: &str = "whsec_";

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Recipients listed, at most.
pub const RECIPIENTS_MAX: usize = 100;

/// One party that receives data of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its name in the register: small letters, digits, '-' ("relay").
    pub name: String,
    /// Who it is: legal name and country, as people should read it.
    pub who: String,
    /// Why it gets anything.
    pub why: String,
    /// What it gets, in words.
    pub what: Vec<String>,
    /// Last day on which it may be used; `None` = until the company ends it.
    pub until: Option<Day>,
}

/// Storage form.
#[derive(Serialize, Deserialize)]
struct Record {
    who: String,
    why: String,
    what: Vec<String>,
    until: Option<i32>,
}

impl Recipient {
    /// The relay that carries our mails.
    #[must_use]
    pub fn relay(who: &str, until: Option<Day>) -> Self {
        Self {
            name: "relay".to_owned(),
            who: who.to_owned(),
            why: "carries our mails to your mailbox".to_owned(),
            what: vec!["your e-mail address".to_owned(), "the mails we send you".to_owned()],
            until,
        }
    }

    /// Writes it into the register, in place of an older entry of the same name.
    ///
    /// # Errors
    /// [`DeliverError::Vault`], [`DeliverError::Recipient`] when it cannot be written.
    pub async fn register(&self, vault: &Vault) -> Result<(), DeliverError> {
        let until = self.until.map(Day::number);
        let record = Record { who: self.who.clone(), why: self.why.clone(), what: self.what.clone(), until };
        let bytes = serde_json::to_vec(&record).map_err(|_| DeliverError::Recipient(self.name.clone()))?;
        vault.put_house_record(&format!("{RECORD_PREFIX}{}", self.name), Some(bytes))?.await?;
        Ok(())
    }

    /// Whether it may be handed anything on this day.
    #[must_use]
    pub fn is_in_force(&self, today: Day) -> bool {
        self.until.is_none_or(|until| today <= until)
    }
}

/// Everybody in the register, by name: the parties, why they get anything, and until when.
///
/// # Errors
/// [`DeliverError::Vault`], [`DeliverError::Recipient`].
pub fn recipients(snapshot: &Snapshot) -> Result<Vec<Recipient>, DeliverError> {
    let records = snapshot.house_records(RECORD_PREFIX, RECIPIENTS_MAX)?;
    let recorded = records.into_iter().map(|(key, bytes)| {
        let name = key.strip_prefix(RECORD_PREFIX).unwrap_or(&key).to_owned();
        let record: Record = serde_json::from_slice(&bytes).map_err(|_| DeliverError::Recipient(name.clone()))?;
        let Record { who, why, what, until } = record;
        Ok(Recipient { name, who, why, what, until: until.map(Day::from_number) })
    });
    let declared = snapshot.promise().recipients.values().map(|plan| {
        let (who, why, what) = (format!("{}, {}", plan.who, plan.place), plan.why.clone(), plan.what.clone());
        Ok(Recipient { name: plan.name.as_str().to_owned(), who, why, what, until: plan.until })
    });
    recorded.chain(declared).collect()
}

/// Where a recipient is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallAddress {
    is_protected: bool,
    authority: String,
    path: String,
}

impl CallAddress {
    /// Reads `https://host[:port]/path`, or `http://` on this machine, as the promise has checked it.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_protected = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self { is_protected, authority: authority.to_owned(), path: format!("/{path}") })
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub const fn is_protected(&self) -> bool {
        self.is_protected
    }

    /// Host and port as written.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority.split_once(':').map_or(&self.authority, |(host, _)| host)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        let written = self.authority.split_once(':').and_then(|(_, port)| port.parse().ok());
        written.unwrap_or(if self.is_protected { 443 } else { 80 })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// A recipient of the register that can be called, with the secret that signs. Only [`registered`] makes one.
pub struct Registered {
    address: CallAddress,
    secret: Vec<u8>,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registered({})", self.address.authority)
    }
}

impl Registered {
    /// Where it is called.
    #[must_use]
    pub const fn address(&self) -> &CallAddress {
        &self.address
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }
}

/// Why a recipient cannot be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCallable {
    /// The promise does not declare it.
    NotRegistered,
    /// The promise names no address for it.
    NoAddress,
    /// There is no secret to sign with yet.
    NoSecret,
}

/// A recipient that the promise declares, ready to be called. Also after its last day: what it got, it may still have.
///
/// # Errors
/// [`NotCallable`] inside; [`DeliverError::Vault`].
pub fn registered(snapshot: &Snapshot, name: &str) -> Result<Result<Registered, NotCallable>, DeliverError> {
    let Some(plan) = snapshot.promise().recipients.get(name) else { return Ok(Err(NotCallable::NotRegistered)) };
    let Some(address) = plan.erase.as_deref().and_then(CallAddress::parse) else {
        return Ok(Err(NotCallable::NoAddress));
    };
    let record = snapshot.house_record(&format!("{SECRET_PREFIX}{name}"))?;
    Ok(record.map(|secret| Registered { address, secret }).ok_or(NotCallable::NoSecret))
}

/// Makes a secret for every recipient that can be called and has none.
///
/// # Errors
/// [`DeliverError::Vault`].
pub async fn make_secrets(vault: &Vault, rng: &dyn Rng) -> Result<(), DeliverError> {
    let plans: Vec<RecipientPlan> = vault.snapshot().promise().recipients.values().cloned().collect();
    for plan in plans.iter().filter(|plan| plan.erase.is_some()) {
        let name = format!("{SECRET_PREFIX}{}", plan.name);
        if vault.snapshot().house_record(&name)?.is_none() {
            let secret = rng.bytes::<SECRET_BYTES>().to_vec();
            vault.put_house_record(&name, Some(secret))?.await?;
        }
    }
    Ok(())
}

/// The secret of a recipient as its people get it (`whsec_…`); `None` when there is none yet.
///
/// # Errors
/// [`DeliverError::Vault`].
pub fn secret(snapshot: &Snapshot, name: &str) -> Result<Option<String>, DeliverError> {
    let record = snapshot.house_record(&format!("{SECRET_PREFIX}{name}"))?;
    Ok(record.map(|secret| format!("{SECRET_WORD}{}", BASE64_STANDARD.encode(secret))))
}
