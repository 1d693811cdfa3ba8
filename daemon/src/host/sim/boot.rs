//! Where a machine begins: a kernel that has just come up, and what a world file says is loaded.

use onload_core::inventory::STACK;
use onload_core::names::{MacAddress, ModuleName, ReleaseName};
use onload_core::step::Step;
use toml::Spanned;

use super::bus::{self, Netdev};
use super::check::WorldError;
use super::kernel::{ControlPlane, IN_TREE};
use super::world::World;

/// What the boot id moves on by with each boot: odd, so that none comes back before 2^32 boots.
const BOOT_STRIDE: u32 = 0x9e37_79b9;

impl World {
    /// A new boot: then udev loads what the hardware asks for.
    pub(super) fn reboot(&mut self) {
        self.boots += 1;
        let first = self.file.node.boot_id.as_str();
        let number = first.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let number = number.unwrap_or(0).wrapping_add(self.boots.wrapping_mul(BOOT_STRIDE));
        let tail = first.get(8..).unwrap_or_default();
        if let Ok(boot_id) = format!("{number:08x}{tail}").parse() {
            self.boot_id = boot_id;
        }
        self.boot();
        self.coldplug();
        self.configure_network();
        self.start_clock_programs();
    }

    /// A kernel that has just come up, with what is built into it and nothing else.
    pub(super) fn boot(&mut self) {
        self.start_firmware();
        self.modules.clear();
        self.netdevs.clear();
        self.registered.clear();
        self.rules.clear();
        self.nodes.clear();
        self.opened.clear();
        self.accelerated.clear();
        self.clocks.clear();
        self.processes.clear();
        self.time.boot();
        self.loader = None;
        self.told = None;
        self.control_plane = ControlPlane::None;
        self.next_index = 1;
        self.add_loopback();
        for address in self.functions.keys().copied().collect::<Vec<_>>() {
            self.detach(&address);
            self.attach(&address);
        }
        let virtual_ones: Vec<Netdev> = self
            .file
            .interfaces
            .iter()
            .filter(|i| i.pci.is_none())
            .map(bus::of_interface)
            .collect();
        for netdev in virtual_ones {
            let name = netdev.name.to_string();
            self.add_netdev(netdev, &name);
        }
    }

    fn add_loopback(&mut self) {
        let Ok(name) = "lo".parse() else { return };
        let loopback = Netdev::of_software(name, MacAddress([0; 6]));
        self.add_netdev(loopback, "lo");
    }

    /// Loads what `[loaded]` says, in the kernel's order, and lets the node settle.
    pub(super) fn load_at_start(&mut self, text: &str) -> Result<(), WorldError> {
        let place = |module: &ModuleName| {
            STACK.iter().position(|name| *name == module.as_str()).unwrap_or(STACK.len())
        };
        let mut wanted: Vec<(ModuleName, Spanned<ReleaseName>)> =
            self.file.loaded.clone().into_iter().collect();
        wanted.sort_by_key(|(module, _)| place(module));
        for (module, release) in wanted {
            let refuse = |why: String| {
                Err(WorldError::not_loadable(text, release.span(), module.as_str(), why))
            };
            if let Err(error) = self.apply(&Step::LoadModule {
                module: module.clone(),
                release: release.get_ref().clone(),
            }) {
                return refuse(error.to_string());
            }
            let from = self.modules.get(&module).map(|loaded| &loaded.release);
            // What the kernel brings is in-tree whichever release asked for it.
            if from != Some(release.get_ref()) && from.is_none_or(|from| from.as_str() != IN_TREE) {
                return refuse("it is loaded already, from another release".to_owned());
            }
        }
        if self.control_plane_is_due() {
            self.start_control_plane();
        }
        self.configure_network();
        Ok(())
    }
}
