//! How a kernel was configured, as far as it has to do with trusting modules. From
//! `/boot/config-KVER`, `/lib/modules/KVER/config` or `/proc/config.gz`
//! (`reference/secure-boot-mok.md` section 5).

use std::collections::BTreeMap;
use std::fmt;

use crate::secure_boot::Damaged;

/// Options that are kept: those that begin with one of these.
const KEPT: [&str; 13] = [
    "CONFIG_MODULE_SIG",
    "CONFIG_MODULE_COMPRESS",
    "CONFIG_MODULE_DECOMPRESS",
    "CONFIG_SECURITY_LOCKDOWN_",
    "CONFIG_LOCK_DOWN_",
    "CONFIG_INTEGRITY_PLATFORM_KEYRING",
    "CONFIG_INTEGRITY_MACHINE_KEYRING",
    "CONFIG_INTEGRITY_CA_MACHINE_KEYRING",
    "CONFIG_LOAD_UEFI_KEYS",
    "CONFIG_SECONDARY_TRUSTED_KEYRING",
    "CONFIG_SYSTEM_",
    "CONFIG_CHECK_CODESIGN_EKU",
    "CONFIG_PKCS7_WAIVE_AUTHATTRS",
];

/// What an option is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `=y`
    BuiltIn,
    /// `=m`
    Module,
    /// It says that it is not set.
    NotSet,
    /// A text, without its quotes.
    Text(String),
    /// A number, or whatever else stands there.
    Other(String),
}

/// Options of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig {
    options: BTreeMap<String, Value>,
}

impl fmt::Display for KernelConfig {
    /// The options that are kept, as a configuration that reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.iter().try_for_each(|(name, value)| match value {
            Value::BuiltIn => writeln!(f, "{name}=y"),
            Value::Module => writeln!(f, "{name}=m"),
            Value::NotSet => writeln!(f, "# {name} is not set"),
            Value::Text(text) => writeln!(f, "{name}=\"{text}\""),
            Value::Other(other) => writeln!(f, "{name}={other}"),
        })
    }
}

impl KernelConfig {
    /// Modules can carry signatures, and they are looked at.
    pub const MODULE_SIG: &str = "CONFIG_MODULE_SIG";
    /// Modules that are not trusted are refused from the start.
    pub const MODULE_SIG_FORCE: &str = "CONFIG_MODULE_SIG_FORCE";
    /// The kernel decompresses modules itself.
    pub const MODULE_DECOMPRESS: &str = "CONFIG_MODULE_DECOMPRESS";
    /// With Secure Boot the kernel locks itself down; distributions have this.
    pub const LOCK_DOWN_IN_EFI_SECURE_BOOT: &str = "CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT";
    /// There is `.platform`.
    pub const PLATFORM_KEYRING: &str = "CONFIG_INTEGRITY_PLATFORM_KEYRING";
    /// There is `.machine`.
    pub const MACHINE_KEYRING: &str = "CONFIG_INTEGRITY_MACHINE_KEYRING";
    /// Only authorities get into `.machine`.
    pub const CA_MACHINE_KEYRING: &str = "CONFIG_INTEGRITY_CA_MACHINE_KEYRING";
    /// Only such as are nothing but authorities.
    pub const CA_MACHINE_KEYRING_MAX: &str = "CONFIG_INTEGRITY_CA_MACHINE_KEYRING_MAX";
    /// Keys of firmware and shim are read.
    pub const LOAD_UEFI_KEYS: &str = "CONFIG_LOAD_UEFI_KEYS";
    /// There is `.secondary_trusted_keys`.
    pub const SECONDARY_KEYRING: &str = "CONFIG_SECONDARY_TRUSTED_KEYRING";
    /// There is `.blacklist`.
    pub const BLACKLIST_KEYRING: &str = "CONFIG_SYSTEM_BLACKLIST_KEYRING";
    /// It holds certificates too.
    pub const REVOCATION_LIST: &str = "CONFIG_SYSTEM_REVOCATION_LIST";

