//! One run of a scenario on the emulated board: card, emulator, output, verdict.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use harness::backtrace::Backtraces;
use harness::board::{Board, Devices, Outcome, Plugin, Start, Watch};
use harness::card;
use harness::emulator_log::AllowList;
use harness::frames::Summary;
use harness::judge::{Pattern, Verdict};
use harness::measure::{self, BOOT_LOADER, Figure, Table, Wanted};
use harness::screen::Pictures;
use harness::sums;

use crate::pipeline::{Checksum, GATE, Pipeline};
use crate::scenario::Scenario;
use crate::workspace::Workspace;

/// The virtual clock follows the instructions, two nanoseconds each, so that two runs of the same program
/// are the same run. That is about what the processor takes at 667 MHz.
const ICOUNT: &str = "shift=1,sleep=off";

/// The last line of a boot loader that has started something.
const STARTING: &str = "^[fsbl] starting ";
/// The last line of a boot loader that gives up.
pub(crate) const GAVE_UP: &str = "^[fsbl] failed, code";
/// How much longer a run may take that starts with the boot ROM.
const LOADING: Duration = Duration::from_mins(2);

/// What the user wants of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The card's image, instead of the scenario's.
    pub(crate) card: Option<PathBuf>,
    /// What is on that image, if it is known.
    pub(crate) files: Option<Vec<sums::File>>,
    /// Let the board write to that image itself.
    pub(crate) writable: bool,
    /// The emulator.
    pub(crate) qemu: Option<PathBuf>,
    /// The deadline, instead of the scenario's.
    pub(crate) deadline: Option<Duration>,
    /// Wait for a debugger.
    pub(crate) debugger: bool,
    /// Where the console is copied to.
    pub(crate) log: Option<PathBuf>,
    /// A socket that takes commands for the board.
    pub(crate) control: Option<PathBuf>,
    /// Where the picture that is on the display at the end, or was last, is copied to.
    pub(crate) screenshot: Option<PathBuf>,
    /// Where the display can be watched.
    pub(crate) watch: Option<Watch>,
}

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// The figures that the scenario wants.
    pub(crate) figures: Vec<Figure>,
    /// The console.
    pub(crate) console: Vec<String>,
    /// What is known of the emulated part of the board.
    pub(crate) devices: Option<models::board::Report>,
    /// What the run has left for a closer look: console, emulator's log, what was done to the board and what became of it.
    pub(crate) kept: Vec<PathBuf>,
}

/// Where a console line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output: the result.
    Output,
    /// Standard error: everything else.
    Error,
}

/// A scenario that has been built.
pub(crate) struct Built<'a> {
    /// The scenario.
    pub(crate) scenario: &'a Scenario,
    /// What the board starts.
    pub(crate) start: Start,
    /// What the emulator loads.
    pub(crate) plugin: PathBuf,
    /// The components' files.
    pub(crate) components: Vec<Checksum>,
    /// The figures to show, with the goals for this kernel.
    wanted: Vec<Wanted>,
    /// How many times the scenario's deadline this kernel gets.
    patience: u32,
}

impl<'a> Built<'a> {
    /// Builds what `scenario` needs.
    pub(crate) fn new(pipeline: &Pipeline<'_>, scenario: &'a Scenario) -> anyhow::Result<Self> {
        let _alone = pipeline.alone();
        let start = Start::Program(pipeline.build(scenario)?);
        let plugin = pipeline.plugin()?;
        let components = pipeline.checksums(scenario)?;
        let (wanted, patience) = (scenario.wanted(pipeline.goals()), pipeline.patience());
        Ok(Self { scenario, start, plugin, components, wanted, patience })
    }

    /// What is needed to start `scenario` from a card that it is on; the programs are there.
    pub(crate) fn on_card(pipeline: &Pipeline<'_>, scenario: &'a Scenario) -> anyhow::Result<Self> {
        let mut wanted = vec![Wanted::new(BOOT_LOADER)];
        // Goals are for the emulator's own SD controller, which moves data at once; during the transfers of this one others compute.
        let without_goal = |wanted| Wanted { goal: None, like: None, ..wanted };
        wanted.extend(scenario.wanted(pipeline.goals()).into_iter().map(without_goal));
        let (plugin, patience) = (pipeline.plugin()?, pipeline.patience());
        Ok(Self { scenario, start: Start::Card, plugin, components: Vec::new(), wanted, patience })
    }

