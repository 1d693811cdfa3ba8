//! Lists of keys and hashes (EFI_SIGNATURE_LIST): what `db`, `dbx`, MokListRT, MokListXRT and
//! requests to shim hold (`reference/secure-boot-mok.md` section 2).

use std::collections::BTreeSet;

use super::Damaged;
use super::bytes::Bytes;
use super::certificate::Certificate;
use super::guid::Guid;

pub mod write;

/// Type, size of the list, size of its header, size of an entry.
const LIST_HEAD_BYTES: usize = 28;
/// The owner's GUID, before what an entry holds.
const OWNER_BYTES: usize = 16;
/// When a certificate was revoked, behind the hash of what is signed in it (EFI_TIME).
const TIME_BYTES: usize = 16;

/// What the entries of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureType {
    /// A certificate, DER.
    X509,
    /// A hash of a program (Authenticode).
    Sha256,
    /// The same.
    Sha1,
    /// The same.
    Sha224,
    /// The same.
    Sha384,
    /// The same.
    Sha512,
    /// The modulus of an RSA key.
    Rsa2048,
    /// A program's hash, signed by a key of that size.
    Rsa2048Sha256,
    /// The same.
    Rsa2048Sha1,
    /// A hash of what is signed in a certificate, and a time of revocation.
    X509Sha256,
    /// The same.
    X509Sha384,
    /// The same.
    X509Sha512,
    /// PKCS#7, DER.
    Pkcs7,
    /// One that is not known; the kernel passes over such lists.
    Unknown(Guid),
}

/// The type of certificates (`reference/secure-boot-mok.md` section 2).
const X509: Guid =
    Guid::new(0xa5c0_59a1, 0x94e4, 0x4aa7, [0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72]);

/// GUIDs of the types, and how many bytes an entry has behind its owner where that is fixed. From
/// `reference/secure-boot-mok.md` section 2; those with RSA2048_ and X509_ from the UEFI
/// specification 2.10, section 32.4.1.
const TYPES: [(SignatureType, Guid, Option<usize>); 13] = [
    (SignatureType::X509, X509, None),
    (
        SignatureType::Sha256,
        Guid::new(0xc1c4_1626, 0x504c, 0x4092, [0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28]),
        Some(32),
    ),
    (
        SignatureType::Sha1,
        Guid::new(0x826c_a512, 0xcf10, 0x4ac9, [0xb1, 0x87, 0xbe, 0x01, 0x49, 0x66, 0x31, 0xbd]),
        Some(20),
    ),
    (
        SignatureType::Sha224,
        Guid::new(0x0b6e_5233, 0xa65c, 0x44c9, [0x94, 0x07, 0xd9, 0xab, 0x83, 0xbf, 0xc8, 0xbd]),
        Some(28),
    ),
    (
        SignatureType::Sha384,
        Guid::new(0xff3e_5307, 0x9fd0, 0x48c9, [0x85, 0xf1, 0x8a, 0xd5, 0x6c, 0x70, 0x1e, 0x01]),
        Some(48),
    ),
    (
        SignatureType::Sha512,
        Guid::new(0x093e_0fae, 0xa6c4, 0x4f50, [0x9f, 0x1b, 0xd4, 0x1e, 0x2b, 0x89, 0xc1, 0x9a]),
        Some(64),
    ),
    (
        SignatureType::Rsa2048,
        Guid::new(0x3c57_66e8, 0x269c, 0x4e34, [0xaa, 0x14, 0xed, 0x77, 0x6e, 0x85, 0xb3, 0xb6]),
        Some(256),
    ),
    (
        SignatureType::Rsa2048Sha256,
        Guid::new(0xe2b3_6190, 0x879b, 0x4a3d, [0xad, 0x8d, 0xf2, 0xe7, 0xbb, 0xa3, 0x27, 0x84]),
        Some(256),
    ),
    (
        SignatureType::Rsa2048Sha1,
        Guid::new(0x67f8_444f, 0x8743, 0x48f1, [0xa3, 0x28, 0x1e, 0xaa, 0xb8, 0x73, 0x60, 0x80]),
        Some(256),
    ),
    (
        SignatureType::X509Sha256,
        Guid::new(0x3bd2_a492, 0x96c0, 0x4079, [0xb4, 0x20, 0xfc, 0xf9, 0x8e, 0xf1, 0x03, 0xed]),
        Some(32 + TIME_BYTES),
    ),
    (
        SignatureType::X509Sha384,
        Guid::new(0x7076_876e, 0x80c2, 0x4ee6, [0xaa, 0xd2, 0x28, 0xb3, 0x49, 0xa6, 0x86, 0x5b]),
        Some(48 + TIME_BYTES),
    ),
    (
        SignatureType::X509Sha512,
        Guid::new(0x446d_bf63, 0x2502, 0x4cda, [0xbc, 0xfa, 0x24, 0x65, 0xd2, 0xb0, 0xfe, 0x9d]),
        Some(64 + TIME_BYTES),
    ),
    (
        SignatureType::Pkcs7,
        Guid::new(0x4aaf_d29d, 0x68df, 0x49ee, [0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7]),
        None,
    ),
];

impl SignatureType {
    fn of(guid: Guid) -> (Self, Option<usize>) {
        let known = TYPES.iter().find(|(_, own, _)| *own == guid);
        known.map_or((Self::Unknown(guid), None), |(kind, _, size)| (*kind, *size))
    }
}

/// Entries of one type and one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureList {
    /// What they are.
    pub kind: SignatureType,
    /// They themselves, in their order; at least one.
    pub entries: Vec<Entry>,
}

/// One key or hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who put it there.
    pub owner: Guid,
    /// What it holds, after its type.
    pub data: Vec<u8>,
    /// Where that begins, from the beginning of the variable's data.
    pub offset: usize,
}

