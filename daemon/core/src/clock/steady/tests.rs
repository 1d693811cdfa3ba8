//! Rows of looks as tables, and at random.

use super::*;
use crate::clock::verdict::reason;

const PACE: Duration = Duration::from_secs(10);

fn look(standing: Standing, reason: &str) -> Verdict {
    Verdict { standing, reason: reason.to_owned(), ..Verdict::default() }
}

/// One letter for each look: `g`ood, an `o`ffset, not `i`n sync, an `a`larm, `f`ree, `u`nknown.
fn verdict(letter: char) -> Verdict {
    match letter {
        'g' => look(Standing::Good, reason::SYNCHRONISED),
        'o' => look(Standing::Bad, reason::OFFSET_TOO_LARGE),
        'i' => look(Standing::Bad, reason::NOT_IN_SYNC),
        'a' => Verdict {
            alarms: vec!["no-sync-pkts".to_owned()],
            ..look(Standing::Bad, reason::OFFSET_TOO_LARGE)
        },
        'f' => look(Standing::Free, reason::NOT_STEERED),
        'u' => look(Standing::Unknown, reason::UNREADABLE),
        other => panic!("no look is called {other}"),
    }
}

/// What the clock counted as after each look: `T`rue, `F`alse, `?`.
fn judged(looks: &str, pace: Duration) -> String {
    let mut steady = Steady::default();
    let mut now = Moment(1_000_000);
    let mut said = String::new();
    for letter in looks.chars() {
        now = now + pace;
        let status = steady.judge(now, &verdict(letter), pace);
        assert_eq!(status, steady.status());
        said.push(match status {
            Status::True => 'T',
            Status::False => 'F',
            Status::Unknown => '?',
        });
    }
    said
}

#[test]
fn a_row_of_looks_adds_up() {
    let rows = [
        ("ggg", "??T", "three looks over 20 s"),
        ("gggogg", "??TTTT", "one offset passes"),
        ("gggoog", "??TTFF", "two do not"),
        ("gggiigggg", "??TTFFFTT", "and it takes three good looks again"),
        ("gggogogogo", "??TTTTTTTT", "offsets apart from each other pass"),
        ("ggga", "??TF", "an alarm counts at once"),
        ("gggf", "??TF", "so does nobody who steers"),
        ("f", "F", "from the beginning"),
        ("o", "?", "an offset at the beginning says little"),
        ("oo", "?F", "two say it"),
        ("ggguuug", "??TTTTT", "three looks may tell nothing"),
        ("ggguuuu", "??TTTT?", "not four"),
        ("ggguuuuggg", "??TTTT???T", "after which it begins anew"),
        ("ffuuuu", "FFFFF?", "nor is a loss known for ever"),
        ("gguguugg", "?????", "looks that tell nothing add nothing"),
        ("gggouo", "??TTTF", "and take nothing away"),
        ("gogogogogo", "??????????", "good now and then is never good"),
        ("", "", "no look at all"),
    ];
    for (looks, said, label) in rows {
        let all = judged(looks, PACE);
        assert!(all.starts_with(said), "{label}: {looks}: {all}, not {said}");
    }
}

#[test]
fn at_a_quick_pace_time_decides_and_not_the_number_of_looks() {
    let all = judged(&"g".repeat(30), Duration::from_secs(1));
    assert_eq!(all.find('T'), Some(20), "{all}");
    let all = judged(&"g".repeat(30), Duration::from_millis(100));
    assert_eq!(all.find('T'), None, "{all}");
}

#[test]
fn a_burst_of_looks_is_one_look() {
    let mut steady = Steady::default();
    let mut now = Moment(0);
    for _ in 0..3 {
        now = now + PACE;
        steady.judge(now, &verdict('g'), PACE);
    }
    for letter in ['o', 'u'] {
        for _ in 0..50 {
            now = now + Duration::from_millis(1);
            assert_eq!(steady.judge(now, &verdict(letter), PACE), Status::True, "{letter}");
        }
    }
}

