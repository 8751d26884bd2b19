//! Cookies: all `__Host-`, `Secure`, `HttpOnly`, without a lifetime but where one is named (RFC 6265bis).
//!
//! `__Host-` binds a cookie to exactly this host over TLS and the path `/`, so that a neighbour on the domain can
//! neither read nor plant it.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// A cookie of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cookie {
    /// Binds forms to this browser: what the token against forged forms is made from.
    Form,
    /// A signed-in person's session.
    Session,
    /// A recipient's session at the portal.
    Pickup,
    /// The chosen language.
    Language,
}

impl Cookie {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "__Host-form",
            Self::Session => "__Host-session",
            Self::Pickup => "__Host-pickup",
            Self::Language => "__Host-language",
        }
    }

    /// The value that the browser sent. Where one name came twice the first counts; longer than 64 is not ours.
    pub fn read(self, headers: &HeaderMap) -> Option<&str> {
        pairs(headers).find(|(name, _)| *name == self.name()).map(|(_, value)| value).filter(|v| is_ours(v))
    }

    /// A `Set-Cookie` value.
    pub fn set(self, value: &str) -> String {
        debug_assert!(is_ours(value), "cookie values are tokens");
        // A link in a mail program is a visit from another site. The session must be there for it, or each receipt's
        // link would ask to sign in.
        format!("{}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{}", self.name(), self.age())
    }

    /// A `Set-Cookie` value that removes it.
    pub fn clear(self) -> String {
        format!("{}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0", self.name())
    }

    const fn age(self) -> &'static str {
        match self {
            Self::Language => "; Max-Age=31536000",
            Self::Form | Self::Session | Self::Pickup => "",
        }
    }
}

/// What browsers earned with codes: one cookie an organisation and recipient, so that what one person of a household
/// earned is never given to another. They are needed for the press of a button on our own page only, hence `Strict`.
pub mod device {
    use super::{HeaderMap, is_ours, pairs};

    /// The names and values that the browser sent, in its order, which is that of their age.
    pub fn read(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let mut out: Vec<(&str, &str)> = Vec::new();
        for (name, value) in pairs(headers) {
            let known = out.iter().any(|(n, _)| *n == name);
            if !known && is_label(name.strip_prefix(PREFIX).unwrap_or_default()) && is_ours(value) {
                out.push((name, value));
            }
        }
        out
    }

    /// A `Set-Cookie` value for the credential with this label.
    pub fn set(label: &str, value: &str) -> String {
        debug_assert!(is_label(label) && is_ours(value), "labels are digits and cookie values are tokens");
        // 180 days; the server's own row decides.
        format!("{PREFIX}{label}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=15552000")
    }

    /// A `Set-Cookie` value that removes the one with this name.
    pub fn clear(name: &str) -> String {
        format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    /// The name of the one with this label.
    pub fn name(label: &str) -> String {
        format!("{PREFIX}{label}")
    }

    fn is_label(label: &str) -> bool {
        label.len() == 8 && label.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }

    const PREFIX: &str = "__Host-device-";
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

fn is_ours(value: &str) -> bool {
    (1..=64).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.append(COOKIE, text.parse().unwrap());
        map
    }

    #[test]
    fn reads_its_own_and_nothing_odd() {
        assert_eq!(Cookie::Form.read(&headers("a=b; __Host-form=abc; __Host-form=x")), Some("abc"));
        assert_eq!(Cookie::Form.read(&headers("__Host-form=")), None);
        assert_eq!(Cookie::Form.read(&headers("__Host-form=a\"b")), None);
        assert_eq!(Cookie::Form.read(&headers("form=abc; __host-form=abc")), None);
        assert_eq!(Cookie::Form.read(&headers(&format!("__Host-form={}", "a".repeat(65)))), None);
    }

    #[test]
    fn every_cookie_is_bound_to_host_and_tls() {
        let mut texts = vec![device::set("0123abcd", "abc"), device::clear("__Host-device-0123abcd")];
        for cookie in [Cookie::Form, Cookie::Session, Cookie::Pickup, Cookie::Language] {
            texts.extend([cookie.set("abc"), cookie.clear()]);
        }
        for text in texts {
            assert!(text.starts_with("__Host-") && text.contains("; Path=/; Secure; HttpOnly; SameSite="));
            assert!(!text.contains("Domain"));
        }
    }

    #[test]
    fn credentials_are_told_apart_by_their_names() {
        let text = "__Host-device-0000000a=x; __Host-device-0000000a=y; __Host-device-0000000G=z; __Host-device=v; \
                    __Host-device-0000000b=w; __Host-device-0000000c=";
        let found = [("__Host-device-0000000a", "x"), ("__Host-device-0000000b", "w")];
        assert_eq!(device::read(&headers(text)), found);
    }
}
