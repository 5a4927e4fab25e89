//! Imports into a house: totals in either order, twice, after a stop and after a crash; what is made up; what is not taken.

use crate::import::catalogue::CatalogueSummary;
use crate::import::made_up::{Answer, Lot};
use crate::import::position::position_name;
use crate::import::{ImportError, ImportReport, Mapping, Progress, fingerprint, import};
use crate::tests::{House, SAMPLE, house, mapping, mapping_text, open, review, root, sample, shop};
use model::{At, Awareness, ConsentStatus, Day, FactName, FieldName, Method, Provenance, PurposeName, Value, Words};
use promise::{Artefact, ArtefactKind};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use vault::{ConsentChange, Identifier, IdentifierKind, LedgerEntry, Subject, Vault};

const HEAD: &str = "invoice,stock_code,description,quantity,invoice_date,price,customer_id,country\n";

fn run(vault: &Vault, file: &[u8]) -> ImportReport {
    stopped(vault, file, u64::MAX)
}

/// Imports, and stops once so many lines are committed.
fn stopped(vault: &Vault, file: &[u8], n_lines: u64) -> ImportReport {
    let mut progress = |progress: Progress| match progress.n_committed >= n_lines {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    import(vault, &mapping(), &fingerprint(file).unwrap(), file, &mut progress).unwrap()
}

fn reviewed_house() -> House {
    let house = house();
    review(&house.state.vault, &mapping());
    house
}

/// A part of one file of the sample: the head line, the lines of some customers, some lines of nobody.
fn part(name: &str) -> Vec<u8> {
    let mut text = String::new();
    flate2::bufread::MultiGzDecoder::new(sample(name)).read_to_string(&mut text).unwrap();
    let is_in = |line: &str| {
        let mut ends = line.rsplit(',');
        let (country, customer) = (ends.next().unwrap_or(""), ends.next().unwrap_or(""));
        country == "country" || customer.ends_with("17") || (customer.is_empty() && line.starts_with("53"))
    };
    let kept: Vec<&str> = text.lines().filter(|line| is_in(line)).collect();
    (kept.join("\n") + "\n").into_bytes()
}

/// The rule, counted the slow and obvious way: each line as often as in the file that has more of it.
fn count(files: &[&[u8]]) -> (u64, i64) {
    let mut most: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for file in files {
        let mut own: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for record in csv::Reader::from_reader(*file).records() {
            *own.entry(record.unwrap().iter().map(str::to_owned).collect()).or_default() += 1;
        }
        for (record, n) in own {
            let known = most.entry(record).or_default();
            *known = (*known).max(n);
        }
    }
    let worth = |record: &[String]| {
        let price = model::Money::parse(&record[5], model::Currency::GBP).unwrap();
        price.micros * record[3].parse::<i64>().unwrap()
    };
    (most.values().sum(), most.iter().map(|(record, n)| worth(record) * i64::try_from(*n).unwrap()).sum())
}

fn totals(report: &ImportReport) -> (u64, i64, u64, u64) {
    let totals = report.totals.unwrap();
    (totals.n_lines, totals.sum.micros, totals.n_orders, totals.n_people)
}

fn user(customer: &str) -> Identifier {
    Identifier { kind: IdentifierKind::User, value: customer.to_owned() }
}

fn ledger(vault: &Vault, customer: &str) -> Vec<LedgerEntry> {
    let snapshot = vault.snapshot();
    let portal = shop().artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap().id;
    let Some(person) = snapshot.find(&user(customer)) else { return Vec::new() };
    let permit = snapshot.permit(person, portal).unwrap();
    permit.ledger().unwrap().iter().map(|entry| entry.reveal().clone()).collect()
}

#[test]
fn a14_either_order_twice_and_after_a_stop_the_totals_are_the_same() {
    let files = SAMPLE.map(part);
    let [first, second] = &files;
    let expected = count(&[first, second]);
    let forward = reviewed_house();
    run(&forward.state.vault, first);
    let whole = run(&forward.state.vault, second);
    assert_eq!((totals(&whole).0, totals(&whole).1), expected);
    assert!(whole.lines().contains(&"cancellations and refunds: this file has none".to_owned()), "{:?}", whole.lines());

    let backward = reviewed_house();
    run(&backward.state.vault, second);
    let reversed = run(&backward.state.vault, first);
    assert_eq!(totals(&reversed), totals(&whole), "in the other order");
    assert_eq!(backward.state.vault.snapshot().items().unwrap(), forward.state.vault.snapshot().items().unwrap());

    let again = run(&backward.state.vault, first);
    assert_eq!(totals(&again), totals(&whole), "the same file twice");
    assert!(again.n_repeated > 0 && again.made_up.unwrap().n_addresses == 0);

    let halting = reviewed_house();
    let (mut n_stops, mut n_resumed) = (0, 0);
    for file in &files {
        let mut n_lines = 1_000;
        loop {
            let committed = stopped(&halting.state.vault, file, n_lines);
            n_resumed += u64::from(committed.n_resumed_lines > 0);
            if committed.is_finished {
                break;
            }
            (n_stops, n_lines) = (n_stops + 1, n_lines + 2_000);
        }
    }
    assert!(n_stops >= 2 && n_resumed == n_stops, "files were left and taken up again: {n_stops}, {n_resumed}");
    let resumed = run(&halting.state.vault, second);
    assert_eq!(totals(&resumed), totals(&whole), "after stops in the middle");
}

#[test]
fn a14_an_order_whose_lines_stand_in_two_files_keeps_them_all() {
    let line = |code: &str, n: u32| format!("1,{code},PAPER LANTERN,{n},2011-12-01 08:00:00,2.5,13117,UK\n");
    let first = format!("{HEAD}{}{}", line("21001", 1), line("21002", 2));
    let second = format!("{HEAD}{}{}", line("21002", 2), line("21003", 3));
    for [one, other] in [[&first, &second], [&second, &first]] {
        let house = reviewed_house();
        run(&house.state.vault, one.as_bytes());
        let whole = totals(&run(&house.state.vault, other.as_bytes()));
        assert_eq!((whole.0, whole.1), count(&[first.as_bytes(), second.as_bytes()]));
        assert_eq!(whole.2, 1, "one order");
    }
}

#[test]
fn a14_a_crash_between_commit_and_position_doubles_nothing() {
    let file = part(SAMPLE[0]);
    let calm = reviewed_house();
    let expected = run(&calm.state.vault, &file);
    let house = reviewed_house();
    let vault = &house.state.vault;
    let name = position_name(&mapping(), &fingerprint(&file[..]).unwrap());
    // The position of a run that was killed right after its first chunk was committed.
    let mut before = None;
    let mut progress = |_: Progress| {
        before = before.take().or_else(|| vault.snapshot().house_record(&name).unwrap());
        ControlFlow::<()>::Break(())
    };
    import(vault, &mapping(), &fingerprint(&file[..]).unwrap(), &file[..], &mut progress).unwrap();
    let before = before.expect("the position of the run");
    assert!(String::from_utf8_lossy(&before).contains("\"lines_done\":0"), "the crash lost the position");
    vault.put_house_record(&name, Some(before)).unwrap().wait().unwrap();
    let resumed = run(vault, &file);
    assert_eq!(totals(&resumed), totals(&expected));
    let customers = ["13117", "14517", "17017"].into_iter().filter(|customer| !ledger(vault, customer).is_empty());
    for customer in customers {
        let states = |vault: &Vault| ledger(vault, customer).iter().map(|entry| entry.status).collect::<Vec<_>>();
        assert_eq!(states(vault), states(&calm.state.vault), "answers are not doubled");
    }
}

#[test]
fn a14_the_sample_loads_whole() {
    let house = reviewed_house();
    let [first, second] = SAMPLE.map(|name| {
        let sha256 = fingerprint(sample(name)).unwrap();
        import(&house.state.vault, &mapping(), &sha256, sample(name), &mut |_| ControlFlow::Continue(())).unwrap()
    });
    assert_eq!((first.n_unreadable, second.n_unreadable), (0, 0));
    let refunds =
        |report: &ImportReport| report.kinds.iter().find(|kind| kind.says.contains("cancel")).unwrap().n_orders;
    assert!(refunds(&first) > 0 && refunds(&second) == 0);
    let corrections = first.kinds.iter().find(|kind| kind.says.contains("bad debt")).unwrap();
    assert_eq!((corrections.n_lines, corrections.n_lines_of_nobody), (0, 3));
    let totals = second.totals.unwrap();
    assert_eq!((totals.n_lines, totals.sum.to_string().as_str()), (203_284, "3825834.852 GBP"));
    assert_eq!((totals.n_people, totals.n_lines_of_nobody), (1_176, 37_299));
    let shift = second.shift.unwrap();
    assert_eq!(
        (shift.history_ends.to_string(), shift.ends_now.to_string()),
        ("2011-12-09".into(), "2026-11-22".into())
    );
    let answers = |report: &ImportReport| report.made_up.clone().unwrap().answers["offers"];
    let n: u64 = answers(&first).iter().chain(&answers(&second)).sum();
    assert_eq!(n, 1_176, "everybody drew once, also who stands in both files");
}

/// The whole files are not in the repository; debug builds take minutes for them.
#[test]
fn a14_both_whole_files_load() {
    let folder = root().join("../shared/data/online-retail-ii");
    let names = ["year-2009-2010.csv.gz", "year-2010-2011-sales-only.csv.gz"];
    if cfg!(debug_assertions) && std::env::var_os("FINELINE_WHOLE_FILES").is_none() {
        eprintln!("SKIPPED: the whole files are imported in release builds, or with FINELINE_WHOLE_FILES=1");
        return;
    }
    if !folder.join(names[0]).exists() {
        eprintln!("SKIPPED: {} is not there", folder.display());
        return;
    }
    for order in [[0, 1], [1, 0]] {
        let house = reviewed_house();
        let reports = order.map(|at| {
            let file = || open(folder.join(names[at])).unwrap();
            let sha256 = fingerprint(file()).unwrap();
            import(&house.state.vault, &mapping(), &sha256, file(), &mut |_| ControlFlow::Continue(())).unwrap()
        });
        let totals = reports[1].totals.unwrap();
        assert_eq!((totals.n_lines, totals.sum.to_string().as_str()), (1_034_664, "19756254.468 GBP"));
        let lines =
            |count: fn(&CatalogueSummary) -> u64| reports.iter().map(|report| count(&report.catalogue)).sum::<u64>();
        let (plain, all) = (lines(|summary| summary.n_plain_lines), lines(|summary| summary.n_lines));
        assert!(plain * 100 >= all * 95, "plain words name {plain} of {all} lines");
    }
}

#[test]
fn a14_each_item_has_its_class_and_what_no_word_places_is_guarded() {
    let house = reviewed_house();
    let vault = &house.state.vault;
    let lines = [("85123A", "WHITE HANGING HEART T-LIGHT HOLDER"), ("22001", "BABY BIB"), ("22002", "XYZZY")];
    let text: String =
        lines.map(|(code, title)| format!("1,{code},{title},1,2011-12-01 08:00:00,2.5,13117,UK\n")).concat();
    run(vault, format!("{HEAD}{text}").as_bytes());
    let class = |code: &str| vault.snapshot().item(&model::ItemCode::parse(code).unwrap()).unwrap().class;
    let classes = ["85123A", "22001", "22002"].map(class);
    assert_eq!(classes, [model::Class::Plain, model::Class::Sensitive, model::Class::Sensitive]);
}

#[test]
fn a14_the_shift_is_fixed_at_the_first_import() {
    let house = reviewed_house();
    let first = run(&house.state.vault, &part(SAMPLE[0])).shift.unwrap();
    house.clock.advance_days(3);
    let second = run(&house.state.vault, &part(SAMPLE[1])).shift.unwrap();
    assert_eq!(second, first, "three days later the same number of days");
    let orders = shop();
    let (snapshot, portal) =
        (house.state.vault.snapshot(), orders.artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap());
    let customer = (12_017..20_000).step_by(100).find_map(|n| snapshot.find(&user(&n.to_string()))).unwrap();
    let permit = snapshot.permit(customer, portal.id).unwrap();
    let events = permit.all_events(1).unwrap();
    let event = &events[0].reveal().event;
    assert_eq!(
        event.occurred_at.day().since(event.source_day.unwrap()),
        first.days,
        "the date of the source is beside"
    );
}

#[test]
fn a29_the_address_says_when_where_and_what_for() {
    let house = reviewed_house();
    let vault = &house.state.vault;
    run(vault, format!("{HEAD}1,85123A,MUG,1,2011-12-01 08:00:00,2.5,13117,UK\n").as_bytes());
    let snapshot = vault.snapshot();
    let promise = shop();
    let permit = snapshot
        .permit(
            snapshot.find(&user("13117")).unwrap(),
            promise.artefact(ArtefactKind::Page, Artefact::PORTAL).unwrap().id,
        )
        .unwrap();
    let email = permit.fact(&FactName::Field(FieldName::parse("email").unwrap())).unwrap().unwrap();
    let email = email.reveal();
    assert!(matches!(&email.value, Value::Text(text) if text == "customer-13117@shop.example"));
    assert!(matches!(&email.provenance, Provenance::Observed { source } if source.as_str() == "history"));
    assert_eq!(email.as_of.to_string(), "2026-11-14T12:00:00.000Z", "eight days before the history ends");
    assert_eq!((email.told_how, email.told_at, email.notice_version), (Awareness::InNotice, Some(email.as_of), 1));
    let purposes: Vec<&str> = email.purposes.iter().map(PurposeName::as_str).collect();
    assert_eq!(purposes, ["offers", "orders"].map(|name| *purposes.iter().find(|known| **known == name).unwrap()));
    assert_eq!(email.expires_at, Day::parse("2028-11-13").unwrap().start(), "two years after the last order");
}

#[test]
fn answers_are_made_up_by_the_keyed_hash_and_marked_so() {
    let house = reviewed_house();
    let vault = &house.state.vault;
    let text: String = (13_000..13_040).map(|n| format!("{n},85123A,MUG,1,2011-06-01 08:00:00,2.5,{n},UK\n")).collect();
    let report = run(vault, format!("{HEAD}{text}").as_bytes());
    let mapping = mapping();
    let made_up = mapping.made_up.as_ref().unwrap();
    let rule = &made_up.consents[0];
    let mut drawn = [0u64; 4];
    let ends = Day::parse("2026-11-22").unwrap();
    for customer in (13_000..13_040).map(|n| n.to_string()) {
        let answer = Lot::of(made_up, &customer).answer(rule);
        drawn[answer as usize] += 1;
        let entries = ledger(vault, &customer);
        let statuses: Vec<ConsentStatus> = entries.iter().map(|entry| entry.status).collect();
        let expected: &[ConsentStatus] = match answer {
            Answer::Yes => &[ConsentStatus::Given],
            Answer::No => &[ConsentStatus::Refused],
            Answer::YesThenNo => &[ConsentStatus::Given, ConsentStatus::Withdrawn],
            Answer::NeverAsked => &[],
        };
        assert_eq!(statuses, expected);
        for entry in &entries {
            assert!(entry.made_up && entry.words.text == rule.words && entry.method == Method::Import);
            assert!(entry.words.answered_at.day() <= ends);
        }
        if let [given, withdrawn] = entries.as_slice() {
            assert!(withdrawn.words.answered_at > given.words.answered_at);
        }
    }
    assert_eq!(report.made_up.unwrap().answers["offers"], drawn);
    assert!(drawn.iter().all(|n| *n > 0), "{drawn:?}");
}

#[test]
fn what_a_person_said_since_is_not_overturned_by_the_next_file() {
    let house = reviewed_house();
    let vault = &house.state.vault;
    let mapping = mapping();
    let (made_up, line) = (mapping.made_up.as_ref().unwrap(), |customer: &str, day: &str| {
        format!("{HEAD}{day},85123A,MUG,1,{day} 08:00:00,2.5,{customer},UK\n")
    });
    let yes = (13_000..).map(|n| n.to_string());
    let yes = yes.into_iter().find(|n| Lot::of(made_up, n).answer(&made_up.consents[0]) == Answer::Yes).unwrap();
    run(vault, line(&yes, "2011-01-01").as_bytes());
    let words = Words { text: "Stop".into(), language: "en".into(), answered_at: vault.now() };
    let stop = ConsentChange {
        subject: Subject::Identifiers { user: Some(user(&yes)), anonymous: None },
        source: None,
        purpose: PurposeName::parse("offers").unwrap(),
        status: ConsentStatus::Withdrawn,
        level: None,
        words,
        method: Method::Portal,
        notice_version: 1,
        made_up: false,
    };
    vault.consent(stop).unwrap().wait().unwrap();
    let report = run(vault, line(&yes, "2011-03-01").as_bytes());
    assert_eq!(report.made_up.unwrap().answers.len(), 0);
    assert_eq!(ledger(vault, &yes).last().unwrap().status, ConsentStatus::Withdrawn);
}

#[test]
fn who_was_erased_does_not_come_back_with_the_file() {
    let house = reviewed_house();
    let vault = &house.state.vault;
    let file = format!(
        "{HEAD}1,85123A,MUG,1,2011-06-01 08:00:00,2.5,13117,UK\n2,85123A,MUG,2,2011-06-01 08:00:00,2.5,13118,UK\n"
    );
    assert_eq!(totals(&run(vault, file.as_bytes())), (2, 7_500_000, 2, 2));
    let person = vault.snapshot().find(&user("13117")).unwrap();
    vault.erase(person, vault::Erasure::Now).unwrap().wait().unwrap();
    let report = run(vault, file.as_bytes());
    assert_eq!(totals(&report), (1, 5_000_000, 1, 1));
    assert_eq!(report.refused, BTreeMap::from([("erased", 1)]));
    assert!(vault.snapshot().find(&user("13117")).is_none());
}

#[test]
fn unreadable_lines_are_listed_and_the_rest_goes_in() {
    let house = reviewed_house();
    let file = format!(
        "{HEAD}1,85123A,MUG,1,2011-06-01 08:00:00,2.5,13117,UK\n\
         1,85123A,MUG,many,2011-06-01 08:00:00,2.5,13117,UK\n\
         1,85123A,MUG,2,2011-06-01 08:00:00,2.5,13117,UK\n"
    );
    let report = run(&house.state.vault, file.as_bytes());
    assert_eq!(totals(&report), (2, 7_500_000, 1, 1));
    let reason = "the quantity looks like \"aaaa\", not like a whole number".to_owned();
    assert_eq!((report.n_unreadable, report.unreadable.clone()), (1, vec![(3, reason)]));
    assert!(report.lines().iter().any(|line| line.contains("line 3: the quantity")));
}

#[test]
fn a_file_that_does_not_fit_writes_nothing() {
    let house = reviewed_house();
    let vault = &house.state.vault;
    let wrong = |text: String| {
        let result = import(vault, &mapping(), &[1; 32], text.as_bytes(), &mut |_| ControlFlow::Continue(()));
        result.unwrap_err().to_string()
    };
    let rows: String = (0..3_000).map(|n| format!("{n},A,MUG,1,01/12/2009 07:45,1.0,{n},UK\n")).collect();
    let told = wrong(format!("{HEAD}{rows}"));
    assert!(told.contains("1000 of the first 1000 lines cannot be read, line 2 because the date looks like"), "{told}");
    assert!(told.contains("\"99/99/9999 99:99\"") && told.contains("in [dates] of the mapping"), "{told}");
    assert!(wrong(HEAD.replace(',', "\t")).contains("say delimiter"));
    let snapshot = vault.snapshot();
    assert!(snapshot.find(&user("1")).is_none());
    assert_eq!(snapshot.anonymous_sales().unwrap().n_lines, 0);
    let positions = snapshot.house_records("import/online-retail/", 10).unwrap();
    assert!(positions.iter().all(|(name, _)| name.ends_with("/shift")), "{positions:?}");
}

#[test]
fn a_mapping_that_nobody_reviewed_imports_nothing() {
    let house = house();
    let file = format!("{HEAD}1,85123A,MUG,1,2011-06-01 08:00:00,2.5,13117,UK\n");
    let go = |mapping: &Mapping| {
        import(&house.state.vault, mapping, &[1; 32], file.as_bytes(), &mut |_| ControlFlow::Continue(()))
    };
    assert!(matches!(go(&mapping()), Err(ImportError::NotReviewed { .. })));
    review(&house.state.vault, &mapping());
    let changed = mapping_text().replace("yes = 60\nno = 15", "yes = 75\nno = 0");
    let changed = Mapping::parse("m", &changed, &shop()).unwrap();
    assert!(matches!(go(&changed), Err(ImportError::NotReviewed { .. })), "one byte changed, reviewed no more");
    assert!(go(&mapping()).is_ok());
}

#[test]
fn lines_of_one_invoice_may_lie_apart_and_are_one_order() {
    let house = reviewed_house();
    let file = format!(
        "{HEAD}1,A,MUG,1,2011-06-01 08:00:00,1.0,7,UK\n2,A,MUG,1,2011-06-01 08:00:00,1.0,8,UK\n\
         1,B,MUG,1,2011-06-01 08:01:00,1.0,7,UK\n1,C,MUG,1,2011-06-01 08:01:00,1.0,,UK\n"
    );
    assert_eq!(totals(&run(&house.state.vault, file.as_bytes())), (4, 4_000_000, 2, 2));
}

#[test]
fn a_fingerprint_is_that_of_all_bytes() {
    let long = vec![7u8; 200_000];
    let read = |bytes: &[u8]| fingerprint(BufReader::with_capacity(100, bytes)).unwrap();
    assert_eq!(read(&long), fingerprint(&long[..]).unwrap());
    assert_ne!(read(&long), read(&long[1..]));
    assert!(BufReader::new(&long[..]).fill_buf().is_ok());
    assert_eq!(At::from_ms(0).day(), Day::from_number(0));
}
