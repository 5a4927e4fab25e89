//! Who gets what: `[segment.*]`, `[offer.*]`, `[campaign.*]`, and the candidates that follow from them.

use super::kept::{list, undeclared_event};
use super::keys;
use super::purpose::name;
use super::read::{Findings, Section, Text};
use super::words::{Said, places_of, plain, said, slots};
use super::{Draft, FactPlan, Facts, did_you_mean};
use crate::artefact::Artefact;
use crate::declaration::{
    Basis, CampaignPlan, CandidatesPlan, ChannelKind, EventPlan, GuardPlan, OfferPlan, Purpose, Retention, SegmentPlan,
};
use crate::rule::{Rule, RuleError, RuleMistake};
use model::{CampaignName, EventName, Kind, OfferName, PurposeName, SegmentName};
use std::collections::{BTreeMap, BTreeSet};

/// Slots that are filled by the offer itself.
const OWN_SLOTS: [&str; 3] = ["item", "because", "code"];
/// Longest code and placement name, in bytes.
const CODE_BYTES_MAX: usize = 64;
/// Most offers of one campaign.
const OFFERS_MAX: usize = 50;
/// Largest share that may be held out, in thousandths.
const HOLD_OUT_PERMILLE_MAX: u16 = 500;
/// Longest time in which a goal counts, in days.
const GOAL_DAYS_MAX: i64 = 365;

/// What campaigns are checked against.
pub(super) struct Parts<'p> {
    pub(super) segments: &'p BTreeMap<SegmentName, SegmentPlan>,
    pub(super) offers: &'p BTreeMap<OfferName, OfferPlan>,
    pub(super) events: &'p BTreeMap<EventName, EventPlan>,
    pub(super) facts: &'p Facts,
    pub(super) purposes: &'p BTreeMap<PurposeName, Purpose>,
}

