//! A question and one answer as a sequence, by lm-evaluation-harness's rules.

use assay_api::spec::Tokenizer;

use crate::data::{END_OF_DOCUMENT, IGNORED, Sequence, encode};

/// The sequence whose targets are the continuation's tokens.
///
/// Whitespace at the end of the context moves to the continuation's front: a tokenizer would merge it
/// with the word after. The context begins with an end of document, which opens every document in
/// training too, as a Llama tokenizer begins with its BOS. What is too long loses its beginning.
pub(super) fn sequence(
    tokenizer: Tokenizer,
    context: &str,
    continuation: &str,
    context_max: u32,
) -> Result<Sequence, String> {
    let (context, continuation) = split(context, continuation);
    let mut tokens = vec![END_OF_DOCUMENT];
    tokens.extend(encode(tokenizer, &context));
    let n_context = tokens.len();
    let whole = encode(tokenizer, &format!("{context}{continuation}"));
    tokens.extend_from_slice(&whole[n_context - 1..]);

    let n_continuation = tokens.len() - n_context;
    let longest = usize::try_from(context_max).expect("a context fits into memory");
    if n_continuation == 0 {
        return Err("an empty choice cannot be scored".to_owned());
    }
    if longest < n_continuation {
        return Err(format!(
            "the choice `{}` has {n_continuation} tokens, more than the context of {longest}; \
             shorten it, or train with a larger train.context",
            continuation.trim()
        ));
    }
    let tokens = &tokens[tokens.len().saturating_sub(longest + 1)..];
    let (inputs, mut targets) = (tokens[..tokens.len() - 1].to_vec(), tokens[1..].to_vec());
    let n_ignored = targets.len() - n_continuation;
    targets[..n_ignored].fill(IGNORED);
    let documents = vec![0; targets.len()];
    Ok(Sequence { inputs, targets, documents, source: 0 })
}

fn split(context: &str, continuation: &str) -> (String, String) {
    let kept = context.trim_end_matches(is_space);
    (kept.to_owned(), format!("{}{continuation}", &context[kept.len()..]))
}

/// What Python's `str.rstrip` takes away: Unicode's white space and four control characters.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use assay_api::spec::Tokenizer;

    use super::{sequence, split};
    use crate::data::{END_OF_DOCUMENT, IGNORED};

    #[test]
    fn space_at_the_end_of_the_context_moves_to_the_continuation() {
        assert_eq!(split("Color: \n", "red"), ("Color:".to_owned(), " \nred".to_owned()));
        assert_eq!(split("a\u{1f}\u{a0}", "b"), ("a".to_owned(), "\u{1f}\u{a0}b".to_owned()));
    }

    #[test]
    fn only_the_continuation_is_scored() {
        let it = sequence(Tokenizer::Bytes, "ab", " c", 100).unwrap();
        assert_eq!(it.inputs, [END_OF_DOCUMENT, 97, 98, 32]);
        assert_eq!(it.targets, [IGNORED, IGNORED, 32, 99]);
    }

    #[test]
    fn without_a_context_the_end_of_a_document_comes_first() {
        let it = sequence(Tokenizer::Bytes, "", "c", 100).unwrap();
        assert_eq!((it.inputs, it.targets), (vec![END_OF_DOCUMENT], vec![99]));
    }

    #[test]
    fn what_is_too_long_loses_its_beginning() {
        let it = sequence(Tokenizer::Bytes, "abcdef", "gh", 3).unwrap();
        assert_eq!(it.inputs, [101, 102, 103]);
        assert_eq!(it.targets, [IGNORED, 103, 104]);
    }

    #[test]
    fn a_choice_longer_than_the_context_is_refused() {
        let error = sequence(Tokenizer::Bytes, "a", "bcde", 3).unwrap_err();
        assert!(error.contains("4 tokens, more than the context of 3"), "{error}");
    }
}
