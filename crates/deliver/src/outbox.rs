//! The outbox, emptied at our pace: what is due is tried, and each try ends in exactly one named outcome.
//!
//! [`step`] takes a bounded number of due messages and sends them over at most [`CONNECTIONS_MAX`] connections. Per message:
//! the vault commits an attempt → address and trace are read under the campaign's permit → the mail is composed and signed →
//! MAIL, RCPT, look, DATA → the end is written back.
//!
//! **At most once.** The attempt is on disk before DATA begins. When this process dies, or the relay falls silent, after
//! the text has gone, nobody knows whether the relay took it: the message ends as `unknown` and is never sent again. A
//! second copy would break the cap and the person's trust; a lost offer breaks nothing. It counts under the cap as if it had
//! arrived. (The vault shows an attempt without an end as due again after ten minutes, and ends it when it is begun again.)
//! So let a step finish; do not drop it half-way.
//!
//! **A relay that is down** costs no attempt: the connection comes first. It is then left alone for a minute, two, four … up
//! to two hours, and so is a message that it put off. What could not be sent for [`LIFE_MS`] ends as `gave_up`.
//!
//! It does not choose what is due, does not judge, and keeps nothing but how long the relay is to rest.

#[cfg(test)]
mod tests;

use crate::DeliverError;
use crate::dkim::Signer;
use crate::egress::{CONNECTIONS_MAX, Connection, Handover, Relay, RelayFault};
use crate::mail::reminder::{self, Reminder, Yes};
use crate::mail::{Letter, Mail, MailError, compose, where_from};
use crate::recipient::recipients;
use crate::sender::Sender;
use model::{ArtefactId, At, FactName, Kind, Value};
use promise::{Artefact, Promise, Refusal, RefusalReason};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vault::{Attempt, AttemptEnd, OutboxEntry, REMINDER_TITLE, UNKNOWN, Vault, VaultError};

/// Messages that one step takes, at most.
pub const BUDGET_MAX: usize = 500;

/// Shortest rest after a failure, in milliseconds: one minute.
pub const REST_MS_MIN: i64 = 60_000;

/// Longest rest after a failure, in milliseconds: two hours.
pub const REST_MS_MAX: i64 = 2 * 3_600_000;

/// A message that could not be sent for this long is given up, in milliseconds: 24 hours.
pub const LIFE_MS: i64 = 24 * 3_600_000;

/// How often, and how far apart, the end of an attempt is offered to a vault that is busy.
const FINISH_TRIES_MAX: u32 = 100;
const FINISH_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait after the `n`-th failure in a row, from 1: 1, 2, 4 … 120 minutes.
#[must_use]
pub fn rest_ms(n: u32) -> i64 {
    let doublings = n.saturating_sub(1).min(16);
    (REST_MS_MIN << doublings).min(REST_MS_MAX)
}

/// Whether a message has been waiting to be sent for [`LIFE_MS`]: the rests behind it, and the time since it was due again.
fn is_given_up(entry: &OutboxEntry, now: At) -> bool {
    let rested: i64 = (1..=entry.n_attempts.min(100)).map(rest_ms).sum();
    rested + (now.ms() - entry.due_at.ms()) >= LIFE_MS
}

/// The company, its signature and its relay: everything that sending needs besides the vault.
#[derive(Debug)]
pub struct Mailer {
    sender: Sender,
    signer: Signer,
    relay: Relay,
    rest: Mutex<Option<Rest>>,
}

/// The relay is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Why.
    pub fault: RelayFault,
    /// Until when.
    pub until: At,
    /// Faults in a row.
    pub n_faults: u32,
}

impl Mailer {
    /// Puts the three together.
    ///
    /// # Errors
    /// [`DeliverError::Alignment`] when the signature is not of the sender's domain or one above it.
    pub fn new(sender: Sender, signer: Signer, relay: Relay) -> Result<Self, DeliverError> {
        let from = sender.domain().to_ascii_lowercase();
        let signs = signer.domain().to_ascii_lowercase();
        let is_aligned = from.strip_suffix(&signs).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if !is_aligned {
            return Err(DeliverError::Alignment { from, signer: signs });
        }
        Ok(Self { sender, signer, relay, rest: Mutex::new(None) })
    }

    /// The relay, for the register of recipients and for `doctor`.
    #[must_use]
    pub const fn relay(&self) -> &Relay {
        &self.relay
    }

    /// What is published in the DNS, for `doctor`.
    #[must_use]
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Why and until when the relay is left alone; `None` while it works.
    #[must_use]
    pub fn rest(&self) -> Option<Rest> {
        *self.rest_lock()
    }

