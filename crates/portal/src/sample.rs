//! Every page with made-up people, for tests and screenshots: one calm person, and one whose every word tries to break
//! out of the page. Nobody here is real, and no page here is ever served.

use crate::PortalError;
use crate::choice::{self, AlonePage, ChoicesPage};
use crate::copy::{
    AnswerCopy, ContactCopy, EventCopy, FactCopy, GivenCopy, GuessCopy, LineCopy, MessageCopy, PersonCopy, PurposeCopy,
    ReaderCopy, StaffCopy, StepCopy, UseCopy, ValueCopy,
};
use crate::decision::MessagesPage;
use crate::erasure::{ErasePage, ErasedPage, RequestPage, UndonePage};
use crate::export::{self, ExportPage};
use crate::frame::Frame;
use crate::front::{EnterPage, FrontPage, NoticePage, SorryPage};
use crate::leaving::{HoldCopy, LeavingCopy, YesCopy};
use crate::message::{Act, AddressPage, AskPage, DonePage, WhyPage};
use crate::profile::{EventPage, EventsPage, MePage};
use crate::receipt::{ReceiptPage, ReceiptsPage};
use crate::session::{Proof, Receipt, Session};
use crate::taste::TastesPage;
use crate::words::When;
use askama::Template;
use model::{At, Day, ProfileId};
use promise::Promise;
use std::collections::BTreeMap;
use vault::Erasure;

/// Whose pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// An ordinary customer.
    Calm,
    /// Every text is an attack on the page, the table or the reader.
    Hostile,
}

/// What a hostile text looks like.
pub const HOSTILE: &str = "=1+1<script>alert(\"x\")</script><img src=x onerror=alert(1)>'&{{7*7}}";

/// 23 November 2026, 17:32 UTC.
const NOW: At = At::from_ms(1_795_455_120_000);

/// Every page of the portal, by name, rendered.
///
/// # Errors
/// [`PortalError`] when one cannot be rendered.
pub fn pages(promise: &Promise, sample: Sample) -> Result<Vec<(&'static str, String)>, PortalError> {
    let session = Session {
        person: ProfileId::from_bytes([7; 16]),
        csrf: "sample".to_owned(),
        renewed: None,
        proof: Proof::HandOff,
    };
    let open = Frame::open(promise, false);
    let frame = |here| Frame::of(promise, &session, here, false);
    let csrf = || "sample".to_owned();
    let token = || "sample".to_owned();
    let copy = || sample.copy(promise);
    let says = "Send you offers picked from what you bought.".to_owned();
    let receipt = Receipt {
        json: sample.receipt(),
        request: model::RequestId::from_bytes([0; 16]),
        unrecoverable_on: NOW.day().plus(8),
        how: Erasure::WithinADay,
    };
    let message = sample.message(0);
    let done =
        |title, effect: String, more, undo| DonePage { frame: open.clone(), token: token(), title, effect, more, undo };
    let gone = |how| ErasedPage::new(open.clone(), "sample".to_owned(), Receipt { how, ..receipt.clone() });
    let undone = |sorry| {
        let request = receipt.request.to_string();
        UndonePage { frame: open.clone(), request, sorry }
    };
    Ok(vec![
        ("front", FrontPage::new(open.clone(), promise).render()?),
        ("notice", NoticePage::new(Frame { gpc: true, ..open.clone() }, promise, None, None).render()?),
        ("enter", EnterPage { frame: open.clone(), secret: "sample".to_owned() }.render()?),
        ("gone", SorryPage::gone(open.clone()).render()?),
        ("stale-form", SorryPage::stale_form(open.clone()).render()?),
        ("unclear", SorryPage::unclear(open.clone()).render()?),
        ("refused", SorryPage::refused(open.clone()).render()?),
        ("busy", SorryPage::busy(open.clone()).render()?),
        (
            "message",
            WhyPage {
                frame: open.clone(),
                token: token(),
                says: says.clone(),
                agreed_on: Some(When(NOW.plus_days(-204)).day()),
                basis_words: crate::message::basis_words(message.basis),
                less: choice::less(&sample.contact()),
                can_turn_down: true,
                reminds: Vec::new(),
                thing: message.item_title.clone(),
                message: Some(message),
            }
            .render()?,
        ),
        (
            "message-old",
            WhyPage {
                frame: open.clone(),
                token: token(),
                says: says.clone(),
                agreed_on: None,
                basis_words: None,
                less: choice::less(&sample.contact()),
                can_turn_down: false,
                reminds: vec![(says.clone(), When(NOW.plus_days(526)).day())],
                thing: None,
                message: None,
            }
            .render()?,
        ),
        ("message-ask", AskPage { frame: open.clone(), token: token(), ask: Act::Stop.ask(&says) }.render()?),
        ("message-less", {
            let effect = choice::rate(&sample.contact());
            done("Less often", effect, None, Some(("undo-less", "Undo"))).render()?
        }),
        ("message-stopped", {
            let effect = format!("No more messages like this. We noted a no to: “{says}”");
            done("Stopped", effect, Some(crate::message::YES_AGAIN), None).render()?
        }),
        (
            "message-address",
            AddressPage {
                frame: open.clone(),
                token: token(),
                address: copy().facts.into_iter().find(|fact| fact.name == "email"),
                answer: copy().answers.into_iter().next(),
            }
            .render()?,
        ),
        ("me", MePage::new(frame("/privacy/me"), copy()).render()?),
        ("me-empty", MePage::new(frame("/privacy/me"), sample.empty(promise)).render()?),
        ("events", EventsPage::new(frame("/privacy/me"), copy(), 1).render()?),
        ("event", EventPage { frame: frame("/privacy/me"), event: sample.event(0) }.render()?),
        ("choices", ChoicesPage::new(frame("/privacy/me/choices"), promise, &copy()).render()?),
        ("alone", AlonePage { frame: frame("/privacy/me/choices"), csrf: csrf(), is_done: false }.render()?),
        ("alone-done", AlonePage { frame: frame("/privacy/me/choices"), csrf: csrf(), is_done: true }.render()?),
        ("tastes", TastesPage::new(frame("/privacy/me/tastes"), promise, &copy(), true, Vec::new()).render()?),
        ("messages", MessagesPage::new(frame("/privacy/me/messages"), copy()).render()?),
        ("receipts", ReceiptsPage { frame: frame("/privacy/me/receipts"), answers: copy().answers }.render()?),
        ("receipt", ReceiptPage { frame: frame("/privacy/me/receipts"), answer: sample.answer("offers", 1) }.render()?),
        ("export", ExportPage { frame: frame("/privacy/me/export"), csrf: csrf() }.render()?),
        (
            "erase",
            ErasePage {
                frame: frame("/privacy/me/erase"),
                csrf: csrf(),
                held_until: Some(When(NOW.plus_days(30)).day()),
            }
            .render()?,
        ),
        ("erased", gone(Erasure::WithinADay).render()?),
        ("erased-now", gone(Erasure::Now).render()?),
        ("undone", undone(None).render()?),
        ("request", RequestPage::new(open.clone(), sample.erasure()).render()?),
        ("undone-too-late", undone(Some(vault::NotUndone::TooLate.to_string())).render()?),
    ])
}

