//! The lines of `docs/how-to/run.md` as they stand there, run by a shell: what an operator reads at two in the morning must
//! be what works.

use crate::backup::order;
use crate::durable::serve;
use crate::program::{Answer, Desk};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The shell lines after a mark of the page.
fn lines(mark: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/how-to/run.md");
    #[expect(clippy::disallowed_methods, reason = "a test reads the page it follows")]
    let page = std::fs::read_to_string(path).unwrap();
    let after =
        page.split(&format!("<!-- {mark} -->\n```sh\n")).nth(1).unwrap_or_else(|| panic!("{mark} is not marked"));
    after.split("```").next().unwrap().to_owned()
}

/// Runs lines in a desk's folder, ending with the first that fails.
fn run(desk: &Desk, lines: &str) -> Answer {
    let program = Path::new(env!("CARGO_BIN_EXE_fineline"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-eu", "-c", lines])
        .current_dir(desk.path(""))
        .env_clear()
        .env("PATH", path)
        .env("HOME", desk.path(""))
        // The disk under a test is not the house's to judge.
        .env("FINELINE_DISK_KEPT_PERCENT", "0");
    Answer::from(shell.output().unwrap())
}

/// A house with three people, one of them erased, that nobody serves any more.
fn lived_in() -> Desk {
    let desk = Desk::applied();
    let key = desk.run(&["source", "key", "shop", "--json"]).fine().json()["key"].as_str().unwrap().to_owned();
    let (mut child, at) = serve(&desk, &[]);
    order(at, &key, &["ada", "bob", "cy"]);
    child.kill().unwrap();
    child.wait().unwrap();
    desk.write("cy", "cy\n");
    desk.run(&["person", "erase", "--id-file", "cy", "--as", "Test", "--reason", "asked", "--now", "--yes"]).fine();
    desk
}

fn is_found(desk: &Desk, data: &str, user: &str) -> bool {
    desk.write("id", user);
    let about = ["person", "show", "--id-file", "id", "--as", "Test", "--reason", "test"];
    desk.run(&[&["--data", data][..], &about].concat()).code == 0
}

#[test]
fn c22_the_drill_of_the_page_is_what_is_run() {
    let desk = lived_in();
    let drill = lines("drill");
    assert_eq!(drill.lines().count(), 6, "{drill}");
    let ran = run(&desk, &drill).fine();
    assert!(ran.out.contains("opens it"), "{}", ran.out);
    for (user, is_there) in [("ada", true), ("bob", true), ("cy", false)] {
        assert_eq!(is_found(&desk, "data-new", user), is_there, "{user}");
    }
    // The folder it came from knows of its backup; the restored one has none yet, and says so.
    let says = |data: &str| desk.run(&["--data", data, "doctor"]).out;
    assert!(says("data").contains("backup    the last one, of batch"), "{}", says("data"));
    assert!(says("data-new").contains("never backed up"), "{}", says("data-new"));
    // The control: keys that are not there, and the lines end where they should.
    let gone = drill.replace("--keys backup-keys", "--keys elsewhere").replace("data-new", "data-newer");
    let failed = run(&desk, gone.split_once('\n').unwrap().1);
    assert!(failed.code != 0 && !desk.path("data-newer").join("house").exists(), "{failed:?}");
}

#[test]
fn everybody_can_be_taken_along_as_the_page_says() {
    let desk = lived_in();
    desk.write("customer-numbers.txt", "ada\nbob\n");
    run(&desk, &lines("leave")).fine();
    for name in ["1.zip", "2.zip"] {
        assert!(desk.path("export").join(name).exists(), "{name}");
    }
    assert!(!desk.path("export/3.zip").exists());
    // Whoever was erased cannot be taken along.
    desk.write("customer-numbers.txt", "cy\n");
    let refused = run(&desk, &lines("leave").replace("mkdir -m 700 export\n", ""));
    assert_ne!(refused.code, 0, "{refused:?}");
}
