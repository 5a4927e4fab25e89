//! What was acknowledged is there: also when the process is killed in the middle of it.

use crate::program::Desk;
use fineline::loopback::Loopback;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Child;
use std::sync::{Arc, Mutex};
use vault::{EngineKind, Identifier, IdentifierKind, Options, Vault};

/// Events acknowledged before the kill, at least.
const ACKNOWLEDGED_MIN: usize = 60;
/// Senders at once.
const SENDERS: usize = 6;

/// Starts the real program on free ports and reads where it stands.
pub fn serve(desk: &Desk, more: &[&str]) -> (Child, SocketAddr) {
    let arguments = [&["serve", "--listen", "127.0.0.1:0", "--console-listen", "127.0.0.1:0", "--json"], more].concat();
    let mut child = desk.spawn(&arguments);
    let at = address_of(&mut child);
    (child, at)
}

/// Where a program that was just started stands, as its first line says.
pub fn address_of(child: &mut Child) -> SocketAddr {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let links: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let port = links["base_url"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn a_killed_house_has_everything_it_acknowledged() {
    let desk = Desk::applied();
    let key = desk.run(&["source", "key", "shop", "--json"]).fine().json()["key"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..2 {
        let (mut child, at) = serve(&desk, &[]);
        let taken = runtime.block_on(send_until_killed(&mut child, at, &key, round));
        assert!(taken.len() >= ACKNOWLEDGED_MIN, "{} acknowledged", taken.len());
        child.wait().unwrap();
        acknowledged.extend(taken);
        let stored = stored_orders(&desk);
        let lost: Vec<&String> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "{} of {} acknowledged orders are lost: {lost:?}", lost.len(), acknowledged.len());
        assert!(!stored.contains("never-sent"), "control");
    }
}

async fn send_until_killed(child: &mut Child, at: SocketAddr, key: &str, round: u32) -> BTreeSet<String> {
    let server = Loopback::with_key(at, key).unwrap();
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (server, taken) = (server.clone(), taken.clone());
            #[expect(clippy::disallowed_methods, reason = "a test sends from several places at once")]
            tokio::spawn(async move {
                for number in 0.. {
                    let order = format!("{round}-{sender}-{number}");
                    let event = json!({
                        "type": "track", "event": "Order Completed", "userId": format!("u{sender}"), "messageId": order,
                        "properties": { "order_id": order, "total": "1.00" },
                    });
                    match server.post("/v1/track", &event).await {
                        Ok((status, _)) if status.is_success() => drop(taken.lock().unwrap().insert(order)),
                        _ => return,
                    }
                }
            })
        })
        .collect();
    while taken.lock().unwrap().len() < ACKNOWLEDGED_MIN {
        tokio::task::yield_now().await;
    }
    // SIGKILL: no goodbye.
    child.kill().unwrap();
    for sender in senders {
        sender.await.unwrap();
    }
    Arc::try_unwrap(taken).unwrap().into_inner().unwrap()
}

/// Order numbers of everybody, read as the person's own page.
fn stored_orders(desk: &Desk) -> BTreeSet<String> {
    let promise: Arc<promise::Promise> = promise::parse("promise.toml", &desk.read("promise.toml")).unwrap().into();
    let options = Options {
        data: desk.path("data"),
        engine: EngineKind::Fjall,
        root: desk.path("keys/root").into(),
        queue_max: 10,
        witness: None,
    };
    let vault = Vault::open(&options, fineline::house::household(promise)).unwrap();
    let mut orders = BTreeSet::new();
    {
        let snapshot = vault.snapshot();
        let portal = snapshot.promise().artefact(promise::ArtefactKind::Page, promise::Artefact::PORTAL).unwrap();
        for sender in 0..SENDERS {
            let user = Identifier { kind: IdentifierKind::User, value: format!("u{sender}") };
            let Some(person) = snapshot.find(&user) else { continue };
            let permit = snapshot.permit(person, portal.id).unwrap();
            for view in permit.all_events(100_000).unwrap() {
                if let Some(model::Value::Text(order)) = view.reveal().event.properties.get("order_id") {
                    orders.insert(order.clone());
                }
            }
        }
    }
    vault.close().unwrap();
    orders
}
