//! The keys of every section. The JSON Schema is compared with these, so that editor and program know the same ones.

pub(crate) const ROOT: [&str; 20] = [
    "edition",
    "company",
    "contact",
    "address",
    "zone",
    "currency",
    "languages",
    "purpose",
    "source",
    "field",
    "event",
    "trait",
    "guard",
    "segment",
    "offer",
    "campaign",
    "recipient",
    "cap",
    "after_leaving",
    "notice",
];
pub(crate) const PURPOSE: [&str; 5] = ["says", "basis", "levels", "since_notice", "lapses_after"];
pub(crate) const SOURCE: [&str; 3] = ["kind", "origins", "consent"];
pub(crate) const FIELD: [&str; 9] = ["type", "one_of", "from", "for", "keep", "since", "end_on", "class", "context"];
pub(crate) const EVENT: [&str; 8] = ["for", "keep", "since", "end_on", "has", "lines", "class", "context"];
pub(crate) const TRAIT: [&str; 3] = ["is", "for", "says"];
pub(crate) const GUARD: [&str; 2] = ["never_infer", "smallest_group"];
pub(crate) const SEGMENT: [&str; 3] = ["for", "counted_for", "who"];
pub(crate) const OFFER: [&str; 7] = ["title", "says", "why", "code", "link", "picks_item", "placements"];
pub(crate) const CAMPAIGN: [&str; 6] = ["to", "offers", "by", "hold_out", "goal", "goal_days"];
pub(crate) const RECIPIENT: [&str; 6] = ["who", "why", "what", "where", "until", "erase"];
pub(crate) const CAP: [&str; 2] = ["at_most", "quiet"];
pub(crate) const AFTER_LEAVING: [&str; 3] = ["inactive", "choices", "until_at_most"];
pub(crate) const NOTICE: [&str; 4] = ["version", "starts", "tell_people_before", "removed_within"];
