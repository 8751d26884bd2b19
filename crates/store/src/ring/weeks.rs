//! The weekly keys under which backups of the ring are made, and their end after four weeks.
//!
//! A backup of the ring would bring destroyed keys back for as long as it can be opened. So it is sealed under the key of
//! its week, which lies here and in no backup, and is destroyed 28 days after its week began (S73). The paper `weeks`,
//! beside the ring and at the second place, has a line a week: `week NUMBER MASTER WRAPPED`. Weeks are counted from
//! 1970-01-01, seven days each.

use std::time::Duration;

use sealpost_crypto::{Aad, Key, Random, base32};
use sealpost_model::Time;

use super::{Error, Paper, Places, Result};
use crate::keys::{Master, Purpose, Unopened};

const NAME: &str = "weeks";
const FORMAT: &str = "sealpost-weeks-1";
/// Weeks after its beginning at which a week's key dies.
const LIFE: i32 = 4;

/// The number of the week that a time lies in.
pub(super) const fn week_of(time: Time) -> i32 {
    time.day().div_euclid(7)
}

/// When the key of a week dies.
pub(super) fn dies(week: i32) -> Time {
    Time::from_seconds(0).plus(Duration::from_secs(u64::try_from(week + LIFE).unwrap_or(0) * 7 * 86_400))
}

/// The key of the week that `now` lies in; made, durably, when it is the first of its week. Those that are due die.
pub(super) fn current(places: &Places, master: &Master, random: &Random, now: Time) -> Result<(i32, Key)> {
    let week = week_of(now);
    let mut paper = read(places)?.unwrap_or_default();
    let key = match line_of(&paper, week) {
        Some(line) => open(&line, week, master)?,
        None => {
            let key = random.key();
            paper = paper.with("week", line(week, &key, master, random));
            key
        }
    };
    put(places, &paper, now)?;
    Ok((week, key))
}

/// Ends the keys that are due; answers how many there were.
pub(super) fn bury(places: &Places, now: Time) -> Result<usize> {
    let Some(paper) = read(places)? else { return Ok(0) };
    let before = paper.all("week").count();
    let left = living(&paper, now).all("week").count();
    if left != before {
        put(places, &paper, now)?;
    }
    Ok(before - left)
}

/// The key of a week that is gone by, if it still lives.
pub(super) fn of_week(places: &Places, master: &Master, week: i32, now: Time) -> Result<Option<Key>> {
    if now >= dies(week) {
        return Ok(None);
    }
    let Some(paper) = read(places)? else { return Ok(None) };
    line_of(&paper, week).map(|line| open(&line, week, master)).transpose()
}

/// Wraps all of them with today's master key.
pub(super) fn rewrap(places: &Places, master: &Master, random: &Random) -> Result<()> {
    let Some(paper) = read(places)? else { return Ok(()) };
    let mut fresh = paper.clone().without("week");
    for text in paper.all("week") {
        let parsed = week_in(text).ok_or_else(damaged)?;
        fresh = fresh.with("week", line(parsed, &open(text, parsed, master)?, master, random));
    }
    places.write_paper(NAME, &fresh.text(FORMAT))
}

/// The weeks whose keys live, oldest first.
pub(super) fn list(places: &Places) -> Result<Vec<i32>> {
    let mut weeks: Vec<i32> = read(places)?.unwrap_or_default().all("week").filter_map(week_in).collect();
    weeks.sort_unstable();
    Ok(weeks)
}

fn read(places: &Places) -> Result<Option<Paper>> {
    let Some(text) = places.read_paper(NAME)? else { return Ok(None) };
    Paper::parse(FORMAT, &text).map(Some).ok_or_else(damaged)
}

fn put(places: &Places, paper: &Paper, now: Time) -> Result<()> {
    places.write_paper(NAME, &living(paper, now).text(FORMAT))
}

fn living(paper: &Paper, now: Time) -> Paper {
    let lines = paper.all("week").filter(|line| week_in(line).is_some_and(|week| now < dies(week)));
    lines.fold(paper.clone().without("week"), |paper, line| paper.with("week", line))
}

fn line_of(paper: &Paper, week: i32) -> Option<String> {
    paper.all("week").find(|line| week_in(line) == Some(week)).map(str::to_owned)
}

fn week_in(line: &str) -> Option<i32> {
    line.split(' ').next()?.parse().ok()
}

fn line(week: i32, key: &Key, master: &Master, random: &Random) -> String {
    let (name, wrapped) = master.wrap(Purpose::Weeks, random, &aad(week), key);
    format!("{week} {} {}", base32::encode(&name), base32::encode(&wrapped))
}

fn open(line: &str, week: i32, master: &Master) -> Result<Key> {
    let mut words = line.split(' ').skip(1);
    let name: [u8; 8] = words.next().and_then(base32::decode).ok_or_else(damaged)?;
    let wrapped = words.next().and_then(base32::decode_any).ok_or_else(damaged)?;
    master.unwrap(Purpose::Weeks, &name, &aad(week), &wrapped).map_err(|error| match error {
        Unopened::Other => Error::WrongMaster { path: NAME.into() },
        Unopened::Tampered => damaged(),
    })
}

fn aad(week: i32) -> Aad {
    Aad::instance("ring_week", week.into(), "key")
}

fn damaged() -> Error {
    Error::Papers(
        "the file `weeks` beside the key ring is damaged: put it back from the second place, or remove it; \
         without it no backup of the ring made so far can be opened"
            .to_owned(),
    )
}
