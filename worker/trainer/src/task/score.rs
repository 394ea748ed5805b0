//! From log-likelihoods to accuracy, by lm-evaluation-harness's rules.

use super::Item;

/// How one item went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The likeliest choice is the right one.
    pub acc: bool,
    /// So is the likeliest per character.
    pub acc_norm: bool,
}

/// One number about one task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// `acc` or `acc_norm`.
    pub metric: &'static str,
    pub value: f64,
    /// Sample standard deviation over sqrt(n); none for a single item.
    pub stderr: Option<f64>,
    pub n: u64,
}

impl Item {
    /// Judges the choices by their log-likelihoods, given in the choices' order. Lengths are counted
    /// in code points, without the delimiter; of equals the first wins.
    #[must_use]
    pub fn judge(&self, log_likelihoods: &[f64]) -> Outcome {
        assert_eq!(log_likelihoods.len(), self.choices.len(), "one log-likelihood per choice");
        let lengths = self.choices.iter().map(|choice| choice.chars().count());
        #[expect(clippy::cast_precision_loss, reason = "a choice has fewer than 2^52 characters")]
        let per_character: Vec<f64> = log_likelihoods
            .iter()
            .zip(lengths)
            .map(|(log_likelihood, length)| log_likelihood / length as f64)
            .collect();
        Outcome {
            acc: first_largest(log_likelihoods) == self.gold,
            acc_norm: first_largest(&per_character) == self.gold,
        }
    }
}

/// `acc` and `acc_norm` over all items; nothing for no items.
#[must_use]
pub fn summarize(outcomes: &[Outcome]) -> Vec<Score> {
    if outcomes.is_empty() {
        return Vec::new();
    }
    let acc: Vec<bool> = outcomes.iter().map(|outcome| outcome.acc).collect();
    let acc_norm: Vec<bool> = outcomes.iter().map(|outcome| outcome.acc_norm).collect();
    vec![share("acc", &acc), share("acc_norm", &acc_norm)]
}

fn first_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if values[best] < *value {
            best = index;
        }
    }
    best
}

/// The mean of zeros and ones. Their sample variance is `n p (1 - p) / (n - 1)`, so that the standard
/// error is sqrt(p (1 - p) / (n - 1)).
#[expect(clippy::cast_precision_loss, reason = "a task has fewer than 2^52 items")]
fn share(metric: &'static str, hits: &[bool]) -> Score {
    let n = hits.len() as f64;
    let value = hits.iter().filter(|hit| **hit).count() as f64 / n;
    let stderr = (hits.len() > 1).then(|| (value * (1.0 - value) / (n - 1.0)).sqrt());
    Score { metric, value, stderr, n: hits.len() as u64 }
}