impl Entry {
    /// Its certificate, in a list of that type. What firmware put behind one is passed over, as the
    /// kernel does.
    ///
    /// # Errors
    /// There is none; the offset is seen from the beginning of the variable's data.
    pub fn certificate(&self) -> Result<Certificate, Damaged> {
        Certificate::at_start(&self.data).map_err(|damaged| damaged.within(self.offset))
    }
}

/// What an entry says of a revoked certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked<'a> {
    /// The hash of what is signed in it.
    pub to_be_signed: &'a [u8],
    /// Since when, as year, month, day, hour, minute, second; none is ever.
    pub since: Option<(u16, [u8; 5])>,
}

impl SignatureList {
    /// What an entry of this list says, if it is of a type that revokes certificates by hash.
    pub fn revoked<'a>(&self, entry: &'a Entry) -> Option<Revoked<'a>> {
        match self.kind {
            SignatureType::X509Sha256 | SignatureType::X509Sha384 | SignatureType::X509Sha512 => {}
            SignatureType::X509
            | SignatureType::Sha256
            | SignatureType::Sha1
            | SignatureType::Sha224
            | SignatureType::Sha384
            | SignatureType::Sha512
            | SignatureType::Rsa2048
            | SignatureType::Rsa2048Sha256
            | SignatureType::Rsa2048Sha1
            | SignatureType::Pkcs7
            | SignatureType::Unknown(_) => return None,
        }
        let hash_bytes = entry.data.len().checked_sub(TIME_BYTES)?;
        let (to_be_signed, time) = entry.data.split_at_checked(hash_bytes)?;
        let [low, high, month, day, hour, minute, second, ..] = *time else { return None };
        let year = u16::from_le_bytes([low, high]);
        let since = (time.iter().any(|byte| *byte != 0))
            .then_some((year, [month, day, hour, minute, second]));
        Some(Revoked { to_be_signed, since })
    }
}

/// The lists that stand one behind the other in a variable's data. No bytes are no lists.
///
/// # Errors
/// Sizes contradict each other or the end. The kernel gives up at the same places, keeping what came
/// before; it looks less closely only at the size of hashes.
pub fn parse(data: &[u8]) -> Result<Vec<SignatureList>, Damaged> {
    let mut bytes = Bytes::new(data);
    let mut lists = Vec::new();
    while !bytes.rest().is_empty() {
        lists.push(list(&mut bytes)?);
    }
    Ok(lists)
}

/// Whether `data` begins with the GUID of a type that is known: whatever follows is meant as a list.
pub fn begins_one(data: &[u8]) -> bool {
    let guid = data.first_chunk().map(|bytes| SignatureType::of(Guid(*bytes)).0);
    guid.is_some_and(|kind| !matches!(kind, SignatureType::Unknown(_)))
}

fn list(bytes: &mut Bytes<'_>) -> Result<SignatureList, Damaged> {
    let kind = Guid(bytes.array("the GUID of a signature type")?);
    let (kind, fixed) = SignatureType::of(kind);
    let size_field = *bytes;
    let mut size = || bytes.le_u32("a size of 4 bytes").map(|size| usize::try_from(size).ok());
    let (list_size, header_size) = (size()?, size()?);
    let entry_field = *bytes;
    let entry_size = bytes.le_u32("a size of 4 bytes").map(|size| usize::try_from(size).ok())?;

    let body_size = list_size.and_then(|size| size.checked_sub(LIST_HEAD_BYTES));
    let body_size = body_size
        .filter(|size| *size <= bytes.rest().len())
        .ok_or(size_field.damaged("the size of a list that ends within the variable"))?;
    let begin = bytes.offset();
    let mut body = Bytes::at(bytes.take(body_size, "a whole list")?, begin);
    let header_size = header_size.unwrap_or(usize::MAX);
    body.take(header_size, "a header that ends within the list")?;

    let damaged = entry_field.damaged("the size of an entry, of which the list holds whole ones");
    let entry_size = entry_size.filter(|size| *size >= OWNER_BYTES).ok_or(damaged)?;
    if body.rest().is_empty() || !body.rest().len().is_multiple_of(entry_size) {
        return Err(damaged);
    }
    let data_size = entry_size.saturating_sub(OWNER_BYTES);
    if fixed.is_some_and(|fixed| fixed != data_size) {
        return Err(entry_field.damaged("the size of an entry of this type"));
    }
    let mut entries = Vec::new();
    while !body.rest().is_empty() {
        let owner = Guid(body.array("an owner's GUID")?);
        let offset = body.offset();
        let data = body.take(data_size, "a whole entry")?.to_vec();
        entries.push(Entry { owner, data, offset });
    }
    Ok(SignatureList { kind, entries })
}

/// Why a database that lies in several variables does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {damaged}")]
pub struct DamagedVariable {
    /// Which of them.
    pub variable: String,
    /// Where in its data, and what should stand there.
    pub damaged: Damaged,
}

/// The lists of a database that lies in several variables (`MokListRT`, `MokListRT1` …), given in
/// their order by name. What is repeated counts once: where the first holds all, as in
/// `mok-variables`, the others say the same again.
///
/// # Errors
/// One of them does not read.
pub fn parse_parts<'a>(
    parts: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<SignatureList>, DamagedVariable> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (variable, data) in parts {
        let lists = parse(data)
            .map_err(|damaged| DamagedVariable { variable: variable.to_owned(), damaged })?;
        for SignatureList { kind, mut entries } in lists {
            entries.retain(|entry| seen.insert((kind, entry.owner, entry.data.clone())));
            if !entries.is_empty() {
                all.push(SignatureList { kind, entries });
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
