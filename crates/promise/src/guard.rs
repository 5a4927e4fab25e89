//! What may never be inferred, and the words that give such an attempt away. The list is data; the file may add to it
//! and cannot take from it.

use crate::declaration::GuardPlan;

/// Guarded sides of life, each with beginnings of words that hint at it in names and in the texts of rules.
pub const NEVER_INFER: [(&str, &[&str]); 7] = [
    ("pregnancy", &["pregnan", "baby", "babies", "maternity", "expecting", "trimester", "newborn", "fertil"]),
    ("health", &["health", "illness", "disease", "diabet", "medic", "pharma", "patient", "disab", "therap", "symptom"]),
    ("religion", &["relig", "christian", "muslim", "islam", "jewish", "hindu", "church", "halal", "kosher", "ramadan"]),
    ("sexuality", &["sexual", "gay", "lesbian", "lgbt", "queer", "bisexual"]),
    ("politics", &["politic", "voter", "democrat", "republican", "socialis", "unionis"]),
    ("hardship", &["hardship", "debt", "poverty", "bankrupt", "payday", "desperat", "gambl", "insolven"]),
    ("children", &["child", "kid", "kids", "teen", "toddler", "underage"]),
];

impl GuardPlan {
    /// The lowest floor that a file may set, in people.
    pub const SMALLEST_GROUP_MIN: u32 = 50;

    /// Which guarded side of life a name or text hints at, if any.
    #[must_use]
    pub fn hint(&self, text: &str) -> Option<&str> {
        let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
        words.filter(|word| !word.is_empty()).find_map(|word| {
            self.never_infer.iter().map(String::as_str).find(|guarded| {
                let known = NEVER_INFER.iter().find(|(name, _)| name == guarded);
                word.starts_with(guarded)
                    || known.is_some_and(|(_, hints)| hints.iter().any(|hint| begins(&word, hint)))
            })
        })
    }
}

/// Short hints stand for whole words only: "kid" is not "kidney".
fn begins(word: &str, hint: &str) -> bool {
    if hint.len() <= 4 { word == hint } else { word.starts_with(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> GuardPlan {
        let never_infer = NEVER_INFER.iter().map(|(name, _)| (*name).to_owned()).chain(["wealth".to_owned()]);
        GuardPlan { never_infer: never_infer.collect(), smallest_group: 50 }
    }

    #[test]
    fn names_that_give_a_guarded_guess_away_are_found() {
        for (name, side) in [
            ("baby_club", "pregnancy"),
            ("likely_pregnant", "pregnancy"),
            ("Baby Lotion", "pregnancy"),
            ("has_kids", "children"),
            ("in_debt", "hardship"),
            ("wealthy", "wealth"),
            ("politics", "politics"),
        ] {
            assert_eq!(guard().hint(name), Some(side), "{name}");
        }
    }

    #[test]
    fn plain_names_pass() {
        for name in ["lapsed", "kidney_beans", "orders_90d", "gayle", "gift_group", "red", ""] {
            assert_eq!(guard().hint(name), None, "{name}");
        }
    }
}
