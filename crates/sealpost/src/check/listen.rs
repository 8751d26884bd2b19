//! Addresses to listen on: free, or ours.

use std::net::{SocketAddr, TcpListener};

use super::{Findings, Scene};

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let Scene { config, running, .. } = scene;
    if *running {
        found.ok("server", format!("a server answers at {}", config.control_socket().display()));
    } else {
        found.ok("server", "no server runs on this data");
    }
    for (word, list) in config.listen.all() {
        for addr in list {
            port(word, *addr, *running, found);
        }
    }
    if let Some(addr) = config.listen.metrics.iter().find(|a| !a.ip().is_loopback()) {
        found.warn(
            "listen",
            format!("[listen] metrics = {addr} can be read by whoever reaches it"),
            "keep it on loopback or in a network of your own: it has neither TLS nor a sign-in",
        );
    }
    if config.listen.all().iter().all(|(_, list)| list.is_empty()) {
        found.fail(
            "listen",
            "[listen] names no address, so nothing is served",
            "add at least smtp, submissions, imaps and https",
        );
    }
}

fn port(word: &'static str, addr: SocketAddr, running: bool, found: &mut Findings) {
    use std::io::ErrorKind as K;
    match TcpListener::bind(addr) {
        Ok(_) if running => found.fail(
            "listen",
            format!("nothing listens on {addr} ({word}) though a server runs"),
            "restart it, so that it reads its configuration",
        ),
        Ok(_) => found.ok("listen", format!("{addr} ({word}) is free")),
        Err(e) if e.kind() == K::AddrInUse && running => {
            found.ok("listen", format!("{addr} ({word}) is in use, and our server runs"));
        }
        Err(e) if e.kind() == K::AddrInUse => found.fail(
            "listen",
            format!("{addr} ({word}) is in use by another program"),
            format!("end that one, or change [listen] {word}"),
        ),
        Err(e) if e.kind() == K::PermissionDenied && running => {
            found.ok("listen", format!("{addr} ({word}): this user can't see it, and our server runs"));
        }
        Err(e) if e.kind() == K::PermissionDenied => found.warn(
            "listen",
            format!("this user may not listen on {addr} ({word})"),
            "run check as the user that serves, and give it CAP_NET_BIND_SERVICE",
        ),
        Err(e) => found.fail(
            "listen",
            format!("{addr} ({word}) can't be listened on: {e}"),
            format!("change [listen] {word} to an address of this machine"),
        ),
    }
}
