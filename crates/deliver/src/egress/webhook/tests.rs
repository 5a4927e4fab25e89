//! One call against a recipient on the loopback: what it is sent, what each answer means, and where nothing is dialled.

use super::*;
use crate::recipient;
use model::Clock as _;
use model::chance::Seeded;
use model::time::ManualClock;
use promise::Promise;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vault::{Household, NoProjection, Vault};

/// A recipient on the loopback: what it heard, and what it answers.
pub(crate) struct Desk {
    pub(crate) port: u16,
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Desk {
    /// Answers each call with the next of these, and then with the last one for ever. An empty one hangs up.
    #[expect(clippy::disallowed_methods, reason = "a test stands where the program would")]
    pub(crate) async fn open(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (ear, answers) = (Arc::clone(&heard), answers.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let task = tokio::spawn(async move {
            for n in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut said = Vec::new();
                let mut piece = [0; 4_096];
                while !is_whole(&said) {
                    match stream.read(&mut piece).await {
                        Ok(0) | Err(_) => break,
                        Ok(n) => said.extend_from_slice(&piece[..n]),
                    }
                }
                ear.lock().unwrap().push(String::from_utf8(said).unwrap());
                let answer = answers.get(n).or(answers.last()).cloned().unwrap_or_default();
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { port, heard, task }
    }

    pub(crate) fn n_heard(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

/// Head and as much of a body as it names.
fn is_whole(said: &[u8]) -> bool {
    let text = String::from_utf8_lossy(said);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

pub(crate) fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The shop, with one recipient who is called at this port.
pub(crate) fn promise(host: &str, port: u16) -> Arc<Promise> {
    let more = format!(
        "\n[recipient.crm]\nwho = \"Helpful Desk Ltd\"\nwhy = \"answers your letters\"\nwhat = [\"your orders\"]\nwhere = \
         \"Ireland\"\nuntil = 2026-12-31\nerase = \"http://{host}:{port}/erase\"\n"
    );
    Arc::new(promise::parse("shop.toml", &format!("{}{more}", promise::fixture::SHOP)).unwrap())
}

pub(crate) fn vault(promise: &Arc<Promise>) -> (Vault, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
    let household = Household {
        promise: Arc::clone(promise),
        clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
        rng: Arc::new(Seeded::new(3)),
        projection: Arc::new(NoProjection),
    };
    (Vault::in_memory(household).unwrap(), clock)
}

async fn crm(host: &str, port: u16) -> Registered {
    let (vault, _) = vault(&promise(host, port));
    recipient::make_secrets(&vault, &Seeded::new(4)).await.unwrap();
    recipient::registered(&vault.snapshot(), "crm").unwrap().unwrap()
}

fn message() -> Message {
    let at = At::parse("2026-11-23T12:00:00Z").unwrap();
    Message { id: "call_1".into(), at, body: "{\"type\":\"person.erase\"}".into() }
}

async fn ask(answers: &[&str]) -> (Result<Answer, CallFault>, Vec<String>) {
    let desk = Desk::open(answers).await;
    let caller = Caller::new(Reach::AlsoPrivate).unwrap();
    let answered = caller.post(&crm("127.0.0.1", desk.port).await, &message()).await;
    let heard = desk.heard.lock().unwrap().clone();
    (answered, heard)
}

#[test]
fn a08_a_call_is_signed_as_standard_webhooks_says() {
    // The example of the specification.
    let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let body = "{\"test\": 2432232314}";
    let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_ne!(signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_331, body), signed, "control");
}

#[tokio::test]
async fn a08_each_answer_of_a_recipient_has_one_meaning() {
    let yes = answer("200 OK", "{\"erased\": true}");
    let (answered, heard) = ask(&[&yes]).await;
    assert_eq!(answered, Ok(Answer::Erased));
    let said = heard[0].to_ascii_lowercase();
    assert!(said.starts_with("post /erase http/1.1\r\n"), "{said}");
    for header in ["webhook-id: call_1", "webhook-timestamp: 1795435200", "webhook-signature: v1,", "host: 127.0.0.1:"]
    {
        assert!(said.contains(header), "{header}: {said}");
    }
    for (status, body, meaning) in [
        ("200 OK", "{\"erased\": \"true\"}", Ok(Answer::Taken)),
        ("200 OK", "<html>erased</html>", Ok(Answer::Taken)),
        ("202 Accepted", "", Ok(Answer::Taken)),
        ("400 Bad Request", "", Err(CallFault::Refused)),
        ("401 Unauthorized", "{\"erased\": true}", Err(CallFault::Refused)),
        ("410 Gone", "", Err(CallFault::Closed)),
        ("429 Too Many", "", Err(CallFault::Busy)),
        ("503 Down", "", Err(CallFault::Busy)),
    ] {
        assert_eq!(ask(&[&answer(status, body)]).await.0, meaning, "{status} {body}");
    }
    assert_eq!(ask(&[""]).await.0, Err(CallFault::Down), "hangs up");
    assert_eq!(ask(&["nonsense\r\n\r\n"]).await.0, Err(CallFault::Down));
    let long = answer("200 OK", &format!("{{\"erased\": true, \"more\": \"{}\"}}", "x".repeat(ANSWER_BYTES_MAX)));
    assert_eq!(ask(&[&long]).await.0, Ok(Answer::Taken), "what is too long to read says no more than its status");
}

#[tokio::test]
async fn a08_a_redirect_is_not_followed() {
    let elsewhere = Desk::open(&[&answer("200 OK", "{\"erased\": true}")]).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let location = format!(
            "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:{}/erase\r\ncontent-length: 0\r\n\r\n",
            elsewhere.port
        );
        assert_eq!(ask(&[&location]).await.0, Err(CallFault::Redirected), "{status}");
    }
    assert_eq!(elsewhere.n_heard(), 0);
}

#[tokio::test]
async fn a08_no_private_address_is_dialled_unless_the_program_was_told_that_it_may() {
    let desk = Desk::open(&[&answer("200 OK", "")]).await;
    for host in ["127.0.0.1", "localhost"] {
        let crm = crm(host, desk.port).await;
        let careful = Caller::new(Reach::Public).unwrap();
        assert_eq!(careful.post(&crm, &message()).await, Err(CallFault::NotPublic), "{host}");
        assert_eq!(desk.n_heard(), 0, "no connection");
    }
    let told = Caller::new(Reach::AlsoPrivate).unwrap();
    assert_eq!(told.post(&crm("127.0.0.1", desk.port).await, &message()).await, Ok(Answer::Taken), "control");
}

#[test]
fn a08_private_special_and_disguised_addresses_are_not_public() {
    for private in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "ff02::1",
        "::127.0.0.1",
    ] {
        assert!(!is_public(private.parse().unwrap()), "{private}");
    }
    for public in [
        "1.1.1.1",
        "9.9.9.9",
        "172.32.0.1",
        "100.128.0.1",
        "192.1.0.1",
        "2606:4700::1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

#[tokio::test]
async fn a08_only_a_recipient_of_the_promise_can_be_called_at_all() {
    let promise = promise("127.0.0.1", 9);
    let (vault, clock) = vault(&promise);
    let find = |name: &str| recipient::registered(&vault.snapshot(), name).unwrap().map(|_| ());
    assert_eq!(find("crm"), Err(recipient::NotCallable::NoSecret));
    recipient::make_secrets(&vault, &Seeded::new(4)).await.unwrap();
    assert_eq!(find("crm"), Ok(()));
    for other in ["relay", "warehouse", "", "crm/../crm", "CRM"] {
        assert_eq!(find(other), Err(recipient::NotCallable::NotRegistered), "{other}");
    }
    let written = recipient::secret(&vault.snapshot(), "crm").unwrap().unwrap();
    recipient::make_secrets(&vault, &Seeded::new(5)).await.unwrap();
    assert_eq!(recipient::secret(&vault.snapshot(), "crm").unwrap().unwrap(), written, "made once");
    assert!(written.starts_with("whsec_"));
    assert!(clock.now() > At::from_ms(0));
}
