//! Typed calls for every interface of the contract.
//!
//! Written from `dbus/com.amd.Onload1.xml` by the test `proxies_are_those_of_the_contract`; do not
//! edit. `UPDATE=1 cargo test --test contract proxies` writes it anew.

use zbus::proxy;

/// The node: what it is, what is wanted, what stands between, and every order that is not about one object.
#[proxy(
    interface = "com.amd.Onload1.Manager",
    default_service = "com.amd.Onload1",
    default_path = "/com/amd/Onload1"
)]
pub trait Manager {
    /// Version property
    ///
    /// Version of the daemon.
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;

    /// State property
    ///
    /// Node state, one word: ready, converging, blocked, held, degraded or idle (no card that Onload accelerates).
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Summary property
    ///
    /// One line for people: the first blocker, or what is well.
    #[zbus(property)]
    fn summary(&self) -> zbus::Result<String>;

    /// Generation property
    ///
    /// Orders accepted so far.
    #[zbus(property)]
    fn generation(&self) -> zbus::Result<u64>;

    /// ObservedGeneration property
    ///
    /// The generation that everything shown here takes into account.
    #[zbus(property)]
    fn observed_generation(&self) -> zbus::Result<u64>;

    /// Probing property
    ///
    /// A change is still settling: what is shown may not be the whole truth yet.
    #[zbus(property)]
    fn probing(&self) -> zbus::Result<bool>;

    /// Kernel property
    ///
    /// Kernel release, as uname -r says it.
    #[zbus(property)]
    fn kernel(&self) -> zbus::Result<String>;

    /// BootId property
    ///
    /// The kernel's random id of this boot.
    #[zbus(property)]
    fn boot_id(&self) -> zbus::Result<String>;

    /// WantedRelease property
    ///
    /// The Onload release the node shall have; empty where modules are left alone.
    #[zbus(property)]
    fn wanted_release(&self) -> zbus::Result<String>;

    /// WantedBy property
    ///
    /// What says so, in words: a setting, one of its mappings, or an order; empty where modules are left alone.
    #[zbus(property)]
    fn wanted_by(&self) -> zbus::Result<String>;

    /// LoadedVersion property
    ///
    /// The version the loaded onload module says; empty while none is loaded, and for an unstamped build.
    #[zbus(property)]
    fn loaded_version(&self) -> zbus::Result<String>;

    /// LoadedRelease property
    ///
    /// The release the loaded modules are from; empty while none is loaded, and where it cannot be told.
    #[zbus(property)]
    fn loaded_release(&self) -> zbus::Result<String>;

    /// Change property
    ///
    /// The change of driver under way; empty when there is none. Number (t), from 1; From (s), the release that was there, empty where that could not be told and there is no way back; To (s), the release that shall be there; Origin (s): boot, idle, drift (the machine was not as it had been left) or order; Uid (u) of who ordered it, there with an order only; Holders (s): refuse, wait or stop; Kernel (s) it is made on; Began (t); Turned (s), why it is being taken back, empty while it goes forward; ConfirmBy (t), until when Confirm must come, 0 while it is not awaited.
    #[zbus(property)]
    fn change(&self) -> zbus::Result<std::collections::HashMap<String, zbus::OwnedVariant>>;

    /// History property
    ///
    /// Changes that ended, newest first: what Change has, and Ended (t), Outcome (s): done, rolled-back or failed, and Why (s), empty for done.
    #[zbus(property)]
    fn history(&self) -> zbus::Result<Vec<std::collections::HashMap<String, zbus::OwnedVariant>>>;

    /// Users property
    ///
    /// Processes that use the stack or the clock of a port, as the last look that searched for them found them: process id, command name, systemd unit or nothing, container or nothing, and what it has open or mapped. Nobody is told command lines.
    #[zbus(property)]
    fn users(&self) -> zbus::Result<Vec<(u32, String, String, String, Vec<String>)>>;

    /// Conditions property
    ///
    /// Conditions as Kubernetes shapes them: type, status (True, False, Unknown), reason (one CamelCase word), message, and when the status last changed.
    #[zbus(property)]
    fn conditions(&self) -> zbus::Result<Vec<(String, String, String, String, u64)>>;

    /// Blockers property
    ///
    /// Why the node is not as wanted, most important first: subject (as Why takes it), reason (one CamelCase word), why, and what to do.
    #[zbus(property)]
    fn blockers(&self) -> zbus::Result<Vec<(String, String, String, String)>>;

    /// Plan property
    ///
    /// What would be done, in order. Only the first is ever done before the next look.
    #[zbus(property)]
    fn plan(&self) -> zbus::Result<Vec<String>>;

    /// Others property
    ///
    /// Others who have to do with Onload's modules on this node: which (onload-operator, kmm, machine-config, control-plane or dkms), what shows it, whether onloadd was told to go ahead beside it (Adopt), what onloadd does or would do to take over, and what is left for people to do where it comes from. All but dkms, which only builds, keep onloadd from changing modules until then.
    #[zbus(property)]
    fn others(&self) -> zbus::Result<Vec<(String, String, bool, Vec<String>, Vec<String>)>>;

    /// Held property
    ///
    /// An operator's hold; empty when there is none. Reason (s), Uid (u) of who ordered it, Since (t), and Until (t), 0 for until Unhold.
    #[zbus(property)]
    fn held(&self) -> zbus::Result<std::collections::HashMap<String, zbus::OwnedVariant>>;

