//! Where a secret is delivered: files, commands and Vaults, written, read back, and followed by an action.
//!
//! A destination never keeps a secret beyond a call, and no fault of its holds one. A write is conditional on what the
//! destination held when publishing began (rule R6); what is already there is not written again (R20).

mod account;
mod command;
mod delivery;
mod file;
mod folder;
mod format;
mod held;
pub mod options;
mod process;
mod replace;
mod vault;

use std::sync::Arc;

use self::command::CommandTarget;
use self::delivery::Fields;
pub use self::delivery::{Delivery, VALUE_BYTES_MAX, is_exactly};
use self::file::FileTarget;
use self::format::AT_KEYS_MAX;
pub use self::format::{FormatError, Found, Values};
pub use self::held::Held;
use self::options::{After, DestinationOptions, Format, Target};
pub use self::process::{AFTER_TIMEOUT, COMMAND_TIMEOUT, OUTPUT_BYTES_MAX};
pub use self::replace::{FILE_BYTES_MAX, LOCK_WAIT_MAX};
use self::vault::VaultTarget;
use crate::reference::{Local, Reference};
use crate::rotation::fault::{Fault, FaultCode};
use crate::token::{DestinationName, TokenId};
use crate::vault::Vaults;

/// What a destination may hold for a write to go ahead. What already equals the delivery is always fine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// What it held when publishing began (`None`: no token of which the id can be told).
    Holding(Option<TokenId>),
    /// Whatever it holds.
    Anything,
}

/// One place that a job's secret is delivered to.
#[derive(Clone)]
pub struct Destination {
    name: DestinationName,
    target: Kind,
    after: Option<Box<After>>,
}

#[derive(Clone)]
enum Kind {
    File(Arc<FileTarget>),
    Command(Arc<CommandTarget>),
    Vault(Arc<VaultTarget>),
}

impl Destination {
    /// Takes the options, and the Vaults that they may name; templates are tried with a sample, names and programs are
    /// checked.
    ///
    /// # Errors
    /// A lasting fault that names what is wrong in the options.
    pub fn new(options: DestinationOptions, vaults: &Vaults) -> Result<Self, Fault> {
        let what = format!("could not take the options of destination {}", options.name);
        let wrong = |error: FormatError| {
            let (FormatError::Content(because) | FormatError::Value(because)) = error;
            Fault::lasting(FaultCode::DestinationUnwritable, what.clone(), because, "correct it in the config")
        };
        let fields = Fields::new(&options).map_err(wrong)?;
        if let Some(after) = &options.after {
            command::check_after(after)?;
        }
        let target = match options.target {
            Target::File(file) => {
                check_at(&file.format).map_err(wrong)?;
                Kind::File(Arc::new(FileTarget { options: file, fields }))
            }
            Target::Command(options) => {
                command::check_argv_of(&options)?;
                Kind::Command(Arc::new(CommandTarget { options, fields }))
            }
            Target::Vault(options) => {
                let vault = vaults.get(&options.vault)?.clone();
                Kind::Vault(Arc::new(VaultTarget { vault, options, fields }))
            }
        };
        Ok(Self { name: options.name, target, after: options.after })
    }

    /// Its name within the job.
    pub fn name(&self) -> &DestinationName {
        &self.name
    }

    /// Whether `reference` leads to the `api_token` that is delivered here, so that a login that is read from there
    /// follows a rotation of its own token.
    pub fn holds_login(&self, reference: &Reference, vaults: &Vaults) -> bool {
        match (&self.target, reference) {
            (Kind::File(file), Reference::Local(Local::File(path))) => file.options.path == *path,
            (Kind::Vault(vault), Reference::Vault(field)) => vault.holds_login(field, vaults),
            (Kind::File(_) | Kind::Command(_) | Kind::Vault(_), Reference::Local(_) | Reference::Vault(_)) => false,
        }
    }

    /// Whether it can be read back.
    pub fn is_readable(&self) -> bool {
        match &self.target {
            Kind::File(_) | Kind::Vault(_) => true,
            Kind::Command(command) => command.options.read.is_some(),
        }
    }

