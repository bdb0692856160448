//! Writes the man pages and completions of a package: `cargo run --example manpages -- DIR`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use rotated::cli::args::DaemonArgs;
use rotated::cli::commands::ClientArgs;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).context("usage: manpages DIR")?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    page(&folder, DaemonArgs::command(), "8")?;
    let mut client = ClientArgs::command().disable_help_subcommand(true);
    client.build();
    page(&folder, client.clone(), "1")?;
    for command in client.get_subcommands() {
        page(&folder, command.clone(), "1")?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        for (name, mut command) in [("rotate", ClientArgs::command()), ("rotated", DaemonArgs::command())] {
            clap_complete::generate_to(shell, &mut command, name, &folder)?;
        }
    }
    Ok(())
}

fn page(folder: &Path, command: Command, section: &str) -> anyhow::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    Man::new(command).section(section).title(name.to_uppercase()).render(&mut text)?;
    let path = folder.join(format!("{name}.{section}"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
