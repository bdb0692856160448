//! What people read of the daemon's answers. Colours are in the text; they are stripped where nobody wants them.

pub mod doctor;
pub mod history;
pub mod job;
pub mod plan;
pub mod status;
pub mod table;
pub mod text;
pub use crate::protocol::times;
pub mod tokens;
pub mod words;

#[cfg(test)]
pub(crate) mod tests;