    /// ClockConflicts property
    ///
    /// What fights over clocks: Kind (s: Chronyd, Ntpd, Timesyncd, Phc2sys, HardwareClock, TwoOfAKind, ClockReadonly or Freerun), Clock (s: name of the clock), Message (s: who and what), Fix (s: what to do), BarsStart (b: sfptpd is not started while it is so), Units (as: those that end it when they are stopped, as HandOverClock does).
    #[zbus(property)]
    fn clock_conflicts(
        &self,
    ) -> zbus::Result<Vec<std::collections::HashMap<String, zbus::OwnedVariant>>>;

    /// ClockSupervision property
    ///
    /// How sfptpd is looked after: Mode (s: off, observe or manage, as configured), Status (s: True where it runs as wanted, False where it does not, Unknown where it is not looked after), Reason (s: one CamelCase word), Message (s), Fix (s: what to do), Unit (s), Version (s), Restarts (u: by systemd of its own accord), Hangs (u: restarts by onloadd because it hung, since the daemon runs).
    #[zbus(property)]
    fn clock_supervision(
        &self,
    ) -> zbus::Result<std::collections::HashMap<String, zbus::OwnedVariant>>;

    /// ClockHandover property
    ///
    /// The last order about who has the system clock, while it stands; empty where there is none. To (s: sfptpd, or former for whoever had it before), Units (as: those that were stopped for it, and are started again when the clock goes back), Uid (u) of who ordered it, At (t).
    #[zbus(property)]
    fn clock_handover(&self)
        -> zbus::Result<std::collections::HashMap<String, zbus::OwnedVariant>>;

    /// ClockOutages property
    ///
    /// Times in which the system clock was not synchronised, oldest first, as many as are remembered: when it began; how long it took in milliseconds, -1 while it lasts; the number of the change of drivers it came with, or 0; the reason it began with.
    #[zbus(property)]
    fn clock_outages(&self) -> zbus::Result<Vec<(u64, i64, u64, String)>>;

    /// Interfaces property
    ///
    /// Every network interface, by name: Name (s), Index (u), Altnames (as), and where there is one Port (s, PCI address), Mac (s), PermanentMac (s), Link (s, up or down), SpeedMbps (u), PhysPortName (s), PhcIndex (u). Unreadable (a{ss}) is there when some of these could not be read.
    #[zbus(property)]
    fn interfaces(
        &self,
    ) -> zbus::Result<Vec<std::collections::HashMap<String, zbus::OwnedVariant>>>;

    /// Unreadable property
    ///
    /// Properties of this object that could not be read, and why.
    #[zbus(property)]
    fn unreadable(&self) -> zbus::Result<std::collections::HashMap<String, String>>;

