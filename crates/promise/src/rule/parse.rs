//! From text to a flat program: a tokenizer and an iterative shunting-yard that checks shapes as it emits.

use super::{Comparison, OPEN_BRACKETS_MAX, RULE_BYTES_MAX, Rule, RuleError, RuleMistake, RuleValue, Shape, Step};
use model::{Kind, Money};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Constant(RuleValue),
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    Operator(Operator),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Or,
    And,
    Compare(Comparison),
    In,
    Not,
}

impl Operator {
    const fn binds(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Compare(_) | Self::In => 3,
            Self::Not => 4,
        }
    }
}

struct Placed {
    token: Token,
    at: usize,
    len: usize,
}

fn grammar(at: usize, len: usize, message: impl Into<String>) -> RuleError {
    RuleError { mistake: RuleMistake::Grammar, at, len, message: message.into() }
}

pub(super) fn parse(text: &str, kind_of: &dyn Fn(&str) -> Option<Kind>) -> Result<Rule, RuleError> {
    let too_long = || grammar(0, text.len(), format!("a rule has at most {RULE_BYTES_MAX} bytes"));
    if text.len() > RULE_BYTES_MAX {
        return Err(too_long());
    }
    let tokens = tokens(text)?;
    let rule =
        Compiler { kind_of, text_len: text.len(), steps: vec![], shapes: vec![], waiting: vec![] }.run(&tokens)?;
    // What is printed must parse again: the canonical form obeys the same limit.
    if rule.to_string().len() > RULE_BYTES_MAX { Err(too_long()) } else { Ok(rule) }
}

fn tokens(text: &str) -> Result<Vec<Placed>, RuleError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (token, len) = match first {
            'a'..='z' | 'A'..='Z' | '_' => word(rest),
            '0'..='9' | '-' => number(rest, at)?,
            '\'' | '"' => quoted(rest, at, first)?,
            _ => symbol(rest, at, first)?,
        };
        tokens.push(Placed { token, at, len });
        rest = rest.get(len..).unwrap_or("");
    }
}

fn word(rest: &str) -> (Token, usize) {
    let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let word = rest.get(..len).unwrap_or(rest);
    let token = match word {
        "true" => Token::Constant(RuleValue::Flag(true)),
        "false" => Token::Constant(RuleValue::Flag(false)),
        "in" => Token::Operator(Operator::In),
        name => Token::Name(name.to_owned()),
    };
    (token, len)
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), RuleError> {
    let digits = rest.strip_prefix('-').unwrap_or(rest);
    let sign = rest.len() - digits.len();
    let len = sign + digits.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').unwrap_or(digits.len());
    let number = rest.get(..len).and_then(|digits| digits.parse::<i64>().ok());
    match number {
        Some(number) => Ok((Token::Constant(RuleValue::Number(number)), len)),
        None => Err(grammar(at, len, "expected a whole number")),
    }
}

fn quoted(rest: &str, at: usize, quote: char) -> Result<(Token, usize), RuleError> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((position, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok((Token::Constant(RuleValue::Text(text)), position + 1)),
            '\\' => match chars.next() {
                Some((_, escaped @ ('\\' | '\'' | '"'))) => text.push(escaped),
                _ => return Err(grammar(at + position, 1, r#"only \\, \' and \" may follow a backslash"#)),
            },
            _ if c.is_control() => return Err(grammar(at + position, c.len_utf8(), "a control character in a text")),
            _ => text.push(c),
        }
    }
    Err(grammar(at, rest.len(), "this text is not closed"))
}

fn symbol(rest: &str, at: usize, first: char) -> Result<(Token, usize), RuleError> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    const SYMBOLS: [(&str, Token); 14] = [
        ("&&", Token::Operator(Operator::And)),
        ("||", Token::Operator(Operator::Or)),
        ("==", Token::Operator(Operator::Compare(Equal))),
        ("!=", Token::Operator(Operator::Compare(NotEqual))),
        ("<=", Token::Operator(Operator::Compare(LessOrEqual))),
        (">=", Token::Operator(Operator::Compare(GreaterOrEqual))),
        ("<", Token::Operator(Operator::Compare(Less))),
        (">", Token::Operator(Operator::Compare(Greater))),
        ("!", Token::Operator(Operator::Not)),
        ("(", Token::Open),
        (")", Token::Close),
        ("[", Token::OpenList),
        ("]", Token::CloseList),
        (",", Token::Comma),
    ];
    let found = SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol));
    match found {
        Some((symbol, token)) => Ok((token.clone(), symbol.len())),
        None if first == '=' => Err(grammar(at, 1, "to compare, write `==`")),
        None if first == '&' || first == '|' => Err(grammar(at, 1, format!("write `{first}{first}`"))),
        None => Err(grammar(at, first.len_utf8(), format!("`{}` has no meaning in a rule", first.escape_debug()))),
    }
}

