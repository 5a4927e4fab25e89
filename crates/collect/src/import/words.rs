//! Whole words and phrases in descriptions: "hot water bottle", "candle" (also "candles"). It does not guess.

use std::collections::HashMap;

/// Most words in one list.
pub const WORDS_MAX: usize = 1_000;

/// A description as small words: letters and digits, everything else parts them.
#[must_use]
pub fn tokens(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

/// Words and phrases. The last word of each also fits with an s at its end.
#[derive(Debug, Clone, Default)]
pub struct WordList {
    by_first: HashMap<String, Vec<Vec<String>>>,
}

impl WordList {
    /// From words as written; the first one that holds no letter or digit is returned as the mistake.
    ///
    /// # Errors
    /// The text that is no word.
    pub fn new<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Self, String> {
        let mut by_first: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for written in words {
            let phrase = tokens(written);
            let Some(first) = phrase.first() else { return Err(written.to_owned()) };
            by_first.entry(first.clone()).or_default().push(phrase);
        }
        Ok(Self { by_first })
    }

    /// Whether one of the words stands in a description.
    #[must_use]
    pub fn fits(&self, description: &[String]) -> bool {
        (0..description.len()).any(|at| description.get(at..).is_some_and(|rest| self.fits_here(rest)))
    }

    fn fits_here(&self, rest: &[String]) -> bool {
        let Some(first) = rest.first() else { return false };
        let phrases = |word: &str| self.by_first.get(word).into_iter().flatten();
        let singular = first.strip_suffix('s').unwrap_or(first);
        phrases(first).any(|phrase| begins(rest, phrase))
            || (singular != first && phrases(singular).any(|phrase| phrase.len() == 1))
    }
}

fn begins(rest: &[String], phrase: &[String]) -> bool {
    let Some((last, front)) = phrase.split_last() else { return false };
    let (Some(begin), Some(end)) = (rest.get(..front.len()), rest.get(front.len())) else { return false };
    begin == front && (end == last || end.strip_suffix('s') == Some(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(words: &[&str], description: &str) -> bool {
        WordList::new(words.iter().copied()).unwrap().fits(&tokens(description))
    }

    #[test]
    fn whole_words_fit_also_in_the_plural() {
        assert!(fits(&["candle"], "SET/3 VANILLA CANDLES."));
        assert!(fits(&["t light"], "WHITE HANGING HEART T-LIGHT HOLDER"));
        assert!(fits(&["hot water bottle"], "KNITTED HOT WATER BOTTLES"));
        assert!(!fits(&["can"], "SET/3 VANILLA CANDLES."));
        assert!(!fits(&["hot water bottle"], "HOT BOTTLE"));
        assert!(!fits(&["hot water bottle"], "HOT WATER"));
        assert!(!fits(&["tea"], ""));
    }

    #[test]
    fn what_is_no_word_is_a_mistake() {
        assert_eq!(WordList::new(["tea", "*"]).unwrap_err(), "*");
        assert_eq!(WordList::new([""]).unwrap_err(), "");
    }
}
