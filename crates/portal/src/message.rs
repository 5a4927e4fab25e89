//! Pages behind the links of one message, opened by its token without a sign-in: why it came, the three ways to have
//! less of it, and where the address is from. They show the facts of that one message and no other, and an address only
//! by its first letter.

use crate::choice;
use crate::copy::{AnswerCopy, FactCopy, MessageCopy, StepCopy};
use crate::frame::Frame;
use crate::reader::{self, Reader};
use crate::words;
use askama::Template;
use model::{ConsentStatus, Kind, Method, PurposeName, Words};
use promise::{Artefact, Basis, Promise, Refusal};
use vault::{Permit, Reduction, SharedView, Snapshot, TokenTarget};

/// Where a stop is taken back: a yes needs its person.
pub(crate) const YES_AGAIN: &str = "You can say yes again on your own page. Open it through your account in our shop.";

/// What a person may do with one tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Less,
    UndoLess,
    NotThis,
    Stop,
    Keep,
}

/// `/m/{token}`
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct WhyPage {
    pub(crate) frame: Frame,
    pub(crate) token: String,
    /// The purpose's own words.
    pub(crate) says: String,
    /// When the person said yes to it, if they did.
    pub(crate) agreed_on: Option<String>,
    /// None when its 30 days are over.
    pub(crate) message: Option<MessageCopy>,
    /// What the choice of the item rests on.
    pub(crate) basis_words: Option<&'static str>,
    /// What "less often" leads to.
    pub(crate) less: String,
    pub(crate) can_turn_down: bool,
    /// In a reminder: each yes in its own words, and the day on which it ends by itself.
    pub(crate) reminds: Vec<(String, String)>,
    /// What "not this" names.
    pub(crate) thing: Option<String>,
}

/// One act, asked before it is done: for links that were opened by a tap in a mail.
#[derive(Template)]
#[template(path = "ask.html")]
pub(crate) struct AskPage {
    pub(crate) frame: Frame,
    pub(crate) token: String,
    pub(crate) ask: Ask,
}

/// The words of one act.
pub(crate) struct Ask {
    pub(crate) act: &'static str,
    pub(crate) title: &'static str,
    pub(crate) effect: String,
    pub(crate) button: &'static str,
}

/// One act, done: its effect, and the way back where there is one.
#[derive(Template)]
#[template(path = "done.html")]
pub(crate) struct DonePage {
    pub(crate) frame: Frame,
    pub(crate) token: String,
    pub(crate) title: &'static str,
    pub(crate) effect: String,
    pub(crate) more: Option<&'static str>,
    pub(crate) undo: Option<(&'static str, &'static str)>,
}

/// `/m/{token}/address`
#[derive(Template)]
#[template(path = "address.html")]
pub(crate) struct AddressPage {
    pub(crate) frame: Frame,
    pub(crate) token: String,
    pub(crate) address: Option<FactCopy>,
    pub(crate) answer: Option<AnswerCopy>,
}

