//! The made-up history goes into the house as it would in a shop: answers first, then orders, then what was taken back.
//! In process and in batches, because thirteen months have to arrive within seconds; judged like everything else.

use super::catalogue;
use super::people::{Answer, Customer, HISTORY_DAYS, Order, Story};
use anyhow::Context;
use model::{
    At, ConsentStatus, Currency, Day, EventKind, EventName, FieldName, ItemCode, LineItem, Method, Money, PurposeName,
    SourceName, Trust, Value, Words,
};
use promise::Promise;
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use vault::{
    ConsentChange, Identifier, IdentifierKind, Intake, MessageKey, Outcome, Pending, Subject, Vault, VaultError,
};

/// Events in one batch.
const BATCH_EVENTS: usize = 250;
/// Batches and answers on their way at once.
const UNDER_WAY_MAX: usize = 64;

/// Somebody ended the demonstration while it was being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ended while it was being built")]
pub struct Halted;

/// What was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Events kept.
    pub n_kept: usize,
    /// Events refused, because no purpose was in force for them.
    pub n_refused: usize,
    /// Answers about offers.
    pub n_answers: usize,
}

/// The names that the shop's promise declares.
struct Names {
    source: SourceName,
    completed: EventName,
    refunded: EventName,
    email: FieldName,
    zone: FieldName,
    offers: PurposeName,
}

impl Names {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            source: SourceName::parse("shop")?,
            completed: EventName::parse("Order Completed")?,
            refunded: EventName::parse("Order Refunded")?,
            email: FieldName::parse("email")?,
            zone: FieldName::parse("zone")?,
            offers: PurposeName::parse("offers")?,
        })
    }
}

/// Loads everybody. `asleep` is the zone of the one who is inside quiet hours; `tell` hears how many events are in, and may
/// end it there.
///
/// # Errors
/// What the vault says; [`Halted`] when `tell` ended it.
pub fn load(
    vault: &Vault,
    promise: &Promise,
    customers: &[Customer],
    asleep: &str,
    mut tell: impl FnMut(usize) -> ControlFlow<()>,
) -> anyhow::Result<Loaded> {
    let names = Names::new()?;
    let today = vault.now().day();
    vault.put_items(catalogue::items())?.wait().context("loading the catalogue")?;
    let mut loaded = Loaded::default();

    let said = |customer: &Customer, status, at| answer(&names, promise, customer, status, at);
    let first = |customer: &Customer| customer.orders.first().map(|order| at(today, order));
    let answers = customers.iter().filter_map(|customer| match customer.answer {
        Answer::Yes | Answer::TakenBack { .. } => Some(said(customer, ConsentStatus::Given, first(customer)?)),
        Answer::No => Some(said(customer, ConsentStatus::Refused, first(customer)?)),
        Answer::NeverAsked => None,
    });
    loaded.n_answers += give(vault, answers)?;

    let mut events = customers.iter().flat_map(|customer| intakes(&names, promise, customer, today, asleep));
    let mut under_way = VecDeque::new();
    loop {
        let batch: Vec<Intake> = events.by_ref().take(BATCH_EVENTS).collect();
        if batch.is_empty() && under_way.is_empty() {
            break;
        }
        if !batch.is_empty() {
            under_way.push_back(patiently(|| vault.take(batch.clone()))?);
        }
        if under_way.len() >= UNDER_WAY_MAX || events_done(&batch) {
            let Some(pending) = under_way.pop_front() else { continue };
            for outcome in pending.wait()? {
                match outcome {
                    Outcome::Kept { .. } => loaded.n_kept += 1,
                    _ => loaded.n_refused += 1,
                }
            }
            if tell(loaded.n_kept + loaded.n_refused).is_break() {
                return Err(Halted.into());
            }
        }
    }

    let taken_back = customers.iter().filter_map(|customer| match customer.answer {
        Answer::TakenBack { on } => Some(said(customer, ConsentStatus::Withdrawn, on_day(today, on, 20 * 60))),
        _ => None,
    });
    loaded.n_answers += give(vault, taken_back)?;
    Ok(loaded)
}

const fn events_done(batch: &[Intake]) -> bool {
    batch.is_empty()
}

fn give(vault: &Vault, answers: impl Iterator<Item = ConsentChange>) -> anyhow::Result<usize> {
    let mut n = 0;
    let mut under_way = VecDeque::new();
    for change in answers {
        under_way.push_back(patiently(|| vault.consent(change.clone()))?);
        n += 1;
        if under_way.len() >= UNDER_WAY_MAX * 8
            && let Some(pending) = under_way.pop_front()
        {
            pending.wait()?;
        }
    }
    for pending in under_way {
        pending.wait()?;
    }
    Ok(n)
}

