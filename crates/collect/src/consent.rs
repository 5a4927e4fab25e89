//! `/v1/consent`: one answer about one purpose, with the words the person saw. A browser speaks for its own device, a
//! server key for a person. What is no free answer (no words, several purposes at once, a box ticked beforehand) is not
//! recorded, and the problem says why.

use crate::wire::call::IDENTIFIER_BYTES_MAX;
use model::{At, ConsentStatus, Method, PurposeName, Words};
use promise::{Artefact, ArtefactKind, Basis, Promise, Purpose, Source, SourceKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vault::{ConsentAnswer, ConsentChange, Identifier, IdentifierKind, LedgerEntry, Snapshot, Subject};

/// Longest words of a question, in bytes.
pub const WORDS_BYTES_MAX: usize = 4_000;
/// Longest language tag, in bytes.
const LANGUAGE_BYTES_MAX: usize = 35;

/// Why an answer is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// Not readable.
    #[error("the body is not JSON with exactly the fields of this route: {0}")]
    Malformed(String),
    /// Neither id, or both, or one that is too long.
    #[error("name whose answer it is: anonymousId with a browser key, anonymousId or userId with a server key")]
    NoSubject,
    /// A browser speaks for a person.
    #[error("a browser key speaks for its own device only; userId needs a server key")]
    NotYours,
    /// More than one purpose in one answer.
    #[error("one answer is about one purpose; ask for each of them on its own")]
    SeveralPurposes,
    /// A box that was ticked beforehand.
    #[error("a box that was ticked beforehand is no answer")]
    TickedBeforehand,
    /// Not a purpose of the promise.
    #[error("this purpose is not declared in the promise")]
    UnknownPurpose,
    /// A purpose that asks nobody.
    #[error("this purpose rests on a contract, not on consent")]
    NotAsked {
        /// The promise line that says so.
        line: Option<u32>,
    },
    /// Not given, refused or withdrawn.
    #[error("status is one of given, refused, withdrawn")]
    UnknownStatus,
    /// A level that the purpose does not have.
    #[error("this purpose has no such level")]
    UnknownLevel {
        /// The promise line that lists them.
        line: Option<u32>,
    },
    /// Nothing that the person could have read.
    #[error("send the exact words the person saw, at most {WORDS_BYTES_MAX} bytes")]
    NoWords,
    /// No language.
    #[error("send the language of the words, such as \"en\"")]
    NoLanguage,
    /// A notice that does not exist.
    #[error("noticeVersion is the version of the notice shown, from 1 to the newest announced")]
    UnknownNotice,
}

impl ConsentError {
    /// The word for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NoSubject => "no_subject",
            Self::NotYours => "not_yours",
            Self::SeveralPurposes => "several_purposes",
            Self::TickedBeforehand => "ticked_beforehand",
            Self::UnknownPurpose => "unknown_purpose",
            Self::NotAsked { .. } => "not_asked",
            Self::UnknownStatus => "unknown_status",
            Self::UnknownLevel { .. } => "unknown_level",
            Self::NoWords => "no_words",
            Self::NoLanguage => "no_language",
            Self::UnknownNotice => "unknown_notice",
        }
    }

    /// The promise line that decided, if one did.
    #[must_use]
    pub const fn line(&self) -> Option<u32> {
        match self {
            Self::NotAsked { line } | Self::UnknownLevel { line } => *line,
            _ => None,
        }
    }
}

/// Body of `POST /v1/consent`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(rename_all = "camelCase")]
pub struct ConsentBody {
    /// The browser's id, as it stands in its events.
    pub anonymous_id: Option<String>,
    /// The company's own id of the person; with a server key only.
    pub user_id: Option<String>,
    /// One purpose of the promise.
    #[schema(value_type = String)]
    pub purpose: Option<OneOrMore>,
    /// `given`, `refused` or `withdrawn`.
    pub status: Option<String>,
    /// How much, for a purpose with levels; missing means the fullest.
    pub level: Option<String>,
    /// The exact words the person saw.
    pub words: Option<String>,
    /// Language of the words (BCP 47).
    pub language: Option<String>,
    /// Version of the notice that was shown.
    pub notice_version: Option<u32>,
    /// Whether the box was ticked before the person touched it; `true` is refused.
    pub preset: Option<bool>,
    /// The key, when it does not come as Basic user name.
    pub write_key: Option<String>,
}

