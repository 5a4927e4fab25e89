//! The load of `./gate ingest`: a bare echo to compare with, and a closed loop of clients that send orders as fast as they
//! are answered. It measures what a client sees and knows nothing of the program's inside.
//!
//! `load echo` serves until it is killed and prints its port. `load post ADDRESS KEY CLIENTS EVENTS REQUESTS PEOPLE SEED`
//! sends REQUESTS requests of EVENTS orders each over CLIENTS connections and prints one line of JSON.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measuring program of its own: it listens, connects, looks at the clock, prints, and ends at its first surprise"
)]

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use base64::Engine;
use std::fmt::Write;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["echo"] => echo().await,
        ["post", address, key, numbers @ ..] if numbers.len() == 5 => {
            let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
            let [clients, events, requests, people, seed] = numbers[..] else { panic!("five numbers") };
            load(address, key, Load { clients, events, requests, people, seed }).await;
        }
        _ => panic!("load echo | load post ADDRESS KEY CLIENTS EVENTS REQUESTS PEOPLE SEED"),
    }
}

/// What any server of this stack must do for such a body: read it and give it back.
async fn echo() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let give_back = post(async |body: Bytes| body);
    axum::serve(listener, Router::new().route("/v1/batch", give_back.clone()).route("/v1/track", give_back))
        .await
        .unwrap();
}

/// How much is sent.
#[derive(Clone, Copy)]
struct Load {
    clients: u64,
    events: u64,
    requests: u64,
    people: u64,
    seed: u64,
}

async fn load(address: &str, key: &str, load: Load) {
    let began = Instant::now();
    let mut running = Vec::new();
    for client in 0..load.clients {
        let (address, key) = (address.to_owned(), key.to_owned());
        running.push(tokio::spawn(async move { send(&address, &key, load, client).await }));
    }
    let mut took = Vec::new();
    let mut refused = 0;
    for one in running {
        let (times, n_refused) = one.await.unwrap();
        took.extend(times);
        refused += n_refused;
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{{\"requests\":{},\"events\":{},\"refused\":{refused},\"seconds\":{seconds:.4},\"p50_ms\":{:.4},\"p99_ms\":{:.4}}}",
        took.len(),
        took.len() as u64 * load.events,
        at(0.5),
        at(0.99)
    );
}

/// One client: the next request goes out when the last was answered.
async fn send(address: &str, key: &str, load: Load, client: u64) -> (Vec<Duration>, u64) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
    let path = if load.events == 1 { "/v1/track" } else { "/v1/batch" };
    let mut took = Vec::new();
    let mut refused = 0;
    let mut answer = vec![0; HEAD_BYTES_MAX];
    for number in (client..load.requests).step_by(usize::try_from(load.clients).unwrap()) {
        let body = body(load, number);
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {login}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let is_fine = answered(&mut stream, &mut answer).await;
        took.push(began.elapsed());
        refused += u64::from(!is_fine);
    }
    (took, refused)
}

/// Reads one answer to its end; whether it was 200.
async fn answered(stream: &mut TcpStream, answer: &mut [u8]) -> bool {
    let mut n = 0;
    let head = loop {
        let read = stream.read(&mut answer[n..]).await.unwrap();
        assert!(read > 0, "the server hung up");
        n += read;
        if let Some(at) = answer[..n].windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = std::str::from_utf8(&answer[..head]).unwrap().to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut left = (head + length.trim().parse::<usize>().unwrap()).saturating_sub(n);
    while left > 0 {
        let want = left.min(answer.len());
        let read = stream.read(&mut answer[..want]).await.unwrap();
        assert!(read > 0, "the server hung up");
        left -= read;
    }
    text.starts_with("http/1.1 200")
}

/// Orders as a shop sends them: one with two lines, of somebody among the people, each with an id of its own.
fn body(load: Load, request: u64) -> String {
    let mut text = String::with_capacity(600 * usize::try_from(load.events).unwrap());
    if load.events > 1 {
        text.push_str("{\"batch\":[");
    }
    for event in 0..load.events {
        let number = request * load.events + event;
        let person = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % load.people;
        let comma = if event == 0 { "" } else { "," };
        let seed = load.seed;
        write!(
            text,
            "{comma}{{\"type\":\"track\",\"event\":\"Order Completed\",\"messageId\":\"load-{seed}-{number}\",\
             \"userId\":\"u{person}\",\"context\":{{\"library\":\
             {{\"name\":\"analytics-node\",\"version\":\"2.1.3\"}}}},\"properties\":{{\"order_id\":\"o-{seed}-{number}\",\
             \"total\":24.5,\"currency\":\"GBP\",\"products\":[{{\"product_id\":\"MUG{}\",\"quantity\":2,\"price\":7.25}},\
             {{\"product_id\":\"BAG{}\",\"quantity\":1,\"price\":10}}]}}}}",
            number % 97,
            number % 89
        )
        .unwrap();
    }
    if load.events > 1 {
        text.push_str("]}");
    }
    text
}
