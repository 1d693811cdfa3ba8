//! One module file: unpacked, freed of former signatures where that is allowed, signed, checked,
//! packed, put in its place.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use onload_core::secure_boot::signature::appended;
use onload_dbus::error::Kind;

use super::Signing;
use crate::commands::keys::compression::{Compression, fault};
use crate::commands::keys::directory::Directory;
use crate::commands::keys::draft::Draft;
use crate::commands::keys::layer::{Layer, is_module, layers};
use crate::commands::keys::openssl::{self, Lent};
use crate::commands::keys::{file_fault, shown};
use crate::ended::Complaint;

/// What became of a file.
#[derive(Debug)]
pub struct Done {
    pub outcome: Outcome,
    pub compression: Option<Compression>,
}

/// How.
#[derive(Debug)]
pub enum Outcome {
    /// It was signed so already.
    Unchanged,
    /// It had no signature.
    Signed,
    /// It had these, from the last to the first.
    Replaced(Vec<String>),
}

/// Why a file was not signed.
#[derive(Debug)]
pub enum Stopped {
    /// For a reason of its own.
    File(Complaint),
    /// For one that every other file has as well.
    All(Complaint),
}

impl From<Complaint> for Stopped {
    fn from(complaint: Complaint) -> Self {
        Self::File(complaint)
    }
}

/// Signs one file.
pub async fn sign(signing: &Signing, path: &Path) -> Result<Done, Stopped> {
    let what = format!("{} was not signed", shown(path));
    let refuse = |why: &str, fix: &str| {
        Complaint::of(Kind::InvalidArgument, &what, format!("{} {why}", shown(path)), fix)
    };
    let unread = |error: &io::Error| file_fault(&what, "cannot be read", path, error);
    let unwritten = |error: &io::Error| file_fault(&what, "cannot be written anew", path, error);
    // What a link leads to is signed, and the link stays.
    let real = fs::canonicalize(path).map_err(|error| unread(&error))?;
    let (directory, name) = Directory::of(&real).map_err(|error| unread(&error))?;
    let source = directory.open(&name).map_err(|error| unread(&error))?;
    let seen = source.metadata().map_err(|error| unread(&error))?;
    if !seen.is_file() {
        return Err(refuse("is no file", "name module files").into());
    }
    let compression = Compression::of_file(&source).map_err(|error| unread(&error))?;
    let draft = Draft::beside(&directory, &name).map_err(|error| unwritten(&error))?;
    match compression {
        Some(one) => {
            one.unpack(&source, &draft.file).await.map_err(|error| fault(&what, path, &error))?
        }
        None => {
            io::copy(&mut &source, &mut &draft.file).map_err(|error| unwritten(&error))?;
        }
    }
    let module = whole(&draft.file).map_err(|error| unread(&error))?;
    if !is_module(&module) {
        return Err(refuse("is no kernel module", "name .ko files, compressed or not").into());
    }
    let layers = layers(&module).map_err(|damaged| {
        let why =
            format!("ends in the mark of a signature, and what stands before is none: {damaged}");
        refuse(&why, "it is damaged: build or install it anew")
    })?;
    if is_current(signing, &what, &draft, layers.first()).await.map_err(Stopped::All)? {
        return Ok(Done { outcome: Outcome::Unchanged, compression });
    }
    let others = layers.iter().filter(|layer| !layer.is_by(&signing.certificate.x509));
    let others: Vec<_> = others.map(Layer::name).collect();
    if !others.is_empty() && !signing.replace {
        let why = format!("it is signed by {}", others.join(", "));
        let fix = "where that signature is not needed any more, say --replace";
        return Err(Complaint::of(Kind::Blocked, &what, why, fix).into());
    }
    if let Some(first) = layers.last() {
        draft.cut(first.parts.signed).map_err(|error| unwritten(&error))?;
    }
    let signature = signature(signing, &what, &draft).await.map_err(Stopped::All)?;
    let end = appended(&signature).ok_or_else(|| refuse("gets too long a signature", ""))?;
    let append = || {
        (&draft.file).seek(SeekFrom::End(0))?;
        (&draft.file).write_all(&end)
    };
    append().map_err(|error| unwritten(&error))?;
    let ready = match compression {
        Some(one) => {
            let packed = Draft::beside(&directory, &name);
            let packed = packed.map_err(|error| unwritten(&error))?;
            let done = one.pack(&draft.file, &packed.file).await;
            done.map_err(|error| fault(&what, path, &error))?;
            packed
        }
        None => draft,
    };
    ready.replace(&name, &source, &seen).map_err(|error| match error.kind() {
        ErrorKind::ResourceBusy => {
            let why = format!("{} was changed by somebody else meanwhile", shown(path));
            Complaint::of(
                Kind::Busy,
                &what,
                why,
                "see who builds or installs it, then run it again",
            )
        }
        _ => unwritten(&error),
    })?;
    directory.sync().map_err(|error| {
        let what = format!("{} was signed, but may not outlive a power loss", shown(path));
        file_fault(&what, "is in a directory that cannot be synced", path, &error)
    })?;
    let outcome = match layers.is_empty() {
        true => Outcome::Signed,
        false => Outcome::Replaced(layers.iter().map(Layer::name).collect()),
    };
    Ok(Done { outcome, compression })
}

