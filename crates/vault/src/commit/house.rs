//! What belongs to the house: catalogue, sales of nobody, named records, reviews, staff acts, source keys.

use super::KeyChange;
use super::batch::{Batch, refused};
use crate::VaultError;
use crate::engine::Keyspace;
use crate::format::{self, ItemForm, LineForm, ReviewForm, SaleForm, SourceKeyForm, StaffForm};
use crate::house::House;
use crate::person::Rows;
use crate::record::{AnonymousSale, Item, Outcome, OutcomeReason, Review, StaffAct};
use crate::retention;
use crate::seal::RecordKind;
use model::{At, EventId, ProfileId, SourceName};
use promise::{Artefact, ReviewRole, SourceKind};
use std::sync::Arc;

/// Longest reason that staff give, in characters.
const REASON_CHARS_MAX: usize = 200;

/// Most reads by staff kept in a profile; the oldest go first.
const STAFF_READS_MAX: usize = 200;

/// Keys of one source that are valid at a time.
const SOURCE_KEYS: usize = 2;

impl Batch<'_> {
    pub(crate) fn put_items(&mut self, items: &[Item]) -> Result<(), VaultError> {
        for item in items {
            let key = House::item_row(&item.code);
            self.put_house(RecordKind::House, key, &format::encode(&ItemForm::of(item)))?;
        }
        Ok(())
    }

    /// Seals a row of the house at its key.
    pub(crate) fn put_house(&mut self, kind: RecordKind, key: Vec<u8>, plain: &[u8]) -> Result<(), VaultError> {
        let sealed = self.house.seal_house(kind, &key, plain)?;
        self.put(Keyspace::House, key, sealed);
        Ok(())
    }

    pub(crate) fn put_sale(&mut self, sale: &AnonymousSale) -> Result<Outcome, VaultError> {
        let promise = Arc::clone(&self.house.household.promise);
        let Some(retention) = retention::of_event(&promise, &sale.event) else {
            return Ok(refused(OutcomeReason::UndeclaredEvent));
        };
        if retention.expires_at(sale.occurred_at) <= self.now {
            return Ok(refused(OutcomeReason::Expired));
        }
        let key = House::sale_row(&sale.invoice, sale.row);
        if Rows::get(self, Keyspace::House, &key)?.is_some() {
            return Ok(Outcome::Repeated);
        }
        let form = SaleForm {
            event: sale.event.as_str().to_owned(),
            day: sale.occurred_at.day().number(),
            line: LineForm::of(&sale.line),
        };
        self.put_house(RecordKind::Sale, key, &format::encode(&form))?;
        Ok(Outcome::Kept { event: EventId::from_bytes(sale.invoice), profile: ProfileId::from_bytes([0; 16]) })
    }

    pub(crate) fn house_record(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        self.house.house_record(self, name)
    }

    pub(crate) fn put_house_record(&mut self, name: &str, bytes: Option<&[u8]>) -> Result<(), VaultError> {
        let key = House::record_row(name);
        match bytes {
            Some(bytes) => self.put_house(RecordKind::House, key, bytes),
            None => {
                self.delete(Keyspace::House, key);
                Ok(())
            }
        }
    }

    // ── reviews ───────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn is_reviewed(&self, artefact: &Artefact) -> Result<bool, VaultError> {
        if artefact.review == ReviewRole::BuiltIn {
            return Ok(true);
        }
        let generation = self.house.reviews();
        Ok(crate::review::is_effective(artefact, generation.get(&artefact.id).map(Vec::as_slice).unwrap_or_default()))
    }

    pub(crate) fn review(&mut self, review: &Review) -> Result<(), VaultError> {
        let mut form = ReviewForm {
            artefact: (*review.artefact.as_bytes()).into(),
            staff: review.staff.clone(),
            role: review.role.clone(),
            at: review.at.ms(),
            promise: self.house.household.promise.hash.into(),
            signature: Vec::new(),
        };
        form.signature = self.house.keys.review.sign(&form.statement())?;
        self.leaf("review", &form.statement());
        let key = House::review_row(&review.artefact, &review.staff);
        self.put_house(RecordKind::Review, key, &format::encode(&form))?;
        self.then(move |house, _| house.add_review(form));
        Ok(())
    }

    // ── staff ─────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn staff_act(&mut self, act: &StaffAct) -> Result<(), VaultError> {
        let reason: String = act.reason.chars().take(REASON_CHARS_MAX).collect();
        let about = act.person.map(|person| person.to_string()).unwrap_or_default();
        let entry = format!("{}\n{}\n{about}\n{reason}\n{}", act.staff, act.act, act.at.ms());
        self.leaf("staff", entry.as_bytes());
        let Some(person) = act.person else { return Ok(()) };
        let Some(open) = self.person(&person)? else { return Ok(()) };
        let reads = &mut open.core.staff_reads;
        let day = |at: i64| At::from_ms(at).day();
        let is_known =
            |read: &StaffForm| read.staff == act.staff && read.reason == reason && day(read.at) == act.at.day();
        if act.act == StaffAct::HANDED_OFF && reads.iter().any(is_known) {
            return Ok(());
        }
        let act_word = Some(act.act.to_owned());
        reads.push(StaffForm { at: act.at.ms(), staff: act.staff.clone(), reason, act: act_word });
        let surplus = reads.len().saturating_sub(STAFF_READS_MAX);
        reads.drain(..surplus);
        let number = open.core.number;
        if StaffAct::is_a_look(act.act) {
            let found = self.house.habit().opened(&act.staff, number, self.now.day());
            self.findings.extend(found);
        }
        Ok(())
    }

    // ── source keys ───────────────────────────────────────────────────────────────────────────────────────────────

    /// A fresh key of a source; only its keyed token is stored. While rotating the newest old one stays valid.
    pub(crate) fn source_key(&mut self, source: &SourceName, change: KeyChange) -> Result<String, VaultError> {
        let declared = self.house.household.promise.sources.get(source);
        let prefix = match declared.map(|declared| declared.kind) {
            Some(SourceKind::Browser) => "fl_pub_",
            Some(SourceKind::Server | SourceKind::Import) | None => "fl_sec_",
        };
        let key = format!("{prefix}{}", model::id::base32(&self.house.rng().bytes::<20>()));
        let token = self.house.blind(SOURCE_KEY, &key);
        let mut known: Vec<SourceKeyForm> =
            self.house.source_keys().into_iter().filter(|known| known.source == source.as_str()).collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.at));
        let kept = match change {
            KeyChange::Rotate => SOURCE_KEYS.saturating_sub(1),
            KeyChange::Replace => 0,
        };
        let newest = known.first().map_or(i64::MIN, |known| known.at.saturating_add(1));
        let gone: Vec<SourceKeyForm> = known.into_iter().skip(kept).collect();
        for old in &gone {
            self.delete(Keyspace::House, House::source_key_row(&old.token));
        }
        let at = self.now.ms().max(newest);
        let form = SourceKeyForm { token: token.into(), source: source.as_str().to_owned(), at };
        self.put_house(RecordKind::House, House::source_key_row(&form.token), &format::encode(&form))?;
        self.leaf("source_key", source.as_str().as_bytes());
        self.then(move |house, _| house.set_source_keys(form, &gone));
        Ok(key)
    }
}

/// The label under which source keys are blinded.
pub(crate) const SOURCE_KEY: &str = "source key";
