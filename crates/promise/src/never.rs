//! The Never list: what is refused at every door, whatever the promise says. Card and bank numbers, national ids, bodies
//! of messages, contact lists. The list is data; shapes are confirmed by their check digits, so that an order number
//! which merely has sixteen digits passes.
//!
//! It looks at text alone. It does not look at names of events (the promise declares those) and keeps no value.

/// Longest text that is searched, in bytes; a declared text has at most 64 characters, so this is ample.
pub const SEARCHED_BYTES_MAX: usize = 32 * 1024;

/// Which line of the Never list a value met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeverReason {
    /// A payment card number or its security code.
    Card,
    /// A bank account.
    BankAccount,
    /// A national id number.
    NationalId,
    /// A password or secret.
    Secret,
    /// The body of a message, a transcript, a recording.
    MessageBody,
    /// A list of other people.
    ContactList,
}

impl NeverReason {
    /// The word used in metrics and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::BankAccount => "bank_account",
            Self::NationalId => "national_id",
            Self::Secret => "secret",
            Self::MessageBody => "message_body",
            Self::ContactList => "contact_list",
        }
    }

    /// What people are told.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Card => "card numbers",
            Self::BankAccount => "bank accounts",
            Self::NationalId => "national id numbers",
            Self::Secret => "passwords",
            Self::MessageBody => "texts of messages, transcripts and recordings",
            Self::ContactList => "contact lists",
        }
    }

    /// Every line of the list.
    pub const ALL: [Self; 6] =
        [Self::Card, Self::BankAccount, Self::NationalId, Self::Secret, Self::MessageBody, Self::ContactList];
}

/// Keys that are refused whatever they hold, without case and punctuation.
const KEYS: [(NeverReason, &[&str]); 6] = [
    (
        NeverReason::Card,
        &[
            "cardnumber",
            "creditcard",
            "creditcardnumber",
            "ccnumber",
            "debitcard",
            "pan",
            "cvv",
            "cvv2",
            "cvc",
            "cardcvc",
        ],
    ),
    (NeverReason::BankAccount, &["iban", "bankaccount", "accountnumber", "sortcode", "routingnumber"]),
    (
        NeverReason::NationalId,
        &[
            "ssn",
            "socialsecuritynumber",
            "nationalid",
            "nationalinsurance",
            "nationalinsurancenumber",
            "passport",
            "passportnumber",
            "taxid",
            "driverslicense",
            "drivinglicence",
        ],
    ),
    (NeverReason::Secret, &["password", "passwd", "pin", "pincode", "secretanswer", "accesstoken"]),
    (
        NeverReason::MessageBody,
        &[
            "messagebody",
            "messagetext",
            "emailbody",
            "mailbody",
            "smsbody",
            "smstext",
            "chattext",
            "chatlog",
            "transcript",
            "voicemail",
            "voicerecording",
            "audiorecording",
            "directmessage",
            "inbox",
        ],
    ),
    (NeverReason::ContactList, &["contacts", "contactlist", "addressbook", "phonebook", "friends", "friendlist"]),
];

/// First digits of payment cards with the numbers of digits they go with. Thirteen-digit cards are extinct, and every
/// barcode has thirteen digits, so they are left out.
const CARDS: [(u32, u32, &[usize]); 11] = [
    (4, 4, &[16, 19]),
    (51, 55, &[16]),
    (2221, 2720, &[16]),
    (34, 34, &[15]),
    (37, 37, &[15]),
    (6011, 6011, &[16, 19]),
    (644, 659, &[16, 19]),
    (3528, 3589, &[16, 19]),
    (36, 36, &[14]),
    (300, 305, &[14]),
    (62, 62, &[16, 17, 18, 19]),
];

/// Whether a value may never be taken, and by which line of the list.
#[must_use]
pub fn never(key: &str, value: &str) -> Option<NeverReason> {
    never_key(key).or_else(|| never_value(value))
}

/// Whether a key is refused whatever it holds: for values that are lists or objects.
#[must_use]
pub fn never_key(key: &str) -> Option<NeverReason> {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    KEYS.iter().find(|(_, keys)| keys.contains(&plain.as_str())).map(|(reason, _)| *reason)
}

