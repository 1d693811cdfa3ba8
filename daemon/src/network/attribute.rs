//! Attributes of netlink: one after the other, each behind its length and kind, and padded.

use netlink_packet_core::{NLA_ALIGNTO, NLA_F_NESTED, NLA_HEADER_SIZE, NLA_TYPE_MASK};

/// A list of attributes as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    /// With one more.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(NLA_HEADER_SIZE + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(NLA_ALIGNTO), 0);
        self
    }

    /// With a number more.
    pub(super) fn with_number(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_ne_bytes())
    }

    /// With a text more, and the byte that ends it.
    pub(super) fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// With a list more.
    pub(super) fn with_list(self, kind: u16, list: &Self) -> Self {
        self.with_kept(kind, &list.0)
    }

    /// With a list more that is kept as bytes.
    pub(super) fn with_kept(self, kind: u16, list: &[u8]) -> Self {
        self.with(kind | NLA_F_NESTED, list)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Where each attribute of a list is: kind, and place of its value. Ends at what is cut off.
pub(super) fn places(list: &[u8]) -> impl Iterator<Item = (u16, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let [a, b, c, d] = *list.get(at..)?.first_chunk::<NLA_HEADER_SIZE>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let place = at + NLA_HEADER_SIZE..at + length;
        list.get(place.clone())?;
        at += length.next_multiple_of(NLA_ALIGNTO);
        Some((u16::from_ne_bytes([c, d]) & NLA_TYPE_MASK, place))
    })
}

/// The attributes of a list.
pub(super) fn each(list: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    places(list).filter_map(|(kind, place)| Some((kind, list.get(place)?)))
}

/// The value of one attribute.
pub(super) fn find(list: &[u8], wanted: u16) -> Option<&[u8]> {
    each(list).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// A number.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

/// A text, without the byte that ends it.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_apart_as_it_was_put_together() {
        let inner = Attributes::default().with_number(7, 9);
        let list = Attributes::default().with_text(3, "ens1f0").with_list(18, &inner).with(5, b"");
        let found: Vec<_> = each(list.bytes()).collect();
        assert_eq!(found, [(3, &b"ens1f0\0"[..]), (18, inner.bytes()), (5, b"")]);
        assert_eq!(text(find(list.bytes(), 3).unwrap()), "ens1f0");
        assert_eq!(number(find(inner.bytes(), 7).unwrap()), Some(9));
        assert_eq!(number(b"odd"), None);
    }

    #[test]
    fn what_is_cut_off_ends_the_list() {
        let list = Attributes::default().with_number(1, 1).with_number(2, 2);
        for end in 0..list.bytes().len() {
            assert_eq!(each(&list.bytes()[..end]).count(), end / 8, "{end}");
        }
        assert_eq!(each(&[0; 8]).count(), 0, "a length below the header's");
    }
}
