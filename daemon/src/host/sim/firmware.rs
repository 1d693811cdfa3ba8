//! Firmware and shim of the simulated machine: which keys they have, what shim has been asked for, and
//! what becomes of that when the machine starts (`reference/secure-boot-mok.md` sections 3 to 5).

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use onload_core::refusal::{Refusal, RefusalKind};
use onload_core::secure_boot::certificate::Certificate;
use onload_core::secure_boot::request::write::Write;
use onload_core::secure_boot::request::{ListChange, ListRequest, PasswordHash, Requests, Toggle};
use onload_core::secure_boot::signature_list::SignatureType;
use onload_core::secure_boot::variable::Variable;
use onload_core::secure_boot::verdict::rule::Family;

use super::certificate::{self, Der};
use super::file::{KeyName, ModuleOnDisk, RunTime, Trusts, WorldFile};
use super::world::World;

/// What did not happen when variables are refused.
const NOT_WRITTEN: &str = "no request to shim was written";

/// Certificates that start what they have signed, or keep it from being started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    /// Shim's (MokList).
    pub mok: BTreeSet<Der>,
    /// Those that shim refuses (MokListX).
    pub mok_forbidden: BTreeSet<Der>,
    /// The firmware's (db).
    pub db: BTreeSet<Der>,
    /// Those that it refuses (dbx).
    pub dbx: BTreeSet<Der>,
}

/// Firmware and shim.
#[derive(Clone, Debug, Default)]
pub(super) struct Firmware {
    /// The `[[key]]`s.
    pub keys: BTreeMap<KeyName, (Der, Certificate)>,
    /// What they have now.
    lists: Lists,
    /// What they had when this boot's kernel came up: all that it knows of.
    pub booted: Lists,
    /// Requests to shim: its variables that the running system may write.
    pub variables: BTreeMap<String, Vec<u8>>,
    /// Whether somebody will be at the console of the next boot.
    attended: bool,
}

impl Firmware {
    /// With the keys that the world says are enrolled. What does not read has been refused before.
    pub fn new(file: &WorldFile) -> Self {
        let read = file.keys.iter().filter_map(|key| {
            let read = certificate::read(key.certificate.get_ref()).ok()?;
            Some((key.name.get_ref().clone(), read))
        });
        let mut firmware = Self { keys: read.collect(), ..Self::default() };
        for key in file.keys.iter().filter(|key| key.enrolled) {
            firmware.enrol(key.name.get_ref(), file.secure_boot.shim);
        }
        firmware
    }

    /// Gives shim the key, or the firmware where there is no shim.
    fn enrol(&mut self, key: &KeyName, shim: bool) {
        let Some((der, _)) = self.keys.get(key) else { return };
        let list = if shim { &mut self.lists.mok } else { &mut self.lists.db };
        list.insert(der.clone());
    }

    /// Shim's part of a start. It deletes whatever it has been asked for, and only then asks whoever is
    /// there.
    fn start_shim(&mut self) {
        let answered = mem::take(&mut self.attended);
        let requests = self.requests();
        if !requests.any() {
            return;
        }
        let lists = ListChange::ALL.iter().flat_map(|one| [one.list_name(), one.auth_name()]);
        let toggles = Toggle::ALL.iter().map(|one| one.name());
        let others = ["MokPW", Variable::MOK_TIMEOUT.name];
        for name in lists.chain(toggles).chain(others) {
            self.variables.remove(name);
        }
        let answered = match requests.timeout_secs {
            // Nobody is asked.
            Some(Ok(0)) => false,
            // It waits until somebody comes.
            Some(Ok(..0)) => true,
            Some(Ok(1..) | Err(_)) | None => answered,
        };
        if answered {
            requests.lists.iter().for_each(|(change, request)| self.confirm(*change, request));
        }
    }

    /// What whoever is at the console types the password for. Without one there is nothing to type.
    fn confirm(&mut self, change: ListChange, request: &ListRequest) {
        let hash = request.auth.as_ref().and_then(|auth| auth.as_ref().ok());
        let (Some(Ok(wanted)), Some(PasswordHash::Crypt { .. } | PasswordHash::Legacy(_))) =
            (&request.list, hash)
        else {
            return;
        };
        let certificates = wanted.iter().filter(|list| list.kind == SignatureType::X509);
        for entry in certificates.flat_map(|list| &list.entries) {
            let Ok(certificate) = entry.certificate() else { continue };
            let Some(der) = entry.data.get(..certificate.der_bytes) else { continue };
            match change {
                ListChange::Enrol => self.lists.mok.insert(der.to_vec()),
                ListChange::Remove => self.lists.mok.remove(der),
                ListChange::Forbid => self.lists.mok_forbidden.insert(der.to_vec()),
                ListChange::Permit => self.lists.mok_forbidden.remove(der),
            };
        }
    }

    /// What shim has been asked for.
    pub fn requests(&self) -> Requests {
        let raw = self.variables.iter().map(|(name, data)| (name.as_str(), data.as_slice()));
        Requests::parse(&raw.collect())
    }
}

impl World {
    /// Firmware and shim start, and hand over to the kernel.
    pub(super) fn start_firmware(&mut self) {
        if self.file.secure_boot.shim {
            self.firmware.start_shim();
        }
        self.firmware.booted = self.firmware.lists.clone();
        self.read_trust();
    }

