//! Random descriptions with all their files.

use std::fmt::Write as _;
use std::path::Path;

use bootgen::keys;

/// Keys that are too expensive to make for each case, as files.
pub(crate) struct Pool {
    files: Vec<(String, Vec<u8>)>,
}

/// Names of secret keys, by their form.
const SECRETS: [&[&str]; 3] = [
    &["primary.pem", "primary.txt"],
    &["secondary.pem", "secondary.txt"],
    &["other.pem", "other-pkcs8.pem", "other.txt"],
];

impl Pool {
    pub(crate) fn new() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            files.push((path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()));
        }
        for name in ["primary", "secondary", "other"] {
            let pem = &files.iter().find(|(file, _)| *file == format!("{name}.pem")).unwrap().1;
            let key = keys::parse_secret(std::str::from_utf8(pem).unwrap()).unwrap();
            files.push((format!("{name}.txt"), keys::secret_to_text(&key).as_bytes().to_vec()));
        }
        Self { files }
    }
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end - start)
    }

    /// True so many times of a hundred.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn hex(&mut self, bytes: u64) -> String {
        keys::to_hex(&self.bytes(bytes))
    }
}

/// A call of the command with all that it needs.
#[derive(Default)]
pub(crate) struct Case {
    pub(crate) arguments: Vec<String>,
    pub(crate) bif: String,
    /// Whether the boot loader is no ELF file.
    pub(crate) raw_bootloader: bool,
    /// Whether MCS files are filled.
    pub(crate) filled_mcs: bool,
    /// Whether an alignment is no power of two.
    pub(crate) odd_alignment: bool,
    /// Whether a file is called `.srec`.
    pub(crate) srec: bool,
    /// Whether the boot loader has the attribute `static`.
    pub(crate) static_bootloader: bool,
    /// Whether bytes are distributed to two chips and filled.
    pub(crate) filled_parallel: bool,
    /// Whether there are two images.
    pub(crate) groups: bool,
    /// Whether bitstreams are processed, and how many.
    pub(crate) processed_bitstreams: Option<usize>,
    bitstreams: usize,
    files: Vec<(String, Vec<u8>)>,
    features: Vec<&'static str>,
}

/// What one group's partitions have in common.
#[derive(Clone, Copy)]
struct Security {
    rsa: bool,
    aes: bool,
}

impl Case {
    pub(crate) fn random(seed: u64, index: u64, pool: &Pool) -> Self {
        let mut random = Random(seed ^ index.wrapping_mul(0x0123_4567_89ab_cdef));
        random.next();
        let mut case = Self::default();
        let groups = if random.chance(8) { 2 } else { 1 };
        if groups > 1 {
            case.groups = true;
            case.features.push("groups");
        }
        let security = Security { rsa: random.chance(35), aes: random.chance(35) };
        let mut bif = String::new();
        for group in 0..groups {
            case.group(&mut random, pool, security, group, &mut bif);
        }
        if random.chance(20) {
            bif = bif.replace('\n', "\r\n");
            case.features.push("crlf");
        }
        case.call(&mut random);
        case.files.push(("the.bif".to_owned(), bif.clone().into_bytes()));
        case.bif = bif;
        case
    }

    /// Writes all files to a new folder.
    pub(crate) fn write(&self, folder: &Path) {
        let _ = std::fs::remove_dir_all(folder);
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn features(&self) -> impl Iterator<Item = &'static str> {
        self.features.iter().copied()
    }

