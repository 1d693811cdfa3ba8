//! `keys show`: what a signed module, a certificate or a list of keys says of itself, in the words of
//! openssl, modinfo and UEFI. Whether a machine trusts any of it is another question.

mod certificate;
mod list;
mod module;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use onload_core::secure_boot::certificate::Certificate as X509;
use onload_core::secure_boot::signature::MARK;
use onload_dbus::error::Kind;
use serde::Serialize;

use super::compression::{Compression, fault};
use super::layer::ELF;
use super::{code, file_fault, readable, shown};
use crate::ended::{Complaint, Ended};
use crate::render::Output;
use crate::render::paint::{Paint, plain};
use certificate::Certificate;
use list::{List, Variable};
use module::Signature;

/// More than any module has, with all that debuggers want; it is read as a whole.
const LARGEST: u64 = 1024 * 1024 * 1024;
/// How DER of a certificate begins: a sequence.
const SEQUENCE: u8 = 0x30;
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What was asked about.
#[derive(Debug, Serialize)]
struct Pages {
    files: Vec<Page>,
}

/// A file.
#[derive(Debug, Default, Serialize)]
struct Page {
    path: String,
    /// module, certificate or signature-list; none where it does not read.
    kind: Option<&'static str>,
    /// xz, zstd or gzip.
    compression: Option<&'static str>,
    /// Of a module, the last first: that one counts.
    signatures: Vec<Signature>,
    certificate: Option<Certificate>,
    /// Of which variable the lists are, where the file says it.
    variable: Option<Variable>,
    lists: Vec<List>,
    error: Option<Complaint>,
}

/// Shows each file.
pub async fn run(output: Output, wanted: &super::words::Show) -> Result<u8, Ended> {
    let (mut files, mut codes) = (Vec::new(), Vec::new());
    for path in &wanted.files {
        let mut page = Page { path: shown(path), ..Page::default() };
        match page.read(path).await {
            Ok(()) if !output.json() => {
                let gap = if files.is_empty() { "" } else { "\n" };
                output.text(&format!("{gap}{}", page.text()))?;
            }
            Ok(()) => {}
            Err(complaint) => {
                codes.push(output.complain(&complaint.clone().into()));
                page.error = Some(complaint);
            }
        }
        files.push(page);
    }
    if output.json() {
        output.document(&Pages { files })?;
    }
    Ok(code(&codes))
}

impl Page {
    async fn read(&mut self, path: &Path) -> Result<(), Complaint> {
        let what = format!("{} cannot be shown", self.path);
        let unread = |error: &io::Error| file_fault(&what, "cannot be read", path, error);
        let refuse = |why: &str, fix: &str| {
            Complaint::of(Kind::InvalidArgument, &what, format!("{} {why}", shown(path)), fix)
        };
        let file = File::open(readable(path, &what)?).map_err(|error| unread(&error))?;
        let compression = Compression::of_file(&file).map_err(|error| unread(&error))?;
        let bytes = match compression {
            Some(one) => one.content(&file, LARGEST).await,
            None => content(&file),
        };
        let bytes = bytes.map_err(|error| match compression {
            Some(_) => fault(&what, path, &error),
            None => unread(&error),
        })?;
        self.compression = compression.map(Compression::program);
        self.parse(path, &bytes).map_err(|damage| {
            let place =
                if compression.is_some() { "does not read, uncompressed" } else { "does not read" };
            let fix = "name a module, a certificate or an EFI signature list that is whole";
            refuse(&format!("{place}: {damage}"), fix)
        })
    }

    /// Says what it is and what is wrong, with the place of that.
    fn parse(&mut self, path: &Path, bytes: &[u8]) -> Result<(), String> {
        if bytes.ends_with(MARK) || bytes.starts_with(ELF) {
            self.signatures = module::read(bytes)?;
            self.kind = Some("module");
        } else if let Some((variable, list)) = list::find(path, bytes) {
            self.lists = list::read(list, bytes.len().saturating_sub(list.len()))?;
            self.variable = variable;
            self.kind = Some("signature-list");
        } else if bytes.first() == Some(&SEQUENCE) || bytes.windows(PEM.len()).any(|one| one == PEM)
        {
            let x509 = X509::parse(bytes).map_err(|damaged| damaged.to_string())?;
            let encoding = if bytes.first() == Some(&SEQUENCE) { "DER" } else { "PEM" };
            self.certificate = Some(Certificate::of(&x509, encoding));
            self.kind = Some("certificate");
        } else {
            const EXPECTED: &str = "a module, a certificate (DER or PEM), or an EFI signature list";
            return Err(format!("byte 0: expected {EXPECTED}"));
        }
        Ok(())
    }

    fn text(&self) -> String {
        let path = Paint::Strong.on(&self.path);
        let packed = self.compression.map(|name| format!(", {name}")).unwrap_or_default();
        if let Some(certificate) = &self.certificate {
            let head = format!("{path}: certificate, {}{packed}\n", certificate.encoding);
            return head + &certificate.rows(1);
        }
        if self.kind == Some("module") {
            return format!("{path}: module{packed}, {}", module::text(&self.signatures));
        }
        format!("{path}: {}", list::text(self.variable.as_ref(), &self.lists))
    }
}

fn content(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// A line with what something is called and what it is.
fn row(depth: usize, label: &str, value: &str) -> String {
    let label = Paint::Dim.on(&format!("{label:<14}"));
    format!("{:indent$}{label} {}\n", "", plain(value), indent = depth.saturating_mul(2))
}