    /// Allocate method
    ///
    /// Lends devices of a pool to the caller, all or none. Options: Tenure (s): client (the default; ends with the calling process or its connection), process (ends with the calling process, which may leave the bus and become another program), unit (ends with the unit of the system manager that the calling process is of) or persistent (ends with Free); Lease (s): a duration, in place of Tenure. Fails with InUse when too few devices are free, Blocked when none can work, Held, LimitExceeded, Degraded or LedgerUnavailable.
    ///
    /// # Arguments
    ///
    /// * `pool` - Name of the pool.
    /// * `count` - How many devices, 1 to 10000.
    /// * `options` - Tenure or Lease.
    /// * `allocations` - Per device the allocation's object and the device id.
    fn allocate(
        &self,
        pool: &str,
        count: u32,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<Vec<(zbus::OwnedObjectPath, String)>>;

    /// Free method
    ///
    /// Gives a device back. Without privilege only one's own. Options: Force (b): also one that a container holds; for root only.
    ///
    /// # Arguments
    ///
    /// * `id` - The allocation, such as a1.
    /// * `options` - Force.
    fn free(
        &self,
        id: &str,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<()>;

    /// Hold method
    ///
    /// Freezes the node: no steps are taken and nothing is lent anew to local programs. Options: For (s): a duration; without it the hold stands until Unhold.
    ///
    /// # Arguments
    ///
    /// * `reason` - Why, for the next person; 1 to 200 bytes.
    /// * `options` - For.
    fn hold(
        &self,
        reason: &str,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<()>;

    /// Unhold method
    ///
    /// Ends a hold. Nothing happens where there is none.
    fn unhold(&self) -> zbus::Result<()>;

    /// Apply method
    ///
    /// Brings the node to what the configuration asks for, now. Options: Retry (b): also try again what has failed; Holders (s), what becomes of those who use the stack when a driver is to be replaced: refuse (the default; they stay and the change is refused), wait (until they are gone) or stop (the units they belong to are stopped; containers never are); WaitFor (s), with wait only: a duration after which the change is refused, otherwise it waits until the job is cancelled; ConfirmWithin (s): a duration within which Confirm must follow, or the change is taken back. Fails with Busy while another order runs.
    ///
    /// # Arguments
    ///
    /// * `options` - Retry, Holders, WaitFor, ConfirmWithin.
    /// * `job` - The job to follow.
    fn apply(
        &self,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<zbus::OwnedObjectPath>;

    /// UseRelease method
    ///
    /// Brings the node to a release, whatever the configuration names. The order stands until the modules section of the configuration changes. Options and Busy as with Apply, without Retry; fails with NotFound for a release that is not there, and Blocked, with every reason, where the running kernel will not take it.
    ///
    /// # Arguments
    ///
    /// * `release` - Name of the release.
    /// * `options` - Holders, WaitFor, ConfirmWithin.
    /// * `job` - The job to follow.
    fn use_release(
        &self,
        release: &str,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<zbus::OwnedObjectPath>;

    /// Rollback method
    ///
    /// Brings the node back to the release that was there before a former change; an order as UseRelease gives one. Options and errors as there.
    ///
    /// # Arguments
    ///
    /// * `back` - How many changes back; 1 takes back the last one.
    /// * `options` - Holders, WaitFor, ConfirmWithin.
    /// * `job` - The job to follow.
    fn rollback(
        &self,
        back: u32,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<zbus::OwnedObjectPath>;

    /// Adopt method
    ///
    /// Takes over from all that Others shows: onloadd does what is listed there, and goes ahead with the modules beside them. Files of others are left alone. It stands for each until nothing of it is seen any more. Fails with NotFound where there is nobody to take over from, and with Busy while another order runs.
    ///
    /// # Arguments
    ///
    /// * `options` - None so far.
    /// * `job` - The job to follow.
    fn adopt(
        &self,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<zbus::OwnedObjectPath>;

    /// Confirm method
    ///
    /// Keeps the change that waits for it (ConfirmBy). Fails with NotFound where none does.
    fn confirm(&self) -> zbus::Result<()>;

    /// ImportRelease method
    ///
    /// Takes a release in from files that the caller has opened, and keeps a copy that never changes. Options: Version (s): its name; otherwise the version its onload module says. Anything but a directory, a file or a pipe that can be read is refused with InvalidArgument, as is a name that is taken.
    ///
    /// # Arguments
    ///
    /// * `files` - A directory, or an archive as a file or through a pipe: tar, plain or compressed (gz, xz, zst), of a tree or as `podman save --format docker-archive` writes one.
    /// * `options` - Version.
    /// * `job` - The job to follow.
    fn import_release(
        &self,
        files: zbus::Fd<'_>,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<zbus::OwnedObjectPath>;

    /// RemoveRelease method
    ///
    /// Removes a release that was taken in. Fails with InUse while the node, a change or the configuration needs it, and with NotFound where it is not there.
    ///
    /// # Arguments
    ///
    /// * `release` - Name of the release.
    /// * `job` - The job to follow.
    fn remove_release(&self, release: &str) -> zbus::Result<zbus::OwnedObjectPath>;

    /// HandOverClock method
    ///
    /// Gives the system clock to sfptpd: whoever steers it is stopped, sfptpd is started. Or back: the reverse. Nothing is disabled, and no file of another package is touched. Options: none yet. Fails with Unsupported where onloadd does not run sfptpd, Blocked where something that no unit's end would change stands against it, and Busy while another order runs.
    ///
    /// # Arguments
    ///
    /// * `to` - sfptpd or back.
    /// * `options` - None yet.
    /// * `job` - The job to follow.
    fn hand_over_clock(
        &self,
        to: &str,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<zbus::OwnedObjectPath>;

    /// Reload method
    ///
    /// Reads the configuration again and returns when it is in force. Fails with InvalidArgument when it does not hold: the text names file, line and key, and the former one stays in force.
    fn reload(&self) -> zbus::Result<()>;

    /// Why method
    ///
    /// Explains the decision taken about a subject: a port, module, release, pool, device, allocation, clock, key or node.
    ///
    /// # Arguments
    ///
    /// * `subject` - A PCI address, a name, an id, a pool's resource, a certificate's SHA-256 (its first 8 hexadecimal digits or more), its path in the configuration or its name, or node, ledger, configuration or keys (also: secure-boot), which is the state of Secure Boot and every key, or clock, which is whether the system clock is kept; 1 to 64 bytes. Where a module and a pool have one name it is the module's.
    /// * `explanation` - Subject (s), Decision (s), Inputs (a(ss): what was looked at, and what it said), WouldChange (as: what would lead to another decision).
    fn why(
        &self,
        subject: &str,
    ) -> zbus::Result<std::collections::HashMap<String, zbus::OwnedVariant>>;

    /// ListDevices method
    ///
    /// The devices of a pool, in slot order.
    ///
    /// # Arguments
    ///
    /// * `pool` - Name of the pool.
    /// * `devices` - Device id; NUMA node or -1; why it cannot work, as one CamelCase word and as a sentence, both empty when it can; lent: no, withdrawn (about to be lent locally), local or container; the allocation's id or nothing; whether only local programs can have it.
    fn list_devices(
        &self,
        pool: &str,
    ) -> zbus::Result<Vec<(String, i32, String, String, String, String, bool)>>;

    /// NamingPlan method
    ///
    /// What the interface of each Solarflare port is called, what it would be called with the driver of each release on the disk, what it is pinned to, and what stands against these names. Reading it renames nothing.
    ///
    /// # Arguments
    ///
    /// * `ports` - By PCI address: Port (s: PCI address; for a port that is configured and not there, by what it is meant), Today (s: name of its interface, or nothing), Configured (s: the name that [naming] wants, or nothing), Pinned (s: the name that onloadd or a MachineConfig has pinned, or nothing), PinnedBy (s: by what onloadd's .link file matches the port, "mac ADDRESS" or "pci ADDRESS"; or the path of a MachineConfig's .link file; or nothing), Drivers (a{s(ss)}: release; the name, or nothing where it cannot be told, and what it is told from or why it is not), Conflicts (a(sss): what does not hold, why, what to do), Troubles (a(ssb): why the port is not called or pinned as it should be, beside conflicts; what to do; whether no driver is replaced meanwhile).
    fn naming_plan(
        &self,
    ) -> zbus::Result<Vec<std::collections::HashMap<String, zbus::OwnedVariant>>>;

    /// Environment method
    ///
    /// What a program of this node needs in its environment to use a pool's devices: variables for the host's own paths, of the release that fits the loaded driver. The caller keeps what it has set itself, and puts LD_PRELOAD before its own. Fails with Blocked when no release fits.
    ///
    /// # Arguments
    ///
    /// * `pool` - Name of the pool.
    /// * `options` - WithoutProfile (b): leave out what the pool's profile sets, for a caller with a profile of its own.
    /// * `variables` - Name and value.
    fn environment(
        &self,
        pool: &str,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<std::collections::HashMap<String, String>>;

    /// Profiles method
    ///
    /// The profiles of the release that fits the loaded driver, as texts: who runs a program evaluates them with that program's environment. Fails with Blocked when no release fits.
    ///
    /// # Arguments
    ///
    /// * `directory` - Where that release has them.
    /// * `files` - File name and text, of profiles and of the fragments they import.
    /// * `unreadable` - Name of a file that cannot be read, and why.
    fn profiles(
        &self,
    ) -> zbus::Result<(
        String,
        std::collections::HashMap<String, String>,
        std::collections::HashMap<String, String>,
    )>;

    /// Config method
    ///
    /// Every setting in force.
    ///
    /// # Arguments
    ///
    /// * `settings` - Dotted key; value as TOML; file and line as file:line, empty for a built-in default; what it masks, nearest first, as value and file:line.
    #[allow(clippy::type_complexity)]
    fn config(&self) -> zbus::Result<Vec<(String, String, String, Vec<(String, String)>)>>;
}

/// One port: a PCI function of a card in the table of families, or of another card whose interface is offered to Onload through AF_XDP.
#[proxy(
    interface = "com.amd.Onload1.Port",
    default_service = "com.amd.Onload1",
    assume_defaults = true
)]
pub trait Port {
    /// Address property
    ///
    /// PCI address, domain:bus:device.function.
    #[zbus(property)]
    fn address(&self) -> zbus::Result<String>;

    /// Vendor property
    ///
    /// PCI vendor id; 0 when not known.
    #[zbus(property)]
    fn vendor(&self) -> zbus::Result<u16>;

    /// Device property
    ///
    /// PCI device id; 0 when not known.
    #[zbus(property)]
    fn device(&self) -> zbus::Result<u16>;

    /// SubsystemVendor property
    ///
    /// PCI subsystem vendor id; 0 when not known.
    #[zbus(property)]
    fn subsystem_vendor(&self) -> zbus::Result<u16>;

    /// SubsystemDevice property
    ///
    /// PCI subsystem device id; 0 when not known.
    #[zbus(property)]
    fn subsystem_device(&self) -> zbus::Result<u16>;

    /// Family property
    ///
    /// Product family, such as X2; empty for a card that is in no table.
    #[zbus(property)]
    fn family(&self) -> zbus::Result<String>;

    /// Controller property
    ///
    /// Network controller, such as SFC9250; empty for a card that is in no table.
    #[zbus(property)]
    fn controller(&self) -> zbus::Result<String>;

    /// Datapath property
    ///
    /// How Onload reaches it: native (its own driver), efct (the driver of the X3), af_xdp (registration of its interface, whatever the driver), or none.
    #[zbus(property)]
    fn datapath(&self) -> zbus::Result<String>;

    /// Netdev property
    ///
    /// Name of its network interface; empty while no driver shows one.
    #[zbus(property)]
    fn netdev(&self) -> zbus::Result<String>;

    /// Altnames property
    ///
    /// Alternative names of the interface.
    #[zbus(property)]
    fn altnames(&self) -> zbus::Result<Vec<String>>;

    /// PermanentMac property
    ///
    /// The address burnt in.
    #[zbus(property)]
    fn permanent_mac(&self) -> zbus::Result<String>;

    /// Mac property
    ///
    /// The address in use.
    #[zbus(property)]
    fn mac(&self) -> zbus::Result<String>;

    /// NumaNode property
    ///
    /// NUMA node; -1 where the firmware names none.
    #[zbus(property)]
    fn numa_node(&self) -> zbus::Result<i32>;

    /// Driver property
    ///
    /// The driver bound to the function; empty while none is.
    #[zbus(property)]
    fn driver(&self) -> zbus::Result<String>;

    /// DriverOrigin property
    ///
    /// Where the bound driver was built: in-tree (with the kernel), out-of-tree (Onload's own), or empty while none is bound.
    #[zbus(property)]
    fn driver_origin(&self) -> zbus::Result<String>;

    /// Auxiliary property
    ///
    /// Auxiliary devices below the function, each with the driver bound to it or nothing. Where a driver could not be read, Unreadable has the key Auxiliary/NAME.
    #[zbus(property)]
    fn auxiliary(&self) -> zbus::Result<std::collections::HashMap<String, String>>;

    /// Link property
    ///
    /// up or down; empty without an interface.
    #[zbus(property)]
    fn link(&self) -> zbus::Result<String>;

    /// SpeedMbps property
    ///
    /// Link speed in Mbit/s; 0 while the link is down.
    #[zbus(property)]
    fn speed_mbps(&self) -> zbus::Result<u32>;

    /// PhcIndex property
    ///
    /// Index of the PTP hardware clock; -1 when it has none.
    #[zbus(property)]
    fn phc_index(&self) -> zbus::Result<i32>;

    /// SriovTotal property
    ///
    /// Virtual functions it can have; 0 where it can have none.
    #[zbus(property)]
    fn sriov_total(&self) -> zbus::Result<u32>;

    /// SriovEnabled property
    ///
    /// Virtual functions it has.
    #[zbus(property)]
    fn sriov_enabled(&self) -> zbus::Result<u32>;

    /// PhysPortName property
    ///
    /// The kernel's phys_port_name, such as p0.
    #[zbus(property)]
    fn phys_port_name(&self) -> zbus::Result<String>;

    /// Obstacle property
    ///
    /// Why Onload cannot accelerate it just now; empty when it can.
    #[zbus(property)]
    fn obstacle(&self) -> zbus::Result<String>;

    /// ObstacleReason property
    ///
    /// The same as one CamelCase word.
    #[zbus(property)]
    fn obstacle_reason(&self) -> zbus::Result<String>;

    /// Unreadable property
    ///
    /// Properties of this object that could not be read, and why.
    #[zbus(property)]
    fn unreadable(&self) -> zbus::Result<std::collections::HashMap<String, String>>;
}

/// One kernel module: loaded, or part of the stack and not loaded.
#[proxy(
    interface = "com.amd.Onload1.Module",
    default_service = "com.amd.Onload1",
    assume_defaults = true
)]
pub trait Module {
    /// Name property
    ///
    /// Its name, with underscores.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;

    /// Loaded property
    ///
    /// Whether the kernel has it, be it on its way in or out. False also when that cannot be read: see Unreadable.
    #[zbus(property)]
    fn loaded(&self) -> zbus::Result<bool>;

    /// Wanted property
    ///
    /// Whether the configuration asks for it.
    #[zbus(property)]
    fn wanted(&self) -> zbus::Result<bool>;

    /// State property
    ///
    /// live, coming (its init has not returned), going (being removed), or absent. Empty when it cannot be read.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Refcount property
    ///
    /// References held on it; -1 while it is not loaded or in flight.
    #[zbus(property)]
    fn refcount(&self) -> zbus::Result<i32>;

    /// Holders property
    ///
    /// Modules that use it.
    #[zbus(property)]
    fn holders(&self) -> zbus::Result<Vec<String>>;

    /// ModuleVersion property
    ///
    /// Its version; empty for modules built without one.
    #[zbus(property)]
    fn module_version(&self) -> zbus::Result<String>;

    /// SrcVersion property
    ///
    /// Its srcversion.
    #[zbus(property)]
    fn src_version(&self) -> zbus::Result<String>;

    /// Taint property
    ///
    /// Taint letters; empty for none.
    #[zbus(property)]
    fn taint(&self) -> zbus::Result<String>;

    /// Origin property
    ///
    /// Where it was built: in-tree, out-of-tree, or empty while it is not loaded.
    #[zbus(property)]
    fn origin(&self) -> zbus::Result<String>;

    /// Parameters property
    ///
    /// Parameters that may be read. Where one could not be, Unreadable has the key Parameters/NAME.
    #[zbus(property)]
    fn parameters(&self) -> zbus::Result<std::collections::HashMap<String, String>>;

    /// Unreadable property
    ///
    /// Properties of this object that could not be read, and why. The key Loaded says that nothing about the module could be.
    #[zbus(property)]
    fn unreadable(&self) -> zbus::Result<std::collections::HashMap<String, String>>;
}

/// One Onload release on this node: host (what packages installed), in-tree (the kernel's own driver), or one that was taken in.
#[proxy(
    interface = "com.amd.Onload1.Release",
    default_service = "com.amd.Onload1",
    assume_defaults = true
)]
pub trait Release {
    /// Name property
    ///
    /// Its name: a version, host or in-tree.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;

    /// Root property
    ///
    /// Root of its tree on the host; / for host.
    #[zbus(property)]
    fn root(&self) -> zbus::Result<String>;

    /// LibraryDirectory property
    ///
    /// Directory of the libraries below the root, such as usr/lib64.
    #[zbus(property)]
    fn library_directory(&self) -> zbus::Result<String>;

    /// Libraries property
    ///
    /// File names of the libraries.
    #[zbus(property)]
    fn libraries(&self) -> zbus::Result<Vec<String>>;

    /// Launcher property
    ///
    /// Whether the onload launcher is there.
    #[zbus(property)]
    fn launcher(&self) -> zbus::Result<bool>;

    /// Profiles property
    ///
    /// Names of its profiles.
    #[zbus(property)]
    fn profiles(&self) -> zbus::Result<Vec<String>>;

    /// Server property
    ///
    /// Its control-plane server below the root, such as sbin/onload_cp_server; empty where it has none.
    #[zbus(property)]
    fn server(&self) -> zbus::Result<String>;

    /// Modules property
    ///
    /// Its module files, by the kernel they are for: module, version and srcversion (empty where the file has none), path on the host, and whether a signature is appended (whose, and whether it is trusted, is not told here).
    #[zbus(property)]
    #[allow(clippy::type_complexity)]
    fn modules(
        &self,
    ) -> zbus::Result<std::collections::HashMap<String, Vec<(String, String, String, String, bool)>>>;

    /// Kernels property
    ///
    /// By kernel, for each on the disk and each it has modules for, everything that speaks against loading it there: one CamelCase word, why, and what to do. An empty list says that nothing does.
    #[zbus(property)]
    fn kernels(
        &self,
    ) -> zbus::Result<std::collections::HashMap<String, Vec<(String, String, String)>>>;

    /// Remarks property
    ///
    /// By kernel, what is worth knowing and keeps nothing from happening, such as an initramfs that carries another sfc or lacks the names that ports are pinned to: one CamelCase word, why, and what to do. Only kernels of which there is something to say.
    #[zbus(property)]
    fn remarks(
        &self,
    ) -> zbus::Result<std::collections::HashMap<String, Vec<(String, String, String)>>>;

    /// MatchesDriver property
    ///
    /// Whether its libraries fit the loaded driver: yes, no, or unknown (no driver is loaded, or it could not be read: see Unreadable).
    #[zbus(property)]
    fn matches_driver(&self) -> zbus::Result<String>;

    /// Unreadable property
    ///
    /// Properties of this object that could not be read, and why.
    #[zbus(property)]
    fn unreadable(&self) -> zbus::Result<std::collections::HashMap<String, String>>;
}

/// A named set of devices under one resource. Every device is in exactly one of Free, Local, Containers and Unhealthy; ListDevices names them.
#[proxy(
    interface = "com.amd.Onload1.Pool",
    default_service = "com.amd.Onload1",
    assume_defaults = true
)]
pub trait Pool {
    /// Name property
    ///
    /// Its name.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;

    /// Kind property
    ///
    /// Its kind, such as onload.
    #[zbus(property)]
    fn kind(&self) -> zbus::Result<String>;

    /// Resource property
    ///
    /// Its name for Kubernetes, such as amd.com/onload.
    #[zbus(property)]
    fn resource(&self) -> zbus::Result<String>;

    /// Selectors property
    ///
    /// What it selects its ports by: ports, families, numa-nodes, drivers, each with its values, of which one must hold. Empty: every port of its kind.
    #[zbus(property)]
    fn selectors(&self) -> zbus::Result<std::collections::HashMap<String, Vec<String>>>;

    /// Ports property
    ///
    /// PCI addresses of the ports it stands on.
    #[zbus(property)]
    fn ports(&self) -> zbus::Result<Vec<String>>;

    /// Slots property
    ///
    /// Devices it has.
    #[zbus(property)]
    fn slots(&self) -> zbus::Result<u32>;

    /// Free property
    ///
    /// Healthy and lent to nobody.
    #[zbus(property)]
    fn free(&self) -> zbus::Result<u32>;

    /// Local property
    ///
    /// Lent to local programs, or about to be.
    #[zbus(property)]
    fn local(&self) -> zbus::Result<u32>;

    /// Containers property
    ///
    /// Lent to containers.
    #[zbus(property)]
    fn containers(&self) -> zbus::Result<u32>;

    /// Unhealthy property
    ///
    /// Lent to nobody, and cannot work.
    #[zbus(property)]
    fn unhealthy(&self) -> zbus::Result<u32>;

    /// Registered property
    ///
    /// Whether a kubelet has accepted it.
    #[zbus(property)]
    fn registered(&self) -> zbus::Result<bool>;

    /// Registration property
    ///
    /// How a kubelet comes to know it: directory (it is registered) or watcher (the kubelet finds it in its registry of plugins).
    #[zbus(property)]
    fn registration(&self) -> zbus::Result<String>;

    /// Causes property
    ///
    /// Why devices cannot work, in words, and how many of them, lent ones included.
    #[zbus(property)]
    fn causes(&self) -> zbus::Result<std::collections::HashMap<String, u32>>;
}

/// The system clock, or a PTP hardware clock. There are none where the configuration has them left alone. Of Offset, PathDelay, Frequency and AheadOfSystem the smallest number there is, -9223372036854775808, stands for none.
#[proxy(
    interface = "com.amd.Onload1.Clock",
    default_service = "com.amd.Onload1",
    assume_defaults = true
)]
pub trait Clock {
    /// Name property
    ///
    /// system, ptp0 and so on.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;

