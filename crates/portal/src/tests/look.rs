//! Every page with its sample people: weight, words, structure, and that no value breaks out of its place.

use crate::sample::{self, Sample};
use crate::{MARK, SCHEMA, SHEET};
use serde_json::Value;
use std::io::Read;

/// Page, sheet and mark together, in bytes, before compression.
const PAGE_BYTES_MAX: usize = 40 * 1024;
/// Longest sentence of ours, in words.
const SENTENCE_WORDS_MAX: usize = 20;

fn promise() -> promise::Promise {
    promise::parse("shop.toml", promise::fixture::SHOP).unwrap()
}

fn pages(sample: Sample) -> Vec<(&'static str, String)> {
    sample::pages(&promise(), sample).unwrap()
}

/// What stands between the tags, one entry per block of text.
fn blocks(html: &str) -> Vec<String> {
    const INLINE: [&str; 9] = ["a", "b", "span", "time", "code", "svg", "path", "circle", "g"];
    let mut blocks = vec![String::new()];
    let mut rest = html.split_once("<body").unwrap().1.split_once('>').unwrap().1;
    while let Some((text, after)) = rest.split_once('<') {
        blocks.last_mut().unwrap().push_str(text);
        let (tag, after) = after.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if !INLINE.contains(&name) {
            blocks.push(String::new());
        }
        rest = match name {
            "textarea" if !tag.starts_with('/') => after.split_once("</textarea>").unwrap().1,
            _ => after,
        };
    }
    blocks
}

#[test]
fn a_page_with_its_sheet_is_at_most_forty_kilobytes() {
    for (name, page) in pages(Sample::Calm) {
        let bytes = page.len() + SHEET.len() + MARK.len();
        assert!(bytes <= PAGE_BYTES_MAX, "{name} weighs {bytes} bytes");
    }
}

#[test]
fn sentences_have_at_most_twenty_words() {
    let mut longest = 0;
    for (name, page) in pages(Sample::Calm) {
        for block in blocks(&page) {
            for sentence in block.split_inclusive(['.', '?', '!', ':']).map(str::trim) {
                let n = sentence.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count();
                assert!(n <= SENTENCE_WORDS_MAX, "{name}: {n} words: {sentence}");
                longest = longest.max(n);
            }
        }
    }
    assert!(longest > SENTENCE_WORDS_MAX / 2, "the counter sees sentences: {longest}");
}

#[test]
fn no_value_breaks_out_of_its_place() {
    for (name, page) in pages(Sample::Hostile) {
        assert!(!page.contains("<script"), "{name}");
        assert!(!page.contains("<img"), "{name}");
        assert!(!page.contains("'&{{"), "{name}: an apostrophe or ampersand came through as it was");
    }
    let me = pages(Sample::Hostile).into_iter().find(|(name, _)| *name == "me").unwrap().1;
    assert!(me.contains("&#60;script&#62;"), "the text itself is shown");
}

#[test]
fn pages_hold_no_script_no_inline_style_and_nothing_from_elsewhere() {
    for (name, page) in pages(Sample::Calm) {
        for word in ["<script", " style=", " onclick", "javascript:", "http://", "https://", "//cdn", "<iframe", "<img"]
        {
            assert!(!page.contains(word), "{name} holds {word}");
        }
    }
}

#[test]
fn each_page_has_one_headline_one_title_and_labels_for_its_fields() {
    for (name, page) in pages(Sample::Calm) {
        assert_eq!(page.matches("<h1").count(), 1, "{name}");
        assert_eq!(page.matches("<title>").count(), 1, "{name}");
        assert_eq!(page.matches("<main id=\"content\">").count(), 1, "{name}");
        assert!(page.contains("<html lang=\"en\">"), "{name}");
        for field in
            page.split("<input ").skip(1).chain(page.split("<select ").skip(1)).chain(page.split("<textarea ").skip(1))
        {
            let field = field.split('>').next().unwrap();
            if field.contains("type=\"hidden\"") || field.contains("type=\"radio\"") {
                continue;
            }
            let id = field.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(page.contains(&format!("for=\"{id}\"")), "{name}: {id} has no label");
        }
        let ids: Vec<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: an id stands twice");
    }
}

#[test]
fn every_form_of_a_signed_in_person_carries_the_token_of_the_session() {
    for (name, page) in pages(Sample::Calm).iter().filter(|(_, page)| page.contains("action=\"/privacy/leave\"")) {
        for form in page.split("<form ").skip(1) {
            let form = form.split("</form>").next().unwrap();
            assert!(
                form.contains("method=\"post\"") && form.contains("name=\"csrf\" value=\"sample\""),
                "{name}: {form}"
            );
        }
    }
}

