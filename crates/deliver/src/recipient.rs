//! Who else gets to see anything: the register of recipients, one house record each, readable by the pages.
//!
//! The relay that carries our mail is a recipient: it sees addresses and texts. Nothing is handed to a party that does not
//! stand here with its name, the reason, and the day until which it may be used; [`crate::outbox::step`] checks.

use crate::DeliverError;
use model::Day;
use serde::{Deserialize, Serialize};
use vault::{Snapshot, Vault};

/// House records of the register: `recipient/<name>`.
pub const RECORD_PREFIX: &str = "recipient/";

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
    records
        .into_iter()
        .map(|(key, bytes)| {
            let name = key.strip_prefix(RECORD_PREFIX).unwrap_or(&key).to_owned();
            let record: Record = serde_json::from_slice(&bytes).map_err(|_| DeliverError::Recipient(name.clone()))?;
            let Record { who, why, what, until } = record;
            Ok(Recipient { name, who, why, what, until: until.map(Day::from_number) })
        })
        .collect()
}
