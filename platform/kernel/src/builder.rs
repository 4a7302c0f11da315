//! Building the default kernel.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use sha2_host::{Digest, Sha256};

use crate::{
    config,
    error::{At, Error, Result},
    prefix::{PLATFORM, Prefix, RAM_END},
    source::{self, hex},
    tools::{self, Log, TOOLS},
};

/// Raised when the recipe below changes, so that what an older one made is not used any more.
const RECIPE: u32 = 2;

/// What the kernel's generators need on top of Python, as `pip` wants it: each package with the hash of its wheel.
const REQUIREMENTS: &str = "\
ply==3.11 --hash=sha256:096f9b8350b65ebd2fd1346b12452efe5b9607f7482813ffca50c22722a807ce
six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274
tempita==0.6.0 --hash=sha256:696160ba5302b344934558d9d4c94a7b9778b7641612f4e20d62fcac4d7a02c9
";

/// Which kernel to build, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether the kernel prints, checks assertions and has system calls for debugging. Such a kernel is markedly
    /// slower: never measure on it.
    pub debug: bool,
    /// The directory that holds the prefixes, made when missing. All that is in it can be deleted at any time.
    pub work_dir: PathBuf,
}

/// A step of the build, for showing progress. Its `Display` tells what is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Cargo fetches the package with the source.
    Fetch,
    /// The source is checked, copied and changed.
    Unpack,
    /// Python gets the packages that the kernel's generators need.
    Python,
    /// The kernel is generated, compiled and linked.
    Compile,
    /// The interface description is generated and collected.
    Describe,
}

impl Step {
    /// All steps in the order in which [`build`] takes them.
    pub const ALL: [Self; 5] = [Self::Fetch, Self::Unpack, Self::Python, Self::Compile, Self::Describe];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fetch => "fetching the seL4 source",
            Self::Unpack => "checking and unpacking the seL4 source",
            Self::Python => "setting up Python for the seL4 generators",
            Self::Compile => "compiling seL4",
            Self::Describe => "collecting the kernel's interface description",
        })
    }
}

/// Builds the default kernel, or finds it built, and returns its prefix.
///
/// `progress` is told each step as it begins; it is told nothing when the prefix is there already.
///
/// # Errors
///
/// - [`Error::MissingTool`] if a program is not installed
/// - [`Error::WorkDir`] if the build cannot be done in [`Options::work_dir`]
/// - [`Error::Command`] and [`Error::Output`] if a program fails; what it printed is kept in a file in the work directory
/// - [`Error::SourceChanged`] and [`Error::Patch`] if the source is not the expected one
/// - [`Error::Io`] if a file cannot be read or written
/// - those of [`Prefix::open`] if the result is no usable prefix
pub fn build(options: &Options, progress: &mut dyn FnMut(Step)) -> Result<Prefix> {
    let work_dir = std::path::absolute(&options.work_dir).at("find", &options.work_dir)?;
    let kind = if options.debug { "debug" } else { "release" };
    let name = format!("seL4-5.0.0-{kind}-{}", key(options.debug)?);
    let dir = work_dir.join(&name);
    if let Ok(prefix) = Prefix::open(&dir) {
        return Ok(prefix);
    }
    for tool in TOOLS {
        tool.find()?;
    }
    // The directory gets into a search path, whose parts end with a colon, and which the Makefile quotes for the shell.
    let text = work_dir.to_string_lossy();
    if let Some(character) = text.chars().find(|&it| matches!(it, ':' | '"' | '$' | '`' | '\\' | '\n')) {
        return Err(Error::WorkDir { character, path: work_dir });
    }

    fs::create_dir_all(&work_dir).at("create", &work_dir)?;
    let scratch = tempfile::Builder::new().prefix(".build-").tempdir_in(&work_dir).at("create", &work_dir)?;
    let log = Log::create(scratch.path().join("log"))?;
    let build = Build { debug: options.debug, root: scratch.path(), work_dir: &work_dir, log: &log };
    match build.run(progress) {
        Ok(made) => {
            install(&made, &dir)?;
            Prefix::open(dir)
        }
        Err(Error::Command { what, status, tail, .. }) => {
            let kept = work_dir.join(format!("{name}.log"));
            fs::rename(log.path(), &kept).at("write", &kept)?;
            Err(Error::Command { what, status, log: kept, tail })
        }
        Err(error) => Err(error),
    }
}

