//! Walks behind the log: keeps the model young, gives each person candidates with their reasons, and counts how many
//! people of each audience share a purchase.
//!
//! Everything is read under the reviewed model artefact: whoever has not agreed to offers, or shares less than items, is
//! neither learnt from nor given candidates. Guarded items, and items that the catalogue does not know, do not exist
//! here: not as candidates, not as reasons, not in the model.
//!
//! The model is learnt when there is none, once a day, and when more than [`CHANGED_PERCENT_MAX`] of the people changed;
//! everybody then gets new candidates, a bounded number per step, which also renews those that outlive their inputs.
//! Whoever agrees in between is served when the number of those who may be read about changes. Audiences are counted after
//! everybody has been served, and when something changed at most every [`COUNT_AGAIN_MS`]: each count is a reading of
//! everybody that their portal shows. Counts of an audience that has since crossed the smallest group, or moved by more
//! than [`MOVED_PERCENT_MAX`], are taken anew within [`SIZE_MS`]. A step may run twice.

use crate::UnderstandError;
use crate::items::{BASKET_ITEMS_MAX, Items};
use crate::records::{self, COMBINATION, Combination, MARK, MODEL, Mark, POPULAR, Popular};
use model::{
    At, Awareness, Class, Context, Day, EventName, Fact, FactName, ItemCode, ProfileId, Provenance, RankedItem,
    TraitName, Value,
};
use promise::{Artefact, ArtefactKind, CandidatesPlan, Promise, RefusalReason};
use std::collections::{BTreeMap, BTreeSet};
use vault::{FactWrite, Item, PermitSet, Snapshot, Vault};

/// Most candidates per person.
pub const CANDIDATES_MAX: usize = 50;
/// Of them, most that rest on the person's own purchases; the rest is what many buy and this person has not.
const OWN_MAX: usize = 40;
/// Share of people that may change before the model is learnt again, in percent.
pub const CHANGED_PERCENT_MAX: u64 = 2;
/// Between two counts of the audiences, in milliseconds.
pub const COUNT_AGAIN_MS: i64 = 600_000;
/// Between two looks at how large the audiences are, in milliseconds. Looking at a size reads about nobody.
pub const SIZE_MS: i64 = 60_000;
/// How far an audience may move from its size when it was counted, in percent.
pub const MOVED_PERCENT_MAX: u64 = 10;
/// Most events of one name read per person, newest first.
const EVENTS_MAX: usize = 1_000;
/// Most popular items kept, over all and in one group.
const POPULAR_MAX: usize = 100;
const POPULAR_IN_GROUP_MAX: usize = 20;

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// People given new candidates.
    pub n_served: usize,
    /// People who wait for theirs.
    pub n_left: usize,
    /// The model was learnt anew.
    pub is_learnt: bool,
    /// The audiences were counted.
    pub is_counted: bool,
}

/// Where this room stands. Lost without harm: its mark lies in a house record.
#[derive(Debug, Default)]
pub struct Follower {
    mark: Option<Mark>,
    items: Option<Items>,
    waiting: Vec<ProfileId>,
    /// Everybody was put among the waiting since the model was learnt.
    is_for_all: bool,
    /// Who was served with this model, and how many might be read about then.
    served: BTreeSet<ProfileId>,
    n_people: u64,
    /// Something changed since the audiences were counted.
    is_dirty: bool,
    counted_at: Option<At>,
    /// Sizes of the audiences when they were counted, by record name, and when they were last looked at.
    sizes: BTreeMap<String, u64>,
    sized_at: Option<At>,
}

