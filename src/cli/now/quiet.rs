//! A terminal that does not show `^C`.
//!
//! The progress is taken away by moving up as many lines as it has. Its last line reaches to the terminal's edge, so what
//! the terminal shows of a key goes to a line of its own: the wrong lines would be cleared, and a bar would stay.

use std::io::stdin;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// Quiet while it lives. Where stdin is no terminal, or another's, it is nothing.
pub(super) struct Quiet(Option<Termios>);

impl Quiet {
    pub(super) fn new() -> Self {
        Self(modes().filter(|modes| set(modes, |local| local - LocalModes::ECHOCTL)))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let (Some(before), Some(_)) = (&self.0, modes()) {
            set(before, |local| local);
        }
    }
}

/// Whoever is in the background would be stopped for changing them.
fn modes() -> Option<Termios> {
    let is_ours = tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp());
    is_ours.then(|| tcgetattr(stdin()).ok()).flatten()
}

fn set(modes: &Termios, change: impl Fn(LocalModes) -> LocalModes) -> bool {
    let mut modes = modes.clone();
    modes.local_modes = change(modes.local_modes);
    tcsetattr(stdin(), OptionalActions::Now, &modes).is_ok()
}
