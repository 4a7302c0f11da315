//! From a description to an image.
//!
//! # Theory of operation
//!
//! [`Image::plan`] reads the headers of all files, the keys and the small text files, and lays the image out: after it, every
//! length and place is known, and so are all headers, since nothing in them depends on the partitions' contents.
//! [`Image::write`] then passes the contents through a buffer of fixed size: encrypts, writes, and computes digests
//! on the way. A partition's certificate lies behind it and digests lie at the end of the image, so a single pass in
//! ascending order is enough, and a [`Sink`] need not be able to go back.
//!
//! Warnings are about images that can be made, but that the boot ROM or the vendor's first-stage boot loader
//! will not accept. They are in [`Image::warnings`]; making such an image is no error, because there are other boot
//! loaders.

use std::path::{Path, PathBuf};

use md5::Md5;
use sha2_host::{Digest as _, Sha256};

use crate::bif::{BifError, Spec};
use crate::crypto::aes::{KeySource, Sealer, Secrets};
use crate::crypto::rsa::{Digest, InvalidKey, Signature};
use crate::keys::{KeyError, Nky};
use crate::load::LoadError;
use crate::load::bitstream::CoreError;
use crate::output::{OutputError, Sink};
use crate::payload::{CHUNK, ReadError};

mod headers;
mod import;
mod layout;
mod partition;
mod parts;
mod rules;
mod sign;

use headers::BOOT_HEADER;
use layout::GRAIN;
use partition::Partition;
use parts::Parts;
pub use rules::Warning;
use sign::Signer;

/// How an image is made, apart from its description.
#[derive(Clone, Debug)]
pub struct Options {
    /// The byte between the parts of an image.
    pub fill: u8,
    /// Whether the tables go without a certificate and bitstreams without padding, as in early versions of the tool.
    pub legacy: bool,
    /// Whether the vendor's tool is followed where it is wrong.
    pub compat: bool,
    /// Whether what has no signature yet gets a placeholder, to be signed elsewhere.
    pub unsigned: bool,
    /// Keys that take the place of those in the description's key file.
    pub secrets: Option<Nky>,
    /// The part that new AES keys are for.
    pub part: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fill: 0xff,
            legacy: false,
            compat: false,
            unsigned: false,
            secrets: None,
            part: "xc7z020clg484".to_owned(),
        }
    }
}

