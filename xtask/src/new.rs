//! `cargo xtask new`: a beginning for a driver or an app, which builds, runs and is tested as it is.
//!
//! # Theory of operation
//!
//! `xtask/templates` holds the files of a driver and of an app called *skeleton*, as they would be in the tree; they are compiled into
//! this program. Making a new one is to replace that name, in its three spellings, by the wanted one and to write the files to
//! their places: `drivers/NAME` or `apps/NAME`, and a scenario. Members of the workspace are found by these folders. A driver offers a service of its
//! own, so its name is added to the list of services (`base/session/src/service.rs`), and its crate to the root manifest, for clients.
//! At last rustfmt goes over the new files, because what fits on a line depends on the name.
//!
//! Nothing that exists is overwritten: everything is checked before the first file is written.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::files::write_if_changed;
use crate::progress::Step;
use crate::workspace::{Workspace, cargo};

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A component that does something
    App,
    /// A device's registers, driver, server, tests, and a client that checks it on the board
    Driver,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Kind {
    /// What it is called in names.
    fn word(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Driver => "driver",
        }
    }

    /// The folder that it goes into.
    fn folder(self) -> &'static str {
        match self {
            Self::App => "apps",
            Self::Driver => "drivers",
        }
    }

    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::App => APP,
            Self::Driver => DRIVER,
        }
    }
}

/// A file of the templates by its place in the new folder.
macro_rules! template {
    ($kind:literal, $path:literal) => {
        ($path, include_str!(concat!("../templates/", $kind, "/", $path)))
    };
}

const APP: &[(&str, &str)] =
    &[template!("app", "Cargo.toml"), template!("app", "src/main.rs"), template!("app", "scenario.toml")];

const DRIVER: &[(&str, &str)] = &[
    template!("driver", "Cargo.toml"),
    template!("driver", "src/lib.rs"),
    template!("driver", "src/registers.rs"),
    template!("driver", "src/driver.rs"),
    template!("driver", "src/interface.rs"),
    template!("driver", "src/main.rs"),
    template!("driver", "src/check.rs"),
    template!("driver", "tests/driver.rs"),
    template!("driver", "tests/bench/mod.rs"),
    template!("driver", "scenario.toml"),
];

/// The file that goes to the scenarios' folder.
const SCENARIO: &str = "scenario.toml";
/// Longest name: `NAME-check` must be a component's name.
const LONGEST: usize = 18;
/// Names that mean something else: in a scenario, or as the word `Self` among the services.
const RESERVED: [&str; 7] = ["core", "init", "parent", "self", "skeleton", "system", "vdso"];
/// The list of services.
const SERVICES: &str = "base/session/src/service.rs";
/// The manifest of the workspace.
const MANIFEST: &str = "Cargo.toml";

/// A name in its spellings.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    /// Of folders, programs and components: `my-device`.
    kebab: String,
    /// In the name of the library: `my_device`.
    snake: String,
    /// Of the service and the server: `MyDevice`.
    pascal: String,
}

impl Names {
    fn new(name: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = name.split('-').collect();
        let is_word = |word: &&str| {
            let right = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
            !word.is_empty() && word.chars().all(right)
        };
        ensure!(
            words.iter().all(is_word) && name.starts_with(|letter: char| letter.is_ascii_lowercase()),
            "`{name}`: a name is lower-case letters and digits, begins with a letter, and may have single hyphens \
             between its parts, like `my-device2`"
        );
        ensure!(name.len() <= LONGEST, "`{name}` has {} letters; at most {LONGEST} are possible", name.len());
        ensure!(!RESERVED.contains(&name), "`{name}` means something else; choose another name");
        let capital = |word: &&str| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        };
        Ok(Self { kebab: name.to_owned(), snake: name.replace('-', "_"), pascal: words.iter().map(capital).collect() })
    }

    /// A template with the name in the place of `skeleton`.
    fn replace(&self, template: &str) -> String {
        template
            .replace("zelkova_skeleton", &format!("zelkova_{}", self.snake))
            .replace("Skeleton", &self.pascal)
            .replace("skeleton", &self.kebab)
    }
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// The files, from the workspace's root; the first are new, those in `changed` were there.
    pub(crate) files: Vec<PathBuf>,
    /// The files that were changed.
    pub(crate) changed: Vec<PathBuf>,
    /// The scenario's name.
    pub(crate) scenario: String,
}

