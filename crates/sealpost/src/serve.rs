//! The server: binds every listener, wires couriers and doors, and stops in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sealpost_delivery::{Courier, Couriers, LocalCourier};
use sealpost_model::{Domain, Protocol, TlsVersion};
use sealpost_net::acme::Way;
use sealpost_net::{
    ACME_ALPN, Gate, HttpsClient, Listener, Proxies, Rate, Security, ServerTls, Stop, Stopper, TlsClient, dns,
};
use sealpost_policy::Method;
use sealpost_smtp::client::{Route, Settings, SmtpCourier};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::certificates::Keeper;
use crate::certificates::orders::Orders;
use crate::certificates::shelf::Shelf;
use crate::config::{Acme, Config};
use crate::instance::Instance;
use crate::log::Level;
use crate::metrics::{self, Doors, Sources};
use crate::{control, outside};

/// How long sessions have to finish when the server stops.
const GRACE: Duration = Duration::from_secs(8);

/// Connections to others' servers at once.
const CONNECTIONS: usize = 100;

/// What browsers may speak, and how an ACME server asks whether a name is ours (RFC 8737).
const WEB_ALPN: &[&[u8]] = &[b"h2", b"http/1.1", ACME_ALPN];

/// A server whose listeners are bound.
pub struct Bound {
    config: Config,
    instance: Instance,
    doors: Vec<(Door, Listener)>,
    gates: Doors,
    outside: Option<(outside::Outside, tokio::net::TcpListener)>,
    control: tokio::net::UnixListener,
    reload: Reload,
    /// Held from before anybody is told that the server is ready.
    signals: Signals,
    /// Where each protocol listens.
    pub addresses: BTreeMap<&'static str, SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Smtp,
    Submission,
    Imap,
    Pop3,
    Web,
    Plain,
    Metrics,
}

/// Binds every listener of the configuration. `outside` is quickstart's.
pub async fn bind(
    config: Config,
    instance: Instance,
    log: Level,
    outside: Option<SocketAddr>,
) -> Result<Bound> {
    let keeper = Arc::new(Keeper::start(&config, &instance.clock)?);
    let minimum = if config.tls.minimum == "1.3" { TlsVersion::V1_3 } else { TlsVersion::V1_2 };
    let tls = |alpn: &[&[u8]]| ServerTls::new(keeper.offered.clone(), minimum, alpn, &instance.clock);
    let (mail_tls, web_tls) = (tls(&[])?, tls(WEB_ALPN)?);
    let (mut doors, mut gates, mut addresses) = (Vec::new(), Doors::new(), BTreeMap::new());
    let proxies = Arc::new(Proxies {
        header: config.listen.proxy_from.clone(),
        xclient: config.listen.xclient_from.clone(),
    });
    for (word, list) in config.listen.all() {
        // One for each protocol: a flood on port 25 shuts nobody out of webmail.
        let limits = sealpost_net::Limits {
            total: config.limits.connections,
            per_peer: config.limits.connections_per_peer,
        };
        let gate = Gate::paced(limits, Rate::per_minute(config.limits.connections_per_minute));
        for addr in list {
            let (door, protocol, security) = match word {
                "smtp" => (Door::Smtp, Protocol::Smtp, Security::StartTls(mail_tls.clone())),
                "submission" => {
                    (Door::Submission, Protocol::Submission, Security::StartTls(mail_tls.clone()))
                }
                "submissions" => {
                    (Door::Submission, Protocol::Submission, Security::Implicit(mail_tls.clone()))
                }
                "imap" => (Door::Imap, Protocol::Imap, Security::StartTls(mail_tls.clone())),
                "imaps" => (Door::Imap, Protocol::Imap, Security::Implicit(mail_tls.clone())),
                "pop3s" => (Door::Pop3, Protocol::Pop3, Security::Implicit(mail_tls.clone())),
                "http" => (Door::Plain, Protocol::Web, Security::Plain),
                "metrics" => (Door::Metrics, Protocol::System, Security::Plain),
                _ => (Door::Web, Protocol::Web, Security::Implicit(web_tls.clone())),
            };
            let listener = Listener::bind(*addr, protocol, security, gate.clone()).await?;
            // Whoever reads numbers does so without a proxy.
            let listener =
                if door == Door::Metrics { listener } else { listener.behind(Arc::clone(&proxies)) };
            gates.insert(word, gate.clone());
            addresses.entry(word).or_insert(listener.addr());
            doors.push((door, listener));
        }
    }
    let outside = match outside {
        Some(addr) => {
            let listener = tokio::net::TcpListener::bind(addr)
                .await
                .with_context(|| format!("can't listen on {addr}; is another program using the port?"))?;
            addresses.insert("outside", listener.local_addr()?);
            Some((outside::Outside::default(), listener))
        }
        None => None,
    };
    let control = control::bind(&config)?;
    let reload = Reload { file: config.file.clone(), keeper, log };
    Ok(Bound {
        config,
        instance,
        doors,
        gates,
        outside,
        control,
        reload,
        signals: Signals::new()?,
        addresses,
    })
}

