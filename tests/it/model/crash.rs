//! Crash and fault at every point, and at every pair of points.

use rotated::rotation::job::Strategy;

use super::world::{Kind, Mishap, PointKind};
use super::{check, job};

const EFFECTS: &[Mishap] = &[
    Mishap::Crash,
    Mishap::CrashAfter,
    Mishap::CrashLate(0),
    Mishap::CrashLate(4),
    Mishap::CrashLate(usize::MAX),
    Mishap::Lost,
    Mishap::Late(0),
    Mishap::Late(4),
    Mishap::Late(usize::MAX),
    Mishap::Passing,
    Mishap::Lasting,
];
const READINGS: &[Mishap] = &[Mishap::Crash, Mishap::Passing, Mishap::Lasting];
const JOURNAL: &[Mishap] = &[Mishap::Crash];
const HUMANS: &[Mishap] = &[Mishap::HumanDeletes, Mishap::HumanRestores, Mishap::HumanTakesName];

fn mishaps(kind: PointKind) -> &'static [Mishap] {
    match kind {
        PointKind::Effect { .. } => EFFECTS,
        PointKind::Look | PointKind::Reading => READINGS,
        PointKind::Journal => JOURNAL,
    }
}

struct Case {
    strategy: Strategy,
    kinds: &'static [Kind],
    rotations: usize,
}

const FILE: Case = Case { strategy: Strategy::Replace, kinds: &[Kind::File], rotations: 2 };
const FILE_AND_WRITE_ONLY: Case =
    Case { strategy: Strategy::Replace, kinds: &[Kind::File, Kind::WriteOnly], rotations: 1 };
const REMOTE_AND_FILE: Case = Case { strategy: Strategy::Replace, kinds: &[Kind::Remote, Kind::File], rotations: 1 };
const WRITE_ONLY: Case = Case { strategy: Strategy::Replace, kinds: &[Kind::WriteOnly], rotations: 1 };
const ALTERNATE: Case = Case { strategy: Strategy::Alternate, kinds: &[Kind::File, Kind::Remote], rotations: 3 };
const IN_PLACE: Case = Case { strategy: Strategy::InPlace, kinds: &[Kind::File, Kind::Remote], rotations: 1 };
const CASES: [Case; 6] = [FILE, FILE_AND_WRITE_ONLY, REMOTE_AND_FILE, WRITE_ONLY, ALTERNATE, IN_PLACE];

/// Every mishap at every point of the whole life of one or more rotations, humans who interfere included.
#[test]
fn every_mishap_at_every_point() {
    let mut runs = 0;
    for case in CASES {
        let job = job(case.strategy, case.kinds);
        let points = check(&job, case.kinds, case.rotations, &[]).site().kinds.clone();
        for (point, kind) in points.iter().enumerate() {
            for mishap in mishaps(*kind).iter().chain(HUMANS) {
                check(&job, case.kinds, case.rotations, &[(point, *mishap)]);
                runs += 1;
            }
        }
    }
    println!("every mishap at every point: {runs} runs, 0 violations");
    assert!(runs > 1500, "only {runs} runs: the points are gone");
}

/// Every mishap together with every later one.
fn every_pair(case: &Case, runs_min: usize) {
    let mut runs = 0;
    let job = job(case.strategy, case.kinds);
    let points = check(&job, case.kinds, 1, &[]).site().kinds.clone();
    for (first, kind) in points.iter().enumerate() {
        for mishap in mishaps(*kind) {
            let after = check(&job, case.kinds, 1, &[(first, *mishap)]).site().kinds.clone();
            for (second, kind) in after.iter().enumerate().skip(first + 1) {
                for other in mishaps(*kind) {
                    check(&job, case.kinds, 1, &[(first, *mishap), (second, *other)]);
                    runs += 1;
                }
            }
        }
    }
    println!("every pair of points, {:?} to {:?}: {runs} runs, 0 violations", case.strategy, case.kinds);
    assert!(runs > runs_min, "only {runs} runs: the points are gone");
}

#[test]
fn every_pair_with_a_file() {
    every_pair(&FILE, 5000);
}

#[test]
fn every_pair_with_a_file_and_a_write_only_destination() {
    every_pair(&FILE_AND_WRITE_ONLY, 7000);
}

#[test]
fn every_pair_with_a_remote_destination_and_a_file() {
    every_pair(&REMOTE_AND_FILE, 7000);
}

#[test]
fn every_pair_with_a_write_only_destination() {
    every_pair(&WRITE_ONLY, 4000);
}

#[test]
fn every_pair_of_alternate() {
    every_pair(&ALTERNATE, 7000);
}

#[test]
fn every_pair_in_place() {
    every_pair(&IN_PLACE, 3000);
}

/// Random walks with up to five mishaps, humans included; a failing one prints its script.
#[test]
fn random_walks() {
    const WALKS: usize = 6000;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).expect("small")
    };
    let all: Vec<_> = EFFECTS.iter().chain(READINGS).chain(HUMANS).copied().collect();
    for walk in 0..WALKS {
        let case = &CASES[walk % CASES.len()];
        let job = job(case.strategy, case.kinds);
        let script: Vec<_> = (0..=draw(5)).map(|_| (draw(120), all[draw(all.len())])).collect();
        check(&job, case.kinds, case.rotations, &script);
    }
    println!("random walks: {WALKS} runs, 0 violations");
}
