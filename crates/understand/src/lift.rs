//! What a campaign changed: buyers among those it was sent to against those left alone, as one honest sentence. The one
//! place that turns a campaign's numbers into what a page, a command or a machine may tell.
//!
//! Nothing is told of an arm below the smallest group, nor of the other one, from which it could be worked out. A part
//! below it is "fewer than 50", and the parts beside it are told in round fifties, so that no difference gives it away.
//! Shares are told of arms that are large enough, however few bought.
//!
//! The relative lift is the ratio of two shares of buyers, minus one. Its 95 % interval inverts the score test for a ratio
//! of two proportions (Miettinen and Nurminen, "Comparative analysis of two rates", Statistics in Medicine 4, 1985): it
//! keeps its coverage with a small hold-out and with few or no buyers in it, where the usual logarithm with its Wald
//! error does not exist. A winner is named only when the interval leaves out zero. Everybody decided for is counted in
//! the arm they were drawn for, reached or not.
//!
//! It looks at counts only, and at nobody. It does not correct for looking every day: the sentence is to be believed once
//! the goal's days have passed for everybody.

use std::collections::BTreeMap;
use vault::CampaignNumbers;

/// Two-sided 5 % point of the normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;
/// Below this the two arms are not the coin toss that was promised.
const SAMPLE_RATIO_P_MIN: f64 = 0.001;
/// Largest ratio of shares that is looked for.
const RATIO_MAX: f64 = 1e6;

/// One arm of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arm {
    n_people: u64,
    /// Of them, with at least one goal event within the goal's days.
    n_buyers: u64,
}

impl Arm {
    /// Share of buyers, 0 to 1; 0 of nobody.
    fn share(self) -> f64 {
        if self.n_people == 0 { 0.0 } else { real(self.n_buyers) / real(self.n_people) }
    }
}

/// Which arm did better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// More buyers with it.
    Helps,
    /// Fewer buyers with it.
    Harms,
    /// The interval holds zero, or the sample ratio is broken: nobody knows yet.
    NoEvidence,
}

/// Whether people fell into the arms as promised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio {
    /// Expected in the hold-out.
    pub n_held_out_expected: f64,
    /// Probability of a split at least as far off by chance.
    pub p: f64,
    /// At least 0.001.
    pub is_fine: bool,
}

/// A count as it may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// None, or at least the smallest group.
    Exactly(u64),
    /// To the nearest multiple of the smallest group.
    About(u64),
    /// Somebody, but fewer than the smallest group, which is given.
    Fewer(u64),
}

impl Count {
    /// As it may be told by itself.
    #[must_use]
    pub const fn of(n: u64, floor: u64) -> Self {
        if n == 0 || n >= floor { Self::Exactly(n) } else { Self::Fewer(floor) }
    }

    /// As it may be told beside other parts of the same whole, so that no part can be had by taking away the others.
    #[must_use]
    pub fn rounded(n: u64, floor: u32) -> Self {
        part(n, floor.into(), true)
    }

    /// For machines: a number, a text that begins with "about", or null for fewer than the smallest group.
    #[must_use]
    pub fn machine(self) -> serde_json::Value {
        match self {
            Self::Exactly(n) => n.into(),
            Self::About(_) => self.to_string().into(),
            Self::Fewer(_) => serde_json::Value::Null,
        }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(n) => f.pad(&n.to_string()),
            Self::About(n) => f.pad(&format!("about {n}")),
            Self::Fewer(floor) => f.pad(&format!("fewer than {floor}")),
        }
    }
}

/// Counts by reason or basis.
pub type Counts = BTreeMap<String, Count>;

/// One arm as it may be told: at least the smallest group.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldArm {
    /// People.
    pub n_people: u64,
    /// Of them, with a goal event.
    pub buyers: Count,
    /// Goal events.
    pub goals: Count,
    /// Share of buyers, 0 to 1.
    pub share: f64,
}

/// The trial, when both arms may be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Those it was for.
    pub treated: ToldArm,
    /// Those left alone.
    pub held_out: ToldArm,
    /// Of the treated: a message went out.
    pub sent: Count,
    /// What the item rests on, for the treated.
    pub basis: Counts,
    /// Relative lift (0.14 = +14 %); `None` while nobody held out has bought.
    pub lift: Option<f64>,
    /// 95 % interval of the lift; an end may be infinite. `None` while nobody has bought.
    pub interval: Option<(f64, f64)>,
    /// What follows.
    pub finding: Finding,
    /// Whether the arms are what they should be.
    pub sample_ratio: SampleRatio,
}

