//! What the made-up shop sells: six dozen gifts in nine groups, and which go well together.

use model::{Class, Currency, ItemCode, Money};
use vault::Item;

/// A thing on the shelf.
#[derive(Debug, Clone, Copy)]
pub struct Gift {
    /// Its code.
    pub code: &'static str,
    /// What people read.
    pub title: &'static str,
    /// Price in pence.
    pub pence: i64,
}

/// A shelf: things of one kind, and whether they tell something intimate about who buys them.
#[derive(Debug, Clone, Copy)]
pub struct Shelf {
    /// The group's name.
    pub group: &'static str,
    /// How people read it.
    pub title: &'static str,
    /// Sensitivity of everything on it.
    pub class: Class,
    /// What stands on it. Neighbours go well together.
    pub gifts: &'static [Gift],
}

const fn gift(code: &'static str, title: &'static str, pence: i64) -> Gift {
    Gift { code, title, pence }
}

const fn shelf(group: &'static str, title: &'static str, gifts: &'static [Gift]) -> Shelf {
    Shelf { group, title, class: Class::Plain, gifts }
}

/// All shelves. The last two are guarded: what stands there says something about health or children.
pub const SHELVES: &[Shelf] = &[
    shelf(
        "mugs",
        "Mugs and cups",
        &[
            gift("MUG01", "Speckled stoneware mug", 950),
            gift("MUG02", "Blue rim enamel mug", 700),
            gift("MUG03", "Fox and fern mug", 850),
            gift("MUG04", "Tall latte cup", 1_100),
            gift("MUG05", "Espresso cups, pair", 1_400),
            gift("MUG06", "Red retro spot mug", 650),
            gift("MUG07", "Travel cup with cork band", 1_600),
            gift("MUG08", "Cup and saucer, roses", 1_250),
        ],
    ),
    shelf(
        "tea",
        "Tea and biscuits",
        &[
            gift("TEA01", "Breakfast tea caddy", 890),
            gift("TEA02", "Earl Grey loose leaf", 720),
            gift("TEA03", "Peppermint tea tin", 640),
            gift("TEA04", "Glass teapot for two", 2_400),
            gift("TEA05", "Knitted tea cosy", 1_350),
            gift("TEA06", "Shortbread tin", 780),
            gift("TEA07", "Ginger biscuits in a jar", 690),
            gift("TEA08", "Bamboo tea strainer", 420),
        ],
    ),
    shelf(
        "candles",
        "Candles and light",
        &[
            gift("CAN01", "Beeswax candle, tall", 540),
            gift("CAN02", "Fig candle in a tin", 1_180),
            gift("CAN03", "White hanging tea-light holder", 295),
            gift("CAN04", "Tea-lights, box of thirty", 480),
            gift("CAN05", "Storm lantern", 1_950),
            gift("CAN06", "Star string lights", 1_480),
            gift("CAN07", "Brass candlestick", 1_320),
            gift("CAN08", "Cinnamon candle", 990),
        ],
    ),
    shelf(
        "garden",
        "Garden",
        &[
            gift("GAR01", "Herb seed collection", 560),
            gift("GAR02", "Zinc watering can", 2_150),
            gift("GAR03", "Bird feeder, green", 1_240),
            gift("GAR04", "Bird food, two kilos", 780),
            gift("GAR05", "Terracotta pots, set of three", 1_390),
            gift("GAR06", "Garden twine in a tin", 520),
            gift("GAR07", "Robin nesting box", 1_680),
            gift("GAR08", "Pruning scissors", 1_150),
        ],
    ),
    shelf(
        "kitchen",
        "Kitchen",
        &[
            gift("KIT01", "Oak chopping board", 2_650),
            gift("KIT02", "Set of three cake tins", 1_490),
            gift("KIT03", "Regency cake stand", 1_275),
            gift("KIT04", "Cake forks, six", 1_180),
            gift("KIT05", "Jam making set", 1_395),
            gift("KIT06", "Jam jars with lids, twelve", 980),
            gift("KIT07", "Striped apron", 1_560),
            gift("KIT08", "Oven glove to match", 890),
        ],
    ),
    shelf(
        "paper",
        "Cards and paper",
        &[
            gift("PAP01", "Birthday cards, ten", 650),
            gift("PAP02", "Thank-you cards, ten", 650),
            gift("PAP03", "Dotted notebook", 890),
            gift("PAP04", "Ink pen, green", 1_240),
            gift("PAP05", "Wrapping paper, woodland", 340),
            gift("PAP06", "Cotton ribbon, five metres", 380),
            gift("PAP07", "Paper bunting", 495),
            gift("PAP08", "Party bags, twenty", 560),
        ],
    ),
    shelf(
        "textiles",
        "Blankets and bags",
        &[
            gift("TEX01", "Lambswool throw", 4_900),
            gift("TEX02", "Linen cushion", 2_450),
            gift("TEX03", "Jumbo shopper, red spots", 420),
            gift("TEX04", "Lunch bag, woodland", 395),
            gift("TEX05", "Picnic rug", 3_200),
            gift("TEX06", "Hot-water bottle, knitted", 1_850),
            gift("TEX07", "Tea towels, three", 1_090),
            gift("TEX08", "Laundry bag, stars", 1_250),
        ],
    ),
    shelf(
        "home",
        "Around the house",
        &[
            gift("HOM01", "Alarm clock, ivory", 1_650),
            gift("HOM02", "Photo frame, heart", 990),
            gift("HOM03", "Doormat, hello", 1_790),
            gift("HOM04", "Key hooks, oak", 1_340),
            gift("HOM05", "Wicker heart, hanging", 560),
            gift("HOM06", "Porcelain hooks, four", 1_120),
            gift("HOM07", "Jigsaw, harbour", 1_480),
            gift("HOM08", "Playing cards in a tin", 640),
        ],
    ),
    Shelf {
        group: "baby",
        title: "For the smallest",
        class: Class::Sensitive,
        gifts: &[
            gift("BAB01", "New baby card", 295),
            gift("BAB02", "Knitted booties", 1_450),
            gift("BAB03", "Baby blanket, clouds", 2_800),
            gift("BAB04", "First year album", 2_100),
        ],
    },
    Shelf {
        group: "pharmacy",
        title: "First aid and wellbeing",
        class: Class::Sensitive,
        gifts: &[
            gift("PHA01", "Plasters in a retro tin", 350),
            gift("PHA02", "Sleep balm", 1_190),
            gift("PHA03", "Pill box, seven days", 780),
            gift("PHA04", "Wheat warmer for sore backs", 1_690),
        ],
    },
];