    /// The command line.
    fn call(&mut self, random: &mut Random) {
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
        if random.chance(70) {
            add(&["-arch", "zynq"]);
        }
        add(&["-image", "the.bif"]);
        let mut mcs = false;
        // What is split off another image is a matter of its own.
        let feature = match random.below(if self.groups { 8 } else { 20 }) {
            0..=7 => {
                add(&["-o", "out.bin"]);
                "bin"
            }
            8 => {
                add(&["-o", "i", "out.bin", "-o", "second.mcs"]);
                mcs = true;
                "two outputs"
            }
            9..=10 => {
                add(&["-o", "out.mcs"]);
                mcs = true;
                "mcs"
            }
            11 => {
                add(&["-split", "bin", "-o", "out.bin"]);
                "split bin"
            }
            12 => {
                add(&["-split", "mcs", "-o", "out.mcs"]);
                mcs = true;
                "split mcs"
            }
            13 => {
                self.processed_bitstreams = Some(self.bitstreams);
                add(&["-process_bitstream", random.pick(&["bin", "mcs"])]);
                "process_bitstream"
            }
            14 | 15 => {
                let name = random.pick(&["out.bin", "out.mcs"]);
                mcs = name == "out.mcs";
                add(&["-o", name, "-dual_qspi_mode", "parallel"]);
                "parallel"
            }
            16 => {
                let name = random.pick(&["out.bin", "out.mcs"]);
                mcs = name == "out.mcs";
                add(&["-o", name, "-dual_qspi_mode", "stacked", random.pick(&["16", "32", "64", "128"])]);
                "stacked"
            }
            17 => {
                add(&["-o", "out.bin", "-generate_hashes"]);
                "hashes"
            }
            18 => {
                add(&["-o", "out.bin", "-efuseppkbits", "fuses.txt"]);
                "efuseppkbits"
            }
            _ => {
                add(&["-o", "noextension"]);
                "no extension"
            }
        };
        match random.below(4) {
            0 => add(&["-w"]),
            1 => {}
            _ => add(&["-w", "on"]),
        }
        if random.chance(20) {
            self.features.push("fill");
            self.filled_mcs = mcs;
            self.filled_parallel = feature == "parallel" && !mcs;
            match random.below(3) {
                0 => add(&["-fill"]),
                1 => add(&["-fill", "0x00"]),
                _ => add(&["-fill", "0x5A"]),
            }
        }
        if random.chance(10) {
            self.features.push("legacy");
            add(&["-legacy"]);
        }
        if random.chance(5) {
            add(&["-padimageheader", "0"]);
        }
        self.features.push(feature);
        self.arguments = arguments;
    }

    /// One image's description.
    fn group(&mut self, random: &mut Random, pool: &Pool, security: Security, number: u64, bif: &mut String) {
        let name = format!("image_{number}z");
        let _ = writeln!(bif, "{}{name}: {}{{", blank(random), blank(random));
        let newer = random.chance(30);
        if newer {
            self.features.push("newer syntax");
        }
        let about = |bif: &mut String, random: &mut Random, attribute: &str, value: &str| {
            let blanks = [blank(random), blank(random), blank(random)];
            // The vendor's tool has no newer spelling of these.
            let is_old = matches!(attribute, "udf_bh" | "keysrc_encryption");
            let _ = if newer && !is_old && random.chance(50) {
                writeln!(bif, "{}{attribute} ={}{value}", blanks[0], blanks[1])
            } else {
                writeln!(bif, "[{}{attribute}{}]{}{value}", blanks[0], blanks[1], blanks[2])
            };
        };
        if security.rsa {
            self.features.push("rsa");
            self.keys(random, pool, bif, &about);
        }
        if security.aes {
            self.features.push("aes");
            let file = format!("keys/{name}.nky");
            let (key, iv, hmac) = (random.hex(32), random.hex(16), random.hex(32));
            let text = format!("Device xc7z020clg484;\nKey 0 {key};\nKey StartCBC {iv};\nKey HMAC {hmac};\n");
            self.files.push((file.clone(), text.into_bytes()));
            about(bif, random, "aeskeyfile", &file);
            let source = random.pick(&["efuse_red_key", "bbram_red_key", "efuse", "bbram"]);
            about(bif, random, "keysrc_encryption", source);
        }
        if random.chance(20) {
            self.features.push("init");
            let file = format!("{name}.ini");
            let text = inits(random);
            self.files.push((file.clone(), text.into_bytes()));
            about(bif, random, "init", &file);
        }
        if random.chance(10) {
            self.features.push("udf_bh");
            let file = format!("{name}.txt");
            let length = random.between(1, 77);
            let text = random.hex(length);
            self.files.push((file.clone(), text.into_bytes()));
            about(bif, random, "udf_bh", &file);
        }
        let count = if random.chance(4) { random.between(12, 18) } else { random.between(1, 7) };
        if count >= 14 {
            self.features.push("14 partitions and more");
        }
        let loader = random.chance(90);
        let mut floor = 0x20000;
        for index in 0..count {
            self.partition(random, security, number, index, loader && index == 0, newer, &mut floor, bif);
        }
        let _ = writeln!(bif, "}}{}", blank(random));
    }

