//! One decision for one person: rules in a fixed order, each leaving a step; the choice; the trace that becomes the why.
//!
//! Pure over a [`Reader`]: it reads through a permit only what the next step needs, and what was read is in the trace.
//! Everything that may stop a message comes before the hold-out is asked, for both arms alike, so that those left alone
//! and those written to are the same kind of people and the difference between them means something.

use crate::choose::{Pick, Shelf, why_for};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use model::{
    At, CampaignName, Fact, FactName, FieldName, ItemCode, Kind, OfferName, ProfileId, Provenance, TraitName, Value,
};
use promise::{Artefact, CampaignPlan, CandidatesPlan, ChannelKind, OfferPlan, Promise, Refusal, RefusalReason, Zone};
use std::collections::BTreeMap;
use vault::{ContactState, FactRead, ItemBasis, Permit, Step, Trace};

/// What a decision may ask about one person. [`Permit`] is the one in the program.
pub trait Reader {
    /// A declared fact; a refusal to read it counts as missing, except where the step says otherwise.
    fn fact(&self, name: &FactName) -> Option<Fact>;
    /// Whether the person is in the campaign's segment.
    ///
    /// # Errors
    /// The refusal.
    fn is_member(&self, segment: &model::SegmentName) -> Result<bool, Refusal>;
    /// Contact so far and its limits.
    fn contact(&self) -> ContactState;
}

impl Reader for Permit<'_> {
    fn fact(&self, name: &FactName) -> Option<Fact> {
        Permit::fact(self, name).ok().flatten().map(|fact| fact.reveal().clone())
    }
    fn is_member(&self, segment: &model::SegmentName) -> Result<bool, Refusal> {
        Permit::is_member(self, segment)
    }
    fn contact(&self) -> ContactState {
        Permit::contact(self).reveal().clone()
    }
}

/// What is to be decided, for whom, and with what.
#[derive(Debug)]
pub struct Question<'a> {
    /// The promise in force.
    pub promise: &'a Promise,
    /// The campaign.
    pub campaign: &'a CampaignPlan,
    /// Its artefact.
    pub artefact: &'a Artefact,
    /// For whom.
    pub person: ProfileId,
    /// By which channel.
    pub channel: ChannelKind,
    /// Where on a page, for [`ChannelKind::Page`].
    pub placement: Option<&'a str>,
    /// When.
    pub now: At,
    /// Items.
    pub shelf: Shelf<'a>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The offer; `None` for somebody who is left alone to measure.
    pub offer: Option<OfferName>,
    /// The item.
    pub item: Option<ItemCode>,
    /// Left alone to measure.
    pub held_out: bool,
    /// Not before this instant.
    pub send_at: Option<At>,
    /// Everything behind it.
    pub trace: Trace,
}

/// No decision, and the steps that led there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// Why not.
    pub refusal: Refusal,
    /// Rules passed, and the one that failed last.
    pub steps: Vec<Step>,
}

/// Decides. Same question and same answers, same choice, byte for byte.
///
/// # Errors
/// [`Declined`]: nothing is to be recorded or sent for this person now.
pub fn decide(question: &Question<'_>, reader: &dyn Reader) -> Result<Choice, Declined> {
    let mut deciding = Deciding { question, reader, steps: Vec::new(), facts: Vec::new() };
    match deciding.decide() {
        Ok(choice) => Ok(choice),
        Err(reason) => Err(Declined { refusal: deciding.refusal(reason), steps: deciding.steps }),
    }
}

/// Whether a person is left alone to measure a campaign: the same answer for ever, evenly spread over people.
#[must_use]
pub fn is_held_out(campaign: &CampaignName, person: &ProfileId, hold_out_permille: u16) -> bool {
    let mut digest = Digest::new(&SHA256);
    digest.update(b"hold_out");
    digest.update(campaign.as_str().as_bytes());
    digest.update(person.as_bytes());
    let hash = digest.finish();
    let draw = hash.as_ref().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    draw % 1_000 < u64::from(hold_out_permille)
}

