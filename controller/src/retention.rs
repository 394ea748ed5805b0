//! How long the database keeps what grows with every run and request. `schedule/drop_old.rs` drops what
//! is older.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use assay_api::quantity::Seconds;
use clap::Args;

/// Longer than this, somebody means for ever; Postgres could not subtract it from its clock.
const DAYS_MAX: u64 = 36_500;
const DAY: u64 = 86_400;

/// How long what grows is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
#[command(next_help_heading = "Retention")]
pub struct Retention {
    /// How long metrics of machines (`system/…`) are kept after their run has ended: `30d`, `12h` or
    /// `forever`.
    #[arg(long = "keep-system-metrics", env = "ASSAY_KEEP_SYSTEM_METRICS", value_name = "TIME",
        default_value_t = Retention::default().system_metrics)]
    pub system_metrics: Keep,

    /// How long what workers log is kept after their run has ended.
    #[arg(long = "keep-logs", env = "ASSAY_KEEP_LOGS", value_name = "TIME",
        default_value_t = Retention::default().logs)]
    pub logs: Keep,

    /// How long the audit log keeps who asked for what.
    #[arg(long = "keep-audit", env = "ASSAY_KEEP_AUDIT", value_name = "TIME",
        default_value_t = Retention::default().audit)]
    pub audit: Keep,
}

impl Default for Retention {
    fn default() -> Self {
        let month = Keep::For(Seconds(30 * DAY));
        Self { system_metrics: month, logs: Keep::Forever, audit: Keep::Forever }
    }
}

/// Text is `30d`, `12h` or `forever`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Forever,
    For(Seconds),
}

impl Keep {
    /// None: for ever.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(Seconds(seconds)) => Some(Duration::from_secs(seconds)),
        }
    }
}

impl FromStr for Keep {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        match Seconds::parse(text) {
            Ok(Seconds(seconds)) if seconds <= DAYS_MAX * DAY => Ok(Self::For(Seconds(seconds))),
            _ => Err(format!(
                "expected a time such as 30d or 12h, at most {DAYS_MAX}d, or `forever`"
            )),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => to.write_str("forever"),
            Self::For(time) => write!(to, "{time}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_for_a_time_or_for_ever() {
        for text in ["30d", "12h", "36500d", "forever"] {
            assert_eq!(text.parse::<Keep>().unwrap().to_string(), text);
        }
        assert_eq!("2h".parse::<Keep>().unwrap().duration(), Some(Duration::from_hours(2)));
        for text in ["", "0d", "30", "-1d", "never", "Forever", "36501d", "1y"] {
            let refused = text.parse::<Keep>().unwrap_err();
            assert!(refused.contains("30d or 12h"), "{text}: {refused}");
        }
    }
}
