//! Traits and segments in step with the events: what the committer calls in the middle of a commit.
//!
//! A trait is kept as day buckets (what happened on which day), so a window is a sum and its end is a date known in
//! advance. [`Projection::values`] says on which day any value may next change without an event; the vault's wheel wakes
//! that person then and nobody else. A count or sum changes when its oldest bucket leaves the window or may no longer be
//! kept: rarely. Days since something change every day, so whoever has such a value is woken every day: the column then
//! always holds the true number, for rules, counts and sentences alike, at the price of one fold of a few buckets per
//! person and day (0.2 s per million people).
//!
//! A count or sum of nothing is 0. Days since something that never was is missing, and a rule that hangs on it has no
//! members. It reads fields nowhere: a rule over a stated field has no members here.

use model::{Currency, Day, Event, EventName, Kind, SegmentName, TraitName, Value};
use promise::{Aggregate, Promise, Rule, RuleValue, Since};
use std::collections::BTreeMap;
use vault::{Bucket, Projection, TraitColumn};

/// The traits and segments of one promise.
#[derive(Debug)]
pub struct Traits {
    columns: Vec<TraitColumn>,
    recipes: Vec<Recipe>,
    segments: Vec<SegmentName>,
    rules: Vec<Rule>,
    /// Trait name → its column and whether its values are money.
    names: BTreeMap<TraitName, (usize, Kind)>,
    currency: Currency,
}

/// How one column is computed.
#[derive(Debug)]
struct Recipe {
    is: Shape,
    /// Days back that count, today included; `None` = as long as it is kept.
    window_days: Option<i32>,
    keep_days: i32,
    /// The clock of keeping runs from the latest event among these columns; empty = from the day itself.
    since_last: Vec<u16>,
}

/// What a bucket's amount means, and how buckets become a value.
#[derive(Debug)]
enum Shape {
    Count,
    Sum { property: String },
    DaysSinceLatest,
    DaysSinceFirst,
}

impl Traits {
    /// The traits and segments that a promise declares, in the order of their names.
    #[must_use]
    pub fn new(promise: &Promise) -> Self {
        let columns: Vec<TraitColumn> = promise
            .traits
            .values()
            .map(|plan| TraitColumn { name: plan.name.clone(), event: plan.is.event().clone() })
            .collect();
        let recipes = promise.traits.values().map(|plan| Recipe::new(promise, &columns, &plan.is)).collect();
        let kinds = promise.traits.values().map(|plan| plan.kind);
        Self {
            names: columns.iter().map(|column| column.name.clone()).zip((0..).zip(kinds)).collect(),
            columns,
            recipes,
            segments: promise.segments.keys().cloned().collect(),
            rules: promise.segments.values().map(|plan| plan.rule.clone()).collect(),
            currency: promise.currency,
        }
    }

    /// What one event adds to a column: 1 for an occurrence, the property's amount for a sum.
    fn amount(&self, recipe: &Recipe, event: &Event) -> i64 {
        let Shape::Sum { property } = &recipe.is else { return 1 };
        match event.properties.get(property) {
            Some(Value::Number(number)) => *number,
            // Amounts in another currency cannot be added to ours.
            Some(Value::Money(money)) if money.currency == self.currency => money.micros,
            _ => 0,
        }
    }
}

impl Recipe {
    fn new(promise: &Promise, columns: &[TraitColumn], aggregate: &Aggregate) -> Self {
        let of_event = |event: &EventName| {
            (0u16..).zip(columns).filter(|(_, column)| column.event == *event).map(|(at, _)| at).collect()
        };
        let retention = promise.events.get(aggregate.event()).map(|event| &event.retention);
        Self {
            is: match aggregate {
                Aggregate::Count { .. } => Shape::Count,
                Aggregate::Sum { property, .. } => Shape::Sum { property: property.clone() },
                Aggregate::DaysSince { .. } => Shape::DaysSinceLatest,
                Aggregate::DaysSinceFirst { .. } => Shape::DaysSinceFirst,
            },
            window_days: aggregate.window_days(),
            keep_days: match retention {
                None => 0,
                // When somebody leaves is not known here: the vault hands over only what may still be kept.
                Some(retention) if retention.since == Since::Leaving => i32::MAX,
                Some(retention) => retention.keep_days,
            },
            since_last: match retention.map(|retention| &retention.since) {
                Some(Since::Last(event)) => of_event(event),
                Some(Since::Receipt | Since::Leaving) | None => Vec::new(),
            },
        }
    }

