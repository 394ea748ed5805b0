//! `assay-worker data`: work on data, also reached by `ctl data`.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::PathBuf;

use assay_trainer::synth::{Options, Size, Written, synth};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Data {
    /// Make a corpus to try sweeps with.
    Synth(Synth),
}

/// Make a corpus to try sweeps with: the same for the same seed, on every machine.
///
/// Writes `general.jsonl` (plain English sentences and small facts), `commerce.jsonl` (product
/// listings in English, German, French, Italian and Spanish) and two multiple-choice tasks about
/// products that are in no listing: `tasks/aspects.yaml` and `tasks/price.yaml`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ctl data synth --folder examples/data --size 8MB")]
pub struct Synth {
    /// Folder to write to; files of the same names are replaced.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    folder: PathBuf,
    /// Size of each of the two corpora, like 500kB, 8MB or 1GB.
    #[arg(long, value_name = "SIZE", default_value = "8MB", value_parser = bytes)]
    size: u64,
    /// Another seed makes another corpus.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Runs the command; results go to stdout.
///
/// # Errors
/// A file cannot be written.
#[expect(clippy::print_stdout, reason = "the files are this command's result")]
pub fn run(command: &Data) -> anyhow::Result<()> {
    let Data::Synth(Synth { folder, size, seed }) = command;
    let options = Options { folder: folder.clone(), size: Size::Bytes(*size), seed: *seed };
    let is_terminal = std::io::stderr().is_terminal();
    let mut progress = |written: &Written| {
        if is_terminal {
            show(written);
        }
        ControlFlow::Continue(())
    };
    for file in synth(&options, &mut progress)? {
        println!("{:>12} bytes {:>8} items  {}", file.bytes, file.documents, file.path.display());
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "progress of long work")]
fn show(written: &Written) {
    eprint!("\r\x1b[K{} {} MB\r", written.path.display(), written.bytes / 1_000_000);
}

/// `8MB`, decimal.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "expected a size like 500kB, 8MB or 1GB".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|bytes| 1_000 <= *bytes).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_decimal_and_need_a_known_unit() {
        assert_eq!(bytes("8MB"), Ok(8_000_000));
        assert_eq!(bytes("500k"), Ok(500_000));
        assert_eq!(bytes("1234"), Ok(1_234));
        for wrong in ["", "MB", "8 parsecs", "-1MB", "8MiB", "10"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
