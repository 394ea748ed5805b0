//! One series out of the chunks of several attempts.

/// Points of one attempt, as one report brought them. The columns are equally long; steps ascend.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    pub attempt: u32,
    /// Points beyond this step were overtaken by a later attempt; below 0 hides all.
    pub visible_to: Option<i64>,
    pub steps: Vec<i64>,
    pub values: Vec<f64>,
    pub times: Vec<i64>,
}

/// Columns of one series: steps ascend and none comes twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    pub steps: Vec<i64>,
    pub values: Vec<f64>,
    pub times: Vec<i64>,
}

impl Points {
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Some of them, by their places.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn slice(&self, places: std::ops::Range<usize>) -> Self {
        Self {
            steps: self.steps[places.clone()].to_vec(),
            values: self.values[places.clone()].to_vec(),
            times: self.times[places].to_vec(),
        }
    }

    /// Puts `later` behind.
    ///
    /// # Panics
    /// If it does not lie there.
    pub fn append(&mut self, later: Self) {
        let is_behind = later.is_empty() || self.steps.last() < later.steps.first();
        assert!(is_behind, "steps ascend");
        self.steps.extend(later.steps);
        self.values.extend(later.values);
        self.times.extend(later.times);
    }

    pub(crate) fn push(&mut self, step: i64, value: f64, time: i64) {
        self.steps.push(step);
        self.values.push(value);
        self.times.push(time);
    }
}

/// The points that count, from `from` to `to`, both included: visible ones, and at one step the
/// highest attempt's; of one attempt's, the last.
///
/// `chunks` come in any order of attempts; within an attempt, in the order they were reported.
///
/// # Panics
/// If the columns of a chunk differ in length.
#[must_use]
pub fn merge(chunks: &[Chunk], range: (i64, i64)) -> Points {
    one_behind_the_other(chunks, range).unwrap_or_else(|| sorted(chunks, range))
}

/// Most series have one attempt, or attempts that begin where others end. None where it is not so.
fn one_behind_the_other(chunks: &[Chunk], (from, to): (i64, i64)) -> Option<Points> {
    let mut points = Points::default();
    for chunk in chunks {
        let last = chunk.visible_to.unwrap_or(i64::MAX).min(to);
        let begin = chunk.steps.partition_point(|&step| step < from);
        let end = chunk.steps.partition_point(|&step| step <= last).max(begin);
        let steps = &chunk.steps[begin..end];
        let is_behind = steps.first() > points.steps.last() || steps.is_empty();
        if !is_behind || !steps.is_sorted_by(|a, b| a < b) {
            return None;
        }
        points.steps.extend_from_slice(steps);
        points.values.extend_from_slice(&chunk.values[begin..end]);
        points.times.extend_from_slice(&chunk.times[begin..end]);
    }
    Some(points)
}

fn sorted(chunks: &[Chunk], (from, to): (i64, i64)) -> Points {
    let mut all: Vec<(i64, u32, usize, f64, i64)> = Vec::new();
    for (order, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.steps.len(), chunk.values.len(), "columns of a chunk differ");
        assert_eq!(chunk.steps.len(), chunk.times.len(), "columns of a chunk differ");
        let last = chunk.visible_to.unwrap_or(i64::MAX).min(to);
        for ((&step, &value), &time) in chunk.steps.iter().zip(&chunk.values).zip(&chunk.times) {
            if from <= step && step <= last {
                all.push((step, chunk.attempt, order, value, time));
            }
        }
    }
    // the one that counts comes first among those of its step
    all.sort_by_key(|&(step, attempt, order, ..)| {
        (step, std::cmp::Reverse(attempt), std::cmp::Reverse(order))
    });
    let mut points = Points::default();
    for (step, _, _, value, time) in all {
        if points.steps.last() != Some(&step) {
            points.push(step, value, time);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(attempt: u32, visible_to: Option<i64>, points: &[(i64, f64)]) -> Chunk {
        Chunk {
            attempt,
            visible_to,
            steps: points.iter().map(|p| p.0).collect(),
            values: points.iter().map(|p| p.1).collect(),
            times: points.iter().map(|p| p.0 * 10).collect(),
        }
    }

    #[test]
    fn a_resumed_attempt_overtakes_what_lies_beyond_its_checkpoint() {
        let first = chunk(1, Some(2), &[(1, 1.0), (2, 2.0), (3, 3.0)]);
        let second = chunk(2, None, &[(3, 30.0), (4, 40.0)]);
        let points = merge(&[second, first], (0, 100));
        assert_eq!(points.steps, [1, 2, 3, 4]);
        assert_eq!(points.values, [1.0, 2.0, 30.0, 40.0]);
        assert_eq!(points.times, [10, 20, 30, 40]);
    }

    #[test]
    fn at_one_step_the_highest_attempt_counts() {
        let first = chunk(1, None, &[(1, 1.0)]);
        let second = chunk(2, None, &[(1, 10.0)]);
        assert_eq!(merge(&[first, second], (0, 9)).values, [10.0]);
    }

    #[test]
    fn an_attempt_hidden_whole_leaves_nothing_not_even_step_0() {
        assert!(merge(&[chunk(1, Some(-1), &[(0, 1.0)])], (0, 9)).is_empty());
    }

    #[test]
    fn the_range_includes_both_ends() {
        let points = merge(&[chunk(1, None, &[(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)])], (2, 3));
        assert_eq!(points.steps, [2, 3]);
    }

    #[test]
    fn a_nan_is_a_value_like_others() {
        let points = merge(&[chunk(1, None, &[(1, f64::NAN)])], (0, 9));
        assert!(points.values[0].is_nan());
    }
}