fn never_value(value: &str) -> Option<NeverReason> {
    let mut end = value.len().min(SEARCHED_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let value = value.get(..end).unwrap_or("");
    if runs(value, |c| c.is_ascii_digit()).any(|digits| is_card(&digits)) {
        return Some(NeverReason::Card);
    }
    if runs(value, |c| c.is_ascii_alphanumeric()).any(|text| is_iban(&text)) {
        return Some(NeverReason::BankAccount);
    }
    let is_national = |word: &str| NATIONAL.iter().any(|(_, fits)| fits(word));
    let words = value.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '/' | '=' | '"' | '(' | ')'));
    let spaced = || runs(value, |c| c.is_ascii_alphanumeric()).any(|text| is_nino(&text) || is_nir(&text));
    (words.into_iter().any(is_national) || spaced()).then_some(NeverReason::NationalId)
}

/// Most groups, such as the four of a card, that are read as one number.
const GROUPS_MAX: usize = 8;
/// Longest number that is looked for, in characters (an IBAN).
const NUMBER_CHARS_MAX: usize = 34;

/// Every number that could be meant: groups of wanted characters that stand alone, joined over single blanks and dashes.
fn runs(text: &str, wanted: impl Fn(char) -> bool) -> impl Iterator<Item = String> {
    let mut rows: Vec<Vec<String>> = vec![Vec::new()];
    let mut group = String::new();
    let (mut alone, mut before) = (true, ' ');
    for c in text.chars().chain(['\n']) {
        if wanted(c) {
            if group.is_empty() {
                // A letter right before digits makes them part of a longer word.
                alone = !before.is_alphanumeric();
            }
            group.push(c);
        } else {
            let joins = matches!(c, ' ' | '-') && !group.is_empty();
            let whole = alone && !c.is_alphanumeric() && !group.is_empty();
            match rows.last_mut() {
                Some(row) if whole => row.push(std::mem::take(&mut group)),
                _ => rows.push(Vec::new()),
            }
            if !joins {
                rows.push(Vec::new());
            }
            group.clear();
        }
        before = c;
    }
    rows.into_iter().flat_map(|row| {
        let starts = 0..row.len();
        starts.flat_map(|start| joined(row.get(start..).unwrap_or(&[]))).collect::<Vec<_>>()
    })
}

/// The first group, the first two joined, …
fn joined(groups: &[String]) -> Vec<String> {
    let mut number = String::new();
    let mut numbers = Vec::new();
    for group in groups.iter().take(GROUPS_MAX) {
        number.push_str(group);
        if number.len() > NUMBER_CHARS_MAX {
            break;
        }
        numbers.push(number.clone());
    }
    numbers
}

fn digits(text: &str) -> Option<Vec<u32>> {
    text.chars().map(|c| c.to_digit(10)).collect()
}

fn is_card(number: &str) -> bool {
    let in_range = CARDS.iter().any(|(from, to, lengths)| {
        let head = number.get(..from.to_string().len()).and_then(|head| head.parse::<u32>().ok());
        lengths.contains(&number.len()) && head.is_some_and(|head| (*from..=*to).contains(&head))
    });
    in_range && luhn(number)
}

/// Luhn's check: every second digit from the right doubled.
fn luhn(number: &str) -> bool {
    let Some(digits) = digits(number) else { return false };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum > 0 && sum.is_multiple_of(10)
}

/// Two letters, two check digits, 11 to 30 letters and digits, remainder 1 of 97.
fn is_iban(text: &str) -> bool {
    let (Some(head), Some(body)) = (text.get(..4), text.get(4..)) else { return false };
    let letters = head.chars().take(2).all(|c| c.is_ascii_uppercase());
    let checks = head.chars().skip(2).all(|c| c.is_ascii_digit());
    if !letters || !checks || !(11..=30).contains(&body.len()) {
        return false;
    }
    let remainder = body.chars().chain(head.chars()).try_fold(0u32, |remainder, c| {
        let value = c.to_digit(36)?;
        Some((remainder * if value > 9 { 100 } else { 10 } + value) % 97)
    });
    remainder == Some(1)
}

