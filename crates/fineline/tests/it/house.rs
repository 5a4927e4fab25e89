//! The one fixture: a whole house with its router, pump and console on loopback ports, a mail server of its own, a clock
//! that is moved by hand, and the shop's promise. Everything goes in and out as it does in earnest: over HTTP and SMTP.

use deliver::dkim::{Algorithm, Key, RECORD_PREFIX, Signer};
use deliver::egress::{Authority, Patience, Relay, RelayConfig, TlsMode};
use deliver::mail::OpenedMail;
use deliver::outbox::Mailer;
use deliver::sink::{self, Inbox};
use deliver::{BaseUrl, Recipient, Sender};
use fineline::chance::SystemChance;
use fineline::command::apply;
use fineline::serve::{Assembly, Parts, serve};
use fineline::{house, listener, promised};
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::time::ManualClock;
use model::{At, CampaignName, ProfileId, SegmentName, SourceName, StaffName};
use promise::Promise;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use vault::{EngineKind, Identifier, IdentifierKind, Options, Vault};

/// Noon of a Monday: nobody of the shop is asleep.
pub const START: &str = "2026-03-02T12:00:00Z";
/// Longest wait for something that the pump does.
const TRIES_MAX: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// The words under which the shop's people agree.
pub const WORDS: &str = "Corner Gifts Ltd asks for your yes. Send you offers picked from what you bought.";

/// A whole house, running.
pub struct House {
    pub vault: Vault,
    pub promise: Arc<Promise>,
    pub clock: Arc<ManualClock>,
    pub inbox: Arc<Inbox>,
    pub console: String,
    base: String,
    key: String,
    web_key: String,
    client: Client<HttpConnector, Full<bytes::Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<anyhow::Result<fineline::serve::Ended>>>,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> String {
        let text = self.text();
        let after = text.split_once(&format!("name=\"{name}\" value=\"")).expect("a hidden field").1;
        after.split_once('"').unwrap().0.to_owned()
    }

    pub fn fine(self) -> Self {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        self
    }
}

/// A signed-in person.
pub struct Browser {
    pub cookie: String,
    pub csrf: String,
}

