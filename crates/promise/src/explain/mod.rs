//! The long text behind every code, with an example that a test runs: `fineline explain FL203`.

/// Every code with its text, in order. FL9nn are those of mapping files, which `collect` reports.
pub const EXPLANATIONS: [(&str, &str); 46] = [
    ("FL001", include_str!("FL001.md")),
    ("FL002", include_str!("FL002.md")),
    ("FL003", include_str!("FL003.md")),
    ("FL004", include_str!("FL004.md")),
    ("FL005", include_str!("FL005.md")),
    ("FL006", include_str!("FL006.md")),
    ("FL007", include_str!("FL007.md")),
    ("FL101", include_str!("FL101.md")),
    ("FL102", include_str!("FL102.md")),
    ("FL103", include_str!("FL103.md")),
    ("FL104", include_str!("FL104.md")),
    ("FL105", include_str!("FL105.md")),
    ("FL106", include_str!("FL106.md")),
    ("FL107", include_str!("FL107.md")),
    ("FL201", include_str!("FL201.md")),
    ("FL203", include_str!("FL203.md")),
    ("FL204", include_str!("FL204.md")),
    ("FL205", include_str!("FL205.md")),
    ("FL206", include_str!("FL206.md")),
    ("FL207", include_str!("FL207.md")),
    ("FL208", include_str!("FL208.md")),
    ("FL301", include_str!("FL301.md")),
    ("FL302", include_str!("FL302.md")),
    ("FL303", include_str!("FL303.md")),
    ("FL304", include_str!("FL304.md")),
    ("FL305", include_str!("FL305.md")),
    ("FL306", include_str!("FL306.md")),
    ("FL307", include_str!("FL307.md")),
    ("FL308", include_str!("FL308.md")),
    ("FL401", include_str!("FL401.md")),
    ("FL402", include_str!("FL402.md")),
    ("FL501", include_str!("FL501.md")),
    ("FL502", include_str!("FL502.md")),
    ("FL503", include_str!("FL503.md")),
    ("FL504", include_str!("FL504.md")),
    ("FL601", include_str!("FL601.md")),
    ("FL602", include_str!("FL602.md")),
    ("FL603", include_str!("FL603.md")),
    ("FL604", include_str!("FL604.md")),
    ("FL605", include_str!("FL605.md")),
    ("FL900", include_str!("FL900.md")),
    ("FL901", include_str!("FL901.md")),
    ("FL902", include_str!("FL902.md")),
    ("FL903", include_str!("FL903.md")),
    ("FL904", include_str!("FL904.md")),
    ("FL905", include_str!("FL905.md")),
];

/// The long text for a code, in Markdown; small letters are taken too. `None` when there is no such code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    EXPLANATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests;
