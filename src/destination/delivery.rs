//! What is delivered: the fields of a fresh token, and the names and templates they are written under.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use zeroize::Zeroizing;

use super::format::{FormatError, Values};
use super::options::{DestinationOptions, Format, Target};
use crate::rotation::mark::RotationId;
use crate::rotation::time::Timestamp;
use crate::secret::Secret;
use crate::token::{Expiry, JobName, TokenId};

/// Longest rendered value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// What a destination is handed. `Clone` exists because file work runs on a thread of its own.
#[derive(Clone)]
pub struct Delivery {
    /// The fresh token.
    pub id: TokenId,
    /// Its secret.
    pub secret: Secret,
    /// The address that consumers are told.
    pub url: String,
    /// When the token expires.
    pub expires_at: Expiry,
    /// When the token was created.
    pub rotated_at: Timestamp,
    /// Whose rotation it is.
    pub job: JobName,
    /// Which rotation.
    pub rotation: RotationId,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One of the delivered fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    TokenId,
    Secret,
    ApiToken,
    User,
    TokenName,
    Url,
    ExpiresAt,
    RotatedAt,
}

impl Plain {
    pub(super) const ALL: [Self; 8] = [
        Self::TokenId,
        Self::Secret,
        Self::ApiToken,
        Self::User,
        Self::TokenName,
        Self::Url,
        Self::ExpiresAt,
        Self::RotatedAt,
    ];

    /// Its name in templates, and in json, yaml, toml and for commands by default.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TokenId => "token_id",
            Self::Secret => "secret",
            Self::ApiToken => "api_token",
            Self::User => "user",
            Self::TokenName => "token_name",
            Self::Url => "url",
            Self::ExpiresAt => "expires_at",
            Self::RotatedAt => "rotated_at",
        }
    }

    fn of(self, delivery: &Delivery) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::TokenId => delivery.id.to_string(),
            Self::Secret => delivery.secret.expose().to_owned(),
            Self::ApiToken => format!("{}={}", delivery.id, delivery.secret.expose()),
            Self::User => delivery.id.owner.to_string(),
            Self::TokenName => delivery.id.name.to_string(),
            Self::Url => delivery.url.clone(),
            Self::ExpiresAt => match delivery.expires_at {
                Expiry::Never => String::new(),
                Expiry::At(seconds) => Timestamp::from_seconds(seconds).to_string(),
            },
            Self::RotatedAt => delivery.rotated_at.to_string(),
        })
    }
}

/// The list of what is written: names with their templates.
#[derive(Debug, Clone)]
pub(super) struct Fields(Vec<Field>);

#[derive(Debug, Clone)]
struct Field {
    name: String,
    template: String,
}

impl Field {
    fn is_exactly(&self, plain: Plain) -> bool {
        is_exactly(&self.template, plain.name())
    }
}

/// Whether a template gives the delivered field `name` as it is.
#[must_use]
pub fn is_exactly(template: &str, name: &str) -> bool {
    let inner = template.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim_matches(['-', '+']).trim() == name)
}

impl Fields {
    /// The config's `fields`, else the format's own; each is rendered once with a sample to find its mistakes now.
    pub(super) fn new(options: &DestinationOptions) -> Result<Self, FormatError> {
        let fields = match (&options.target, &options.fields) {
            (Target::File(file), Some(_)) if file.format.owns_the_file() => {
                return Err(FormatError::Value("`fields` has no meaning for the formats raw and template".into()));
            }
            (Target::File(file), fields) => {
                let fields = Self::for_format(&file.format, fields.as_deref().map(named));
                fields.names().iter().try_for_each(|name| file.format.check_name(name))?;
                fields
            }
            (Target::Command(_) | Target::Vault(_), Some(fields)) => Self(named(fields)),
            (Target::Command(_) | Target::Vault(_), None) => Self::plain(),
        };
        if fields.0.is_empty() {
            return Err(FormatError::Value("`fields` is empty, so nothing would be delivered".into()));
        }
        fields.check_renders()?;
        Ok(fields)
    }

    /// The fields under their plain names.
    pub(super) fn plain() -> Self {
        Self(plain_fields())
    }

