//! `schedule`: when a file is applied again, as crontab(5) writes it, in a time zone.
//!
//! What an expression means is read here, with crontab's own rules, and given to the crate `cron` as plain
//! lists of numbers, which counts the days. It does so on the zone's own calendar; what its clock leaves out
//! or has twice is decided here.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::{Errors, Place};
use super::fields::{Fields, Keys};
use super::value;
use super::yaml::{Content, Node};

/// When a sweep file is applied again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timetable {
    /// As written: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// By its IANA name.
    pub zone: String,
    /// What becomes of a time while the last sweep has not ended.
    pub overlap: Overlap,
    /// How many of its ended sweeps are kept; none: all.
    pub keep: Option<u32>,
}

/// What becomes of a time while the last sweep of the schedule has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is passed over.
    Skip,
    /// It waits until that has ended.
    Wait,
    /// That is cancelled.
    Replace,
}

const SCHEDULE: Keys = Keys { known: &["cron", "zone", "overlap", "keep"], later: &[] };
const EXAMPLE: &str = "minute, hour, day of the month, month and day of the week, for example `\"0 2 * * *\"` for 2:00 each day";
/// Far more than anybody waits for.
const LOOKED_AT: u32 = 10_000;
/// No clock is set forward by so much.
const GAP_MINUTES_MAX: i64 = 26 * 60;

pub(super) fn read(file: &Fields<'_>, errors: &mut Errors) -> Option<Timetable> {
    let entry = file.entry("schedule")?;
    let node = &entry.value;
    if !matches!(node.content, Content::Map(_)) {
        let cron = expression(node).map_err(|message| errors.add(node.place, "schedule", message));
        let zone = "UTC".to_owned();
        return Some(Timetable { cron: cron.ok()?, zone, overlap: Overlap::Skip, keep: None });
    }
    let fields = Fields::open(node, "schedule", SCHEDULE, errors)?;
    let missing = format!("no default for cron: {EXAMPLE}");
    let cron = fields.required("cron", expression, &missing, errors);
    let zone = fields.value("zone", zone, errors);
    let words = [("skip", Overlap::Skip), ("wait", Overlap::Wait), ("replace", Overlap::Replace)];
    let overlap = fields.value("overlap", |node| value::word(node, &words, &[]), errors);
    let keep = fields.value("keep", value::positive_count, errors);
    Some(Timetable {
        cron: cron?.value,
        zone: zone.map_or_else(|| "UTC".to_owned(), |zone| zone.value),
        overlap: overlap.map_or(Overlap::Skip, |overlap| overlap.value),
        keep: keep.map(|keep| keep.value),
    })
}

/// What is applied has its time behind this name.
pub(super) fn check_name(name: &str, place: Place, errors: &mut Errors) {
    const MAX: usize = value::SCHEDULE_NAME_MAX;
    if name.contains('@') {
        let message =
            format!("`{name}` is what a schedule applied: leave `schedule` or the time out");
        errors.add(place, "sweep", message);
    } else if MAX < name.len() {
        let message = format!(
            "`{name}` has {} characters; with a schedule it has at most {MAX}, as its sweeps are called \
             name@2026-11-22T1400",
            name.len()
        );
        errors.add(place, "sweep", message);
    }
}

fn expression(node: &Node) -> value::Read<String> {
    let text = value::text(node)?;
    let fields = CronFields::read(&text)?;
    // a leap year, and all that follow
    let begin = Utc.with_ymd_and_hms(2024, 1, 1, 0, 0, 0).single().expect("it is a date");
    let times = Times { schedules: fields.schedules(), zone: Tz::UTC };
    if times.next(begin).is_none() {
        return Err(format!("`{text}` never comes: there is no such day"));
    }
    Ok(text)
}

fn zone(node: &Node) -> value::Read<String> {
    let text = value::text(node)?;
    Tz::from_str(&text).map(|_| text.clone()).map_err(|_| {
        format!("expected a time zone by its IANA name, for example Europe/Berlin, found `{text}`")
    })
}

