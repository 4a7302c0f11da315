//! From the kernel and a scenario to one ELF file that the board can start.
//!
//! 1. The kernel is found (`--sel4-prefix`) or built; both give a *prefix*, a folder with the kernel and
//!    the description of its interface.
//! 2. Cargo builds core, the vdso and the loader for that kernel, which the environment variable `ZELKOVA_SEL4_PREFIX` names, and init and
//!    the scenario's programs for none: they are the same files whatever kernel there is. Cargo's own fingerprints make this incremental.
//! 3. The programs become boot modules, beside the system description (`system`), those of nested inits
//!    (`NAME.sys`) and the devicetree (`zedboard.dtb`).
//! 4. The loader's library packs everything into `target/zelkova/SCENARIO.elf`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use kernel::{Configuration, Prefix};
use loader::pack::{Inputs, pack};
use sha2::{Digest, Sha256};

use crate::files::{read, write_if_changed};
use crate::progress::Step;
use crate::scenario::{Goals, Scenario};
use crate::setup::Toolchain;
use crate::workspace::Workspace;

/// The variable that tells the build scripts of the target's crates which kernel they are for.
const PREFIX: &str = "ZELKOVA_SEL4_PREFIX";
/// Programs of the system itself that are boot modules: core starts `init`, and every component enters the kernel
/// through `vdso`.
const SYSTEM_MODULES: [&str; 2] = [GATE, INIT];
/// The program through which every component enters the kernel.
pub(crate) const GATE: &str = "vdso";
/// The program that the boot ROM starts.
const BOOT_LOADER: &str = "fsbl";
/// The first component.
pub(crate) const INIT: &str = "init";
/// The module with the devicetree.
const DEVICETREE: &str = "zedboard.dtb";

/// Which kernel to use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    /// A prefix that the user brings.
    pub(crate) prefix: Option<PathBuf>,
    /// Build the default kernel with printing, assertions and debugging system calls.
    pub(crate) debug: bool,
}

impl Kernel {
    /// Opens the prefix that the user brings, or builds the default kernel unless that is done already.
    pub(crate) fn prefix(&self, workspace: &Workspace) -> anyhow::Result<Prefix> {
        if let Some(folder) = &self.prefix {
            return Prefix::open(folder).with_context(|| format!("--sel4-prefix {}", folder.display()));
        }
        let options = kernel::Options { debug: self.debug, work_dir: workspace.output().join("kernel") };
        let mut step = None;
        kernel::build(&options, &mut |at| {
            step.get_or_insert_with(|| Step::begin("building seL4")).at(at.to_string());
        })
        .context("seL4 cannot be built")
    }
}

/// A component's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksum {
    /// The program.
    pub(crate) program: String,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub(crate) sha256: String,
}

/// Builds programs for the board.
#[derive(Debug)]
pub(crate) struct Pipeline<'a> {
    workspace: &'a Workspace,
    toolchain: Toolchain,
    prefix: Prefix,
    /// The plugin has been built.
    has_plugin: AtomicBool,
    /// Held while something is built.
    building: Mutex<()>,
}

impl<'a> Pipeline<'a> {
    /// A pipeline for the kernel in `prefix`.
    pub(crate) fn new(workspace: &'a Workspace, toolchain: Toolchain, prefix: Prefix) -> Self {
        Self { workspace, toolchain, prefix, has_plugin: AtomicBool::new(false), building: Mutex::new(()) }
    }

