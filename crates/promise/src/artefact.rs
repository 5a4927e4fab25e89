//! Anything that may use personal data: canonical bytes, SHA-256 id, and the terms it was reviewed with.

use crate::canonical::{Canonical, hash};
use crate::declaration::{
    CampaignPlan, CandidatesPlan, ChannelKind, EventPlan, Field, Promise, SegmentPlan, TraitPlan,
};
use crate::lookup::all_names;
use model::{ArtefactId, Kind, PurposeName};
use std::collections::{BTreeMap, BTreeSet};

/// What kind of thing wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArtefactKind {
    /// A campaign with its offers.
    Campaign,
    /// A segment's rule: its members, for the purpose they may be addressed for.
    Segment,
    /// The number of a segment's matches before consent is looked at, under `counted_for`: a number, never a list.
    Count,
    /// A trait's rule.
    Trait,
    /// A model (item-to-item).
    Model,
    /// An export of people.
    Export,
    /// A page that shows a person's facts: the portal (to themselves), the desk, the list of whom to tell of a breach.
    Page,
    /// An import mapping.
    Mapping,
}

/// Who has to look before it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewRole {
    /// Part of the program: reviewed with it.
    BuiltIn,
    /// One reviewer.
    One,
    /// Two different people.
    Two,
}

/// What an artefact may read, for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The purpose it acts for; `None` only for what is owed to the person: access (portal, desk), being told of a breach.
    pub purpose: Option<PurposeName>,
    /// Further purposes, each of which is enough alone (traits and models serve several).
    pub or: Vec<PurposeName>,
    /// Names of fields, traits and events it may read. Reading another is refused.
    pub reads: BTreeSet<String>,
    /// Properties of events it may read (subject to the person's level).
    pub properties: BTreeSet<String>,
}

/// One artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// SHA-256 of `canonical`.
    pub id: ArtefactId,
    /// What kind.
    pub kind: ArtefactKind,
    /// Its declared name ("win_back").
    pub name: String,
    /// What it may read.
    pub terms: Terms,
    /// Who reviews.
    pub review: ReviewRole,
    /// The bytes that were reviewed.
    pub canonical: Vec<u8>,
}

impl ArtefactKind {
    /// The word used in canonical bytes, records and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Segment => "segment",
            Self::Count => "count",
            Self::Trait => "trait",
            Self::Model => "model",
            Self::Export => "export",
            Self::Page => "page",
            Self::Mapping => "mapping",
        }
    }
}

impl Artefact {
    /// The name of the page where people see everything about themselves.
    pub const PORTAL: &'static str = "portal";
    /// The name of the page where staff answer a person's request.
    pub const DESK: &'static str = "desk";
    /// The name of the page that finds the addresses of people who have to be told of a breach.
    pub const BREACH_NOTICE: &'static str = "breach_notice";
    /// The name of the page that finds whom to remind of what they share.
    pub const REMINDER: &'static str = "reminder";
    /// The name of the item-to-item model.
    pub const ITEMS: &'static str = "items";

    fn new(
        kind: ArtefactKind,
        name: &str,
        terms: Terms,
        review: ReviewRole,
        body: impl FnOnce(&mut Canonical),
    ) -> Self {
        let mut out = Canonical::new("artefact");
        out.line("kind", kind.as_str()).line("name", name);
        out.lines("purpose", terms.purposes().map(PurposeName::as_str));
        out.lines("reads", &terms.reads).lines("properties", &terms.properties);
        body(&mut out);
        let canonical = out.into_bytes();
        let id = ArtefactId::from_bytes(hash(&canonical));
        Self { id, kind, name: name.to_owned(), terms, review, canonical }
    }

    /// Whether this is the person's own page: the only one that acts for no purpose of the company.
    #[must_use]
    pub fn is_portal(&self) -> bool {
        self.is_page(Self::PORTAL)
    }

    /// Whether this is the desk, where staff act on the person's behalf.
    #[must_use]
    pub fn is_desk(&self) -> bool {
        self.is_page(Self::DESK)
    }

    /// Whether this finds the addresses of people who have to be told of a breach: it reads addresses and nothing else, and
    /// acts for no purpose of the company but for a duty towards the person.
    #[must_use]
    pub fn is_breach_notice(&self) -> bool {
        self.is_page(Self::BREACH_NOTICE)
    }

