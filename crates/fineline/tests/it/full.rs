//! A full disk and a stop, as the operator and the people see them: over HTTP, of the real program.

use crate::durable::serve;
use crate::house::{House, WORDS};
use crate::program::Desk;
use fineline::loopback::Loopback;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Child;

struct Shop {
    desk: Desk,
    key: String,
    runtime: tokio::runtime::Runtime,
}

fn shop() -> Shop {
    let desk = Desk::applied();
    let key = desk.run(&["source", "key", "shop", "--json"]).fine().json()["key"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shop = Shop { desk, key, runtime };
    shop.set("");
    shop
}

impl Shop {
    /// With this setting. How full the machine of the test is is its own affair.
    fn set(&self, line: &str) {
        self.desk.write(
            "fineline.toml",
            &format!("{}{line}\n", if line.contains("disk") { "" } else { "disk_kept_percent = 0\n" }),
        );
    }

    fn post(&self, at: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
        let server = Loopback::with_key(at, &self.key).unwrap();
        let (status, answer) = self.runtime.block_on(server.post(path, body)).unwrap();
        (status.as_u16(), answer)
    }

    fn order(&self, at: SocketAddr, user: &str) -> (u16, Value) {
        self.post(at, "/v1/track", &House::order(user, &format!("{user}-1"), &["MUG01"]))
    }

    fn says(&self, at: SocketAddr, user: &str, status: &str) -> (u16, Value) {
        let body = json!({
            "userId": user, "purpose": "offers", "status": status, "words": WORDS, "language": "en", "noticeVersion": 1,
        });
        self.post(at, "/v1/consent", &body)
    }

    /// How a person stands to being written to, as the house says.
    fn stands(&self, at: SocketAddr, user: &str) -> String {
        let (status, state) = self.get(at, "/v1/consent", ("userid", user));
        assert_eq!(status, 200, "{state}");
        state["purposes"]["offers"]["status"].as_str().unwrap_or_else(|| panic!("{state}")).to_owned()
    }

    fn get(&self, at: SocketAddr, path: &str, (name, value): (&str, &str)) -> (u16, Value) {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:", self.key));
        let request = Request::get(format!("http://{at}{path}")).header("authorization", format!("Basic {basic}"));
        let request = request.header(name, value).body(Full::new(bytes::Bytes::new())).unwrap();
        self.runtime.block_on(async {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let (parts, body) = client.request(request).await.unwrap().into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
        })
    }
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn c22_on_a_full_disk_events_get_503_and_a_no_holds_also_after_the_next_start() {
    let shop = shop();
    let (child, at) = serve(&shop.desk, &[]);
    assert_eq!(shop.order(at, "ada").0, 200);
    assert_eq!(shop.says(at, "ada", "given").0, 200);
    assert_eq!(shop.stands(at, "ada"), "given");
    end(child);
    // A disk of which all is to be kept free is full.
    shop.set("disk_kept_percent = 100");
    let (child, at) = serve(&shop.desk, &[]);
    let (status, ready) = loop {
        let (status, ready) = shop.get(at, "/readyz", ("accept", "*/*"));
        if status != 200 {
            break (status, ready);
        }
    };
    assert_eq!((status, ready["code"].as_str()), (503, Some("disk_full")), "{ready}");
    let (status, refused) = shop.order(at, "ben");
    assert_eq!((status, refused["code"].as_str()), (503, Some("disk_full")), "{refused}");
    assert_eq!(shop.says(at, "ben", "given").0, 503);
    let (status, answer) = shop.says(at, "ada", "withdrawn");
    assert!(status == 200 && answer["recorded"] == true && answer["receipt"].is_object(), "{answer}");
    assert_eq!(shop.stands(at, "ada"), "withdrawn");
    let doctor = shop.desk.run(&["doctor", "--json"]);
    assert!(doctor.out.contains("only opt-outs and erasures are taken"), "{}", doctor.out);
    end(child);
    shop.set("");
    let (child, at) = serve(&shop.desk, &[]);
    assert_eq!(shop.stands(at, "ada"), "withdrawn");
    assert_eq!(shop.order(at, "ben").0, 200, "there is room again");
    end(child);
}

/// Looks until it is so: it takes moments, a minute is for ever.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..600 {
        if look() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("waited too long: {what}");
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

impl Shop {
    /// The word of readiness; nothing when it is ready, or nobody answers.
    fn not_ready(&self, at: SocketAddr) -> String {
        self.get(at, "/readyz", ("accept", "*/*")).1["code"].as_str().unwrap_or_default().to_owned()
    }
}

#[test]
fn d14_while_the_root_key_is_away_a_no_is_taken_and_obeyed_first_of_all_once_it_is_back() {
    let shop = shop();
    let (child, at) = serve(&shop.desk, &[]);
    for user in ["ada", "ben"] {
        assert_eq!(shop.order(at, user).0, 200);
        assert_eq!(shop.says(at, user, "given").0, 200);
    }
    end(child);
    let (root, away) = (shop.desk.path("keys/root"), shop.desk.path("keys/away"));
    std::fs::rename(&root, &away).unwrap();
    let (child, at) = serve(&shop.desk, &[]);
    assert_eq!(shop.not_ready(at), "sealed");
    let (status, answer) = shop.says(at, "ada", "withdrawn");
    assert!(status == 200 && answer["recorded"] == true && answer["sealed"] == true, "{answer}");
    for (status, answer) in
        [shop.order(at, "cy"), shop.says(at, "ada", "given"), shop.get(at, "/privacy", ("accept", "*/*"))]
    {
        assert_eq!((status, answer["code"].as_str()), (503, Some("sealed")), "{answer}");
    }
    let nothing = json!({ "userId": "ada", "purpose": "offers", "status": "withdrawn" });
    assert_eq!(shop.post(at, "/v1/consent", &nothing).0, 400, "what could never be heard is told now");
    // Somebody without a key of ours says no for somebody else: nobody can tell now, and nobody obeys later.
    let stranger = Shop { key: "fl_sec_made_up".to_owned(), ..self::shop_at(&shop) };
    assert_eq!(stranger.says(at, "ben", "withdrawn").0, 200);
    // A crash in between loses nothing that was acknowledged.
    end(child);
    let (child, at) = serve(&shop.desk, &[]);
    std::fs::rename(&away, &root).unwrap();
    until("the house opens by itself", || shop.not_ready(at).is_empty() && shop.get(at, "/livez", ("a", "b")).0 == 200);
    assert_eq!(shop.stands(at, "ada"), "withdrawn", "obeyed before the first other request");
    assert_eq!(shop.stands(at, "ben"), "given");
    end(child);
}

/// The same desk, for another caller.
fn shop_at(shop: &Shop) -> Shop {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Shop { desk: Desk::new(), key: shop.key.clone(), runtime }
}

#[test]
fn a_stop_takes_connections_for_a_while_with_readiness_off_and_ends_well_and_twice_is_now() {
    let shop = shop();
    shop.set("stop_accept_seconds = 60");
    let (mut child, at) = serve(&shop.desk, &[]);
    assert_eq!(shop.order(at, "ada").0, 200);
    signal(&child, rustix::process::Signal::TERM);
    until("readiness is off", || shop.not_ready(at) == "stopping");
    assert_eq!(shop.order(at, "ben").0, 200, "whoever still comes is served");
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(5), "the second time it means now");
    shop.set("stop_accept_seconds = 0");
    let (mut child, at) = serve(&shop.desk, &[]);
    assert_eq!(shop.order(at, "cy").0, 200);
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (child, at) = serve(&shop.desk, &[]);
    assert_eq!(shop.says(at, "ben", "given").1["recorded"], true, "what was acknowledged while stopping is there");
    end(child);
}

#[test]
fn a_listener_of_the_service_manager_refuses_nobody_while_the_program_is_started_again() {
    let shop = shop();
    #[expect(clippy::disallowed_methods, reason = "a test plays the service manager")]
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let at = listener.local_addr().unwrap();
    // As systemd hands it over: the first descriptor after the three of every program.
    let begin = || {
        let mut sh = std::process::Command::new("sh");
        let line =
            "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve --console-listen 127.0.0.1:0 --json";
        let program = shop.desk.command(&[]).get_program().to_owned();
        sh.arg("-c")
            .arg(line)
            .arg(program)
            .current_dir(shop.desk.path(""))
            .stdin(std::os::fd::OwnedFd::from(listener.try_clone().unwrap()));
        sh.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let first = begin();
    assert_eq!(shop.order(at, "ada").0, 200);
    end(first);
    // Nobody serves now: the connection waits where the service manager keeps it.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| shop_at(&shop).order(at, "ben"));
        let second = begin();
        assert_eq!(waits.join().unwrap().0, 200, "not refused, only later");
        end(second);
    });
}