    fn keys(
        &mut self,
        random: &mut Random,
        pool: &Pool,
        bif: &mut String,
        about: &impl Fn(&mut String, &mut Random, &str, &str),
    ) {
        let primary = random.pick(&[0, 2]);
        let secondary = random.pick(&[1, 2]);
        for (attribute, key) in [("pskfile", primary), ("sskfile", secondary)] {
            let file = random.pick(SECRETS[key]);
            about(bif, random, attribute, &format!("keys/{file}"));
        }
        if primary == 0 && random.chance(20) {
            about(bif, random, "ppkfile", "keys/primary-public.pem");
        }
        if secondary == 1 && random.chance(20) {
            about(bif, random, "spkfile", "keys/secondary-spki.pem");
        }
        for (name, bytes) in &pool.files {
            let name = format!("keys/{name}");
            if !self.files.iter().any(|(there, _)| *there == name) {
                self.files.push((name, bytes.clone()));
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a partition depends on all that was decided before")]
    fn partition(
        &mut self,
        random: &mut Random,
        security: Security,
        group: u64,
        index: u64,
        loader: bool,
        newer: bool,
        floor: &mut u64,
        bif: &mut String,
    ) {
        let mut attributes: Vec<String> = Vec::new();
        if loader {
            attributes.push(if newer { "type=bootloader" } else { "bootloader" }.to_owned());
        }
        let kind = if loader {
            random.pick(&["elf", "elf", "elf", "elf", "raw"])
        } else {
            random.pick(&["elf", "elf", "bit", "rbt", "raw"])
        };
        self.features.push(kind);
        let stem = match random.below(10) {
            0 => format!("g{group}p{index} with blanks"),
            1 => format!("g{group}p{index}_{}", "long".repeat(random.between(6, 14) as usize)),
            2 => format!("folder/g{group}p{index}"),
            _ => format!("g{group}p{index}"),
        };
        let (name, bytes) = match kind {
            "elf" => (format!("{stem}.elf"), elf(random, loader)),
            "bit" => (format!("{stem}.bit"), bit(&stem, &words(random))),
            "rbt" => (format!("{stem}.rbt"), rbt(&words(random))),
            _ => {
                let length = random.between(1, 1500);
                (
                    format!(
                        "{stem}{}",
                        random.pick(&[".bin", ".dtb", ".raw.gz", ".txt", ".gz", ".img", ".ub", ".srec"])
                    ),
                    random.bytes(length),
                )
            }
        };
        self.files.push((name.clone(), bytes));
        self.srec |= name.ends_with(".srec");
        self.bitstreams += usize::from(matches!(kind, "bit" | "rbt"));
        let logic = matches!(kind, "bit" | "rbt");
        if loader && kind == "raw" {
            self.raw_bootloader = true;
            attributes.push("load=0x1000".to_owned());
        } else if random.chance(25) {
            self.features.push("load");
            let address = if loader { random.below(0x10000) } else { 0x10_0000 + random.below(0x10_0000) };
            attributes.push(format!("load{}={}{}", blank(random), blank(random), expression(random, address)));
        }
        if !logic && random.chance(20) {
            self.features.push("startup");
            let address = random.below(0x100_0000);
            attributes.push(format!("startup = {}", expression(random, address)));
        }
        match random.below(16) {
            0 => {
                self.features.push("offset");
                *floor += random.below(64) * 64;
                attributes.push(format!("offset = {}", expression(random, *floor)));
                *floor += 0x8000;
            }
            1 => {
                self.features.push("alignment");
                let alignment = random.pick(&[0x40, 0x80, 0x100, 0x100, 0x200, 0x400, 0x1000, 0x2000, 0xc0]);
                self.odd_alignment |= alignment == 0xc0;
                attributes.push(format!("alignment = {}", expression(random, alignment)));
            }
            2 => {
                self.features.push("reserve_legacy");
                let reserve = random.between(1, 0x60) * 64;
                attributes.push(format!("reserve_legacy = {}", expression(random, reserve)));
            }
            3 if logic => attributes.push("reserve = 0x40".to_owned()),
            _ => {}
        }
        if !loader && random.chance(25) {
            self.features.push("md5");
            attributes.push("checksum=md5".to_owned());
        } else if random.chance(5) {
            attributes.push("checksum = none".to_owned());
        }
        if security.aes && (loader && random.chance(95) || random.chance(60)) {
            attributes.push("encryption=aes".to_owned());
        } else if random.chance(5) {
            attributes.push("encryption = none".to_owned());
        }
        if security.rsa && (loader && random.chance(95) || random.chance(60)) {
            attributes.push("authentication =rsa".to_owned());
        } else if random.chance(5) {
            attributes.push("authentication=none".to_owned());
        }
        if random.chance(15) {
            self.features.push("owner");
            let name = random.pick(&["partition_owner", "owner"]);
            attributes.push(format!("{name}={}", random.pick(&["fsbl", "uboot"])));
        }
        if attributes.iter().any(|attribute| attribute == "authentication =rsa") && random.chance(15) {
            self.features.push("udf_data");
            let length = random.between(1, 57);
            let file = format!("udf/g{group}p{index}.txt");
            let text = random.hex(length);
            self.files.push((file.clone(), text.into_bytes()));
            attributes.push(format!("udf_data={file}"));
        }
        if random.chance(8) {
            let attribute = random.pick(&["boot", "user", "static", "noautostart", "multiboot", "protected"]);
            self.static_bootloader |= loader && attribute == "static";
            attributes.push(attribute.to_owned());
        }
        let quoted = name.contains(' ') || random.chance(10);
        let file = if quoted { format!("\"{name}\"") } else { name };
        let separator = format!(",{}", blank(random));
        let _ = if newer {
            attributes.push(format!("file = {file}"));
            writeln!(bif, "{}{{ {} }}", if random.chance(20) { "partition " } else { "" }, attributes.join(&separator))
        } else if attributes.is_empty() {
            writeln!(bif, "  {file}{}", blank(random))
        } else {
            writeln!(bif, "  [{}]{}{file}", attributes.join(&separator), blank(random))
        };
    }
}

/// What may stand between words.
fn blank(random: &mut Random) -> &'static str {
    random.pick(&[" ", " ", " ", "  ", "\t", "\n ", " /* a comment, [ignored] */ ", " // to the line's end\n"])
}

/// An expression for `value`.
fn expression(random: &mut Random, value: u64) -> String {
    let by = random.between(1, 0x1000);
    match random.below(8) {
        0 => format!("{value}"),
        1 => format!("{:#x} + {}", value - by.min(value), by.min(value)),
        2 => format!("( {} - {by:#x} )", value + by),
        3 => format!("{:#x} | {:#x}", value & 0xffff_ff00, value & 0xff),
        4 => format!("( {:#x} << 4 ) + {:#x}", value >> 4, value & 15),
        5 => format!("~ {:#x} & 0xFFFFFFFF", !value & 0xffff_ffff),
        6 => format!("{:#x} ^ {by:#x}", value ^ by),
        _ => format!("{value:#x}"),
    }
}

fn inits(random: &mut Random) -> String {
    let mut text = String::new();
    let end = if random.chance(5) { 257 } else { 12 };
    for _ in 0..random.below(end) {
        let address = 0xf800_0000 + random.below(0x400) * 4;
        let value = random.below(1 << 32);
        let value = expression(random, value & 0xffff_ffff);
        let _ = writeln!(text, "{}.set. {address:#x} ={}{value};", blank(random), blank(random));
    }
    text
}

/// An ELF file with a few segments.
fn elf(random: &mut Random, loader: bool) -> Vec<u8> {
    let wide = random.chance(25);
    let count = random.pick(&[1, 1, 1, 2, 2, 3]);
    let base = if loader { 0 } else { 0x10_0000 };
    let mut address = base + random.below(0x100) * if random.chance(20) { 1 } else { 4 };
    let entry = address + random.below(64);
    let (header, program, section) = if wide { (64, 56, 64) } else { (52, 32, 40) };
    // Some linkers put the ELF header into the first segment.
    let with_header = random.chance(15);
    let same_physical = random.chance(8);
    let extra = u64::from(random.chance(30));
    let programs = count + extra;
    let mut data = Vec::new();
    let start = header + program * programs;
    let mut headers = Vec::new();
    let physical = address;
    if extra > 0 {
        // PT_NOTE or PT_GNU_STACK.
        let kind = random.pick(&[4, 0x6474_e551]);
        headers.push((kind, 0, address, if same_physical { physical } else { address }, 0, 0));
    }
    for index in 0..count {
        let contents = random.between(1, 700);
        let size = if count > 1 && random.chance(8) { 0 } else { contents };
        let paddr = if same_physical { physical } else { address + random.pick(&[0, 0, 0, 0x1000]) };
        let gap = random.below(3) * 16;
        data.extend(random.bytes(gap));
        let offset = start + data.len() as u64;
        data.extend(random.bytes(size));
        let memory = size + random.below(200);
        if index == 0 && with_header && size > 0 {
            headers.push((1, 0, address, paddr, offset + size, offset + memory));
        } else {
            headers.push((1, offset, address, paddr, size, memory));
        }
        // A boot loader's segments are copied as one.
        address += size + 0x1000 + random.below(if loader { 64 } else { 0x10000 });
        if index == 0 && with_header {
            address += offset;
        }
    }
    let sections = start + data.len() as u64;
    let first = headers.iter().position(|header| header.0 == 1 && header.4 > 0);
    // A section that begins where the first segment's contents do, and ends with them.
    let contents =
        headers.iter().find(|header| header.0 == 1 && header.4 > 0).map_or(1, |header| header.1 + header.4 - start);
    let text_offset = if with_header { start + random.below(contents.min(16)) } else { start };
    let mut out = vec![0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1, 1];
    out.resize(16, 0);
    let half = |out: &mut Vec<u8>, value: u64| out.extend((value as u16).to_le_bytes());
    let word = |out: &mut Vec<u8>, value: u64| out.extend((value as u32).to_le_bytes());
    let address_of = |out: &mut Vec<u8>, value: u64| {
        if wide { out.extend(value.to_le_bytes()) } else { out.extend((value as u32).to_le_bytes()) }
    };
    half(&mut out, 2);
    half(&mut out, 40);
    word(&mut out, 1);
    address_of(&mut out, entry);
    address_of(&mut out, header);
    address_of(&mut out, sections);
    word(&mut out, 0);
    for value in [header, program, programs, section, if first.is_some() { 2 } else { 0 }, 0] {
        half(&mut out, value);
    }
    for (kind, offset, virtual_address, physical, size, memory) in headers {
        word(&mut out, kind);
        if wide {
            word(&mut out, 7);
        }
        for value in [offset, virtual_address, physical, size, memory] {
            address_of(&mut out, value);
        }
        if !wide {
            word(&mut out, 7);
        }
        address_of(&mut out, 4);
    }
    out.extend(data);
    // The empty section, and .text.
    out.extend(vec![0; section as usize]);
    word(&mut out, 0);
    word(&mut out, 1);
    address_of(&mut out, 6);
    address_of(&mut out, physical + if with_header { text_offset } else { 0 });
    address_of(&mut out, text_offset);
    address_of(&mut out, contents - (text_offset - start));
    word(&mut out, 0);
    word(&mut out, 0);
    address_of(&mut out, 4);
    address_of(&mut out, 0);
    out
}

/// Configuration words.
fn words(random: &mut Random) -> Vec<u32> {
    let mut words = vec![0xffff_ffff; random.between(1, 12) as usize];
    words.extend([0x0000_00bb, 0x1122_0044, 0xffff_ffff, 0xffff_ffff, 0xaa99_5566, 0x2000_0000, 0x3000_8001, 7]);
    let count = random.between(1, 200) as u32;
    words.extend([0x3000_4000, 0x5000_0000 | count]);
    words.extend((0..count).map(|_| random.next() as u32));
    words.extend([0x3000_8001, random.pick(&[0xd, 0xd, 0xd, 0xe])]);
    words.extend(vec![0x2000_0000; random.below(20) as usize]);
    words
}

fn bit(name: &str, words: &[u32]) -> Vec<u8> {
    let mut out = vec![0, 9, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0, 0, 1];
    for (letter, text) in [(b'a', name), (b'b', "7z020clg484"), (b'c', "2024/01/31"), (b'd', "12:34:56")] {
        out.push(letter);
        out.extend((text.len() as u16 + 1).to_be_bytes());
        out.extend(text.as_bytes());
        out.push(0);
    }
    out.push(b'e');
    out.extend((words.len() as u32 * 4).to_be_bytes());
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    out
}

fn rbt(words: &[u32]) -> Vec<u8> {
    let mut out = String::from("Xilinx ASCII Bitstream\nCreated by Bitstream 2022.2\nDesign name: \ttop\n");
    let _ = writeln!(out, "Architecture:\tzynq\nPart: \t7z020clg484\nDate: \tx\nBits: \t{}", words.len() * 32);
    for word in words {
        let _ = writeln!(out, "{word:032b}");
    }
    out.into_bytes()
}
