//! A destination that is a path of a KV engine in a Vault.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::Expected;
use super::delivery::{Delivery, Fields, Plain};
use super::format::{FormatError, Found};
use super::held::Held;
use super::options::VaultPath;
use crate::reference::VaultField;
use crate::rotation::fault::{Cause, Fault, FaultCode, Severity};
use crate::rotation::time::Timestamp;
use crate::token::{Expiry, TokenId};
use crate::vault::{Change, Content, Vault, Vaults};

/// A path with the fields that are ours there.
pub(super) struct VaultTarget {
    pub(super) vault: Vault,
    pub(super) options: VaultPath,
    pub(super) fields: Fields,
}

impl VaultTarget {
    /// What the latest version holds under our keys. One that is not there, deleted or destroyed holds nothing.
    pub(super) async fn read(&self) -> Result<Held, Fault> {
        let content = self.vault.read(&self.options.path, Some(self.options.kv)).await;
        content.and_then(|content| self.held(&content)).map_err(|cause| cause.fault(self.what("read")))
    }

    /// Writes our keys beside those of others, if ours are what is expected; then says in the metadata whose they are.
    ///
    /// The metadata are for people who look: what stands against them for good does not stop a rotation whose secret has
    /// been delivered.
    pub(super) async fn publish(&self, delivery: &Delivery, expected: &Expected) -> Result<(), Fault> {
        let failed = |cause: Cause| cause.without(&delivery.secret).fault(self.what("write"));
        let values = self.fields.render(delivery).map_err(|error| failed(unrendered(error)))?;
        let decide = |content: &Content| self.decide(content, delivery, expected, &values);
        self.vault.change(&self.options.path, self.options.kv, decide).await.map_err(failed)?;
        match self.vault.describe(&self.options.path, &description(delivery)).await {
            Err(cause) if cause.severity == Severity::Lasting => {
                let (vault, path, because) = (self.vault.name(), &self.options.path, &cause.because);
                tracing::warn!(%vault, %path, because, next = cause.next, "the secret is delivered, but not its custom_metadata");
                Ok(())
            }
            other => other.map_err(|cause| cause.fault(self.what("describe"))),
        }
    }

    /// Tries whether mount and policy allow a delivery, and what is there can be understood.
    pub(super) async fn check_writable(&self) -> Result<(), Fault> {
        let checked = self.vault.check(&self.options.path, self.options.kv).await;
        checked.and_then(|content| self.held(&content)).map(drop).map_err(|cause| cause.fault(self.what("deliver to")))
    }

    /// Whether `field` is where we write the `api_token`, perhaps by another section for the same server.
    pub(super) fn holds_login(&self, field: &VaultField, vaults: &Vaults) -> bool {
        let here = self.vault.place(&self.options.path);
        let there = vaults.get(&field.vault).map(|vault| vault.place(&field.path));
        there.is_ok_and(|there| there == here) && self.fields.writes(&field.field, Plain::ApiToken)
    }

    /// A write whose answer was lost is recognised here, so that no version is written twice.
    fn decide(
        &self,
        content: &Content,
        delivery: &Delivery,
        expected: &Expected,
        values: &[(String, Zeroizing<String>)],
    ) -> Result<Change, Cause> {
        if values.iter().all(|(name, value)| content.text(name).as_ref() == Some(value)) {
            return Ok(Change::Keep);
        }
        let held = self.held(content)?;
        let is_there = held.id.as_ref() == Some(&delivery.id) && held.secret.as_ref() == Some(&delivery.secret);
        match expected {
            Expected::Holding(id) if *id != held.id && !is_there => Err(conflict(id.as_ref(), held.id.as_ref())),
            Expected::Holding(_) | Expected::Anything => Ok(Change::Set(values.to_vec())),
        }
    }

    fn held(&self, content: &Content) -> Result<Held, Cause> {
        let text = |name: &&str| Some(((*name).to_owned(), content.text(name)?));
        let found: Found = self.fields.names().iter().filter_map(text).collect();
        Held::from_values(&self.fields, &found).map_err(|_| {
            Cause::lasting(
                FaultCode::DestinationMalformed,
                "its fields name different tokens, so somebody changed only some of them",
                "put back the version before that change, or remove these fields and let them be written anew",
            )
        })
    }

    fn what(&self, verb: &str) -> String {
        format!("could not {verb} {} in the Vault {}", self.options.path, self.vault.name())
    }
}

fn unrendered(error: FormatError) -> Cause {
    let (FormatError::Content(because) | FormatError::Value(because)) = error;
    Cause::lasting(FaultCode::DestinationUnwritable, because, "change `fields` of this destination")
}

fn conflict(before: Option<&TokenId>, now: Option<&TokenId>) -> Cause {
    let name = |id: Option<&TokenId>| id.map_or_else(|| "no token".to_owned(), ToString::to_string);
    Cause::passing(
        FaultCode::DestinationConflict,
        format!("it held {} when publishing began and holds {} now", name(before), name(now)),
        "find out who else writes it; it is read again and tried again",
    )
}

/// What `custom_metadata` says, for people who look at the secret. Never the secret itself.
fn description(delivery: &Delivery) -> BTreeMap<&'static str, String> {
    let expires_at = match delivery.expires_at {
        Expiry::Never => "never".to_owned(),
        Expiry::At(seconds) => Timestamp::from_seconds(seconds).to_string(),
    };
    BTreeMap::from([
        ("rotated_job", delivery.job.to_string()),
        ("rotated_rotation", delivery.rotation.to_string()),
        ("rotated_token_id", delivery.id.to_string()),
        ("rotated_expires_at", expires_at),
    ])
}