/// The values of each field, as crontab means them.
struct CronFields {
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    days: BTreeSet<u32>,
    months: BTreeSet<u32>,
    /// From 0 for Sunday to 6.
    weekdays: BTreeSet<u32>,
    /// Where both are restricted, either is enough.
    is_either_day: bool,
}

impl CronFields {
    fn read(text: &str) -> Result<Self, String> {
        const MONTHS: [&str; 12] =
            ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            return Err(format!("expected five fields ({EXAMPLE}), found `{text}`"));
        };
        let none = &[][..];
        let weekdays = values("day of the week", weekday, 0..=7, &DAYS, 0)?;
        Ok(Self {
            minutes: values("minute", minute, 0..=59, none, 0)?,
            hours: values("hour", hour, 0..=23, none, 0)?,
            days: values("day of the month", day, 1..=31, none, 0)?,
            months: values("month", month, 1..=12, &MONTHS, 1)?,
            // both 0 and 7 are Sunday
            weekdays: weekdays.into_iter().map(|day| day % 7).collect(),
            is_either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    /// The crate wants seconds first, Sunday as 1, and days that match in both ways.
    fn schedules(&self) -> Vec<cron::Schedule> {
        let list = |values: &BTreeSet<u32>| {
            values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
        };
        let weekdays = self.weekdays.iter().map(|day| day + 1).collect();
        let (days, weekdays) = (list(&self.days), list(&weekdays));
        let of = |days: &str, weekdays: &str| {
            let (minutes, hours) = (list(&self.minutes), list(&self.hours));
            let text = format!("0 {minutes} {hours} {days} {} {weekdays} *", list(&self.months));
            cron::Schedule::from_str(&text).expect("lists of numbers in their ranges")
        };
        if self.is_either_day {
            return vec![of(&days, "*"), of("*", &weekdays)];
        }
        vec![of(&days, &weekdays)]
    }
}

/// `*`, `5`, `1-5`, `*/15`, `0-30/10`, and lists of these.
fn values(
    field: &str,
    text: &str,
    range: RangeInclusive<u32>,
    names: &[&str],
    first_name: u32,
) -> Result<BTreeSet<u32>, String> {
    let (least, most) = (*range.start(), *range.end());
    let wrong = |part: &str| {
        let names = names.first().map_or_else(String::new, |name| format!(" or names like {name}"));
        format!(
            "{field}: expected numbers from {least} to {most}{names}, as 5, 1-5, */15 or 1,3, found `{part}`"
        )
    };
    let number = |part: &str| {
        let named = names.iter().position(|name| part.eq_ignore_ascii_case(name));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + first_name);
        let is_plain = part.bytes().all(|byte| byte.is_ascii_digit());
        let number = named.or_else(|| part.parse().ok().filter(|_| is_plain));
        number.filter(|number| range.contains(number)).ok_or_else(|| wrong(part))
    };
    let mut found = BTreeSet::new();
    for part in text.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => {
                let step = step.parse().ok().filter(|step| 0 < *step);
                (span, step.ok_or_else(|| wrong(part))?)
            }
            None => (part, 1),
        };
        let (from, to) = match span.split_once('-') {
            _ if span == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => return Err(wrong(part)),
            None => (number(span)?, number(span)?),
        };
        if to < from {
            return Err(wrong(part));
        }
        found.extend((from..=to).step_by(step));
    }
    Ok(found)
}

struct Times {
    schedules: Vec<cron::Schedule>,
    zone: Tz,
}

