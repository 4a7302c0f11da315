//! `verify` accepts every sound image of the reference tool, and finds every damaged byte that something vouches for, in the
//! field where it is.
//!
//! Each byte of headers, certificates and gaps is damaged; of long data only a part. `VERIFY_ALL=1` damages every byte of
//! every image.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod images;

use std::collections::BTreeMap;
use std::env;

use bootgen::check::sections::locate;
use bootgen::check::verify::{Known, Verdict, compare, verify};
use bootgen::check::{Check, Contents, Severity};
use bootgen::crypto::rsa::Digest;
use images::{AES, ALL, Folder, MD5, PLAIN, RSA, secrets};

fn judge(bytes: &[u8], known: &Known) -> Verdict {
    verify(&mut &bytes[..], known).unwrap()
}

fn known() -> Known {
    Known { secrets: Some(secrets()), primary: None }
}

/// Damages one byte after the other, and collects what goes unnoticed, or unnamed, by the field that it is in.
fn damage(bytes: &[u8], known: &Known, is_tried: impl Fn(u64) -> bool) -> BTreeMap<String, Vec<u64>> {
    let sound = judge(bytes, known);
    assert!(sound.is_sound(), "{:#?}", sound.findings);
    let contents = Contents::read(&mut &bytes[..]).unwrap();
    let mut missed = BTreeMap::new();
    let mut damaged = bytes.to_vec();
    for offset in (0..bytes.len() as u64).filter(|&offset| is_tried(offset)) {
        if sound.unchecked.iter().any(|gap| gap.range.contains(&offset)) {
            continue;
        }
        let place = offset as usize;
        damaged[place] ^= 1 << (offset % 8);
        let named = match verify(&mut &damaged[..], known) {
            Ok(verdict) => {
                let errors = verdict.findings.iter().filter(|finding| finding.severity == Severity::Error);
                errors.clone().any(|finding| finding.concerns(offset))
            }
            Err(error) => error.to_string().contains("field `"),
        };
        if !named {
            missed.entry(locate(&contents, offset).to_string()).or_insert_with(Vec::new).push(offset);
        }
        damaged[place] = bytes[place];
    }
    missed
}

/// Every byte of headers, some of data and certificates, unless all are asked for.
fn sample(bytes: &[u8]) -> impl Fn(u64) -> bool {
    let all = env::var_os("VERIFY_ALL").is_some();
    let contents = Contents::read(&mut &bytes[..]).unwrap();
    let headers = contents.partitions_base + 0x40 * (contents.partitions.len() as u64 + 1);
    let signed = contents.is_signed();
    move |offset| {
        let register_inits = (0xc0..0x880).contains(&offset);
        let step = if signed { 37 } else { 5 };
        all || offset % step == 0 || offset < headers && !register_inits && (!signed || offset % 3 == 0)
    }
}

#[track_caller]
fn assert_all_damage_is_named(lines: &str, arguments: &[&str], known: &Known) {
    let bytes = Folder::new().image(lines, arguments);
    let missed = damage(&bytes, known, sample(&bytes));
    assert!(missed.is_empty(), "damage that goes unnoticed or unnamed: {missed:#x?}");
}

#[test]
fn damage_to_a_plain_image_is_named() {
    assert_all_damage_is_named(PLAIN, &[], &known());
}

#[test]
fn damage_is_named_with_another_fill_byte() {
    assert_all_damage_is_named(PLAIN, &["-fill", "0x5A"], &known());
}

#[test]
fn damage_to_an_image_with_md5_sums_is_named() {
    assert_all_damage_is_named(MD5, &[], &known());
}

#[test]
fn damage_to_a_signed_image_is_named() {
    assert_all_damage_is_named(RSA, &[], &known());
}

#[test]
fn damage_to_an_encrypted_image_is_named() {
    assert_all_damage_is_named(AES, &[], &known());
}

#[test]
fn damage_to_an_encrypted_image_is_named_without_the_key() {
    assert_all_damage_is_named(AES, &[], &Known::default());
}

