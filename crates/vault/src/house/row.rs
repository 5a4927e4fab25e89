//! Where in the store each row that is not a person's own lies: the one place that knows what a key is made of.
//!
//! Deliberately not: what lies there (`format`), and rows under a person's id (`person`).

use super::House;
use crate::format::IdentifierForm;
use crate::record::{Identifier, IdentifierKind};
use model::{AlarmId, ArtefactId, At, Day, DecisionId, ItemCode, MessageId, ProfileId, RequestId, SourceName};

impl House {
    /// Sales of nobody.
    pub(crate) const SALES: &[u8] = b"s/";
    /// Set-wise reads, by day.
    pub(crate) const USES: &[u8] = b"u/";
    /// Keys that wait a day with the recovery key.
    pub(crate) const RECOVERIES: &[u8] = b"y/";
    /// Requests of people who were erased.
    pub(crate) const REQUESTS: &[u8] = b"q/";
    /// Calls to recipients about people who were erased.
    pub(crate) const CALLS: &[u8] = b"e/";
    /// The catalogue.
    pub(crate) const ITEMS: &[u8] = b"i/";
    /// Named records.
    pub(crate) const RECORDS: &[u8] = b"h/";
    /// Reviews.
    pub(crate) const REVIEWS: &[u8] = b"r/";
    /// Source keys.
    pub(crate) const SOURCE_KEYS: &[u8] = b"k/";
    /// The named record that says where the rotation of keys stands.
    pub(crate) const ROTATION: &str = "key/rotation";
    /// The next person number.
    pub(crate) const NUMBER: &[u8] = b"n/number";
    /// How many rows there are, and the sum of their marks.
    pub(crate) const TALLY: &[u8] = b"n/tally";
    /// How far the file of what people took back reaches.
    pub(crate) const NARROWINGS: &[u8] = b"\0narrowings";
    /// Which traits the stored buckets were folded for.
    pub(crate) const COLUMNS: &[u8] = b"n/columns";
    /// What artefacts are known to ask for.
    pub(crate) const HABIT: &[u8] = b"n/habit";
    /// What was read in an hour.
    pub(crate) const HOURS: &[u8] = b"w/";
    /// Alarms.
    pub(crate) const ALARMS: &[u8] = b"a/";
    /// Keyed tokens of the identifiers of those who left.
    pub(crate) const LEFT: &[u8] = b"g/";
    /// What each entry of the one log is, without its content.
    pub(crate) const LOG: &[u8] = b"l/";

    pub(crate) fn index_row(&self, identifier: &Identifier) -> Vec<u8> {
        [b"b".as_slice(), &self.keys.blind(kind_word(identifier.kind), &identifier.value)].concat()
    }

    pub(crate) fn left_row(&self, identifier: &Identifier) -> Vec<u8> {
        [Self::LEFT, &self.keys.left_token(kind_word(identifier.kind), &identifier.value)].concat()
    }

    pub(crate) fn mark(&self, source: &SourceName, message: &str) -> [u8; 16] {
        self.keys.blind("message", &format!("{source}\n{message}"))
    }

    pub(crate) fn blind(&self, label: &str, secret: &str) -> [u8; 32] {
        self.keys.token(label, secret)
    }

    /// The token of a decision's links, and the index row that says it opens. Derived, so that it need not be kept.
    pub(crate) fn message_token(&self, decision: &DecisionId) -> (String, Vec<u8>) {
        let token = model::id::base32(&self.blind("message_token", &decision.to_string()));
        let row = Self::token_row(&self.blind("message", &token));
        (token, row)
    }

    pub(crate) fn decision_row(id: &DecisionId) -> Vec<u8> {
        [b"d".as_slice(), id.as_bytes()].concat()
    }

    pub(crate) fn message_row(id: &MessageId) -> Vec<u8> {
        [b"m".as_slice(), id.as_bytes()].concat()
    }

    pub(crate) fn token_row(hash: &[u8; 32]) -> Vec<u8> {
        [b"t".as_slice(), hash].concat()
    }

    pub(crate) fn outbox_row(due_at: At, message: &[u8]) -> Vec<u8> {
        [due_at.ms().to_be_bytes().as_slice(), message].concat()
    }

    pub(crate) fn item_row(code: &ItemCode) -> Vec<u8> {
        [Self::ITEMS, code.as_str().as_bytes()].concat()
    }

    pub(crate) fn sale_row(invoice: &[u8; 16], row: u64) -> Vec<u8> {
        [Self::SALES, invoice, &row.to_be_bytes()].concat()
    }

    pub(crate) fn record_row(name: &str) -> Vec<u8> {
        [Self::RECORDS, name.as_bytes()].concat()
    }

    pub(crate) fn review_row(artefact: &ArtefactId, staff: &str) -> Vec<u8> {
        [Self::REVIEWS, artefact.as_bytes(), staff.as_bytes()].concat()
    }

    pub(crate) fn use_row(day: Day, salt: [u8; 8]) -> Vec<u8> {
        [Self::USES, &day.number().to_be_bytes(), &salt].concat()
    }

    pub(crate) fn hour_row(hour: i64) -> Vec<u8> {
        [Self::HOURS, &hour.to_be_bytes()].concat()
    }

    pub(crate) fn alarm_row(id: &AlarmId) -> Vec<u8> {
        [Self::ALARMS, id.as_bytes()].concat()
    }

    pub(crate) fn source_key_row(token: &[u8; 32]) -> Vec<u8> {
        [Self::SOURCE_KEYS, token].concat()
    }

    pub(crate) fn request_row(id: &RequestId) -> Vec<u8> {
        [Self::REQUESTS, id.as_bytes()].concat()
    }

    pub(crate) fn call_row(request: &RequestId, recipient: &str) -> Vec<u8> {
        [Self::CALLS, request.as_bytes(), recipient.as_bytes()].concat()
    }

    pub(crate) fn recovery_row(id: &ProfileId) -> Vec<u8> {
        [Self::RECOVERIES, id.as_bytes()].concat()
    }

    pub(crate) fn recovery_of(key: &[u8]) -> Option<ProfileId> {
        key.strip_prefix(Self::RECOVERIES)?.try_into().ok().map(ProfileId::from_bytes)
    }

    pub(crate) fn log_row(batch: u64, index: u32) -> Vec<u8> {
        [Self::LOG, &batch.to_be_bytes(), &index.to_be_bytes()].concat()
    }

    pub(crate) fn identifier_form(identifier: &Identifier) -> IdentifierForm {
        let kind = match identifier.kind {
            IdentifierKind::User => 0,
            IdentifierKind::Anonymous => 1,
            IdentifierKind::Email => 2,
        };
        IdentifierForm { kind, value: identifier.value.clone() }
    }

    pub(crate) fn identifier(form: &IdentifierForm) -> Option<Identifier> {
        let kind = match form.kind {
            0 => IdentifierKind::User,
            1 => IdentifierKind::Anonymous,
            2 => IdentifierKind::Email,
            _ => return None,
        };
        Some(Identifier { kind, value: form.value.clone() })
    }
}

/// The word under which an identifier is blinded.
const fn kind_word(kind: IdentifierKind) -> &'static str {
    match kind {
        IdentifierKind::User => "user",
        IdentifierKind::Anonymous => "anonymous",
        IdentifierKind::Email => "email",
    }
}
