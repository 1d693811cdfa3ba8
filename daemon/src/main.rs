//! onloadd: parse, choose a host, run. Every decision lives in the library.

mod args;
mod places;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use onload_core::clock::sfptpd;
use onloadd::app::App;
use onloadd::bus::{self, Address};
use onloadd::host::Host;
use onloadd::host::linux::{Linux, Places, Runner};
use onloadd::host::sim::{Sim, World};
use onloadd::ledger_file::LedgerFile;
use onloadd::letterbox::Letterbox;
use onloadd::settings_dir::Sources;
use onloadd::{
    boot, captured, cdi, contained, kubelet, logging, metrics, network, resident, restore, service,
    variables,
};
use tokio::sync::watch;

use crate::args::Args;
use crate::places::{
    REAL_CDI, REAL_KUBELET, REAL_STATE, is_here, is_in, is_real_kubelet, sources, state_directory,
};

/// Exit status for words that make no sense together; the unit does not restart on it.
const USAGE: u8 = 2;

/// What the system bus is called in addresses, whatever directory it is in.
const SYSTEM_BUS_SOCKET: &str = "system_bus_socket";

/// How long what was asked to stop may take to.
const END: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let args = Args::parse();
    contained::abort_on_panic();
    if args.write_variables {
        // Before any log: there is none of what it reads.
        return variables::run(&args.root);
    }
    if args.write_network {
        return network::run(&args.root);
    }
    if let Err(why) = logging::init(&args.log) {
        return refuse("onloadd did not start", &why, "mend --log");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return refuse("onloadd did not start", &error.to_string(), "see the system log");
        }
    };
    runtime.block_on(start(args)).unwrap_or_else(|failure| {
        let exit = refuse(&failure.what, &failure.why, &failure.fix);
        failure.exit.unwrap_or(exit)
    })
}

/// Why the daemon did not start.
struct Failure {
    what: String,
    why: String,
    fix: String,
    exit: Option<ExitCode>,
}

fn failure(why: impl ToString, fix: &str) -> Failure {
    let (why, fix) = (why.to_string(), fix.to_owned());
    Failure { what: "onloadd did not start".to_owned(), why, fix, exit: None }
}

fn usage(why: &str, fix: &str) -> Failure {
    Failure { exit: Some(ExitCode::from(USAGE)), ..failure(why, fix) }
}

fn refuse(what: &str, why: &str, fix: &str) -> ExitCode {
    eprintln!("error: {what}\n  why: {why}\n  fix: {fix}");
    ExitCode::FAILURE
}

async fn start(mut args: Args) -> Result<ExitCode, Failure> {
    // By default a signal would leave what is unpacked behind.
    let stopped = captured::is_packed(&args.root).then(service::stopped).transpose();
    let stopped = stopped.map_err(|error| failure(error, "see the system log"))?;
    let mut stopped = pin!(async {
        match stopped {
            Some(stopped) => stopped.await,
            None => std::future::pending().await,
        }
    });
    let cut = || failure("it was asked to stop before it was done", "start it again");
    let captured = tokio::select! {
        captured = captured::open(&args.root) => captured,
        () = &mut stopped => return Err(cut()),
    };
    let captured = captured.map_err(|error| failure(error.why, &error.fix))?;
    if let Some(captured) = &captured {
        for difference in &captured.differences {
            tracing::warn!(%difference, "the capture is not what was captured");
        }
        if args.restore {
            let why = format!(
                "{} is a capture: a record, of which nothing is taken back",
                args.root.display()
            );
            return Err(usage(&why, "name the root of a machine, or none for this one"));
        }
        args.config_root.get_or_insert_with(|| captured.configuration.clone());
        args.root.clone_from(&captured.machine);
    }
    tokio::select! {
        biased;
        () = &mut stopped => return Err(cut()),
        () = std::future::ready(()) => {}
    }
    let mut work = pin!(begin(args));
    tokio::select! {
        biased;
        // What serves has heard it too, and is about to end.
        () = stopped => tokio::time::timeout(END, work).await.unwrap_or_else(|_| Err(cut())),
        done = &mut work => done,
    }
}

