//! Reports on disk until they are acknowledged: an append-only file of frames.
//!
//! A frame is its length and its CRC-32 (both u32, little endian), then one report as JSON. What follows
//! the last whole frame (the process was killed in the middle of a write, or a disk is damaged) is cut
//! off when the file is opened, and so is what does not follow on the report before it: reports are
//! stored in the order of their numbers, and behind a gap none ever would be. What stays in memory is where each frame begins, so a controller that is away for days costs disk, not
//! memory. Once all is acknowledged, the file is emptied.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use assay_api::worker::Report;
use assay_api::worker::limits::COUNT_MAX;

const HEADER: usize = 8;
/// A report over this is split by its maker; a length over it is not one.
const FRAME_MAX: usize = 64 << 20;

#[derive(Debug)]
pub struct Spool {
    file: File,
    /// Where the next frame goes.
    end: u64,
    /// Unacknowledged frames, oldest first.
    frames: VecDeque<Frame>,
    next_seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    seq: u64,
    at: u64,
    len: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool cannot be read or written")]
    Io(#[from] io::Error),
    /// Written whole, and by a worker that writes other reports.
    #[error(
        "the spool holds what is no report of this version, at byte {at}: {problem}; remove the file, and \
         what it holds is lost"
    )]
    Report { at: u64, problem: String },
    #[error("a report has {0} bytes, over the limit of {FRAME_MAX}")]
    TooLarge(usize),
}

impl Spool {
    /// Opens or makes the file; a torn tail is cut off.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let mut spool = Self { file, end: 0, frames: VecDeque::new(), next_seq: 1 };
        let len = spool.file.metadata()?.len();
        while let Some((frame, after)) = spool.frame_at(spool.end, len)? {
            if !spool.frames.is_empty() && frame.seq != spool.next_seq {
                break;
            }
            spool.next_seq = frame.seq + 1;
            spool.frames.push_back(frame);
            spool.end = after;
        }
        spool.file.set_len(spool.end)?;
        Ok(spool)
    }

    /// The whole frame at an offset, and the offset after it.
    fn frame_at(&self, at: u64, len: u64) -> Result<Option<(Frame, u64)>, SpoolError> {
        let mut header = [0; HEADER];
        if len < at + HEADER as u64 {
            return Ok(None);
        }
        self.file.read_exact_at(&mut header, at)?;
        let word =
            |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
        let size = word(0) as usize;
        let after = at + (HEADER + size) as u64;
        // zeros are no frame, although they would be an empty one with its checksum: a file that had
        // grown and was not written when the power went ends in them
        if size == 0 || FRAME_MAX < size || len < after {
            return Ok(None);
        }
        let mut body = vec![0; size];
        self.file.read_exact_at(&mut body, at + HEADER as u64)?;
        if crc32fast::hash(&body) != word(4) {
            return Ok(None);
        }
        let seq = parse(&body, at)?.seq;
        if COUNT_MAX < seq {
            let problem = format!("its number is {seq}, over the limit of {COUNT_MAX}");
            return Err(SpoolError::Report { at, problem });
        }
        Ok(Some((Frame { seq, at, len: size }, after)))
    }

    /// Numbers a report and writes it down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, mut report: Report) -> Result<u64, SpoolError> {
        report.seq = self.next_seq;
        let body = serde_json::to_vec(&report).map_err(io::Error::from)?;
        let size = u32::try_from(body.len()).ok().filter(|size| *size as usize <= FRAME_MAX);
        let size = size.ok_or(SpoolError::TooLarge(body.len()))?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        self.file.write_all_at(&bytes, self.end)?;
        self.frames.push_back(Frame { seq: report.seq, at: self.end, len: body.len() });
        self.end += bytes.len() as u64;
        self.next_seq += 1;
        Ok(report.seq)
    }

    /// The oldest unacknowledged reports: at least one if there is one, at most about `bytes`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn oldest(&self, bytes: usize) -> Result<Vec<Report>, SpoolError> {
        let mut reports = Vec::new();
        let mut taken = 0;
        for frame in &self.frames {
            taken += frame.len;
            if !reports.is_empty() && bytes < taken {
                break;
            }
            let mut body = vec![0; frame.len];
            self.file.read_exact_at(&mut body, frame.at + HEADER as u64)?;
            reports.push(parse(&body, frame.at)?);
        }
        Ok(reports)
    }

    /// Forgets everything up to and including `seq`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn acknowledge(&mut self, seq: u64) -> Result<(), SpoolError> {
        while self.frames.front().is_some_and(|frame| frame.seq <= seq) {
            self.frames.pop_front();
        }
        if self.frames.is_empty() && 0 < self.end {
            self.file.set_len(0)?;
            self.end = 0;
        }
        Ok(())
    }

    /// Unacknowledged reports.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

