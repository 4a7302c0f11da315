//! What the statements of a BIF mean.

use std::ops::Range;
use std::path::PathBuf;

use super::error::Problem;
use super::syntax::{Attribute, Group, Statement, Value, Word};
use crate::crypto::aes::KeySource;

/// The grain of offsets in an image, in bytes.
const GRAIN: u64 = 64;

/// The description of one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// The group's name.
    pub name: String,
    /// Files with keys and signatures.
    pub keys: KeyFiles,
    /// Where the chip keeps the AES key.
    pub key_source: Option<KeySource>,
    /// Register initialisations for the boot ROM.
    pub init: Option<PathBuf>,
    /// Bytes for the boot header's user defined field.
    pub udf_bh: Option<PathBuf>,
    /// What the image consists of, in this order.
    pub inputs: Vec<Input>,
}

/// Files with keys and signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// AES and HMAC keys.
    pub aes: Option<PathBuf>,
    /// The primary secret key, which signs the secondary key.
    pub primary_secret: Option<PathBuf>,
    /// The secondary secret key, which signs the image.
    pub secondary_secret: Option<PathBuf>,
    /// The primary public key.
    pub primary_public: Option<PathBuf>,
    /// The secondary public key.
    pub secondary_public: Option<PathBuf>,
    /// The secondary key's signature, made elsewhere.
    pub secondary_signature: Option<PathBuf>,
    /// The headers' signature, made elsewhere.
    pub header_signature: Option<PathBuf>,
}

/// What a file of the description is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The boot loader that the boot ROM starts.
    Bootloader,
    /// Any other partition.
    #[default]
    Data,
    /// An image, all of whose partitions are taken over.
    Image,
}

/// Who loads a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// The first-stage boot loader.
    #[default]
    Fsbl,
    /// U-Boot; the first-stage boot loader leaves it alone.
    Uboot,
}

/// A file of the description and how it goes into the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an attribute of its own")]
pub struct Input {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Where it is loaded, instead of where the file says.
    pub load: Option<u32>,
    /// Where it is entered, instead of where the file says.
    pub startup: Option<u32>,
    /// Where it lies in the image, in bytes; a multiple of 64.
    pub offset: Option<u64>,
    /// What its place in the image is a multiple of, in bytes; a multiple of 64.
    pub alignment: Option<u64>,
    /// How many bytes of the image it occupies at least, and by its header, too; a multiple of 64.
    pub reserve: Option<u64>,
    /// How many bytes of the image it occupies at least, with nothing about it in its header.
    pub reserve_legacy: Option<u64>,
    /// Whether it carries an MD5 digest.
    pub md5: bool,
    /// Whether it is encrypted.
    pub encrypt: bool,
    /// Whether it is signed.
    pub authenticate: bool,
    /// Who loads it.
    pub owner: Owner,
    /// Whether the boot loader runs in the flash memory that it is stored in.
    pub xip: bool,
    /// Bytes for the user defined field of its certificate.
    pub udf_data: Option<PathBuf>,
    /// Its signature, made elsewhere.
    pub presign: Option<PathBuf>,
    /// Whether it is called `static`, which means nothing on this chip.
    pub is_static: bool,
}

impl Spec {
    /// What `group` means.
    pub(super) fn of(group: Group) -> Result<Self, Problem> {
        let mut spec = Self { name: group.name.text, ..Self::default() };
        for statement in group.statements {
            if !spec.about_image(&statement)? {
                spec.add(statement)?;
            }
        }
        Ok(spec)
    }

