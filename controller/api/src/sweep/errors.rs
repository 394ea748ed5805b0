//! Every error at once, each with its place.

use std::fmt::Write as _;

use super::limits::{ERRORS_KEPT, ERRORS_MAX, LINE_SHOWN, MESSAGE_MAX};
use crate::view::FileError;

/// Where in the file something stands. Line and column count from 1; line 0 is the whole file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) message: String,
}

/// What was found wrong so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errors {
    pub(crate) findings: Vec<Finding>,
}

impl Errors {
    pub(crate) fn add(&mut self, place: Place, path: &str, message: impl Into<String>) {
        let (path, message) = (cut(path.to_owned(), MESSAGE_MAX), cut(message.into(), MESSAGE_MAX));
        let finding = Finding { place, path, message };
        // Thousands of points can meet the same mistake.
        if self.findings.len() < ERRORS_KEPT && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Adds what somebody else has found.
    pub(crate) fn append(&mut self, others: Self) {
        for Finding { place, path, message } in others.findings {
            self.add(place, &path, message);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Too many to be worth looking for more.
    pub(crate) fn is_full(&self) -> bool {
        self.findings.len() >= ERRORS_MAX
    }

    /// In the order of the file, each once, with the text of its line.
    pub(crate) fn into_file_errors(mut self, text: &str) -> Vec<FileError> {
        self.findings.sort();
        let n_left_out = self.findings.len().saturating_sub(ERRORS_MAX);
        self.findings.truncate(ERRORS_MAX);
        let lines = lines(text);
        let mut errors: Vec<FileError> = self
            .findings
            .into_iter()
            .map(|Finding { place, path, message }| {
                let (Place { line, column }, text) = within(place, &lines);
                FileError { line, column, text, path, message }
            })
            .collect();
        if n_left_out > 0 {
            errors.push(FileError {
                line: 0,
                column: 0,
                text: String::new(),
                path: String::new(),
                message: if n_left_out + ERRORS_MAX < ERRORS_KEPT {
                    format!("and {n_left_out} more")
                } else {
                    "and many more".to_owned()
                },
            });
        }
        errors
    }
}

/// Lines as YAML counts them: it ends them with `\r` alone as well, which Rust's `lines` does not.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let len = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + len..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// The place, in the text for certain, with the line that it is on. What the parser misses at the end
/// of the file is shown at the end of its last line. A line too long to be read is not shown.
fn within(place: Place, lines: &[&str]) -> (Place, String) {
    let Some(last) = u32::try_from(lines.len()).ok().filter(|last| *last > 0 && place.line > 0)
    else {
        return (Place::default(), String::new());
    };
    let line = place.line.min(last);
    let text = lines[line as usize - 1];
    let end = u32::try_from(text.chars().count()).unwrap_or(u32::MAX).saturating_add(1);
    let column = if place.line > last { end } else { place.column.clamp(1, end) };
    let shown = if end as usize <= LINE_SHOWN { text.to_owned() } else { String::new() };
    (Place { line, column }, shown)
}

/// A value of a megabyte is not said again whole.
fn cut(mut text: String, bytes: usize) -> String {
    if bytes < text.len() {
        text.truncate(text.floor_char_boundary(bytes));
        text.push('…');
    }
    text
}

/// The errors as a person reads them in a terminal, each with its line and a caret.
#[must_use]
pub fn report(errors: &[FileError], file: &str) -> String {
    let mut out = String::new();
    for error in errors {
        let FileError { line, column, text, path, message } = error;
        let colon = if path.is_empty() { "" } else { ": " };
        let place = if *line == 0 { String::new() } else { format!(":{line}:{column}") };
        writeln!(out, "{file}{place}: {path}{colon}{message}").expect("a string takes all");
        if *line > 0 && !text.trim().is_empty() {
            let margin = line.to_string();
            let indent: String = text
                .chars()
                .take((*column as usize).saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            writeln!(out, "  {margin} | {text}").expect("a string takes all");
            writeln!(out, "  {:width$} | {indent}^", "", width = margin.len())
                .expect("a string takes all");
        }
    }
    out
}

/// `; did you mean …?` for the nearest of the known names, or nothing when none is near.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The known name that takes the fewest edits, if those are few for its length.
fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let length = name.chars().count();
    let edits_max = (length / 3).max(2);
    known
        .into_iter()
        // at least the difference of their lengths: a long text is compared with nothing
        .filter(|known| known.chars().count().abs_diff(length) <= edits_max)
        .map(|known| (edits(name, known), known))
        .filter(|(edits, known)| *edits <= edits_max && *edits < known.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// Insertions, deletions, substitutions and swaps of neighbors between two names (the restricted
/// Damerau-Levenshtein distance): a swap is the commonest slip of the hand.
fn edits(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let change = usize::from(left[i - 1] != right[j - 1]);
            let mut best =
                (row[j - 1] + 1).min(rows[i - 1][j] + 1).min(rows[i - 1][j - 1] + change);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::{edits, nearest};

    #[test]
    fn a_swap_is_one_edit() {
        assert_eq!(edits("paek", "peak"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
    }

    #[test]
    fn only_near_names_are_offered() {
        assert_eq!(nearest("warmpu", ["peak", "warmup"]), Some("warmup"));
        assert_eq!(nearest("zebra", ["peak", "warmup"]), None);
    }
}
