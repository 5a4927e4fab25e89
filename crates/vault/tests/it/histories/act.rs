//! One step of a history, drawn by chance and independent of every other: steps can be left out until only those that
//! matter are left. People, browsers and addresses are few, so that they meet.

use model::chance::Seeded;
use model::time::DAY_MS;
use model::{ConsentStatus, EventKind, Method, Rng, Trust};
use vault::{AttemptEnd, JoinProof};

/// People and browsers by number.
pub const N_NAMES: u8 = 6;

/// About whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    User(u8),
    Browser(u8),
    /// The company's server, of a user in a browser.
    Both(u8, u8),
    /// Somebody whom an earlier answer named, by order of coming.
    Known(usize),
}

/// One event.
#[derive(Debug, Clone)]
pub struct Told {
    pub who: Who,
    pub name: &'static str,
    pub kind: EventKind,
    pub trust: Trust,
    /// How long ago it happened.
    pub ago_ms: i64,
    /// Which message, or which order of a history: few, so that they repeat.
    pub key: u8,
    /// Lines of an order, by row.
    pub rows: Vec<u8>,
    pub fields: Vec<(&'static str, String)>,
    pub told: Option<u32>,
    pub consent: Vec<(&'static str, bool)>,
}

/// Who writes a fact, and which.
#[derive(Debug, Clone)]
pub enum Written {
    Portal(&'static str, String),
    Campaign(&'static str, String),
    Removed(&'static str),
    /// A ranking by the model, whose inputs end in so many days.
    Ranking(u8, Option<i32>),
}

/// What a decision chose.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub person: usize,
    pub run: u32,
    pub by_mail: bool,
    pub held_out: bool,
    pub item: u8,
    pub send_in_ms: i64,
    /// Wishes as they were when the history last looked.
    pub is_stale: bool,
    /// Names the decision it takes the place of.
    pub replaces: bool,
}

/// Less, in its kinds.
#[derive(Debug, Clone, Copy)]
pub enum Tap {
    Less,
    LessBy(usize),
    UndoLess,
    UndoLessBy(usize),
    NotThis(u8),
    NotMe(u8),
    Stop(&'static str),
    LeaveMeAlone,
}

/// One step.
#[derive(Debug, Clone)]
pub enum Act {
    Take(Vec<Told>),
    Consent {
        who: Who,
        purpose: &'static str,
        status: ConsentStatus,
        level: bool,
        method: Method,
        notice: u32,
        ago_ms: i64,
    },
    Fact(usize, Written),
    Join {
        browser: u8,
        user: u8,
        proof: JoinProof,
        ago_ms: i64,
    },
    Decide(Chosen),
    /// The so-manieth message that is due, or that was.
    Begin {
        nth: usize,
        is_due: bool,
    },
    Finish {
        nth: usize,
        end: usize,
    },
    Tap(usize, Tap),
    Erase(usize),
    Sale {
        invoice: u8,
        row: u8,
    },
    Campaign(bool),
    Advance(i64),
    Restart,
    /// The next version of the promise, and whether somebody reviews what it changes.
    Promise,
    Review,
    Sweep,
    Rotate,
    /// Commands that reach the committer together.
    Together(Vec<Act>),
    /// Looks at everything.
    Look,
}

/// Ends of an attempt, by number.
pub fn end(n: usize, now: model::At) -> AttemptEnd {
    match n % 6 {
        0 | 1 => AttemptEnd::Sent,
        2 => AttemptEnd::Unknown,
        3 => AttemptEnd::Later { why: "relay_down", at: now.plus_ms(60_000) },
        4 => AttemptEnd::Failed { why: "address_refused" },
        _ => AttemptEnd::Refused(promise::Refusal::because(promise::RefusalReason::ChangedMeanwhile)),
    }
}

pub const GROUPS: [&str; 3] = ["bags", "candles", "unheard of"];
pub const ITEMS: [&str; 4] = ["85123A", "22423", "POST", "21730"];
pub const STATUSES: [ConsentStatus; 5] = [
    ConsentStatus::Given,
    ConsentStatus::Refused,
    ConsentStatus::Withdrawn,
    ConsentStatus::Expired,
    ConsentStatus::Deferred,
];
const PURPOSES: [&str; 3] = ["offers", "measuring", "orders"];
const METHODS: [Method; 5] = [Method::SiteForm, Method::Portal, Method::Server, Method::Import, Method::Desk];

/// Draws.
pub struct Dice<'r>(pub &'r Seeded);

impl Dice<'_> {
    pub fn below(&self, bound: usize) -> usize {
        usize::try_from((self.0 as &dyn Rng).below(bound as u64)).unwrap()
    }

    fn of<T: Clone>(&self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// One time in so many.
    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn name(&self) -> u8 {
        u8::try_from(self.below(usize::from(N_NAMES))).unwrap()
    }

    fn small(&self, bound: usize) -> u8 {
        u8::try_from(self.below(bound)).unwrap()
    }

    /// Mostly now, sometimes days, rarely years ago.
    fn ago(&self) -> i64 {
        match self.below(8) {
            0..=3 => 0,
            4 => i64::try_from(self.below(3_600_000)).unwrap(),
            5 | 6 => i64::try_from(self.below(120)).unwrap() * DAY_MS,
            _ => i64::try_from(self.below(1_200)).unwrap() * DAY_MS,
        }
    }

    fn told(&self, now_known: usize) -> Told {
        let name = self.of(&[
            "Order Completed",
            "Order Completed",
            "Order Completed",
            "Page Viewed",
            "Product Viewed",
            "Order Refunded",
            "Identify",
            "Undeclared",
        ]);
        let trust = match name {
            "Page Viewed" | "Product Viewed" => self.of(&[Trust::Browser, Trust::Browser, Trust::Server]),
            _ => self.of(&[Trust::Server, Trust::Import, Trust::Import, Trust::Browser]),
        };
        let who = match trust {
            Trust::Browser => Who::Browser(self.name()),
            Trust::Import => Who::User(self.name()),
            Trust::Server => match self.below(4) {
                0 => Who::Both(self.name(), self.name()),
                1 if now_known > 0 => Who::Known(self.below(now_known)),
                _ => Who::User(self.name()),
            },
        };
        let kind = match name {
            "Page Viewed" => EventKind::Page,
            "Identify" => EventKind::Identify,
            _ => EventKind::Track,
        };
        let mut fields = Vec::new();
        if trust != Trust::Browser && self.one_in(2) {
            fields.push(("email", format!("e{}@shop.example", self.below(4))));
        }
        if self.one_in(6) {
            fields.push(("zone", self.of(&["America/New_York", "Asia/Tokyo", "Nowhere"]).to_owned()));
        }
        if self.one_in(6) {
            fields.push(("favourite_group", self.of(&GROUPS).to_owned()));
        }
        let mut consent = Vec::new();
        if self.one_in(4) {
            consent.push((self.of(&["offers", "measuring"]), self.one_in(2)));
        }
        let rows = (0..self.below(3)).map(|_| self.small(4)).collect();
        let (ago_ms, told) = (self.ago(), self.of(&[None, Some(1), Some(1), Some(1), Some(2)]));
        Told { who, name, kind, trust, ago_ms, key: self.small(5), rows, fields, told, consent }
    }

    fn who(&self, n_known: usize) -> Who {
        match self.below(4) {
            0 => Who::User(self.name()),
            1 => Who::Browser(self.name()),
            _ if n_known > 0 => Who::Known(self.below(n_known)),
            _ => Who::Browser(self.name()),
        }
    }

    fn consent(&self, n_known: usize) -> Act {
        let status = match self.below(3) {
            0 => self.of(&STATUSES),
            _ => ConsentStatus::Given,
        };
        let ago_ms = if self.one_in(4) { self.ago() } else { 0 };
        Act::Consent {
            who: self.who(n_known),
            purpose: self.of(&["offers", "offers", "measuring", "orders"]),
            status,
            level: self.one_in(4),
            method: self.of(&METHODS),
            notice: self.of(&[1, 1, 1, 2]),
            ago_ms,
        }
    }

    fn fact(&self, n_known: usize) -> Act {
        let written = match self.below(6) {
            0 => Written::Portal("favourite_group", self.of(&GROUPS).to_owned()),
            1 => Written::Portal("email", format!("e{}@shop.example", self.below(4))),
            2 => Written::Portal("zone", self.of(&["Asia/Tokyo", "Europe/London", "Nowhere"]).to_owned()),
            3 => Written::Removed(self.of(&["email", "favourite_group", "zone"])),
            4 => Written::Campaign("shirt_size", self.of(&["M", "XXL"]).to_owned()),
            _ => Written::Ranking(self.small(4), self.of(&[None, Some(-1), Some(30), Some(2_000)])),
        };
        Act::Fact(self.below(n_known.max(1)), written)
    }

    fn tap(&self, n_known: usize) -> Act {
        let tap = match self.below(12) {
            0..=2 => Tap::Less,
            3 => Tap::LessBy(self.below(3)),
            4 => Tap::UndoLess,
            5 | 6 => Tap::UndoLessBy(self.below(3)),
            7 => Tap::NotThis(self.small(4)),
            8 => Tap::NotMe(self.small(4)),
            9 | 10 => Tap::Stop(self.of(&PURPOSES)),
            _ => Tap::LeaveMeAlone,
        };
        Act::Tap(self.below(n_known.max(1)), tap)
    }

    fn decide(&self, n_known: usize) -> Act {
        Act::Decide(Chosen {
            person: self.below(n_known.max(1)),
            run: u32::from(self.small(3)),
            by_mail: !self.one_in(4),
            held_out: self.one_in(6),
            item: self.small(4),
            send_in_ms: self.of(&[0, 0, 0, 3_600_000]),
            is_stale: self.one_in(5),
            replaces: self.one_in(4),
        })
    }

    fn of_the_committer(&self, n_known: usize) -> Act {
        match self.below(12) {
            0..=4 => Act::Take((0..=self.below(2)).map(|_| self.told(n_known)).collect()),
            5..=7 => match self.consent(n_known) {
                // What narrows goes another way, and overtakes.
                Act::Consent { who, purpose, level, method, notice, ago_ms, .. } => {
                    let status = ConsentStatus::Given;
                    Act::Consent { who, purpose, status, level, method, notice, ago_ms }
                }
                other => other,
            },
            8 | 9 => self.fact(n_known),
            10 => self.decide(n_known),
            _ => self.join(),
        }
    }

    fn join(&self) -> Act {
        let proof = self.of(&[JoinProof::ServerKey, JoinProof::OwnAct, JoinProof::Claim]);
        let ago_ms = if self.one_in(3) { self.ago() } else { 0 };
        Act::Join { browser: self.name(), user: self.name(), proof, ago_ms }
    }

    fn advance(&self) -> Act {
        Act::Advance(match self.below(10) {
            0 => 1,
            1 => 9_000,
            2 => 11 * 60 * 1_000,
            3 | 4 => i64::try_from(self.below(86_400_000)).unwrap(),
            5 => DAY_MS,
            6 => 8 * DAY_MS,
            7 => i64::try_from(self.below(40)).unwrap() * DAY_MS,
            8 => 91 * DAY_MS,
            _ => i64::try_from(self.below(500)).unwrap() * DAY_MS,
        })
    }

    /// Steps that chance alone would seldom put in a row.
    fn scene(&self, n_known: usize) -> Vec<Act> {
        let person = self.below(n_known.max(1));
        let user = self.name();
        let chosen = |is_stale| {
            let (run, item) = (u32::from(self.small(40)), self.small(4));
            Chosen { person, run, by_mail: true, held_out: false, item, send_in_ms: 0, is_stale, replaces: false }
        };
        let says = |status, method| {
            let (who, purpose) = (Who::Known(person), "offers");
            Act::Consent { who, purpose, status, level: false, method, notice: 1, ago_ms: 0 }
        };
        let event = || Told { who: Who::User(user), trust: Trust::Server, kind: EventKind::Track, ..self.order() };
        match self.below(4) {
            // Leave me alone, forget me, and the shop goes on telling.
            0 => {
                let again = (0..N_NAMES).map(|n| Told { who: Who::User(n), ..self.order() }).collect();
                vec![Act::Tap(person, Tap::LeaveMeAlone), Act::Erase(person), Act::Advance(1_000), Act::Take(again)]
            }
            // Decided, taken back, decided with what was seen before.
            1 => vec![
                says(ConsentStatus::Given, Method::Portal),
                Act::Decide(chosen(false)),
                says(ConsentStatus::Withdrawn, Method::Portal),
                says(ConsentStatus::Given, Method::Desk),
                Act::Decide(chosen(true)),
            ],
            // Two messages at once, and a third.
            2 => vec![
                says(ConsentStatus::Given, Method::Portal),
                Act::Decide(chosen(false)),
                Act::Decide(chosen(false)),
                Act::Decide(chosen(false)),
                Act::Begin { nth: 0, is_due: true },
                Act::Begin { nth: 0, is_due: true },
                Act::Begin { nth: 0, is_due: true },
                Act::Finish { nth: 0, end: self.below(6) },
            ],
            // A browser and a person who answered otherwise become one.
            _ => vec![
                Act::Consent {
                    who: Who::Browser(user),
                    purpose: "offers",
                    status: ConsentStatus::Given,
                    level: false,
                    method: Method::SiteForm,
                    notice: 1,
                    ago_ms: 0,
                },
                Act::Take(vec![event()]),
                Act::Consent {
                    who: Who::User(user),
                    purpose: "offers",
                    status: ConsentStatus::Refused,
                    level: false,
                    method: Method::Server,
                    notice: 1,
                    ago_ms: self.ago(),
                },
                Act::Join { browser: user, user, proof: JoinProof::ServerKey, ago_ms: 0 },
            ],
        }
    }

    fn order(&self) -> Told {
        Told {
            who: Who::User(0),
            name: "Order Completed",
            kind: EventKind::Track,
            trust: Trust::Server,
            ago_ms: 0,
            key: 100 + self.small(100),
            rows: vec![self.small(4)],
            fields: Vec::new(),
            told: Some(1),
            consent: Vec::new(),
        }
    }

    /// The next step, when so many are known by then.
    pub fn act(&self, n_known: usize) -> Act {
        match self.below(100) {
            0..=29 => Act::Take((0..=self.below(3)).map(|_| self.told(n_known)).collect()),
            30..=41 => self.consent(n_known),
            42..=46 => self.fact(n_known),
            47..=50 => self.join(),
            51..=58 => self.decide(n_known),
            59..=65 => Act::Begin { nth: self.below(4), is_due: !self.one_in(6) },
            66..=71 => Act::Finish { nth: self.below(3), end: self.below(6) },
            72..=75 => self.tap(n_known),
            76 => Act::Erase(self.below(n_known.max(1))),
            77 => Act::Sale { invoice: self.small(8), row: self.small(3) },
            78 => Act::Campaign(self.one_in(2)),
            79..=86 => self.advance(),
            87 | 88 => Act::Restart,
            89 => Act::Promise,
            90 => Act::Review,
            91 => Act::Sweep,
            92 => Act::Rotate,
            93..=96 => Act::Together((0..2 + self.below(4)).map(|_| self.of_the_committer(n_known)).collect()),
            _ => Act::Look,
        }
    }
}

/// A whole history.
pub fn draw(seed: u64, n_acts: usize) -> Vec<Act> {
    let (rng, mut acts) = (Seeded::new(seed), Vec::new());
    let dice = Dice(&rng);
    while acts.len() < n_acts {
        let n_known = (acts.len() / 4).min(2 * usize::from(N_NAMES));
        match dice.below(20) {
            0 => acts.extend(dice.scene(n_known)),
            _ => acts.push(dice.act(n_known)),
        }
    }
    acts.push(Act::Look);
    acts
}