    /// Device property
    ///
    /// Its device, such as /dev/ptp0; empty for the system clock.
    #[zbus(property)]
    fn device(&self) -> zbus::Result<String>;

    /// DriverName property
    ///
    /// What its driver calls it; empty for the system clock.
    #[zbus(property)]
    fn driver_name(&self) -> zbus::Result<String>;

    /// Interfaces property
    ///
    /// Network interfaces whose clock it is.
    #[zbus(property)]
    fn interfaces(&self) -> zbus::Result<Vec<String>>;

    /// Synchronised property
    ///
    /// yes where it has been disciplined and near enough for a while, no, or unknown.
    #[zbus(property)]
    fn synchronised(&self) -> zbus::Result<String>;

    /// Since property
    ///
    /// Since when that is so.
    #[zbus(property)]
    fn since(&self) -> zbus::Result<u64>;

    /// Standing property
    ///
    /// What the last look alone says: good, bad (somebody steers it, and it is not near enough or an alarm says otherwise), free (nobody steers it) or unknown.
    #[zbus(property)]
    fn standing(&self) -> zbus::Result<String>;

    /// Reason property
    ///
    /// Why, as one CamelCase word.
    #[zbus(property)]
    fn reason(&self) -> zbus::Result<String>;

    /// Message property
    ///
    /// The same for people.
    #[zbus(property)]
    fn message(&self) -> zbus::Result<String>;