/// The report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// All of it in one sentence.
    pub sentence: String,
    /// `None` while one of the arms is below the smallest group.
    pub trial: Option<Trial>,
    /// Messages that wait, by reason.
    pub waiting: Counts,
    /// Messages that will not go out, by reason.
    pub refused: Counts,
    /// Withdrawals and "less" within 14 days of a message.
    pub reduced: Count,
}

/// Reports on a campaign that holds out `hold_out_permille` thousandths of its audience, in a house whose smallest group is
/// `floor` people.
#[must_use]
pub fn report(numbers: &CampaignNumbers, hold_out_permille: u16, floor: u32) -> Report {
    let floor = u64::from(floor);
    let told = |counts: &BTreeMap<String, u64>, is_round: bool| -> Counts {
        counts.iter().map(|(word, n)| (word.clone(), part(*n, floor, is_round))).collect()
    };
    let reduced = Count::of(numbers.n_reduced, floor);
    let is_told = numbers.n_treated.min(numbers.n_held_out) >= floor;
    let messages = || numbers.waiting.values().chain(numbers.refused.values()).copied().chain([numbers.n_sent]);
    let is_round = is_told && hides_some(messages(), numbers.n_treated, floor);
    let (waiting, refused) = (told(&numbers.waiting, is_round), told(&numbers.refused, is_round));
    if !is_told {
        return Report { sentence: too_few(hold_out_permille, floor), trial: None, waiting, refused, reduced };
    }
    let measured = measure(numbers, hold_out_permille);
    let arm = |arm: Arm, n_goals: u64| ToldArm {
        n_people: arm.n_people,
        buyers: Count::of(arm.n_buyers, floor),
        goals: Count::of(n_goals, floor),
        share: arm.share(),
    };
    let [n_goals, n_goals_alone] = numbers.n_goals;
    let trial = Trial {
        treated: arm(measured.treated, n_goals),
        held_out: arm(measured.held_out, n_goals_alone),
        sent: part(numbers.n_sent, floor, is_round),
        basis: told(&numbers.basis, hides_some(numbers.basis.values().copied(), numbers.n_treated, floor)),
        lift: measured.lift,
        interval: measured.interval,
        finding: measured.finding,
        sample_ratio: measured.sample_ratio,
    };
    Report { sentence: measured.sentence, trial: Some(trial), waiting, refused, reduced }
}

/// Whether a part of a whole that is told, or what is left of the whole, is below the floor.
fn hides_some(parts: impl Iterator<Item = u64> + Clone, whole: u64, floor: u64) -> bool {
    let rest = whole.saturating_sub(parts.clone().sum());
    parts.chain([rest]).any(|part| part > 0 && part < floor)
}

fn part(n: u64, floor: u64, is_round: bool) -> Count {
    match Count::of(n, floor) {
        Count::Exactly(n) if is_round && n > 0 => Count::About((n + floor / 2) / floor * floor),
        count => count,
    }
}

fn too_few(hold_out_permille: u16, floor: u64) -> String {
    let permille = u64::from(hold_out_permille.min(1_000));
    let smaller = permille.min(1_000 - permille);
    if smaller == 0 {
        return "Nothing to compare: this campaign has no second group.".to_owned();
    }
    let n_people = (floor * 1_000).div_ceil(smaller);
    format!(
        "Too few to say: one of the two groups has fewer than {floor} people. With {:.0} % left alone, come back when well \
         over {n_people} people have been decided for.",
        real(permille) / 10.0
    )
}

/// What the numbers say, told or not.
struct Measured {
    treated: Arm,
    held_out: Arm,
    lift: Option<f64>,
    interval: Option<(f64, f64)>,
    finding: Finding,
    sample_ratio: SampleRatio,
    sentence: String,
}

fn measure(numbers: &CampaignNumbers, hold_out_permille: u16) -> Measured {
    let [n_bought, n_bought_alone] = numbers.n_buyers;
    let treated = Arm { n_people: numbers.n_treated, n_buyers: n_bought.min(numbers.n_treated) };
    let held_out = Arm { n_people: numbers.n_held_out, n_buyers: n_bought_alone.min(numbers.n_held_out) };
    let sample_ratio = sample_ratio(treated, held_out, hold_out_permille);
    let lift = (held_out.n_buyers > 0 && treated.n_people > 0).then(|| treated.share() / held_out.share() - 1.0);
    let interval = interval(treated, held_out);
    let finding = match interval {
        Some((low, _)) if low > 0.0 && sample_ratio.is_fine => Finding::Helps,
        Some((_, high)) if high < 0.0 && sample_ratio.is_fine => Finding::Harms,
        _ => Finding::NoEvidence,
    };
    let sentence = sentence(treated, held_out, lift, interval, finding, sample_ratio);
    Measured { treated, held_out, lift, interval, finding, sample_ratio, sentence }
}

