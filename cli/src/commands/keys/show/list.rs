//! What EFI signature lists hold, alone or in a variable.

use std::collections::BTreeMap;
use std::path::Path;

use onload_core::secure_boot::certificate::date::Date;
use onload_core::secure_boot::hex;
use onload_core::secure_boot::signature_list::{
    self, Entry as Raw, SignatureList, SignatureType, begins_one,
};
use onload_core::secure_boot::variable::{Attributes, SHIM_LOCK, efivarfs, file_name};
use serde::Serialize;

use super::certificate::Certificate;
use super::row;
use crate::render::paint::{Paint, plain};

/// The variable that a file of efivarfs holds.
#[derive(Debug, Serialize)]
pub struct Variable {
    name: Option<String>,
    vendor: Option<String>,
    attributes: Vec<&'static str>,
}

/// Entries of one type.
#[derive(Debug, Serialize)]
pub struct List {
    /// As UEFI calls it between `EFI_CERT_` and `_GUID`; the GUID where nobody knows it.
    r#type: String,
    entries: Vec<Entry>,
}

/// A key or a hash.
#[derive(Debug, Serialize)]
struct Entry {
    owner: String,
    /// How much there is of it.
    bytes: usize,
    /// Of a program, or of what is signed in a certificate.
    hash: Option<String>,
    /// Milliseconds since 1970 UTC; null is since ever.
    revoked_since: Option<i64>,
    certificate: Option<Certificate>,
    unreadable: BTreeMap<&'static str, String>,
    /// For people.
    #[serde(skip)]
    since: Option<Date>,
}

/// The lists in a file, and its variable; none where it is something else. The first bytes tell, or
/// the name of the file.
pub fn find<'a>(path: &Path, bytes: &'a [u8]) -> Option<(Option<Variable>, &'a [u8])> {
    if begins_one(bytes) {
        return Some((None, bytes));
    }
    let name = path.file_name().and_then(|name| file_name(name.to_str()?).ok());
    let prefixed = efivarfs(bytes).ok();
    let prefixed = prefixed.filter(|(_, data)| begins_one(data) || name.is_some());
    if let Some((attributes, data)) = prefixed {
        let (name, vendor) =
            name.map(|(name, vendor)| (name.to_owned(), vendor.to_string())).unzip();
        return Some((Some(Variable { name, vendor, attributes: words(attributes) }), data));
    }
    let whole = !bytes.is_empty() && signature_list::parse(bytes).is_ok();
    whole.then_some((None, bytes))
}

fn words(attributes: Attributes) -> Vec<&'static str> {
    let known = [
        (Attributes::NON_VOLATILE, "non-volatile"),
        (Attributes::BOOT_SERVICE, "boot-service"),
        (Attributes::RUN_TIME, "run-time"),
    ];
    known.into_iter().filter(|(one, _)| attributes.have(*one)).map(|(_, word)| word).collect()
}

/// The lists that stand at `base` of a file, or where they are wrong, and how.
pub fn read(bytes: &[u8], base: usize) -> Result<Vec<List>, String> {
    let lists = signature_list::parse(bytes);
    let lists = lists.map_err(|damaged| damaged.within(base).to_string())?;
    Ok(lists.iter().map(|list| List::of(list, base)).collect())
}

