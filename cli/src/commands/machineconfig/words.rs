//! The words of `machineconfig` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum MachineconfigVerb {
    /// Print it, from files alone: the same files give the same text
    Render(Box<Wanted>),
}

/// How the software comes to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Delivery {
    /// It is in the OS image (packaging/rhcos/Containerfile): right driver at the first boot into it
    #[default]
    Layered,
    /// A unit fetches it from the image of --release: right driver at the second boot
    Pull,
}

/// What is rendered.
#[derive(Clone, Debug, Args)]
pub struct Wanted {
    /// The pool of nodes it is for
    #[arg(long, default_value = "worker", value_name = "ROLE")]
    pub role: String,
    /// Its name; otherwise 99-ROLE-onloadd
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How onloadd comes to the nodes
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub deliver: Delivery,
    /// The OS image that has it, for the nodes to boot
    #[arg(long, value_name = "IMAGE")]
    pub os_image: Option<String>,
    /// An Onload release that is not in the OS image: an image that nodes fetch, or a directory, which
    /// has to be small, for it travels in the MachineConfig
    #[arg(long, value_name = "IMAGE|DIR")]
    pub release: Option<String>,
    /// The name to take the release in by; otherwise the one that the configuration asks for
    #[arg(long, value_name = "NAME", requires = "release")]
    pub release_name: Option<String>,
    /// A file for /etc/onloadd/onloadd.toml.d, under its own name; may be given again
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// One with names of ports ([naming], "explicit"): link files are rendered besides
    #[arg(long, value_name = "FILE")]
    pub naming: Option<PathBuf>,
    /// A configuration for sfptpd, which onloadd then runs
    #[arg(long, value_name = "FILE")]
    pub clock: Option<PathBuf>,
    /// The certificate of a key for modules, which shim is to ask for; may be given again
    #[arg(long, value_name = "CERT")]
    pub cert: Vec<PathBuf>,
    /// First line: the password for it, hashed as `openssl passwd -6` does; otherwise the terminal asks,
    /// and the text is another each time, for so is the salt
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub password_hash: Option<PathBuf>,
    /// Make a password that every keyboard types alike, and show it once, on standard error
    #[arg(long, requires = "cert", conflicts_with = "password_hash")]
    pub generate_password: bool,
    /// A file for /etc/modprobe.d, under its own name; may be given again
    #[arg(long, value_name = "FILE")]
    pub modprobe: Vec<PathBuf>,
    /// A further file, with its mode in octal (0644 unless given); may be given again
    #[arg(long, value_name = "PATH=FILE[:MODE]")]
    pub file: Vec<String>,
    /// A further unit, enabled, under its own name; may be given again
    #[arg(long, value_name = "FILE")]
    pub unit: Vec<PathBuf>,
    /// A unit to be disabled, such as chronyd.service; may be given again
    #[arg(long, value_name = "UNIT")]
    pub disable_unit: Vec<String>,
    /// A word for the kernel's command line; may be given again
    #[arg(long, value_name = "ARGUMENT")]
    pub kernel_argument: Vec<String>,
    /// Version of Ignition: 3.2.0, 3.3.0, 3.4.0 or 3.5.0
    #[arg(long, default_value = "3.4.0", value_name = "VERSION")]
    pub ignition: String,
    /// Print Butane, which `butane` turns into the same MachineConfig
    #[arg(long)]
    pub butane: bool,
    /// Write it into this file
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
