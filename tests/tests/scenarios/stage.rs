//! The language of scenarios: one order a line, played on a [`Machine`].
//!
//! `world NAME [bare]`, `config <<<` to `>>>`, `start` · `act LINE` (see the simulated host) ·
//! `allocate POOL [N] [by PROGRAM | lease DURATION]`, `exit PROGRAM`, `free ID [force]` ·
//! `pod start NAME POOL N|DEVICE...`, `pod stop NAME`, `kubelet up|gone|restart` ·
//! `hold [DURATION] REASON`, `unhold`, `cancel JOB`, `reload`, `confirm` · `apply [retry] MANNER`,
//! `import-key`, of the first that the world names, `revoke-request` ·
//! `use RELEASE MANNER`, `rollback [N] MANNER`, with a manner of `[wait [DURATION]|stop] [confirm
//! DURATION]` ·
//! `handover [back]` ·
//! `kill [after N effects]`, `reboot`, `power-loss`, `disk full|ok`, `ledger damaged` ·
//! `clock back|forward DURATION`, `after DURATION`, `settle` · `show ...` (see [`shown`]).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use onload_core::allocation::{Process, TenureWish};
use onload_core::change::{Holders, Manner};
use onload_core::clock::picture::Keeper;
use onload_core::command::{Answer, Caller, Command, Reply, RequestId};
use onload_core::config::Fragment;
use onload_core::inventory::Depth;
use onload_core::names::{DeviceId, PoolName};
use onload_core::secure_boot::certificate::Certificate;
use onload_core::secure_boot::request::crypt;
use onload_core::time::Span;
use onload_tests::machine::{Machine, Pace};
use onloadd::host::sim::World;

use super::shown;

/// The longest anybody waits for an answer.
const PATIENCE_MS: u64 = 10_000;
/// What passes before the answer is read: pictures of pods' devices are not shown at once.
const SHOWN_MS: u64 = 150;
/// What `settle` waits: longer than the settle timer and a step take.
const SETTLE_MS: u64 = 3_000;

/// What is typed at the console, hashed (`openssl passwd -6`).
const PASSWORD: &str = "$6$scenarios12345$Tp5en4bJo4W6fWKraxNaPgpEgVm/tq0.tymu8sUsu6qohN7Kcb5ncVFmDw9PKr2BkrqTZqCJ8ompYwMOvu4rW/";

/// A scenario under way.
pub struct Stage {
    world: Option<World>,
    /// The first that the world names, PEM; empty for none.
    certificate: String,
    config: String,
    machine: Option<Machine>,
    programs: BTreeMap<String, Process>,
    /// Bytes of the machine's journal that are told already.
    told: usize,
    state: String,
    out: String,
}

impl Stage {
    /// Plays a script; answers the transcript.
    pub fn play(script: &str) -> String {
        let mut stage = Self {
            world: None,
            certificate: String::new(),
            config: String::new(),
            machine: None,
            programs: BTreeMap::new(),
            told: 0,
            state: String::new(),
            out: String::new(),
        };
        let mut lines = script.lines();
        while let Some(line) = lines.next() {
            if line.is_empty() || line.starts_with('#') {
                stage.say(line);
                continue;
            }
            stage.say(&format!("> {line}"));
            if line == "config <<<" {
                let text: Vec<_> = lines.by_ref().take_while(|line| *line != ">>>").collect();
                stage.config = text.join("\n") + "\n";
                text.iter().for_each(|line| stage.say(&format!(">   {line}")));
                let config = stage.files();
                if let Some(machine) = &mut stage.machine {
                    machine.config = config;
                }
                continue;
            }
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            stage.order(&words);
            stage.tell();
        }
        stage.out
    }

    fn say(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("`start` comes first")
    }

    fn files(&self) -> Vec<Fragment> {
        vec![Fragment { file: "/etc/onloadd/onloadd.toml".to_owned(), text: self.config.clone() }]
    }

