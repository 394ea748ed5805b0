//! What a scalar means: numbers with their units, and words out of a list.
//!
//! Each reader answers with the value, or with a sentence that says what was expected, what stands
//! there and, where it can be guessed, what to write instead.

use super::errors::did_you_mean;
use super::yaml::{Content, Node};

pub(crate) type Read<T> = Result<T, String>;

/// The largest count: beyond 2^53 a JSON number is no longer exact.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;

/// A share of a run's steps, or a number of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Span {
    Share(f64),
    Steps(u64),
}

impl Span {
    /// In steps: a share is rounded to the nearest.
    pub(crate) fn steps(self, of: u64) -> u64 {
        match self {
            Self::Share(share) => rounded(share * as_float(of)),
            Self::Steps(steps) => steps,
        }
    }
}

/// Tokens: `200k`, `1.5M`, `4096`.
pub(crate) fn tokens(node: &Node) -> Read<u64> {
    const EXPECTED: &str = "a number of tokens such as 4096, 200k or 1.5M";
    let text = plain(node, EXPECTED)?;
    if text.ends_with('%') {
        return Err(format!("expected {EXPECTED}; `{text}` is a share"));
    }
    let Some(value) = counted(text) else {
        let hint = match text.chars().last() {
            Some('K' | 'm' | 'g' | 't') => "; the suffixes are k, M, G and T",
            Some('B' | 'b') => "; write G for a billion",
            _ => "",
        };
        return Err(format!("expected {EXPECTED}, found `{text}`{hint}"));
    };
    if value < 1 {
        return Err(format!("expected {EXPECTED}, at least 1, found `{text}`"));
    }
    Ok(value)
}

/// A whole number of things, at least 1: devices, sequences, runs at once.
pub(crate) fn positive_count(node: &Node) -> Read<u32> {
    const EXPECTED: &str = "a whole number, at least 1";
    let text = plain(node, EXPECTED)?;
    match text.parse::<u64>() {
        Ok(value) if value > u64::from(super::limits::THINGS_MAX) => Err(format!(
            "expected {EXPECTED} and at most {}, found `{text}`",
            super::limits::THINGS_MAX
        )),
        Ok(value @ 1..) => Ok(u32::try_from(value).expect("far below 2^32")),
        _ => Err(format!("expected {EXPECTED}, found `{text}`")),
    }
}

/// Tokens of one sequence.
pub(crate) fn context(node: &Node) -> Read<u32> {
    /// The longest context of a preset.
    const CONTEXT_MAX: u64 = 131_072;
    let value = tokens(node)?;
    match u32::try_from(value) {
        Ok(context) if (2..=CONTEXT_MAX).contains(&value) => Ok(context),
        _ => Err(format!("expected a context of 2 to {CONTEXT_MAX} tokens, found {value}")),
    }
}

pub(crate) fn seed(node: &Node) -> Read<u64> {
    const EXPECTED: &str = "a seed: a whole number from 0";
    let text = plain(node, EXPECTED)?;
    match text.parse::<u64>() {
        Ok(value) if as_float(value) < COUNT_MAX => Ok(value),
        _ => Err(format!("expected {EXPECTED}, found `{text}`")),
    }
}

pub(crate) fn above_zero(node: &Node) -> Read<f64> {
    const EXPECTED: &str = "a number above 0 such as 3e-4";
    match number(node, EXPECTED)? {
        value if value > 0.0 => Ok(value),
        value => Err(format!("expected {EXPECTED}, found {value}")),
    }
}

pub(crate) fn zero_or_more(node: &Node) -> Read<f64> {
    const EXPECTED: &str = "a number, 0 or more";
    match number(node, EXPECTED)? {
        value if value >= 0.0 => Ok(value),
        value => Err(format!("expected {EXPECTED}, found {value}")),
    }
}

/// The betas of `AdamW`: 1 would never forget.
pub(crate) fn below_one(node: &Node) -> Read<f64> {
    const EXPECTED: &str = "a number from 0 to below 1";
    match number(node, EXPECTED)? {
        value if (0.0..1.0).contains(&value) => Ok(value),
        value => Err(format!("expected {EXPECTED}, found {value}")),
    }
}

/// 0 to 1: `0.25` or `25%`.
pub(crate) fn share(node: &Node) -> Read<f64> {
    const EXPECTED: &str = "a share from 0 to 1 such as 0.25 or 25%";
    let text = plain(node, EXPECTED)?;
    let value = percent(text)
        .or_else(|| decimal(text))
        .ok_or_else(|| format!("expected {EXPECTED}, found `{text}`"))?;
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    let hint = if text.ends_with('%') || !(1.0..=100.0).contains(&value) {
        String::new()
    } else {
        format!("; did you mean `{text}%`?")
    };
    Err(format!("expected {EXPECTED}, found `{text}`{hint}"))
}