type Fits = fn(&str) -> bool;

/// National ids by shape and check digit; numbers without either are not told from order numbers and not listed.
const NATIONAL: [(&str, Fits); 5] =
    [("US", is_ssn), ("GB", is_nino), ("ES", is_dni), ("IT", is_codice_fiscale), ("BR", is_cpf)];

/// 123-45-6789: dashes are part of the shape, areas 000, 666 and 9xx were never given.
fn is_ssn(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let [area, group, serial] = parts.as_slice() else { return false };
    let fits = |part: &str, len: usize| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit());
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    fits(area, 3)
        && fits(group, 2)
        && fits(serial, 4)
        && !zero(area)
        && !zero(group)
        && !zero(serial)
        && *area != "666"
        && !area.starts_with('9')
}

/// AB123456C, as in the United Kingdom.
fn is_nino(word: &str) -> bool {
    let bytes = word.as_bytes();
    let ([first, second, middle @ .., last], 9) = (bytes, bytes.len()) else { return false };
    let prefix = word.get(..2).unwrap_or("");
    first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && !b"DFIQUV".contains(first)
        && !b"DFIOQUV".contains(second)
        && !["BG", "GB", "NK", "KN", "TN", "NT", "ZZ"].contains(&prefix)
        && middle.iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(last)
}

/// Eight digits and the letter that their remainder of 23 names, as in Spain.
fn is_dni(word: &str) -> bool {
    let (Some(number), Some(letter)) = (word.get(..8), word.get(8..)) else { return false };
    let Some(digits) = digits(number) else { return false };
    let number = digits.iter().fold(0u32, |number, digit| number * 10 + digit);
    let index = usize::try_from(number % 23).unwrap_or(0);
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(index).is_some_and(|wanted| letter.as_bytes() == [*wanted])
}

/// Six letters, two digits, letter, two digits, letter, three digits and a check letter, as in Italy.
fn is_codice_fiscale(word: &str) -> bool {
    const ODD: [u32; 36] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
        10, 22, 25, 24, 23,
    ];
    let shape = "LLLLLLDDLDDLDDDL";
    let fits = word.len() == shape.len()
        && word.chars().zip(shape.chars()).all(|(c, wanted)| match wanted {
            'L' => c.is_ascii_uppercase(),
            _ => c.is_ascii_digit(),
        });
    let value = |c: char| c.to_digit(36).unwrap_or(0);
    let sum: u32 = word
        .chars()
        .take(15)
        .enumerate()
        .map(|(place, c)| match place % 2 {
            0 => usize::try_from(value(c)).ok().and_then(|index| ODD.get(index).copied()).unwrap_or(0),
            _ => {
                if c.is_ascii_digit() {
                    value(c)
                } else {
                    value(c).saturating_sub(10)
                }
            }
        })
        .sum();
    fits && word.chars().last().is_some_and(|last| value(last).checked_sub(10) == Some(sum % 26))
}

/// 123.456.789-09, as in Brazil: dots and dash are part of the shape, two check digits.
fn is_cpf(word: &str) -> bool {
    let shaped = word.len() == 14
        && word.chars().enumerate().all(|(place, c)| match place {
            3 | 7 => c == '.',
            11 => c == '-',
            _ => c.is_ascii_digit(),
        });
    let Some(digits) = digits(&word.replace(['.', '-'], "")) else { return false };
    let check = |n: usize, wanted: Option<&u32>| {
        let weights = (2..=u32::try_from(n).unwrap_or(0) + 1).rev();
        let sum: u32 = digits.iter().take(n).zip(weights).map(|(digit, weight)| digit * weight).sum();
        wanted == Some(&(sum * 10 % 11 % 10))
    };
    let all_same = digits.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
    shaped && !all_same && check(9, digits.get(9)) && check(10, digits.get(10))
}

