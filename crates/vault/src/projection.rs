//! What the committer calls in the middle of a commit: traits and segments. `understand` implements it, `fineline`
//! registers it, the vault knows only this trait.

use model::{Day, Event, EventName, SegmentName, TraitName};

/// One trait's place in the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraitColumn {
    /// The trait.
    pub name: TraitName,
    /// The event it aggregates.
    pub event: EventName,
}

/// What one person did on one day, for one trait: the unit from which windows are summed. Sealed with the person's record
/// in the retention class of the event, so it expires with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Index into [`Projection::columns`].
    pub column: u16,
    /// On which day.
    pub day: Day,
    /// Count or sum (micros for money).
    pub amount: i64,
}

/// Traits and segments as the committer sees them. Pure: same input, same output.
pub trait Projection: Send + Sync {
    /// The traits, in column order. Fixed for the life of the vault handle.
    fn columns(&self) -> &[TraitColumn];

    /// Adds one event to a person's buckets (kept sorted by column, day). `sign` is −1 when an earlier form of the same
    /// event is taken out again (an import that adds lines to an order).
    fn fold(&self, event: &Event, sign: i64, buckets: &mut Vec<Bucket>);

    /// Trait values on a day from buckets that may still be kept, in column order, and the next day on which any of them
    /// may change without an event.
    fn values(&self, buckets: &[Bucket], today: Day) -> (Vec<Option<i64>>, Option<Day>);

    /// The segments, in bitmap order.
    fn segments(&self) -> &[SegmentName];

    /// Membership for these trait values, in bitmap order.
    fn members(&self, values: &[Option<i64>]) -> Vec<bool>;
}

/// No traits, no segments.
#[derive(Debug, Clone, Copy)]
pub struct NoProjection;

impl Projection for NoProjection {
    fn columns(&self) -> &[TraitColumn] {
        &[]
    }
    fn fold(&self, _: &Event, _: i64, _: &mut Vec<Bucket>) {}
    fn values(&self, _: &[Bucket], _: Day) -> (Vec<Option<i64>>, Option<Day>) {
        (Vec::new(), None)
    }
    fn segments(&self) -> &[SegmentName] {
        &[]
    }
    fn members(&self, _: &[Option<i64>]) -> Vec<bool> {
        Vec::new()
    }
}
