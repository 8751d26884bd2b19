//! Dates of IMAP: `date`, `date-time` (RFC 9051 section 9), and the day of a `Date:` header.

use sealpost_model::Time;

use super::cursor::{Cursor, Parsed};

/// A calendar day, counted from 1 January 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i32);

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_MS: i64 = 86_400_000;

impl Day {
    /// The UTC day of a time.
    pub fn of(time: Time) -> Self {
        Self(time.day())
    }

    /// Year, month and day of the month in the proleptic Gregorian calendar; `None` if there is no such day.
    pub fn new(year: i32, month: u32, day: u32) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let longest = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if day == 0 || day > longest || !(1..=9999).contains(&year) {
            return None;
        }
        // Counted in years that begin in March, so that a leap day is the last of its year.
        let (month, day) = (i32::try_from(month).ok()?, i32::try_from(day).ok()?);
        let year = year - i32::from(month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Some(Self(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468))
    }

    /// Year, month (1 to 12) and day of the month.
    pub fn civil(self) -> (i32, usize, i32) {
        let days = self.0.saturating_add(719_468);
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (year + era * 400 + i32::from(month <= 2), usize::try_from(month).unwrap_or(1), day)
    }

    /// The day in a `Date:` header as its writer saw it, without time and zone (RFC 9051 section 6.4.4, SENTON).
    pub fn of_header(text: &str) -> Option<Self> {
        let text = text.split_once(',').map_or(text, |(_, rest)| rest);
        let mut words = text.split_ascii_whitespace();
        let day = words.next()?.parse().ok()?;
        let name = words.next()?;
        let month = month(name.get(..3)?)?;
        let year: i32 = words.next()?.parse().ok()?;
        // RFC 5322 section 4.3: two and three digits
        let year = match year {
            0..=49 => year + 2000,
            50..=999 => year + 1900,
            _ => year,
        };
        Self::new(year, month, day)
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{day}-{}-{year:04}", MONTHS.get(month - 1).unwrap_or(&"Jan"))
    }
}

fn month(name: &str) -> Option<u32> {
    let found = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(name))?;
    u32::try_from(found + 1).ok()
}

/// `date = date-text / DQUOTE date-text DQUOTE`
pub(super) fn date(c: &mut Cursor) -> Parsed<Day> {
    let quoted = c.take(b'"');
    let day = date_text(c)?;
    if quoted {
        c.need(b'"', "a closing quotation mark")?;
    }
    Ok(day)
}

/// `date-text = date-day "-" date-month "-" date-year`
fn date_text(c: &mut Cursor) -> Parsed<Day> {
    const A_DATE: &str = "a date like 1-Feb-2026";
    let day = c.number()?;
    c.need(b'-', A_DATE)?;
    let name = c.run(|b| b.is_ascii_alphabetic(), A_DATE)?;
    let month = std::str::from_utf8(name).ok().and_then(month);
    c.need(b'-', A_DATE)?;
    let year = c.run(|b| b.is_ascii_digit(), A_DATE)?;
    let year =
        if year.len() == 4 { std::str::from_utf8(year).ok().and_then(|y| y.parse().ok()) } else { None };
    match month.zip(year).and_then(|(month, year)| Day::new(year, month, day)) {
        Some(day) => Ok(day),
        None => c.expected(A_DATE),
    }
}

/// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
pub(super) fn date_time(c: &mut Cursor) -> Parsed<Time> {
    const A_TIME: &str = "a date and time like \" 1-Feb-2026 13:45:00 +0100\"";
    c.need(b'"', A_TIME)?;
    c.take(b' ');
    let day = date_text(c)?;
    c.need(b' ', A_TIME)?;
    let hour = two(c, 23)?;
    c.need(b':', A_TIME)?;
    let minute = two(c, 59)?;
    c.need(b':', A_TIME)?;
    let second = two(c, 60)?;
    c.need(b' ', A_TIME)?;
    let west = match c.peek() {
        Some(b'+') => false,
        Some(b'-') => true,
        _ => return c.expected(A_TIME),
    };
    c.take(if west { b'-' } else { b'+' });
    let zone = two(c, 23)? * 60 + two(c, 59)?;
    c.need(b'"', A_TIME)?;
    let zone = if west { -zone } else { zone };
    let seconds = hour * 3600 + minute * 60 + second - zone * 60;
    let time = Time::from_millis(i64::from(day.0) * DAY_MS + seconds * 1000);
    // At the ends of the calendar the zone may lead out of it.
    if (1..=9999).contains(&Day::of(time).civil().0) { Ok(time) } else { c.expected(A_TIME) }
}

/// Two digits, at most `most`.
fn two(c: &mut Cursor, most: i64) -> Parsed<i64> {
    let mut value = 0;
    for _ in 0..2 {
        let Some(digit @ b'0'..=b'9') = c.peek() else { return c.expected("two digits") };
        c.take(digit);
        value = value * 10 + i64::from(digit - b'0');
    }
    if value <= most { Ok(value) } else { c.expected("a smaller number before") }
}

/// Prints a time as `date-time`, with its quotation marks, in UTC.
pub fn print_date_time(time: Time) -> String {
    let (year, month, day) = Day::of(time).civil();
    let seconds = time.seconds().rem_euclid(86_400);
    let month = MONTHS.get(month - 1).unwrap_or(&"Jan");
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("\"{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} +0000\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<Time> {
        let mut c = Cursor::new(text.as_bytes());
        date_time(&mut c).ok().filter(|_| c.is_done())
    }

    #[test]
    fn times_of_the_rfc() {
        let time = parsed("\"17-Jul-1996 02:44:25 -0700\"").unwrap();
        assert_eq!(time, Time::from_millis(837_596_665_000));
        assert_eq!(print_date_time(time), "\"17-Jul-1996 09:44:25 +0000\"");
        assert_eq!(parsed("\" 1-Jan-1970 00:00:00 +0000\""), Some(Time::from_millis(0)));
    }

    #[test]
    fn times_that_are_none() {
        for text in [
            "\"30-Feb-2026 00:00:00 +0000\"",
            "\"1-Foo-2026 00:00:00 +0000\"",
            "\"1-Jan-26 00:00:00 +0000\"",
            "\"1-Jan-2026 24:00:00 +0000\"",
            "\"1-Jan-2026 00:00:00 0000\"",
            "\"1-Jan-2026 00:00:00\"",
            "1-Jan-2026 00:00:00 +0000",
            "\"4294967297-Jan-2026 00:00:00 +0000\"",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn days_of_headers() {
        let day = Day::new(2026, 2, 1);
        for text in ["Sun, 1 Feb 2026 23:59:59 -1200", "01 Feb 26 00:00 +0000", "1 February 2026"] {
            assert_eq!(Day::of_header(text), day, "{text}");
        }
        for text in ["", "yesterday", "Sun, 32 Feb 2026", "1 F\u{e9}v 2026"] {
            assert_eq!(Day::of_header(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_come_back(days in -700_000i32..2_900_000) {
            let (year, month, day) = Day(days).civil();
            prop_assert_eq!(Day::new(year, u32::try_from(month).unwrap(), u32::try_from(day).unwrap()), Some(Day(days)));
        }

        #[test]
        fn times_come_back(seconds in 0i64..250_000_000_000) {
            let time = Time::from_millis(seconds * 1000);
            prop_assert_eq!(parsed(&print_date_time(time)), Some(time));
        }
    }
}
