//! `/privacy/me/messages`: each decision about the person, its message, and why. Nothing here is chosen anew; it shows the
//! trace.

use crate::copy::{MessageCopy, PersonCopy};
use crate::frame::Frame;
use askama::Template;

/// Decisions on the page; the copy has them all.
pub(crate) const MESSAGES_SHOWN: usize = 20;

/// `/privacy/me/messages`
#[derive(Template)]
#[template(path = "messages.html")]
pub(crate) struct MessagesPage {
    pub(crate) frame: Frame,
    pub(crate) messages: Vec<MessageCopy>,
    pub(crate) n_more: usize,
}

impl MessagesPage {
    pub(crate) fn new(frame: Frame, copy: PersonCopy) -> Self {
        let n_more = copy.messages.len().saturating_sub(MESSAGES_SHOWN);
        Self { frame, messages: copy.messages.into_iter().take(MESSAGES_SHOWN).collect(), n_more }
    }
}