    /// Keeps others from building until what it returns is dropped: the programs of scenarios that run side by side end in the same files.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        self.building.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cargo with everything that is needed to compile for the board.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = self.toolchain.cargo(subcommand);
        command.current_dir(&self.workspace.root).env(PREFIX, self.prefix.dir()).arg("--release");
        command
    }

    /// Where the unstripped `program` is, with symbols for a debugger.
    pub(crate) fn program(&self, program: &str) -> PathBuf {
        self.workspace.program(program)
    }

    /// Builds `scenario` and returns the file that the emulator starts.
    pub(crate) fn build(&self, scenario: &Scenario) -> anyhow::Result<PathBuf> {
        let path = self.workspace.output().join(format!("{}.elf", scenario.system()));
        self.build_as(scenario, &path)?;
        Ok(path)
    }

    /// Builds `scenario` in the file `path`.
    pub(crate) fn build_as(&self, scenario: &Scenario, path: &Path) -> anyhow::Result<()> {
        let output = self.workspace.output();
        std::fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
        self.compile(scenario)?;

        let mut modules = Vec::new();
        for name in SYSTEM_MODULES.into_iter().chain(scenario.binaries.iter().map(String::as_str)) {
            modules.push((name.to_owned(), self.stripped(name)?));
        }
        for system in &scenario.systems {
            modules.push((system.module.clone(), system.encode()));
        }
        modules.push((DEVICETREE.to_owned(), self.devicetree()?));

        let inputs = Inputs {
            loader_elf: &self.stripped("loader")?,
            kernel_elf: &read(&self.prefix.kernel_elf())?,
            core_elf: &self.stripped("core")?,
            modules: &modules,
        };
        let image = pack(&inputs).context("kernel, core and modules cannot be packed")?;
        write_if_changed(path, &image)
    }

    /// Builds the first-stage boot loader.
    pub(crate) fn boot_loader(&self) -> anyhow::Result<PathBuf> {
        let mut command = self.cargo("build");
        command.args(["--package", self.package(BOOT_LOADER)?, "--bin", BOOT_LOADER]);
        Step::begin("building the first-stage boot loader").run(&mut command)?;
        Ok(self.program(BOOT_LOADER))
    }

    /// The package that has `program`.
    fn package(&self, program: &str) -> anyhow::Result<&str> {
        let package = self.workspace.package(program);
        package.with_context(|| format!("no package in the workspace has the program `{program}`"))
    }

    fn compile(&self, scenario: &Scenario) -> anyhow::Result<()> {
        self.compile_system()?;
        self.compile_components(scenario.binaries.iter().map(String::as_str))
    }

    /// Builds what runs on this kernel alone: core, loader and gate.
    pub(crate) fn compile_system(&self) -> anyhow::Result<()> {
        let mut command = self.cargo("build");
        self.select(&mut command, ["core", "loader", GATE])?;
        Step::begin("building the system for the board").run(&mut command)?;
        Ok(())
    }

    /// Builds init and these components, without telling them which kernel there is.
    pub(crate) fn compile_components<'p>(&self, programs: impl Iterator<Item = &'p str>) -> anyhow::Result<()> {
        let mut command = self.cargo("build");
        command.env_remove(PREFIX);
        self.select(&mut command, [INIT].into_iter().chain(programs))?;
        Step::begin("building the components").run(&mut command)?;
        Ok(())
    }

    fn select<'p>(&self, command: &mut Command, programs: impl IntoIterator<Item = &'p str>) -> anyhow::Result<()> {
        for program in programs {
            command.args(["--package", self.package(program)?, "--bin", program]);
        }
        Ok(())
    }

    /// The components of `scenario` as they are on the board, with the SHA-256 of each file. [`build`](Self::build) must have made them.
    pub(crate) fn checksums(&self, scenario: &Scenario) -> anyhow::Result<Vec<Checksum>> {
        let programs = [INIT].into_iter().chain(scenario.binaries.iter().map(String::as_str));
        programs
            .map(|program| {
                let file = read(&self.stripped_path(program))?;
                let sha256 = Sha256::digest(&file).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
                Ok(Checksum { program: program.to_owned(), sha256 })
            })
            .collect()
    }

    /// Which goals of a scenario hold on this kernel.
    pub(crate) fn goals(&self) -> Goals {
        if self.prefix.configuration() == Configuration::Debug {
            Goals::None
        } else if self.prefix.dir().starts_with(self.workspace.output()) {
            Goals::Default
        } else {
            Goals::OtherKernels
        }
    }

    /// How many times a scenario's deadline a run on this kernel gets.
    ///
    /// A debug kernel says on its slow console what it refuses, and some scenarios do little but ask for what is refused.
    pub(crate) fn patience(&self) -> u32 {
        if self.prefix.configuration() == Configuration::Debug { 6 } else { 1 }
    }

    fn stripped_path(&self, program: &str) -> PathBuf {
        self.workspace.output().join("stripped").join(program)
    }

    /// `program` without symbols and debug information, which only cost memory on the board.
    fn stripped(&self, program: &str) -> anyhow::Result<Vec<u8>> {
        let stripped = self.stripped_path(program);
        if let Some(folder) = stripped.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let mut command = Command::new("arm-none-eabi-strip");
        command.arg("-o").arg(&stripped).arg(self.program(program));
        quiet(&mut command)?;
        read(&stripped)
    }

    fn devicetree(&self) -> anyhow::Result<Vec<u8>> {
        let source = self.workspace.root.join("bsp/zedboard/zedboard.dts");
        let blob = self.workspace.output().join(DEVICETREE);
        let mut command = Command::new("dtc");
        command.args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(&blob).arg(source);
        quiet(&mut command)?;
        read(&blob)
    }

    /// Builds what the emulator loads for this machine, unless that is done already.
    pub(crate) fn plugin(&self) -> anyhow::Result<PathBuf> {
        let library = self.workspace.target.join("release/libzelkova_plugin.so");
        if self.has_plugin.load(Ordering::Relaxed) {
            return Ok(library);
        }
        let mut command = crate::workspace::cargo();
        command.args(["build", "--release", "--package", "zelkova-plugin"]).current_dir(&self.workspace.root);
        Step::begin("building the emulated board").run(&mut command)?;
        self.has_plugin.store(true, Ordering::Relaxed);
        Ok(library)
    }
}

/// Runs a command that is done in no time.
fn quiet(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    anyhow::ensure!(output.status.success(), "{program} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
