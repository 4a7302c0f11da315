//! `inspect`, `diff` and `extract` on images of the reference tool.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod images;

use std::fs;
use std::process::Command;

use bootgen::check::diff::diff;
use bootgen::check::extract::{ExtractError, Options, extract, plan};
use bootgen::check::{Contents, describe, inspect};
use images::{AES, ALL, Folder, MD5, PLAIN, RSA, elf, secrets};
use insta::assert_snapshot;

/// What `inspect` prints without a terminal; digests that depend on the keys, which are others in each run, are left out.
fn inspected(bytes: &[u8]) -> String {
    let contents = Contents::read(&mut &bytes[..]).unwrap();
    let description = describe::describe(&contents, &mut &bytes[..]).unwrap();
    let mut text = anstream::adapter::strip_str(&inspect::render("BOOT.BIN", &description, &contents)).to_string();
    let json = serde_json::to_value(&description).unwrap();
    if let Some(authentication) = &description.authentication {
        text = text.replace(&authentication.primary_key_hash, "(primary key's)");
        text = text.replace(&authentication.secondary_key_hash, "(secondary key's)");
        assert_eq!(json["authentication"]["primary_key_hash"], authentication.primary_key_hash);
        for md5 in description.images.iter().flat_map(|image| &image.partitions).filter_map(|part| part.md5.as_ref()) {
            text = text.replace(md5, "(depends on keys)");
        }
    }
    text
}

#[test]
fn a_plain_image_is_shown() {
    assert_snapshot!(inspected(&Folder::new().image(PLAIN, &[])));
}

#[test]
fn register_writes_and_md5_sums_are_shown() {
    assert_snapshot!(inspected(&Folder::new().image(MD5, &[])));
}

#[test]
fn a_signed_and_encrypted_image_is_shown() {
    assert_snapshot!(inspected(&Folder::new().image(ALL, &[])));
}

#[test]
fn a_boot_loader_that_runs_in_place_is_shown() {
    let folder = Folder::new();
    folder.write("xip.elf", &elf(0xfc00_8000, &[(0xfc00_8000, b"\xfe\xff\xff\xea")]));
    let lines = "[bootloader, xip_mode] ./xip.elf\n[partition_owner=uboot, load=0x4000000] ./data.bin";
    assert_snapshot!(inspected(&folder.image(lines, &[])));
}

#[test]
fn a_damaged_image_is_shown_as_far_as_it_goes() {
    let mut bytes = Folder::new().image(PLAIN, &[]);
    // The sum of partition header 1, the reference of 2, and the list of image headers.
    bytes[0xcc0] ^= 4;
    bytes[0xd24] ^= 0x40;
    bytes[0x940] ^= 1;
    assert_snapshot!(inspected(&bytes));
}

#[test]
fn the_same_image_has_no_differences() {
    let bytes = Folder::new().image(ALL, &[]);
    assert_eq!(diff(&mut &bytes[..], &mut &bytes[..]).unwrap(), []);
}

#[test]
fn differences_are_told_by_field() {
    let folder = Folder::new();
    let left = folder.image(PLAIN, &[]);
    let lines = "[init] ./init.txt\n[bootloader] ./fsbl.elf\n[load=0x300000] ./data.bin\n[checksum=md5] ./app.elf";
    let right = folder.image(lines, &[]);
    let mut lines = Vec::new();
    for found in diff(&mut &left[..], &mut &right[..]).unwrap() {
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "(none)".to_owned());
        let field = found.field.map(|field| format!(", {field}")).unwrap_or_default();
        lines.push(format!("{}{field}: {} -> {}", found.place, or_none(found.left), or_none(found.right)));
    }
    assert_snapshot!(lines.join("\n"));
}