    /// Whether this writes to people once a year what they share: it reads addresses and nothing else, and acts for no
    /// purpose of the company but for the person's own memory.
    #[must_use]
    pub fn is_reminder(&self) -> bool {
        self.is_page(Self::REMINDER)
    }

    fn is_page(&self, name: &str) -> bool {
        let built_in = self.kind == ArtefactKind::Page && self.review == ReviewRole::BuiltIn;
        built_in && self.terms.purpose.is_none() && self.name == name
    }

    /// An import mapping: `bytes` are the mapping file's own, `purpose` is the one it acts for, `writes` are the fields
    /// and events it fills, `properties` the event properties. One reviewer.
    #[must_use]
    pub fn of_mapping(
        name: &str,
        bytes: &[u8],
        purpose: PurposeName,
        writes: BTreeSet<String>,
        properties: BTreeSet<String>,
    ) -> Self {
        let terms = Terms { purpose: Some(purpose), or: Vec::new(), reads: writes, properties };
        Self::new(ArtefactKind::Mapping, name, terms, ReviewRole::One, |out| {
            out.line("file", String::from_utf8_lossy(bytes)).line("sha256", model::id::base32(&hash(bytes)));
        })
    }
}

impl Terms {
    /// Every purpose that is enough alone.
    pub fn purposes(&self) -> impl Iterator<Item = &PurposeName> {
        self.purpose.iter().chain(&self.or)
    }
}

impl Promise {
    /// See [`Artefact::of_mapping`].
    #[must_use]
    pub fn mapping_artefact(
        &self,
        name: &str,
        bytes: &[u8],
        purpose: PurposeName,
        writes: BTreeSet<String>,
        properties: BTreeSet<String>,
    ) -> Artefact {
        Artefact::of_mapping(name, bytes, purpose, writes, properties)
    }

    /// The declaration behind a name that an artefact reads: when its meaning changes, so does the artefact.
    fn write_meaning(&self, name: &str, out: &mut Canonical) {
        if let Some(field) = self.fields.get(name) {
            field.write(out);
        }
        if let Some(plan) = self.traits.get(name) {
            plan.write(out);
        }
        if let Some(event) = self.events.get(name) {
            event.write(out);
        }
        if name == CandidatesPlan::NAME
            && let Some(candidates) = &self.candidates
        {
            candidates.retention.write(out);
            candidates.events.iter().for_each(|event| self.write_meaning(event.as_str(), out));
        }
    }

    fn declared(&self, kind: ArtefactKind, name: &str, terms: Terms, body: impl FnOnce(&mut Canonical)) -> Artefact {
        let meaning = terms.clone();
        Artefact::new(kind, name, terms, ReviewRole::One, |out| {
            body(out);
            for purpose in meaning.purposes().filter_map(|purpose| self.purposes.get(purpose)) {
                purpose.write(out);
            }
            meaning.reads.iter().for_each(|name| self.write_meaning(name, out));
        })
    }

    fn of_segment(&self, segment: &SegmentPlan) -> impl Iterator<Item = Artefact> {
        let terms = |purpose: &PurposeName| Terms {
            purpose: Some(purpose.clone()),
            or: Vec::new(),
            reads: segment.reads.clone(),
            properties: BTreeSet::new(),
        };
        let of = |kind, purpose| self.declared(kind, segment.name.as_str(), terms(purpose), |out| segment.write(out));
        let members = of(ArtefactKind::Segment, &segment.purpose);
        let count = segment.counted_for.as_ref().map(|purpose| of(ArtefactKind::Count, purpose));
        std::iter::once(members).chain(count)
    }

    fn of_campaign(&self, campaign: &CampaignPlan) -> Option<Artefact> {
        let segment = self.segments.get(&campaign.to)?;
        let purpose = &segment.purpose;
        let mut reads = segment.reads.clone();
        reads.extend(campaign.offers_in(self).flat_map(|offer| offer.reads.iter().cloned()));
        let picks_item = campaign.offers_in(self).any(|offer| offer.picks_item);
        if picks_item {
            reads.insert(CandidatesPlan::NAME.to_owned());
        }
        let by_mail = campaign.by.contains(&ChannelKind::Email);
        let for_purpose = self.fields.values().filter(|field| field.retention.purposes.contains(purpose));
        let is_zone = |field: &Field| self.zone_field().is_some_and(|zone| zone.name == field.name);
        let is_for_mail = |field: &Field| by_mail && (field.kind == Kind::Email || is_zone(field));
        let needed = for_purpose.filter(|field| is_for_mail(field) || field.stated);
        reads.extend(needed.map(|field| field.name.as_str().to_owned()));
        let line_properties = EventPlan::LINE_PROPERTIES.iter().map(|name| (*name).to_owned());
        let properties = if picks_item { line_properties.collect() } else { BTreeSet::new() };
        let terms = Terms { purpose: Some(purpose.clone()), or: Vec::new(), reads, properties };
        Some(self.declared(ArtefactKind::Campaign, campaign.name.as_str(), terms, |out| {
            campaign.write(out);
            segment.write(out);
            campaign.offers_in(self).for_each(|offer| offer.write(out));
        }))
    }

