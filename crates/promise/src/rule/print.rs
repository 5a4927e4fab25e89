//! From a flat program back to text: the fewest brackets that parse to the same program.

use super::{Rule, RuleValue, Step};
use model::Money;
use std::fmt;

/// Binding of a printed piece, as in the parser; 5 = a name, a constant.
const ATOM: u8 = 5;

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stack: Vec<(String, u8)> = Vec::new();
        for step in &self.steps {
            let piece = match step {
                Step::Read(name) => (name.clone(), ATOM),
                Step::Constant(value) => (constant(value), ATOM),
                Step::Compare(comparison) => infix(&mut stack, comparison.as_str(), 3),
                Step::In(list) => {
                    let left = stack.pop().unwrap_or_default();
                    let list: Vec<String> = list.iter().map(constant).collect();
                    (format!("{} in [{}]", bracket(left, 3), list.join(", ")), 3)
                }
                Step::Not => (format!("!{}", bracket(stack.pop().unwrap_or_default(), 4)), 4),
                Step::And => infix(&mut stack, "&&", 2),
                Step::Or => infix(&mut stack, "||", 1),
            };
            stack.push(piece);
        }
        f.write_str(&stack.pop().unwrap_or_default().0)
    }
}

/// All operators bind to the left, so only the right side needs brackets at equal binding.
fn infix(stack: &mut Vec<(String, u8)>, operator: &str, binds: u8) -> (String, u8) {
    let (right, left) = (stack.pop().unwrap_or_default(), stack.pop().unwrap_or_default());
    (format!("{} {operator} {}", bracket(left, binds), bracket(right, binds + 1)), binds)
}

fn bracket((text, binds): (String, u8), wanted: u8) -> String {
    if binds < wanted { format!("({text})") } else { text }
}

fn constant(value: &RuleValue) -> String {
    match value {
        RuleValue::Number(number) => number.to_string(),
        // A constant amount is always a whole number of units: the parser made it from one.
        RuleValue::Money(micros) => (micros / Money::UNIT).to_string(),
        RuleValue::Text(text) => format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'")),
        RuleValue::Flag(flag) => flag.to_string(),
    }
}