/// What waits on the operator stack.
enum Waiting {
    Open { at: usize },
    Operator { operator: Operator, at: usize, len: usize },
}

/// The shape of a value on the stack, and whether it is one whole number that may still turn into money.
#[derive(Clone, Copy)]
struct Typed {
    shape: Shape,
    constant: Option<usize>,
}

struct Compiler<'k> {
    kind_of: &'k dyn Fn(&str) -> Option<Kind>,
    text_len: usize,
    steps: Vec<Step>,
    shapes: Vec<Typed>,
    waiting: Vec<Waiting>,
}

impl Compiler<'_> {
    fn run(mut self, tokens: &[Placed]) -> Result<Rule, RuleError> {
        let mut wants_value = true;
        let mut n_open = 0;
        let mut tokens = tokens.iter().peekable();
        while let Some(Placed { token, at, len }) = tokens.next() {
            let (at, len) = (*at, *len);
            match (token, wants_value) {
                (Token::Name(name), true) => {
                    if tokens.peek().is_some_and(|next| next.token == Token::Open) {
                        let message = "a rule has no functions; counts and sums are declared in [trait.*]";
                        return Err(grammar(at, len, message));
                    }
                    self.read(name, at, len)?;
                    wants_value = false;
                }
                (Token::Constant(value), true) => {
                    self.constant(value.clone());
                    wants_value = false;
                }
                (Token::Open, true) => {
                    n_open += 1;
                    if n_open > OPEN_BRACKETS_MAX {
                        return Err(grammar(at, len, format!("at most {OPEN_BRACKETS_MAX} brackets may be open")));
                    }
                    self.waiting.push(Waiting::Open { at });
                }
                (Token::Operator(Operator::Not), true) => {
                    self.waiting.push(Waiting::Operator { operator: Operator::Not, at, len });
                }
                (Token::Close, false) => {
                    self.close(at, len)?;
                    n_open -= 1;
                }
                (Token::Operator(operator), false) if *operator != Operator::Not => {
                    self.reduce(operator.binds())?;
                    if *operator == Operator::In {
                        let list = list(&mut tokens, at, len)?;
                        self.contained(list, at, len)?;
                    } else {
                        self.waiting.push(Waiting::Operator { operator: *operator, at, len });
                        wants_value = true;
                    }
                }
                (_, true) => return Err(grammar(at, len, "expected a name, a constant, `!` or `(`")),
                (_, false) => return Err(grammar(at, len, "expected a comparison, `&&`, `||`, `in` or the end")),
            }
        }
        if wants_value {
            let message = if self.steps.is_empty() { "the rule is empty" } else { "the rule ends too early" };
            return Err(grammar(self.text_len.saturating_sub(1), 1, message));
        }
        self.reduce(0)?;
        if let Some(Waiting::Open { at }) = self.waiting.last() {
            return Err(grammar(*at, 1, "this bracket is not closed"));
        }
        match self.shapes.as_slice() {
            [Typed { shape: Shape::Flag, .. }] => Ok(Rule { steps: self.steps }),
            _ => Err(shape(0, self.text_len, "a rule says yes or no; compare this with something")),
        }
    }

    fn read(&mut self, name: &str, at: usize, len: usize) -> Result<(), RuleError> {
        let unknown = || RuleError {
            mistake: RuleMistake::UnknownName,
            at,
            len,
            message: format!("no [field.*] or [trait.*] is called `{name}`"),
        };
        let kind = (self.kind_of)(name).ok_or_else(unknown)?;
        let known = Shape::of(kind)
            .ok_or_else(|| shape(at, len, "rules compare numbers, money, texts and flags; this is none of them"))?;
        self.steps.push(Step::Read(name.to_owned()));
        self.shapes.push(Typed { shape: known, constant: None });
        Ok(())
    }

    fn constant(&mut self, value: RuleValue) {
        let shape = value.kind();
        let constant = (shape == Shape::Number).then_some(self.steps.len());
        self.steps.push(Step::Constant(value));
        self.shapes.push(Typed { shape, constant });
    }

    fn close(&mut self, at: usize, len: usize) -> Result<(), RuleError> {
        self.reduce(0)?;
        match self.waiting.pop() {
            Some(Waiting::Open { .. }) => Ok(()),
            _ => Err(grammar(at, len, "this bracket was never opened")),
        }
    }

    /// Emits waiting operators that bind at least as tightly, down to the last open bracket.
    fn reduce(&mut self, binds: u8) -> Result<(), RuleError> {
        while let Some(Waiting::Operator { operator, at, len }) = self.waiting.last() {
            if operator.binds() < binds {
                break;
            }
            let (operator, at, len) = (*operator, *at, *len);
            self.waiting.pop();
            self.emit(operator, at, len)?;
        }
        Ok(())
    }

    fn emit(&mut self, operator: Operator, at: usize, len: usize) -> Result<(), RuleError> {
        let step = match operator {
            Operator::Not => Step::Not,
            Operator::And => Step::And,
            Operator::Or => Step::Or,
            Operator::Compare(comparison) => return self.comparison(comparison, at, len),
            Operator::In => return Err(grammar(at, len, "`in` wants a list")),
        };
        let n_flags = if step == Step::Not { 1 } else { 2 };
        for _ in 0..n_flags {
            if self.shapes.pop().map(|typed| typed.shape) != Some(Shape::Flag) {
                return Err(shape(at, len, "both sides of this must say yes or no"));
            }
        }
        self.push_flag(step);
        Ok(())
    }

    fn comparison(&mut self, comparison: Comparison, at: usize, len: usize) -> Result<(), RuleError> {
        let (Some(right), Some(left)) = (self.shapes.pop(), self.shapes.pop()) else {
            return Err(grammar(at, len, "a comparison has two sides"));
        };
        let shape_both = match (left.shape, right.shape) {
            (Shape::Money, Shape::Number) => self.as_money(right, at, len)?,
            (Shape::Number, Shape::Money) => self.as_money(left, at, len)?,
            (left, right) if left == right => left,
            (left, right) => {
                let message = format!("{} cannot be compared with {}", left.as_str(), right.as_str());
                return Err(shape(at, len, message));
            }
        };
        let orders = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if orders && matches!(shape_both, Shape::Text | Shape::Flag) {
            return Err(shape(at, len, "texts and flags have no order; use `==`, `!=` or `in`"));
        }
        self.push_flag(Step::Compare(comparison));
        Ok(())
    }

    /// A whole number beside money means whole units of the house currency.
    fn as_money(&mut self, number: Typed, at: usize, len: usize) -> Result<Shape, RuleError> {
        let mistake = || shape(at, len, "money can be compared with money or with a whole number of units");
        let step = number.constant.and_then(|index| self.steps.get_mut(index)).ok_or_else(mistake)?;
        let Step::Constant(RuleValue::Number(units)) = *step else { return Err(mistake()) };
        *step = Step::Constant(RuleValue::Money(money(units, at, len)?));
        Ok(Shape::Money)
    }

    fn contained(&mut self, mut list: Vec<RuleValue>, at: usize, len: usize) -> Result<(), RuleError> {
        let Some(left) = self.shapes.pop() else { return Err(grammar(at, len, "`in` has two sides")) };
        for value in &mut list {
            if let (Shape::Money, RuleValue::Number(units)) = (left.shape, &*value) {
                *value = RuleValue::Money(money(*units, at, len)?);
            }
            if value.kind() != left.shape {
                let message = format!("{} cannot be in a list of {}", left.shape.as_str(), value.kind().as_str());
                return Err(shape(at, len, message));
            }
        }
        self.push_flag(Step::In(list));
        Ok(())
    }

    fn push_flag(&mut self, step: Step) {
        self.steps.push(step);
        self.shapes.push(Typed { shape: Shape::Flag, constant: None });
    }
}

