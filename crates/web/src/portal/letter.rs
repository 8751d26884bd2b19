//! The text of a message as safe HTML: escaped, with its web addresses as links that show where they lead (S88).

use std::fmt::Write as _;

/// Escapes `text` and makes links of what begins with `http://` or `https://`.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    while let Some(at) = next_link(rest) {
        escape(&mut out, &rest[..at]);
        let end = rest[at..].find(|c: char| c.is_whitespace() || "<>\"{}|\\^`".contains(c));
        let mut link = &rest[at..end.map_or(rest.len(), |n| at + n)];
        // What ends a sentence or closes a bracket is seldom part of an address.
        while let Some(last) = link.chars().last() {
            let open_bracket = last == ')' && link.contains('(');
            if !".,;:!?'\")]*_".contains(last) || open_bracket {
                break;
            }
            link = &link[..link.len() - last.len_utf8()];
        }
        if link.len() > "https://".len() {
            out.push_str("<a href=\"");
            escape(&mut out, link);
            out.push_str("\" target=\"_blank\" rel=\"noopener noreferrer\">");
            escape(&mut out, link);
            out.push_str("</a>");
        } else {
            link = &rest[at..at + "http".len()];
            out.push_str(link);
        }
        rest = &rest[at + link.len()..];
    }
    escape(&mut out, rest);
    out
}

fn next_link(text: &str) -> Option<usize> {
    match (text.find("https://"), text.find("http://")) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\r' => {}
            '\n' | '\t' => out.push(c),
            // Marks that turn the direction of text can make an address read as another one.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\u{fffd}");
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            html("<script>alert('x')</script> & \"y\""),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;"
        );
        assert_eq!(html("a\r\nb\u{202e}c\u{7}"), "a\nb\u{fffd}c");
    }

    #[test]
    fn links_show_where_they_lead() {
        let a = |l: &str| format!("<a href=\"{l}\" target=\"_blank\" rel=\"noopener noreferrer\">{l}</a>");
        assert_eq!(html("see https://a.test/x?y=1&z."), format!("see {}.", a("https://a.test/x?y=1&amp;z")));
        assert_eq!(html("(http://a.test/b_(c))"), format!("({}", a("http://a.test/b_(c))")));
        assert_eq!(html("https:// http://"), "https:// http://");
        assert_eq!(html("https://a\"onclick=x"), format!("{}&quot;onclick=x", a("https://a")));
        assert_eq!(html("javascript:alert(1)"), "javascript:alert(1)");
    }
}
