//! What the parser reads, and what it says of damaged images.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use common::{LENGTH, image, walk};
use zelkova_bootimage::{Image, Invalid, Problem, Structure};

#[test]
fn everything_in_a_sound_image_is_read() {
    let bytes = image();
    assert_eq!(walk(&bytes), Vec::<String>::new());
    let mut image = Image::open(&bytes[..]).unwrap();
    assert_eq!(image.boot().length.get(), 0x1a5);
    assert!(image.register_init(0).unwrap().is_used());
    assert!(!image.register_init(1).unwrap().is_used());
    let names: Vec<_> = image.images().map(|header| header.unwrap().name.to_string()).collect();
    assert_eq!(names, ["fsbl.elf", "grün.elf"]);
    let partitions: Vec<_> = image.partitions().map(Result::unwrap).collect();
    assert_eq!(partitions.len(), 3);
    assert_eq!(partitions[0].header.data(), 0x1700..0x18a8);
    assert_eq!(partitions[0].header.certificate(), Some(0x18c0..0x1f80));
    assert_eq!(partitions[2].header.md5(), Some(0x1ff0..0x2000));
    assert!(image.certificate(&partitions[0]).unwrap().is_some());
    assert!(image.certificate(&partitions[1]).unwrap().is_none());
    assert!(image.header_certificate().unwrap().is_none());
}

#[test]
fn a_truncated_image_is_an_error_that_names_the_place() {
    let bytes = image();
    for length in 0..LENGTH {
        let problems = walk(&bytes[..length]);
        assert!(!problems.is_empty(), "cut at {length:#x}");
        assert!(
            problems.iter().all(|problem| problem.contains("field `") && problem.contains("at 0x")),
            "{problems:?}"
        );
    }
}

#[test]
fn the_error_names_the_field() {
    let cases: [(usize, u32, &str); 9] = [
        (0x20, 0, "boot header, field `width detection` at 0x20: is 0x00000000, not 0xaa995566"),
        (0x34, 0x1a6, "boot header, field `length of image` at 0x34: is 0x1a6, but at most 0x1a5 is possible"),
        (0x9c, 0xcc0, "image header table, field `partition header offset` at 0x8c8: is 0x00000320, not 0x00000330"),
        (
            0x98,
            4,
            "boot header, field `image header table offset` at 0x98: refers to 0x4, but must not lie before 0x8a0",
        ),
        (
            0x8c4,
            0xffff_ffff,
            "image header table, field `number of partitions` at 0x8c4: refers to 0xc80..0x4000000c80, but the image ends at 0x2000",
        ),
        (
            0x900,
            0x240,
            "image header 0, field `next image header offset` at 0x900: refers to 0x900, but must not lie before 0x920",
        ),
        (
            0xcd4,
            0,
            "partition header 1, field `header checksum` at 0xcfc: is 0xffdfddb9, but the words that it sums up give 0xffdfe599",
        ),
        (0x18c4, 1, "certificate of partition 0, field `certificate size` at 0x18c4: is 0x00000001, not 0x000006c0"),
        (0xd58, 7, "null partition header, field `attributes` at 0xd58: is 0x00000007, not 0x00000000"),
    ];
    for (offset, word, expected) in cases {
        let mut bytes = image();
        bytes[offset..offset + 4].copy_from_slice(&word.to_le_bytes());
        assert!(walk(&bytes).iter().any(|problem| problem == expected), "{offset:#x}: {:?}", walk(&bytes));
    }
}

#[test]
fn names_cannot_upset_a_terminal() {
    let mut bytes = image();
    bytes[0x910..0x914].copy_from_slice(b"m[\x1b\xff");
    let mut image = Image::open(&bytes[..]).unwrap();
    let name = image.images().next().unwrap().unwrap().name;
    assert_eq!(name.to_string(), r"\xff\u{1b}[m.elf");
    assert_eq!(name.as_str(), None);
    assert_eq!(name.as_bytes(), b"\xff\x1b[m.elf");
}

#[test]
fn a_name_without_end_is_an_error() {
    let mut bytes = image();
    bytes[0x910..0xc80].fill(b'x');
    let mut image = Image::open(&bytes[..]).unwrap();
    let error = image.images().next().unwrap().unwrap_err();
    let expected = Invalid {
        structure: Structure::ImageHeader(0),
        field: "name",
        offset: 0x910,
        size: 255,
        problem: Problem::Unterminated(255),
    };
    assert_eq!(error, expected.into());
}

#[test]
fn a_list_that_leads_back_ends() {
    let mut bytes = image();
    bytes[0x940..0x944].copy_from_slice(&0x240_u32.to_le_bytes());
    let mut image = Image::open(&bytes[..]).unwrap();
    assert_eq!(image.images_as_is().count(), 2);
    assert!(image.images().nth(1).unwrap().is_err());
}
