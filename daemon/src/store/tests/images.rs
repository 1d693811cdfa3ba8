//! Images as `podman save` writes them, in both formats.

use serde_json::json;
use tar::EntryType;

use super::source::{KERNEL, VERSION, gz, zst};
use super::*;

/// A docker-archive: the list comes last, as podman writes it.
fn docker(layers: &[(&str, Vec<u8>)]) -> Source {
    let names: Vec<&str> = layers.iter().map(|(name, _)| *name).collect();
    let list = json!([{ "Config": "c.json", "RepoTags": ["onload:9"], "Layers": names }]);
    // Not in their order: only the list tells it.
    let archive = layers
        .iter()
        .rev()
        .fold(Source::default(), |archive, (name, layer)| archive.file(name, 0o644, layer));
    archive.file("c.json", 0o644, b"{\"architecture\":\"amd64\"}").file(
        "manifest.json",
        0o644,
        list.to_string().as_bytes(),
    )
}

fn oci(layers: &[Vec<u8>], nested: bool) -> Source {
    let mut archive = Source::default().file("oci-layout", 0o644, b"{}");
    let mut blob = |bytes: &[u8], name: &str| {
        let taken = std::mem::take(&mut archive);
        archive = taken.file(&format!("blobs/sha256/{name}"), 0o644, bytes);
        json!({ "digest": format!("sha256:{name}"), "platform": { "architecture": "s390x" } })
    };
    let config = blob(b"{\"rootfs\":{}}", "c0");
    let layers: Vec<_> =
        layers.iter().enumerate().map(|(at, bytes)| blob(bytes, &format!("1a{at}"))).collect();
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let mut top = blob(manifest.to_string().as_bytes(), "f0");
    if nested {
        let here = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        top["platform"]["architecture"] = json!(here);
        let other = json!({ "digest": "sha256:e0", "platform": { "architecture": "s390x" } });
        let index = json!({ "manifests": [other, top] });
        top = blob(index.to_string().as_bytes(), "f1");
    }
    archive.file("index.json", 0o644, json!({ "manifests": [top] }).to_string().as_bytes())
}

fn modules() -> Vec<u8> {
    Source::modules("opt/lib/modules/", KERNEL, VERSION).tar()
}

fn user() -> Vec<u8> {
    Source::user("usr/lib64/").file("usr/bin/bash", 0o755, b"bash").tar()
}

#[test]
fn a_docker_archive_is_its_layers() {
    let place = Place::new();
    place.import(&docker(&[("a.tar", user()), ("b.tar", modules())]).tar()).unwrap();
    let tree = place.tree(VERSION);
    assert!(tree.contains_key("usr/bin/onload") && !tree.contains_key("usr/bin/bash"));
    let of_docker = docker(&[("1d/layer.tar", user()), ("2d/layer.tar", modules())]);
    Place::new().import(&of_docker.tar()).unwrap();
}

#[test]
fn layers_may_be_links_to_each_other() {
    let names = ["1d/layer.tar", "2d/layer.tar"];
    let source = docker(&[(names[0], user()), (names[1], modules())]).without(names[1]);
    let source = source.file("b.tar", 0o644, &modules()).link(names[1], "../b.tar");
    Place::new().import(&source.tar()).unwrap();
}

#[test]
fn an_oci_archive_is_its_layers() {
    for nested in [false, true] {
        let place = Place::new();
        place.import(&oci(&[gz(&user()), zst(&modules())], nested).tar()).unwrap();
        assert!(place.tree(VERSION).contains_key("sbin/onload_cp_server"), "{nested}");
    }
    let (place, source) = (Place::new(), tempfile::tempdir().unwrap());
    oci(&[gz(&user()), modules()], false).unpack(source.path());
    place.store.import_now(directory(source.path()), None, Cancel::default()).unwrap();
}

