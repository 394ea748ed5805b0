//! The same file under another name, for a sweep that begins as a copy.

use super::errors::Errors;
use super::{value, yaml};
use crate::view::FileError;

/// Puts another name where the file has its own, and leaves every other letter as it is.
///
/// # Errors
/// The file is no YAML or has no name; or what is given is no name.
pub fn renamed(text: &str, name: &str) -> Result<String, Vec<FileError>> {
    let mut errors = Errors::default();
    let place = yaml::read(text, &mut errors)
        .and_then(|root| root.entry("sweep").map(|entry| entry.value.place));
    if let (Err(message), Some(place)) = (value::name(name), place) {
        errors.add(place, "sweep", message);
    }
    let Some(place) = place.filter(|_| errors.is_empty()) else {
        if errors.is_empty() {
            errors.add(super::Place::default(), "sweep", "no name: a sweep file has `sweep: name`");
        }
        return Err(errors.into_file_errors(text));
    };
    let line = usize::try_from(place.line.saturating_sub(1)).expect("32 bits fit");
    let column = usize::try_from(place.column.saturating_sub(1)).expect("32 bits fit");
    let begin: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let begin = begin + text[begin..].chars().take(column).map(char::len_utf8).sum::<usize>();
    Ok(format!("{}{name}{}", &text[..begin], &text[begin + written(&text[begin..])..]))
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
    use super::renamed;
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
    fn what_is_no_name_or_no_file_is_refused_at_its_place() {
        let errors = renamed("assay: v1\nsweep: old\n", "two words").unwrap_err();
        assert_eq!((errors[0].line, errors[0].path.as_str()), (2, "sweep"));
        assert!(!renamed("assay: v1\n", "new").unwrap_err().is_empty());
        assert!(!renamed("a: [", "new").unwrap_err().is_empty());
        assert!(parse(&renamed("sweep: old", "new").unwrap()).is_err());
    }
}
