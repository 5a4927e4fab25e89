//! Tests of the room: the look of every page with sample people (`look`), and the doors against a house in memory with one
//! customer, one order and one message (`House`).

mod api;
mod leaving;
mod look;
mod message;
mod person;

use crate::{State, routes};
use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use model::id::base32;
use model::time::ManualClock;
use model::{
    At, Awareness, CampaignName, Clock, ConsentStatus, Currency, DecisionId, EventKind, EventName, Fact, FactName,
    FieldName, ItemCode, LineItem, Method, Money, OfferName, ProfileId, Provenance, PurposeName, RankedItem, Rng,
    SourceName, TraitName, Trust, Value, Words,
};
use promise::{Artefact, ArtefactKind, ChannelKind, Promise};
use std::collections::BTreeMap;
use std::sync::Arc;
use tower::ServiceExt;
use vault::{
    ConsentChange, FactRead, FactWrite, Household, Identifier, IdentifierKind, Intake, Item, ItemBasis, MessageKey,
    NewDecision, Outcome, Step, Subject, Trace, Vault,
};

/// What the company calls the one customer.
pub(super) const USER: &str = "customer-17";
/// Where the one customer is written to.
pub(super) const ADDRESS: &str = "sam.jones@mail.example";

pub(super) struct House {
    pub(super) vault: Vault,
    pub(super) clock: Arc<ManualClock>,
    pub(super) promise: Arc<Promise>,
    router: Router,
    key: tokio::sync::OnceCell<String>,
}

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn location(&self) -> &str {
        self.header(LOCATION.as_str()).expect("a redirect")
    }

    /// The value of a hidden field.
    pub(super) fn hidden(&self, name: &str) -> String {
        let text = self.text();
        let after = text.split_once(&format!("name=\"{name}\" value=\"")).expect("a hidden field").1;
        after.split_once('"').unwrap().0.to_owned()
    }
}

/// A signed-in browser.
pub(super) struct Browser {
    pub(super) cookie: String,
    pub(super) csrf: String,
}

struct Chance(model::chance::Seeded);

impl Rng for Chance {
    fn fill(&self, out: &mut [u8]) {
        self.0.fill(out);
    }
}

pub(super) fn at(text: &str) -> At {
    At::parse(text).unwrap()
}

fn user() -> Subject {
    let user = Identifier { kind: IdentifierKind::User, value: USER.to_owned() };
    Subject::Identifiers { user: Some(user), anonymous: None }
}

impl House {
    /// A shop with one customer who said yes to offers and ordered once, 100 days ago.
    pub(super) async fn with_one_customer() -> Self {
        let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        let clock = Arc::new(ManualClock::new(at("2026-08-15T10:00:00Z")));
        let rng: Arc<dyn Rng> = Arc::new(Chance(model::chance::Seeded::new(7)));
        let household = Household {
            promise: Arc::clone(&promise),
            clock: clock.clone(),
            rng: Arc::clone(&rng),
            projection: Arc::new(understand::Traits::new(&promise)),
        };
        let vault = Vault::in_memory(household).unwrap();
        let state = Arc::new(State::new(vault.clone(), "http://localhost:4000", rng));
        let house = Self { vault, clock, promise, router: routes(state), key: tokio::sync::OnceCell::new() };
        house.put_items().await;
        house.says("offers", ConsentStatus::Given).await;
        assert!(matches!(house.orders().await, Outcome::Kept { .. }));
        house.clock.set(at("2026-11-23T10:00:00Z"));
        house
    }

    async fn put_items(&self) {
        let item = |code: &str, title: &str, group: &str| Item {
            code: ItemCode::parse(code).unwrap(),
            title: title.to_owned(),
            group: group.to_owned(),
            class: model::Class::Plain,
            price: Money::parse("2.55", Currency::GBP),
        };
        let items = vec![item("85123A", "Hanging heart candle", "candles"), item("22423", "Cake stand", "kitchen")];
        self.vault.put_items(items).unwrap().await.unwrap();
    }

    pub(super) async fn says(&self, purpose: &str, status: ConsentStatus) -> vault::ConsentAnswer {
        let purpose = PurposeName::parse(purpose).unwrap();
        let change = ConsentChange {
            subject: user(),
            source: SourceName::parse("shop").ok(),
            words: Words {
                text: self.promise.purposes[&purpose].words(&self.promise.company),
                language: "en".to_owned(),
                answered_at: self.clock.now(),
            },
            purpose,
            status,
            level: None,
            method: Method::Server,
            notice_version: 1,
            made_up: false,
        };
        self.vault.consent(change).unwrap().await.unwrap()
    }

