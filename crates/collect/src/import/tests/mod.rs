//! Mapping, reader and catalogue without a vault: mistakes with their places, row keys, what the words cover.

mod kept;

use super::catalogue::Catalogue;
use super::error::{ImportError, Unreadable};
use super::mapping::Mapping;
use super::reader::{Instants, Line, Reader, Record, day_of};
use crate::tests::{mapping, mapping_text, sample, shop};
use model::{Class, Day, ItemCode};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

const HEAD: &str = "invoice,stock_code,description,quantity,invoice_date,price,customer_id,country\n";

fn records(text: &[u8], mapping: &Mapping) -> Result<Vec<Record>, ImportError> {
    let mut reader = Reader::new(text, mapping)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok(records)
}

fn lines(text: &str) -> Vec<Line> {
    let records = records(format!("{HEAD}{text}").as_bytes(), &mapping()).unwrap();
    records
        .into_iter()
        .map(|record| match record {
            Record::Line(line) => line,
            Record::Unreadable(number, reason) => panic!("line {number}: {reason}"),
        })
        .collect()
}

fn mistakes(change: impl Fn(String) -> String) -> String {
    let text = change(mapping_text());
    match Mapping::parse("m.toml", &text, &shop()) {
        Ok(_) => String::new(),
        Err(report) => report.render(&text, promise::Style::Plain),
    }
}

#[test]
fn the_mapping_of_the_demo_fits_the_promise() {
    assert_eq!(mistakes(|text| text), "");
    let mapping = mapping();
    assert_eq!(mapping.keep_days, 1_095);
    assert_eq!(mapping.event_of("C489449").unwrap().1.says, "cancellations and refunds");
    assert_eq!(mapping.event_of("489434").unwrap().1.name.as_str(), "Order Completed");
    assert_eq!(mapping.artefact_id(), super::Mapping::parse("other", &mapping_text(), &shop()).unwrap().artefact_id());
}

#[test]
fn a_mistake_in_a_mapping_is_named_with_its_place() {
    for (from, to, expected) in [
        ("keep = \"36 months\"", "keep = \"24 months\"", "the promise keeps `Order Completed` 1095 days"),
        ("keep = \"36 months\"", "keep = \"for ever\"", "`for ever` is not a length of time"),
        ("source = \"history\"", "source = \"web\"", "`web` is not an import source of the promise"),
        ("purpose = \"orders\"", "purpose = \"offers\"", "`offers` is not a purpose under contract"),
        ("history_ends = \"2011-12-09\"", "history_ends = \"2011-02-30\"", "`2011-02-30` is not a day"),
        ("told_notice = 1", "told_notice = 7", "there is no notice 7 yet"),
        ("delimiter = \",\"", "delimiter = \"::\"", "not a delimiter"),
        ("encoding = \"utf-8\"", "encoding = \"ebcdic\"", "`ebcdic` is not an encoding we read"),
        ("zone = \"Europe/London\"", "zone = \"Europe/Lndon\"", "`Europe/Lndon` is not a time zone"),
        ("%Y-%m-%d %H:%M:%S", "%Y-%m", "`%Y-%m` is not a date format"),
        ("currency = \"GBP\"", "currency = \"EUR\"", "prices in `EUR`"),
        ("name = \"Order Refunded\"", "name = \"Page Viewed\"", "`Page Viewed` carries no order lines"),
        ("name = \"Order Refunded\"", "name = \"Order Lost\"", "`Order Lost` is not an event of the promise"),
        ("order_id = \"{invoice}\"", "order_id = \"{customer}\"", "`{customer}` fills nothing"),
        ("total = \"{total}\"", "sum = \"{total}\"", "has no property `sum` of that kind"),
        ("yes = 60", "yes = 61", "the four shares make 101"),
        ("purpose = \"offers\"", "purpose = \"orders\"", "`orders` is not a purpose that asks for consent"),
        ("\"christmas\", ", "\"*\", ", "`*` is no word; there is no catch-all"),
        ("told_notice = 1", "told_notice = 1\nextra = 2", "unknown field `extra`"),
        ("edition = 1", "edition = 2", "edition 2 is not known"),
        ("key = \"corner gifts: made-up answers, 2026\"", "key = \"short\"", "the key is short"),
    ] {
        assert!(mapping_text().contains(from), "{from} stands in the mapping");
        let found = mistakes(|text| text.replacen(from, to, if from.starts_with("purpose = \"of") { 2 } else { 1 }));
        assert!(found.contains(expected), "{from} → {to}: {found}");
        assert!(found.contains("--> m.toml:"), "{found}");
    }
}

