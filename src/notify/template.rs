//! Writes a message from a template: Jinja, strict, and every value is written as JSON with its quotes, so that no name
//! or text of others can break out of its place.

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

use super::letter::Letter;

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// Longest message, in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// How many instructions of the template engine a message may take; the shipped ones take some hundreds.
const FUEL: u64 = 100_000;

/// Why a template gives no message. The texts show nothing of the alerts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not Jinja, or uses something that is not there.
    #[error("the template is wrong: {0}")]
    Jinja(String),
    /// What comes out is not JSON.
    #[error("what the template writes is not JSON: {0}")]
    NotJson(String),
    /// It is JSON of another kind than the receiver takes.
    #[error("what the template writes must be an object, `{{ … }}`")]
    NotAnObject,
    /// Over [`BODY_BYTES_MAX`].
    #[error("what the template writes is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
}

/// The message as JSON.
///
/// # Errors
/// What is wrong with the template.
pub fn render(template: &str, letter: &Letter) -> Result<serde_json::Map<String, Value>, TemplateError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Json);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("slack", slack);
    environment.add_filter("html", html);
    let wrong = |error: &minijinja::Error| TemplateError::Jinja(told(error));
    let template = environment.template_from_str(template).map_err(|error| wrong(&error))?;
    let text = template.render(minijinja::value::Serde(letter)).map_err(|error| wrong(&error))?;
    if text.len() > BODY_BYTES_MAX {
        return Err(TemplateError::TooLong);
    }
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(TemplateError::NotAnObject),
        Err(error) => Err(TemplateError::NotJson(at(&error))),
    }
}

/// Kind, detail and line, without the piece of source that the error itself would show.
fn told(error: &minijinja::Error) -> String {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does not come to an end".to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    error.line().map_or_else(|| what.clone(), |line| format!("{what} (line {line} of the template)"))
}

/// Where, and what was expected; never what stands there.
fn at(error: &serde_json::Error) -> String {
    format!("line {}, column {} of what it writes", error.line(), error.column())
}

/// As Slack wants it: these three have a meaning in its texts (a mention, a link, an entity).
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Safe in HTML, in attributes too.
fn html(text: &str) -> String {
    slack(text).replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::{TemplateError, render};
    use crate::notify::letter::Letter;
    use crate::notify::options::Format;

    #[test]
    fn the_shipped_templates_write_what_each_receiver_takes() {
        let sample = Letter::sample();
        let told = |format: Format| render(format.template(), &sample).unwrap_or_else(|e| panic!("{format:?}: {e}"));
        let slack = told(Format::Slack);
        let text = slack["text"].as_str().expect("a text");
        assert!(
            text.starts_with("*ops1: alerts: 2 new") && text.contains("&lt;text&gt; &amp; a line\nbreak"),
            "{text}"
        );
        let ntfy = told(Format::Ntfy);
        assert_eq!((&ntfy["priority"], &ntfy["tags"][0]), (&5.into(), &"rotating_light".into()));
        assert_eq!(ntfy["message"], sample.text.as_str());
        let gotify = told(Format::Gotify);
        assert_eq!((&gotify["priority"], &gotify["title"]), (&8.into(), &sample.title.as_str().into()));
        let matrix = told(Format::Matrix);
        assert_eq!((&matrix["msgtype"], &matrix["m.mentions"]), (&"m.text".into(), &serde_json::json!({})));
        let html = matrix["formatted_body"].as_str().expect("a text");
        assert!(html.starts_with("<strong>ops1: ") && html.contains("&lt;text&gt;"), "{html}");
        assert!(!html.contains("<text>") && !html.contains('\n'), "{html}");
        let json = told(Format::Json);
        assert_eq!((&json["status"], &json["more"]), (&"firing".into(), &sample.more.into()));
        assert_eq!(json["alerts"].as_array().map(Vec::len), Some(5));
        assert_eq!(json["alerts"][0]["labels"]["job"], "j0");
    }

    #[test]
    fn every_state_of_a_letter_can_be_written() {
        for format in Format::ALL {
            for status in ["firing", "resolved", "test"] {
                for severity in ["info", "warning", "critical"] {
                    let link = String::new();
                    let letter = Letter { status, severity, link, alerts: Vec::new(), ..Letter::sample() };
                    render(format.template(), &letter).unwrap_or_else(|error| panic!("{format:?}, {status}: {error}"));
                }
            }
        }
    }

    #[test]
    fn bad_templates_are_told_without_showing_what_they_were_given() {
        for (template, expected) in [
            ("{\"a\": \"{{ title }}\"}", "not JSON: line 1, column 9"),
            ("{\"a\": {{ secret }} }", "undefined value"),
            ("{\"a\": {{ title }", "syntax error"),
            ("[{{ title }}]", "object"),
            ("{\"a\": {% for n in range(9999) %}{% for m in range(9999) %}{% endfor %}{% endfor %}1}", "to an end"),
            ("{\"a\": {% include \"x\" %} }", "wrong"),
        ] {
            let error = render(template, &Letter::sample()).expect_err(template).to_string();
            assert!(error.contains(expected), "{template}: {error}");
            assert!(!error.contains("quoted") && !error.contains("j0"), "{error}");
        }
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(super::BODY_BYTES_MAX));
        assert_eq!(render(&long, &Letter::sample()), Err(TemplateError::TooLong));
    }

    #[test]
    fn templates_see_the_letter_and_nothing_else() {
        for name in ["env", "config", "settings", "self", "instance.x", "headers", "url"] {
            let template = format!("{{\"a\": {{{{ {name} }}}} }}");
            assert!(render(&template, &Letter::sample()).is_err(), "{name}");
        }
    }
}