/// Moves what was made to where it is looked for. Another process may have been faster: its result is as good.
fn install(made: &Path, dir: &Path) -> Result<()> {
    for _ in 0..2 {
        match fs::rename(made, dir) {
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                if Prefix::open(dir).is_ok() {
                    return Ok(());
                }
                fs::remove_dir_all(dir).at("delete the damaged", dir)?;
            }
            result => return result.at("create", dir),
        }
    }
    fs::rename(made, dir).at("create", dir)
}

/// A hash over all that determines the result, 16 hexadecimal digits.
fn key(debug: bool) -> Result<String> {
    let gcc = tools::GCC.find()?;
    let version = Command::new(&gcc).arg("--version").output().at("run", gcc)?.stdout;
    let mut hash = Sha256::new();
    let patch = source::RAM_END;
    let (header, json) = (config::header(debug), config::json(debug));
    let parts = [source::HASH, &header, &json, patch.file, patch.from, patch.to, REQUIREMENTS];
    for part in parts.map(str::as_bytes).into_iter().chain([version.as_slice(), &RECIPE.to_le_bytes()]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(hex(hash.finalize().get(..8).unwrap_or_default()))
}

/// A build that is under way.
struct Build<'a> {
    debug: bool,
    /// This build's own directory: `source`, `build` and `prefix` are made in it.
    root: &'a Path,
    work_dir: &'a Path,
    log: &'a Log,
}

