//! The same file under another name or without its schedule, for a sweep that begins as a copy.

use super::errors::{Errors, Place};
use super::value;
use super::yaml::{self, Content};
use crate::view::FileError;

/// Puts another name where the file has its own, and leaves every other letter as it is.
///
/// # Errors
/// The file is no YAML or has no name; or what is given is no name.
pub fn renamed(text: &str, name: &str) -> Result<String, Vec<FileError>> {
    let mut errors = Errors::default();
    let place = yaml::read(text, &mut errors)
        .and_then(|root| root.entry("sweep").map(|entry| entry.value.place));
    if let (Err(message), Some(place)) = (value::sweep_name(name), place) {
        errors.add(place, "sweep", message);
    }
    let Some(place) = place.filter(|_| errors.is_empty()) else {
        if errors.is_empty() {
            errors.add(super::Place::default(), "sweep", "no name: a sweep file has `sweep: name`");
        }
        return Err(errors.into_file_errors(text));
    };
    let begin = offset(text, place);
    Ok(format!("{}{name}{}", &text[..begin], &text[begin + written(&text[begin..])..]))
}

/// Takes `schedule` out, and leaves every other letter as it is.
///
/// # Errors
/// The file is no YAML.
pub fn unscheduled(text: &str) -> Result<String, Vec<FileError>> {
    let mut errors = Errors::default();
    let Some(root) = yaml::read(text, &mut errors).filter(|_| errors.is_empty()) else {
        return Err(errors.into_file_errors(text));
    };
    let Content::Map(entries) = &root.content else { return Ok(text.to_owned()) };
    let Some(at) = entries.iter().position(|entry| entry.key == "schedule") else {
        return Ok(text.to_owned());
    };
    let begin = offset(text, entries[at].place);
    let end = match entries.get(at + 1) {
        Some(next) => offset(text, next.place),
        // of a mapping in braces the last one stands before them
        None if text.trim_start().starts_with('{') => text.rfind('}').unwrap_or(text.len()),
        None => text.len(),
    };
    Ok(format!("{}{}", &text[..begin], &text[end..]))
}

/// Where a place is, in bytes.
fn offset(text: &str, place: Place) -> usize {
    let line = usize::try_from(place.line.saturating_sub(1)).expect("32 bits fit");
    let column = usize::try_from(place.column.saturating_sub(1)).expect("32 bits fit");
    let begin: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    begin + text[begin..].chars().take(column).map(char::len_utf8).sum::<usize>()
}

/// Bytes of the scalar that stands here, quotes included.
fn written(text: &str) -> usize {
    let quote = text.chars().next().filter(|first| "'\"".contains(*first));
    let end = match quote {
        Some(quote) => text[1..].find(quote).map(|at| at + 2),
        None => text.find(|letter: char| letter.is_whitespace() || ",}#".contains(letter)),
    };
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::{renamed, unscheduled};
    use crate::sweep::parse;

    #[test]
    fn only_the_name_changes() {
        for (before, after) in [
            (
                "assay: v1\nsweep: old # sweep: old\nbase: 1\n",
                "assay: v1\nsweep: new # sweep: old\nbase: 1\n",
            ),
            ("{assay: v1, sweep: 'old', base: {}}", "{assay: v1, sweep: new, base: {}}"),
            ("# größer\nsweep:   \"old\"", "# größer\nsweep:   new"),
        ] {
            assert_eq!(renamed(before, "new").unwrap(), after);
        }
    }

    #[test]
    fn only_the_schedule_goes() {
        for (before, after) in [
            (
                "sweep: s\nschedule: '0 2 * * *' # at night\n\n# größer\nbase: 1\n",
                "sweep: s\nbase: 1\n",
            ),
            ("sweep: s\nschedule:\n  cron: 0 2 * * *\n  keep: 3\n", "sweep: s\n"),
            ("{sweep: s, schedule: '@daily', base: 1}", "{sweep: s, base: 1}"),
            ("{sweep: s, schedule: {cron: '0 2 * * *'}}", "{sweep: s, }"),
            ("sweep: s\nbase: 1\n", "sweep: s\nbase: 1\n"),
        ] {
            assert_eq!(unscheduled(before).unwrap(), after);
        }
        assert!(unscheduled("a: [").is_err());
    }

    #[test]
    fn a_name_may_end_in_the_time_of_a_schedule() {
        for name in ["nightly@2026-11-22", "nightly@2026-11-22T1400"] {
            assert_eq!(renamed("sweep: old", name).unwrap(), format!("sweep: {name}"));
        }
        for name in
            ["nightly@", "@2026-11-22", "a@2026-11-2", "a@2026-11-22t1400", "a b@2026-11-22"]
        {
            assert!(renamed("sweep: old", name).is_err(), "{name}");
        }
        assert!(renamed("sweep: old", &format!("{}@2026-11-22", "a".repeat(48))).is_err());
    }

    #[test]
    fn what_is_no_name_or_no_file_is_refused_at_its_place() {
        let errors = renamed("assay: v1\nsweep: old\n", "two words").unwrap_err();
        assert_eq!((errors[0].line, errors[0].path.as_str()), (2, "sweep"));
        assert!(!renamed("assay: v1\n", "new").unwrap_err().is_empty());
        assert!(!renamed("a: [", "new").unwrap_err().is_empty());
        assert!(parse(&renamed("sweep: old", "new").unwrap()).is_err());
    }
}
