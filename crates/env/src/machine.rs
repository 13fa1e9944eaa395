//! How busy this process and this machine are, and how much memory and how many files it has, as Linux tells; elsewhere little is known.
//!
//! Source: proc(5), cgroups(7), getrlimit(2).

use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};

/// USER_HZ, in which Linux tells times to programs on every processor it runs on but two that are gone.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of a core that this process has used.
pub fn process_cpu_seconds() -> Option<f64> {
    used_ticks(&std::fs::read_to_string("/proc/self/stat").ok()?).map(seconds)
}

/// Seconds, added up over all cores, in which a core of this machine had nothing to do.
pub fn idle_core_seconds() -> Option<f64> {
    idle_ticks(&std::fs::read_to_string("/proc/stat").ok()?).map(seconds)
}

/// Bytes of memory that this process may use: the machine's, or what its control groups (a container's) are limited to.
pub fn memory_bytes() -> Option<u64> {
    let machine = bytes_of("MemTotal:", &std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = memory_groups(&groups).flat_map(|(root, group, limit)| {
        // Each group is within those around it. In a container the path may be the host's, which is not there: its root is the group.
        let around = Path::new(group.trim_start_matches('/')).ancestors();
        around.map(move |group| Path::new(root).join(group).join(limit))
    });
    // "max", where there is none.
    let limits = limits.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
    Some(limits.fold(machine, u64::min))
}

/// Bytes of memory that this process has at the moment.
pub fn resident_bytes() -> Option<u64> {
    bytes_of("VmRSS:", &std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Lets this process have as many files and connections open at a time as the hard limit allows, and tells how many; `None`: any number.
/// The usual limit of 1,024 is there for programs that use select(2).
pub fn raise_open_files_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let before = std::mem::replace(&mut limit.current, limit.maximum);
        if setrlimit(Resource::Nofile, limit).is_err() {
            return before;
        }
    }
    limit.current
}

/// Of "MemTotal:   1024 kB", among other lines.
fn bytes_of(name: &str, lines: &str) -> Option<u64> {
    let kib = lines.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?;
    kib.parse::<u64>().ok()?.checked_mul(1024)
}

/// Of "number:controllers:/path" a line: where the groups with limits of memory are, the path there, the file with the limit.
fn memory_groups(groups: &str) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
    groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        match (fields.next()?, fields.next()?) {
            ("", path) => Some(("/sys/fs/cgroup", path, "memory.max")),
            ("memory", path) => Some(("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes")),
            _ => None,
        }
    })
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND
}

/// Of "pid (name) state ..", the 14th and 15th field. A name may have blanks and parentheses.
fn used_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Of "cpu user nice system idle iowait ..", idle and iowait.
fn idle_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().skip(3);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_may_be_open_as_are_allowed() {
        let allowed = raise_open_files_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((allowed, limit.current), (limit.maximum, limit.maximum));
    }

    #[test]
    fn idle_and_waiting_count() {
        assert_eq!(idle_ticks("cpu  10 20 30 400 5 6 7 8 9 10\ncpu0 1 2 3 4 5\n"), Some(405));
        assert_eq!(idle_ticks("cpu0 10 20 30 400 5\n"), None);
        assert_eq!(idle_ticks(""), None);
    }

    #[test]
    fn time_in_user_and_system_counts() {
        assert_eq!(used_ticks("7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 31 11 0 0 20 0"), Some(42));
        assert_eq!(used_ticks("7 (a) S 1 7"), None);
    }

    #[test]
    fn memory_is_the_machines_or_a_groups() {
        assert_eq!(bytes_of("MemTotal:", "MemTotal:       24635556 kB\nMemFree: 1 kB\n"), Some(24_635_556 << 10));
        assert_eq!(bytes_of("MemTotal:", "MemFree: 1 kB\n"), None);
        let groups: Vec<_> = memory_groups("5:devices:/\n4:memory:/a/b\n1:cpu,memory\n0::/c:d\n").collect();
        let v1 = ("/sys/fs/cgroup/memory", "/a/b", "memory.limit_in_bytes");
        assert_eq!(groups, [v1, ("/sys/fs/cgroup", "/c:d", "memory.max")]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_machine_tells() {
        let used = process_cpu_seconds().unwrap();
        while process_cpu_seconds().unwrap() < used + 0.02 {}
        assert!(idle_core_seconds().unwrap() > 0.0);
        assert!(memory_bytes().unwrap() > 1 << 20);
        assert!((1 << 16..memory_bytes().unwrap()).contains(&resident_bytes().unwrap()));
    }
}