    /// SteeredBy property
    ///
    /// Who steers it; empty for nobody. Kind (s: sfptpd, chronyd, ntpd, systemd-timesyncd, ptp4l, phc2sys or ts2phc), Pid (u), and where there is one Unit (s) and Container (s).
    #[zbus(property)]
    fn steered_by(&self) -> zbus::Result<std::collections::HashMap<String, zbus::OwnedVariant>>;

    /// Source property
    ///
    /// What it follows, such as an instance of PTP, an NTP server or another clock.
    #[zbus(property)]
    fn source(&self) -> zbus::Result<String>;

    /// Grandmaster property
    ///
    /// The PTP grandmaster behind that.
    #[zbus(property)]
    fn grandmaster(&self) -> zbus::Result<String>;

    /// HasOffset property
    ///
    /// Whether Offset is known.
    #[zbus(property)]
    fn has_offset(&self) -> zbus::Result<bool>;

    /// Offset property
    ///
    /// How far it is ahead of what it follows, in nanoseconds.
    #[zbus(property)]
    fn offset(&self) -> zbus::Result<i64>;

    /// PathDelay property
    ///
    /// How long the way to that takes, in nanoseconds.
    #[zbus(property)]
    fn path_delay(&self) -> zbus::Result<i64>;

    /// Frequency property
    ///
    /// Correction of its frequency, in parts per billion.
    #[zbus(property)]
    fn frequency(&self) -> zbus::Result<i64>;

