//! `com.amd.Onload1.SecureBoot`: whom this machine trusts, and requests to enrol keys.

use std::collections::BTreeMap;

use onload_core::command::Command;
use onload_core::reading::Reading;
use onload_core::secure_boot::certificate::Certificate;
use onload_core::secure_boot::enrolment::Fingerprint;
use onload_core::secure_boot::kernel::{Enforcement, Lockdown};
use onload_core::secure_boot::picture::{KeyPicture, ModulePicture, SecureBootPicture};
use onload_core::secure_boot::trust::RunTime;
use onload_dbus::error::Failure;
use onload_dbus::interface::SECURE_BOOT;
use zbus::message::Header;
use zbus::{Connection, OwnedObjectPath, Variant, interface};

use super::arguments::{self, Known, Options};
use super::desk::Desk;
use super::view::View;
use super::wire::{self, Dictionary};

/// Secure Boot on the bus.
#[derive(Debug)]
pub(super) struct SecureBoot {
    /// What it shows.
    pub(super) view: View,
    /// Where its orders go.
    pub(super) desk: Desk,
}

impl SecureBoot {
    fn with<T>(&self, read: impl FnOnce(&SecureBootPicture) -> T) -> T {
        read(&self.view.picture().secure_boot)
    }
}

/// Module, verdict, reason, signer, why, rule, fix.
type VerdictRow = (String, String, String, String, String, String, String);

#[interface(name = "com.amd.Onload1.SecureBoot")]
impl SecureBoot {
    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.with(|seen| seen.state.as_str())
    }

    #[zbus(property)]
    fn shim(&self) -> bool {
        self.with(|seen| seen.shim.known().is_some())
    }

    #[zbus(property)]
    fn variables(&self) -> &'static str {
        self.with(|seen| match &seen.runtime {
            Reading::Known(RunTime::Writable) => "writable",
            Reading::Known(RunTime::ReadOnly) => "read-only",
            Reading::Known(RunTime::NoRunTime) => "no-run-time",
            Reading::Absent | Reading::Unreadable(_) => "",
        })
    }

    #[zbus(property)]
    fn enforcement(&self) -> &'static str {
        self.with(|seen| match &seen.enforcement {
            Reading::Known(Enforcement::Refused) => "refused",
            Reading::Known(Enforcement::Taken) => "taken",
            Reading::Absent | Reading::Unreadable(_) => "",
        })
    }

    #[zbus(property)]
    fn lockdown(&self) -> &'static str {
        self.with(|seen| match &seen.lockdown {
            Reading::Known(Lockdown::None) => "none",
            Reading::Known(Lockdown::Integrity) => "integrity",
            Reading::Known(Lockdown::Confidentiality) => "confidentiality",
            Reading::Absent | Reading::Unreadable(_) => "",
        })
    }

    #[zbus(property)]
    fn keys(&self) -> Vec<Dictionary> {
        self.with(|seen| seen.keys.iter().map(key).collect())
    }

    #[zbus(property)]
    fn requests(&self) -> Vec<(String, Vec<String>, String)> {
        self.with(|seen| {
            let rows = seen.requests.iter().map(|one| {
                let fault = one.fault.clone().unwrap_or_default();
                (one.variable.to_owned(), wire::texts(&one.keys), fault)
            });
            rows.collect()
        })
    }

    #[zbus(property)]
    fn prompt_timeout(&self) -> i32 {
        self.with(|seen| seen.prompt_secs.unwrap_or_default())
    }

    #[zbus(property)]
    fn verdicts(&self) -> BTreeMap<String, Vec<VerdictRow>> {
        self.with(|seen| {
            let releases = seen.releases.iter();
            let rows = releases
                .map(|(name, modules)| (name.to_string(), modules.iter().map(verdict).collect()));
            rows.collect()
        })
    }

    #[zbus(property)]
    fn sealed_disks(&self) -> Vec<(String, String, String)> {
        self.with(|seen| {
            let disks = seen.sealed.known().into_iter().flatten();
            disks
                .map(|(volume, said)| (volume.clone(), said.what.clone(), said.fix.clone()))
                .collect()
        })
    }

    #[zbus(property)]
    fn unreadable(&self) -> BTreeMap<String, String> {
        self.with(|seen| {
            let gaps = seen.gaps.iter().map(|(name, why)| ((*name).to_owned(), why.clone()));
            let sealed = wire::gaps([("SealedDisks", wire::gap(&seen.sealed))]);
            gaps.chain(sealed).collect()
        })
    }

    #[zbus(out_args("job"))]
    async fn import_key(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        certificate: Vec<u8>,
        hash: String,
        options: Options,
    ) -> Result<OwnedObjectPath, Failure> {
        let certificate = arguments::certificate(&certificate)?;
        let hash = arguments::password_hash(&hash)?;
        let mut known = Known::of(options)?;
        let despite_sealed = known.switch("DespiteSealedDisks")?;
        known.end()?;
        let pass = self.desk.admit(&call, connection, (SECURE_BOOT, "ImportKey"), None).await?;
        let command = Command::ImportKey { certificate, hash, despite_sealed };
        self.desk.job(&pass, command, None, "ImportKey").await
    }

    #[zbus(out_args("job"))]
    async fn revoke_request(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        options: Options,
    ) -> Result<OwnedObjectPath, Failure> {
        let mut known = Known::of(options)?;
        let all = known.switch("All")?;
        known.end()?;
        let pass = self.desk.admit(&call, connection, (SECURE_BOOT, "RevokeRequest"), None).await?;
        self.desk.job(&pass, Command::RevokeRequest { all }, None, "RevokeRequest").await
    }
}

/// A key as a dictionary.
fn key(key: &KeyPicture) -> Dictionary {
    let (state, message, fix) = key.said();
    let mut facts = Dictionary::from([
        ("Name".to_owned(), Variant::from(key.name.clone())),
        ("State".to_owned(), Variant::from(state)),
        ("Message".to_owned(), Variant::from(message)),
        ("Fix".to_owned(), Variant::from(fix)),
        ("Places".to_owned(), Variant::from(wire::texts(&key.places))),
        ("RevokedBy".to_owned(), Variant::from(wire::texts(&key.revoked))),
    ]);
    let mut text = |name: &str, value: Option<String>| {
        facts.extend(value.map(|value| (name.to_owned(), Variant::from(value))));
    };
    let certificate = key.certificate.as_ref();
    let of = |read: fn(&Certificate) -> String| certificate.map(read);
    text("Fingerprint", key.fingerprint.as_ref().map(Fingerprint::to_string));
    text("Path", key.path.clone());
    text("Issuer", of(|one| one.issuer.to_string()));
    text("Serial", of(|one| one.serial.to_string()));
    text("NotAfter", of(|one| one.not_after.to_string()));
    let id = certificate.and_then(|one| one.extensions.subject_key_id.as_ref());
    text("KeyId", id.map(ToString::to_string));
    facts.extend(key.asked.map(|at| ("Asked".to_owned(), Variant::from(at.0))));
    facts
}

fn verdict(module: &ModulePicture) -> VerdictRow {
    let (why, fix) = module.said();
    let (name, outcome) = (module.module.to_string(), module.outcome().to_owned());
    (name, outcome, module.reason().to_owned(), module.signer.clone(), why, module.rule(), fix)
}