    fn order(&mut self, words: &[&str]) {
        match words {
            ["world", name, rest @ ..] => {
                let file = World::shipped(name).unwrap();
                let mut world = World::parse(file).unwrap();
                self.certificate = certificate(file);
                if rest == ["bare"] {
                    for module in ["sfc_resource", "sfc"] {
                        world.act(&format!("driver gone {module}").parse().unwrap()).unwrap();
                    }
                }
                self.world = Some(world);
            }
            ["start"] => match &mut self.machine {
                Some(machine) => machine.start(),
                None => {
                    let world = self.world.take().expect("`world` comes first");
                    self.machine = Some(Machine::new(world, self.files(), Pace::STEADY, 1));
                }
            },
            ["show", "network"] => {
                let look = self.machine().world.look(Depth::Network);
                let text = shown::network(look.network.known().unwrap());
                text.lines().for_each(|line| self.say(&format!("  {line}")));
            }
            ["show", rest @ ..] => {
                let text = shown::show(&self.machine().picture, rest);
                text.lines().for_each(|line| self.say(&format!("  {line}")));
            }
            ["act", rest @ ..] => {
                let action = rest.join(" ").parse().unwrap();
                if let Err(error) = self.machine().act(&action) {
                    self.say(&format!("  refused: {}", error.why));
                }
            }
            ["settle"] => self.machine().pass(SETTLE_MS),
            ["after", span] => {
                let span = millis(span);
                self.machine().pass(span);
            }
            ["clock", "back", span] => {
                let back = -i64::try_from(millis(span)).unwrap();
                self.machine().jump(0, back);
            }
            ["clock", "forward", span] => {
                let forward = i64::try_from(millis(span)).unwrap();
                self.machine().jump(0, forward);
            }
            ["kill"] => self.machine().kill(),
            ["kill", "after", count, "effects"] => {
                self.machine().kill_after(count.parse().unwrap())
            }
            ["reboot"] => self.machine().reboot(true, 30_000),
            ["power-loss"] => self.machine().reboot(false, 30_000),
            ["disk", state] => self.machine().disk.full = *state == "full",
            ["ledger", "damaged"] => {
                let mut bytes = self.machine().disk.bytes().to_vec();
                bytes[30] ^= 1;
                self.machine().disk.overwrite(&bytes);
            }
            ["pod", rest @ ..] => self.pod(rest),
            ["kubelet", what] => self.kubelet(what),
            ["exit", name] => {
                let process = self.programs.remove(*name).unwrap();
                let bus_name = bus_name(&process);
                self.machine().end_process(&process, Some(&bus_name));
            }
            _ => self.ask(words),
        }
    }

    fn pod(&mut self, words: &[&str]) {
        match words {
            ["stop", name] => {
                if !self.machine().kubelet.stop(name) {
                    self.say("  no such pod");
                }
            }
            ["start", name, pool, devices @ ..] => {
                let pool: PoolName = pool.parse().unwrap();
                let chosen = match devices {
                    [count] if count.parse::<usize>().is_ok() => {
                        self.machine().kubelet.choose(&pool, count.parse().unwrap(), None)
                    }
                    named => {
                        Some(named.iter().map(|id| id.parse().unwrap()).collect::<Vec<DeviceId>>())
                    }
                };
                let Some(chosen) = chosen else {
                    return self.say("  the kubelet has no such devices: the pod is pending");
                };
                let names: Vec<_> = chosen.iter().map(ToString::to_string).collect();
                match self.machine().admit(name, &pool, chosen) {
                    Some(id) => {
                        let answer = self.answer(id);
                        self.say(&format!("  the kubelet gives it {}", names.join(", ")));
                        self.say_answer(answer);
                    }
                    None => self.say("  the plugin does not answer"),
                }
            }
            other => panic!("unknown: pod {other:?}"),
        }
    }

