//! Cards that are not as they should be. Each kind of damage is a clear error; none is a panic or a walk without end.

use std::sync::LazyLock;

use proptest::prelude::*;
use zelkova_sd_sum::Error;

use crate::images::{Builder, Disk, FileSystem, MediumError, Outcome, noise, partitioned, sum_bytes, sum_disk};

const BIG: &[u8; 11] = b"BIG     BIN";
const SUB: &[u8; 11] = b"SUB        ";
const INNER: &[u8; 11] = b"INNER      ";

fn build(kib: u32, options: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(kib, options);
    builder.file("/EMPTY", b"").file("/ONE", b"1").file("/BIG.BIN", &noise(20_000, 1));
    builder.mkdir("/SUB").mkdir("/SUB/INNER").file("/SUB/INNER/deep and long name.bin", &noise(3000, 2));
    builder.files("/SUB", (0..30).map(|n| (format!("file number {n}"), noise(n * 20, n as u64))));
    builder.file("/last", b"the end");
    let mut file_system = FileSystem::new(builder.bytes());
    file_system.shrink(6000);
    file_system.check();
    file_system.bytes
}

static FAT16: LazyLock<Vec<u8>> = LazyLock::new(|| build(4096, &["-F", "16", "-s", "1"]));
static FAT32: LazyLock<Vec<u8>> = LazyLock::new(|| build(40_960, &["-F", "32", "-s", "1"]));

/// Damages a FAT16 and a FAT32 file system, and asserts that the failure is about `path`.
fn assert_failure(path: &str, damage: impl Fn(&mut FileSystem), is_expected: impl Fn(&Error<MediumError>) -> bool) {
    for bytes in [&*FAT16, &*FAT32] {
        let mut file_system = FileSystem::new(bytes.clone());
        damage(&mut file_system);
        let Outcome { lines, result } = sum_bytes(file_system.bytes);
        let (place, error) = result.expect_err("the damage goes unseen");
        assert!(is_expected(&error), "{place}: {error}");
        assert_eq!(place, path, "{error}");
        assert!(lines.iter().all(|line| !line.ends_with(&format!(" {path}"))), "a sum of a damaged file");
    }
}

fn file_chain(file_system: &FileSystem) -> Vec<u32> {
    file_system.chain(file_system.first_cluster(file_system.entry(BIG)))
}

fn directory_chain(file_system: &FileSystem) -> Vec<u32> {
    let chain = file_system.chain(file_system.first_cluster(file_system.entry(SUB)));
    assert!(chain.len() > 2, "the directory has several clusters");
    chain
}

/// Damages the chain of a file and that of a directory.
fn assert_chain_failure(damage: impl Fn(&mut FileSystem, &[u32]), is_expected: impl Fn(&Error<MediumError>) -> bool) {
    let in_file = |file_system: &mut FileSystem| damage(file_system, &file_chain(file_system));
    let in_directory = |file_system: &mut FileSystem| damage(file_system, &directory_chain(file_system));
    assert_failure("/BIG.BIN", in_file, &is_expected);
    assert_failure("/SUB", in_directory, &is_expected);
}

#[test]
fn the_undamaged_images_are_fine() {
    for bytes in [&*FAT16, &*FAT32] {
        let outcome = sum_bytes(bytes.clone());
        assert_eq!((outcome.lines.len(), outcome.result.unwrap().files), (35, 35));
    }
}

#[test]
fn loops() {
    for (from, to) in [(0, 0), (1, 0), (2, 1), (2, 2)] {
        assert_chain_failure(
            |file_system, chain| file_system.set_link(chain[from], chain[to]),
            |error| matches!(error, Error::ChainLoop { .. }),
        );
    }
    // At the very end, where the file needs no more clusters.
    assert_failure(
        "/BIG.BIN",
        |file_system| {
            let chain = file_chain(file_system);
            file_system.set_link(*chain.last().unwrap(), chain[5]);
        },
        |error| matches!(error, Error::ChainLoop { .. }),
    );
}

