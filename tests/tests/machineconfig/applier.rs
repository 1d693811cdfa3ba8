//! What Ignition does with a configuration, as far as it is used here: files with their modes, directories
//! above them, units with what is added to them, and what starts at boot. What is not used is refused, not
//! passed over.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ignition_config::Config;
use ignition_config::v3_5::{File, Resource, Unit};

const UNITS: &str = "/etc/systemd/system";

/// What lies at a path afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Laid {
    File { content: Vec<u8>, mode: u32, overwrite: bool },
    Link { target: String },
}

/// All of it, by absolute path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Laid>);

impl Tree {
    /// What a configuration brings.
    pub fn of(config: &Config) -> Result<Self> {
        let mut value = serde_json::to_value(config)?;
        // Of what is used here, each version takes what those before it take.
        value["ignition"]["version"] = "3.5.0".into();
        let text = serde_json::to_vec(&value)?;
        let (Config::V3_5(config), warnings) = Config::parse_slice(&text)? else {
            bail!("not read as 3.5");
        };
        ensure!(warnings.is_empty(), "{warnings:?}");
        ensure!(config.passwd.is_none() && config.kernel_arguments.is_none(), "not used here");
        let mut tree = Self::default();
        if let Some(storage) = config.storage {
            ensure!(storage.directories.is_none() && storage.links.is_none(), "not used here");
            for file in storage.files.unwrap_or_default() {
                let (path, laid) = laid(&file).with_context(|| file.path.clone())?;
                ensure!(tree.0.insert(path.clone(), laid).is_none(), "{path} is there twice");
            }
        }
        let units = config.systemd.and_then(|systemd| systemd.units).unwrap_or_default();
        units.iter().try_for_each(|unit| tree.unit(unit).with_context(|| unit.name.clone()))?;
        Ok(tree)
    }

    fn unit(&mut self, unit: &Unit) -> Result<()> {
        ensure!(unit.mask.is_none(), "not used here");
        let mut add = |path: String, text: &str| {
            let content = text.as_bytes().to_vec();
            let file = Laid::File { content, mode: 0o644, overwrite: true };
            ensure!(self.0.insert(path.clone(), file).is_none(), "{path} is there twice");
            Ok(())
        };
        if let Some(text) = &unit.contents {
            add(format!("{UNITS}/{}", unit.name), text)?;
        }
        for drop_in in unit.dropins.iter().flatten() {
            let text = drop_in.contents.as_deref().context("a drop-in without text")?;
            add(format!("{UNITS}/{}.d/{}", unit.name, drop_in.name), text)?;
        }
        if unit.enabled == Some(true) {
            // As `systemctl enable` reads it.
            let text = unit.contents.as_deref().context("enabled, and of another's making")?;
            let install = text.split("[Install]").nth(1).context("enabled without [Install]")?;
            for line in install.lines() {
                let place = match line.split_once('=') {
                    Some(("WantedBy", target)) => format!("{UNITS}/{target}.wants/{}", unit.name),
                    Some(("Alias", alias)) => format!("{UNITS}/{alias}"),
                    _ => continue,
                };
                let link = Laid::Link { target: format!("{UNITS}/{}", unit.name) };
                self.0.insert(place, link);
            }
        }
        Ok(())
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> &str {
        match self.0.get(path) {
            Some(Laid::File { content, .. }) => str::from_utf8(content).expect(path),
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Modes of files, by path.
    pub fn modes(&self) -> BTreeMap<&str, u32> {
        let mode = |laid: &Laid| match laid {
            Laid::File { mode, .. } => Some(*mode),
            Laid::Link { .. } => None,
        };
        self.0.iter().filter_map(|(path, laid)| Some((path.as_str(), mode(laid)?))).collect()
    }

    /// Lays it below a root.
    pub fn lay(&self, root: &Path) -> Result<()> {
        for (path, laid) in &self.0 {
            let place = root.join(path.trim_start_matches('/'));
            let above = place.parent().context("no parent")?;
            fs::create_dir_all(above)?;
            match laid {
                Laid::File { content, mode, overwrite } => {
                    ensure!(*overwrite || !place.exists(), "{path} is there already");
                    fs::write(&place, content)?;
                    fs::set_permissions(&place, fs::Permissions::from_mode(*mode))?;
                }
                Laid::Link { target } => {
                    if place.symlink_metadata().is_ok() {
                        fs::remove_file(&place)?;
                    }
                    symlink(target, &place)?;
                }
            }
        }
        Ok(())
    }
}

fn laid(file: &File) -> Result<(String, Laid)> {
    ensure!(file.append.is_none(), "not used here");
    ensure!(file.user.is_none() && file.group.is_none(), "files are root's");
    let mode = file.mode.context("no mode")?;
    ensure!((0..=0o7777).contains(&mode), "{mode} is no mode");
    let contents = file.contents.as_ref().context("no contents")?;
    let (content, overwrite) = (decoded(contents)?, file.overwrite == Some(true));
    Ok((file.path.clone(), Laid::File { content, mode: u32::try_from(mode)?, overwrite }))
}

/// What a `data:` URL stands for (RFC 2397), unpacked.
fn decoded(contents: &Resource) -> Result<Vec<u8>> {
    ensure!(contents.verification.is_none() && contents.http_headers.is_none(), "not used here");
    let source = contents.source.as_deref().context("no source")?;
    let rest = source.strip_prefix("data:").context("no data: URL")?;
    let (kind, data) = rest.split_once(',').context("no comma")?;
    let bytes = match kind {
        "" => unescaped(data)?,
        ";base64" => from_base64(data)?,
        other => bail!("{other} is not used here"),
    };
    match contents.compression.as_deref() {
        None | Some("") => Ok(bytes),
        Some("gzip") => {
            let mut unpacked = Vec::new();
            let mut child = std::process::Command::new("gzip")
                .arg("-dc")
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()?;
            let mut input = child.stdin.take().context("no input")?;
            let writer = std::thread::spawn(move || std::io::Write::write_all(&mut input, &bytes));
            child.stdout.take().context("no output")?.read_to_end(&mut unpacked)?;
            writer.join().expect("the writer ends")?;
            ensure!(child.wait()?.success(), "gzip failed");
            Ok(unpacked)
        }
        Some(other) => bail!("{other} is no compression"),
    }
}

fn unescaped(data: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = data.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            ensure!(first.is_ascii_graphic() && *first != b'"', "{first} stands for itself");
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).context("% at the end")?;
        bytes.push(u8::from_str_radix(str::from_utf8(digits)?, 16)?);
        rest = after;
    }
    Ok(bytes)
}

fn from_base64(data: &str) -> Result<Vec<u8>> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    ensure!(data.len().is_multiple_of(4), "not whole");
    let letters = data.trim_end_matches('=');
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in letters.chars() {
        let value = LETTERS.find(letter).context("no letter")?;
        bits = bits << 6 | u32::try_from(value)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff)?);
        }
    }
    Ok(bytes)
}