impl Follower {
    /// At the beginning, or where the mark lies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows: looks at up to `budget` touched people and serves up to `budget` people. Learning the model, when due, is
    /// one piece of work beside that.
    ///
    /// # Errors
    /// [`UnderstandError`]; what was written before stays.
    pub fn step(&mut self, vault: &Vault, budget: usize) -> Result<Progress, UnderstandError> {
        let snapshot = vault.snapshot();
        let promise = snapshot.promise();
        let Some(artefact) = promise.artefact(ArtefactKind::Model, Artefact::ITEMS) else {
            return Ok(Progress::default());
        };
        let mut progress = Progress::default();
        let before = self.load(&snapshot)?;
        let mut mark = before;
        let (touched, cursor) = snapshot.touched_since(mark.cursor, budget)?;
        mark.cursor = cursor;
        mark.n_changed = mark.n_changed.saturating_add(touched.len() as u64);
        self.is_dirty |= !touched.is_empty();
        let today = snapshot.now().day();
        let audience = snapshot.permit_set(artefact.id).map_err(UnderstandError::Refused)?;
        let Some(n_people) = audience.count() else {
            // Too few people to learn from, or to tell anything about: also of what was learnt when there were more, because
            // those who left are still in it.
            self.forget(vault, &snapshot, &audience, artefact, &mut mark)?;
            self.keep(vault, before, mark)?;
            return Ok(progress);
        };
        let is_due = self.is_due(&mark, n_people, today);
        if !is_due {
            if self.is_for_all && n_people != self.n_people {
                self.waiting.extend(audience.people().filter(|person| !self.served.contains(person)));
                self.is_dirty = true;
            }
            // Last touched first served.
            self.waiting.extend(touched);
        }
        self.n_people = n_people;
        let counts_again = self.counts_again(&snapshot);
        let is_idle = self.waiting.is_empty() && mark.all_served && !counts_again;
        if is_idle && !is_due {
            self.keep(vault, before, mark)?;
            return Ok(progress);
        }
        let shelf = Shelf::read(&snapshot, promise)?;
        if is_due {
            self.learn(vault, &audience, &shelf)?;
            mark = Mark { model_day: Some(today.number()), n_changed: 0, all_served: false, ..mark };
            progress.is_learnt = true;
        }
        if !mark.all_served && !self.is_for_all {
            self.waiting = audience.people().collect();
            self.is_for_all = true;
        }
        progress.n_served = self.serve(vault, &snapshot, artefact, &shelf, budget)?;
        progress.n_left = self.waiting.len();
        mark.all_served |= self.is_for_all && self.waiting.is_empty();
        if mark.all_served && counts_again {
            self.count(vault, &snapshot, &audience, &shelf)?;
            progress.is_counted = true;
        }
        self.keep(vault, before, mark)?;
        Ok(progress)
    }

    /// Takes away the model, what it made of people, and the counts.
    fn forget(
        &mut self,
        vault: &Vault,
        snapshot: &Snapshot,
        audience: &PermitSet<'_>,
        artefact: &Artefact,
        mark: &mut Mark,
    ) -> Result<(), UnderstandError> {
        if snapshot.house_record(MODEL)?.is_none() {
            return Ok(());
        }
        let name = TraitName::parse(CandidatesPlan::NAME).ok().map(FactName::Trait);
        let without = |person| FactWrite {
            person,
            artefact: artefact.id,
            fact: None,
            remove: name.clone(),
            inputs_expire_at: None,
        };
        // Whoever cannot be written about now has nothing that anybody reads.
        vault.write_facts(audience.people().map(without).collect())?.wait()?;
        records::retain(vault, snapshot, COMBINATION, |_| false)?;
        records::remove(vault, POPULAR)?;
        // Last: whatever stops before this is begun again.
        records::remove(vault, MODEL)?;
        *mark = Mark { cursor: mark.cursor, ..Mark::default() };
        *self = Self { mark: self.mark, ..Self::default() };
        Ok(())
    }