fn parse(body: &[u8], at: u64) -> Result<Report, SpoolError> {
    let problem = |error: serde_json::Error| SpoolError::Report { at, problem: error.to_string() };
    serde_json::from_slice(body).map_err(problem)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("assay-{}-{name}", std::process::id()));
        drop(fs::remove_file(&path));
        path
    }

    fn report(text: &str) -> Report {
        let line = assay_api::worker::LogLine {
            time: 1,
            level: assay_api::worker::LogLevel::Info,
            text: text.to_owned(),
        };
        Report { logs: vec![line], ..Report::default() }
    }

    fn texts(spool: &Spool) -> Vec<String> {
        let reports = spool.oldest(usize::MAX).unwrap();
        reports.into_iter().map(|report| report.logs[0].text.clone()).collect()
    }

    #[test]
    fn a_spool_cut_at_any_byte_keeps_every_whole_report() {
        let path = path("cut.spool");
        let mut spool = Spool::open(&path).unwrap();
        let mut ends = Vec::new();
        for text in ["one", "two", "three"] {
            spool.append(report(text)).unwrap();
            ends.push(spool.end);
        }
        let whole = fs::read(&path).unwrap();
        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let mut cut = Spool::open(&path).unwrap();
            let n = ends.iter().filter(|end| **end <= len as u64).count();
            assert_eq!(texts(&cut), ["one", "two", "three"][..n], "cut at {len}");
            // and goes on with the next number
            assert_eq!(cut.append(report("next")).unwrap(), n as u64 + 1);
            assert_eq!(Spool::open(&path).unwrap().len(), n + 1);
        }
    }

    #[test]
    fn a_changed_byte_ends_what_is_believed() {
        let path = path("changed.spool");
        let mut spool = Spool::open(&path).unwrap();
        spool.append(report("one")).unwrap();
        let first = spool.end;
        spool.append(report("two")).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let place = usize::try_from(first).unwrap() + HEADER + 3;
        bytes[place] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(texts(&Spool::open(&path).unwrap()), ["one"]);
    }

    #[test]
    fn what_is_acknowledged_is_gone_and_the_file_does_not_grow_for_ever() {
        let path = path("acknowledged.spool");
        let mut spool = Spool::open(&path).unwrap();
        for text in ["one", "two", "three"] {
            spool.append(report(text)).unwrap();
        }
        spool.acknowledge(2).unwrap();
        assert_eq!(texts(&spool), ["three"]);
        spool.acknowledge(3).unwrap();
        assert!(spool.is_empty());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert_eq!(spool.append(report("four")).unwrap(), 4);
    }

    #[test]
    fn a_batch_has_at_least_one_report_and_ends_at_its_size() {
        let path = path("batch.spool");
        let mut spool = Spool::open(&path).unwrap();
        for text in ["one", "two", "three"] {
            spool.append(report(text)).unwrap();
        }
        assert_eq!(spool.oldest(0).unwrap().len(), 1);
        assert_eq!(spool.oldest(usize::MAX).unwrap().len(), 3);
    }
}
