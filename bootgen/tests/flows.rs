//! What several calls do together, against the vendor's tool: signatures made elsewhere, images taken over, boot loaders in
//! flash, key files; and the command's own rules.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends there")]

use std::path::Path;
use std::process::{Command, Output};

use bootgen::crypto::rsa::SecretKey;
use bootgen::keys;

/// The vendor's tool, from the package `xilinx-bootgen`.
const REFERENCE: &str = "/usr/bin/bootgen";
const OURS: &str = env!("CARGO_BIN_EXE_bootgen");

/// A folder with a boot loader, a program of two segments and keys.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("fsbl.elf", &elf(&[(0, 421)], 0));
    write("app.elf", &elf(&[(0x10_0000, 333), (0x20_0001, 95)], 0x10_0010));
    write("flash.elf", &elf(&[(0xfc00_2000, 1000)], 0xfc00_2084));
    for name in ["primary.pem", "secondary.pem", "primary-public.pem", "secondary-spki.pem"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name);
        std::fs::copy(from, folder.path().join(name)).unwrap();
    }
    folder
}

/// An ELF file for ARM.
fn elf(segments: &[(u32, u32)], entry: u32) -> Vec<u8> {
    let count = segments.len() as u32;
    let mut out = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 40, 0];
    for word in [1, entry, 52, 0, 0, 0x0020_0034, 0x0028_0000 | count, 0] {
        out.extend(word.to_le_bytes());
    }
    let mut offset = 52 + 32 * count;
    for &(address, size) in segments {
        for word in [1, offset, address, address, size, size, 7, 4] {
            out.extend(word.to_le_bytes());
        }
        offset += size;
    }
    out.resize(offset as usize, 0x5a);
    out
}

fn run(tool: &str, folder: &Path, bif: &str, arguments: &[&str]) -> Output {
    std::fs::write(folder.join("the.bif"), bif).unwrap();
    Command::new(tool).args(["-image", "the.bif", "-w", "on"]).args(arguments).current_dir(folder).output().unwrap()
}

/// What `tool` makes of `bif`.
fn image(tool: &str, folder: &Path, bif: &str, arguments: &[&str]) -> Vec<u8> {
    let output = run(tool, folder, bif, &[arguments, &["-o", "out.bin"]].concat());
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(folder.join("out.bin")).unwrap()
}

const SIGNED: &str = "signed_image: { [pskfile] primary.pem [sskfile] secondary.pem
    [bootloader, authentication=rsa] fsbl.elf [authentication=rsa, checksum=md5] app.elf }";

const SIGNED_ELSEWHERE: &str = "signed_image: { [ppkfile] primary-public.pem [spkfile] secondary-spki.pem
    [spksignature] spk.sig [headersignature] headers.sig
    [bootloader, authentication=rsa, presign=fsbl.elf.0.sig] fsbl.elf
    [authentication=rsa, checksum=md5, presign=app.elf.0.sig] app.elf }";