    /// Runs it. `line` gets every console line as it arrives and the stream that it belongs to.
    pub(crate) fn run(
        &self,
        workspace: &Workspace,
        options: &Options,
        mut line: impl FnMut(Stream, &str),
    ) -> anyhow::Result<Ran> {
        let scenario = self.scenario;
        let file = |extension: &str| {
            let name = scenario.name.replace('/', "-");
            workspace.output().join(format!("{name}.{extension}"))
        };
        let (card, files) = match make_card(scenario, options, &file("sd"))? {
            Card::Ready { card, files } => (card, files),
            Card::CutOff { why } => {
                line(Stream::Error, &why);
                let verdict = Verdict::Failure { line: why };
                return Ok(Ran { verdict, figures: Vec::new(), console: Vec::new(), devices: None, kept: Vec::new() });
            }
        };
        let mut description = scenario.devices.clone();
        let mut rules = scenario.rules.clone();
        if self.start == Start::Card {
            description.start = models::board::description::Start::Card;
            description.preset.clear();
            // What the scenario expects of the board is not about the boot loader's own light.
            description.since = Some(Pattern::new(STARTING));
            rules.deadline = rules.deadline.map(|deadline| deadline + LOADING);
        }
        let board = Board {
            qemu: options.qemu.clone().unwrap_or_else(|| "qemu-system-arm".into()),
            start: self.start.clone(),
            card,
            plugin: Some(Plugin {
                library: self.plugin.clone(),
                counts: (!self.wanted.is_empty()).then(|| file("measured.json")),
                devices: Some(Devices {
                    description,
                    file: file("board.json"),
                    report: file("report.json"),
                    screenshot: Some(file("screen.png")),
                    control: options.control.clone(),
                    watch: options.watch.clone(),
                }),
            }),
            icount: scenario.deterministic.then(|| ICOUNT.to_owned()),
            debugger: options.debugger,
            log: file("emulator.log"),
        };
        rules.deadline = match options.deadline {
            _ if options.debugger => None,
            Some(deadline) => Some(deadline),
            None => rules.deadline.map(|deadline| deadline * self.patience),
        };
        let router = Router::new(scenario.stdout.as_deref());
        let mut log = match &options.log {
            Some(path) => {
                let log = File::create(path).with_context(|| format!("--log {}", path.display()))?;
                Some(BufWriter::new(log))
            }
            None => None,
        };
        let mut log_error = None;
        for Checksum { program, sha256 } in &self.components {
            let text = format!("zelkova: component {program:<12} sha256 {sha256}");
            if let Some(log) = &mut log {
                writeln!(log, "{text}").context("--log")?;
            }
            line(Stream::Error, &text);
        }
        let mut backtraces = Backtraces::new(|program: &str| workspace.program(program), &workspace.root, &[GATE]);
        let explain = |text: &str| backtraces.line(text);
        let outcome = board.run(rules, &allow_list(workspace)?, explain, |text| {
            if let Some(log) = &mut log
                && let Err(error) = writeln!(log, "{text}")
            {
                log_error.get_or_insert(error);
            }
            let (stream, text) = router.route(text);
            line(stream, text);
        })?;
        if let (Some(error), Some(path)) = (log_error, &options.log) {
            return Err(error).with_context(|| format!("--log {}", path.display()));
        }
        let console = file("console.log");
        std::fs::write(&console, outcome.console.join("\n") + "\n").with_context(|| console.display().to_string())?;
        let shown = file("screen.png");
        if let Some(path) = &options.screenshot {
            if shown.exists() {
                std::fs::copy(&shown, path).with_context(|| format!("--screenshot {}", path.display()))?;
            } else {
                line(Stream::Error, "zelkova: nothing has ever been on the display, so there is no screenshot");
            }
        }
        let directory = workspace.root.join("scenarios");
        let mut ran = self.judge(outcome, files.as_deref(), Pictures { shown: &shown, directory: &directory });
        let kept = [console, shown, file("emulator.log"), file("board.json"), file("report.json")];
        ran.kept = kept.into_iter().filter(|path| path.exists()).collect();
        Ok(ran)
    }

    /// The verdict, with what can only be said at the end.
    fn judge(&self, outcome: Outcome, files: Option<&[sums::File]>, pictures: Pictures<'_>) -> Ran {
        let Outcome { mut verdict, console, report, devices, .. } = outcome;
        match &devices {
            Some(devices) => {
                verdict
                    .spoil(self.scenario.checks.iter().flat_map(|check| check.problems(devices, pictures)).collect());
            }
            None => verdict.spoil(vec!["the emulated board left no report".to_owned()]),
        }
        if let (Some(component), Some(files)) = (&self.scenario.sums, files) {
            let label = label(component);
            let lines = console.iter().filter_map(|line| line.strip_prefix(&label));
            verdict.spoil(sums::compare(files, lines));
        }
        let figures = report.map(|report| measure::figures(&report, &self.wanted)).unwrap_or_default();
        verdict.spoil(figures.iter().filter_map(Figure::problem).collect());
        Ran { verdict, figures, console, devices, kept: Vec::new() }
    }
}

/// The user ended it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

impl Ran {
    /// This run, unless it is none because the user ended it.
    pub(crate) fn uninterrupted(self) -> Result<Self, Interrupted> {
        if self.verdict == Verdict::Interrupted { Err(Interrupted) } else { Ok(self) }
    }

