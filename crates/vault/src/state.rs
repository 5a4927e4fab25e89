//! What is held in memory about people: numbers, wishes, trait columns, and one bitmap per purpose and segment. Parts are
//! shared between generations and copied only where they change, so that a reading stands still while writing goes on.
//!
//! It holds no fact but trait values, and no identifier. Everything here is rebuilt from the store at start.

use crate::engine::EngineSnapshot;
use crate::format::LessForm;
use crate::projection::Projection;
use crate::wish::Wish;
use model::{At, Day, ProfileId, ProfileKind, PurposeName};
use promise::{Basis, Promise, Standing};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// People per shared piece.
const CHUNK: usize = 256;

/// A missing value in a column.
const MISSING: i64 = i64::MIN;

/// A reading of store and memory at one moment; published by the committer, and by urgent commands for memory alone.
#[derive(Clone)]
pub(crate) struct Generation {
    pub store: Arc<dyn EngineSnapshot>,
    pub state: State,
    /// Number of the newest batch in `store`.
    pub batch: u64,
}

/// A person's wishes, as of a moment.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub standing: Standing,
    pub seq: u64,
}

/// What it takes to reach a person by mail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// The address and until when it may be read; `None` = no address, or the person was not told of it.
    pub address_until: Option<At>,
    /// The address bounced or complained.
    pub suppressed: bool,
    /// Messages sent or being sent, oldest first.
    pub contacts: Vec<At>,
    /// The person's own limit.
    pub at_most: Option<u32>,
    /// The latest "less" of a message, as long as it can be taken back.
    pub less: Option<LessForm>,
}

/// One profile in memory.
#[derive(Clone)]
pub(crate) struct Person {
    pub id: ProfileId,
    pub number: u32,
    pub kind: ProfileKind,
    /// As in force: as written, then everything on the urgent log.
    pub wishes: Arc<Wishes>,
    /// On the urgent log, not yet in the store.
    pub pending: Vec<Arc<Wish>>,
    pub reach: Reach,
    /// Position in the order of touching.
    pub touched: u64,
}

type Chunk<T> = Arc<[T; CHUNK]>;

/// Everybody.
#[derive(Clone)]
pub(crate) struct State {
    promise: Arc<Promise>,
    purposes: Arc<[PurposeName]>,
    people: Vec<Chunk<Option<Arc<Person>>>>,
    numbers: Vec<Arc<HashMap<ProfileId, u32>>>,
    columns: Vec<Vec<Chunk<i64>>>,
    segments: Vec<Arc<RoaringBitmap>>,
    everybody: Arc<RoaringBitmap>,
    restrained: Arc<RoaringBitmap>,
    /// Everything about them has ended.
    gone: Arc<RoaringBitmap>,
    /// Something of theirs is held.
    held: Arc<RoaringBitmap>,
    /// Everything of theirs is.
    all_held: Arc<RoaringBitmap>,
    /// Per purpose: the answer is yes, and has not lapsed.
    given: Vec<Arc<RoaringBitmap>>,
    /// Per purpose: the notice that covers it reached the person.
    told: Vec<Arc<RoaringBitmap>>,
    /// Per purpose: the answer, or the notice it was given under, may lie in the future; asked one by one.
    early: Vec<Arc<RoaringBitmap>>,
    /// Day of the columns.
    pub day: Day,
    pub next_number: u32,
}

impl State {
    pub(crate) fn new(promise: &Arc<Promise>, projection: &dyn Projection, day: Day) -> Self {
        let purposes: Arc<[PurposeName]> = promise.purposes.keys().cloned().collect();
        let bitmaps = || vec![Arc::<RoaringBitmap>::default(); purposes.len()];
        Self {
            promise: Arc::clone(promise),
            people: Vec::new(),
            numbers: vec![Arc::default(); CHUNK],
            columns: vec![Vec::new(); projection.columns().len()],
            segments: vec![Arc::default(); projection.segments().len()],
            everybody: Arc::default(),
            restrained: Arc::default(),
            gone: Arc::default(),
            held: Arc::default(),
            all_held: Arc::default(),
            given: bitmaps(),
            told: bitmaps(),
            early: bitmaps(),
            purposes,
            day,
            next_number: 0,
        }
    }