    /// What it holds, as a consumer would read it. A missing file holds nothing.
    ///
    /// # Errors
    /// `destination_malformed` (lasting) if its content does not follow its format, `destination_unreadable` if it
    /// cannot be read.
    pub async fn read(&self) -> Result<Held, Fault> {
        match &self.target {
            Kind::File(file) => aside(file, FileTarget::read).await,
            Kind::Command(command) => command.read().await,
            Kind::Vault(vault) => vault.read().await,
        }
    }

    /// Writes the delivery, provided the destination holds what is expected. Content that is already equal is success
    /// without a write. Dropping the future kills a command; a file's rename may then still happen within moments.
    ///
    /// # Errors
    /// `destination_conflict` (passing) if it holds something else than expected or changes meanwhile,
    /// `destination_foreign` (lasting) if a file that a format owns holds no token of this job,
    /// `destination_unwritable`, `destination_malformed`, `command_failed`, what a Vault says (`vault_…`), and, unanswered,
    /// `destination_unanswered` for a command that was cut off and `vault_unanswered` for a lost answer.
    pub async fn publish(&self, delivery: &Delivery, expected: &Expected) -> Result<(), Fault> {
        match &self.target {
            Kind::File(file) => {
                let (delivery, expected) = (delivery.clone(), expected.clone());
                aside(file, move |file| file.publish(&delivery, &expected, &|| {})).await
            }
            Kind::Command(command) => command.publish(delivery, expected).await,
            Kind::Vault(vault) => vault.publish(delivery, expected).await,
        }
    }

    /// Does what the config wants done after the content is in place; nothing if it wants nothing.
    ///
    /// # Errors
    /// `after_failed`, passing unless it can never work.
    pub async fn after(&self) -> Result<(), Fault> {
        match &self.after {
            Some(action) => command::after(action).await,
            None => Ok(()),
        }
    }

    /// Tries whether it can be written, without changing what it holds. Whether a token that a file of the formats raw
    /// and template holds is this job's, the caller knows from [`Self::read`].
    ///
    /// # Errors
    /// What [`Self::publish`] would answer.
    pub async fn check_writable(&self) -> Result<(), Fault> {
        match &self.target {
            Kind::File(file) => aside(file, FileTarget::check_writable).await,
            Kind::Command(command) => command.check(),
            Kind::Vault(vault) => vault.check_writable().await,
        }
    }

    /// Removes what a crash left beside it.
    ///
    /// # Errors
    /// `destination_unwritable` if the folder cannot be opened or written.
    pub async fn tidy(&self) -> Result<(), Fault> {
        match &self.target {
            Kind::File(file) => aside(file, FileTarget::tidy).await,
            Kind::Command(_) | Kind::Vault(_) => Ok(()),
        }
    }
}

fn check_at(format: &Format) -> Result<(), FormatError> {
    match format {
        Format::Json { at } | Format::Yaml { at } | Format::Toml { at } => {
            if at.len() > AT_KEYS_MAX {
                return Err(FormatError::Value(format!("`at` has more than {AT_KEYS_MAX} keys")));
            }
            at.iter().try_for_each(|key| format.check_name(key))
        }
        Format::Tfvars { .. } | Format::Env { .. } | Format::Raw | Format::Template { .. } => Ok(()),
    }
}

/// Runs file work, which blocks, on a thread of its own.
async fn aside<T: Send + 'static>(
    file: &Arc<FileTarget>,
    work: impl FnOnce(&FileTarget) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let file = Arc::clone(file);
    let path = file.options.path.clone();
    match tokio::task::spawn_blocking(move || work(&file)).await {
        Ok(result) => result,
        Err(error) => Err(Fault::lasting(
            FaultCode::Internal,
            format!("could not finish the work on {}", path.display()),
            if error.is_panic() { "it panicked" } else { "the program is ending" },
            "report this with the log around it",
        )),
    }
}

#[cfg(test)]
mod tests;
