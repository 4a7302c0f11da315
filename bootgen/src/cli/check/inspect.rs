//! `bootgen inspect`.

use std::path::PathBuf;

use anyhow::Context as _;
use bootgen::check::{Contents, describe, inspect};
use clap::Args;

/// Shows what is in an image.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The image
    image: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(&self) -> anyhow::Result<bool> {
        let mut source = super::open(&self.image)?;
        let name = self.image.display();
        let contents = Contents::read(&mut source).with_context(|| format!("{name} is no boot image"))?;
        let description = describe::describe(&contents, &mut source).with_context(|| format!("cannot read {name}"))?;
        if self.json {
            super::print_json(&description)?;
        } else {
            super::print(&inspect::render(&name.to_string(), &description, &contents))?;
        }
        Ok(true)
    }
}
