//! Questions to a promise that need no person: lines, retention classes, artefacts, its canonical bytes.

use crate::artefact::{Artefact, ArtefactKind};
use crate::canonical::{Canonical, hash};
use crate::declaration::{
    Basis, CampaignPlan, CandidatesPlan, ChannelKind, EventPlan, Field, OfferPlan, Promise, Purpose, RecipientPlan,
    Retention, RetentionId, SegmentPlan, Since, Source, SourceKind, TraitPlan,
};
use model::{ArtefactId, At, EventName, FactName, Kind, PurposeName};
use std::collections::{BTreeMap, BTreeSet};

impl Promise {
    /// The line that declares something: `line("purpose", "offers")`. Guard, notice and cap: the name is "", "", "default".
    #[must_use]
    pub fn line(&self, kind: &'static str, name: &str) -> Option<u32> {
        self.lines.get(&(kind, name.to_owned())).copied()
    }

    /// Every artefact that follows from this promise, by id.
    #[must_use]
    pub const fn artefacts(&self) -> &BTreeMap<ArtefactId, Artefact> {
        &self.artefacts
    }

    /// One artefact by kind and name; built-in pages are "portal" and "desk", the model is "items".
    #[must_use]
    pub fn artefact(&self, kind: ArtefactKind, name: &str) -> Option<&Artefact> {
        self.artefacts.values().find(|artefact| artefact.kind == kind && artefact.name == name)
    }

    /// Every retention class, by id.
    #[must_use]
    pub const fn retention_classes(&self) -> &BTreeMap<RetentionId, Retention> {
        &self.retentions
    }

    /// The highest notice version that binds at an instant; 0 before the first one starts.
    #[must_use]
    pub fn binding_notice(&self, now: At) -> u32 {
        if now >= self.notice.starts.start() { self.notice.version } else { self.notice.version.saturating_sub(1) }
    }

    /// For which purposes a fact may be read, as declared today; `None` when it is not declared.
    #[must_use]
    pub fn fact_purposes(&self, name: &FactName) -> Option<&[PurposeName]> {
        match name {
            FactName::Field(name) => self.fields.get(name).map(|field| field.retention.purposes.as_slice()),
            FactName::Trait(name) if name.as_str() == CandidatesPlan::NAME => {
                self.candidates.as_ref().map(|candidates| candidates.purposes.as_slice())
            }
            FactName::Trait(name) => self.traits.get(name).map(|plan| plan.purposes.as_slice()),
        }
    }

    /// The kind of a field or trait.
    #[must_use]
    pub fn fact_kind(&self, name: &str) -> Option<Kind> {
        let field = self.fields.get(name).map(|field| field.kind);
        let ranking = || (name == CandidatesPlan::NAME && self.candidates.is_some()).then_some(Kind::Ranking);
        field.or_else(|| self.traits.get(name).map(|plan| plan.kind)).or_else(ranking)
    }

    /// The canonical bytes whose hash is [`Promise::hash`].
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut out = Canonical::new("promise");
        out.line("company", &self.company).line("contact", &self.contact).line("address", &self.address);
        out.line("zone", &self.zone).line("currency", self.currency.as_str()).lines("language", &self.languages);
        self.purposes.values().for_each(|purpose| purpose.write(&mut out));
        self.sources.values().for_each(|source| source.write(&mut out));
        self.fields.values().for_each(|field| field.write(&mut out));
        self.events.values().for_each(|event| event.write(&mut out));
        self.traits.values().for_each(|plan| plan.write(&mut out));
        self.segments.values().for_each(|segment| segment.write(&mut out));
        self.offers.values().for_each(|offer| offer.write(&mut out));
        self.campaigns.values().for_each(|campaign| campaign.write(&mut out));
        self.recipients.values().for_each(|recipient| recipient.write(&mut out));
        out.line("cap", format!("{} in {} days", self.cap.at_most, self.cap.per_days));
        out.line("quiet", format!("{}-{}", self.cap.quiet_from, self.cap.quiet_until));
        out.lines("never_infer", &self.guard.never_infer);
        out.line("smallest_group", self.guard.smallest_group.to_string());
        out.line("notice", self.notice.version.to_string()).line("starts", self.notice.starts.to_string());
        out.line("tell_people_before_days", self.notice.tell_people_before_days.to_string());
        out.line("removed_within_days", self.notice.removed_within_days.to_string());
        if let Some(plan) = &self.after_leaving {
            out.line("inactive_days", plan.inactive_days.to_string());
            out.lines("choice", plan.choices.iter().map(|choice| choice.as_str()));
            out.line("until_days_max", plan.until_days_max.to_string());
        }
        out.into_bytes()
    }
}