    /// Reads a configuration; what has to do with other things is only looked at as far as to see
    /// that it is one.
    ///
    /// # Errors
    /// A line is neither a comment nor sets an option, or there is no line that says something of an
    /// option at all.
    pub fn parse(text: &[u8]) -> Result<Self, Damaged> {
        let mut pieces = Pieces::default();
        pieces.push(text)?;
        pieces.end()
    }

    /// What an option that is kept is set to. None is one that this kernel does not have, or cannot
    /// have beside its others: it is not set either.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.options.get(name)
    }

    /// Whether an option that is kept is built in.
    pub fn has(&self, name: &str) -> bool {
        self.value(name) == Some(&Value::BuiltIn)
    }

    /// The options that are kept, by name.
    pub fn options(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.options.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// A configuration that comes piece by piece: a quarter of a megabyte, of which little is kept.
#[derive(Debug, Default)]
pub struct Pieces {
    config: KernelConfig,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    /// Where that begins.
    offset: usize,
    /// Whether a line has said something of an option.
    said: bool,
}

impl Pieces {
    /// The next piece; lines may go on from one to the next.
    ///
    /// # Errors
    /// A line is neither a comment nor sets an option. What is pushed later tells nothing.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Damaged> {
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            if !line.ends_with(b"\n") {
                self.begun.extend_from_slice(line);
            } else if self.begun.is_empty() {
                self.line(line)?;
            } else {
                self.begun.extend_from_slice(line);
                let whole = std::mem::take(&mut self.begun);
                self.line(&whole)?;
            }
        }
        Ok(())
    }

    /// What all of them said.
    ///
    /// # Errors
    /// The last line is none, or there is no line that says something of an option at all.
    pub fn end(mut self) -> Result<KernelConfig, Damaged> {
        let last = std::mem::take(&mut self.begun);
        self.line(&last)?;
        let empty = Damaged { offset: self.offset, expected: "at least one option" };
        if self.said { Ok(self.config) } else { Err(empty) }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Damaged> {
        let damaged = Damaged { offset: self.offset, expected: "CONFIG_NAME=VALUE or a comment" };
        self.offset = self.offset.saturating_add(line.len());
        let line = String::from_utf8_lossy(line);
        let line = line.trim_ascii_end();
        let (name, value) = if let Some(comment) = line.strip_prefix('#') {
            match comment.trim_ascii().strip_suffix(" is not set") {
                Some(name) if is_option(name) => (name, Value::NotSet),
                Some(_) | None => return Ok(()),
            }
        } else if line.is_empty() {
            return Ok(());
        } else {
            let (name, value) = line.split_once('=').ok_or(damaged)?;
            if !is_option(name) {
                return Err(damaged);
            }
            (name, value_of(value))
        };
        self.said = true;
        if KEPT.iter().any(|kept| name.starts_with(kept)) {
            self.config.options.insert(name.to_owned(), value);
        }
        Ok(())
    }
}

