//! The demonstration: four links that work, nothing left behind.

use crate::program::Desk;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

struct Demo {
    desk: Desk,
    child: Child,
}

impl Demo {
    /// Starts it with a temporary folder of its own.
    fn start(people: &str) -> Self {
        let desk = Desk::new();
        std::fs::create_dir(desk.path("tmp")).unwrap();
        let mut command = desk.command(&["demo", "--people", people, "--port", "0", "--json"]);
        command.env("TMPDIR", desk.path("tmp")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { desk, child }
    }

    fn left_behind(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.desk.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn interrupt(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success(), "Ctrl-C is a good end");
        assert_eq!(self.left_behind(), Vec::<PathBuf>::new());
    }
}

#[test]
fn the_four_links_work_and_ctrl_c_leaves_nothing_behind() {
    let mut demo = Demo::start("400");
    let mut line = String::new();
    BufReader::new(demo.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let links: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let get = |url: &str| {
        runtime.block_on(async {
            let response = client.get(url.parse().unwrap()).await.unwrap();
            let to = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, to, String::from_utf8_lossy(&body).into_owned())
        })
    };
    let shop = links["shop"].as_str().unwrap();
    let (status, _, page) = get(shop);
    assert_eq!(status, 200);
    assert!(page.contains("Corner Gifts") && page.contains("Mia"));
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("http://localhost").count());
    assert_eq!(get(links["inbox"].as_str().unwrap()).0, 200);
    let (status, to, _) = get(links["portal"].as_str().unwrap());
    assert_eq!(status, 303);
    let portal = format!("{}{}", shop.trim_end_matches('/'), to.unwrap());
    assert_eq!(get(&portal).0, 200, "{portal}");
    let (status, to, _) = get(links["console"].as_str().unwrap());
    assert_eq!(status, 303);
    assert_eq!(get(&to.unwrap()).0, 200);
    assert_eq!(demo.left_behind().len(), 1, "control: it works in its temporary folder");
    demo.interrupt();
}

#[test]
fn ctrl_c_while_it_is_being_built_leaves_nothing_behind() {
    let mut demo = Demo::start("3000");
    let is_loading = || {
        let folder = demo.left_behind().pop()?;
        std::fs::read_dir(folder).ok()?.next()
    };
    while is_loading().is_none() {
        std::thread::yield_now();
    }
    demo.interrupt();
}