#[test]
fn damage_to_a_signed_and_encrypted_image_is_named() {
    assert_all_damage_is_named(ALL, &[], &known());
}

/// Replaces one word of the headers after the other by several others.
#[track_caller]
fn assert_all_wrong_words_are_named(lines: &str) {
    let bytes = Folder::new().image(lines, &[]);
    let sound = judge(&bytes, &known());
    let contents = Contents::read(&mut &bytes[..]).unwrap();
    let null = contents.partitions_base + 0x40 * contents.partitions.len() as u64;
    let words = (0x20..0x4c).chain(0x98..0xa0).chain(contents.table_base..null + 0x40).step_by(4);
    for offset in words.filter(|offset| !sound.unchecked.iter().any(|gap| gap.range.contains(offset))) {
        let place = offset as usize..offset as usize + 4;
        let word = u32::from_le_bytes(bytes[place.clone()].try_into().unwrap());
        for other in [0, u32::MAX, !word, word.wrapping_add(1), word.wrapping_sub(1), word.wrapping_add(0x10), 0x240] {
            let mut damaged = bytes.clone();
            damaged[place.clone()].copy_from_slice(&other.to_le_bytes());
            if other == word {
                continue;
            }
            let field = locate(&contents, offset);
            match verify(&mut &damaged[..], &known()) {
                Ok(verdict) => {
                    let mut errors = verdict.findings.iter().filter(|finding| finding.severity == Severity::Error);
                    let named = errors.any(|finding| finding.concerns(offset));
                    assert!(named, "{field} at {offset:#x}: {word:#x} -> {other:#x}: {:#?}", verdict.findings);
                }
                Err(error) => assert!(error.to_string().contains("field `"), "{error}"),
            }
        }
    }
}

#[test]
fn wrong_words_are_named() {
    assert_all_wrong_words_are_named(PLAIN);
    assert_all_wrong_words_are_named(MD5);
    assert_all_wrong_words_are_named(ALL);
}

/// Images of every shape that the reference tool makes, with names for them.
fn shapes() -> Vec<(&'static str, String)> {
    let keys = "[pskfile] ./psk.pem\n[sskfile] ./ssk.pem\n";
    let aes = "[keysrc_encryption] bbram_red_key\n[aeskeyfile] ./x.nky\n";
    let plain = "[bootloader] ./fsbl.elf\n";
    let signed = "[bootloader, authentication=rsa] ./fsbl.elf\n";
    let sealed = "[bootloader, encryption=aes] ./fsbl.elf\n";
    let many = |count: usize, attributes: &str| {
        let line = |index| format!("[load={:#x}{attributes}] ./data.bin\n", 0x10_0000 + index * 0x1000);
        (0..count).map(line).collect::<String>()
    };
    vec![
        ("offsets", format!("{plain}[offset=0x10000] ./top.bit\n[offset=0x20040] ./app.elf")),
        ("alignments", format!("{plain}[alignment=0x400] ./top.bit\n[alignment=0xC0] ./app.elf")),
        ("room behind data", format!("{plain}[reserve_legacy=0x1000] ./top.bit\n./app.elf")),
        ("longer data", format!("{plain}[reserve=0x400, load=0x100000] ./data.bin\n./app.elf")),
        ("owners", format!("{plain}./top.bit\n[partition_owner=uboot] ./app.elf")),
        ("13 partitions", format!("{plain}{}", many(12, ""))),
        ("14 partitions", format!("{plain}{}", many(13, ""))),
        ("15 partitions", format!("{plain}{}", many(14, ""))),
        ("17 partitions", format!("{plain}{}", many(16, ""))),
        ("17 partitions of 9 files", format!("{plain}{}", "./app.elf\n".repeat(8))),
        ("14 signed partitions", format!("{keys}{signed}{}", many(13, ", authentication=rsa"))),
        ("17 signed partitions", format!("{keys}{signed}{}", many(16, ", authentication=rsa"))),
        (
            "a long name",
            format!("{plain}[load=0x200000] ./a-name-that-makes-its-header-longer-than-64-bytes.bin\n./app.elf"),
        ),
        (
            "a long name at the end",
            format!("{plain}[load=0x200000] ./a-name-that-makes-its-header-longer-than-64-bytes.bin"),
        ),
        ("user data", format!("[udf_bh] ./udf.txt\n[init] ./init.txt\n{plain}./app.elf")),
        ("no boot loader", "./app.elf\n./top.bit".to_owned()),
        ("a raw boot loader", "[bootloader, load=0x100, startup=0x100] ./data.bin\n./app.elf".to_owned()),
        ("the boot loader at the end", format!("./app.elf\n./top.bit\n{plain}")),
        ("a boot loader alone", plain.to_owned()),
        ("a boot loader that runs in place", "[bootloader, xip_mode] ./xip.elf\n./app.elf".to_owned()),
        ("some signed", format!("{keys}{signed}./top.bit\n[authentication=rsa] ./app.elf\n[load=0x300000] ./data.bin")),
        ("some encrypted", format!("{aes}{sealed}./top.bit\n[encryption=aes] ./app.elf\n[load=0x300000] ./data.bin")),
        (
            "odd addresses",
            format!(
                "{plain}[load=0x100001] ./data.bin\n[load=0x200002, checksum=md5] ./data.bin\n[load=0x300003] ./data.bin"
            ),
        ),
        (
            "odd addresses, encrypted",
            format!(
                "{aes}{sealed}[load=0x100001, encryption=aes] ./data.bin\n[load=0x200003, encryption=aes, checksum=md5] ./data.bin"
            ),
        ),
        (
            "odd addresses, signed",
            format!(
                "{keys}{signed}[load=0x100001, authentication=rsa] ./data.bin\n[load=0x200003, authentication=rsa, checksum=md5] ./data.bin"
            ),
        ),
        ("another address", format!("{plain}[load=0x800000, startup=0x800010] ./app.elf")),
    ]
}