    /// `enrol`: by hand in MokManager, or in the firmware's setup where there is no shim.
    pub(super) fn enrol(&mut self, key: &KeyName) {
        self.firmware.enrol(key, self.file.secure_boot.shim);
    }

    /// `revoke`: an update of dbx.
    pub(super) fn revoke(&mut self, key: &KeyName) {
        if let Some((der, _)) = self.firmware.keys.get(key) {
            self.firmware.lists.dbx.insert(der.clone());
        }
    }

    /// `attend`: somebody will be there and confirm what is asked.
    pub(super) fn attend(&mut self) {
        self.firmware.attended = true;
    }

    /// Which ring of this kernel counts for modules.
    pub(super) fn trusts(&self) -> Trusts {
        by_release(&self.file)
    }

    /// Whether this boot's kernel has read keys out of the firmware's variables. Where it calls no
    /// firmware it reads none, shim's neither (`load_uefi_certs` of the kernel).
    pub(super) fn reads_keys(&self) -> bool {
        self.file.secure_boot.run_time != RunTime::None
    }

    /// Certificates whose keys this boot's kernel has, in the ring that counts for modules or in
    /// the other.
    pub(super) fn kernel_keys(&self, ring: Trusts) -> BTreeSet<&Der> {
        let Lists { mok, db, mok_forbidden: _, dbx: _ } = &self.firmware.booted;
        let with_shims = self.trusts() == ring;
        let shims = mok.iter().filter(|_| with_shims);
        let firmwares = db.iter().filter(|_| ring == Trusts::Platform);
        shims.chain(firmwares).filter(|_| self.reads_keys()).collect()
    }

    /// Certificates that this boot's kernel has been told not to use.
    pub(super) fn kernel_blacklist(&self) -> BTreeSet<&Der> {
        let Lists { mok_forbidden, dbx, mok: _, db: _ } = &self.firmware.booted;
        mok_forbidden.iter().chain(dbx).filter(|_| self.reads_keys()).collect()
    }

    /// What the kernel makes of a file's signature; its own modules are signed by who built it.
    pub(super) fn standing(&self, file: Option<&ModuleOnDisk>) -> Standing {
        let Some(file) = file else { return Standing::Trusted };
        let key = file.signed_by.as_ref().and_then(|key| self.firmware.keys.get(key.get_ref()));
        let Some((der, _)) = key else { return Standing::Untrusted };
        if self.kernel_blacklist().contains(der) {
            Standing::Revoked
        } else if self.kernel_keys(self.trusts()).contains(der) {
            Standing::Trusted
        } else {
            Standing::Untrusted
        }
    }

    /// Writes variables by which shim is asked for something, in this order: all of them or none.
    ///
    /// # Errors
    /// Which variable was not written, why, and what to do.
    pub fn write_variables(&mut self, writes: &[Write]) -> Result<(), Refusal> {
        let refuse = |kind, why: &str, fix: &str| Err(Refusal::new(kind, NOT_WRITTEN, why, fix));
        match self.file.secure_boot.run_time {
            RunTime::Writable => {}
            RunTime::ReadOnly => {
                return refuse(
                    RefusalKind::Unsupported,
                    "Read-only file system",
                    "mount efivarfs to be written (`mount -o remount,rw /sys/firmware/efi/efivars`), or enrol the key from MokManager",
                );
            }
            RunTime::None => {
                return refuse(
                    RefusalKind::Unsupported,
                    "the firmware's variables are not shown: the kernel does not call the firmware (`efi=noruntime`)",
                    "start the kernel with `efi=runtime`, or enrol the key from MokManager",
                );
            }
        }
        let mut after = self.firmware.variables.clone();
        for Write { name, data } in writes {
            match data {
                None => drop(after.remove(name)),
                Some(_) if self.faults.no_room => {
                    return refuse(
                        RefusalKind::Blocked,
                        &format!("{name} was not written: No space left on device (fault ordered)"),
                        "remove crash dumps and keys that nobody needs, then ask again",
                    );
                }
                Some(data) => drop(after.insert(name.clone(), data.clone())),
            }
        }
        if after != self.firmware.variables {
            self.firmware.variables = after;
            self.read_trust();
            self.touch();
        }
        Ok(())
    }

    /// Shim's variable of that name, as the running system wrote it.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.firmware.variables.get(name).map(Vec::as_slice)
    }
}

/// What a kernel makes of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// By a key that it trusts.
    Trusted,
    /// By one that it does not, or there is none.
    Untrusted,
    /// By one that it is told not to use: refused whether or not it enforces signatures.
    Revoked,
}

impl Standing {
    /// Whether a module is refused for it by a kernel that enforces signatures or not.
    pub fn is_refused(self, enforces: bool) -> bool {
        match self {
            Self::Trusted => false,
            Self::Untrusted => enforces,
            Self::Revoked => true,
        }
    }
}

/// The ring that a kernel trusts for modules: what is written, else as its release says whose it is.
fn by_release(file: &WorldFile) -> Trusts {
    let written = file.secure_boot.trusts.as_ref().map(|trusts| *trusts.get_ref());
    written.unwrap_or(match Family::of(&file.node.kernel) {
        Family::Upstream => Trusts::Machine,
        Family::RedHat | Family::Debian | Family::Ubuntu | Family::Suse | Family::Unclear => {
            Trusts::Platform
        }
    })
}

#[cfg(test)]
mod tests;