    /// Takes a statement about the whole image; false if it is about a partition.
    fn about_image(&mut self, statement: &Statement) -> Result<bool, Problem> {
        let [Attribute { name, value: None }] = statement.attributes.as_slice() else {
            return Ok(false);
        };
        let slot = match name.text.as_str() {
            "aeskeyfile" => &mut self.keys.aes,
            "pskfile" => &mut self.keys.primary_secret,
            "sskfile" => &mut self.keys.secondary_secret,
            "ppkfile" => &mut self.keys.primary_public,
            "spkfile" => &mut self.keys.secondary_public,
            "spksignature" => &mut self.keys.secondary_signature,
            "headersignature" | "bhsignature" => &mut self.keys.header_signature,
            "init" => &mut self.init,
            "udf_bh" => &mut self.udf_bh,
            "keysrc_encryption" | "keysrc" => {
                self.key_source = Some(key_source(&statement.file)?);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        *slot = Some(PathBuf::from(&statement.file.text));
        Ok(true)
    }

    /// Adds a partition.
    fn add(&mut self, statement: Statement) -> Result<(), Problem> {
        let mut input = Input { path: PathBuf::from(&statement.file.text), ..Input::default() };
        let mut places = (None, None);
        for attribute in &statement.attributes {
            let span = attribute.name.span.clone();
            match attribute.name.text.as_str() {
                "offset" => places.0 = Some(span),
                "alignment" => places.1 = Some(span),
                "bootloader" if self.inputs.iter().any(|input| input.kind == Kind::Bootloader) => {
                    return Err(Problem::new(span, "an image has one boot loader, and this is the second"));
                }
                _ => {}
            }
            input.set(attribute)?;
        }
        if let (Some(_), Some(span)) = places {
            return Err(Problem::new(span, "`alignment` and `offset` contradict each other"));
        }
        let span = statement.file.span;
        if input.kind == Kind::Bootloader && input.md5 {
            return Err(Problem::new(span, "the boot ROM checks no MD5 of the boot loader")
                .with_help("leave `checksum` away, or authenticate the boot loader"));
        }
        if input.udf_data.is_some() && !input.authenticate {
            return Err(Problem::new(span, "`udf_data` goes into a certificate, which this partition does not have")
                .with_help("add `authentication=rsa`"));
        }
        if input.xip && input.kind != Kind::Bootloader {
            return Err(Problem::new(span, "`xip_mode` is for the boot loader"));
        }
        if input.xip && (input.encrypt || input.authenticate) {
            return Err(Problem::new(
                span,
                "a boot loader that runs in flash can be neither encrypted nor authenticated",
            ));
        }
        self.inputs.push(input);
        Ok(())
    }
}

impl Input {
    fn set(&mut self, attribute: &Attribute) -> Result<(), Problem> {
        let name = attribute.name.text.as_str();
        match name {
            "bootloader" => self.kind = Kind::Bootloader,
            "bootimage" => self.kind = Kind::Image,
            "xip_mode" => self.xip = true,
            "load" => self.load = Some(address(attribute)?),
            "startup" => self.startup = Some(address(attribute)?),
            // The vendor's tool takes zero for nothing.
            "offset" => self.offset = Some(grains(attribute)?).filter(|&offset| offset != 0),
            "alignment" => self.alignment = Some(grains(attribute)?).filter(|&alignment| alignment != 0),
            "reserve" => self.reserve = Some(grains(attribute)?).filter(|&reserve| reserve != 0),
            "reserve_legacy" => self.reserve_legacy = Some(grains(attribute)?).filter(|&reserve| reserve != 0),
            "checksum" => self.md5 = choice(attribute, &[("md5", true), ("none", false)])?,
            "encryption" => self.encrypt = choice(attribute, &[("aes", true), ("none", false)])?,
            "authentication" => self.authenticate = choice(attribute, &[("rsa", true), ("none", false)])?,
            "partition_owner" | "owner" => {
                self.owner = choice(attribute, &[("fsbl", Owner::Fsbl), ("uboot", Owner::Uboot)])?;
            }
            "udf_data" => self.udf_data = Some(path(attribute)?),
            "presign" => self.presign = Some(path(attribute)?),
            "type" => {
                let kinds = [("bootloader", Kind::Bootloader), ("raw", Kind::Data), ("elf", Kind::Data)];
                self.kind = choice(attribute, &kinds)?;
            }
            "static" => self.is_static = true,
            // These mean nothing on this chip, and the vendor's tool accepts them.
            "boot" | "user" | "noautostart" | "multiboot" | "protected" | "pid" | "name" | "id" => {}
            _ => return Err(unknown(&attribute.name)),
        }
        Ok(())
    }
}

/// Why `name` is no attribute of a partition.
fn unknown(name: &Word) -> Problem {
    const OF_OTHER_CHIPS: &[&str] = &[
        "destination_device",
        "destination_cpu",
        "exception_level",
        "trustzone",
        "fsbl_config",
        "boot_device",
        "bootvectors",
        "blocks",
        "authblocks",
        "early_handoff",
        "hivec",
        "pmufw_image",
        "split",
        "boot_config",
        "core",
        "delay_handoff",
        "delay_load",
    ];
    const OF_THE_IMAGE: &[&str] = &[
        "aeskeyfile",
        "pskfile",
        "sskfile",
        "ppkfile",
        "spkfile",
        "spksignature",
        "headersignature",
        "init",
        "udf_bh",
        "keysrc_encryption",
        "keysrc",
    ];
    let (span, text) = (name.span.clone(), name.text.as_str());
    if OF_OTHER_CHIPS.contains(&text) {
        Problem::new(span, format!("`{text}` has no meaning on the Zynq-7000"))
            .with_help("bitstreams are recognised by their contents; programs go to the processor")
    } else if OF_THE_IMAGE.contains(&text) {
        Problem::new(span, format!("`{text}` is about the whole image; it stands alone in its brackets"))
    } else {
        Problem::new(span, format!("`{text}` is no attribute")).with_help(
            "attributes are bootloader, load, startup, offset, alignment, reserve, reserve_legacy, checksum, encryption, \
             authentication, partition_owner, xip_mode, udf_data, presign, bootimage",
        )
    }
}

fn key_source(word: &Word) -> Result<KeySource, Problem> {
    match word.text.as_str() {
        "efuse" | "efuse_red_key" => Ok(KeySource::Efuse),
        "bbram" | "bbram_red_key" => Ok(KeySource::Bbram),
        other => Err(Problem::new(word.span.clone(), format!("`{other}` is no place for a key on the Zynq-7000"))
            .with_help("use efuse_red_key or bbram_red_key")),
    }
}

fn number(attribute: &Attribute) -> Result<(u64, Range<usize>), Problem> {
    match &attribute.value {
        Some(Value::Number(number, span)) => Ok((*number, span.clone())),
        _ => Err(needs_value(attribute)),
    }
}

fn needs_value(attribute: &Attribute) -> Problem {
    Problem::new(attribute.name.span.clone(), format!("`{}` needs a value", attribute.name.text))
}

fn address(attribute: &Attribute) -> Result<u32, Problem> {
    let (number, span) = number(attribute)?;
    number.try_into().map_err(|_| Problem::new(span, format!("{number:#x} is beyond the chip's 32-bit addresses")))
}

fn grains(attribute: &Attribute) -> Result<u64, Problem> {
    let (number, span) = number(attribute)?;
    if !number.is_multiple_of(GRAIN) {
        return Err(Problem::new(span, format!("{number:#x} is not a multiple of 64")));
    }
    // Headers count words in 32 bits.
    if number > u64::from(u32::MAX) * 4 {
        return Err(Problem::new(span, format!("{number:#x} is beyond what an image's headers can express")));
    }
    Ok(number)
}

fn word(attribute: &Attribute) -> Result<&Word, Problem> {
    match &attribute.value {
        Some(Value::Word(word)) => Ok(word),
        _ => Err(needs_value(attribute)),
    }
}

fn path(attribute: &Attribute) -> Result<PathBuf, Problem> {
    word(attribute).map(|word| PathBuf::from(&word.text))
}

fn choice<T: Copy>(attribute: &Attribute, choices: &[(&str, T)]) -> Result<T, Problem> {
    let word = word(attribute)?;
    let found = choices.iter().find(|(name, _)| *name == word.text);
    found.map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
        let message = format!("`{}` cannot be `{}` on the Zynq-7000", attribute.name.text, word.text);
        Problem::new(word.span.clone(), message).with_help(format!("use {}", names.join(" or ")))
    })
}
