//! A full disk: nothing is taken but what people take back, and that holds like on any other day.

use super::*;
use crate::room::{DISK_KEPT_PERCENT, DiskRoom};

const TOTAL: u64 = 10 << 30;

impl House {
    /// The disk has so many bytes free from now on, the ballast not counted.
    fn disk_has(&self, free: u64) {
        *self.vault.inner.house.room.disk.lock().unwrap() = Some((free, TOTAL));
    }

    fn minds(&self) -> DiskRoom {
        self.vault.mind_disk(DISK_KEPT_PERCENT).unwrap().room
    }

    fn people(&self, names: &[&str]) -> Vec<ProfileId> {
        let yes = |name: &&str| self.vault.consent(self.answer_of(name)).unwrap().wait().unwrap();
        names.iter().map(|name| yes(name).profile.unwrap()).collect()
    }

    /// The three ways to say less, each by another person; all are obeyed at once.
    fn all_say_less(&self, people: &[ProfileId]) {
        let [withdraws, alone, leaves] = *people else { panic!("three people") };
        let no = ConsentChange { subject: Subject::Profile(withdraws), ..self.answer(ConsentStatus::Withdrawn) };
        assert!(self.vault.consent(no).unwrap().wait().unwrap().receipt.is_some());
        self.vault.reduce(alone, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
        assert!(!self.vault.erase(leaves, Erasure::Now).unwrap().wait().unwrap().receipt.is_empty());
        self.less_holds(&self.vault, people);
    }

    fn less_holds(&self, vault: &Vault, people: &[ProfileId]) {
        let expected = [RefusalReason::Withdrawn, RefusalReason::Restrained, RefusalReason::NoSuchPerson];
        for (person, expected) in people.iter().zip(expected) {
            assert_eq!(self.verdict(vault, *person), Some(expected));
        }
    }

    fn takes_nothing(&self) {
        assert!(matches!(self.vault.take(vec![self.order("x")]), Err(VaultError::DiskFull)));
        assert!(matches!(self.vault.consent(self.answer(ConsentStatus::Given)), Err(VaultError::DiskFull)));
        assert!(matches!(self.vault.rotate(), Err(VaultError::DiskFull)));
        assert!(matches!(self.vault.sweep(), Err(VaultError::DiskFull)));
        assert!(self.vault.is_disk_full());
    }
}

#[test]
fn c22_on_a_full_disk_people_are_obeyed_and_nothing_else_is_taken() {
    for engine in ENGINES {
        // Room for some batches of what is owed, and room for the urgent log alone.
        for free in [32 << 20, 0] {
            let house = house(engine);
            let people = house.people(&["ada", "ben", "cleo"]);
            house.disk_has(TOTAL / 2);
            assert_eq!(house.minds(), DiskRoom::Plenty);
            let before = house.vault.n_batches();
            house.disk_has(free);
            assert_eq!(house.minds(), DiskRoom::Full);
            house.takes_nothing();
            house.all_say_less(&people);
            // Any command that is served comes after everything that was taken before it.
            let _ = house.vault.backup().unwrap().wait();
            house.less_holds(&house.crashed(), &people);
            let after = house.vault.n_batches();
            assert_eq!(after > before, free > 0, "{engine:?}: only where there is room is the store written");
            house.disk_has(TOTAL / 2);
            assert_eq!(house.minds(), DiskRoom::Plenty);
            house.vault.take(vec![house.order("y")]).unwrap().wait().unwrap();
            house.less_holds(&house.vault, &people);
            let House { vault, household, options, folder: _folder } = house;
            vault.close().unwrap();
            drop(vault);
            let again = Vault::open(&options, household).unwrap();
            assert!(again.snapshot().permit(people[2], again.snapshot().artefacts()[0].id).is_err());
        }
    }
}

#[test]
fn c22_a_store_that_broke_off_in_a_write_still_obeys_and_opens_again() {
    for engine in ENGINES {
        let house = house(engine);
        let people = house.people(&["ada", "ben", "cleo"]);
        house.vault.inner.house.room.break_off();
        house.takes_nothing();
        house.all_say_less(&people);
        assert!(house.vault.mind_disk(DISK_KEPT_PERCENT).unwrap().is_broken_off);
        let unknown = ConsentChange { status: ConsentStatus::Withdrawn, ..house.answer_of("nobody yet") };
        let answer = house.vault.consent(unknown).unwrap().wait();
        assert!(matches!(answer, Err(VaultError::DiskFull)), "{engine:?}: said so, not left waiting");
        let House { vault, household, options, folder } = house;
        vault.close().unwrap();
        drop(vault);
        let vault = Vault::open(&options, household.clone()).unwrap();
        let house = House { vault, household, options, folder };
        house.less_holds(&house.vault, &people);
        house.vault.take(vec![house.order("y")]).unwrap().wait().unwrap();
    }
}
