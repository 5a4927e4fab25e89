//! The protected way out, against a relay that speaks STARTTLS, TLS and AUTH. Its certificate is for `localhost`, by a root
//! that only these tests trust; both are in `fixtures`, valid from 2020 to 2120, and guard nothing.

use super::{bind, config};
use crate::egress::{Authority, Connection, Handover, Login, Relay, RelayConfig, RelayError, RelayFault, TlsMode};
use crate::mail::compose;
use crate::mail::tests::{letter, sender};
use base64::Engine as _;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::aws_lc_rs};

const ROOT: &[u8] = include_bytes!("../../../fixtures/root.pem");
/// Vouches for nothing here.
const OTHER_ROOT: &[u8] = include_bytes!("../../../fixtures/other-root.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../fixtures/relay.pem");
const KEY: &[u8] = include_bytes!("../../../fixtures/relay-key.pem");
const USER: &str = "shop";
const PASSWORD: &str = "correct horse battery staple";

/// What a relay offers: TLS from the first byte, STARTTLS, ways to log in ("" = none).
#[derive(Clone, Copy)]
struct Offers {
    wrapped: bool,
    starttls: bool,
    auth: &'static str,
}

/// What a relay was sent, line by line: in clear, and under TLS.
#[derive(Debug, Default)]
struct Heard {
    clear: Vec<String>,
    hidden: Vec<String>,
}

impl Heard {
    fn hear(&mut self, is_hidden: bool, line: &str) {
        if is_hidden { &mut self.hidden } else { &mut self.clear }.push(line.to_owned());
    }
}

type Ear = Arc<Mutex<Heard>>;

fn acceptor() -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// One conversation after another, until it is dropped. How one ends is the other side's affair.
async fn relay(listener: TcpListener, offers: Offers, ear: Ear) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = converse(stream, offers, &ear).await;
    }
}

async fn converse(mut stream: tokio::net::TcpStream, offers: Offers, ear: &Ear) -> io::Result<()> {
    if offers.wrapped {
        let mut hidden = acceptor().accept(stream).await?;
        hidden.write_all(b"220 relay\r\n").await?;
        return talk(&mut hidden, "", offers.auth, true, ear).await.map(|_| ());
    }
    stream.write_all(b"220 relay\r\n").await?;
    let upgrade = if offers.starttls { "STARTTLS" } else { "" };
    // Where TLS is to be had, nobody may log in without it.
    let auth = if offers.starttls { "" } else { offers.auth };
    if talk(&mut stream, upgrade, auth, false, ear).await? {
        let mut hidden = acceptor().accept(stream).await?;
        talk(&mut hidden, "", offers.auth, true, ear).await?;
    }
    Ok(())
}

