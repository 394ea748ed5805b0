//! A range of numbers that `design: random` draws the values of an axis from.

use super::draw::{below, power};
use super::errors::{Errors, Place};
use super::value::{self, as_float, counted, decimal, rounded, significant};
use super::yaml::{Content, Entry, Node};

/// From `low` to `high`, both of which can be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    scale: Scale,
    unit: Unit,
    /// In the unit.
    low: f64,
    high: f64,
    /// What it draws are ratios of the peak that the base was pretrained with.
    of_base: bool,
    /// As written: each is checked like a value of the axis.
    pub(crate) ends: [Node; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Uniform,
    /// Every factor is as likely as another: for rates.
    LogUniform,
}

/// What the digits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Number,
    /// Tokens.
    Whole,
    Percent,
    Steps,
}

const SCALES: [(&str, Scale); 2] =
    [("uniform", Scale::Uniform), ("log_uniform", Scale::LogUniform)];

/// Axes of numbers between any two of which all are values. Tokens of a context, devices and seeds
/// are numbers too, but nobody means 3,071 of them.
const PATHS: [&str; 12] = [
    "train.tokens",
    "train.batch",
    "train.lr.peak",
    "train.lr.warmup",
    "train.lr.decay",
    "train.lr.floor",
    "train.adamw.beta1",
    "train.adamw.beta2",
    "train.adamw.eps",
    "train.adamw.weight_decay",
    "train.clip",
    "train.z_loss",
];
const WHOLE: [&str; 2] = ["train.tokens", "train.batch"];

/// So many values lie in a uniform range, at least: it is cut at tenths, hundredths and so on.
const UNIFORM_DIGITS: i32 = 2;

/// Whether a mapping stands for a range and not for a value.
pub(crate) fn is_range(node: &Node) -> bool {
    SCALES.iter().any(|(name, _)| node.entry(name).is_some())
}

impl Range {
    /// None: it is wrong, which is then said.
    pub(crate) fn read(
        node: &Node,
        path: &str,
        of_base: bool,
        shown: &str,
        errors: &mut Errors,
    ) -> Option<Self> {
        let Content::Map(entries) = &node.content else { return None };
        let read = match entries.as_slice() {
            [entry] => Self::of(entry, path, of_base),
            _ => Err((node.place, "expected one of `uniform` and `log_uniform`".to_owned())),
        };
        read.map_err(|(place, message)| errors.add(place, shown, message)).ok()
    }

    fn of(entry: &Entry, path: &str, of_base: bool) -> Result<Self, (Place, String)> {
        let Entry { key, value: node, place } = entry;
        let scale = SCALES.iter().find(|(name, _)| name == key).map(|(_, scale)| *scale);
        let scale = scale.ok_or((*place, format!("unknown key `{key}` beside a range")))?;
        if !PATHS.contains(&path) && !path.starts_with(super::axis::MIXTURE) {
            let message = format!("`{path}` has no range to draw from; write a list of its values");
            return Err((*place, message));
        }
        let refuse = |message: String| (node.place, message);
        let expected = format!("expected `{key}: [least, greatest]`");
        let Content::List(ends) = &node.content else {
            return Err(refuse(format!("{expected}, found {}", node.describe())));
        };
        let [low_node, high_node] = ends.as_slice() else {
            return Err(refuse(format!("{expected}, found {} values", ends.len())));
        };
        let end = |node: &Node| number(node, path).map_err(|message| (node.place, message));
        let ((low, unit), (high, unit_high)) = (end(low_node)?, end(high_node)?);
        // zero is zero in every unit
        let unit = if low == 0.0 { unit_high } else { unit };
        if unit != unit_high {
            return Err(refuse("write both ends in the same unit".to_owned()));
        }
        if high <= low {
            return Err(refuse(format!("{expected}: the first must be smaller than the second")));
        }
        if scale == Scale::LogUniform && low <= 0.0 {
            let message = "a logarithm has no zero: write a least value above 0, or `uniform`";
            return Err((low_node.place, message.to_owned()));
        }
        let ends = [low_node, high_node].map(|end| super::axis::wrapped(end.clone(), of_base));
        Ok(Self { scale, unit, low, high, of_base, ends })
    }

    /// The value that a random word stands for, as it would be written.
    pub(crate) fn draw(&self, word: u64) -> Node {
        let drawn = match self.scale {
            Scale::Uniform => self.uniform(word),
            Scale::LogUniform => significant(self.low * power(self.high / self.low, word), 3),
        };
        let drawn = if self.is_whole() { drawn.round() } else { drawn };
        let drawn = drawn.clamp(self.low, self.high);
        let text = match self.unit {
            Unit::Whole => format!("{drawn}"),
            Unit::Percent => format!("{drawn}%"),
            Unit::Steps => format!("{drawn} steps"),
            Unit::Number if drawn != 0.0 && drawn.abs() < 0.01 => format!("{drawn:e}"),
            Unit::Number => format!("{drawn}"),
        };
        let node = Node { place: self.ends[0].place, content: Content::Plain(text) };
        super::axis::wrapped(node, self.of_base)
    }