    /// One order through the server's key.
    pub(super) async fn orders(&self) -> Outcome {
        let price = Money::parse("12.75", Currency::GBP).unwrap();
        let properties = BTreeMap::from([
            ("order_id".to_owned(), Value::Text("489434".to_owned())),
            ("total".to_owned(), Value::Money(Money::parse("25.50", Currency::GBP).unwrap())),
        ]);
        let event = Intake {
            subject: user(),
            kind: EventKind::Track,
            name: EventName::parse("Order Completed").unwrap(),
            source: SourceName::parse("shop").unwrap(),
            trust: Trust::Server,
            occurred_at: self.clock.now(),
            source_day: None,
            properties,
            lines: vec![LineItem { row: 0, item: ItemCode::parse("22423").unwrap(), quantity: 2, price }],
            fields: vec![(FieldName::parse("email").unwrap(), Value::Text(ADDRESS.to_owned()))],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::Wire(format!("order-{}", self.clock.now().ms())),
        };
        self.vault.take(vec![event]).unwrap().await.unwrap().remove(0)
    }

    /// What the model thinks the customer could like.
    pub(super) async fn guesses(&self, items: &[&str]) {
        let because = ItemCode::parse("22423");
        let ranked = |item: &&str| RankedItem {
            item: ItemCode::parse(item).unwrap(),
            because: because.clone(),
            score_micros: 1,
        };
        let now = self.clock.now();
        let fact = Fact {
            name: FactName::Trait(TraitName::parse("candidates").unwrap()),
            value: Value::Ranking(items.iter().map(ranked).collect()),
            class: model::Class::Plain,
            context: model::Context::Shopping,
            provenance: Provenance::Inferred { ancestors: vec!["Order Completed".to_owned()] },
            as_of: now,
            told_at: Some(now),
            told_how: Awareness::InNotice,
            purposes: vec![PurposeName::parse("offers").unwrap()],
            notice_version: 1,
            expires_at: now.plus_days(30),
        };
        let artefact = self.promise.artefact(ArtefactKind::Model, Artefact::ITEMS).unwrap().id;
        let inputs_expire_at = Some(now.plus_days(30));
        let write = FactWrite { person: self.person(), artefact, fact: Some(fact), remove: None, inputs_expire_at };
        for answer in self.vault.write_facts(vec![write]).unwrap().await.unwrap() {
            answer.unwrap();
        }
    }

    pub(super) fn find(&self) -> Option<ProfileId> {
        let user = Identifier { kind: IdentifierKind::User, value: USER.to_owned() };
        self.vault.snapshot().find(&user)
    }

    pub(super) fn person(&self) -> ProfileId {
        self.find().expect("the customer is known")
    }

    /// A decision of the campaign with its message, and the token of its links.
    pub(super) async fn message(&self) -> (DecisionId, String) {
        let decision = {
            let snapshot = self.vault.snapshot();
            let campaign = self.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap();
            let permit = snapshot.permit(self.person(), campaign.id).unwrap();
            let read = |name: &str| {
                let name = FactName::Trait(TraitName::parse(name).unwrap());
                let fact = permit.fact(&name).unwrap().unwrap().reveal().clone();
                let label = self.promise.traits[name.as_str()].says.clone();
                FactRead { ancestors: vec!["Order Completed".to_owned()], life_used_percent: 9, label, fact }
            };
            let step = |rule: &str| Step { rule: rule.to_owned(), passed: true, reason: None };
            let offer = &self.promise.offers["come_back"];
            NewDecision {
                id: DecisionId::new(snapshot.now(), &Chance(model::chance::Seeded::new(u64::MAX))),
                person: self.person(),
                artefact: campaign.id,
                campaign: CampaignName::parse("win_back").unwrap(),
                consent_seq: permit.consent_seq(),
                offer: OfferName::parse("come_back").ok(),
                item: ItemCode::parse("85123A"),
                held_out: false,
                channel: ChannelKind::Email,
                send_at: None,
                run: 1,
                replaces: None,
                trace: Trace {
                    facts: vec![read("orders_all"), read("orders_90d")],
                    steps: vec![step("segment"), step("cap")],
                    texts: [offer.title.clone(), offer.says.clone(), offer.why.clone()],
                    slots: BTreeMap::from([
                        ("item".to_owned(), "Hanging heart candle".to_owned()),
                        ("because".to_owned(), "Cake stand".to_owned()),
                    ]),
                    propensity_micros: 900_000,
                    basis: ItemBasis::Purchase,
                    shared_by: 212,
                    exposure: "private_mail".to_owned(),
                    promise: self.promise.hash,
                    notice_version: 1,
                },
            }
        };
        let id = self.vault.decide(decision).unwrap().await.unwrap().unwrap();
        let token = self.vault.message_token(id).unwrap().await.unwrap().unwrap();
        (id, token)
    }