    /// Alarms property
    ///
    /// Alarms of whoever steers it.
    #[zbus(property)]
    fn alarms(&self) -> zbus::Result<Vec<String>>;

    /// AheadOfSystem property
    ///
    /// How far it is ahead of the system clock by the kernel's own reading, in nanoseconds; none for the system clock itself. Whole seconds are those between TAI and UTC, where whoever steers it has it count TAI.
    #[zbus(property)]
    fn ahead_of_system(&self) -> zbus::Result<i64>;

    /// Leap property
    ///
    /// The leap second that the kernel will make: none, insert or delete; empty for others than the system clock.
    #[zbus(property)]
    fn leap(&self) -> zbus::Result<String>;

    /// Unreadable property
    ///
    /// Properties of this object that could not be read, and why.
    #[zbus(property)]
    fn unreadable(&self) -> zbus::Result<std::collections::HashMap<String, String>>;
}

/// One device lent to a holder.
#[proxy(
    interface = "com.amd.Onload1.Allocation",
    default_service = "com.amd.Onload1",
    assume_defaults = true
)]
pub trait Allocation {
    /// Id property
    ///
    /// Its id, as Free takes it.
    #[zbus(property)]
    fn id(&self) -> zbus::Result<String>;

    /// Pool property
    ///
    /// The pool the device belongs to.
    #[zbus(property)]
    fn pool(&self) -> zbus::Result<String>;

