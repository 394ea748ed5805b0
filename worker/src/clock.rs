//! The only reader of the clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// For durations.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn instant() -> Instant {
    Instant::now()
}
