//! `keys status`: Secure Boot on one page, what this kernel would say to each release, and what is to
//! be done about it.

use serde::Serialize;

use super::secure_boot::{self, ENROLLED, Key, SealedDisk, SecureBoot, Verdict};
use crate::bus::Bus;
use crate::commands::status::Blocker;
use crate::ended::Ended;
use crate::render::Page;
use crate::render::paint::{Paint, plain};
use crate::render::phrase::{count, fact};
use crate::render::table::{Cell, table};

/// How long MokManager waits where nobody has told it, in seconds (`reference/secure-boot-mok.md`
/// section 3).
const DEFAULT_PROMPT_SECS: i32 = 10;

/// Secure Boot, and what is to be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    #[serde(flatten)]
    pub secure_boot: SecureBoot,
    /// The release the node shall have.
    pub wanted_release: Option<String>,
    /// What keeps it from being loaded, and keys that are not where they are wanted.
    pub to_do: Vec<Blocker>,
}

/// Reads it.
pub async fn read(bus: &Bus) -> Result<Status, Ended> {
    let (seen, node) = tokio::join!(secure_boot::read(bus), bus.node());
    Ok(Status::of(seen?, node?.text("wanted_release")))
}

impl Status {
    fn of(secure_boot: SecureBoot, wanted_release: Option<String>) -> Self {
        let keys = secure_boot.keys.iter().filter(|key| key.is_wanted() && key.state != ENROLLED);
        let mut to_do: Vec<_> = keys.map(key).collect();
        let wanted = wanted_release.as_ref();
        let wanted = wanted.and_then(|name| secure_boot.verdicts.get_key_value(name));
        if let Some((release, verdicts)) = wanted {
            let refused = verdicts.iter().filter(|one| one.verdict == "refused");
            to_do.extend(
                agreed(refused).into_iter().map(|(modules, one)| refusal(release, &modules, one)),
            );
        }
        // Without Secure Boot there is nothing to enrol a key for.
        if secure_boot.state == "not-applicable" {
            to_do.retain(|one| secure_boot.verdicts.contains_key(&one.subject));
        }
        Self { secure_boot, wanted_release, to_do }
    }
}

/// Verdicts with the modules that have the same, in the order of the first of them.
fn agreed<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Vec<(Vec<&'a str>, &'a Verdict)> {
    let mut all: Vec<(Vec<&str>, &Verdict)> = Vec::new();
    for one in verdicts {
        let alike =
            |other: &Verdict| Verdict { module: one.module.clone(), ..other.clone() } == *one;
        match all.iter_mut().find(|(_, other)| alike(other)) {
            Some((modules, _)) => modules.push(&one.module),
            None => all.push((vec![&one.module], one)),
        }
    }
    all
}

fn key(key: &Key) -> Blocker {
    Blocker {
        subject: key.name.clone(),
        reason: key.state.clone(),
        why: key.message.clone(),
        fix: key.fix.clone().unwrap_or_default(),
    }
}

fn refusal(release: &str, modules: &[&str], verdict: &Verdict) -> Blocker {
    Blocker {
        subject: release.to_owned(),
        reason: verdict.reason.clone().unwrap_or_default(),
        why: format!("this kernel would refuse {}: {}", modules.join(", "), verdict.why),
        fix: verdict.fix.clone().unwrap_or_default(),
    }
}

impl Page for Status {
    fn text(&self, _now: u64) -> String {
        let mut text = self.secure_boot.facts();
        let rows: Vec<_> = self
            .secure_boot
            .verdicts
            .iter()
            .flat_map(|(release, verdicts)| self.release(release, verdicts))
            .collect();
        if !rows.is_empty() {
            let header = ["RELEASE", "MODULES", "VERDICT", "REASON", "SIGNER"];
            text += &format!("\n{}", table(&header, &rows));
        }
        for disk in &self.secure_boot.sealed_disks {
            text += &format!("\n{}", disk.blocker().lines("  "));
        }
        for one in &self.to_do {
            text += &format!("\n{}", one.lines("  "));
        }
        text
    }
}

