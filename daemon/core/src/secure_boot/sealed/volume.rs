//! Encrypted volumes that are open, as far as the kernel and the host's configuration tell. What the
//! TPM holds for one stands in its header, on a device that only root opens.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{REGISTERS, Words};

/// A volume as device-mapper shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Volume {
    /// How its header is written.
    pub luks: Luks,
    /// Its UUID.
    pub uuid: String,
    /// The devices below it, as `/dev` names them: on one of them lies its header, if it is not kept
    /// apart.
    pub devices: BTreeSet<String>,
    /// What is asked of the TPM at boot; none where nothing says it, which clevis never does, and
    /// systemd need not.
    pub asked: Option<Asked>,
}

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Luks {
    /// Without tokens: what clevis keeps lies where only its own tools look (`luksmeta`).
    One,
    /// With tokens.
    Two,
}

/// That the TPM is asked for a volume's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Asked {
    /// The registers that are given, where they are: the header's count more.
    pub pcrs: Option<BTreeSet<u8>>,
}

impl Volume {
    /// What can be told of a volume whose header was not read.
    pub fn words(&self, name: &str) -> Words {
        let what = match (self.luks, &self.asked) {
            (_, Some(_)) => format!(
                "volume {name} is unlocked by the TPM, and its header, which was not read, says by \
                 which PCRs"
            ),
            (Luks::One | Luks::Two, None) => format!(
                "volume {name} may be unlocked by the TPM: its header, which was not read, says it"
            ),
        };
        let device = self.devices.first().map_or("DEVICE", String::as_str);
        let look = match self.luks {
            Luks::One => format!("clevis luks list -d {device}"),
            Luks::Two => format!("cryptsetup luksDump {device}"),
        };
        let fix = format!(
            "have its passphrase or recovery key at hand before a key is enrolled; as root, {look} \
             shows how it is bound"
        );
        Words { what, fix }
    }
}

/// What device-mapper's UUID of an open volume says: how its header is written, and its UUID. None for
/// anything else that device-mapper makes.
pub fn opened(uuid: &str) -> Option<(Luks, String)> {
    let (luks, rest) = match uuid.strip_prefix("CRYPT-LUKS2-") {
        Some(rest) => (Luks::Two, rest),
        None => (Luks::One, uuid.strip_prefix("CRYPT-LUKS1-")?),
    };
    let digits = rest.split('-').next().filter(|digits| !digits.is_empty())?;
    Some((luks, hyphenated(digits)))
}

/// Whether what device-mapper's UUID names is a layer between an open volume and its device: integrity
/// below encryption, or a part of one that is being encrypted anew.
pub fn between(uuid: &str) -> bool {
    uuid.starts_with("CRYPT-SUBDEV-") || uuid.starts_with("INTEGRITY-")
}

/// The hyphens that device-mapper's UUID leaves out.
fn hyphenated(digits: &str) -> String {
    let mut rest = digits;
    let mut groups = Vec::new();
    for length in [8, 4, 4, 4] {
        let Some((group, left)) = rest.split_at_checked(length) else { return digits.to_owned() };
        groups.push(group);
        rest = left;
    }
    groups.push(rest);
    if rest.len() == 12 { groups.join("-") } else { digits.to_owned() }
}

/// What `/etc/crypttab` and the kernel's command line say of volumes. The command line's word for a
/// UUID counts more than the file's, and its word for all only where the file has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlocking {
    /// By name and by device, as the file has them.
    lines: Vec<(String, String, Option<Asked>)>,
    /// By UUID.
    given: BTreeMap<String, Option<Asked>>,
    /// For all others.
    others: Option<Asked>,
}

