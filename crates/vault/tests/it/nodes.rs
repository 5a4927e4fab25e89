//! Two nodes over one PostgreSQL: neither holds a truth of its own. Caps, wishes, erasures and profiles are what they would be
//! with one node, and what was acknowledged at one holds at the other.

use crate::cap::five_campaigns;
use crate::fixture::{House, computed, postgres, user};
use crate::sending::decision;
use crate::{local, proxy};
use model::{ConsentStatus, ProfileId, Value};
use promise::{ArtefactKind, RefusalReason};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::Barrier;
use vault::{
    AttemptEnd, EngineKind, ErasedWho, Erasure, NotBegun, NotUndone, Outcome, OutcomeReason, Reduction, Server,
    Subject, UndoneBy, Vault, VaultError,
};

/// A house with two nodes; `None`, said aloud, where there is no server.
fn two(text: &str) -> Option<(House, Vault)> {
    let house = House::with(postgres()?, text);
    let other = house.another_node(1_007);
    Some((house, other))
}

/// Afterwards a node knows what was committed before.
fn settle(vault: &Vault) {
    vault.put_items(Vec::new()).unwrap().wait().unwrap();
}

/// A message to a customer, waiting to be sent.
fn message(house: &House, person: ProfileId, run: u32) -> model::MessageId {
    let id = house.vault.decide(decision(house, person, run)).unwrap().wait().unwrap().unwrap();
    let due = house.vault.snapshot().outbox_due(10).unwrap();
    due.into_iter().find(|entry| entry.decision == id).unwrap().message
}