/// Makes a new app or driver in `workspace`.
///
/// # Errors
///
/// When the name is not possible or taken, or a file cannot be written.
pub(crate) fn make(workspace: &Workspace, kind: Kind, name: &str) -> anyhow::Result<Made> {
    let names = Names::new(name)?;
    let taken = [names.kebab.clone(), format!("{}-check", names.kebab)];
    if let Some(program) = taken.iter().find(|program| workspace.package(program).is_some()) {
        bail!("there is a program `{program}` already; choose another name");
    }
    let root = &workspace.root;
    let folder = Path::new(kind.folder()).join(&names.kebab);
    for other in [&folder, &Path::new("apps").join(&names.kebab), &Path::new("drivers").join(&names.kebab)] {
        ensure!(!root.join(other).exists(), "{} exists already; choose another name", other.display());
    }
    let scenario = free_scenario(root, kind, &names)?;

    let mut changes = Vec::new();
    if kind == Kind::Driver {
        changes.push((SERVICES, with_service(&read(root, SERVICES)?, &names)?));
        changes.push((MANIFEST, with_dependency(&read(root, MANIFEST)?, &names.kebab)?));
    }
    let mut made = Made { files: Vec::new(), changed: Vec::new(), scenario };
    for (path, template) in kind.files() {
        let path = if *path == SCENARIO {
            Path::new("scenarios").join(format!("{}.toml", made.scenario))
        } else {
            folder.join(path)
        };
        write_if_changed(&root.join(&path), names.replace(template).as_bytes())?;
        made.files.push(path);
    }
    for (path, text) in changes {
        write_if_changed(&root.join(path), text.as_bytes())?;
        made.changed.push(path.into());
    }
    let mut rustfmt = cargo();
    rustfmt.args(["fmt", "--package", &format!("zelkova-{}", names.kebab)]).current_dir(root);
    Step::begin("formatting the new files").run(&mut rustfmt)?;
    Ok(made)
}

/// The scenario's name: that of the new thing, unless there is such a scenario.
fn free_scenario(root: &Path, kind: Kind, names: &Names) -> anyhow::Result<String> {
    let candidates = [names.kebab.clone(), format!("{}-{}", names.kebab, kind.word())];
    let is_free = |name: &&String| !root.join("scenarios").join(format!("{name}.toml")).exists();
    candidates
        .iter()
        .find(is_free)
        .cloned()
        .with_context(|| format!("there are scenarios `{}` already; choose another name", candidates.join("` and `")))
}

/// The list of services with one more at its end.
fn with_service(text: &str, names: &Names) -> anyhow::Result<String> {
    const ADVICE: &str = "base/session/src/service.rs is not as this program knows it; add the service by hand";
    let service = &names.pascal;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // A variant: its name, and the value that it has on the wire.
    let variant = |line: &str| {
        let (name, value) = line.strip_prefix("    ")?.strip_suffix(',')?.split_once(" = ")?;
        name.chars().all(char::is_alphanumeric).then_some((name.to_owned(), value.parse::<u32>().ok()?))
    };
    let variants: Vec<(usize, (String, u32))> =
        lines.iter().enumerate().filter_map(|(index, line)| Some((index, variant(line)?))).collect();
    ensure!(!variants.iter().any(|(_, (name, _))| name == service), "there is a service {service} already");
    let (last, next) = match (variants.last(), variants.iter().map(|(_, (_, value))| value).max()) {
        (Some((last, _)), Some(value)) => (*last, value + 1),
        _ => bail!(ADVICE),
    };
    let count = lines.iter().position(|line| line.contains("const ALL: [Self; "));
    let count = count.context(ADVICE)?;
    let end = lines.iter().skip(count).position(|line| line == "    ];").context(ADVICE)? + count;
    ensure!(last < count, ADVICE);
    lines.insert(end, format!("        Self::{service},"));
    let all = variants.len();
    if let Some(line) = lines.get_mut(count) {
        let changed = line.replace(&format!("[Self; {all}]"), &format!("[Self; {}]", all + 1));
        ensure!(changed != *line, ADVICE);
        *line = changed;
    }
    lines.insert(last + 1, format!("    {service} = {next},"));
    lines.insert(last + 1, format!("    /// What the driver in `drivers/{}` offers.", names.kebab));
    Ok(lines.join("\n") + "\n")
}

