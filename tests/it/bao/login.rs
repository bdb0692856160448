//! The ways to log in: `AppRole`, JWT, client certificate. Each has its own name as its mount.

use serde_json::{Value, json};

use super::admin::Admin;
use super::text;

impl Admin {
    pub(crate) fn enable_approle(&self) {
        self.enable_auth("approle");
    }

    /// A role with `token_policies`, its id and a secret id; `more` as the API has it: `token_ttl`, `secret_id_num_uses`…
    pub(crate) fn approle(&self, name: &str, policies: &[&str], more: &Value) -> (String, String) {
        self.role(&format!("auth/approle/role/{name}"), json!({"token_policies": policies}), more);
        let role_id = self.must("GET", &format!("auth/approle/role/{name}/role-id"), &Value::Null);
        (text(&role_id["data"]["role_id"]), self.secret_id(name))
    }

    /// One more secret id.
    pub(crate) fn secret_id(&self, role: &str) -> String {
        let made = self.must("POST", &format!("auth/approle/role/{role}/secret-id"), &json!({}));
        text(&made["data"]["secret_id"])
    }

    /// A wrapping token; unwrapped, it is `secret_id` and more.
    pub(crate) fn wrapped_secret_id(&self, role: &str, ttl: &str) -> String {
        let path = format!("auth/approle/role/{role}/secret-id");
        let request = self.request("POST", &path, &self.root_token, &json!({})).header("X-Vault-Wrap-TTL", ttl);
        let reply = self.ask(&request);
        let answer: Value = serde_json::from_slice(&reply.body).expect("an answer is JSON");
        text(&answer["wrap_info"]["token"])
    }

    /// Accepts what [`Admin::jwt`] signs.
    pub(crate) fn enable_jwt(&self) {
        self.enable_auth("jwt");
        self.must("POST", "auth/jwt/config", &json!({"jwt_validation_pubkeys": [self.issuer.public_pem()]}));
    }

    /// A role for this audience; the user is the claim `sub`.
    pub(crate) fn jwt_role(&self, name: &str, audience: &str, policies: &[&str], more: &Value) {
        let own = json!({
            "role_type": "jwt",
            "bound_audiences": [audience],
            "user_claim": "sub",
            "token_policies": policies,
        });
        self.role(&format!("auth/jwt/role/{name}"), own, more);
    }

    /// Signed by the one issuer; `aud`, `sub`, `iat` and `exp` are the caller's business.
    pub(crate) fn jwt(&self, claims: &Value) -> String {
        self.issuer.sign(claims)
    }

    pub(crate) fn enable_cert(&self) {
        self.enable_auth("cert");
    }

    /// A role for every client certificate of the test's authority for clients.
    pub(crate) fn cert_role(&self, name: &str, policies: &[&str], more: &Value) {
        let own = json!({"certificate": self.clients_ca_pem, "token_policies": policies});
        self.role(&format!("auth/cert/certs/{name}"), own, more);
    }
}
