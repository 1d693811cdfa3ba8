//! Calls over D-Bus, beside a service of its own process on the same bus that only answers.

use std::future::pending;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::runtime::Runtime;
use zbus::Connection;
use zbus::connection::Builder;

use super::awake::Awake;
use super::daemon::{Daemon, Machine};
use super::samples::{Samples, micros, quietest, ratio};
use super::table::{Row, Weight};

/// Turns of a round: each is one call of every kind.
const TURNS: usize = 5_000;
const WARM_UP: usize = 500;
/// Rounds, the quieter half of which counts: what else runs on the machine adds to all of them.
const ROUNDS: usize = 5;
/// The pool.
const SLOTS: usize = 100;
const P99_BUDGET: f64 = 2.0;

const NAME: &str = "com.amd.OnloadBench";
const PATH: &str = "/echo";
/// What the service prints when it can be called.
const SERVING: &str = "serving";

/// A service that does nothing but answer.
#[derive(Debug)]
struct Echo;

#[zbus::interface(name = "com.amd.OnloadBench.Echo")]
impl Echo {
    fn echo(&self) {}
}

/// Serves calls that do nothing, for ever: what `bench --echo ADDRESS` is.
///
/// # Errors
/// The bus cannot be reached.
pub async fn serve(address: &str) -> anyhow::Result<()> {
    let _connection = Builder::address(address).name(NAME).serve_at(PATH, Echo).build().await?;
    println!("{SERVING}");
    pending().await
}

/// The service as a process; ends when dropped.
struct Service(Child);

impl Service {
    fn start(address: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--echo", address]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the echo")?;
        let output = child.stdout.take().context("no output of the echo")?;
        let this = Self(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == SERVING, "the echo does not serve");
        Ok(this)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Times of the three calls.
#[derive(Default)]
struct Times {
    echo: Samples,
    property: Samples,
    why: Samples,
}

/// Calls all in turns, over one connection.
///
/// # Errors
/// The daemon does not come up or refuses a call.
pub fn measure(runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
    let _awake = Awake::keep();
    let mut daemon = Daemon::prepare(Machine::EightPorts, SLOTS)?;
    daemon.start()?;
    let address = daemon.bus.address();
    let service = Service::start(&address)?;
    let rounds = runtime.block_on(rounds(&address))?;
    drop(service);
    daemon.stop()?;
    let row = |call: &str, of: fn(&Times) -> &Samples| {
        let pairs = || rounds.iter().map(|times| (of(times), &times.echo));
        let (one, other) = quietest(pairs(), 99).context("no round")?;
        let (middle, others) = quietest(pairs(), 50).context("no round")?;
        let times = ratio(one, other);
        let measured = format!(
            "{times:.2} × ({} beside {}; p50 {} beside {})",
            micros(one),
            micros(other),
            micros(middle),
            micros(others)
        );
        let what = format!("D-Bus {call}, p99 beside an empty echo");
        Ok(Row::new(Weight::Held, what, "< 2 ×", measured, times < P99_BUDGET))
    };
    let rows = [
        row("Get of Manager.State", |times| &times.property),
        row("Why(\"node\")", |times| &times.why),
    ];
    rows.into_iter().collect()
}

async fn rounds(address: &str) -> anyhow::Result<Vec<Times>> {
    let connection = Builder::address(address).build().await?;
    in_turns(&connection, WARM_UP).await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(in_turns(&connection, TURNS).await?);
    }
    Ok(rounds)
}

async fn in_turns(connection: &Connection, turns: usize) -> anyhow::Result<Times> {
    let mut times = Times::default();
    for _ in 0..turns {
        times.echo.take(empty(connection).await?);
        times.property.take(property(connection).await?);
        times.why.take(why(connection).await?);
    }
    Ok(times)
}

async fn empty(connection: &Connection) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let interface = Some("com.amd.OnloadBench.Echo");
    connection.call_method(Some(NAME), PATH, interface, "Echo", &()).await?;
    Ok(began.elapsed())
}

async fn property(connection: &Connection) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let interface = Some("org.freedesktop.DBus.Properties");
    let of = ("com.amd.Onload1.Manager", "State");
    let (name, root) = (Some(onload_dbus::BUS_NAME), onload_dbus::path::ROOT);
    connection.call_method(name, root, interface, "Get", &of).await?;
    Ok(began.elapsed())
}

async fn why(connection: &Connection) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let interface = Some("com.amd.Onload1.Manager");
    let (name, root) = (Some(onload_dbus::BUS_NAME), onload_dbus::path::ROOT);
    connection.call_method(name, root, interface, "Why", &"node").await?;
    Ok(began.elapsed())
}