/// Why no image can be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot become a partition.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A register initialisation or user defined field is not understood.
    #[error(transparent)]
    Text(#[from] BifError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The image cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A small file cannot be read.
    #[error("reading {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// A key cannot sign.
    #[error("signing: {0}")]
    Sign(#[from] InvalidKey),
    /// A bitstream that has nothing to encrypt.
    #[error("{} cannot be encrypted: {error}", path.display())]
    Core {
        /// The file.
        path: PathBuf,
        /// Why.
        error: CoreError,
    },
    /// The description is empty.
    #[error("the image `{0}` has no partition")]
    Empty(String),
    /// Encryption without a place for the key.
    #[error("{} is to be encrypted, but nothing says where the chip keeps the key; add `[keysrc_encryption] efuse_red_key` or `bbram_red_key`", .0.display())]
    NoKeySource(PathBuf),
    /// Encryption without keys.
    #[error("{} is to be encrypted, but there is no key; add `[aeskeyfile] FILE.nky`", .0.display())]
    NoSecrets(PathBuf),
    /// A place for the key, but the boot loader is not encrypted.
    #[error("a key source needs an encrypted boot loader: the boot ROM sets the decryption up only for one; add `encryption=aes` to {}", .0.display())]
    PlainBootloader(PathBuf),
    /// Something is signed, but the boot loader is not.
    #[error("{partition} is to be authenticated, which needs an authenticated boot loader; add `authentication=rsa` to {loader}", partition = partition.display(), loader = loader.display())]
    UnsignedBootloader {
        /// What is signed.
        partition: PathBuf,
        /// The boot loader.
        loader: PathBuf,
    },
    /// A key for signing is missing.
    #[error("{what} is to be authenticated, but there is no {key}; add `{attribute} FILE`")]
    NoKey {
        /// What is to be signed.
        what: String,
        /// The key.
        key: &'static str,
        /// Where it is given.
        attribute: &'static str,
    },
    /// Two files for the same key that differ.
    #[error("{} and {} are two different keys", first.display(), second.display())]
    KeysDiffer {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A signature file.
    #[error("{}: a signature has 256 bytes, raw or as 512 hexadecimal digits", .0.display())]
    SignatureFile(PathBuf),
    /// A signature that was made elsewhere does not fit.
    #[error("{}: this is no signature of {what} by the {key} key", path.display())]
    WrongSignature {
        /// The file.
        path: PathBuf,
        /// What it should be about.
        what: String,
        /// Whose it should be.
        key: &'static str,
    },
    /// An offset is occupied.
    #[error("{what} wants the offset {offset:#x}, but what precedes it reaches to {free:#x}")]
    Collision {
        /// Which part.
        what: String,
        /// Where it wants to be.
        offset: u64,
        /// Where it could be.
        free: u64,
    },
    /// A bitstream cannot be this.
    #[error("{} is a bitstream, which cannot have `{attribute}`", path.display())]
    Bitstream {
        /// The file.
        path: PathBuf,
        /// What it cannot have.
        attribute: &'static str,
    },
    /// A boot loader that runs in flash has to be linked there.
    #[error(
        "{} is linked to {address:#x}, which is no flash memory that the chip can run from: \
         QSPI is at 0xfc000000..0xfe000000, NOR at 0xe2000000..0xe6000000", path.display()
    )]
    Xip {
        /// The boot loader.
        path: PathBuf,
        /// Where it is linked to.
        address: u32,
    },
    /// A boot loader that runs in flash lies where it is linked to.
    #[error("{} is linked to {address:#x}, but in an image it can only lie at a multiple of 64", path.display())]
    XipAlignment {
        /// The boot loader.
        path: PathBuf,
        /// Where it is linked to.
        address: u32,
    },
    /// Encryption of what cannot be.
    #[error("{}: `{attribute}` and encryption contradict each other", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
        /// The attribute.
        attribute: &'static str,
    },
    /// The image is too large for its headers.
    #[error("{what} ends at byte {end:#x}, beyond what the image's headers can express")]
    TooLarge {
        /// Which part.
        what: String,
        /// Where it ends.
        end: u64,
    },
    /// An image that partitions are taken from.
    #[error("{}: {reason}", path.display())]
    Import {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A part of the image.
struct Section {
    place: u64,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    /// The certificate of all that lies between the image header table and itself.
    HeaderCertificate,
    /// A partition's data.
    Partition(usize),
    /// A partition's certificate.
    Certificate(usize),
    /// A partition's digest.
    Md5(usize),
}

/// An image that is laid out.
pub struct Image {
    sections: Vec<Section>,
    partitions: Vec<Partition>,
    boot: Vec<u8>,
    signer: Option<Signer>,
    header_signature: Option<(PathBuf, Signature)>,
    header_udf: [u8; headers::UDF_CERTIFICATE],
    secrets: Option<(KeySource, Secrets)>,
    fill: u8,
    length: u64,
    /// What will not work, and why.
    pub warnings: Vec<Warning>,
}

/// The digests that signatures are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// Of the tables.
    pub tables: Option<Digest>,
    /// Of the secondary key.
    pub secondary_key: Option<Digest>,
    /// Of partitions: the name of the file, which segment of it, the digest.
    pub partitions: Vec<(String, usize, Digest)>,
}

/// A small file's bytes.
fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|error| BuildError::Io { path: path.to_owned(), error })
}

/// A small file's text.
fn read_text(path: &Path) -> Result<String, BuildError> {
    std::fs::read_to_string(path).map_err(|error| BuildError::Io { path: path.to_owned(), error })
}