    /// One of the numbers low, low + step, low + 2 step, … up to high.
    fn uniform(&self, word: u64) -> f64 {
        let width = self.high - self.low;
        let step = if self.is_whole() { 1.0 } else { tenth(magnitude(width) - UNIFORM_DIGITS) };
        let n_steps = rounded((width / step + 1e-9).floor());
        significant(self.low + as_float(below(word, n_steps + 1)) * step, 12)
    }

    fn is_whole(&self) -> bool {
        matches!(self.unit, Unit::Whole | Unit::Steps)
    }
}

/// An end of a range without its unit, and the unit.
fn number(node: &Node, path: &str) -> value::Read<(f64, Unit)> {
    let expected = format!("expected a number as the axis takes them, found {}", node.describe());
    let Content::Plain(text) = &node.content else { return Err(expected) };
    let read = if WHOLE.contains(&path) {
        counted(text).map(|count| (as_float(count), Unit::Whole))
    } else if let Some(percent) = text.strip_suffix('%') {
        decimal(percent.trim_end()).map(|percent| (percent, Unit::Percent))
    } else if let Some(count) = text.strip_suffix("steps") {
        counted(count.trim_end()).map(|count| (as_float(count), Unit::Steps))
    } else {
        decimal(text).map(|number| (number, Unit::Number))
    };
    read.ok_or(expected)
}

/// The exponent of the first digit: -1 for 0.5.
fn magnitude(value: f64) -> i32 {
    let text = format!("{value:e}");
    let exponent = text.rsplit_once('e').map(|(_, exponent)| exponent);
    exponent.and_then(|exponent| exponent.parse().ok()).expect("printed with an exponent")
}

/// The double nearest to 10^exponent.
fn tenth(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().expect("a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(path: &str, key: &str, ends: [&str; 2]) -> Range {
        let node =
            |text: &str| Node { place: Place::default(), content: Content::Plain(text.to_owned()) };
        let value =
            Node { place: Place::default(), content: Content::List(ends.map(node).to_vec()) };
        let entry = Entry { key: key.to_owned(), place: Place::default(), value };
        Range::of(&entry, path, false).unwrap()
    }

    fn drawn(range: &Range, word: u64) -> String {
        let Content::Plain(text) = range.draw(word).content else { panic!("no plain text") };
        text
    }

    const HALF: u64 = 1 << 63;

    #[test]
    fn both_ends_and_the_middle_are_drawn() {
        let table = [
            ("train.lr.peak", "log_uniform", ["1e-5", "1e-3"], ["1e-5", "1e-4", "1e-3"]),
            ("train.lr.peak", "uniform", ["1e-5", "1e-3"], ["1e-5", "5.05e-4", "1e-3"]),
            ("train.lr.warmup", "uniform", ["0", "5%"], ["0%", "2.5%", "5%"]),
            (
                "train.lr.warmup",
                "uniform",
                ["0 steps", "100 steps"],
                ["0 steps", "50 steps", "100 steps"],
            ),
            ("train.batch", "log_uniform", ["1k", "100k"], ["1000", "10000", "100000"]),
            ("train.tokens", "uniform", ["1M", "3M"], ["1000000", "2000000", "3000000"]),
            ("data.mixture.b", "uniform", ["0.25", "0.75"], ["0.25", "0.5", "0.75"]),
            ("train.adamw.beta2", "uniform", ["0.99", "0.999"], ["0.99", "0.9945", "0.999"]),
        ];
        for (path, key, ends, expected) in table {
            let range = range(path, key, ends);
            let found = [0, HALF, u64::MAX].map(|word| drawn(&range, word));
            assert_eq!(found, expected, "{path} {key} {ends:?}");
        }
    }

    #[test]
    fn what_is_drawn_stays_inside() {
        // three digits would round the least value down and the greatest up
        let range = range("train.lr.peak", "log_uniform", ["1.004e-5", "1.004e-3"]);
        assert_eq!([drawn(&range, 0), drawn(&range, u64::MAX)], ["1.004e-5", "1e-3"]);
    }

    #[test]
    fn a_logarithmic_range_has_as_many_values_in_each_decade() {
        let range = range("train.lr.peak", "log_uniform", ["1e-6", "1e-2"]);
        let mut counts = [0_i32; 4];
        for n in 0..4_000 {
            let value: f64 = drawn(&range, super::super::draw::word(3, 1, n)).parse().unwrap();
            let decade = (0..3).filter(|n| 1e-5 * 10_f64.powi(*n) <= value).count();
            counts[decade] += 1;
        }
        // five standard deviations of 4,000 draws with chance 1/4
        assert!(counts.iter().all(|count| (count - 1_000).abs() < 5 * 27), "{counts:?}");
    }
}