    fn of_trait(&self, plan: &TraitPlan) -> Option<Artefact> {
        let (first, or) = plan.purposes.split_first()?;
        let terms = Terms {
            purpose: Some(first.clone()),
            or: or.to_vec(),
            reads: BTreeSet::from([plan.is.event().as_str().to_owned()]),
            properties: plan.is.property().map(str::to_owned).into_iter().collect(),
        };
        Some(self.declared(ArtefactKind::Trait, plan.name.as_str(), terms, |out| plan.write(out)))
    }

    fn of_model(&self, candidates: &CandidatesPlan) -> Option<Artefact> {
        let (first, or) = candidates.purposes.split_first()?;
        let terms = Terms {
            purpose: Some(first.clone()),
            or: or.to_vec(),
            reads: candidates.events.iter().map(|event| event.as_str().to_owned()).collect(),
            properties: EventPlan::LINE_PROPERTIES.iter().map(|name| (*name).to_owned()).collect(),
        };
        Some(self.declared(ArtefactKind::Model, Artefact::ITEMS, terms, |out| {
            out.line("method", "item-to-item from orders; popularity as fallback");
        }))
    }

    /// A page that reads addresses and nothing else.
    fn of_addresses(&self, name: &'static str) -> Artefact {
        let addresses = self.fields.values().filter(|field| field.kind == Kind::Email);
        let terms = Terms {
            purpose: None,
            or: Vec::new(),
            reads: addresses.map(|field| field.name.as_str().to_owned()).collect(),
            properties: BTreeSet::new(),
        };
        Artefact::new(ArtefactKind::Page, name, terms, ReviewRole::BuiltIn, |_| {})
    }

    fn of_page(&self, name: &'static str) -> Artefact {
        let properties = self.events.values().flat_map(|event| event.has.keys().cloned());
        let lines = EventPlan::LINE_PROPERTIES.iter().map(|name| (*name).to_owned());
        let terms = Terms {
            purpose: None,
            or: Vec::new(),
            reads: all_names(self),
            properties: properties.chain(lines).collect(),
        };
        Artefact::new(ArtefactKind::Page, name, terms, ReviewRole::BuiltIn, |_| {})
    }
}

