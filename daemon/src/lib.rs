//! The daemon as a library: the host behind one trait, the edges around one loop.

pub mod app;
pub mod boot;
pub mod bus;
pub mod captured;
pub mod cdi;
pub mod clock;
pub mod contained;
pub mod descriptor;
pub mod host;
pub mod initramfs;
pub mod kubelet;
pub mod ledger_file;
pub mod letterbox;
pub mod logging;
pub mod metrics;
pub mod module_file;
pub mod network;
pub mod processes;
pub mod resident;
pub mod restore;
pub mod service;
pub mod settings_dir;
mod socket;
pub mod store;
pub mod units;
pub mod variables;
