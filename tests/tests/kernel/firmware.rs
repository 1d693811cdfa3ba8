//! A machine with Secure Boot from the firmware on: what shim, the kernel and the distribution's own
//! tools say of it, which modules it takes, and how a key is enrolled at its console.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::ensure;
use onload_tests::binaries::binary;
use onload_tests::cases;
use onload_tests::guest::cases::Theme;
use onload_tests::guest::firmware::Firmware;
use onload_tests::guest::mok_manager::COUNTDOWN;
use onload_tests::guest::variables::{GLOBAL, RUNTIME, SHIM, Variable, signature_lists};
use onload_tests::guest::{Guest, Options};

use crate::keys;
use crate::secure_boot::{MODULE, refusal};

/// The key that the firmware has before the first boot.
pub const ENROLLED: &str = "Enrolled before";
/// Where a module to be tried lies in the guest.
const TRIED: &str = "/tmp/tried.ko";

pub fn theme() -> Theme {
    Theme {
        name: "firmware",
        options: Options::new().firmware(Firmware::SecureBoot { variables: before }),
        cases: cases![
            secure_boot_is_on_and_the_enrolled_key_is_in_its_keyring,
            a_missed_prompt_leaves_nothing_of_the_request,
            a_module_is_taken_for_its_signer,
            keys::onloadd_reads_what_mokutil_and_keyctl_do,
            keys::verdicts_are_what_the_kernel_then_says,
            keys::a_key_is_asked_for_missed_and_enrolled,
        ],
    }
}

/// A key, and the certificate that names it.
pub struct Signer {
    key: Vec<u8>,
    pem: Vec<u8>,
    pub der: Vec<u8>,
}

impl Signer {
    pub fn generate(subject: &str) -> anyhow::Result<Self> {
        let place = tempfile::tempdir()?;
        keys(place.path(), &["generate", "--out", "new", "--subject", subject])?;
        let read = |end: &str| fs::read(place.path().join("new").with_extension(end));
        Ok(Self { key: read("key")?, pem: read("crt")?, der: read("der")? })
    }

    pub fn sign(&self, module: &[u8]) -> anyhow::Result<Vec<u8>> {
        let place = tempfile::tempdir()?;
        for (name, content) in [("key", &self.key[..]), ("crt", &self.pem), ("ko", module)] {
            fs::write(place.path().join(name), content)?;
        }
        keys(place.path(), &["sign", "ko", "--key", "key", "--cert", "crt"])?;
        Ok(fs::read(place.path().join("ko"))?)
    }
}

/// The signer whose certificate is enrolled before the first boot, and the one asked for then.
pub struct Signers {
    pub enrolled: Signer,
    pub missed: Signer,
}

pub fn signers() -> anyhow::Result<&'static Signers> {
    static SIGNERS: OnceLock<Signers> = OnceLock::new();
    if let Some(signers) = SIGNERS.get() {
        return Ok(signers);
    }
    let (enrolled, missed) = (Signer::generate(ENROLLED)?, Signer::generate("Missed")?);
    Ok(SIGNERS.get_or_init(|| Signers { enrolled, missed }))
}

/// A machine with a key, asked for another one before it was turned off.
fn before() -> anyhow::Result<Vec<Variable>> {
    let Signers { enrolled, missed } = signers()?;
    Ok(vec![
        Variable::mok_list(&[&enrolled.der]),
        Variable::shim("MokNew", RUNTIME, signature_lists(&[&missed.der])),
        // Nobody comes to type a password that could fit.
        Variable::shim("MokAuth", RUNTIME, [0; 172]),
        Variable::shim("MokTimeout", RUNTIME, 1_i32.to_le_bytes()),
    ])
}

fn keys(place: &std::path::Path, words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(binary("onloadctl"));
    let output = command.arg("keys").args(words).current_dir(place).output()?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(())
}

