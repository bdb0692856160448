//! Whole destinations: what is published is what real readers read, and nothing else is harmed.

use std::fs;
use std::path::Path;

use super::options::{DestinationOptions, FileOptions, Format, Target};
use super::{Delivery, Destination, Expected, Held};
use crate::rotation::mark::RotationId;
use crate::rotation::time::Timestamp;
use crate::secret::Secret;
use crate::token::{Expiry, TokenId};
use crate::vault::Vaults;

pub(super) const SECRET: &str = "714ffbfd-7f27-4a0b-8d43-5c2f4e0c6a11";
pub(super) const FRESH: &str = "provisioner@pve!terraform-20261122T030000Z";
pub(super) const STALE: &str = "provisioner@pve!terraform";

pub(super) fn id(text: &str) -> TokenId {
    text.parse().unwrap()
}

pub(super) fn delivery() -> Delivery {
    Delivery {
        id: id(FRESH),
        secret: Secret::new(SECRET.into()),
        url: "https://pve.example:8006".into(),
        expires_at: Expiry::At(1_795_316_400),
        rotated_at: Timestamp::from_seconds(1_795_316_400),
        job: "terraform".parse().unwrap(),
        rotation: RotationId::new(uuid::Uuid::from_u128(7)),
    }
}

pub(super) fn stale() -> Delivery {
    Delivery { id: id(STALE), secret: Secret::new("0d1c3c54-8c08-41e3-ac8c-000000000001".into()), ..delivery() }
}

pub(super) fn file_options(path: &Path, format: Format) -> FileOptions {
    FileOptions { path: path.into(), format, mode: 0o600, owner: None, group: None, overwrite: false }
}

pub(super) fn destination(file: FileOptions) -> Destination {
    Destination::new(
        DestinationOptions { name: "file-1".parse().unwrap(), target: Target::File(file), fields: None, after: None },
        &Vaults::default(),
    )
    .unwrap()
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn formats() -> Vec<Format> {
    let at = vec!["prod".to_owned(), "lab".to_owned()];
    vec![
        Format::Tfvars { prefix: "lab_".into() },
        Format::Env { prefix: String::new() },
        Format::Json { at: vec![] },
        Format::Json { at: at.clone() },
        Format::Yaml { at: vec![] },
        Format::Yaml { at: at.clone() },
        Format::Toml { at: vec![] },
        Format::Toml { at },
        Format::Raw,
        Format::Template { template: "[x]\nheader = 'PVEAPIToken={{ api_token }}'\n".into() },
    ]
}

fn held(delivery: &Delivery) -> Held {
    Held { id: Some(delivery.id.clone()), secret: Some(delivery.secret.clone()) }
}

/// Rules R3 and R4: recovery finds id and secret again in every format.
#[test]
fn every_format_is_read_back_with_id_and_secret() {
    let folder = tempfile::tempdir().unwrap();
    for (count, format) in formats().into_iter().enumerate() {
        let path = folder.path().join(format!("file{count}"));
        let destination = destination(file_options(&path, format.clone()));
        block_on(async {
            assert_eq!(destination.read().await.unwrap(), Held::default(), "{format:?}");
            destination.publish(&stale(), &Expected::Holding(None)).await.unwrap();
            assert_eq!(destination.read().await.unwrap(), held(&stale()), "{format:?}");
            destination.publish(&delivery(), &Expected::Holding(Some(id(STALE)))).await.unwrap();
            assert_eq!(destination.read().await.unwrap(), held(&delivery()), "{format:?}");
        });
        assert!(!fs::read_to_string(&path).unwrap().contains("0d1c3c54"), "{format:?} keeps the stale secret");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), formats().len(), "nothing is left beside the files");
}
