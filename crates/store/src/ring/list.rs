//! The list of destructions: which life keys died, kept beside the ring and at the second place, so that whoever puts
//! the ring back from a backup destroys them again before anything is served.
//!
//! The paper `destroyed` has a line for each destruction: its number from 1, the ids, a MAC over the MAC of the line
//! before it. A line is durable at both places before the ring changes. When the ring is opened, a line that the ring has
//! not heard of is carried out, and the shorter of both copies gets what it lacks. Nothing in it is secret.

use sealpost_crypto::{Key, MacKey, base32};
use sealpost_model::{Id, LifeKeyId};

use super::{Error, Places, Result, Shelf};

const NAME: &str = "destroyed";
const FORMAT: &str = "sealpost-destroyed-1";

/// Where the list ends, and what extends it.
pub(super) struct List {
    mac: MacKey,
    number: u64,
    last: [u8; 16],
    shelves: Vec<Shelf>,
    /// Why a copy could not be read: nothing is appended until it can.
    out_of_reach: Option<Error>,
}

/// A list that was read.
struct Read {
    begun: bool,
    lines: Vec<String>,
    ids: Vec<LifeKeyId>,
    last: [u8; 16],
    /// Bytes of a line that a crash cut short stand behind it.
    torn: bool,
}

impl List {
    /// Reads both copies and brings them to one length. Answers all ids that ever died.
    pub fn open(places: &Places, history: &Key) -> Result<(Self, Vec<LifeKeyId>)> {
        let mac = history.mac_key();
        let shelves = places.shelves();
        let (mut copies, mut out_of_reach) = (Vec::with_capacity(shelves.len()), None);
        for (at, shelf) in shelves.iter().enumerate() {
            match read(shelf, &mac) {
                Ok(copy) => copies.push(copy),
                // The ring is of use without its second place, as long as nothing has to die.
                Err(error @ (Error::Io(_) | Error::Missing { .. } | Error::Unusable { .. }))
                    if at > 0 && copies.iter().any(|copy| copy.begun) =>
                {
                    tracing::error!(%error, "the ring's second place is out of reach: no key can be destroyed");
                    out_of_reach = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let longest = copies.iter().max_by_key(|copy| copy.lines.len());
        let Some(longest) = longest else { return Err(Error::Bug("a ring without a place".to_owned())) };
        for (shelf, copy) in shelves.iter().zip(&copies) {
            // Two lists that part ways are of two rings that both went on.
            if longest.lines.get(..copy.lines.len()) != Some(&copy.lines) {
                return Err(Error::Papers(format!(
                    "the lists of destructions beside the ring and at its second place part ways at line {}: \
                     two servers have used one key ring; stop both and keep the longer list",
                    copy.lines.iter().zip(&longest.lines).take_while(|(a, b)| a == b).count() + 1
                )));
            }
            if copy.torn || copy.lines.len() < longest.lines.len() {
                shelf.write(NAME, &text(&longest.lines))?;
            }
        }
        let (number, last, ids) = (longest.lines.len() as u64, longest.last, longest.ids.clone());
        Ok((Self { mac, number, last, shelves, out_of_reach }, ids))
    }

    /// Begins the list of a new ring at both places, where there is none.
    pub fn create(places: &Places) -> Result<()> {
        for shelf in places.shelves() {
            if shelf.read_long(NAME)?.is_none() {
                shelf.write(NAME, &text(&[]))?;
            }
        }
        Ok(())
    }

    /// Reads the longest copy, changes nothing.
    pub fn look(places: &Places, history: &Key) -> Result<(u64, Vec<LifeKeyId>)> {
        let mac = history.mac_key();
        let copies = places.shelves().iter().map(|shelf| read(shelf, &mac)).collect::<Result<Vec<_>>>()?;
        let longest = copies.into_iter().max_by_key(|copy| copy.lines.len());
        Ok(longest.map_or_else(Default::default, |copy| (copy.lines.len() as u64, copy.ids)))
    }

    /// Notes a destruction, durably, at both places. After an error it has to be opened again: one of them may have it.
    pub fn append(&mut self, ids: &[LifeKeyId]) -> Result<()> {
        if let Some(error) = &self.out_of_reach {
            return Err(error.clone());
        }
        let number = self.number + 1;
        let ids = ids.iter().map(|id| id.raw().to_string()).collect::<Vec<_>>().join(",");
        let last = line_mac(&self.mac, number, &ids, &self.last);
        let line = format!("{number} {ids} {}\n", base32::encode(&last));
        // The second place first: what is there alone is carried out at the next start.
        for shelf in self.shelves.iter().rev() {
            shelf.append(NAME, FORMAT, &line)?;
        }
        (self.number, self.last) = (number, last);
        Ok(())
    }
}

fn text(lines: &[String]) -> String {
    let mut text = format!("{FORMAT}\n");
    lines.iter().for_each(|line| text.extend([line, "\n"]));
    text
}

fn read(shelf: &Shelf, mac: &MacKey) -> Result<Read> {
    let mut read = Read { begun: false, lines: Vec::new(), ids: Vec::new(), last: [0; 16], torn: false };
    let Some(text) = shelf.read_long(NAME)? else { return Ok(read) };
    read.begun = true;
    // A line without its end is one that a crash cut short: it was acknowledged to nobody.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    read.torn = whole < text.len();
    let mut lines = text[..whole].lines();
    match lines.next() {
        None => return Ok(read),
        Some(FORMAT) => {}
        Some(_) => return Err(damaged(1)),
    }
    for line in lines {
        let number = read.lines.len() as u64 + 1;
        let (ids, last) = parse(line, number, mac, &read.last).ok_or_else(|| damaged(number))?;
        read.ids.extend(ids);
        read.last = last;
        read.lines.push(line.to_owned());
    }
    Ok(read)
}

fn parse(line: &str, number: u64, mac: &MacKey, before: &[u8; 16]) -> Option<(Vec<LifeKeyId>, [u8; 16])> {
    let mut words = line.split(' ');
    if words.next()?.parse::<u64>().ok()? != number {
        return None;
    }
    let (text, sum) = (words.next()?, base32::decode::<16>(words.next()?)?);
    if !sealpost_crypto::constant_time_eq(&line_mac(mac, number, text, before), &sum) {
        return None;
    }
    let ids = text.split(',').map(|id| id.parse().ok().map(LifeKeyId::from_raw));
    Some((ids.collect::<Option<_>>()?, sum))
}

fn line_mac(mac: &MacKey, number: u64, ids: &str, before: &[u8; 16]) -> [u8; 16] {
    mac.mac(&[before, &number.to_be_bytes(), ids.as_bytes()])
}

fn damaged(line: u64) -> Error {
    Error::Papers(format!(
        "the list of destructions is not what was written at line {line}, or is of another key ring: \
         put `destroyed` back from the other of its two places"
    ))
}
