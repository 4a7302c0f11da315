//! `bootgen extract`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use bootgen::check::Contents;
use bootgen::check::extract::{self, Options};
use clap::Args;

use super::{BAD, DIM, Keys};

/// Writes the partitions of an image to files.
#[derive(Args)]
pub(crate) struct Extract {
    /// The image
    image: PathBuf,
    /// Only these input files, by their names in the image; all if none is given
    names: Vec<String>,
    /// Folder for the files; made if it does not exist
    #[arg(long, short = 'C', value_name = "FOLDER", default_value = ".")]
    directory: PathBuf,
    #[command(flatten)]
    keys: Keys,
    /// One file of bytes for each partition, instead of executables and bitstreams
    #[arg(long)]
    raw: bool,
    /// Replace files that exist
    #[arg(long, short)]
    force: bool,
}

impl Extract {
    pub(super) fn run(&self) -> anyhow::Result<bool> {
        let secrets = self.keys.read()?;
        let options = Options { secrets: secrets.as_ref(), overwrite: self.force, raw: self.raw };
        let mut source = super::open(&self.image)?;
        let name = self.image.display();
        let contents = Contents::read(&mut source).with_context(|| format!("{name} is no boot image"))?;
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make the folder {}", self.directory.display()))?;
        let mut outputs = extract::plan(&contents, &options);
        let mut complete = true;
        for wanted in &self.names {
            if !outputs.iter().any(|output| output.name == *wanted) {
                anstream::eprintln!("{BAD}error{BAD:#}: there is no {wanted} in {name}");
                complete = false;
            }
        }
        outputs.retain(|output| self.names.is_empty() || self.names.contains(&output.name));
        for output in &outputs {
            match extract::extract(&contents, &mut source, output, &self.directory, &options) {
                Ok(path) => {
                    let partitions: Vec<String> = output.partitions.iter().map(ToString::to_string).collect();
                    let line = format!(
                        "{} {DIM}{}, partition {}{DIM:#}\n",
                        path.display(),
                        output.format.name(),
                        partitions.join(", ")
                    );
                    super::print(&line)?;
                }
                Err(error) => {
                    anstream::eprintln!("{BAD}error{BAD:#}: {}: {error}", output.name);
                    complete = false;
                }
            }
        }
        Ok(complete)
    }
}
