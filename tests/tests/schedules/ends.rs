//! How a schedule ends, and a day without lots.

use onload_core::change::Manner;
use onload_core::command::{Answer, Caller, Command, Reply};
use onload_core::inventory::{Depth, ModuleState};
use onload_core::names::PciAddress;
use onload_core::refusal::RefusalKind;
use onload_tests::machine::kubelet::Word;
use onloadd::host::sim::World;

use super::happening::{Schedule, VALID, files};

/// How long the device of a container that is never named is waited for, by default.
const UNNAMED_MS: u64 = 3_600_000;
/// Longer than the lots make anybody wait for a confirmation, and the way back.
const CONFIRMATION_MS: u64 = 100_000;

impl Schedule {
    /// Everything is put right and everybody goes home: what is left must be the same whatever
    /// happened before.
    pub fn mend(&mut self) {
        self.machine.spare();
        (self.machine.disk.full, self.machine.disk.sync_fails) = (false, false);
        self.machine.config = files(self.random.usize(0..VALID));
        self.machine.act(&"clear faults".parse().unwrap()).unwrap();
        let snapshot = self.machine.world.snapshot();
        let modules = snapshot.modules.known().unwrap();
        if modules.values().any(|module| module.state != ModuleState::Live) {
            self.machine.reboot(true, 1000);
            self.programs.clear();
        }
        for port in snapshot_ports(&self.machine.world) {
            for verb in ["plug", "bind"] {
                let _ = self.machine.act(&format!("{verb} {port}").parse().unwrap());
            }
            let _ = self.machine.act(&format!("link {port} up").parse().unwrap());
        }
        self.everybody_leaves();
        for release in self.releases() {
            let _ = self.machine.act(&format!("libraries of {release} back").parse().unwrap());
        }
        if !self.machine.is_up() {
            self.machine.start();
        }
        // Past the limit of a step and the tick.
        self.machine.pass(400_000);
        for program in std::mem::take(&mut self.programs) {
            self.machine.end_process(&program.process, Some(&program.bus_name));
        }
        let root = Caller { uid: 0, process: None, bus_name: None, privileged: true };
        self.machine.ask(root.clone(), Command::Reload).unwrap();
        self.machine.kubelet.say_from_now(self.machine.now().boot.0, Word::True);
        // By the word of one that has taken no pool nothing is over.
        self.register_all();
        let pods: Vec<_> = self.machine.kubelet.pods().keys().cloned().collect();
        for pod in pods.iter().skip(1) {
            assert!(self.machine.kubelet.stop(pod));
        }
        // Two ticks and the longest grace: what has ended, or is of an init container, is free
        // without anybody's order.
        self.machine.pass(UNNAMED_MS + 200_000);
        self.machine.promises.pods.reconciled(&self.machine.ledger(), &self.machine.kubelet);
        self.machine.kubelet.stop_all();
        self.machine.pass(200_000);
        self.machine.promises.pods.reconciled(&self.machine.ledger(), &self.machine.kubelet);
        let mut orders = vec![Command::Reload, Command::Unhold];
        let lent = self.machine.ledger();
        orders.extend(
            lent.allocations.keys().map(|id| Command::Free { allocation: *id, force: true }),
        );
        orders.push(Command::Apply { retry: true, manner: Default::default() });
        for order in orders {
            // What the end of a hold let begin may await a confirmation that nobody gives; to apply
            // beside it is not to confirm it.
            if matches!(order, Command::Apply { .. }) {
                self.machine.pass(CONFIRMATION_MS);
            }
            let id = self.machine.ask(root.clone(), order.clone()).unwrap();
            self.machine.pass(5_000);
            let answer: Option<Answer> = self.machine.answers.remove(&id);
            assert!(
                matches!(answer, Some(Ok(Reply::Done | Reply::Job(_)))),
                "{order:?}: {answer:?}"
            );
        }
        self.register_all();
    }

    /// Programs end, and what was made of the ports is taken from them.
    fn everybody_leaves(&mut self) {
        let snapshot = self.machine.world.look(Depth::Users);
        for pid in snapshot.users.known().into_iter().flatten().map(|(pid, _)| *pid) {
            self.machine.act(&format!("exit {pid}").parse().unwrap()).unwrap();
        }
        for (name, interface) in snapshot.interfaces.known().into_iter().flatten() {
            let is_card = interface
                .port
                .known()
                .is_some_and(|port| snapshot_ports(&self.machine.world).contains(port));
            for verb in ["address", "route", "upper"] {
                if is_card {
                    self.machine.act(&format!("{verb} {name} none").parse().unwrap()).unwrap();
                }
            }
        }
    }

    /// A day on which a little of everything is ordered, each thing until it is done; killed once.
    /// Tells whether it was.
    pub fn day(&mut self, fuse: Option<u32>) -> bool {
        if let Some(fuse) = fuse {
            self.machine.kill_after(fuse);
        }
        let root = Caller { uid: 0, process: None, bus_name: None, privileged: true };
        let hold = Command::Hold { reason: "work".to_owned(), expiry: None };
        let mut killed = false;
        let mut orders = vec![
            ("nothing", Command::Apply { retry: false, manner: Default::default() }),
            ("driver gone sfc", Command::Reload),
            ("link 0000:3b:00.0 down", hold),
            ("link 0000:3b:00.0 up", Command::Unhold),
            (
                "driver gone sfc_resource",
                Command::Apply { retry: true, manner: Default::default() },
            ),
        ];
        let manner = Manner::default();
        let to = |name: &str| Command::Use { release: name.parse().unwrap(), manner };
        orders.push(("nothing", to("9.2.1")));
        orders.push(("coldplug", to("9.3.2-noaux")));
        // By name: a rollback that is asked for again, since nobody heard the answer to the first,
        // is one more.
        orders.push(("nothing", to("in-tree")));
        for (line, order) in orders {
            let _ = self.machine.act(&line.parse().unwrap());
            for attempt in 0.. {
                assert!(attempt < 5, "{order:?} is never answered");
                if !self.machine.is_up() {
                    killed = true;
                    self.machine.start();
                }
                let id = self.machine.ask(root.clone(), order.clone());
                self.machine.pass(3_000);
                let answer = id.and_then(|id| self.machine.answers.get(&id));
                // A daemon that has not looked yet, or is at what was asked for before the kill, says
                // so, and is asked again.
                let busy =
                    matches!(answer, Some(Err(refusal)) if refusal.kind == RefusalKind::Busy);
                if self.machine.is_up() && answer.is_some() && !busy {
                    break;
                }
                if busy {
                    self.machine.pass(20_000);
                }
            }
        }
        self.machine.pass(60_000);
        if !self.machine.is_up() {
            killed = true;
            self.machine.start();
        }
        self.machine.spare();
        self.register_all();
        killed
    }
}

fn snapshot_ports(world: &World) -> Vec<PciAddress> {
    world
        .cards()
        .iter()
        .flat_map(|card| card.ports.iter().map(|port| *port.pci.get_ref()))
        .collect()
}
