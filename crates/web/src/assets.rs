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
