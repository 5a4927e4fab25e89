//! A line to the server that can be cut exactly at COMMIT: on its way to the server, or on the way of its answer.
#![expect(clippy::disallowed_methods, reason = "the proxy is a listener and a socket of the tests")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    None,
    /// The server never gets the COMMIT.
    BeforeCommit,
    /// The server gets it, and its answer does not arrive.
    AfterCommit,
}

#[derive(Default)]
struct State {
    next: Option<Cut>,
    n_cuts: usize,
    /// Nobody gets through.
    is_held: bool,
    holds_at_cut: bool,
    /// The server is as good as gone.
    is_away: bool,
    lines: Vec<TcpStream>,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

pub struct Proxy {
    pub address: String,
    shared: Shared,
}

impl Proxy {
    pub fn before(address: &str) -> Self {
        let port: u16 = address.split(['@', '/']).nth(3).unwrap().rsplit(':').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Shared::default();
        let here = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let mut state = here.0.lock().unwrap();
                while state.is_held {
                    state = here.1.wait(state).unwrap();
                }
                if state.is_away {
                    continue;
                }
                state.lines.push(client.try_clone().unwrap());
                drop(state);
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                carry(client, server, &here);
            }
        });
        Self { address: address.replace(&format!(":{port}/"), &format!(":{own}/")), shared }
    }

    /// What happens to the next COMMIT.
    pub fn next(&self, cut: Cut) {
        self.shared.0.lock().unwrap().next = Some(cut);
    }

    pub fn n_cuts(&self) -> usize {
        self.shared.0.lock().unwrap().n_cuts
    }

    /// After the cut nobody gets through until it is let go.
    pub fn hold(&self) {
        self.shared.0.lock().unwrap().holds_at_cut = true;
    }

    pub fn let_go(&self) {
        let mut state = self.shared.0.lock().unwrap();
        (state.is_held, state.holds_at_cut) = (false, false);
        drop(state);
        self.shared.1.notify_all();
    }

    /// Every line is cut and no new one gets through.
    pub fn go_away(&self) {
        let mut state = self.shared.0.lock().unwrap();
        state.is_away = true;
        for line in state.lines.drain(..) {
            let _ = line.shutdown(Shutdown::Both);
        }
    }

    pub fn come_back(&self) {
        self.shared.0.lock().unwrap().is_away = false;
    }

    pub fn wait_for_cut(&self) {
        let mut state = self.shared.0.lock().unwrap();
        while state.next.is_some() {
            state = self.shared.1.wait(state).unwrap();
        }
    }
}

fn carry(client: TcpStream, server: TcpStream, shared: &Shared) {
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_cut = Arc::new(Mutex::new(false));
    let (here, cut) = (Arc::clone(shared), Arc::clone(&is_cut));
    std::thread::spawn(move || {
        let mut bytes = [0; 65_536];
        let mut kept_back = Vec::new();
        while let Ok(n @ 1..) = from_server.read(&mut bytes) {
            if *cut.lock().unwrap() {
                kept_back.extend_from_slice(&bytes[..n]);
                // Answers to what came before COMMIT in the same breath are kept back; with its own it was committed.
                if find(&kept_back, b"COMMIT\0").is_none() {
                    continue;
                }
                let _ = to_client.shutdown(Shutdown::Both);
                let mut state = here.0.lock().unwrap();
                (state.next, state.is_held) = (None, state.holds_at_cut);
                here.1.notify_all();
                return;
            }
            if to_client.write_all(&bytes[..n]).is_err() {
                return;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server, here) = (client, server, Arc::clone(shared));
    std::thread::spawn(move || {
        let mut bytes = [0; 65_536];
        // The statement `commit` is prepared once per session, and its number is what is bound: the proxy reads that.
        let mut commit: Option<Vec<u8>> = None;
        while let Ok(n @ 1..) = from_client.read(&mut bytes) {
            let sent = &bytes[..n];
            if let Some(at) = find(sent, b"\0commit\0") {
                let begin = sent[..at].iter().rposition(|byte| *byte == b's').unwrap();
                commit = Some([b"\0".as_slice(), &sent[begin..at], b"\0"].concat());
            }
            let is_commit =
                commit.as_ref().is_some_and(|name| find(sent, name).is_some() && find(sent, b"\0commit\0").is_none());
            let cut = if is_commit { here.0.lock().unwrap().next.unwrap_or(Cut::None) } else { Cut::None };
            match cut {
                Cut::None => {
                    if is_commit {
                        let mut state = here.0.lock().unwrap();
                        state.next = None;
                        here.1.notify_all();
                    }
                    if to_server.write_all(sent).is_err() {
                        return;
                    }
                }
                Cut::BeforeCommit => {
                    let mut state = here.0.lock().unwrap();
                    (state.next, state.n_cuts, state.is_held) = (None, state.n_cuts + 1, state.holds_at_cut);
                    drop(state);
                    let _ = from_client.shutdown(Shutdown::Both);
                    let _ = to_server.shutdown(Shutdown::Both);
                    here.1.notify_all();
                    return;
                }
                Cut::AfterCommit => {
                    here.0.lock().unwrap().n_cuts += 1;
                    *is_cut.lock().unwrap() = true;
                    if to_server.write_all(sent).is_err() {
                        return;
                    }
                }
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
