//! Where sfptpd has its files: as its configuration says, else where they usually are
//! (reference/sfptpd.md sections 3.1 and 4).

use onload_core::reading::Reading;

use super::super::super::attribute;
use super::super::super::root::{Dir, Kind};
use super::super::write::CONFIGURATION_BYTES;

/// Directories without and with the two octets that tell instances apart.
const STATES: [&str; 2] = ["/var/lib/sfptpd", "/var/lib/sfptpd-0000"];
const RUNS: [&str; 2] = ["/run/sfptpd", "/run/sfptpd-0000"];
const CONTROL: &str = "control-v1.sock";
const METRICS: &str = "metrics.sock";
/// Where the control socket was before 3.9.
const FORMER_CONTROL: &str = "/var/run/sfptpd-control-v1.sock";
/// What stands for `%U` unless `unique_clockid_bits` says otherwise.
const UNIQUE: &str = "0000";

/// Where its files are.
#[derive(Debug)]
pub(super) struct Paths {
    /// Its state directory, there or not.
    pub(super) state: String,
    /// The configuration that it has written there when it started.
    pub(super) effective: String,
    /// Its control socket, where there is one.
    pub(super) control: Reading<String>,
    /// Its metrics socket, there or not; the first that is, of those that come into question.
    pub(super) metrics: Vec<String>,
    /// Files of statistics that its effective configuration names.
    pub(super) json: Option<String>,
    pub(super) text: Option<String>,
}

/// Finds them. `configuration` is the file that it was started with.
pub(super) fn find(root: &Dir, configuration: Option<&str>) -> Paths {
    let told = configuration.map(|path| Options::read(root, path)).unwrap_or_default();
    let state = told.state_path.clone().unwrap_or_else(|| {
        let [first, second] = STATES;
        // A link of the package's making where the name has a number.
        if root.node(first).is_absent() { second.to_owned() } else { first.to_owned() }
    });
    let file = format!("{state}/config");
    let effective = Options::read(root, &file);
    let one = |option: fn(&Options) -> &Option<String>| {
        option(&told).clone().or_else(|| option(&effective).clone())
    };
    let runs: Vec<String> = match one(|options| &options.run_dir) {
        Some(run) => vec![run],
        None => RUNS.map(str::to_owned).to_vec(),
    };
    let sockets = |given: Option<String>, name: &str| -> Vec<String> {
        let usual = runs.iter().map(|run| format!("{run}/{name}"));
        match given {
            Some(given) => vec![given.replace("%R", runs.first().map_or("", String::as_str))],
            None => usual.collect(),
        }
    };
    let controls = sockets(one(|options| &options.control_path), CONTROL);
    let controls = controls.into_iter().chain([FORMER_CONTROL.to_owned()]);
    let is_socket =
        |path: &String| root.node(path).known().is_some_and(|node| node.kind == Kind::Socket);
    Paths {
        control: controls.into_iter().find(is_socket).into(),
        metrics: sockets(one(|options| &options.metrics_path), METRICS),
        json: one(|options| &options.json_stats),
        text: one(|options| &options.stats_log),
        effective: file,
        state,
    }
}

/// Options that name files.
#[derive(Debug, Default)]
struct Options {
    state_path: Option<String>,
    run_dir: Option<String>,
    control_path: Option<String>,
    metrics_path: Option<String>,
    json_stats: Option<String>,
    stats_log: Option<String>,
}

impl Options {
    /// From a configuration. A recording keeps the lines that name files and no others: there may be
    /// keys of NTP among them.
    fn read(root: &Dir, path: &str) -> Self {
        let mut bytes = Vec::new();
        let read = root.read_by(path, CONFIGURATION_BYTES, |piece| bytes.extend_from_slice(piece));
        let text = read.map(|()| bytes).and_then(attribute::text);
        let mut options = Self::default();
        let kept = text.map(|text| {
            let kept: Vec<&str> = text.lines().filter(|line| options.take(line)).collect();
            kept.join("\n").into_bytes()
        });
        root.keep(path, &kept);
        options
    }

    /// Takes a line; whether it is one that matters.
    fn take(&mut self, line: &str) -> bool {
        let mut words = line.split_whitespace();
        let (Some(option), Some(value)) = (words.next(), words.next()) else { return false };
        let place = match option.replace('-', "_").as_str() {
            "state_path" => &mut self.state_path,
            "run_dir" => &mut self.run_dir,
            "control_path" => &mut self.control_path,
            "metrics_path" => &mut self.metrics_path,
            "json_stats" => &mut self.json_stats,
            "stats_log" => &mut self.stats_log,
            _ => return false,
        };
        let value = value.trim_matches(['"', '\'']).replace("%U", UNIQUE);
        // Others are words such as `off`; what stands for yet more cannot be followed.
        let usable = value.starts_with('/') || value.starts_with("%R/");
        *place =
            Some(value).filter(|value| usable && !value.trim_start_matches("%R").contains('%'));
        true
    }
}