#[test]
fn truncated_chains() {
    assert_failure(
        "/BIG.BIN",
        |file_system| file_system.set_link(file_chain(file_system)[3], file_system.end_mark()),
        |error| *error == Error::ChainTruncated { needed: 40, found: 4 },
    );
    assert_failure(
        "/BIG.BIN",
        |file_system| file_system.set_size(file_system.entry(BIG), 20_481),
        |error| *error == Error::ChainTruncated { needed: 41, found: 40 },
    );
    assert_failure(
        "/BIG.BIN",
        |file_system| file_system.set_size(file_system.entry(BIG), u32::MAX),
        |error| *error == Error::ChainTruncated { needed: 1 << 23, found: 40 },
    );
    assert_failure(
        "/BIG.BIN",
        |file_system| file_system.set_first_cluster(file_system.entry(BIG), 0),
        |error| *error == Error::ChainTruncated { needed: 40, found: 0 },
    );
    assert_chain_failure(
        |file_system, chain| file_system.set_link(chain[2], 0),
        |error| matches!(error, Error::FreeCluster { .. }),
    );
}

#[test]
fn bad_and_impossible_clusters() {
    assert_chain_failure(
        |file_system, chain| {
            file_system.set_link(chain[2], if file_system.is_fat32 { 0x0FFF_FFF7 } else { 0xFFF7 });
        },
        |error| matches!(error, Error::BadCluster { .. }),
    );
    for beyond in [0, 1, 100_000] {
        let link = move |file_system: &FileSystem| (file_system.clusters() + 2 + beyond).min(0xFFF0);
        assert_chain_failure(
            |file_system, chain| file_system.set_link(chain[2], link(file_system)),
            |error| matches!(error, Error::LinkOutOfRange { .. }),
        );
        for (name, path) in [(BIG, "/BIG.BIN"), (SUB, "/SUB"), (INNER, "/SUB/INNER")] {
            assert_failure(
                path,
                |file_system| {
                    file_system.set_first_cluster(file_system.entry(name), link(file_system));
                },
                |error| matches!(error, Error::NoSuchCluster { .. }),
            );
        }
    }
    assert_chain_failure(
        |file_system, chain| file_system.set_link(chain[2], 1),
        |error| matches!(error, Error::LinkOutOfRange { link: 1, .. }),
    );
    for (name, path) in [(BIG, "/BIG.BIN"), (SUB, "/SUB")] {
        assert_failure(
            path,
            |file_system| file_system.set_first_cluster(file_system.entry(name), 1),
            |error| matches!(error, Error::NoSuchCluster { cluster: 1, .. }),
        );
    }
    assert_failure(
        "/SUB",
        |file_system| file_system.set_first_cluster(file_system.entry(SUB), 0),
        |error| matches!(error, Error::NoSuchCluster { cluster: 0, .. }),
    );
}

#[test]
fn directories_that_are_none() {
    assert_failure(
        "/SUB/INNER",
        |file_system| {
            let above = file_system.first_cluster(file_system.entry(SUB));
            file_system.set_first_cluster(file_system.entry(INNER), above);
        },
        |error| matches!(error, Error::DirectoryLoop { .. }),
    );
    assert_failure(
        "/SUB/INNER",
        |file_system| {
            let file = file_system.first_cluster(file_system.entry(BIG));
            file_system.set_first_cluster(file_system.entry(INNER), file);
        },
        |error| *error == Error::NotADirectory,
    );
    assert_failure(
        "/SUB/INNER",
        |file_system| {
            let cluster = file_system.cluster(file_system.first_cluster(file_system.entry(INNER)));
            file_system.put(cluster, &[0; 512]);
        },
        |error| *error == Error::NotADirectory,
    );
    // A second directory of the same short name, though another long one.
    assert_failure(
        "/SUB/file number 3",
        |file_system| {
            let twin = file_system.entry(b"FILENU~4   ");
            let mut entry = file_system.bytes[file_system.entry(INNER)..][..32].to_vec();
            let cluster = file_system.first_cluster(twin);
            let inner = file_system.cluster(file_system.first_cluster(file_system.entry(INNER)));
            let contents = file_system.bytes[inner..inner + 512].to_vec();
            entry[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
            entry[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
            // The long name stays, with the new check sum.
            let sum = INNER.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte));
            for part in [twin - 32, twin - 64] {
                file_system.bytes[part + 13] = sum;
            }
            file_system.put(twin, &entry);
            let start = file_system.cluster(cluster);
            file_system.put(start, &contents);
        },
        |error| *error == Error::DuplicateName,
    );
}

