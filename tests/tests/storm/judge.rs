//! Whether a history can be that of a daemon which keeps its promises.
//!
//! Only what is certain counts: a holder has a device from the answer on until it begins to give it
//! back. Slots are interchangeable, so a local holder whose device the kubelet asks for may be moved
//! to another one; that is the one way in which an answer may cease to be true.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::history::{Asked, At, Fact, Shown, Span};

/// How far what is shown may be behind what was answered: grants are shown together, up to 100 ms
/// later, and the time that a busy machine takes for that; measured are 30 ms with others at work.
const LAG: Duration = Duration::from_millis(500);
/// A kubelet's call that nobody knows the devices of took effect at most so long after it began.
const EFFECT: Duration = Duration::from_secs(2);
/// A call that was cut off was so by something that happened at most so long before its end.
const CUT: Duration = Duration::from_secs(3);
/// What an Allocate may be refused with: FAILED_PRECONDITION, as when the driver is away.
const REFUSED: i32 = 9;

/// Somebody who certainly had a device.
#[derive(Clone, Copy, Debug)]
struct Holder<'a> {
    who: Who<'a>,
    device: &'a str,
    granted: Span,
    /// When it began to give it back; never.
    until: Option<At>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who<'a> {
    Pod(u64),
    Local(&'a str),
}

impl Holder<'_> {
    /// Whether it surely had the device at some moment of a span, or throughout it.
    fn through(&self, from: At, to: At) -> bool {
        self.granted.answered <= from && self.until.is_none_or(|until| until >= to)
    }
}

/// What a kubelet asked for, answered or not.
struct Claims<'a> {
    named: BTreeMap<&'a str, Vec<Span>>,
    /// Devices nobody knows the names of.
    unnamed: Vec<(At, usize)>,
}

impl Claims<'_> {
    /// Whether a kubelet may have asked for a device in this time.
    fn may(&self, device: &str, from: At, to: At) -> bool {
        let named = self.named.get(device);
        named.is_some_and(|all| all.iter().any(|one| one.asked <= to && one.answered >= from))
            || self.unnamed.iter().any(|(asked, _)| *asked <= to && *asked + EFFECT >= from)
    }
}

/// What is wrong with a history of a pool of so many devices; empty when nothing is.
pub fn violations(facts: &[Fact], slots: usize) -> Vec<String> {
    let holders = holders(facts);
    let claims = claims(facts);
    let mut wrong = answers(facts, slots);
    wrong.extend(two_holders(&holders, &claims));
    for fact in facts {
        if let Fact::Listed { span, shown } = fact {
            let found = listing(facts, &holders, &claims, *span, shown);
            wrong.extend(found.into_iter().map(|text| format!("{fact}: {text}")));
        }
    }
    wrong
}

fn holders(facts: &[Fact]) -> Vec<Holder<'_>> {
    let (mut pods_end, mut locals_end) = (BTreeMap::new(), BTreeMap::new());
    for fact in facts {
        if let Fact::PodEnded { at, pod } = fact {
            pods_end.insert(*pod, *at);
        } else if let Fact::LocalFreed { span, id, .. } = fact {
            locals_end.insert(id.as_str(), span.asked);
        }
    }
    let mut holders = Vec::new();
    for fact in facts {
        if let Fact::PodGranted { span, pod, devices } = fact {
            let (who, until) = (Who::Pod(*pod), pods_end.get(pod).copied());
            let holder = |device| Holder { who, device, granted: *span, until };
            holders.extend(devices.iter().map(|device| holder(device)));
        } else if let Fact::LocalGranted { span, id, device } = fact {
            let until = locals_end.get(id.as_str()).copied();
            holders.push(Holder { who: Who::Local(id), device, granted: *span, until });
        }
    }
    holders
}

fn claims(facts: &[Fact]) -> Claims<'_> {
    let mut claims = Claims { named: BTreeMap::new(), unnamed: Vec::new() };
    for fact in facts {
        if let Fact::PodGranted { span, devices, .. }
        | Fact::PodInDoubt { span, devices: Asked::These(devices) } = fact
        {
            for device in devices {
                claims.named.entry(device).or_default().push(*span);
            }
        } else if let Fact::PodInDoubt { span, devices: Asked::SoMany(count) } = fact {
            claims.unnamed.push((span.asked, *count));
        }
    }
    claims
}

/// What can be told from one answer alone.
fn answers(facts: &[Fact], slots: usize) -> Vec<String> {
    let cuts: Vec<At> =
        facts
            .iter()
            .filter_map(|fact| {
                if let Fact::Happened { at, cuts: true, .. } = fact { Some(*at) } else { None }
            })
            .collect();
    let is_wrong = |fact: &&Fact| match fact {
        Fact::Unanswered { .. } => true,
        Fact::PodRefused { code, .. } => *code != REFUSED,
        Fact::PodInDoubt { span, .. } => {
            !cuts.iter().any(|at| *at <= span.answered && *at + CUT >= span.answered)
        }
        Fact::Capacity { listed } => *listed != slots,
        Fact::PodGranted { .. }
        | Fact::PodEnded { .. }
        | Fact::LocalGranted { .. }
        | Fact::LocalInDoubt { .. }
        | Fact::LocalFreed { .. }
        | Fact::Listed { .. }
        | Fact::Happened { .. } => false,
    };
    facts.iter().filter(is_wrong).map(|fact| format!("must not be: {fact}")).collect()
}