fn folder_of_shapes() -> Folder {
    let folder = Folder::new();
    folder.write("xip.elf", &images::elf(0xfc00_8000, &[(0xfc00_8000, &[0xfe; 100])]));
    folder.write("a-name-that-makes-its-header-longer-than-64-bytes.bin", b"some data");
    folder
}

#[test]
fn every_sound_image_is_accepted() {
    let folder = folder_of_shapes();
    for arguments in [&[][..], &["-fill", "0x5A"], &["-legacy"]] {
        for (name, lines) in shapes() {
            let verdict = judge(&folder.image(&lines, arguments), &known());
            assert!(verdict.is_sound(), "{name}, {arguments:?}: {:#?}", verdict.findings);
        }
    }
}

#[test]
fn damage_to_images_of_every_shape_is_named() {
    let folder = folder_of_shapes();
    let step = if env::var_os("VERIFY_ALL").is_some() { 1 } else { 131 };
    for (name, lines) in shapes() {
        let bytes = folder.image(&lines, &[]);
        let missed = damage(&bytes, &known(), |offset| offset % step == 0 && offset < 0x4000);
        assert!(missed.is_empty(), "{name}: damage that goes unnoticed or unnamed: {missed:#x?}");
    }
}

#[test]
fn what_will_not_boot_is_warned_of() {
    let folder = folder_of_shapes();
    folder.write("big.elf", &images::elf(0, &[(0, &vec![1; 0x3_0004])]));
    folder.write("ram.elf", &images::elf(0x10_0000, &[(0x10_0000, &[1; 64])]));
    folder.write("low.elf", &images::elf(0x8000, &[(0x8000, &[1; 64])]));
    let app = "./app.elf";
    let cases = [
        ("[bootloader] ./big.elf\n./app.elf".to_owned(), "on-chip memory"),
        ("[bootloader] ./ram.elf\n./app.elf".to_owned(), "loads to the on-chip memory below 0x30000"),
        (app.to_owned(), "there is no boot loader"),
        ("[bootloader, load=0x100, startup=0x100] ./data.bin\n./app.elf".to_owned(), "runs the boot loader in place"),
        ("[bootloader] ./fsbl.elf".to_owned(), "nothing but the boot loader"),
        (format!("[bootloader] ./fsbl.elf\n{}", "./app.elf\n".repeat(7)), "takes at most 13"),
        ("[bootloader] ./fsbl.elf\n./low.elf".to_owned(), "stops with an invalid load address"),
        ("[bootloader] ./fsbl.elf\n./data.bin".to_owned(), "silently loads neither this nor any later"),
        ("[bootloader] ./fsbl.elf\n./app.elf\n./top.bit".to_owned(), "before all programs"),
        ("./app.elf\n[bootloader] ./fsbl.elf".to_owned(), "is not the first partition"),
        ("[bootloader] ./fsbl.elf\n[load=0x100000] ./data.bin".to_owned(), "enters the first program"),
        ("[bootloader] ./fsbl.elf\n./app.elf\n./app.elf".to_owned(), "over partition 1"),
        ("[bootloader] ./fsbl.elf\n[load=0x100002] ./data.bin".to_owned(), "for an encrypted one"),
    ];
    for (lines, expected) in cases {
        let verdict = judge(&folder.image(&lines, &[]), &Known::default());
        assert!(verdict.is_sound(), "{lines}: {:#?}", verdict.findings);
        let warned = verdict.findings.iter().any(|finding| finding.message.contains(expected));
        assert!(warned, "{lines}: {:#?}", verdict.findings);
    }
    assert_eq!(judge(&folder.image(PLAIN, &[]), &Known::default()).findings, [], "nothing is wrong with this one");
    let keys = "[pskfile] ./psk.pem\n[sskfile] ./ssk.pem\n[bootloader, authentication=rsa] ./fsbl.elf\n";
    let long = "[authentication=rsa, load=0x200000] ./a-name-that-makes-its-header-longer-than-64-bytes.bin";
    let verdict =
        judge(&folder.image(&format!("{keys}{long}\n[authentication=rsa] ./app.elf"), &[]), &Known::default());
    let place = "the vendor's boot loader looks for it at 0x1040";
    assert!(verdict.findings.iter().any(|finding| finding.message.contains(place)), "{:#?}", verdict.findings);
}