#[test]
fn shared_clusters() {
    for (kib, options) in [(4096, ["-F", "16", "-s", "1"]), (40_960, ["-F", "32", "-s", "1"])] {
        let mut builder = Builder::new(kib, &options);
        builder.file("/BIG.BIN", &noise(kib as usize * 600, 1)).file("/TWIN.BIN", b"");
        let mut file_system = FileSystem::new(builder.bytes());
        let (big, twin) = (file_system.entry(BIG), file_system.entry(b"TWIN    BIN"));
        file_system.set_first_cluster(twin, file_system.first_cluster(big));
        file_system.set_size(twin, kib * 600);
        let (path, error) = sum_bytes(file_system.bytes).result.unwrap_err();
        assert!(matches!(error, Error::CrossLinked { .. }), "{error}");
        assert_eq!(path, "/TWIN.BIN");
    }
}

#[test]
fn a_directory_of_more_than_two_mebibytes() {
    let mut builder = Builder::new(8192, &["-F", "16", "-s", "1"]);
    builder.mkdir("/SUB").file("/BIG.BIN", &noise(2_200_000, 1));
    let mut file_system = FileSystem::new(builder.bytes());
    let sub = file_system.first_cluster(file_system.entry(SUB));
    file_system.set_link(sub, file_system.first_cluster(file_system.entry(BIG)));
    let (path, error) = sum_bytes(file_system.bytes).result.unwrap_err();
    assert_eq!((path.as_str(), error), ("/SUB", Error::DirectoryTooLarge { blocks: 1 + 4297 }));
}

#[test]
fn nesting() {
    let mut builder = Builder::new(4096, &["-F", "16", "-s", "1"]);
    let mut path = String::new();
    for _ in 0..32 {
        path.push_str("/D");
        builder.mkdir(&path);
    }
    builder.file(&format!("{path}/file"), b"deep");
    assert_eq!(sum_bytes(builder.bytes()).lines, builder.lines());
    path.push_str("/D");
    builder.mkdir(&path);
    let outcome = sum_bytes(builder.bytes());
    assert_eq!(outcome.result, Err((path, Error::TooDeep { max: 32 })));
}

#[test]
fn the_root_directory_of_fat32() {
    for (cluster, is_expected) in [
        (0u32, (|error| matches!(error, Error::NoSuchCluster { cluster: 0, .. })) as fn(&Error<MediumError>) -> bool),
        (u32::MAX, |error| matches!(error, Error::NoSuchCluster { .. })),
        (5000, |error| matches!(error, Error::FreeCluster { cluster: 5000 })),
    ] {
        let mut file_system = FileSystem::new(FAT32.clone());
        file_system.put(44, &cluster.to_le_bytes());
        let (path, error) = sum_bytes(file_system.bytes).result.unwrap_err();
        assert!(is_expected(&error) && path.is_empty(), "{path}: {error}");
    }
    let mut file_system = FileSystem::new(FAT32.clone());
    file_system.set_link(2, 2);
    assert_eq!(sum_bytes(file_system.bytes).result, Err((String::new(), Error::ChainLoop { cluster: 2 })));
}

