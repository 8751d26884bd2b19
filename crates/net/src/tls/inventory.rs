//! What TLS offers, as the library says it (S11). Nothing of it can be configured but a higher minimum.

/// Versions, cipher suites and key exchanges, best first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// `TLS 1.3`, `TLS 1.2`.
    pub versions: Vec<&'static str>,
    /// As IANA names them.
    pub suites: Vec<String>,
    /// As IANA names them.
    pub groups: Vec<String>,
}

/// What both our servers and our clients offer.
pub fn offer() -> Offer {
    let provider = super::provider(super::Hello::Large);
    let suites = provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite()));
    let groups = provider.kx_groups.iter().map(|group| format!("{:?}", group.name()));
    Offer { versions: vec!["TLS 1.3", "TLS 1.2"], suites: suites.collect(), groups: groups.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_authenticated_encryption_with_forward_secrecy_is_offered() {
        let offer = offer();
        assert!(offer.suites.iter().any(|s| s == "TLS13_AES_256_GCM_SHA384"), "{offer:?}");
        for suite in &offer.suites {
            assert!(suite.contains("GCM") || suite.contains("CHACHA20_POLY1305"), "{suite}");
            assert!(suite.starts_with("TLS13_") || suite.contains("ECDHE"), "{suite}");
        }
        assert_eq!(offer.groups[0], "X25519MLKEM768");
    }
}
