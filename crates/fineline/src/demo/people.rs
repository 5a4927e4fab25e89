//! Who bought what in the made-up shop: thirteen months of orders drawn from a seed, and one planted person per story.
//!
//! People have a favourite shelf, a rhythm, and a day on which many of them stop coming. Half of what follows a first
//! item in a basket is its neighbour on the shelf or its pair, so that item-to-item has something to find. It reads no
//! clock and writes nothing.

use super::catalogue::{Gift, PAIRS, SHELVES, find};
use model::Rng;
use model::chance::Seeded;

/// How far back the history goes, in days: thirteen months.
pub const HISTORY_DAYS: i32 = 395;
/// The shop's shelves that an ordinary taste is drawn from; the guarded ones come after them.
const PLAIN_SHELVES: usize = 8;
/// Most lines in one basket.
const LINES_MAX: usize = 5;

/// What a person said about offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes, at the first order.
    Yes,
    /// No, at the first order.
    No,
    /// Yes at the first order, taken back on a later day of the history.
    TakenBack {
        /// Day of the history.
        on: i32,
    },
    /// Never asked.
    NeverAsked,
}

/// One bought line.
#[derive(Debug, Clone, Copy)]
pub struct Bought {
    /// What.
    pub gift: &'static Gift,
    /// How many.
    pub quantity: i32,
}

/// One order, or what was sent back of one.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its number.
    pub number: String,
    /// Day of the history, 0 to `HISTORY_DAYS - 1`; the last one is yesterday.
    pub day: i32,
    /// Minute of that day.
    pub minute: i32,
    /// Lines.
    pub lines: Vec<Bought>,
    /// Sent back.
    pub is_refund: bool,
}

/// Which story a planted person tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Story {
    /// Comes every other week and came last week: gets no win-back offer.
    Loyal,
    /// Used to come, said yes: gets the offer.
    Lapsed,
    /// Used to come, said yes, and it is night where they are: the message waits.
    Asleep,
    /// Used to come, said no.
    SaidNo,
    /// Used to come, was never asked.
    NeverAsked,
    /// Used to come, said yes, bought only guarded things: no item may be picked from them.
    Guarded,
}

impl Story {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Loyal, Self::Lapsed, Self::Asleep, Self::SaidNo, Self::NeverAsked, Self::Guarded];

    /// The id the shop gives to this person.
    #[must_use]
    pub const fn user_id(self) -> &'static str {
        match self {
            Self::Loyal => "lena",
            Self::Lapsed => "mia",
            Self::Asleep => "noor",
            Self::SaidNo => "otto",
            Self::NeverAsked => "pia",
            Self::Guarded => "quentin",
        }
    }

    /// One line that a visitor of the demonstration reads.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Loyal => "Lena came last week: no win-back offer for her.",
            Self::Lapsed => "Mia used to come and said yes to offers: one is in her inbox.",
            Self::Asleep => "Noor said yes too, but it is night where she lives: her message waits.",
            Self::SaidNo => "Otto said no: nothing is read about him for offers.",
            Self::NeverAsked => "Pia was never asked, and silence is not a yes.",
            Self::Guarded => "Quentin bought only guarded things: his offer is what many buy, never those.",
        }
    }
}

/// One made-up customer.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The shop's own id.
    pub user_id: String,
    /// What they said about offers.
    pub answer: Answer,
    /// Orders and refunds, oldest first.
    pub orders: Vec<Order>,
    /// Which story, for the planted ones.
    pub story: Option<Story>,
}

impl Customer {
    /// The address. Under `.example`, which nobody owns.
    #[must_use]
    pub fn email(&self) -> String {
        format!("{}@mail.example", self.user_id)
    }

    /// Would be in the segment `lapsed`: at least three orders, none in the last `days` days (today included).
    #[must_use]
    pub fn is_lapsed(&self, days: i32) -> bool {
        let orders = || self.orders.iter().filter(|order| !order.is_refund);
        orders().count() >= 3 && orders().all(|order| HISTORY_DAYS - order.day >= days)
    }
}

/// Draws `n` customers from a seed, the planted ones first. Same seed, same shop.
#[must_use]
pub fn draw(n: usize, seed: u64) -> Vec<Customer> {
    let mut draw = Draw { rng: Seeded::new(seed), n_orders: 0 };
    let planted = Story::ALL.into_iter().take(n).map(|story| draw.planted(story)).collect::<Vec<_>>();
    let rest = n.saturating_sub(planted.len());
    let mut customers = planted;
    customers.extend((0..rest).map(|number| draw.customer(number)));
    customers
}

struct Draw {
    rng: Seeded,
    n_orders: u32,
}