/// The export of a sample person.
///
/// # Errors
/// [`PortalError`] when it cannot be packed.
pub fn archive(promise: &Promise, sample: Sample) -> Result<Vec<u8>, PortalError> {
    export::pack(&sample.copy(promise), &promise.contact, "{\"keys\":[]}")
}

impl Sample {
    fn text(self, calm: &str) -> String {
        match self {
            Self::Calm => calm.to_owned(),
            Self::Hostile => HOSTILE.to_owned(),
        }
    }

    fn erasure(self) -> vault::ErasureView {
        let told = |who: &str, state, why: Option<&str>| vault::RecipientTold {
            recipient: "sample".to_owned(),
            who: who.to_owned(),
            state,
            why: why.map(str::to_owned),
            at: NOW,
            n_tries: 1,
        };
        vault::ErasureView {
            request: model::RequestId::from_bytes([0; 16]),
            asked_at: NOW,
            undo_until: None,
            taken_back_at: None,
            unrecoverable_on: NOW.day().plus(8),
            keys_destroyed_at: None,
            recipients: vec![
                told("Helpful Desk Ltd, Ireland", vault::Told::Confirmed, None),
                told("The mail relay (Post Ltd)", vault::Told::Impossible, Some("left_our_hands")),
            ],
            says: vec!["Since yesterday nobody here can see anything about you.".to_owned()],
            receipt: self.receipt(),
        }
    }

    fn receipt(self) -> String {
        self.text(
            "{\"payload\":\"eyJzYW1wbGUiOnRydWV9\",\"protected\":\"eyJhbGciOiJFZERTQSJ9\",\"signature\":\"c2FtcGxl\"}",
        )
    }

    fn empty(self, promise: &Promise) -> PersonCopy {
        PersonCopy {
            format: "fineline-person-1",
            made_at: When(NOW),
            company: promise.company.clone(),
            person: ProfileId::from_bytes([7; 16]).to_string(),
            notice_version: 1,
            facts: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            messages: Vec::new(),
            contact: self.contact(),
            uses: Vec::new(),
            staff_reads: Vec::new(),
            given: Vec::new(),
            leaving: LeavingCopy { fate: "forget", ..LeavingCopy::default() },
        }
    }

