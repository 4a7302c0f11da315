//! Time and memory for an image with a bitstream of 64 MiB, against the vendor's tool in the same run.
//!
//! `cargo bench -p zelkova-bootgen` prints the table of the README. Each figure is the best of five runs, since other
//! work on the machine only ever makes a run longer. Memory is the most that was resident, as the kernel counts it for a process
//! that has ended: each tool is run by a copy of this program that has no other child.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark ends there")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use bootgen::crypto::rsa::SecretKey;
use bootgen::job::{self, KeyFormat};
use bootgen::keys::{self, Nky};
use nix::sys::resource::{UsageWho, getrusage};

const REFERENCE: &str = "/usr/bin/bootgen";
const OURS: &str = env!("CARGO_BIN_EXE_bootgen");
const RUNS: usize = 5;

/// The mark of a copy that runs one tool and prints seconds and KiB.
const CHILD: &str = "--measure";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == CHILD) {
        return measure(arguments.get(2..).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    println!(
        "| image with a 64 MiB bitstream | vendor's | ours | times faster | vendor's memory | ours | part of it |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, bif) in [("plain", "plain.bif"), ("RSA-2048", "rsa.bif"), ("AES-256 and HMAC", "aes.bif")] {
        let (their_time, their_memory) = best(REFERENCE, bif, folder.path());
        let (time, memory) = best(OURS, bif, folder.path());
        let same = std::fs::read(folder.path().join("reference.bin")).unwrap()
            == std::fs::read(folder.path().join("ours.bin")).unwrap();
        assert!(same, "{bif}: the images differ");
        println!(
            "| {name} | {their_time:.3} s | {time:.3} s | {:.1} | {:.1} MiB | {:.1} MiB | 1/{:.0} |",
            their_time / time,
            their_memory / 1024.0,
            memory / 1024.0,
            their_memory / memory
        );
    }
}

/// The best time in seconds and memory in KiB.
fn best(tool: &str, bif: &str, folder: &Path) -> (f64, f64) {
    let output = if tool == OURS { "ours.bin" } else { "reference.bin" };
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..RUNS {
        let mut copy = Command::new(std::env::current_exe().unwrap());
        copy.args([CHILD, tool, "-image", bif, "-o", output, "-w", "on"]).current_dir(folder);
        let said = String::from_utf8(copy.output().unwrap().stdout).unwrap();
        let (time, memory) = said.trim().split_once(' ').unwrap();
        best = (best.0.min(time.parse().unwrap()), best.1.min(memory.parse().unwrap()));
    }
    best
}

/// Runs a tool and prints what it took.
fn measure(command: &[String]) {
    let (tool, arguments) = command.split_first().unwrap();
    let start = Instant::now();
    let status = Command::new(tool).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        status.unwrap_or_else(|error| panic!("{tool}: {error}; install xilinx-bootgen")).success(),
        "{tool} failed"
    );
    println!("{} {}", start.elapsed().as_secs_f64(), getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss());
}

/// Writes all files.
fn prepare(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let words = 16_usize << 20;
    let mut data: Vec<u8> = Vec::with_capacity(4 * words + 128);
    let mut put = |word: u32| data.extend(word.to_be_bytes());
    for word in [0xffff_ffff, 0x0000_00bb, 0x1122_0044, 0xffff_ffff, 0xaa99_5566, 0x2000_0000, 0x3000_4000] {
        put(word);
    }
    put(0x5000_0000 | words as u32);
    let mut state = 1_u32;
    for _ in 0..words {
        // Xorshift: random enough not to be taken for commands.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        put(state);
    }
    for word in [0x3000_8001, 0xd, 0x2000_0000, 0x2000_0000] {
        put(word);
    }
    let mut bit = vec![0, 9, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0, 0, 1];
    for (letter, text) in [(b'a', "top"), (b'b', "7z020clg484"), (b'c', "2024/01/31"), (b'd', "12:34:56")] {
        bit.push(letter);
        bit.extend((text.len() as u16 + 1).to_be_bytes());
        bit.extend(text.as_bytes());
        bit.push(0);
    }
    bit.push(b'e');
    bit.extend((data.len() as u32).to_be_bytes());
    bit.extend(data);
    write("top.bit", &bit);
    // The smallest boot loader there is: an ELF header, a program header and one instruction.
    let mut elf = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 40, 0];
    for word in [1_u32, 0, 52, 0, 0, 0x0020_0034, 0x0028_0001, 0, 1, 84, 0, 0, 4, 4, 5, 4, 0xeaff_fffe] {
        elf.extend(word.to_le_bytes());
    }
    write("fsbl.elf", &elf);
    for name in ["psk.pem", "ssk.pem"] {
        job::write_key(&folder.join(name), &SecretKey::generate().unwrap(), KeyFormat::Pem).unwrap();
    }
    keys::write_secret(&folder.join("keys.nky"), &Nky::generate("xc7z020clg484").unwrap().text()).unwrap();
    write("plain.bif", b"plain_image: { [bootloader] fsbl.elf top.bit }");
    write(
        "rsa.bif",
        b"rsa_image: { [pskfile] psk.pem [sskfile] ssk.pem
            [bootloader, authentication=rsa] fsbl.elf [authentication=rsa] top.bit }",
    );
    write(
        "aes.bif",
        b"aes_image: { [aeskeyfile] keys.nky [keysrc_encryption] bbram_red_key
            [bootloader, encryption=aes] fsbl.elf [encryption=aes] top.bit }",
    );
}
