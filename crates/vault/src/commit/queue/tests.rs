//! Lanes: who goes first, who is turned away, and what keeps that fair.

use super::*;
use crate::record::Outcome;
use crate::{ConsentChange, Subject};
use model::{At, ConsentStatus, Method, ProfileId, PurposeName, Words};
use std::sync::atomic::AtomicU64;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// A clock whose ticks a test moves.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> At {
        At::from_ms(0)
    }

    fn ticks(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Both {
    queue: Queue,
    served: Served,
    ticks: Arc<Ticks>,
}

fn both(commands_max: usize) -> Both {
    let ticks = Arc::new(Ticks::default());
    let (queue, served) = queue(commands_max, Arc::clone(&ticks) as Arc<dyn Clock>);
    Both { queue, served, ticks }
}

type Told = oneshot::Receiver<Result<(), VaultError>>;

/// A command that is known again by its name, of about so many bytes.
fn named(name: &str, n_bytes: usize) -> (Command, Told) {
    let (reply, told) = oneshot::channel();
    (Command::HouseRecord(name.to_owned(), Some(vec![0; n_bytes]), reply), told)
}

fn take() -> (Command, oneshot::Receiver<Result<Vec<Outcome>, VaultError>>) {
    let (reply, told) = oneshot::channel();
    (Command::Take(Vec::new(), reply), told)
}

fn answer(status: ConsentStatus) -> Command {
    let change = ConsentChange {
        subject: Subject::Profile(ProfileId::from_bytes([1; 16])),
        source: None,
        purpose: PurposeName::parse("offers").unwrap(),
        status,
        level: None,
        words: Words { text: "May we?".to_owned(), language: "en".to_owned(), answered_at: At::from_ms(0) },
        method: Method::SiteForm,
        notice_version: 1,
        made_up: false,
    };
    Command::Consent(Box::new(change), None, oneshot::channel().0)
}

impl Both {
    fn put(&self, class: Urgency, name: &str) -> Result<(), NotTaken> {
        self.queue.try_send(class, named(name, 0).0)
    }

    fn next(&self) -> String {
        match self.served.try_recv() {
            Next::Command(Command::HouseRecord(name, ..)) => name,
            Next::Command(Command::Consent(..)) => "answer".to_owned(),
            Next::Command(Command::Take(..)) => "take".to_owned(),
            Next::Command(Command::Wake) => "wake".to_owned(),
            Next::Command(_) => "other".to_owned(),
            Next::Nothing => "nothing".to_owned(),
            Next::Over => "over".to_owned(),
        }
    }
}

#[test]
fn the_more_urgent_goes_first_and_within_a_class_the_older() {
    let both = both(100);
    for class in Urgency::ALL.iter().rev() {
        both.put(*class, &format!("{} 1", class.as_str())).unwrap();
        both.put(*class, &format!("{} 2", class.as_str())).unwrap();
    }
    let expected: Vec<String> =
        Urgency::ALL.iter().flat_map(|class| [1, 2].map(|n| format!("{} {n}", class.as_str()))).collect();
    let seen: Vec<String> = std::iter::repeat_with(|| both.next()).take(expected.len()).collect();
    assert_eq!(seen, expected);
    assert_eq!(both.next(), "nothing");
}

#[test]
fn a_full_queue_turns_away_the_less_urgent_and_never_a_person() {
    let both = both(10);
    let fill = |class: Urgency| std::iter::repeat_with(|| both.put(class, "x")).take_while(Result::is_ok).count();
    assert_eq!(fill(Urgency::Background), 5);
    assert_eq!(fill(Urgency::Browser), 3);
    assert_eq!(fill(Urgency::Server), 1);
    assert_eq!(fill(Urgency::Decision), 1);
    assert_eq!(both.put(Urgency::Decision, "x"), Err(NotTaken::Full));
    for _ in 0..1_000 {
        both.put(Urgency::Person, "x").unwrap();
    }
}

#[test]
fn a_few_large_commands_fill_the_queue_as_well_as_many_small_ones() {
    let both = both(1_000);
    let large = |class: Urgency| both.queue.try_send(class, named("large", BYTES_MAX / 10).0);
    let n = std::iter::repeat_with(|| large(Urgency::Browser)).take_while(Result::is_ok).count();
    assert!((6..=8).contains(&n), "{n} of a tenth each");
    assert_eq!(large(Urgency::Browser), Err(NotTaken::Full));
    assert_eq!(both.put(Urgency::Person, "small"), Ok(()));
    // What was taken out makes room again.
    while both.next() != "nothing" {}
    assert_eq!(large(Urgency::Browser), Ok(()));
    // One that is larger than everything is taken when nothing else is there.
    while both.next() != "nothing" {}
    both.queue.try_send(Urgency::Background, named("huge", 2 * BYTES_MAX).0).unwrap();
}

#[test]
fn the_least_urgent_has_its_turn_under_a_lasting_load() {
    let both = both(1_000);
    both.put(Urgency::Background, "report").unwrap();
    let mut n_before = 0;
    loop {
        both.put(Urgency::Decision, "decision").unwrap();
        match both.next().as_str() {
            "report" => break,
            _ => n_before += 1,
        }
    }
    assert!(n_before < FAIR_EVERY, "{n_before}");
}

#[test]
fn a_no_of_somebody_unknown_comes_after_what_may_make_them_known() {
    let both = both(100);
    let (events, _told) = take();
    both.queue.try_send(Urgency::Browser, events).unwrap();
    both.queue.try_send(Urgency::Person, answer(ConsentStatus::Withdrawn)).unwrap();
    both.put(Urgency::Server, "later").unwrap();
    assert_eq!([both.next(), both.next(), both.next()], ["take", "answer", "later"]);
    // A yes has its place in the order of answers already.
    let (events, _told) = take();
    both.queue.try_send(Urgency::Browser, events).unwrap();
    both.queue.try_send(Urgency::Person, answer(ConsentStatus::Given)).unwrap();
    assert_eq!([both.next(), both.next()], ["answer", "take"]);
}

#[test]
fn events_that_waited_too_long_are_turned_away_and_people_are_not() {
    let both = both(100);
    both.queue.waits_at_most(Duration::from_millis(200));
    let (old, mut old_told) = take();
    both.queue.try_send(Urgency::Browser, old).unwrap();
    both.put(Urgency::Person, "person").unwrap();
    both.ticks.0.store(200, Ordering::SeqCst);
    assert_eq!(both.queue.oldest(), Duration::from_millis(200));
    let (new, mut new_told) = take();
    both.queue.try_send(Urgency::Browser, new).unwrap();
    both.ticks.0.store(201, Ordering::SeqCst);
    assert_eq!([both.next(), both.next(), both.next()], ["person", "take", "nothing"]);
    assert!(matches!(old_told.try_recv(), Ok(Err(VaultError::Busy))));
    assert!(matches!(new_told.try_recv(), Err(TryRecvError::Closed)), "it was handed out, not answered");
    assert_eq!(both.queue.oldest(), Duration::ZERO);
}

#[test]
fn of_decisions_that_have_to_wait_the_newest_goes_first() {
    let both = both(100);
    both.put(Urgency::Decision, "old").unwrap();
    both.put(Urgency::Decision, "older than new").unwrap();
    both.ticks.0.store(200, Ordering::SeqCst);
    assert_eq!(both.next(), "old", "nobody waited long");
    both.ticks.0.store(201, Ordering::SeqCst);
    both.put(Urgency::Decision, "new").unwrap();
    both.put(Urgency::Server, "first").unwrap();
    both.put(Urgency::Server, "second").unwrap();
    assert_eq!([both.next(), both.next()], ["new", "older than new"]);
    both.ticks.0.store(900, Ordering::SeqCst);
    assert_eq!([both.next(), both.next()], ["first", "second"], "events keep their order");
}

#[test]
fn closing_comes_last_and_nothing_after_it() {
    let Both { queue, served, .. } = both(10);
    let (reply, _told) = oneshot::channel();
    let (left, mut left_told) = named("before", 0);
    queue.try_send(Urgency::Background, left).unwrap();
    queue.close(Command::Close(reply)).unwrap();
    assert_eq!(queue.try_send(Urgency::Person, named("after", 0).0), Err(NotTaken::Over));
    assert!(matches!(served.try_recv(), Next::Command(Command::HouseRecord(..))));
    assert!(matches!(served.recv(), Next::Command(Command::Close(_))));
    drop(served);
    assert!(matches!(left_told.try_recv(), Err(TryRecvError::Closed)));
}

#[test]
fn what_nobody_serves_any_more_is_told() {
    let Both { queue, served, .. } = both(10);
    let (command, mut told) = named("x", 0);
    queue.try_send(Urgency::Server, command).unwrap();
    queue.wake();
    queue.wake();
    assert!(matches!(served.recv(), Next::Command(Command::Wake)), "once");
    drop(served);
    assert!(matches!(told.try_recv(), Err(TryRecvError::Closed)));
    assert_eq!(queue.try_send(Urgency::Person, named("x", 0).0), Err(NotTaken::Over));
}