    fn copy(self, promise: &Promise) -> PersonCopy {
        let uses = [
            ("win_back", "Campaign “win back”", Some("offers"), 3),
            ("lapsed", "Group “lapsed”", Some("orders"), 5),
            ("portal", "You, on these pages", None, 1),
        ];
        PersonCopy {
            facts: vec![
                self.fact("favourite_group", "Favourite group", ValueCopy::Text(self.text("kitchen")), "provided"),
                self.fact("shirt_size", "Shirt size", ValueCopy::Text(self.text("M")), "provided"),
                self.fact("email", "Email", ValueCopy::Text(self.text("s•••@shop.example")), "observed"),
                self.orders(),
                self.fact(
                    "days_since_order",
                    "How many days ago you placed your latest order",
                    ValueCopy::Number(104),
                    "derived",
                ),
                self.guess(),
            ],
            events: (0..14).map(|n| self.event(n)).collect(),
            answers: vec![self.answer("offers", 1), self.answer("measuring", 2)],
            messages: (0..3).map(|n| self.message(n)).collect(),
            uses: uses
                .iter()
                .map(|(artefact, artefact_words, purpose, n)| UseCopy {
                    day: "2026-11-20".to_owned(),
                    artefact: (*artefact).to_owned(),
                    artefact_words: self.text(artefact_words),
                    purpose: purpose.map(str::to_owned),
                    n: *n,
                })
                .collect(),
            given: vec![GivenCopy {
                recipient: "relay".to_owned(),
                who: "The mail relay (Post Ltd)".to_owned(),
                what: vec!["your e-mail address".to_owned(), "the mails we sent you".to_owned()],
                first_at: When(NOW.plus_days(-40)),
                last_at: When(NOW.plus_days(-3)),
                n: 4,
            }],
            staff_reads: vec![StaffCopy {
                at: When(NOW.plus_days(-9)),
                staff: self.text("Anna, help desk"),
                reason: self.text("You called about a parcel."),
            }],
            leaving: LeavingCopy {
                leaves_at: Some(When(NOW.plus_days(900))),
                fate: "minimum",
                chosen_at: Some(When(NOW.plus_days(-204))),
                reminded_at: Some(When(NOW.plus_days(-20))),
                yeses: vec![YesCopy {
                    purpose: "offers".to_owned(),
                    since: When(NOW.plus_days(-204)),
                    lapses_at: Some(When(NOW.plus_days(526))),
                }],
                holds: vec![HoldCopy {
                    names: vec![self.text("email")],
                    reason: self.text("A court asked us to."),
                    staff: self.text("Grace"),
                    since: When(NOW.plus_days(-3)),
                    until: NOW.day().plus(30).to_string(),
                }],
                ..LeavingCopy::default()
            },
            ..self.empty(promise)
        }
    }

    fn contact(self) -> ContactCopy {
        ContactCopy {
            sent_at: vec![When(NOW.plus_days(-3))],
            at_most: None,
            company_at_most: 2,
            per_days: 7,
            zone: Some("Europe/London".to_owned()),
            turned_down: vec![self.text("85123A")],
            turned_down_words: vec![self.text("Hanging heart candle")],
        }
    }

    fn fact(self, name: &str, label: &str, value: ValueCopy, origin: &'static str) -> FactCopy {
        let (origin_words, from, rests_on) = match origin {
            "provided" => ("You told us", "you", Vec::new()),
            "derived" => ("We worked it out", "your “Order Completed” records", vec!["Order Completed".to_owned()]),
            "inferred" => ("A guess", "", vec!["Order Completed".to_owned()]),
            _ => ("We saw it", "checkout form", Vec::new()),
        };
        FactCopy {
            name: name.to_owned(),
            label: self.text(label),
            kind: match &value {
                ValueCopy::Ranking(_) => "ranking",
                ValueCopy::Number(_) => "number",
                _ => "text",
            },
            value,
            origin,
            origin_words: origin_words.to_owned(),
            source: Some(self.text("shop")),
            from: self.text(from),
            rests_on,
            as_of: When(NOW.plus_days(-204)),
            told_at: Some(When(NOW.plus_days(-204))),
            told_how: "at_the_moment",
            told_words: "when you gave it",
            purposes: vec![PurposeCopy {
                name: "offers".to_owned(),
                says: self.text("Send you offers picked from what you bought."),
            }],
            notice_version: 1,
            class: "plain",
            context: "shopping",
            until: When(NOW.plus_days(526)),
            life_used_percent: 28,
            read_by: vec![ReaderCopy {
                artefact: self.text("win_back"),
                artefact_words: self.text("Campaign “win back”"),
                n: 3,
            }],
        }
    }