    fn load(&mut self, snapshot: &Snapshot) -> Result<Mark, UnderstandError> {
        if let Some(mark) = self.mark {
            return Ok(mark);
        }
        let mut mark: Mark = records::read(snapshot, MARK)?.unwrap_or_default();
        match snapshot.house_record(MODEL)?.as_deref().map(Items::from_bytes) {
            Some(Ok(items)) => self.items = Some(items),
            // A model that cannot be read is learnt again.
            Some(Err(_)) | None => mark.model_day = None,
        }
        self.mark = Some(mark);
        Ok(mark)
    }

    fn keep(&mut self, vault: &Vault, before: Mark, mark: Mark) -> Result<(), UnderstandError> {
        if mark != before {
            records::write(vault, MARK, &mark)?;
        }
        self.mark = Some(mark);
        Ok(())
    }

    fn is_due(&self, mark: &Mark, n_people: u64, today: Day) -> bool {
        self.items.is_none()
            || mark.model_day.is_none_or(|day| day < today.number())
            || (mark.all_served && mark.n_changed.saturating_mul(100) > n_people.saturating_mul(CHANGED_PERCENT_MAX))
    }

    fn learn(&mut self, vault: &Vault, audience: &PermitSet<'_>, shelf: &Shelf) -> Result<(), UnderstandError> {
        let baskets = audience.baskets(BASKET_ITEMS_MAX).map_err(UnderstandError::Refused)?;
        let baskets: Vec<Vec<ItemCode>> = baskets
            .into_iter()
            .map(|(_, basket)| basket.into_iter().filter(|item| shelf.is_plain(item)).collect())
            .collect();
        let items = Items::fit(&baskets);
        vault.put_house_record(MODEL, Some(items.to_bytes()?))?.wait()?;
        records::write(vault, POPULAR, &shelf.popular(&items))?;
        tracing::info!(n_items = items.len(), n_people = items.n_people(), "the item model was learnt");
        metrics::counter!("fineline_understand_models_total").increment(1);
        self.items = Some(items);
        self.waiting.clear();
        self.is_for_all = false;
        self.served.clear();
        self.is_dirty = true;
        Ok(())
    }

    fn serve(
        &mut self,
        vault: &Vault,
        snapshot: &Snapshot,
        artefact: &Artefact,
        shelf: &Shelf,
        budget: usize,
    ) -> Result<usize, UnderstandError> {
        let Some(items) = &self.items else { return Ok(0) };
        let mut writes = Vec::new();
        let mut n_served = 0;
        while n_served < budget
            && let Some(person) = self.waiting.pop()
        {
            n_served += 1;
            self.served.insert(person);
            // Who may not be read about now has no candidates that anything could read.
            writes.extend(candidates(snapshot, artefact, shelf, items, person));
        }
        if !writes.is_empty() {
            for answer in vault.write_facts(writes)?.wait()? {
                if let Err(refusal) = answer
                    && refusal.reason != RefusalReason::NoSuchPerson
                {
                    tracing::debug!(reason = refusal.reason.as_str(), "candidates were not written");
                }
            }
        }
        metrics::counter!("fineline_understand_people_total").increment(n_served as u64);
        Ok(n_served)
    }

    fn counts_again(&mut self, snapshot: &Snapshot) -> bool {
        let now = snapshot.now();
        let Some(at) = self.counted_at.filter(|at| at.day() == now.day()) else { return true };
        (self.is_dirty && now >= at.plus_ms(COUNT_AGAIN_MS)) || self.has_moved(snapshot)
    }

    /// Whether an audience is no longer the one that was counted; looked at once in [`SIZE_MS`].
    fn has_moved(&mut self, snapshot: &Snapshot) -> bool {
        let now = snapshot.now();
        if self.sized_at.is_some_and(|at| now < at.plus_ms(SIZE_MS)) {
            return false;
        }
        self.sized_at = Some(now);
        let moved = |(name, people): (&String, &PermitSet<'_>)| {
            let (then, now) = (self.sizes.get(name).copied().unwrap_or(0), size(people));
            // Below the smallest group a size is nought: crossing it is a move.
            then.abs_diff(now).saturating_mul(100) > then.saturating_mul(MOVED_PERCENT_MAX)
        };
        audiences(snapshot).iter().any(moved)
    }