impl Retention {
    /// For these purposes (sorted), so long, by this clock; the id follows from them.
    #[must_use]
    pub fn new(purposes: Vec<PurposeName>, keep_days: i32, since: Since, end_on: Option<EventName>) -> Self {
        let mut retention = Self { purposes, keep_days, since, end_on, id: RetentionId([0; 4]) };
        let mut out = Canonical::new("retention");
        retention.write(&mut out);
        let [a, b, c, d, ..] = hash(&out.into_bytes());
        retention.id = RetentionId([a, b, c, d]);
        retention
    }

    /// Short stable id: the first four bytes of the SHA-256 of the canonical text.
    #[must_use]
    pub const fn id(&self) -> RetentionId {
        self.id
    }

    /// When something received (or, for clocks of the latest event, last refreshed) at an instant stops to exist:
    /// the UTC midnight that begins the last day, so never later than promised.
    #[must_use]
    pub fn expires_at(&self, clock_started_at: At) -> At {
        clock_started_at.day().plus(self.keep_days).start()
    }

    pub(crate) fn write(&self, out: &mut Canonical) {
        out.lines("for", self.purposes.iter().map(PurposeName::as_str));
        out.line("keep_days", self.keep_days.to_string());
        match &self.since {
            Since::Receipt => out.line("since", "receipt"),
            Since::Last(event) => out.line("since_last", event.as_str()),
            Since::Leaving => out.line("since", "leaving"),
        };
        if let Some(event) = &self.end_on {
            out.line("end_on", event.as_str());
        }
    }
}

impl RecipientPlan {
    fn write(&self, out: &mut Canonical) {
        out.line("recipient", self.name.as_str()).line("who", &self.who).line("why", &self.why);
        out.lines("what", &self.what).line("where", &self.place);
        out.lines("until", self.until.map(|until| until.to_string())).lines("erase", &self.erase);
    }
}

impl Purpose {
    /// The fullest level, which a plain yes means; `None` = no levels.
    #[must_use]
    pub fn fullest_level(&self) -> Option<&str> {
        self.levels.last().map(|(name, _)| name.as_str())
    }

    /// Whether a property or fact of this name may be read at a level (`None` = the fullest). Names that no level
    /// lists are not restricted by levels. A level that is not declared allows none of the listed names.
    #[must_use]
    pub fn level_allows(&self, level: Option<&str>, name: &str) -> bool {
        let listed = self.levels.iter().any(|(_, names)| names.contains(name));
        let Some(level) = level else { return true };
        !listed || self.levels.iter().any(|(known, names)| known == level && names.contains(name))
    }

    /// What is said in a language; the default language's text when there is no other.
    #[must_use]
    pub fn says_in(&self, language: &str) -> &str {
        self.says_in.get(language).unwrap_or(&self.says)
    }

    pub(crate) fn write(&self, out: &mut Canonical) {
        out.line("purpose", self.name.as_str()).line("basis", self.basis.as_str()).line("says", &self.says);
        translations(out, "says", &self.says_in);
        out.line("since_notice", self.since_notice.to_string());
        if self.basis == Basis::Consent && self.lapse_days != crate::leaving::LAPSE_DAYS {
            out.line("lapse_days", self.lapse_days.to_string());
        }
        for (level, names) in &self.levels {
            out.line("level", level).lines("names", names);
        }
    }
}

impl Basis {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Consent => "consent",
        }
    }
}

impl SourceKind {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Server => "server",
            Self::Import => "import",
        }
    }
}

