//! The test suite: formatting, lints, documentation, host tests, then every scenario, and the ways to start from a card.
//!
//! With a kernel that the user brings, only what that kernel can change: the rest is the same as without it. Asked for a program by
//! its name, the suite makes all checks of that program's package and runs its scenarios.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use harness::judge::Verdict;
use kernel::Prefix;

use crate::drill::{self, Drills};
use crate::neutral;
use crate::new::{self, Kind};
use crate::pipeline::{Kernel, Pipeline};
use crate::progress::{Failed, Step, say};
use crate::run::{Built, Interrupted, Options};
use crate::scenario::{self, Document, Scenario};
use crate::scratch;
use crate::setup::Toolchain;
use crate::workspace::{Workspace, cargo};

/// Console lines that are shown of a scenario that failed.
const SHOWN: usize = 60;

/// Runs every item whose name contains `filter`; prints one line each and the closing line.
///
/// # Errors
///
/// Only what keeps the suite from running at all.
pub(crate) fn run(
    workspace: &Workspace,
    toolchain: Toolchain,
    kernel: &Kernel,
    options: &Options,
    filter: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let mut suite = Suite { filter, passed: 0, failed: 0, interrupted: false };
    if kernel.prefix.is_some() {
        // One that cannot be used is refused at once.
        kernel.prefix(workspace)?;
        let left_out = COMMANDS.map(|(name, ..)| name).join(", ");
        println!("left out, being the same with every kernel: {left_out}, {NEW}, boot");
    } else {
        suite.commands(workspace, None);
        suite.item(NEW, || begin(workspace, &kernel.prefix(workspace)?));
    }
    if let Some(program) = filter.filter(|filter| workspace.package(filter).is_some()) {
        let pipeline = Pipeline::new(workspace, toolchain, kernel.prefix(workspace)?);
        suite.program(workspace, &pipeline, program);
    }

    let names = scenario::list(&workspace.scenarios());
    let documents: Vec<(String, Result<Document, String>)> = names
        .into_iter()
        .map(|name| {
            let document = scenario::document(&workspace.scenarios(), &name, &workspace.components());
            (name, document.map_err(|error| error.to_string()))
        })
        .collect();
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter));
    let drills: Vec<&str> = if kernel.prefix.is_some() { Vec::new() } else { drill::names().collect() };
    let on_target = wanted(CLIPPY_TARGET)
        || wanted(NEUTRAL)
        || drills.iter().any(|name| wanted(name))
        || documents.iter().any(|(name, document)| match document {
            Ok(document) => document.names().iter().any(|name| wanted(name)),
            Err(_) => wanted(name),
        });
    if on_target {
        let pipeline = Pipeline::new(workspace, toolchain, kernel.prefix(workspace)?);
        suite.item(CLIPPY_TARGET, || lint_target(workspace, &pipeline));
        suite.item(NEUTRAL, || {
            let found = neutral::check(workspace, &pipeline)?;
            println!("{found}");
            Ok(())
        });
        for (name, document) in &documents {
            if let Err(error) = document {
                suite.item(name, || Err(NotPassed::Failed(error.clone())));
            }
        }
        let documents: BTreeMap<&str, &Document> =
            documents.iter().filter_map(|(name, document)| Some((name.as_str(), document.as_ref().ok()?))).collect();
        suite.side_by_side(documents.values().flat_map(|document| document.names()), |name| {
            let (file, case) = name.split_once('/').map_or((name, None), |(file, case)| (file, Some(case)));
            let document = documents.get(file).context("no such scenario")?;
            let scenario = document.scenario(case).map_err(anyhow::Error::from)?;
            boot(workspace, &pipeline, options, &scenario)
        });
        let prepared = Drills::new(workspace, &pipeline, options);
        suite.side_by_side(drills.iter().map(|name| (*name).to_owned()), |name| {
            let _step = Step::begin(format!("running {name}"));
            Ok(prepared.run(name)?)
        });
    }

    println!(
        "{} passed, {} failed{}",
        suite.passed,
        suite.failed,
        if suite.interrupted { ", interrupted" } else { "" }
    );
    Ok(match (suite.interrupted, suite.failed) {
        (true, _) => ExitCode::from(Verdict::Interrupted.exit_code()),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::from(1),
    })
}

/// Why something did not pass.
#[derive(Debug)]
pub(crate) enum NotPassed {
    /// The user wants no more.
    Interrupted,
    /// It failed, for this reason.
    Failed(String),
}

impl From<anyhow::Error> for NotPassed {
    fn from(error: anyhow::Error) -> Self {
        let is_interrupted = error.chain().any(|cause| {
            cause.is::<Interrupted>() || cause.downcast_ref::<Failed>().is_some_and(Failed::is_interrupted)
        });
        if is_interrupted { Self::Interrupted } else { Self::Failed(format!("{error:#}")) }
    }
}

/// What Cargo checks without a kernel: its command, that for all packages, and what comes behind the packages.
const COMMANDS: [(&str, &str, &str, &[&str]); 4] = [
    ("rustfmt", "fmt", "--all", &["--check", "--", "--color", "never"]),
    ("clippy", "clippy", "--workspace", &["--all-targets", "--", "-D", "warnings"]),
    ("rustdoc", "doc", "--workspace", &["--no-deps"]),
    ("host tests", "test", "--workspace", &["--no-fail-fast"]),
];

/// What is made by `cargo xtask new`.
const NEW: &str = "xtask new";

/// The lints of what only exists on the target.
const CLIPPY_TARGET: &str = "clippy for the board";

/// Components enter the kernel through the gate alone.
const NEUTRAL: &str = "components know no kernel";