#[test]
fn no_file_system() {
    let mut garbage = noise(1 << 20, 4);
    let mut with_signature = garbage.clone();
    with_signature[510..512].copy_from_slice(&[0x55, 0xAA]);
    garbage[510] = 0;
    let empty_table = partitioned(&[0; 512], 0x83, 64);
    for bytes in [vec![], vec![0; 512], vec![0; 1 << 20], garbage, with_signature, empty_table] {
        assert_eq!(sum_bytes(bytes).result, Err((String::new(), Error::NoFileSystem)));
    }
}

#[test]
fn other_file_systems() {
    let unsupported = |bytes: Vec<u8>, what: &str| {
        let (_, error) = sum_bytes(bytes).result.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    };
    unsupported(Builder::new(1440, &["-F", "12"]).bytes(), "FAT12");
    unsupported(partitioned(&Builder::new(1440, &["-F", "12"]).bytes(), 0x0C, 64), "FAT12");
    unsupported(Builder::new(65_536, &["-F", "16", "-S", "4096"]).bytes(), "sectors of 4096 bytes");
    unsupported(partitioned(&[0; 4096], 0xEE, 64), "GUID");
    for (name, what) in [(b"EXFAT   ", "exFAT"), (b"NTFS    ", "NTFS")] {
        let mut file_system = FileSystem::new(FAT16.clone());
        file_system.put(3, name);
        unsupported(file_system.bytes, what);
    }
}

#[test]
fn boot_sectors_that_contradict_themselves() {
    for (field, value) in [
        (11, &[0, 0][..]),
        (11, &[0x01, 0x02]),
        (13, &[0]),
        (13, &[3]),
        (14, &[0, 0]),
        (14, &[0xFF, 0xFF]),
        (16, &[0]),
        (16, &[3]),
        (17, &[0, 0]),
        (22, &[1, 0]),
        (22, &[0xFF, 0xFF]),
    ] {
        for partition in [false, true] {
            let mut bytes = FAT16.clone();
            bytes[field..field + value.len()].copy_from_slice(value);
            let bytes = if partition { partitioned(&bytes, 6, 100) } else { bytes };
            let (_, error) = sum_bytes(bytes).result.unwrap_err();
            let block = if partition { 100 } else { 0 };
            assert!(matches!(error, Error::BootSector { block: at, .. } if at == block), "{field}: {error}");
        }
    }
    for (field, value) in [(32, 0u32), (36, 0), (36, 1), (36, u32::MAX)] {
        let mut bytes = FAT32.clone();
        bytes[19..21].fill(0);
        bytes[field..field + 4].copy_from_slice(&value.to_le_bytes());
        let (_, error) = sum_bytes(bytes).result.unwrap_err();
        assert!(matches!(error, Error::BootSector { .. }), "{field}: {error}");
    }
    let mut card = partitioned(&FAT16, 6, 100);
    card[100 * 512..101 * 512].fill(0xA5);
    let (_, error) = sum_bytes(card).result.unwrap_err();
    assert!(matches!(error, Error::BootSector { block: 100, .. }), "{error}");
}

#[test]
fn truncated_cards() {
    let blocks = (FAT16.len() / 512) as u32;
    let mut card = partitioned(&FAT16, 6, 100);
    card.truncate(card.len() - 512);
    let expected = Error::PartitionBeyondCard { first: 100, blocks, card: blocks + 99 };
    assert_eq!(sum_bytes(card).result, Err((String::new(), expected)));

    let mut file_system = FAT16.clone();
    file_system.truncate(1 << 20);
    let expected = Error::FileSystemBeyondEnd { blocks, available: 2048 };
    assert_eq!(sum_bytes(file_system.clone()).result, Err((String::new(), expected.clone())));
    assert_eq!(sum_bytes(partitioned(&file_system, 6, 100)).result, Err((String::new(), expected)));

    let mut card = partitioned(&FAT16, 6, 100);
    card[446 + 16 + 8..][..8].fill(0xFF);
    let (_, error) = sum_bytes(card).result.unwrap_err();
    assert!(matches!(error, Error::PartitionBeyondCard { .. }), "{error}");
}

