//! What happens by itself, on the person's own pages: until when a yes stands, what becomes of everything after they leave,
//! and what is held meanwhile. Each date is said before it comes; each choice has a button of the same size.
//!
//! It decides nothing: the dates are the vault's, the choices the promise's.

use crate::copy::PersonCopy;
use crate::words::{self, When};
use model::{Day, ProfileId};
use promise::notice::length;
use promise::{Basis, Fate, FateKind, Promise};
use serde::Serialize;
use vault::{HoldView, LeavingChoice, LeavingView, SharedView, WhenLeaving};

/// When and how things end for one person, as data and words.
#[derive(Serialize, Clone, Default)]
pub(crate) struct LeavingCopy {
    /// When they count as having left, if nothing is heard of them.
    pub(crate) leaves_at: Option<When>,
    /// "forget", "minimum" or "until".
    pub(crate) fate: &'static str,
    /// When they chose it.
    pub(crate) chosen_at: Option<When>,
    /// When everything about them ends.
    pub(crate) ends_at: Option<When>,
    /// When they said that they leave.
    pub(crate) left_at: Option<When>,
    /// When they were last reminded of what they share.
    pub(crate) reminded_at: Option<When>,
    /// Each yes with its end.
    pub(crate) yeses: Vec<YesCopy>,
    /// What must not be deleted yet.
    pub(crate) holds: Vec<HoldCopy>,
}

/// One yes, and when it ends if nothing is heard of the person.
#[derive(Serialize, Clone)]
pub(crate) struct YesCopy {
    pub(crate) purpose: String,
    pub(crate) since: When,
    pub(crate) lapses_at: Option<When>,
}

/// One hold.
#[derive(Serialize, Clone)]
pub(crate) struct HoldCopy {
    pub(crate) names: Vec<String>,
    pub(crate) reason: String,
    pub(crate) staff: String,
    pub(crate) since: When,
    pub(crate) until: String,
}

impl LeavingCopy {
    pub(crate) fn new<'v>(view: &LeavingView, yeses: impl Iterator<Item = &'v SharedView>) -> Self {
        let fate = match view.fate {
            Fate::Forget => FateKind::Forget,
            Fate::Minimum => FateKind::Minimum,
            Fate::Until(_) => FateKind::Until,
        };
        let yes = |shared: &SharedView| YesCopy {
            purpose: shared.purpose.to_string(),
            since: When(shared.since),
            lapses_at: shared.lapses_at.map(When),
        };
        Self {
            leaves_at: view.leaves_at.map(When),
            fate: fate.as_str(),
            chosen_at: view.chosen_at.map(When),
            ends_at: view.ends_at.map(When),
            left_at: view.left_at.map(When),
            reminded_at: view.reminded_at.map(When),
            yeses: yeses.map(yes).collect(),
            holds: view.holds.iter().map(HoldCopy::new).collect(),
        }
    }

    /// When a yes ends if nothing is heard of the person.
    pub(crate) fn lapses_at(&self, purpose: &str) -> Option<&When> {
        self.yeses.iter().find(|yes| yes.purpose == purpose)?.lapses_at.as_ref()
    }
}

impl HoldCopy {
    fn new(hold: &HoldView) -> Self {
        Self {
            names: hold.names.clone(),
            reason: hold.reason.clone(),
            staff: hold.staff.clone(),
            since: When(hold.at),
            until: hold.until.to_string(),
        }
    }

    /// "everything", "email and “Order Completed”".
    pub(crate) fn what(&self) -> String {
        let names: Vec<String> = self.names.iter().map(|name| words::inner(&words::label(name))).collect();
        if names.is_empty() { "everything about you".to_owned() } else { words::list(&names) }
    }

    /// The day of its end, in words.
    pub(crate) fn until_day(&self) -> String {
        Day::parse(&self.until).map_or_else(|| self.until.clone(), vault::trace::day_in_words)
    }
}

/// The part of the choices page about leaving; `None` where the promise does not declare it.
pub(crate) struct LeavingPart {
    /// What counts as leaving.
    pub(crate) counts: String,
    /// What holds now.
    pub(crate) now: String,
    pub(crate) choices: Vec<FateRow>,
    /// First and last day that may be named.
    pub(crate) days: (String, String),
}

/// One fate.
pub(crate) struct FateRow {
    pub(crate) word: &'static str,
    pub(crate) button: &'static str,
    pub(crate) effect: String,
    pub(crate) is_until: bool,
}

impl LeavingPart {
    pub(crate) fn new(promise: &Promise, copy: &PersonCopy) -> Option<Self> {
        let plan = promise.after_leaving.as_ref()?;
        let row = |kind: &FateKind| {
            let (button, effect) = match kind {
                FateKind::Forget => ("Forget me", "Everything about you is erased.".to_owned()),
                FateKind::Minimum => ("Keep the minimum", minimum(promise)),
                FateKind::Until => (
                    "Keep all until this day",
                    format!("At most {} ahead. On that day everything is erased.", length(plan.until_days_max)),
                ),
            };
            FateRow { word: kind.as_str(), button, effect, is_until: *kind == FateKind::Until }
        };
        let today = copy.made_at.0.day();
        Some(Self {
            counts: format!(
                "You leave when you say so, or when we hear nothing of you for {}. What we send does not count.",
                length(plan.inactive_days)
            ),
            now: now(&copy.leaving),
            choices: plan.choices.iter().map(row).collect(),
            days: (today.plus(1).to_string(), today.plus(plan.until_days_max).to_string()),
        })
    }
}

fn minimum(promise: &Promise) -> String {
    let needed = promise.purposes.values().filter(|purpose| purpose.basis == Basis::Contract);
    let needed: Vec<String> = needed.map(|purpose| words::inner(&words::label(purpose.name.as_str()))).collect();
    let kept = if needed.is_empty() { "nothing".to_owned() } else { format!("what is for {}", words::list(&needed)) };
    format!("We keep {kept}, as long as its dates say. Every yes of yours ends.")
}

/// What holds as things stand.
fn now(copy: &LeavingCopy) -> String {
    let chosen = match copy.chosen_at {
        Some(at) => format!("You chose on {}: ", at.day()),
        None => "You have not chosen, so the strictest holds: ".to_owned(),
    };
    let fate = match copy.fate {
        "minimum" => "we keep the minimum.",
        "until" => "we keep all until a day.",
        _ => "we forget you.",
    };
    let mut said = format!("{chosen}{fate}");
    match (&copy.left_at, &copy.leaves_at) {
        (Some(at), _) => said.push_str(&format!(" You left on {}.", at.day())),
        (None, Some(at)) => said.push_str(&format!(" If we hear nothing of you, that is on {}.", at.day())),
        (None, None) => {}
    }
    if let Some(at) = &copy.ends_at {
        said.push_str(&format!(" Everything ends on {}.", at.day()));
    }
    said
}

/// Reads the form; `None` when it names no fate, no day or no time.
pub(crate) fn choice(person: ProfileId, fate: &str, until: Option<&str>, when: &str) -> Option<LeavingChoice> {
    let fate = match FateKind::parse(fate)? {
        FateKind::Forget => Fate::Forget,
        FateKind::Minimum => Fate::Minimum,
        FateKind::Until => Fate::Until(Day::parse(until?)?),
    };
    let when = match when {
        "silent" => WhenLeaving::IfSilent,
        "now" => WhenLeaving::Now,
        _ => return None,
    };
    Some(LeavingChoice { person, fate, when })
}
