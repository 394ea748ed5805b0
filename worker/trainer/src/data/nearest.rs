//! Which known name was probably meant.

/// The known names nearest to a wanted one, best first, at most three; only such as differ in less
/// than half of their letters.
pub(crate) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let near = |name: &&str| distance(wanted, name) * 2 < wanted.chars().count().max(2);
    let mut names: Vec<&str> = known.into_iter().filter(near).collect();
    names.sort_by_key(|name| (distance(wanted, name), *name));
    names.truncate(3);
    names
}

/// Letters to insert, delete or replace: Levenshtein's distance, one row at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in right.iter().enumerate() {
            let replace = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replace.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn the_distance_counts_insertions_deletions_and_replacements() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("general", "general"), 0);
    }

    #[test]
    fn far_names_are_not_offered() {
        let known = ["general.jsonl", "commerce.jsonl", "notes.txt"];
        assert_eq!(nearest("genral.jsonl", known), ["general.jsonl"]);
        assert!(nearest("pictures", known).is_empty());
    }
}
