//! Which packs a body may lie in: working ones, or those of the archive for its quarter of expiry.

use sealpost_model::Time;

/// A kind of pack. *Working* packs are compacted; *archive* packs, one shelf for each quarter of a year, hold what expires
/// in that quarter, and die whole after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shelf(i64);

impl Shelf {
    /// Mailboxes, drafts, pickup.
    pub const WORKING: Self = Self(0);

    /// The shelf of what is kept until the end of `day` (days since 1970-01-01).
    pub fn until(day: i32) -> Self {
        let date = date(day);
        Self(i64::from(date.year()) * 4 + i64::from(date.month() - 1) / 3)
    }

    /// As it is stored.
    pub const fn raw(self) -> i64 {
        self.0
    }

    /// As it was stored.
    pub const fn from_raw(raw: i64) -> Self {
        Self(raw)
    }

    /// The first day on which nothing on it has to be kept any more; `None` for the working shelf, and for what was never
    /// stored.
    pub fn over(self) -> Option<i32> {
        let next = self.0.checked_add(1)?;
        let year = i16::try_from(next.div_euclid(4)).ok().filter(|_| self.0 > 0)?;
        let month = i8::try_from(next.rem_euclid(4) * 3 + 1).ok()?;
        let first = jiff::civil::Date::new(year, month, 1).ok()?;
        let since = first.since(jiff::civil::Date::constant(1970, 1, 1)).ok()?;
        Some(since.get_days())
    }

    /// `working`, or `2032-Q4`.
    pub fn word(self) -> String {
        if self == Self::WORKING {
            return "working".to_owned();
        }
        format!("{}-Q{}", self.0.div_euclid(4), self.0.rem_euclid(4) + 1)
    }
}

fn date(day: i32) -> jiff::civil::Date {
    let time = Time::from_seconds(i64::from(day) * 86_400);
    time.timestamp().to_zoned(jiff::tz::TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> i32 {
        let date: jiff::civil::Date = text.parse().unwrap();
        date.since(jiff::civil::Date::constant(1970, 1, 1)).unwrap().get_days()
    }

    #[test]
    fn a_day_lies_in_its_quarter_and_the_quarter_is_over_after_its_last_day() {
        for (at, word, over) in [
            ("2032-11-21", "2032-Q4", "2033-01-01"),
            ("2032-12-31", "2032-Q4", "2033-01-01"),
            ("2033-01-01", "2033-Q1", "2033-04-01"),
            ("2032-02-29", "2032-Q1", "2032-04-01"),
            ("1970-01-01", "1970-Q1", "1970-04-01"),
        ] {
            let shelf = Shelf::until(day(at));
            assert_eq!((shelf.word().as_str(), shelf.over()), (word, Some(day(over))));
            assert_eq!(Shelf::from_raw(shelf.raw()), shelf);
        }
        assert_eq!(Shelf::WORKING.over(), None);
        assert_eq!(Shelf::from_raw(i64::MAX).over(), None);
        assert!(Shelf::until(i32::MAX) > Shelf::WORKING);
    }
}
