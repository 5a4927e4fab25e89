//! From an erasure to the one state of each recipient, over restarts of the other side, and with nothing of the person on
//! the wire.

use super::*;
use crate::egress::webhook::Reach;
use crate::egress::webhook::tests::{Desk, answer, promise, vault};
use crate::recipient::make_secrets;
use model::chance::Seeded;
use model::time::ManualClock;
use model::{ConsentStatus, Method, ProfileId, PurposeName, RecipientName, RequestId, Words};
use std::sync::Arc;
use vault::{
    ConsentChange, ErasedWho, Erasure, HandOn, Identifier, IdentifierKind, NotHandedOn, RecipientTold, Subject, Told,
    UndoneBy,
};

const ADDRESS: &str = "ada@shop.example";

struct House {
    vault: Vault,
    clock: Arc<ManualClock>,
    caller: Caller,
}

impl House {
    async fn with(host: &str, port: u16) -> Self {
        let (vault, clock) = vault(&promise(host, port));
        make_secrets(&vault, &Seeded::new(4)).await.unwrap();
        Self { vault, clock, caller: Caller::new(Reach::AlsoPrivate).unwrap() }
    }

    async fn person(&self, name: &str) -> ProfileId {
        let user = Identifier { kind: IdentifierKind::User, value: name.into() };
        let change = ConsentChange {
            subject: Subject::Identifiers { user: Some(user), anonymous: None },
            source: None,
            purpose: PurposeName::parse("offers").unwrap(),
            status: ConsentStatus::Given,
            level: None,
            words: Words { text: "Offers?".into(), language: "en".into(), answered_at: self.vault.now() },
            method: Method::Portal,
            notice_version: 1,
            made_up: false,
        };
        self.vault.consent(change).unwrap().await.unwrap().profile.unwrap()
    }

    async fn hand_on(&self, person: ProfileId, to: &str, what: &str) -> Result<String, NotHandedOn> {
        let recipient = RecipientName::parse(to).unwrap();
        self.vault.hand_on(HandOn { person, recipient, what: vec![what.into()] }).unwrap().await.unwrap()
    }

    async fn erase(&self, person: ProfileId, how: Erasure) -> RequestId {
        let request = self.vault.erase(person, how).unwrap().await.unwrap().request;
        self.vault.put_items(Vec::new()).unwrap().await.unwrap();
        request
    }

    async fn step(&self) -> Vec<&'static str> {
        step(&self.vault, &self.caller, 10).await.unwrap().ended.into_keys().collect()
    }

    fn told(&self, request: RequestId) -> RecipientTold {
        self.vault.snapshot().erasure(request).unwrap().unwrap().recipients.remove(0)
    }
}

#[tokio::test]
async fn a08_nothing_leaves_to_anybody_who_is_not_declared_or_is_over_or_does_not_get_it() {
    let house = House::with("127.0.0.1", 9).await;
    let ada = house.person("ada").await;
    assert_eq!(house.hand_on(ada, "warehouse", "your orders").await, Err(NotHandedOn::NotARecipient));
    assert_eq!(house.hand_on(ada, "relay", "your orders").await, Err(NotHandedOn::NotARecipient));
    assert_eq!(house.hand_on(ada, "crm", "your address").await, Err(NotHandedOn::NotDeclared));
    assert_eq!(house.hand_on(ProfileId::from_bytes([9; 16]), "crm", "your orders").await, Err(NotHandedOn::Nobody));
    let reference = house.hand_on(ada, "crm", "your orders").await.unwrap();
    assert_eq!(house.hand_on(ada, "crm", "your orders").await.unwrap(), reference, "one reference per person");
    let bob = house.person("bob").await;
    assert_ne!(house.hand_on(bob, "crm", "your orders").await.unwrap(), reference);
    let portal = house.vault.snapshot().promise().artefact(promise::ArtefactKind::Page, "portal").unwrap().id;
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(ada, portal).unwrap();
    let given: Vec<_> = permit.given().unwrap().iter().map(|given| given.reveal().clone()).collect();
    let [given] = given.as_slice() else { panic!("{given:?}") };
    assert_eq!((given.recipient.as_str(), given.n), ("crm", 2));
    assert!(given.who.contains("Helpful Desk") && given.what == ["your orders"]);
    drop(permit);
    drop(snapshot);
    house.clock.advance_days(60);
    assert_eq!(house.hand_on(ada, "crm", "your orders").await, Err(NotHandedOn::Ended));
}

#[tokio::test]
async fn a08_a_recipient_is_told_once_with_nothing_but_its_own_reference() {
    let desk = Desk::open(&[&answer("202 Accepted", "")]).await;
    let house = House::with("127.0.0.1", desk.port).await;
    let (ada, bob) = (house.person("ada").await, house.person("bob").await);
    let reference = house.hand_on(ada, "crm", "your orders").await.unwrap();
    let request = house.erase(ada, Erasure::Now).await;
    let untold = house.erase(bob, Erasure::Now).await;
    assert_eq!(house.told(request).state, Told::Waiting);
    assert_eq!(house.step().await, ["told"]);
    let told = house.told(request);
    assert_eq!((told.state, told.n_tries, told.why), (Told::Told, 1, None));
    assert!(house.step().await.is_empty(), "one end");
    assert_eq!(desk.n_heard(), 1, "bob got nothing to them, so nothing is said of him");
    assert!(house.vault.snapshot().erasure(untold).unwrap().unwrap().recipients.is_empty());
    let said = desk.heard.lock().unwrap().remove(0);
    assert!(said.contains(&reference));
    for value in [ADDRESS, "ada", &ada.to_string(), &request.to_string()] {
        assert!(!said.contains(value), "{value}: {said}");
    }
    let view = house.vault.snapshot().erasure(request).unwrap().unwrap();
    assert!(view.says.iter().any(|says| says.contains("Helpful Desk Ltd, Ireland was told")), "{:?}", view.says);
    assert!(!view.receipt.contains(&reference), "and the reference has gone");
    assert_eq!(house.vault.snapshot().erase_calls(9).unwrap(), []);
}

