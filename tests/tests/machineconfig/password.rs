//! A password is made when it is rendered, is shown once, and only its hash travels.

use std::process::Command;

use crate::{Ran, certificate, object, render, tree};

const HASH: &str = "/etc/onloadd/keys/machineconfig.hash";

fn generated(words: &[&str]) -> (Ran, String) {
    let cert = certificate();
    let ran = render(&[&["--cert", &cert, "--generate-password"], words].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said: Vec<_> = ran.err.lines().filter_map(|line| line.strip_prefix("password: ")).collect();
    let [password] = said[..] else { panic!("said once: {ran:?}") };
    let password = password.to_owned();
    (ran, password)
}

#[test]
fn only_the_hash_of_a_password_that_is_made_travels() {
    let (ran, password) = generated(&[]);
    assert!(password.len() >= 16 && !ran.out.contains(&password), "{ran:?}");
    assert!(ran.err.contains("it is shown only now"), "{ran:?}");
    let config = object(&ran.out)["spec"]["config"].to_string();
    let config = ignition_config::Config::parse_str(&config).unwrap().0;
    let tree = crate::applier::Tree::of(&config).unwrap();
    assert_eq!(tree.modes()[HASH], 0o600);
    let hash = tree.text(HASH).trim_end();
    let salt = hash.split('$').nth(2).unwrap();
    let out = Command::new("openssl").args(["passwd", "-6", "-salt", salt, &password]).output();
    assert_eq!(String::from_utf8(out.unwrap().stdout).unwrap().trim_end(), hash);
    let (_, other) = generated(&["--json"]);
    assert_ne!(password, other, "each is another");
}

#[test]
fn a_hash_that_is_given_is_the_one_that_travels() {
    let (cert, hash) = (certificate(), crate::input("hash"));
    let tree = tree(&["--cert", &cert, "--password-hash", &hash]);
    assert_eq!(tree.text(HASH), std::fs::read_to_string(&hash).unwrap());
}
