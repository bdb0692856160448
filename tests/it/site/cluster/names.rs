//! Which names Proxmox VE accepts, and in which words it refuses the others.

/// What separates the items of a list parameter.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\t', '\n', '\r', '\0']).filter(|item| !item.is_empty())
}

fn word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

fn realm(text: &str) -> bool {
    text.len() >= 2 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && word(text)
}

/// `name@realm`; the name may hold an `@` itself.
pub(super) fn user(text: &str) -> bool {
    let Some((name, of)) = text.rsplit_once('@') else { return false };
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == ':' || c == '/') && realm(of)
}

/// The name of a token behind the `!`: a letter, then at least one more.
pub(super) fn token(text: &str) -> bool {
    realm(text)
}

/// `user@realm!name` in its two halves.
pub(super) fn split_token(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('!').filter(|(owner, name)| user(owner) && token(name))
}

pub(super) fn check_user(text: &str) -> Result<(), String> {
    if user(text) { Ok(()) } else { Err(format!("value '{text}' does not look like a valid user name\n")) }
}

pub(super) fn check_token(text: &str) -> Result<(), String> {
    match split_token(text) {
        Some(_) => Ok(()),
        None => Err(format!("value '{text}' does not look like a valid token ID\n")),
    }
}

pub(super) fn check_group(text: &str) -> Result<(), String> {
    if word(text) { Ok(()) } else { Err(format!("group name '{text}' contains invalid characters\n")) }
}

pub(super) fn check_role(text: &str) -> Result<(), String> {
    if word(text) { Ok(()) } else { Err(format!("role name '{text}' contains invalid characters\n")) }
}

/// One leading slash, no double or trailing ones; `None` where a character is not allowed in a path.
pub(super) fn normal_path(text: &str) -> Option<String> {
    let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty()).collect();
    let good = !text.is_empty() && parts.iter().all(|part| word(part));
    good.then(|| format!("/{}", parts.join("/")))
}

/// Whether an entry may be put on this normalised path.
pub(super) fn known_path(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        []
        | ["access" | "mapping" | "nodes" | "pool" | "sdn" | "storage" | "vms"]
        | ["access", "groups" | "realm"]
        | ["access", "groups" | "realm", _]
        | ["nodes" | "storage" | "mapping", _]
        | ["mapping", _, _] => true,
        ["pool", rest @ ..] | ["sdn", "zones" | "controllers" | "dns" | "ipams" | "fabrics", rest @ ..] => {
            rest.len() <= 3
        }
        ["vms", id] => id.len() >= 3 && !id.starts_with('0') && id.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}
