//! The few pictures of the pages, drawn in lines, in the colour of the text around them.

/// The picture with this name; it says nothing that the words beside it don't.
pub fn icon(name: &str) -> String {
    if name == "seal" {
        return SEAL.to_owned();
    }
    let path = match name {
        "letter" => {
            "M4 7.5 12 13l8-5.5M5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5v-11A1.5 1.5 0 0 1 5.5 5z"
        }
        "lock" => {
            "M7.5 10.5V8a4.5 4.5 0 0 1 9 0v2.5M6.5 10.5h11A1.5 1.5 0 0 1 19 12v6.5a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 5 18.5V12a1.5 1.5 0 0 1 1.5-1.5zM12 14.2v2.3"
        }
        "keypad" => {
            "M5 6.5A1.5 1.5 0 0 1 6.5 5h11A1.5 1.5 0 0 1 19 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 5 17.5zM9 9.2v.1M12 9.2v.1M15 9.2v.1M9 12.2v.1M12 12.2v.1M15 12.2v.1M9 15.2v.1M12 15.2v.1M15 15.2v.1"
        }
        "check" | "good" => "m5 12.5 4.5 4.5L19 7.5",
        "alert" | "warn" | "bad" => {
            "M12 8.5v4.2M12 16v.1M10.3 4.6 3.2 17a2 2 0 0 0 1.7 3h14.2a2 2 0 0 0 1.7-3L13.7 4.6a2 2 0 0 0-3.4 0z"
        }
        "info" => "M12 11v5M12 8v.1M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
        "clock" => "M12 7v5l3.2 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
        "back" => "M9.5 14 5 9.5 9.5 5M5.5 9.5H14a5 5 0 0 1 0 10h-3.5",
        "reply" => "M9.5 15.5 4 10.5l5.5-5v3.2c6 0 9.5 3 10.5 9.8-2-3-5-4.8-10.5-4.8z",
        "replyall" => {
            "M8 15.5 2.5 10.5l5.5-5M12 15.5 6.5 10.5l5.5-5v3.2c5 0 8.5 3 9.5 9.8-2-3-4.5-4.8-9.5-4.8z"
        }
        "send" => "M20.5 3.5 10.5 13.5M20.5 3.5l-6 17-4-7-7-4z",
        "download" => "M12 4v11M7.5 11l4.5 4.5L16.5 11M5 19.5h14",
        "picture" => {
            "M5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5v-11A1.5 1.5 0 0 1 5.5 5zM4.5 16l4.5-4.5 4 4 2.5-2.5 4 4M15.5 9v.1"
        }
        "table" => {
            "M5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5v-11A1.5 1.5 0 0 1 5.5 5zM4 10h16M4 14.5h16M10 10v9"
        }
        "page" => {
            "M13.5 3.5h-6A1.5 1.5 0 0 0 6 5v14a1.5 1.5 0 0 0 1.5 1.5h9A1.5 1.5 0 0 0 18 19V8zM13.5 3.5V8H18M9 12.5h6M9 16h6"
        }
        _ => {
            "M19 11.5 11.8 18.7a4.2 4.2 0 0 1-6-6L13 5.5a2.8 2.8 0 0 1 4 4l-7.2 7.2a1.4 1.4 0 0 1-2-2l6.7-6.7"
        }
    };
    format!(
        "<svg viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.75\" stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\"><path d=\"{path}\"/></svg>"
    )
}

/// The icon for an attachment of this media type.
pub fn of_type(media_type: &str) -> &'static str {
    let media_type = media_type.to_ascii_lowercase();
    if media_type.starts_with("image/") {
        "picture"
    } else if media_type.contains("spreadsheet") || media_type.contains("excel") || media_type == "text/csv" {
        "table"
    } else if media_type.starts_with("text/") || media_type.contains("pdf") || media_type.contains("word") {
        "page"
    } else {
        "clip"
    }
}

const SEAL: &str = concat!(
    "<svg viewBox=\"0 0 32 32\" aria-hidden=\"true\">",
    "<rect width=\"32\" height=\"32\" rx=\"9\" fill=\"#0c6654\"/>",
    "<rect x=\"6\" y=\"8.5\" width=\"20\" height=\"14\" rx=\"2.4\" fill=\"#fff\"/>",
    "<path d=\"m6.8 10.2 9.2 7 9.2-7\" fill=\"none\" stroke=\"#0c6654\" stroke-width=\"1.7\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/>",
    "<circle cx=\"24\" cy=\"22.5\" r=\"5.5\" fill=\"#0c6654\"/>",
    "<circle cx=\"24\" cy=\"22.5\" r=\"4.3\" fill=\"#f0bb4f\"/>",
    "<path d=\"m22.2 22.6 1.3 1.3 2.4-2.6\" fill=\"none\" stroke=\"#4a3200\" stroke-width=\"1.3\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/>",
    "</svg>"
);