    fn kubelet(&mut self, what: &str) {
        let pools: Vec<PoolName> = self.machine().picture.pools.keys().cloned().collect();
        for pool in pools {
            if what != "up" {
                self.machine().register(&pool, false);
            }
            if what != "gone" {
                self.machine().register(&pool, true);
            }
        }
        self.machine().pass(50);
    }

    fn ask(&mut self, words: &[&str]) {
        let mut caller =
            Caller { uid: 0, process: None, bus_name: Some(":1.1".to_owned()), privileged: true };
        let command = match words {
            ["allocate", pool, rest @ ..] => {
                let (count, rest) = match rest {
                    [count, rest @ ..] if count.parse::<u32>().is_ok() => {
                        (count.parse().unwrap(), rest)
                    }
                    rest => (1, rest),
                };
                let tenure = match rest {
                    ["by", program] => {
                        caller = self.program(program);
                        TenureWish::Client
                    }
                    ["lease", span] => TenureWish::Lease(span.parse().unwrap()),
                    [] => TenureWish::Persistent,
                    other => panic!("unknown: allocate ... {other:?}"),
                };
                Command::Allocate { pool: pool.parse().unwrap(), count, tenure }
            }
            ["free", id] => Command::Free { allocation: id.parse().unwrap(), force: false },
            ["free", id, "force"] => Command::Free { allocation: id.parse().unwrap(), force: true },
            ["hold", rest @ ..] => {
                let expiry: Option<Span> = rest[0].parse().ok();
                let reason = rest[usize::from(expiry.is_some())..].join(" ");
                Command::Hold { reason, expiry }
            }
            ["unhold"] => Command::Unhold,
            ["revoke-request"] => Command::RevokeRequest { all: false },
            ["import-key"] => Command::ImportKey {
                certificate: Certificate::der(self.certificate.as_bytes()).unwrap(),
                hash: crypt::parse(PASSWORD).unwrap(),
                despite_sealed: false,
            },
            ["apply", "retry", rest @ ..] => Command::Apply { retry: true, manner: manner(rest) },
            ["apply", rest @ ..] => Command::Apply { retry: false, manner: manner(rest) },
            ["use", release, rest @ ..] => {
                Command::Use { release: release.parse().unwrap(), manner: manner(rest) }
            }
            ["rollback", rest @ ..] => {
                let (back, rest) = match rest {
                    [back, rest @ ..] if back.parse::<u32>().is_ok() => {
                        (back.parse().unwrap(), rest)
                    }
                    rest => (1, rest),
                };
                Command::Rollback { back, manner: manner(rest) }
            }
            ["adopt"] => Command::Adopt,
            ["handover"] => Command::HandOver { to: Keeper::Sfptpd },
            ["handover", "back"] => Command::HandOver { to: Keeper::Former },
            ["confirm"] => Command::Confirm,
            ["cancel", job] => Command::Cancel { job: job.parse().unwrap() },
            ["reload"] => Command::Reload,
            other => panic!("unknown: {other:?}"),
        };
        match self.machine().ask(caller, command) {
            Some(id) => {
                let answer = self.answer(id);
                self.say_answer(answer);
            }
            None => self.say("  the daemon does not run"),
        }
    }

    fn program(&mut self, name: &str) -> Caller {
        let number = u32::try_from(self.programs.len()).unwrap();
        let boot = self.machine().boot_id().clone();
        let process = self.programs.entry(name.to_owned()).or_insert_with(|| Process {
            pid: 2000 + number,
            start_ticks: 1,
            boot,
            uid: 1000,
            comm: name.to_owned(),
        });
        let process = process.clone();
        self.machine().spawn(process.clone());
        let bus_name = Some(bus_name(&process));
        Caller { uid: 1000, process: Some(process), bus_name, privileged: false }
    }

    /// Waits for an answer, as a caller does.
    fn answer(&mut self, id: RequestId) -> Option<Answer> {
        let machine = self.machine();
        let mut waited = 0;
        while waited < PATIENCE_MS && machine.is_up() && !machine.answers.contains_key(&id) {
            machine.pass(10);
            waited += 10;
        }
        // Counters of a pool are shown a little later than they change.
        machine.pass(SHOWN_MS);
        machine.answers.remove(&id)
    }