    /// Whether this is what the scenario says must happen, and if not, why.
    pub(crate) fn check(&self, fails_with: Option<&Pattern>) -> Result<(), String> {
        match (fails_with, &self.verdict) {
            (None, Verdict::Success) => Ok(()),
            (Some(pattern), Verdict::Failure { line }) if pattern.matches(line) => Ok(()),
            (None, verdict) => Err(verdict.to_string()),
            (Some(pattern), verdict) => Err(format!("expected to fail with `{pattern}`, but: {verdict}")),
        }
    }

    /// One line that names what the run has left.
    pub(crate) fn artefacts(&self) -> String {
        let kept: Vec<String> = self.kept.iter().map(|path| path.display().to_string()).collect();
        format!("kept: {}", kept.join(" "))
    }

    /// What the boot loader took, in one line, if the board started with one.
    pub(crate) fn loading(&self) -> Option<String> {
        let room = models::bootrom::MOST;
        let bytes = self.devices.as_ref()?.loader?;
        let figure = self.figures.iter().find(|figure| figure.wanted.op == BOOT_LOADER);
        let took = match figure.and_then(Figure::median) {
            Some(instructions) => format!("{instructions} instructions from reset to hand-over"),
            None => "no hand-over".to_owned(),
        };
        Some(format!("boot loader: {bytes} bytes of {room}, {took}"))
    }

    /// Who has touched the memory of pictures, if that was watched.
    pub(crate) fn frames(&self) -> Option<String> {
        Some(Summary(self.devices.as_ref()?.frames.as_ref()?).to_string())
    }

    /// The measured figures as a table, if there are any.
    pub(crate) fn table(&self) -> Option<String> {
        (!self.figures.is_empty()).then(|| Table(&self.figures).to_string())
    }
}

/// The card of a run.
enum Card {
    /// There is one, or none is wanted.
    Ready {
        /// The file that the emulator opens.
        card: Option<PathBuf>,
        /// What is on it, if that is known.
        files: Option<Vec<sums::File>>,
    },
    /// The image is damaged in a way that padding would hide.
    CutOff {
        /// The error line.
        why: String,
    },
}

/// Makes the card for `scenario` in the file `card`.
fn make_card(scenario: &Scenario, options: &Options, card: &Path) -> anyhow::Result<Card> {
    let (image, files) = if let Some(image) = &options.card {
        if options.writable {
            card::use_in_place(image)?;
            return Ok(Card::Ready { card: Some(image.clone()), files: None });
        }
        (image.clone(), options.files.clone())
    } else if let Some(recipe) = &scenario.card {
        let image = card.with_extension("image");
        let files = recipe.build(&image).context("the scenario's card cannot be built")?;
        (image, Some(files))
    } else {
        return Ok(Card::Ready { card: None, files: None });
    };
    match card::copy(&image, card) {
        Ok(()) => Ok(Card::Ready { card: Some(card.to_owned()), files }),
        Err(error) if error.is_about_contents() => Ok(Card::CutOff { why: format!("error: {error}") }),
        Err(error) => Err(error.into()),
    }
}

/// The explained lines of the emulator's log.
fn allow_list(workspace: &Workspace) -> anyhow::Result<AllowList> {
    let path = workspace.root.join("qemu-xilinx/harness/allow.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    AllowList::parse(&text).with_context(|| path.display().to_string())
}

/// What init puts before the lines of `component`.
fn label(component: &str) -> String {
    format!("[init -> {component}] ")
}

/// Decides which console lines are the result.
struct Router {
    label: Option<String>,
}

impl Router {
    fn new(component: Option<&str>) -> Self {
        Self { label: component.map(label) }
    }

    /// Without a component whose output is the result, the console as a whole is.
    fn route<'l>(&self, line: &'l str) -> (Stream, &'l str) {
        let Some(label) = &self.label else { return (Stream::Output, line) };
        match line.strip_prefix(label.as_str()) {
            Some(rest) => (Stream::Output, rest),
            None => (Stream::Error, line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_goes_to_standard_output_without_its_label() {
        let router = Router::new(Some("sd-sum"));
        assert_eq!(router.route("[init -> sd-sum] SUM a 1 /A"), (Stream::Output, "SUM a 1 /A"));
        assert_eq!(router.route("[init -> sd] hello"), (Stream::Error, "[init -> sd] hello"));
        assert_eq!(Router::new(None).route("[core] x"), (Stream::Output, "[core] x"));
    }

    #[test]
    fn an_expected_failure_is_right_and_nothing_else() {
        let ran = |verdict| Ran { verdict, figures: vec![], console: vec![], devices: None, kept: vec![] };
        let failure = || Verdict::Failure { line: "[init -> sd-sum] error: loop".into() };
        let pattern = Pattern::new("error: loop");
        assert_eq!(ran(Verdict::Success).check(None), Ok(()));
        assert!(ran(Verdict::Success).check(Some(&pattern)).is_err());
        assert_eq!(ran(failure()).check(Some(&pattern)), Ok(()));
        assert!(ran(failure()).check(Some(&Pattern::new("no FAT"))).is_err());
        assert!(ran(failure()).check(None).is_err());
    }
}
