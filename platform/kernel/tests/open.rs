//! Opening prefixes: a good one, and everything that can be wrong with one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends that way")]

use std::{fs, path::Path};

use tempfile::TempDir;
use zelkova_kernel::{Configuration, Error, Prefix};

const CONFIG: &str = "libsel4/include/kernel/gen_config.json";
const KERNEL: &str = "bin/kernel.elf";
const PLATFORM: &str = "support/platform_gen.json";

/// One loadable segment of a crafted kernel.
#[derive(Clone, Copy)]
struct Segment {
    virtual_address: u32,
    physical_address: u32,
    file_size: u32,
    memory_size: u32,
}

const GOOD: Segment =
    Segment { virtual_address: 0xe000_0000, physical_address: 0, file_size: 0x100, memory_size: 0x8000 };

/// A 32-bit little-endian executable for machine `machine`, without section headers, that ends with its last segment.
fn elf(machine: u16, entry: u32, segments: &[Segment]) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [2, machine] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, entry, 52, 0, 0x500_0200] {
        file.extend(word.to_le_bytes());
    }
    for half in [52, 32, segments.len() as u16, 40, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let mut offset = 52 + 32 * segments.len() as u32;
    for it in segments {
        for word in [1, offset, it.virtual_address, it.physical_address, it.file_size, it.memory_size, 7, 4] {
            file.extend(word.to_le_bytes());
        }
        offset += it.file_size;
    }
    file.resize(offset as usize, 0xaa);
    file
}

fn good_elf() -> Vec<u8> {
    elf(40, 0xe000_0000, &[GOOD])
}

/// A prefix as the official build installs it, as far as the checks go.
fn prefix() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in [
        "libsel4/include/autoconf.h",
        "libsel4/include/api/syscall.xml",
        "libsel4/include/interfaces/object-api.xml",
        "libsel4/include/interfaces/object-api-arch.xml",
        "libsel4/include/interfaces/object-api-sel4-arch.xml",
        "libsel4/include/sel4/bootinfo_types.h",
        "libsel4/include/sel4/constants.h",
        "libsel4/include/sel4/errors.h",
        "libsel4/include/sel4/objecttype.h",
        "libsel4/include/sel4/types.h",
    ] {
        put(root.path(), file, "");
    }
    put(root.path(), KERNEL, good_elf());
    put(root.path(), CONFIG, config(&[]));
    put(root.path(), PLATFORM, memory(&[(0, 0x2000_0000)]));
    root
}

