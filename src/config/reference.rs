//! References to secrets, which are all the config may hold of them.

use std::str::FromStr;

use super::problem::Located;
use super::section::Section;
use crate::reference::NotAReference;

/// A reference; what stands there instead is never printed. `advice` is for a secret that stands there itself.
pub(super) fn read<T: FromStr<Err = NotAReference>>(
    section: &Section<'_>,
    key: &'static str,
    advice: &str,
) -> Option<Located<T>> {
    let text = section.text(key)?;
    let error = match text.value.parse() {
        Ok(value) => return Some(Located { value, place: text.place }),
        Err(error) => error,
    };
    let advice = match error {
        NotAReference::Literal => advice,
        NotAReference::RelativePath | NotAReference::CredentialName | NotAReference::VariableName => {
            "write `file:/path`, `credential:NAME` or `env:NAME`"
        }
        NotAReference::VaultHere => "put it into a file or a systemd credential on this host",
        NotAReference::VaultParts | NotAReference::VaultPath(_) => {
            "write `vault:NAME:mount/path#field`, where NAME is that of a [vault.NAME]"
        }
    };
    section.findings().add_hidden(&text.place, format!("`{key}`: {error}"), advice);
    None
}