impl Unlocking {
    /// Reads both. Lines that have no meaning say nothing.
    pub fn parse(crypttab: &str, command_line: &str) -> Self {
        let mut all = Self::default();
        for line in crypttab.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(device)) = (words.next(), words.next()) {
                let asked = words.nth(1).and_then(options);
                all.lines.push((name.to_owned(), device.to_owned(), asked));
            }
        }
        for word in command_line.split_whitespace() {
            let given = word.strip_prefix("rd.luks.options=");
            let Some(given) = given.or_else(|| word.strip_prefix("luks.options=")) else {
                continue;
            };
            // An option may have a value too: only what is before the first comma may be a UUID.
            match given.split_once('=').filter(|(front, _)| is_uuid(bare(front))) {
                Some((uuid, text)) => {
                    all.given.insert(bare(uuid).to_ascii_lowercase(), options(text));
                }
                None => all.others = options(given),
            }
        }
        all
    }

    /// What is asked for the volume of this name and UUID.
    pub fn of(&self, name: &str, uuid: &str) -> Option<Asked> {
        let uuid = uuid.to_ascii_lowercase();
        if let Some(given) = self.given.get(&uuid) {
            return given.clone();
        }
        let is = |device: &str| {
            let rest = device.strip_prefix("UUID=");
            let rest = rest.or_else(|| device.strip_prefix("/dev/disk/by-uuid/"));
            rest.is_some_and(|of| of.trim_matches('"').eq_ignore_ascii_case(&uuid))
        };
        let line = self.lines.iter().find(|(called, device, _)| called == name || is(device));
        line.map_or_else(|| self.others.clone(), |(_, _, asked)| asked.clone())
    }
}

fn bare(uuid: &str) -> &str {
    uuid.strip_prefix("luks-").unwrap_or(uuid)
}