impl Draft<'_, '_, '_> {
    pub(super) fn segments(&mut self, facts: &Facts, guard: &GuardPlan) -> BTreeMap<SegmentName, SegmentPlan> {
        let sections = self.root.children("segment", self.findings);
        let segments = sections.iter().filter_map(|section| self.segment(section, facts, guard));
        segments.map(|segment| (segment.name.clone(), segment)).collect()
    }

    fn segment(&mut self, section: &Section<'_>, facts: &Facts, guard: &GuardPlan) -> Option<SegmentPlan> {
        section.knows(&keys::SEGMENT, self.findings);
        let name = name(section, SegmentName::parse, self.findings);
        if !section.has("for") {
            let title = format!("{} has no purpose", section.what);
            self.findings.error("FL201", section.span.clone(), title, "say what it is for, such as `for = \"offers\"`");
        }
        let purpose = section.text("for", self.findings).and_then(|text| self.purpose_named(section, &text));
        let counted = section.text("counted_for", self.findings);
        let counted_for = counted.as_ref().and_then(|text| self.purpose_named(section, text));
        let text = section.need_text("who", self.findings)?;
        let kind_of = |name: &str| facts.by_name.get(name).map(|fact| fact.kind);
        let rule = match Rule::parse(&text.value, &kind_of) {
            Ok(rule) => rule,
            Err(error) => {
                self.rule_mistake(section, &text, &error, facts);
                return None;
            }
        };
        for read in rule.reads() {
            let place = places_of(&text.value, &read).next().map_or(text.span.clone(), |at| text.part(at, read.len()));
            for purpose in purpose.iter().chain(&counted_for) {
                self.may_read(section, &read, purpose, facts, place.clone());
            }
        }
        for word in rule.texts() {
            if let Some(side) = guard.hint(word) {
                let place = text.value.find(word).map_or(text.span.clone(), |at| text.part(at, word.len()));
                guarded(&section.what, word, side, place, self.findings);
            }
        }
        let (who, reads) = (text.value, rule.reads());
        Some(SegmentPlan { name: name?, purpose: purpose?, counted_for, who, rule, reads })
    }

    fn rule_mistake(&mut self, section: &Section<'_>, text: &Text, error: &RuleError, facts: &Facts) {
        let span = text.part(error.at, error.len);
        let name = text.value.get(error.at..error.at + error.len).unwrap_or("");
        match error.mistake {
            // Declared, but wrong in itself: that has been said already.
            RuleMistake::UnknownName if self.names.has("field", name) || self.names.has("trait", name) => {}
            RuleMistake::UnknownName => {
                let title = format!("{} reads something nobody promised to collect", section.what);
                let help = did_you_mean(name, facts.by_name.keys().map(String::as_str));
                let label = "no [field.*] or [trait.*] has this name";
                self.findings.error_with_help("FL302", span, title, label, help);
            }
            RuleMistake::Grammar => {
                let title = format!("the rule of {} cannot be read", section.what);
                self.findings.error("FL301", span, title, error.message.clone());
            }
            RuleMistake::Shape => {
                let title = format!("the rule of {} compares what cannot be compared", section.what);
                self.findings.error("FL304", span, title, error.message.clone());
            }
        }
    }

    /// FL104: what is read must have been collected for the purpose it is read for.
    fn may_read(
        &mut self,
        section: &Section<'_>,
        fact: &str,
        purpose: &PurposeName,
        facts: &Facts,
        place: std::ops::Range<usize>,
    ) {
        let Some(plan) = facts.by_name.get(fact) else { return };
        if !plan.purposes.contains(purpose) && self.names.has("purpose", purpose.as_str()) {
            let title = format!("{} reads `{fact}` for `{purpose}`", section.what);
            let help = format!("promise `{purpose}` where `{fact}` is declared, or leave it out here");
            let label = format!("kept for: {}", list(&plan.purposes));
            self.findings.error_with_help("FL104", place, title, label, Some(help));
        }
    }

    pub(super) fn offers(&mut self, facts: &Facts, guard: &GuardPlan) -> BTreeMap<OfferName, OfferPlan> {
        let sections = self.root.children("offer", self.findings);
        let offers = sections.iter().filter_map(|section| self.offer(section, facts, guard));
        offers.map(|offer| (offer.name.clone(), offer)).collect()
    }

    fn offer(&mut self, section: &Section<'_>, facts: &Facts, guard: &GuardPlan) -> Option<OfferPlan> {
        let findings = &mut *self.findings;
        section.knows(&keys::OFFER, findings);
        let name = name(section, OfferName::parse, findings);
        let title = said(section, "title", &self.languages, findings);
        let says = said(section, "says", &self.languages, findings);
        let why = said(section, "why", &self.languages, findings);
        let code = section.text("code", findings).map(|text| text.value);
        if code.as_ref().is_some_and(|code| code.is_empty() || code.len() > CODE_BYTES_MAX) {
            section.wrong_value("code", format!("expected 1 to {CODE_BYTES_MAX} bytes"), findings);
        }
        let link = section.need_text("link", findings);
        if let Some(link) = link.as_ref().filter(|link| !is_link(&link.value)) {
            let title = format!("`link` of {} is not a web address", section.what);
            findings.error("FL308", link.span.clone(), title, "expected https://… or http://…");
        }
        let picks_item = section.flag("picks_item", findings).unwrap_or(false);
        let mut placements = Vec::new();
        for text in section.texts("placements", findings).unwrap_or_default() {
            match model::FieldName::parse(&text.value) {
                Ok(_) => placements.push(text.value),
                Err(error) => {
                    let title = format!("a placement of {} cannot be called this", section.what);
                    findings.error("FL007", text.span, title, error.to_string());
                }
            }
        }
        if let Some(title) = &title {
            title_names_nothing(section, title, findings);
        }
        for said in [&title, &says, &why].into_iter().flatten() {
            for text in &said.texts {
                if let Some(side) = guard.hint(&text.value) {
                    guarded(&section.what, "its text", side, text.span.clone(), findings);
                }
            }
        }
        if let Some(why) = &why {
            plain(&format!("`why` of {}", section.what), why, findings);
        }
        let mut reads = BTreeSet::new();
        for text in says.iter().chain(&why).flat_map(|said| &said.texts) {
            reads.extend(self.slots_of(section, text, facts, picks_item, code.is_some()));
        }
        let (title, says, why) = (title?, says?, why?);
        Some(OfferPlan {
            name: name?,
            title: title.default,
            says: says.default,
            why: why.default,
            says_in: says.others,
            why_in: why.others,
            title_in: title.others,
            code,
            link: link?.value,
            picks_item,
            reads,
            placements,
        })
    }

    /// FL305, FL306. Returns the facts that the text names.
    fn slots_of(
        &mut self,
        section: &Section<'_>,
        text: &Text,
        facts: &Facts,
        picks_item: bool,
        has_code: bool,
    ) -> BTreeSet<String> {
        let mut reads = BTreeSet::new();
        let slots = match slots(&text.value) {
            Ok(slots) => slots,
            Err(at) => {
                let title = format!("a slot of {} is not closed", section.what);
                self.findings.error("FL305", text.part(at, 1), title, "a slot is written {name}");
                return reads;
            }
        };
        for slot in slots {
            let name = slot.name.as_str();
            let span = text.part(slot.at, slot.len);
            let missing = match name {
                "item" | "because" => (!picks_item).then_some("the offer picks no item: add `picks_item = true`"),
                "code" => (!has_code).then_some("the offer has no `code`"),
                _ => None,
            };
            if let Some(label) = missing {
                self.findings.error("FL305", span, format!("{} names `{name}`", section.what), label);
                continue;
            }
            if OWN_SLOTS.contains(&name) {
                continue;
            }
            match facts.by_name.get(name) {
                Some(FactPlan { guarded: true, .. }) => {
                    let title = format!("{} names `{name}`, which is guarded", section.what);
                    self.findings.error("FL306", span, title, "a sensitive fact stands in no message");
                }
                Some(_) => {
                    reads.insert(name.to_owned());
                }
                None if self.names.has("field", name) || self.names.has("trait", name) => {}
                None => {
                    let title = format!("{} names `{name}`, which is not declared", section.what);
                    let known = facts.by_name.keys().map(String::as_str).chain(OWN_SLOTS);
                    let help = did_you_mean(name, known);
                    self.findings.error_with_help(
                        "FL305",
                        span,
                        title,
                        "no [field.*] or [trait.*] has this name",
                        help,
                    );
                }
            }
        }
        reads
    }

    pub(super) fn campaigns(&mut self, parts: &Parts<'_>) -> BTreeMap<CampaignName, CampaignPlan> {
        let sections = self.root.children("campaign", self.findings);
        let campaigns = sections.iter().filter_map(|section| self.campaign(section, parts));
        campaigns.map(|campaign| (campaign.name.clone(), campaign)).collect()
    }

    fn campaign(&mut self, section: &Section<'_>, parts: &Parts<'_>) -> Option<CampaignPlan> {
        section.knows(&keys::CAMPAIGN, self.findings);
        let name = name(section, CampaignName::parse, self.findings);
        if section.name == Artefact::REMINDER {
            let title = "this name is taken by the yearly reminder of what people share".to_owned();
            self.findings.error("FL007", section.span.clone(), title, "choose another name");
        }
        let to = section.need_text("to", self.findings);
        if let Some(to) = &to {
            self.declared(section, "segment", to);
        }
        let offers = section.texts("offers", self.findings).unwrap_or_default();
        if offers.is_empty() || offers.len() > OFFERS_MAX {
            let title = format!("{} offers nothing, or too much", section.what);
            let label = format!("list 1 to {OFFERS_MAX} offers: `offers = [\"…\"]`");
            self.findings.error("FL004", section.value_span("offers"), title, label);
        }
        for offer in &offers {
            self.declared(section, "offer", offer);
        }
        let by = channels(section, self.findings);
        let hold_out_permille = hold_out(section, self.findings);
        let goal = section.need_text("goal", self.findings);
        if let Some(goal) = goal.as_ref().filter(|goal| !self.names.has("event", &goal.value)) {
            undeclared_event(section, &goal.value, goal.span.clone(), &self.names, self.findings);
        }
        let goal_days = section.number("goal_days", self.findings).unwrap_or(14);
        if !(1..=GOAL_DAYS_MAX).contains(&goal_days) {
            section.wrong_value("goal_days", format!("expected 1 to {GOAL_DAYS_MAX}"), self.findings);
        }
        let (to, goal) = (to?, goal?);
        if let Some(segment) = parts.segments.get(to.value.as_str()) {
            self.campaign_may(section, segment, &to, &offers, &by, &goal, parts);
        }
        Some(CampaignPlan {
            name: name?,
            to: SegmentName::parse(&to.value).ok()?,
            offers: offers.iter().filter_map(|offer| OfferName::parse(&offer.value).ok()).collect(),
            by,
            hold_out_permille: hold_out_permille?,
            goal: (EventName::parse(&goal.value).ok()?, i32::try_from(goal_days).ok()?),
        })
    }

    /// FL103.
    fn declared(&mut self, section: &Section<'_>, kind: &str, text: &Text) {
        if !self.names.has(kind, &text.value) {
            let title = format!("{} names the {kind} `{}`, which is not declared", section.what, text.value);
            let help = did_you_mean(&text.value, self.names.of(kind).iter().map(String::as_str));
            let label = format!("no [{kind}.*] has this name");
            self.findings.error_with_help("FL103", text.span.clone(), title, label, help);
        }
    }

    /// FL104, FL105, FL107: the campaign acts for its segment's purpose, and that needs a yes and an address.
    #[expect(clippy::too_many_arguments, reason = "one call, each argument is another key of the section")]
    fn campaign_may(
        &mut self,
        section: &Section<'_>,
        segment: &SegmentPlan,
        to: &Text,
        offers: &[Text],
        by: &[ChannelKind],
        goal: &Text,
        parts: &Parts<'_>,
    ) {
        let purpose = &segment.purpose;
        if parts.purposes.get(purpose).is_some_and(|purpose| purpose.basis != Basis::Consent) {
            let title = format!("{} sends offers under `{purpose}`, which nobody agreed to", section.what);
            self.findings.error("FL107", to.span.clone(), title, "a campaign needs a consent purpose");
        }
        for text in offers {
            let Some(offer) = parts.offers.get(text.value.as_str()) else { continue };
            for fact in &offer.reads {
                self.may_read(section, fact, purpose, parts.facts, text.span.clone());
            }
            let lines_for = |event: &EventPlan| event.lines && event.retention.purposes.contains(purpose);
            if offer.picks_item && !parts.events.values().any(lines_for) {
                let title = format!("offer `{}` picks an item from nothing", offer.name);
                let label = format!("no event with `lines = true` is collected for `{purpose}`");
                self.findings.error("FL104", text.span.clone(), title, label);
            }
            if by.contains(&ChannelKind::Page) && offer.placements.is_empty() {
                let title = format!("offer `{}` has no place on a page", offer.name);
                self.findings.error("FL004", text.span.clone(), title, "add `placements = [\"home\"]` to the offer");
            }
        }
        let mailable = |fact: &FactPlan| fact.kind == Kind::Email && fact.purposes.contains(purpose);
        if by.contains(&ChannelKind::Email) && !parts.facts.by_name.values().any(mailable) {
            let title = format!("{} writes mail without an address", section.what);
            let label = format!("no field of type \"email\" is kept for `{purpose}`");
            self.findings.error("FL105", section.value_span("by"), title, label);
        }
        let goal_event = parts.events.get(goal.value.as_str());
        if goal_event.is_some_and(|event| !event.retention.purposes.contains(purpose)) {
            let title = format!("{} counts `{}` for `{purpose}`", section.what, goal.value);
            self.findings.error("FL104", goal.span.clone(), title, "this event is not collected for that");
        }
    }

    /// FL502: names that give a guarded guess away.
    pub(super) fn guarded_names(&mut self, guard: &GuardPlan) {
        for kind in ["trait", "segment", "offer", "campaign"] {
            for section in self.root.children(kind, self.findings) {
                if let Some(side) = guard.hint(&section.name) {
                    guarded(&section.what, &section.name, side, section.span.clone(), self.findings);
                }
            }
        }
    }
}

