//! Everything that is more than one file's own business, as one program.

mod bao;
mod cli;
mod conformance;
mod control;
mod fuzz;
mod model;
mod page;
mod process;
mod raw_client;
mod readme;
mod servers;
mod site;
mod site_faults;
mod tidy;
mod vault;