#[test]
fn upper_layers_replace_hide_and_empty_lower_ones() {
    let profile = |name: &str| format!("usr/libexec/onload/profiles/{name}.opf");
    let lower = Source::user("usr/lib64/")
        .file(&profile("old"), 0o644, b"old")
        .file("usr/libexec/onload/apps/one", 0o755, b"one")
        .file("usr/bin/onload_gone", 0o755, b"gone")
        .file("usr/bin/onload_dir", 0o755, b"a file");
    let upper = Source::default()
        .file("usr/bin/.wh.onload_gone", 0o600, b"")
        .file("usr/libexec/onload/profiles/.wh..wh..opq", 0o600, b"")
        .file(&profile("new"), 0o644, b"new")
        .file("usr/libexec/onload/.wh.apps", 0o600, b"")
        .file("usr/bin/onload", 0o755, b"#!/bin/sh\n# newer\n")
        .other("usr/bin/onload_alias", EntryType::Link, "usr/bin/onload");
    let place = Place::new();
    let layers = [("a.tar", lower.tar()), ("b.tar", modules()), ("c.tar", upper.tar())];
    place.import(&docker(&layers).tar()).unwrap();
    let tree = place.tree(VERSION);
    assert!(!tree.contains_key("usr/bin/onload_gone"));
    assert!(tree.contains_key(&profile("new")));
    for gone in ["old", "latency"] {
        assert!(!tree.contains_key(&profile(gone)), "{gone}");
    }
    assert!(!tree.contains_key("usr/libexec/onload/apps/"));
    for name in ["onload", "onload_alias"] {
        let text = fs::read(place.releases().join(VERSION).join("usr/bin").join(name)).unwrap();
        assert_eq!(text, b"#!/bin/sh\n# newer\n", "{name}");
    }
}

#[test]
fn a_name_of_a_hidden_file_stays() {
    let upper = Source::default().file("usr/bin/.wh.onload_first", 0o600, b"");
    let lower = Source::user("usr/lib64/").file("usr/bin/onload_first", 0o755, b"first").other(
        "usr/bin/onload_second",
        EntryType::Link,
        "usr/bin/onload_first",
    );
    let place = Place::new();
    let layers = [("a.tar", lower.tar()), ("b.tar", modules()), ("c.tar", upper.tar())];
    place.import(&docker(&layers).tar()).unwrap();
    let tree = place.tree(VERSION);
    assert!(tree.contains_key("usr/bin/onload_second"));
    assert!(!tree.contains_key("usr/bin/onload_first"));
}

#[test]
fn a_link_over_a_directory_hides_what_was_below() {
    let upper = Source::default().link("opt", "/var/opt");
    let layers = [("a.tar", user()), ("b.tar", modules()), ("c.tar", upper.tar())];
    says(&Place::new().refusal(&docker(&layers).tar()), "has no modules");
}

#[test]
fn layers_outside_the_tree_are_refused() {
    let escape = Source::default().file("../../etc/shadow", 0o644, b"bad").tar();
    let layers = [("a.tar", user()), ("b.tar", modules()), ("c.tar", escape.clone())];
    says(&Place::new().refusal(&docker(&layers).tar()), "leads out");
    // An archive that no list names is none of ours.
    let stray = docker(&layers[..2]).file("stray.tar", 0o644, &escape);
    Place::new().import(&stray.tar()).unwrap();
}

#[test]
fn images_that_are_not_whole_are_refused() {
    let layers = [("a.tar", user()), ("b.tar", modules())];
    let whole = docker(&layers);
    let without = |part| Place::new().refusal(&whole.clone().without(part).tar());
    says(&without("manifest.json"), "incomplete");
    says(&without("b.tar"), "layer b.tar");
    let oci = oci(&[user(), modules()], true);
    for part in ["sha256/1a1", "sha256/f0", "sha256/f1"] {
        says(&Place::new().refusal(&oci.clone().without(part).tar()), part);
    }
    let cut = docker(&[("a.tar", user()), ("b.tar", modules()[..2000].to_vec())]);
    says(&Place::new().refusal(&cut.tar()), "b.tar");
    let two = json!([{ "Layers": [] }, { "Layers": [] }]).to_string();
    let two = whole.clone().without("manifest.json").file("manifest.json", 0o644, two.as_bytes());
    says(&Place::new().refusal(&two.tar()), "2 images");
    let bad = whole.without("manifest.json").file("manifest.json", 0o644, b"[{]");
    says(&Place::new().refusal(&bad.tar()), "manifest.json");
}

#[test]
fn lists_are_bounded() {
    let bounds = Bounds { list_bytes: 1000, ..Bounds::default() };
    let huge = Source::release().file("manifest.json", 0o644, &[b' '; 2000]);
    let refusal = Place::bounded(bounds).refusal(&huge.tar());
    assert_eq!(refusal.kind, RefusalKind::LimitExceeded, "{refusal}");
}