#[test]
fn lines_equal_in_all_fields_are_separate_and_keyed_alike_in_every_file() {
    let one = "489434,85048,LIGHTS,12,2009-12-01 07:45:00,6.95,13085,United Kingdom\n";
    let other = "489434,85048,LIGHTS,12,2009-12-01 07:45:00,6.95,13085,Eire\n";
    let first = lines(&format!("{one}{other}{one}"));
    let second = lines(&format!("{other}{one}{one}{one}"));
    assert_eq!(first[0].row, second[1].row);
    assert_eq!(first[2].row, second[2].row);
    assert_eq!(first[1].row, second[0].row, "a column that is only for the key tells lines apart");
    assert_ne!(first[0].row, first[1].row);
    let mut union: Vec<u64> = first.iter().chain(&second).map(|line| line.row).collect();
    union.sort_unstable();
    union.dedup();
    assert_eq!(union.len(), 4, "three of one, one of the other: as often as in the file that has more");
}

proptest! {
    #[test]
    fn the_union_of_two_files_holds_each_line_as_often_as_the_file_that_has_more(
        first in proptest::collection::vec(0u8..4, 0..12), second in proptest::collection::vec(0u8..4, 0..12),
    ) {
        let text = |which: &[u8]| -> String {
            which.iter().map(|n| format!("1,{n}0,X,1,2009-12-01 07:45:00,1.0,9,UK\n")).collect()
        };
        let mut expected = 0;
        for n in 0..4 {
            let count = |which: &[u8]| which.iter().filter(|found| **found == n).count();
            expected += count(&first).max(count(&second));
        }
        let mut rows: Vec<u64> =
            lines(&text(&first)).iter().chain(&lines(&text(&second))).map(|line| line.row).collect();
        rows.sort_unstable();
        rows.dedup();
        prop_assert_eq!(rows.len(), expected);
    }
}

