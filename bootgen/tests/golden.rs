//! Random descriptions, made into images by this tool and by the vendor's; all files have to be the same.
//!
//! The cases come from [`case`], by a fixed seed. `BOOTGEN_CASES` sets how many there are, `BOOTGEN_SEED` another seed, and
//! `BOOTGEN_CASE` runs a single one and keeps its folder. What differs on purpose is a [`known::Difference`]: it has a name,
//! a reason, and is checked for being just that difference.
#![allow(clippy::case_sensitive_file_extension_comparisons, clippy::struct_excessive_bools, clippy::too_many_lines)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test ends there")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "golden/case.rs"]
mod case;
#[path = "golden/known.rs"]
mod known;

use bootgen::check::verify::{Known, verify};
use case::Case;

/// The vendor's tool, from the package `xilinx-bootgen`.
const REFERENCE: &str = "/usr/bin/bootgen";

/// Cases without a wish for another number.
const CASES: usize = 2300;

/// What a tool did.
struct Outcome {
    success: bool,
    /// All files that were not there before.
    files: BTreeMap<PathBuf, Vec<u8>>,
    said: String,
}

/// Runs a tool on `case` in a folder of its own.
fn run(tool: &str, case: &Case, folder: &Path, compat: bool) -> Outcome {
    case.write(folder);
    let inputs = files(folder);
    let mut command = Command::new(tool);
    command.args(&case.arguments).current_dir(folder).stdin(Stdio::null());
    if compat {
        command.arg("--compat");
    }
    let output = command.output().unwrap_or_else(|error| panic!("{tool}: {error}; install xilinx-bootgen"));
    let mut files = files(folder);
    files.retain(|name, bytes| inputs.get(name) != Some(bytes) && name != Path::new("bootgen_log.txt"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Outcome { success: output.status.success(), files, said: said.into_owned() }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Why the tools do not agree.
fn compare(reference: &Outcome, ours: &Outcome) -> Result<(), String> {
    let says = |outcome: &Outcome| {
        let lines = outcome.said.lines().filter(|line| line.contains("ERROR") || line.starts_with("   "));
        lines.collect::<Vec<_>>().join("\n")
    };
    if reference.success != ours.success {
        let (theirs, ours_says) = (says(reference), says(ours));
        return Err(format!("success {} and {}\n{theirs}\n{ours_says}", reference.success, ours.success));
    }
    if !reference.success {
        return Ok(());
    }
    let names = |outcome: &Outcome| outcome.files.keys().cloned().collect::<Vec<_>>();
    if names(reference) != names(ours) {
        return Err(format!("files {:?} and {:?}", names(reference), names(ours)));
    }
    for (name, bytes) in &reference.files {
        let others = &ours.files[name];
        if let Some(place) = bytes.iter().zip(others).position(|(one, other)| one != other) {
            return Err(format!("{} differs at {place:#x}", name.display()));
        }
        if bytes.len() != others.len() {
            return Err(format!("{} has {:#x} and {:#x} bytes", name.display(), bytes.len(), others.len()));
        }
    }
    Ok(())
}

/// What `verify` has against the images that a tool made: nothing, for the images of both are sound.
fn judge(case: &Case, outcome: &Outcome) -> Result<usize, String> {
    // Parts of images are none.
    if !outcome.success || case.arguments.iter().any(|argument| argument == "-split" || argument == "-dual_qspi_mode") {
        return Ok(0);
    }
    let is_image = |bytes: &[u8]| bytes.get(0x24..0x28) == Some(b"XNLX");
    let images = outcome.files.iter().filter(|(_, bytes)| is_image(bytes));
    let mut count = 0;
    for (name, bytes) in images {
        count += 1;
        match verify(&mut &bytes[..], &Known::default()) {
            Ok(verdict) if verdict.is_sound() => {}
            Ok(verdict) => return Err(format!("{} is not sound: {}", name.display(), verdict.findings[0])),
            Err(error) => return Err(format!("{} cannot be verified: {error}", name.display())),
        }
    }
    Ok(count)
}

/// What is counted.
#[derive(Default)]
struct Tally {
    identical: usize,
    both_refused: usize,
    /// Identical with `--compat`.
    compat: usize,
    known: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
    features: BTreeMap<&'static str, usize>,
}

fn examine(case: &Case, root: &Path) -> (Result<&'static str, String>, bool) {
    let (theirs, mine) = (root.join("reference"), root.join("ours"));
    let reference = run(REFERENCE, case, &theirs, false);
    let ours = run(env!("CARGO_BIN_EXE_bootgen"), case, &mine, false);
    let result = match compare(&reference, &ours) {
        Ok(()) => Ok(""),
        Err(difference) => match known::find(case, reference.success, ours.success) {
            Some(known) => {
                let compat = root.join("compat");
                let followed = known.compat.then(|| {
                    let outcome = run(env!("CARGO_BIN_EXE_bootgen"), case, &compat, true);
                    compare(&reference, &outcome)
                });
                match followed {
                    None | Some(Ok(())) => Ok(known.name),
                    Some(Err(difference)) => Err(format!("{} with --compat: {difference}", known.name)),
                }
            }
            None => Err(difference),
        },
    };
    let result = result.and_then(|name| judge(case, &ours).map(|_| name).map_err(|error| format!("ours: {error}")));
    // Where the reference is wrong, its images need not be sound.
    let result = match result {
        Ok("") => judge(case, &reference).map(|_| "").map_err(|error| format!("reference: {error}")),
        other => other,
    };
    (result, reference.success)
}

#[test]
fn images_are_those_of_the_reference() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("BOOTGEN_SEED").unwrap_or(0x7a79_6e71);
    let single = number("BOOTGEN_CASE");
    let (first, count) = match single {
        Some(case) => (case as usize, case as usize + 1),
        None => (0, number("BOOTGEN_CASES").map_or(CASES, |count| count as usize)),
    };
    let root = std::env::temp_dir().join(format!("bootgen-golden-{}", std::process::id()));
    let pool = case::Pool::new();
    let next = AtomicUsize::new(first);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let case = Case::random(seed, index as u64, &pool);
                    let folder = root.join(index.to_string());
                    let (result, success) = examine(&case, &folder);
                    if single.is_none() {
                        std::fs::remove_dir_all(&folder).unwrap();
                    } else {
                        println!("{} in {}", case.arguments.join(" "), folder.display());
                    }
                    let mut tally = tally.lock().unwrap();
                    for feature in case.features() {
                        *tally.features.entry(feature).or_default() += 1;
                    }
                    match result {
                        Ok("") if success => tally.identical += 1,
                        Ok("") => tally.both_refused += 1,
                        Ok(name) => {
                            tally.compat += usize::from(known::named(name).compat);
                            *tally.known.entry(name).or_default() += 1;
                        }
                        Err(difference) => tally.failures.push(format!(
                            "case {index} (BOOTGEN_SEED={seed} BOOTGEN_CASE={index}): {difference}\n{}\n{}",
                            case.arguments.join(" "),
                            case.bif
                        )),
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    if single.is_none() {
        let _ = std::fs::remove_dir_all(&root);
    }
    println!(
        "{} identical, {} refused by both, {} failures",
        tally.identical,
        tally.both_refused,
        tally.failures.len()
    );
    println!("known differences: {:?}", tally.known);
    println!("features: {:?}", tally.features);
    tally.failures.iter().for_each(|failure| println!("{}", failure.lines().next().unwrap_or_default()));
    assert!(tally.failures.is_empty(), "{}", tally.failures.iter().take(8).cloned().collect::<Vec<_>>().join("\n\n"));
    if single.is_none() && count >= CASES {
        assert!(tally.identical + tally.compat >= 2000, "too few cases are about images");
        assert!(tally.features.values().all(|&count| count > 10), "a feature is hardly ever used");
    }
}
