//! One request's events through the gate: minimise, hand to the vault, wait for the sync, say what became of each. Every
//! event ends in exactly one word with a reason: on the live page and in the counters, without values.

use crate::live::{Cut, LiveWord, Seen};
use crate::minimise::{Gate, Minimised};
use crate::wire::{Calls, Unfit, WireError};
use crate::{EVENTS_TOTAL, State};
use model::SourceName;
use promise::{Source, SourceKind};
use vault::{Intake, Join, Outcome, OutcomeReason, Subject, Urgency};

/// An event between gate and vault.
struct Passing {
    event: String,
    cut: Vec<Cut>,
    end: End,
}

enum End {
    /// Refused here.
    Refused(OutcomeReason),
    /// The vault answers, in order; then perhaps two ids are tied together.
    Asked(Option<Join>),
    /// Ties two ids together.
    Joined(Join),
}

impl State {
    /// Takes the events of one request from one source. Returns after the vault's sync.
    ///
    /// # Errors
    /// [`WireError`] when nothing was taken.
    pub async fn take(&self, calls: Calls<'_>, source: &Source, is_gpc: bool) -> Result<(), WireError> {
        let now = self.vault.now();
        let gate = Gate { promise: &self.promise, source, now, is_gpc, rng: &*self.rng };
        if let (true, Some(Err(unfit))) = (calls.is_single, calls.calls.first()) {
            return Err(unfit.into_error());
        }
        let mut passing = Vec::with_capacity(calls.calls.len());
        let mut intakes: Vec<Intake> = Vec::with_capacity(calls.calls.len());
        for call in &calls.calls {
            let call = match call {
                Ok(call) => call,
                Err(unfit) => {
                    let end = End::Refused(unfit.reason());
                    passing.push(Passing { event: String::new(), cut: Vec::new(), end });
                    continue;
                }
            };
            let (minimised, cut) = gate.minimise(call);
            if let Minimised::Take(intake) = &minimised {
                self.within_quota(source, intake)?;
            }
            let end = match minimised {
                Minimised::Refuse(reason) => End::Refused(reason),
                Minimised::Join(join) => End::Joined(join),
                Minimised::Take(intake) => {
                    intakes.push(*intake);
                    End::Asked(gate.tie(call))
                }
            };
            passing.push(Passing { event: call.name.clone(), cut, end });
        }
        // An empty hand-over would wait for a sync of nothing.
        let vault = self.vault.of(match source.kind {
            SourceKind::Server => Urgency::Server,
            SourceKind::Browser => Urgency::Browser,
            SourceKind::Import => Urgency::Background,
        });
        let outcomes = if intakes.is_empty() { Vec::new() } else { vault.take(intakes)?.await? };
        let mut outcomes = outcomes.into_iter();
        for Passing { event, cut, end } in passing {
            let (word, reason, line) = match end {
                End::Refused(reason) => (LiveWord::Refused, Some(reason.as_str()), None),
                End::Asked(tie) => {
                    if let Some(join) = tie {
                        // A tie to somebody of whom nothing may be kept is refused, and that is all right.
                        let _ = self.vault.join(join)?.await?;
                    }
                    of_outcome(outcomes.next(), &cut)
                }
                End::Joined(join) => match self.vault.join(join)?.await? {
                    Ok(()) => (LiveWord::Taken, None, None),
                    Err(refusal) => (LiveWord::Refused, Some(refusal.reason.as_str()), refusal.line),
                },
            };
            self.say(&source.name, event, word, reason, line, cut);
        }
        Ok(())
    }

    /// Whether one person or browser stays within what one does; else nothing of the request is taken.
    fn within_quota(&self, source: &Source, intake: &Intake) -> Result<(), WireError> {
        let Subject::Identifiers { user, anonymous } = &intake.subject else { return Ok(()) };
        let Some(identifier) = user.as_ref().or(anonymous.as_ref()) else { return Ok(()) };
        let caller = [source.name.as_str().as_bytes(), &[0], identifier.value.as_bytes()].concat();
        self.subjects.take(&caller, 1, self.vault.ticks()).map_err(|_| WireError::TooMany)
    }

    fn say(
        &self,
        source: &SourceName,
        event: String,
        word: LiveWord,
        reason: Option<&'static str>,
        line: Option<u32>,
        cut: Vec<Cut>,
    ) {
        let source_label = source.as_str().to_owned();
        metrics::counter!(EVENTS_TOTAL, "source" => source_label, "outcome" => word.as_str(), "reason" => reason.unwrap_or("none"))
            .increment(1);
        let at = self.vault.now();
        self.live.note(Seen { seq: 0, at, source: source.clone(), event, word, reason, line, cut });
    }
}

fn of_outcome(outcome: Option<Outcome>, cut: &[Cut]) -> (LiveWord, Option<&'static str>, Option<u32>) {
    match outcome {
        Some(Outcome::Kept { .. }) if cut.is_empty() => (LiveWord::Taken, None, None),
        Some(Outcome::Kept { .. }) => (LiveWord::Trimmed, None, None),
        Some(Outcome::Repeated) => (LiveWord::Repeated, None, None),
        Some(Outcome::Refused { reason, line }) => (LiveWord::Refused, Some(reason.as_str()), line),
        // The vault answers once per event; a missing answer is told as one that was not stored.
        None => (LiveWord::Refused, Some(OutcomeReason::Malformed.as_str()), None),
    }
}

impl Unfit {
    const fn reason(self) -> OutcomeReason {
        match self {
            Self::TooLarge => OutcomeReason::TooLarge,
            Self::Malformed => OutcomeReason::Malformed,
        }
    }

    const fn into_error(self) -> WireError {
        match self {
            Self::TooLarge => WireError::TooLarge {
                what: "the event",
                limit: "32 KB, 16 levels, 4,096 values, 255 properties, or 512 bytes in an id",
            },
            Self::Malformed => WireError::Malformed("this is not an event of the Segment spec"),
        }
    }
}