impl Bound {
    /// Serves until SIGINT or SIGTERM, then stops in order.
    pub async fn run(self) -> Result<()> {
        let Self { config, instance, doors, gates, outside, control, reload, signals, .. } = self;
        let (stopper, stop) = Stopper::new(GRACE);
        let mut tasks = JoinSet::new();
        let couriers = couriers(&config, &instance, outside.as_ref().map(|(o, _)| o.clone()))?;

        let (audit, ending) = (instance.audit.clone(), stop.clone());
        // The sequencer outlives the sessions, so that their last entries reach the tree.
        let sequencer = tokio::spawn(async move { audit.run(async move { ending.deadline().await }).await });
        let (log, store, ending) = (instance.audit.clone(), instance.store.clone(), stop.clone());
        tasks.spawn(async move {
            let watch = |_| {
                let log = log.clone();
                async move { log.keep_watch().await }
            };
            store.single("audit watch", async move { ending.stopping().await }, watch).await;
        });
        let (delivery, ending) = (instance.delivery.clone(), stop.clone());
        tasks.spawn(async move {
            if let Err(error) = delivery.run(couriers, async move { ending.stopping().await }).await {
                tracing::error!(%error, "the queue can't be worked on");
            }
        });
        let (upkeep, ending) = (instance.upkeep.clone(), stop.clone());
        tasks.spawn(async move { upkeep.run(async move { ending.stopping().await }).await });
        let (pickup, ending) = (instance.pickup.clone(), stop.clone());
        tasks.spawn(async move { pickup.run(async move { ending.stopping().await }).await });
        tasks.spawn(crate::alerts::run(instance.clone(), stop.clone()));
        let (backup, store, ending) = (instance.backup.clone(), instance.store.clone(), stop.clone());
        tasks.spawn(async move {
            let stopping = || {
                let ending = ending.clone();
                async move { ending.stopping().await }
            };
            let serve = |_| {
                let (backup, stop) = (backup.clone(), stopping());
                async move { backup.serve(stop).await }
            };
            store.single("backup", stopping(), serve).await;
        });
        tasks.spawn(crate::alerts::share(instance.identity.clone(), stop.clone()));
        let (identity, ending) = (instance.identity.clone(), stop.clone());
        tasks.spawn(async move {
            let mut minute = tokio::time::interval(Duration::from_secs(60));
            loop {
                tokio::select! {
                    () = ending.stopping() => break,
                    _ = minute.tick() => {}
                }
                if let Err(error) = identity.end_idle_sessions().await {
                    tracing::error!(%error, "idle sessions could not be ended; they are refused all the same");
                }
                if let Err(error) = identity.expire_acts().await {
                    tracing::error!(%error, "acts that nobody agreed to could not be ended; they are refused all the same");
                }
            }
        });
        tasks.spawn(tend_keys(instance.clone(), stop.clone()));
        tasks.spawn(control::serve(control, config.clone(), instance.clone(), stop.clone()));
        if let Some((outside, listener)) = outside {
            let ending = stop.clone();
            tasks.spawn(async move {
                let served = axum::serve(listener, outside.routes())
                    .with_graceful_shutdown(async move { ending.stopping().await })
                    .await;
                if let Err(error) = served {
                    tracing::error!(%error, "the outside page stopped");
                }
            });
        }
        instance.audit.started().await?;
        tasks.spawn(Arc::clone(&reload.keeper).run(stop.clone()));
        let shelf = Orders::shelf(&instance.store, &instance.keys);
        if let Some(acme) = &config.tls.acme {
            let orders = orders(&config, &instance, acme, &reload.keeper, &shelf)?;
            tasks.spawn(Arc::new(orders).run(instance.store.clone(), stop.clone()));
        }
        let sources = Arc::new(Sources {
            instance: instance.clone(),
            config: config.clone(),
            keeper: Arc::clone(&reload.keeper),
            shelf,
            doors: gates,
            started: instance.clock.now(),
        });
        serve_doors(&mut tasks, &sources, doors, &stop)?;

        tasks.spawn(crate::notify::watch(instance.store.clone(), stop.clone()));
        crate::notify::ready();
        signals.last(&reload).await;
        tracing::info!("stopping");
        crate::notify::stopping();
        stopper.stop();
        while tasks.join_next().await.is_some() {}
        if let Err(error) = instance.audit.stopped().await {
            tracing::error!(%error, "that the server stops could not be written into the log");
        }
        stopper.now();
        if let Err(error) = sequencer.await {
            tracing::error!(%error, "the log's last entries are put into its tree at the next start");
        }
        instance.store.close();
        Ok(())
    }
}