/// Extracts all files of an image to `target` and makes the same image of them again.
#[track_caller]
fn assert_round_trip(lines: &str) {
    let folder = Folder::new();
    let bytes = folder.image(lines, &[]);
    let contents = Contents::read(&mut &bytes[..]).unwrap();
    let secrets = secrets();
    let options = Options { secrets: Some(&secrets), overwrite: true, raw: false };
    let outputs = plan(&contents, &options);
    assert_eq!(outputs.len(), contents.images.len());
    for output in &outputs {
        fs::remove_file(folder.path().join(&output.name)).unwrap();
        let path = extract(&contents, &mut &bytes[..], output, folder.path(), &options).unwrap();
        assert_eq!(path, folder.path().join(&output.name));
    }
    assert!(folder.image(lines, &[]) == bytes, "the extracted files make another image");
}

#[test]
fn extracted_files_make_the_same_image_again() {
    assert_round_trip(PLAIN);
    assert_round_trip(MD5);
    assert_round_trip(RSA);
}

#[test]
fn extracted_and_decrypted_files_make_the_same_image_again() {
    assert_round_trip(AES);
    assert_round_trip(ALL);
}

#[test]
fn raw_bytes_are_those_of_the_input() {
    let folder = Folder::new();
    let bytes = folder.image(MD5, &[]);
    let contents = Contents::read(&mut &bytes[..]).unwrap();
    let data = fs::read(folder.path().join("data.bin")).unwrap();
    let options = Options { raw: true, ..Options::default() };
    let outputs = plan(&contents, &options);
    let names: Vec<_> = outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["fsbl.elf.bin", "top.bit.bin", "app.elf.0.bin", "app.elf.1.bin", "data.bin.bin"]);
    let path = extract(&contents, &mut &bytes[..], &outputs[4], folder.path(), &options).unwrap();
    assert!(fs::read(path).unwrap() == data);
    let path = extract(&contents, &mut &bytes[..], &outputs[3], folder.path(), &options).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"hello world");
}

