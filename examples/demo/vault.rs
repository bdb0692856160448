//! The Vault on the stage: a real OpenBao where one can be had, with the least rights that suffice.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::bao::{Bao, BaoOptions};

/// Where its KV 2 engine is.
pub(crate) const MOUNT: &str = "secret";
/// Where terraform's secret lies in it.
pub(crate) const PATH: &str = "proxmox/lab/terraform";

const POLICY: &str = r#"
path "secret/data/proxmox/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/proxmox/*" { capabilities = ["patch"] }
"#;

/// A server with the engine, the policy, an AppRole, and the token `before` where it will be rotated; and what the
/// config says of it. Why there is none is told.
pub(crate) fn build(folder: &Path, before: &str) -> anyhow::Result<(Arc<Bao>, String)> {
    let bao = Bao::start(BaoOptions::default()).map_err(|problem| anyhow::anyhow!("{problem}"))?;
    bao.enable_kv(MOUNT, 2);
    bao.policy("rotated", POLICY);
    bao.enable_approle();
    let (role_id, secret_id) = bao.approle("rotated", &["rotated"], &json!({}));
    bao.kv2_put(MOUNT, PATH, &json!({ "api_token": before, "workspace": "prod" }));
    let path = folder.join("vault.secret-id");
    std::fs::write(&path, secret_id)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    std::fs::write(folder.join("vault-ca.pem"), bao.ca_pem())?;
    let text = include_str!("vault.toml").replace("VAULT_URL", &bao.address()).replace("ROLE_ID", &role_id);
    Ok((Arc::new(bao), text))
}
