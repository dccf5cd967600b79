//! As much of JSON Schema as the files in `schema/` use. A keyword that is not known here is a panic, so that no rule goes
//! unchecked.
#![allow(dead_code, reason = "each test file uses a part")]
use serde_json::Value;

/// A schema and all that it refers to.
pub struct Schema(pub Value);

impl Schema {
    /// The file of that name in the repository's `schema/`.
    pub fn open(name: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema").join(name);
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    /// What is wrong with `value`; nothing if it is valid.
    pub fn errors(&self, value: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        self.check(&self.0, value, "$", &mut errors);
        errors
    }

    fn valid(&self, schema: &Value, value: &Value) -> bool {
        let mut errors = Vec::new();
        self.check(schema, value, "", &mut errors);
        errors.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
        let rules = schema.as_object().unwrap_or_else(|| panic!("{at}: {schema} is no schema"));
        let says = |what: String| format!("{at}: {what}: {value}");
        let count = |rule: &Value| usize::try_from(rule.as_u64().unwrap()).unwrap();
        let all = |rule: &Value| rule.as_array().unwrap().clone();
        for (keyword, rule) in rules {
            match keyword.as_str() {
                "additionalProperties" => assert_eq!(rule, false, "{at}"),
                "type" => {
                    let names = if rule.is_array() { all(rule) } else { vec![rule.clone()] };
                    if !names.iter().any(|name| is(value, name.as_str().unwrap())) {
                        errors.push(says(format!("is no {rule}")));
                    }
                }
                "const" if value != rule => errors.push(says(format!("is not {rule}"))),
                "enum" if !all(rule).contains(value) => errors.push(says(format!("is none of {rule}"))),
                "minimum" if number(value).is_some() && number(value) < number(rule) => {
                    errors.push(says(format!("below {rule}")));
                }
                "maximum" if number(value).is_some() && number(value) > number(rule) => {
                    errors.push(says(format!("above {rule}")));
                }
                "minLength" if value.as_str().is_some_and(|v| v.chars().count() < count(rule)) => {
                    errors.push(says("short".into()));
                }
                "minItems" if value.as_array().is_some_and(|v| v.len() < count(rule)) => {
                    errors.push(says("few".into()));
                }
                "maxItems" if value.as_array().is_some_and(|v| v.len() > count(rule)) => {
                    errors.push(says("many".into()));
                }
                "required" => {
                    for name in all(rule) {
                        if value.as_object().is_some_and(|v| !v.contains_key(name.as_str().unwrap())) {
                            errors.push(says(format!("lacks {name}")));
                        }
                    }
                }
                "oneOf" | "anyOf" | "allOf" => {
                    let options = all(rule);
                    let fitting = options.iter().filter(|option| self.valid(option, value)).count();
                    let enough = match keyword.as_str() {
                        "oneOf" => fitting == 1,
                        "anyOf" => fitting > 0,
                        _ => fitting == options.len(),
                    };
                    if !enough {
                        errors.push(says(format!("{fitting} of {keyword} {rule}")));
                    }
                }
                "$ref" => {
                    let path = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    let target = self.0.pointer(path).unwrap_or_else(|| panic!("no {path}"));
                    self.check(target, value, at, errors);
                }
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{i}]"), errors);
                    }
                }
                "properties" => {
                    let known = rule.as_object().unwrap();
                    for (name, field) in value.as_object().into_iter().flatten() {
                        match known.get(name) {
                            Some(schema) => self.check(schema, field, &format!("{at}.{name}"), errors),
                            None if rules.contains_key("additionalProperties") => {
                                errors.push(format!("{at}: unknown {name}: {value}"));
                            }
                            None => {}
                        }
                    }
                }
                // What explains, and what the rules above found kept.
                "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "examples" | "const"
                | "enum" | "minimum" | "maximum" | "minLength" | "minItems" | "maxItems" => {}
                other => panic!("{at}: the keyword {other} is not known here"),
            }
        }
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{other} is no type"),
    }
}

fn number(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}