    /// The relay takes the message of a decision.
    pub(super) async fn hand_to_relay(&self, decision: DecisionId) {
        let due = self.vault.snapshot().outbox_due(10).unwrap();
        let entry = due.iter().find(|entry| entry.decision == decision).unwrap();
        let attempt = self.vault.begin_attempt(entry.message).unwrap().await.unwrap().unwrap();
        self.vault.finish_attempt(attempt, vault::AttemptEnd::Sent).unwrap().await.unwrap();
    }

    pub(super) async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn head(&self, path: &str) -> Answer {
        self.ask(Request::head(path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        let request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.ask(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(super) async fn get_as(&self, browser: &Browser, path: &str) -> Answer {
        self.ask(Request::get(path).header(COOKIE, &browser.cookie).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post_as(&self, browser: &Browser, path: &str, fields: &str) -> Answer {
        let body = format!("csrf={}&{fields}", browser.csrf);
        let request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.ask(request.header(COOKIE, &browser.cookie).body(Body::from(body)).unwrap()).await
    }

    /// The secret key of the shop's server, issued once: a third one would end the first.
    pub(super) async fn server_key(&self) -> String {
        let shop = SourceName::parse("shop").unwrap();
        let issue = async || self.vault.issue_source_key(&shop, false).unwrap().await.unwrap();
        self.key.get_or_init(issue).await.clone()
    }

    /// A one-time link by the shop's server, without the house's own address.
    pub(super) async fn link(&self) -> String {
        let key = self.server_key().await;
        let request = Request::post("/v1/portal_sessions").header("authorization", format!("Bearer {key}"));
        let answer = self.ask(request.body(Body::from(format!("{{\"userId\":\"{USER}\"}}"))).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let url = answer.json()["url"].as_str().unwrap().to_owned();
        url.strip_prefix("http://localhost:4000").unwrap().to_owned()
    }

    /// The one customer, signed in.
    pub(super) async fn sign_in(&self) -> Browser {
        let link = self.link().await;
        let entered = self.post(&link, "").await;
        assert_eq!((entered.status, entered.location()), (StatusCode::SEE_OTHER, "/privacy/me"));
        let cookie = entered.header(SET_COOKIE.as_str()).unwrap().split(';').next().unwrap().to_owned();
        let browser = Browser { cookie, csrf: String::new() };
        let csrf = self.get_as(&browser, "/privacy/me").await.hidden("csrf");
        Browser { csrf, ..browser }
    }

    /// Everything that can change about the one customer, in one line.
    pub(super) fn state(&self) -> String {
        let snapshot = self.vault.snapshot();
        let Some(person) = self.find() else { return "nobody".to_owned() };
        let portal = self.promise.artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap();
        let permit = snapshot.permit(person, portal.id).unwrap();
        let contact = permit.contact();
        let contact = contact.reveal();
        format!(
            "{} {} {:?} {:?}",
            permit.consent_seq(),
            permit.ledger().unwrap().len(),
            contact.at_most,
            contact.turned_down
        )
    }

    /// The standing of the one customer's answer about a purpose, in the newest entry.
    pub(super) fn answer(&self, purpose: &str) -> Option<(ConsentStatus, Option<String>, String)> {
        let snapshot = self.vault.snapshot();
        let portal = self.promise.artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap();
        let permit = snapshot.permit(self.find()?, portal.id).unwrap();
        let ledger = permit.ledger().unwrap();
        let entries = ledger.iter().map(|entry| entry.reveal()).filter(|entry| entry.purpose.as_str() == purpose);
        let newest = entries.max_by_key(|entry| (entry.words.answered_at, base32(entry.id.as_bytes())))?;
        Some((newest.status, newest.level.clone(), newest.words.text.clone()))
    }

    /// Whether the campaign may read about the one customer now.
    pub(super) fn may_be_written_to(&self) -> bool {
        let campaign = self.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap();
        let snapshot = self.vault.snapshot();
        self.find().is_some_and(|person| snapshot.permit(person, campaign.id).is_ok())
    }
}

/// The words of a page without tags, as a reader sees them.
pub(super) fn seen(html: &str) -> String {
    let mut out = String::new();
    for part in html.split('<') {
        out.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    let out = out
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#39;", "'")
        .replace("&#34;", "\"")
        .replace("&#38;", "&");
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}