fn money(units: i64, at: usize, len: usize) -> Result<i64, RuleError> {
    units.checked_mul(Money::UNIT).ok_or_else(|| shape(at, len, "this amount of money is too large"))
}

fn list<'t>(tokens: &mut impl Iterator<Item = &'t Placed>, at: usize, len: usize) -> Result<Vec<RuleValue>, RuleError> {
    let wrong = |placed: Option<&Placed>| {
        let (at, len) = placed.map_or((at, len), |placed| (placed.at, placed.len));
        grammar(at, len, "`in` wants a list of constants, such as ['a', 'b']")
    };
    let mut values = Vec::new();
    match tokens.next() {
        Some(Placed { token: Token::OpenList, .. }) => {}
        other => return Err(wrong(other)),
    }
    loop {
        match tokens.next() {
            Some(Placed { token: Token::Constant(value), .. }) => values.push(value.clone()),
            other => return Err(wrong(other)),
        }
        match tokens.next() {
            Some(Placed { token: Token::Comma, .. }) => {}
            Some(Placed { token: Token::CloseList, .. }) => return Ok(values),
            other => return Err(wrong(other)),
        }
    }
}

fn shape(at: usize, len: usize, message: impl Into<String>) -> RuleError {
    RuleError { mistake: RuleMistake::Shape, at, len, message: message.into() }
}