/// Title, text and reason of somebody who is left alone.
const LEFT_ALONE: [&str; 3] =
    ["", "", "You were drawn by lot to be left alone, so that we can see whether messages like this serve anybody."];

struct Deciding<'q> {
    question: &'q Question<'q>,
    reader: &'q dyn Reader,
    steps: Vec<Step>,
    facts: Vec<Fact>,
}

impl<'q> Deciding<'q> {
    fn decide(&mut self) -> Result<Choice, RefusalReason> {
        let Question { promise, campaign, channel, now, shelf, .. } = self.question;
        self.ask("audience", RefusalReason::GroupTooSmall, shelf.combination.n_people >= shelf.floor)?;
        let is_member = self.reader.is_member(&campaign.to).map_err(|refusal| refusal.reason)?;
        self.ask("segment", RefusalReason::NotInSegment, is_member)?;
        self.read_what_the_rule_reads();
        let contact = self.reader.contact();
        let mut send_at = None;
        if *channel == ChannelKind::Email {
            self.address(&contact)?;
            self.cap(&contact)?;
            send_at = promise.cap.quiet_until(&promise.zone, self.zone(&contact), *now);
            // Not a refusal: the message waits.
            let reason = send_at.map(|_| RefusalReason::QuietHours);
            self.steps.push(Step { rule: "quiet_hours".to_owned(), passed: reason.is_none(), reason });
        }
        let offer = self.offer(&contact)?;
        for name in &offer.reads {
            self.read(name);
        }
        let pick = self.item(offer, &contact)?;
        let texts = self.texts(offer, pick.as_ref());
        let mut trace = self.trace(texts, offer, pick.as_ref());
        // A sentence with a hole is never sent: without its why there is no decision.
        let is_told = trace.title().is_some() && trace.says().is_some() && trace.why().is_some();
        self.ask("sentence", RefusalReason::NothingFits, is_told)?;
        let held_out = is_held_out(&campaign.name, &self.question.person, campaign.hold_out_permille);
        let _ = self.ask("hold_out", RefusalReason::HeldOut, !held_out);
        trace.steps.clone_from(&self.steps);
        // The chance of what the lot did: everything else is decided by rules.
        let left_alone_micros = u32::from(campaign.hold_out_permille).saturating_mul(1_000).min(1_000_000);
        trace.propensity_micros = if held_out { left_alone_micros } else { 1_000_000 - left_alone_micros };
        if held_out {
            trace.texts = LEFT_ALONE.map(str::to_owned);
            trace.slots.clear();
            return Ok(Choice { offer: None, item: None, held_out, send_at: None, trace });
        }
        let item = pick.map(|pick| pick.item.code);
        Ok(Choice { offer: Some(offer.name.clone()), item, held_out, send_at, trace })
    }

    fn ask(&mut self, rule: &str, otherwise: RefusalReason, passed: bool) -> Result<(), RefusalReason> {
        self.steps.push(Step { rule: rule.to_owned(), passed, reason: (!passed).then_some(otherwise) });
        if passed { Ok(()) } else { Err(otherwise) }
    }

    fn refusal(&self, reason: RefusalReason) -> Refusal {
        let Question { promise, artefact, .. } = self.question;
        let line = match reason {
            RefusalReason::CapReached | RefusalReason::QuietHours => promise.line("cap", "default"),
            RefusalReason::GroupTooSmall => promise.line("guard", ""),
            _ => None,
        };
        Refusal { reason, purpose: artefact.terms.purpose.clone(), line }
    }

    /// Reads one declared fact by name, once.
    fn read(&mut self, name: &str) -> Option<Value> {
        if let Some(fact) = self.facts.iter().find(|fact| fact.name.as_str() == name) {
            return Some(fact.value.clone());
        }
        let is_field = self.question.promise.fields.contains_key(name);
        let name = if is_field {
            FieldName::parse(name).map(FactName::Field)
        } else {
            TraitName::parse(name).map(FactName::Trait)
        };
        let fact = self.reader.fact(&name.ok()?)?;
        let value = fact.value.clone();
        self.facts.push(fact);
        Some(value)
    }