/// Talks until the other side is gone (`false`) or asked for TLS (`true`).
async fn talk<S>(stream: &mut S, upgrade: &str, auth: &str, is_hidden: bool, ear: &Ear) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    let (mut is_text, mut asked) = (false, Vec::<String>::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let line = line.trim_end();
        ear.lock().unwrap().hear(is_hidden, line);
        let word = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
        let decoded = || base64::engine::general_purpose::STANDARD.decode(line).unwrap_or_default();
        let welcome = |is_right: bool| if is_right { "235 2.7.0 welcome" } else { "535 5.7.8 that is not right" };
        let answer = if is_text {
            if line != "." {
                continue;
            }
            is_text = false;
            "250 2.0.0 kept".to_owned()
        } else if !asked.is_empty() {
            asked.push(String::from_utf8(decoded()).unwrap());
            match asked.as_slice() {
                [_, _] => "334 UGFzc3dvcmQ6".to_owned(),
                [_, user, password] => {
                    let is_right = user == USER && password == PASSWORD;
                    asked.clear();
                    welcome(is_right).to_owned()
                }
                _ => unreachable!("at most a name and a password"),
            }
        } else {
            match word.as_str() {
                "EHLO" => {
                    let auth = if auth.is_empty() { String::new() } else { format!("AUTH {auth}") };
                    let lines = [upgrade, &auth, "8BITMIME"].map(str::to_owned);
                    let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
                    lines.iter().fold("250-relay".to_owned(), |said, line| format!("{said}\r\n250-{line}"))
                        + "\r\n250 HELP"
                }
                "STARTTLS" if !upgrade.is_empty() => {
                    stream.write_all(b"220 2.0.0 go ahead\r\n").await?;
                    return Ok(true);
                }
                "AUTH" if line == "AUTH LOGIN" => {
                    asked.push(String::new());
                    "334 VXNlcm5hbWU6".to_owned()
                }
                "AUTH" => {
                    let right = base64::engine::general_purpose::STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
                    welcome(line == format!("AUTH PLAIN {right}")).to_owned()
                }
                "DATA" => {
                    is_text = true;
                    "354 end with a dot".to_owned()
                }
                "QUIT" => "221 2.0.0 bye".to_owned(),
                _ => "250 2.0.0 yes".to_owned(),
            }
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

fn login(password: &str) -> Option<Login> {
    Some(Login { user: USER.to_owned(), password: password.to_owned() })
}

/// How the relay is to be reached in a test.
struct Way {
    host: &'static str,
    tls: TlsMode,
    login: Option<Login>,
    trusted: bool,
}

const OPEN: Way = Way { host: "localhost", tls: TlsMode::StartTls, login: None, trusted: true };

impl Way {
    fn relay(self, port: u16) -> Relay {
        let Self { host, tls, login, trusted } = self;
        let authority = if trusted { Authority::Own(ROOT.to_vec()) } else { Authority::Public };
        Relay::new(RelayConfig { host: host.to_owned(), tls, authority, login, ..config(port) }).unwrap()
    }
}

/// Connects to a relay that offers this and, when it is let in, hands one mail over.
async fn check(way: Way, offers: Offers) -> (Result<Handover, RelayFault>, Heard) {
    let (listener, port) = bind().await;
    let ear = Ear::default();
    let client = async {
        let mut connection: Connection = way.relay(port).connect().await?;
        let mail = compose(&sender(), &letter()).unwrap();
        let handover = connection.hand_over(&mail, || Ok(())).await;
        connection.close().await;
        Ok(handover)
    };
    let ended = tokio::select! {
        () = relay(listener, offers, ear.clone()) => unreachable!("it goes on until it is dropped"),
        ended = client => ended,
    };
    let heard = std::mem::take(&mut *ear.lock().unwrap());
    (ended, heard)
}

fn says(lines: &[String], word: &str) -> bool {
    lines.iter().any(|line| line.starts_with(word))
}

#[tokio::test]
async fn a_mail_goes_over_starttls_and_over_tls_and_nothing_of_it_in_clear() {
    for (tls, offers, clear) in [
        (TlsMode::StartTls, Offers { wrapped: false, starttls: true, auth: "PLAIN LOGIN" }, &["EHLO", "STARTTLS"][..]),
        (TlsMode::Tls, Offers { wrapped: true, starttls: false, auth: "PLAIN LOGIN" }, &[]),
    ] {
        let (ended, heard) = check(Way { tls, login: login(PASSWORD), ..OPEN }, offers).await;
        assert_eq!(ended, Ok(Handover::Taken), "{tls:?}");
        let words: Vec<_> = heard.clear.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(words, clear, "{tls:?}");
        for word in ["EHLO", "AUTH PLAIN", "MAIL FROM", "RCPT TO", "DATA", "List-Unsubscribe:", "."] {
            assert!(says(&heard.hidden, word), "{tls:?}: {word}");
        }
    }
}

#[tokio::test]
async fn starttls_that_is_not_offered_leaves_nothing_in_clear() {
    let offers = Offers { wrapped: false, starttls: false, auth: "PLAIN LOGIN" };
    let (ended, heard) = check(Way { login: login(PASSWORD), ..OPEN }, offers).await;
    assert_eq!(ended, Err(RelayFault::Refused));
    assert!(heard.hidden.is_empty());
    assert!(heard.clear.iter().all(|line| line.starts_with("EHLO") || line == "QUIT"), "{:?}", heard.clear);
}

#[tokio::test]
async fn a_relay_with_another_certificate_is_refused() {
    for (what, way) in [
        ("by a root that nobody trusts", Way { trusted: false, ..OPEN }),
        ("for another name", Way { host: "127.0.0.1", ..OPEN }),
    ] {
        for tls in [TlsMode::StartTls, TlsMode::Tls] {
            let offers = Offers { wrapped: tls == TlsMode::Tls, starttls: true, auth: "PLAIN" };
            let way = Way { tls, login: login(PASSWORD), host: way.host, trusted: way.trusted };
            let (ended, heard) = check(way, offers).await;
            assert_eq!(ended, Err(RelayFault::Refused), "{what}, {tls:?}");
            assert!(heard.hidden.is_empty(), "{what}, {tls:?}: {heard:?}");
            assert!(!says(&heard.clear, "AUTH") && !says(&heard.clear, "MAIL"), "{what}, {tls:?}: {heard:?}");
        }
    }
}

#[tokio::test]
async fn each_way_to_log_in_works_with_the_right_password_only() {
    for auth in ["PLAIN", "LOGIN", "PLAIN LOGIN"] {
        let offers = Offers { wrapped: false, starttls: true, auth };
        let (ended, _) = check(Way { login: login(PASSWORD), ..OPEN }, offers).await;
        assert_eq!(ended, Ok(Handover::Taken), "{auth}");
        let (ended, heard) = check(Way { login: login("wrong"), ..OPEN }, offers).await;
        assert_eq!(ended, Err(RelayFault::Refused), "{auth}");
        assert!(!says(&heard.hidden, "MAIL"), "{auth}: nothing is handed over to a relay that does not know us");
    }
    // Without a way that we know, no password leaves.
    let offers = Offers { wrapped: false, starttls: true, auth: "CRAM-MD5" };
    let (ended, heard) = check(Way { login: login(PASSWORD), ..OPEN }, offers).await;
    assert_eq!(ended, Err(RelayFault::Refused));
    assert!(!says(&heard.hidden, "AUTH"));
}

#[test]
fn an_authority_of_ones_own_is_whole_certificates_and_nothing_else() {
    let check = |tls, pem: &[u8]| {
        let authority = Authority::Own(pem.to_vec());
        Relay::new(RelayConfig { host: "localhost".to_owned(), tls, authority, ..config(25) }).map(|_| ())
    };
    let says = |error: RelayError| error.to_string();
    assert_eq!(check(TlsMode::Tls, ROOT), Ok(()));
    assert_eq!(check(TlsMode::Tls, &[ROOT, CERTIFICATE].concat()), Ok(()), "a bundle");
    let half = ROOT.split_at(ROOT.len() / 2).0;
    for (pem, says_so) in [
        (&b""[..], "hold none in PEM"),
        (b"not a certificate", "hold none in PEM"),
        (KEY, "hold none in PEM"),
        (&[ROOT, KEY].concat(), "beside a private key"),
        (half, "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ] {
        let said = says(check(TlsMode::StartTls, pem).unwrap_err());
        assert!(said.contains(says_so), "{said}");
    }
    assert!(says(check(TlsMode::None, ROOT).unwrap_err()).contains("of no use without TLS"));
}

#[tokio::test]
async fn another_authority_of_ones_own_vouches_for_nobody() {
    for (tls, wrapped) in [(TlsMode::Tls, true), (TlsMode::StartTls, false)] {
        let (listener, port) = bind().await;
        let ear = Ear::default();
        let offers = Offers { wrapped, starttls: !wrapped, auth: "PLAIN" };
        let authority = Authority::Own(OTHER_ROOT.to_vec());
        let config = RelayConfig { host: "localhost".to_owned(), tls, authority, ..config(port) };
        let other = Relay::new(config).unwrap();
        let ended = tokio::select! {
            () = relay(listener, offers, ear.clone()) => unreachable!("it goes on until it is dropped"),
            ended = other.connect() => ended.map(|_| ()),
        };
        assert_eq!(ended, Err(RelayFault::Refused), "{tls:?}");
        assert!(ear.lock().unwrap().hidden.is_empty(), "{tls:?}");
    }
}
