//! A root with everything that onloadd may have left on it, and things of others beside.

use std::cell::RefCell;

use onload_core::clock::sfptpd;
use onload_core::time::Timestamp;
use tempfile::TempDir;

use super::*;

const PIN: &str = "etc/systemd/network/10-onloadd-0c42a1000001.link";
const DROP_IN: &str = "run/systemd/system/sfptpd.service.d/50-onloadd.conf";
const CDI: &str = "run/cdi/amd.com-onload_onloadd.json";
/// Whose they are is told by names, and by what is in them.
const OURS: [(&str, &str); 8] = [
    (PIN, "[Match]\n"),
    ("run/modprobe.d/onloadd.conf", "blacklist sfc\n"),
    ("run/udev/rules.d/79-onloadd-block.rules", "# a swap\n"),
    (DROP_IN, "[Service]\n"),
    ("run/onloadd/sfptpd.cfg", "[general]\n"),
    ("run/onloadd/onloadd.toml", ""),
    ("run/onloadd/.sfptpd.cfg", ""),
    (CDI, r#"{"cdiVersion":"0.3.0","kind":"amd.com/onload","devices":[]}"#),
];
const OTHERS: [(&str, &str); 7] = [
    ("etc/systemd/network/05-onload-0c42a1000001.link", "[Match]\n"),
    ("etc/systemd/network/20-lan.link", "[Match]\n"),
    ("run/modprobe.d/other.conf", "blacklist other\n"),
    ("run/systemd/system/sfptpd.service.d/60-site.conf", "[Service]\n"),
    ("run/cdi/vendor.com-gpu.json", "{}"),
    ("run/cdi/amd.com-fake_onloadd.json", "{}"),
    ("etc/onloadd/onloadd.toml.d/50-local.toml", ""),
];
const STATE: &str = "var/lib/onloadd";

struct Node {
    place: TempDir,
    asked: RefCell<Vec<Request>>,
    refuses: RefCell<BTreeSet<Request>>,
}

impl Node {
    fn new(ledger: &[Entry]) -> Self {
        let node = Self {
            place: TempDir::new().unwrap(),
            asked: RefCell::default(),
            refuses: RefCell::default(),
        };
        OURS.iter().chain(&OTHERS).for_each(|(path, text)| node.put(path, text));
        let mut state = Ledger::default();
        ledger.iter().cloned().for_each(|entry| state.take(entry));
        node.put(&format!("{STATE}/ledger.json"), &state.to_text());
        node.put(&format!("{STATE}/releases/9.2.1/lib/modules/a.ko"), "");
        node.put(&format!("{STATE}/pools/onload/x"), "");
        node
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.place.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn has(&self, path: &str) -> bool {
        self.place.path().join(path).exists()
    }

    fn order(&self, purge: bool) -> Order {
        let root = self.place.path().to_owned();
        let below = |path: &str| place(&root, path).unwrap();
        let (state, cdi, sfptpd) = (below(STATE), below("run/cdi"), sfptpd::units(None));
        Order { root, state, cdi, sfptpd, unread: None, purge }
    }

    fn restore(&self, purge: bool) -> Account {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ask = async |request: Request| {
            if self.refuses.borrow().contains(&request) {
                return Err(StepError::Failed("no such unit".to_owned()));
            }
            self.asked.borrow_mut().push(request);
            Ok(())
        };
        runtime.block_on(restore(&self.order(purge), &ask))
    }

    fn ledger(&self) -> Ledger {
        let text = fs::read(self.place.path().join(STATE).join("ledger.json")).unwrap();
        Ledger::parse(&text).unwrap().ledger
    }

    /// What was asked for since it was asked last.
    fn asked(&self) -> Vec<Request> {
        self.asked.take()
    }
}

fn handed(to: Keeper, units: &[&str]) -> Entry {
    let units = units.iter().map(|unit| (*unit).to_owned()).collect();
    let handover = Handover { to, units, uid: 0, at: Timestamp::default() };
    Entry::Clock(ClockEntry::HandedOver(Some(handover)))
}

fn paused(unit: &str) -> Entry {
    Entry::Clock(ClockEntry::Paused { unit: unit.to_owned() })
}

fn start(unit: &str) -> Request {
    Request::Start(unit.to_owned())
}

fn stop(unit: &str) -> Request {
    Request::Stop(unit.to_owned())
}

#[test]
fn what_is_ours_goes_and_what_is_not_stays() {
    let node = Node::new(&[]);
    let account = node.restore(false);
    assert_eq!(account.left, []);
    for (path, _) in OURS {
        assert!(!node.has(path), "{path} is still there");
    }
    for (path, text) in OTHERS {
        let now = fs::read_to_string(node.place.path().join(path)).unwrap();
        assert_eq!(now, text, "{path}");
    }
    assert!(node.has(&format!("{STATE}/releases/9.2.1/lib/modules/a.ko")));
    assert_eq!(node.asked(), [Request::ReloadUnits, Request::ReloadRules], "nobody is started");
    let pin = format!("removed {}", node.place.path().join(PIN).display());
    assert!(account.done.contains(&pin), "{account:?}");

    let again = node.restore(false);
    assert_eq!((again.done, again.left), (Vec::new(), Vec::new()), "there is nothing more");
    assert_eq!(node.asked(), [], "and nobody is told again");
}

#[test]
fn who_was_stopped_is_started_once() {
    let cases = [
        (
            "for a change of drivers",
            vec![paused("ptp4l.service")],
            vec![Request::ReloadUnits, start("ptp4l.service"), Request::ReloadRules],
        ),
        (
            "for sfptpd, which must not steer beside it",
            vec![handed(Keeper::Sfptpd, &["chronyd.service"])],
            vec![
                stop("sfptpd.service"),
                stop("onloadd-sfptpd.service"),
                Request::ReloadUnits,
                start("chronyd.service"),
                Request::ReloadRules,
            ],
        ),
        (
            "and was on its way back",
            vec![handed(Keeper::Former, &["chronyd.service"])],
            vec![Request::ReloadUnits, start("chronyd.service"), Request::ReloadRules],
        ),
        (
            "nobody was",
            vec![handed(Keeper::Sfptpd, &[])],
            vec![Request::ReloadUnits, Request::ReloadRules],
        ),
    ];
    for (why, entries, expected) in cases {
        let node = Node::new(&entries);
        assert_eq!(node.restore(false).left, [], "{why}");
        assert_eq!(node.asked(), expected, "{why}");
        let clock = node.ledger().clock;
        assert_eq!((clock.handover, clock.paused), (None, BTreeSet::new()), "{why}");
        node.restore(false);
        assert_eq!(node.asked(), [], "{why}: once");
    }
}

#[test]
fn a_unit_that_does_not_start_is_told_and_not_forgotten() {
    let node = Node::new(&[paused("a.service"), paused("b.service")]);
    node.refuses.borrow_mut().insert(start("a.service"));
    let account = node.restore(false);
    let [left] = &account.left[..] else { panic!("{account:?}") };
    assert_eq!(left.what, "a.service was not started again");
    assert!(!node.has(PIN), "the rest is done");
    assert_eq!(node.ledger().clock.paused, BTreeSet::from(["a.service".to_owned()]));
    node.refuses.take();
    node.asked();
    assert_eq!(node.restore(false).left, []);
    assert_eq!(node.asked(), [start("a.service")]);
}

#[test]
fn nobody_is_started_beside_an_sfptpd_that_may_run() {
    let taken = || Node::new(&[handed(Keeper::Sfptpd, &["chronyd.service"])]);
    // It has a configuration of its own: nothing of ours says which unit runs it.
    let node = taken();
    for path in [DROP_IN, "run/onloadd/sfptpd.cfg", "run/onloadd/.sfptpd.cfg"] {
        fs::remove_file(node.place.path().join(path)).unwrap();
    }
    assert_eq!(node.restore(false).left, []);
    let asked = node.asked();
    assert_eq!(
        asked[..3],
        [stop("sfptpd.service"), stop("onloadd-sfptpd.service"), start("chronyd.service")]
    );
    // systemd is busy when it is told of the configuration.
    let node = taken();
    node.refuses.borrow_mut().insert(Request::ReloadUnits);
    assert_eq!(node.restore(false).left.len(), 1);
    assert_eq!(node.asked()[..2], [stop("sfptpd.service"), stop("onloadd-sfptpd.service")]);
    // It does not stop: chronyd waits, the ledger remembers, and the second run knows whom to stop.
    let node = taken();
    node.refuses.borrow_mut().insert(stop("sfptpd.service"));
    let account = node.restore(true);
    let said: Vec<_> = account.left.iter().map(|left| left.what.as_str()).collect();
    assert_eq!(said, ["sfptpd.service was not stopped", "the ledger and the releases stayed"]);
    assert!(!node.asked().contains(&start("chronyd.service")) && node.has(STATE));
    node.refuses.take();
    assert_eq!(node.restore(true).left, []);
    assert!(node.asked().contains(&start("chronyd.service")) && !node.has(STATE));
}

#[test]
fn a_configuration_that_does_not_read_is_said() {
    let node = Node::new(&[]);
    let order = Order { unread: Some("line 1: no".to_owned()), ..node.order(false) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let account = runtime.block_on(restore(&order, &async |_| Ok(())));
    let [left] = &account.left[..] else { panic!("{account:?}") };
    assert_eq!(
        (left.what.as_str(), left.why.as_str()),
        ("the configuration was not heeded", "line 1: no")
    );
    assert!(!node.has(PIN), "the rest is done");
}

#[test]
fn beside_a_daemon_nothing_is_done() {
    let node = Node::new(&[]);
    let _daemon = LedgerFile::open(&node.order(false).state.unwrap()).unwrap();
    let account = node.restore(true);
    let [left] = &account.left[..] else { panic!("{account:?}") };
    assert_eq!((left.what.as_str(), left.fix.as_str()), ("nothing was taken back", RUNS));
    assert!(OURS.iter().all(|(path, _)| node.has(path)));
}

#[test]
fn a_ledger_that_does_not_read_is_left_and_said() {
    let node = Node::new(&[]);
    let path = format!("{STATE}/ledger.json");
    node.put(&path, "{\"onloadd-ledger\":99}\n");
    let account = node.restore(false);
    let [left] = &account.left[..] else { panic!("{account:?}") };
    assert!(left.why.contains("not known to this version"), "{left:?}");
    assert!(!node.has(PIN), "the rest is done");
    let now = fs::read_to_string(node.place.path().join(&path)).unwrap();
    assert_eq!(now, "{\"onloadd-ledger\":99}\n");
}

#[test]
fn a_file_that_only_is_called_like_ours_stays_and_is_told() {
    let node = Node::new(&[]);
    let odd = "etc/systemd/network/10-onloadd-mine.link";
    node.put(odd, "[Match]\n");
    let account = node.restore(false);
    let [left] = &account.left[..] else { panic!("{account:?}") };
    assert!(left.why.contains("10-onloadd-mine.link"), "{left:?}");
    assert!(node.has(odd) && !node.has(DROP_IN) && !node.has(CDI));
}

#[test]
fn a_purge_takes_the_state_and_nothing_beside_it() {
    let node = Node::new(&[]);
    assert_eq!(node.restore(true).left, []);
    assert!(!node.has(STATE));
    assert!(node.has("var/lib"));

    let node = Node::new(&[]);
    node.put(&format!("{STATE}/notes.txt"), "of an administrator");
    let account = node.restore(true);
    assert_eq!(account.left, []);
    let left = fs::read_dir(node.place.path().join(STATE)).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    let told = account.stays.iter().filter(|line| line.contains("not empty")).count();
    assert_eq!(told, 1, "{account:?}");
}

#[test]
fn a_machine_that_onloadd_never_ran_on_has_nothing_of_it() {
    let place = TempDir::new().unwrap();
    let node = Node { place, asked: RefCell::default(), refuses: RefCell::default() };
    assert_eq!(node.restore(true), Account::default());
    assert_eq!(node.asked(), []);
    assert!(fs::read_dir(node.place.path()).unwrap().next().is_none(), "and gets nothing");
}

#[test]
fn nothing_is_taken_back_behind_links_of_anothers_root() {
    let outside = Node::new(&[paused("ptp4l.service")]);
    let out = outside.place.path();
    for path in [
        "etc",
        "etc/systemd",
        "run",
        "run/systemd",
        "run/onloadd",
        "run/cdi",
        "var",
        "var/lib/onloadd",
    ] {
        let root = TempDir::new().unwrap();
        let link = root.path().join(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(out.join(path), &link).unwrap();
        let node = Node { place: root, asked: RefCell::default(), refuses: RefCell::default() };
        node.restore(true);
        assert_eq!(node.asked(), [], "{path}");
        for (path, _) in OURS.iter().chain(&OTHERS) {
            assert!(outside.has(path), "{path}");
        }
        assert_eq!(outside.ledger().clock.paused.len(), 1, "{path}");
        assert!(outside.has(&format!("{STATE}/releases/9.2.1/lib/modules/a.ko")), "{path}");
    }
    // Nor behind one in the place of a file of the ledger.
    let node = Node::new(&[]);
    for name in ledger_file::FILES {
        let path = node.place.path().join(STATE).join(name);
        fs::remove_file(&path).ok();
        std::os::unix::fs::symlink(out.join("new"), &path).unwrap();
    }
    node.restore(false);
    assert!(!outside.has("new"));
}
