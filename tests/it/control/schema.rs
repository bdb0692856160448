//! As much of JSON Schema as `docs/api.yaml` uses. A field that it does not name is an error unless the schema says that
//! there may be others, so that nothing is answered that is not documented.

use serde_json::Value;

/// A document with schemas that may name each other.
pub(crate) struct Document(pub(crate) Value);

impl Document {
    /// What `docs/api.yaml` says.
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.yaml");
        let text = std::fs::read_to_string(path).expect("it is there");
        Self(serde_yaml_ng::from_str(&text).expect("it is YAML"))
    }

    /// What a `$ref` leads to; the value itself if it is none.
    pub(crate) fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(target) = value["$ref"].as_str() else { return value };
        let pointer = target.strip_prefix('#').expect("within the document");
        let found = self.0.pointer(pointer).unwrap_or_else(|| panic!("there is no {target}"));
        self.follow(found)
    }

    /// Where `value` does not fit `schema`.
    pub(crate) fn misfits(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.check(schema, value, "it", &mut found);
        found
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let schema = self.follow(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let fits = choices.iter().filter(|choice| self.misfits(choice, value).is_empty()).count();
            if fits != 1 {
                found.push(format!("{at} fits {fits} of {} choices: {value}", choices.len()));
            }
            return;
        }
        if let Some(choices) = schema["enum"].as_array().filter(|choices| !choices.contains(value)) {
            found.push(format!("{at} is {value}, not one of {choices:?}"));
        }
        if schema.get("const").is_some_and(|wanted| wanted != value) {
            found.push(format!("{at} is {value}"));
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            Value::String(one) => vec![one.as_str()],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|wanted| is_of(wanted, value)) {
            found.push(format!("{at} is {value}, not of {types:?}"));
        }
        let least = schema["minimum"].as_i64();
        if least.is_some_and(|least| value.as_i64().is_some_and(|number| number < least)) {
            found.push(format!("{at} is {value}"));
        }
        if schema["format"] == "date-time" && value.as_str().is_some_and(|text| !is_moment(text)) {
            found.push(format!("{at} is no moment: {value}"));
        }
        for (n, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{at}[{n}]"), found);
        }
        if let Some(object) = value.as_object() {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            found.extend(required.filter(|key| !object.contains_key(*key)).map(|key| format!("{at} lacks {key}")));
            for (key, value) in object {
                match schema["properties"].get(key) {
                    Some(schema) => self.check(schema, value, &format!("{at}.{key}"), found),
                    None if schema["additionalProperties"] == true => {}
                    None => found.push(format!("{at} has {key}, which is not documented")),
                }
            }
        }
    }
}

fn is_of(wanted: &str, value: &Value) -> bool {
    match wanted {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the checker does not know {other}"),
    }
}

fn is_moment(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok() && text.ends_with('Z')
}

#[test]
fn the_checker_sees_what_does_not_fit() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"],
        "properties": {
            "a": {"type": ["integer", "null"], "minimum": 1},
            "b": {"enum": ["x"]},
            "c": {"type": "array", "items": {"$ref": "#/text"}},
            "d": {"oneOf": [{"type": "null"}, {"const": 1}]},
            "e": {"type": "string", "format": "date-time"},
        },
    });
    let document = Document(serde_json::json!({"text": {"type": "string"}}));
    let fits = |text: &str| document.misfits(&schema, &serde_json::from_str(text).expect("JSON")).is_empty();
    for good in ["{\"a\":1}", "{\"a\":null,\"b\":\"x\",\"c\":[\"y\"],\"d\":1,\"e\":\"2026-11-25T08:00:00Z\"}"] {
        assert!(fits(good), "{good}");
    }
    let bad =
        ["{}", "[]", "{\"a\":0}", "{\"a\":\"1\"}", "{\"a\":1,\"b\":\"y\"}", "{\"a\":1,\"c\":[1]}", "{\"a\":1,\"d\":2}"];
    for bad in bad.into_iter().chain(["{\"a\":1,\"x\":1}", "{\"a\":1,\"e\":\"tomorrow\"}"]) {
        assert!(!fits(bad), "{bad}");
    }
}
