//! The scenarios on several kernels.
//!
//! Each kernel gets its own core, gate and loader; the components are the same files for all of them, which is checked here and not believed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use kernel::Prefix;

use crate::pipeline::{Kernel, Pipeline};
use crate::run::Options;
use crate::scenario::{self, Document};
use crate::setup::Toolchain;
use crate::suite;
use crate::workspace::Workspace;

/// What the table calls the kernel that is built here.
const DEFAULT: &str = "5.0.0 (built here)";

/// One line of the table.
struct Row {
    kernel: String,
    configuration: String,
    /// First digits of the kernel file's and its configuration's hash.
    fingerprint: String,
    run: usize,
    /// Scenarios that did not pass, with the first line of the reason.
    failed: Vec<(String, String)>,
}

/// Runs the scenarios whose names contain `filter` on the default kernel and on those in `prefixes`, and prints the table.
///
/// # Errors
///
/// What keeps any kernel or scenario from being tried at all.
pub(crate) fn run(
    workspace: &Workspace,
    toolchain: Toolchain,
    prefixes: &[PathBuf],
    options: &Options,
    filter: Option<&str>,
) -> anyhow::Result<ExitCode> {
    // A prefix that cannot be used is cheaper to find before hours of running.
    let mut kernels = vec![(DEFAULT.to_owned(), Kernel::default().prefix(workspace)?)];
    for folder in prefixes {
        let kernel = Kernel { prefix: Some(folder.clone()), debug: false };
        let prefix = kernel.prefix(workspace)?;
        let name = prefix.dir().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        kernels.push((name, prefix));
    }
    let mut documents = Vec::new();
    for name in scenario::list(&workspace.scenarios()) {
        documents.push(scenario::document(&workspace.scenarios(), &name, &workspace.components())?);
    }
    let mut checksums = BTreeMap::new();
    let mut rows = Vec::new();
    for (name, prefix) in kernels {
        let mut row = Row::new(name, &prefix);
        println!("{} ({})", row.kernel, row.configuration);
        let pipeline = Pipeline::new(workspace, toolchain, prefix);
        for document in &documents {
            row.scenarios(workspace, &pipeline, options, document, filter, &mut checksums)?;
        }
        // Whoever stops this before its end has at least that.
        println!("{}", row.line());
        rows.push(row);
    }
    println!("\n{}", table(&rows));
    println!("{} component files, each the same on all kernels that it ran on", checksums.len());
    let all_passed = rows.iter().all(|row| row.failed.is_empty());
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Row {
    fn new(kernel: String, prefix: &Prefix) -> Self {
        let fingerprint = prefix.fingerprint().chars().take(8).collect();
        let configuration = prefix.configuration().to_string();
        Self { kernel, configuration, fingerprint, run: 0, failed: Vec::new() }
    }

    /// Runs a scenario and its cases.
    fn scenarios(
        &mut self,
        workspace: &Workspace,
        pipeline: &Pipeline<'_>,
        options: &Options,
        document: &Document,
        filter: Option<&str>,
        checksums: &mut BTreeMap<(String, String), String>,
    ) -> anyhow::Result<()> {
        for name in document.names().into_iter().filter(|name| filter.is_none_or(|filter| name.contains(filter))) {
            let scenario = document.scenario(name.split_once('/').map(|(_, case)| case))?;
            self.run += 1;
            let mut result = suite::boot(workspace, pipeline, options, &scenario);
            let components = pipeline.checksums(&scenario).unwrap_or_else(|error| {
                if result.is_ok() {
                    result = Err(format!("the components cannot be compared: {error:#}"));
                }
                Vec::new()
            });
            for component in components {
                let place = (scenario.system().to_owned(), component.program.clone());
                let first = checksums.entry(place).or_insert_with(|| component.sha256.clone());
                if *first != component.sha256 {
                    result = result.and(Err(format!("{} is another file than on the first kernel", component.program)));
                }
            }
            match result {
                Ok(()) => println!("  {name} ... ok"),
                Err(why) => {
                    println!("  {name} ... FAILED");
                    for line in why.lines() {
                        println!("    {line}");
                    }
                    let reason = why.lines().next().unwrap_or_default().to_owned();
                    self.failed.push((name, reason));
                }
            }
        }
        Ok(())
    }

    /// The line of the table, in Markdown.
    fn line(&self) -> String {
        let Self { kernel, configuration, fingerprint, run, failed } = self;
        let passed = run - failed.len();
        let mut text = format!("| {kernel} | {configuration} | `{fingerprint}` | {passed} of {run}");
        for (name, why) in failed {
            let _ = write!(text, "; not `{name}`: {}", why.replace('|', "\\|"));
        }
        text.push_str(" |");
        text
    }
}

/// The table, in Markdown.
fn table(rows: &[Row]) -> String {
    let mut text = String::from("| kernel | configuration | fingerprint | scenarios passed |\n|---|---|---|---|\n");
    for row in rows {
        text.push_str(&row.line());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_did_not_pass_and_why() {
        let row = |failed| Row {
            kernel: "14.0.0".into(),
            configuration: "verified".into(),
            fingerprint: "0123abcd".into(),
            run: 3,
            failed,
        };
        let rows = [row(vec![]), row(vec![("demo".into(), "a | b".into())])];
        let text = table(&rows);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| 14.0.0 | verified | `0123abcd` | 3 of 3 |",
                "| 14.0.0 | verified | `0123abcd` | 2 of 3; not `demo`: a \\| b |",
            ]
        );
    }
}
