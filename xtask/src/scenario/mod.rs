//! Scenarios: runnable systems, one TOML file each.
//!
//! A file names the components of a system (what init starts), what is attached to the emulated
//! board, and what success and failure look like. It is read in two steps: [`mod@file`] says what can
//! be written, [`mod@check`] whether it makes a system that can run. Every mistake is reported at its place
//! in the file before anything is built or booted; what is left becomes a [`Scenario`].

pub(crate) mod check;
pub(crate) mod file;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::expect::Check;
use harness::judge::{Expectation, Pattern, Rules};
use harness::measure::{Like, Measure as Kind, WELL_KNOWN, Wanted};
use harness::recipe::Recipe;
use models::board::Description;

use crate::diagnostic::Report;

/// A checked scenario, with one of its cases chosen.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// `NAME` or `NAME/CASE`.
    pub(crate) name: String,
    /// One sentence.
    pub(crate) about: String,
    /// What the inits start.
    pub(crate) systems: Vec<check::System>,
    /// The binaries of the components, each once.
    pub(crate) binaries: Vec<String>,
    /// The card to build, unless the user brings one.
    pub(crate) card: Option<Recipe>,
    /// The emulated part of the board.
    pub(crate) devices: Description,
    /// What must have become of it by the time of success.
    pub(crate) checks: Vec<Check>,
    /// The component whose lines are the result, on standard output without their label.
    pub(crate) stdout: Option<String>,
    /// The component whose `SUM` lines must be those of the card's files.
    pub(crate) sums: Option<String>,
    /// The figures to show.
    pub(crate) measure: Vec<file::Measure>,
    /// Whether the virtual clock follows the instructions.
    pub(crate) deterministic: bool,
    /// The judge's rules.
    pub(crate) rules: Rules,
    /// The failure line that is expected: the run is right only if it fails with it.
    pub(crate) fails_with: Option<Pattern>,
}

impl Scenario {
    /// The scenario's name without its case; names the files that are built for it.
    pub(crate) fn system(&self) -> &str {
        self.name.split_once('/').map_or(self.name.as_str(), |(system, _)| system)
    }

    /// The figures to show, with these goals.
    pub(crate) fn wanted(&self, goals: Goals) -> Vec<Wanted> {
        self.measure.iter().map(|measure| wanted(measure, goals)).collect()
    }

    /// The same system on a card of which it gets only the `sectors` from `first` on.
    ///
    /// Every SD driver's policies are moved there, so that its clients see that part as a card of its own and cannot
    /// reach the rest. The scenario itself need not know.
    ///
    /// # Errors
    ///
    /// What is wrong with a policy: it grants what lies behind that part.
    pub(crate) fn within(mut self, first: u64, sectors: u64) -> Result<Self, OutsideCard> {
        for system in &mut self.systems {
            for (component, config) in &mut system.components {
                if component.binary.as_str() == SD_DRIVER {
                    let component = component.name.to_string();
                    *config = move_policies(config, first, sectors).map_err(|policy| OutsideCard::Policy {
                        component: component.clone(),
                        policy,
                        sectors,
                    })?;
                    if config.len() > abi::CONFIG_LEN {
                        return Err(OutsideCard::TooLong { component, bytes: config.len() });
                    }
                }
            }
        }
        Ok(self)
    }
}

/// The program that drives SD cards.
const SD_DRIVER: &str = "sd";

/// Why a system cannot be given a part of a card only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutsideCard {
    /// A policy of an SD driver grants what is not there.
    #[error(
        "policy {policy} of component `{component}` grants sectors behind the {sectors} of [board.sd]; on a card that \
         the board boots from others lie there"
    )]
    Policy {
        /// The driver.
        component: String,
        /// Counted from 1.
        policy: usize,
        /// How many there are.
        sectors: u64,
    },
    /// The configuration of an SD driver grows.
    #[error(
        "the configuration of `{component}` has {bytes} bytes with each policy's `first` and `count` written out, {} are possible",
        abi::CONFIG_LEN
    )]
    TooLong {
        /// The driver.
        component: String,
        /// Its length.
        bytes: usize,
    },
}

/// Moves the policies in the configuration of an SD driver to the `sectors` from `base` on.
///
/// Fails with the number of a policy that grants more. A configuration that is none is left to the driver.
fn move_policies(config: &str, base: u64, sectors: u64) -> Result<String, usize> {
    let Ok(mut config) = serde_json::from_str::<serde_json::Value>(config) else { return Ok(config.to_owned()) };
    let policies = config.get_mut("policies").and_then(serde_json::Value::as_array_mut);
    for (policy, number) in policies.into_iter().flatten().zip(1..) {
        let field = |key: &str| policy.get(key).and_then(serde_json::Value::as_u64);
        let first = field("first").unwrap_or(0);
        let count = field("count").or_else(|| sectors.checked_sub(first)).unwrap_or(0);
        if count == 0 || first.checked_add(count).is_none_or(|end| end > sectors) {
            return Err(number);
        }
        if let Some(policy) = policy.as_object_mut() {
            policy.insert("first".into(), (base + first).into());
            policy.insert("count".into(), count.into());
        }
    }
    Ok(config.to_string())
}

/// Which goals of a scenario's figures hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goals {
    /// Those for the default kernel.
    Default,
    /// Those for other kernels.
    OtherKernels,
    /// None: a kernel for debugging is not measured by them.
    None,
}