struct Suite<'a> {
    filter: Option<&'a str>,
    passed: u32,
    failed: u32,
    /// The user wants no more.
    interrupted: bool,
}

impl Suite<'_> {
    fn wants(&self, name: &str) -> bool {
        !self.interrupted && self.filter.is_none_or(|filter| name.contains(filter))
    }

    fn item(&mut self, name: &str, check: impl FnOnce() -> Result<(), NotPassed>) {
        if self.wants(name) {
            let started = Instant::now();
            let result = check();
            self.tell(name, started, result);
        }
    }

    /// Counts what has come out of something, and says so.
    fn tell(&mut self, name: &str, started: Instant, result: Result<(), NotPassed>) {
        let took = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                self.passed += 1;
                say(format_args!("{name} ... ok ({took:.1} s)"));
            }
            Err(NotPassed::Interrupted) => {
                self.interrupted = true;
                say(format_args!("{name} ... interrupted ({took:.1} s)"));
            }
            Err(NotPassed::Failed(why)) => {
                self.failed += 1;
                let why = why.lines().fold(String::new(), |text, line| text + "\n    " + line);
                say(format_args!("{name} ... FAILED ({took:.1} s){why}"));
            }
        }
    }

    /// What Cargo checks on this machine: of the package of one program, or of all.
    fn commands(&mut self, workspace: &Workspace, program: Option<(&str, &str)>) {
        for (what, subcommand, all, behind) in COMMANDS {
            let name = program.map_or_else(|| what.to_owned(), |(program, _)| format!("{what} of {program}"));
            self.item(&name, || {
                let mut command = cargo();
                command.arg(subcommand).current_dir(&workspace.root);
                match program {
                    Some((_, package)) => command.args(["--package", package]),
                    None => command.arg(all),
                };
                command.args(behind);
                if subcommand == "doc" {
                    command.env("RUSTDOCFLAGS", "-D warnings");
                }
                quietly(&name, &mut command)
            });
        }
    }

    /// All checks of the package of one program.
    fn program(&mut self, workspace: &Workspace, pipeline: &Pipeline<'_>, program: &str) {
        let Some(package) = workspace.package(program) else { return };
        self.commands(workspace, Some((program, package)));
        let name = format!("{CLIPPY_TARGET}, {program}");
        self.item(&name, || {
            let mut command = pipeline.cargo("clippy");
            command.args(["--package", package, "--bins", "--", "-D", "warnings"]);
            quietly(&name, &mut command)
        });
    }

    /// Checks of what runs on the emulated board, as many at a time as there are processors: an emulator uses one, and counts time by
    /// instructions, so that it does not matter to one what the others do.
    fn side_by_side(
        &mut self,
        names: impl Iterator<Item = String>,
        check: impl Fn(&str) -> Result<(), NotPassed> + Sync,
    ) {
        let wanted: Vec<String> = names.filter(|name| self.wants(name)).collect();
        let next = AtomicUsize::new(0);
        let suite = Mutex::new(self);
        let suite = || suite.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            while let Some(name) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                if suite().interrupted {
                    break;
                }
                let started = Instant::now();
                let result = check(name);
                suite().tell(name, started, result);
            }
        };
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
                scope.spawn(work);
            }
        });
    }
}

/// What `cargo xtask new` makes passes this suite as it is.
///
/// An app and a driver are made in a copy of the tree, which is then tested by its own xtask, since that knows the driver's
/// service.
fn begin(workspace: &Workspace, prefix: &Prefix) -> Result<(), NotPassed> {
    const MADE: [(Kind, &str); 2] = [(Kind::App, "new-app"), (Kind::Driver, "new-driver")];
    let root = scratch::copy(workspace, "tree", |copy| {
        MADE.iter().try_for_each(|(kind, name)| new::make(copy, *kind, name).map(drop))
    })?;
    for (_, name) in MADE {
        let mut command = cargo();
        command.args(["xtask", "test", name, "--sel4-prefix"]).arg(prefix.dir()).current_dir(&root);
        scratch::share(workspace, &mut command);
        quietly(&format!("testing {name}"), &mut command)?;
    }
    Ok(())
}

fn lint_target(workspace: &Workspace, pipeline: &Pipeline<'_>) -> Result<(), NotPassed> {
    let mut command = pipeline.cargo("clippy");
    for package in workspace.target_packages() {
        command.args(["--package", package]);
    }
    command.args(["--bins", "--", "-D", "warnings"]);
    quietly(CLIPPY_TARGET, &mut command)
}

fn quietly(name: &str, command: &mut Command) -> Result<(), NotPassed> {
    Step::begin(name).run(command).map(drop).map_err(|failed| anyhow::Error::from(failed).into())
}

/// Builds and runs one scenario and checks that it ends as it should.
pub(crate) fn boot(
    workspace: &Workspace,
    pipeline: &Pipeline<'_>,
    options: &Options,
    scenario: &Scenario,
) -> Result<(), NotPassed> {
    let built = Built::new(pipeline, scenario)?;
    let step = Step::begin(format!("running {}", scenario.name));
    let ran = built.run(workspace, options, |_, line| step.at(line))?;
    let ran = ran.uninterrupted().map_err(anyhow::Error::from)?;
    ran.check(scenario.fails_with.as_ref()).map_err(|why| {
        let skipped = ran.console.len().saturating_sub(SHOWN);
        let shown = ran.console.iter().skip(skipped).map(|line| format!("| {line}\n"));
        let note = if skipped == 0 { String::new() } else { format!("| ({skipped} lines before)\n") };
        NotPassed::Failed(format!("{why}\n{note}{}{}\n", shown.collect::<String>(), ran.artefacts()))
    })
}