impl Times {
    fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // the crate counts on a calendar without gaps: that of the zone, taken for UTC's
        let begin = after.with_timezone(&self.zone).naive_local().and_utc();
        let first = |schedule: &cron::Schedule| {
            let local = schedule.after(&begin).map(|local| local.naive_utc());
            local.map(|local| self.instant(local)).find(|instant| after < *instant)
        };
        self.schedules.iter().filter_map(first).min()
    }

    /// A time that the clock leaves out comes when it goes on, one that it has twice the first time.
    fn instant(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let later = (0..GAP_MINUTES_MAX).map(|minutes| local + TimeDelta::minutes(minutes));
        let mut found = later.map(|local| self.zone.from_local_datetime(&local));
        let found = found.find_map(LocalResult::earliest);
        found.map_or_else(|| local.and_utc(), |instant| instant.with_timezone(&Utc))
    }
}

impl Timetable {
    fn times(&self) -> Times {
        let fields = CronFields::read(&self.cron).expect("it was read before");
        let zone = Tz::from_str(&self.zone).expect("it was read before");
        Times { schedules: fields.schedules(), zone }
    }

    /// The first time after another; none: it never comes again.
    #[must_use]
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.times().next(after)
    }

    /// The last time after `after` and up to `until`, and how many there are between.
    #[must_use]
    pub fn latest(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<(DateTime<Utc>, u32)> {
        let times = self.times();
        let (mut at, mut last, mut n) = (after, None, 0);
        while let Some(time) = times.next(at).filter(|time| *time <= until) {
            (at, last, n) = (time, Some(time), n + 1);
            if n == LOOKED_AT {
                // what comes so often comes within a day
                at = at.max(until - TimeDelta::days(1));
            }
        }
        last.map(|last| (last, n - 1))
    }

    /// What is applied for a time: `nightly@2026-11-22`, and with the time of day where one day may have
    /// several; by the zone's own clock.
    #[must_use]
    pub fn name(&self, sweep: &str, due: DateTime<Utc>) -> String {
        let fields = CronFields::read(&self.cron).expect("it was read before");
        if 1 < fields.minutes.len() * fields.hours.len() {
            return self.name_by_minute(sweep, due);
        }
        let local = due.with_timezone(&self.times().zone);
        format!("{sweep}@{}", local.format("%Y-%m-%d"))
    }

    /// The same for a time that is none of its own: `nightly@2026-11-22T1405`.
    #[must_use]
    pub fn name_by_minute(&self, sweep: &str, at: DateTime<Utc>) -> String {
        let local = at.with_timezone(&self.times().zone);
        format!("{sweep}@{}", local.format("%Y-%m-%dT%H%M"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timetable(cron: &str, zone: &str) -> Timetable {
        let (cron, zone) = (cron.to_owned(), zone.to_owned());
        Timetable { cron, zone, overlap: Overlap::Skip, keep: None }
    }

    fn utc(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    /// The next times, in the zone's own words.
    fn times(cron: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
        let timetable = timetable(cron, zone);
        let mut at = utc(after);
        let mut found = Vec::new();
        while found.len() < n {
            at = timetable.next(at).unwrap();
            let local = at.with_timezone(&Tz::from_str(zone).unwrap());
            found.push(local.format("%a %d %H:%M %Z").to_string());
        }
        found
    }

    /// 2026-11-22 is a Sunday.
    #[test]
    fn days_of_the_week_are_those_of_crontab() {
        for (cron, day) in [
            ("0 0 * * 0", "Sun 29"),
            ("0 0 * * 7", "Sun 29"),
            ("0 0 * * sun", "Sun 29"),
            ("0 0 * * 1", "Mon 23"),
            ("0 0 * * 2", "Tue 24"),
            ("0 0 * * Wed", "Wed 25"),
            ("0 0 * * 4-5", "Thu 26"),
            ("0 0 * * 5,6", "Fri 27"),
            ("0 0 * * 6-7", "Sat 28"),
        ] {
            let found = times(cron, "UTC", "2026-11-22T12:00", 1);
            assert_eq!(found, [format!("{day} 00:00 UTC")], "{cron}");
        }
    }

    #[test]
    fn lists_ranges_and_steps_are_those_of_crontab() {
        let found = times("*/20 6-7 * * *", "UTC", "2026-11-22T06:30", 4);
        assert_eq!(
            found,
            ["Sun 22 06:40 UTC", "Sun 22 07:00 UTC", "Sun 22 07:20 UTC", "Sun 22 07:40 UTC"]
        );
        let found = times("5,10 0-12/6 1 jan-mar *", "UTC", "2026-11-22T06:30", 3);
        assert_eq!(found, ["Fri 01 00:05 UTC", "Fri 01 00:10 UTC", "Fri 01 06:05 UTC"]);
        // of two days that are restricted, either
        let found = times("0 0 24 * 5", "UTC", "2026-11-22T12:00", 3);
        assert_eq!(found, ["Tue 24 00:00 UTC", "Fri 27 00:00 UTC", "Fri 04 00:00 UTC"]);
        let found = times("0 0 */30 * 1", "UTC", "2026-11-22T12:00", 2);
        assert_eq!(found, ["Mon 01 00:00 UTC", "Mon 01 00:00 UTC"], "a star with steps is a star");
    }

    #[test]
    fn what_a_clock_leaves_out_or_has_twice_comes_once() {
        let berlin = "Europe/Berlin";
        let spring = times("30 2 * * *", berlin, "2026-03-28T12:00", 2);
        assert_eq!(spring, ["Sun 29 03:00 CEST", "Mon 30 02:30 CEST"]);
        let autumn = times("30 2 * * *", berlin, "2026-10-24T12:00", 2);
        assert_eq!(autumn, ["Sun 25 02:30 CEST", "Mon 26 02:30 CET"]);
        let hourly = times("0 * * * *", berlin, "2026-03-29T00:30", 2);
        assert_eq!(hourly, ["Sun 29 03:00 CEST", "Sun 29 04:00 CEST"]);
        let twice = times("0 * * * *", berlin, "2026-10-24T23:30", 3);
        assert_eq!(twice, ["Sun 25 02:00 CEST", "Sun 25 03:00 CET", "Sun 25 04:00 CET"]);
    }

    #[test]
    fn a_sweep_is_called_by_its_day_or_by_its_minute_where_a_day_has_several() {
        let due = utc("2026-11-21T23:30");
        let name = |cron| timetable(cron, "Europe/Berlin").name("nightly", due);
        assert_eq!(name("30 0 * * *"), "nightly@2026-11-22");
        assert_eq!(name("30 0 * * 1,7"), "nightly@2026-11-22");
        assert_eq!(name("30 */12 * * *"), "nightly@2026-11-22T0030");
        assert_eq!(name("0,30 0 * * *"), "nightly@2026-11-22T0030");
    }

    #[test]
    fn of_times_that_have_passed_the_last_counts() {
        let nightly = timetable("0 2 * * *", "UTC");
        let (before, now) = (utc("2026-11-20T01:59"), utc("2026-11-22T02:00"));
        assert_eq!(nightly.latest(before, now), Some((now, 2)));
        assert_eq!(nightly.latest(now, now), None);
        let often = timetable("* * * * *", "UTC");
        let (last, missed) = often.latest(utc("2026-01-01T00:00"), now).unwrap();
        assert!(last == now && 10_000 < missed, "{last} {missed}");
    }

    proptest! {
        #[test]
        fn the_next_time_lies_ahead_and_none_between(
            minute in 0_u32..60, hour in 0_u32..24, step in 1_u32..30, at in 1_700_000_000_i64..1_900_000_000,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]),
        ) {
            let after = DateTime::from_timestamp(at, 0).unwrap();
            for cron in [format!("{minute} {hour} * * *"), format!("*/{step} * * * *")] {
                let timetable = timetable(&cron, zone);
                let next = timetable.next(after).unwrap();
                prop_assert!(after < next && next.timestamp() % 60 == 0);
                prop_assert_eq!(timetable.latest(after, next), Some((next, 0)));
                prop_assert!(next - after <= TimeDelta::hours(26));
            }
        }
    }
}