/// A full queue means: wait a moment. Bounded, so that a stuck house is noticed.
fn patiently<T>(mut ask: impl FnMut() -> Result<Pending<T>, VaultError>) -> anyhow::Result<Pending<T>> {
    for _ in 0..10_000 {
        match ask() {
            Err(VaultError::Busy) => std::thread::sleep(std::time::Duration::from_millis(2)),
            other => return Ok(other?),
        }
    }
    Err(VaultError::Busy.into())
}

/// Day of the history, on the calendar: the last one is yesterday.
fn on_day(today: Day, day: i32, minute: i32) -> At {
    today.plus(day - HISTORY_DAYS).start().plus_ms(i64::from(minute) * 60_000)
}

fn at(today: Day, order: &Order) -> At {
    on_day(today, order.day, order.minute)
}

fn user(customer: &Customer) -> Subject {
    let user = Identifier { kind: IdentifierKind::User, value: customer.user_id.clone() };
    Subject::Identifiers { user: Some(user), anonymous: None }
}

fn answer(names: &Names, promise: &Promise, customer: &Customer, status: ConsentStatus, at: At) -> ConsentChange {
    let purpose = promise.purposes.get(&names.offers);
    ConsentChange {
        subject: user(customer),
        source: Some(names.source.clone()),
        purpose: names.offers.clone(),
        status,
        level: None,
        words: Words {
            text: purpose.map_or_else(String::new, |purpose| purpose.words(&promise.company)),
            language: "en".to_owned(),
            answered_at: at,
        },
        method: Method::Server,
        notice_version: promise.notice.version,
        made_up: true,
    }
}

/// The events of one customer; the address comes along with the first order, as at a checkout.
fn intakes<'a>(
    names: &'a Names,
    promise: &'a Promise,
    customer: &'a Customer,
    today: Day,
    asleep: &'a str,
) -> impl Iterator<Item = Intake> + 'a {
    customer.orders.iter().enumerate().map(move |(number, order)| {
        let mut fields = Vec::new();
        if number == 0 {
            fields.push((names.email.clone(), Value::Text(customer.email())));
            if customer.story == Some(Story::Asleep) {
                fields.push((names.zone.clone(), Value::Text(asleep.to_owned())));
            }
        }
        let lines = lines(order);
        let total = lines.iter().map(|line| line.price.micros * i64::from(line.quantity.abs())).sum();
        let properties = BTreeMap::from([
            ("order_id".to_owned(), Value::Text(order.number.clone())),
            ("total".to_owned(), Value::Money(Money { micros: total, currency: Currency::GBP })),
        ]);
        Intake {
            subject: user(customer),
            kind: EventKind::Track,
            name: if order.is_refund { names.refunded.clone() } else { names.completed.clone() },
            source: names.source.clone(),
            trust: Trust::Server,
            occurred_at: at(today, order),
            source_day: None,
            properties,
            lines,
            fields,
            told_version: Some(promise.notice.version),
            consent: BTreeMap::new(),
            message_key: MessageKey::Wire(format!("order-{}", order.number)),
        }
    })
}

fn lines(order: &Order) -> Vec<LineItem> {
    let line = |bought: &super::people::Bought| {
        let quantity = if order.is_refund { -bought.quantity } else { bought.quantity };
        Some(LineItem { row: 0, item: ItemCode::parse(bought.gift.code)?, quantity, price: bought.gift.price() })
    };
    order.lines.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::people::draw;
    use super::*;
    use crate::house::household_with;
    use model::SegmentName;
    use model::chance::Seeded;
    use std::sync::Arc;

    #[test]
    fn the_made_up_history_goes_in_whole_and_the_segment_is_what_was_drawn() {
        let text =
            include_str!("promise.toml").replace("BASE_URL", "http://localhost:4000").replace("QUIET", "21:00-08:00");
        let promise = Arc::new(promise::parse("demo.toml", &text).unwrap());
        let household = household_with(promise.clone(), Arc::new(crate::clock::SystemClock), Arc::new(Seeded::new(1)));
        let vault = Vault::in_memory(household).unwrap();
        let customers = draw(800, 1);
        let loaded = load(&vault, &promise, &customers, "Etc/GMT-12", |_| ControlFlow::Continue(())).unwrap();
        let n_orders: usize = customers.iter().map(|one| one.orders.len()).sum();
        assert_eq!((loaded.n_kept, loaded.n_refused), (n_orders, 0));
        let lapsed = customers.iter().filter(|one| one.is_lapsed(90));
        let yes = lapsed.clone().filter(|one| one.answer == Answer::Yes);
        let count = vault.snapshot().segment_count(&SegmentName::parse("lapsed").unwrap()).unwrap();
        assert_eq!(count.matching, Some(lapsed.count() as u64));
        assert_eq!(count.tellable, Some(yes.count() as u64));
        vault.close().unwrap();
    }
}