/// What `mokutil --test-key` says of a certificate.
pub fn test_key(guest: &Guest, signer: &Signer) -> anyhow::Result<String> {
    guest.put("/tmp/test.der", &signer.der, 0o644)?;
    let ran = guest.run("mokutil --test-key /tmp/test.der")?;
    Ok(format!("{}{}", ran.stdout, ran.stderr))
}

/// Signs the module and loads it, which must be taken and be no unsigned one.
pub fn loads(guest: &Guest, signer: &Signer) -> anyhow::Result<()> {
    guest.put(TRIED, &signer.sign(&guest.get(MODULE)?)?, 0o644)?;
    guest.ok(&format!("insmod {TRIED}"))?;
    let taint = guest.ok("cat /sys/module/onloadd_card/taint")?;
    guest.ok(&format!("rmmod onloadd_card && rm {TRIED}"))?;
    ensure!(taint.trim() == "O", "out of tree, not unsigned: {taint}");
    Ok(())
}

fn secure_boot_is_on_and_the_enrolled_key_is_in_its_keyring(
    guest: &mut Guest,
) -> anyhow::Result<()> {
    let Signers { enrolled, .. } = signers()?;
    assert_eq!(guest.ok("mokutil --sb-state")?.trim(), "SecureBoot enabled");
    assert_eq!(guest.ok("cat /sys/module/module/parameters/sig_enforce")?.trim(), "Y");
    let lockdown = guest.ok("cat /sys/kernel/security/lockdown")?;
    ensure!(lockdown.contains("[integrity]"), "{lockdown}");

    let variable = guest.efi_variable("SecureBoot", GLOBAL)?.expect("firmware always has it");
    assert_eq!((variable.attributes, variable.data), (0b110, vec![1]));
    let list = guest.efi_variable("MokListRT", SHIM)?.expect("shim makes it at every boot");
    let ours = signature_lists(&[&enrolled.der]);
    ensure!(list.data.windows(ours.len()).any(|part| part == ours), "our key is in MokListRT");
    ensure!(guest.efi_variable("MokList", SHIM)?.is_none(), "boot programs alone see the list");
    let said = test_key(guest, enrolled)?;
    ensure!(said.contains("is already enrolled"), "{said}");

    let machine = guest.ok("keyctl list %:.machine")?;
    ensure!(machine.contains(ENROLLED) && machine.contains("Debian"), "{machine}");
    let secondary = guest.ok("keyctl show %:.secondary_trusted_keys")?;
    ensure!(secondary.contains("keyring: .machine"), "modules are checked by it: {secondary}");
    let platform = guest.ok("keyctl list %:.platform")?;
    ensure!(platform.contains("Microsoft") && !platform.contains(ENROLLED), "{platform}");
    Ok(())
}

fn a_missed_prompt_leaves_nothing_of_the_request(guest: &mut Guest) -> anyhow::Result<()> {
    ensure!(guest.console().contains(COUNTDOWN), "it was asked for");
    for name in ["MokNew", "MokAuth", "MokTimeout"] {
        ensure!(guest.efi_variable(name, SHIM)?.is_none(), "{name} is still there");
    }
    let said = test_key(guest, &signers()?.missed)?;
    ensure!(said.contains("is not enrolled"), "{said}");
    Ok(())
}

fn a_module_is_taken_for_its_signer(guest: &mut Guest) -> anyhow::Result<()> {
    let said = refusal(guest, MODULE)?;
    ensure!(said.contains("Loading of unsigned module is rejected"), "{said}");
    let Signers { enrolled, missed } = signers()?;
    guest.put(TRIED, &missed.sign(&guest.get(MODULE)?)?, 0o644)?;
    let said = refusal(guest, TRIED)?;
    ensure!(said.contains("Loading of module with unavailable key is rejected"), "{said}");
    loads(guest, enrolled)?;
    let tainted: u32 = guest.ok("cat /proc/sys/kernel/tainted")?.trim().parse()?;
    ensure!(tainted & (1 << 13) == 0 && tainted & (1 << 12) != 0, "O and not E: {tainted}");
    Ok(())
}
