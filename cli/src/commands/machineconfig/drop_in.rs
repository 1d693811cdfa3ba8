//! The file of onloadd's configuration that says what follows from the other words of the command line.

use onload_core::config::Fragment;

use crate::ended::Complaint;

use super::mode::Mode;
use super::parts::Parts;

/// Where onloadd looks for what an administrator adds (DESIGN section 2).
pub const DIRECTORY: &str = "/etc/onloadd/onloadd.toml.d";
/// After what is given, which has a lower number where it has one.
pub const NAME: &str = "90-machineconfig.toml";

const HEADER: &str = "\
    # Rendered by `onloadctl machineconfig render`. To change it: render it anew, and put that into the\n\
    # MachineConfig, which a node has to match.\n";

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropIn {
    /// `[modules] release`.
    pub release: Option<&'static str>,
    /// `[ptp] mode = "manage"`, where it is not said yet.
    pub manage: bool,
    /// `[ptp] configuration`, a path.
    pub clock: Option<String>,
    /// Certificates that shim is asked for, paths.
    pub certificates: Vec<String>,
    /// The hash of the password for them, a path.
    pub hash: String,
}

impl DropIn {
    /// Its text; empty where there is nothing to say. Paths have no character that TOML escapes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(release) = self.release {
            text += &format!("\n[modules]\nrelease = \"{release}\"\n");
        }
        if self.manage || self.clock.is_some() {
            text += "\n[ptp]\n";
            if self.manage {
                text += "mode = \"manage\"\n";
            }
            if let Some(clock) = &self.clock {
                text += &format!("configuration = \"{clock}\"\n");
            }
        }
        if !self.certificates.is_empty() {
            text += "\n[secure-boot]\ncertificates = [\n";
            text.extend(self.certificates.iter().map(|path| format!("    \"{path}\",\n")));
            text += "]\n";
            text.extend(self.certificates.iter().map(|path| {
                format!(
                    "\n[[secure-boot.requests]]\ncertificate = \"{path}\"\npassword-hash = \"{}\"\n",
                    self.hash
                )
            }));
        }
        if text.is_empty() { text } else { format!("{HEADER}{text}") }
    }

    /// As onloadd would read it.
    pub fn fragment(&self) -> Option<Fragment> {
        Some(self.text())
            .filter(|text| !text.is_empty())
            .map(|text| Fragment { file: NAME.to_owned(), text })
    }

    /// Adds the file, where there is something to say.
    ///
    /// # Errors
    /// A file of that name was given.
    pub fn put(&self, parts: &mut Parts) -> Result<(), Complaint> {
        match self.text() {
            text if text.is_empty() => Ok(()),
            text => parts.file(&format!("{DIRECTORY}/{NAME}"), text, Mode::COMMON),
        }
    }
}