fn put(root: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// What the seL4 build says about a board with such RAM.
fn memory(regions: &[(u64, u64)]) -> String {
    let regions: Vec<_> =
        regions.iter().map(|(start, end)| format!("{{\"start\": {start}, \"end\": {end}}}")).collect();
    format!("{{\"devices\": [{{\"start\": 4176490496, \"end\": 4294967296}}], \"memory\": [{}]}}", regions.join(", "))
}

/// A good configuration in which each of `changes` has another value, written as JSON, or none if that is empty.
fn config(changes: &[(&str, &str)]) -> String {
    let mut options = vec![
        ("PLAT", "\"zynq7000\""),
        ("SEL4_ARCH", "\"aarch32\""),
        ("WORD_SIZE", "\"32\""),
        ("KERNEL_MCS", "false"),
        ("MAX_NUM_NODES", "\"1\""),
        ("ROOT_CNODE_SIZE_BITS", "\"12\""),
        ("NUM_PRIORITIES", "\"256\""),
        ("RETYPE_FAN_OUT_LIMIT", "\"256\""),
    ];
    options.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    options.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    let options: Vec<_> = options.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", options.join(", "))
}

#[test]
fn a_good_one_tells_what_is_in_it() {
    let root = prefix();
    let prefix = Prefix::open(root.path()).unwrap();
    assert_eq!(prefix.dir(), root.path());
    assert_eq!(prefix.kernel_elf(), root.path().join(KERNEL));
    assert!(prefix.include().join("sel4/types.h").is_file());
    assert_eq!(prefix.config().number("WORD_SIZE"), Some(32));
}

#[test]
fn the_fingerprint_follows_kernel_and_configuration() {
    let root = prefix();
    let fingerprint = || Prefix::open(root.path()).unwrap().fingerprint().to_owned();
    let first = fingerprint();
    assert_eq!(first.len(), 64);
    assert_eq!(fingerprint(), first);
    put(root.path(), CONFIG, config(&[("PRINTING", "true")]));
    let second = fingerprint();
    let mut kernel = good_elf();
    *kernel.last_mut().unwrap() ^= 1;
    put(root.path(), KERNEL, kernel);
    let third = fingerprint();
    assert!(first != second && second != third && first != third);
}

#[test]
fn missing_files_are_named_all_at_once() {
    let root = prefix();
    for file in [KERNEL, "libsel4/include/api/syscall.xml"] {
        fs::remove_file(root.path().join(file)).unwrap();
    }
    let error = Prefix::open(root.path()).unwrap_err();
    let Error::MissingFiles { files, dir } = &error else { panic!("{error}") };
    assert_eq!(files, &[KERNEL, "libsel4/include/api/syscall.xml"]);
    assert_eq!(dir, root.path());

    let error = Prefix::open(root.path().join("elsewhere")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("elsewhere"), "{error}");
}

#[test]
fn a_cut_off_kernel_is_refused_wherever_the_cut_is() {
    let root = prefix();
    let kernel = good_elf();
    for length in 0..kernel.len() {
        put(root.path(), KERNEL, &kernel[..length]);
        let error = Prefix::open(root.path()).unwrap_err();
        assert!(matches!(error, Error::KernelElf { .. }), "{length} bytes: {error}");
        assert!(error.to_string().contains(&format!("it is cut off: it has {length} bytes of")), "{error}");
    }
}

#[test]
fn no_damage_to_the_headers_goes_further_than_an_error() {
    let root = prefix();
    let kernel = good_elf();
    let mut refused = 0;
    for place in 0..52 + 32 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = kernel.clone();
            damaged[place] = value;
            put(root.path(), KERNEL, damaged);
            match Prefix::open(root.path()) {
                Ok(_) => {}
                Err(Error::KernelElf { .. } | Error::KernelMachine { .. } | Error::KernelAddress { .. }) => {
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_kernel_for_another_machine_is_refused() {
    let root = prefix();
    let mut wide = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    wide.resize(64, 0);
    wide[18] = 183;
    let mut big_endian = good_elf();
    big_endian[5] = 2;
    big_endian[16..20].copy_from_slice(&[0, 2, 0, 40]);
    // Its numbers are the other way round now; nothing but the identification is looked at.
    big_endian[28..36].fill(0);
    big_endian[44..46].fill(0);
    for kernel in [elf(3, 0xe000_0000, &[GOOD]), elf(243, 0xe000_0000, &[GOOD]), wide, big_endian] {
        put(root.path(), KERNEL, kernel);
        let error = Prefix::open(root.path()).unwrap_err();
        assert!(matches!(error, Error::KernelMachine { .. }), "{error}");
        assert!(error.to_string().contains("aarch32"), "{error}");
    }
}

#[test]
fn a_kernel_that_cannot_be_where_it_is_linked_is_refused() {
    let root = prefix();
    let second = Segment { virtual_address: 0xe001_0000, physical_address: 0x1_0000, ..GOOD };
    put(root.path(), KERNEL, elf(40, 0xe001_0000, &[GOOD, second]));
    Prefix::open(root.path()).unwrap();

    let entry = GOOD.virtual_address;
    for (what, entry, segments) in [
        ("outside RAM", entry, vec![Segment { physical_address: 0x4000_0000, ..GOOD }]),
        ("half outside RAM", entry, vec![Segment { physical_address: 0x1fff_c000, ..GOOD }]),
        ("RAM wraps", entry, vec![Segment { physical_address: 0xffff_f000, ..GOOD }]),
        ("user address", 0x10_0000, vec![Segment { virtual_address: 0x10_0000, ..GOOD }]),
        ("two offsets", entry, vec![GOOD, Segment { physical_address: 0x2_0000, ..second }]),
        ("entry outside", 0xe000_8000, vec![GOOD]),
        ("entry before", 0, vec![GOOD]),
    ] {
        put(root.path(), KERNEL, elf(40, entry, &segments));
        let error = Prefix::open(root.path()).unwrap_err();
        assert!(matches!(error, Error::KernelAddress { .. }), "{what}: {error}");
    }
}

#[test]
fn a_kernel_with_nothing_to_load_is_refused() {
    let root = prefix();
    for segments in [vec![], vec![Segment { file_size: 0, memory_size: 0, ..GOOD }]] {
        put(root.path(), KERNEL, elf(40, 0xe000_0000, &segments));
        let error = Prefix::open(root.path()).unwrap_err();
        assert!(matches!(error, Error::KernelElf { .. }), "{error}");
    }
    let larger_in_the_file = Segment { file_size: 0x200, memory_size: 0x100, ..GOOD };
    put(root.path(), KERNEL, elf(40, 0xe000_0000, &[larger_in_the_file]));
    let error = Prefix::open(root.path()).unwrap_err();
    assert!(matches!(error, Error::KernelElf { .. }), "{error}");
}

#[test]
fn an_unsupported_configuration_names_the_option() {
    let root = prefix();
    for (name, value) in [
        ("PLAT", "\"imx6\""),
        ("PLAT", ""),
        ("PLAT", "true"),
        ("SEL4_ARCH", "\"aarch64\""),
        ("WORD_SIZE", "\"64\""),
        ("WORD_SIZE", ""),
        ("KERNEL_MCS", "true"),
        ("MAX_NUM_NODES", "\"2\""),
        ("ROOT_CNODE_SIZE_BITS", "\"16\""),
        ("ROOT_CNODE_SIZE_BITS", ""),
        ("NUM_PRIORITIES", "\"128\""),
        ("RETYPE_FAN_OUT_LIMIT", "\"64\""),
    ] {
        put(root.path(), CONFIG, config(&[(name, value)]));
        let error = Prefix::open(root.path()).unwrap_err();
        let Error::ConfigValue { option, found, .. } = &error else { panic!("{error}") };
        assert_eq!(*option, name);
        assert_eq!(found, if value.is_empty() { "not set" } else { value });
        assert!(error.to_string().contains("-DKernel"), "{error}");
    }
    put(root.path(), CONFIG, config(&[("KERNEL_MCS", ""), ("MAX_NUM_NODES", ""), ("WORD_SIZE", "32")]));
    Prefix::open(root.path()).unwrap();
}

#[test]
fn a_damaged_configuration_is_refused() {
    let root = prefix();
    let good = config(&[]);
    let cut = &good.as_bytes()[..good.len() - 1];
    for text in [b"".as_slice(), b"[]", b"{\"PLAT\": \"zynq\xff\"}", cut] {
        put(root.path(), CONFIG, text);
        let error = Prefix::open(root.path()).unwrap_err();
        assert!(matches!(error, Error::ConfigSyntax { .. }), "{error}");
    }
}

#[test]
fn the_configuration_has_a_name() {
    let root = prefix();
    for (changes, expected) in [
        (vec![], Configuration::Release),
        (vec![("VERIFICATION_BUILD", "true")], Configuration::Verified),
        (vec![("PRINTING", "true")], Configuration::Debug),
        (vec![("DEBUG_BUILD", "true"), ("VERIFICATION_BUILD", "false")], Configuration::Debug),
    ] {
        put(root.path(), CONFIG, config(&changes));
        assert_eq!(Prefix::open(root.path()).unwrap().configuration(), expected);
    }
}

#[test]
fn a_kernel_for_a_board_with_other_ram_is_refused() {
    let root = prefix();
    for (regions, found, size) in [
        (vec![(0, 0x4000_0000)], "0x0..0x40000000", "1024 MiB"),
        (vec![(0, 0x1000_0000)], "0x0..0x10000000", "256 MiB"),
        (vec![(0x10_0000, 0x2000_0000)], "0x100000..0x20000000", "511 MiB"),
        (vec![(0, 0x1000_0000), (0x1000_0000, 0x2000_0000)], "0x0..0x10000000, 0x10000000..0x20000000", "512 MiB"),
        (vec![(u64::MAX, 0), (0, u64::MAX), (0, u64::MAX)], "0xffffffffffffffff..0x0", "MiB"),
        (vec![], "()", "0 MiB"),
    ] {
        put(root.path(), PLATFORM, memory(&regions));
        let error = Prefix::open(root.path()).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
        let text = error.to_string();
        for part in [found, size, "512 MiB", "KernelCustomDTSOverlay"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
    for text in ["", "[]", "{\"memory\": 7}", "{\"memory\": [{\"start\": 0}]}"] {
        put(root.path(), PLATFORM, text);
        let error = Prefix::open(root.path()).unwrap_err();
        assert!(matches!(error, Error::ConfigSyntax { .. }), "{error}");
        assert!(error.to_string().contains("platform_gen.json"), "{error}");
    }
}

/// Prefixes for other platforms differ in more than one way; the one that is named must be the cause.
#[test]
fn a_prefix_for_another_platform_is_refused_for_that() {
    for (changes, kernel, cause) in [
        (
            [("PLAT", "\"pc99\""), ("ARCH", "\"x86\""), ("SEL4_ARCH", "\"x86_64\""), ("WORD_SIZE", "\"64\"")]
                .as_slice(),
            elf(62, 0xe000_0000, &[GOOD]),
            "pc99",
        ),
        (
            &[("PLAT", "\"imx6\""), ("ARCH", "\"arm\"")],
            elf(40, 0xe000_0000, &[Segment { physical_address: 0x1000_0000, ..GOOD }]),
            "imx6",
        ),
        (&[("KERNEL_MCS", "true")], good_elf(), "KERNEL_MCS"),
    ] {
        let root = prefix();
        put(root.path(), CONFIG, config(changes));
        put(root.path(), KERNEL, kernel);
        // Builds for processors other than ARM's do not even have it.
        fs::remove_file(root.path().join(PLATFORM)).unwrap();
        let text = Prefix::open(root.path()).unwrap_err().to_string();
        assert!(text.contains(cause) && text.contains("-DKernel"), "{text}");
    }
}
