//! How busy this process and this machine are, as Linux tells; elsewhere nothing is known.
//!
//! Source: proc(5).

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

    #[cfg(target_os = "linux")]
    #[test]
    fn clocks_go_on() {
        let used = process_cpu_seconds().unwrap();
        while process_cpu_seconds().unwrap() < used + 0.02 {}
        assert!(idle_core_seconds().unwrap() > 0.0);
    }
}