/// FL502.
fn guarded(what: &str, word: &str, side: &str, span: std::ops::Range<usize>, findings: &mut Findings<'_>) {
    let title = format!("{what} looks like a guess about {side}");
    let help = "ask, don't infer: let people tell you, with a field `from = \"you\"` and `class = \"sensitive\"`";
    let label = if word == "its text" { "this text hints at it".to_owned() } else { format!("`{word}` hints at it") };
    findings.error_with_help("FL502", span, title, label, Some(help.to_owned()));
}

/// FL307: a subject line is read by whoever looks over the shoulder.
fn title_names_nothing(section: &Section<'_>, title: &Said, findings: &mut Findings<'_>) {
    for text in &title.texts {
        if let Some(at) = text.value.find(['{', '}']) {
            let message = format!("the title of {} has a slot", section.what);
            findings.error("FL307", text.part(at, 1), message, "a title names no item and no fact");
        }
    }
}

fn channels(section: &Section<'_>, findings: &mut Findings<'_>) -> Vec<ChannelKind> {
    let mut by = Vec::new();
    section.missing("by", findings);
    for text in section.texts("by", findings).unwrap_or_default() {
        match text.value.as_str() {
            "email" => by.push(ChannelKind::Email),
            "page" => by.push(ChannelKind::Page),
            other => {
                let title = format!("{} cannot reach people by `{other}`", section.what);
                let help = did_you_mean(other, ["email", "page"]);
                findings.error_with_help("FL005", text.span, title, "expected \"email\" or \"page\"", help);
            }
        }
    }
    by.sort();
    by.dedup();
    by
}