fn is_option(name: &str) -> bool {
    let letters = name.strip_prefix("CONFIG_").unwrap_or_default();
    !letters.is_empty() && letters.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

fn value_of(text: &str) -> Value {
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match (text, quoted) {
        ("y", _) => Value::BuiltIn,
        ("m", _) => Value::Module,
        ("n", _) => Value::NotSet,
        (_, Some(quoted)) => Value::Text(quoted.to_owned()),
        _ => Value::Other(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of Debian's 6.1.
    const DEBIAN: &[u8] = b"#
# Automatically generated file; DO NOT EDIT.
#
CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0\"
CONFIG_MODULE_SIG_FORMAT=y
CONFIG_MODULE_SIG=y
# CONFIG_MODULE_SIG_FORCE is not set
CONFIG_MODULE_SIG_HASH=\"sha256\"
CONFIG_EFI_VARS_PSTORE=m

CONFIG_SECURITY_LOCKDOWN_LSM=y
CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y
CONFIG_INTEGRITY_MACHINE_KEYRING=y
CONFIG_SYSTEM_TRUSTED_KEYS=\"\"
CONFIG_SECONDARY_TRUSTED_KEYRING=y
# CONFIG_SYSTEM_REVOCATION_LIST is not set
CONFIG_SYSTEM_EXTRA_CERTIFICATE_SIZE=4096
";

    #[test]
    fn options_that_matter_are_kept() {
        let config = KernelConfig::parse(DEBIAN).unwrap();
        assert!(config.has(KernelConfig::MODULE_SIG) && config.has(KernelConfig::MACHINE_KEYRING));
        assert!(config.has(KernelConfig::LOCK_DOWN_IN_EFI_SECURE_BOOT));
        assert_eq!(config.value(KernelConfig::MODULE_SIG_FORCE), Some(&Value::NotSet));
        assert_eq!(config.value(KernelConfig::REVOCATION_LIST), Some(&Value::NotSet));
        assert_eq!(config.value(KernelConfig::CA_MACHINE_KEYRING), None);
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        assert_eq!(config.value("CONFIG_MODULE_SIG_HASH").cloned(), text("sha256"));
        assert_eq!(config.value("CONFIG_SYSTEM_TRUSTED_KEYS").cloned(), text(""));
        let number = config.value("CONFIG_SYSTEM_EXTRA_CERTIFICATE_SIZE");
        assert_eq!(number, Some(&Value::Other("4096".to_owned())));
        assert_eq!(config.value("CONFIG_EFI_VARS_PSTORE"), None);
        assert_eq!(config.options().count(), 11);
        assert_eq!(KernelConfig::parse(config.to_string().as_bytes()), Ok(config));
    }

    #[test]
    fn pieces_say_the_same_as_the_whole() {
        let whole = KernelConfig::parse(DEBIAN);
        for size in 1..90 {
            let mut pieces = Pieces::default();
            DEBIAN.chunks(size).for_each(|piece| pieces.push(piece).unwrap());
            assert_eq!(pieces.end(), whole, "pieces of {size} bytes");
        }
        let mut pieces = Pieces::default();
        pieces.push(b"CONFIG_A=y\nCONF").unwrap();
        assert_eq!(pieces.push(b"USED\n").unwrap_err().offset, 11);
    }

    #[test]
    fn every_name_that_is_asked_for_is_kept() {
        for name in [
            KernelConfig::MODULE_SIG,
            KernelConfig::MODULE_SIG_FORCE,
            KernelConfig::MODULE_DECOMPRESS,
            KernelConfig::LOCK_DOWN_IN_EFI_SECURE_BOOT,
            KernelConfig::PLATFORM_KEYRING,
            KernelConfig::MACHINE_KEYRING,
            KernelConfig::CA_MACHINE_KEYRING,
            KernelConfig::CA_MACHINE_KEYRING_MAX,
            KernelConfig::LOAD_UEFI_KEYS,
            KernelConfig::SECONDARY_KEYRING,
            KernelConfig::BLACKLIST_KEYRING,
            KernelConfig::REVOCATION_LIST,
            "CONFIG_CHECK_CODESIGN_EKU",
            "CONFIG_PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA",
        ] {
            assert!(KernelConfig::parse(format!("{name}=y").as_bytes()).unwrap().has(name));
        }
    }

    #[test]
    fn other_files_are_refused_with_the_line() {
        for (text, offset) in [
            ("", 0),
            ("# a comment\n", 12),
            ("CONFIG_A=y\nB=y\n", 11),
            ("CONFIG_A=y\n\x7fELF\n", 11),
            ("CONFIG_=y\n", 0),
            ("\x1f\u{fffd}\x08", 0),
        ] {
            assert_eq!(KernelConfig::parse(text.as_bytes()).unwrap_err().offset, offset, "{text}");
        }
    }
}