impl Build<'_> {
    /// Takes all steps and returns the finished prefix, still in the build's own directory.
    fn run(&self, progress: &mut dyn FnMut(Step)) -> Result<PathBuf> {
        progress(Step::Fetch);
        let manifest = self.make_dir("fetch")?;
        let package = source::fetch(&manifest, self.log)?;

        progress(Step::Unpack);
        let source = self.root.join("source");
        source::copy(&package, &source)?;
        source::RAM_END.apply(&source)?;
        let autoconf = source.join(source::AUTOCONF);
        fs::write(&autoconf, config::header(self.debug)).at("write", autoconf)?;

        progress(Step::Python);
        let path = self.search_path(&self.python()?);

        progress(Step::Compile);
        self.compile(&path)?;

        progress(Step::Describe);
        self.describe(&path)
    }

    fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).at("create", &path)?;
        Ok(path)
    }

    /// Makes a virtual environment with the generators' packages, or finds it made; returns its directory of programs.
    fn python(&self) -> Result<PathBuf> {
        let what = "setting up Python for the seL4 generators";
        let base = tools::PYTHON.find()?;
        let imports = ["-c", "import ply, six, tempita, encodings"];
        let hash = Sha256::new_with_prefix(REQUIREMENTS).chain_update(base.as_os_str().as_encoded_bytes());
        let ready = self.work_dir.join(format!("python-{}", hex(hash.finalize().get(..8).unwrap_or_default())));
        let works = |environment: &Path| {
            Command::new(environment.join("bin/python")).args(imports).output().is_ok_and(|it| it.status.success())
        };
        if works(&ready) {
            return Ok(ready.join("bin"));
        }
        if self.log.run(what, Command::new(&base).args(["-c", "import venv, ensurepip"])).is_err() {
            return Err(Error::MissingTool { program: "Python's venv module", package: "python3-venv" });
        }
        let made = self.root.join("python");
        self.log.run(what, Command::new(&base).args(["-m", "venv"]).arg(&made))?;
        let requirements = self.root.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).at("write", &requirements)?;
        let mut pip = Command::new(made.join("bin/python"));
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]);
        self.log.run(what, pip.arg("-r").arg(&requirements))?;
        // Moving it breaks the start scripts of the packages, but nothing here runs those.
        match fs::rename(&made, &ready) {
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                // Either another process was faster, or an upgrade of Python broke the old one: this one works for now.
                if !works(&ready) {
                    fs::remove_dir_all(&ready).at("delete the unusable", &ready)?;
                    fs::rename(&made, &ready).at("create", &ready)?;
                }
            }
            result => result.at("create", &ready)?,
        }
        Ok(ready.join("bin"))
    }

    /// The search path for the kernel's Makefile and generators.
    ///
    /// The Makefile puts the path into quotation marks that end up in its first and last part; both are therefore lost
    /// on the way, and neither must be one that is needed.
    fn search_path(&self, python: &Path) -> OsString {
        let mut path = python.as_os_str().to_owned();
        for part in [env::var_os("PATH").unwrap_or_default().as_os_str(), self.root.as_os_str()] {
            path.push(":");
            path.push(part);
        }
        path
    }

    /// A command that sees nothing of this process's environment but the search path.
    ///
    /// `PWD` is what the compiler notes as its directory in the debug information: with the real one, no two
    /// builds would give the same kernel.
    fn command(&self, program: &str, path: &OsStr, directory: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C")
            .env("PWD", "/proc/self/cwd")
            .env("TMPDIR", self.root)
            .env("PYTHONPATH", self.root.join("source/tools"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.root.join(directory));
        command
    }

    /// Builds `build/kernel.elf`. All paths are relative, so that none of this machine gets into the kernel.
    fn compile(&self, path: &OsStr) -> Result<()> {
        for directory in ["build/arch/api", "build/api", "build/plat"] {
            self.make_dir(directory)?;
        }
        let mut make = self.command("make", path, "build");
        // The compiler's line markers confuse the check for circular inclusion, and it warns about more than
        // the compilers of the kernel's time, which must not be an error.
        make.env("DEFINES", "PLAT_ZYNQ7000").args([
            "--no-print-directory",
            "-f",
            "../source/Makefile",
            "SOURCE_ROOT=../source",
            "ARCH=arm",
            "PLAT=zynq7000",
            "SEL4_ARCH=aarch32",
            "CPU=cortex-a9",
            "ARMV=armv7-a",
            "TOOLPREFIX=arm-none-eabi-",
            "PYTHON=python3",
            "FASTPATH=1",
            "CIRCULAR_INCLUDES=cat -",
            "WARNINGS=all",
        ]);
        if self.debug {
            make.arg("DEBUG=1");
        }
        self.log.run("compiling seL4", make.arg("kernel.elf")).map(drop)
    }

    /// Makes the prefix out of `source` and `build`, and returns its directory.
    fn describe(&self, path: &OsStr) -> Result<PathBuf> {
        let prefix = self.make_dir("prefix")?;
        let include = self.make_dir("prefix/libsel4/include")?;
        self.make_dir("prefix/bin")?;
        let source = self.root.join("source");
        let library = source.join("libsel4");
        for layer in ["include", "arch_include/arm", "sel4_arch_include/aarch32", "sel4_plat_include/zynq7000"] {
            merge(&library.join(layer), &include)?;
        }
        let interfaces = include.join("interfaces");
        for (from, to) in [
            (library.join("include/interfaces/sel4.xml"), "object-api.xml"),
            (library.join("arch_include/arm/interfaces/sel4arch.xml"), "object-api-arch.xml"),
            (library.join("sel4_arch_include/aarch32/interfaces/sel4arch.xml"), "object-api-sel4-arch.xml"),
        ] {
            copy(&from, &interfaces.join(to))?;
        }
        // The layers have these under two names, one of which the merge has lost.
        for merged in ["sel4.xml", "sel4arch.xml"] {
            let merged = interfaces.join(merged);
            fs::remove_file(&merged).at("delete", merged)?;
        }
        copy(&self.root.join("build/kernel.elf"), &prefix.join("bin/kernel.elf"))?;
        for license in ["LICENSE_GPLv2.txt", "LICENSE_BSD2.txt"] {
            copy(&source.join(license), &prefix.join(license))?;
        }
        self.make_dir("prefix/libsel4/include/kernel")?;
        for (file, text) in
            [("autoconf.h", config::header(self.debug)), ("kernel/gen_config.json", config::json(self.debug))]
        {
            let file = include.join(file);
            fs::write(&file, text).at("write", file)?;
        }
        self.make_dir("prefix/support")?;
        let platform = prefix.join(PLATFORM);
        let memory = format!("{{\"memory\": [{{\"start\": 0, \"end\": {RAM_END}}}]}}\n");
        fs::write(&platform, memory).at("write", platform)?;
        self.generate(path)?;
        Ok(prefix)
    }

    /// Runs the kernel's own generators for those of libsel4's headers that are not in its source.
    fn generate(&self, path: &OsStr) -> Result<()> {
        const INCLUDE: &str = "prefix/libsel4/include";
        let what = "generating libsel4's headers";
        for (from, to) in [
            ("types_32", "types_gen.h"),
            ("shared_types_32", "shared_types_gen.h"),
            ("sel4_arch/types", "sel4_arch/types_gen.h"),
        ] {
            let expanded = self.log.run(
                what,
                self.command("arm-none-eabi-gcc", path, INCLUDE)
                    .args(["-E", "-P", "-x", "c", "-nostdinc", "-DHAVE_AUTOCONF", "-I."])
                    .arg(format!("sel4/{from}.bf")),
            )?;
            let file = self.root.join("build/expanded.pbf");
            fs::write(&file, expanded).at("write", &file)?;
            self.log.run(
                what,
                self.command("python3", path, "build")
                    .args(["../source/tools/bitfield_gen.py", "--environment", "libsel4", "expanded.pbf"])
                    .arg(format!("../{INCLUDE}/sel4/{to}")),
            )?;
        }
        for (script, arguments, to) in [
            ("invocation_header_gen.py", "--xml interfaces/object-api.xml --libsel4 --dest", "sel4/invocation.h"),
            (
                "invocation_header_gen.py",
                "--xml interfaces/object-api-arch.xml --libsel4 --arch --dest",
                "sel4/arch/invocation.h",
            ),
            (
                "invocation_header_gen.py",
                "--xml interfaces/object-api-sel4-arch.xml --libsel4 --sel4_arch --dest",
                "sel4/sel4_arch/invocation.h",
            ),
            ("syscall_header_gen.py", "--xml api/syscall.xml --libsel4_header", "sel4/syscall.h"),
            (
                "syscall_stub_gen.py",
                "-a aarch32 -w 32 interfaces/object-api-sel4-arch.xml interfaces/object-api-arch.xml \
                 interfaces/object-api.xml -o",
                "interfaces/sel4_client.h",
            ),
        ] {
            self.log.run(
                what,
                self.command("python3", path, INCLUDE)
                    .arg(self.root.join("source/libsel4/tools").join(script))
                    .args(arguments.split(' '))
                    .arg(to),
            )?;
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).at("copy", from).map(drop)
}

/// Copies the files below `from` into the directory `to`, whatever is there already.
fn merge(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).at("create", to)?;
    for entry in fs::read_dir(from).at("read", from)? {
        let name = entry.at("read", from)?.file_name();
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() { merge(&from, &to)? } else { copy(&from, &to)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{install, key};

    #[test]
    fn a_damaged_prefix_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (made, dir) = (root.path().join("made"), root.path().join("dir"));
        for (place, file) in [(&made, "new"), (&dir, "old")] {
            fs::create_dir(place).unwrap();
            fs::write(place.join(file), file).unwrap();
        }
        install(&made, &dir).unwrap();
        assert!(dir.join("new").exists() && !dir.join("old").exists() && !made.exists());
    }

    #[test]
    fn debug_and_release_have_different_keys() {
        let [release, debug] = [false, true].map(|debug| key(debug).unwrap());
        assert_eq!(release.len(), 16);
        assert_ne!(release, debug);
        assert_eq!(key(false).unwrap(), release);
    }
}