    fn for_format(format: &Format, given: Option<Vec<Field>>) -> Self {
        let prefixed = |prefix: &str, own: Vec<Field>| {
            let with_prefix = |field: Field| Field { name: format!("{prefix}{}", field.name), ..field };
            given.clone().unwrap_or(own).into_iter().map(with_prefix).collect()
        };
        Self(match format {
            Format::Tfvars { prefix } => prefixed(prefix, terraform_fields()),
            Format::Env { prefix } => {
                let in_capitals = |field: Field| Field { name: field.name.to_ascii_uppercase(), ..field };
                prefixed(prefix, terraform_fields().into_iter().map(in_capitals).collect())
            }
            Format::Json { .. } | Format::Yaml { .. } | Format::Toml { .. } => given.unwrap_or_else(plain_fields),
            Format::Raw => vec![Field { name: "content".into(), template: variable(Plain::ApiToken) }],
            Format::Template { template } => vec![Field { name: "content".into(), template: template.clone() }],
        })
    }

    /// The names that are written, in order.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|field| field.name.as_str()).collect()
    }

    /// The name under which exactly `plain` is written.
    pub(super) fn name_of(&self, plain: Plain) -> Option<&str> {
        self.0.iter().find(|field| field.is_exactly(plain)).map(|field| field.name.as_str())
    }

    /// Whether exactly `plain` is written under `name`.
    pub(super) fn writes(&self, name: &str, plain: Plain) -> bool {
        self.0.iter().any(|field| field.name == name && field.is_exactly(plain))
    }

    /// The templates' own text, in which names of other tokens may stand.
    pub(super) fn templates(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| field.template.as_str())
    }

    /// The values to write.
    pub(super) fn render(&self, delivery: &Delivery) -> Result<Vec<(String, Zeroizing<String>)>, FormatError> {
        let environment = environment();
        let context: std::collections::BTreeMap<_, _> = Plain::ALL
            .iter()
            .map(|plain| (plain.name(), minijinja::Value::from(plain.of(delivery).as_str())))
            .collect();
        let render = |field: &Field| {
            let text = environment.render_str(&field.template, &context).map(Zeroizing::new).map_err(|error| {
                // Only its kind: the detail may quote a value.
                let line = error.line().unwrap_or(1);
                FormatError::Value(format!("the template of `{}` fails at line {line}: {}", field.name, error.kind()))
            })?;
            if text.len() > VALUE_BYTES_MAX {
                return Err(FormatError::Value(format!("`{}` is longer than {VALUE_BYTES_MAX} bytes", field.name)));
            }
            Ok((field.name.clone(), text))
        };
        self.0.iter().map(render).collect()
    }

    fn check_renders(&self) -> Result<(), FormatError> {
        for expires_at in [Expiry::Never, Expiry::At(1_763_780_400)] {
            self.render(&sample(expires_at)?)?;
        }
        Ok(())
    }
}

/// The fields as one JSON object, for commands.
pub(super) fn to_json(values: &Values) -> Zeroizing<Vec<u8>> {
    let object: serde_json::Map<String, serde_json::Value> =
        values.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    Zeroizing::new(serde_json::Value::Object(object).to_string().into_bytes())
}

/// A delivery of a token that does not exist, to try a template or a file with.
pub(super) fn sample(expires_at: Expiry) -> Result<Delivery, FormatError> {
    let wrong = |_| FormatError::Value("the sample token is not a token".into());
    Ok(Delivery {
        id: "sample@pve!sample".parse().map_err(wrong)?,
        secret: Secret::new("00000000-0000-4000-8000-000000000000".into()),
        url: "https://sample.example:8006".into(),
        expires_at,
        rotated_at: Timestamp::from_seconds(1_763_780_400),
        job: "sample".parse().map_err(wrong)?,
        rotation: RotationId::new(uuid::Uuid::nil()),
    })
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment
}

fn variable(plain: Plain) -> String {
    format!("{{{{ {} }}}}", plain.name())
}

fn plain_fields() -> Vec<Field> {
    Plain::ALL.iter().map(|plain| Field { name: plain.name().into(), template: variable(*plain) }).collect()
}

/// The variables that the Terraform providers' examples use.
fn terraform_fields() -> Vec<Field> {
    let names = [
        ("proxmox_api_token_id", Plain::TokenId),
        ("proxmox_api_token_secret", Plain::Secret),
        ("proxmox_api_token", Plain::ApiToken),
        ("proxmox_api_url", Plain::Url),
    ];
    names.iter().map(|(name, plain)| Field { name: (*name).into(), template: variable(*plain) }).collect()
}