    fn rest_lock(&self) -> MutexGuard<'_, Option<Rest>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_resting(&self, now: At) -> bool {
        self.rest().is_some_and(|rest| now < rest.until)
    }

    fn note_fault(&self, fault: RelayFault, now: At) {
        let mut rest = self.rest_lock();
        // Connections that break together are one fault, not four.
        if rest.is_some_and(|rest| now < rest.until) {
            return;
        }
        let n_faults = rest.map_or(0, |rest| rest.n_faults).saturating_add(1);
        let pause_ms = rest_ms(n_faults);
        *rest = Some(Rest { fault, until: now.plus_ms(pause_ms), n_faults });
        drop(rest);
        #[expect(clippy::cast_precision_loss, reason = "at most two hours")]
        metrics::gauge!("fineline_deliver_relay_rest_seconds").set(pause_ms as f64 / 1_000.0);
        tracing::warn!(fault = fault.as_str(), n_faults, pause_s = pause_ms / 1_000, "the mail relay is left alone");
    }

    fn note_success(&self) {
        if self.rest_lock().take().is_some() {
            metrics::gauge!("fineline_deliver_relay_rest_seconds").set(0.0);
            tracing::info!("the mail relay works again");
        }
    }
}

/// Why a step left due messages where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The relay is left alone.
    Resting(Rest),
    /// The relay does not stand in the register of recipients, or its last day has passed.
    NotRegistered,
    /// The vault has its hands full.
    Busy,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Tries by outcome word: "sent", "relay_down", "address_refused", "gave_up", "withdrawn", …
    pub ended: BTreeMap<&'static str, u64>,
    /// Due messages left where they are.
    pub n_left: usize,
    /// Why they were left.
    pub stopped: Option<Stop>,
    /// The budget was used up: more may be due now.
    pub is_more: bool,
}

impl Progress {
    /// Mails that the relay took.
    #[must_use]
    pub fn n_sent(&self) -> u64 {
        self.ended.get("sent").copied().unwrap_or(0)
    }
}

/// Sends what is due, at most `budget` messages ([`BUDGET_MAX`]). One step at a time; let it finish.
///
/// # Errors
/// [`DeliverError::Vault`] when the vault is closed or damaged, [`DeliverError::Recipient`] when the register is. What
/// becomes of a message is its outcome, not an error.
pub async fn step(vault: &Vault, mailer: &Mailer, budget: usize) -> Result<Progress, DeliverError> {
    let budget = budget.min(BUDGET_MAX);
    let (due, is_registered) = {
        let snapshot = vault.snapshot();
        let relay = mailer.relay.recipient();
        let today = snapshot.now().day();
        let registered = recipients(&snapshot)?;
        let is_registered = registered.iter().any(|known| known.name == relay.name && known.is_in_force(today));
        (snapshot.outbox_due(budget)?, is_registered)
    };
    let is_more = !due.is_empty() && due.len() == budget;
    let round = Round {
        vault,
        mailer,
        state: Mutex::new(State { due: due.into(), progress: Progress { is_more, ..Progress::default() } }),
    };
    let mut first = None;
    if !is_registered {
        round.stop(Stop::NotRegistered);
    } else if mailer.is_resting(vault.now()) {
        round.stop_resting();
    } else if round.has_something_to_send() {
        first = round.connect().await;
    }
    // On the heap: four conversations would make every future that holds a step large.
    let worker = |n: usize, first| Box::pin(round.work(n, first));
    let ends = tokio::join!(worker(0, first), worker(1, None), worker(2, None), worker(3, None));
    for end in <[Result<(), VaultError>; CONNECTIONS_MAX]>::from(ends) {
        end?;
    }
    let State { due, mut progress } = round.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    progress.n_left += due.len();
    Ok(progress)
}

/// One step at work: what is still to be done, shared by its connections.
struct Round<'a> {
    vault: &'a Vault,
    mailer: &'a Mailer,
    state: Mutex<State>,
}

struct State {
    due: VecDeque<OutboxEntry>,
    progress: Progress,
}