/// 95 % score interval of the relative lift; `None` while an arm is empty or nobody has bought.
fn interval(treated: Arm, held_out: Arm) -> Option<(f64, f64)> {
    if treated.n_people == 0 || held_out.n_people == 0 || treated.n_buyers + held_out.n_buyers == 0 {
        return None;
    }
    // The score falls as the ratio grows: below the low end it is above +z, beyond the high end below −z.
    let low = if treated.n_buyers == 0 { 0.0 } else { crossing(treated, held_out, Z_95) };
    let high = if held_out.n_buyers == 0 { f64::INFINITY } else { crossing(treated, held_out, -Z_95) };
    Some((low - 1.0, high - 1.0))
}

/// The ratio at which the score equals `target`, by halving the logarithm.
fn crossing(treated: Arm, held_out: Arm, target: f64) -> f64 {
    const HALVINGS: usize = 100;
    let (mut low, mut high) = ((1.0 / RATIO_MAX).ln(), RATIO_MAX.ln());
    for _ in 0..HALVINGS {
        let middle = low.midpoint(high);
        if score(treated, held_out, middle.exp()) > target { low = middle } else { high = middle }
    }
    low.midpoint(high).exp()
}

/// How many standard errors the arms lie apart if the true ratio of their shares were `ratio`.
fn score(treated: Arm, held_out: Arm, ratio: f64) -> f64 {
    let (n1, x1) = (real(treated.n_people), real(treated.n_buyers));
    let (n2, x2) = (real(held_out.n_people), real(held_out.n_buyers));
    let n = n1 + n2;
    // Most likely shares under that ratio: the smaller root of a p² + b p + c.
    let a = n * ratio;
    let b = -(n1 * ratio + x1 + n2 + x2 * ratio);
    let c = x1 + x2;
    let alone = ((-b - (b * b - 4.0 * a * c).max(0.0).sqrt()) / (2.0 * a)).clamp(0.0, 1.0);
    let with = (alone * ratio).clamp(0.0, 1.0);
    let variance = (with * (1.0 - with) / n1 + ratio * ratio * alone * (1.0 - alone) / n2) * (n / (n - 1.0).max(1.0));
    let distance = x1 / n1 - ratio * x2 / n2;
    if distance.abs() < f64::EPSILON { 0.0 } else { distance / variance.max(f64::MIN_POSITIVE).sqrt() }
}

/// Chi-square with one degree of freedom on the sizes of the arms.
fn sample_ratio(treated: Arm, held_out: Arm, hold_out_permille: u16) -> SampleRatio {
    let n = real(treated.n_people + held_out.n_people);
    let expected = n * f64::from(hold_out_permille) / 1_000.0;
    let n_held_out_expected = expected;
    if expected <= 0.0 || expected >= n {
        return SampleRatio { n_held_out_expected, p: 1.0, is_fine: true };
    }
    let off = real(held_out.n_people) - expected;
    let chi_square = off * off / expected + off * off / (n - expected);
    let p = libm::erfc((chi_square / 2.0).sqrt());
    SampleRatio { n_held_out_expected, p, is_fine: p >= SAMPLE_RATIO_P_MIN }
}

fn sentence(
    treated: Arm,
    held_out: Arm,
    lift: Option<f64>,
    interval: Option<(f64, f64)>,
    finding: Finding,
    sample_ratio: SampleRatio,
) -> String {
    let Some((low, high)) = interval else {
        return "No evidence yet: nobody has bought so far, or one of the two groups is empty.".to_owned();
    };
    let shares =
        format!("{:.1} buyers per 1,000 with it, {:.1} without", treated.share() * 1_000.0, held_out.share() * 1_000.0);
    let between = match (lift, high.is_finite()) {
        (Some(lift), true) => {
            format!("{}, likely between {} and {}", percent(lift), percent(low), percent(high))
        }
        _ => format!("likely more than {}", percent(low)),
    };
    let told = format!("{shares}: {between}");
    match finding {
        _ if !sample_ratio.is_fine => {
            format!(
                "No evidence: the two groups are not the sizes that chance would give, so this cannot be trusted ({told})."
            )
        }
        Finding::NoEvidence => format!("No evidence yet: {told}."),
        Finding::Helps | Finding::Harms => format!("{told}."),
    }
}

fn percent(share: f64) -> String {
    let percent = (share * 100.0).round();
    // "-0" would read as a loss.
    if percent == 0.0 { "0 %".to_owned() } else { format!("{percent:+.0} %") }
}

#[expect(clippy::cast_precision_loss, reason = "counts of people are far below 2^52")]
const fn real(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests;