fn named(fields: &std::collections::BTreeMap<String, String>) -> Vec<Field> {
    fields.iter().map(|(name, template)| Field { name: name.clone(), template: template.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::tests::{FRESH, SECRET, delivery, file_options};
    use super::{Delivery, Fields, FormatError, Plain, to_json};
    use crate::destination::options::{DestinationOptions, Format, Target};
    use crate::token::Expiry;

    fn fields(format: Format, given: Option<&[(&str, &str)]>) -> Result<Fields, FormatError> {
        let owned = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let given = given.map(|list| Arc::new(owned(list)));
        Fields::new(&DestinationOptions {
            name: "file-1".parse().unwrap(),
            target: Target::File(file_options("/x".as_ref(), format)),
            fields: given,
            after: None,
        })
    }

    fn rendered(fields: &Fields, delivery: &Delivery) -> BTreeMap<String, String> {
        fields.render(delivery).unwrap().into_iter().map(|(name, value)| (name, value.to_string())).collect()
    }

    #[test]
    fn each_format_has_its_own_names() {
        let tfvars = fields(Format::Tfvars { prefix: "lab_".into() }, None).unwrap();
        let names = ["token_id", "token_secret", "token", "url"].map(|name| format!("lab_proxmox_api_{name}"));
        assert_eq!(tfvars.names(), names);
        let env = fields(Format::Env { prefix: "lab_".into() }, None).unwrap();
        let names = ["TOKEN_ID", "TOKEN_SECRET", "TOKEN", "URL"].map(|name| format!("lab_PROXMOX_API_{name}"));
        assert_eq!(env.names(), names);
        let json = fields(Format::Json { at: vec![] }, None).unwrap();
        assert_eq!(json.names(), Plain::ALL.map(Plain::name));
        let values = rendered(&json, &delivery());
        assert_eq!(values["token_name"], "terraform-20261122T030000Z");
        assert_eq!(values["user"], "provisioner@pve");
        assert_eq!(values["expires_at"], "2026-11-22T03:00:00Z");
        let never = Delivery { expires_at: Expiry::Never, ..delivery() };
        assert_eq!(rendered(&json, &never)["expires_at"], "");
    }

    #[test]
    fn given_fields_replace_all_others() {
        let given = [("id", "{{ token_id }}"), ("header", "PVEAPIToken={{api_token}}"), ("s", "{{-secret-}}")];
        let fields = fields(Format::Env { prefix: "X_".into() }, Some(&given)).unwrap();
        let values = rendered(&fields, &delivery());
        assert_eq!(values.len(), 3);
        assert_eq!(values["X_header"], format!("PVEAPIToken={FRESH}={SECRET}"));
        assert_eq!(fields.name_of(Plain::TokenId), Some("X_id"));
        assert_eq!(fields.name_of(Plain::Secret), Some("X_s"));
        assert_eq!(fields.name_of(Plain::ApiToken), None);
    }

    #[test]
    fn templates_are_tried_before_they_are_needed() {
        let env = || Format::Env { prefix: String::new() };
        let template = |text: &str| fields(Format::Template { template: text.into() }, None);
        for text in ["{{ secrte }}", "{{ secret", "{% if expires_at %}{{ x }}{% endif %}", "{{ secret|no_filter }}"] {
            assert!(matches!(template(text), Err(FormatError::Value(_))), "{text}");
        }
        assert!(fields(env(), Some(&[])).is_err());
        assert!(fields(env(), Some(&[("a-b", "x")])).is_err());
        assert!(fields(Format::Raw, Some(&[("a", "{{ secret }}")])).is_err());
        let kept = template("{{ secret }}\n").unwrap();
        assert_eq!(rendered(&kept, &delivery())["content"], format!("{SECRET}\n"));
    }

    #[test]
    fn a_failing_template_quotes_no_value() {
        let late =
            fields(Format::Template { template: "{% if '714f' in secret %}{{ secret + 1 }}{% endif %}".into() }, None);
        let Err(FormatError::Value(text)) = late.unwrap().render(&delivery()) else { panic!("it fails") };
        assert!(!text.contains(SECRET) && text.contains("line 1"), "{text}");
    }

    #[test]
    fn what_a_command_reads_is_json_in_order() {
        let fields = Fields::plain();
        let json = to_json(&fields.render(&delivery()).unwrap());
        assert!(json.starts_with(b"{\"token_id\":"));
        assert!(!format!("{:?}", delivery()).contains(SECRET));
    }
}