#[tokio::test]
async fn a08_a_call_is_tried_again_later_and_later_and_ends_in_one_state() {
    let busy = answer("503 Later", "");
    let yes = answer("200 OK", "{\"erased\": true}");
    let desk = Desk::open(&[&busy, "", &yes]).await;
    let house = House::with("127.0.0.1", desk.port).await;
    let ada = house.person("ada").await;
    house.hand_on(ada, "crm", "your orders").await.unwrap();
    let request = house.erase(ada, Erasure::Now).await;
    assert_eq!(house.step().await, ["busy"]);
    assert_eq!(house.told(request).why.as_deref(), Some("busy"));
    assert!(house.step().await.is_empty(), "not before its time");
    house.clock.advance_ms(60_000);
    assert_eq!(house.step().await, ["down"]);
    house.clock.advance_ms(5 * 60_000 - 1);
    assert!(house.step().await.is_empty(), "five minutes, to the millisecond");
    house.clock.advance_ms(1);
    assert_eq!(house.step().await, ["confirmed"]);
    let told = house.told(request);
    assert_eq!((told.state, told.n_tries, told.why), (Told::Confirmed, 3, None));
    let ids: Vec<String> = desk
        .heard
        .lock()
        .unwrap()
        .iter()
        .map(|said| said.lines().find(|line| line.starts_with("webhook-id")).unwrap().to_owned())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "the same call at every try");
}

#[tokio::test]
async fn a08_what_nobody_answers_ends_as_impossible_within_its_days_and_never_later() {
    let desk = Desk::open(&[&answer("500 No", "")]).await;
    let house = House::with("127.0.0.1", desk.port).await;
    let ada = house.person("ada").await;
    house.hand_on(ada, "crm", "your orders").await.unwrap();
    let request = house.erase(ada, Erasure::Now).await;
    for _ in 0..(LIFE_DAYS + 2) * 24 {
        house.step().await;
        house.clock.advance_ms(3_600_000);
    }
    let told = house.told(request);
    assert_eq!((told.state, told.why.as_deref()), (Told::Impossible, Some("busy")));
    assert!(told.n_tries >= 8 && u64::from(told.n_tries) == desk.n_heard() as u64, "{told:?}");
    assert_eq!(house.vault.snapshot().n_erase_calls_overdue().unwrap(), 0);
}

#[tokio::test]
async fn a08_nobody_is_called_before_the_day_has_passed_and_never_when_it_was_undone() {
    let desk = Desk::open(&[&answer("200 OK", "")]).await;
    let house = House::with("127.0.0.1", desk.port).await;
    let (ada, bob) = (house.person("ada").await, house.person("bob").await);
    house.hand_on(ada, "crm", "your orders").await.unwrap();
    house.hand_on(bob, "crm", "your orders").await.unwrap();
    let undone = house.erase(ada, Erasure::WithinADay).await;
    let stands = house.erase(bob, Erasure::WithinADay).await;
    assert!(house.step().await.is_empty());
    let back = house.vault.undo_erasure(ErasedWho::Request(undone), UndoneBy::Person).unwrap().await.unwrap();
    assert_eq!(back.unwrap().person, ada);
    house.clock.advance_days(1);
    assert_eq!(house.step().await, ["told"]);
    assert_eq!((desk.n_heard(), house.told(stands).state), (1, Told::Told));
    let view = house.vault.snapshot().erasure(undone).unwrap().unwrap();
    assert!(view.recipients.is_empty() && view.taken_back_at.is_some());
    assert!(view.says[0].contains("taken back"), "{:?}", view.says);
    // Said again as "now" while it waits, it waits no longer.
    let cy = house.person("cy").await;
    house.hand_on(cy, "crm", "your orders").await.unwrap();
    let first = house.erase(cy, Erasure::WithinADay).await;
    assert_eq!(house.erase(cy, Erasure::Now).await, first, "one request");
    assert_eq!(house.step().await, ["told"]);
    assert_eq!(house.told(first).state, Told::Told);
}

#[tokio::test]
async fn a08_an_overdue_call_is_counted_for_the_doctor() {
    let house = House::with("127.0.0.1", 9).await;
    let ada = house.person("ada").await;
    house.hand_on(ada, "crm", "your orders").await.unwrap();
    house.erase(ada, Erasure::Now).await;
    house.clock.advance_days(vault::CALLS_WITHIN_DAYS + 1);
    assert_eq!(house.vault.snapshot().n_erase_calls_overdue().unwrap(), 0);
    house.clock.advance_ms(1);
    assert_eq!(house.vault.snapshot().n_erase_calls_overdue().unwrap(), 1, "nobody made the call");
}
