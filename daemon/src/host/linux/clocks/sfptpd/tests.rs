//! Files and answers made up as sfptpd makes them, and some as it never would.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::LocalSet;

use super::super::super::root::tests::root_with;
use super::*;

const STATE: &str = "var/lib/sfptpd/state-ptp1";

fn on_a_thread<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work)
}

fn line(second: u32, slave: &str, offset: i64) -> String {
    format!(
        "{{\"instance\":\"ptp1\",\"time\":\"2026-01-01 00:00:{second:02}.000000\",\"clock-master\":\
         {{\"name\":\"gm\"}},\"clock-slave\":{{\"name\":\"{slave}\"}},\"is-disciplining\":true,\
         \"in-sync\":true,\"alarms\":[],\"stats\":{{\"offset\":{offset}.25}}}}\n"
    )
}

/// Answers every connection with the same bytes, or with none.
fn answering(path: &Path, answer: Option<Vec<u8>>, asked: Rc<Cell<u32>>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    tokio::task::spawn_local(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            asked.set(asked.get() + 1);
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /peek/"), "samples are taken from nobody");
            match &answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => silent.push(stream),
            }
        }
    });
}

fn http(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-type: x\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

#[test]
fn nothing_is_there_where_it_has_left_nothing() {
    let (_place, root) = root_with(&[("var/lib/other/x", ""), ("etc/sfptpd.conf", "[general]\n")]);
    let read = on_a_thread(read(&root, &Followed::default(), Some("/etc/sfptpd.conf")));
    assert_eq!(read, Reading::Absent);
}

#[test]
fn its_state_is_read_from_where_its_configuration_says() {
    let (_place, root) = root_with(&[
        ("etc/x.conf", "[general]\nstate-path /srv/time-%U\n"),
        ("srv/time-0000/version", "3.9.0.1007\n"),
        ("srv/time-0000/state-ptp1", "state: ptp-slave\nin-sync: 1\n"),
        ("srv/time-0000/topology", "drawn\n"),
    ]);
    let read = on_a_thread(read(&root, &Followed::default(), Some("/etc/x.conf")));
    let found = read.into_known().unwrap();
    assert_eq!(found.version, Reading::Known("3.9.0.1007".to_owned()));
    assert_eq!(found.states["ptp1"].known().unwrap().state, "ptp-slave");
    assert_eq!(found.topology, Reading::Known("drawn\n".to_owned()));
    assert_eq!(
        (found.samples, found.control, found.metrics),
        (Reading::Absent, Reading::Absent, false)
    );
}

#[test]
fn statistics_come_from_the_socket_and_are_kept_where_another_took_them() {
    let (place, root) = root_with(&[(STATE, "state: ptp-slave\n")]);
    let path = place.path().join("run/sfptpd/metrics.sock");
    on_a_thread(async {
        let followed = Followed::default();
        let asked = Rc::new(Cell::new(0));
        let lines = line(1, "phc0", 5) + &line(2, "phc0", -7) + &line(2, "system", 9);
        answering(&path, Some(http(&lines)), Rc::clone(&asked));
        let first = read(&root, &followed, None).await.into_known().unwrap();
        assert!(first.metrics);
        let samples = first.samples.known().unwrap();
        assert_eq!(samples["ptp1->phc0"].offset_ns, Some(-7), "the newest");
        assert_eq!(samples["ptp1->system"].offset_ns, Some(9));
        let again = read(&root, &followed, None).await.into_known().unwrap();
        assert_eq!(again.pulse, first.pulse, "nothing new was said");

        fs::remove_file(&path).unwrap();
        answering(&path, Some(http("")), Rc::clone(&asked));
        let taken = read(&root, &followed, None).await.into_known().unwrap();
        assert_eq!((taken.samples, taken.pulse), (first.samples, first.pulse));
        fs::remove_file(&path).unwrap();
        answering(&path, Some(http(&line(3, "phc0", 1))), Rc::clone(&asked));
        let newer = read(&root, &followed, None).await.into_known().unwrap();
        assert_ne!(newer.pulse, first.pulse);
        assert_eq!(newer.samples.known().unwrap().len(), 2);
        for _ in 0..4 {
            read(&root, &followed, None).await;
        }
        let last = read(&root, &followed, None).await.into_known().unwrap();
        assert_eq!(last.samples.known().unwrap().len(), 1, "the other has gone");
        assert_eq!(asked.get(), 9);
    });
}

#[test]
fn one_that_hangs_says_nothing_new_and_keeps_no_look_waiting() {
    let (place, root) = root_with(&[(STATE, "state: ptp-slave\n")]);
    let path = place.path().join("run/sfptpd/metrics.sock");
    on_a_thread(async {
        let followed = Followed::default();
        let asked = Rc::new(Cell::new(0));
        answering(&path, Some(http(&line(1, "system", 5))), Rc::clone(&asked));
        let well = read(&root, &followed, None).await.into_known().unwrap();
        fs::remove_file(&path).unwrap();
        answering(&path, None, asked);
        let began = tokio::time::Instant::now();
        let hung = read(&root, &followed, None).await.into_known().unwrap();
        assert!(began.elapsed() < std::time::Duration::from_secs(2));
        assert!(hung.samples.why_not().unwrap().contains("no answer within 500 ms"), "{hung:?}");
        assert_eq!((hung.pulse, hung.metrics), (well.pulse, false));
    });
}

#[test]
fn without_a_socket_the_file_of_statistics_is_read_on() {
    let configuration = "[general]\njson_stats /var/log/sfptpd.json\nntp_key 1 secret\n";
    let (place, root) = root_with(&[
        ("var/lib/sfptpd/config", configuration),
        ("var/log/sfptpd.json", &line(1, "system", 5)),
    ]);
    on_a_thread(async {
        let followed = Followed::default();
        let first = read(&root, &followed, None).await.into_known().unwrap();
        assert_eq!(first.samples.known().unwrap()["ptp1->system"].offset_ns, Some(5));
        let same = read(&root, &followed, None).await.into_known().unwrap();
        assert_eq!(same, first, "remembered, though nothing was read");
        let log = place.path().join("var/log/sfptpd.json");
        fs::write(&log, line(1, "system", 5) + &line(2, "system", 6)).unwrap();
        let newer = read(&root, &followed, None).await.into_known().unwrap();
        assert_eq!(newer.samples.known().unwrap()["ptp1->system"].offset_ns, Some(6));
        assert_ne!(newer.pulse, first.pulse);
    });
}

#[test]
fn one_that_has_started_anew_is_not_judged_by_what_the_former_said() {
    let (place, root) = root_with(&[("var/lib/sfptpd/config", "[general]\n")]);
    let path = place.path().join("run/sfptpd/metrics.sock");
    on_a_thread(async {
        let followed = Followed::default();
        answering(&path, Some(http(&line(1, "system", 5))), Rc::default());
        let first = read(&root, &followed, None).await.into_known().unwrap();
        assert_eq!(first.samples.known().unwrap().len(), 1);
        fs::remove_file(&path).unwrap();
        answering(&path, Some(http("")), Rc::default());
        let config = place.path().join("var/lib/sfptpd/config");
        fs::remove_file(&config).unwrap();
        fs::write(config, "[general]\n").unwrap();
        let anew = read(&root, &followed, None).await.into_known().unwrap();
        assert!(anew.samples.known().unwrap().is_empty());
    });
}

#[test]
fn a_recording_reads_back_without_keys() {
    let configuration = "[general]\nrun_dir /run/t\n[ntp]\nntp_key 1 secret\n";
    let (place, root) = root_with(&[
        ("etc/x.conf", configuration),
        (STATE, "state: ptp-slave\n"),
        ("var/lib/sfptpd/config", configuration),
    ]);
    let path = place.path().join("run/t/metrics.sock");
    let into = tempfile::tempdir().unwrap();
    on_a_thread(async {
        answering(&path, Some(http(&line(1, "system", 5))), Rc::default());
        let followed = Followed::default();
        let look = read(&root, &followed, Some("/etc/x.conf"));
        let seen = root.record(into.path(), look).await.unwrap();
        let listed = fs::read_to_string(into.path().join(".capture")).unwrap();
        let special = super::super::super::capture::parse(&listed).unwrap();
        let captured = Dir::root(into.path(), special).unwrap();
        let again = read(&captured, &Followed::default(), Some("/etc/x.conf")).await;
        assert_eq!(again, seen);
        assert!(again.into_known().unwrap().metrics);
        let kept = fs::read_to_string(into.path().join("etc/x.conf")).unwrap();
        assert_eq!(kept, "run_dir /run/t");
    });
}
