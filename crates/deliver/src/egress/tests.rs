//! The way out against a sink that misbehaves at every stage.

mod protected;

use super::*;
use crate::mail::compose;
use crate::mail::tests::{letter, sender};
use crate::sink::{Inbox, Manner, Stage, serve};
use model::At;
use model::time::ManualClock;
use promise::RefusalReason;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::TcpListener;

pub(crate) fn config(port: u16) -> RelayConfig {
    RelayConfig {
        host: "127.0.0.1".to_owned(),
        port,
        tls: TlsMode::None,
        authority: Authority::Public,
        login: None,
        hello: "shop.example".to_owned(),
        connections: 4,
        patience: Patience::default(),
        recipient: Recipient::relay("The test's own sink", None),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test stands where the program would")]
pub(crate) async fn bind() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

pub(crate) fn inbox(behaviour: impl Fn(Stage, &str) -> Manner + Send + Sync + 'static) -> Arc<Inbox> {
    Arc::new(Inbox::behaving(Arc::new(ManualClock::new(At::from_ms(0))), behaviour))
}

/// Runs `client` against a sink.
pub(crate) async fn against<T>(inbox: &Arc<Inbox>, client: impl AsyncFnOnce(u16) -> T) -> T {
    let (listener, port) = bind().await;
    tokio::select! {
        served = serve(listener, inbox.clone()) => panic!("the sink stopped: {served:?}"),
        done = client(port) => done,
    }
}

/// How handing over one mail ends when the sink behaves so at one stage; whether it arrived; whether the connection may be
/// used again.
async fn check(at: Stage, manner: Manner, expected: Handover, is_usable: bool) {
    let inbox = inbox(move |stage, _| if stage == at { manner } else { Manner::Take });
    let handover = against(&inbox, async |port| {
        let mut config = config(port);
        if manner == Manner::Hang {
            config.patience.command = Duration::from_millis(200);
            config.patience.end = Duration::from_millis(200);
        }
        let mut connection = Relay::new(config).unwrap().connect().await.unwrap();
        let mail = compose(&sender(), &letter()).unwrap();
        let handover = connection.hand_over(&mail, || Ok(())).await;
        assert_eq!(connection.is_usable(), is_usable, "{at:?} {manner:?}");
        handover
    })
    .await;
    assert_eq!(inbox.n_received(), u64::from(expected == Handover::Taken), "{at:?} {manner:?}");
    assert_eq!(handover, expected, "{at:?} {manner:?}");
}

#[tokio::test]
async fn each_answer_of_a_relay_has_one_meaning() {
    use Manner::{Answer, Drop, Hang, Take};
    use RelayFault::{Busy, Down, Refused, Slow};
    check(Stage::End, Take, Handover::Taken, true).await;

    // To MAIL: about us as sender.
    check(Stage::Mail, Answer("451 4.7.1 slow down"), Handover::Fault(Busy), true).await;
    check(Stage::Mail, Answer("550 5.7.1 who are you"), Handover::Fault(Refused), true).await;
    check(Stage::Mail, Answer("421 4.3.2 closing"), Handover::Fault(Busy), false).await;
    check(Stage::Mail, Drop, Handover::Fault(Down), false).await;
    check(Stage::Mail, Hang, Handover::Fault(Slow), false).await;

    // To RCPT: about the address, unless it says otherwise.
    check(Stage::Rcpt, Answer("450 4.2.1 try later"), Handover::Later, true).await;
    check(Stage::Rcpt, Answer("550 5.1.1 unknown"), Handover::AddressRefused, true).await;
    check(Stage::Rcpt, Answer("550 no such user"), Handover::AddressRefused, true).await;
    check(Stage::Rcpt, Answer("554 5.2.1 disabled"), Handover::AddressRefused, true).await;
    check(Stage::Rcpt, Answer("550 5.7.1 relaying denied"), Handover::Fault(Refused), true).await;
    check(Stage::Rcpt, Answer("554 relay access denied"), Handover::Fault(Refused), true).await;
    check(Stage::Rcpt, Answer("530 5.7.0 log in first"), Handover::Fault(Refused), true).await;
    check(Stage::Rcpt, Answer("421 4.3.2 closing"), Handover::Fault(Busy), false).await;
    check(Stage::Rcpt, Drop, Handover::Fault(Down), false).await;
    check(Stage::Rcpt, Hang, Handover::Fault(Slow), false).await;

    // To DATA: about the text, which has not gone yet.
    check(Stage::Data, Answer("451 4.3.0 later"), Handover::Later, true).await;
    check(Stage::Data, Answer("554 5.6.0 no"), Handover::MessageRefused, true).await;
    check(Stage::Data, Drop, Handover::Fault(Down), false).await;
    check(Stage::Data, Hang, Handover::Fault(Slow), false).await;

    // To the text: said aloud it is said; silence may mean yes.
    check(Stage::End, Answer("451 4.3.0 later"), Handover::Later, true).await;
    check(Stage::End, Answer("554 5.7.1 looks like spam"), Handover::MessageRefused, true).await;
    check(Stage::End, Drop, Handover::Unknown, false).await;
    check(Stage::End, Hang, Handover::Unknown, false).await;
}

#[tokio::test]
async fn a_relay_that_cannot_be_reached_or_used_is_named() {
    let connect = async |port| Relay::new(config(port)).unwrap().connect().await.map(|_| ());
    let (listener, port) = bind().await;
    drop(listener);
    assert_eq!(connect(port).await, Err(RelayFault::Down));

    for (at, manner, fault) in [
        (Stage::Greeting, Manner::Answer("554 5.3.2 go away"), RelayFault::Refused),
        (Stage::Greeting, Manner::Answer("421 4.3.2 too many"), RelayFault::Busy),
        (Stage::Greeting, Manner::Drop, RelayFault::Down),
        (Stage::Hello, Manner::Answer("550 5.7.1 bad name"), RelayFault::Refused),
        (Stage::Hello, Manner::Drop, RelayFault::Down),
    ] {
        let inbox = inbox(move |stage, _| if stage == at { manner } else { Manner::Take });
        assert_eq!(against(&inbox, connect).await, Err(fault), "{at:?} {manner:?}");
    }

    let silent = inbox(|_, _| Manner::Hang);
    let slow = against(&silent, async |port| {
        let mut config = config(port);
        config.patience.connect = Duration::from_millis(200);
        Relay::new(config).unwrap().connect().await.map(|_| ())
    });
    assert_eq!(slow.await, Err(RelayFault::Slow));
}

#[tokio::test]
async fn required_protection_is_never_given_up() {
    // The sink offers neither STARTTLS nor AUTH, and does not speak TLS.
    for (tls, login) in [(TlsMode::StartTls, false), (TlsMode::None, true)] {
        let taking = inbox(|_, _| Manner::Take);
        let fault = against(&taking, async |port| {
            let login = login.then(|| Login { user: "shop".to_owned(), password: "secret".to_owned() });
            Relay::new(RelayConfig { tls, login, ..config(port) }).unwrap().connect().await.map(|_| ())
        });
        assert_eq!(fault.await, Err(RelayFault::Refused), "{tls:?}");
    }
}

#[tokio::test]
async fn the_look_comes_after_rcpt_and_before_data() {
    let stages = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = stages.clone();
    let inbox = inbox(move |stage, _| {
        seen.lock().unwrap().push(stage);
        Manner::Take
    });
    against(&inbox, async |port| {
        let mut connection = Relay::new(config(port)).unwrap().connect().await.unwrap();
        let mail = compose(&sender(), &letter()).unwrap();
        let refusal = Refusal::because(RefusalReason::Withdrawn);
        let stopped = connection
            .hand_over(&mail, || {
                assert_eq!(stages.lock().unwrap().last(), Some(&Stage::Rcpt));
                Err(refusal.clone())
            })
            .await;
        assert_eq!(stopped, Handover::Stopped(refusal.clone()));
        // The connection is as good as before.
        assert!(connection.is_usable());
        assert_eq!(connection.hand_over(&mail, || Ok(())).await, Handover::Taken);
        connection.close().await;
    })
    .await;
    assert_eq!(inbox.n_received(), 1);
    let mails = stages.lock().unwrap().iter().filter(|stage| **stage == Stage::Data).count();
    assert_eq!(mails, 1, "nothing of the stopped mail left");
}

#[tokio::test]
async fn what_arrives_is_what_was_composed() {
    let inbox = inbox(|_, _| Manner::Take);
    let says = ".a line that begins with a dot\n.\n..and two\nand ends";
    let mail = compose(&sender(), &crate::mail::Letter { says, ..letter() }).unwrap();
    against(&inbox, async |port| {
        let mut connection = Relay::new(config(port)).unwrap().connect().await.unwrap();
        assert_eq!(connection.hand_over(&mail, || Ok(())).await, Handover::Taken);
    })
    .await;
    let received = inbox.mail(1).unwrap();
    assert_eq!(String::from_utf8_lossy(&received.bytes).trim_end(), String::from_utf8_lossy(mail.bytes()).trim_end());
    assert_eq!(
        (received.from.as_str(), received.to.as_slice()),
        ("offers@shop.example", &["jo@example.com".to_owned()][..])
    );
}

#[tokio::test]
async fn a_connection_carries_a_bounded_number_of_mails() {
    let n_connections = Arc::new(AtomicU32::new(0));
    let counted = n_connections.clone();
    let inbox = inbox(move |stage, _| {
        if stage == Stage::Greeting {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Manner::Take
    });
    against(&inbox, async |port| {
        let mut connection = Relay::new(config(port)).unwrap().connect().await.unwrap();
        let mail = compose(&sender(), &letter()).unwrap();
        for n in 1..=MAILS_PER_CONNECTION_MAX {
            assert!(connection.is_usable(), "mail {n}");
            assert_eq!(connection.hand_over(&mail, || Ok(())).await, Handover::Taken);
        }
        assert!(!connection.is_usable());
    })
    .await;
    assert_eq!((inbox.n_received(), n_connections.load(Ordering::SeqCst)), (u64::from(MAILS_PER_CONNECTION_MAX), 1));
}

#[test]
fn a_configuration_is_checked_before_anything_is_opened() {
    let check = |change: &dyn Fn(&mut RelayConfig)| {
        let mut config = config(25);
        change(&mut config);
        Relay::new(config).map(|relay| format!("{relay:?}"))
    };
    assert_eq!(check(&|_| {}).unwrap(), "Relay(127.0.0.1:25, None)");
    assert_eq!(check(&|config| config.host = "mail.example".into()), Err(RelayError::Plain));
    assert_eq!(check(&|config| config.host = "10.0.0.1".into()), Err(RelayError::Plain));
    for tls in [TlsMode::StartTls, TlsMode::Tls] {
        let checked = check(&|config| (config.host, config.tls) = ("mail.example".into(), tls));
        assert_eq!(checked.unwrap(), format!("Relay(mail.example:25, {tls:?})"));
    }
    for host in ["", "mail example", "mail.example\r\nRSET", "user@mail.example"] {
        assert_eq!(check(&|config| config.host = host.into()), Err(RelayError::Host), "{host:?}");
    }
    assert_eq!(check(&|config| config.hello = "shop\r\nRSET".into()), Err(RelayError::Hello));
    let patience = Patience { end: Duration::from_secs(600), ..Patience::default() };
    assert_eq!(check(&|config| config.patience = patience), Err(RelayError::Patience));
    for (asked, used) in [(0, 1), (1, 1), (4, 4), (99, CONNECTIONS_MAX)] {
        assert_eq!(Relay::new(RelayConfig { connections: asked, ..config(25) }).unwrap().connections(), used);
    }
    let login = Login { user: "shop".to_owned(), password: "secret".to_owned() };
    assert_eq!(format!("{login:?}"), "Login(…)");
}
