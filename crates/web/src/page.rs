//! What every page shares: language, title, brand, the token against forged forms, and how moments are written.

use std::fmt::Display;

use askama::filters::Safe;
use sealpost_model::Time;

use crate::words::Lang;
use crate::{assets, icons};

/// The frame around a page; templates call it `p`.
#[derive(Clone, Debug)]
pub struct Page {
    /// The language.
    pub lang: Lang,
    /// The title, also of the browser's tab. No PHI: a subject never stands here.
    pub title: String,
    /// Whose page it is: the organisation's name, or the product's.
    pub brand: String,
    /// The signed-in person's address.
    pub who: Option<String>,
    /// The token that every form carries.
    pub csrf: String,
    /// The nonce of this answer's content security policy.
    pub nonce: String,
    /// Where the language switch comes back to.
    pub back: String,
    /// After how many idle seconds the page leaves by itself, and where to.
    pub leaves: Option<(u32, String)>,
    /// Names of the modules that it loads.
    pub scripts: &'static [&'static str],
}

impl Page {
    /// A text of the catalogue.
    pub fn w(&self, key: &str) -> &'static str {
        self.lang.word(key)
    }

    /// A text with one place filled in.
    pub fn f(&self, key: &str, place: &str, value: impl Display) -> String {
        self.lang.fill(key, &[(place, &value)])
    }

    /// A text with two places filled in.
    pub fn f2(
        &self,
        key: &str,
        place: &str,
        value: impl Display,
        place2: &str,
        value2: impl Display,
    ) -> String {
        self.lang.fill(key, &[(place, &value), (place2, &value2)])
    }

    /// A text for a number.
    pub fn n(&self, key: &str, n: impl Count) -> String {
        self.lang.count(key, n.count())
    }

    /// The address of a stylesheet, module or picture.
    pub fn asset(&self, name: &str) -> &'static str {
        assets::path(name)
    }

    /// A picture.
    pub fn icon(&self, name: &str) -> Safe<String> {
        Safe(icons::icon(name))
    }

    /// Whether the page is in the language with this tag.
    pub fn speaks(&self, tag: &str) -> bool {
        self.lang.tag() == tag
    }

    /// The languages: tag and name.
    pub fn languages(&self) -> [(&'static str, &'static str); 2] {
        [("en", self.w("frame.english")), ("es", self.w("frame.spanish"))]
    }
}

/// What can be counted in a text.
pub trait Count {
    /// As a number.
    fn count(&self) -> u64;
}

macro_rules! count {
    ($($t:ty),+) => {$(impl Count for $t {
        fn count(&self) -> u64 {
            *self as u64
        }
    })+};
}
count!(u32, u64, usize);

impl<T: Count> Count for &T {
    fn count(&self) -> u64 {
        (**self).count()
    }
}

/// A time as a page writes it.
#[derive(Clone, Debug)]
pub struct Moment {
    /// For `datetime`.
    pub iso: String,
    /// The day alone.
    pub day: String,
    /// Day and time.
    pub moment: String,
}

impl Moment {
    /// `time` in `lang`'s way of writing.
    pub fn new(lang: Lang, time: Time) -> Self {
        Self { iso: time.rfc3339(), day: lang.day(time), moment: lang.moment(time) }
    }
}

/// A person on an envelope: the address is always shown beside the name (S86).
#[derive(Clone, Debug)]
pub struct Party {
    /// The display name, or nothing.
    pub name: String,
    /// The whole address.
    pub address: String,
}
