//! A container image as `podman save` writes it: which archives are its layers, and what they add
//! up to. Two formats, docker-archive (`manifest.json`) and OCI (`index.json`).

use std::collections::BTreeMap;

use onload_core::refusal::Refusal;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::collect::{Collected, Entry, Layer, inside};
use super::fault;

const DOCKER_LIST: &str = "manifest.json";
const OCI_LIST: &str = "index.json";
/// The lists that make a directory an image.
pub(super) const LISTS: [&str; 2] = [DOCKER_LIST, OCI_LIST];
const BLOBS: &str = "blobs/";
/// An index may name indexes; images in use have one below the first.
const MOST_INDEXES: usize = 4;
/// What layers leave: kept members by path.
pub(super) type Tree = BTreeMap<String, Entry>;

#[derive(Deserialize)]
struct DockerImage {
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
}

/// Whether a member at that path can be a layer. A release has no archives there.
pub(super) fn may_be_layer(path: &str) -> bool {
    let archive = path.ends_with(".tar") && path.matches('/').count() <= 1;
    archive || path.starts_with(BLOBS)
}

/// Whether a member at that path can be a list of an image.
pub(super) fn may_be_list(path: &str) -> bool {
    path == DOCKER_LIST || path == OCI_LIST || path.starts_with(BLOBS)
}

/// Whether a directory at that path can hold layers or lists of an image.
pub(super) fn may_hold_layers(path: &str) -> bool {
    !path.contains('/') || path.starts_with(BLOBS)
}

/// What a source holds in the end: its own files, or those of the image that it is. The second is
/// whether it is an image.
pub(super) fn tree(collected: &Collected) -> Result<(Tree, bool), Refusal> {
    let Some(layers) = layers(collected)? else {
        let mut tree = Tree::new();
        lay(&mut tree, &collected.tree)?;
        return Ok((tree, false));
    };
    let mut tree = Tree::new();
    for name in layers {
        let path = collected.aliases.get(&name).map_or(Ok(name.clone()), |to| inside(&name, to))?;
        match collected.layers.get(&path) {
            Some(Ok(layer)) => lay(&mut tree, layer)?,
            Some(Err(why)) => return Err(why.clone()),
            None => return Err(incomplete(&format!("its layer {}", fault::shown(&path)))),
        }
    }
    Ok((tree, true))
}

/// Paths of the layers, lowest first; none: it is no image.
fn layers(collected: &Collected) -> Result<Option<Vec<String>>, Refusal> {
    let list = |path: &str| collected.lists.get(path);
    if let Some(images) = list(DOCKER_LIST) {
        let images: Vec<DockerImage> = parse(DOCKER_LIST, images)?;
        let [image] = images.as_slice() else { return Err(several(images.len())) };
        return Ok(Some(image.layers.clone()));
    }
    if let Some(index) = list(OCI_LIST) {
        return oci(collected, parse(OCI_LIST, index)?).map(Some);
    }
    let nothing = collected.tree.entries.iter().all(|(_, entry)| *entry == Entry::Cover);
    if nothing && !collected.layers.is_empty() {
        // Its list comes last, so this is one that was cut between two members.
        return Err(incomplete(&format!("{DOCKER_LIST} or {OCI_LIST}")));
    }
    Ok(None)
}

fn oci(collected: &Collected, mut index: Index) -> Result<Vec<String>, Refusal> {
    for _ in 0..MOST_INDEXES {
        let descriptor = only(&index)?;
        let path = blob(&descriptor.digest)?;
        let bytes = collected.lists.get(&path).ok_or_else(|| incomplete(&fault::shown(&path)))?;
        if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
            return manifest.layers.iter().map(|layer| blob(&layer.digest)).collect();
        }
        index = parse(&path, bytes)?;
    }
    Err(fault::unfit("index.json leads through too many others", "save one image by its name"))
}

/// The one image of an index that is for this machine.
fn only(index: &Index) -> Result<&Descriptor, Refusal> {
    // As images name what the compiler does.
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if let [one] = index.manifests.as_slice() {
        return Ok(one);
    }
    let ours = |one: &&Descriptor| {
        one.platform.as_ref().is_some_and(|platform| platform.architecture == here)
    };
    let mut fitting = index.manifests.iter().filter(ours);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (Some(_) | None, _) => Err(several(index.manifests.len())),
    }
}

fn blob(digest: &str) -> Result<String, Refusal> {
    match digest.split_once(':') {
        Some((algorithm, hash)) if !digest.contains('/') => {
            Ok(format!("{BLOBS}{algorithm}/{hash}"))
        }
        Some(_) | None => Err(fault::broken(digest, &"it is no digest")),
    }
}

fn parse<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| fault::broken(path, &error))
}

fn several(images: usize) -> Refusal {
    let why = format!("the archive holds {images} images, and none can be chosen");
    fault::unfit(why, "save the one image (`podman save --format docker-archive IMAGE`)")
}

fn incomplete(missing: &str) -> Refusal {
    fault::unfit(
        format!("the image is incomplete: {missing} is not in it"),
        "save it anew (`podman save --format docker-archive IMAGE`)",
    )
}

/// Lays a layer on what lies below it.
fn lay(tree: &mut Tree, layer: &Layer) -> Result<(), Refusal> {
    for path in &layer.removed {
        tree.remove(path);
        clear(tree, path);
    }
    for directory in &layer.emptied {
        clear(tree, directory);
    }
    for (path, entry) in &layer.entries {
        // A name given to a file is the file, whatever becomes of the first name.
        let entry = match entry {
            Entry::Hardlink(target) => match tree.get(target) {
                Some(entry @ (Entry::File(_) | Entry::Symlink(_))) => entry.clone(),
                Some(Entry::Cover | Entry::Hardlink(_)) | None => {
                    let why = format!(
                        "is a hard link to {}, which is no file of a release before it",
                        fault::shown(target)
                    );
                    return Err(fault::forbidden(path, &why));
                }
            },
            Entry::File(_) | Entry::Symlink(_) | Entry::Cover => entry.clone(),
        };
        clear(tree, path);
        // A file among the directories above is gone when a directory took its place.
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        above.for_each(|path| drop(tree.remove(path)));
        tree.insert(path.clone(), entry);
    }
    Ok(())
}

/// Removes all below a directory; the whole tree where it is the top.
fn clear(tree: &mut Tree, directory: &str) {
    if directory.is_empty() {
        tree.clear();
        return;
    }
    let below = format!("{directory}/");
    let gone: Vec<String> = tree
        .range(below.clone()..)
        .map(|(path, _)| path)
        .take_while(|path| path.starts_with(&below))
        .cloned()
        .collect();
    gone.iter().for_each(|path| drop(tree.remove(path)));
}
