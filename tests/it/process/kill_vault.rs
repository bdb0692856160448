//! SIGKILL at every request with a destination in a Vault: those to the Vault are killed, lost and late like all others.

use super::kill::{At, Part, beside_each_other};
use super::setup::{Kind, Setup};

const ROTATION: Part = Part::Rotation { after: 0 };

#[test]
fn killed_at_every_request_no_vault_is_ever_without_a_working_secret() {
    let both = || Setup::new("replace, a file and a Vault", "replace", &[Kind::Env, Kind::Vault]);
    let slots = Setup::new("alternate, a Vault", "alternate", &[Kind::Vault]);
    let old = Setup::new("replace, a Vault with KV 1", "replace", &[Kind::VaultV1]);
    beside_each_other(vec![
        (both(), ROTATION, At::Vault),
        (both(), ROTATION, At::Site),
        (both(), Part::Retirement, At::Vault),
        (both(), ROTATION, At::Events),
        (slots, Part::Rotation { after: 2 }, At::Vault),
        (old, ROTATION, At::Vault),
    ]);
}

/// PROTOCOL R19.
#[test]
fn r19_killed_at_every_request_the_rotator_keeps_a_login_in_the_vault_that_works() {
    let own = || Setup::of_the_rotator("own login in a Vault", &[Kind::Vault, Kind::Env]);
    beside_each_other(vec![
        (own(), ROTATION, At::Vault),
        (own(), ROTATION, At::Site),
        (own(), Part::Retirement, At::Vault),
        (own(), ROTATION, At::Events),
    ]);
}