#[test]
fn d17_a_withdrawal_acknowledged_at_one_node_stops_a_send_at_the_other() {
    let Some((house, other)) = two(promise::fixture::SHOP) else { return };
    // Before the other node begins, and after it has begun and before its second look; drained and not yet drained.
    for (name, is_begun, is_drained) in
        [("ada", false, false), ("bob", false, true), ("cyd", true, false), ("dan", true, true), ("eve", true, false)]
    {
        let person = house.customer(name, 3, 100);
        let message = message(&house, person, 1);
        let begin = || other.begin_attempt(message).unwrap().wait().unwrap();
        let withdraw = || {
            match name {
                "eve" => drop(house.vault.reduce(person, Reduction::LeaveMeAlone).unwrap().wait().unwrap()),
                _ => drop(house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn)),
            }
            if is_drained {
                settle(&house.vault);
            }
        };
        if is_begun {
            let attempt = begin().unwrap();
            other.look(person, attempt.consent_seq).unwrap();
            withdraw();
            let refused = other.look(person, attempt.consent_seq).unwrap_err();
            assert_eq!(refused.reason, RefusalReason::ChangedMeanwhile, "{name}");
            other.finish_attempt(attempt, AttemptEnd::Refused(refused)).unwrap().wait().unwrap();
        } else {
            withdraw();
            match begin() {
                Err(NotBegun::Refused(refusal)) => assert_eq!(refusal.reason, RefusalReason::Withdrawn, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        let campaign = house.campaign();
        settle(&other);
        assert!(other.snapshot().permit(person, campaign).is_err(), "{name}");
        assert!(house.vault.snapshot().permit(person, campaign).is_err(), "{name}");
    }
}

#[test]
fn c16_two_nodes_never_break_one_persons_cap() {
    let Some((house, other)) = two(&five_campaigns()) else { return };
    for round in 0..4 {
        let person = house.customer(&format!("ada-{round}"), 3, 100);
        settle(&other);
        let campaigns: Vec<_> = house.promise.campaigns.keys().cloned().collect();
        let together = Barrier::new(campaigns.len());
        let (house, other) = (&house, &other);
        let n_sent: usize = std::thread::scope(|scope| {
            let send = |(n, campaign): (usize, &model::CampaignName)| {
                let vault = if n % 2 == 0 { &house.vault } else { other };
                let mut new = decision(house, person, u32::try_from(n).unwrap());
                new.campaign = campaign.clone();
                new.artefact = house.artefact(ArtefactKind::Campaign, campaign.as_str());
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    let id = vault.decide(new).unwrap().wait().unwrap().unwrap();
                    together.wait();
                    let due = vault.snapshot().outbox_due(100).unwrap();
                    let Some(entry) = due.into_iter().find(|entry| entry.decision == id) else { return 0 };
                    let Ok(attempt) = vault.begin_attempt(entry.message).unwrap().wait().unwrap() else { return 0 };
                    if vault.look(attempt.person, attempt.consent_seq).is_err() {
                        return 0;
                    }
                    vault.finish_attempt(attempt, AttemptEnd::Sent).unwrap().wait().unwrap();
                    1
                })
            };
            let threads: Vec<_> = campaigns.iter().enumerate().map(send).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(n_sent, 2, "two in a week, over both nodes");
    }
}

#[test]
fn events_for_one_person_from_both_nodes_fold_to_one_right_profile() {
    let Some((house, other)) = two(promise::fixture::SHOP) else { return };
    let n_each = 12;
    std::thread::scope(|scope| {
        for (vault, begin) in [(&house.vault, 0), (&other, n_each)] {
            let house = &house;
            scope.spawn(move || {
                for n in begin..begin + n_each {
                    let at = house.now().plus_days(-1 - n);
                    let taken = vault.take(vec![house.order("ada", at, &format!("ada-{n}"))]).unwrap().wait().unwrap();
                    assert!(matches!(taken[0], Outcome::Kept { .. }), "{taken:?}");
                    // What one node took, the other counts as seen.
                    let again = vault.take(vec![house.order("ada", at, &format!("ada-{n}"))]).unwrap().wait().unwrap();
                    assert_eq!(again[0], Outcome::Repeated);
                }
            });
        }
    });
    let repeated = other.take(vec![house.order("ada", house.now().plus_days(-1), "ada-0")]).unwrap().wait().unwrap();
    assert_eq!(repeated[0], Outcome::Repeated);
    settle(&house.vault);
    let total = i64::from(2 * n_each);
    for vault in [&house.vault, &other, &house.another_node(77)] {
        let snapshot = vault.snapshot();
        let person = snapshot.find(&user("ada")).expect("one person");
        let portal = snapshot.permit(person, house.portal()).unwrap();
        let facts = portal.facts();
        let orders = facts.iter().find(|view| view.reveal().fact.name == computed("orders_all")).unwrap();
        assert_eq!(orders.reveal().fact.value, Value::Number(total));
        assert_eq!(portal.all_events(100).unwrap().len(), 24);
        assert_eq!(snapshot.permit_set(house.portal()).unwrap().people().count(), 1, "and nobody else");
    }
}

#[test]
fn d10_whoever_was_erased_at_one_node_is_gone_at_the_other() {
    let Some((house, other)) = two(promise::fixture::SHOP) else { return };
    for (name, how) in [("ada", Erasure::Now), ("bob", Erasure::WithinADay)] {
        let person = house.customer(name, 3, 100);
        let message = message(&house, person, 1);
        let attempt = other.begin_attempt(message).unwrap().wait().unwrap().unwrap();
        house.vault.erase(person, how).unwrap().wait().unwrap();
        let refused = other.look(person, attempt.consent_seq).unwrap_err();
        assert_eq!(refused.reason, RefusalReason::NoSuchPerson);
        other.finish_attempt(attempt, AttemptEnd::Refused(refused)).unwrap().wait().unwrap();
        for vault in [&other, &house.vault] {
            let again =
                vault.take(vec![house.order(name, house.now().plus_days(-3), "again")]).unwrap().wait().unwrap();
            assert!(matches!(again[0], Outcome::Refused { reason: OutcomeReason::Erased, .. }), "{again:?}");
            let snapshot = vault.snapshot();
            assert_eq!(snapshot.find(&user(name)), None);
            assert!(snapshot.permit(person, house.portal()).is_err());
        }
        let twice = other.erase(person, how).unwrap().wait().unwrap();
        let once = house.vault.erase(person, how).unwrap().wait().unwrap();
        assert_eq!(once.request, twice.request, "one erasure, one request");
    }
    let both = [1, 2].map(|n| house.customer(&format!("both-{n}"), 1, 10));
    settle(&other);
    std::thread::scope(|scope| {
        for (vault, person) in [(&house.vault, both[0]), (&other, both[1])] {
            scope.spawn(move || vault.erase(person, Erasure::Now).unwrap().wait().unwrap());
        }
    });
    settle(&house.vault);
    let house = house.reopened();
    assert_eq!(house.vault.snapshot().permit_set(house.portal()).unwrap().people().count(), 0);
}

#[test]
fn a_rotation_at_one_node_loses_nothing_that_the_other_writes_meanwhile() {
    let Some((house, other)) = two(promise::fixture::SHOP) else { return };
    let people: Vec<_> = (0..6).map(|n| house.customer(&format!("old-{n}"), 1, 10)).collect();
    let before = house.vault.rotation().version;
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| house.vault.rotate().unwrap().wait().unwrap());
        let also = scope.spawn(|| other.rotate().unwrap().wait());
        for n in 0..20 {
            let taken =
                other.take(vec![house.order(&format!("new-{n}"), house.now().plus_days(-2), &format!("new-{n}"))]);
            assert!(matches!(taken.unwrap().wait().unwrap()[0], Outcome::Kept { .. }));
        }
        rotating.join().unwrap();
        also.join().unwrap().unwrap();
    });
    settle(&house.vault);
    settle(&other);
    assert!(house.vault.rotation().version > before);
    assert_eq!(house.vault.rotation().version, other.rotation().version);
    let house = house.reopened();
    for vault in [&house.vault, &other] {
        let snapshot = vault.snapshot();
        for person in &people {
            assert_eq!(snapshot.permit(*person, house.portal()).unwrap().all_events(10).unwrap().len(), 1);
        }
        for n in 0..20 {
            let person = snapshot.find(&user(&format!("new-{n}"))).unwrap();
            assert_eq!(snapshot.permit(person, house.portal()).unwrap().all_events(10).unwrap().len(), 1);
        }
    }
}

