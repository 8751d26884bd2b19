//! `sealpost init`: makes a server out of nothing.
//!
//! It asks for all it needs first, on the terminal or from a file of answers, and looks at everything that could stop
//! it. Then it makes keys, key ring, store, organisation, domain, the security official and a second one with contacts
//! (S108), and the recovery kit; it prints what is shown once, and gives the configuration its name last: a
//! configuration that is there is a server that is whole, whose kit and links were shown. If something fails on the
//! way, what was made is removed again; if it is killed, the next run removes it and begins anew.

mod answers;
mod ask;
mod made;
mod plan;
mod tell;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sealpost_audit::Caller;
use sealpost_crypto::Random;
use sealpost_model::{Actor, Address, Client, Protocol};
use sealpost_policy::{Role, Roles};
use sealpost_store::keys::recovery::RecoveryKit;

use crate::config::Config;
use crate::instance::{Instance, Opened, Owner, make_folder, write_new};
use crate::people::{self, NewUser};
use made::Made;
pub use plan::KIT;
use plan::Plan;

/// `init`'s options.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration file to make.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Take the answers from this TOML file instead of asking.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long, requires = "answers")]
    json: bool,
}

/// What was made and is shown once.
struct Shown {
    /// Address and, unless the password was given, the link by which its person sets one.
    people: Vec<(Address, Option<String>)>,
    /// The recovery kit's shares, as text to be printed.
    shares: Vec<String>,
    /// Where they were written, when nobody sits at a terminal.
    files: Vec<PathBuf>,
}

/// Asks, makes everything, and says what to do next.
pub async fn run(args: Args) -> Result<()> {
    let file = std::path::absolute(&args.config)?;
    if file.exists() {
        bail!(
            "{} is there already and is not overwritten; start the server with `sealpost serve --config {}`, or choose another file",
            file.display(),
            file.display()
        );
    }
    made::clear_cut_off(&file, args.answers.is_none())?;
    let random = Random::system();
    let plan = match &args.answers {
        Some(from) => answers::read(from, |answers| plan::plan(&file, answers, &random))?,
        None => plan::plan(&file, ask::ask(&file)?, &random).map_err(plan::Wrong::plain)?,
    };
    refuse_what_is_there(&plan)?;
    let engine = plan.config.engine()?;
    if engine.is_taken()? {
        bail!(
            "the database in [store] url holds a Sealpost already, or what an init left that was cut off; nothing in it \
             is overwritten: give an empty database"
        );
    }
    crate::log::start("warn")?;
    let mut made = Made::begin(&file)?;
    match make(&file, &plan, &args, &mut made).await {
        Ok(()) => Ok(()),
        Err(error) => match made.remove() {
            Ok(()) if engine.is_taken().unwrap_or(true) => bail!(
                "{error:#}; the database was begun, so put that right, drop the database and make it anew, and run init \
                 again"
            ),
            Ok(()) => bail!("{error:#}; nothing was made, so put that right and run init again"),
            Err(left) => bail!(
                "{error:#}; not all that was made could be removed, so put that right, remove {left} and run init again"
            ),
        },
    }
}

/// Nothing of what will be made may be there.
fn refuse_what_is_there(plan: &Plan) -> Result<()> {
    let config = &plan.config;
    let (data, ring, master) = (&config.server.data, &config.keys.ring, config.master_path()?);
    let is_empty = |folder: &Path| folder.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    let anchors = config.anchor_files();
    let mut there: Vec<&Path> =
        [data.as_path(), ring.as_path()].into_iter().filter(|f| f.exists() && !is_empty(f)).collect();
    there.extend(
        [master.as_path()].into_iter().chain(anchors.iter().map(PathBuf::as_path)).filter(|f| f.exists()),
    );
    there.extend(Some(plan.kit.as_path()).filter(|f| f.exists() && !is_empty(f)));
    if there.is_empty() {
        return Ok(());
    }
    let list = there.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
    bail!(
        "{list} is there already and is not overwritten; if nobody needs it, remove it and start again, else choose other places"
    )
}

async fn make(file: &Path, plan: &Plan, args: &Args, made: &mut Made) -> Result<()> {
    let config = &plan.config;
    let pending = file.with_extension("toml.new");
    let owner = Owner::of(&config.server.data);
    for path in [&config.server.data, &config.keys.ring, &config.master_path()?, &pending, &plan.kit] {
        made.will(path)?;
    }
    for anchor in &config.anchor_files() {
        made.will(anchor)?;
    }
    make_folder(file.parent().unwrap_or(Path::new(".")))?;
    write_new(&pending, plan.text.as_bytes())?;
    let opened = Opened::create(config).await?;
    let store = opened.store.clone();
    let done = people_and_kit(config, plan, opened).await;
    // Whatever happens next, nobody writes there any more.
    store.close();
    let mut shown = done?;
    if let Some(owner) = owner {
        owner.take(&config.server.data)?;
        owner.take(&config.keys.ring)?;
        for folder in config.anchor_files().iter().filter_map(|a| a.parent()) {
            owner.take(folder)?;
        }
        owner.may_read(&pending)?;
    }
    if args.answers.is_some() {
        write_shares(&plan.kit, &mut shown)?;
    }
    tell::tell(file, plan, &shown, args)?;
    made.finish()?;
    std::fs::rename(&pending, file).with_context(|| format!("{} can't be made", file.display()))
}

async fn people_and_kit(config: &Config, plan: &Plan, opened: Opened) -> Result<Shown> {
    let kit = RecoveryKit::create(&opened.keys, plan.needed, plan.shares)?;
    let instance = Instance::start(config, opened).await?;
    let by = Caller { actor: Actor::System, client: Client::local(Protocol::Cli) };
    let tenant = instance.identity.create_tenant(&plan.organisation, &by).await.context("organisation")?;
    instance.identity.add_domain(tenant, &plan.domain, true, &by).await.context("domain")?;
    let mut shown = Shown { people: Vec::new(), shares: Vec::new(), files: Vec::new() };
    for (rank, person) in (1..).zip(&plan.people) {
        let roles: Roles = [Role::User, Role::SecurityOfficial, Role::TenantAdmin].into_iter().collect();
        let new = NewUser {
            tenant,
            address: person.address.clone(),
            name: person.name.clone(),
            password: person.password.clone(),
            roles,
        };
        let id = people::add(&instance, new, &by).await.with_context(|| format!("{}", person.address))?;
        instance.identity.name_official(id, rank, &person.contact, &by).await?;
        let link = if person.made {
            let token = instance.identity.new_setup_link(id, &by).await?;
            Some(format!("{}/signin/setup/{}", config.hosts()?.mail, token.expose()))
        } else {
            None
        };
        shown.people.push((person.address.clone(), link));
    }
    shown.shares = kit.shares().iter().map(|share| share.text().to_string()).collect();
    // What was written so far goes into the log's tree, signed and anchored.
    instance.audit.run(std::future::ready(())).await;
    Ok(shown)
}

fn write_shares(folder: &Path, shown: &mut Shown) -> Result<()> {
    make_folder(folder)?;
    for (number, share) in (1..).zip(&shown.shares) {
        let path = folder.join(format!("share-{number}.txt"));
        write_new(&path, tell::paper(number, shown.shares.len(), share).as_bytes())?;
        shown.files.push(path);
    }
    Ok(())
}
