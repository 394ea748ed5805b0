//! How much memory there is for an engine.

use std::fs;

/// Of the memory there is, an engine may plan for so many hundredths: data, reports and the program
/// itself need some as well.
const SHARE: usize = 85;
/// Limits of control groups, version 2 and version 1, as a container sees its own.
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Bytes that an engine may take: most of the smaller of what the machine has and what its control
/// group allows. None where the kernel says neither.
#[must_use]
pub fn limit() -> Option<usize> {
    let groups =
        LIMITS.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let least = groups.chain(machine).min()?;
    Some(least / 100 * SHARE)
}

/// `MemTotal` of meminfo, in bytes.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(total("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        let limit = limit().expect("Linux says it");
        assert!((64 << 20..1 << 50).contains(&limit), "{limit}");
    }
}
