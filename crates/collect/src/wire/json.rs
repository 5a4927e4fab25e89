//! Reading JSON that strangers send: its shape is bounded before anything is built from it, values stay raw text until a
//! declared kind asks for them (so that money never goes through a float), and strings of every depth can be searched.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Whether text would be an object. A derived reader takes a list for an object whose fields come in order; nobody who
/// speaks to us means that.
#[must_use]
pub fn is_object(json: &str) -> bool {
    json.trim_ascii_start().starts_with('{')
}

/// Deepest nesting of one event.
pub const DEPTH_MAX: usize = 16;
/// Most values of one event, nested ones included.
pub const NODES_MAX: usize = 4_096;

/// How deep and how many, without building anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Nested objects and lists.
    pub depth: usize,
    /// Values, at most off by one a nested object or list.
    pub n_nodes: usize,
}

impl Shape {
    /// Of JSON text (which may be broken: then the answer means nothing, and parsing will say so).
    #[must_use]
    pub fn of(json: &str) -> Self {
        let (mut shape, mut depth, mut in_string, mut escaped) = (Self::default(), 0usize, false, false);
        for byte in json.bytes() {
            if in_string {
                (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => {
                    depth += 1;
                    shape.depth = shape.depth.max(depth);
                    shape.n_nodes += 1;
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' => shape.n_nodes += 1,
                _ => {}
            }
        }
        shape
    }

    /// Within the limits of one event.
    #[must_use]
    pub const fn fits(self) -> bool {
        self.depth <= DEPTH_MAX && self.n_nodes <= NODES_MAX
    }
}

/// One JSON object whose values are still text.
#[derive(Debug, Default)]
pub struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    /// Reads an object; `None` for anything else. The caller has looked at the shape before.
    #[must_use]
    pub fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self)
    }

    /// An object in a field; empty when it is missing or something else.
    #[must_use]
    pub fn object(&self, name: &str) -> Self {
        self.raw(name).and_then(Object::read).unwrap_or_default()
    }

    /// A list of objects in a field; what is no object is left out.
    #[must_use]
    pub fn objects(&self, name: &str) -> Vec<Self> {
        let list: Option<Vec<&RawValue>> = self.raw(name).and_then(|json| serde_json::from_str(json).ok());
        list.unwrap_or_default().into_iter().filter_map(|raw| Object::read(raw.get())).collect()
    }

    /// The raw text of a field; `null` counts as missing.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get().trim()).filter(|json| *json != "null")
    }

    /// A string field.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.raw(name).and_then(text)
    }

    /// A string, or the digits of a number: how ids come.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        text(raw).or_else(|| is_number(raw).then(|| raw.to_owned())).filter(|id| !id.is_empty())
    }

    /// A yes or no.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.raw(name)?.parse().ok()
    }

    /// Names and raw texts, in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, raw)| (name.as_str(), raw.get().trim()))
    }

    /// How many fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the fields of another object that this one does not have.
    pub fn add(&mut self, other: Self) {
        for (name, raw) in other.0 {
            self.0.entry(name).or_insert(raw);
        }
    }

    /// Adds one field under another name, unless it is there.
    pub fn add_from(&mut self, name: &str, other: &Self, from: &str) {
        if let Some(raw) = other.0.get(from) {
            self.0.entry(name.to_owned()).or_insert(raw);
        }
    }
}

/// The string in raw JSON.
#[must_use]
pub fn text(json: &str) -> Option<String> {
    json.starts_with('"').then(|| serde_json::from_str(json).ok()).flatten()
}

/// Raw JSON that is a number, exactly as written.
#[must_use]
pub fn is_number(json: &str) -> bool {
    json.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// The first answer that `look` gives on any key or string or number of this JSON, however deep. Keys come with `true`.
pub fn search<T>(json: &str, look: &mut dyn FnMut(&str, IsKey) -> Option<T>) -> Option<T> {
    let mut found = None;
    let mut each = |text: &str, is_key: IsKey| {
        if found.is_none() {
            found = look(text, is_key);
        }
    };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // A mistake in the text ends the search; the same text was parsed before, so there is none.
    let _ = Search(&mut each).deserialize(&mut deserializer);
    found
}

/// Whether a text is the name of a field or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsKey {
    /// The name of a field.
    Yes,
    /// A value.
    No,
}

struct Search<'s>(&'s mut dyn FnMut(&str, IsKey));

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        (self.0)(&number.to_string(), IsKey::No);
        Ok(())
    }
    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        (self.0)(&number.to_string(), IsKey::No);
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.0)(text, IsKey::No);
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Search(self.0))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            (self.0)(&key, IsKey::Yes);
            map.next_value_seed(Search(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_shape_is_seen_without_building_anything() {
        assert_eq!(Shape::of(r#"{"a":[1,2,{"b":"}]{\"["}]}"#), Shape { depth: 3, n_nodes: 5 });
        assert!(!Shape::of(&"[".repeat(DEPTH_MAX + 1)).fits());
        assert!(Shape::of(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))).fits());
        assert!(!Shape::of(&format!("[{}1]", "1,".repeat(NODES_MAX + 1))).fits());
    }

    #[test]
    fn every_string_and_key_is_searched() {
        let json = r#"{"a":[{"deep key":["x","needle"]}],"n":4111111111111111,"esc":"n\u0065edle2"}"#;
        let has = |needle: &str| search(json, &mut |text, _| (text == needle).then_some(())).is_some();
        assert!(has("needle") && has("deep key") && has("4111111111111111") && has("needle2"));
        assert!(!has("haystack"));
    }

    #[test]
    fn numbers_stay_as_written() {
        let object = Object::read(r#"{"price": 0.001, "id": 42, "none": null, "text": "a"}"#).unwrap();
        assert_eq!(object.raw("price"), Some("0.001"));
        assert_eq!(object.id("id").as_deref(), Some("42"));
        assert_eq!((object.raw("none"), object.text("price")), (None, None));
        assert_eq!(object.text("text").as_deref(), Some("a"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = Shape::of(&text);
            let _ = Object::read(&text).map(|object| object.objects("a").len());
            let _ = search(&text, &mut |_, _| None::<()>);
        }
    }
}