#[test]
fn reviews_keys_and_records_of_one_node_are_the_others() {
    let Some((house, other)) = two(promise::fixture::SHOP) else { return };
    let web = model::SourceName::parse("web").unwrap();
    let key = house.vault.issue_source_key(&web, false).unwrap().wait().unwrap();
    house.vault.put_house_record("campaign/win_back", Some(b"{}".to_vec())).unwrap().wait().unwrap();
    settle(&other);
    assert_eq!(other.source_of_key(&key), Some(web));
    assert_eq!(other.snapshot().house_record("campaign/win_back").unwrap().as_deref(), Some(b"{}".as_slice()));
    assert!(house.vault.is_leading());
    assert!(!other.is_leading(), "one of them does what recurs");
    let checkpoint = other.snapshot().log_checkpoint().unwrap();
    assert_eq!(checkpoint, house.vault.snapshot().log_checkpoint().unwrap(), "one log");
}

#[test]
fn a_schema_takes_one_house_and_a_folder_opens_its_own_alone() {
    let Some(engine) = postgres() else { return };
    let house = House::over(engine);
    let (options, household) = house.parts();
    let elsewhere = tempfile::tempdir().unwrap();
    let second = vault::Options {
        data: elsewhere.path().join("data"),
        root: elsewhere.path().join("root").into(),
        ..options.clone()
    };
    let refused = Vault::create(&second, household).unwrap_err().to_string();
    assert!(refused.contains("holds the rows of a house already"), "{refused}");
    assert!(!second.data.exists(), "nothing was made");
    // A making that was cut short after its folder can be made again; a house that was served, or has a store, is not taken over.
    let fresh = vault::Options { engine: postgres().unwrap(), ..second.clone() };
    let made = Vault::create(&fresh, household).unwrap();
    let again = vault::Options { engine: postgres().unwrap(), ..fresh.clone() };
    assert_eq!(Vault::create(&again, household).unwrap(), made);
    drop(Vault::open(&again, household.clone()).unwrap());
    let third = vault::Options { engine: postgres().unwrap(), ..fresh.clone() };
    assert!(matches!(Vault::create(&third, household), Err(VaultError::HouseExists { .. })));
    let empty = vault::Options { engine: postgres().unwrap(), ..options.clone() };
    let refused = Vault::open(&empty, household.clone()).unwrap_err().to_string();
    assert!(refused.contains("it holds no house"), "{refused}");
    let stranger = House::seeded(engine, promise::fixture::SHOP, 8);
    let foreign = vault::Options { engine: stranger.parts().0.engine, ..options.clone() };
    let refused = Vault::open(&foreign, household.clone()).unwrap_err().to_string();
    assert!(refused.contains("another house"), "{refused}");
}

