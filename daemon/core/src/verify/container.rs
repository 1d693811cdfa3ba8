//! A container that holds devices, as it looks from the host: whether its programs have what its
//! allocation gave them. A pod's own `LD_PRELOAD` wins over the plugin's, and then nothing is
//! accelerated and nobody says so (reference/kubernetes-onload.md section 1.3).

use std::collections::BTreeMap;

use super::Check;
use super::stack::Mapped;
use crate::inventory::{DeviceNode, LIBRARY};
use crate::reading::Reading;

const PRELOAD: &str = "LD_PRELOAD";
/// Variables that Onload reads.
const OURS: [&str; 2] = ["EF_", "ONLOAD_"];
const RESTART: &str = "restart the pod: a new container gets what the loaded release has";

/// A container that holds devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Namespace of its pod.
    pub namespace: String,
    /// Name of its pod.
    pub pod: String,
    /// Its name in there.
    pub name: String,
    /// What it holds.
    pub devices: Vec<String>,
    /// Whether its pools have programs preload the library.
    pub preloads: bool,
    /// The process it was started with; absent where none was found, unreadable where none can be.
    pub main: Reading<Process>,
    /// A process of it other than that one that has the library: id and name.
    pub other: Option<(u32, String)>,
}

/// A process of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its id on the host.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// What it was started with.
    pub environment: Reading<BTreeMap<String, String>>,
    /// The library in it.
    pub library: Reading<Mapped>,
    /// Whether that library has the interface hash of the loaded driver.
    pub fits: Reading<bool>,
    /// Device nodes where it sees them.
    pub nodes: BTreeMap<String, Reading<DeviceNode>>,
}

