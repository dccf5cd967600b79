//! The dashboard asks for nothing that is not emitted: every metric and label of its queries against what a trace with
//! everything exposes; and it leaves out no metric.
mod common;
use aegis_export::Metrics;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const DASHBOARD: &str = include_str!("../../docs/grafana/aegisrt.json");

/// Labels of every exposed name, `le` among them.
fn exposed() -> BTreeMap<String, BTreeSet<String>> {
    let mut text = Vec::new();
    Metrics::of(&common::everything()).unwrap().openmetrics(&mut text).unwrap();
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(text).unwrap().lines().filter(|line| !line.starts_with('#')) {
        let name: String = line.chars().take_while(|c| is_word(*c)).collect();
        let labels = names.entry(name).or_default();
        // A label's name stands before `="`; no value of the trace has that in it.
        labels.extend(line.split("=\"").map(last_word));
        labels.remove("");
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn last_word(text: &str) -> String {
    text.rsplit(|c| !is_word(c)).next().unwrap_or_default().to_owned()
}

/// The queries of a dashboard, wherever they stand.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "expr" || name == "query" => found.push(text.to_owned()),
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// Names of metrics in a query, each with the labels that its selector and the aggregation over all of them name.
fn asked(query: &str) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    let mut metrics = BTreeMap::new();
    for (start, _) in query.match_indices("aegisrt_") {
        let name: String = query[start..].chars().take_while(|c| is_word(*c)).collect();
        let rest = &query[start + name.len()..];
        let selector = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let labels = selector.split(',').filter_map(|matcher| matcher.split(['=', '!']).next());
        let mut labels: BTreeSet<String> =
            labels.map(str::to_owned).filter(|label| !label.is_empty()).collect();
        if let Some(label) = query.strip_prefix("label_values(").and_then(|q| q.split(", ").nth(1)) {
            labels.insert(label.trim_end_matches(')').to_owned());
        }
        metrics.insert(name, labels);
    }
    let by = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let by = by.flat_map(|labels| labels.split(", ")).map(str::to_owned).collect();
    (metrics, by)
}

#[test]
fn what_is_asked_is_emitted() {
    let (exposed, dashboard) = (exposed(), serde_json::from_str::<Value>(DASHBOARD).unwrap());
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    let mut used = BTreeSet::new();
    for query in found.iter().filter(|query| *query != "prometheus") {
        let (metrics, by) = asked(query);
        assert!(!metrics.is_empty(), "{query}");
        for (name, labels) in metrics {
            let known = exposed.get(&name).unwrap_or_else(|| panic!("{name} is not emitted: {query}"));
            for label in labels.iter().chain(&by) {
                assert!(known.contains(label), "{name} has no label {label}: {query}");
            }
            used.insert(name);
        }
    }
    for name in exposed.keys() {
        let stem =
            ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(used.iter().any(|used| used.starts_with(stem)), "{name} is on no panel");
    }
}

/// Legends name labels that the query keeps.
#[test]
fn legends() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for target in
        dashboard["panels"].as_array().unwrap().iter().flat_map(|p| p["targets"].as_array().unwrap())
    {
        let (_, by) = asked(target["expr"].as_str().unwrap());
        let legend = target["legendFormat"].as_str().unwrap();
        for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
            assert!(by.contains(label), "{target}");
        }
    }
}
