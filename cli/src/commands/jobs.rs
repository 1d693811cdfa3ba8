//! `jobs`: long orders under way, and the last few that ended.

use std::collections::BTreeMap;

use onload_dbus::error::Parts;
use onload_dbus::path::Kind;
use serde::Serialize;

use crate::bus::Bus;
use crate::ended::Ended;
use crate::properties::Properties;
use crate::render::Page;
use crate::render::paint::Paint;
use crate::render::phrase::{age, natural};
use crate::render::table::{Cell, table};

/// All jobs, newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Jobs {
    pub jobs: Vec<Job>,
}

/// One job. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Job {
    pub id: String,
    pub kind: String,
    /// running, done, failed or cancelled.
    pub state: String,
    pub done: u32,
    pub total: u32,
    pub message: String,
    pub uid: u32,
    pub started: u64,
    pub unreadable: BTreeMap<String, String>,
}

/// Reads them.
pub async fn read(bus: &Bus) -> Result<Jobs, Ended> {
    let mut jobs: Vec<_> = bus.all(Kind::Job).await?.into_iter().map(Job::of).collect();
    jobs.sort_by(|a, b| natural(&a.id, &b.id));
    Ok(Jobs { jobs })
}

impl Job {
    /// From what the bus says.
    pub fn of(mut job: Properties) -> Self {
        Self {
            id: job.get("id"),
            kind: job.get("kind"),
            state: job.get("state"),
            done: job.get("done"),
            total: job.get("total"),
            message: job.get("message"),
            uid: job.get("uid"),
            started: job.get("started"),
            unreadable: job.unreadable(),
        }
    }

    /// Its message on one line: what failed for a reason that brings its remedy has three, and what
    /// is done may have more to say, each on a line.
    pub fn told(&self) -> String {
        let parts = Parts::of(&self.message);
        match parts.why {
            "" => self.message.lines().next().unwrap_or_default().to_owned(),
            why => format!("{}: {why}", parts.what),
        }
    }

    fn cells(&self, now: u64) -> Vec<Cell> {
        let state = match self.state.as_str() {
            "done" => Paint::Good,
            "running" | "cancelled" => Paint::Warn,
            _ => Paint::Bad,
        };
        vec![
            Cell::painted(&self.id, Paint::Strong),
            Cell::new(&self.kind),
            Cell::painted(&self.state, state),
            Cell::number(format!("{}/{}", self.done, self.total)),
            Cell::number(age(now, self.started)),
            Cell::number(self.uid),
            Cell::new(self.told()),
        ]
    }
}

impl Page for Jobs {
    fn text(&self, now: u64) -> String {
        if self.jobs.is_empty() {
            return "no jobs\n".into();
        }
        let rows: Vec<_> = self.jobs.iter().map(|job| job.cells(now)).collect();
        table(&["JOB", "ORDER", "STATE", "STEPS", "AGE", "UID", "MESSAGE"], &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::paint::without;

    #[test]
    fn a_job_tells_how_far_it_is() {
        let job = Job {
            id: "j3".into(),
            kind: "apply".into(),
            state: "running".into(),
            done: 1,
            total: 4,
            message: "load sfc".into(),
            started: 1_000,
            ..Job::default()
        };
        let refused = Job {
            id: "j4".into(),
            kind: "import".into(),
            state: "failed".into(),
            message: "no release was taken in\n  why: it has no sfc\n  fix: build it".into(),
            started: 1_000,
            ..Job::default()
        };
        assert_eq!(
            without(&Jobs { jobs: vec![job, refused] }.text(5_000)),
            "\
JOB  ORDER   STATE    STEPS  AGE  UID  MESSAGE
j3   apply   running    1/4   4s    0  load sfc
j4   import  failed     0/0   4s    0  no release was taken in: it has no sfc
"
        );
    }
}
