//! What firmware, shim, kernel and signers wrote: any bytes give a value or a place in them.

use std::collections::BTreeMap;

use onload_core::reading::Reading;
use onload_core::secure_boot::certificate::Certificate;
use onload_core::secure_boot::guid::Guid;
use onload_core::secure_boot::kernel::config::KernelConfig;
use onload_core::secure_boot::kernel::{Enforcement, Lockdown, Taints};
use onload_core::secure_boot::keyring::{self, Described, KeyTable, SystemRing};
use onload_core::secure_boot::request::crypt;
use onload_core::secure_boot::request::enrol::{Wish, enrol};
use onload_core::secure_boot::request::prompt::PromptTimeout;
use onload_core::secure_boot::request::withdraw::{Scope, withdraw};
use onload_core::secure_boot::request::{ListChange, PasswordHash, Requests, Toggle};
use onload_core::secure_boot::sealed::header;
use onload_core::secure_boot::sealed::volume::{self, Unlocking};
use onload_core::secure_boot::signature::signed_data::SignedData;
use onload_core::secure_boot::signature::{Signature, SignatureError};
use onload_core::secure_boot::signature_list::{self, Entry};
use onload_core::secure_boot::trust::{Switch, Trust};
use onload_core::secure_boot::{Damaged, variable};
use onload_core::time::Timestamp;

use super::{file, survives};

fn fixture(name: &str) -> Vec<u8> {
    file(&format!("tests/secure-boot/{name}"))
}

/// The place lies within what was read, its end included.
fn places<T>(result: Result<T, Damaged>, length: usize) -> Option<T> {
    result.map_err(|damaged| assert!(damaged.offset <= length, "{damaged} of {length}")).ok()
}

#[test]
fn variables() {
    for seed in [&[6, 0, 0, 0, 1][..], &[7, 0, 0, 0, 44, 1, 0, 0]] {
        survives("variable", seed, |bytes| {
            if let Some((_, data)) = places(variable::efivarfs(bytes), bytes.len()) {
                assert_eq!(data, &bytes[variable::ATTRIBUTES_BYTES..]);
                places(variable::switch(data), data.len());
                places(variable::timeout_secs(data), data.len());
            }
        });
    }
    survives("variable's name", b"dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Some((name, vendor)) = places(variable::file_name(&text), text.len()) {
            assert_eq!(vendor.to_string().parse::<Guid>(), Ok(vendor));
            assert!(text.starts_with(name));
        }
    });
}

#[test]
fn lists_of_signatures() {
    for name in ["db.esl", "dbx.esl"] {
        survives(name, &fixture(name), |bytes| {
            let Some(lists) = places(signature_list::parse(bytes), bytes.len()) else { return };
            for list in &lists {
                assert!(!list.entries.is_empty());
                for entry in &list.entries {
                    assert_eq!(bytes[entry.offset..][..entry.data.len()], entry.data);
                    places(entry.certificate(), bytes.len());
                    let _ = list.revoked(entry);
                }
            }
            let kept = |odd: bool| {
                let taken = |_, entry: &Entry| entry.offset % 2 == usize::from(odd);
                signature_list::write::without(bytes, taken).unwrap()
            };
            let all: usize = lists.iter().map(|list| list.entries.len()).sum();
            let halves = [kept(false), kept(true)].map(|half| {
                let lists = signature_list::parse(&half).unwrap();
                lists.iter().map(|list| list.entries.len()).sum::<usize>()
            });
            assert_eq!(halves[0] + halves[1], all);
            assert_eq!(signature_list::write::without(bytes, |_, _| false).unwrap(), bytes);
            let parts = [("MokListRT", bytes), ("MokListRT1", bytes)];
            let once = signature_list::parse_parts(parts[..1].iter().copied()).unwrap();
            assert_eq!(signature_list::parse_parts(parts.into_iter()), Ok(once));
        });
    }
}

