//! The scenarios on several kernels.
//!
//! Each kernel gets its own core, gate and loader; the components are the same files for all of them, which is checked here and not believed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use harness::judge::Verdict;
use kernel::Prefix;
use sha2::{Digest, Sha256};

use crate::pipeline::{Checksum, Kernel, Pipeline};
use crate::run::{Interrupted, Options};
use crate::scenario::{self, Document};
use crate::setup::Toolchain;
use crate::suite::{self, NotPassed};
use crate::workspace::Workspace;

/// What the table calls the kernel that is built here.
const DEFAULT: &str = "5.0.0 (built here)";

/// SHA-256 of each component's file, by scenario and program: what is built together shares its dependencies' features.
type Checksums = BTreeMap<(String, String), String>;

/// Which scenarios to run, by parts of their names.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Those that have this.
    pub(crate) only: Option<String>,
    /// But none that have one of these.
    pub(crate) except: Vec<String>,
}

impl Choice {
    fn has(&self, name: &str) -> bool {
        let is_wanted = self.only.as_ref().is_none_or(|part| name.contains(part));
        is_wanted && !self.except.iter().any(|part| name.contains(part))
    }
}

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

/// Runs the scenarios of `choice` on each of the kernels, and prints the table.
///
/// # Errors
///
/// What keeps any kernel or scenario from being tried at all.
pub(crate) fn run(
    workspace: &Workspace,
    toolchain: Toolchain,
    tried: &[Kernel],
    options: &Options,
    choice: &Choice,
) -> anyhow::Result<ExitCode> {
    // A prefix that cannot be used is cheaper to find before hours of running.
    let mut kernels = Vec::new();
    for kernel in tried {
        let prefix = kernel.prefix(workspace)?;
        let folder = kernel.prefix.as_ref().and_then(|folder| folder.file_name());
        let name = folder.map_or_else(|| DEFAULT.to_owned(), |name| name.to_string_lossy().into_owned());
        kernels.push((name, prefix));
    }
    let mut documents = Vec::new();
    for name in scenario::list(&workspace.scenarios()) {
        documents.push(scenario::document(&workspace.scenarios(), &name, &workspace.components())?);
    }
    let mut checksums = Checksums::new();
    let mut rows = Vec::new();
    let mut interrupted = false;
    for (name, prefix) in kernels {
        let mut row = Row::new(name, &prefix);
        println!("{} ({})", row.kernel, row.configuration);
        let pipeline = Pipeline::new(workspace, toolchain, prefix);
        interrupted = documents
            .iter()
            .try_for_each(|document| row.scenarios(workspace, &pipeline, options, document, choice, &mut checksums))
            .is_err();
        // Whoever stops this before its end has at least that.
        println!("{}", row.line());
        rows.push(row);
        if interrupted {
            break;
        }
    }
    println!("\n{}", table(&rows));
    println!("{}", components(&checksums));
    if interrupted {
        println!("interrupted: the table has what was run until then");
        return Ok(ExitCode::from(Verdict::Interrupted.exit_code()));
    }
    let all_passed = rows.iter().all(|row| row.failed.is_empty());
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Row {
    fn new(kernel: String, prefix: &Prefix) -> Self {
        let fingerprint = prefix.fingerprint().chars().take(8).collect();
        let configuration = prefix.configuration().to_string();
        Self { kernel, configuration, fingerprint, run: 0, failed: Vec::new() }
    }

    /// Runs a scenario and its cases; each has its line as soon as it is over.
    ///
    /// # Errors
    ///
    /// The user wants no more.
    fn scenarios(
        &mut self,
        workspace: &Workspace,
        pipeline: &Pipeline<'_>,
        options: &Options,
        document: &Document,
        choice: &Choice,
        checksums: &mut Checksums,
    ) -> Result<(), Interrupted> {
        for name in document.names().into_iter().filter(|name| choice.has(name)) {
            let started = Instant::now();
            let result = compare(workspace, pipeline, options, document, &name, checksums);
            let took = started.elapsed().as_secs_f64();
            match result {
                Ok(()) => println!("  {name} ... ok ({took:.1} s)"),
                Err(NotPassed::Interrupted) => {
                    println!("  {name} ... interrupted ({took:.1} s)");
                    return Err(Interrupted);
                }
                Err(NotPassed::Failed(why)) => {
                    println!("  {name} ... FAILED ({took:.1} s)");
                    for line in why.lines() {
                        println!("    {line}");
                    }
                    let reason = why.lines().next().unwrap_or_default().to_owned();
                    self.failed.push((name, reason));
                }
            }
            self.run += 1;
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

/// Runs the scenario or case `name`, and looks whether its components are the files that they were on the first kernel.
fn compare(
    workspace: &Workspace,
    pipeline: &Pipeline<'_>,
    options: &Options,
    document: &Document,
    name: &str,
    checksums: &mut Checksums,
) -> Result<(), NotPassed> {
    let scenario = document.scenario(name.split_once('/').map(|(_, case)| case)).map_err(anyhow::Error::from)?;
    suite::boot(workspace, pipeline, options, &scenario)?;
    for Checksum { program, sha256 } in pipeline.checksums(&scenario).context("the components cannot be compared")? {
        let first = checksums.entry((scenario.system().to_owned(), program.clone())).or_insert_with(|| sha256.clone());
        if *first != sha256 {
            return Err(NotPassed::Failed(format!("{program} is another file than on the first kernel")));
        }
    }
    Ok(())
}

/// What the component files were, for comparison with another table's.
fn components(checksums: &Checksums) -> String {
    let list = checksums
        .iter()
        .fold(String::new(), |list, ((scenario, program), sha256)| format!("{list}{sha256} {scenario}/{program}\n"));
    let sum = Sha256::digest(list).iter().take(4).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("{} component files, the same on all kernels (checksum of their checksums: {sum})", checksums.len())
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
    fn scenarios_are_chosen_by_parts_of_their_names() {
        let chosen = |only: Option<&str>, except: &[&str], name| {
            let except = except.iter().map(|&part| part.to_owned()).collect();
            Choice { only: only.map(str::to_owned), except }.has(name)
        };
        assert!(chosen(None, &[], "gpio") && chosen(Some("sd-sum"), &[], "sd-sum/blank"));
        assert!(!chosen(Some("sd-sum"), &[], "gpio") && !chosen(Some("sd-sum"), &["bomb", "blank"], "sd-sum/blank"));
        assert!(chosen(None, &["bomb", "blank"], "sd-sum"));
    }

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