/// Reads `/proc/PID/environ`.
pub fn parse_environment(bytes: &[u8]) -> BTreeMap<String, String> {
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|pair| {
        let pair = String::from_utf8_lossy(pair);
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// Whether the loader is told to begin with the library; ld.so(8) parts names by colons and spaces.
fn names_library(preload: &str) -> bool {
    let files = preload.split([':', ' ']).map(|path| path.rsplit('/').next().unwrap_or_default());
    files.into_iter().any(|file| file.starts_with(LIBRARY))
}

impl Container {
    /// `default/web (app)`.
    pub fn whole(&self) -> String {
        format!("{}/{} ({})", self.namespace, self.pod, self.name)
    }

    fn check(&self, id: &str, what: &str, looked: String) -> Check {
        Check::new(id, &format!("{} in {}", what, self.whole()), looked)
    }

    /// The process to judge by, or the check of why there is none.
    fn main(&self, id: &str, what: &str) -> Result<&Process, Box<Check>> {
        let skip = |why: &str| Box::new(self.check(id, what, "/proc".to_owned()).skip(why));
        match &self.main {
            Reading::Known(process) => Ok(process),
            Reading::Unreadable(why) => Err(skip(why)),
            Reading::Absent => Err(skip(
                "none of its processes is found: it has ended or not begun, or its runtime leaves no log in /var/log/containers",
            )),
        }
    }

    /// What it holds.
    pub fn devices(&self) -> Check {
        self.check("container-devices", "devices", self.devices.join(", "))
    }

    /// Whether its programs run with the library.
    pub fn preload(&self) -> Check {
        const ID: &str = "container-preload";
        let process = match self.main(ID, PRELOAD) {
            Ok(process) => process,
            Err(check) => return *check,
        };
        let check = |looked: String| {
            let who = format!("pid {} ({})", process.pid, process.comm);
            self.check(ID, PRELOAD, format!("{who}: {looked}"))
        };
        let environment = match &process.environment {
            Reading::Known(environment) => environment,
            Reading::Absent => return check("no environment".to_owned()).skip("it has ended"),
            Reading::Unreadable(why) => return check("its environment".to_owned()).skip(why),
        };
        let preload = environment.get(PRELOAD).map_or("", String::as_str);
        let named = names_library(preload);
        let set = if preload.is_empty() { "not set".to_owned() } else { preload.to_owned() };
        let mapped = match &process.library {
            Reading::Unreadable(why) => return check(set).skip(why),
            Reading::Known(mapped) => return check(format!("{set}, {} is mapped", mapped.path)),
            Reading::Absent => self.other.as_ref(),
        };
        if let Some((pid, comm)) = mapped {
            return check(format!("{set}, pid {pid} ({comm}) has the library"));
        }
        if !self.preloads {
            return check(set).skip("its pool leaves it to the container (`preload = false`)");
        }
        let fix = if named {
            return check(set).fail(
                "the library is named and not mapped: the program is static or runs with more privilege than its caller, or its loader cannot use the library",
                "see the container's first lines of output for what the loader says; a static program cannot be accelerated",
            );
        } else if preload.is_empty() {
            "see that neither pod nor entry point empties LD_PRELOAD, and that the pod was made while the pool preloads"
        } else {
            "take LD_PRELOAD out of the pod's env, envFrom or entry point, or put the library's path in the container before what it has"
        };
        let why = match preload {
            "" => "LD_PRELOAD is not set: the program runs unaccelerated".to_owned(),
            other => {
                format!("LD_PRELOAD is the pod's own ({other}): the program runs unaccelerated")
            }
        };
        check(set).fail(why, fix)
    }

    /// Whether its library fits the loaded driver.
    pub fn library(&self) -> Check {
        const ID: &str = "container-library";
        const WHAT: &str = "library";
        let process = match self.main(ID, WHAT) {
            Ok(process) => process,
            Err(check) => return *check,
        };
        let mapped = match &process.library {
            Reading::Known(mapped) => mapped,
            Reading::Absent => {
                return self
                    .check(ID, WHAT, "none is mapped".to_owned())
                    .skip("there is none to compare");
            }
            Reading::Unreadable(why) => {
                return self.check(ID, WHAT, "its mappings".to_owned()).skip(why);
            }
        };
        let check = self.check(ID, WHAT, mapped.path.clone());
        match &process.fits {
            Reading::Known(true) if mapped.deleted => check.warn(
                "its file was replaced while the program runs; the program keeps the former",
                RESTART,
            ),
            Reading::Known(true) => check,
            // reference/onload-modules.md section 4.
            Reading::Known(false) => check.fail(
                "it is of another release than the loaded driver, so every new socket of the program fails",
                RESTART,
            ),
            Reading::Absent if mapped.deleted => {
                check.warn("its file is gone; the program keeps what it has mapped", RESTART)
            }
            Reading::Absent => check.skip("no driver is loaded to compare it with"),
            Reading::Unreadable(why) => check.skip(why),
        }
    }

    /// Whether it sees the device nodes of the loaded modules; `here`: those of the host.
    pub fn nodes(&self, here: &BTreeMap<String, Reading<DeviceNode>>) -> Check {
        const ID: &str = "container-nodes";
        const WHAT: &str = "device nodes";
        let process = match self.main(ID, WHAT) {
            Ok(process) => process,
            Err(check) => return *check,
        };
        let told = |(path, node): (&String, &Reading<DeviceNode>)| match node {
            Reading::Known(node) => format!("{path} {}:{}", node.major, node.minor),
            Reading::Absent => format!("{path} not there"),
            Reading::Unreadable(_) => format!("{path} ?"),
        };
        let looked: Vec<_> = process.nodes.iter().map(told).collect();
        let check = self.check(ID, WHAT, looked.join(", "));
        for (path, node) in &process.nodes {
            let host = here.get(path).and_then(Reading::known);
            match (node, host) {
                (Reading::Absent, _) => {
                    let fix = "see that this container, and not another of the pod, asks for the resource";
                    return check.fail(format!("{path} is not in it"), fix);
                }
                (Reading::Unreadable(why), _) => return check.skip(format!("{path}: {why}")),
                (Reading::Known(node), Some(host))
                    if (node.major, node.minor) != (host.major, host.minor) =>
                {
                    let why = format!(
                        "{path} is {}:{} in it and {}:{} on the host: it is of modules that were replaced",
                        node.major, node.minor, host.major, host.minor
                    );
                    return check.fail(why, RESTART);
                }
                (Reading::Known(_), _) => {}
            }
        }
        check
    }

    /// What it has set for Onload.
    pub fn variables(&self) -> Check {
        const ID: &str = "container-variables";
        const WHAT: &str = "Onload's variables";
        let process = match self.main(ID, WHAT) {
            Ok(process) => process,
            Err(check) => return *check,
        };
        match &process.environment {
            Reading::Known(environment) => {
                let ours = environment
                    .iter()
                    .filter(|(name, _)| OURS.iter().any(|prefix| name.starts_with(prefix)));
                let ours: Vec<_> = ours.map(|(name, value)| format!("{name}={value}")).collect();
                let looked = if ours.is_empty() { "none set".to_owned() } else { ours.join(" ") };
                self.check(ID, WHAT, looked)
            }
            Reading::Absent => self.check(ID, WHAT, String::new()).skip("it has ended"),
            Reading::Unreadable(why) => self.check(ID, WHAT, String::new()).skip(why),
        }
    }
}

#[cfg(test)]
mod tests;