#[test]
fn requests() {
    survives("hash of a password", &fixture("auth.bin"), |bytes| {
        if let Some(hash) = places(PasswordHash::parse(bytes), bytes.len())
            && hash != PasswordHash::Cleared
        {
            assert_eq!(PasswordHash::parse(&hash.to_bytes()), Ok(hash));
        }
    });
    let sha256 = "$5$rounds=1000$abcdefghijkl$DFL32L8LAN9G2V5eZOSdE2s/rj1u/qrUo18LRiLlq3/";
    for seed in [&fixture("auth.txt"), sha256.as_bytes(), b"$y$j9T$abc$def", b"ab0123456789."] {
        survives("crypt", seed, |bytes| match crypt::parse(&String::from_utf8_lossy(bytes)) {
            Ok(hash) => assert_eq!(PasswordHash::parse(&hash.to_bytes()), Ok(hash)),
            Err(refused) => assert!(refused.to_string().len() < 120, "{refused}"),
        });
    }
    survives("request", &[0; 40], |bytes| {
        let lists = ListChange::ALL.into_iter().flat_map(|one| [one.list_name(), one.auth_name()]);
        let others = Toggle::ALL.into_iter().map(Toggle::name).chain(["MokPW", "MokTimeout"]);
        let variables: BTreeMap<_, _> = lists.chain(others).map(|name| (name, bytes)).collect();
        let requests = Requests::parse(&variables);
        assert!(requests.lists.len() == 4 && requests.toggles.len() == 3);
    });
}

#[test]
fn requests_on_top_of_others() {
    let (ours, hash) = (fixture("module.der"), fixture("auth.bin"));
    let hash = PasswordHash::parse(&hash).unwrap();
    let keys = [Certificate::parse(&ours).unwrap()];
    let trust = |list: &[u8]| Trust {
        secure_boot: Reading::Known(Switch::On),
        requests: Reading::Known(Requests::parse(&[("MokNew", list)].into())),
        mok: Reading::Known(Vec::new()),
        ..Trust::unread("not looked at")
    };
    survives("pending", &fixture("dbx.esl"), |others| {
        let wish = Wish { certificate: &ours, hash: &hash, prompt: PromptTimeout::DEFAULT };
        let Ok(prepared) = enrol(&wish, &trust(others), Timestamp(0)) else {
            // Only what does not read is in the way.
            assert!(signature_list::parse(others).is_err());
            return;
        };
        let list = prepared.writes[1].data.as_deref().unwrap();
        assert!(list.ends_with(others) && signature_list::parse(list).is_ok());
        // Taken back, there is what was there before.
        let back = withdraw(Scope::Keys(&keys), &trust(list)).unwrap();
        let left = back.writes.iter().find(|write| write.name == "MokNew").unwrap();
        assert_eq!(left.data.as_deref().unwrap_or_default(), others);
    });
}

#[test]
fn certificates() {
    for name in ["module.der", "authority.der", "leaf.der", "old.der", "module.pem"] {
        survives(name, &fixture(name), |bytes| {
            if let Some(certificate) = places(Certificate::parse(bytes), bytes.len()) {
                let shown = [certificate.subject.to_string(), certificate.issuer.to_string()];
                assert!(!shown.concat().contains(char::is_control), "{shown:?}");
            }
            if let Some(certificate) = places(Certificate::at_start(bytes), bytes.len()) {
                let alone = Certificate::parse(&bytes[..certificate.der_bytes]);
                assert_eq!(alone, Ok(certificate), "what was accepted is whole");
            }
        });
    }
}

#[test]
fn signatures() {
    for name in ["rsa.ko", "ec.ko", "twice.ko", "keyid.ko", "attributes.ko"] {
        let module = fixture(name);
        survives(name, &module, |bytes| match Signature::parse(bytes) {
            Ok(None) => {}
            Ok(Some(signature)) => assert!((1..bytes.len()).contains(&signature.module_bytes)),
            Err(SignatureError::UnknownKind { offset, kind }) => assert_eq!(bytes[offset], kind),
            Err(SignatureError::Damaged(damaged)) => {
                places(Err::<(), _>(damaged), bytes.len());
            }
        });
        // By itself: the trailer's length forgives few of the changes above.
        let begin = Signature::parse(&module).unwrap().unwrap().module_bytes;
        survives(name, &module[begin..module.len() - 40], |bytes| {
            if let Some(data) = places(SignedData::parse(bytes), bytes.len()) {
                assert!(!data.signers.is_empty());
            }
        });
    }
}

