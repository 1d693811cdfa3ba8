//! What to do about a module that is not trusted: in one line, and step by step.

use super::{Off, Place, Reason, Revoked};
use crate::secure_boot::keyring::SystemRing;
use crate::secure_boot::request::obstacle::AT_THE_CONSOLE;
use crate::secure_boot::verdict::rule::Rule;

/// Signs with a key that is trusted already.
const SIGN: &str =
    "`onloadctl keys sign FILE… --key KEY --cert CERT` with a key that this machine trusts";
/// What a kernel takes that has read the key; the answer to what was left.
const LOADS: &str =
    "nothing more: onloadd loads what is wanted at that boot (else `onloadctl apply --retry`)";

/// Asks for a key. `file` is where its certificate lies; none where nobody has said so.
fn import(file: Option<&str>) -> String {
    match file {
        Some(file) => format!("`onloadctl keys import {file}`"),
        None => "`onloadctl keys import FILE`".to_owned(),
    }
}

/// The same, with what the file is.
fn import_in_full(file: Option<&str>) -> String {
    match file {
        Some(_) => import(file),
        None => format!("{} with the signer's certificate", import(file)),
    }
}

fn add_at_each_boot(file: Option<&str>) -> String {
    let file = file.unwrap_or("FILE");
    format!(
        "add the certificate at each boot, `keyctl padd asymmetric \"\" %:.secondary_trusted_keys < {file}` (DER)"
    )
}

/// What leads out of it.
enum Way {
    /// A person at the console, after an order; and what may be done in place of that.
    Enrol(Option<String>),
    /// A person at the console; it is ordered already.
    Answer,
    /// Something else.
    Other(String),
}

impl Reason {
    /// What to do about it, in one line. `file` is where the signer's certificate lies, if the
    /// configuration names it.
    pub fn fix(&self, file: Option<&str>) -> String {
        match self.way(file) {
            Way::Enrol(_) => format!(
                "{}, reboot with somebody at the console to enrol it, and onloadd loads them at that boot",
                import(file)
            ),
            Way::Answer => format!("{AT_THE_CONSOLE}; onloadd loads them at that boot"),
            Way::Other(fix) => fix,
        }
    }

    /// The same, step by step.
    pub fn steps(&self, file: Option<&str>) -> Vec<String> {
        let numbered = |steps: Vec<String>| {
            let steps = steps.into_iter().enumerate();
            steps.map(|(before, step)| format!("{}. {step}", before + 1)).collect::<Vec<_>>()
        };
        match self.way(file) {
            Way::Enrol(other) => {
                let steps = [import_in_full(file), AT_THE_CONSOLE.to_owned(), LOADS.to_owned()];
                let other = other.map(|other| format!("or {other}"));
                numbered(steps.to_vec()).into_iter().chain(other).collect()
            }
            Way::Answer => {
                let mut steps = numbered(vec![AT_THE_CONSOLE.to_owned(), LOADS.to_owned()]);
                steps.push(format!(
                    "a prompt that is missed deletes the request: {} asks again",
                    import(file)
                ));
                steps
            }
            Way::Other(fix) => vec![fix],
        }
    }

    fn way(&self, file: Option<&str>) -> Way {
        match self {
            Self::Damaged(_)
            | Self::NotDetached
            | Self::DigestWeak(_)
            | Self::DigestUnsupported(_)
            | Self::AlgorithmUnsupported(_)
            | Self::AttributesSigned(_) => Way::Other(
                "sign anew what was built, `onloadctl keys sign FILE… --key KEY --cert CERT`"
                    .to_owned(),
            ),
            Self::Revoked { list: Revoked::MokListX, .. } => Way::Other(format!(
                "if it was forbidden by mistake, take it off shim's list (`mokutil --delete FILE --mokx`) and reboot; else {SIGN}"
            )),
            Self::Revoked { list: Revoked::Blacklist | Revoked::Dbx, .. } => {
                Way::Other(SIGN.to_owned())
            }
            Self::Unsigned => Way::Other(format!(
                "{SIGN}; if it trusts none yet, `onloadctl keys generate`, `onloadctl keys import CERT`, and reboot with somebody at the console"
            )),
            Self::EnrolledUnused { place, because, .. } => enrol_where_it_counts(*place, *because, file),
            Self::Pending { .. } => Way::Answer,
            Self::UnknownSigner { authority_trusted: false, .. } => {
                Way::Enrol(Some(SIGN.to_owned()))
            }
            Self::UnknownSigner { authority_trusted: true, .. } => {
                Way::Enrol(Some(add_at_each_boot(file)))
            }
            Self::NotForCode { .. } => Way::Other(
                "make a certificate for signing code (`onloadctl keys generate`), enrol it, and sign anew"
                    .to_owned(),
            ),
            Self::ValidationOff(Off::Shim) => Way::Other(
                "nothing, to have the module loaded; `mokutil --enable-validation` and a reboot turn validation on".to_owned(),
            ),
            Self::ValidationOff(Off::Kernel) => {
                Way::Other("nothing, to have the module loaded".to_owned())
            }
        }
    }
}

fn enrol_where_it_counts(place: Place, because: Rule, file: Option<&str>) -> Way {
    match because {
        Rule::MokUntrusted => Way::Other(
            "`mokutil --trust-mok`, then reboot with somebody at the console and confirm in MokManager's blue screen".to_owned(),
        ),
        Rule::Authorities | Rule::PureAuthorities => Way::Other(format!(
            "make an authority of your own (CA:TRUE, keyUsage keyCertSign), `onloadctl keys import AUTHORITY` and reboot with somebody at the console; have it issue the signer's certificate, and {}",
            add_at_each_boot(file)
        )),
        Rule::PlatformUnused if place == Place::Ring(SystemRing::Platform) => Way::Enrol(None),
        Rule::DbIgnored => Way::Enrol(Some("have shim use db again, `mokutil --use-db`".to_owned())),
        Rule::NoRunTime => Way::Other(
            "boot with efi=runtime on the kernel's command line, and the kernel reads the keys"
                .to_owned(),
        ),
        Rule::NothingRead => Way::Other(
            "reboot, so that the kernel reads the keys; if it stays so, see the kernel log (`journalctl -k -g integrity`), or use a kernel of the distribution".to_owned(),
        ),
        Rule::NoMachine => Way::Other(format!(
            "{}, where a key that is trusted issued it; or use a kernel of the distribution",
            add_at_each_boot(file)
        )),
        Rule::PlatformUnused
        | Rule::Builtin
        | Rule::Secondary
        | Rule::Machine
        | Rule::Platform(_)
        | Rule::SigEnforce
        | Rule::Lockdown
        | Rule::NotEnforced
        | Rule::Unchecked
        | Rule::Always => Way::Enrol(Some(SIGN.to_owned())),
    }
}