/// Somebody who has the turn and does nothing with it.
struct Holder(Child);

impl Holder {
    fn of(address: &str) -> Self {
        let mut psql = local::psql(address).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(psql.stdin.as_mut().unwrap(), "begin; select number from head for update;").unwrap();
        let mut line = String::new();
        BufReader::new(psql.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self(psql)
    }

    fn let_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn at(address: &str) -> EngineKind {
    EngineKind::Postgres(Server::new(address, None, None).unwrap())
}

fn status(vault: &Vault, house: &House, person: ProfileId) -> Option<ConsentStatus> {
    let snapshot = vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    permit.ledger().unwrap().last().map(|entry| entry.reveal().status)
}

/// A long batch of one node holds up no wish, and a no that is acknowledged while a yes waits elsewhere is the last word.
#[test]
fn a_no_waits_for_no_turn_and_overtakes_a_yes_that_waits_at_another_node() {
    let Some(address) = local::schema() else { return };
    let house = House::exactly(at(&address), promise::fixture::SHOP, 7);
    let other = house.another_node(1_007);
    let person = house.customer("ada", 3, 100);
    house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
    settle(&house.vault);
    settle(&other);
    house.clock.advance_ms(1_000);
    let turn = Holder::of(&address);
    let yes = other.consent(house.answer(Subject::Profile(person), "offers", ConsentStatus::Given)).unwrap();
    house.clock.advance_ms(1_000);
    let no = house.consent(Subject::Profile(person), "offers", ConsentStatus::Refused);
    assert!(no.consent.is_some(), "acknowledged while somebody else has the turn");
    turn.let_go();
    yes.wait().unwrap();
    for vault in [&house.vault, &other] {
        settle(vault);
        assert!(!status(vault, &house, person).unwrap().is_given());
        assert!(vault.snapshot().permit(person, house.campaign()).is_err());
    }
    // A yes that comes after it counts, at whichever node.
    house.clock.advance_ms(1_000);
    let later = other.consent(house.answer(Subject::Profile(person), "offers", ConsentStatus::Given)).unwrap();
    later.wait().unwrap();
    for vault in [&house.vault, &other] {
        settle(vault);
        assert_eq!(status(vault, &house, person), Some(ConsentStatus::Given));
    }
}

#[test]
fn a_database_that_is_away_is_said_and_everything_acknowledged_is_there_when_it_is_back() {
    let Some(address) = local::schema() else { return };
    let proxy = proxy::Proxy::before(&address);
    let house = House::exactly(at(&proxy.address), promise::fixture::SHOP, 7);
    let ada = house.customer("ada", 3, 100);
    let bob = house.customer("bob", 3, 100);
    let message = message(&house, bob, 1);
    let attempt = house.vault.begin_attempt(message).unwrap().wait().unwrap().unwrap();
    let away = |error: VaultError| assert!(matches!(error, VaultError::Away { .. }), "{error:?}");
    for round in 0..2 {
        proxy.go_away();
        let no = house.answer(Subject::Profile(ada), "offers", ConsentStatus::Withdrawn);
        away(house.vault.consent(no.clone()).map(|_| ()).unwrap_err());
        away(house.vault.erase(bob, Erasure::Now).map(|_| ()).unwrap_err());
        let order = house.order("ada", house.now().plus_days(-1), &format!("away-{round}"));
        let taken = || house.vault.take(vec![order.clone()]).unwrap().wait();
        away(taken().unwrap_err());
        assert!(house.vault.look(bob, attempt.consent_seq).is_err(), "what cannot be asked has not been allowed");
        proxy.come_back();
        assert!(matches!(taken().unwrap()[0], Outcome::Kept { .. }));
        assert_eq!(taken().unwrap()[0], Outcome::Repeated);
        assert_eq!(house.vault.look(bob, attempt.consent_seq), Ok(()));
    }
    let house = house.reopened();
    let snapshot = house.vault.snapshot();
    assert_eq!(snapshot.permit(ada, house.portal()).unwrap().all_events(10).unwrap().len(), 5);
    assert!(snapshot.permit(ada, house.campaign()).is_ok(), "a no that was not acknowledged");
    drop(snapshot);
    house.consent(Subject::Profile(ada), "offers", ConsentStatus::Withdrawn);
    house.vault.erase(bob, Erasure::Now).unwrap().wait().unwrap();
    let house = house.reopened();
    assert!(house.vault.snapshot().permit(ada, house.campaign()).is_err());
    assert_eq!(house.find("bob"), None);
    proxy.go_away();
    away(house.vault.close().unwrap_err());
    drop(house);
}

/// F11 through the whole house: at each COMMIT the line may be cut before or after.
#[test]
fn a_line_cut_at_commit_loses_no_event_and_doubles_none() {
    let Some(address) = local::schema() else { return };
    let proxy = proxy::Proxy::before(&address);
    let house = House::exactly(at(&proxy.address), promise::fixture::SHOP, 7);
    let other = Vault::open(
        &vault::Options { engine: at(&address), ..house.parts().0.clone() },
        vault::Household { rng: std::sync::Arc::new(model::chance::Seeded::new(99)), ..house.parts().1.clone() },
    )
    .unwrap();
    for n in 0..12 {
        proxy.next(if n % 2 == 0 { proxy::Cut::AfterCommit } else { proxy::Cut::BeforeCommit });
        let outcome = house.take(house.order("ada", house.now().plus_days(-1 - n), &format!("cut-{n}")));
        assert!(matches!(outcome, Outcome::Kept { .. }), "{outcome:?}");
        if n % 3 == 0 {
            settle(&other);
        }
    }
    assert_eq!(proxy.n_cuts(), 12);
    settle(&other);
    let snapshot = other.snapshot();
    let person = snapshot.find(&user("ada")).unwrap();
    assert_eq!(snapshot.permit(person, house.portal()).unwrap().all_events(50).unwrap().len(), 12);
}

/// Another node writes while nobody knows what became of a batch: it is judged anew, by whoever asks again.
#[test]
fn a_batch_that_was_overtaken_while_its_line_was_cut_is_asked_for_again() {
    let Some(address) = local::schema() else { return };
    let proxy = proxy::Proxy::before(&address);
    let house = House::exactly(at(&address), promise::fixture::SHOP, 7);
    let through = Vault::open(
        &vault::Options { engine: at(&proxy.address), ..house.parts().0.clone() },
        vault::Household { rng: std::sync::Arc::new(model::chance::Seeded::new(99)), ..house.parts().1.clone() },
    )
    .unwrap();
    for (n, cut) in [proxy::Cut::BeforeCommit, proxy::Cut::AfterCommit].into_iter().enumerate() {
        let order = |key: &str| house.order("ada", house.now().plus_days(-1), &format!("{key}-{n}"));
        proxy.next(cut);
        proxy.hold();
        let asked = through.take(vec![order("one")]).unwrap();
        proxy.wait_for_cut();
        assert!(matches!(house.take(order("other")), Outcome::Kept { .. }));
        proxy.let_go();
        let is_there = cut == proxy::Cut::AfterCommit;
        match asked.wait() {
            Ok(outcomes) => assert!(is_there && matches!(outcomes[0], Outcome::Kept { .. }), "{outcomes:?}"),
            Err(error) => assert!(!is_there && matches!(error, VaultError::Away { .. }), "{error:?}"),
        }
        let again = through.take(vec![order("one")]).unwrap().wait().unwrap()[0];
        assert_eq!(matches!(again, Outcome::Repeated), is_there, "{again:?}");
    }
    settle(&through);
    for vault in [&house.vault, &through] {
        settle(vault);
        let snapshot = vault.snapshot();
        let person = snapshot.find(&user("ada")).unwrap();
        assert_eq!(snapshot.permit(person, house.portal()).unwrap().all_events(50).unwrap().len(), 4);
        assert_eq!(snapshot.permit_set(house.portal()).unwrap().people().count(), 1);
    }
}

/// What the server still holds after an erasure (its log, freed pages) opens with no key that there is.
#[test]
fn d10_no_key_that_is_left_opens_what_the_server_still_holds_of_an_erased_person() {
    use vault::census::{Census, Needle, search};
    let Some(engine) = postgres() else { return };
    let house = House::over(engine);
    let person = house.customer("ada", 3, 100);
    house.customer("bob", 3, 100);
    let (data, root) = (house.parts().0.data.clone(), house.parts().0.root.clone());
    let server = local::folder().unwrap().to_path_buf();
    let folders = [data.clone(), server.clone()];
    let words = || Needle::new("email", b"ada@shop.example").into_iter().collect::<Vec<_>>();
    let census = || {
        let mut census = Census::begin(&data, &root, &folders).unwrap();
        census.read_store(house.parts().0.engine, std::path::Path::new("")).unwrap();
        census
    };
    let before = census();
    let notes = before.note(&person).unwrap();
    let reach = before.reach(&notes, &words());
    assert!(reach.n_rows_opened > 0 && !reach.reached.is_empty(), "control: a living person is in reach");
    drop(before);
    let holds = |needle: &[u8]| {
        search(std::slice::from_ref(&server), &[Needle::new("bytes", needle).unwrap()]).unwrap().n_findings
    };
    assert_eq!(search(&folders, &words()).unwrap().n_findings, 0, "no word stands anywhere in clear");
    assert_eq!(holds(b"FLRING1\n"), 0, "the key ring is in no file of the server");
    house.vault.erase(person, Erasure::Now).unwrap().wait().unwrap();
    settle(&house.vault);
    house.vault.rotate().unwrap().wait().unwrap();
    assert!(holds(person.as_bytes()) > 0, "control: the server's log still has the rows");
    let reach = census().reach(&notes, &words());
    assert_eq!((reach.n_rows_opened, reach.reached.len()), (0, 0), "and nothing opens them");
    assert!(house.find("bob").is_some());
}

#[test]
fn d10_an_erasure_is_taken_back_at_any_node_and_holds_at_every_node() {
    let Some((house, other)) = two(promise::fixture::SHOP) else { return };
    let staff = || UndoneBy::Staff { staff: "Ada".into(), reason: "the wrong Mr Smith".into() };
    for (n, (erases, undoes)) in (0..).zip([(&house.vault, &other), (&other, &house.vault), (&other, &other)]) {
        let name = format!("ada-{n}");
        let person = house.customer(&name, 3, 100);
        let request = erases.erase(person, Erasure::WithinADay).unwrap().wait().unwrap().request;
        let undone = undoes.undo_erasure(ErasedWho::Request(request), staff()).unwrap().wait().unwrap().unwrap();
        assert_eq!((undone.person, undone.request), (person, request));
        for vault in [&house.vault, &other] {
            settle(vault);
            assert_eq!(vault.snapshot().find(&user(&name)), Some(person));
            assert!(vault.snapshot().permit(person, house.portal()).is_ok(), "{name}");
            let again = vault.undo_erasure(ErasedWho::Request(request), staff()).unwrap().wait().unwrap();
            assert_eq!(again.unwrap_err(), NotUndone::NobodyWaits, "once, over all nodes");
        }
        // And is written to again, from either.
        let message = message(&house, person, n);
        let attempt = other.begin_attempt(message).unwrap().wait().unwrap().unwrap();
        other.look(person, attempt.consent_seq).unwrap();
        other.finish_attempt(attempt, AttemptEnd::Sent).unwrap().wait().unwrap();
        // Asked for again, it stands, and "now" has no way back at the other node.
        let request = undoes.erase(person, Erasure::Now).unwrap().wait().unwrap().request;
        let late = erases.undo_erasure(ErasedWho::Profile(person), staff()).unwrap().wait().unwrap();
        assert_eq!(late.unwrap_err(), NotUndone::Now);
        assert!(erases.undo_erasure(ErasedWho::Request(request), staff()).unwrap().wait().unwrap().is_err());
        assert!(other.look(person, 0).is_err());
    }
    let house = house.reopened();
    assert_eq!(house.vault.snapshot().permit_set(house.portal()).unwrap().people().count(), 0);
}