impl Status {
    /// One row where all modules have the same verdict; the words of refusals are with the release
    /// that is wanted, and with `release check` for others.
    fn release(&self, release: &str, verdicts: &[Verdict]) -> Vec<Vec<Cell>> {
        let groups = agreed(verdicts.iter());
        let is_wanted = self.wanted_release.as_deref() == Some(release);
        let title = if is_wanted { format!("{release} (wanted)") } else { release.to_owned() };
        let row = |(modules, one): &(Vec<&str>, &Verdict)| {
            let none = std::collections::BTreeMap::new();
            vec![
                Cell::painted(&title, Paint::Strong),
                Cell::new(if groups.len() == 1 { "all".to_owned() } else { modules.join(" ") }),
                Cell::painted(&one.verdict, paint(&one.verdict)),
                fact(one.reason.as_deref(), "", &none),
                fact(one.signer.as_deref().map(name), "", &none),
            ]
        };
        groups.iter().map(row).collect()
    }
}

/// A signer without the number of its certificate, which `--json` has.
fn name(signer: &str) -> &str {
    signer.split_once(", number ").map_or(signer, |(name, _)| name)
}

fn paint(verdict: &str) -> Paint {
    match verdict {
        "trusted" => Paint::Good,
        "refused" => Paint::Bad,
        _ => Paint::Warn,
    }
}

impl SecureBoot {
    fn facts(&self) -> String {
        let gaps = &self.unreadable;
        let row = |label: &str, cell: Cell| vec![Cell::painted(label, Paint::Dim), cell];
        let state = if gaps.contains_key("state") {
            fact(None::<String>, "state", gaps)
        } else {
            Cell::new(&self.state)
        };
        let untrusted = self.enforcement.as_ref().map(|word| format!("{word} where not trusted"));
        let shim = self.shim.map(|there| if there { "yes" } else { "no" });
        let mut rows = vec![
            row("secure boot", state),
            row("shim", fact(shim, "shim", gaps)),
            row("variables", fact(self.variables.as_deref(), "variables", gaps)),
            row("modules", fact(untrusted, "enforcement", gaps)),
            row("lockdown", fact(self.lockdown.as_deref(), "lockdown", gaps)),
        ];
        if self.requests.is_empty() {
            rows.push(row("asked for", fact(None::<String>, "requests", gaps)));
        }
        let first = ["asked for"].into_iter().chain(std::iter::repeat(""));
        for (label, request) in first.zip(&self.requests) {
            let keys = match request.keys.len() {
                0 => String::new(),
                many => format!(", {}", count(many, "key")),
            };
            rows.push(match &request.fault {
                Some(fault) => row(
                    label,
                    Cell::painted(format!("{}{keys}: {fault}", request.variable), Paint::Bad),
                ),
                None => {
                    row(label, Cell::new(format!("{}{keys}: {}", request.variable, self.prompt())))
                }
            });
        }
        let mut text = table(&[], &rows);
        for (what, why) in gaps {
            text += &format!("{} {what}: {}\n", Paint::Warn.on("?"), plain(why));
        }
        text
    }

    fn prompt(&self) -> String {
        match self.prompt_timeout {
            Some(..0) => "the next boot stops until somebody answers at the console".to_owned(),
            None => format!("shim asks at the next boot, for {DEFAULT_PROMPT_SECS} seconds"),
            Some(secs) => format!("shim asks at the next boot, for {secs} seconds"),
        }
    }
}

