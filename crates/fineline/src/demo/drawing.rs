//! One line drawing per shelf, 48 by 48, drawn by hand for this shop. Decoration only.

/// The path of a shelf's drawing.
#[must_use]
pub fn of(group: &str) -> &'static str {
    match group {
        "mugs" => {
            "M10 16h22v18a6 6 0 0 1-6 6H16a6 6 0 0 1-6-6zM32 20h4a5 5 0 0 1 0 12h-4M16 10c0-3 3-3 3-6M24 10c0-3 3-3 3-6"
        }
        "tea" => {
            "M12 22h22v8a10 10 0 0 1-10 10h-2a10 10 0 0 1-10-10zM34 24l8-4-2 10-6 2M12 26c-6 0-6 8 1 8M18 18c4-5 6-5 10 0M23 12v3"
        }
        "candles" => "M18 22h12v20H18zM24 22v-5M24 17c-5-4-2-8 0-12 2 4 5 8 0 12M12 42h24",
        "garden" => "M24 42V22M24 30c-9 0-12-5-12-12 8 0 12 4 12 12M24 24c0-8 4-12 12-12 0 8-4 12-12 12M14 42h20",
        "kitchen" => "M8 30h32M12 30v8h24v-8M16 30c0-6 3-10 8-10s8 4 8 10M24 20v-4M20 12h8",
        "paper" => "M8 12h32v24H8zM8 12l16 14 16-14",
        "textiles" => "M12 18h24l3 24H9zM17 18v-4a7 7 0 0 1 14 0v4",
        "home" => "M8 24 24 10l16 14M12 21v19h24V21M20 40V29h8v11",
        "baby" => "M24 8a14 14 0 1 0 0 28 14 14 0 0 0 0-28M19 20v1M29 20v1M19 27c3 3 7 3 10 0M24 8c0 3 3 4 5 2",
        _ => "M19 8h10v11h11v10H29v11H19V29H8V19h11z",
    }
}