    /// Counts, for each campaign, who in its audience bought what.
    fn count(
        &mut self,
        vault: &Vault,
        snapshot: &Snapshot,
        audience: &PermitSet<'_>,
        shelf: &Shelf,
    ) -> Result<(), UnderstandError> {
        let floor = snapshot.promise().guard.smallest_group;
        let baskets = audience.baskets(BASKET_ITEMS_MAX).map_err(UnderstandError::Refused)?;
        self.sizes.clear();
        let audiences = audiences(snapshot);
        // A segment that no campaign is for any more is not counted, and its old counts would never grow older.
        records::retain(vault, snapshot, COMBINATION, |name| audiences.contains_key(name))?;
        for (name, people) in audiences {
            let counts = shelf.combination(&people, &baskets, floor, snapshot.now());
            records::write(vault, &name, &counts)?;
            self.sizes.insert(name, size(&people));
        }
        self.counted_at = Some(snapshot.now());
        self.sized_at = self.counted_at;
        self.is_dirty = false;
        Ok(())
    }
}

/// The audiences of the campaigns, by the name of the record of their counts.
fn audiences(snapshot: &Snapshot) -> BTreeMap<String, PermitSet<'_>> {
    let promise = snapshot.promise();
    let mut audiences: BTreeMap<String, PermitSet<'_>> = BTreeMap::new();
    for campaign in promise.campaigns.values() {
        let Some(artefact) = promise.artefact(ArtefactKind::Campaign, campaign.name.as_str()) else { continue };
        // A campaign that may not run has no audience to count.
        let Ok(people) = snapshot.permit_set(artefact.id).and_then(|set| set.within(&campaign.to)) else { continue };
        let name = format!("{COMBINATION}{}", campaign.to);
        // Two campaigns over one segment: the smaller audience speaks for both.
        match audiences.get(&name) {
            Some(known) if size(known) <= size(&people) => {}
            _ => drop(audiences.insert(name, people)),
        }
    }
    audiences
}

/// How many people; nought when fewer than the smallest group.
fn size(people: &PermitSet<'_>) -> u64 {
    people.count().unwrap_or(0)
}

/// The catalogue as this room needs it: plain items with their groups, and the fewest people that anything may rest on.
struct Shelf {
    groups: BTreeMap<ItemCode, String>,
    floor: u32,
    events: BTreeSet<EventName>,
}

impl Shelf {
    fn read(snapshot: &Snapshot, promise: &Promise) -> Result<Self, UnderstandError> {
        let plain = |item: Item| (item.class < Class::Sensitive).then_some((item.code, item.group));
        Ok(Self {
            groups: snapshot.items()?.into_iter().filter_map(plain).collect(),
            floor: promise.guard.smallest_group,
            events: promise.candidates.iter().flat_map(|plan| plan.events.iter().cloned()).collect(),
        })
    }

    fn is_plain(&self, item: &ItemCode) -> bool {
        self.groups.contains_key(item)
    }

    fn popular(&self, items: &Items) -> Popular {
        let mut popular = Popular::default();
        for (item, n_buyers) in items.popular() {
            let Some(group) = self.groups.get(item).filter(|_| n_buyers >= self.floor) else { continue };
            if popular.items.len() < POPULAR_MAX {
                popular.items.push(item.as_str().to_owned());
            }
            let of_group = popular.groups.entry(group.clone()).or_default();
            if of_group.len() < POPULAR_IN_GROUP_MAX {
                of_group.push(item.as_str().to_owned());
            }
        }
        popular
    }