impl SealedDisk {
    /// What is to be done before a key is enrolled.
    pub fn blocker(&self) -> Blocker {
        Blocker {
            subject: self.disk.clone(),
            reason: "SealedDisk".into(),
            why: self.why.clone(),
            fix: self.fix.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::secure_boot::Request;
    use super::*;
    use crate::render::paint::without;

    fn refused(module: &str) -> Verdict {
        Verdict {
            module: module.into(),
            verdict: "refused".into(),
            reason: Some("UnknownSigner".into()),
            signer: Some("Site modules, number 4A:19".into()),
            why: "the signer is not known".into(),
            rule: "sig_enforce".into(),
            fix: Some("enrol it".into()),
        }
    }

    fn trusted(module: &str) -> Verdict {
        Verdict {
            verdict: "trusted".into(),
            reason: None,
            why: String::new(),
            fix: None,
            ..refused(module)
        }
    }

    fn seen() -> SecureBoot {
        SecureBoot {
            state: "enabled".into(),
            shim: Some(true),
            variables: Some("writable".into()),
            enforcement: Some("refused".into()),
            lockdown: Some("integrity".into()),
            verdicts: BTreeMap::from([
                ("9.1.0".to_owned(), vec![refused("sfc"), refused("onload")]),
                ("host".to_owned(), vec![trusted("sfc"), refused("onload")]),
            ]),
            ..SecureBoot::default()
        }
    }

    #[test]
    fn what_this_kernel_takes_is_told_by_release() {
        let key = Key {
            name: "CN=Site modules".into(),
            state: "EnrolmentPending".into(),
            message: "asked for".into(),
            fix: Some("reboot".into()),
            asked: Some(5),
            ..Key::default()
        };
        let of_others = Key { asked: None, ..key.clone() };
        let done = Key { state: ENROLLED.into(), ..key.clone() };
        let keys = vec![key, of_others, done];
        let request = |variable: &str, keys: usize, fault: Option<&str>| Request {
            variable: variable.into(),
            keys: vec!["a1".into(); keys],
            fault: fault.map(str::to_owned),
        };
        let requests = vec![request("MokNew", 2, None), request("MokSB", 0, Some("too short"))];
        let seen = SecureBoot { keys, requests, prompt_timeout: Some(300), ..seen() };
        let status = Status::of(seen, Some("9.1.0".into()));
        assert_eq!(
            without(&status.text(0)),
            "\
secure boot  enabled
shim         yes
variables    writable
modules      refused where not trusted
lockdown     integrity
asked for    MokNew, 2 keys: shim asks at the next boot, for 300 seconds
             MokSB: too short

RELEASE         MODULES  VERDICT  REASON         SIGNER
9.1.0 (wanted)  all      refused  UnknownSigner  Site modules
host            sfc      trusted  -              Site modules
host            onload   refused  UnknownSigner  Site modules

  CN=Site modules: EnrolmentPending
    why: asked for
    fix: reboot

  9.1.0: UnknownSigner
    why: this kernel would refuse sfc, onload: the signer is not known
    fix: enrol it
"
        );
    }

    #[test]
    fn nothing_is_to_be_done_about_releases_that_nobody_wants() {
        let status = Status::of(seen(), None);
        assert_eq!(status.to_do, []);
        assert!(!without(&status.text(0)).contains("why:"));
        let named =
            Key { path: Some("/etc/a.der".into()), state: "NotEnrolled".into(), ..Key::default() };
        let mut bare = SecureBoot { keys: vec![named], ..SecureBoot::default() };
        assert_eq!(Status::of(bare.clone(), None).to_do.len(), 1);
        bare.state = "not-applicable".into();
        assert_eq!(Status::of(bare, None).to_do, []);
    }

    #[test]
    fn gaps_say_why_and_disks_what_to_do() {
        let disk = SealedDisk { disk: "root".into(), why: "PCR 7".into(), fix: "bind it".into() };
        let blind = SecureBoot {
            unreadable: BTreeMap::from([("lockdown".to_owned(), "EACCES".to_owned())]),
            sealed_disks: vec![disk],
            ..SecureBoot { lockdown: None, verdicts: BTreeMap::new(), ..seen() }
        };
        let text = without(&Status::of(blind, None).text(0));
        assert!(
            text.contains("lockdown     ?\n") && text.contains("? lockdown: EACCES\n"),
            "{text}"
        );
        assert!(text.ends_with("  root: SealedDisk\n    why: PCR 7\n    fix: bind it\n"), "{text}");
        for (secs, said) in [(-1, "stops until"), (0, "for 0 seconds"), (60, "for 60 seconds")] {
            let seen = SecureBoot { prompt_timeout: Some(secs), ..SecureBoot::default() };
            assert!(seen.prompt().contains(said), "{secs}");
        }
        assert!(SecureBoot::default().prompt().contains("for 10 seconds"));
    }
}
