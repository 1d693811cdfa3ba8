//! Who turns to the daemon: callers on the bus, the kubelet, processes that end.

use onload_core::allocation::Process;
use onload_core::command::{Caller, Command, RequestId};
use onload_core::kubelet::device_list;
use onload_core::names::{DeviceId, PoolName};
use onload_core::reconcile::Event;

use super::kubelet::Word;
use super::{Arrival, Machine};

impl Machine {
    /// Asks the daemon for something. None: it is down.
    pub fn ask(&mut self, caller: Caller, command: Command) -> Option<RequestId> {
        if !self.is_up() {
            return None;
        }
        self.requests += 1;
        let id = RequestId(self.requests);
        self.promises.asked(&command);
        self.asked.insert(id, (caller.clone(), command.clone()));
        self.handle(Event::Request { id, caller, command });
        Some(id)
    }

    /// The kubelet has a pod with so many devices of a pool; the pod runs once they are granted.
    pub fn admit(
        &mut self,
        pod: &str,
        pool: &PoolName,
        devices: Vec<DeviceId>,
    ) -> Option<RequestId> {
        let nobody = Caller { uid: 0, process: None, bus_name: None, privileged: true };
        let command = Command::KubeletAllocate { pool: pool.clone(), containers: vec![devices] };
        // Answered at once, so it must be known before.
        self.promises.admitted(RequestId(self.requests + 1), pod);
        self.ask(nobody, command)
    }

    /// A kubelet accepts a pool, or is gone.
    pub fn register(&mut self, pool: &PoolName, registered: bool) {
        if !self.is_up() {
            return;
        }
        let now = self.now();
        self.promises.pods.registered(pool, registered, now);
        self.handle(Event::Registered { pool: pool.clone(), registered });
        if registered {
            self.send_list(pool);
        }
    }

    /// The kubelet restarts: every list stream ends, and its pod-resources behave so from now on.
    pub fn restart_kubelet(&mut self, word: Word) {
        self.kubelet.restart();
        self.kubelet.say_from_now(self.boot, word);
        let pools: Vec<_> = self.picture.pools.keys().cloned().collect();
        for pool in pools {
            self.register(&pool, false);
        }
    }

    pub(super) fn send_list(&mut self, pool: &PoolName) {
        if let Some(shown) = self.picture.pools.get(pool) {
            let list = device_list(shown);
            self.later(self.pace.list, Arrival::List(pool.clone(), list));
        }
    }

    /// The daemon asks what pods have; that is answered as it is now, a little later.
    pub(super) fn ask_kubelet(&mut self) {
        let said = self.kubelet.say(self.now().boot.0);
        self.later(self.pace.list, Arrival::Told(Event::KubeletSaid(said)));
    }

    /// A process begins.
    pub fn spawn(&mut self, process: Process) {
        self.living.insert(process);
    }

    /// A process ends, with its bus connection if it has one.
    pub fn end_process(&mut self, process: &Process, bus_name: Option<&str>) {
        self.living.remove(process);
        self.promises.process_ended(process);
        if let Some(name) = bus_name {
            self.close_connection(name);
        }
        if self.watched.remove(process) {
            self.tell(Event::ProcessGone(process.clone()));
        }
    }

    /// A bus connection ends.
    pub fn close_connection(&mut self, name: &str) {
        self.promises.client_gone(name);
        self.tell(Event::ClientGone(name.to_owned()));
    }

    /// Tells the daemon of something, if it runs.
    pub fn tell(&mut self, event: Event) {
        if self.is_up() {
            self.handle(event);
        }
    }
}
