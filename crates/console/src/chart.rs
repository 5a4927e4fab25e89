//! The one figure of the console: an estimate with its interval on a line, as SVG that reads without colour. The same numbers
//! stand in a table beside it.

use std::fmt::Write;

const WIDTH: f64 = 600.0;
const LEFT: f64 = 24.0;
const RIGHT: f64 = 576.0;

/// Draws `low … high` with the estimate and zero, in percent.
pub(crate) fn interval(low: f64, estimate: f64, high: f64) -> String {
    let reach = [low, high, estimate].iter().fold(10.0_f64, |reach, value| reach.max(value.abs())) * 1.15;
    let x = |percent: f64| LEFT + (percent + reach) / (2.0 * reach) * (RIGHT - LEFT);
    let label = format!("{estimate:+.0} %, 95 % interval {low:+.0} % to {high:+.0} %");
    let mut svg = String::new();
    let _ = write!(
        svg,
        r#"<svg class="chart" viewBox="0 0 {WIDTH} 96" role="img" aria-label="{label}"><line class="axis" x1="{LEFT}" y1="58" x2="{RIGHT}" y2="58"/>"#
    );
    let zero = x(0.0);
    let _ = write!(
        svg,
        r#"<line class="axis" x1="{zero:.1}" y1="30" x2="{zero:.1}" y2="64"/><text class="soft" x="{zero:.1}" y="84" text-anchor="middle">no difference</text>"#
    );
    let (from, to, middle) = (x(low), x(high), x(estimate));
    let _ = write!(
        svg,
        r#"<rect class="band" x="{from:.1}" y="48" width="{:.1}" height="20" rx="4"/><circle class="dot" cx="{middle:.1}" cy="58" r="7"/>"#,
        (to - from).max(2.0)
    );
    for (percent, anchor) in [(low, "end"), (high, "start")] {
        let at = x(percent) + if anchor == "end" { -6.0 } else { 6.0 };
        let (at, anchor) = match (at < 60.0, at > WIDTH - 60.0) {
            (true, _) => (LEFT, "start"),
            (_, true) => (RIGHT, "end"),
            _ => (at, anchor),
        };
        let _ = write!(svg, r#"<text x="{at:.1}" y="42" text-anchor="{anchor}">{percent:+.0} %</text>"#);
    }
    let _ = write!(svg, r#"<text x="{middle:.1}" y="20" text-anchor="middle">{estimate:+.0} %</text></svg>"#);
    svg
}

#[cfg(test)]
mod tests {
    use super::interval;

    #[test]
    fn the_figure_says_its_numbers_in_words() {
        let svg = interval(-3.0, 14.0, 26.0);
        assert!(svg.contains(r#"aria-label="+14 %, 95 % interval -3 % to +26 %""#));
        assert!(svg.contains("no difference"));
    }

    #[test]
    fn labels_stay_inside_the_picture() {
        for (low, high) in [(-500.0, 900.0), (-1.0, 1.0), (0.0, 0.0)] {
            let svg = interval(low, f64::midpoint(low, high), high);
            assert!(!svg.contains("NaN") && !svg.contains("x=\"-"), "{svg}");
        }
    }
}