/// What is held out of a source: more than half would leave too little to train on.
pub(crate) fn heldout_share(node: &Node) -> Read<f64> {
    match share(node)? {
        value if value > 0.0 && value <= 0.5 => Ok(value),
        value => Err(format!("expected a share above 0 and up to 0.5, found {value}")),
    }
}

/// `2%` of the steps, or `40 steps`.
pub(crate) fn span(node: &Node) -> Read<Span> {
    const EXPECTED: &str =
        "a share of the steps such as 2%, or a number of them such as `40 steps`";
    let text = plain(node, EXPECTED)?;
    if let Some(share) = percent(text) {
        return if share <= 1.0 {
            Ok(Span::Share(share))
        } else {
            Err(format!("expected {EXPECTED}; `{text}` is more than all of them"))
        };
    }
    let words = text.strip_suffix("steps").or_else(|| text.strip_suffix("step"));
    if let Some(steps) = words.and_then(|count| counted(count.trim_end())) {
        return Ok(Span::Steps(steps));
    }
    match decimal(text) {
        Some(0.0) => Ok(Span::Steps(0)),
        Some(value) if value < 1.0 => {
            Err(format!("expected {EXPECTED}; write `{}%` or `… steps`", shown(value * 100.0)))
        }
        Some(_) => Err(format!("expected {EXPECTED}; write `{text} steps` or `{text}%`")),
        None => Err(format!("expected {EXPECTED}, found `{text}`")),
    }
}

/// How often something is measured: a [`span`] that is not zero.
pub(crate) fn interval(node: &Node) -> Read<Span> {
    match span(node)? {
        span @ (Span::Share(0.0) | Span::Steps(0)) => {
            Err(format!("expected an interval above 0, found {}", describe_span(span)))
        }
        span @ (Span::Share(_) | Span::Steps(_)) => Ok(span),
    }
}

fn describe_span(span: Span) -> String {
    match span {
        Span::Share(share) => format!("{}%", shown(share * 100.0)),
        Span::Steps(steps) => format!("{steps} steps"),
    }
}

pub(crate) fn truth(node: &Node) -> Read<bool> {
    const EXPECTED: &str = "true or false";
    match plain(node, EXPECTED)? {
        "true" => Ok(true),
        "false" => Ok(false),
        text => Err(format!("expected {EXPECTED}, found `{text}`")),
    }
}

pub(crate) fn text(node: &Node) -> Read<String> {
    match &node.content {
        Content::Plain(text) | Content::Quoted(text) if !text.trim().is_empty() => Ok(text.clone()),
        Content::Null
        | Content::Plain(_)
        | Content::Quoted(_)
        | Content::List(_)
        | Content::Map(_) => Err(format!("expected text, found {}", node.describe())),
    }
}

/// Text, or `null` for none.
pub(crate) fn text_or_none(node: &Node) -> Read<Option<String>> {
    if matches!(node.content, Content::Null) { Ok(None) } else { text(node).map(Some) }
}

pub(crate) fn texts(node: &Node) -> Read<Vec<String>> {
    match &node.content {
        Content::List(nodes) => nodes.iter().map(text).collect(),
        Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::Map(_) => {
            Err(format!("expected a list of words such as [language], found {}", node.describe()))
        }
    }
}

/// A name that people type, that stands in URLs, in paths of axes and in names of series.
pub(crate) fn name(text: &str) -> Read<()> {
    const NAME_MAX: usize = 63;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(is_allowed) {
        return Err(format!(
            "`{text}` cannot be a name: use 1 to {NAME_MAX} letters, digits, `-` and `_`"
        ));
    }
    Ok(())
}

/// A sweep's name may end in the time that its schedule applied it for: `nightly@2026-11-22T1400`.
pub(crate) fn sweep_name(text: &str) -> Read<()> {
    let Some((schedule, time)) = text.split_once('@') else { return name(text) };
    let is_time = |shape: &str| {
        let fits = |(found, wanted): (u8, u8)| match wanted {
            b'0' => found.is_ascii_digit(),
            _ => found == wanted,
        };
        time.len() == shape.len() && time.bytes().zip(shape.bytes()).all(fits)
    };
    if SCHEDULE_NAME_MAX < schedule.len() || !(is_time("0000-00-00") || is_time("0000-00-00T0000"))
    {
        return Err(format!(
            "`{text}` cannot be a name: after `@` comes the time of a schedule, as in nightly@2026-11-22"
        ));
    }
    name(schedule)
}