    fn orders(self) -> FactCopy {
        let label = "How many orders you placed within the last 36 months";
        self.fact("orders_all", label, ValueCopy::Number(6), "derived")
    }

    fn guess(self) -> FactCopy {
        let titles = [
            "Hanging heart candle",
            "Jumbo bag in red",
            "Set of three cake tins",
            "Party bunting",
            "Spotty mug",
            "Doormat",
        ];
        let guesses = titles.iter().enumerate().map(|(n, title)| GuessCopy {
            item: format!("8512{n}"),
            title: self.text(title),
            because: (n != 5).then(|| "22423".to_owned()),
            because_title: (n != 5).then(|| self.text("Cake stand, three tiers")),
        });
        self.fact("candidates", "Things we think you could like", ValueCopy::Ranking(guesses.collect()), "inferred")
    }

    fn event(self, n: i32) -> EventCopy {
        let titles = ["Cake stand, three tiers", "Spotty mug", "Paper napkins, garden"];
        let lines = titles.iter().map(|title| LineCopy {
            item: "22423".to_owned(),
            title: self.text(title),
            quantity: 2,
            price: "12.75".to_owned(),
            currency: "GBP".to_owned(),
            price_words: "£12.75".to_owned(),
        });
        EventCopy {
            id: format!("evt_000000000000000000000000{n:02}"),
            kind: "track",
            name: self.text("Order Completed"),
            source: "history".to_owned(),
            occurred_at: When(NOW.plus_days(-104 - 30 * n)),
            received_at: When(NOW.plus_days(-30)),
            source_day: Some(Day::from_number(15_000 - 30 * n).to_string()),
            properties: BTreeMap::from([
                ("order_id".to_owned(), ValueCopy::Text(self.text("489434"))),
                ("total".to_owned(), ValueCopy::Money { amount: "76.50".to_owned(), currency: "GBP".to_owned() }),
            ]),
            lines: lines.collect(),
            purposes: vec![PurposeCopy { name: "orders".to_owned(), says: self.text("Take and deliver your orders.") }],
            until: When(NOW.plus_days(900 - 30 * n)),
        }
    }

    fn answer(self, purpose: &str, n: u8) -> AnswerCopy {
        AnswerCopy {
            id: format!("con_0000000000000000000000000{n}"),
            purpose: purpose.to_owned(),
            says: self.text("Send you offers picked from what you bought."),
            status: "given",
            status_words: "You said yes",
            level: Some("full".to_owned()),
            words: self.text("Corner Gifts Ltd asks for your yes. Send you offers picked from what you bought."),
            language: "en".to_owned(),
            answered_at: When(NOW.plus_days(-204)),
            method: "portal",
            method_words: "on these pages",
            notice_version: 1,
            made_up: true,
            receipt_file: format!("receipts/con_0000000000000000000000000{n}.json"),
            receipt: self.receipt(),
        }
    }

    pub(crate) fn message(self, n: i32) -> MessageCopy {
        let why = "You placed 6 orders with us, but none in the last 90 days. We picked Hanging heart candle because you \
                   bought Cake stand, three tiers.";
        let step = |rule: &str| StepCopy { rule: rule.to_owned(), passed: true, reason: None };
        MessageCopy {
            decision: format!("dec_0000000000000000000000000{n}"),
            at: When(NOW.plus_days(-3 - 40 * n)),
            campaign: "win_back".to_owned(),
            channel: "email",
            held_out: n == 1,
            offer: Some("come_back".to_owned()),
            item: Some("85123A".to_owned()),
            item_title: Some(self.text("Hanging heart candle")),
            title: Some(self.text("A little something for you")),
            says: Some(self.text("Hanging heart candle is 20% off for you this week.")),
            why: Some(self.text(why)),
            state: Some(if n == 2 { "refused: cap_reached" } else { "sent" }.to_owned()),
            facts: vec![
                self.orders(),
                self.fact(
                    "orders_90d",
                    "How many orders you placed in the last 90 days",
                    ValueCopy::Number(0),
                    "derived",
                ),
            ],
            steps: vec![step("segment"), step("hold_out"), step("cap"), step("item")],
            basis: "purchase",
            shared_by: 212,
            exposure: "private_mail".to_owned(),
            propensity_micros: 900_000,
            notice_version: 1,
            promise: "00".repeat(32),
        }
    }
}
