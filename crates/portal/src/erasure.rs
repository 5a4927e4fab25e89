//! `/privacy/me/erase` and the page that is left after it. It says what happens, what stays and by when, and claims only
//! what the receipt says. From that page the person takes an erasure within a day back.

use crate::frame::Frame;
use crate::session::Receipt;
use crate::words::When;
use askama::Template;
use vault::Erasure;

/// `/privacy/me/erase`
#[derive(Template)]
#[template(path = "erase.html")]
pub(crate) struct ErasePage {
    pub(crate) frame: Frame,
    pub(crate) csrf: String,
    /// The day on which the last hold on the person's data ends.
    pub(crate) held_until: Option<String>,
}

/// `/privacy/gone/{one-time}`
#[derive(Template)]
#[template(path = "erased.html")]
pub(crate) struct ErasedPage {
    pub(crate) frame: Frame,
    pub(crate) secret: String,
    pub(crate) gone_on: String,
    pub(crate) can_undo: bool,
    pub(crate) receipt: Receipt,
}

/// After `/privacy/gone/{one-time}/undo`
#[derive(Template)]
#[template(path = "undone.html")]
pub(crate) struct UndonePage {
    pub(crate) frame: Frame,
    pub(crate) request: String,
    /// Why not; `None` = it is done.
    pub(crate) sorry: Option<String>,
}

/// `/privacy/requests/{req_…}`: how an erasure stands, for whoever has its number.
#[derive(Template)]
#[template(path = "request.html")]
pub(crate) struct RequestPage {
    pub(crate) frame: Frame,
    pub(crate) request: String,
    pub(crate) asked_on: String,
    pub(crate) gone_on: String,
    pub(crate) taken_back: bool,
    pub(crate) recipients: Vec<RecipientRow>,
    pub(crate) says: Vec<String>,
}

/// One recipient on that page.
pub(crate) struct RecipientRow {
    pub(crate) who: String,
    pub(crate) state: &'static str,
    pub(crate) is_over: bool,
    pub(crate) why: Option<String>,
    pub(crate) on: String,
}

impl RequestPage {
    pub(crate) fn new(frame: Frame, view: vault::ErasureView) -> Self {
        let row = |told: &vault::RecipientTold| RecipientRow {
            who: told.who.clone(),
            state: told.state.as_str(),
            is_over: told.state != vault::Told::Waiting,
            why: told.why.as_deref().map(|why| why.replace('_', " ")),
            on: When(told.at).day(),
        };
        Self {
            frame,
            request: view.request.to_string(),
            asked_on: When(view.asked_at).minute(),
            gone_on: When(view.unrecoverable_on.start()).day(),
            taken_back: view.taken_back_at.is_some(),
            recipients: view.recipients.iter().map(row).collect(),
            says: view.says,
        }
    }
}

impl ErasedPage {
    pub(crate) fn new(frame: Frame, secret: String, receipt: Receipt) -> Self {
        Self {
            frame,
            secret,
            gone_on: When(receipt.unrecoverable_on.start()).day(),
            can_undo: receipt.how == Erasure::WithinADay,
            receipt,
        }
    }
}

/// Reads the form's answer.
pub(crate) fn parse(when: &str) -> Option<Erasure> {
    match when {
        "day" => Some(Erasure::WithinADay),
        "now" => Some(Erasure::Now),
        _ => None,
    }
}
