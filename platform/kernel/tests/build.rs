//! Builds the default kernel for real. Needs the tools, and the package registries or what is left of an earlier visit.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends that way")]

use std::{fs, path::Path, process::Command};

use zelkova_kernel::{Error, Options, Prefix, Step, build};

/// Compiles `source` against the prefix as the generator of the bindings does, and returns the assembly.
fn compile(prefix: &Prefix, scratch: &Path, source: &str) -> Result<String, String> {
    let (input, output) = (scratch.join("probe.c"), scratch.join("probe.s"));
    fs::write(&input, source).unwrap();
    let run = Command::new("arm-none-eabi-gcc")
        .args(["-S", "-nostdinc", "-I"])
        .arg(prefix.include())
        .args([input.as_os_str(), "-o".as_ref(), output.as_os_str()])
        .output()
        .unwrap();
    if run.status.success() {
        Ok(fs::read_to_string(output).unwrap())
    } else {
        Err(String::from_utf8_lossy(&run.stderr).into_owned())
    }
}

/// The value of `expression` in C, according to the prefix's headers.
fn evaluate(prefix: &Prefix, scratch: &Path, expression: &str) -> Result<i64, String> {
    let headers = "autoconf.h sel4/types.h sel4/constants.h sel4/bootinfo_types.h sel4/errors.h sel4/objecttype.h \
                   sel4/arch/objecttype.h sel4/sel4.h sel4/faults.h";
    let includes: Vec<_> = headers.split(' ').map(|header| format!("#include <{header}>")).collect();
    let source = format!("#define HAVE_AUTOCONF\n{}\nconst long long value = {expression};\n", includes.join("\n"));
    let assembly = compile(prefix, scratch, &source)?;
    let words: Vec<i64> = assembly
        .lines()
        .skip_while(|line| *line != "value:")
        .filter_map(|line| line.trim().strip_prefix(".word\t")?.parse().ok())
        .collect();
    match words[..] {
        // The assembly has the halves of the value as signed or unsigned 32-bit words, low one first.
        [low, high] => Ok((high << 32) | (low & 0xffff_ffff)),
        _ => Err(assembly),
    }
}

#[test]
fn both_kernels_build_and_describe_themselves() {
    let work_dir = tempfile::Builder::new().prefix("with space").tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let options = |debug| Options { debug, work_dir: work_dir.path().join("kernel") };
    let [release, debug] = [false, true].map(|debug| {
        let mut steps = vec![];
        let prefix = build(&options(debug), &mut |step| steps.push(step)).unwrap();
        assert_eq!(steps, Step::ALL);

        let again = build(&options(debug), &mut |step| panic!("{step} again")).unwrap();
        assert_eq!((again.dir(), again.fingerprint()), (prefix.dir(), prefix.fingerprint()));
        prefix
    });
    assert_ne!(release.dir(), debug.dir());
    assert_ne!(release.fingerprint(), debug.fingerprint());

    for (prefix, is_debug) in [(&release, false), (&debug, true)] {
        assert_eq!(prefix.config().is_set("PRINTING"), is_debug);
        let value = |expression: &str| evaluate(prefix, scratch.path(), expression);
        assert_eq!(value("seL4_SysCall"), Ok(-1));
        assert_eq!(value("sizeof(seL4_IPCBuffer)"), Ok(512));
        assert_eq!(value("seL4_TCBBits"), Ok(9));
        assert_eq!(value("UntypedRetype"), Ok(1));
        value("sizeof(seL4_BootInfo) / (sizeof(seL4_BootInfo) > 64 && seL4_ObjectTypeCount > 5)").unwrap();
        // The debug system calls are there only where the kernel has them.
        assert_eq!(value("seL4_SysDebugPutChar").is_ok(), is_debug);
        // So is the text that the kernel prints.
        let kernel = fs::read(prefix.kernel_elf()).unwrap();
        let text = b"dropped to user space";
        assert_eq!(kernel.windows(text.len()).any(|it| it == text), is_debug);
        for file in ["sel4/types_32.bf", "sel4/sel4_arch/types.bf", "interfaces/object-api.xml", "api/syscall.xml"] {
            assert!(fs::metadata(prefix.include().join(file)).unwrap().len() > 0, "{file}");
        }
    }

    // Only prefixes and the Python environment stay.
    let left: Vec<_> =
        fs::read_dir(work_dir.path().join("kernel")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn refuses_a_directory_that_no_search_path_can_name() {
    let work_dir = tempfile::tempdir().unwrap().path().join("a:b");
    let error = build(&Options { debug: false, work_dir: work_dir.clone() }, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::WorkDir { character: ':', .. }), "{error}");
    assert!(!work_dir.exists());
}
