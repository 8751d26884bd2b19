//! File names that a stranger gave, made safe to show and to save.

/// A name without path, control characters, direction marks, names that Windows reserves, or a dot in front; at most
/// 150 bytes with its extension kept; `attachment` when nothing is left.
pub fn safe(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).find(|piece| !piece.trim().is_empty()).unwrap_or_default();
    let clean: String = last
        .chars()
        .filter(|c| !is_hidden(*c))
        .map(|c| if c.is_control() || "<>:\"|?*".contains(c) { '_' } else { c })
        .collect();
    let mut clean = clean.trim_matches(|c: char| c == '.' || c.is_whitespace()).to_owned();
    if clean.len() > MAX {
        let (stem, extension) = split_extension(&clean);
        let extension = if extension.len() <= 20 { extension } else { "" };
        let mut end = (MAX - extension.len()).min(stem.len());
        while !stem.is_char_boundary(end) {
            end -= 1;
        }
        clean = format!("{}{extension}", stem.get(..end).unwrap_or_default());
    }
    let stem = clean.split('.').next().unwrap_or_default().trim();
    if RESERVED.iter().any(|r| stem.eq_ignore_ascii_case(r)) {
        clean.insert(0, '_');
    }
    if clean.is_empty() { "attachment".into() } else { clean }
}

/// The usual extension of a media type, without the dot.
pub fn extension(kind: &str, subtype: &str) -> &'static str {
    match (kind, subtype) {
        ("text", "plain") => "txt",
        ("text", "html") => "html",
        ("text", "calendar") => "ics",
        ("text", "csv") => "csv",
        ("text", "vcard" | "x-vcard") => "vcf",
        ("text", "xml") | ("application", "xml") => "xml",
        ("text", _) => "txt",
        ("image", "jpeg" | "jpg") => "jpg",
        ("image", "png") => "png",
        ("image", "gif") => "gif",
        ("image", "tiff") => "tiff",
        ("image", "webp") => "webp",
        ("image", "svg+xml") => "svg",
        ("application", "pdf") => "pdf",
        ("application", "zip") => "zip",
        ("application", "json") => "json",
        ("application", "msword") => "doc",
        ("application", "dicom") => "dcm",
        ("application", "pkcs7-signature" | "x-pkcs7-signature") => "p7s",
        ("application", "pkcs7-mime" | "x-pkcs7-mime") => "p7m",
        ("application", "pgp-signature" | "pgp-encrypted") => "asc",
        ("application", "vnd.openxmlformats-officedocument.wordprocessingml.document") => "docx",
        ("application", "vnd.openxmlformats-officedocument.spreadsheetml.sheet") => "xlsx",
        ("message", "rfc822" | "global") => "eml",
        ("message", _) => "txt",
        _ => "bin",
    }
}

const MAX: usize = 150;

/// Device names of Windows.
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Characters that show nothing or turn the reading direction (`invoice\u{202e}fdp.exe`).
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// Stem and extension with its dot.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn makes_names_safe() {
        for (name, expected) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\a\\b.doc", "b.doc"),
            ("/", "attachment"),
            ("..", "attachment"),
            ("", "attachment"),
            (".htaccess", "htaccess"),
            ("a\r\nb\0.txt", "a__b_.txt"),
            ("inv\u{202e}fdp.exe", "invfdp.exe"),
            ("nul.txt", "_nul.txt"),
            ("a:b?.txt", "a_b_.txt"),
            ("\u{65e5}\u{672c}.pdf", "\u{65e5}\u{672c}.pdf"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
        let long = safe(&format!("{}.pdf", "\u{e9}".repeat(300)));
        assert!(long.len() <= 150 && long.ends_with(".pdf"));
    }

    proptest! {
        #[test]
        fn any_name(name in any::<String>()) {
            let safe = safe(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= 151);
            prop_assert!(!safe.contains(['/', '\\', '\r', '\n', '\0', '"']) && !safe.starts_with('.'));
        }
    }
}