impl List {
    fn of(list: &SignatureList, base: usize) -> Self {
        let entries = list.entries.iter().map(|entry| Entry::of(list, entry, base)).collect();
        Self { r#type: kind(list.kind), entries }
    }
}

impl Entry {
    fn of(list: &SignatureList, raw: &Raw, base: usize) -> Self {
        let mut entry = Self {
            owner: raw.owner.to_string(),
            bytes: raw.data.len(),
            hash: None,
            revoked_since: None,
            certificate: None,
            unreadable: BTreeMap::new(),
            since: None,
        };
        match list.kind {
            SignatureType::X509 => match raw.certificate() {
                Ok(x509) => entry.certificate = Some(Certificate::of(&x509, "DER")),
                Err(damaged) => {
                    entry.unreadable.insert("certificate", damaged.within(base).to_string());
                }
            },
            SignatureType::Sha256
            | SignatureType::Sha1
            | SignatureType::Sha224
            | SignatureType::Sha384
            | SignatureType::Sha512 => entry.hash = Some(hex(&raw.data)),
            SignatureType::X509Sha256 | SignatureType::X509Sha384 | SignatureType::X509Sha512 => {
                entry.revoked(list, raw);
            }
            SignatureType::Rsa2048
            | SignatureType::Rsa2048Sha256
            | SignatureType::Rsa2048Sha1
            | SignatureType::Pkcs7
            | SignatureType::Unknown(_) => {}
        }
        entry
    }

    fn revoked(&mut self, list: &SignatureList, raw: &Raw) {
        const MILLIS: i64 = 1000;
        let Some(revoked) = list.revoked(raw) else { return };
        self.hash = Some(hex(revoked.to_be_signed));
        let Some((year, [month, day, hour, minute, second])) = revoked.since else { return };
        let since = Date { year, month, day, hour, minute, second };
        if since.exists() {
            self.since = Some(since);
            self.revoked_since = Some(since.unix_secs().saturating_mul(MILLIS));
        } else {
            self.unreadable.insert("revoked_since", format!("there was no {since}"));
        }
    }

    fn text(&self, kind: &str) -> String {
        let owner = match self.owner == SHIM_LOCK.to_string() {
            true => format!("{} (shim)", self.owner),
            false => self.owner.clone(),
        };
        let mut text = format!("  {}, {} bytes\n", plain(kind), self.bytes);
        text += &row(2, "owner", &owner);
        if let Some(hash) = &self.hash {
            text += &row(2, "hash", hash);
        }
        if let Some(since) = self.since {
            text += &row(2, "revoked since", &since.to_string());
        }
        if let Some(certificate) = &self.certificate {
            text += &certificate.rows(2);
        }
        let unread = |(key, why): (&&str, &String)| row(2, "but", &format!("{key}: {why}"));
        text + &self.unreadable.iter().map(unread).collect::<String>()
    }
}

/// For people, from behind the name of the file on.
pub fn text(variable: Option<&Variable>, lists: &[List]) -> String {
    let count: usize = lists.iter().map(|list| list.entries.len()).sum();
    let what = match variable {
        Some(Variable { name, attributes, .. }) => {
            let name = name.as_ref().map(|name| format!(" {}", plain(name))).unwrap_or_default();
            format!("variable{name} ({}) with EFI signature lists", attributes.join(", "))
        }
        None => "EFI signature lists".to_owned(),
    };
    let count = match count {
        0 => Paint::Warn.on("no entries"),
        1 => "1 entry".to_owned(),
        more => format!("{more} entries"),
    };
    let entries =
        lists.iter().flat_map(|list| list.entries.iter().map(|entry| entry.text(&list.r#type)));
    format!("{what}, {count}\n{}", entries.collect::<String>())
}

fn kind(kind: SignatureType) -> String {
    let name = match kind {
        SignatureType::X509 => "X509",
        SignatureType::Sha256 => "SHA256",
        SignatureType::Sha1 => "SHA1",
        SignatureType::Sha224 => "SHA224",
        SignatureType::Sha384 => "SHA384",
        SignatureType::Sha512 => "SHA512",
        SignatureType::Rsa2048 => "RSA2048",
        SignatureType::Rsa2048Sha256 => "RSA2048_SHA256",
        SignatureType::Rsa2048Sha1 => "RSA2048_SHA1",
        SignatureType::X509Sha256 => "X509_SHA256",
        SignatureType::X509Sha384 => "X509_SHA384",
        SignatureType::X509Sha512 => "X509_SHA512",
        SignatureType::Pkcs7 => "PKCS7",
        SignatureType::Unknown(guid) => return guid.to_string(),
    };
    name.to_owned()
}
