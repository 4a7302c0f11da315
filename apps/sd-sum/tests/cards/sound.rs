//! Cards that are as they should be.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use zelkova_sd_sum::{BLOCK, Buffers, IN_FLIGHT, MAX_REQUEST, Source, Totals, sum};

use crate::images::{Builder, Disk, FileSystem, assert_sums, noise, partitioned, sum_bytes, sum_disk};

/// A bit of everything.
fn mixed(kib: u32, options: &[&str]) -> Builder {
    let mut builder = Builder::new(kib, options);
    builder.file("/EMPTY", b"").file("/1 byte", b"1").file("/Block of 512 bytes.bin", &noise(512, 1));
    builder.file("/larger.bin", &noise(1_234_567, 2));
    builder.file("/Grüße aus Łódź, 你好.txt", "Grüße".as_bytes()).file("/Ä.TXT", b"Ae").file("/ö.txt", b"oe");
    builder.file("/a name of so many letters that it needs several entries of thirteen each.text", b"long");
    let mut path = String::new();
    for level in ["one", "Level two", "THREE", "vier", "cinq à la carte", "six"] {
        path = format!("{path}/{level}");
        builder.mkdir(&path);
        builder.file(&format!("{path}/in {level}.bin"), &noise(3000, level.len() as u64));
    }
    builder.mkdir("/empty directory");
    builder
}

#[test]
fn fat16_and_fat32_with_and_without_a_partition_table() {
    for (kib, options, kinds) in [
        (16_384, &["-F", "16", "-n", "LABEL"][..], [0x06, 0x0E]),
        (16_384, &["-F", "16", "-s", "1", "-f", "1", "-r", "2048"], [0x04, 0x06]),
        (65_536, &["-F", "32", "-s", "1", "-n", "LABEL"], [0x0B, 0x0C]),
        // The boot sector holds a partition table that says nothing.
        (16_384, &["-F", "16", "--mbr=yes"], [0x0E, 0x0E]),
        // Sizes that are no power of two, nor a whole number of clusters.
        (23_457, &["-F", "16", "-a"], [0x06, 0x06]),
        (56_789, &["-F", "32", "-a", "-s", "1"], [0x0C, 0x0C]),
    ] {
        let builder = mixed(kib, options);
        let bytes = builder.bytes();
        FileSystem::new(bytes.clone()).check();
        assert_sums(sum_bytes(bytes.clone()), &builder);
        for (kind, start) in kinds.into_iter().zip([2048, 63]) {
            assert_sums(sum_bytes(partitioned(&bytes, kind, start)), &builder);
        }
        let mut padded = bytes;
        padded.resize(padded.len().next_power_of_two(), 0);
        assert_sums(sum_bytes(padded), &builder);
    }
}

#[test]
fn a_small_file_system_that_is_fat32_by_its_fat_and_fat16_by_its_clusters() {
    let builder = mixed(40_960, &["-F", "32", "-s", "1"]);
    let mut file_system = FileSystem::new(builder.bytes());
    for clusters in [65_524, 20_000, 4000] {
        file_system.shrink(clusters);
        file_system.check();
        assert_sums(sum_bytes(file_system.bytes.clone()), &builder);
        assert_sums(sum_bytes(partitioned(&file_system.bytes, 0x0B, 63)), &builder);
    }
}

#[test]
fn an_empty_file_system() {
    let builder = Builder::new(16_384, &["-F", "16", "-n", "LABEL"]);
    let outcome = sum_bytes(builder.bytes());
    assert_eq!(outcome.result, Ok(Totals::default()));
    assert_eq!(outcome.result.unwrap().to_string(), "sd-sum: 0 files, 0 bytes");
}

#[test]
fn files_come_in_the_order_of_the_directory_depth_first() {
    let mut builder = Builder::new(16_384, &["-F", "16"]);
    builder.file("/first", b"1").mkdir("/a").file("/a/second", b"2").mkdir("/a/b").file("/a/b/third", b"3");
    builder.file("/a/fourth", b"4").mkdir("/c").file("/c/fifth", b"5").file("/sixth", b"6");
    // Deleted entries, long and short, leave gaps that are passed over.
    builder.file("/some long name that is deleted", b"").file("/last", b"7");
    let image = builder.image.clone();
    crate::images::tool("mdel", ["-i", image.to_str().unwrap(), "::/some long name that is deleted"]);
    let mut expected = builder.lines();
    expected.retain(|line| !line.contains("deleted"));
    assert_eq!(sum_bytes(builder.bytes()).lines, expected);
}

