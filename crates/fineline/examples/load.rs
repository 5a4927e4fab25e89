//! The load of `./gate ingest` and `./gate overload`: a bare echo to compare with, a closed loop of clients that send orders as
//! fast as they are answered, and an open loop that sends at a constant rate whatever is answered. It measures what a client
//! sees and knows nothing of the program's inside.
//!
//! `load echo` serves until it is killed and prints its port. `load post ADDRESS KEY CLIENTS EVENTS REQUESTS PEOPLE SEED`
//! sends REQUESTS requests of EVENTS orders each over CLIENTS connections and prints one line of JSON.
//!
//! `load open ADDRESS KEY CLIENTS EVENTS RATE SECONDS PEOPLE SEED ACKED` sends RATE requests a second for so long, each from
//! the moment it was due: one that had to wait for a connection waited. Numbers of acknowledged orders go to the file ACKED,
//! one a line. `load answers ADDRESS KEY STATUS FIRST COUNT RATE` lets COUNT people, from number FIRST, say STATUS ("given",
//! "withdrawn"), at that rate.
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
        ["open", address, key, numbers @ .., acked] if numbers.len() == 6 => {
            let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
            let [clients, events, rate, seconds, people, seed] = numbers[..] else { panic!("six numbers") };
            let load = Load { clients, events, requests: rate * seconds, people, seed };
            let path = if events == 1 { "/v1/track" } else { "/v1/batch" };
            let answers = open_loop(address, key, path, load, rate, move |number| body(load, number)).await;
            let of = |number: u64| (number * events..(number + 1) * events).map(|event| format!("{event}\n"));
            let kept: String =
                answers.iter().filter(|answer| answer.status == 200).flat_map(|one| of(one.number)).collect();
            std::fs::write(acked, kept).expect("the file of what was acknowledged");
            tell(&answers);
        }
        ["answers", address, key, status, numbers @ ..] if numbers.len() == 3 => {
            let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
            let [first, count, rate] = numbers[..] else { panic!("three numbers") };
            let load = Load { clients: 16, events: 1, requests: count, people: 0, seed: 0 };
            let status = (*status).to_owned();
            let said = move |number: u64| {
                format!(
                    "{{\"userId\":\"u{}\",\"purpose\":\"offers\",\"status\":\"{status}\",\"words\":\"May we?\",\"language\":\"en\",\
                     \"noticeVersion\":1}}",
                    first + number
                )
            };
            tell(&open_loop(address, key, "/v1/consent", load, rate, said).await);
        }
        _ => panic!("load echo | load post … | load open … | load answers …: see the top of its source"),
    }
}

/// What became of one request of the open loop.
struct Answered {
    number: u64,
    status: u16,
    /// The answer said when to come again.
    says_when: bool,
    /// Since it was due.
    took: Duration,
}

/// Sends each request when it is due, over so many connections; a connection that was cut is opened again.
async fn open_loop(
    address: &str,
    key: &str,
    path: &'static str,
    load: Load,
    rate: u64,
    body: impl Fn(u64) -> String + Clone + Send + 'static,
) -> Vec<Answered> {
    let (login, began) = (base64::engine::general_purpose::STANDARD.encode(format!("{key}:")), Instant::now());
    let mut running = Vec::new();
    for client in 0..load.clients {
        let (address, login, body) = (address.to_owned(), login.clone(), body.clone());
        running.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            let (mut stream, mut answer) = (None, vec![0; HEAD_BYTES_MAX]);
            for number in (client..load.requests).step_by(usize::try_from(load.clients).unwrap()) {
                let due = began + Duration::from_secs_f64(number as f64 / rate as f64);
                tokio::time::sleep_until(due.into()).await;
                let body = body(number);
                let request = format!(
                    "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {login}\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let asked = async {
                    if stream.is_none() {
                        let fresh = TcpStream::connect(&address).await?;
                        fresh.set_nodelay(true)?;
                        stream = Some(fresh);
                    }
                    let stream = stream.as_mut().expect("a connection");
                    stream.write_all(request.as_bytes()).await?;
                    read_answer(stream, &mut answer).await
                };
                let (status, says_when) = match asked.await {
                    Ok(head) => (head[9..12].parse().unwrap_or(0), head.contains("\r\nretry-after: ")),
                    Err(_) => {
                        stream = None;
                        (0, false)
                    }
                };
                answers.push(Answered { number, status, says_when, took: due.elapsed() });
                if status == 0 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            answers
        }));
    }
    let mut answers = Vec::new();
    for one in running {
        answers.extend(one.await.unwrap());
    }
    answers
}

/// One line of JSON about an open loop.
fn tell(answers: &[Answered]) {
    let of = |status: u16| answers.iter().filter(move |answer| answer.status == status);
    let mut took: Vec<Duration> = of(200).map(|answer| answer.took).collect();
    took.sort_unstable();
    let at = |share: f64| match took.len() {
        0 => 0.0,
        n => took[((n - 1) as f64 * share) as usize].as_secs_f64() * 1e3,
    };
    let n_told = of(429).chain(of(503)).filter(|answer| answer.says_when).count();
    let (accepted, slow_down, unavailable, cut) = (took.len(), of(429).count(), of(503).count(), of(0).count());
    println!(
        "{{\"requests\":{},\"accepted\":{accepted},\"slow_down\":{slow_down},\"unavailable\":{unavailable},\"told_when\":{n_told},\"cut\":{cut},\
         \"other\":{},\"p50_ms\":{:.3},\"p99_ms\":{:.3},\"max_ms\":{:.3}}}",
        answers.len(),
        answers.len() - accepted - slow_down - unavailable - cut,
        at(0.5),
        at(0.99),
        at(1.0)
    );
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
    read_answer(stream, answer).await.expect("the server hung up").starts_with("http/1.1 200")
}

/// Reads one answer to its end; its head, in small letters.
async fn read_answer(stream: &mut TcpStream, answer: &mut [u8]) -> std::io::Result<String> {
    let hung_up = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let mut n = 0;
    let head = loop {
        let read = stream.read(&mut answer[n..]).await?;
        if read == 0 {
            return Err(hung_up());
        }
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
        let read = stream.read(&mut answer[..want]).await?;
        if read == 0 {
            return Err(hung_up());
        }
        left -= read;
    }
    Ok(text)
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