/// A purpose, or what is refused.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several at once.
    More(Vec<String>),
}

impl ConsentBody {
    /// Reads the JSON text.
    ///
    /// # Errors
    /// [`ConsentError::Malformed`].
    pub fn read(json: &str) -> Result<Self, ConsentError> {
        if !crate::wire::json::is_object(json) {
            return Err(ConsentError::Malformed("the body is not a JSON object".to_owned()));
        }
        // The parser's own words may quote a value; its place does not.
        let place = |error: serde_json::Error| format!("see line {}, column {}", error.line(), error.column());
        serde_json::from_str(json).map_err(|error| ConsentError::Malformed(place(error)))
    }

    /// What the vault is to record.
    ///
    /// # Errors
    /// [`ConsentError`].
    pub fn change(self, promise: &Promise, source: &Source, now: At) -> Result<ConsentChange, ConsentError> {
        let subject = subject(source, self.anonymous_id, self.user_id)?;
        if self.preset == Some(true) {
            return Err(ConsentError::TickedBeforehand);
        }
        let purpose = match &self.purpose {
            Some(OneOrMore::One(name)) => asked_purpose(promise, name)?,
            Some(OneOrMore::More(_)) => return Err(ConsentError::SeveralPurposes),
            None => return Err(ConsentError::UnknownPurpose),
        };
        let status = self.status.as_deref().and_then(ConsentStatus::parse).ok_or(ConsentError::UnknownStatus)?;
        if !matches!(status, ConsentStatus::Given | ConsentStatus::Refused | ConsentStatus::Withdrawn) {
            return Err(ConsentError::UnknownStatus);
        }
        if let Some(level) = &self.level
            && !purpose.levels.iter().any(|(known, _)| known == level)
        {
            return Err(ConsentError::UnknownLevel { line: promise.line("purpose", purpose.name.as_str()) });
        }
        let text = self.words.filter(|words| !words.trim().is_empty() && words.len() <= WORDS_BYTES_MAX);
        let language = self.language.filter(|tag| (2..=LANGUAGE_BYTES_MAX).contains(&tag.len()));
        let notices = 1..=promise.notice.version;
        Ok(ConsentChange {
            subject,
            source: Some(source.name.clone()),
            purpose: purpose.name.clone(),
            status,
            level: self.level,
            words: Words {
                text: text.ok_or(ConsentError::NoWords)?,
                language: language.ok_or(ConsentError::NoLanguage)?,
                answered_at: now,
            },
            method: if source.kind == SourceKind::Browser { Method::SiteForm } else { Method::Server },
            notice_version: self
                .notice_version
                .filter(|version| notices.contains(version))
                .ok_or(ConsentError::UnknownNotice)?,
            made_up: false,
        })
    }
}

fn asked_purpose<'p>(promise: &'p Promise, name: &str) -> Result<&'p Purpose, ConsentError> {
    let purpose = promise.purposes.get(name).ok_or(ConsentError::UnknownPurpose)?;
    match purpose.basis {
        Basis::Consent => Ok(purpose),
        Basis::Contract => Err(ConsentError::NotAsked { line: promise.line("purpose", name) }),
    }
}

fn subject(source: &Source, anonymous: Option<String>, user: Option<String>) -> Result<Subject, ConsentError> {
    if source.kind == SourceKind::Browser && user.is_some() {
        return Err(ConsentError::NotYours);
    }
    let identifier = |kind| {
        move |value: String| {
            let fits = (1..=IDENTIFIER_BYTES_MAX).contains(&value.len());
            fits.then_some(Identifier { kind, value }).ok_or(ConsentError::NoSubject)
        }
    };
    let user = user.map(identifier(IdentifierKind::User)).transpose()?;
    let anonymous = anonymous.map(identifier(IdentifierKind::Anonymous)).transpose()?;
    if user.is_none() && anonymous.is_none() {
        return Err(ConsentError::NoSubject);
    }
    Ok(Subject::Identifiers { user, anonymous })
}

/// Whose answers are asked for.
///
/// # Errors
/// [`ConsentError::NoSubject`], [`ConsentError::NotYours`].
pub fn whose(source: &Source, anonymous: Option<String>, user: Option<String>) -> Result<Identifier, ConsentError> {
    match subject(source, anonymous, user)? {
        Subject::Identifiers { user: Some(user), anonymous: None } => Ok(user),
        Subject::Identifiers { user: None, anonymous: Some(anonymous) } => Ok(anonymous),
        _ => Err(ConsentError::NoSubject),
    }
}

