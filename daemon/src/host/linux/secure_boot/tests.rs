//! What is read of variables and kernels, when it is read again, and what a recording keeps.

use std::fs::{self, File};
use std::path::Path;

use onload_core::names::KernelRelease;
use onload_core::reading::Reading;
use onload_core::secure_boot::kernel::config::KernelConfig;
use onload_core::secure_boot::request::ListChange;
use onload_core::secure_boot::signature_list;
use onload_core::secure_boot::trust::{RunTime, Switch};
use onload_core::secure_boot::variable::Variable;

use super::super::root::tests::root_with;
use super::super::special;
use super::*;

mod rings;

const DB: &[u8] = include_bytes!("../../../../../tests/secure-boot/db.esl");
const DBX: &[u8] = include_bytes!("../../../../../tests/secure-boot/dbx.esl");
const AUTH: &[u8] = include_bytes!("../../../../../tests/secure-boot/auth.bin");
const KERNEL: &str = "6.1.0-2";
const MOUNTS: &str = "29 22 0:25 / /sys/firmware/efi/efivars rw - efivarfs efivarfs rw\n";
const EFIVARFS: &str = "sys/firmware/efi/efivars";
const TABLE: &str = "sys/firmware/efi/mok-variables";

fn put_file(place: &Path, path: &str, bytes: &[u8]) {
    let path = place.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn file(variable: Variable) -> String {
    format!("{EFIVARFS}/{}", variable.file_name())
}

/// A variable of shim that no constant names.
fn shim(name: &'static str) -> Variable {
    Variable { name, ..Variable::MOK_LIST_RT }
}

/// A file of efivarfs.
fn set(place: &Path, variable: Variable, data: &[u8]) {
    put_file(place, &file(variable), &[&[6, 0, 0, 0], data].concat());
}

/// A machine with Secure Boot and shim.
fn machine() -> (tempfile::TempDir, Dir) {
    let (place, root) = root_with(&[
        ("proc/1/mountinfo", MOUNTS),
        ("sys/module/module/parameters/sig_enforce", "Y\n"),
        ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
        ("boot/config-6.1.0-2", "CONFIG_MODULE_SIG=y\nCONFIG_OTHER=y\n"),
    ]);
    let at = place.path();
    set(at, Variable::SECURE_BOOT, &[1]);
    set(at, Variable::SETUP_MODE, &[0]);
    set(at, Variable::DB, DB);
    set(at, Variable::DBX, DBX);
    set(at, Variable::MOK_LIST_RT, DB);
    set(at, shim("MokListRT1"), DBX);
    set(at, Variable::MOK_LIST_TRUSTED_RT, &[1]);
    set(at, Variable { name: "Boot0000", ..Variable::SECURE_BOOT }, &[9; 40]);
    (place, root)
}

fn look(keys: &Keys, root: &Dir) -> Arc<Trust> {
    let kernel: KernelRelease = KERNEL.parse().unwrap();
    let other = "6.1.0-1".parse().unwrap();
    keys.read(root, &Reading::Known(kernel.clone()), [&kernel, &other].into_iter())
}

fn at_once(root: &Dir) -> Arc<Trust> {
    look(&Keys::recorded(), root)
}

fn lists(bytes: &[u8]) -> Vec<signature_list::SignatureList> {
    signature_list::parse(bytes).unwrap()
}

#[test]
fn a_machine_with_secure_boot_and_shim() {
    let (_place, root) = machine();
    let keys = Keys::recorded();
    let trust = look(&keys, &root);
    assert_eq!(trust.effective(), Reading::Known(Switch::On));
    assert_eq!(trust.kernel, Reading::Known(KERNEL.parse().unwrap()));
    assert_eq!(trust.runtime, Reading::Known(RunTime::Writable));
    assert_eq!(trust.shim, Reading::Known(()));
    assert_eq!(trust.mok_trusted, Reading::Known(()));
    assert_eq!(trust.sig_enforce, Reading::Known(Enforcement::Refused));
    assert_eq!(trust.lockdown, Reading::Known(Lockdown::Integrity));
    assert_eq!(trust.db, Reading::Known(lists(DB)));
    assert_eq!(trust.dbx, Reading::Known(lists(DBX)));
    let both = trust.mok.known().unwrap();
    assert_eq!(both.len(), lists(DB).len() + lists(DBX).len(), "both parts");
    assert!(trust.mok_forbidden.is_absent() && trust.db_ignored.is_absent());
    assert!(trust.shim_validates_nothing.is_absent());
    assert!(!trust.requests.known().unwrap().any());
    assert!(trust.config(&KERNEL.parse().unwrap()).known().unwrap().has(KernelConfig::MODULE_SIG));
    assert!(trust.config(&"6.1.0-1".parse().unwrap()).is_absent());
    assert!(trust.named.is_empty());
    assert!(Arc::ptr_eq(&trust, &look(&keys, &root)), "nothing has changed");
}

#[test]
fn what_is_asked_of_shim() {
    let (place, root) = machine();
    set(place.path(), shim("MokNew"), DB);
    set(place.path(), shim("MokAuth"), AUTH);
    let requests = at_once(&root).requests.clone().into_known().unwrap();
    let enrol = &requests.lists[&ListChange::Enrol];
    assert_eq!(enrol.list, Some(Ok(lists(DB))));
    assert_eq!(enrol.auth.clone().unwrap().unwrap().to_bytes(), AUTH);
}

#[test]
fn without_efi_the_question_does_not_arise() {
    let (_place, root) = root_with(&[("sys/firmware/acpi/x", "")]);
    let trust = at_once(&root);
    assert_eq!(trust.effective(), Reading::Absent);
    assert!(trust.setup_mode.is_absent() && trust.requests.is_absent() && trust.db.is_absent());
    assert!(trust.runtime.is_absent() && trust.shim.is_absent() && trust.mok.is_absent());
    assert!(trust.sig_enforce.is_absent());
    let why = trust.lockdown.why_not().unwrap();
    assert_eq!(why, "securityfs is not mounted at /sys/kernel/security");
    assert!(trust.ring(onload_core::secure_boot::keyring::SystemRing::Builtin).is_unreadable());
}

#[test]
fn securityfs_without_lockdown_is_a_kernel_without_it() {
    let (_place, root) = root_with(&[("sys/kernel/security/lsm", "capability")]);
    assert!(at_once(&root).lockdown.is_absent());
}

#[test]
fn a_kernel_that_does_not_call_the_firmware_is_not_secure_boot_off() {
    let (place, root) = root_with(&[("proc/cmdline", "quiet efi=noruntime\n")]);
    fs::create_dir_all(place.path().join(EFIVARFS)).unwrap();
    let trust = at_once(&root);
    let why = "/sys/firmware/efi/efivars shows no variables: the kernel does not call the firmware \
               (efi=noruntime)";
    assert_eq!(trust.runtime, Reading::Known(RunTime::NoRunTime));
    assert_eq!(trust.effective(), Reading::Unreadable(why.to_owned()));
    for gap in [trust.mok.why_not(), trust.requests.why_not(), trust.shim.why_not()] {
        assert_eq!(gap, Some(why));
    }

    // Shim's table tells what it can.
    put_file(place.path(), &format!("{TABLE}/MokListRT"), DB);
    put_file(place.path(), &format!("{TABLE}/MokListTrustedRT"), &[1]);
    let trust = at_once(&root);
    assert_eq!(trust.mok, Reading::Known(lists(DB)));
    assert_eq!((&trust.shim, &trust.mok_trusted), (&Reading::Known(()), &Reading::Known(())));
    assert!(trust.shim_validates_nothing.is_absent() && trust.mok_forbidden.is_absent());
    for gap in [trust.secure_boot.why_not(), trust.db.why_not(), trust.requests.why_not()] {
        assert_eq!(gap, Some(why), "an older shim's");
    }
    put_file(place.path(), &format!("{TABLE}/SecureBoot"), &[1]);
    put_file(place.path(), &format!("{TABLE}/SetupMode"), &[0]);
    assert_eq!(at_once(&root).effective(), Reading::Known(Switch::On), "a newer shim's");

    // Who may not read the table gets nothing out of it, and that is told.
    put_file(place.path(), &format!("{TABLE}/MokListRT"), b"");
    let trust = at_once(&root);
    let why = trust.mok.why_not().unwrap();
    let expected = "/sys/firmware/efi/mok-variables/MokListRT: it reads as empty, as it does \
                    without CAP_SYS_ADMIN";
    assert_eq!(why, expected);
    assert_eq!(trust.shim, Reading::Known(()));
}

#[test]
fn efivarfs_that_is_not_mounted_is_said() {
    let other = "22 1 0:20 / /sys rw - sysfs sysfs rw\n";
    let (place, root) = root_with(&[("proc/1/mountinfo", other)]);
    fs::create_dir_all(place.path().join("sys/firmware/efi")).unwrap();
    let trust = at_once(&root);
    assert_eq!(trust.runtime, Reading::Known(RunTime::ReadOnly));
    let why = "/sys/firmware/efi/efivars shows no variables: efivarfs is not mounted there";
    assert_eq!(trust.secure_boot.why_not(), Some(why));
}

#[test]
fn efivarfs_comes_before_the_table() {
    let (place, root) = machine();
    for (name, data) in [("MokListRT", DBX), ("MokSBStateRT", &[1]), ("SecureBoot", &[0])] {
        put_file(place.path(), &format!("{TABLE}/{name}"), data);
    }
    let trust = at_once(&root);
    assert_eq!(trust.secure_boot, Reading::Known(Switch::On));
    assert_eq!(trust.mok.known().unwrap()[0], lists(DB)[0]);
    assert_eq!(trust.shim_validates_nothing, Reading::Known(Switch::On), "only the table has it");
    assert_eq!(trust.effective(), Reading::Known(Switch::Off));
}

#[test]
fn firmware_without_secure_boot_and_variables_that_do_not_read() {
    let (place, root) = machine();
    let at = place.path();
    fs::remove_file(at.join(file(Variable::SECURE_BOOT))).unwrap();
    set(at, Variable::SETUP_MODE, &[7]);
    put_file(at, &file(Variable::DB), &[6, 0]);
    set(at, shim("MokListRT1"), &DBX[..40]);
    // What is being made has no attributes yet.
    put_file(at, &file(Variable::MOK_IGNORE_DB), b"");
    let trust = at_once(&root);
    assert!(trust.secure_boot.is_absent() && trust.db_ignored.is_absent());
    assert_eq!(trust.setup_mode.why_not(), Some("SetupMode: byte 0: expected one byte, 0 or 1"));
    let db = trust.db.why_not().unwrap();
    assert!(db.starts_with("/sys/firmware/efi/efivars/db-") && db.ends_with("attributes"), "{db}");
    assert!(trust.mok.why_not().unwrap().starts_with("MokListRT1: byte "), "{:?}", trust.mok);
}

/// Writes without the file system telling.
fn behind_the_back(path: &Path, bytes: &[u8]) {
    let before = fs::metadata(path).unwrap();
    assert_eq!(before.len(), u64::try_from(bytes.len()).unwrap());
    fs::write(path, bytes).unwrap();
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(before.modified().unwrap())
        .unwrap();
}

#[test]
fn only_what_has_changed_is_read_again() {
    let (place, root) = machine();
    let at = place.path();
    let keys = Keys::recorded();
    let first = look(&keys, &root);
    let secure_boot = at.join(file(Variable::SECURE_BOOT));
    behind_the_back(&secure_boot, &[6, 0, 0, 0, 0]);
    behind_the_back(&at.join("boot/config-6.1.0-2"), b"CONFIG_MODULE_SIG=n\nCONFIG_OTHER=y\n");
    assert!(Arc::ptr_eq(&first, &look(&keys, &root)), "the firmware was not asked");

    set(at, Variable::DBX, DB);
    let second = look(&keys, &root);
    assert_eq!(second.dbx, Reading::Known(lists(DB)));
    assert_eq!(second.secure_boot, Reading::Known(Switch::On), "nor for another's sake");
    assert_eq!(first.dbx, Reading::Known(lists(DBX)), "who has the former picture keeps it");

    // The same again, with another time.
    fs::remove_file(at.join(file(Variable::DBX))).unwrap();
    set(at, Variable::DBX, DB);
    assert!(Arc::ptr_eq(&second, &look(&keys, &root)));

    put_file(at, "sys/module/module/parameters/sig_enforce", b"N\n");
    let third = look(&keys, &root);
    assert_eq!(third.sig_enforce, Reading::Known(Enforcement::Taken));

    keys.forget();
    let all = look(&keys, &root);
    assert_eq!(all.secure_boot, Reading::Known(Switch::Off));
    let kernel = KERNEL.parse().unwrap();
    assert!(!all.config(&kernel).known().unwrap().has(KernelConfig::MODULE_SIG));
}

#[test]
fn what_did_not_read_is_tried_again() {
    let (place, root) = machine();
    let keys = Keys::recorded();
    let table = format!("{TABLE}/MokSBStateRT");
    put_file(place.path(), &table, b"");
    assert!(look(&keys, &root).shim_validates_nothing.is_unreadable());
    put_file(place.path(), &table, &[0]);
    assert_eq!(look(&keys, &root).shim_validates_nothing, Reading::Known(Switch::Off));
}

#[test]
fn the_first_place_with_a_configuration_counts() {
    let (place, root) = root_with(&[]);
    let keys = Keys::recorded();
    let kernel = KERNEL.parse().unwrap();
    assert!(look(&keys, &root).config(&kernel).is_absent());
    for (number, path) in [
        "lib/modules/6.1.0-2/build/.config",
        "usr/lib/modules/6.1.0-2/config",
        "lib/modules/6.1.0-2/config",
        "boot/config-6.1.0-2",
        "proc/config.gz",
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("CONFIG_MODULE_SIG_HASH=\"{number}\"\n");
        let packed = path.ends_with(".gz");
        let bytes = if packed { configurations::gzip(&text) } else { text.clone().into_bytes() };
        put_file(place.path(), path, &bytes);
        let found = look(&keys, &root).config(&kernel).known().unwrap().to_string();
        assert_eq!(found, text, "{path}");
    }
    put_file(place.path(), "proc/config.gz", b"CONFIG_MODULE_SIG=y\n");
    let trust = look(&keys, &root);
    let why = trust.config(&kernel).why_not().unwrap().to_owned();
    assert!(why.starts_with("/proc/config.gz: "), "{why}");

    // The other kernels have only files, and a kernel that is gone has nothing.
    assert!(trust.config(&"6.1.0-1".parse().unwrap()).is_absent());
    let later = keys.read(&root, &Reading::Known("6.1.0-1".parse().unwrap()), [].into_iter());
    assert_eq!(later.configs.len(), 1);
}

fn record(keys: &Keys, root: &Dir) -> (Arc<Trust>, tempfile::TempDir, Dir) {
    let into = tempfile::tempdir().unwrap();
    keys.forget();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seen = runtime.block_on(root.record(into.path(), async { look(keys, root) })).unwrap();
    let listed = special(&Dir::root(into.path(), [].into()).unwrap(), into.path()).unwrap();
    let read_back = Dir::root(into.path(), listed).unwrap();
    (seen, into, read_back)
}

#[test]
fn a_recording_reads_back() {
    let (place, root) = machine();
    put_file(place.path(), "proc/config.gz", &configurations::gzip("CONFIG_MODULE_SIG=y\n"));
    put_file(place.path(), &format!("{TABLE}/MokListXRT"), b"");
    let keys = Keys::recorded();
    look(&keys, &root);
    let (seen, into, read_back) = record(&keys, &root);
    assert!(seen.mok_forbidden.is_unreadable());
    let again = look(&Keys::recorded(), &read_back);
    assert_eq!(again, seen);
    let config = fs::read(into.path().join("proc/config.gz")).unwrap();
    assert!(config.len() < 100, "what does not matter is left out");
    assert!(!into.path().join(EFIVARFS).join("Boot0000").exists());
}

#[test]
fn no_password_gets_into_a_recording() {
    let (place, root) = machine();
    let password = [b'p'; 32];
    set(place.path(), shim("MokNew"), DB);
    set(place.path(), shim("MokAuth"), AUTH);
    let toggle = [[0, 0, 0, 0, 16, 0, 0, 0].as_slice(), &password].concat();
    set(place.path(), shim("MokSB"), &toggle);
    let (seen, into, read_back) = record(&Keys::recorded(), &root);
    let again = at_once(&read_back);
    assert_eq!(format!("{:?}", again.requests), format!("{:?}", seen.requests));
    let secrets: [&[u8]; 3] = [&password, &AUTH[12..28], &AUTH[44..108]];
    for name in ["MokAuth", "MokSB"] {
        let kept = fs::read(into.path().join(file(shim(name)))).unwrap();
        for secret in secrets {
            assert!(!kept.windows(secret.len()).any(|part| part == secret), "{name}");
        }
    }
}
