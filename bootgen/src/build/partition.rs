//! The partitions of an image, before they have a place.

use std::path::{Path, PathBuf};

use super::import::{self, BootFields};
use super::{BuildError, Options, headers, read_text, sign};
use crate::bif::{Input, Kind, Owner, Spec, text};
use crate::crypto::aes::{self, KeySource, Secrets};
use crate::crypto::rsa::Signature;
use crate::keys::{self, Nky};
use crate::load::{self, LoadError, Segment, bitstream, elf};
use crate::payload::Payload;

/// Where a partition goes, as its header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// The processors' memory.
    Processor = 1,
    /// The programmable logic.
    Logic = 2,
}

/// A partition.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
pub(super) struct Partition {
    /// The name of its file, without folders.
    pub(super) name: String,
    /// Its file.
    pub(super) path: PathBuf,
    /// Which image it belongs to.
    pub(super) image: usize,
    /// Which of its image's partitions it is.
    pub(super) segment: usize,
    pub(super) bootloader: bool,
    pub(super) destination: Destination,
    pub(super) owner: Owner,
    /// What is stored, or, if it is sealed, what is encrypted.
    pub(super) payload: Payload,
    /// Whether it is encrypted when it is written.
    pub(super) sealed: bool,
    /// Whether it is encrypted, by this tool or before.
    pub(super) encrypted: bool,
    /// Bytes that are stored.
    pub(super) stored: u64,
    /// Words of the file's contents.
    pub(super) plain_words: u64,
    /// Bytes of the file's contents.
    pub(super) plain_bytes: u64,
    pub(super) load: u32,
    pub(super) exec: u32,
    /// Bytes of zeros in front of and behind the contents, to make whole words at whole words' addresses.
    pub(super) head: u64,
    pub(super) tail: u64,
    pub(super) md5: bool,
    pub(super) signed: bool,
    pub(super) xip: bool,
    pub(super) udf: [u8; headers::UDF_CERTIFICATE],
    pub(super) presign: Option<(PathBuf, Signature)>,
    pub(super) offset: Option<u64>,
    pub(super) alignment: Option<u64>,
    pub(super) reserve: Option<u64>,
    /// The instruction set, if it is a program.
    pub(super) machine: Option<u16>,
    /// Whether the alignment is applied as the vendor's tool does.
    pub(super) masked: bool,
    /// Whether headers leave out what the vendor's tool leaves out.
    pub(super) omitted: Omitted,
}

/// What the vendor's tool leaves out of headers, by mistake.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Omitted {
    /// The boot header's length of the boot loader.
    pub(super) length: bool,
    /// The boot header's length of the boot loader as it is stored.
    pub(super) total_length: bool,
    /// The partition's number of sections.
    pub(super) sections: bool,
}

impl Partition {
    /// Bytes with the filling in front of a certificate.
    pub(super) fn padded(&self) -> u64 {
        if self.signed { self.stored.next_multiple_of(super::GRAIN) } else { self.stored }
    }

    /// Bytes of data and certificate; they need not follow each other.
    pub(super) fn total(&self) -> u64 {
        self.padded() + if self.signed { headers::CERTIFICATE } else { 0 }
    }
}

/// All partitions of an image.
pub(super) struct Loaded {
    pub(super) partitions: Vec<Partition>,
    /// The images' names.
    pub(super) names: Vec<String>,
    /// What the boot header of an imported image has, if there is one.
    pub(super) boot: Option<BootFields>,
}

/// The keys for encryption, if anything is to be encrypted.
pub(super) fn secrets(spec: &Spec, options: &Options) -> Result<Option<(KeySource, Secrets)>, BuildError> {
    let Some(encrypted) = spec.inputs.iter().find(|input| input.encrypt) else {
        return Ok(None);
    };
    let source = spec.key_source.ok_or_else(|| BuildError::NoKeySource(encrypted.path.clone()))?;
    let nky = match (&options.secrets, &spec.keys.aes) {
        (Some(nky), _) => nky.clone(),
        (None, Some(path)) => read_or_make(path, &options.part)?,
        (None, None) => return Err(BuildError::NoSecrets(encrypted.path.clone())),
    };
    Ok(Some((source, nky.secrets.clone())))
}

