//! Certificates at hand, and where each was found. They join what a signature names (issuer and
//! number) with what a ring shows (a key's id).

use crate::reading::Reading;
use crate::secure_boot::certificate::{Certificate, KeyId};
use crate::secure_boot::request::ListChange;
use crate::secure_boot::signature::signed_data::SignerId;
use crate::secure_boot::signature_list::{SignatureList, SignatureType};
use crate::secure_boot::trust::{RingKey, Trust};

/// Where a certificate was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    MokList,
    Db,
    MokListX,
    Dbx,
    Pending,
    Given,
}

/// All certificates that a machine's lists, requests and configuration bring: read once, for as many
/// kernels and modules as are judged.
#[derive(Debug)]
pub struct AtHand {
    all: Vec<(Source, Certificate)>,
}

impl AtHand {
    /// Those of this machine. Entries that do not read are passed over, as kernels do.
    pub fn of(trust: &Trust) -> Self {
        let mut all = Vec::new();
        let mut add = |source, lists: &[SignatureList]| {
            for list in lists.iter().filter(|list| list.kind == SignatureType::X509) {
                let read = list.entries.iter().filter_map(|entry| entry.certificate().ok());
                all.extend(read.map(|certificate| (source, certificate)));
            }
        };
        for (source, lists) in [
            (Source::MokList, &trust.mok),
            (Source::Db, &trust.db),
            (Source::MokListX, &trust.mok_forbidden),
            (Source::Dbx, &trust.dbx),
        ] {
            if let Reading::Known(lists) = lists {
                add(source, lists);
            }
        }
        let requests = trust.requests.known();
        let wish = requests.and_then(|requests| requests.lists.get(&ListChange::Enrol));
        if let Some(Ok(lists)) = wish.and_then(|wish| wish.list.as_ref()) {
            add(Source::Pending, lists);
        }
        let named = trust.named.values().filter_map(Reading::known);
        all.extend(named.map(|one| (Source::Given, one.clone())));
        Self { all }
    }

    /// The signer's.
    pub(super) fn of_signer<'a>(
        &'a self,
        signer: &'a SignerId,
    ) -> impl Iterator<Item = &'a Certificate> {
        self.all.iter().map(|(_, one)| one).filter(|one| signer.means(one))
    }

    /// The signer's in one place.
    pub(super) fn found<'a>(
        &'a self,
        source: Source,
        signer: &'a SignerId,
    ) -> Option<&'a Certificate> {
        let mut there = self.all.iter().filter(|(from, one)| *from == source && signer.means(one));
        there.next().map(|(_, one)| one)
    }

    /// What a key of a ring may be, by its id and, where that is a mere number, its name. What the
    /// ring is filled from is `sources`; other certificates only count where that has none.
    pub(super) fn behind(&self, key: &RingKey, sources: &[Source]) -> Vec<&Certificate> {
        let may_be = |one: &Certificate| {
            let named = one.subject.common_name().is_some_and(|name| key.name.ends_with(name));
            one.listed_id() == key.id.0 && (one.extensions.subject_key_id.is_some() || named)
        };
        let all: Vec<_> = self.all.iter().filter(|(_, one)| may_be(one)).collect();
        let own: Vec<_> = all.iter().copied().filter(|(from, _)| sources.contains(from)).collect();
        let certificates = if own.is_empty() { all } else { own };
        certificates.into_iter().map(|(_, one)| one).collect()
    }

    /// Ids of keys that a signer's issuer may have.
    pub(super) fn issuer_ids<'a>(
        &'a self,
        signer: &'a SignerId,
    ) -> impl Iterator<Item = KeyId> + 'a {
        let issued = move |one: &Certificate| match signer {
            SignerId::Issued { issuer, .. } => {
                let authority = one.extensions.basic_constraints.is_some_and(|one| one.authority);
                authority && issuer.same_as(&one.subject) && !signer.means(one)
            }
            SignerId::Key(_) => false,
        };
        let named = self.all.iter().map(|(_, one)| one).filter(move |one| issued(one));
        let told = self.of_signer(signer).filter(|one| !one.names_itself_as_issuer());
        let told = told.filter_map(|one| one.extensions.authority_key_id.clone());
        named.map(|one| KeyId(one.listed_id().to_vec())).chain(told)
    }
}
