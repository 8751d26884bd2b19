//! When a set is due: each day, and each week, at a time of day in a zone.

use jiff::civil;
use jiff::tz::TimeZone;
use sealpost_model::Time;

use crate::Error;
use crate::set::Kind;

/// When sets are made.
#[derive(Clone, Debug)]
pub struct Schedule {
    at: civil::Time,
    on: civil::Weekday,
    zone: TimeZone,
}

impl Schedule {
    /// `at` is a time of day like `02:30`, `on` a day of the week like `sunday`, `zone` a name like `America/Chicago`.
    ///
    /// # Errors
    /// [`Error::Schedule`] says which of them is wrong.
    pub fn new(at: &str, on: &str, zone: &str) -> Result<Self, Error> {
        let wrong = |what: &str, it: &str, like: &str| {
            Error::Schedule(format!("{what} = {it:?} is none: write it like {like:?}"))
        };
        let parsed = civil::Time::strptime("%H:%M", at).map_err(|_| wrong("at", at, "02:30"))?;
        let day = DAYS.iter().find(|(word, _)| on.eq_ignore_ascii_case(word));
        let (_, day) = day.ok_or_else(|| wrong("on", on, "sunday"))?;
        let zone = TimeZone::get(zone).map_err(|_| wrong("zone", zone, "America/Chicago"))?;
        Ok(Self { at: parsed, on: *day, zone })
    }

    /// The newest moment before `now` at which a set of this kind was to be made. A clock that jumps for summer time
    /// moves it by that hour.
    pub fn slot(&self, kind: Kind, now: Time) -> Time {
        let local = now.timestamp().to_zoned(self.zone.clone());
        let mut day = local.date();
        for _ in 0..9 {
            let fits = kind == Kind::Daily || day.weekday() == self.on;
            let moment = day.to_datetime(self.at).to_zoned(self.zone.clone());
            if let (true, Ok(moment)) = (fits, moment)
                && moment <= local
            {
                return Time::from_millis(moment.timestamp().as_millisecond());
            }
            let Ok(before) = day.yesterday() else { break };
            day = before;
        }
        now
    }

    /// The first moment after `now` at which a set of this kind is to be made.
    pub fn next(&self, kind: Kind, now: Time) -> Time {
        let step = std::time::Duration::from_secs(3_600);
        let last = self.slot(kind, now);
        // At most eight days ahead, hour by hour: it is asked for by people.
        let mut at = now;
        for _ in 0..8 * 24 + 1 {
            at = at.plus(step);
            let slot = self.slot(kind, at);
            if slot > last {
                return slot;
            }
        }
        at
    }
}

const DAYS: [(&str, civil::Weekday); 7] = [
    ("monday", civil::Weekday::Monday),
    ("tuesday", civil::Weekday::Tuesday),
    ("wednesday", civil::Weekday::Wednesday),
    ("thursday", civil::Weekday::Thursday),
    ("friday", civil::Weekday::Friday),
    ("saturday", civil::Weekday::Saturday),
    ("sunday", civil::Weekday::Sunday),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        Time::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn slots_are_days_and_weeks_of_the_zone() {
        let schedule = Schedule::new("02:30", "Sunday", "America/New_York").unwrap();
        // 2026-11-22 is a Sunday; New York is five hours behind.
        for (now, daily, weekly) in [
            ("2026-11-22T07:29:59Z", "2026-11-21T07:30:00Z", "2026-11-15T07:30:00Z"),
            ("2026-11-22T07:30:00Z", "2026-11-22T07:30:00Z", "2026-11-22T07:30:00Z"),
            ("2026-11-28T23:00:00Z", "2026-11-28T07:30:00Z", "2026-11-22T07:30:00Z"),
            // Summer time begins on 2026-03-08: 02:30 is not there and becomes 03:30.
            ("2026-03-08T09:00:00Z", "2026-03-08T07:30:00Z", "2026-03-08T07:30:00Z"),
        ] {
            assert_eq!(schedule.slot(Kind::Daily, time(now)).rfc3339(), time(daily).rfc3339(), "{now}");
            assert_eq!(schedule.slot(Kind::Weekly, time(now)).rfc3339(), time(weekly).rfc3339(), "{now}");
        }
        assert_eq!(schedule.next(Kind::Weekly, time("2026-11-22T07:30:00Z")), time("2026-11-29T07:30:00Z"));
        assert_eq!(schedule.next(Kind::Daily, time("2026-11-22T07:29:00Z")), time("2026-11-22T07:30:00Z"));
    }

    #[test]
    fn what_is_no_time_day_or_zone_is_named() {
        for (at, on, zone, word) in [
            ("25:00", "sunday", "UTC", "at"),
            ("02:30", "sun", "UTC", "on"),
            ("02:30", "monday", "Mars/Olympus", "zone"),
        ] {
            let said = Schedule::new(at, on, zone).unwrap_err().to_string();
            assert!(said.contains(&format!("{word} = ")), "{said}");
        }
    }
}