/// Why a scenario cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No file of that name.
    #[error("there is no scenario `{name}`; there are: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The file has no case of that name.
    #[error("scenario `{name}` has no case `{case}`; it has: {}", known.join(", "))]
    UnknownCase {
        /// The scenario.
        name: String,
        /// What was asked for.
        case: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has mistakes.
    #[error("{0}")]
    Wrong(#[from] Report),
}

/// A scenario file that was read and checked, with all of its cases.
#[derive(Debug)]
pub(crate) struct Document {
    name: String,
    file: file::File,
    checked: check::Checked,
}

impl Document {
    /// Checks `source`, the text of the scenario `name` in the file `path`; `binaries` are those that can be
    /// built.
    pub(crate) fn parse(name: &str, path: &str, source: &str, binaries: &[String]) -> Result<Self, Report> {
        let wrong = |problems| Report { path: path.to_owned(), source: source.to_owned(), problems };
        let file: file::File = toml::from_str(source).map_err(|error| wrong(vec![error.into()]))?;
        let checked = check::check(&file, source, binaries).map_err(wrong)?;
        Ok(Self { name: name.to_owned(), file, checked })
    }

    /// The names of all runs: the scenario itself, then `SCENARIO/CASE` for each case.
    pub(crate) fn names(&self) -> Vec<String> {
        let cases = self.file.case.iter().map(|case| format!("{}/{}", self.name, case.name.get_ref()));
        std::iter::once(self.name.clone()).chain(cases).collect()
    }

    /// The run `case`, or the scenario as it stands.
    pub(crate) fn scenario(&self, case: Option<&str>) -> Result<Scenario, Error> {
        let file = &self.file;
        let mut scenario = Scenario {
            name: self.name.clone(),
            about: file.description.get_ref().clone(),
            systems: self.checked.systems.clone(),
            binaries: self.checked.binaries.clone(),
            card: file.board.sd.as_ref().map(|sd| sd.get_ref().clone()),
            devices: self.checked.devices.clone(),
            checks: self.checked.checks.clone(),
            stdout: file.run.stdout.as_ref().map(|name| name.get_ref().clone()),
            sums: file.run.sums.as_ref().map(|name| name.get_ref().clone()),
            measure: file.run.measure.clone(),
            deterministic: file.run.deterministic,
            rules: Rules {
                success: Pattern::new(file.run.success.get_ref()),
                failure: file.run.failure.iter().map(|text| Pattern::new(text.get_ref())).collect(),
                expect: file.run.expect.iter().map(expectation).collect(),
                deadline: Some(Duration::from_secs((*file.run.timeout.get_ref()).into())),
            },
            fails_with: None,
        };
        let Some(wanted) = case else {
            return Ok(scenario);
        };
        let Some(case) = file.case.iter().find(|case| case.name.get_ref() == wanted) else {
            return Err(Error::UnknownCase {
                name: self.name.clone(),
                case: wanted.to_owned(),
                known: file.case.iter().map(|case| case.name.get_ref().clone()).collect(),
            });
        };
        scenario.name = format!("{}/{wanted}", self.name);
        scenario.about.clone_from(&case.description);
        if let Some(card) = &case.sd {
            scenario.card = Some(card.get_ref().clone());
        }
        scenario.fails_with = case.fails_with.as_ref().map(|text| Pattern::new(text.get_ref()));
        Ok(scenario)
    }
}

fn wanted(measure: &file::Measure, goals: Goals) -> Wanted {
    let op = *measure.op.get_ref();
    let known = WELL_KNOWN.iter().find(|known| known.op == op);
    Wanted {
        op,
        name: measure.name.clone().or(known.map(|known| known.name.to_owned())).unwrap_or_default(),
        per: measure.per.as_ref().map(|per| *per.get_ref()).or(known.map(|known| known.per)).unwrap_or(1),
        goal: match goals {
            Goals::Default => measure.goal,
            Goals::OtherKernels => measure.other_kernels.or(measure.goal),
            Goals::None => None,
        },
        measure: match (&measure.nth, &measure.relative_to, measure.per_kernel) {
            (_, _, true) => Kind::PerKernel,
            (Some(nth), Some(other), _) => Kind::Ratio(*nth.get_ref(), *other.get_ref()),
            (Some(nth), None, _) => Kind::Nth(*nth.get_ref()),
            (None, ..) => Kind::Median,
        },
        like: measure.like.filter(|_| goals != Goals::None).map(|like| Like { op: like.op, percent: like.percent }),
    }
}

fn expectation(expect: &file::Expect) -> Expectation {
    Expectation { pattern: Pattern::new(expect.line.get_ref()), times: expect.times }
}

/// The scenarios in `directory`, by name.
pub(crate) fn list(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            if path.extension()? != "toml" {
                return None;
            }
            Some(path.file_stem()?.to_str()?.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// Reads and checks the scenario `name` in `directory`.
pub(crate) fn document(directory: &Path, name: &str, binaries: &[String]) -> Result<Document, Error> {
    let known = list(directory);
    if !known.iter().any(|known| known == name) {
        return Err(Error::Unknown { name: name.to_owned(), known });
    }
    let path = directory.join(format!("{name}.toml"));
    let source = std::fs::read_to_string(&path).map_err(|source| Error::File { path: path.clone(), source })?;
    Ok(Document::parse(name, &format!("scenarios/{name}.toml"), &source, binaries)?)
}

/// Reads and checks `NAME` or `NAME/CASE`.
pub(crate) fn load(directory: &Path, name: &str, binaries: &[String]) -> Result<Scenario, Error> {
    let (name, case) = match name.split_once('/') {
        Some((name, case)) => (name, Some(case)),
        None => (name, None),
    };
    document(directory, name, binaries)?.scenario(case)
}
