//! Whose token a remote's login is, as far as this host can tell without asking anybody.

use crate::proxmox::options::Login;
use crate::reference::Reference;
use crate::token::TokenId;

/// The id in front of the secret, which is not kept; none if it cannot be read here and now.
pub(super) fn held(login: &Login) -> Option<TokenId> {
    let Login::ApiToken(reference) = login;
    let secret = match reference {
        Reference::Local(local) => local.read_now().ok()?,
        Reference::Vault(_) => return None,
    };
    secret.expose().split_once('=')?.0.parse().ok()
}