    /// The facts behind membership: the person is entitled to see them beside the why.
    fn read_what_the_rule_reads(&mut self) {
        let segment = self.question.promise.segments.get(&self.question.campaign.to);
        for name in segment.into_iter().flat_map(|segment| &segment.reads) {
            self.read(name);
        }
    }

    fn address(&mut self, contact: &ContactState) -> Result<(), RefusalReason> {
        let Question { promise, artefact, .. } = self.question;
        let mut fields = promise.fields.values().filter(|field| artefact.terms.reads.contains(field.name.as_str()));
        let field = fields.find(|field| field.kind == Kind::Email).map(|field| field.name.clone());
        let fact = field.and_then(|field| self.reader.fact(&FactName::Field(field)));
        self.ask("address", RefusalReason::NoAddress, fact.is_some())?;
        // The address is needed to send, not to explain: the trace keeps only that there is one.
        self.facts.extend(fact.map(|fact| Fact { value: Value::Flag(true), ..fact }));
        self.ask("address_works", RefusalReason::Suppressed, !contact.suppressed)
    }

    fn cap(&mut self, contact: &ContactState) -> Result<(), RefusalReason> {
        let cap = &self.question.promise.cap;
        let window = self.question.now.plus_days(-cap.per_days);
        let n_sent = contact.sent_at.iter().filter(|at| **at > window).count();
        let at_most = contact.at_most.map_or(cap.at_most, |own| own.min(cap.at_most));
        self.ask("cap", RefusalReason::CapReached, u32::try_from(n_sent).is_ok_and(|n| n < at_most))
    }

