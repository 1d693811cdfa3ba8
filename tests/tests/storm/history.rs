//! What was asked and answered in a storm, as those who asked saw it.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Time since the storm began.
pub type At = Duration;

/// From the question to the answer. What the answer tells of became so at some moment in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub asked: At,
    pub answered: At,
}

/// One thing that somebody outside the daemon knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Allocate was answered: the pod has the devices.
    PodGranted { span: Span, pod: u64, devices: Vec<String> },
    /// Allocate was not answered, because a connection was cut: the daemon may count the devices as
    /// a container's or not.
    PodInDoubt { span: Span, devices: Asked },
    /// Allocate was answered with a refusal of the daemon's.
    PodRefused { span: Span, code: i32, text: String },
    /// Allocate was not answered at all.
    Unanswered { asked: At, devices: Asked },
    /// The pod is about to end, and the kubelet to forget it.
    PodEnded { at: At, pod: u64 },
    /// A local program was lent a device.
    LocalGranted { span: Span, id: String, device: String },
    /// A local program asked for one device and heard nothing.
    LocalInDoubt { asked: At },
    /// It gave the device back; or said so and heard nothing.
    LocalFreed { span: Span, id: String, heard: bool },
    /// `onloadctl allocations`.
    Listed { span: Span, shown: Vec<Shown> },
    /// The devices in a list that the kubelet got.
    Capacity { listed: usize },
    /// Done to the node; `cuts`: calls under way may be lost by it.
    Happened { at: At, what: String, cuts: bool },
}

/// The devices that an Allocate named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    These(Vec<String>),
    /// The kubelet chose them and died with the call.
    SoMany(usize),
}

/// One allocation as `onloadctl allocations` shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    pub id: String,
    pub device: String,
    pub local: bool,
}

/// The history of one storm.
#[derive(Debug)]
pub struct History {
    began: Instant,
    facts: Mutex<Vec<Fact>>,
}

impl History {
    pub fn begin() -> Self {
        Self { began: Instant::now(), facts: Mutex::default() }
    }

    pub fn now(&self) -> At {
        self.began.elapsed()
    }

    pub fn since(&self, asked: At) -> Span {
        Span { asked, answered: self.now() }
    }

    pub fn note(&self, fact: Fact) {
        self.facts().push(fact);
    }

    pub fn happened(&self, what: impl Into<String>, cuts: bool) {
        self.note(Fact::Happened { at: self.now(), what: what.into(), cuts });
    }

    pub fn facts(&self) -> MutexGuard<'_, Vec<Fact>> {
        self.facts.lock().unwrap()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3}-{:8.3}", self.asked.as_secs_f64(), self.answered.as_secs_f64())
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::These(devices) => f.write_str(&devices.join(" ")),
            Self::SoMany(count) => write!(f, "{count} devices of the kubelet's choice"),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodGranted { span, pod, devices } => {
                write!(f, "{span} pod {pod} gets {}", devices.join(" "))
            }
            Self::PodInDoubt { span, devices } => write!(f, "{span} cut off: a pod with {devices}"),
            Self::PodRefused { span, code, text } => {
                write!(f, "{span} a pod is refused ({code}): {}", text.replace('\n', " "))
            }
            Self::Unanswered { asked, devices } => {
                write!(f, "{:8.3} never answered: a pod with {devices}", asked.as_secs_f64())
            }
            Self::PodEnded { at, pod } => write!(f, "{:8.3} pod {pod} ends", at.as_secs_f64()),
            Self::LocalGranted { span, id, device } => write!(f, "{span} {id} is lent {device}"),
            Self::LocalInDoubt { asked } => {
                write!(f, "{:8.3} cut off: a local program", asked.as_secs_f64())
            }
            Self::LocalFreed { span, id, heard: true } => write!(f, "{span} {id} is given back"),
            Self::LocalFreed { span, id, heard: false } => {
                write!(f, "{span} cut off: {id} is given back")
            }
            Self::Listed { span, shown } => {
                let local = shown.iter().filter(|one| one.local).count();
                write!(f, "{span} listed: {} lent, {local} of them locally", shown.len())
            }
            Self::Capacity { listed } => write!(f, "the kubelet got a list of {listed}"),
            Self::Happened { at, what, .. } => write!(f, "{:8.3} {what}", at.as_secs_f64()),
        }
    }
}