/// Everything in a promise that has to be reviewed, and what is built in.
pub(crate) fn of(promise: &Promise) -> BTreeMap<ArtefactId, Artefact> {
    let segments = promise.segments.values().flat_map(|segment| promise.of_segment(segment));
    let campaigns = promise.campaigns.values().filter_map(|campaign| promise.of_campaign(campaign));
    let traits = promise.traits.values().filter_map(|plan| promise.of_trait(plan));
    let model = promise.candidates.iter().filter_map(|candidates| promise.of_model(candidates));
    let addresses = [Artefact::BREACH_NOTICE, Artefact::REMINDER].map(|name| promise.of_addresses(name));
    let pages = [promise.of_page(Artefact::PORTAL), promise.of_page(Artefact::DESK)].into_iter().chain(addresses);
    let all = segments.chain(campaigns).chain(traits).chain(model).chain(pages);
    all.map(|artefact| (artefact.id, artefact)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::SHOP;

    fn parse(text: &str) -> Promise {
        crate::parse("shop.toml", text).unwrap()
    }

    fn names(promise: &Promise) -> Vec<String> {
        let mut names: Vec<String> = promise
            .artefacts()
            .values()
            .map(|artefact| format!("{} {}", artefact.kind.as_str(), artefact.name))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn everything_that_may_use_data_is_an_artefact() {
        assert_eq!(
            names(&parse(SHOP)),
            [
                "campaign win_back",
                "count lapsed",
                "model items",
                "page breach_notice",
                "page desk",
                "page portal",
                "page reminder",
                "segment lapsed",
                "trait days_since_order",
                "trait orders_90d",
                "trait orders_all",
                "trait spent_all",
            ]
        );
    }

    #[test]
    fn a_campaign_may_read_what_it_says_and_no_more() {
        let promise = parse(SHOP);
        let campaign = promise.artefact(ArtefactKind::Campaign, "win_back").unwrap();
        let reads: Vec<&str> = campaign.terms.reads.iter().map(String::as_str).collect();
        assert_eq!(reads, ["candidates", "email", "favourite_group", "orders_90d", "orders_all", "shirt_size", "zone"]);
        assert_eq!(campaign.terms.purpose.as_ref().map(PurposeName::as_str), Some("offers"));
        assert_eq!(campaign.review, ReviewRole::One);
        assert_eq!(hash(&campaign.canonical), *campaign.id.as_bytes());
    }

    #[test]
    fn only_the_persons_own_pages_act_for_no_purpose() {
        for artefact in parse(SHOP).artefacts().values() {
            let own =
                artefact.is_portal() || artefact.is_desk() || artefact.is_breach_notice() || artefact.is_reminder();
            assert_eq!(artefact.terms.purpose.is_none(), own, "{}", artefact.name);
            assert_eq!(artefact.review == ReviewRole::BuiltIn, own, "{}", artefact.name);
        }
    }

    #[test]
    fn the_same_promise_gives_the_same_ids_whatever_its_spaces() {
        let (one, two) = (parse(SHOP), parse(&format!("# Another comment.\n\n{}", SHOP.replace(" = ", "  =  "))));
        assert_eq!(one.hash, two.hash);
        assert!(one.artefacts().keys().eq(two.artefacts().keys()));
    }

    #[test]
    fn a_change_of_meaning_asks_for_a_new_review_where_it_matters_and_only_there() {
        let (before, after) = (parse(SHOP), parse(&SHOP.replace("days(90))", "days(60))")));
        assert_ne!(before.hash, after.hash);
        let id = |promise: &Promise, kind, name| promise.artefact(kind, name).map(|artefact| artefact.id);
        for (kind, name, changes) in [
            (ArtefactKind::Trait, "orders_90d", true),
            (ArtefactKind::Segment, "lapsed", true),
            (ArtefactKind::Campaign, "win_back", true),
            (ArtefactKind::Trait, "orders_all", false),
            (ArtefactKind::Model, Artefact::ITEMS, false),
            (ArtefactKind::Page, Artefact::PORTAL, false),
        ] {
            assert_eq!(id(&before, kind, name) != id(&after, kind, name), changes, "{name}");
        }
    }

    #[test]
    fn a_mapping_is_known_by_its_bytes() {
        let promise = parse(SHOP);
        let purpose = PurposeName::parse("orders").unwrap();
        let of = |bytes: &[u8]| {
            promise.mapping_artefact("online_retail", bytes, purpose.clone(), BTreeSet::new(), BTreeSet::new()).id
        };
        assert_eq!(of(b"a"), of(b"a"));
        assert_ne!(of(b"a"), of(b"b"));
        // Two files that are not text, and look alike as text, are still two.
        assert_ne!(of(&[0xff]), of(&[0xfe]));
    }

    #[test]
    fn without_an_offer_that_picks_items_there_is_no_model() {
        let text = SHOP
            .replace("picks_item = true\n", "")
            .replace("{item} is", "All is")
            .replace(" We picked {item} because you bought {because}.", "");
        let promise = parse(&text);
        assert_eq!(promise.candidates, None);
        assert_eq!(promise.artefact(ArtefactKind::Model, Artefact::ITEMS), None);
        assert_eq!(promise.fact_kind("candidates"), None);
    }

    #[test]
    fn retention_classes_are_few_and_stable() {
        let promise = parse(SHOP);
        assert_eq!(promise.retention_classes().len(), 6);
        for (id, retention) in promise.retention_classes() {
            assert_eq!(*id, retention.id());
        }
        let order = &promise.events["Order Completed"].retention;
        assert_eq!(order.keep_days, 1_095);
        let late = model::At::parse("2026-06-01T23:59:59Z").unwrap();
        assert_eq!(order.expires_at(late).to_string(), "2029-05-31T00:00:00.000Z");
    }
}