    /// The person's zone, where it decides something: then it stands among the facts.
    fn zone<'c>(&mut self, contact: &'c ContactState) -> Option<&'c Zone> {
        let promise = self.question.promise;
        let field = promise.zone_field().filter(|_| promise.cap.is_ever_quiet())?;
        self.read(field.name.as_str())?;
        contact.zone.as_ref()
    }

    /// The first offer of the campaign that suits the place and was not turned down.
    fn offer(&mut self, contact: &ContactState) -> Result<&'q OfferPlan, RefusalReason> {
        let Question { promise, campaign, channel, placement, .. } = self.question;
        let suits = |offer: &&OfferPlan| match (channel, placement) {
            (ChannelKind::Page, Some(placement)) => offer.placements.iter().any(|known| known == placement),
            (ChannelKind::Page, None) => false,
            (ChannelKind::Email, _) => true,
        };
        let offers: Vec<&OfferPlan> = campaign.offers_in(promise).filter(suits).collect();
        self.ask("placement", RefusalReason::NothingFits, !offers.is_empty())?;
        let open = |offer: &&OfferPlan| !contact.turned_down.iter().any(|down| down == offer.name.as_str());
        let offer = offers.into_iter().find(open);
        self.ask("turned_down", RefusalReason::TurnedDown, offer.is_some())?;
        offer.ok_or(RefusalReason::TurnedDown)
    }

    fn item(&mut self, offer: &OfferPlan, contact: &ContactState) -> Result<Option<Pick>, RefusalReason> {
        if !offer.picks_item {
            return Ok(None);
        }
        let taste = self.taste();
        let candidates = TraitName::parse(CandidatesPlan::NAME).ok().map(FactName::Trait);
        let candidates = candidates.and_then(|name| self.reader.fact(&name));
        let ranking = match candidates.as_ref().map(|fact| &fact.value) {
            Some(Value::Ranking(ranking)) => ranking.as_slice(),
            _ => &[],
        };
        let said = taste.as_ref().map(|(_, said)| said.as_str());
        let pick = self.question.shelf.pick(ranking, said, &contact.turned_down);
        // Of the ranking only the entry that was used goes on record.
        let used: Vec<_> = pick.iter().filter_map(|pick| pick.candidate.clone()).collect();
        self.facts.extend(candidates.map(|fact| Fact { value: Value::Ranking(used), ..fact }));
        self.ask("item", RefusalReason::NothingFits, pick.is_some())?;
        Ok(pick)
    }

    /// What the person stated, in a field whose choices are groups of things: the field's name and its value.
    fn taste(&mut self) -> Option<(String, String)> {
        let Question { promise, artefact, shelf, .. } = self.question;
        let is_taste = |field: &&promise::Field| {
            let names_groups = field.one_of.iter().any(|choice| shelf.popular.groups.contains_key(choice));
            field.stated && names_groups && artefact.terms.reads.contains(field.name.as_str())
        };
        let name = promise.fields.values().find(is_taste)?.name.as_str();
        match self.read(name)? {
            Value::Text(said) => Some((name.to_owned(), said)),
            _ => None,
        }
    }

    fn texts(&self, offer: &OfferPlan, pick: Option<&Pick>) -> [String; 3] {
        let stated = self.facts.iter().find(|fact| {
            let field = self.question.promise.fields.get(fact.name.as_str());
            field.is_some_and(|field| field.stated)
                && pick.is_some_and(|pick| fact.value == Value::Text(pick.item.group.clone()))
        });
        let basis = pick.map_or(ItemBasis::None, |pick| pick.basis);
        let why = why_for(&offer.why, basis, stated.map(|fact| fact.name.as_str()));
        [offer.title.clone(), offer.says.clone(), why]
    }

    fn trace(&self, texts: [String; 3], offer: &OfferPlan, pick: Option<&Pick>) -> Trace {
        let Question { promise, channel, now, shelf, .. } = self.question;
        let mut slots = BTreeMap::new();
        if let Some(pick) = pick {
            slots.insert("item".to_owned(), pick.item.title.clone());
            slots.extend(pick.because.clone().map(|because| ("because".to_owned(), because)));
        }
        slots.extend(offer.code.clone().map(|code| ("code".to_owned(), code)));
        Trace {
            facts: self.facts.iter().map(|fact| self.fact_read(fact)).collect(),
            steps: Vec::new(),
            texts,
            slots,
            propensity_micros: 0,
            basis: pick.map_or(ItemBasis::None, |pick| pick.basis),
            shared_by: pick.map_or(shelf.combination.n_people, |pick| pick.shared_by),
            exposure: match channel {
                ChannelKind::Email => "private_mail",
                ChannelKind::Page => "page",
            }
            .to_owned(),
            promise: promise.hash,
            notice_version: promise.binding_notice(*now),
        }
    }

    fn fact_read(&self, fact: &Fact) -> FactRead {
        let ancestors = match &fact.provenance {
            Provenance::Derived { ancestors } | Provenance::Inferred { ancestors } => ancestors.clone(),
            Provenance::Provided { .. } | Provenance::Observed { .. } | Provenance::ThirdParty { .. } => Vec::new(),
        };
        let label = match self.question.promise.traits.get(fact.name.as_str()) {
            Some(plan) => plan.says.clone(),
            None if fact.name.as_str() == CandidatesPlan::NAME => {
                "what may fit you, worked out from your orders".to_owned()
            }
            None => fact.name.as_str().replace('_', " "),
        };
        let life_used_percent = life_used_percent(fact, self.question.now);
        FactRead { fact: fact.clone(), ancestors, life_used_percent, label }
    }
}

fn life_used_percent(fact: &Fact, now: At) -> u8 {
    let life = fact.expires_at.ms().saturating_sub(fact.as_of.ms()).max(1);
    let used = now.ms().saturating_sub(fact.as_of.ms()).clamp(0, life);
    u8::try_from(i128::from(used) * 100 / i128::from(life)).unwrap_or(100)
}

#[cfg(test)]
mod tests;