/// When an answer was given that was only kept until now; the program puts it beside the request.
#[derive(Debug, Clone, Copy)]
pub struct SaidAt(pub model::At);

/// Answer of `POST /v1/consent`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(rename_all = "camelCase")]
pub struct ConsentRecorded {
    /// Whether anything was stored: an unknown browser that says no leaves nothing.
    pub recorded: bool,
    /// Why nothing was stored.
    pub reason: Option<&'static str>,
    /// The purpose.
    pub purpose: String,
    /// The answer.
    pub status: &'static str,
    /// How much.
    pub level: Option<String>,
    /// When it was given.
    pub at: String,
    /// Version of the notice that was shown.
    pub notice_version: u32,
    /// Id of the ledger entry (`con_…`).
    pub consent_id: Option<String>,
    /// The signed receipt (flattened JWS) that the person keeps; `fineline audit verify` checks it.
    #[schema(value_type = Option<Object>)]
    pub receipt: Option<serde_json::Value>,
}

impl ConsentRecorded {
    /// Tells what became of a change.
    #[must_use]
    pub fn of(change: &ConsentChange, answer: &ConsentAnswer) -> Self {
        let receipt = answer.receipt.as_deref().and_then(|receipt| serde_json::from_str(receipt).ok());
        let nothing = answer.consent.is_none();
        Self {
            recorded: !nothing,
            reason: answer.refusal.map(vault::OutcomeReason::as_str).or(nothing.then_some("nothing_to_withdraw")),
            purpose: change.purpose.as_str().to_owned(),
            status: change.status.as_str(),
            level: change.level.clone(),
            at: change.words.answered_at.to_string(),
            notice_version: change.notice_version,
            consent_id: answer.consent.map(|id| id.to_string()),
            receipt,
        }
    }
}

/// Answer of `GET /v1/consent`: how somebody stands to each purpose that asks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConsentState {
    /// By name of the purpose.
    pub purposes: BTreeMap<String, PurposeState>,
}

/// How somebody stands to one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(rename_all = "camelCase")]
pub struct PurposeState {
    /// `unknown` when nobody asked.
    pub status: &'static str,
    /// How much.
    pub level: Option<String>,
    /// Since when.
    pub at: Option<String>,
    /// Version of the notice that was shown.
    pub notice_version: Option<u32>,
    /// What the purpose is, word for word.
    pub says: String,
}

/// Reads somebody's answers through their own page's right of access: what they said, and nothing else.
#[must_use]
pub fn state(snapshot: &Snapshot, promise: &Promise, whose: &Identifier) -> ConsentState {
    let latest = latest(snapshot, promise, whose);
    let asked = promise.purposes.values().filter(|purpose| purpose.basis == Basis::Consent);
    let row = |purpose: &Purpose| {
        let entry = latest.get(&purpose.name);
        let state = PurposeState {
            status: entry.map_or(ConsentStatus::Unknown, |entry| entry.status).as_str(),
            level: entry.and_then(|entry| entry.level.clone()),
            at: entry.map(|entry| entry.words.answered_at.to_string()),
            notice_version: entry.map(|entry| entry.notice_version),
            says: purpose.says.clone(),
        };
        (purpose.name.as_str().to_owned(), state)
    };
    ConsentState { purposes: asked.map(row).collect() }
}

fn latest(snapshot: &Snapshot, promise: &Promise, whose: &Identifier) -> BTreeMap<PurposeName, LedgerEntry> {
    let mut latest: BTreeMap<PurposeName, LedgerEntry> = BTreeMap::new();
    let portal = promise.artefact(ArtefactKind::Page, Artefact::PORTAL);
    let (Some(person), Some(portal)) = (snapshot.find(whose), portal) else { return latest };
    let Ok(permit) = snapshot.permit(person, portal.id) else { return latest };
    for entry in permit.ledger().unwrap_or_default() {
        let entry = entry.reveal();
        let known = latest.get(&entry.purpose).map(|known| (known.words.answered_at, known.id));
        if known.is_none_or(|known| known < (entry.words.answered_at, entry.id)) {
            latest.insert(entry.purpose.clone(), entry.clone());
        }
    }
    latest
}