impl Draw {
    fn rng(&self) -> &dyn Rng {
        &self.rng
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.rng().below(bound as u64)).unwrap_or(0)
    }

    fn chance(&self, probability: f64) -> bool {
        self.rng().unit() < probability
    }

    /// Days until something that happens every `mean` days on average.
    fn wait(&self, mean: f64) -> f64 {
        -mean * (1.0 - self.rng().unit()).ln()
    }

    fn customer(&mut self, number: usize) -> Customer {
        // Rhythm and faithfulness: most came early, a fifth stays, the others stop after some months. So many have lapsed that
        // a tenth of them is well above the smallest group.
        const GAPS: [f64; 8] = [14.0, 24.0, 24.0, 30.0, 35.0, 35.0, 50.0, 80.0];
        let gap = GAPS.get(self.below(GAPS.len())).copied().unwrap_or(35.0);
        let first = self.rng().unit().powi(2) * f64::from(HISTORY_DAYS - 5);
        let last = if self.chance(0.2) { f64::MAX } else { first + self.wait(110.0) };
        let shelf = self.below(PLAIN_SHELVES);
        let mut orders = Vec::new();
        let mut day = first;
        while day < f64::from(HISTORY_DAYS) && day <= last {
            let order = self.order(whole(day), shelf);
            if self.chance(0.03) {
                let back = Order {
                    number: format!("C{}", order.number),
                    day: (order.day + 3).min(HISTORY_DAYS - 1),
                    minute: order.minute,
                    lines: order.lines.iter().take(1).copied().collect(),
                    is_refund: true,
                };
                orders.push(order);
                if back.day > whole(day) {
                    orders.push(back);
                }
            } else {
                orders.push(order);
            }
            day += self.wait(gap).max(2.0);
        }
        orders.sort_by_key(|order| (order.day, order.minute));
        let answer = self.answer(whole(first));
        Customer { user_id: format!("c{number:05}"), answer, orders, story: None }
    }

    /// 60 % yes, 15 % no, 10 % taken back later, 15 % never asked.
    fn answer(&self, first: i32) -> Answer {
        match self.below(100) {
            0..60 => Answer::Yes,
            60..75 => Answer::No,
            75..85 => {
                let left = usize::try_from(HISTORY_DAYS - 1 - first).unwrap_or(0);
                Answer::TakenBack { on: first + i32::try_from(self.below(left.max(1))).unwrap_or(0) }
            }
            _ => Answer::NeverAsked,
        }
    }

    fn order(&mut self, day: i32, shelf: usize) -> Order {
        let mut lines = vec![self.bought(self.favourite(shelf))];
        while lines.len() < LINES_MAX && self.chance(0.55) {
            let anchor = lines.get(self.below(lines.len())).map(|bought| bought.gift);
            let next = match anchor {
                Some(gift) if self.chance(0.6) => self.companion(gift),
                _ => self.favourite(shelf),
            };
            if lines.iter().all(|bought| bought.gift.code != next.code) {
                lines.push(self.bought(next));
            }
        }
        self.numbered(day, lines)
    }

    fn numbered(&mut self, day: i32, lines: Vec<Bought>) -> Order {
        self.n_orders += 1;
        let minute = 8 * 60 + i32::try_from(self.below(13 * 60)).unwrap_or(0);
        Order { number: format!("{}", 100_000 + self.n_orders), day, minute, lines, is_refund: false }
    }

    fn bought(&self, gift: &'static Gift) -> Bought {
        Bought { gift, quantity: if self.chance(0.2) { 2 } else { 1 } }
    }

    /// Mostly from the favourite shelf, early things more often; sometimes from anywhere, rarely from a guarded shelf.
    fn favourite(&self, shelf: usize) -> &'static Gift {
        let shelf = match self.below(100) {
            0..70 => shelf,
            70..97 => self.below(PLAIN_SHELVES),
            _ => PLAIN_SHELVES + self.below(SHELVES.len() - PLAIN_SHELVES),
        };
        self.on_shelf(shelf)
    }

    fn on_shelf(&self, shelf: usize) -> &'static Gift {
        let gifts = SHELVES.get(shelf).map_or(&[][..], |shelf| shelf.gifts);
        let at = self.below(gifts.len().max(1)).min(self.below(gifts.len().max(1)));
        gifts.get(at).or_else(|| gifts.first()).unwrap_or(&FALLBACK)
    }

    /// The neighbour on the shelf, or the pair from another one.
    fn companion(&self, gift: &'static Gift) -> &'static Gift {
        let pair = PAIRS.iter().find_map(|(one, other)| match gift.code {
            code if code == *one => Some(*other),
            code if code == *other => Some(*one),
            _ => None,
        });
        if let Some((_, pair)) = pair.filter(|_| self.chance(0.5)).and_then(find) {
            return pair;
        }
        // Neighbours come in twos: 1 with 2, 3 with 4.
        let Some((shelf, _)) = find(gift.code) else { return gift };
        let at = shelf.gifts.iter().position(|other| other.code == gift.code).unwrap_or(0);
        shelf.gifts.get(at ^ 1).unwrap_or(gift)
    }

    fn planted(&mut self, story: Story) -> Customer {
        let (days, codes, answer): (Vec<i32>, &[&str], Answer) = match story {
            Story::Loyal => ((0..28).map(|n| n * 14 + 10).collect(), &["MUG01", "TEA01"], Answer::Yes),
            Story::Lapsed => (vec![40, 75, 120, 180, 230, 270], &["TEA04", "CAN04"], Answer::Yes),
            Story::Asleep => (vec![60, 110, 150, 220, 260], &["GAR03", "GAR04"], Answer::Yes),
            Story::SaidNo => (vec![30, 90, 160, 240], &["KIT03", "KIT04"], Answer::No),
            Story::NeverAsked => (vec![50, 100, 210], &["PAP03", "PAP04"], Answer::NeverAsked),
            Story::Guarded => (vec![80, 140, 200, 250], &["BAB03", "PHA02"], Answer::Yes),
        };
        let orders = days.into_iter().filter(|day| *day < HISTORY_DAYS).map(|day| {
            let gifts = codes.iter().filter_map(|code| find(code));
            let lines = gifts.map(|(_, gift)| Bought { gift, quantity: 1 }).collect();
            self.numbered(day, lines)
        });
        let orders = orders.collect();
        Customer { user_id: story.user_id().to_owned(), answer, orders, story: Some(story) }
    }
}