impl Act {
    /// Reads the last part of the address.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "less" => Some(Self::Less),
            "undo-less" => Some(Self::UndoLess),
            "not-this" => Some(Self::NotThis),
            "stop" | "unsubscribe" => Some(Self::Stop),
            "keep" => Some(Self::Keep),
            _ => None,
        }
    }

    /// The words before it is done.
    pub(crate) fn ask(self, says: &str) -> Ask {
        match self {
            Self::Less => Ask {
                act: "less",
                title: "Fewer messages?",
                effect: "We write half as often as now. You can undo it.".to_owned(),
                button: "Less often",
            },
            Self::UndoLess => Ask {
                act: "undo-less",
                title: "Undo “less often”?",
                effect: "We write as often as before your tap. This works for an hour.".to_owned(),
                button: "Undo",
            },
            Self::NotThis => Ask {
                act: "not-this",
                title: "Not this?",
                effect: "You never get this offer from us again.".to_owned(),
                button: "Not this",
            },
            Self::Keep => Ask {
                act: "keep",
                title: "Keep it as it is?",
                effect: "Nothing changes. We know that you are still there.".to_owned(),
                button: "Keep it",
            },
            Self::Stop => Ask {
                act: "stop",
                title: "Stop these messages?",
                effect: format!("They stop at once. We take it as a no to: “{says}”"),
                button: "Stop these messages",
            },
        }
    }

    /// What the vault is asked to do; empty when there is nothing it could be done to. A message whose campaign is no
    /// longer declared stops everything that campaigns write for: of two readings the stricter one.
    pub(crate) fn reductions(self, snapshot: &Snapshot, target: TokenTarget, method: Method) -> Vec<Reduction> {
        match self {
            Self::Less => vec![Reduction::LessBy(target.made_for)],
            Self::UndoLess => vec![Reduction::UndoLessBy(target.made_for)],
            Self::NotThis => turned_down(snapshot, target).into_iter().collect(),
            Self::Keep => Vec::new(),
            Self::Stop => {
                let promise = snapshot.promise();
                let stop = |purpose: PurposeName| {
                    let text = stop_words(promise, &purpose);
                    let language = promise.languages.first().cloned().unwrap_or_else(|| "en".to_owned());
                    let words = Words { text, language, answered_at: snapshot.now() };
                    Reduction::Stop { purpose, words, method }
                };
                purposes(promise, target).into_iter().map(stop).collect()
            }
        }
    }
}

fn turned_down(snapshot: &Snapshot, target: TokenTarget) -> Option<Reduction> {
    let portal = reader::page(snapshot.promise(), Artefact::PORTAL).ok()?;
    let permit = snapshot.permit(target.person, portal).ok()?;
    let decision = snapshot.decision(&permit, target.made_for).ok()??;
    Some(Reduction::NotThis { offer: decision.offer?, item: decision.item })
}

/// The words under the button that stops a purpose, as they stand in the ledger.
fn stop_words(promise: &Promise, purpose: &PurposeName) -> String {
    format!("They stop at once. We take it as a no to: “{}” Stop these messages", words::purpose(promise, purpose))
}

/// Whether the message is the yearly reminder of what the person shares.
pub(crate) fn is_reminder(promise: &Promise, target: TokenTarget) -> bool {
    promise.artefacts().get(&target.artefact).is_some_and(Artefact::is_reminder)
}

/// The purposes that the message's campaign acts for.
fn purposes(promise: &Promise, target: TokenTarget) -> Vec<PurposeName> {
    let declared = promise.artefacts().get(&target.artefact).map(|artefact| &artefact.terms);
    let mut found: Vec<PurposeName> = match declared {
        // A reminder speaks of every yes.
        Some(_) if is_reminder(promise, target) => promise.purposes.keys().cloned().collect(),
        Some(terms) => terms.purposes().cloned().collect(),
        None => promise
            .campaigns
            .values()
            .filter_map(|campaign| promise.segments.get(&campaign.to))
            .map(|segment| segment.purpose.clone())
            .collect(),
    };
    found.retain(|purpose| promise.purposes.get(purpose).is_some_and(|plan| plan.basis == Basis::Consent));
    found.sort();
    found.dedup();
    found
}

/// The purposes of a message in the words people read.
pub(crate) fn says(promise: &Promise, target: TokenTarget) -> String {
    let says: Vec<String> = purposes(promise, target).iter().map(|purpose| words::purpose(promise, purpose)).collect();
    says.join(" ")
}

