//! Responsible for finding a person by something they are known by, without storing it: keyed blind tokens.
//!
//! Two different keys: [`HouseKeys::blind`] finds the living, [`HouseKeys::left_token`] recognises who left, and is
//! good for nothing else. Equality of two tokens shows; the value does not, without the key.
//!
//! Deliberately not: normalising (an address is lower-cased and trimmed at the door).

use crate::key::HouseKeys;

impl HouseKeys {
    /// Key of the blind index for an identity of a kind ("email", "user_id").
    pub(crate) fn blind(&self, kind: &str, value: &str) -> [u8; 16] {
        let [head @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            self.index().mac(&[kind.as_bytes(), value.as_bytes()]);
        head
    }

    /// Token by which an erased person's identity is recognised when an old list comes back.
    pub(crate) fn left_token(&self, kind: &str, value: &str) -> [u8; 32] {
        self.left().mac(&[kind.as_bytes(), value.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use crate::key::Ring;
    use model::HouseId;
    use model::chance::Seeded;

    #[test]
    fn tokens_agree_within_a_house_and_nowhere_else() {
        let house = HouseId::from_bytes([1; 16]);
        let keys = Ring::in_memory(&house, &Seeded::new(1)).house_keys().unwrap();
        let other = Ring::in_memory(&house, &Seeded::new(2)).house_keys().unwrap();
        assert_eq!(keys.blind("email", "a@b.example"), keys.blind("email", "a@b.example"));
        assert_ne!(keys.blind("email", "a@b.example"), keys.blind("user_id", "a@b.example"));
        assert_ne!(keys.blind("email", "a@b.example"), keys.blind("email", "b@b.example"));
        assert_ne!(keys.blind("email", "a@b.example"), other.blind("email", "a@b.example"));
        assert_ne!(keys.blind("ab", "c"), keys.blind("a", "bc"), "kind and value do not run together");
        assert_ne!(keys.blind("email", "a")[..], keys.left_token("email", "a")[..16], "two keys");
    }
}
