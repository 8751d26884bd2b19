//! What a page answers, and the headers that every answer carries.

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

/// An answer before the layer has finished it.
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    kind: Kind,
}

/// What kind of thing it is decides its content security policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A page of ours.
    Page,
    /// Sanitised HTML of a message, in its frame.
    Frame,
    /// A file that must never run here.
    Download,
    /// A stylesheet, module or picture of ours, kept for good.
    Asset,
}

impl Answer {
    fn new(status: StatusCode, kind: Kind, media_type: &'static str, body: Body) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self { status, headers, body, kind }
    }

    /// A page.
    pub fn page(status: StatusCode, html: String) -> Self {
        Self::new(status, Kind::Page, "text/html; charset=utf-8", Body::from(html))
    }

    /// The frame of a formatted message.
    pub fn frame(html: String) -> Self {
        Self::new(StatusCode::OK, Kind::Frame, "text/html; charset=utf-8", Body::from(html))
    }

    /// A file to keep. `media_type` comes from a stranger and is not believed: what is not on the short list of types
    /// that a program may want to recognise goes out as octets.
    pub fn download(name: &str, media_type: &str, size: Option<u64>, body: Body) -> Self {
        let known = DOWNLOAD_TYPES.iter().find(|t| t.eq_ignore_ascii_case(media_type));
        let mut answer = Self::new(
            StatusCode::OK,
            Kind::Download,
            known.copied().unwrap_or("application/octet-stream"),
            body,
        );
        if let Ok(value) = HeaderValue::from_str(&disposition(name)) {
            answer.headers.insert(header::CONTENT_DISPOSITION, value);
        }
        if let Some(size) = size {
            answer.headers.insert(header::CONTENT_LENGTH, size.into());
        }
        answer
    }

    /// One of our own files.
    pub fn asset(media_type: &'static str, body: &'static str) -> Self {
        Self::new(StatusCode::OK, Kind::Asset, media_type, Body::from(body))
    }

    /// Plain text.
    pub fn text(status: StatusCode, body: &'static str) -> Self {
        Self::new(status, Kind::Download, "text/plain; charset=utf-8", Body::from(body))
    }

