//! The machine the figures are taken on. Without it they say nothing.

use std::fs;
use std::path::Path;

/// One line each: processor, kernel, file system of the state directory, load.
pub fn describe(state_directory: &Path) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(|| "unknown processor".to_owned(), |(_, model)| model.trim().to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let load: Vec<_> = read("/proc/loadavg").split(' ').take(3).map(str::to_owned).collect();
    vec![
        format!("processor    {model}, {cores} cores"),
        format!("kernel       {}", kernel.trim()),
        format!(
            "file system  {} (state directory {})",
            file_system(&read("/proc/self/mountinfo"), state_directory),
            state_directory.display()
        ),
        format!("load         {}", load.join(" ")),
    ]
}

/// The type of the file system a path is on, by the table of mounts (proc_pid_mountinfo(5)): that
/// of the longest mount point above it; of those at one place, the last.
fn file_system(mounts: &str, path: &Path) -> String {
    let on = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        path.starts_with(point)
            .then(|| (point.len(), source.split(' ').next().unwrap_or_default().to_owned()))
    };
    let nearest = mounts.lines().filter_map(on).max_by_key(|(length, _)| *length);
    nearest.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_that_of_the_nearest_mount() {
        let mounts = "\
            22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            30 22 0:25 / /tmp rw - tmpfs tmpfs rw\n\
            31 22 0:26 / /tmp rw - xfs /dev/vdb rw\n";
        let cases = [("/var/lib", "ext4"), ("/tmp/x", "xfs"), ("/tmpfiles", "ext4")];
        for (path, kind) in cases {
            assert_eq!(file_system(mounts, Path::new(path)), kind, "{path}");
        }
        assert_eq!(file_system("", Path::new("/")), "unknown");
    }
}