#[test]
fn d17_a_yes_and_a_no_are_equally_easy() {
    let choices = pages(Sample::Calm).into_iter().find(|(name, _)| *name == "choices").unwrap().1;
    let pairs: Vec<&str> = choices.split("<div class=\"pair\">").skip(1).collect();
    assert_eq!(pairs.len(), 3, "two purposes and the rate");
    for pair in pairs {
        let buttons: Vec<&str> = pair.split("</div>").next().unwrap().split("<button ").skip(1).collect();
        let [yes, no] = buttons.as_slice() else { panic!("a pair has two buttons") };
        assert!(!yes.contains("class") && !no.contains("class"), "same weight");
        assert!(!yes.contains("autofocus") && !no.contains("autofocus"));
        let length = |button: &str| button.split('>').nth(1).unwrap().split('<').next().unwrap().chars().count();
        assert!(length(yes).abs_diff(length(no)) <= 3, "words of about the same length");
    }
}

#[test]
fn the_sheet_stays_small_and_asks_for_nothing() {
    assert!(SHEET.len() <= 16 * 1024, "{} bytes", SHEET.len());
    for word in ["@import", "url(", "@font-face", "!important"] {
        assert!(!SHEET.contains(word), "{word}");
    }
    assert!(SHEET.contains("prefers-color-scheme: dark") && SHEET.contains("@media print"));
}

fn files(sample: Sample) -> Vec<(String, Vec<u8>)> {
    let bytes = sample::archive(&promise(), sample).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut files = Vec::new();
    for n in 0..archive.len() {
        let mut file = archive.by_index(n).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        files.push((file.name().to_owned(), bytes));
    }
    files
}

fn file(files: &[(String, Vec<u8>)], name: &str) -> Vec<u8> {
    files.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} is missing")).1.clone()
}

#[test]
fn d09_the_copy_is_one_zip_that_stands_alone() {
    let files = files(Sample::Calm);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["index.html", "data.json", "schema.json", "facts.csv", "events.csv", "event_lines.csv", "choices.csv"]
    {
        assert!(names.contains(&name), "{name}");
    }
    let data: Value = serde_json::from_slice(&file(&files, "data.json")).unwrap();
    for answer in data["answers"].as_array().unwrap() {
        assert!(names.contains(&answer["receipt_file"].as_str().unwrap()), "each answer has its receipt");
    }
    let index = String::from_utf8(file(&files, "index.html")).unwrap();
    for word in ["<script", "http://", "https://", "src=", "<link"] {
        assert!(!index.contains(word), "index.html holds {word}");
    }
    assert_eq!(index.matches("<h1").count(), 1);
}

#[test]
fn the_copy_of_a_hostile_person_harms_neither_page_nor_table() {
    let files = files(Sample::Hostile);
    let index = String::from_utf8(file(&files, "index.html")).unwrap();
    assert!(!index.contains("<script") && !index.contains("<img"));
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".csv")) {
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let width = reader.headers().unwrap().len();
        for row in reader.records() {
            let row = row.unwrap();
            assert_eq!(row.len(), width, "{name}");
            for cell in &row {
                assert!(!cell.starts_with(['=', '+', '@', '\t', '\r']), "{name}: {cell}");
            }
        }
    }
}

#[test]
fn data_json_is_as_the_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let data: Value = serde_json::from_slice(&file(&files(Sample::Calm), "data.json")).unwrap();
    assert_eq!(mistakes(&schema, &schema, &data, "$"), Vec::<String>::new());
    let mut broken = data.clone();
    broken["facts"][0]["surprise"] = Value::from(1);
    broken["events"][0].as_object_mut().unwrap().remove("until");
    assert_eq!(mistakes(&schema, &schema, &broken, "$").len(), 2, "the checker can fail");
}

/// As much of JSON Schema as ours uses.
fn mistakes(root: &Value, schema: &Value, data: &Value, path: &str) -> Vec<String> {
    if let Some(pointer) = schema["$ref"].as_str() {
        return mistakes(root, root.pointer(pointer.trim_start_matches('#')).unwrap(), data, path);
    }
    if let Some(options) = schema["anyOf"].as_array() {
        let fits = options.iter().any(|option| mistakes(root, option, data, path).is_empty());
        return if fits { Vec::new() } else { vec![format!("{path}: fits nothing")] };
    }
    let mut found = Vec::new();
    if let Some(one) = schema.get("const").filter(|one| *one != data) {
        found.push(format!("{path}: is not {one}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(data)) {
        found.push(format!("{path}: {data} is not listed"));
    }
    let kind = match data {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = match &schema["type"] {
        Value::String(word) => word == kind || (word == "number" && kind == "integer"),
        Value::Array(words) => words.iter().any(|word| word == kind || (word == "number" && kind == "integer")),
        _ => true,
    };
    if !fits {
        found.push(format!("{path}: is {kind}"));
    }
    for (n, item) in data.as_array().into_iter().flatten().enumerate() {
        found.extend(mistakes(root, &schema["items"], item, &format!("{path}[{n}]")));
    }
    if let (Some(object), Some(properties)) = (data.as_object(), schema["properties"].as_object()) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                found.push(format!("{path}: {name} is missing"));
            }
        }
        for (name, value) in object {
            match properties.get(name) {
                Some(property) => found.extend(mistakes(root, property, value, &format!("{path}.{name}"))),
                None => found.push(format!("{path}: {name} is not described")),
            }
        }
    }
    found
}