    fn combination(
        &self,
        people: &PermitSet<'_>,
        baskets: &[(ProfileId, Vec<ItemCode>)],
        floor: u32,
        now: At,
    ) -> Combination {
        let mut counts = Combination { as_of: now.ms(), ..Combination::default() };
        counts.n_people = u32::try_from(size(people)).unwrap_or(u32::MAX);
        for (_, basket) in baskets.iter().filter(|(person, _)| people.contains(*person)) {
            let items: BTreeSet<&ItemCode> = basket.iter().filter(|item| self.is_plain(item)).collect();
            let groups: BTreeSet<&String> = items.iter().filter_map(|item| self.groups.get(*item)).collect();
            for item in items {
                *counts.items.entry(item.as_str().to_owned()).or_default() += 1;
            }
            for group in groups {
                *counts.groups.entry(group.clone()).or_default() += 1;
            }
        }
        counts.items.retain(|_, n| *n >= floor);
        counts.groups.retain(|_, n| *n >= floor);
        counts
    }
}

/// New candidates of one person, or their removal when nothing is left to rest them on; `None` when the model may not read
/// about this person.
fn candidates(
    snapshot: &Snapshot,
    artefact: &Artefact,
    shelf: &Shelf,
    items: &Items,
    person: ProfileId,
) -> Option<FactWrite> {
    let permit = snapshot.permit(person, artefact.id).ok()?;
    let mut owned: BTreeMap<ItemCode, i64> = BTreeMap::new();
    let mut inputs_expire_at: Option<At> = None;
    for name in &shelf.events {
        for event in permit.events(name, EVENTS_MAX).ok()? {
            let event = event.reveal();
            if !event.event.lines.is_empty() {
                inputs_expire_at = Some(inputs_expire_at.map_or(event.expires_at, |at| at.min(event.expires_at)));
            }
            for line in &event.event.lines {
                *owned.entry(line.item.clone()).or_default() += i64::from(line.quantity);
            }
        }
    }
    let owned: BTreeSet<ItemCode> = owned
        .into_iter()
        .filter(|(item, quantity)| *quantity > 0 && shelf.is_plain(item))
        .map(|(item, _)| item)
        .collect();
    let ranking = if owned.is_empty() { Vec::new() } else { ranking(shelf, items, &owned) };
    let name = FactName::Trait(TraitName::parse(CandidatesPlan::NAME).ok()?);
    let write = FactWrite { person, artefact: artefact.id, fact: None, remove: None, inputs_expire_at };
    if ranking.is_empty() {
        return Some(FactWrite { remove: Some(name), ..write });
    }
    let promise = snapshot.promise();
    let fact = Fact {
        name,
        value: Value::Ranking(ranking),
        class: Class::Personal,
        context: Context::Shopping,
        provenance: Provenance::Inferred {
            ancestors: shelf.events.iter().map(|name| name.as_str().to_owned()).collect(),
        },
        as_of: snapshot.now(),
        // The vault knows when the person was told.
        told_at: None,
        told_how: Awareness::Never,
        purposes: promise.candidates.as_ref()?.purposes.clone(),
        notice_version: promise.binding_notice(snapshot.now()),
        expires_at: inputs_expire_at?,
    };
    Some(FactWrite { fact: Some(fact), ..write })
}

/// What goes with what a person owns, then what many buy and this person has not.
fn ranking(shelf: &Shelf, items: &Items, owned: &BTreeSet<ItemCode>) -> Vec<RankedItem> {
    let mut ranking = items.rank(owned, OWN_MAX);
    ranking.retain(|ranked| shelf.is_plain(&ranked.item));
    let known: BTreeSet<ItemCode> = ranking.iter().map(|ranked| ranked.item.clone()).collect();
    let many = items
        .popular()
        .filter(|(item, n)| {
            *n >= shelf.floor && shelf.is_plain(item) && !owned.contains(*item) && !known.contains(*item)
        })
        .map(|(item, _)| RankedItem { item: item.clone(), because: None, score_micros: 0 });
    let room = CANDIDATES_MAX.saturating_sub(ranking.len());
    ranking.extend(many.take(room));
    ranking
}