    fn say_answer(&mut self, answer: Option<Answer>) {
        let Some(answer) = answer else { return self.say("  no answer") };
        match answer {
            Ok(Reply::Done) => self.say("  done"),
            Ok(Reply::Job(id)) => self.say(&format!("  follow job {id}")),
            Ok(Reply::Allocated(lent)) => {
                lent.iter().for_each(|(id, device)| self.say(&format!("  {id} {device}")));
            }
            Ok(Reply::Containers(answers)) => {
                for one in answers {
                    let (mounts, nodes) = (one.mounts.len(), one.device_nodes.join(" "));
                    let environment: Vec<_> = one
                        .environment
                        .iter()
                        .map(|(name, value)| format!("{name}={value}"))
                        .collect();
                    self.say(&format!(
                        "  granted: {nodes}; {mounts} mounts; {}",
                        environment.join(" ")
                    ));
                }
            }
            Err(refusal) => {
                self.say(&format!("  error: {} ({:?})", refusal.what, refusal.kind));
                self.say(&format!("    why: {}", refusal.why));
                self.say(&format!("    fix: {}", refusal.fix));
            }
        }
    }

    /// What the daemon did and said meanwhile, as its log would have it.
    fn tell(&mut self) {
        let Some(machine) = &self.machine else { return };
        let mut told = String::new();
        for line in machine.journal[self.told..].lines() {
            let (at, what) = line.split_once(' ').unwrap();
            let at = at.parse::<u64>().unwrap();
            let (seconds, millis) = (at / 1000, at % 1000);
            if let Some(shown) = what.strip_prefix("publish ") {
                let state = shown.split_once(" [").map_or(shown, |(state, _)| state);
                if state == self.state {
                    continue;
                }
                self.state = state.to_owned();
                let (word, summary) = state.split_once(' ').unwrap();
                let _ = writeln!(told, "  {seconds}.{millis:03} {word}: {summary}");
            } else if what.starts_with("apply ") || ["kill", "reboot", "power loss"].contains(&what)
            {
                let _ = writeln!(told, "  {seconds}.{millis:03} {what}");
            }
        }
        self.told = machine.journal.len();
        self.out.push_str(&told);
    }
}

/// The first certificate of a world's file.
fn certificate(world: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----\n";
    let (_, from) = world.split_once("-----BEGIN").unwrap_or_default();
    let pem = from.split_once(END).map(|(pem, _)| format!("-----BEGIN{pem}{END}"));
    pem.unwrap_or_default()
}

/// How a change is to be made: `[wait [DURATION]|stop] [confirm DURATION]`.
fn manner(words: &[&str]) -> Manner {
    let (holders, rest) = match words {
        ["stop", rest @ ..] => (Holders::Stop, rest),
        ["wait", "confirm", rest @ ..] => return confirmed(Holders::Wait(None), rest),
        ["wait", span, rest @ ..] => (Holders::Wait(Some(span.parse().unwrap())), rest),
        ["wait"] => (Holders::Wait(None), &[][..]),
        rest => (Holders::Refuse, rest),
    };
    match rest {
        [] => Manner { holders, confirm_within: None },
        ["confirm", rest @ ..] => confirmed(holders, rest),
        other => panic!("unknown: {other:?}"),
    }
}

fn confirmed(holders: Holders, words: &[&str]) -> Manner {
    let [span] = words else { panic!("confirm DURATION, not {words:?}") };
    Manner { holders, confirm_within: Some(span.parse().unwrap()) }
}

fn millis(span: &str) -> u64 {
    let span: Span = span.parse().unwrap();
    u64::try_from(span.0.as_millis()).unwrap()
}

fn bus_name(process: &Process) -> String {
    format!(":1.{}", process.pid)
}
