//! Every error at once, each with its place.

use std::fmt::Write as _;

use crate::view::FileError;

/// A report stops here: whoever has a hundred errors mends the first ones and asks again.
const ERRORS_MAX: usize = 100;

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
        let finding = Finding { place, path: path.to_owned(), message: message.into() };
        // Thousands of points can meet the same mistake.
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
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
        let lines: Vec<&str> = text.lines().collect();
        let line_at = |line: u32| {
            let index = (line as usize).checked_sub(1)?;
            lines.get(index).copied()
        };
        let mut errors: Vec<FileError> = self
            .findings
            .into_iter()
            .map(|Finding { place, path, message }| FileError {
                line: place.line,
                column: place.column,
                text: line_at(place.line).unwrap_or_default().to_owned(),
                path,
                message,
            })
            .collect();
        if n_left_out > 0 {
            errors.push(FileError {
                line: 0,
                column: 0,
                text: String::new(),
                path: String::new(),
                message: format!("and {n_left_out} more"),
            });
        }
        errors
    }
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
    let edits_max = (name.chars().count() / 3).max(2);
    known
        .into_iter()
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
