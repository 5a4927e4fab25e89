//! The promise of the shop that tests and the demo run: one file that every room parses.

/// `crates/promise/fixtures/shop.toml`. Parse it with `promise::parse("shop.toml", promise::fixture::SHOP)`.
pub const SHOP: &str = include_str!("../fixtures/shop.toml");

#[cfg(test)]
mod tests {
    use super::SHOP;
    use crate::{ArtefactKind, Style, parse_with_warnings};

    #[test]
    fn the_shop_parses_without_error_or_warning() {
        let (promise, warnings) = parse_with_warnings("shop.toml", SHOP)
            .unwrap_or_else(|report| panic!("{}", report.render(SHOP, Style::Plain)));
        assert_eq!(warnings.render(SHOP, Style::Plain), "");
        assert!(promise.artefact(ArtefactKind::Campaign, "win_back").is_some());
        assert_eq!(
            promise.line("segment", "lapsed").map(|line| SHOP.lines().nth(line as usize - 1)),
            Some(Some("[segment.lapsed]"))
        );
    }
}
