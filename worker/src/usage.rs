//! What an attempt takes of its machine, every few seconds: four small files of the kernel, and the GPU if there is one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::card::Card;
use crate::clock;

const PERIOD: Duration = Duration::from_secs(5);
/// Times of processes are told in hundredths of a second: `USER_HZ`, proc(5), the same on every
/// architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Looks at this process and its machine.
#[derive(Debug)]
pub struct Usage {
    storage: PathBuf,
    /// Processor time used, and when that was.
    before: Option<(f64, Instant)>,
    card: Option<Card>,
}

impl Usage {
    /// `storage`: whose disk is looked at.
    #[must_use]
    pub fn new(storage: &Path) -> Self {
        Self { storage: storage.to_owned(), before: None, card: None }
    }

    /// Looks at a GPU as well.
    pub fn watch(&mut self, card: Option<Card>) {
        self.card = card;
    }

    /// The GPU that is looked at.
    #[must_use]
    pub fn card(&self) -> Option<&Card> {
        self.card.as_ref()
    }

    /// Names and values of series, if it is time again. What the machine does not say is left out.
    pub fn sample(&mut self) -> Vec<(&'static str, f64)> {
        let now = clock::instant();
        let waited = self.before.map(|(_, then)| now.duration_since(then));
        if waited.is_some_and(|waited| waited < PERIOD) {
            return Vec::new();
        }
        let used = read("/proc/self/stat").as_deref().and_then(cpu_seconds);
        let cpus = used.zip(self.before).zip(waited).and_then(|((used, (before, _)), waited)| {
            Some((used - before) / waited.as_secs_f64()).filter(|cpus| cpus.is_finite())
        });
        self.before = Some((used.unwrap_or(0.0), now));
        let values = [
            ("system/cpus", cpus),
            ("system/memory_bytes", read("/proc/self/status").as_deref().and_then(memory)),
            ("system/disk_free_bytes", disk_free(&self.storage)),
            ("system/load", read("/proc/loadavg").as_deref().and_then(load)),
        ];
        let card = self.card.as_ref().map(Card::sample).unwrap_or_default();
        values.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(card).collect()
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Seconds of processor time of all threads, in the program and in the kernel for it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // the name in parentheses may hold anything; after it the state is the third field
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// Memory that is resident, in bytes.
fn memory(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(1024.0 * line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()?)
}

/// Processes of the whole machine that run or want to, over a minute.
fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

/// Bytes that may still be written beside what is stored.
#[expect(clippy::cast_precision_loss, reason = "a chart")]
fn disk_free(folder: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail as f64 * disk.f_frsize as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_are_read() {
        let stat = "12 (a) b) R 1 1 1 0 -1 4194304 99 0 0 0 250 50 7 8 20 0 3 0 5 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("12 (cut"), None);
        assert_eq!(memory("VmPeak: 9 kB\nVmRSS:\t  2048 kB\n"), Some(2_097_152.0));
        assert_eq!(load("0.42 0.36 0.31 2/811 4242\n"), Some(0.42));
    }

    #[test]
    fn it_looks_at_once_and_then_not_again_for_a_while() {
        let mut usage = Usage::new(Path::new("/"));
        usage.watch(Card::through("libnvidia-ml-that-is-not-there.so.1"));
        assert!(usage.card().is_none());
        let first = usage.sample();
        let names: Vec<_> = first.iter().map(|(name, _)| *name).collect();
        // how busy it was is known only the second time, and without the library nothing of a GPU
        assert_eq!(names, ["system/memory_bytes", "system/disk_free_bytes", "system/load"]);
        assert!(first[..2].iter().all(|(_, bytes)| 1e6 < *bytes), "{first:?}");
        assert!(usage.sample().is_empty());
    }
}
