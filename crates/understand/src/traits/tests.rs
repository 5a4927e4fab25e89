//! The traits beside a slow, obvious model that recomputes everything from all events on each day.

use super::*;
use model::{At, EventId, EventKind, Money, ProfileId, SourceName, Trust};
use proptest::prelude::*;
use std::sync::LazyLock;

static PROMISE: LazyLock<Promise> = LazyLock::new(|| {
    let more = concat!(
        "[trait.days_since_first]\nis = \"days_since_first('Order Completed')\"\nfor = [\"orders\"]\n",
        "says = \"how long you have been with us\"\n\n",
        "[trait.refunded_30d]\nis = \"sum('Order Refunded', 'total', days(30))\"\nfor = [\"orders\"]\n",
        "says = \"how much we paid back in the last 30 days\"\n\n[guard]",
    );
    let text = promise::fixture::SHOP.replace("[guard]", more).replace("keep = \"36 months\"", "keep = \"120 days\"");
    promise::parse("shop.toml", &text).unwrap()
});

#[derive(Debug, Clone, Copy)]
struct Happened {
    day: i32,
    refund: bool,
    total: i64,
}

fn event(happened: Happened) -> Event {
    let at = Day::from_number(happened.day).start().plus_ms(40_000_000);
    let total = Money { micros: happened.total, currency: Currency::GBP };
    Event {
        id: EventId::from_bytes([0; 16]),
        profile: ProfileId::from_bytes([0; 16]),
        kind: EventKind::Track,
        name: EventName::parse(if happened.refund { "Order Refunded" } else { "Order Completed" }).unwrap(),
        source: SourceName::parse("shop").unwrap(),
        trust: Trust::Server,
        occurred_at: at,
        received_at: at,
        source_day: None,
        properties: [("total".to_owned(), Value::Money(total))].into(),
        lines: Vec::new(),
    }
}

/// Value of a trait of the test's promise on a day, from all events.
fn slowly(name: &str, all: &[Happened], today: i32) -> Option<i64> {
    let kept = |refund: bool| move |event: &&Happened| event.refund == refund && today < event.day + 120;
    let orders: Vec<_> = all.iter().filter(kept(false)).collect();
    let ago = |day: i32| i64::from((today - day).max(0));
    match name {
        "orders_all" => Some(i64::try_from(orders.len()).unwrap()),
        "orders_90d" => Some(i64::try_from(orders.iter().filter(|o| o.day > today - 90).count()).unwrap()),
        "spent_all" => Some(orders.iter().map(|order| order.total).sum()),
        "days_since_order" => orders.iter().map(|order| ago(order.day)).min(),
        "days_since_first" => orders.iter().map(|order| ago(order.day)).max(),
        "refunded_30d" => {
            Some(all.iter().filter(kept(true)).filter(|e| e.day > today - 30).map(|event| event.total).sum())
        }
        other => panic!("no slow model of {other}"),
    }
}

fn happened() -> impl Strategy<Value = Happened> {
    (0i32..200, any::<bool>(), -50i64..5_000).prop_map(|(day, refund, total)| Happened {
        day,
        refund,
        total: if refund { -total } else { total.max(1) },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn a_value_holds_until_its_decay_day_and_equals_the_slow_model(
        mut all in prop::collection::vec(happened(), 0..12), taken_out in prop::collection::vec(happened(), 0..3), turn in 0usize..12,
    ) {
        let traits = Traits::new(&PROMISE);
        let mut buckets = Vec::new();
        for one in all.iter().chain(&taken_out) {
            traits.fold(&event(*one), 1, &mut buckets);
        }
        for one in &taken_out {
            traits.fold(&event(*one), -1, &mut buckets);
        }
        let mut other_order = Vec::new();
        let turn = turn.min(all.len());
        all.rotate_left(turn);
        all.iter().for_each(|one| traits.fold(&event(*one), 1, &mut other_order));
        prop_assert!(buckets.is_sorted_by_key(|bucket| (bucket.column, bucket.day)));
        prop_assert_eq!(&buckets, &other_order);

        let lapsed = traits.segments().iter().position(|segment| segment.as_str() == "lapsed").unwrap();
        let (mut values, mut wake) = (Vec::new(), Some(Day::from_number(200)));
        for today in 200..420 {
            if wake.is_some_and(|day| day.number() <= today) {
                (values, wake) = traits.values(&buckets, Day::from_number(today));
                prop_assert!(wake.is_none_or(|day| day.number() > today));
            }
            for (column, value) in traits.columns().iter().zip(&values) {
                prop_assert_eq!(*value, slowly(column.name.as_str(), &all, today), "{} on {}", &column.name, today);
            }
            let is_lapsed = slowly("orders_all", &all, today) >= Some(3) && slowly("orders_90d", &all, today) == Some(0);
            prop_assert_eq!(traits.members(&values)[lapsed], is_lapsed);
        }
    }
}

#[test]
fn whoever_never_ordered_has_counts_of_nothing_and_no_days() {
    let traits = Traits::new(&PROMISE);
    let (values, wake) = traits.values(&[], Day::from_number(20_000));
    assert_eq!(wake, None);
    for (column, value) in traits.columns().iter().zip(values) {
        let expected = if column.name.as_str().starts_with("days_since") { None } else { Some(0) };
        assert_eq!(value, expected, "{}", column.name);
    }
}

#[test]
fn only_someone_with_days_is_woken_every_day() {
    let text = promise::fixture::SHOP.split("[trait.days_since_order]").collect::<Vec<_>>();
    let rest = text[1].split_once("[trait.spent_all]").unwrap().1;
    let promise = promise::parse("shop.toml", &format!("{}[trait.spent_all]{rest}", text[0])).unwrap();
    let order = event(Happened { day: 20_000, refund: false, total: 5 });
    for (promise, woken) in [(&promise, 20_090), (&*PROMISE, 20_001)] {
        let traits = Traits::new(promise);
        let mut buckets = Vec::new();
        traits.fold(&order, 1, &mut buckets);
        assert_eq!(traits.values(&buckets, order.occurred_at.day()).1, Some(Day::from_number(woken)));
    }
}

#[test]
fn another_currency_is_not_added() {
    let traits = Traits::new(&PROMISE);
    let mut order = event(Happened { day: 20_000, refund: false, total: 5_000_000 });
    order.properties.insert("total".into(), Value::Money(Money { micros: 9_000_000, currency: Currency::EUR }));
    let mut buckets = Vec::new();
    traits.fold(&order, 1, &mut buckets);
    let spent = traits.columns().iter().position(|column| column.name.as_str() == "spent_all").unwrap();
    assert_eq!(traits.values(&buckets, Day::from_number(20_000)).0[spent], Some(0));
    assert_eq!(At::from_ms(0).day().number(), 0);
}
