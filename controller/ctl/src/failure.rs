//! What went wrong: its exit code, and what to do next.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use assay_api::client;
use assay_api::view::FileError;

use crate::print;

const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const UNREACHABLE: u8 = 4;
const FILE_ERRORS: u8 = 5;
const NOT_ALLOWED: u8 = 6;

/// The context of a request that carried a file, whose name only this side knows.
#[derive(Debug)]
pub(crate) struct InFile(pub(crate) PathBuf);

impl fmt::Display for InFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

pub(crate) fn report(error: &anyhow::Error, url: &str) -> ExitCode {
    let is_closed_pipe = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if is_closed_pipe {
        return ExitCode::SUCCESS;
    }
    let refused = error.chain().find_map(|cause| cause.downcast_ref::<client::Error>());
    let (text, code) = match refused {
        Some(client::Error::Unreachable { .. }) => (
            format!(
                "error: no controller answers at {url}: start one with `ctl up`, or name another \
                 with --url or ASSAY_URL"
            ),
            ExitCode::from(UNREACHABLE),
        ),
        Some(silent @ client::Error::Silent { .. }) => {
            (format!("error: {silent}"), ExitCode::from(UNREACHABLE))
        }
        Some(client::Error::Refused { problem, .. }) if !problem.errors.is_empty() => {
            let file = error.downcast_ref::<InFile>().map(ToString::to_string);
            let file = file.as_deref().unwrap_or("the file");
            (places(file, &problem.errors), ExitCode::from(FILE_ERRORS))
        }
        Some(client::Error::Refused { problem, .. }) => {
            let code = match problem.kind.as_str() {
                "not_found" => NOT_FOUND,
                "unauthorized" | "forbidden" => NOT_ALLOWED,
                _ => 1,
            };
            (format!("error: {}", problem.error), ExitCode::from(code))
        }
        Some(client::Error::Url { .. }) => (format!("error: {error}"), ExitCode::from(USAGE)),
        _ => (format!("error: {error:#}"), ExitCode::FAILURE),
    };
    print::note(&text);
    code
}

/// Each error as `file:line:column`, the line, and a caret under the column.
fn places(file: &str, errors: &[FileError]) -> String {
    let mut text = String::new();
    for error in errors {
        if error.line == 0 {
            text.push_str(&format!("{file}: {}\n\n", error.message));
            continue;
        }
        let number = error.line.to_string();
        let margin = " ".repeat(number.len());
        // Tabs stay tabs, so that the caret stands where the terminal puts the column.
        let column = usize::try_from(error.column.saturating_sub(1)).unwrap_or(0);
        let indent: String =
            error.text.chars().take(column).map(|c| if c == '\t' { c } else { ' ' }).collect();
        text.push_str(&format!("{file}:{number}:{}: {}\n", error.column, error.message));
        text.push_str(&format!("{margin} |\n{number} | {}\n{margin} | {indent}^\n\n", error.text));
    }
    let n = errors.len();
    let plural = if n == 1 { "" } else { "s" };
    text.push_str(&format!(
        "{n} error{plural}; nothing was stored. Mend the file and apply it again."
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_shows_its_line_with_a_caret_under_the_column() {
        let errors = [
            FileError {
                line: 12,
                column: 5,
                text: "\tlr: {peek: 1e-3}".to_owned(),
                path: "base.train.lr".to_owned(),
                message: "unknown key `peek`: did you mean `peak`?".to_owned(),
            },
            FileError {
                line: 0,
                column: 0,
                text: String::new(),
                path: String::new(),
                message: "no axes".to_owned(),
            },
        ];
        assert_eq!(
            places("grid.yaml", &errors),
            "grid.yaml:12:5: unknown key `peek`: did you mean `peak`?\n   |\n12 | \tlr: {peek: 1e-3}\n   | \t   ^\n\n\
             grid.yaml: no axes\n\n\
             2 errors; nothing was stored. Mend the file and apply it again."
        );
    }
}