/// Fifteen digits that begin with sex, year and month and end with 97 less the remainder, as in France.
fn is_nir(text: &str) -> bool {
    if text.len() != 15 || !text.starts_with(['1', '2']) {
        return false;
    }
    let month = text.get(3..5).and_then(|month| month.parse::<u32>().ok());
    let number = text.get(..13).and_then(|number| number.parse::<u64>().ok());
    let key = text.get(13..).and_then(|key| key.parse::<u64>().ok());
    let keyed = number.zip(key).is_some_and(|(number, key)| 97 - number % 97 == key);
    keyed && month.is_some_and(|month| (1..=12).contains(&month))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn card_numbers_are_refused_however_they_are_written() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "6200000000000005",
            "my card is 4111111111111111, thanks",
            "order 12 4111 1111 1111 1111 34",
            "https://pay.example/4111111111111111/done",
        ] {
            assert_eq!(never("note", card), Some(NeverReason::Card), "{card}");
        }
    }

    #[test]
    fn numbers_that_only_look_like_cards_pass() {
        for number in [
            "4111111111111112",
            "1234567812345678",
            "4006381333931",
            "9780306406157",
            "1700000000000",
            "41111111111111111111",
            "A4111111111111111",
            "550e8400-e29b-41d4-a716-446655440000",
            "4111  1111  1111  1111x",
            "0000000000000000",
            "85123A",
            "",
        ] {
            assert_eq!(never("order_id", number), None, "{number}");
        }
    }

    #[test]
    fn national_ids_and_bank_accounts_are_refused() {
        for (text, reason) in [
            ("078-05-1120", NeverReason::NationalId),
            ("AB123456C", NeverReason::NationalId),
            ("AB 12 34 56 C", NeverReason::NationalId),
            ("12345678Z", NeverReason::NationalId),
            ("RSSMRA85T10A562S", NeverReason::NationalId),
            ("529.982.247-25", NeverReason::NationalId),
            ("1 85 05 78 006 084 91", NeverReason::NationalId),
            ("GB82 WEST 1234 5698 7654 32", NeverReason::BankAccount),
            ("DE89370400440532013000", NeverReason::BankAccount),
        ] {
            assert_eq!(never("note", text), Some(reason), "{text}");
        }
    }

    #[test]
    fn near_misses_of_national_ids_and_accounts_pass() {
        for text in [
            "000-05-1120",
            "900-05-1120",
            "078051120",
            "2026-01-15",
            "GB123456C",
            "AB123456E",
            "12345678A",
            "RSSMRA85T10A562T",
            "529.982.247-26",
            "111.111.111-11",
            "185057800608492",
            "GB82 WEST 1234 5698 7654 33",
            "DE89",
        ] {
            assert_eq!(never("note", text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_refused_whatever_they_hold() {
        for (key, reason) in [
            ("card_number", NeverReason::Card),
            ("CVC", NeverReason::Card),
            ("Password", NeverReason::Secret),
            ("message-body", NeverReason::MessageBody),
            ("addressBook", NeverReason::ContactList),
            ("SSN", NeverReason::NationalId),
            ("iban", NeverReason::BankAccount),
        ] {
            assert_eq!(never(key, "x"), Some(reason), "{key}");
        }
        for key in ["order_id", "total", "path", "company", "pant_size", "panel", "contact", "message", ""] {
            assert_eq!(never(key, "x"), None, "{key}");
        }
    }

    #[test]
    fn every_line_of_the_list_has_its_own_word() {
        let words: std::collections::BTreeSet<&str> = NeverReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), NeverReason::ALL.len());
    }

    proptest! {
        /// A number of a card range is refused exactly when its check digit is right.
        #[test]
        fn sixteen_digits_are_a_card_only_by_their_check_digit(body in "4[0-9]{14}") {
            let refused: Vec<u32> = (0..10).filter(|check| never("note", &format!("{body}{check}")).is_some()).collect();
            prop_assert_eq!(refused.len(), 1);
        }

        #[test]
        fn no_text_is_too_odd(key in ".{0,20}", value in ".{0,60}") {
            let _ = never(&key, &value);
        }
    }
}
