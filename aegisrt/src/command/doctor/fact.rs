//! A fact of the machine: for people and for programs, or why it is not known. What is not known is `--` and null, never 0.
use serde_json::{Map, Value};
use std::fmt::Write;

/// One fact.
pub(super) struct Fact {
    /// For programs; it ends in its unit.
    key: &'static str,
    /// For people.
    label: &'static str,
    value: Result<Known, String>,
}

/// What is known.
pub(super) struct Known {
    pub text: String,
    pub json: Value,
}

/// A value that is shown as it is.
pub(super) fn known<T: ToString + Into<Value>>(value: T) -> Known {
    Known { text: value.to_string(), json: value.into() }
}

/// A value, or why it is not told.
pub(super) fn told<T>(value: Option<T>, why: &str) -> Result<T, String> {
    value.ok_or_else(|| why.to_owned())
}

impl Fact {
    pub(super) const fn new(key: &'static str, label: &'static str, value: Result<Known, String>) -> Self {
        Self { key, label, value }
    }
}

/// The facts as lines.
pub(super) fn lines(facts: &[Fact]) -> String {
    let width = facts.iter().map(|fact| fact.label.len()).max().unwrap_or(0);
    let mut out = String::new();
    for Fact { label, value, .. } in facts {
        let _ = match value {
            Ok(known) => writeln!(out, "  {label:<width$}  {}", known.text),
            Err(why) => writeln!(out, "  {label:<width$}  -- {}", why.replace('\n', " ")),
        };
    }
    out
}

/// The facts as an object: null where a fact is not known, and `why` says why.
pub(super) fn object(facts: &[Fact]) -> Map<String, Value> {
    let mut object = Map::new();
    let mut reasons = Map::new();
    for Fact { key, value, .. } in facts {
        match value {
            Ok(known) => object.insert((*key).to_owned(), known.json.clone()),
            Err(why) => {
                reasons.insert((*key).to_owned(), why.as_str().into());
                object.insert((*key).to_owned(), Value::Null)
            }
        };
    }
    object.insert("why".to_owned(), reasons.into());
    object
}
