//! Rules: a bounded subset of CEL, parsed to a flat program and evaluated for one person with three-valued logic.
//!
//! It is: comparisons, `&& || ! in`, parentheses, declared names and constants (grammar in `docs/reference/rules.md`).
//! It is not: arithmetic, functions, macros; windows and sums stand in `[trait]` ([`crate::aggregate`]). The columnar
//! compiler in `understand` walks the same [`Step`]s. Nothing here recurses on input: a rule comes from a file and from
//! a form, and a deep text must not end the process.

mod parse;
mod print;
#[cfg(test)]
mod tests;

use model::Kind;
use std::collections::BTreeSet;

/// Longest rule, in bytes, as written and as printed.
pub const RULE_BYTES_MAX: usize = 1_000;
/// Most brackets that may be open at once.
pub const OPEN_BRACKETS_MAX: usize = 24;

/// A constant of a rule, or what a fact says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleValue {
    /// A whole number.
    Number(i64),
    /// Money, in millionths of the house currency's unit.
    Money(i64),
    /// Text, e-mail addresses and ids.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

impl std::fmt::Debug for RuleValue {
    /// Tells the kind, never the value: facts pass through here.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RuleValue({})", self.kind().as_str())
    }
}

impl RuleValue {
    /// What a model value says to a rule; `None` for kinds that rules cannot compare (instants, dates, rankings).
    #[must_use]
    pub fn of(value: &model::Value) -> Option<Self> {
        match value {
            model::Value::Text(text) => Some(Self::Text(text.clone())),
            model::Value::Number(number) => Some(Self::Number(*number)),
            model::Value::Money(money) => Some(Self::Money(money.micros)),
            model::Value::Flag(flag) => Some(Self::Flag(*flag)),
            model::Value::Instant(_) | model::Value::Date(_) | model::Value::Ranking(_) => None,
        }
    }

    const fn kind(&self) -> Shape {
        match self {
            Self::Number(_) => Shape::Number,
            Self::Money(_) => Shape::Money,
            Self::Text(_) => Shape::Text,
            Self::Flag(_) => Shape::Flag,
        }
    }
}

/// The four shapes that rules compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Number,
    Money,
    Text,
    Flag,
}

impl Shape {
    const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Number => Some(Self::Number),
            Kind::Money => Some(Self::Money),
            Kind::Text | Kind::Email | Kind::Id => Some(Self::Text),
            Kind::Flag => Some(Self::Flag),
            Kind::Instant | Kind::Date | Kind::Ranking => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Money => "money",
            Self::Text => "text",
            Self::Flag => "flag",
        }
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether an ordering satisfies the comparison.
    #[must_use]
    pub const fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// One step of the flat postfix program. Operands of one comparison always have the same shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Pushes what the fact with this name says.
    Read(String),
    /// Pushes a constant.
    Constant(RuleValue),
    /// Pops two, pushes a flag.
    Compare(Comparison),
    /// Pops one, pushes whether it is in the list.
    In(Vec<RuleValue>),
    /// Pops one flag, pushes its opposite.
    Not,
    /// Pops two flags.
    And,
    /// Pops two flags.
    Or,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleMistake {
    /// It does not parse (FL301).
    Grammar,
    /// It reads a name that is not declared (FL302).
    UnknownName,
    /// It compares what cannot be compared (FL304).
    Shape,
}

/// A rule could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleError {
    /// Which sort of mistake.
    pub mistake: RuleMistake,
    /// Where it begins, in bytes from the beginning of the rule.
    pub at: usize,
    /// How many bytes it covers.
    pub len: usize,
    /// What is wrong, in plain words.
    pub message: String,
}

/// A rule that parsed: a flat program that leaves one flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    steps: Vec<Step>,
}

impl Rule {
    /// Parses and type-checks a rule. `kind_of` tells the kind of a declared name.
    ///
    /// # Errors
    /// [`RuleError`] with the place of the first mistake.
    pub fn parse(text: &str, kind_of: &dyn Fn(&str) -> Option<Kind>) -> Result<Self, RuleError> {
        parse::parse(text, kind_of)
    }

    /// The flat program, for a compiler.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The names it reads.
    #[must_use]
    pub fn reads(&self) -> BTreeSet<String> {
        self.steps
            .iter()
            .filter_map(|step| match step {
                Step::Read(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    /// The texts it compares with: `check` looks here for guarded words.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let values = self.steps.iter().flat_map(|step| match step {
            Step::Constant(value) => std::slice::from_ref(value),
            Step::In(list) => list.as_slice(),
            _ => &[],
        });
        values.filter_map(|value| match value {
            RuleValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The truth for one person; `None` when it hangs on something missing. Only `Some(true)` is a member.
    pub fn evaluate(&self, lookup: &mut dyn FnMut(&str) -> Option<RuleValue>) -> Option<bool> {
        let mut stack: Vec<Option<RuleValue>> = Vec::with_capacity(8);
        for step in &self.steps {
            let result = match step {
                Step::Read(name) => lookup(name),
                Step::Constant(value) => Some(value.clone()),
                Step::Compare(comparison) => {
                    let (right, left) = (stack.pop().flatten(), stack.pop().flatten());
                    left.zip(right).and_then(|(left, right)| compare(*comparison, &left, &right)).map(RuleValue::Flag)
                }
                Step::In(list) => contains(list, stack.pop().flatten()).map(RuleValue::Flag),
                Step::Not => flag(stack.pop()).map(|flag| RuleValue::Flag(!flag)),
                Step::And => {
                    let (right, left) = (flag(stack.pop()), flag(stack.pop()));
                    and(left, right).map(RuleValue::Flag)
                }
                Step::Or => {
                    let (right, left) = (flag(stack.pop()), flag(stack.pop()));
                    and(left.map(|flag| !flag), right.map(|flag| !flag)).map(|flag| RuleValue::Flag(!flag))
                }
            };
            stack.push(result);
        }
        flag(stack.pop())
    }
}

/// A fact of another shape than declared counts as missing.
fn compare(comparison: Comparison, left: &RuleValue, right: &RuleValue) -> Option<bool> {
    (left.kind() == right.kind()).then(|| comparison.holds(left.cmp(right)))
}

fn contains(list: &[RuleValue], value: Option<RuleValue>) -> Option<bool> {
    let value = value?;
    list.first().is_none_or(|first| first.kind() == value.kind()).then(|| list.contains(&value))
}

fn flag(value: Option<Option<RuleValue>>) -> Option<bool> {
    match value {
        Some(Some(RuleValue::Flag(flag))) => Some(flag),
        _ => None,
    }
}

/// Kleene's conjunction: a false decides, also beside something missing.
const fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}
