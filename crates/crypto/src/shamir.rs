//! Shamir's secret sharing over GF(256): any `k` of `n` shares bring 32 secret bytes back, and `k - 1` say nothing about
//! them (A. Shamir, *How to share a secret*, 1979).
//!
//! Each byte of the secret is the value at 0 of a random polynomial of degree `k - 1`; share `x` is its value at `x`.
//! The field is that of AES (FIPS 197 section 4: x^8 + x^4 + x^3 + x + 1).
//!
//! Own code, for it is thirty lines: of the crates that do it, `sharks` draws biased coefficients (RUSTSEC-2024-0398),
//! its fork `blahaj` looks products up in tables by secret bytes, and `vsss-rs` brings number theory for elliptic curves
//! along. Here nothing branches on a secret or is looked up by one.

use zeroize::Zeroizing;

use crate::{Key, Random};

/// One share's values: one a byte of the secret.
pub type Values = [u8; Key::LEN];

/// The values of shares 1 to `n`, of which any `k` suffice.
///
/// Panics unless 1 <= k <= n: callers check what people ask for.
pub fn split(random: &Random, secret: &Key, k: u8, n: u8) -> Vec<Zeroizing<Values>> {
    assert!((1..=n).contains(&k), "k is at least 1 and at most n");
    let mut coefficients = vec![Zeroizing::new([0; Key::LEN]); usize::from(k) - 1];
    coefficients.iter_mut().for_each(|c| random.fill(&mut c[..]));
    let shares = (1..=n).map(|x| {
        let mut share = Zeroizing::new([0; Key::LEN]);
        for (at, value) in share.iter_mut().enumerate() {
            // Horner's rule, from the highest power down to the secret.
            let highest_first = coefficients.iter().rev().map(|c| c[at]);
            *value = highest_first.chain([secret.expose()[at]]).fold(0, |sum, c| mul(sum, x) ^ c);
        }
        share
    });
    shares.collect()
}

/// The secret whose shares these are, each with its number: Lagrange's polynomial at 0. With too few, or with one that is
/// wrong, it is another secret: whoever calls knows how to tell.
///
/// `None` when a number is 0 or comes twice.
pub fn combine(shares: &[(u8, &Values)]) -> Option<Key> {
    let numbers: Vec<u8> = shares.iter().map(|(x, _)| *x).collect();
    let twice = |at: usize| numbers[at + 1..].contains(&numbers[at]);
    if numbers.contains(&0) || (0..numbers.len()).any(twice) {
        return None;
    }
    let mut secret = Zeroizing::new([0; Key::LEN]);
    for (x, values) in shares {
        let others = numbers.iter().filter(|other| *other != x);
        let weight = others.fold(1, |weight, other| mul(weight, mul(*other, inverse(*other ^ *x))));
        for (byte, value) in secret.iter_mut().zip(values.iter()) {
            *byte ^= mul(*value, weight);
        }
    }
    Some(Key::from_bytes(*secret))
}

/// The product in GF(256), in the same time for all factors.
fn mul(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (a, 0);
    for bit in 0..8 {
        product ^= a & (b >> bit & 1).wrapping_neg();
        a = a << 1 ^ 0x1B & (a >> 7).wrapping_neg();
    }
    product
}

/// The inverse, a^254; that of 0 is 0.
fn inverse(a: u8) -> u8 {
    let mut power = a;
    for _ in 0..6 {
        power = mul(mul(power, power), a);
    }
    mul(power, power)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_field_is_that_of_fips_197() {
        // Section 4.2: {57} x {83} = {c1}; section 4.2.1: {57} x {13} = {fe}.
        assert_eq!((mul(0x57, 0x83), mul(0x57, 0x13)), (0xC1, 0xFE));
        for a in 1..=255 {
            assert_eq!(mul(a, inverse(a)), 1, "{a}");
        }
        // Against Russian peasant multiplication on polynomials, then reduction.
        for a in 0..=255_u16 {
            for b in 0..=255_u16 {
                let mut long = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ a << bit);
                for bit in (8..16).rev() {
                    if long >> bit & 1 == 1 {
                        long ^= 0x11B << (bit - 8);
                    }
                }
                assert_eq!(u16::from(mul(a as u8, b as u8)), long, "{a} {b}");
            }
        }
    }

    /// Shares 1, 3 and 5 of the polynomial `secret + 7 x + 9 x^2`, worked out by a program of ten lines in another language.
    #[test]
    fn shares_that_another_program_made() {
        let shares: [(u8, Values); 3] = [(1, [0x4C; 32]), (3, [0x66; 32]), (5, [0xC0; 32])];
        let shares: Vec<(u8, &Values)> = shares.iter().map(|(x, v)| (*x, v)).collect();
        assert_eq!(combine(&shares), Some(Key::from_bytes([0x42; 32])));
    }

    #[test]
    fn fewer_than_k_fit_every_secret() {
        // With k = 2 one share's byte takes every value with the same secret: it says nothing.
        let secret = Key::from_bytes([7; 32]);
        let mut seen = [0_u32; 256];
        for seed in 0..2_000 {
            for byte in split(&Random::danger_predictable(seed), &secret, 2, 2)[0].iter() {
                seen[usize::from(*byte)] += 1;
            }
        }
        assert!(seen.iter().all(|times| (150..350).contains(times)), "{seen:?}");
    }

    #[test]
    fn a_number_twice_or_none_is_no_set() {
        let values = [1; 32];
        assert_eq!(combine(&[(1, &values), (1, &values)]), None);
        assert_eq!(combine(&[(0, &values), (1, &values)]), None);
    }

    proptest! {
        #[test]
        fn any_k_bring_it_back_and_fewer_do_not(secret: [u8; 32], k in 2_u8..8, more in 0_u8..8, seed: u64, order: u64) {
            let (n, secret) = (k + more, Key::from_bytes(secret));
            let shares = split(&Random::danger_predictable(seed), &secret, k, n);
            let draw = Random::danger_predictable(order);
            let mut numbers: Vec<u8> = (1..=n).collect();
            for at in (1..numbers.len()).rev() {
                numbers.swap(at, draw.below(at as u64 + 1) as usize);
            }
            let chosen: Vec<(u8, &Values)> =
                numbers.iter().map(|x| (*x, &*shares[usize::from(*x) - 1])).collect();
            prop_assert_eq!(combine(&chosen[..usize::from(k)]), Some(secret.clone()));
            prop_assert_eq!(combine(&chosen), Some(secret.clone()));
            prop_assert_ne!(combine(&chosen[..usize::from(k) - 1]), Some(secret));
        }
    }
}