#[test]
fn nothing_is_overwritten_or_left_behind() {
    let folder = Folder::new();
    let bytes = folder.image(AES, &[]);
    let contents = Contents::read(&mut &bytes[..]).unwrap();
    let before = fs::read_dir(folder.path()).unwrap().count();
    let try_with = |secrets: Option<&_>| {
        let options = Options { secrets, ..Options::default() };
        let outputs = plan(&contents, &options);
        extract(&contents, &mut &bytes[..], &outputs[0], folder.path(), &options).unwrap_err()
    };
    assert!(matches!(try_with(None), ExtractError::NoKey(_)));
    assert!(matches!(try_with(Some(&secrets())), ExtractError::Exists(_)));
    let mut other = secrets();
    other.key[0] ^= 1;
    assert!(matches!(try_with(Some(&other)), ExtractError::Decrypt(..)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
}

#[test]
fn names_do_not_lead_out_of_the_folder() {
    let mut bytes = Folder::new().image(PLAIN, &[]);
    // "fsbl.elf" becomes "../l.elf"; groups of four letters are stored in reverse.
    bytes[0x910..0x914].copy_from_slice(b"l/..");
    let contents = Contents::read(&mut &bytes[..]).unwrap();
    let names: Vec<_> = plan(&contents, &Options::default()).into_iter().map(|output| output.name).collect();
    assert_eq!(names, ["image-0", "top.bit", "app.elf"]);
}

/// Runs the command, and gives its exit status and what it prints.
fn command(folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bootgen")).args(arguments).current_dir(folder.path()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_exit_status_tells_the_verdict() {
    let folder = Folder::new();
    let bytes = folder.image(PLAIN, &[]);
    let verify = ["verify", "image.bin"];
    let (status, text, _) = command(&folder, &verify);
    assert_eq!(status, 0, "{text}");
    assert_snapshot!("verify_plain", text);

    // A loader that needs RAM below 1 MiB for the application is sound, but will not boot.
    folder.write("low.elf", &elf(0x8000, &[(0x8000, b"\xfe\xff\xff\xea")]));
    folder.image("[bootloader] ./fsbl.elf\n./low.elf\n./top.bit", &[]);
    assert_eq!(command(&folder, &verify).0, 0);
    let (status, text, _) = command(&folder, &["verify", "--strict", "image.bin"]);
    assert_eq!(status, 1);
    assert_snapshot!("verify_warnings", text);

    let mut damaged = bytes.clone();
    damaged[0xcc0 + 0x14] ^= 0x10;
    folder.write("image.bin", &damaged);
    let (status, text, _) = command(&folder, &verify);
    assert_eq!(status, 1);
    assert_snapshot!("verify_damaged", text);

    folder.write("image.bin", &bytes[..0x30]);
    let (status, _, text) = command(&folder, &verify);
    assert_eq!(status, 2);
    assert_snapshot!("verify_truncated", text);
    assert_eq!(command(&folder, &["verify", "no-such.bin"]).0, 2);
}

#[test]
fn a_reference_covers_every_byte() {
    let folder = Folder::new();
    let mut bytes = folder.image(PLAIN, &[]);
    fs::rename(folder.image_path(), folder.path().join("right.bin")).unwrap();
    bytes[0x1710] ^= 1;
    folder.write("image.bin", &bytes);
    assert_eq!(command(&folder, &["verify", "image.bin"]).0, 0, "nothing vouches for the data of a plain image");
    let (status, text, _) = command(&folder, &["verify", "image.bin", "--reference", "right.bin"]);
    assert_eq!(status, 1);
    assert!(text.contains("error[comparison]: partition 0 (fsbl.elf) at 0x1700: differs"), "{text}");
    assert_eq!(command(&folder, &["diff", "image.bin", "right.bin"]).0, 1);
    assert_eq!(command(&folder, &["diff", "right.bin", "right.bin"]).0, 0);
}

#[test]
fn a_description_covers_every_byte() {
    let folder = Folder::new();
    let verify = ["verify", "image.bin", "--bif", "image.bif"];
    for (lines, arguments) in [(PLAIN, &[][..]), (MD5, &["-fill", "0x5A"]), (ALL, &[])] {
        let bytes = folder.image(lines, arguments);
        let (status, text, errors) = command(&folder, &verify);
        assert_eq!(status, 0, "{text}{errors}");
        assert!(!text.contains("Nothing vouches for"), "{text}");
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        folder.write("image.bin", &damaged);
        let (status, text, _) = command(&folder, &verify);
        assert_eq!(status, 1);
        assert!(text.contains("error[comparison]: "), "{text}");
    }
    fs::remove_file(folder.path().join("app.elf")).unwrap();
    let (status, _, errors) = command(&folder, &verify);
    assert_eq!(status, 2);
    assert!(errors.contains("cannot make the image of image.bif to compare with"), "{errors}");
}

/// What our own tool makes of a BIF.
fn ours(folder: &Folder, lines: &str) -> Vec<u8> {
    folder.image(lines, &[]);
    let (status, _, errors) = command(folder, &["create", "image.bif", "-o", "ours.bin", "--force"]);
    assert_eq!(status, 0, "{errors}");
    fs::read(folder.path().join("ours.bin")).unwrap()
}

#[test]
fn our_own_images_are_sound() {
    let folder = Folder::new();
    for lines in [PLAIN, MD5, RSA, AES, ALL] {
        ours(&folder, lines);
        let hash = ["verify", "ours.bin", "--nky", "x.nky", "--ppk", "psk.pem"];
        let is_signed = lines.contains("rsa");
        let (status, text, errors) = command(&folder, &hash[..if is_signed { 6 } else { 4 }]);
        assert_eq!(status, 0, "{lines}: {text}{errors}");
    }
}

#[test]
fn json_is_for_programs() {
    let folder = Folder::new();
    folder.image(MD5, &[]);
    for arguments in [&["inspect", "--json", "image.bin"][..], &["verify", "--json", "image.bin"]] {
        let (status, text, _) = command(&folder, arguments);
        assert_eq!(status, 0);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value.is_object());
    }
    let (_, text, _) = command(&folder, &["inspect", "--json", "image.bin"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["images"][1]["partitions"][0]["device"], "7z020");
    assert_eq!(value["register_initialization"][0]["address"], 0xf800_0120_u32);
}
