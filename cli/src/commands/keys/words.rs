//! The words of `keys` on the command line.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use onload_core::secure_boot::algorithm;

use crate::args::Read;

/// Ten years: longer than a key should be trusted, and no kernel looks at the date of a module's key
/// (`reference/secure-boot-mok.md` section 0).
const DAYS: u32 = 3650;
/// What the kernel's own build gives its key.
const MOST_DAYS: i64 = 36_500;

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysVerb {
    /// What is done on the desk of who builds a release.
    #[command(flatten)]
    Desk(DeskVerb),
    /// What is asked of a node.
    #[command(flatten)]
    Node(NodeVerb),
}

/// What to do with keys and files of one's own. None of it needs onloadd.
#[derive(Clone, Debug, Subcommand)]
pub enum DeskVerb {
    /// Make a private key and its certificate: PREFIX.key, PREFIX.crt (PEM), PREFIX.der (DER)
    Generate(Generate),
    /// Sign module files as the kernel's sign-file does; compressed ones stay compressed
    Sign(Sign),
    /// Say what signed modules, certificates and EFI signature lists say of themselves
    Show(Show),
}

/// What to do with the keys of a node, through onloadd.
#[derive(Clone, Debug, Subcommand)]
pub enum NodeVerb {
    /// Have shim ask for a key at the next boot, where somebody types the password at the console
    Import(Import),
    /// Have shim not ask for the keys that were asked for from here
    RevokeRequest {
        /// Also for those that others asked for
        #[arg(long)]
        all: bool,
        /// Return as soon as the order is taken
        #[arg(long, visible_alias = "no-wait")]
        no_follow: bool,
    },
    /// Keys that have a name here, and how far each is enrolled
    List(Read),
    /// Secure Boot here, whom it trusts, and what to do; ends with 4 when something is to be done
    Status(Read),
}

/// A key to be asked for.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// Its certificate, DER or PEM; without one, those are named that the configuration wants
    #[arg(value_name = "CERT")]
    pub certificate: Option<PathBuf>,
    /// First line: the password, hashed as `openssl passwd -6` does; otherwise the terminal asks
    #[arg(long, value_name = "FILE")]
    pub hash_file: Option<PathBuf>,
    /// Make a password that every keyboard types alike, and show it once; with --json as `password`
    #[arg(long, conflicts_with = "hash_file")]
    pub generate_password: bool,
    /// Also where the TPM will no longer unlock a disk by itself once the key is enrolled
    #[arg(long)]
    pub despite_sealed_disks: bool,
    /// Return as soon as the order is taken
    #[arg(long, visible_alias = "no-wait")]
    pub no_follow: bool,
}

/// A key to be made.
#[derive(Clone, Debug, Args)]
pub struct Generate {
    /// Path of the three files without their ends; none of them may be there
    #[arg(long, value_name = "PREFIX")]
    pub out: PathBuf,
    /// The kind of key
    #[arg(long, value_enum, default_value_t = Algorithm::Rsa2048, value_name = "ALGORITHM")]
    pub algorithm: Algorithm,
    /// Common name in the certificate, which modinfo shows as the signer
    #[arg(long, default_value = "Onload module signing", value_name = "CN", value_parser = common_name)]
    pub subject: String,
    /// For how many days the certificate says it holds; kernels do not look
    #[arg(long, default_value_t = DAYS, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_DAYS))]
    pub days: u32,
    /// Have openssl ask for a passphrase that guards the key: twice to set it, once to use it
    #[arg(long)]
    pub passphrase: bool,
    /// Guard the key with the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    pub passphrase_file: Option<PathBuf>,
}

/// Files to be signed.
#[derive(Clone, Debug, Args)]
pub struct Sign {
    /// Modules: .ko, .ko.xz, .ko.zst, .ko.gz
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The private key: a PEM file, or a PKCS#11 URI such as pkcs11:token=T;object=K;type=private
    // Not parsed here: what is refused here is repeated, and a URI may have a PIN in it.
    #[arg(long, value_name = "KEY|URI")]
    pub key: OsString,
    /// Its certificate, PEM or DER: the one that nodes have enrolled
    #[arg(long, value_name = "CERT")]
    pub cert: PathBuf,
    /// The digest that is signed
    #[arg(long, value_enum, default_value_t = Digest::Sha256, value_name = "DIGEST")]
    pub digest: Digest,
    /// First line: passphrase of the key or PIN of the token; otherwise openssl asks, for each file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Take signatures of others off; without it such a file is refused
    #[arg(long)]
    pub replace: bool,
}

/// Files to be shown.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// Modules (.ko, .ko.xz, .ko.zst, .ko.gz), certificates (DER, PEM), EFI signature lists and
    /// variables that hold them, such as MokListRT or MokNew
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// A kind of key that kernels take for modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // Their names say it, and help prints what stands here.
pub enum Algorithm {
    Rsa2048,
    Rsa3072,
    Rsa4096,
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
    #[value(name = "ecdsa-p384")]
    EcdsaP384,
}

impl Algorithm {
    /// The words that have `openssl genpkey` make it.
    pub fn genpkey(self) -> [&'static str; 4] {
        let (family, option) = match self {
            Self::Rsa2048 => ("RSA", "rsa_keygen_bits:2048"),
            Self::Rsa3072 => ("RSA", "rsa_keygen_bits:3072"),
            Self::Rsa4096 => ("RSA", "rsa_keygen_bits:4096"),
            Self::EcdsaP256 => ("EC", "ec_paramgen_curve:P-256"),
            Self::EcdsaP384 => ("EC", "ec_paramgen_curve:P-384"),
        };
        ["-algorithm", family, "-pkeyopt", option]
    }

    /// The digest with which the certificate signs itself: as strong as the key.
    pub fn digest(self) -> Digest {
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 | Self::EcdsaP256 => Digest::Sha256,
            Self::EcdsaP384 => Digest::Sha384,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        value_name(self, f)
    }
}

/// A digest that kernels take for modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // Their names say it, and help prints what stands here.
pub enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    /// What signatures over it say.
    pub fn algorithm(self) -> algorithm::Digest {
        match self {
            Self::Sha256 => algorithm::Digest::Sha256,
            Self::Sha384 => algorithm::Digest::Sha384,
            Self::Sha512 => algorithm::Digest::Sha512,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        value_name(self, f)
    }
}

fn value_name<V: ValueEnum>(value: &V, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(value.to_possible_value().as_ref().map_or("", |value| value.get_name()))
}

/// X.520 allows 64 characters; what steers a terminal would come back in every list of keys.
fn common_name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 64;
    match text.chars().count() {
        0 => Err("a certificate needs a name".into()),
        length if length > LONGEST => {
            Err(format!("{length} characters; a common name has at most {LONGEST}"))
        }
        _ if text.chars().any(char::is_control) => Err("there is a control character in it".into()),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_is_a_line_of_at_most_64_characters() {
        assert!(common_name(&"é".repeat(64)).is_ok());
        for wrong in [String::new(), "a\nb".to_owned(), "a".repeat(65)] {
            assert!(common_name(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        assert_eq!(Algorithm::EcdsaP384.to_string(), "ecdsa-p384");
        assert_eq!(Digest::Sha512.to_string(), "sha512");
    }
}
