//! The only place that prints: results on standard output, notes and errors on standard error.
//!
//! A reader that closes the pipe (`| head`) is no error: printing then fails with `BrokenPipe`, which
//! `failure` turns into a quiet end.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

/// Prints a view: as it is for programs, as `table` puts it for people.
pub(crate) fn view<V: Serialize>(
    format: Format,
    view: &V,
    table: impl FnOnce(&V) -> String,
) -> anyhow::Result<()> {
    result(&match format {
        Format::Table => table(view),
        Format::Json => serde_json::to_string_pretty(view)?,
        Format::Yaml => serde_yaml::to_string(view)?,
    })
}

/// A result: text that ends its last line, or not.
pub(crate) fn result(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end_matches('\n'))?;
    Ok(out.flush()?)
}

/// Anything that is not the result.
pub(crate) fn note(text: &str) {
    // Nobody is left to tell when this fails.
    let _unheard = writeln!(io::stderr().lock(), "{text}");
}

/// Asks before something is lost; without a terminal to ask on, the answer is none.
pub(crate) fn confirm(question: &str) -> io::Result<Option<bool>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    write!(io::stderr().lock(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes")))
}

/// A part of the terminal that is drawn again and again in place.
#[derive(Debug)]
pub(crate) struct Screen {
    lines_drawn: usize,
}

impl Screen {
    /// None when standard output is no terminal.
    pub(crate) fn new() -> Option<Self> {
        io::stdout().is_terminal().then_some(Self { lines_drawn: 0 })
    }

    /// Columns and rows.
    pub(crate) fn size() -> (usize, usize) {
        let size = terminal_size::terminal_size();
        size.map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()))
    }

    /// Draws over what was drawn before. Lines are cut, since a wrapped one would be counted wrong.
    pub(crate) fn draw(&mut self, text: &str) -> io::Result<()> {
        let (width, _) = Self::size();
        let mut out = io::stdout().lock();
        if self.lines_drawn > 0 {
            write!(out, "\x1b[{}F", self.lines_drawn)?;
        }
        self.lines_drawn = 0;
        for line in text.lines() {
            let cut: String = line.chars().take(width).collect();
            writeln!(out, "{cut}\x1b[K")?;
            self.lines_drawn += 1;
        }
        write!(out, "\x1b[J")?;
        out.flush()
    }
}

/// Aligned columns, two blanks apart.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A column whose name begins with `>` is set flush right.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let names = columns.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        let right = columns.iter().map(|name| name.starts_with('>')).collect();
        Self { rows: vec![names], right }
    }

    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub(crate) fn text(&self) -> String {
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> =
            (0..self.right.len()).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), is_right) in row.iter().zip(&widths).zip(&self.right) {
                let fill = " ".repeat(width - cell.chars().count());
                let parts = if *is_right { [&fill, cell] } else { [cell, &fill] };
                line.extend(parts.map(String::as_str));
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_counted_in_characters() {
        let mut table = Table::new(&["run", ">loss", "why"]);
        table.row(["1", "2.5", "größer"]);
        table.row(["12", "10.25", ""]);
        assert_eq!(table.text(), "run   loss  why\n1      2.5  größer\n12   10.25\n");
    }
}