/// FL503. "10%" → 100; 10 % when nothing is said: a campaign is measured unless the file says otherwise.
fn hold_out(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<u16> {
    let Some(text) = section.text("hold_out", findings) else {
        return (!section.has("hold_out")).then_some(100);
    };
    let permille = permille(&text.value).filter(|permille| (10..=HOLD_OUT_PERMILLE_MAX).contains(permille));
    if permille.is_none() {
        let title = format!("{} holds out `{}`", section.what, text.value);
        findings.error("FL503", text.span, title, "expected \"1%\" to \"50%\"");
    }
    permille
}

fn permille(text: &str) -> Option<u16> {
    let number = text.strip_suffix('%')?.trim_end();
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    if tenth.len() != 1 || !tenth.bytes().chain(whole.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    whole.parse::<u16>().ok()?.checked_mul(10)?.checked_add(tenth.parse().ok()?)
}

fn is_link(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '{' | '}'))
}

/// The implicit trait "candidates", when a campaign has an offer that picks an item.
pub(super) fn candidates(
    campaigns: &BTreeMap<CampaignName, CampaignPlan>,
    offers: &BTreeMap<OfferName, OfferPlan>,
    segments: &BTreeMap<SegmentName, SegmentPlan>,
    events: &BTreeMap<EventName, EventPlan>,
) -> Option<CandidatesPlan> {
    let picks = |campaign: &&CampaignPlan| {
        campaign.offers.iter().any(|offer| offers.get(offer).is_some_and(|offer| offer.picks_item))
    };
    let purposes: BTreeSet<PurposeName> = campaigns
        .values()
        .filter(picks)
        .filter_map(|campaign| segments.get(&campaign.to))
        .map(|segment| segment.purpose.clone())
        .collect();
    let rests_on =
        |event: &&EventPlan| event.lines && event.retention.purposes.iter().any(|purpose| purposes.contains(purpose));
    let rests_on: Vec<&EventPlan> = events.values().filter(rests_on).collect();
    let shortest = rests_on.iter().map(|event| &event.retention).min_by_key(|retention| retention.keep_days)?;
    let purposes: Vec<PurposeName> = purposes.into_iter().collect();
    let retention =
        Retention::new(purposes.clone(), shortest.keep_days, shortest.since.clone(), shortest.end_on.clone());
    Some(CandidatesPlan { purposes, events: rests_on.iter().map(|event| event.name.clone()).collect(), retention })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_thousandths() {
        for (text, expected) in [
            ("10%", Some(100)),
            ("12.5%", Some(125)),
            ("0%", Some(0)),
            ("10", None),
            ("-1%", None),
            ("1.25%", None),
            ("%", None),
        ] {
            assert_eq!(permille(text), expected, "{text}");
        }
    }

    #[test]
    fn only_web_addresses_are_links() {
        for good in ["https://corner.example/offers", "http://localhost:4000/"] {
            assert!(is_link(good), "{good}");
        }
        for bad in
            ["javascript:alert(1)", "https://", "https:///x", "ftp://x", "https://a b", "data:text/html,x", "//x"]
        {
            assert!(!is_link(bad), "{bad}");
        }
    }
}
