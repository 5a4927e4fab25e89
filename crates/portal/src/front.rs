//! Pages for anybody: what the company collects, why and how long; the notice; the way in; the kind word when a link has
//! ended. All of it is generated from the promise in force. No page here reads about a person.

use crate::frame::Frame;
use crate::words::{self, When};
use askama::Template;
use promise::{Basis, Promise};
use promise::{HoldsOn, RemovalRecord, notice::Notice};

/// `/privacy`
#[derive(Template)]
#[template(path = "front.html")]
pub(crate) struct FrontPage {
    pub(crate) frame: Frame,
    pub(crate) purposes: Vec<PurposeRow>,
    pub(crate) kept: Vec<KeptRow>,
    pub(crate) recipes: Vec<String>,
    pub(crate) never: String,
    pub(crate) smallest_group: u32,
}

/// One reason for using data.
pub(crate) struct PurposeRow {
    pub(crate) says: String,
    /// No switch: the service needs it.
    pub(crate) needed: bool,
}

/// One thing that is kept.
pub(crate) struct KeptRow {
    pub(crate) what: String,
    pub(crate) from: String,
    pub(crate) length: String,
}

impl FrontPage {
    pub(crate) fn new(frame: Frame, promise: &Promise) -> Self {
        let fields = promise.fields.values().map(|field| KeptRow {
            what: words::label(field.name.as_str()),
            from: field.from.clone(),
            length: field.retention.in_words(),
        });
        let events = promise.events.values().map(|event| KeptRow {
            what: event.name.to_string(),
            from: "our shop".to_owned(),
            length: event.retention.in_words(),
        });
        let guess = promise.candidates.as_ref().map(|_| "Things you could like. We guess them from orders.".to_owned());
        Self {
            purposes: promise
                .purposes
                .values()
                .map(|purpose| PurposeRow { says: purpose.says.clone(), needed: purpose.basis == Basis::Contract })
                .collect(),
            kept: fields.chain(events).collect(),
            recipes: promise.traits.values().map(|plan| words::label(&plan.says)).chain(guess).collect(),
            never: words::list(&promise.guard.never_infer),
            smallest_group: promise.guard.smallest_group,
            frame,
        }
    }
}

/// `/privacy/notice`
#[derive(Template)]
#[template(path = "notice.html")]
pub(crate) struct NoticePage {
    pub(crate) frame: Frame,
    pub(crate) since: When,
    pub(crate) notice: Notice,
}

impl NoticePage {
    /// The notice of the promise in force, in its default language, with the holds that are on and what was measured.
    pub(crate) fn new(frame: Frame, promise: &Promise, holds: Option<HoldsOn>, record: Option<RemovalRecord>) -> Self {
        let notice = promise.notice_text(promise.languages.first().map_or("en", String::as_str));
        let notice = notice.with_record(holds, record);
        Self { frame, since: When(notice.starts.start()), notice }
    }
}

/// `/privacy/enter/{one-time}`
#[derive(Template)]
#[template(path = "enter.html")]
pub(crate) struct EnterPage {
    pub(crate) frame: Frame,
    pub(crate) secret: String,
}

/// What went wrong, kindly, and what to do next.
#[derive(Template)]
#[template(path = "sorry.html")]
pub(crate) struct SorryPage {
    pub(crate) frame: Frame,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    pub(crate) next: &'static str,
}

impl SorryPage {
    /// A link or page that is not there: the same words whether it never was, was used, or is too old.
    pub(crate) const fn gone(frame: Frame) -> Self {
        Self {
            frame,
            title: "This link has ended",
            text: "It was used already, it is too old, or a letter of it is missing.",
            next: "Open the newest message from us, or go through your account in our shop.",
        }
    }

    /// A form that was sent from elsewhere, or after its session had ended.
    pub(crate) const fn stale_form(frame: Frame) -> Self {
        Self {
            frame,
            title: "This form is too old",
            text: "Nothing was changed.",
            next: "Go back, load the page again, and try once more.",
        }
    }

    /// A form with something missing in it.
    pub(crate) const fn unclear(frame: Frame) -> Self {
        Self {
            frame,
            title: "We did not understand that",
            text: "Nothing was changed.",
            next: "Go back, load the page again, and try once more.",
        }
    }

    /// Something that may not be done.
    pub(crate) const fn refused(frame: Frame) -> Self {
        Self {
            frame,
            title: "We may not do that",
            text: "Your own choices, or our promise, say no to it. Nothing was changed.",
            next: "Look at your choices, or write to us.",
        }
    }

    /// The house is busy or closed.
    pub(crate) const fn busy(frame: Frame) -> Self {
        Self {
            frame,
            title: "One moment, please",
            text: "We could not do this just now. Nothing was changed.",
            next: "Please try again in a minute.",
        }
    }
}
