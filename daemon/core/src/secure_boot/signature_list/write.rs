//! Lists as they are written.

use super::{Bytes, Damaged, Entry, LIST_HEAD_BYTES, OWNER_BYTES, SignatureType, X509, list};
use crate::secure_boot::guid::Guid;

/// A list with one certificate and nothing else, as `mokutil --import` writes it
/// (`reference/secure-boot-mok.md` section 3).
///
/// # Errors
/// The certificate is longer than a list can say.
pub fn certificate(owner: Guid, der: &[u8]) -> Result<Vec<u8>, Damaged> {
    let entry_bytes = der.len().saturating_add(OWNER_BYTES);
    let list_size = size(entry_bytes.saturating_add(LIST_HEAD_BYTES))?;
    let entry_size = size(entry_bytes)?;
    let header_size = 0_u32.to_le_bytes();
    Ok([&X509.0[..], &list_size, &header_size, &entry_size, &owner.0, der].concat())
}

/// The lists of a variable without what `taken` says; all else stays byte for byte. A list of which
/// nothing is left goes.
///
/// # Errors
/// `data` are no lists.
pub fn without(
    data: &[u8],
    taken: impl Fn(SignatureType, &Entry) -> bool,
) -> Result<Vec<u8>, Damaged> {
    let mut bytes = Bytes::new(data);
    let mut kept = Vec::new();
    while !bytes.rest().is_empty() {
        let whole = bytes;
        let parsed = list(&mut bytes)?;
        let list_bytes = bytes.offset().saturating_sub(whole.offset());
        let stays: Vec<_> =
            parsed.entries.iter().filter(|entry| !taken(parsed.kind, entry)).collect();
        if stays.len() == parsed.entries.len() {
            kept.extend(whole.rest().iter().take(list_bytes));
        } else if let Some(one) = stays.first() {
            // What stands before the first entry: type, sizes and the list's own header.
            let entries = parsed.entries.first().map_or(0, |entry| entry.offset);
            let head_bytes = entries.saturating_sub(whole.offset()).saturating_sub(OWNER_BYTES);
            let mut head: Vec<u8> = whole.rest().iter().take(head_bytes).copied().collect();
            let entry_bytes = one.data.len().saturating_add(OWNER_BYTES);
            let list_size =
                size(entry_bytes.saturating_mul(stays.len()).saturating_add(head_bytes))?;
            head.iter_mut()
                .skip(one.owner.0.len())
                .zip(list_size)
                .for_each(|(to, from)| *to = from);
            kept.extend(head);
            stays.iter().for_each(|entry| {
                kept.extend(entry.owner.0);
                kept.extend(&entry.data);
            });
        }
    }
    Ok(kept)
}

fn size(bytes: usize) -> Result<[u8; 4], Damaged> {
    let longest = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let damaged = Damaged { offset: longest, expected: "the end of a list of less than 4 GiB" };
    u32::try_from(bytes).map(u32::to_le_bytes).map_err(|_| damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_boot::signature_list::parse;
    use crate::secure_boot::variable::SHIM_LOCK;

    const DB: &[u8] = include_bytes!("../../../../../tests/secure-boot/db.esl");
    const DBX: &[u8] = include_bytes!("../../../../../tests/secure-boot/dbx.esl");
    const MODULE: &[u8] = include_bytes!("../../../../../tests/secure-boot/module.der");

    #[test]
    fn a_certificate_is_listed_as_other_tools_do() {
        let written = certificate(SHIM_LOCK, MODULE).unwrap();
        assert_eq!(written, &DB[..written.len()], "efitools wrote the first list of this");
        let lists = parse(&written).unwrap();
        let [list] = &lists[..] else { panic!("{lists:?}") };
        assert_eq!((list.kind, list.entries.len()), (SignatureType::X509, 1));
        assert_eq!((list.entries[0].owner, list.entries[0].data.as_slice()), (SHIM_LOCK, MODULE));
    }

    #[test]
    fn what_is_not_taken_stays_as_it_was() {
        let taken = |data: &[u8], taken: &dyn Fn(&Entry) -> bool| {
            without(data, |_, entry| taken(entry)).unwrap()
        };
        assert_eq!(taken(DBX, &|_| false), DBX);
        assert!(taken(DBX, &|_| true).is_empty());
        let first = 28 + 16 + MODULE.len();
        assert_eq!(taken(DB, &|entry| entry.data == MODULE), &DB[first..]);
        assert_eq!(taken(DB, &|entry| entry.data != MODULE), &DB[..first]);

        // The first of three hashes in one list goes, the lists behind stay.
        let hashes = parse(DBX).unwrap().swap_remove(0).entries;
        let left = taken(DBX, &|entry| entry.data == hashes[0].data);
        assert_eq!(left[28..], DBX[28 + 48..]);
        let again = parse(&left).unwrap();
        let data =
            |entries: &[Entry]| entries.iter().map(|one| one.data.clone()).collect::<Vec<_>>();
        assert_eq!(data(&again[0].entries), data(&hashes[1..]));
        assert_eq!(again.len(), parse(DBX).unwrap().len());

        // So does one of a list that has a header.
        let mut odd = left[..28].to_vec();
        odd[16..24].copy_from_slice(&[28 + 3 + 96, 0, 0, 0, 3, 0, 0, 0]);
        odd.extend(b"abc");
        odd.extend(&left[28..28 + 96]);
        let one = taken(&odd, &|entry| entry.data == hashes[2].data);
        assert_eq!(one[28..], odd[28..28 + 3 + 48]);
        assert_eq!(parse(&one).unwrap()[0].entries.len(), 1);
        assert_eq!(without(&DB[1..], |_, _| false).unwrap_err(), parse(&DB[1..]).unwrap_err());
    }
}
