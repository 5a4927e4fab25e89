//! Midnight: everybody's windows move on, in slices, and nobody who says no waits for that.

use super::*;
use crate::Urgency;
use crate::projection::{Bucket, Projection, TraitColumn};
use model::{ConsentStatus, Day, Event, SegmentName, TraitName};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// One trait, which changes with each day: days since the last order. One segment: two days and more.
struct Days {
    columns: Vec<TraitColumn>,
    segments: Vec<SegmentName>,
}

impl Projection for Days {
    fn columns(&self) -> &[TraitColumn] {
        &self.columns
    }

    fn fold(&self, event: &Event, sign: i64, buckets: &mut Vec<Bucket>) {
        if event.name.as_str() == "Order Completed" {
            buckets.push(Bucket { column: 0, day: event.occurred_at.day(), amount: sign });
        }
    }

    fn values(&self, buckets: &[Bucket], today: Day) -> (Vec<Option<i64>>, Option<Day>) {
        let last = buckets.iter().map(|bucket| bucket.day).max();
        (vec![last.map(|day| i64::from(today.since(day)))], last.map(|_| today.plus(1)))
    }

    fn segments(&self) -> &[SegmentName] {
        &self.segments
    }

    fn members(&self, values: &[Option<i64>]) -> Vec<bool> {
        vec![values.first().copied().flatten().is_some_and(|days| days >= 2)]
    }
}

struct Night {
    house: House,
    clock: Arc<ManualClock>,
    people: Vec<ProfileId>,
}

/// Five people with an order of today: three slices of a turn.
fn night() -> Night {
    let House { vault, household, options, folder } = house(EngineKind::Redb);
    drop(vault);
    let clock = Arc::new(ManualClock::new(household.clock.now()));
    let projection = Days {
        columns: vec![TraitColumn {
            name: TraitName::parse("days_since_order").unwrap(),
            event: EventName::parse("Order Completed").unwrap(),
        }],
        segments: vec![SegmentName::parse("lapsed").unwrap()],
    };
    let clock_of_house: Arc<dyn model::Clock> = Arc::clone(&clock) as _;
    let household = Household { clock: clock_of_house, projection: Arc::new(projection), ..household };
    let vault = Vault::open(&options, household.clone()).unwrap();
    let house = House { vault, household, options, folder };
    let mut people = Vec::new();
    for name in ["ada", "ben", "cleo", "dan", "eve"] {
        people.push(house.vault.consent(house.answer_of(name)).unwrap().wait().unwrap().profile.unwrap());
        let user = Identifier { kind: IdentifierKind::User, value: name.into() };
        let subject = Subject::Identifiers { user: Some(user), anonymous: None };
        let order = Intake { subject, ..house.order(name) };
        assert!(matches!(house.vault.take(vec![order]).unwrap().wait().unwrap()[0], Outcome::Kept { .. }));
    }
    Night { house, clock, people }
}

impl Night {
    fn portal(&self) -> model::ArtefactId {
        self.house.household.promise.artefact(ArtefactKind::Page, promise::Artefact::PORTAL).unwrap().id
    }

    /// What a person sees of the trait, through a handle.
    fn sees(&self, vault: &Vault, person: ProfileId) -> Option<i64> {
        let snapshot = vault.snapshot();
        let permit = snapshot.permit(person, self.portal()).unwrap();
        let name = model::FactName::Trait(TraitName::parse("days_since_order").unwrap());
        let fact = permit.fact(&name).unwrap()?;
        match fact.reveal().value {
            model::Value::Number(days) => Some(days),
            _ => None,
        }
    }

    fn no(&self, person: ProfileId) -> ConsentChange {
        ConsentChange { subject: Subject::Profile(person), ..self.house.answer(ConsentStatus::Withdrawn) }
    }
}

/// Waits for what another thread tells; a minute is for ever.
fn told<T>(tells: &Receiver<T>) -> T {
    tells.recv_timeout(Duration::from_secs(60)).expect("somebody waited for the committer")
}

#[test]
fn what_people_take_back_waits_neither_for_the_committer_nor_for_midnight() {
    let night = night();
    let person = night.house.vault.of(Urgency::Person);
    let (go, goes) = channel::<()>();
    night.house.vault.inner.house.failpoints.at_each(move |_| {
        let _ = goes.recv();
    });
    night.clock.advance_days(2);
    let (tell, tells) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            person.consent(night.no(night.people[0])).unwrap().wait().unwrap();
            let verdict = night.house.verdict(&person, night.people[0]);
            // Nobody is told what was true two days ago: a person sees their own value as of today, a set sees none.
            let snapshot = person.snapshot();
            let set = snapshot
                .permit_set(night.house.household.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id);
            let members = set.unwrap().within(&SegmentName::parse("lapsed").unwrap()).unwrap().people().count();
            tell.send((verdict, night.sees(&person, night.people[1]), members)).unwrap();
        });
        assert_eq!(told(&tells), (Some(RefusalReason::Withdrawn), Some(2), 0));
    });
    drop(go);
    // Whoever waits sees everybody as of today.
    assert_eq!(night.sees(&night.house.vault, night.people[1]), Some(2));
    let snapshot = night.house.vault.snapshot();
    let campaign = night.house.household.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
    let set = snapshot.permit_set(campaign).unwrap().within(&SegmentName::parse("lapsed").unwrap()).unwrap();
    assert_eq!(set.people().count(), 4, "all but the one who took it back");
}

#[test]
fn others_are_served_between_the_slices_of_midnight() {
    let night = night();
    let (tell, tells) = channel();
    let (go, goes) = channel::<()>();
    night.house.vault.inner.house.failpoints.at_each(move |name| {
        if name == "turn_slice" {
            tell.send(()).unwrap();
            let _ = goes.recv();
        }
    });
    night.clock.advance_days(2);
    let turned = crate::open::send(&night.house.vault, crate::commit::Command::Turn).unwrap();
    told(&tells);
    // A slice is held; this comes after it.
    let (mut order, mut turned) = (night.house.vault.take(vec![night.house.order("later")]).unwrap(), turned);
    let outcome = loop {
        match order.try_now() {
            Some(outcome) => break outcome.unwrap(),
            None => go.send(()).unwrap(),
        }
        told(&tells);
    };
    assert!(matches!(outcome[0], Outcome::Kept { .. }));
    assert!(turned.try_now().is_none(), "served while everybody else still moves");
    drop(go);
    turned.wait().unwrap();
    assert_eq!(night.sees(&night.house.vault, night.people[4]), Some(2));
}
