//! What stands against a job, and what is wrong beyond jobs.

use serde::{Deserialize, Serialize};

use crate::rotation::fault::Fault;
use crate::rotation::standing::Standing as Known;
use crate::token::{RemoteName, VaultName};

/// Something that failed and is not made good yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What, why, and what to do.
    #[serde(flatten)]
    pub fault: Fault,
    /// When; the last time, if it was tried more than once.
    #[serde(default)]
    pub failed_at: Option<String>,
    /// When it is tried again by itself; none if it is not, or nobody knows.
    #[serde(default)]
    pub retry_at: Option<String>,
}

impl From<&Known> for Standing {
    fn from(known: &Known) -> Self {
        Self {
            fault: known.fault.clone(),
            failed_at: Some(known.at.to_string()),
            retry_at: known.again.map(|at| at.to_string()),
        }
    }
}

/// Something that is wrong beyond single jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What, why, and what to do.
    #[serde(flatten)]
    pub fault: Fault,
    /// The remote it is about, if it is one.
    #[serde(default)]
    pub remote: Option<RemoteName>,
    /// The Vault it is about, if it is one.
    #[serde(default)]
    pub vault: Option<VaultName>,
}
