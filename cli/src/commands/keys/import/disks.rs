//! Disks that the TPM may not unlock any more once a key is enrolled: what onloadd sees of them, and
//! what their headers say to root. Whoever is not at the console then would find a machine that waits
//! for a passphrase.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use onload_core::secure_boot::sealed::Words;
use onload_dbus::error::Kind;
use rustix::process::geteuid;

use super::WHAT;
use crate::commands::keys::sealed::{self, Found};
use crate::commands::keys::secure_boot::SecureBoot;
use crate::commands::keys::terminal::Terminal;
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::plain;

/// An answer longer than `yes` is none.
const ANSWER: usize = 4;

/// What is known.
#[derive(Debug, Default)]
pub struct Disks {
    /// What each of them means, and what to do.
    sealed: Vec<Words>,
    /// What could not be looked at.
    unseen: Option<String>,
    /// Whether onloadd takes some for sealed whose headers say that they are not.
    refuted: bool,
}

impl Disks {
    /// Of what onloadd sees, and of what this machine shows, if the node is this machine.
    pub fn of(seen: &SecureBoot, here: bool) -> Self {
        let found = if here { sealed::read(Path::new("/")) } else { Ok(BTreeMap::new()) };
        Self::from(seen, found, geteuid().is_root())
    }

    fn from(seen: &SecureBoot, found: io::Result<BTreeMap<String, Found>>, is_root: bool) -> Self {
        const AT_HAND: &str = "have the passphrase or recovery key at hand";
        let (found, unseen) = match found {
            Ok(found) if is_root || found.is_empty() => (found, None),
            Ok(found) => {
                let names = found.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let said = format!("only root can see how {names} is unlocked: {AT_HAND}");
                (BTreeMap::new(), Some(said))
            }
            Err(error) => {
                let said = format!("how disks are unlocked cannot be told ({error}): {AT_HAND}");
                (BTreeMap::new(), Some(said))
            }
        };
        let is_read =
            |name: &String| found.get(name).is_some_and(|one| one.bound.known().is_some());
        let mut sealed = sealed::words(&found);
        // The header knows better than what started from it.
        let others = seen.sealed_disks.iter().filter(|disk| !found.contains_key(&disk.disk));
        sealed.extend(others.map(|disk| Words { what: disk.why.clone(), fix: disk.fix.clone() }));
        let refuted = sealed.is_empty() && seen.sealed_disks.iter().any(|disk| is_read(&disk.disk));
        Self { sealed, unseen, refuted }
    }

    /// Has somebody decide, where there is something to decide. Whether onloadd shall not look at it.
    ///
    /// # Errors
    /// A disk is sealed, and nobody said that it may be.
    pub async fn settle(
        &self,
        output: Output,
        terminal: Option<&Terminal>,
        despite: bool,
    ) -> Result<bool, Ended> {
        if let Some(unseen) = &self.unseen {
            output.note(&plain(unseen))?;
        }
        if despite || self.sealed.is_empty() {
            self.tell(output)?;
            return Ok(despite || self.refuted);
        }
        if let Some(terminal) = terminal {
            self.tell(output)?;
            let answer = terminal.ask("Have shim ask for the key all the same? [y/N] ", ANSWER);
            if matches!(answer.await?.text(), "y" | "Y" | "yes" | "Yes") {
                return Ok(true);
            }
        }
        Err(self.refusal().into())
    }

    fn tell(&self, output: Output) -> io::Result<()> {
        let lines = self.sealed.iter().map(|one| format!("warning: {}; {}", one.what, one.fix));
        lines.into_iter().try_for_each(|line| output.note(&plain(&line)))
    }

    fn refusal(&self) -> Complaint {
        let (whats, mut fixes): (Vec<_>, Vec<_>) =
            self.sealed.iter().map(|one| (one.what.as_str(), one.fix.as_str())).unzip();
        fixes.dedup();
        let fix = format!("{}; then order it with --despite-sealed-disks", fixes.join("; "));
        Complaint::of(Kind::Blocked, WHAT, whats.join("; "), fix)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)] // A failed test is what a panic is for.

    use std::collections::BTreeSet;

    use onload_core::reading::Reading;
    use onload_core::secure_boot::sealed::volume::{Luks, Volume};
    use onload_core::secure_boot::sealed::{Sealed, Sealer};

    use super::*;
    use crate::commands::keys::sealed::Bound;
    use crate::commands::keys::secure_boot::SealedDisk;

    /// A volume that the TPM unlocks by some register.
    fn found(name: &str, pcr: u8) -> BTreeMap<String, Found> {
        let device = "/dev/sda3".to_owned();
        let sealed = Sealed {
            volume: name.into(),
            slot: Some(1),
            pcrs: [pcr].into(),
            signed_pcrs: BTreeSet::new(),
            pin: false,
            by: Sealer::Systemd,
        };
        let bound = Reading::Known(Bound { device: device.clone(), sealed: vec![sealed] });
        let devices = [device].into();
        let volume = Volume { luks: Luks::Two, uuid: "u".into(), devices, asked: None };
        [(name.to_owned(), Found { volume, bound })].into()
    }

    fn seen(disks: &[&str]) -> SecureBoot {
        let disk = |name: &&str| SealedDisk {
            disk: (*name).to_owned(),
            why: format!("volume {name} may be unlocked"),
            fix: "have it at hand".into(),
        };
        SecureBoot { sealed_disks: disks.iter().map(disk).collect(), ..SecureBoot::default() }
    }

    async fn settled(disks: &Disks, despite: bool) -> Result<bool, Complaint> {
        disks.settle(Output::new(false), None, despite).await.map_err(|ended| match ended {
            Ended::Complaint(complaint) => complaint,
            Ended::Output(error) => panic!("{error}"),
        })
    }

    #[tokio::test]
    async fn a_sealed_disk_is_for_somebody_to_decide() {
        let disks = Disks::from(&seen(&["data"]), Ok(found("root", 7)), true);
        let refused = settled(&disks, false).await.unwrap_err();
        assert_eq!(refused.name, "Blocked");
        assert!(refused.why.contains("volume root is unlocked by the TPM while PCR 7"));
        assert!(refused.why.ends_with("; volume data may be unlocked"), "{refused:?}");
        assert!(refused.fix.contains("--tpm2-pcrs=7 /dev/sda3; have it at hand; then"));
        assert_eq!(settled(&disks, true).await, Ok(true));
    }

    #[tokio::test]
    async fn a_header_knows_better_than_what_onloadd_sees() {
        let harmless = Disks::from(&seen(&["root"]), Ok(found("root", 4)), true);
        assert_eq!(settled(&harmless, false).await, Ok(true), "onloadd would refuse");
        let nothing = Disks::from(&seen(&[]), Ok(BTreeMap::new()), true);
        assert_eq!(settled(&nothing, false).await, Ok(false));
        let other = Disks::from(&seen(&["root", "data"]), Ok(found("root", 4)), true);
        assert!(settled(&other, false).await.is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_seen_is_said_and_decides_nothing() {
        let disks = Disks::from(&seen(&[]), Ok(found("root", 7)), false);
        let unseen = disks.unseen.as_deref().unwrap();
        assert!(unseen.starts_with("only root can see how root is unlocked: have the pass"));
        assert_eq!(settled(&disks, false).await, Ok(false));
        let failed = Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let disks = Disks::from(&seen(&["root"]), failed, true);
        assert!(disks.unseen.as_deref().unwrap().contains("permission denied"));
        assert!(settled(&disks, false).await.is_err(), "onloadd sees it");
        assert_eq!(settled(&Disks::default(), false).await, Ok(false));
    }
}