impl WhyPage {
    pub(crate) fn read(snapshot: &Snapshot, target: TokenTarget, token: String, frame: Frame) -> Result<Self, Refusal> {
        let promise = snapshot.promise();
        let permit = snapshot.permit(target.person, reader::page(promise, Artefact::PORTAL)?)?;
        let reader = Reader::masking(snapshot);
        let message = match target.decision {
            Some(decision) => snapshot.decision(&permit, decision)?.map(|view| reader.message(&view)),
            None => None,
        };
        let has_offer = snapshot.decision(&permit, target.made_for)?.is_some_and(|view| view.offer.is_some());
        Ok(Self {
            says: says(promise, target),
            agreed_on: agreed_on(&reader.answers(&permit)?, &purposes(promise, target)),
            basis_words: message.as_ref().and_then(|message| basis_words(message.basis)),
            less: choice::less(&reader.contact(&permit)),
            can_turn_down: has_offer,
            reminds: if is_reminder(promise, target) { reminds(promise, &permit)? } else { Vec::new() },
            thing: message.as_ref().and_then(|message| message.item_title.clone().or_else(|| message.title.clone())),
            message,
            token,
            frame,
        })
    }
}

/// Each yes in its own words, and the day on which it ends by itself.
fn reminds(promise: &Promise, permit: &Permit<'_>) -> Result<Vec<(String, String)>, Refusal> {
    let shared = permit.shared()?;
    let row = |yes: &SharedView| {
        let ends = yes.lapses_at.map_or_else(String::new, |at| words::When(at).day());
        (words::purpose(promise, &yes.purpose), ends)
    };
    Ok(shared.iter().map(|yes| row(yes.reveal())).collect())
}

/// The day of the newest yes to one of these purposes.
fn agreed_on(answers: &[AnswerCopy], purposes: &[PurposeName]) -> Option<String> {
    let of_these = |answer: &&AnswerCopy| purposes.iter().any(|purpose| purpose.as_str() == answer.purpose);
    let yes = answers.iter().filter(of_these).find(|answer| answer.status == ConsentStatus::Given.as_str());
    yes.map(|answer| answer.answered_at.day())
}

impl AddressPage {
    pub(crate) fn read(snapshot: &Snapshot, target: TokenTarget, token: String, frame: Frame) -> Result<Self, Refusal> {
        let promise = snapshot.promise();
        let permit = snapshot.permit(target.person, reader::page(promise, Artefact::PORTAL)?)?;
        let reader = Reader::masking(snapshot);
        let is_address = |fact: &FactCopy| promise.fact_kind(&fact.name) == Some(Kind::Email);
        let purposes = purposes(promise, target);
        let asked = |answer: &AnswerCopy| purposes.iter().any(|purpose| purpose.as_str() == answer.purpose);
        Ok(Self {
            address: reader.facts(&permit).into_iter().find(is_address),
            answer: reader.answers(&permit)?.into_iter().find(asked),
            token,
            frame,
        })
    }
}

pub(crate) const fn basis_words(basis: &str) -> Option<&'static str> {
    match basis.as_bytes() {
        b"purchase" => Some("We picked the thing itself because of one of your orders."),
        b"group" => Some("Too few people bought the same. So we used only the group it belongs to."),
        b"popular" => Some("We picked what many people buy. That says nothing about you."),
        b"stated" => Some("We picked it because of what you told us."),
        _ => None,
    }
}

impl StepCopy {
    /// One rule in plain words.
    pub(crate) fn in_words(&self) -> String {
        let rule = match self.rule.as_str() {
            "segment" => "Do the facts fit this campaign?",
            "hold_out" => "Are you among those we write to?",
            "cap" => "Is there room for one more message?",
            "quiet_hours" => "Is it outside your quiet hours?",
            "audience" => "Do enough people share this?",
            "placement" => "Is there an offer for this place?",
            "turned_down" => "Is there one that you did not turn down?",
            "sentence" => "Can we say why?",
            "item" => "Is there a thing that fits?",
            "address" => "Do we have an address?",
            "address_works" => "Does the address take our mail?",
            other => return format!("{}: {}", words::label(other), yes(self.passed)),
        };
        format!("{rule} {}", yes(self.passed))
    }
}

const fn yes(passed: bool) -> &'static str {
    if passed { "Yes." } else { "No." }
}
