//! The machine itself: its name, and the recording that onloadd makes of it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::programs;

/// Where packages put it.
const ONLOADD: &str = "/usr/sbin/onloadd";
/// A look takes a second or two; with initramfs images of many kernels to open, some ten.
const LIMIT: Duration = Duration::from_secs(120);
/// Names that are tried for a directory of our own.
const ATTEMPTS: u32 = 100;

/// What a machine is called that has no name.
pub(super) const UNNAMED: &str = "node";

/// A directory that only we can enter, gone with all that is in it when this is dropped.
#[derive(Debug)]
pub(super) struct Private(PathBuf);

impl Private {
    pub(super) fn new() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for number in 0..ATTEMPTS {
            let name = format!("onloadctl-capture-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            // Somebody may have made it before us: then it is not ours, whatever it is.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Nobody to tell; nobody else can look into it.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// What the machine calls itself.
pub(super) fn host(root: &Path) -> String {
    let file = root.join("proc/sys/kernel/hostname");
    let named = fs::read_to_string(file).ok().map(|name| name.trim().to_owned());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| UNNAMED.to_owned())
}

/// The name as a part of a path: it is any text that somebody gave the kernel.
pub(super) fn component(host: &str) -> String {
    let may = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = host.chars().map(|c| if may(c) { c } else { '-' }).collect();
    if name.starts_with('.') || name.is_empty() { format!("{UNNAMED}{name}") } else { name }
}

/// Where onloadd may be: where the package puts it, beside this program, or in the `sbin` beside its `bin`, as
/// on nodes that fetch both into `/usr/local`.
fn places(this: Option<&Path>) -> Vec<PathBuf> {
    let directory = this.and_then(Path::parent);
    let near = directory.map(|directory| {
        let sbin = directory.parent().map(|above| above.join("sbin/onloadd"));
        [Some(directory.join("onloadd")), sbin]
    });
    let near = near.into_iter().flatten().flatten();
    [PathBuf::from(ONLOADD)].into_iter().chain(near).collect()
}

/// The onloadd to ask: the one named, or the first that is there.
pub(super) fn onloadd(named: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let this = std::env::current_exe().ok();
    let places = places(this.as_deref());
    if let Some(found) = places.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let places: Vec<_> = places.iter().map(|path| path.to_string_lossy()).collect();
    Err(format!("onloadd is not there: {}", places.join(", ")))
}

/// Has it look at the machine, and write what it read into the directory.
pub(super) async fn record(onloadd: &Path, root: &Path, into: &Path) -> Result<(), String> {
    let words: [OsString; 6] = [
        "--log".into(),
        "error".into(),
        "--root".into(),
        root.into(),
        "--record".into(),
        into.into(),
    ];
    let said = programs::ask(onloadd.as_os_str(), words, LIMIT).await?;
    // It was killed in the middle of its work.
    said.cut.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onloadd_is_looked_for_where_packages_and_fetched_programs_have_it() {
        let of = |this: Option<&str>| -> Vec<String> {
            let all = places(this.map(Path::new));
            all.iter().map(|path| path.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(
            of(Some("/usr/local/bin/onloadctl")),
            ["/usr/sbin/onloadd", "/usr/local/bin/onloadd", "/usr/local/sbin/onloadd"]
        );
        assert_eq!(of(None), ["/usr/sbin/onloadd"]);
    }
}