#[test]
fn an_unreadable_line_is_named_and_the_rest_is_read() {
    let text = format!(
        "{HEAD}1,A,X,1,2009-12-01 07:45:00,1.0,9,UK\n\
         1,A,X,one,2009-12-01 07:45:00,1.0,9,UK\n\
         1,A,X,1,01/12/2009 07:45,1.0,9,UK\n\
         1,A,X,1,2009-12-01 07:45:00,1e5,9,UK\n\
         1,A,X,1\n\
         ,A,X,1,2009-12-01 07:45:00,1.0,9,UK\n\
         1,,X,1,2009-12-01 07:45:00,1.0,9,UK\n\
         1,A,\"line\nbreak\",1,2009-12-01 07:45:00,1.0,,UK\n"
    );
    let mut text = text.into_bytes();
    text.extend_from_slice(b"1,A,caf\xe9,1,2009-12-01 07:45:00,1.0,9,UK\n");
    let found = records(&text, &mapping()).unwrap();
    let reasons: Vec<(u64, Unreadable)> = found
        .iter()
        .filter_map(|record| match record {
            Record::Unreadable(number, reason) => Some((*number, reason.clone())),
            Record::Line(_) => None,
        })
        .collect();
    assert_eq!(
        reasons,
        [
            (3, Unreadable::Quantity { shape: "aaa".into() }),
            (4, Unreadable::Date { shape: "99/99/9999 99:99".into() }),
            (5, Unreadable::Price { shape: "9a9".into() }),
            (6, Unreadable::Columns { found: 4, expected: 8 }),
            (7, Unreadable::Invoice),
            (8, Unreadable::Item),
            (11, Unreadable::Encoding { byte: 0xe9 }),
        ]
    );
    assert_eq!(found.len(), 9);
    let latin = mapping_text().replace("encoding = \"utf-8\"", "encoding = \"latin-1\"");
    let latin = Mapping::parse("m", &latin, &shop()).unwrap();
    assert!(matches!(records(&text, &latin).unwrap().last(), Some(Record::Line(line)) if line.description == "café"));
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_the_way_out() {
    let fails = |text: &[u8]| records(text, &mapping()).unwrap_err().to_string();
    let semicolons = HEAD.replace(',', ";");
    assert!(fails(semicolons.as_bytes()).contains("say delimiter = \";\" in [file]"));
    assert!(fails(b"a,b,c\n1,2,3\n").contains("no column invoice, stock_code"));
    assert!(fails(b"").contains("the file is empty"));
    assert!(fails(&[0xff, 0xfe, b'i', 0]).contains("UTF-16"));
    let open_quote = format!("{HEAD}1,A,\"never closed,{}", "x".repeat(200_000));
    assert!(fails(open_quote.as_bytes()).contains("line 2 is longer than 65536 bytes"));
    let with_mark = [&[0xef, 0xbb, 0xbf], HEAD.as_bytes()].concat();
    assert_eq!(records(&with_mark, &mapping()).unwrap(), []);
}

#[test]
fn dates_move_by_whole_days_and_become_noon_in_the_shops_zone() {
    let mapping = mapping();
    let of = |shift, date| Instants::new(&mapping.dates, shift).of(date);
    // 1 July is summer time in London.
    let (at, day) = of(5_461, jiff::civil::date(2010, 7, 1));
    assert_eq!((at.to_string().as_str(), day.to_string().as_str()), ("2025-06-13T11:00:00.000Z", "2010-07-01"));
    assert_eq!(of(0, jiff::civil::date(2010, 1, 1)).0.to_string(), "2010-01-01T12:00:00.000Z");
}

fn stock(order: &[(&str, &str, &str, &str)]) -> BTreeMap<String, (String, String, Class, i64)> {
    let mapping = mapping();
    let mut catalogue = Catalogue::new(&mapping.catalogue);
    for (code, description, day, price) in order {
        let price = model::Money::parse(price, mapping.currency).unwrap();
        catalogue.hear(&ItemCode::parse(code).unwrap(), description, Day::parse(day).unwrap(), price).unwrap();
    }
    let stocked = catalogue.finish(None, mapping.currency, "r").unwrap();
    let row = |item: vault::Item| {
        (
            item.code.as_str().to_owned(),
            (item.title, item.group, item.class, item.price.map_or(0, |price| price.micros)),
        )
    };
    stocked.items.into_iter().map(row).collect()
}

#[test]
fn the_catalogue_does_not_depend_on_the_order_of_lines() {
    let mut heard = vec![
        ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", "2010-01-02", "2.95"),
        ("85123A", "CREAM HANGING HEART T-LIGHT HOLDER", "2011-01-02", "2.55"),
        ("85123A", "damaged", "2011-05-02", "0"),
        ("22551", "PLASTERS IN TIN SPACEBOY", "2010-01-02", "1.65"),
        ("22551", "TIN SPACEBOY", "2011-01-02", "1.65"),
        ("POST", "POSTAGE", "2011-01-02", "18.00"),
        ("99999", "?? missing", "2011-01-02", "0"),
        ("99999", "", "2011-01-03", "0"),
        ("20725", "LUNCH BAG  RED SPOTTY", "2010-01-02", "1.65"),
    ];
    let forward = stock(&heard);
    heard.reverse();
    assert_eq!(stock(&heard), forward);
    let row = |code: &str| forward.get(code).cloned().unwrap();
    let expected = ("Cream hanging heart t-light holder".to_owned(), "candles".to_owned(), Class::Plain, 2_550_000);
    assert_eq!(row("85123A"), expected, "the latest description that says something, the latest price");
    assert_eq!(
        (row("22551").1, row("22551").2),
        ("other things".to_owned(), Class::Sensitive),
        "guarded once, guarded"
    );
    assert_eq!(row("POST").1, "postage, fees and corrections");
    assert_eq!(row("POST").2, Class::Sensitive, "never offered");
    assert_eq!((row("99999").1, row("99999").2), ("other things".to_owned(), Class::Sensitive), "unmatched is guarded");
    assert_eq!(row("20725").0, "Lunch bag red spotty");
}

#[test]
fn a_second_file_adds_to_what_the_first_one_told() {
    let mapping = mapping();
    let tell = |stored: Option<&[u8]>, description: &str, day: &str| {
        let mut catalogue = Catalogue::new(&mapping.catalogue);
        let price = model::Money::parse("1", mapping.currency).unwrap();
        catalogue.hear(&ItemCode::parse("1").unwrap(), description, Day::parse(day).unwrap(), price).unwrap();
        catalogue.finish(stored, mapping.currency, "r").unwrap()
    };
    let (old, new) = (("BABY MUG", "2010-01-01"), ("PLAIN MUG", "2011-01-01"));
    let forward = tell(Some(&tell(None, old.0, old.1).record), new.0, new.1);
    let backward = tell(Some(&tell(None, new.0, new.1).record), old.0, old.1);
    assert_eq!(forward.items, backward.items);
    assert_eq!(forward.record, backward.record);
    assert_eq!((forward.items[0].title.as_str(), forward.items[0].class), ("Plain mug", Class::Sensitive));
    assert!(matches!(
        Catalogue::new(&mapping.catalogue).finish(Some(b"{"), mapping.currency, "r"),
        Err(ImportError::Record { .. })
    ));
}

#[test]
fn plain_words_name_95_of_100_lines_of_the_sample() {
    let mapping = mapping();
    let mut catalogue = Catalogue::new(&mapping.catalogue);
    let mut both: HashMap<u64, i64> = HashMap::new();
    for name in crate::tests::SAMPLE {
        let mut reader = Reader::new(sample(name), &mapping).unwrap();
        while let Some(record) = reader.next_record().unwrap() {
            let Record::Line(line) = record else { panic!("the sample holds no unreadable line") };
            catalogue.hear(&line.item, &line.description, day_of(line.date), line.price).unwrap();
            both.insert(line.row, line.price.micros * i64::from(line.quantity));
        }
    }
    let sum: i64 = both.values().sum();
    assert_eq!((both.len(), sum), (203_284, 3_825_834_852_000), "the union counts as data/make-sample.py does");
    let summary = catalogue.finish(None, mapping.currency, "r").unwrap().summary;
    assert!(summary.n_plain_lines * 100 >= summary.n_lines * 95, "{summary:?}");
    assert!(summary.guarded.contains_key("a child in the home") && summary.guarded.contains_key("health"));
    assert!(summary.n_unmatched_items > 0 && summary.unmatched.len() as u64 == summary.n_unmatched_items);
}
