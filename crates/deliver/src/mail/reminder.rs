//! The yearly reminder: what somebody shares, until when, and one tap to keep it, to lessen it or to stop it. It sells nothing
//! and tells no value.
//!
//! It does not decide who is reminded, nor when (the vault does).

use super::{Envelope, Mail, MailError, assemble, message_page};
use crate::sender::Sender;
use askama::Template;
use model::{At, Day, MessageId, PurposeName};
use promise::Promise;
use vault::SharedView;

/// What is said to one person. `Debug` redacts.
pub struct Reminder<'a> {
    /// The message.
    pub message: MessageId,
    /// When this try was made.
    pub at: At,
    /// To which address.
    pub to: &'a str,
    /// Where that address came from.
    pub address_from: &'a str,
    /// Subject and headline.
    pub title: &'a str,
    /// Each yes.
    pub yeses: &'a [Yes],
    /// Opens the page of this message.
    pub token: &'a str,
}

/// One yes in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yes {
    /// What it is for, word for word as agreed to.
    pub says: String,
    /// Since which day.
    pub since: String,
    /// On which day it ends if nothing is heard of the person.
    pub ends: Option<String>,
    /// What of them is used for it, by name.
    pub uses: String,
}

impl std::fmt::Debug for Reminder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reminder({})", self.message)
    }
}

impl Yes {
    /// The words of one yes, from the promise.
    #[must_use]
    pub fn new(promise: &Promise, shared: &SharedView) -> Self {
        let day = |day: Day| vault::trace::day_in_words(day);
        let says = promise.purposes.get(&shared.purpose).map(|purpose| purpose.says.clone()).unwrap_or_default();
        Self {
            says,
            since: day(shared.since.day()),
            ends: shared.lapses_at.map(|at| day(at.day())),
            uses: uses(promise, &shared.purpose),
        }
    }
}

/// "email, zone, “Order Completed”".
fn uses(promise: &Promise, purpose: &PurposeName) -> String {
    let fields = promise.fields.values().filter(|field| field.retention.purposes.contains(purpose));
    let fields = fields.map(|field| field.name.as_str().replace('_', " "));
    let events = promise.events.values().filter(|event| event.retention.purposes.contains(purpose));
    let events = events.map(|event| format!("“{}”", event.name));
    fields.chain(events).collect::<Vec<_>>().join(", ")
}

struct Links {
    page: String,
    keep: String,
    less: String,
    stop: String,
    address: String,
    privacy: String,
}

#[derive(Template)]
#[template(path = "reminder.txt")]
struct TextPart<'a> {
    reminder: &'a Reminder<'a>,
    sender: &'a Sender,
    links: &'a Links,
}

#[derive(Template)]
#[template(path = "reminder.html")]
struct HtmlPart<'a> {
    reminder: &'a Reminder<'a>,
    sender: &'a Sender,
    links: &'a Links,
}

/// Makes the bytes of one reminder. Same reminder, same bytes.
///
/// # Errors
/// [`MailError`].
pub fn compose(sender: &Sender, reminder: &Reminder<'_>) -> Result<Mail, MailError> {
    let page = message_page(sender, reminder.token)?;
    let links = Links {
        keep: format!("{page}#keep"),
        less: format!("{page}#less"),
        stop: format!("{page}#stop"),
        address: format!("{page}/address"),
        privacy: format!("{}/privacy", sender.base.as_str()),
        page,
    };
    let text = TextPart { reminder, sender, links: &links }.render().map_err(|_| MailError::Format)?;
    let html = HtmlPart { reminder, sender, links: &links }.render().map_err(|_| MailError::Format)?;
    let envelope = Envelope { message: reminder.message, at: reminder.at, to: reminder.to, title: reminder.title };
    assemble(sender, &envelope, None, text, html)
}