#[test]
fn a_device_that_fails() {
    for bytes in [&*FAT16, &*FAT32] {
        let file_system = FileSystem::new(bytes.clone());
        let inner = file_system.cluster(file_system.first_cluster(file_system.entry(INNER)));
        let contents = file_system.cluster(file_system.first_cluster(file_system.entry(BIG)));
        for defect in [0, file_system.fat, file_system.root, inner, contents] {
            let mut disk = Disk::new(bytes.clone());
            disk.defect = Some((defect / 512) as u32);
            let (_, error) = sum_disk(&mut disk).result.unwrap_err();
            assert!(matches!(error, Error::Device { .. }), "{error}");
        }
    }
}

/// Sums up a damaged card with a bound on the requests, which is what would be exceeded by a walk without end.
fn assert_ends(bytes: Vec<u8>) {
    let mut disk = Disk::new(bytes);
    disk.limit = 200_000;
    let outcome = sum_disk(&mut disk);
    if let Ok(totals) = outcome.result {
        assert_eq!(totals.files as usize, outcome.lines.len());
    }
}

/// Where damage matters most: boot sector, FAT, root directory, other directories.
fn place() -> impl Strategy<Value = (usize, usize)> {
    (0usize..4, any::<usize>())
}

fn damage(file_system: &mut FileSystem, (region, place): (usize, usize), value: u8) {
    let (start, length) = match region {
        0 => (0, 512),
        1 => (file_system.fat, 512),
        2 => (file_system.root, 512),
        _ => (file_system.cluster(inner_cluster(file_system)), file_system.cluster_length),
    };
    file_system.bytes[start + place % length] ^= value;
}

/// A cluster of a subdirectory.
fn inner_cluster(file_system: &FileSystem) -> u32 {
    let original = if file_system.is_fat32 { &*FAT32 } else { &*FAT16 };
    let original = FileSystem::new(original.clone());
    original.first_cluster(original.entry(INNER))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_neither_panic_nor_hang(
        is_fat32: bool,
        is_partitioned: bool,
        flips in prop::collection::vec((place(), 1u8..), 1..12),
    ) {
        let mut file_system = FileSystem::new(if is_fat32 { FAT32.clone() } else { FAT16.clone() });
        for (place, value) in flips {
            damage(&mut file_system, place, value);
        }
        let bytes = file_system.bytes;
        assert_ends(if is_partitioned { partitioned(&bytes, 0x0C, 5) } else { bytes });
    }

    #[test]
    fn random_links_neither_panic_nor_hang(
        is_fat32: bool,
        links in prop::collection::vec((0u32..300, 0u32..300), 1..60),
    ) {
        let mut file_system = FileSystem::new(if is_fat32 { FAT32.clone() } else { FAT16.clone() });
        for (cluster, link) in links {
            file_system.set_link(cluster, link);
        }
        assert_ends(file_system.bytes);
    }

    #[test]
    fn a_random_boot_sector_neither_panics_nor_hangs(
        is_fat32: bool,
        fields in prop::collection::vec((11usize..64, any::<u8>()), 1..8),
    ) {
        let mut bytes = if is_fat32 { FAT32.clone() } else { FAT16.clone() };
        for (offset, value) in fields {
            bytes[offset] = value;
        }
        assert_ends(bytes);
    }

    #[test]
    fn a_random_directory_neither_panics_nor_hangs(
        is_fat32: bool,
        entries in prop::collection::vec((any::<[u8; 32]>(), 0u8..64, 0u16..300), 1..16),
    ) {
        let mut file_system = FileSystem::new(if is_fat32 { FAT32.clone() } else { FAT16.clone() });
        let start = file_system.root;
        for (index, (mut entry, attributes, cluster)) in entries.into_iter().enumerate() {
            entry[11] = attributes;
            entry[20..22].fill(0);
            entry[26..28].copy_from_slice(&cluster.to_le_bytes());
            entry[30..32].fill(0);
            file_system.put(start + 32 * index, &entry);
        }
        assert_ends(file_system.bytes);
    }
}