    pub(crate) fn number(&self, id: &ProfileId) -> Option<u32> {
        self.numbers.get(shard(id))?.get(id).copied()
    }

    pub(crate) fn person(&self, id: &ProfileId) -> Option<&Arc<Person>> {
        self.by_number(self.number(id)?)
    }

    pub(crate) fn by_number(&self, number: u32) -> Option<&Arc<Person>> {
        let (chunk, at) = place(number);
        self.people.get(chunk)?.get(at)?.as_ref()
    }

    pub(crate) fn everybody(&self) -> &RoaringBitmap {
        &self.everybody
    }

    pub(crate) fn restrained(&self) -> &RoaringBitmap {
        &self.restrained
    }

    /// Everybody who has not ended.
    pub(crate) fn present(&self) -> RoaringBitmap {
        self.everybody.as_ref() - self.gone.as_ref()
    }

    /// Of whom something is held.
    pub(crate) fn held(&self) -> &RoaringBitmap {
        &self.held
    }

    /// Of whom everything is held.
    pub(crate) fn all_held(&self) -> &RoaringBitmap {
        &self.all_held
    }

    pub(crate) fn segment(&self, at: usize) -> Option<&RoaringBitmap> {
        self.segments.get(at).map(Arc::as_ref)
    }

    /// Everybody for whom a purpose is in force at an instant.
    pub(crate) fn in_force(&self, purpose: &PurposeName, now: At) -> RoaringBitmap {
        let Some(at) = self.purposes.iter().position(|known| known == purpose) else { return RoaringBitmap::new() };
        let (Some(given), Some(told), Some(early)) = (self.given.get(at), self.told.get(at), self.early.get(at)) else {
            return RoaringBitmap::new();
        };
        let mut set = (given.as_ref() & told.as_ref()) - self.restrained.as_ref();
        set -= self.gone.as_ref();
        set -= self.all_held.as_ref();
        for number in early.iter() {
            let person = self.by_number(number);
            if person.is_none_or(|person| self.promise.in_force(purpose, &person.wishes.standing, now).is_err()) {
                set.remove(number);
            }
        }
        set
    }

    pub(crate) fn value(&self, column: usize, number: u32) -> Option<i64> {
        let (chunk, at) = place(number);
        let value = *self.columns.get(column)?.get(chunk)?.get(at)?;
        (value != MISSING).then_some(value)
    }

    /// Puts a profile, or its new wishes, in its place; returns what stood there.
    pub(crate) fn put(&mut self, person: Arc<Person>, now: At) {
        let number = person.number;
        if let Some(shard) = self.numbers.get_mut(shard(&person.id))
            && !shard.contains_key(&person.id)
        {
            Arc::make_mut(shard).insert(person.id, number);
        }
        self.next_number = self.next_number.max(number.saturating_add(1));
        insert(&mut self.everybody, number, true);
        let standing = &person.wishes.standing;
        insert(&mut self.restrained, number, standing.restrained);
        insert(&mut self.gone, number, self.promise.is_gone(standing, now));
        insert(&mut self.held, number, standing.any_held_until(now).is_some());
        insert(&mut self.all_held, number, standing.all_held_until(now).is_some());
        self.put_purposes(&person, now);
        let (chunk, at) = place(number);
        *slot(&mut self.people, chunk, at, None) = Some(person);
    }

    fn put_purposes(&mut self, person: &Person, now: At) {
        let standing = &person.wishes.standing;
        for (at, purpose) in self.purposes.iter().enumerate() {
            let relation = standing.relations.get(purpose);
            let declared = self.promise.purposes.get(purpose);
            let by_consent = declared.is_some_and(|declared| declared.basis == Basis::Consent);
            let since = declared.map_or(0, |declared| declared.since_notice);
            let lapsed = self.promise.lapses_at(purpose, standing).is_some_and(|at| at <= now);
            let given = !lapsed && relation.is_some_and(|relation| relation.status.is_given());
            let told = !by_consent
                || relation.is_some_and(|relation| relation.notice_version >= since && standing.told_version >= since);
            let early = by_consent
                && relation.is_some_and(|relation| {
                    relation.at > now || relation.notice_version > self.promise.binding_notice(now)
                });
            for (bitmaps, holds) in
                [(&mut self.given, given), (&mut self.told, told), (&mut self.early, given && early)]
            {
                if let Some(bitmap) = bitmaps.get_mut(at) {
                    insert(bitmap, person.number, holds);
                }
            }
        }
    }