fn is_uuid(text: &str) -> bool {
    /// Digits and hyphens.
    const LENGTH: usize = 36;
    text.len() == LENGTH && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// What the options of one volume ask of the TPM.
fn options(text: &str) -> Option<Asked> {
    let mut device = false;
    let mut pcrs = None;
    for option in text.split(',') {
        match option.split_once('=') {
            Some(("tpm2-device", _)) => device = true,
            Some(("tpm2-pcrs", list)) => pcrs = registers(list),
            Some(_) | None => {}
        }
    }
    device.then_some(Asked { pcrs })
}

/// Numbers with plus signs between them; a newer systemd takes names and values too.
fn registers(list: &str) -> Option<BTreeSet<u8>> {
    let one = |word: &str| {
        let register = word.split(':').next().unwrap_or_default();
        let named = NAMES.iter().find(|(name, _)| *name == register).map(|(_, pcr)| *pcr);
        named.or_else(|| register.parse().ok()).filter(|pcr| *pcr < REGISTERS)
    };
    list.split('+').filter(|word| !word.is_empty()).map(one).collect()
}

/// systemd's names for registers (systemd-cryptenroll(1)).
const NAMES: [(&str, u8); 17] = [
    ("platform-code", 0),
    ("platform-config", 1),
    ("external-code", 2),
    ("external-config", 3),
    ("boot-loader-code", 4),
    ("boot-loader-config", 5),
    ("host-platform", 6),
    ("secure-boot-policy", 7),
    ("kernel-initrd", 9),
    ("ima", 10),
    ("kernel-boot", 11),
    ("kernel-config", 12),
    ("sysexts", 13),
    ("shim-policy", 14),
    ("system-identity", 15),
    ("debug", 16),
    ("application-support", 23),
];

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0c5bd1d9-6e5a-4a0b-8f3e-2d7a51c0ffee";

    fn of(crypttab: &str, command_line: &str) -> Option<Asked> {
        Unlocking::parse(crypttab, command_line).of("data", UUID)
    }

    fn pcrs(numbers: &[u8]) -> Option<Asked> {
        Some(Asked { pcrs: Some(numbers.iter().copied().collect()) })
    }

    #[test]
    fn open_volumes_are_told_by_the_uuid_of_device_mapper() {
        let two = "CRYPT-LUKS2-0c5bd1d96e5a4a0b8f3e2d7a51c0ffee-luks-0c5b";
        assert_eq!(opened(two), Some((Luks::Two, UUID.to_owned())));
        let one = opened(&two.replace('2', "1")).unwrap();
        assert_eq!(one.0, Luks::One);
        assert_eq!(opened("CRYPT-LUKS2-äöü-data"), Some((Luks::Two, "äöü".to_owned())));
        for other in ["", "LVM-abc", "CRYPT-PLAIN-swap", "CRYPT-LUKS2-", "CRYPT-VERITY-0c5b-usr"] {
            assert_eq!(opened(other), None, "{other}");
        }
        assert!(between("CRYPT-SUBDEV-0c5b-data") && between("INTEGRITY-data_dif"));
        assert!(!between(two) && !between("LVM-abc"));
    }

    #[test]
    fn crypttab_names_volumes_and_devices() {
        let asked = Some(Asked { pcrs: None });
        for (line, wanted) in [
            ("data /dev/sda3 - tpm2-device=auto", asked.clone()),
            (&format!("other UUID={UUID} none discard,tpm2-device=auto"), asked.clone()),
            (&format!("x /dev/disk/by-uuid/{} - tpm2-device=auto", UUID.to_uppercase()), asked),
            ("data /dev/sda3 - tpm2-device=auto,tpm2-pcrs=7+14", pcrs(&[7, 14])),
            ("data a - tpm2-pcrs=shim-policy+7:sha256=00,tpm2-device=auto", pcrs(&[7, 14])),
            ("data /dev/sda3 - tpm2-device=auto,tpm2-pcrs=", pcrs(&[])),
            ("data /dev/sda3 - tpm2-device=auto,tpm2-pcrs=99", Some(Asked { pcrs: None })),
            ("data /dev/sda3 - tpm2-pcrs=7", None),
            ("data /dev/sda3 tpm2-device=auto", None),
            ("#data /dev/sda3 - tpm2-device=auto", None),
            ("swap /dev/sda2 /dev/urandom tpm2-device=auto", None),
            ("data", None),
        ] {
            assert_eq!(of(line, ""), wanted, "{line}");
        }
    }

    #[test]
    fn the_command_line_counts_more_for_one_and_less_for_all() {
        let file = "data /dev/sda3 - tpm2-device=auto,tpm2-pcrs=4";
        let (one, all) = (format!("rd.luks.options={UUID}="), "luks.options=");
        let seven = "tpm2-device=auto,tpm2-pcrs=7";
        assert_eq!(of(file, &format!("quiet {one}{seven} rw")), pcrs(&[7]));
        assert_eq!(of(file, &format!("{one}discard")), None);
        assert_eq!(of("", &format!("rd.luks.options=luks-{UUID}={seven}")), pcrs(&[7]));
        assert_eq!(of(file, &format!("{all}{seven}")), pcrs(&[4]));
        assert_eq!(of("", &format!("{all}{seven}")), pcrs(&[7]));
        assert_eq!(of("", &format!("xrd.luks.options={seven} {}", one.replace("0c", "0d"))), None);
    }

    #[test]
    fn words_say_what_was_not_read() {
        let mut volume = Volume {
            luks: Luks::Two,
            uuid: UUID.to_owned(),
            devices: BTreeSet::from(["/dev/sda3".to_owned()]),
            asked: None,
        };
        let words = volume.words("data");
        assert!(words.what.starts_with("volume data may be unlocked"), "{words:?}");
        assert!(words.fix.contains("cryptsetup luksDump /dev/sda3 "), "{words:?}");
        volume.asked = Some(Asked { pcrs: None });
        assert!(volume.words("data").what.starts_with("volume data is unlocked by the TPM"));
        volume.luks = Luks::One;
        assert!(volume.words("data").fix.contains("clevis luks list -d /dev/sda3 "));
    }
}