    /// "Look there": after a form, so that reloading doesn't send it again (RFC 9110 section 15.4.4). `path` is on this
    /// host.
    pub fn see(path: &str) -> Self {
        let mut answer =
            Self::new(StatusCode::SEE_OTHER, Kind::Page, "text/plain; charset=utf-8", Body::empty());
        let path = if is_here(path) { path } else { "/" };
        answer
            .headers
            .insert(header::LOCATION, HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/")));
        answer
    }

    /// Also sets a cookie.
    #[must_use]
    pub fn cookie(mut self, set: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(set) {
            self.headers.append(header::SET_COOKIE, value);
        }
        self
    }

    /// Also carries a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The finished answer: policy, caching, sniffing, framing, referrer, transport (S16).
    pub fn finish(self, nonce: &str) -> Response {
        let Self { status, mut headers, body, kind } = self;
        let policy = match kind {
            Kind::Page => format!(
                "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; \
                 font-src 'none'; connect-src 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'; \
                 base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
            ),
            // A sanitised body may hold style attributes and pictures that came inside the message; it may load
            // nothing, run nothing, send nothing, and its frame has an origin of its own.
            Kind::Frame => format!(
                "default-src 'none'; style-src-elem 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; img-src data:; \
                 form-action 'none'; frame-ancestors 'self'; base-uri 'self'; \
                 sandbox allow-popups allow-popups-to-escape-sandbox"
            ),
            Kind::Download | Kind::Asset => "default-src 'none'; frame-ancestors 'none'; sandbox".to_owned(),
        };
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(header::CONTENT_SECURITY_POLICY, &policy);
        put(header::STRICT_TRANSPORT_SECURITY, "max-age=63072000");
        put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        put(header::REFERRER_POLICY, "no-referrer");
        put(header::X_FRAME_OPTIONS, if kind == Kind::Frame { "SAMEORIGIN" } else { "DENY" });
        put(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
        put(HeaderName::from_static("permissions-policy"), PERMISSIONS);
        put(HeaderName::from_static("x-robots-tag"), "noindex, nofollow, noarchive");
        put(
            header::CACHE_CONTROL,
            if kind == Kind::Asset { "public, max-age=31536000, immutable" } else { "no-store" },
        );
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// Whether it is a path on this host, whatever a browser makes of it: it passes over tabs and line ends, and takes a
/// backslash for a slash (WHATWG URL, section 4.4), so that `/\t/host` would be another host.
fn is_here(path: &str) -> bool {
    path.starts_with('/') && !path.contains("//") && !path.chars().any(|c| c.is_control() || c == '\\')
}

/// `attachment` with the name in both forms (RFC 6266 appendix D): a plain one for old programs, UTF-8 for the rest.
fn disposition(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(150).collect();
    let name = match name.trim().trim_matches('.') {
        "" => "attachment",
        name => name,
    };
    let safe = |c: char| c.is_ascii_alphanumeric() || " -_.()+,=@".contains(c);
    let plain: String = name.chars().map(|c| if safe(c) { c } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~!#$&+^`|".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

const PERMISSIONS: &str =
    "camera=(), microphone=(), geolocation=(), payment=(), usb=(), clipboard-read=(), browsing-topics=()";

/// Media types that are passed on: none of them is run by a browser, and all come as an attachment anyway.
const DOWNLOAD_TYPES: &[&str] = &[
    "application/pdf",
    "application/zip",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/dicom",
    "audio/mpeg",
    "audio/wav",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
    "message/rfc822",
    "text/csv",
    "text/plain",
    "video/mp4",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(answer: Answer) -> HeaderMap {
        answer.finish("abc").headers().clone()
    }

    #[test]
    fn every_kind_is_strict() {
        for answer in [
            Answer::page(StatusCode::OK, String::new()),
            Answer::frame(String::new()),
            Answer::download("a.pdf", "application/pdf", None, Body::empty()),
            Answer::see("/"),
            Answer::text(StatusCode::OK, "ok"),
        ] {
            let h = headers(answer);
            let csp = h["content-security-policy"].to_str().unwrap();
            assert!(csp.starts_with("default-src 'none'"), "{csp}");
            assert!(!csp.contains("script-src 'unsafe") && !csp.contains("unsafe-eval"), "{csp}");
            assert_eq!(h["cache-control"], "no-store");
            assert_eq!(h["x-content-type-options"], "nosniff");
            assert_eq!(h["referrer-policy"], "no-referrer");
            assert!(h["strict-transport-security"].to_str().unwrap().contains("63072000"));
        }
        assert_eq!(headers(Answer::page(StatusCode::OK, String::new()))["x-frame-options"], "DENY");
    }

    #[test]
    fn a_download_never_runs() {
        let h = headers(Answer::download("page.html", "text/html", None, Body::empty()));
        assert_eq!(h["content-type"], "application/octet-stream");
        assert!(h["content-security-policy"].to_str().unwrap().ends_with("sandbox"));
        assert!(h["content-disposition"].to_str().unwrap().starts_with("attachment;"));
        let h = headers(Answer::download("x", "image/svg+xml", None, Body::empty()));
        assert_eq!(h["content-type"], "application/octet-stream");
    }

    #[test]
    fn names_of_files_stay_names() {
        assert_eq!(
            disposition("Befund \"März\"\r\nX: y.pdf"),
            "attachment; filename=\"Befund _M_rz_X_ y.pdf\"; filename*=UTF-8''Befund%20%22M%C3%A4rz%22X%3A%20y.pdf"
        );
        assert_eq!(
            disposition("../../etc/passwd"),
            "attachment; filename=\"_.._etc_passwd\"; filename*=UTF-8''%2F..%2Fetc%2Fpasswd"
        );
        assert!(disposition("").contains("filename=\"attachment\""));
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        for path in [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "/\t/evil.example",
            "/\r\n/evil.example",
            "/sent//evil.example",
            "/\u{85}/evil.example",
            "javascript:1",
            "",
        ] {
            assert_eq!(headers(Answer::see(path))["location"], "/", "{path}");
        }
        assert_eq!(headers(Answer::see("/sent/abc?x=y"))["location"], "/sent/abc?x=y");
    }
}
