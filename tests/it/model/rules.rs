//! The protocol's rules, one by one.
