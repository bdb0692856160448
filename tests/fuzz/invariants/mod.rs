//! What must hold for any bytes from outside. Shared by the fuzz targets and by `tests/it/fuzz.rs`, which tries the seeds.

pub(crate) mod answers;
pub(crate) mod calendar;
pub(crate) mod config;
pub(crate) mod files;
pub(crate) mod journal;
mod lab;
pub(crate) mod peers;
pub(crate) mod requests;