    /// First day on which what happened on `day` no longer counts; `refreshed` is the latest event that restarts the clock.
    fn ends(&self, day: Day, refreshed: Option<Day>) -> Day {
        let kept_until = refreshed.map_or(day, |latest| latest.max(day)).plus(self.keep_days);
        self.window_days.map_or(kept_until, |days| kept_until.min(day.plus(days)))
    }

    fn value(&self, buckets: &[Bucket], all: &[Bucket], today: Day) -> (Option<i64>, Option<Day>) {
        let refreshed = self.since_last.iter().filter_map(|column| of_column(all, *column).last()).map(|b| b.day).max();
        let living = || buckets.iter().filter(|bucket| today < self.ends(bucket.day, refreshed));
        let next = living().map(|bucket| self.ends(bucket.day, refreshed)).min();
        let days = |day: Day| i64::from(today.since(day).max(0));
        let tomorrow = next.map(|_| today.plus(1));
        match self.is {
            Shape::Count | Shape::Sum { .. } => {
                (Some(living().fold(0i64, |sum, bucket| sum.saturating_add(bucket.amount))), next)
            }
            Shape::DaysSinceLatest => (living().map(|bucket| bucket.day).max().map(days), tomorrow),
            Shape::DaysSinceFirst => (living().map(|bucket| bucket.day).min().map(days), tomorrow),
        }
    }
}

/// The buckets of one column; they are sorted by column, then day.
fn of_column(buckets: &[Bucket], column: u16) -> &[Bucket] {
    let start = buckets.partition_point(|bucket| bucket.column < column);
    let end = buckets.partition_point(|bucket| bucket.column <= column);
    buckets.get(start..end).unwrap_or(&[])
}

impl Projection for Traits {
    fn columns(&self) -> &[TraitColumn] {
        &self.columns
    }

    fn fold(&self, event: &Event, sign: i64, buckets: &mut Vec<Bucket>) {
        let day = event.occurred_at.day();
        for ((column, plan), recipe) in (0u16..).zip(&self.columns).zip(&self.recipes) {
            if plan.event != event.name {
                continue;
            }
            let amount = self.amount(recipe, event).saturating_mul(sign);
            match buckets.binary_search_by_key(&(column, day), |bucket| (bucket.column, bucket.day)) {
                Ok(at) => {
                    if let Some(bucket) = buckets.get_mut(at) {
                        bucket.amount = bucket.amount.saturating_add(amount);
                        if bucket.amount == 0 {
                            buckets.remove(at);
                        }
                    }
                }
                Err(at) if amount != 0 => buckets.insert(at, Bucket { column, day, amount }),
                Err(_) => {}
            }
        }
    }

    fn values(&self, buckets: &[Bucket], today: Day) -> (Vec<Option<i64>>, Option<Day>) {
        let mut next: Option<Day> = None;
        let value = |(column, recipe): (u16, &Recipe)| {
            let (value, ends) = recipe.value(of_column(buckets, column), buckets, today);
            next = [next, ends].into_iter().flatten().min();
            value
        };
        let values = (0u16..).zip(&self.recipes).map(value).collect();
        (values, next)
    }

    fn segments(&self) -> &[SegmentName] {
        &self.segments
    }

    fn members(&self, values: &[Option<i64>]) -> Vec<bool> {
        let mut lookup = |name: &str| {
            let (column, kind) = self.names.get(name)?;
            let value = values.get(*column).copied().flatten()?;
            Some(if *kind == Kind::Money { RuleValue::Money(value) } else { RuleValue::Number(value) })
        };
        self.rules.iter().map(|rule| rule.evaluate(&mut lookup) == Some(true)).collect()
    }
}

#[cfg(test)]
mod tests;