    /// Device property
    ///
    /// The device. It can change: a local holder of an interchangeable slot moves when the kubelet has chosen the same slot.
    #[zbus(property)]
    fn device(&self) -> zbus::Result<String>;

    /// Holder property
    ///
    /// Who has it, in words.
    #[zbus(property)]
    fn holder(&self) -> zbus::Result<String>;

    /// HolderKind property
    ///
    /// container, process, unit or user.
    #[zbus(property)]
    fn holder_kind(&self) -> zbus::Result<String>;

    /// Pid property
    ///
    /// Process id of a process; else 0.
    #[zbus(property)]
    fn pid(&self) -> zbus::Result<u32>;

    /// Uid property
    ///
    /// User id of a process or user; for a container 4294967295.
    #[zbus(property)]
    fn uid(&self) -> zbus::Result<u32>;

    /// Comm property
    ///
    /// Command name of a process.
    #[zbus(property)]
    fn comm(&self) -> zbus::Result<String>;

    /// Unit property
    ///
    /// Name of the holding unit of the system manager; empty for the others.
    #[zbus(property)]
    fn unit(&self) -> zbus::Result<String>;

    /// PodNamespace property
    ///
    /// Namespace of the pod of a container; empty for the others, and until the kubelet has named the pod.
    #[zbus(property)]
    fn pod_namespace(&self) -> zbus::Result<String>;

    /// PodName property
    ///
    /// Name of that pod. The kubelet tells no UID: a pod made again under the same name looks like the former.
    #[zbus(property)]
    fn pod_name(&self) -> zbus::Result<String>;

    /// ContainerName property
    ///
    /// Name of the container in that pod.
    #[zbus(property)]
    fn container_name(&self) -> zbus::Result<String>;

    /// Tenure property
    ///
    /// What ends it: kubelet, client, unit, persistent or lease.
    #[zbus(property)]
    fn tenure(&self) -> zbus::Result<String>;

    /// Since property
    ///
    /// Since when.
    #[zbus(property)]
    fn since(&self) -> zbus::Result<u64>;

    /// Until property
    ///
    /// End of a lease; 0 for the other tenures.
    #[zbus(property)]
    fn until(&self) -> zbus::Result<u64>;
}

/// Whom this machine trusts to sign kernel modules, what is to be enrolled, and what the running kernel would say to the modules of each release. No property holds a password or what was made of one.
#[proxy(
    interface = "com.amd.Onload1.SecureBoot",
    default_service = "com.amd.Onload1",
    default_path = "/com/amd/Onload1"
)]
pub trait SecureBoot {
    /// State property
    ///
    /// enabled, disabled, setup-mode (no platform key: nothing is enforced), validation-off (shim was told to validate nothing), not-applicable (no EFI) or unknown (see Unreadable).
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Shim property
    ///
    /// Whether shim started this machine; without it no request to enrol a key is looked at.
    #[zbus(property)]
    fn shim(&self) -> zbus::Result<bool>;

    /// Variables property
    ///
    /// Whether the running system can write the firmware's variables: writable, read-only, or no-run-time (the kernel does not call the firmware, efi=noruntime); empty where there is no EFI.
    #[zbus(property)]
    fn variables(&self) -> zbus::Result<String>;

    /// Enforcement property
    ///
    /// What the running kernel does with modules whose signature it does not trust: refused, or taken (and tainted); empty where it does not look at signatures.
    #[zbus(property)]
    fn enforcement(&self) -> zbus::Result<String>;

    /// Lockdown property
    ///
    /// none, integrity or confidentiality; empty where the kernel has no lockdown.
    #[zbus(property)]
    fn lockdown(&self) -> zbus::Result<String>;

