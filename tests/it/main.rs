//! Everything that is more than one file's own business, as one program.

mod bao;
mod child;
mod cli;
mod conformance;
mod control;
mod durable;
mod fuzz;
mod live;
mod model;
mod notices;
mod operator;
mod page;
mod process;
mod prometheus;
mod raw_client;
mod readme;
mod receiver;
mod servers;
mod site;
mod site_faults;
mod tidy;
mod vault;