/// A name of 63 characters, less those of `@2026-11-22T1400`.
pub(crate) const SCHEDULE_NAME_MAX: usize = 47;

/// One of the words, or one that a later version brings.
pub(crate) fn word<T: Copy>(node: &Node, words: &[(&str, T)], later: &[&str]) -> Read<T> {
    let names = || words.iter().map(|(name, _)| *name);
    let expected = format!("one of {}", names().collect::<Vec<_>>().join(", "));
    let text = plain(node, &expected)?;
    if let Some((_, value)) = words.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    if later.contains(&text) {
        return Err(format!("`{text}` is not there yet; expected {expected}"));
    }
    Err(format!("expected {expected}, found `{text}`{}", did_you_mean(text, names())))
}

fn number(node: &Node, expected: &str) -> Read<f64> {
    let text = plain(node, expected)?;
    decimal(text).ok_or_else(|| format!("expected {expected}, found `{text}`"))
}

fn plain<'n>(node: &'n Node, expected: &str) -> Read<&'n str> {
    match &node.content {
        Content::Plain(text) => Ok(text),
        Content::Quoted(text) => Err(format!(
            "expected {expected}, found the quoted text \"{text}\"; write it without quotes"
        )),
        Content::Map(entries) if entries.iter().any(|entry| entry.key == "of_base") => {
            Err(format!(
                "`of_base` stands by itself, and for `train.lr.peak` only; expected {expected}"
            ))
        }
        Content::Null | Content::List(_) | Content::Map(_) => {
            Err(format!("expected {expected}, found {}", node.describe()))
        }
    }
}

/// A finite number without a unit.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    // `inf` and `nan` would parse; they are no settings.
    if !text.chars().all(is_number) || !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// `25%` as 0.25: the double nearest to the decimal fraction, which a division may miss.
pub(crate) fn percent(text: &str) -> Option<f64> {
    let digits = text.strip_suffix('%')?.trim_end();
    let value = decimal(digits)?;
    if digits.contains(['e', 'E']) { Some(value / 100.0) } else { decimal(&format!("{digits}e-2")) }
}

/// A whole number with a decimal suffix: 1.1M is 1,100,000.
pub(crate) fn counted(text: &str) -> Option<u64> {
    let (digits, scale) = match text.chars().last()? {
        'k' => (&text[..text.len() - 1], 1e3),
        'M' => (&text[..text.len() - 1], 1e6),
        'G' => (&text[..text.len() - 1], 1e9),
        'T' => (&text[..text.len() - 1], 1e12),
        _ => (text, 1.0),
    };
    let value = decimal(digits)? * scale;
    let whole = value.round();
    // A decimal fraction has no exact double: 1.1 * 1e6 may miss 1,100,000 by an ulp or two.
    let is_whole = (value - whole).abs() <= 4.0 * f64::EPSILON * value.abs();
    (is_whole && (0.0..COUNT_MAX).contains(&whole)).then(|| rounded(whole))
}

/// Rounded to so many significant digits, in decimals: the double nearest to what they say.
pub(crate) fn significant(value: f64, n_digits: usize) -> f64 {
    let text = format!("{value:.*e}", n_digits - 1);
    text.parse().expect("what is printed as a number is one")
}

/// Without the dust of binary fractions: 0.07 * 100 shows as 7.
pub(crate) fn shown(value: f64) -> String {
    format!("{}", (value * 1e9).round() / 1e9)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(crate) fn as_float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded first; counts are not negative and stay below 2^53"
)]
pub(crate) fn rounded(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::{counted, decimal, percent};

    #[test]
    fn suffixes_are_decimal_and_the_result_is_whole() {
        assert_eq!(counted("200k"), Some(200_000));
        assert_eq!(counted("1.1M"), Some(1_100_000));
        assert_eq!(counted("1.5G"), Some(1_500_000_000));
        assert_eq!(counted("2e6"), Some(2_000_000));
        assert_eq!(counted("1.0001k"), None);
        assert_eq!(counted("1K"), None);
        assert_eq!(counted("k"), None);
        assert_eq!(counted("-1"), None);
    }

    #[test]
    fn infinities_and_words_are_no_numbers() {
        for text in ["inf", "nan", "e", "-", "1e999", "0x10", "1_000"] {
            assert_eq!(decimal(text), None, "{text}");
        }
        assert_eq!(decimal("3e-4"), Some(3e-4));
    }

    #[test]
    fn a_percent_is_the_nearest_double() {
        assert_eq!(percent("7%"), Some(0.07));
        assert_eq!(percent("2.5 %"), Some(0.025));
        assert_eq!(percent("33.3%"), Some(0.333));
        assert_eq!(percent("7"), None);
    }
}
