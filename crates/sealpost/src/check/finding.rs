//! What a look finds: how bad it is, what it is, and what to do about it.

use serde::Serialize;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It works, and should be looked at.
    Warn,
    /// It is wrong: `check` exits with 1.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What it is about, in a word.
    pub area: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is so.
    pub what: String,
    /// What to do about it; empty when nothing has to be done, or where `what` is an error that says it.
    pub todo: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.severity {
            Severity::Ok => "ok  ",
            Severity::Warn => "warn",
            Severity::Fail => "FAIL",
        };
        let Self { area, what, todo, .. } = self;
        write!(f, "{word}  {area}: {what}{}{todo}", if todo.is_empty() { "" } else { "; " })
    }
}

/// All that was found, in the order in which it was.
#[derive(Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// It is as it should be.
    pub fn ok(&mut self, area: &'static str, what: impl Into<String>) {
        self.add(area, Severity::Ok, what.into(), String::new());
    }

    /// It works, and somebody should do this.
    pub fn warn(&mut self, area: &'static str, what: impl Into<String>, todo: impl Into<String>) {
        self.add(area, Severity::Warn, what.into(), todo.into());
    }

    /// It is wrong, and somebody has to do this.
    pub fn fail(&mut self, area: &'static str, what: impl Into<String>, todo: impl Into<String>) {
        self.add(area, Severity::Fail, what.into(), todo.into());
    }

    /// It can't be looked at; the error says why, and what to do.
    pub fn broken(&mut self, area: &'static str, error: &anyhow::Error) {
        self.add(area, Severity::Fail, format!("{error:#}"), String::new());
    }

    /// What kept an area from being looked at to its end, if anything did.
    pub fn looked(&mut self, area: &'static str, looked: anyhow::Result<()>) {
        if let Err(error) = looked {
            self.broken(area, &error);
        }
    }

    /// Whether anything is wrong.
    pub fn failed(&self) -> bool {
        self.count(Severity::Fail) > 0
    }

    /// How many there are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|f| f.severity == severity).count()
    }

    /// All of them.
    pub fn all(&self) -> &[Finding] {
        &self.0
    }

    fn add(&mut self, area: &'static str, severity: Severity, what: String, todo: String) {
        self.0.push(Finding { area, severity, what, todo });
    }
}