#[test]
fn sizes_around_clusters_and_requests() {
    let sizes = [511, 512, 513, 2047, 2048, 2049, 65_535, 65_536, 65_537, 131_071, 131_073];
    let mut builder = Builder::new(16_384, &["-F", "16", "-s", "4"]);
    builder.files("", sizes.map(|size| (format!("size {size}"), noise(size, size as u64))));
    assert_sums(sum_bytes(builder.bytes()), &builder);
}

#[test]
fn two_thousand_files_in_a_directory() {
    for options in [&["-F", "16"][..], &["-F", "32", "-s", "1"]] {
        let mut builder = Builder::new(65_536, options);
        builder.mkdir("/many");
        // The first letters tell them apart, as mtools needs hours to find short names for 2,000 equal beginnings.
        let file = |n: usize| (format!("{n:04} is the number of this file.txt"), noise(n % 1500, n as u64));
        builder.files("/many", (0..2000).map(file));
        let mut disk = Disk::new(builder.bytes());
        let outcome = sum_disk(&mut disk);
        assert_eq!(outcome.lines, builder.lines());
        assert_eq!(outcome.result, Ok(builder.totals()));
        // A request per file that is not empty, and the FAT and the directory's 8,000 entries in pieces of 8 KiB.
        assert!(disk.requests < 2000 + 60, "{} requests", disk.requests);
    }
}

#[test]
fn many_subdirectories() {
    let mut builder = Builder::new(65_536, &["-F", "32", "-s", "1"]);
    let names: Vec<_> = (0..300).map(|n| format!("directory {n}")).collect();
    let arguments = names.iter().map(|name| format!("::/{name}"));
    let image = builder.image.to_str().unwrap().to_owned();
    crate::images::tool("mmd", ["-i".to_owned(), image].into_iter().chain(arguments));
    builder.file("/directory 0/first", b"1").file("/directory 299/last", b"2");
    assert_eq!(sum_bytes(builder.bytes()).lines, builder.lines());
}

/// Makes the order of `n` clusters.
type Order<'a> = &'a dyn Fn(usize) -> Vec<usize>;

#[test]
fn a_large_file_however_fragmented_is_read_in_large_requests() {
    const NAME: &[u8; 11] = b"LARGE   BIN";
    let every_other = |n: usize| (0..n).step_by(2).chain((1..n).step_by(2)).collect::<Vec<_>>();
    let backwards = |n: usize| (0..n).rev().collect::<Vec<_>>();
    let pieces_of_eight = |n: usize| {
        let pieces: Vec<usize> = (0..n.div_ceil(8)).rev().collect();
        pieces.into_iter().flat_map(|piece| (piece * 8)..(piece * 8 + 8).min(n)).collect::<Vec<_>>()
    };
    let shuffled = |n: usize| {
        let mut order: Vec<usize> = (0..n).collect();
        for (index, random) in noise(4 * n, 77).as_chunks().0.iter().enumerate() {
            order.swap(index, u32::from_le_bytes(*random) as usize % n);
        }
        order
    };
    for (options, cluster) in [(&["-F", "16", "-s", "4"], 4u64), (&["-F", "32", "-s", "1"], 1)] {
        let mut builder = Builder::new(49_152, options);
        builder.file("/LARGE.BIN", &noise(33_554_431, 3));
        let bytes = builder.bytes();
        let clusters = 65_536 / cluster;
        let metadata = 3 * clusters * 4 / 8192 + 10;
        let orders: [(&str, Order<'_>, u64); 5] = [
            ("in one piece", &|n| (0..n).collect(), 512),
            ("every other cluster", &every_other, 2 * 512),
            ("eight clusters at a time", &pieces_of_eight, clusters / 8),
            ("backwards", &backwards, clusters),
            // The FAT is hit at random, too.
            ("shuffled", &shuffled, 2 * clusters),
        ];
        for (name, order, requests) in orders {
            let mut file_system = FileSystem::new(bytes.clone());
            file_system.scatter(NAME, order);
            file_system.check();
            let mut disk = Disk::new(file_system.bytes);
            assert_sums(sum_disk(&mut disk), &builder);
            assert_eq!(disk.most_announced, IN_FLIGHT);
            assert!(disk.requests <= requests + metadata, "{name}: {} requests for {requests}", disk.requests);
            assert!(disk.blocks_read <= 4 * 65_536 || name == "shuffled", "{name}: {} blocks", disk.blocks_read);
        }
    }
}

#[test]
fn what_is_harmless_is_let_pass() {
    let mut builder = Builder::new(40_960, &["-F", "32", "-s", "1"]);
    builder.file("/A.BIN", &noise(5000, 1)).file("/B.BIN", &noise(5000, 2)).file("/EMPTY", b"");
    let mut file_system = FileSystem::new(builder.bytes());

    // The information sector is but a hint, and so is what is in the upper four bits of a link.
    file_system.put(512, &[0; 512]);
    file_system.put(48, &[0xFF, 0xFF]);
    let first = file_system.first_cluster(file_system.entry(b"B       BIN"));
    file_system.set_link(first, file_system.link(first) | 0xF000_0000);

    // Space allocated in advance, for a file with contents and for one without.
    for (name, cluster) in [(b"A       BIN", 9000), (b"EMPTY      ", 9100)] {
        let entry = file_system.entry(name);
        let first = file_system.first_cluster(entry);
        if first == 0 {
            file_system.set_first_cluster(entry, cluster);
        } else {
            let last = *file_system.chain(first).last().unwrap();
            file_system.set_link(last, cluster);
        }
        file_system.set_link(cluster, cluster + 1);
        file_system.set_link(cluster + 1, 0x0FFF_FFF8);
    }
    assert_sums(sum_bytes(file_system.bytes), &builder);
}

#[test]
fn a_name_is_not_that_of_an_earlier_entry() {
    let mut builder = Builder::new(16_384, &["-F", "16"]);
    builder.file("/a long name to begin with", b"1").file("/PLAIN", b"2");
    let mut file_system = FileSystem::new(builder.bytes());
    let long = file_system.entry(b"ALONGN~1   ");
    let plain = file_system.entry(b"PLAIN      ");
    // Gives the plain entry a short name with the check sum that the long name has.
    let sum = |name: &[u8]| name.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte));
    let wanted = sum(&file_system.bytes[long..long + 11]);
    let name = (b'A'..=b'Z')
        .flat_map(|a| (b'A'..=b'Z').flat_map(move |b| (b'A'..=b'Z').map(move |c| [a, b, c])))
        .map(|[a, b, c]| [b'P', b'L', b'A', b'I', b'N', b' ', b' ', b' ', a, b, c])
        .find(|name| sum(name) == wanted)
        .unwrap();
    file_system.put(plain, &name);
    let extension = std::str::from_utf8(&name[8..]).unwrap();
    let lines = sum_bytes(file_system.bytes).lines;
    assert!(lines[0].ends_with(" /a long name to begin with"));
    assert!(lines[1].ends_with(&format!(" /PLAIN.{extension}")), "{lines:?}");
}