impl House {
    /// A fresh house on an engine.
    pub fn open(engine: EngineKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(At::parse(START).unwrap()));
        let promise = Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        let vault = open_vault(engine, folder.path(), &promise, &clock);
        apply::review(&vault, &StaffName::parse("Test").unwrap()).unwrap();
        promised::put(&vault, promise::fixture::SHOP).unwrap();
        vault.put_items(fineline::demo::catalogue::items()).unwrap().wait().unwrap();
        let key =
            |name: &str| vault.issue_source_key(&SourceName::parse(name).unwrap(), false).unwrap().wait().unwrap();
        let (key, web_key) = (key("shop"), key("web"));
        Self::start(vault, promise, clock, folder, key, web_key)
    }

    fn start(
        vault: Vault,
        promise: Arc<Promise>,
        clock: Arc<ManualClock>,
        folder: tempfile::TempDir,
        key: String,
        web_key: String,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let inbox = Arc::new(Inbox::new(clock.clone()));
        let (public, staff, mail) = runtime.block_on(async { (bind().await, bind().await, bind().await) });
        let base = format!("http://localhost:{}", public.local_addr().unwrap().port());
        let console = format!("http://localhost:{}", staff.local_addr().unwrap().port());
        let mailer = runtime.block_on(mailer(&vault, &promise, &base, mail.local_addr().unwrap().port()));
        runtime.spawn(sink::serve(mail, inbox.clone()));
        let assembly = Assembly::new(Parts {
            vault: vault.clone(),
            promise: promise.clone(),
            clock: clock.clone(),
            rng: Arc::new(SystemChance::default()),
            console_at: staff.local_addr().unwrap(),
            base_url: base.clone(),
            mailer: Some(mailer),
            reach: deliver::egress::webhook::Reach::AlsoPrivate,
            rotate_at: fineline::rotation::TimeOfDay::NIGHT,
            banner: None,
        })
        .unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = runtime.spawn(serve(assembly, public, staff, 100, async {
            stopped.await.ok();
        }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (stop, served) = (Some(stop), Some(served));
        Self { vault, promise, clock, inbox, console, base, key, web_key, client, stop, served, runtime, folder }
    }

    /// Everything that lies on the disk of this house.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    // ── the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────

    pub fn ask(&self, request: Request<Full<bytes::Bytes>>) -> Answer {
        self.runtime.block_on(async {
            let response = self.client.request(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes().to_vec();
            Answer { status: parts.status, headers: parts.headers, bytes }
        })
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) }
    }

    fn basic(key: &str) -> String {
        use base64::Engine;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{key}:")))
    }

    /// As the company's server.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(&self.key, path, body)
    }

    /// As a page with the public write key.
    pub fn browser_post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(&self.web_key, path, body)
    }

    fn post_with(&self, key: &str, path: &str, body: &Value) -> Answer {
        let request = Request::post(self.url(path)).header(AUTHORIZATION, Self::basic(key));
        self.ask(request.header(CONTENT_TYPE, "application/json").body(Full::from(body.to_string())).unwrap())
    }

    /// On the listener for staff, as whoever holds this token.
    pub fn post_as_operator(&self, path: &str, token: &str, body: &Value) -> Answer {
        let request = Request::post(format!("{}{path}", self.console)).header(AUTHORIZATION, format!("Bearer {token}"));
        self.ask(request.header(CONTENT_TYPE, "application/json").body(Full::from(body.to_string())).unwrap())
    }

    /// Any bytes, with the server key.
    pub fn raw(&self, path: &str, bytes: &[u8]) -> Answer {
        let request = Request::post(self.url(path)).header(AUTHORIZATION, Self::basic(&self.key));
        self.ask(request.body(Full::from(bytes.to_vec())).unwrap())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.method(Method::GET, path)
    }

    pub fn method(&self, method: Method, path: &str) -> Answer {
        self.ask(Request::builder().method(method).uri(self.url(path)).body(Full::default()).unwrap())
    }

    /// A form, as a browser without scripts sends it.
    pub fn form(&self, path: &str, cookie: &str, fields: &str) -> Answer {
        let request = Request::post(self.url(path))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(COOKIE, cookie);
        self.ask(request.body(Full::from(fields.to_owned())).unwrap())
    }

    pub fn get_as(&self, browser: &Browser, path: &str) -> Answer {
        let request = Request::get(self.url(path)).header(COOKIE, &browser.cookie);
        self.ask(request.body(Full::default()).unwrap())
    }

    pub fn form_as(&self, browser: &Browser, path: &str, fields: &str) -> Answer {
        self.form(path, &browser.cookie, &format!("csrf={}&{fields}", browser.csrf))
    }

    /// The signed hand-off of the shop, and the one tap behind it.
    pub fn sign_in(&self, user: &str) -> Browser {
        let url = self.post("/v1/portal_sessions", &json!({ "userId": user })).fine().json()["url"]
            .as_str()
            .unwrap()
            .to_owned();
        self.get(&url).fine();
        let entered = self.form(&url, "", "");
        assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text());
        let cookie = entered.headers.get(SET_COOKIE).unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
        let csrf =
            self.get_as(&Browser { cookie: cookie.clone(), csrf: String::new() }, "/privacy/me").fine().hidden("csrf");
        Browser { cookie, csrf }
    }

    // ── the shop ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// An order of one person, with their address, as the shop's server tells it.
    pub fn order(user: &str, number: &str, items: &[&str]) -> Value {
        let products: Vec<Value> =
            items.iter().map(|item| json!({ "sku": item, "quantity": 1, "price": "4.25" })).collect();
        let total = format!("{}.{:02}", items.len() * 425 / 100, items.len() * 425 % 100);
        json!({
            "type": "track", "event": "Order Completed", "userId": user, "messageId": format!("order-{number}"),
            "properties": { "order_id": number, "total": total, "currency": "GBP", "products": products },
            "context": { "traits": { "email": address(user) } },
        })
    }

    /// One answer about offers, reported by the shop's server with the words shown.
    pub fn says(&self, user: &str, status: &str) -> Value {
        let body = json!({
            "userId": user, "purpose": "offers", "status": status, "words": WORDS, "language": "en", "noticeVersion": 1,
        });
        self.post("/v1/consent", &body).fine().json()
    }

    /// `n` customers ("p0", "p1", …) with three orders each within a week; the clock ends 100 days later. Everybody said yes
    /// but the last `n_no`, who said no.
    pub fn customers(&self, n: usize, n_no: usize) {
        for user in (0..n).map(|number| format!("p{number}")) {
            let number: usize = user[1..].parse().unwrap();
            self.says(&user, if number < n - n_no { "given" } else { "refused" });
        }
        for round in 0..3 {
            let items: &[&str] = [&["MUG01", "TEA01"][..], &["MUG01", "MUG02"], &["TEA01", "TEA02"]][round];
            let orders: Vec<Value> = (0..n)
                .map(|number| Self::order(&format!("p{number}"), &format!("{number}-{round}"), items))
                .chain((0..n).map(|number| {
                    let user = format!("p{number}");
                    json!({ "type": "identify", "userId": user, "messageId": format!("id-{number}-{round}"), "traits": { "email": address(&user) } })
                }))
                .collect();
            for batch in orders.chunks(90) {
                self.post("/v1/batch", &json!({ "batch": batch })).fine();
            }
            self.clock.advance_days(2);
        }
        self.clock.advance_days(100);
    }

    pub fn person(&self, user: &str) -> Option<ProfileId> {
        self.vault.snapshot().find(&Identifier { kind: IdentifierKind::User, value: user.to_owned() })
    }

    pub fn lapsed(&self) -> vault::snapshot::SegmentCount {
        self.vault.snapshot().segment_count(&SegmentName::parse("lapsed").unwrap()).unwrap()
    }

    /// Starts the win-back campaign as staff.
    pub fn start_campaign(&self) -> Result<(), decide::DecideError> {
        let name = CampaignName::parse("win_back").unwrap();
        decide::order::order(&self.vault, &self.promise, &name, decide::order::Wish::Start, "Test").map(|_| ())
    }

    /// Waits until everybody has candidates, then starts the campaign and waits until nothing is due any more.
    pub fn send_campaign(&self) -> u64 {
        self.until("the items are learnt", || {
            let record = self.vault.snapshot().house_record("combination/lapsed").unwrap()?;
            let counted: decide::records::Combination = serde_json::from_slice(&record).unwrap();
            (counted.n_people >= 50).then_some(())
        });
        self.start_campaign().unwrap();
        self.until("everybody was asked", || {
            let record = self.vault.snapshot().house_record("run/win_back").unwrap()?;
            let run: decide::records::RunState = serde_json::from_slice(&record).unwrap();
            (run.looked_at > 0).then_some(())
        });
        self.until("the outbox is empty", || self.vault.snapshot().outbox_due(1).unwrap().is_empty().then_some(()));
        self.inbox.n_received()
    }

    /// The mail to a person, opened.
    pub fn mail_to(&self, user: &str) -> Option<OpenedMail> {
        let address = address(user);
        let mail = self.inbox.mails().into_iter().find(|mail| mail.to.contains(&address))?;
        OpenedMail::read(&mail.bytes)
    }

    /// Looks until something is there.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..TRIES_MAX {
            if let Some(found) = look() {
                return found;
            }
            self.runtime.block_on(async { tokio::time::sleep(PAUSE).await });
        }
        panic!("waited too long: {what}");
    }

    /// Stops serving and closes the vault, as SIGTERM does.
    pub fn close(&mut self) {
        let Some(stop) = self.stop.take() else { return };
        let _ = stop.send(());
        let served = self.served.take().unwrap();
        self.runtime.block_on(served).unwrap().unwrap();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}

