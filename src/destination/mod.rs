//! Where a secret is delivered.

pub mod options;
