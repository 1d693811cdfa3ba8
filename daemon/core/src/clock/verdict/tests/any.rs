//! Nodes by chance: nothing panics, and what is good has somebody who steers it.

use super::*;
use crate::clock::conflict::{self, ConflictContext, Intended};
use crate::config::ClockMode;

/// Enough to come by every combination of two programs and a spoiled word of theirs, in a second.
const CASES: u64 = 3_000;
const NUMBERS: [i64; 9] =
    [0, 1, -1, 999_999, -1_000_001, 37_000_000_000, -7_200_000_000_000, i64::MAX, i64::MIN];
const WORDS: [&str; 12] = [
    "",
    "system",
    "CLOCK_REALTIME",
    "/dev/ptp0",
    "ptp1",
    "phc0(eth4)",
    "phc",
    "eth4",
    "ptp-slave",
    "freerunning-clock",
    "7F7F0101",
    "\u{1}\u{fffd}µ",
];
const STATES: [PortState; 10] = [
    PortState::Initializing,
    PortState::Faulty,
    PortState::Disabled,
    PortState::Listening,
    PortState::PreMaster,
    PortState::Master,
    PortState::Passive,
    PortState::Uncalibrated,
    PortState::Slave,
    PortState::GrandMaster,
];

/// Numbers that follow from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % limit
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn is(&mut self) -> bool {
        self.below(2) == 0
    }

    fn word(&mut self) -> String {
        self.of(&WORDS).to_owned()
    }

    fn words(&mut self) -> BTreeSet<String> {
        (0..self.below(3)).map(|_| self.word()).collect()
    }

    fn number(&mut self) -> Option<i64> {
        let number = self.of(&NUMBERS);
        Some(number).filter(|_| self.below(4) > 0)
    }

    fn pid(&mut self) -> u32 {
        u32::try_from(800 + self.below(6)).unwrap()
    }

    /// Mostly known.
    fn read<T>(&mut self, value: T) -> Reading<T> {
        match self.below(8) {
            0 => Absent,
            1 => denied(),
            _ => Known(value),
        }
    }

    fn clocks(&mut self) -> Clocks {
        let mut clocks = self.of(&[bare, sfptpd_node, chrony_node, linuxptp_node])();
        for _ in 0..self.below(4) {
            let mut one = daemon(self.of(&DaemonKind::ALL), &self.word());
            one.container = Some(self.word()).filter(|word| word.contains("ptp"));
            one.told = Told {
                leaves_system_clock: self.is(),
                steers: self.words(),
                source: Some(self.word()),
                interfaces: self.words(),
                automatic: self.is(),
                ..Told::default()
            };
            let pid = self.pid();
            run(&mut clocks, pid, one);
        }
        for index in 0..2 {
            let clock = HardwareClock {
                name: self.read("sfc".to_owned()),
                ahead_ns: self.number().into(),
                window_ns: self.read(u64::MAX),
                users: BTreeSet::from([self.pid()]),
                lock: Known(self.pid()),
            };
            if self.is() {
                clocks.hardware.insert(index, clock);
            }
        }
        if self.is() {
            clocks.lock = Known(self.pid());
        }
        if let Known(said) = &mut clocks.sfptpd {
            let sample = Sample {
                instance: self.word(),
                slave: self.word(),
                disciplining: self.is(),
                in_sync: self.is(),
                alarms: self.words(),
                offset_ns: self.number(),
                ..Sample::default()
            };
            said.samples = self.read(BTreeMap::from([("any".to_owned(), sample)]));
            let state = State {
                state: self.word(),
                control_flags: words(&["selected"]),
                clock: Some(self.word()),
                interface: Some(self.word()),
                offset_ns: self.number(),
                ..State::default()
            };
            let (name, state) = (self.word(), self.read(state));
            said.states.insert(name, state);
        }
        let port = PtpPort {
            hardware_stamps: Some(true),
            state: self.of(&STATES),
            interface: Some(self.word()),
            hardware_clock: self.of(&[None, Some(0), Some(1), Some(u32::MAX)]),
        };
        let said = Ptp4l {
            master_offset_ns: self.number(),
            has_grandmaster: self.is(),
            utc_offset: self.of(&[None, Some(37), Some(i16::MIN)]),
            ports: vec![port],
            ..Ptp4l::default()
        };
        let (path, said) = (self.word(), self.read(said));
        clocks.ptp4l.insert(path, said);
        if self.below(16) == 0 {
            clocks.daemons = denied();
        }
        clocks
    }
}

#[test]
fn nothing_panics_and_what_is_good_is_steered_by_a_process_that_runs() {
    for seed in 0..CASES {
        let mut chance = Chance(seed);
        let clocks = chance.clocks();
        let all =
            [system(&clocks, BOUND), hardware(&clocks, 0, BOUND), hardware(&clocks, 1, BOUND)];
        for verdict in all {
            assert!(!verdict.message.is_empty() && !verdict.reason.is_empty(), "{seed}");
            match verdict.standing {
                Standing::Good => {
                    let by = verdict.steered_by.expect("somebody");
                    let runs = clocks.daemons.known().is_some_and(|all| all.contains_key(&by.pid));
                    assert!(runs && verdict.alarms.is_empty(), "{seed}");
                }
                Standing::Free => assert_eq!(verdict.steered_by, None, "{seed}"),
                Standing::Bad | Standing::Unknown => {}
            }
        }
        let intended = Intended {
            readonly: chance.words(),
            follows: chance.is(),
            steers_system_clock: chance.is(),
        };
        let context = ConflictContext {
            mode: chance.of(&[ClockMode::Observe, ClockMode::Manage]),
            configured: Some(&intended).filter(|_| chance.is()),
            unit: Some("sfptpd.service").filter(|_| chance.is()),
        };
        let found = conflict::find(&clocks, &context);
        assert_eq!(found, conflict::find(&clocks, &context), "{seed}");
        for one in found {
            assert!(!one.message.is_empty() && !one.fix.is_empty(), "{seed}: {one:?}");
        }
    }
}
