//! `bootgen diff`.

use std::fmt::Write as _;
use std::path::PathBuf;

use bootgen::check::diff::{self, Difference};
use clap::Args;

use super::{BAD, GOOD, STRONG};

/// Compares two images.
#[derive(Args)]
pub(crate) struct Diff {
    /// The first image
    left: PathBuf,
    /// The second image
    right: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(&self) -> anyhow::Result<bool> {
        let (mut left, mut right) = (super::open(&self.left)?, super::open(&self.right)?);
        let differences = diff::diff(&mut left, &mut right)?;
        if self.json {
            super::print_json(&differences)?;
        } else {
            super::print(&render(&differences))?;
        }
        Ok(differences.is_empty())
    }
}

/// Differences for people, in groups.
fn render(differences: &[Difference]) -> String {
    let mut out = String::new();
    for group in differences.chunk_by(|a, b| a.place == b.place) {
        // Writing to a string cannot fail.
        let place = group.first().map(|first| first.place.as_str()).unwrap_or_default();
        let _ = writeln!(out, "{STRONG}{place}{STRONG:#}");
        for Difference { field, left, right, .. } in group {
            if let Some(field) = field {
                let _ = writeln!(out, "  {field}");
            }
            if let Some(left) = left {
                let _ = writeln!(out, "  {BAD}-{BAD:#} {left}");
            }
            if let Some(right) = right {
                let _ = writeln!(out, "  {GOOD}+{GOOD:#} {right}");
            }
        }
    }
    out
}