    /// Writes trait values and segment memberships of one person.
    pub(crate) fn put_values(&mut self, number: u32, values: &[Option<i64>], members: &[bool]) {
        let (chunk, at) = place(number);
        for (column, value) in self.columns.iter_mut().zip(values) {
            *slot(column, chunk, at, MISSING) = value.unwrap_or(MISSING);
        }
        for (segment, is_member) in self.segments.iter_mut().zip(members) {
            insert(segment, number, *is_member);
        }
    }

    /// Blanks a person everywhere. The number is never given out again.
    pub(crate) fn forget(&mut self, id: &ProfileId) {
        let Some(number) = self.number(id) else { return };
        let (chunk, at) = place(number);
        *slot(&mut self.people, chunk, at, None) = None;
        for column in &mut self.columns {
            *slot(column, chunk, at, MISSING) = MISSING;
        }
        let bitmaps = self.segments.iter_mut().chain(&mut self.given).chain(&mut self.told).chain(&mut self.early);
        let own = [&mut self.everybody, &mut self.restrained, &mut self.gone, &mut self.held, &mut self.all_held];
        bitmaps.chain(own).for_each(|bitmap| insert(bitmap, number, false));
        if let Some(shard) = self.numbers.get_mut(shard(id)) {
            Arc::make_mut(shard).remove(id);
        }
    }
}

fn shard(id: &ProfileId) -> usize {
    let [first, ..] = *id.as_bytes();
    usize::from(first)
}

fn place(number: u32) -> (usize, usize) {
    let number = number as usize;
    (number / CHUNK, number % CHUNK)
}

/// The place of one value, made when absent, unshared when shared.
#[expect(clippy::indexing_slicing, reason = "`chunk` exists after the resize, and `at` is below CHUNK by `place`")]
fn slot<T: Clone>(chunks: &mut Vec<Chunk<T>>, chunk: usize, at: usize, blank: T) -> &mut T {
    if chunks.len() <= chunk {
        chunks.resize_with(chunk + 1, || Arc::new(std::array::from_fn(|_| blank.clone())));
    }
    &mut Arc::make_mut(&mut chunks[chunk])[at]
}

fn insert(bitmap: &mut Arc<RoaringBitmap>, number: u32, holds: bool) {
    if bitmap.contains(number) != holds {
        let bitmap = Arc::make_mut(bitmap);
        if holds {
            bitmap.insert(number)
        } else {
            bitmap.remove(number)
        };
    }
}

/// On which day whose values change without an event.
#[derive(Default)]
pub(crate) struct Wheel {
    days: BTreeMap<Day, RoaringBitmap>,
    next: HashMap<u32, Day>,
}

impl Wheel {
    pub(crate) fn set(&mut self, number: u32, day: Option<Day>) {
        let old = match day {
            Some(day) => self.next.insert(number, day),
            None => self.next.remove(&number),
        };
        if old == day {
            return;
        }
        if let Some(entry) = old.and_then(|old| self.days.get_mut(&old)) {
            entry.remove(number);
        }
        if let Some(day) = day {
            self.days.entry(day).or_default().insert(number);
        }
    }

    /// Takes out everybody whose day has come.
    pub(crate) fn due(&mut self, today: Day) -> RoaringBitmap {
        let later = self.days.split_off(&today.plus(1));
        let due = std::mem::replace(&mut self.days, later).into_values().fold(RoaringBitmap::new(), |a, b| a | b);
        for number in &due {
            self.next.remove(&number);
        }
        due
    }
}