#[test]
fn keys_of_the_kernel() {
    let lines = "\
        02d8bfa4 I------     2 perm 1f0b0000     0     0 keyring   .machine: 12\n\
        30238881 I--Q---     1   3d 39010000     0 65534 asymmetri A: B: 7bc9355d: X509.rsa 355d []\n\
        1d9c0b30 I------     1 perm 0b0b0000     0     0 blacklist tbs:0123\n";
    survives("keys", lines.as_bytes(), |bytes| {
        let table = KeyTable::parse(bytes);
        for damaged in &table.unread {
            places(Err::<(), _>(*damaged), bytes.len());
        }
        for key in table.keys.values() {
            let _ = (key.asymmetric(), key.blacklisted(), key.ring(), key.usable());
        }
        assert!(SystemRing::ALL.map(|ring| table.rings(ring).count()).iter().sum::<usize>() < 20);
    });
    survives("description", b"asymmetric;0;0;39010000;A; B: C: 00ff\0", |bytes| {
        if let Some(described) = places(Described::parse(bytes), bytes.len()) {
            let _ = (described.certificate(), described.blacklisted());
        }
    });
    survives("members", &[1, 0, 0, 0, 2, 0, 0, 0], |bytes| {
        let members = places(keyring::members(bytes), bytes.len());
        assert_eq!(members.is_some(), bytes.len().is_multiple_of(4));
    });
}

#[test]
fn files_of_the_kernel() {
    survives("lockdown", b"none [integrity] confidentiality\n", |bytes| {
        places(Lockdown::parse(bytes), bytes.len());
    });
    survives("sig_enforce", b"Y\n", |bytes| {
        places(Enforcement::parse(bytes), bytes.len());
    });
    for seed in [&b"12800\n"[..], b"OE\n"] {
        survives("taint", seed, |bytes| {
            if let Some(taints) = places(Taints::parse(bytes), bytes.len()) {
                let known = Taints::of_module(taints.to_string().as_bytes()).unwrap();
                assert_eq!(known.0 | taints.unknown(), taints.0);
            }
            places(Taints::of_module(bytes), bytes.len());
        });
    }
    let config = b"#\nCONFIG_MODULE_SIG=y\n# CONFIG_MODULE_SIG_FORCE is not set\n\n\
        CONFIG_MODULE_SIG_HASH=\"sha256\"\nCONFIG_SYSTEM_EXTRA_CERTIFICATE_SIZE=4096\n";
    survives("kernel configuration", config, |bytes| {
        if let Some(config) = places(KernelConfig::parse(bytes), bytes.len()) {
            assert!(config.options().all(|(name, _)| name.starts_with("CONFIG_")));
        }
    });
}

#[test]
fn encrypted_volumes() {
    for name in ["systemd.luks", "clevis.luks"] {
        let whole = fixture(name);
        let check = |bytes: &[u8]| {
            let Some(header) = places(header::parse(bytes), bytes.len()) else { return };
            for one in &header.sealed {
                assert!(one.pcrs.iter().chain(&one.signed_pcrs).all(|pcr| *pcr < 24), "{one:?}");
                assert!(one.broken().is_empty() || one.words("/dev/sda1").is_some(), "{one:?}");
            }
        };
        survives(name, &whole, check);
        // What follows the JSON is 10 KiB of nothing, which changes seldom leave for what matters.
        let (numbers, json) = whole.split_at(header::BINARY_BYTES);
        let end = json.iter().position(|byte| *byte == 0).unwrap();
        survives(name, &json[..end], |json| {
            let mut bytes = [numbers, json].concat();
            bytes.resize(whole.len(), 0);
            check(&bytes);
        });
    }
    survives("UUID of device-mapper", b"CRYPT-LUKS2-0c5bd1d96e5a4a0b8f3e2d7a51c0ffee-x", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let opened = volume::opened(&text);
        assert!(opened.is_none() || text.starts_with("CRYPT-LUKS"));
    });
    let line =
        b"data UUID=0c5bd1d9-6e5a-4a0b-8f3e-2d7a51c0ffee - tpm2-device=auto,tpm2-pcrs=7+14\n";
    survives("crypttab", line, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for (crypttab, command_line) in
            [(&*text, ""), ("", &text.replace("UUID=", "luks.options="))]
        {
            let seen = Unlocking::parse(crypttab, command_line);
            let asked = seen.of("data", "0c5bd1d9-6e5a-4a0b-8f3e-2d7a51c0ffee");
            let pcrs = asked.and_then(|asked| asked.pcrs).unwrap_or_default();
            assert!(pcrs.iter().all(|pcr| *pcr < 24));
        }
    });
}