impl ChannelKind {
    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Page => "page",
        }
    }
}

impl Source {
    fn write(&self, out: &mut Canonical) {
        out.line("source", self.name.as_str()).line("kind", self.kind.as_str()).lines("origin", &self.origins);
        for (category, purpose) in &self.consent {
            out.line("category", category).line("purpose_of_category", purpose.as_str());
        }
    }
}

impl Field {
    pub(crate) fn write(&self, out: &mut Canonical) {
        out.line("field", self.name.as_str()).line("type", kind(self.kind)).lines("one_of", &self.one_of);
        out.line("from", &self.from).line("class", self.class.as_str()).line("context", self.context.as_str());
        self.retention.write(out);
    }
}

impl EventPlan {
    pub(crate) fn write(&self, out: &mut Canonical) {
        out.line("event", self.name.as_str());
        for (property, of_kind) in &self.has {
            out.line("property", property).line("type", kind(*of_kind));
        }
        out.line("has_lines", self.lines.to_string());
        out.line("class", self.class.as_str()).line("context", self.context.as_str());
        self.retention.write(out);
    }
}

impl TraitPlan {
    pub(crate) fn write(&self, out: &mut Canonical) {
        out.line("trait", self.name.as_str()).line("is", self.is.to_string()).line("says", &self.says);
        translations(out, "says", &self.says_in);
        out.lines("for", self.purposes.iter().map(PurposeName::as_str));
    }
}

impl SegmentPlan {
    pub(crate) fn write(&self, out: &mut Canonical) {
        out.line("segment", self.name.as_str()).line("for", self.purpose.as_str());
        out.line("counted_for", self.counted_for.as_ref().map_or("", PurposeName::as_str));
        out.line("who", self.rule.to_string());
    }
}

impl OfferPlan {
    pub(crate) fn write(&self, out: &mut Canonical) {
        out.line("offer", self.name.as_str());
        for (key, text, others) in [
            ("title", &self.title, &self.title_in),
            ("says", &self.says, &self.says_in),
            ("why", &self.why, &self.why_in),
        ] {
            out.line(key, text);
            translations(out, key, others);
        }
        out.line("code", self.code.as_deref().unwrap_or("")).line("link", &self.link);
        out.line("picks_item", self.picks_item.to_string()).lines("placement", &self.placements);
    }
}

impl CampaignPlan {
    pub(crate) fn write(&self, out: &mut Canonical) {
        out.line("campaign", self.name.as_str()).line("to", self.to.as_str());
        out.lines("offers", self.offers.iter().map(model::OfferName::as_str));
        out.lines("by", self.by.iter().map(|by| by.as_str()));
        out.line("hold_out_permille", self.hold_out_permille.to_string());
        out.line("goal", self.goal.0.as_str()).line("goal_days", self.goal.1.to_string());
    }

    /// The offers of this campaign.
    pub fn offers_in<'p>(&'p self, promise: &'p Promise) -> impl Iterator<Item = &'p OfferPlan> {
        self.offers.iter().filter_map(|offer| promise.offers.get(offer))
    }
}

fn translations(out: &mut Canonical, key: &str, texts: &BTreeMap<String, String>) {
    for (language, text) in texts {
        out.line(&format!("{key}.{language}"), text);
    }
}

/// The word for a kind in the promise file.
pub(crate) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Number => "number",
        Kind::Money => "money",
        Kind::Flag => "flag",
        Kind::Instant => "instant",
        Kind::Date => "date",
        Kind::Email => "email",
        Kind::Id => "id",
        Kind::Ranking => "ranking",
    }
}

/// Names of everything that may be read about a person.
pub(crate) fn all_names(promise: &Promise) -> BTreeSet<String> {
    let fields = promise.fields.keys().map(|name| name.as_str().to_owned());
    let traits = promise.traits.keys().map(|name| name.as_str().to_owned());
    let events = promise.events.keys().map(|name| name.as_str().to_owned());
    let candidates = promise.candidates.iter().map(|_| CandidatesPlan::NAME.to_owned());
    fields.chain(traits).chain(events).chain(candidates).collect()
}