/// Never sold: what stands where a shelf would be empty.
static FALLBACK: Gift = Gift { code: "MUG01", title: "Speckled stoneware mug", pence: 950 };

#[expect(clippy::cast_possible_truncation, reason = "days of a history of 395")]
const fn whole(days: f64) -> i32 {
    days as i32
}

/// How many would be in the audience of the win-back campaign.
#[must_use]
pub fn audience(customers: &[Customer]) -> usize {
    customers.iter().filter(|customer| customer.is_lapsed(90) && customer.answer == Answer::Yes).count()
}

/// Lines of all orders, for figures on the screen.
#[must_use]
pub fn n_lines(customers: &[Customer]) -> usize {
    customers.iter().flat_map(|customer| &customer.orders).map(|order| order.lines.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_shop_and_another_seed_another() {
        let shape = |seed| {
            let customers = draw(300, seed);
            customers.iter().map(|one| (one.user_id.clone(), one.answer, one.orders.len())).collect::<Vec<_>>()
        };
        assert_eq!(shape(7), shape(7));
        assert_ne!(shape(7), shape(8));
    }

    #[test]
    fn a_tenth_of_the_audience_is_well_above_the_smallest_group() {
        for seed in 1..=5 {
            let n = audience(&draw(5_000, seed));
            assert!((880..1_050).contains(&n), "seed {seed}: {n}");
        }
        let customers = draw(5_000, 1);
        let n_orders: usize = customers.iter().map(|one| one.orders.len()).sum();
        assert!((15_000..40_000).contains(&n_orders), "{n_orders} orders");
    }

    #[test]
    fn answers_are_shared_out_as_promised() {
        let customers = draw(5_000, 3);
        let share = |of: fn(&Answer) -> bool| customers.iter().filter(|one| of(&one.answer)).count() / 50;
        assert!((57..=63).contains(&share(|answer| *answer == Answer::Yes)));
        assert!((13..=17).contains(&share(|answer| *answer == Answer::No)));
        assert!((8..=12).contains(&share(|answer| matches!(answer, Answer::TakenBack { .. }))));
        assert!((13..=17).contains(&share(|answer| *answer == Answer::NeverAsked)));
    }

    #[test]
    fn each_story_is_what_it_says() {
        let customers = draw(10, 1);
        let of = |story| customers.iter().find(|one| one.story == Some(story)).unwrap();
        assert!(!of(Story::Loyal).is_lapsed(90));
        for story in [Story::Lapsed, Story::Asleep, Story::SaidNo, Story::NeverAsked, Story::Guarded] {
            assert!(of(story).is_lapsed(90), "{story:?}");
        }
        let guarded = of(Story::Guarded);
        let shelves = guarded.orders.iter().flat_map(|order| &order.lines).filter_map(|line| find(line.gift.code));
        assert!(shelves.into_iter().all(|(shelf, _)| shelf.class == model::Class::Sensitive));
    }

    #[test]
    fn neighbours_are_bought_together_more_often_than_by_accident() {
        let customers = draw(3_000, 2);
        let baskets = || customers.iter().flat_map(|one| &one.orders).filter(|order| !order.is_refund);
        let has = |order: &Order, code: &str| order.lines.iter().any(|line| line.gift.code == code);
        let n = baskets().count() as f64;
        let n_mug = baskets().filter(|order| has(order, "KIT03")).count() as f64;
        let n_tea = baskets().filter(|order| has(order, "KIT04")).count() as f64;
        let n_both = baskets().filter(|order| has(order, "KIT03") && has(order, "KIT04")).count() as f64;
        let lift = n_both * n / (n_mug * n_tea);
        assert!(lift > 3.0, "lift {lift}");
    }

    #[test]
    fn no_order_lies_outside_the_history() {
        let customers = draw(2_000, 9);
        let days = customers.iter().flat_map(|one| &one.orders).map(|order| order.day);
        assert!(days.into_iter().all(|day| (0..HISTORY_DAYS).contains(&day)));
        assert!(customers.iter().flat_map(|one| &one.orders).all(|order| !order.lines.is_empty()));
    }
}
