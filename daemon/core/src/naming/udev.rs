//! What udev's database says of an interface's names.

use serde::{Deserialize, Serialize};

/// The properties of one interface that have to do with its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct UdevNames {
    /// `ID_NET_NAME`: what its `.link` file came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `ID_NET_NAME_FROM_DATABASE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// `ID_NET_NAME_ONBOARD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onboard: Option<String>,
    /// `ID_NET_NAME_SLOT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// `ID_NET_NAME_PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `ID_NET_NAME_MAC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// `ID_NET_NAMING_SCHEME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// `ID_NET_LINK_FILE`: the `.link` file in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_file: Option<String>,
    /// `ID_NET_LINK_FILE_DROPINS`: what adds to that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_ins: Option<String>,
    /// `ID_PATH`, such as `pci-0000:3b:00.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_path: Option<String>,
    /// `ID_RENAMING`: it is about to get another name (reference/interface-naming.md section 4).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub renaming: bool,
}

impl UdevNames {
    /// Reads a file of the database: lines `E:KEY=VALUE` among others. What is no text, holds control
    /// characters or is empty says nothing; of two values the later counts.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut names = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let property = line.strip_prefix(b"E:").and_then(|line| str::from_utf8(line).ok());
            let property = property.filter(|text| !text.chars().any(char::is_control));
            if let Some((key, value)) = property.and_then(|text| text.split_once('=')) {
                names.take(key, value);
            }
        }
        names
    }

    fn take(&mut self, key: &str, value: &str) {
        let place = match key {
            "ID_NET_NAME" => &mut self.name,
            "ID_NET_NAME_FROM_DATABASE" => &mut self.database,
            "ID_NET_NAME_ONBOARD" => &mut self.onboard,
            "ID_NET_NAME_SLOT" => &mut self.slot,
            "ID_NET_NAME_PATH" => &mut self.path,
            "ID_NET_NAME_MAC" => &mut self.mac,
            "ID_NET_NAMING_SCHEME" => &mut self.scheme,
            "ID_NET_LINK_FILE" => &mut self.link_file,
            "ID_NET_LINK_FILE_DROPINS" => &mut self.drop_ins,
            "ID_PATH" => &mut self.id_path,
            "ID_RENAMING" => {
                self.renaming = value == "1";
                return;
            }
            _ => return,
        };
        *place = Some(value.to_owned()).filter(|value| !value.is_empty());
    }

    /// The names that policies would give, in the order of systemd's default and each with the word of
    /// its policy (reference/interface-naming.md section 1).
    pub fn policies(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("database", &self.database),
            ("onboard", &self.onboard),
            ("slot", &self.slot),
            ("path", &self.path),
            ("mac", &self.mac),
        ];
        all.into_iter().filter_map(|(word, name)| Some((word, name.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_read_and_what_is_no_text_says_nothing() {
        let file = b"I:2174\nE:ID_NET_NAME=ens1f0np0\nE:ID_NET_NAME_SLOT=ens1f0np0\n\
            E:ID_NET_NAME_PATH=enp59s0f0np0\nE:ID_NET_NAME_MAC=enx000f53a10000\n\
            E:ID_NET_NAMING_SCHEME=rhel-9.0\nE:ID_PATH=pci-0000:3b:00.0\n\
            E:ID_NET_LINK_FILE=/usr/lib/systemd/network/99-default.link\n\
            E:ID_NET_NAME_ONBOARD=\xff\nE:ID_NET_NAME_FROM_DATABASE=a\x1b[1m\nG:systemd\n";
        let names = UdevNames::parse(file);
        let policies: Vec<_> = names.policies().collect();
        assert_eq!(
            policies,
            [("slot", "ens1f0np0"), ("path", "enp59s0f0np0"), ("mac", "enx000f53a10000")]
        );
        assert_eq!(names.name.as_deref(), Some("ens1f0np0"));
        assert_eq!(names.scheme.as_deref(), Some("rhel-9.0"));
        assert_eq!(names.id_path.as_deref(), Some("pci-0000:3b:00.0"));
        assert!(names.link_file.is_some() && !names.renaming);
        assert!(UdevNames::parse(b"E:ID_RENAMING=1").renaming);
        let later = UdevNames::parse(b"E:ID_NET_NAME=a\nE:ID_NET_NAME=b\nS:ID_NET_NAME=c\n");
        assert_eq!(later.name.as_deref(), Some("b"));
        for nothing in [&b""[..], b"E:", b"E:=", b"E:ID_NET_NAME", b"E:ID_NET_NAME=\n"] {
            assert_eq!(UdevNames::parse(nothing), UdevNames::default());
        }
    }
}