/// All of a file that was just written.
fn whole(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the last signature is the one that would be made: by this certificate, over this digest,
/// detached and bare, and good. Otherwise the draft is as long as before, or without it.
async fn is_current(
    signing: &Signing,
    what: &str,
    draft: &Draft<'_>,
    last: Option<&Layer<'_>>,
) -> Result<bool, Complaint> {
    let Some(last) = last.filter(|layer| layer.is_by(&signing.certificate.x509)) else {
        return Ok(false);
    };
    let digest = signing.digest.algorithm();
    let as_ours = last.says.as_ref().is_ok_and(|says| {
        let bare = !says.content_inside && says.certificates_bytes == 0;
        bare && says.signers.iter().all(|one| one.digest == digest && !one.attributes_signed)
    });
    if !as_ours {
        return Ok(false);
    }
    draft.cut(last.parts.signed).map_err(|error| copy_fault(what, &error))?;
    Ok(fits(signing, what, draft, last.parts.pkcs7).await?.success)
}

/// Has openssl check a signature over a draft.
async fn fits(
    signing: &Signing,
    what: &str,
    draft: &Draft<'_>,
    signature: &[u8],
) -> Result<openssl::Said, Complaint> {
    let content = Lent::of(&draft.file).map_err(|error| copy_fault(what, &error))?;
    // Whether the certificate is trusted is for each kernel to say.
    let words = ["cms", "-verify", "-binary", "-inform", "DER", "-nointern", "-noverify"];
    let words = words.map(OsStr::new).into_iter().chain([
        OsStr::new("-content"),
        content.path(),
        OsStr::new("-certfile"),
        signing.certificate.path.as_os_str(),
        OsStr::new("-out"),
        OsStr::new("/dev/null"),
    ]);
    openssl::run(what, &words.collect::<Vec<_>>(), Some(signature)).await
}

/// Has openssl sign a draft, and checks what comes out: a token's key is compared with the
/// certificate by nobody else.
async fn signature(signing: &Signing, what: &str, draft: &Draft<'_>) -> Result<Vec<u8>, Complaint> {
    let content = Lent::of(&draft.file).map_err(|error| copy_fault(what, &error))?;
    // As sign-file: detached, without certificates, without attributes, which kernels refuse.
    let words = ["cms", "-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap"];
    let digest = signing.digest.to_string();
    let more = ["-outform", "DER", "-md", &digest];
    let (source, input) = signing.passphrase.through("-passin");
    let words = words.iter().chain(&more).map(|&word| OsStr::new(word));
    let words = words
        .chain(signing.key.iter().map(OsString::as_os_str))
        .chain(source)
        .chain([OsStr::new("-signer"), signing.certificate.path.as_os_str()])
        .chain([OsStr::new("-in"), content.path()]);
    let said = openssl::run(what, &words.collect::<Vec<_>>(), input).await?;
    if !said.success || said.out.is_empty() {
        return Err(refused(signing, what, &said));
    }
    let checked = fits(signing, what, draft, &said.out).await?;
    if !checked.success {
        let why = format!("the signature does not fit the certificate: {}", checked.last_words());
        let fix = "name the certificate that was made for this very key";
        return Err(Complaint::of(Kind::InvalidArgument, what, why, fix));
    }
    Ok(said.out)
}

/// What it means that the draft cannot be used.
fn copy_fault(what: &str, error: &io::Error) -> Complaint {
    file_fault(what, "cannot be used", Path::new("its copy"), error)
}

/// What openssl's words mean to whoever asked.
fn refused(signing: &Signing, what: &str, said: &openssl::Said) -> Complaint {
    let certificate = shown(&signing.certificate.path);
    let words = |words: &[&str]| said.complains_of(words);
    let (why, fix) = if words(&["does not match certificate", "values mismatch", "type mismatch"]) {
        (
            format!("the key is not the one of the certificate {certificate}"),
            "name the certificate that was made for this very key",
        )
    } else if words(&["bad decrypt", "wrong password", "PIN_INCORRECT", "PIN incorrect"]) {
        ("the passphrase is wrong".to_owned(), "give the one that the key was made with")
    } else if words(&["while reading strings", "unable to get passphrase", "No PIN code"]) {
        (
            "the key is guarded by a passphrase, and there is no terminal to ask for it".to_owned(),
            "name a file with --passphrase-file",
        )
    } else {
        let fix = "see that `openssl pkey -in KEY -noout` can read the key";
        (format!("openssl cannot sign with this key: {}", said.last_words()), fix)
    };
    Complaint::of(Kind::InvalidArgument, what, why, fix)
}