/// Chooses a host, and runs.
async fn begin(args: Args) -> Result<ExitCode, Failure> {
    match &args.sim {
        Some(name) => {
            let world = world(name)?;
            let sources = sources(&args, Some((name, &world)));
            if args.check_config {
                return check(&sources);
            }
            if args.boot {
                let sim = simulated(&args, world)?;
                return run_boot(&args, sim, sources).await;
            }
            let address = address(&args, "session");
            let on_system_bus = match &address {
                Address::System => true,
                Address::Session => false,
                Address::Other(text) => text.contains(SYSTEM_BUS_SOCKET),
            };
            if on_system_bus {
                return Err(usage(
                    "a simulated machine does not go on the system bus",
                    "use --bus session or the address of another bus",
                ));
            }
            if args.kubelet_directory.as_deref().is_some_and(is_real_kubelet) {
                return Err(usage(
                    &format!("a simulated machine offers nothing to the kubelet in {REAL_KUBELET}"),
                    "name another --kubelet-directory",
                ));
            }
            let sim = simulated(&args, world)?;
            run(&args, sim, sources, address).await
        }
        None => {
            let sources = sources(&args, None);
            if args.check_config {
                return check(&sources);
            }
            // Where the kubelet is, is fixed for a run: a look must not move with a reload.
            let loaded = sources.load();
            let unread = loaded.as_ref().err().map(ToString::to_string);
            let settings = loaded.map(|config| config.settings).unwrap_or_default();
            if args.restore {
                let (root, purge) = (args.root.clone(), args.purge);
                let below = |path: &str| {
                    let fix = "name the root of a machine, which you may read";
                    restore::place(&root, path).map_err(|why| failure(why, fix))
                };
                let cdi = below(&settings.cdi.directory)?;
                let state = match args.state_directory.clone() {
                    Some(state) => Some(state),
                    None => below(REAL_STATE)?,
                };
                let sfptpd = sfptpd::units(settings.ptp.unit.as_deref());
                let order = restore::Order { root, state, cdi, sfptpd, unread, purge };
                return Ok(restore::run(&order).await);
            }
            let places = Places {
                root: args.root.clone(),
                kubelet_directory: settings.kubelet.directory.into(),
                state_directory: args
                    .state_directory
                    .clone()
                    .unwrap_or_else(|| PathBuf::from(REAL_STATE)),
            };
            let linux = Linux::open(places)
                .map_err(|error| failure(error, "name a directory that is there"))?;
            if let Some(directory) = &args.record {
                let recorded = linux.record(directory).await;
                recorded.map_err(|error| {
                    failure(error, "name an empty directory that can be written")
                })?;
                return Ok(ExitCode::SUCCESS);
            }
            if args.boot {
                // No bus yet, by which systemd would be asked for a unit.
                let linux = linux.with_runner(Runner::Direct);
                return run_boot(&args, linux, sources).await;
            }
            let address = address(&args, "system");
            run(&args, linux, sources, address).await
        }
    }
}

/// The simulated machine, and its control socket if one is asked for.
fn simulated(args: &Args, world: World) -> Result<Sim, Failure> {
    let sim = Sim::new(world);
    let control = args.sim_control.as_deref().map(|path| sim.serve_control(path)).transpose();
    let control = control.map_err(|error| failure(error, "choose another --sim-control"))?;
    if let Some(control) = control {
        tokio::spawn(control);
    }
    Ok(sim)
}

/// A world by name or file.
fn world(name: &Path) -> Result<World, Failure> {
    let fix = "name a world file, or one of the shipped worlds";
    let shipped = name.to_str().and_then(World::shipped);
    let text = match shipped {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(name).map_err(|error| {
            let shipped: Vec<_> = World::shipped_names().collect();
            failure(
                format!("{}: {error}; shipped worlds are {}", name.display(), shipped.join(", ")),
                fix,
            )
        })?,
    };
    World::parse(&text)
        .map_err(|error| failure(format!("{}: {error}", name.display()), "mend the world file"))
}

/// Where the ledger is.
fn state(args: &Args) -> Result<PathBuf, Failure> {
    let why = "there is nowhere to keep its state: HOME is not set";
    state_directory(args).ok_or_else(|| usage(why, "name a --state-directory"))
}