/// Things from different shelves that go well together.
pub const PAIRS: &[(&str, &str)] = &[
    ("MUG01", "TEA01"),
    ("MUG03", "TEA06"),
    ("MUG05", "TEA07"),
    ("MUG08", "KIT03"),
    ("TEA04", "CAN04"),
    ("TEA05", "TEX07"),
    ("CAN03", "HOM05"),
    ("CAN05", "GAR02"),
    ("CAN06", "PAP07"),
    ("GAR06", "PAP05"),
    ("GAR01", "KIT07"),
    ("KIT02", "PAP01"),
    ("KIT05", "TEX07"),
    ("PAP03", "MUG07"),
    ("TEX05", "KIT01"),
    ("TEX03", "TEX04"),
    ("TEX06", "HOM07"),
    ("HOM02", "PAP02"),
    ("BAB01", "PAP06"),
];

impl Gift {
    /// Its price in pounds.
    #[must_use]
    pub const fn price(&self) -> Money {
        Money { micros: self.pence * Money::UNIT / 100, currency: Currency::GBP }
    }
}

/// Every thing with its shelf, in shelf order.
pub fn all() -> impl Iterator<Item = (&'static Shelf, &'static Gift)> {
    SHELVES.iter().flat_map(|shelf| shelf.gifts.iter().map(move |gift| (shelf, gift)))
}

/// The thing with this code.
#[must_use]
pub fn find(code: &str) -> Option<(&'static Shelf, &'static Gift)> {
    all().find(|(_, gift)| gift.code == code)
}

/// The catalogue as the house keeps it.
#[must_use]
pub fn items() -> Vec<Item> {
    let item = |(shelf, gift): (&Shelf, &Gift)| {
        Some(Item {
            code: ItemCode::parse(gift.code)?,
            title: gift.title.to_owned(),
            group: shelf.group.to_owned(),
            class: shelf.class,
            price: Some(gift.price()),
        })
    };
    all().filter_map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_thing_has_its_own_code_and_every_pair_exists() {
        let codes: BTreeSet<&str> = all().map(|(_, gift)| gift.code).collect();
        assert_eq!(codes.len(), all().count());
        assert_eq!(items().len(), codes.len());
        for (one, other) in PAIRS {
            assert!(codes.contains(one) && codes.contains(other), "{one} {other}");
        }
    }
}