impl Image {
    /// Lays out the image that `spec` describes.
    ///
    /// # Errors
    ///
    /// When a file is missing or is not what it should be, and when the description contradicts itself.
    pub fn plan(spec: &Spec, options: &Options) -> Result<Self, BuildError> {
        rules::check(spec, options.legacy)?;
        let secrets = partition::secrets(spec, options)?;
        let partition::Loaded { partitions, names, boot } = partition::load_all(spec, options, secrets.as_ref())?;
        if partitions.is_empty() {
            return Err(BuildError::Empty(spec.name.clone()));
        }
        let signs = partitions.iter().any(|partition| partition.signed);
        let signer = if signs { Some(Signer::new(&spec.keys, &partitions, options.unsigned)?) } else { None };
        let certified = signs && !options.legacy;

        let parts = Parts::new(&names, &partitions, certified);
        let places = layout::place(&parts.requests).map_err(|collision| BuildError::Collision {
            what: parts.name(collision.part),
            offset: collision.offset,
            free: collision.free,
        })?;
        parts.check_size(&places)?;
        let boot = parts.boot(spec, &places, boot.as_ref())?;
        let sections = parts.sections(&boot, &places);
        let length = places.iter().zip(&parts.requests).map(|(place, request)| place + request.length).max();
        let first = partitions.iter().find(|partition| partition.signed);
        let header_udf = first.map_or([0; headers::UDF_CERTIFICATE], |first| first.udf);
        let header_signature = match &spec.keys.header_signature {
            Some(path) if certified => Some((path.clone(), sign::read_signature(path)?)),
            _ => None,
        };
        let mut image = Self {
            sections,
            partitions,
            boot,
            signer,
            header_signature,
            header_udf,
            secrets,
            fill: options.fill,
            length: length.unwrap_or(0),
            warnings: Vec::new(),
        };
        image.warnings = rules::warnings(&image);
        Ok(image)
    }

    /// Whether there is a boot loader in it.
    pub fn has_bootloader(&self) -> bool {
        self.partitions.iter().any(|partition| partition.bootloader)
    }

    /// The files of bitstreams, each with the number of its partition.
    pub fn bitstreams(&self) -> impl Iterator<Item = (&Path, usize)> {
        let partitions = self.partitions.iter().enumerate();
        let logic = partitions.filter(|(_, partition)| partition.destination == partition::Destination::Logic);
        logic.map(|(index, partition)| (partition.path.as_path(), index))
    }

    /// Writes a partition's data as the image has it, without certificate, as if it were the whole image.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or the data cannot be written.
    pub fn write_data(&self, index: usize, sink: &mut dyn Sink) -> Result<(), BuildError> {
        if let Some(partition) = self.partitions.get(index) {
            let mut writer = Writer { sink, progress: &mut |_| (), buffer: vec![0; CHUNK] };
            self.write_partition(&mut writer, 0, partition)?;
            writer.sink.finish()?;
        }
        Ok(())
    }

    /// Its bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the image to `sink`, in ascending order; `progress` gets the number of bytes written since the last
    /// time.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or the image cannot be written.
    pub fn write(&self, sink: &mut dyn Sink, progress: &mut dyn FnMut(u64)) -> Result<Digests, BuildError> {
        let mut writer = Writer { sink, progress, buffer: vec![0; CHUNK] };
        let secondary_key = self.signer.as_ref().map(Signer::secondary_digest);
        let mut digests = Digests { secondary_key, ..Digests::default() };
        let mut hashes: Vec<Hashes> = Vec::with_capacity(self.partitions.len());
        // What the tables' certificate is about: everything from the image header table on, filling included.
        let mut tables = Tables { hash: Sha256::new(), at: None, fill: self.fill };
        for section in &self.sections {
            match &section.content {
                Content::Bytes(bytes) => {
                    if section.place >= BOOT_HEADER {
                        tables.add(section.place, bytes);
                    }
                    writer.put(section.place, bytes)?;
                }
                Content::HeaderCertificate => {
                    if let Some(signer) = &self.signer {
                        let mut hash = tables.up_to(section.place);
                        let mut certificate = signer.certificate(&self.header_udf);
                        hash.update(&certificate);
                        let digest = hash.finalize().into();
                        let given = self.header_signature.as_ref().map(|(path, signature)| (path.as_path(), signature));
                        certificate.extend(signer.sign("the headers", &digest, given)?);
                        writer.put(section.place, &certificate)?;
                        digests.tables = Some(digest);
                    }
                }
                Content::Partition(index) => {
                    if let Some(partition) = self.partitions.get(*index) {
                        hashes.push(self.write_partition(&mut writer, section.place, partition)?);
                    }
                }
                Content::Certificate(index) => {
                    if let (Some(partition), Some(hashes), Some(signer)) =
                        (self.partitions.get(*index), hashes.get_mut(*index), &self.signer)
                    {
                        let (certificate, digest) = hashes.certificate(signer, partition)?;
                        writer.put(section.place, &certificate)?;
                        digests.partitions.push((partition.name.clone(), partition.segment, digest));
                    }
                }
                Content::Md5(index) => {
                    let md5 = hashes.get(*index).and_then(|hashes| hashes.md5.clone());
                    writer.put(section.place, &md5.unwrap_or_default().finalize())?;
                }
            }
        }
        writer.sink.finish()?;
        Ok(digests)
    }

