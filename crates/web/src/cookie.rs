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
    /// What a browser earned with a code.
    Device,
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
            Self::Device => "__Host-device",
            Self::Language => "__Host-language",
        }
    }

    /// The value that the browser sent. Where one name came twice the first counts; longer than 64 is not ours.
    pub fn read(self, headers: &HeaderMap) -> Option<&str> {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name())
            .map(|(_, value)| value)
            .filter(|v| {
                (1..=64).contains(&v.len()) && v.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            })
    }

    /// A `Set-Cookie` value.
    pub fn set(self, value: &str) -> String {
        debug_assert!(
            value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "cookie values are tokens"
        );
        format!(
            "{}={value}; Path=/; Secure; HttpOnly; SameSite={}{}",
            self.name(),
            self.same_site(),
            self.age()
        )
    }

    /// A `Set-Cookie` value that removes it.
    pub fn clear(self) -> String {
        format!("{}=; Path=/; Secure; HttpOnly; SameSite={}; Max-Age=0", self.name(), self.same_site())
    }

    /// A link in a mail program is a visit from another site. The session must be there for it, or each receipt's
    /// link would ask to sign in; a device's credential is needed for the press of a button on our own page only.
    const fn same_site(self) -> &'static str {
        match self {
            Self::Device => "Strict",
            Self::Form | Self::Session | Self::Pickup | Self::Language => "Lax",
        }
    }

    const fn age(self) -> &'static str {
        match self {
            // 180 days; the server's own row decides.
            Self::Device => "; Max-Age=15552000",
            Self::Language => "; Max-Age=31536000",
            Self::Form | Self::Session | Self::Pickup => "",
        }
    }
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
        for cookie in [Cookie::Form, Cookie::Session, Cookie::Pickup, Cookie::Device, Cookie::Language] {
            for text in [cookie.set("abc"), cookie.clear()] {
                assert!(
                    text.starts_with("__Host-") && text.contains("; Path=/; Secure; HttpOnly; SameSite=")
                );
                assert!(!text.contains("Domain"));
            }
        }
    }
}