    /// Keys property
    ///
    /// Keys that have a name here, those that the configuration names first: Name (s, the certificate's subject), State (s, one CamelCase word such as Enrolled, EnrolmentPending, RequestLost, NotEnrolled, Revoked, CertificateUnreadable), Message (s, one sentence), Fix (s, empty where nothing is to be done), Places (as: mok, db, and rings of the kernel by name), and RevokedBy (as: mokx, dbx, .blacklist). Where the certificate is at hand: Fingerprint (s, SHA-256 over it, hexadecimal), Issuer (s), Serial (s, as modinfo prints it), KeyId (s), NotAfter (s). Path (s) where the configuration names it, Asked (t) where shim was asked for it from here.
    #[zbus(property)]
    fn keys(&self) -> zbus::Result<Vec<std::collections::HashMap<String, zbus::OwnedVariant>>>;

    /// Requests property
    ///
    /// What shim has been asked for, and will ask a person about at the next boot: the variable (MokNew, MokDel, MokXNew, MokXDel, MokSB, MokDB, MokListTrustedNew, MokPW), the fingerprints of the certificates in it, and what keeps it from being carried out, or nothing.
    #[zbus(property)]
    fn requests(&self) -> zbus::Result<Vec<(String, Vec<String>, String)>>;

    /// PromptTimeout property
    ///
    /// How many seconds MokManager will wait for somebody, if it was told; 0 where it was not, when it waits 10.
    #[zbus(property)]
    fn prompt_timeout(&self) -> zbus::Result<i32>;

    /// Verdicts property
    ///
    /// By release that has modules for the running kernel, for each of them: module, verdict (trusted, refused, tainted, unknown), reason (one CamelCase word, empty for trusted), signer as modinfo prints it, why, by which rule this kernel decides, and what to do.
    #[zbus(property)]
    #[allow(clippy::type_complexity)]
    fn verdicts(
        &self,
    ) -> zbus::Result<
        std::collections::HashMap<
            String,
            Vec<(String, String, String, String, String, String, String)>,
        >,
    >;

    /// SealedDisks property
    ///
    /// Open encrypted volumes of which crypttab or the kernel's command line says that the TPM unlocks them, which enrolling a key may end: which, why, and what to do before. Others may be bound by their headers alone, which the daemon may not read; onloadctl does.
    #[zbus(property)]
    fn sealed_disks(&self) -> zbus::Result<Vec<(String, String, String)>>;

    /// Unreadable property
    ///
    /// Properties of this interface that could not be read, and why.
    #[zbus(property)]
    fn unreadable(&self) -> zbus::Result<std::collections::HashMap<String, String>>;

    /// ImportKey method
    ///
    /// Has shim ask for a key at the next boot, where somebody at the console has to type the password; for as long as secure-boot.prompt-timeout of the configuration says. Options: DespiteSealedDisks (b): also where a disk is in SealedDisks. Fails with Blocked where the key is enrolled, asked for or revoked already, or a disk is sealed, Unsupported where no request can be made, InvalidArgument. Nothing is ever asked for again by itself.
    ///
    /// # Arguments
    ///
    /// * `certificate` - The certificate, DER or PEM.
    /// * `hash` - The password, hashed as crypt(3) does by SHA-512 or SHA-256 ($6$ or $5$). It is written into a variable of the firmware, and kept and shown nowhere else.
    /// * `options` - DespiteSealedDisks.
    /// * `job` - The job to follow.
    fn import_key(
        &self,
        certificate: &[u8],
        hash: &str,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<zbus::OwnedObjectPath>;

    /// RevokeRequest method
    ///
    /// Has shim not ask for the keys that were asked for here, and forgets that they were. Options: All (b): also for what others asked to be enrolled. Fails with NotFound where nothing of the kind is asked for or remembered.
    ///
    /// # Arguments
    ///
    /// * `options` - All.
    /// * `job` - The job to follow.
    fn revoke_request(
        &self,
        options: std::collections::HashMap<&str, &zbus::Variant<'_>>,
    ) -> zbus::Result<zbus::OwnedObjectPath>;
}

/// One long order. The last few that ended stay for a while.
#[proxy(
    interface = "com.amd.Onload1.Job",
    default_service = "com.amd.Onload1",
    assume_defaults = true
)]
pub trait Job {
    /// Id property
    ///
    /// Its id.
    #[zbus(property)]
    fn id(&self) -> zbus::Result<String>;

    /// Kind property
    ///
    /// What was ordered: apply, use, rollback, adopt, import, remove, import-key or revoke-request.
    #[zbus(property)]
    fn kind(&self) -> zbus::Result<String>;

    /// State property
    ///
    /// running, done, failed or cancelled.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// Done property
    ///
    /// Steps done.
    #[zbus(property)]
    fn done(&self) -> zbus::Result<u32>;

    /// Total property
    ///
    /// Steps done and to do, as far as is known now.
    #[zbus(property)]
    fn total(&self) -> zbus::Result<u32>;

    /// Message property
    ///
    /// What is going on, or how it ended; in three lines, as an error, where it failed for a reason that brings its remedy.
    #[zbus(property)]
    fn message(&self) -> zbus::Result<String>;

    /// Uid property
    ///
    /// User id of who ordered it.
    #[zbus(property)]
    fn uid(&self) -> zbus::Result<u32>;

    /// Started property
    ///
    /// Since when.
    #[zbus(property)]
    fn started(&self) -> zbus::Result<u64>;

    /// Cancel method
    ///
    /// Stops it at the next step. Whoever ordered it may do so with the action com.amd.onload1.allocate; anybody else needs the one named here.
    fn cancel(&self) -> zbus::Result<()>;
}
