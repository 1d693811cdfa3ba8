//! Wishes of the configuration: once each, and nobody is put out.

use super::*;

/// A configuration that wants `MODULE` asked for, with its two files.
fn wishing(hash: &str) -> Config {
    let text = "[[secure-boot.requests]]\n\
                certificate = \"/k.der\"\npassword-hash = \"/k.hash\"\n";
    let file = Fragment { file: "onloadd.toml".to_owned(), text: text.to_owned() };
    let mut config = Config::merge(&[file]).unwrap();
    config.files.insert("/k.der".to_owned(), Ok(MODULE.to_vec()));
    config.files.insert("/k.hash".to_owned(), Ok(format!("{hash}\n").into_bytes()));
    config
}

#[test]
fn a_wish_of_the_configuration_is_carried_out_once() {
    let mut lab = lab("");
    lab.configure(wishing(HASH));
    assert_eq!(condition(&lab).reason, "EnrolmentPending");
    assert_eq!(lab.variables["MokNew"], bytes(&[MODULE]));
    assert_eq!(
        lab.picture.jobs.values().map(|job| job.state).collect::<Vec<_>>(),
        [JobState::Done]
    );
    assert_eq!(lab.brain.ledger().wishes.len(), 1);

    reboot(&mut lab, "b2", &[]);
    lab.run(600_000);
    assert!(lab.variables.is_empty(), "it was missed, and is not repeated");
    assert_eq!(condition(&lab).reason, "RequestLost");

    // Another password is another wish; out and in again as well.
    let other = HASH.replace("saltsaltsaltsalt", "tlastlastlastlas");
    lab.configure(wishing(&other));
    assert!(lab.variables.contains_key("MokNew"));
    reboot(&mut lab, "b3", &[MODULE]);
    lab.configure(wishing(&other));
    assert_eq!(
        (condition(&lab).status, condition(&lab).reason.as_str()),
        (Status::True, "Enrolled")
    );
    // Somebody takes the key out at the console: that is his business.
    reboot(&mut lab, "b4", &[]);
    assert!(lab.variables.is_empty());
    // Out of it at one boot and in it again at the next.
    lab.configure(Config::default());
    reboot(&mut lab, "b5", &[]);
    lab.configure(wishing(&other));
    assert!(lab.variables.contains_key("MokNew"));
}

#[test]
fn a_kill_at_any_point_carries_a_wish_out_once() {
    let mut cut = 0;
    for fuse in 1.. {
        let mut lab = lab("");
        lab.fuse = Some(fuse);
        lab.configure(wishing(HASH));
        if lab.fuse.is_some_and(|left| left > 0) {
            break;
        }
        cut += 1;
        lab.restart();
        lab.run(5_000);
        assert_eq!(condition(&lab).reason, "EnrolmentPending", "after {fuse} effects");
        assert_eq!(lab.variables["MokNew"], bytes(&[MODULE]), "after {fuse} effects");
        reboot(&mut lab, "b2", &[]);
        lab.run(600_000);
        assert!(lab.variables.is_empty(), "after {fuse} effects, and never again");
    }
    assert!(cut > 4, "{cut}");
}

#[test]
fn a_wish_puts_nobody_out() {
    // Another password would hold for what somebody else asked for.
    let mut lab = lab("");
    let other = "$6$tlastlastlastlas$nozu4aSZ9tvfyqr8kV.PwuNYpJaa6RCOb1XRcivY.S4HEWnm/pcZbgbhIR2EeRNbUrMigQuyF/KzM9qzoEvpz0";
    lab.variables.insert("MokNew".to_owned(), bytes(&[LEAF]));
    lab.variables.insert("MokAuth".to_owned(), crypt::parse(other).unwrap().to_bytes());
    lab.show_variables();
    lab.configure(wishing(HASH));
    assert_eq!(lab.variables["MokNew"], bytes(&[LEAF]));
    assert_eq!(condition(&lab).reason, "RequestImpossible");
    lab.variables.clear();
    lab.show_variables();
    // A hold is one of the node.
    let hold = Command::Hold { reason: "trading day".to_owned(), expiry: None };
    lab.ask(hold);
    lab.touch();
    lab.run(600_000);
    assert!(lab.variables.is_empty());
    // Neither is a disk closed of which only its header says what binds it.
    let unread =
        Volume { luks: Luks::Two, uuid: "1".to_owned(), devices: BTreeSet::new(), asked: None };
    lab.node.volumes = Known([("data".to_owned(), unread)].into());
    lab.ask(Command::Unhold);
    lab.touch();
    lab.run(600_000);
    assert!(lab.variables.is_empty());
    assert!(condition(&lab).message.contains("volume data"), "{}", condition(&lab).message);
    lab.node.volumes = Known(BTreeMap::new());
    lab.configure(wishing(HASH));
    assert_eq!(condition(&lab).reason, "EnrolmentPending");
}

#[test]
fn a_wish_that_cannot_be_carried_out_says_why() {
    let mut lab = lab("");
    let mut config = wishing(HASH);
    config.files.remove("/k.hash");
    lab.configure(config);
    assert_eq!(condition(&lab).reason, "RequestImpossible");
    assert!(
        condition(&lab).message.contains("/k.hash is not there"),
        "{}",
        condition(&lab).message
    );
    lab.configure(wishing("$y$j9T$abc$def"));
    assert!(condition(&lab).message.contains("yescrypt"), "{}", condition(&lab).message);
    let trust = Trust { runtime: Known(RunTime::NoRunTime), ..shim() };
    lab.node.trust = Arc::new(trust);
    lab.configure(wishing(HASH));
    assert!(condition(&lab).message.contains("efi=noruntime"), "{}", condition(&lab).message);
    assert!(lab.brain.ledger().wishes.is_empty() && lab.variables.is_empty());

    // No room: tried once in a run, and again in the next.
    lab.node.trust = Arc::new(shim());
    lab.faults.no_room = true;
    lab.configure(wishing(HASH));
    lab.run(600_000);
    let failed = lab.picture.jobs.values().filter(|job| job.state == JobState::Failed);
    assert_eq!(failed.count(), 1);
    lab.faults.no_room = false;
    lab.restart();
    lab.run(2_000);
    lab.configure(wishing(HASH));
    assert!(lab.variables.contains_key("MokNew"));
}