fn check(sources: &Sources) -> Result<ExitCode, Failure> {
    match sources.load() {
        Ok(config) => {
            println!(
                "the configuration holds: {} settings, {} pools",
                config.entries.len(),
                config.settings.pools.len()
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let (why, fix) = (error.to_string(), "mend the file and check again".to_owned());
            Err(Failure {
                what: "the configuration does not hold".to_owned(),
                why,
                fix,
                exit: None,
            })
        }
    }
}

fn address(args: &Args, default: &str) -> Address {
    // Every text is an address: a word that is none is told when it is tried.
    let Ok(address) = args.bus.as_deref().unwrap_or(default).parse();
    address
}

/// The boot never fails for us: only a wrong command line does.
async fn run_boot<H: Host>(args: &Args, host: H, sources: Sources) -> Result<ExitCode, Failure> {
    boot::run(host, sources, state(args)?, args.boot_limit.0).await;
    Ok(ExitCode::SUCCESS)
}

/// Starts the edges around the loop and runs until a signal ends it.
async fn run<H: Host>(
    args: &Args,
    host: H,
    sources: Sources,
    address: Address,
) -> Result<ExitCode, Failure> {
    let ledger = LedgerFile::open(&state(args)?)
        .map_err(|error| failure(error, "stop the other one, or name another --state-directory"))?;
    let (letterbox, pictures, posts) = Letterbox::new();
    // What a capture's files say of places must not be served or written on the machine it is looked at on.
    let is_foreign = args.sim.is_none() && !is_here(args);
    let own = if is_foreign { sources.of_command_line().load() } else { sources.load() };
    let settings = own.map(|config| config.settings).unwrap_or_default();
    let places = kubelet::Places {
        directory: settings.kubelet.directory.into(),
        registry: settings.kubelet.plugins_registry.into(),
        runtime: args.runtime_directory.clone(),
    };
    let real = is_real_kubelet(&places.directory) || is_real_kubelet(&places.registry);
    // What is not on this machine is not for its kubelet.
    let offered = is_here(args) || !real;
    let plugin = async {
        if offered {
            kubelet::serve(letterbox.clone(), places).await;
        }
        std::future::pending::<()>().await;
    };
    let pods = PathBuf::from(settings.kubelet.pod_resources);
    let asked = is_here(args) || !is_real_kubelet(&pods);
    let real = is_in(settings.cdi.directory.as_ref(), REAL_CDI);
    let specs = async {
        if is_here(args) || !real {
            cdi::keep(letterbox.watch(), settings.cdi.directory.into()).await;
        }
        std::future::pending::<()>().await;
    };
    let runtime = args.runtime_directory.as_deref();
    let pages = metrics::Places::of(&settings.metrics, is_here(args), runtime);
    let pages = metrics::serve(letterbox.clone(), pages);
    let options = bus::Options::default();
    let ready = ready(letterbox.clone(), options.serving.subscribe());
    let mut first = letterbox.watch();
    let bus = async {
        // Objects of the first picture are up before the name is taken; with none yet, thousands of
        // allocations would appear one by one after it. That the loop ends, the bus sees for itself.
        let _ = first.changed().await;
        bus::serve_with(letterbox.clone(), address, options).await
    };
    let app = App::new(host, sources, ledger, pictures, posts);
    let app = app.with_meters(Arc::clone(letterbox.meters()));
    let app = if asked { app.with_pod_resources(pods) } else { app };
    tokio::select! {
        ended = app.run() => ended.map_err(|error| failure(error, "see the system log"))?,
        failed = bus => failed.map_err(|error| failure(error, "stop the other one, or choose another --bus"))?,
        () = plugin => {}
        () = specs => {}
        never = pages => match never {},
        () = ready => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What follows READY at once (registrations, the first calls) is over by then.
const START: Duration = Duration::from_secs(1);
/// A bus that is not there yet does not keep the node from booting: the kubelet is served without.
const BUS_PATIENCE: Duration = Duration::from_secs(2);

/// Tells the service manager once the machine was seen (a look always names the modules of the
/// stack) and the bus is served.
async fn ready(letterbox: Letterbox, mut serving: watch::Receiver<bool>) {
    let seen = letterbox.watch().wait_for(|picture| !picture.modules.is_empty()).await.is_ok();
    // What `wait_for` returns keeps the channel locked: only the word of it may live on.
    let bus = tokio::time::timeout(BUS_PATIENCE, async {
        serving.wait_for(|serving| *serving).await.is_ok()
    });
    let bus = bus.await.unwrap_or(false);
    if seen {
        service::ready();
        tracing::info!(
            message_id = logging::STARTED,
            version = env!("CARGO_PKG_VERSION"),
            bus,
            "serving"
        );
        tokio::time::sleep(START).await;
        if let Err(error) = resident::give_back_code() {
            tracing::debug!(%error, "what the start needed stays in memory");
        }
    }
    std::future::pending().await
}