#[test]
fn a_machine_that_slept_neither_gains_nor_loses() {
    let night = Duration::from_secs(8 * 3_600);
    // A look before and one after say nothing of the night.
    let mut steady = Steady::default();
    steady.judge(Moment(0), &verdict('g'), PACE);
    assert_eq!(steady.judge(Moment(0) + night, &verdict('g'), PACE), Status::Unknown);
    // One that was good stays so over the night, and over the first packet after it.
    let mut steady = Steady::default();
    let mut now = Moment(0);
    for _ in 0..3 {
        now = now + PACE;
        steady.judge(now, &verdict('g'), PACE);
    }
    now = now + night;
    for letter in ['o', 'g'] {
        now = now + PACE;
        assert_eq!(steady.judge(now, &verdict(letter), PACE), Status::True, "{letter}");
    }
    let mut pulse = Pulse::default();
    pulse.seen(Moment(0), 7, PACE);
    assert_eq!(pulse.seen(Moment(0) + night, 7, PACE), PACE * 2, "it did not hang all night");
}

#[test]
fn silence_adds_up_until_something_new_is_said() {
    let mut pulse = Pulse::default();
    let rows =
        [(0, 1, 0), (10, 1, 10), (20, 1, 20), (25, 1, 25), (35, 2, 0), (45, 2, 10), (500, 2, 30)];
    for (at, mark, quiet) in rows {
        let said = pulse.seen(Moment(at * 1_000), mark, PACE);
        assert_eq!(said, Duration::from_secs(quiet), "{at} s");
    }
    // Its mark is compared with itself alone: one that goes back is as new as any.
    assert_eq!(pulse.seen(Moment(501_000), 1, PACE), Duration::ZERO);
    // Time that goes back, as it never does, is no time.
    assert_eq!(pulse.seen(Moment(3), 1, PACE), Duration::ZERO);
    assert_eq!(
        pulse.seen(Moment(u64::MAX), 1, Duration::MAX).as_millis(),
        u128::from(u64::MAX) - 3
    );
}

/// Numbers in a row that looks like chance (Knuth's MMIX constants).
fn dice(state: &mut u64, sides: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % sides
}

#[test]
fn at_random_it_never_turns_faster_than_it_may() {
    for seed in 0..400 {
        let (mut state, mut steady, mut now) = (seed, Steady::default(), Moment(0));
        let (mut before, mut lost_at, mut offsets) = (Status::Unknown, None, 0_u32);
        for _ in 0..200 {
            let letter =
                ['g', 'g', 'g', 'g', 'g', 'g', 'o', 'i', 'a', 'f', 'u'][dice(&mut state, 11)];
            let gap = [1, 400, 10_000, 10_000, 10_000, 86_400_000][dice(&mut state, 6)];
            now = now + Duration::from_millis(gap);
            let status = steady.judge(now, &verdict(letter), PACE);
            offsets = match letter {
                'o' | 'i' => offsets + 1,
                'u' => offsets,
                _ => 0,
            };
            match (before, status) {
                (Status::False | Status::Unknown, Status::True) => {
                    let since = lost_at.map_or(GOOD_FOR, |lost| now.since(lost));
                    assert!(letter == 'g' && since >= GOOD_FOR, "{seed}: back after {since:?}");
                }
                (Status::True, Status::False) => {
                    let at_once = letter == 'a' || letter == 'f';
                    assert!(at_once || offsets >= BAD_LOOKS, "{seed}: lost by {letter}");
                }
                (_, Status::Unknown) => assert!(
                    matches!(letter, 'u') || before == Status::Unknown,
                    "{seed}: forgotten by {letter}"
                ),
                (_, Status::True | Status::False) => {}
            }
            if matches!(letter, 'o' | 'i' | 'a' | 'f') {
                lost_at = Some(now);
            }
            before = status;
        }
    }
}