impl Round<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, stop: Stop) {
        self.lock().progress.stopped.get_or_insert(stop);
    }

    fn stop_resting(&self) {
        if let Some(rest) = self.mailer.rest() {
            self.stop(Stop::Resting(rest));
        }
    }

    fn fault(&self, fault: RelayFault) {
        self.mailer.note_fault(fault, self.vault.now());
        self.stop_resting();
    }

    fn has_something_to_send(&self) -> bool {
        self.lock().due.iter().any(|entry| self.last_word(entry).is_none())
    }

    /// Why a message is not sent any more, if so: an earlier try has no end, or it has waited too long.
    fn last_word(&self, entry: &OutboxEntry) -> Option<&'static str> {
        if entry.is_left_open {
            return Some(UNKNOWN);
        }
        is_given_up(entry, self.vault.now()).then_some("gave_up")
    }

    fn count(&self, outcome: &'static str) {
        metrics::counter!("fineline_deliver_attempts_total", "outcome" => outcome).increment(1);
        *self.lock().progress.ended.entry(outcome).or_default() += 1;
    }

    async fn connect(&self) -> Option<Connection> {
        let connection = self.mailer.relay.connect().await;
        let outcome = connection.as_ref().map_or_else(|fault| fault.as_str(), |_| "open");
        metrics::counter!("fineline_deliver_connections_total", "outcome" => outcome).increment(1);
        connection.map_err(|fault| self.fault(fault)).ok()
    }

    /// One connection's work: message after message until nothing is left or the relay has to rest. What is to be given up
    /// needs no relay.
    async fn work(&self, n: usize, mut connection: Option<Connection>) -> Result<(), VaultError> {
        while n < self.mailer.relay.connections() {
            let (entry, is_stopped) = {
                let mut state = self.lock();
                let Some(entry) = state.due.pop_front() else { break };
                (entry, state.progress.stopped.is_some())
            };
            if let Some(why) = self.last_word(&entry) {
                self.try_once(&entry, Try::End(why)).await?;
                continue;
            }
            if let Some(used) = connection.take_if(|connection| is_stopped || !connection.is_usable()) {
                used.close().await;
            }
            if connection.is_none() && !is_stopped {
                connection = self.connect().await;
            }
            match connection.as_mut() {
                Some(connection) => self.try_once(&entry, Try::Send(connection)).await?,
                None => self.lock().progress.n_left += 1,
            }
        }
        if let Some(connection) = connection {
            connection.close().await;
        }
        Ok(())
    }

    /// One try: committed, made, ended.
    async fn try_once(&self, entry: &OutboxEntry, how: Try<'_>) -> Result<(), VaultError> {
        let begun = match self.vault.begin_attempt(entry.message) {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        let attempt = match begun {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(not_begun)) => {
                self.count(not_begun.as_str());
                return Ok(());
            }
            Err(VaultError::Busy) => {
                self.stop(Stop::Busy);
                self.lock().progress.n_left += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let end = match how {
            Try::Send(connection) => self.attempt(entry, &attempt, connection).await,
            Try::End(why) => AttemptEnd::Failed { why },
        };
        self.count(word(&end));
        self.finish(attempt, end).await
    }

    async fn attempt(&self, entry: &OutboxEntry, attempt: &Attempt, connection: &mut Connection) -> AttemptEnd {
        let token = match self.vault.message_token(entry.decision) {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        let token = match token {
            Ok(Some(token)) => token,
            Ok(None) => return AttemptEnd::Failed { why: "decision_gone" },
            Err(_) => return self.later("house_busy", attempt),
        };
        let mail = match self.write(entry, attempt, &token) {
            Ok(mail) => mail,
            Err(Unwritten::Refused(refusal)) => return AttemptEnd::Refused(refusal),
            Err(Unwritten::Failed(why)) => return AttemptEnd::Failed { why },
        };
        let Ok(mail) = mail.signed(&self.mailer.signer, self.vault.now()) else {
            return self.later("not_signed", attempt);
        };
        let look = || self.vault.look(attempt.person, attempt.consent_seq);
        let handover = connection.hand_over(&mail, look).await;
        if !matches!(handover, Handover::Fault(_) | Handover::Unknown) {
            self.mailer.note_success();
        }
        match handover {
            Handover::Taken => AttemptEnd::Sent,
            Handover::Stopped(refusal) => AttemptEnd::Refused(refusal),
            Handover::Later => self.later("put_off", attempt),
            Handover::AddressRefused => AttemptEnd::Failed { why: "address_refused" },
            Handover::MessageRefused => AttemptEnd::Failed { why: "message_refused" },
            Handover::Unknown => {
                self.fault(RelayFault::Down);
                AttemptEnd::Unknown
            }
            Handover::Fault(fault) => {
                self.fault(fault);
                self.later(fault.as_str(), attempt)
            }
        }
    }

    fn later(&self, why: &'static str, attempt: &Attempt) -> AttemptEnd {
        AttemptEnd::Later { why, at: self.vault.now().plus_ms(rest_ms(attempt.n)) }
    }

    /// Reads address and trace under the campaign's permit and makes the mail. No snapshot lives longer than this.
    fn write(&self, entry: &OutboxEntry, attempt: &Attempt, token: &str) -> Result<Mail, Unwritten> {
        let snapshot = self.vault.snapshot();
        let promise = snapshot.promise();
        let permit = snapshot.permit(entry.person, entry.artefact)?;
        if permit.consent_seq() != attempt.consent_seq {
            return Err(Refusal::because(RefusalReason::ChangedMeanwhile).into());
        }
        let name = address_field(promise, entry.artefact).ok_or(Refusal::because(RefusalReason::NoAddress))?;
        let address = permit.fact(&name)?.ok_or(Refusal::because(RefusalReason::NoAddress))?;
        let address = address.reveal();
        let Value::Text(to) = &address.value else { return Err(Unwritten::Failed("address_unreadable")) };
        let fault = |error| match error {
            MailError::Address => Unwritten::Failed("address_unreadable"),
            _ => UNFIT,
        };
        if promise.artefacts().get(&entry.artefact).is_some_and(Artefact::is_reminder) {
            let shared = permit.shared()?;
            let yeses: Vec<Yes> = shared.iter().map(|yes| Yes::new(promise, yes.reveal())).collect();
            let reminder = Reminder {
                message: entry.message,
                at: self.vault.now(),
                to,
                address_from: &where_from(promise, address),
                title: REMINDER_TITLE,
                yeses: &yeses,
                token,
            };
            return reminder::compose(&self.mailer.sender, &reminder).map_err(fault);
        }
        let decision = snapshot.decision(&permit, entry.decision)?.ok_or(Unwritten::Failed("decision_gone"))?;
        permit.still_holds(entry.decision)?;
        let trace = decision.trace.reveal();
        let offer = decision.offer.as_ref().and_then(|name| promise.offers.get(name)).ok_or(UNFIT)?;
        // A subject shows on locked screens: the title is said as reviewed, and one with slots is not said at all.
        let [title, ..] = &trace.texts;
        if title.contains('{') {
            return Err(UNFIT);
        }
        let letter = Letter {
            message: entry.message,
            at: self.vault.now(),
            to,
            address_from: &where_from(promise, address),
            title,
            says: &trace.says().ok_or(UNFIT)?,
            code: trace.slots.get("code").map(String::as_str),
            link: &offer.link,
            why: &trace.why().ok_or(UNFIT)?,
            token,
        };
        compose(&self.mailer.sender, &letter).map_err(fault)
    }

    /// Writes the end back. The try has happened, so a busy vault is asked again; what stays without an end is ended as
    /// unknown when a later step begins it again.
    async fn finish(&self, attempt: Attempt, end: AttemptEnd) -> Result<(), VaultError> {
        for _ in 0..FINISH_TRIES_MAX {
            match self.vault.finish_attempt(attempt, end.clone()) {
                Ok(pending) => match pending.await {
                    // The database was away: writing the same end twice is writing it once.
                    Err(VaultError::Away { .. }) => tokio::time::sleep(FINISH_PAUSE).await,
                    ended => return ended,
                },
                Err(VaultError::Busy) => tokio::time::sleep(FINISH_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        Err(VaultError::Busy)
    }
}

/// What a try is for.
enum Try<'c> {
    /// To hand the mail over.
    Send(&'c mut Connection),
    /// To end the message for this reason; nothing leaves.
    End(&'static str),
}

/// Why no mail could be made.
#[derive(Debug, Clone)]
enum Unwritten {
    Refused(Refusal),
    Failed(&'static str),
}

/// The reviewed texts and the trace do not make a mail together.
const UNFIT: Unwritten = Unwritten::Failed("message_unfit");

impl From<Refusal> for Unwritten {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The declared field that holds an address and that this campaign may read.
fn address_field(promise: &Promise, campaign: ArtefactId) -> Option<FactName> {
    let reads = &promise.artefacts().get(&campaign)?.terms.reads;
    let mut addresses = promise.fields.values().filter(|field| field.kind == Kind::Email);
    let field = addresses.find(|field| reads.contains(field.name.as_str()))?;
    Some(FactName::Field(field.name.clone()))
}

fn word(end: &AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Sent => "sent",
        AttemptEnd::Unknown => UNKNOWN,
        AttemptEnd::Later { why, .. } | AttemptEnd::Failed { why } => why,
        AttemptEnd::Refused(refusal) => refusal.reason.as_str(),
    }
}