/// Reads keys, or makes them if there is no such file.
fn read_or_make(path: &Path, part: &str) -> Result<Nky, BuildError> {
    if path.exists() {
        return Ok(keys::read_nky(path)?);
    }
    let io = |error| BuildError::Io { path: path.to_owned(), error };
    let nky = Nky::generate(part).map_err(io)?;
    keys::write_secret(path, &nky.text()).map_err(io)?;
    Ok(nky)
}

/// Looks at all files.
pub(super) fn load_all(
    spec: &Spec,
    options: &Options,
    secrets: Option<&(KeySource, Secrets)>,
) -> Result<Loaded, BuildError> {
    let mut loaded = Loaded { partitions: Vec::new(), names: Vec::new(), boot: None };
    for input in &spec.inputs {
        if input.kind == Kind::Image {
            import::import(input, &mut loaded)?;
            continue;
        }
        let name = input.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let image = loaded.names.len();
        let contents = contents(input, options)?;
        let count = contents.segments.len();
        for (index, segment) in contents.segments.into_iter().enumerate() {
            let mut partition = partition(input, &contents.common, segment, index, count)?;
            (partition.name, partition.image) = (name.clone(), image);
            if options.compat {
                partition.follow_mistakes(input);
            }
            if input.encrypt {
                partition.seal(input, secrets.is_some())?;
            }
            loaded.partitions.push(partition);
        }
        loaded.names.push(name);
    }
    Ok(loaded)
}

/// What a file contributes.
struct Contents {
    segments: Vec<Segment>,
    common: Common,
}

/// What its partitions have in common.
struct Common {
    exec: u32,
    destination: Destination,
    machine: Option<u16>,
    /// Where it lies in flash memory, if it runs there.
    flash: Option<u64>,
}

/// Where a boot loader that runs in flash memory lies in it. The boot ROM maps QSPI flash to 0xfc000000 and NOR flash
/// to 0xe2000000.
fn in_flash(input: &Input, address: u32) -> Result<u64, BuildError> {
    let offset = match address {
        0xfc00_0000..0xfe00_0000 => address - 0xfc00_0000,
        0xe200_0000..0xe600_0000 => address - 0xe200_0000,
        _ => return Err(BuildError::Xip { path: input.path.clone(), address }),
    };
    if u64::from(offset).is_multiple_of(super::GRAIN) {
        Ok(u64::from(offset))
    } else {
        Err(BuildError::XipAlignment { path: input.path.clone(), address })
    }
}

fn contents(input: &Input, options: &Options) -> Result<Contents, BuildError> {
    let path = || input.path.clone();
    let bootloader = input.kind == Kind::Bootloader;
    let processor = |exec, machine| Common { exec, destination: Destination::Processor, machine, flash: None };
    Ok(match load::load(&input.path)? {
        load::Loaded::Program { segments, entry, machine } => {
            let segments = if bootloader {
                let flat = elf::flatten(segments).map_err(|reason| LoadError { path: path(), reason })?;
                vec![flat]
            } else {
                segments
            };
            let mut common = processor(input.startup.unwrap_or(entry), Some(machine));
            if let Some(first) = segments.first().filter(|_| input.xip) {
                common.flash = Some(in_flash(input, first.load)?);
            }
            let place = |segment: Segment| Segment { load: input.load.unwrap_or(segment.load), ..segment };
            Contents { segments: segments.into_iter().map(place).collect(), common }
        }
        load::Loaded::Bitstream(mut payload) => {
            for (attribute, used) in [("bootloader", bootloader), ("startup", input.startup.is_some())] {
                if used {
                    return Err(BuildError::Bitstream { path: path(), attribute });
                }
            }
            if !options.legacy {
                bitstream::pad(&mut payload);
            }
            let segments = vec![Segment { load: input.load.unwrap_or(0), payload }];
            Contents {
                segments,
                common: Common { exec: 0, destination: Destination::Logic, machine: None, flash: None },
            }
        }
        load::Loaded::Raw(payload) => {
            let load = input.load.filter(|_| !(options.compat && is_srec(input)));
            let flash = input.xip.then(|| in_flash(input, load.unwrap_or(0))).transpose()?;
            let segments = vec![Segment { load: load.unwrap_or(0), payload }];
            let common = Common { flash, ..processor(input.startup.unwrap_or(0), None) };
            Contents { segments, common }
        }
    })
}

