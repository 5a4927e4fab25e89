//! The three counts of a segment: who matches, who may be told, who will hear this week, and each drop-off by name.
//! Numbers below the smallest group are not told; nobody is named.

use crate::snapshot::{SegmentCount, Snapshot};
use model::SegmentName;
use promise::{ArtefactKind, Refusal, RefusalReason};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

pub(crate) fn count(snapshot: &Snapshot, segment: &SegmentName) -> Result<SegmentCount, Refusal> {
    let unknown = Refusal::because(RefusalReason::UnknownArtefact);
    let promise = snapshot.promise();
    let plan = promise.segments.get(segment).ok_or_else(|| unknown.clone())?;
    let counter = if plan.counted_for.is_some() { ArtefactKind::Count } else { ArtefactKind::Segment };
    let artefact = promise.artefact(counter, segment.as_str()).ok_or_else(|| unknown.clone())?;
    snapshot.reviewed(artefact.id)?;
    let segments = snapshot.house.household.projection.segments();
    let at = segments.iter().position(|known| known == segment).ok_or(unknown)?;
    let state = &snapshot.generation.state;
    let members = snapshot.segment(at).cloned().unwrap_or_default();
    let counted = plan.counted_for.as_ref().unwrap_or(&plan.purpose);
    let matching: RoaringBitmap = members & state.in_force(counted, snapshot.now());
    let tellable: RoaringBitmap = &matching & state.in_force(&plan.purpose, snapshot.now());
    let mut dropped: BTreeMap<RefusalReason, u64> = BTreeMap::new();
    let mut drop = |reason| {
        let n = dropped.entry(reason).or_default();
        *n = n.saturating_add(1);
    };
    for number in &(&matching - &tellable) {
        let person = state.by_number(number);
        let refusal = person.map(|person| promise.in_force(&plan.purpose, &person.wishes.standing, snapshot.now()));
        drop(refusal.and_then(Result::err).map_or(RefusalReason::NoSuchPerson, |refusal| refusal.reason));
    }
    let mut n_hearing = 0u64;
    for number in &tellable {
        let Some(person) = state.by_number(number) else { continue };
        let reach = &person.reach;
        match reach.address_until {
            None => drop(RefusalReason::NoAddress),
            Some(until) if until <= snapshot.now() => drop(RefusalReason::NoAddress),
            Some(_) if reach.suppressed => drop(RefusalReason::Suppressed),
            Some(_) if !snapshot.house.has_room(reach, snapshot.now()) => drop(RefusalReason::CapReached),
            Some(_) => n_hearing = n_hearing.saturating_add(1),
        }
    }
    let floor = promise.guard.smallest_group;
    let told = |n: u64| (n >= u64::from(floor)).then_some(n);
    Ok(SegmentCount {
        matching: told(matching.len()),
        tellable: told(tellable.len()),
        hearing: told(n_hearing),
        dropped: dropped.into_iter().map(|(reason, n)| (reason, told(n))).collect(),
        floor,
    })
}