/// The root manifest with one more crate of our own, behind the other drivers.
fn with_dependency(text: &str, name: &str) -> anyhow::Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    ensure!(
        !lines.iter().any(|line| line.starts_with(&format!("{name} = "))),
        "`{name}` is a dependency of the workspace already; choose another name"
    );
    let last = lines.iter().rposition(|line| line.contains("{ path = \"drivers/"));
    let last = last.context("Cargo.toml names no driver under [workspace.dependencies]; add the new one by hand")?;
    lines.insert(last + 1, format!("{name} = {{ path = \"drivers/{name}\", package = \"zelkova-{name}\" }}"));
    Ok(lines.join("\n") + "\n")
}

fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Names {
        Names::new(name).unwrap()
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn a_name_has_three_spellings() {
        let names = Names::new("my-device2").unwrap();
        assert_eq!((names.snake.as_str(), names.pascal.as_str()), ("my_device2", "MyDevice2"));
        assert_eq!(
            names.replace("zelkova_skeleton::Skeleton, skeleton-check"),
            "zelkova_my_device2::MyDevice2, my-device2-check"
        );
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in
            ["", "A", "2nd", "a--b", "a-", "-a", "a_b", "a/b", "..", "a b", "ä", "self", "init", "nineteen-letters-abc"]
        {
            assert!(Names::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_service_is_added_to_the_list_as_it_is() {
        let text = read(&root(), SERVICES).unwrap();
        let added = with_service(&text, &name("my-device")).unwrap();
        let count = |text: &str| text.matches(" = ").count();
        assert_eq!(added.lines().count(), text.lines().count() + 3);
        assert_eq!(count(&added), count(&text) + 1, "the variant");
        assert!(added.contains("/// What the driver in `drivers/my-device` offers.\n    MyDevice = "), "{added}");
        assert!(added.contains("        Self::MyDevice,\n    ];"), "{added}");
        let twice = with_service(&added, &name("other")).unwrap();
        assert!(twice.contains("        Self::MyDevice,\n        Self::Other,\n    ];"), "{twice}");
        assert!(with_service(&added, &name("my-device")).is_err());
        assert!(with_service("pub enum Service {}", &name("my-device")).is_err());
    }

    #[test]
    fn a_driver_is_added_behind_the_others() {
        let text = read(&root(), MANIFEST).unwrap();
        let added = with_dependency(&text, "my-device").unwrap();
        assert!(added.contains("\nmy-device = { path = \"drivers/my-device\", package = \"zelkova-my-device\" }\n"));
        assert!(with_dependency(&text, "serde").is_err());
        assert!(with_dependency(&added, "my-device").is_err());
    }

    #[test]
    fn every_file_of_the_templates_is_compiled_in() {
        for kind in [Kind::App, Kind::Driver] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(kind.word());
            let mut there = Vec::new();
            let mut folders = vec![folder.clone()];
            while let Some(next) = folders.pop() {
                for entry in std::fs::read_dir(next).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        folders.push(path);
                    } else {
                        there.push(path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned());
                    }
                }
            }
            let mut known: Vec<String> = kind.files().iter().map(|(path, _)| (*path).to_owned()).collect();
            there.sort();
            known.sort();
            assert_eq!(there, known);
        }
    }
}