fn two_holders(holders: &[Holder<'_>], claims: &Claims<'_>) -> Vec<String> {
    let mut by_device: BTreeMap<&str, Vec<&Holder<'_>>> = BTreeMap::new();
    for holder in holders {
        by_device.entry(holder.device).or_default().push(holder);
    }
    let mut wrong = Vec::new();
    for (device, mut holders) in by_device {
        holders.sort_by_key(|holder| holder.granted.answered);
        for (at, late) in holders.iter().enumerate() {
            for early in &holders[..at] {
                if early.through(early.granted.answered, late.granted.answered)
                    && clash(early, late, claims)
                {
                    wrong.push(format!(
                        "{device} is had twice: by {:?} since {} and by {:?} since {}",
                        early.who, early.granted, late.who, late.granted
                    ));
                }
            }
        }
    }
    wrong
}

/// Whether `late` could not be given what `early` still had.
fn clash(early: &Holder<'_>, late: &Holder<'_>, claims: &Claims<'_>) -> bool {
    match (early.who, late.who) {
        (Who::Pod(_), Who::Pod(_)) => true,
        // It may have been granted before the pod came, and told of it after.
        (Who::Pod(_), Who::Local(_)) => early.granted.answered <= late.granted.asked,
        // Moved, or the next listing shows both.
        (Who::Local(_), Who::Pod(_)) => false,
        (Who::Local(_), Who::Local(_)) => {
            !claims.may(late.device, early.granted.asked, late.granted.answered)
        }
    }
}

/// One listing beside all that was answered before it.
fn listing(
    facts: &[Fact],
    holders: &[Holder<'_>],
    claims: &Claims<'_>,
    span: Span,
    shown: &[Shown],
) -> Vec<String> {
    let mut found = Vec::new();
    let by_device: BTreeMap<&str, &Shown> =
        shown.iter().map(|one| (one.device.as_str(), one)).collect();
    let by_id: BTreeMap<&str, &Shown> = shown.iter().map(|one| (one.id.as_str(), one)).collect();
    if by_device.len() != shown.len() || by_id.len() != shown.len() {
        found.push("a device or an allocation stands there twice".to_owned());
    }
    let Some(settled) = span.asked.checked_sub(LAG) else { return found };
    for holder in holders.iter().filter(|one| one.through(settled, span.answered)) {
        match holder.who {
            Who::Pod(pod) if by_device.get(holder.device).is_none_or(|one| one.local) => {
                let text = format!("pod {pod} has {}, which is not known", holder.device);
                found.push(text);
            }
            Who::Pod(_) => {}
            Who::Local(id) => match by_id.get(id).filter(|one| one.local) {
                None => found.push(format!("{id} is lost, with {}", holder.device)),
                Some(one) if one.device == holder.device => {}
                Some(one) => {
                    if !claims.may(holder.device, holder.granted.asked, span.answered) {
                        let (was, is) = (holder.device, &one.device);
                        let text = format!("{id} was moved from {was} to {is} for nobody");
                        found.push(text);
                    }
                }
            },
        }
    }
    unexplained(facts, claims, span, settled, shown, &mut found);
    found
}

/// How long after its answer something was lent that a listing did not have yet.
pub fn latest(facts: &[Fact]) -> Duration {
    let holders = holders(facts);
    let listings = facts.iter().filter_map(|fact| {
        if let Fact::Listed { span, shown } = fact { Some((span, shown)) } else { None }
    });
    let late = listings.flat_map(|(span, shown)| {
        let has = |one: &Holder<'_>| match one.who {
            Who::Pod(_) => shown.iter().any(|found| found.device == one.device && !found.local),
            Who::Local(id) => shown.iter().any(|found| found.id == id),
        };
        let missing = holders.iter().filter(|one| one.through(span.asked, span.answered));
        let missing = missing.filter(move |one| !has(one));
        missing.map(|one| span.asked.saturating_sub(one.granted.answered)).max()
    });
    late.max().unwrap_or_default()
}

/// What is shown and nobody was told of, beyond what those who heard nothing may have got.
fn unexplained(
    facts: &[Fact],
    claims: &Claims<'_>,
    span: Span,
    settled: At,
    shown: &[Shown],
    found: &mut Vec<String>,
) {
    let (mut told, mut freed, mut in_doubt) = (BTreeSet::new(), BTreeSet::new(), 0);
    for fact in facts {
        if let Fact::LocalGranted { id, .. } = fact {
            told.insert(id.as_str());
        } else if let Fact::LocalFreed { span, id, heard: true } = fact {
            freed.extend((span.answered <= settled).then_some(id.as_str()));
        } else if let Fact::LocalInDoubt { asked } = fact {
            in_doubt += usize::from(*asked <= span.answered);
        }
    }
    let local = || shown.iter().filter(|one| one.local);
    for one in local().filter(|one| freed.contains(one.id.as_str())) {
        found.push(format!("{} was given back and is still there", one.id));
    }
    let strangers = local().filter(|one| !told.contains(one.id.as_str())).count();
    if strangers > in_doubt {
        found.push(format!("{strangers} local allocations are nobody's"));
    }
    let asked_for = |device: &str| {
        let spans = claims.named.get(device);
        spans.is_some_and(|spans| spans.iter().any(|one| one.asked <= span.answered))
    };
    let strangers = shown.iter().filter(|one| !one.local && !asked_for(&one.device)).count();
    let unnamed: usize =
        claims.unnamed.iter().filter(|(at, _)| *at <= span.answered).map(|(_, count)| count).sum();
    if strangers > unnamed {
        found.push(format!("{strangers} devices count as a container's, and no kubelet asked"));
    }
}