#[test]
fn a_lone_surrogate_at_the_end_of_a_name_part() {
    let mut builder = Builder::new(16_384, &["-F", "16"]);
    builder.file("/0123456789abcXYZ", b"1");
    let mut file_system = FileSystem::new(builder.bytes());
    let entry = file_system.entry(b"012345~1   ");
    // The second part, which holds XYZ, is the first on the card.
    assert_eq!(file_system.bytes[entry - 64], 0x42);
    file_system.put(entry - 64 + 1, &0xDC00u16.to_le_bytes());
    let lines = sum_bytes(file_system.bytes).lines;
    assert!(lines[0].ends_with(" /0123456789abc\u{FFFD}YZ"), "{lines:?}");
}

/// An image that is too large for memory.
struct SparseImage {
    file: File,
    buffer: Vec<u8>,
}

impl Source for SparseImage {
    type Error = io::Error;

    fn blocks(&self) -> u32 {
        u32::try_from(self.file.metadata().unwrap().len() / BLOCK as u64).unwrap()
    }

    fn read(&mut self, first: u32, count: u32) -> io::Result<&[u8]> {
        let bytes = &mut self.buffer[..count as usize * BLOCK];
        self.file.read_exact_at(bytes, u64::from(first) * BLOCK as u64)?;
        Ok(bytes)
    }
}

#[test]
fn a_high_capacity_card() {
    let mut builder = Builder::new(6 << 20, &["-F", "32", "-s", "8"]);
    let image = File::options().read(true).write(true).open(&builder.image).unwrap();
    // The next cluster to be allocated is one beyond 4 GiB.
    image.write_all_at(&1_500_000u32.to_le_bytes(), 512 + 492).unwrap();
    builder.mkdir("/far").file("/far/away.bin", &noise(200_000, 5));
    let mut source = SparseImage { file: image, buffer: vec![0; MAX_REQUEST as usize * BLOCK] };
    let mut lines = vec![];
    let totals = sum(&mut source, &mut Buffers::new(), |file| {
        lines.push(file.to_string());
    })
    .unwrap();
    assert_eq!((totals, lines), (builder.totals(), builder.lines()));
}
