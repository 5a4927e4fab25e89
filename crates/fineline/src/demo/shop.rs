//! The made-up shop as its own server sees it: who is shopping, what is in the basket, what an order looks like on the
//! wire. It knows nothing of Fineline but its HTTP API.

use super::catalogue::{Gift, find};
use super::people::Story;
use serde_json::{Value, json};

/// Most things in a basket.
pub const BASKET_MAX: usize = 20;

/// What the shop remembers in the visitor's browser: necessary for shopping, told to nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Visit {
    /// Whom the visitor chose to be: the shop's own id.
    pub shopper: Option<String>,
    /// Codes in the basket.
    pub basket: Vec<&'static str>,
}

impl Visit {
    /// Reads the two cookies; what is not on a shelf is left out.
    #[must_use]
    pub fn read(cookies: &str) -> Self {
        let mut visit = Self::default();
        for cookie in cookies.split(';') {
            match cookie.trim().split_once('=') {
                Some(("shopper", id)) => visit.shopper = is_shopper(id).then(|| id.to_owned()),
                Some(("basket", codes)) => {
                    let gifts = codes.split('.').filter_map(|code| Some(find(code)?.1.code));
                    visit.basket = gifts.take(BASKET_MAX).collect();
                }
                _ => {}
            }
        }
        visit
    }

    /// Puts one more thing into the basket, if it is sold and there is room.
    pub fn add(&mut self, code: &str) {
        if let Some((_, gift)) = find(code)
            && self.basket.len() < BASKET_MAX
        {
            self.basket.push(gift.code);
        }
    }

    /// The two cookies as they are set.
    #[must_use]
    pub fn cookies(&self) -> [String; 2] {
        let age = |empty: bool| if empty { "; Max-Age=0" } else { "; Max-Age=86400" };
        let shopper = self.shopper.as_deref().unwrap_or("");
        [
            format!("shopper={shopper}; Path=/; HttpOnly; SameSite=Lax{}", age(shopper.is_empty())),
            format!("basket={}; Path=/; HttpOnly; SameSite=Lax{}", self.basket.join("."), age(self.basket.is_empty())),
        ]
    }

    /// The things in the basket.
    pub fn gifts(&self) -> impl Iterator<Item = &'static Gift> + '_ {
        self.basket.iter().filter_map(|code| find(code)).map(|(_, gift)| gift)
    }
}

/// One of the planted people, or a guest of this shop.
fn is_shopper(id: &str) -> bool {
    let guest = id.strip_prefix("guest-").is_some_and(|rest| !rest.is_empty() && rest.len() <= 32);
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && (guest || Story::ALL.iter().any(|story| story.user_id() == id))
}

/// Pounds and pence.
#[must_use]
pub fn pounds(pence: i64) -> String {
    format!("£{}.{:02}", pence / 100, pence % 100)
}

/// An order as the shop's server tells it: the e-commerce form of the Segment spec.
#[must_use]
pub fn order_completed<'a>(
    user_id: &str,
    order_id: &str,
    message_id: &str,
    lines: impl Iterator<Item = (&'a Gift, i32)>,
) -> Value {
    let mut total = 0;
    let mut products = Vec::new();
    for (gift, quantity) in lines {
        total += gift.pence * i64::from(quantity);
        let price = format!("{}.{:02}", gift.pence / 100, gift.pence % 100);
        products.push(json!({ "product_id": gift.code, "quantity": quantity, "price": price }));
    }
    let total = format!("{}.{:02}", total / 100, total % 100);
    json!({
        "type": "track", "event": "Order Completed", "userId": user_id, "messageId": message_id,
        "properties": { "order_id": order_id, "total": total, "currency": "GBP", "products": products },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_survives_its_cookies_and_takes_nothing_foreign() {
        let mut visit = Visit { shopper: Some("mia".into()), basket: Vec::new() };
        visit.add("MUG01");
        visit.add("NOTHING");
        let cookies = visit.cookies().map(|cookie| cookie.split(';').next().unwrap().to_owned()).join("; ");
        assert_eq!(Visit::read(&cookies), visit);
        assert_eq!(Visit::read("shopper=somebody; basket=<script>.MUG99"), Visit::default());
        assert_eq!(Visit::read("shopper=guest-7f"), Visit { shopper: Some("guest-7f".into()), basket: vec![] });
    }

    #[test]
    fn an_order_adds_up_to_the_penny() {
        let lines = [("TEA01", 2), ("CAN03", 1)].map(|(code, n)| (find(code).unwrap().1, n));
        let order = order_completed("mia", "1", "m1", lines.into_iter());
        assert_eq!(order["properties"]["total"], "20.75");
        assert_eq!(order["properties"]["products"][0]["price"], "8.90");
    }
}