/// Ends a rotation that was cut short, and once an hour the keys of ring backups that are due.
async fn tend_keys(instance: Instance, stop: Stop) {
    match instance.keys.resume().await {
        Ok(None) => {}
        Ok(Some(keys)) => {
            tracing::info!(keys, "a rotation of the master key that was cut short is at its end")
        }
        Err(error) => {
            tracing::error!(%error, "a rotation of the master key is cut short; restart to go on with it")
        }
    }
    let mut hour = tokio::time::interval(Duration::from_secs(3_600));
    loop {
        tokio::select! {
            () = stop.stopping() => return,
            _ = hour.tick() => {}
        }
        if let Err(error) = instance.keys.ring().bury_weeks(instance.clock.now()) {
            tracing::error!(%error, "weekly keys of ring backups live on; trying again");
        }
    }
}

fn serve_doors(
    tasks: &mut JoinSet<()>,
    sources: &Arc<Sources>,
    doors: Vec<(Door, Listener)>,
    stop: &Stop,
) -> Result<()> {
    let Sources { config, instance, shelf, .. } = &**sources;
    let mails = Rate::per_minute(config.limits.mails_per_minute);
    let smtp = |kind| {
        let mut door = sealpost_smtp::Config::new(
            kind,
            &config.server.hostname,
            sealpost_smtp::session::Services {
                identity: instance.identity.clone(),
                delivery: instance.delivery.clone(),
            },
            Arc::clone(&instance.clock),
            instance.random.clone(),
        );
        door.mails = mails.clone();
        Arc::new(door)
    };
    let (inbound, submission) = (smtp(sealpost_smtp::Kind::Inbound), smtp(sealpost_smtp::Kind::Submission));
    let imap = Arc::new(sealpost_imap::Services {
        identity: instance.identity.clone(),
        mailboxes: instance.mailboxes.clone(),
        clock: Arc::clone(&instance.clock),
        largest_message: config.limits.message_size,
    });
    let pop3 = Arc::new(sealpost_pop3::Services {
        identity: instance.identity.clone(),
        mailboxes: instance.mailboxes.clone(),
    });
    let web = sealpost_web::Services {
        identity: instance.identity.clone(),
        pickup: instance.pickup.clone(),
        clock: Arc::clone(&instance.clock),
        random: instance.random.clone(),
    };
    let web = sealpost_web::Web::new(web, config.hosts()?);
    for (door, listener) in doors {
        let stop = stop.clone();
        match door {
            Door::Smtp => tasks.spawn(sealpost_smtp::serve(listener, Arc::clone(&inbound), stop)),
            Door::Submission => tasks.spawn(sealpost_smtp::serve(listener, Arc::clone(&submission), stop)),
            Door::Imap => tasks.spawn(sealpost_imap::serve(listener, Arc::clone(&imap), stop)),
            Door::Pop3 => tasks.spawn(sealpost_pop3::serve(listener, Arc::clone(&pop3), stop)),
            Door::Metrics => tasks.spawn(metrics::serve(listener, Arc::clone(sources), stop)),
            Door::Plain => tasks.spawn(sealpost_web::plain::serve(
                listener,
                config.hosts()?,
                answers(config, shelf),
                stop,
            )),
            Door::Web => tasks.spawn(sealpost_web::serve(listener, web.clone(), stop)),
        };
    }
    Ok(())
}

/// What port 80 answers to an ACME server.
fn answers(config: &Config, shelf: &Shelf) -> sealpost_web::plain::Answers {
    let shelf = config.tls.acme.is_some().then(|| shelf.clone());
    Arc::new(move |token| {
        let shelf = shelf.clone();
        Box::pin(async move {
            let answer = shelf?.answer(&token).await;
            answer.unwrap_or_else(|error| {
                tracing::error!("a challenge can't be answered: {error:#}");
                None
            })
        })
    })
}

