//! The D-Bus contract of onloadd as Rust: names, paths, errors with their exit codes, and proxies.
//! The contract itself, member by member, is `dbus/com.amd.Onload1.xml`.

pub mod error;
pub mod path;
#[rustfmt::skip] // Generated, and compared byte by byte with what the generator writes.
pub mod proxies;

/// The contract, as shipped.
pub const CONTRACT: &str = include_str!("../com.amd.Onload1.xml");

/// The well-known bus name.
pub const BUS_NAME: &str = "com.amd.Onload1";

/// The annotation of the contract that names the polkit action of a method.
pub const ACTION_ANNOTATION: &str = "com.amd.Onload1.Action";

/// Interface names.
pub mod interface {
    /// The node.
    pub const MANAGER: &str = "com.amd.Onload1.Manager";
    /// A port.
    pub const PORT: &str = "com.amd.Onload1.Port";
    /// A kernel module.
    pub const MODULE: &str = "com.amd.Onload1.Module";
    /// A release.
    pub const RELEASE: &str = "com.amd.Onload1.Release";
    /// A pool.
    pub const POOL: &str = "com.amd.Onload1.Pool";
    /// A clock.
    pub const CLOCK: &str = "com.amd.Onload1.Clock";
    /// An allocation.
    pub const ALLOCATION: &str = "com.amd.Onload1.Allocation";
    /// Secure Boot and keys.
    pub const SECURE_BOOT: &str = "com.amd.Onload1.SecureBoot";
    /// A job.
    pub const JOB: &str = "com.amd.Onload1.Job";
}

/// polkit actions.
pub mod action {
    /// Borrow and give back devices.
    pub const ALLOCATE: &str = "com.amd.onload1.allocate";
    /// Change what is loaded.
    pub const MANAGE_MODULES: &str = "com.amd.onload1.manage-modules";
    /// Ask for keys.
    pub const MANAGE_KEYS: &str = "com.amd.onload1.manage-keys";
    /// Say who steers the system clock.
    pub const MANAGE_CLOCK: &str = "com.amd.onload1.manage-clock";
    /// Freeze the node.
    pub const HOLD: &str = "com.amd.onload1.hold";
}
