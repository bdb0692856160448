//! Granting and verifying: the fresh token has exactly the rights it should, or is not published.

use rotated::rotation::event::Gave;
use rotated::rotation::fault::FaultCode;

use super::{ENTRIES, Kind, STALE, Stage};
use crate::process::setup::SHORT;

/// The same rights as a list.
const LISTED: &str = "grace = \"1s\"\npermissions = [{ path = \"/vms\", role = \"PVEVMUser\" }, \
                      { path = \"/vms/100\", role = \"PVEVMAdmin\", propagate = false }]";

/// Verifies a fresh token after `meddle`, and tells what came of it.
fn verify(keys: &'static str, meddle: impl FnOnce(&Stage, &str)) -> Result<Gave, FaultCode> {
    let mut stage = Stage::new("replace", &[Kind::Json], keys);
    stage.begin();
    let step = stage.work_up_to("verify");
    meddle(&stage, &stage.id(&stage.fresh()));
    stage.perform(&step).map_err(|fault| fault.code)
}

const DIFFER: Result<Gave, FaultCode> = Err(FaultCode::RightsDiffer);

#[test]
fn p3_a_fresh_token_whose_copied_rights_were_changed_is_not_published() {
    assert_eq!(verify(SHORT, |_, _| {}), Ok(Gave::Effect), "nobody has changed anything");
    assert_eq!(verify(SHORT, |stage, fresh| stage.take(fresh, ENTRIES[0])), DIFFER, "it has less");
    assert_eq!(verify(SHORT, |stage, fresh| stage.give(fresh, ("/storage", "PVEVMAdmin"))), DIFFER, "it has more");
}

#[test]
fn p3_a_fresh_token_whose_listed_rights_were_changed_is_not_published() {
    assert_eq!(verify(LISTED, |_, _| {}), Ok(Gave::Effect), "nobody has changed anything");
    assert_eq!(verify(LISTED, |stage, fresh| stage.take(fresh, ENTRIES[0])), DIFFER, "it has less");
    assert_eq!(verify(LISTED, |stage, fresh| stage.give(fresh, ("/storage", "PVEVMAdmin"))), DIFFER, "it has more");
}

#[test]
fn r8_nothing_is_compared_with_a_stale_token_that_has_vanished() {
    let vanish = |stage: &Stage| stage.site().with(|cluster| cluster.remove_token(STALE));
    let with_its_rights = verify(SHORT, |stage, _| vanish(stage));
    assert_eq!(with_its_rights, Ok(Gave::Effect), "the rights recorded earlier count");
    let without = verify(SHORT, |stage, fresh| {
        vanish(stage);
        for entry in ENTRIES {
            stage.take(fresh, entry);
        }
    });
    assert_eq!(without, DIFFER, "both can do nothing, and that is no proof");
}

#[test]
fn r17_rights_that_a_resting_slot_has_lost_are_granted_again() {
    let mut stage = Stage::new("alternate", &[Kind::Json], SHORT);
    let slot = |letter: &str| format!("{STALE}-{letter}");
    stage.rotate();
    stage.rotate();
    stage.take(&slot("a"), ENTRIES[0]);
    stage.begin();
    assert!(stage.ledger.rotation.as_ref().is_some_and(|rotation| rotation.reuse), "{:?}", stage.ledger);
    stage.work_through("grant");
    assert_eq!(stage.entries(&slot("a")), ENTRIES.map(|(path, role)| (path.to_owned(), role.to_owned())));
    let step = stage.work_up_to("verify");
    assert_eq!(stage.perform(&step), Ok(Gave::Effect));
}