#[test]
fn what_nothing_vouches_for_is_listed() {
    let folder = Folder::new();
    let places = |lines: &str, known: &Known| {
        let mut places: Vec<_> =
            judge(&folder.image(lines, &[]), known).unchecked.into_iter().map(|gap| gap.place).collect();
        places.dedup();
        places
    };
    let headers = [
        "boot header, field `user defined`",
        "image header 0 (fsbl.elf), field `name`",
        "image header 1 (top.bit), field `name`",
        "image header 2 (app.elf), field `name`",
    ];
    let data = [
        "partition 0 (fsbl.elf)",
        "partition 1 (top.bit)",
        "partition 2 (app.elf, part 1 of 2)",
        "partition 3 (app.elf, part 2 of 2)",
    ];
    assert_eq!(places(PLAIN, &known()), [&headers[..], &data].concat());
    assert_eq!(places(AES, &Known::default()), [&headers[..], &data].concat());
    assert_eq!(places(AES, &known()), headers);
    assert_eq!(places(RSA, &known()), Vec::<String>::new());
    assert_eq!(places(ALL, &Known::default()), Vec::<String>::new());
    let md5 =
        [&headers[..1], &["register initialization"], &headers[1..], &["image header 3 (data.bin), field `name`"]];
    assert_eq!(places(MD5, &known()), [md5.concat().as_slice(), &data[..1]].concat());
}