#[test]
fn signatures_made_elsewhere_give_the_same_image() {
    let folder = folder();
    let folder = folder.path();
    let direct = image(OURS, folder, SIGNED, &[]);
    assert_eq!(direct, image(REFERENCE, folder, SIGNED, &[]));

    // The signatures are where the certificates are: the headers', the boot loader's, and one for each segment.
    let word = |place: usize| u32::from_le_bytes(direct[place..place + 4].try_into().unwrap()) as usize * 4;
    let certificates = [0x1040, word(0xc80 + 0x28), word(0xcc0 + 0x28), word(0xd00 + 0x28)];
    let names = ["headers.sig", "fsbl.elf.0.sig", "app.elf.0.sig", "app.elf.1.sig"];
    for (name, place) in names.into_iter().zip(certificates) {
        std::fs::write(folder.join(name), &direct[place + 0x5c0..place + 0x6c0]).unwrap();
    }
    // In hexadecimal for once.
    std::fs::write(folder.join("spk.sig"), keys::to_hex(&direct[0x1040 + 0x4c0..0x1040 + 0x5c0])).unwrap();
    assert_eq!(image(OURS, folder, SIGNED_ELSEWHERE, &[]), direct);

    let mut wrong = direct[0x1600..0x1700].to_vec();
    wrong[7] ^= 1;
    std::fs::write(folder.join("headers.sig"), wrong).unwrap();
    let output = run(OURS, folder, SIGNED_ELSEWHERE, &["-o", "wrong.bin"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("headers.sig: this is no signature of the headers by the secondary key"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.join("wrong.bin").exists());
}

#[test]
fn the_secondary_signature_is_that_of_the_image() {
    let folder = folder();
    let folder = folder.path();
    let direct = image(OURS, folder, SIGNED, &["-spksignature", "spk.sig"]);
    assert_eq!(std::fs::read(folder.join("spk.sig")).unwrap(), &direct[0x1040 + 0x4c0..0x1040 + 0x5c0]);
}

#[test]
fn boot_loaders_run_in_flash_where_they_are_linked_to() {
    let folder = folder();
    let bif = "flash_image: { [bootloader, xip_mode] flash.elf app.elf }";
    assert_eq!(image(OURS, folder.path(), bif, &[]), image(REFERENCE, folder.path(), bif, &[]));
    let output = run(OURS, folder.path(), "flash_image: { [bootloader, xip_mode] fsbl.elf }", &["-o", "no.bin"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no flash memory"));
}

#[test]
fn partitions_of_an_image_are_taken_over() {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("init.ini"), ".set. 0xF8000008 = 0xDF0D;").unwrap();
    std::fs::write(
        folder.join("image.bin"),
        image(OURS, folder, "first_image: { [bootloader] fsbl.elf app.elf }", &[]),
    )
    .unwrap();
    let bif = "second_image: { [bootimage] image.bin [load=0x300000] primary.pem }";
    let whole = "second_image: { [bootloader] fsbl.elf app.elf [load=0x300000] primary.pem }";
    let taken = image(OURS, folder, bif, &[]);
    assert_eq!(taken, image(REFERENCE, folder, bif, &[]));
    assert_eq!(taken, image(OURS, folder, whole, &[]));

    // Behind another place, and with digests: as if it had been made at once.
    let moved = "moved_image: { [bootloader, offset=0x4000] fsbl.elf [checksum=md5] app.elf }";
    std::fs::write(folder.join("image.bin"), image(OURS, folder, moved, &[])).unwrap();
    let whole =
        "second_image: { [init] init.ini [bootloader] fsbl.elf [checksum=md5] app.elf [load=0x300000] primary.pem }";
    let bif = "second_image: { [init] init.ini [bootimage] image.bin [load=0x300000] primary.pem }";
    assert_eq!(image(OURS, folder, bif, &[]), image(OURS, folder, whole, &[]));

    std::fs::write(folder.join("image.bin"), image(OURS, folder, SIGNED, &[])).unwrap();
    let output = run(OURS, folder, bif, &["-o", "no.bin"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("partition 0 is signed"));
}

#[test]
fn key_files_are_made_and_work_with_both_tools() {
    let folder = folder();
    let folder = folder.path();
    let bif = "new_keys: { [pskfile] new/p.key [sskfile] new/s.key [bootloader, authentication=rsa] fsbl.elf }";
    std::fs::create_dir(folder.join("new")).unwrap();
    for format in ["pem", "rsa"] {
        assert!(run(OURS, folder, bif, &["-generate_keys", format]).status.success());
        assert_eq!(image(OURS, folder, bif, &[]), image(REFERENCE, folder, bif, &[]));
    }
    let bif =
        "new_keys: { [aeskeyfile] new.nky [keysrc_encryption] efuse_red_key [bootloader, encryption=aes] fsbl.elf }";
    let first = image(OURS, folder, bif, &["-p", "xc7z010"]);
    assert!(std::fs::read_to_string(folder.join("new.nky")).unwrap().contains("xc7z010;"));
    assert_eq!(first, image(REFERENCE, folder, bif, &[]));
    // The vendor's tool wants them in this order.
    let inline = ["-encrypt", "efuse", &format!("StartCBC={}", "2b".repeat(16)), &format!("Key0={}", "1a".repeat(32))];
    let hmac = format!("HMAC={}", "3c".repeat(32));
    let bif = "inline_keys: { [bootloader, encryption=aes] fsbl.elf }";
    let arguments = [inline.as_slice(), &[hmac.as_str(), "-p", "xc7z010"]].concat();
    let ours = image(OURS, folder, bif, &arguments);
    assert!(keys::read_nky(&folder.join("the.nky")).is_ok());
    std::fs::remove_file(folder.join("the.nky")).unwrap();
    assert_eq!(ours, image(REFERENCE, folder, bif, &arguments));
}

#[test]
fn errors_point_at_the_place() {
    let folder = folder();
    let bif = "an_image:\n{\n  [bootloader, lod = 0x100] fsbl.elf\n}\n";
    let output = run(OURS, folder.path(), bif, &["-o", "out.bin"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["the.bif:3:16", "`lod` is no attribute", "^^^"] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn images_are_overwritten_only_when_told() {
    let folder = folder();
    std::fs::write(folder.path().join("boot.bif"), "an_image: { [bootloader] fsbl.elf }").unwrap();
    std::fs::write(folder.path().join("out.bin"), "precious").unwrap();
    let run = |arguments: &[&str]| Command::new(OURS).args(arguments).current_dir(folder.path()).output().unwrap();
    for arguments in [&["-image", "boot.bif", "-o", "out.bin"][..], &["create", "boot.bif", "-o", "out.bin"]] {
        assert_eq!(run(arguments).status.code(), Some(1));
        assert_eq!(std::fs::read(folder.path().join("out.bin")).unwrap(), b"precious");
    }
    assert!(run(&["--compat", "create", "boot.bif", "-o", "out.bin", "--force"]).status.success());
    assert!(run(&["verify", "out.bin"]).status.success());
    assert!(String::from_utf8_lossy(&run(&["completions", "bash"]).stdout).contains("bootgen"));
    assert!(String::from_utf8_lossy(&run(&["man"]).stdout).contains(".TH"));
}

#[test]
fn a_key_is_never_written_over_another() {
    let folder = folder();
    let run = |arguments: &[&str]| Command::new(OURS).args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(run(&["keygen", "rsa", "new.pem"]).status.success());
    let before: SecretKey = keys::read_secret(&folder.path().join("new.pem")).unwrap();
    assert!(!run(&["keygen", "rsa", "new.pem"]).status.success());
    assert_eq!(keys::read_secret(&folder.path().join("new.pem")).unwrap(), before);
}
