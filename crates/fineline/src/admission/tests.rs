//! Shares, room and waits, with a clock whose ticks are moved and a queue that is said to wait.

use super::*;
use model::At;
use model::chance::Seeded;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock whose ticks a test moves.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> At {
        At::parse("2026-11-23T12:00:00Z").unwrap()
    }

    fn ticks(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Gate {
    admission: Admission,
    ticks: Arc<Ticks>,
    /// How long the oldest in the queue is said to wait, in milliseconds.
    oldest: Arc<AtomicU64>,
    shop: String,
    web: String,
}

fn gate() -> Gate {
    let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
    let (ticks, oldest) = (Arc::new(Ticks::default()), Arc::new(AtomicU64::new(0)));
    let (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>) = (ticks.clone(), Arc::new(Seeded::new(3)));
    let vault = Vault::in_memory(crate::house::household_with(promise.clone(), clock.clone(), rng.clone())).unwrap();
    let key = |name: &str| vault.issue_source_key(&SourceName::parse(name).unwrap(), false).unwrap().wait().unwrap();
    let (shop, web) = (key("shop"), key("web"));
    let mut admission = Admission::new(vault, promise, clock, rng).waiting_at_most(Duration::from_millis(200));
    let said = oldest.clone();
    admission.oldest_wait = Box::new(move || Duration::from_millis(said.load(Ordering::SeqCst)));
    Gate { admission, ticks, oldest, shop, web }
}

impl Gate {
    fn ask(&self, urgency: Urgency, key: Option<&str>, address: &str, n_bytes: usize) -> Result<Admitted, Shed> {
        let address = Some(address.parse().unwrap());
        self.admission.ask(&Ask { urgency, key, address, n_bytes: Some(n_bytes) })
    }

    /// A browser's small event.
    fn beacon(&self, address: &str) -> Result<Admitted, Shed> {
        self.ask(Urgency::Browser, Some(&self.web), address, 100)
    }
}

#[test]
fn one_address_has_its_share_and_a_household_of_ipv6_is_one_address() {
    let gate = gate();
    let n = (0..10_000).map_while(|_| gate.beacon("203.0.113.7").ok()).count();
    assert_eq!(n, PER_ADDRESS.burst as usize);
    assert!(matches!(gate.beacon("203.0.113.7"), Err(Shed::Quota(1..=4))));
    gate.beacon("203.0.113.8").unwrap();
    let n = (0..10_000).map_while(|n| gate.beacon(&format!("2001:db8:1:2::{n:x}")).ok()).count();
    assert_eq!(n, PER_ADDRESS.burst as usize, "whoever has one has all of them");
    gate.beacon("2001:db8:1:3::1").unwrap();
    gate.ticks.0.store(1_000, Ordering::SeqCst);
    let n = (0..10_000).map_while(|_| gate.beacon("203.0.113.7").ok()).count();
    assert_eq!(n, PER_ADDRESS.per_second as usize);
}

#[test]
fn a_companys_server_is_known_by_its_key_and_has_a_share_of_its_own() {
    let gate = gate();
    let send = |n_bytes| gate.ask(Urgency::Server, Some(&gate.shop), "203.0.113.7", n_bytes);
    assert_eq!((0..5_000).map_while(|_| send(100).ok()).count(), 5_000, "no address is counted");
    let n = (0..1_000).map_while(|_| send(500 << 10).ok()).count();
    assert!((60..=80).contains(&n), "{n} large bodies at once, and the rest of the bucket");
    assert!(matches!(send(500 << 10), Err(Shed::Quota(_))));
    gate.ask(Urgency::Browser, Some(&gate.web), "203.0.113.7", 100).unwrap();
}

#[test]
fn one_key_takes_half_of_the_room_for_bodies_and_each_urgency_leaves_some_to_the_more_urgent() {
    let gate = gate();
    let mut held = Vec::new();
    let mut fill = |urgency, key: Option<&str>, address: &str| {
        let before = held.len();
        for _ in 0..1_000 {
            // Its quota is not what is looked at here.
            gate.ticks.0.fetch_add(1_000, Ordering::SeqCst);
            match gate.ask(urgency, key, address, 1 << 20) {
                Ok(admitted) => held.push(admitted),
                Err(shed) => {
                    assert!(matches!(shed, Shed::Overload(1..=5)), "{shed:?}");
                    break;
                }
            }
        }
        held.len() - before
    };
    let (whole, of_key) = (IN_FLIGHT_BYTES_MAX >> 20, 32);
    assert_eq!(fill(Urgency::Server, Some(&gate.shop), "203.0.113.1"), of_key);
    let browsers = fill(Urgency::Browser, None, "203.0.113.2");
    assert!(browsers < whole / 3, "{browsers}");
    assert!(fill(Urgency::Decision, None, "203.0.113.3") >= whole / 10, "room that browsers cannot take");
    let person = Ask { urgency: Urgency::Person, key: None, address: None, n_bytes: Some(10 << 20) };
    assert!(gate.admission.ask(&person).is_ok());
    held.clear();
    assert!(gate.ask(Urgency::Server, Some(&gate.shop), "203.0.113.1", 1 << 20).is_ok(), "given back");
}

#[test]
fn a_queue_that_waits_turns_events_away_and_neither_decisions_nor_people() {
    let gate = gate();
    gate.oldest.store(201, Ordering::SeqCst);
    let ask = |urgency| gate.ask(urgency, None, "203.0.113.1", 100).map(drop);
    for urgency in [Urgency::Server, Urgency::Browser, Urgency::Background] {
        assert!(matches!(ask(urgency), Err(Shed::Overload(1..=5))), "{urgency:?}");
    }
    assert_eq!((ask(Urgency::Decision), ask(Urgency::Person)), (Ok(()), Ok(())));
    gate.oldest.store(200, Ordering::SeqCst);
    assert_eq!(ask(Urgency::Browser), Ok(()));
    let waits: std::collections::BTreeSet<u64> = (0..100).map(|_| gate.admission.overload().retry_after()).collect();
    assert!(waits.len() > 3, "not all come back at once: {waits:?}");
}

#[test]
fn only_our_proxies_may_say_from_where_somebody_comes() {
    let gate = gate();
    let admission = gate.admission.behind(vec!["10.0.0.2".parse().unwrap()]);
    let address = |peer: &str, said: &str| {
        admission.address(Some(peer.parse().unwrap()), Some(said)).map(|address| address.to_string())
    };
    assert_eq!(address("198.51.100.1", "203.0.113.9").as_deref(), Some("198.51.100.1"), "a stranger's word");
    assert_eq!(address("10.0.0.2", "203.0.113.9").as_deref(), Some("203.0.113.9"));
    assert_eq!(address("::ffff:10.0.0.2", "6.6.6.6, 203.0.113.9, 10.0.0.2").as_deref(), Some("203.0.113.9"));
    assert_eq!(address("127.0.0.1", ""), None);
    assert_eq!(address("127.0.0.1", "2001:db8::1").as_deref(), Some("2001:db8::1"));
}
