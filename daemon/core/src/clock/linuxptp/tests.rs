//! Frames as ptp4l sends them.

use super::*;

const IDENTITY: [u8; 8] = [0x02, 0xdd, 0xff, 0xff, 0xfe, 0xa3, 0x18, 0x69];
const MASTER: [u8; 8] = [0xfa, 0xb0, 0x43, 0xff, 0xfe, 0x48, 0xda, 0x16];

fn answer(port: u16, kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x0d, 0x02];
    frame.extend(u16::try_from(54 + value.len()).unwrap().to_be_bytes());
    frame.extend([0; 16]);
    frame.extend(IDENTITY);
    frame.extend(port.to_be_bytes());
    frame.extend(7_u16.to_be_bytes());
    frame.extend([4, 0x7f]);
    frame.extend([0; 8]);
    // To port 1; hops, hops, RESPONSE.
    frame.extend([0, 1, 0, 0, 2, 0]);
    frame.extend(kind.to_be_bytes());
    frame.extend(u16::try_from(2 + value.len()).unwrap().to_be_bytes());
    frame.extend(id.to_be_bytes());
    frame.extend(value);
    frame
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// What a slave of two ports says of everything.
fn everything() -> Vec<Vec<u8>> {
    let port = |number: u8| join(&[&IDENTITY, &[0, number]]);
    vec![
        answer(
            0,
            1,
            0x2000,
            &join(&[&[1, 0, 0, 2, 128, 255, 0xfe, 0xff, 0xff, 128], &IDENTITY, &[44, 0]]),
        ),
        answer(
            0,
            1,
            0x2001,
            &join(&[
                &[0, 1],
                &(-5_i64 << 16).to_be_bytes(),
                &(1234_i64 << 16 | 0x8000).to_be_bytes(),
            ]),
        ),
        answer(
            0,
            1,
            0x2002,
            &join(&[
                &MASTER,
                &[0, 1, 0, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 10, 6, 0x21, 0, 0, 128],
                &MASTER,
            ]),
        ),
        answer(0, 1, 0x2003, &[0, 37, 0b1100, 0x20]),
        answer(0, 1, 0xc000, &join(&[&(-42_i64).to_be_bytes(), &[0; 30], &[0, 0, 0, 1], &MASTER])),
        answer(1, 1, 0x2004, &join(&[&port(1), &[9, 0], &[0; 14]])),
        answer(2, 1, 0x2004, &join(&[&port(2), &[6, 0], &[0; 14]])),
        answer(1, 1, 0xc004, &join(&[&port(1), &[9, 1, 6], b"ens1f0"])),
        answer(2, 1, 0xc004, &join(&[&port(2), &[6, 0, 2], b"vb"])),
        answer(1, 1, 0xc009, &join(&[&port(1), &3_i32.to_be_bytes(), &[0, 0]])),
        answer(2, 1, 0xc009, &join(&[&port(2), &(-1_i32).to_be_bytes(), &[0, 0]])),
    ]
}

#[test]
fn every_answer_finds_its_place() {
    let mut said = Ptp4l::default();
    for frame in everything() {
        let answer = parse(&frame).unwrap();
        assert_eq!(answer.sequence, 7);
        said.take(answer);
    }
    let expected = Ptp4l {
        clock_identity: "02ddff.fffe.a31869".to_owned(),
        domain: 44,
        steps_removed: 1,
        master_offset_ns: Some(-42),
        path_delay_ns: Some(1234),
        has_grandmaster: true,
        grandmaster: "fab043.fffe.48da16".to_owned(),
        grandmaster_class: 6,
        utc_offset: Some(37),
        ports: vec![
            PtpPort {
                state: PortState::Slave,
                interface: Some("ens1f0".to_owned()),
                hardware_stamps: Some(true),
                hardware_clock: Some(3),
            },
            PtpPort {
                state: PortState::Master,
                interface: Some("vb".to_owned()),
                hardware_stamps: Some(false),
                hardware_clock: None,
            },
        ],
    };
    assert_eq!(said, expected);
}

#[test]
fn a_question_is_a_whole_message() {
    let question = Question {
        id: ManagementId::TimeStatus,
        sequence: 0x0102,
        domain: 24,
        transport_specific: 1,
        port: None,
    };
    let frame = request(&question);
    assert_eq!((frame.len(), &frame[..6]), (54, &[0x1d, 2, 0, 54, 24, 0][..]));
    assert_eq!(&frame[30..34], [1, 2, 4, 0x7f]);
    // To all, GET, and the id alone.
    assert_eq!(&frame[34..48], [&[0xff; 10][..], &[0; 4]].concat());
    assert_eq!(&frame[48..], [0, 1, 0, 2, 0xc0, 0]);
    let one = request(&Question { port: Some(2), ..question });
    assert_eq!(&one[42..44], [0, 2]);
    assert!(parse(&frame).is_err(), "it is no answer");
}

#[test]
fn what_an_older_version_does_not_know_is_no_damage() {
    let refused = answer(0, 2, 2, &[0xc0, 9, 0, 0, 0, 0]);
    let refused = parse(&refused).unwrap();
    assert_eq!(refused.said, Said::Refused(2));
    let mut said = Ptp4l::default();
    said.take(refused);
    assert_eq!(said, Ptp4l::default());
}

#[test]
fn answers_of_ports_that_are_not_told_of_are_dropped() {
    let mut said = Ptp4l::default();
    let mut many = answer(
        0,
        1,
        0x2000,
        &[&[1, 0, 0xff, 0xff, 1, 1, 1, 1, 1, 1], &IDENTITY[..], &[0, 0]].concat(),
    );
    let state = everything().remove(6);
    said.take(parse(&state).unwrap());
    assert!(said.ports.is_empty());
    said.take(parse(&many).unwrap());
    assert_eq!(said.ports.len(), usize::from(MOST_PORTS));
    many.truncate(53);
    assert!(parse(&many).is_err(), "cut off");
}

#[test]
fn bytes_of_any_kind_are_taken_or_refused() {
    // A small generator with a fixed seed, as the crate has no dependency for it.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let mut taken = 0;
    for round in 0..20_000 {
        let mut frame = everything().swap_remove(round % 11);
        for _ in 0..next() % 4 {
            let at = next() % frame.len();
            frame[at] = next().to_le_bytes()[0];
        }
        if next() % 3 == 0 {
            frame.truncate(next() % (frame.len() + 1));
        }
        if let Ok(answer) = parse(&frame) {
            Ptp4l::default().take(answer);
            taken += 1;
        }
    }
    assert!(taken > 1000, "{taken}");
}

#[test]
fn states_have_their_numbers() {
    assert_eq!(PortState::of(9), Some(PortState::Slave));
    assert_eq!((PortState::of(0), PortState::of(11)), (None, None));
}
