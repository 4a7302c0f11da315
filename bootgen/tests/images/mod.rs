//! Inputs for images, and the images that the reference tool makes of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{fs, io};

use bootgen::crypto::aes::Secrets;
use bootgen::crypto::rsa::SecretKey;
use bootgen::keys::{Nky, secret_to_pem};
use tempfile::TempDir;

/// The reference tool: the distribution's package `xilinx-bootgen`.
pub(crate) const REFERENCE: &str = "/usr/bin/bootgen";

/// Lines of a BIF: nothing but files.
pub(crate) const PLAIN: &str = "[bootloader] ./fsbl.elf\n./top.bit\n./app.elf";
/// Lines of a BIF: register writes, MD5 sums, and data at an odd address.
pub(crate) const MD5: &str = "[init] ./init.txt\n[bootloader] ./fsbl.elf\n[checksum=md5] ./top.bit\n[checksum=md5] ./app.elf\n\
    [load=0x300001, checksum=md5] ./data.bin";
/// Lines of a BIF: everything signed.
pub(crate) const RSA: &str = "[pskfile] ./psk.pem\n[sskfile] ./ssk.pem\n[bootloader, authentication=rsa, udf_data=./udf.txt] ./fsbl.elf\n\
    [authentication=rsa] ./top.bit\n[authentication=rsa, checksum=md5] ./app.elf";
/// Lines of a BIF: everything encrypted.
pub(crate) const AES: &str = "[keysrc_encryption] bbram_red_key\n[aeskeyfile] ./x.nky\n[bootloader, encryption=aes] ./fsbl.elf\n\
    [encryption=aes] ./top.bit\n[encryption=aes] ./app.elf";
/// Lines of a BIF: everything signed and encrypted.
pub(crate) const ALL: &str = "[keysrc_encryption] efuse_red_key\n[aeskeyfile] ./x.nky\n[pskfile] ./psk.pem\n[sskfile] ./ssk.pem\n\
    [bootloader, encryption=aes, authentication=rsa] ./fsbl.elf\n[encryption=aes, authentication=rsa] ./top.bit\n\
    [encryption=aes, authentication=rsa, checksum=md5] ./app.elf";

/// A folder with inputs.
pub(crate) struct Folder(TempDir);

/// Keys that take long to make.
static KEYS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let pem = || secret_to_pem(&SecretKey::generate().unwrap()).unwrap().to_string();
    [pem(), pem()]
});

/// Keys for AES.
pub(crate) fn secrets() -> Secrets {
    Secrets { key: *b"0123456789abcdefghijklmnopqrstuv", hmac: *b"zyxwvutsrqponmlkjihgfedcba987654", iv: [0x5a; 16] }
}

impl Folder {
    /// Files for all kinds of images: `fsbl.elf`, `app.elf` of two segments, `top.bit`, `data.bin`, `psk.pem`, `ssk.pem`,
    /// `x.nky`, `init.txt`, `udf.txt`.
    pub(crate) fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        let body = |size: usize| (0..size).map(|byte| (byte * 7 + byte / 251) as u8).collect::<Vec<_>>();
        folder.write("fsbl.elf", &elf(0, &[(0, &body(421))]));
        folder.write("app.elf", &elf(0x10_0000, &[(0x10_0000, &body(803)), (0x20_0000, b"hello world")]));
        folder.write("top.bit", &bitstream());
        folder.write("data.bin", &body(131));
        let [primary, secondary] = &*KEYS;
        folder.write("psk.pem", primary.as_bytes());
        folder.write("ssk.pem", secondary.as_bytes());
        let nky = Nky { device: "xc7z020clg484".to_owned(), secrets: secrets() };
        folder.write("x.nky", nky.text().as_bytes());
        folder.write("init.txt", b".set. 0xF8000120 = 0x1F000200;\n.set. 0xF8000170 = 0x00200500;\n");
        folder.write("udf.txt", "0123456789abcdef".repeat(4).as_bytes());
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    /// The image that the reference tool makes of a BIF with these lines; `arguments` are added.
    pub(crate) fn image(&self, lines: &str, arguments: &[&str]) -> Vec<u8> {
        self.write("image.bif", format!("the_image: {{\n{lines}\n}}\n").as_bytes());
        let output = Command::new(REFERENCE)
            .args(["-arch", "zynq", "-image", "image.bif", "-o", "image.bin", "-w", "on"])
            .args(arguments)
            .current_dir(self.path())
            .output();
        let output = match output {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                panic!("{REFERENCE} is missing: install the package xilinx-bootgen")
            }
            other => other.unwrap(),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "the reference tool refuses\n{lines}\n{text}");
        fs::read(self.image_path()).unwrap()
    }

    pub(crate) fn image_path(&self) -> PathBuf {
        self.path().join("image.bin")
    }
}

/// An executable for ARM with segments of (address, bytes).
pub(crate) fn elf(entry: u32, segments: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x01\x01\x01".to_vec();
    bytes.resize(16, 0);
    let half = |bytes: &mut Vec<u8>, value: u16| bytes.extend(value.to_le_bytes());
    let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
    half(&mut bytes, 2);
    half(&mut bytes, 40);
    for value in [1, entry, 52, 0, 0x0500_0000] {
        word(&mut bytes, value);
    }
    for value in [52, 32, segments.len() as u16, 40, 0, 0] {
        half(&mut bytes, value);
    }
    let mut offset = 0x1000;
    for (address, data) in segments {
        let size = data.len() as u32;
        for value in [1, offset, *address, *address, size, size, 5, 4] {
            word(&mut bytes, value);
        }
        offset += size.next_multiple_of(0x1000);
    }
    for (_, data) in segments {
        bytes.resize(bytes.len().next_multiple_of(0x1000), 0);
        bytes.extend_from_slice(data);
    }
    bytes
}

/// A bitstream for the Z-7020 with little in it, in the vendor's format.
pub(crate) fn bitstream() -> Vec<u8> {
    let mut words = vec![0xffff_ffff; 8];
    words.extend([0x0000_00bb, 0x1122_0044, 0xffff_ffff, 0xffff_ffff, 0xaa99_5566, 0x2000_0000]);
    // A command, the identification of the part, forty words of frames, and the end.
    words.extend([0x3000_8001, 7, 0x2000_0000, 0x2000_0000, 0x3001_8001, 0x0372_7093, 0x3000_4000, 0x5000_0028]);
    words.extend((0..40).map(|word| word * 0x0101_0101_u32));
    words.extend([0x3000_8001, 0xd, 0x2000_0000, 0x2000_0000]);
    let data: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    let mut bytes = vec![0, 9, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0, 0, 1];
    for (key, text) in
        [(b'a', "top;UserID=0XFFFFFFFF"), (b'b', "7z020clg484"), (b'c', "2020/02/02"), (b'd', "20:20:02")]
    {
        bytes.push(key);
        bytes.extend((text.len() as u16 + 1).to_be_bytes());
        bytes.extend(text.bytes().chain([0]));
    }
    bytes.push(b'e');
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}
