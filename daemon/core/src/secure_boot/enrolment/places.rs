//! Where one certificate is: what trusts it, what refuses it, and who was asked to take it.

use std::collections::BTreeSet;

use crate::reading::Reading;
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::keyring::{Blacklisted, SystemRing};
use crate::secure_boot::request::{ListChange, Requests};
use crate::secure_boot::signature_list::{SignatureList, SignatureType};
use crate::secure_boot::trust::{Ring, Trust};
use crate::secure_boot::verdict::gap::{Gap, Part};
use crate::secure_boot::verdict::reason::{Place, Revoked};

/// Rings that may trust a key; whether one counts for modules is another question.
const TRUSTING: [SystemRing; 4] =
    [SystemRing::Builtin, SystemRing::Secondary, SystemRing::Machine, SystemRing::Platform];

/// Where a certificate is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// What holds it. A ring shows the id of a key, so that another certificate with the same id is
    /// taken for it, as `mokutil` does.
    pub held: BTreeSet<Place>,
    /// What names it as revoked.
    pub revoked: BTreeSet<Revoked>,
    /// Whether its enrolment is asked for.
    pub pending: bool,
    /// What could not be looked at.
    pub unread: Vec<Gap>,
}

impl Places {
    /// Looks for a certificate everywhere.
    pub fn of(certificate: &Certificate, trust: &Trust) -> Self {
        let mut places = Self::default();
        for (place, part, lists) in
            [(Place::MokList, Part::MokList, &trust.mok), (Place::Db, Part::Db, &trust.db)]
        {
            if places.known(part, lists).is_some_and(|lists| lists_hold(lists, certificate)) {
                places.held.insert(place);
            }
        }
        for (list, part, lists) in [
            (Revoked::MokListX, Part::MokListX, &trust.mok_forbidden),
            (Revoked::Dbx, Part::Dbx, &trust.dbx),
        ] {
            if places.known(part, lists).is_some_and(|lists| lists_revoke(lists, certificate)) {
                places.revoked.insert(list);
            }
        }
        for ring in TRUSTING {
            if places.ring(ring, trust).is_some_and(|held| ring_shows(held, certificate)) {
                places.held.insert(Place::Ring(ring));
            }
        }
        let revokes = |ring: &Ring| ring_shows(ring, certificate) || ring_bars(ring, certificate);
        if places.ring(SystemRing::Blacklist, trust).is_some_and(revokes) {
            places.revoked.insert(Revoked::Blacklist);
        }
        places.pending =
            trust.requests.known().is_some_and(|requests| requested(requests, certificate));
        places
    }

    /// Whether a ring of the kernel holds it.
    pub fn in_a_ring(&self) -> bool {
        self.held.iter().any(|place| matches!(place, Place::Ring(_)))
    }

    fn known<'a, T>(&mut self, part: Part, reading: &'a Reading<T>) -> Option<&'a T> {
        let why = reading.why_not().map(str::to_owned);
        self.unread.extend(why.map(|why| Gap::Unread { part, why }));
        reading.known()
    }

    fn ring<'a>(&mut self, kind: SystemRing, trust: &'a Trust) -> Option<&'a Ring> {
        match trust.ring(kind) {
            Reading::Known(ring) => {
                let count = ring.unread;
                self.unread.extend((count > 0).then_some(Gap::Undescribed { ring: kind, count }));
                Some(ring)
            }
            Reading::Absent => None,
            Reading::Unreadable(why) => {
                self.unread.push(Gap::Unread { part: Part::Ring(kind), why });
                None
            }
        }
    }
}

/// Whether a request to enrol names the certificate.
pub fn requested(requests: &Requests, certificate: &Certificate) -> bool {
    let asked = requests.lists.get(&ListChange::Enrol).and_then(|asked| asked.list.as_ref());
    asked.is_some_and(|lists| lists.as_ref().is_ok_and(|lists| lists_hold(lists, certificate)))
}

/// Whether it is a ring that may trust keys of which something is not known: a key that shim is asked for
/// does not get there by that.
pub fn is_of_a_ring(gap: &Gap) -> bool {
    match gap {
        Gap::Unread { part: Part::Ring(ring), .. }
        | Gap::NotRunning { part: Part::Ring(ring), .. }
        | Gap::CertificateMissing { ring, .. }
        | Gap::SameKey { ring, .. }
        | Gap::Undescribed { ring, .. } => TRUSTING.contains(ring),
        Gap::Unread { .. }
        | Gap::NotRunning { .. }
        | Gap::CertificatesInside
        | Gap::PlatformPatch { .. }
        | Gap::Algorithm { .. }
        | Gap::PurposeCheck { .. } => false,
    }
}

fn lists_hold(lists: &[SignatureList], certificate: &Certificate) -> bool {
    lists.iter().filter(|list| list.kind == SignatureType::X509).any(|list| {
        let mut held = list.entries.iter().filter_map(|entry| entry.certificate().ok());
        held.any(|held| held.fingerprint == certificate.fingerprint)
    })
}

fn lists_revoke(lists: &[SignatureList], certificate: &Certificate) -> bool {
    let mut named = lists
        .iter()
        .flat_map(|list| list.entries.iter().filter_map(move |entry| list.revoked(entry)));
    lists_hold(lists, certificate)
        || named.any(|revoked| is_hash(certificate, revoked.to_be_signed))
}

fn ring_shows(ring: &Ring, certificate: &Certificate) -> bool {
    // A mere number is an id that others may have as well; then the name tells them apart.
    let named =
        |name: &str| certificate.subject.common_name().is_some_and(|own| name.ends_with(own));
    let identified = certificate.extensions.subject_key_id.is_some();
    let id = certificate.listed_id();
    ring.keys.iter().any(|key| key.id.0 == id && (identified || named(&key.name)))
}

fn ring_bars(ring: &Ring, certificate: &Certificate) -> bool {
    ring.blacklisted.iter().any(|one| match one {
        Blacklisted::ToBeSigned(hash) => is_hash(certificate, hash),
        Blacklisted::Binary(_) => false,
    })
}

fn is_hash(certificate: &Certificate, hash: &[u8]) -> bool {
    let of = &certificate.to_be_signed;
    hash == of.sha256 || hash == of.sha384 || hash == of.sha512
}