pub fn address(user: &str) -> String {
    format!("{user}@mail.example")
}

/// The path of a link to us that stands in a mail's text.
pub fn link_in(mail: &OpenedMail, after: &str) -> String {
    let at = mail.text.find(after).unwrap_or_else(|| panic!("{after} is not in {}", mail.text));
    let rest = &mail.text[at..];
    let token = rest.find("/m/").map(|at| &rest[at..]).expect("a link");
    token.split(|c: char| c.is_whitespace() || c == '>' || c == ')').next().unwrap().to_owned()
}

fn open_vault(engine: EngineKind, folder: &Path, promise: &Arc<Promise>, clock: &Arc<ManualClock>) -> Vault {
    let household = house::household_with(promise.clone(), clock.clone(), Arc::new(SystemChance::default()));
    if engine == EngineKind::Memory {
        return Vault::in_memory(household).unwrap();
    }
    let options = Options {
        data: folder.join("data"),
        engine,
        root: folder.join("keys/root").into(),
        queue_max: 10_000,
        witness: None,
    };
    Vault::create(&options, &household).unwrap();
    Vault::open(&options, household).unwrap()
}

async fn bind() -> tokio::net::TcpListener {
    listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

async fn mailer(vault: &Vault, promise: &Promise, base: &str, port: u16) -> Mailer {
    let base = BaseUrl::parse(base).unwrap();
    let relay = Relay::new(RelayConfig {
        host: "127.0.0.1".to_owned(),
        port,
        tls: TlsMode::None,
        authority: Authority::Public,
        login: None,
        hello: base.host().to_owned(),
        connections: 2,
        patience: Patience::default(),
        recipient: Recipient::relay("a mail server of this test", None),
    })
    .unwrap();
    relay.recipient().register(vault).await.unwrap();
    let sender = Sender::new(promise, "hello@corner.example", base).unwrap();
    let key = Key::generate(Algorithm::Ed25519Sha256).unwrap();
    vault.put_house_record(&format!("{RECORD_PREFIX}test"), Some(key)).unwrap().await.unwrap();
    let signer = Signer::load(&vault.snapshot(), sender.domain()).unwrap();
    Mailer::new(sender, signer, relay).unwrap()
}
