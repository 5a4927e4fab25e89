//! The way out: mails are composed, signed and handed to the one relay, and each ends in exactly one named outcome.
//!
//! The story of one mail: [`outbox::step`] takes what is due from the vault → the vault commits an attempt (wishes, cap and
//! quiet hours asked again) → address and trace are read under the campaign's permit → [`mail`] makes the text of it →
//! [`dkim`] signs the finished bytes → [`egress`] connects, MAIL, RCPT, **looks once more**, DATA → the end is written back.
//! [`recipient`] is the register of who else gets to see anything; [`call`] tells them when somebody was erased; [`sender`] is the company as it stands in a mail;
//! [`sink`] is the demo's inbox and the other side in tests.
//!
//! This room decides nothing: what is said stands in the decision's trace, whether it may be said is the vault's answer. It
//! records no opens and no clicks. It starts no task, binds no socket and makes no clock.
//!
//! To add one more channel: a module beside [`egress`] with its own recipient in the register, a call in [`outbox`] by the
//! decision's channel, its outcome words in [`METRICS`], a row in the list of sockets of the repository rules.

pub mod call;
pub mod dkim;
pub mod egress;
mod error;
pub mod mail;
pub mod outbox;
pub mod recipient;
pub mod sender;
pub mod sink;

pub use error::DeliverError;
pub use recipient::{Recipient, make_secrets, recipients};
pub use sender::{BaseUrl, Sender};

/// Names and meaning of this room's metrics. Labels are outcome words, never a person's or a message's.
pub const METRICS: &[(&str, &str)] = &[
    ("fineline_deliver_attempts_total", "tries at sending, by outcome word"),
    ("fineline_deliver_connections_total", "connections opened to the relay, by outcome word"),
    ("fineline_deliver_erase_calls_total", "calls that tell a recipient of an erasure, by outcome word"),
    ("fineline_deliver_relay_rest_seconds", "how long the relay is left alone after a fault; 0 = in use"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_metric_recorded_here_is_in_the_list() {
        let recorded: std::collections::BTreeSet<&str> = [include_str!("outbox.rs"), include_str!("call.rs")]
            .into_iter()
            .flat_map(|text| text.split('"'))
            .filter(|text| text.starts_with("fineline_deliver_"))
            .collect();
        let listed: std::collections::BTreeSet<&str> = super::METRICS.iter().map(|(name, _)| *name).collect();
        assert_eq!(recorded, listed);
    }
}