    /// Writes a partition's data; gives the digests so far, which the certificate is to be added to.
    fn write_partition(
        &self,
        writer: &mut Writer<'_>,
        place: u64,
        partition: &Partition,
    ) -> Result<Hashes, BuildError> {
        writer.sink.partition(&partition.name, partition.segment, partition.bootloader)?;
        let mut hashes = Hashes { sha: partition.signed.then(Sha256::new), md5: partition.md5.then(Md5::new) };
        if let Some(sha) = hashes.sha.as_mut().filter(|_| partition.bootloader) {
            sha.update(&self.boot);
        }
        let mut at = place;
        let mut buffer = std::mem::take(&mut writer.buffer);
        let mut out = |writer: &mut Writer<'_>, bytes: &[u8]| {
            hashes.update(bytes);
            let here = at;
            at += bytes.len() as u64;
            writer.put(here, bytes)
        };
        match (&self.secrets, partition.sealed) {
            (Some((source, secrets)), true) => {
                let (mut sealer, start) = Sealer::begin(*source, secrets, partition.payload.length());
                out(writer, &start)?;
                partition.payload.stream::<BuildError>(&mut buffer, |chunk| {
                    sealer.update(chunk);
                    out(writer, chunk)
                })?;
                out(writer, &sealer.finish())?;
            }
            _ => partition.payload.stream::<BuildError>(&mut buffer, |chunk| out(writer, chunk))?,
        }
        out(writer, &vec![0xff; (partition.padded() - partition.stored) as usize])?;
        writer.buffer = buffer;
        Ok(hashes)
    }

    /// The partitions with their places.
    fn partitions(&self) -> impl Iterator<Item = (u64, &Partition)> {
        self.sections.iter().filter_map(|section| match section.content {
            Content::Partition(index) => Some((section.place, self.partitions.get(index)?)),
            _ => None,
        })
    }
}

/// A partition's digests.
#[derive(Clone)]
struct Hashes {
    sha: Option<Sha256>,
    md5: Option<Md5>,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        if let Some(sha) = &mut self.sha {
            sha.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// The partition's certificate, and the digest that it signs.
    fn certificate(&mut self, signer: &Signer, partition: &Partition) -> Result<(Vec<u8>, Digest), BuildError> {
        let mut certificate = signer.certificate(&partition.udf);
        self.update(&certificate);
        let digest = self.sha.take().unwrap_or_default().finalize().into();
        let given = partition.presign.as_ref().map(|(path, signature)| (path.as_path(), signature));
        let signature = signer.sign(&partition.name, &digest, given)?;
        self.update(&signature);
        certificate.extend(signature);
        Ok((certificate, digest))
    }
}

/// Where an image goes.
struct Writer<'a> {
    sink: &'a mut dyn Sink,
    progress: &'a mut dyn FnMut(u64),
    buffer: Vec<u8>,
}

impl Writer<'_> {
    fn put(&mut self, place: u64, bytes: &[u8]) -> Result<(), BuildError> {
        self.sink.write(place, bytes)?;
        (self.progress)(bytes.len() as u64);
        Ok(())
    }
}

/// The tables' digest.
struct Tables {
    hash: Sha256,
    at: Option<u64>,
    fill: u8,
}

impl Tables {
    fn add(&mut self, place: u64, bytes: &[u8]) {
        self.fill_to(place);
        self.hash.update(bytes);
        self.at = Some(place + bytes.len() as u64);
    }

    fn fill_to(&mut self, place: u64) {
        let gap = place - self.at.unwrap_or(place).min(place);
        self.hash.update(vec![self.fill; gap as usize]);
    }

    fn up_to(&mut self, place: u64) -> Sha256 {
        self.fill_to(place);
        self.hash.clone()
    }
}