#[test]
fn any_byte_is_covered_by_a_comparison() {
    let bytes = Folder::new().image(PLAIN, &[]);
    assert_eq!(compare(&mut &bytes[..], &mut &bytes[..]).unwrap(), []);
    let mut damaged = bytes.clone();
    for offset in (0..bytes.len()).step_by(3) {
        damaged[offset] ^= 0x10;
        match compare(&mut &damaged[..], &mut &bytes[..]) {
            Ok(findings) => {
                assert!(findings.iter().any(|finding| finding.concerns(offset as u64)), "{offset:#x}: {findings:?}");
            }
            Err(error) => assert!(error.to_string().contains("field `"), "{error}"),
        }
        damaged[offset] = bytes[offset];
    }
    let short = compare(&mut &bytes[..bytes.len() - 1], &mut &bytes[..]).unwrap();
    assert!(short.iter().any(|finding| finding.place == "end of the image"), "{short:?}");
}

#[test]
fn truncated_images_are_never_sound() {
    for lines in [PLAIN, MD5, ALL] {
        let bytes = Folder::new().image(lines, &[]);
        for length in (0..bytes.len()).step_by(61) {
            match verify(&mut &bytes[..length], &Known::default()) {
                Ok(verdict) => assert!(!verdict.is_sound(), "{length:#x} bytes are taken for a whole image"),
                Err(error) => assert!(error.to_string().contains("at 0x"), "{error}"),
            }
        }
    }
}

#[test]
fn appended_bytes_are_found() {
    let mut bytes = Folder::new().image(PLAIN, &[]);
    bytes.push(0xff);
    assert!(!judge(&bytes, &Known::default()).is_sound());
}

#[test]
fn the_chain_ends_at_the_primary_key_that_is_asked_for() {
    let folder = Folder::new();
    let bytes = folder.image(RSA, &["-efuseppkbits", "hash.txt"]);
    let text = std::fs::read_to_string(folder.path().join("hash.txt")).unwrap();
    let digest: Digest = bootgen::keys::hex(text.trim()).unwrap().try_into().unwrap();
    let asked = |digest| Known { primary: Some(digest), secrets: None };
    let verdict = judge(&bytes, &asked(digest));
    assert!(verdict.is_sound() && verdict.checked.anchored, "{:#?}", verdict.findings);
    assert!(verdict.checked.primary.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(text.trim())));
    let mut other = digest;
    other[0] ^= 1;
    let verdict = judge(&bytes, &asked(other));
    assert_eq!(verdict.failed().into_iter().collect::<Vec<_>>(), [Check::Signature]);
    assert!(!judge(&folder.image(PLAIN, &[]), &asked(digest)).is_sound(), "an unsigned image has no chain");
}

#[test]
fn another_key_does_not_decrypt() {
    let bytes = Folder::new().image(AES, &[]);
    for change in [
        |keys: &mut bootgen::crypto::aes::Secrets| keys.key[3] ^= 1,
        |keys: &mut bootgen::crypto::aes::Secrets| keys.hmac[3] ^= 1,
    ] {
        let mut other = secrets();
        change(&mut other);
        let verdict = judge(&bytes, &Known { secrets: Some(other), primary: None });
        assert_eq!(verdict.failed().into_iter().collect::<Vec<_>>(), [Check::Encryption]);
    }
}

#[test]
fn one_wrong_word_is_traced_by_what_else_says_the_same() {
    let bytes = Folder::new().image(PLAIN, &[]);
    // Of partition 1: (offset in its header, the fields that remain suspect).
    let cases: [(usize, &[&str]); 5] = [
        (0x14, &["data offset"]),
        (0x08, &["total length"]),
        (0x24, &["image header offset"]),
        (0x1c, &["section count"]),
        (0x0c, &["load address", "attributes", "header checksum"]),
    ];
    for (offset, expected) in cases {
        let mut damaged = bytes.clone();
        damaged[0xcc0 + offset] ^= 0x10;
        let verdict = judge(&damaged, &Known::default());
        let sum = verdict.findings.iter().find(|finding| finding.check == Check::Checksum).unwrap();
        let suspects: Vec<_> = sum.suspects.iter().map(|suspect| suspect.field.as_str()).collect();
        assert_eq!(suspects, expected, "{sum}");
        let right = u32::from_le_bytes(bytes[0xcc0 + offset..][..4].try_into().unwrap());
        assert_eq!(sum.suspects[0].value, Some(right));
    }
}