#[test]
fn without_file_handles_connections_wait_and_the_store_keeps_its_own() {
    let shop = shop();
    let program = shop.desk.command(&[]).get_program().to_owned();
    let line = "ulimit -n 96; exec \"$0\" serve --listen 127.0.0.1:0 --console-listen 127.0.0.1:0 --json";
    let mut sh = std::process::Command::new("sh");
    sh.arg("-c").arg(line).arg(program).current_dir(shop.desk.path("")).stdin(std::process::Stdio::null());
    let mut child = sh.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let at = crate::durable::address_of(&mut child);
    assert_eq!(shop.order(at, "ada").0, 200);
    // Far more than there are handles for; each takes a place and says nothing.
    #[expect(clippy::disallowed_methods, reason = "a test plays many silent clients")]
    let silent: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
    assert!(child.try_wait().unwrap().is_none(), "it lives");
    drop(silent);
    assert_eq!(shop.order(at, "ben").0, 200, "and goes on when they have gone");
    assert_eq!(shop.says(at, "ada", "given").1["recorded"], true);
    end(child);
    let (child, at) = serve(&shop.desk, &[]);
    assert_eq!(shop.stands(at, "ada"), "given");
    end(child);
}

#[test]
fn a_process_that_stood_still_goes_on_and_a_second_one_is_refused() {
    let shop = shop();
    let (mut child, at) = serve(&shop.desk, &[]);
    assert_eq!(shop.order(at, "ada").0, 200);
    assert_eq!(shop.says(at, "ada", "given").0, 200);
    signal(&child, rustix::process::Signal::STOP);
    // Nobody else may take the folder because its holder stands still.
    let second = shop.desk.run(&["serve", "--listen", "127.0.0.1:0", "--console-listen", "127.0.0.1:0"]);
    assert!(second.code == 5 && second.err.contains("another process"), "{second:?}");
    signal(&child, rustix::process::Signal::CONT);
    assert_eq!(shop.says(at, "ada", "withdrawn").1["recorded"], true);
    assert_eq!(shop.stands(at, "ada"), "withdrawn");
    assert_eq!(shop.not_ready(at), "", "it is no step of the clock");
    assert!(child.try_wait().unwrap().is_none());
    end(child);
}