fn partition(
    input: &Input,
    common: &Common,
    segment: Segment,
    index: usize,
    count: usize,
) -> Result<Partition, BuildError> {
    let mut plain_bytes = segment.payload.length();
    let (head, tail) = match common.destination {
        Destination::Logic => (0, 0),
        Destination::Processor => {
            let head = u64::from(segment.load % 4);
            (head, (head + plain_bytes).next_multiple_of(4) - head - plain_bytes)
        }
    };
    let mut payload = Payload::default();
    payload.push_fill([0; 4], head);
    payload.append(segment.payload);
    payload.push_fill([0; 4], tail);
    let mut plain_words = plain_bytes.div_ceil(4);
    let first = index == 0;
    if let Some(reserve) = input.reserve.filter(|&reserve| count == 1 && reserve >= payload.length()) {
        if input.encrypt {
            return Err(BuildError::Encrypted { path: input.path.clone(), attribute: "reserve" });
        }
        payload.push_fill([0xff; 4], reserve - payload.length());
        (plain_words, plain_bytes) = (reserve / 4, reserve);
    }
    let udf = match &input.udf_data {
        Some(path) => text::hex_bytes(path, &read_text(path)?)?,
        None => [0; headers::UDF_CERTIFICATE],
    };
    let presign = input.presign.as_ref().map(|path| {
        let path = of_segment(path, index);
        Ok::<_, BuildError>((path.clone(), sign::read_signature(&path)?))
    });
    Ok(Partition {
        name: String::new(),
        path: input.path.clone(),
        image: 0,
        segment: index,
        bootloader: input.kind == Kind::Bootloader,
        destination: common.destination,
        owner: input.owner,
        stored: payload.length(),
        payload,
        sealed: false,
        encrypted: false,
        plain_words,
        plain_bytes,
        load: segment.load,
        exec: if first { common.exec } else { 0 },
        head,
        tail,
        md5: input.md5,
        signed: input.authenticate,
        xip: input.xip,
        udf,
        presign: presign.transpose()?,
        offset: common.flash.or(input.offset).filter(|_| first),
        alignment: input.alignment,
        reserve: input.reserve_legacy.filter(|_| first),
        machine: common.machine,
        masked: false,
        omitted: Omitted::default(),
    })
}

/// Whether the vendor's tool begins to treat a file as S-records, which it does not understand.
fn is_srec(input: &Input) -> bool {
    input.path.extension().is_some_and(|extension| extension == "srec")
}

/// The signature file of a program's segment: `.0.` in the name given for the first one counts up.
fn of_segment(path: &Path, index: usize) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(name.replacen(".0.", &format!(".{index}."), 1))
}

impl Partition {
    /// Follows the vendor's tool where it is wrong.
    fn follow_mistakes(&mut self, input: &Input) {
        self.masked = true;
        let raw = self.machine.is_none() && self.destination == Destination::Processor;
        if raw && is_srec(input) {
            (self.exec, self.plain_words, self.omitted.sections) = (0, 0, true);
        }
        // What looks like a boot loader that runs in flash has no length.
        self.omitted.length = raw || input.is_static;
        self.omitted.total_length = input.is_static || raw && !input.encrypt;
    }

    /// Makes it one that is encrypted.
    fn seal(&mut self, input: &Input, has_secrets: bool) -> Result<(), BuildError> {
        let path = || input.path.clone();
        if !has_secrets {
            return Err(BuildError::NoSecrets(path()));
        }
        let contents = std::mem::take(&mut self.payload);
        match self.destination {
            Destination::Logic => {
                let core = bitstream::core(&contents);
                self.payload = core.map_err(|error| BuildError::Core { path: path(), error })?;
                bitstream::pad(&mut self.payload);
                self.plain_words = self.payload.length() / 4;
            }
            Destination::Processor => {
                let words = (contents.length() / 4) as u32;
                self.payload.push_bytes(&aes::PCAP_WRITE.to_le_bytes());
                self.payload.push_bytes(&(aes::PCAP_COUNT | words).to_le_bytes());
                self.payload.append(contents);
            }
        }
        let block = aes::BLOCK as u64;
        let gap = self.payload.length().next_multiple_of(block) - self.payload.length();
        self.payload.push_fill(aes::NOP.to_le_bytes(), gap);
        self.stored = aes::sealed_size(self.payload.length());
        (self.sealed, self.encrypted) = (true, true);
        Ok(())
    }
}