fn orders(
    config: &Config,
    instance: &Instance,
    acme: &Acme,
    keeper: &Arc<Keeper>,
    shelf: &Shelf,
) -> Result<Orders> {
    let extra = match &acme.extra_ca {
        Some(path) => {
            let pem = std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
            sealpost_net::trust_from_pem(&pem)?
        }
        None => Vec::new(),
    };
    let resolver = Arc::new(dns::Hickory::new(&name_servers(config))?);
    let mut ways = Vec::new();
    if !config.listen.http.is_empty() {
        ways.push(Way::Http);
    }
    if !config.listen.https.is_empty() {
        ways.push(Way::TlsAlpn);
    }
    Ok(Orders {
        acme: acme.clone(),
        ways,
        http: HttpsClient::new(resolver, &TlsClient::new(&extra, &instance.clock)?),
        keeper: Arc::clone(keeper),
        shelf: shelf.clone(),
        audit: instance.audit.clone(),
        clock: Arc::clone(&instance.clock),
        random: instance.random.clone(),
    })
}

fn name_servers(config: &Config) -> Vec<SocketAddr> {
    if config.dns.servers.is_empty() { dns::system_servers() } else { config.dns.servers.clone() }
}

fn couriers(config: &Config, instance: &Instance, outside: Option<outside::Outside>) -> Result<Couriers> {
    let extra = match &config.outbound.extra_ca {
        Some(path) => {
            let pem = std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
            sealpost_net::trust_from_pem(&pem)?
        }
        None => Vec::new(),
    };
    let routes = config
        .outbound
        .routes
        .iter()
        .map(|(domain, host)| {
            let route = Route::parse(host).map_err(anyhow::Error::msg);
            Ok((Domain::parse(domain)?, route.with_context(|| format!("[outbound.routes] {domain}"))?))
        })
        .collect::<Result<Vec<_>>>()?;
    let routed = routes.iter().map(|(domain, _)| domain.clone()).collect();
    let settings = Settings {
        resolver: Arc::new(dns::Hickory::new(&name_servers(config))?),
        tls: TlsClient::new(&extra, &instance.clock)?,
        helo: config.outbound.helo.clone().unwrap_or_else(|| config.server.hostname.clone()),
        port: config.outbound.port,
        bind: config.outbound.bind.0.clone(),
        routes,
        random: instance.random.clone(),
    };
    let smtp: Arc<dyn Courier> = Arc::new(SmtpCourier::new(settings, CONNECTIONS));
    let smtp = match outside {
        Some(outside) => Arc::new(outside::Routed::new(routed, smtp, outside)) as Arc<dyn Courier>,
        None => smtp,
    };
    let pickup = Arc::new(instance.pickup.clone());
    Ok(Couriers::default()
        .with(Method::Smtp, smtp)
        .with(Method::Local, Arc::new(LocalCourier::new(instance.delivery.clone())))
        .with(Method::Command, Arc::clone(&pickup) as Arc<dyn Courier>)
        .with(Method::Pickup, pickup))
}

/// What SIGHUP reads again: certificates and the log's level.
struct Reload {
    file: std::path::PathBuf,
    keeper: Arc<Keeper>,
    log: Level,
}

impl Reload {
    /// Anything that is wrong with the new files leaves the old state as it is.
    fn run(&self) -> Result<()> {
        let config = Config::load(&self.file)?;
        self.keeper.reload(&config)?;
        self.log.set(&config.server.log)
    }
}

/// SIGINT and SIGTERM end the server, SIGHUP reloads.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads as often as it is told to; ready when the server has to stop.
    async fn last(mut self, reload: &Reload) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => match reload.run() {
                    Ok(()) => tracing::info!("certificates and log level are read again"),
                    Err(error) => tracing::error!("nothing was reloaded: {error:#}"),
                },
            }
        }
    }
}

/// `sealpost serve`.
pub async fn run(config: &Config) -> Result<()> {
    // Files that root makes there could not be opened by their owner again.
    if crate::instance::Owner::of(&config.server.data).is_some() {
        anyhow::bail!(
            "{} belongs to another user than root, who serves it: run `systemctl start sealpost`, or this command as that user",
            config.server.data.display()
        );
    }
    let log = crate::log::start(&config.server.log)?;
    let demonstration = config.file.with_file_name(crate::quickstart::SAMPLE).exists();
    if demonstration {
        crate::quickstart::must_be_loopback(config)?;
    }
    let opened = crate::instance::Opened::open(config, crate::instance::Mode::Serve).await?;
    let instance = Instance::start(config, opened).await?;
    let bound = bind(config.clone(), instance, log, None).await?;
    for (word, addr) in &bound.addresses {
        tracing::info!(protocol = word, %addr, "listening");
    }
    bound.run().await
}
