//! What pages load: one stylesheet, the seal, a few small modules. Each has its content's hash in its address, so
//! that a browser may keep it for good.

use std::sync::LazyLock;

use sealpost_crypto::sha256;

/// One file of the pages.
pub struct Asset {
    /// Its name.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub body: &'static str,
    /// `/assets/HASH/NAME`
    pub path: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |name, media_type, body: &'static str| {
        let hash: String = sha256(body.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Asset { name, media_type, body, path: format!("/assets/{hash}/{name}") }
    };
    const CSS: &str = "text/css; charset=utf-8";
    const JS: &str = "text/javascript; charset=utf-8";
    vec![
        asset("style.css", CSS, include_str!("../assets/style.css")),
        asset("seal.svg", "image/svg+xml", include_str!("../assets/seal.svg")),
        asset("time.js", JS, include_str!("../assets/time.js")),
        asset("code.js", JS, include_str!("../assets/code.js")),
        asset("idle.js", JS, include_str!("../assets/idle.js")),
        asset("message.js", JS, include_str!("../assets/message.js")),
        asset("reply.js", JS, include_str!("../assets/reply.js")),
    ]
});

/// The address of the asset with this name.
pub fn path(name: &str) -> &'static str {
    ASSETS.iter().find(|a| a.name == name).map_or("/assets/unknown", |a| &a.path)
}

/// The asset at this address.
pub fn at(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|a| a.path == path)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The colour tokens of the two schemes; the dark one falls back to the light one.
    fn schemes() -> [HashMap<String, [f64; 3]>; 2] {
        let css = ASSETS[0].body;
        let mut roots = css.split(":root {").skip(1).map(|block| {
            let block = block.split('}').next().unwrap_or_default();
            let tokens = block.lines().filter_map(|line| {
                let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
                let hex = value.strip_suffix(';').filter(|h| h.len() == 6)?;
                let part =
                    |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")) / 255.0;
                Some((name.to_owned(), [part(0), part(2), part(4)]))
            });
            tokens.collect::<HashMap<_, _>>()
        });
        let (light, dark) = (roots.next().expect("light"), roots.next().expect("dark"));
        let dark = light.clone().into_iter().chain(dark).collect();
        [light, dark]
    }

    /// WCAG 2.1, "relative luminance" and "contrast ratio".
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let luminance = |c: [f64; 3]| {
            let [r, g, b] = c.map(|v| if v <= 0.03928 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn all_text_has_the_contrast_of_wcag_aa_in_both_schemes() {
        for scheme in schemes() {
            let grounds = ["ground", "surface", "sunken"];
            let text = ["ink", "soft", "link", "green"].iter().flat_map(|t| grounds.map(|g| (*t, g, 4.5)));
            let others = [
                ("on-green", "green", 4.5),
                ("on-green", "green-deep", 4.5),
                ("on-red", "red", 4.5),
                ("green", "green-tint", 4.5),
                ("green-deep", "green-tint", 4.5),
                ("amber", "amber-tint", 4.5),
                ("red", "red-tint", 4.5),
                ("blue", "blue-tint", 4.5),
            ];
            // What a field is seen by (1.4.11).
            let edges = grounds.map(|g| ("edge", g, 3.0));
            for (a, b, least) in text.chain(others).chain(edges) {
                let ratio = contrast(scheme[a], scheme[b]);
                assert!(ratio >= least, "{a} on {b}: {ratio:.2}");
            }
        }
    }

    #[test]
    fn no_asset_asks_another_host_for_anything() {
        for asset in ASSETS.iter() {
            let foreign = asset.body.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("//") || asset.name.ends_with(".js"), "{}", asset.name);
            assert!(
                !foreign.contains("http:") && !foreign.contains("https:") && !foreign.contains("@import")
            );
            assert_eq!(at(&asset.path).map(|a| a.name), Some(asset.name));
        }
        assert!(at("/assets/0/style.css").is_none());
    }
}
