//! All that one call of the command does, whichever way it was asked for.

use std::path::{Path, PathBuf};

use crate::bif::{self, BifError, Spec};
use crate::build::{BuildError, Digests, Image, Options, Warning};
use crate::crypto::aes::KeySource;
use crate::crypto::rsa::{self, InvalidKey, SecretKey};
use crate::keys::{self, KeyError, Nky};
use crate::output::{Format, OutputError, Parallel, Sink, Split, Stacked};

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// The description.
    pub image: PathBuf,
    /// The files to write.
    pub outputs: Vec<PathBuf>,
    /// Whether files that exist are overwritten.
    pub overwrite: bool,
    /// The byte between parts, if one was chosen: then MCS files have it too.
    pub fill: Option<u8>,
    /// How the image is made.
    pub options: Options,
    /// A file for each partition instead of one for all.
    pub split: Option<Kind>,
    /// A file for each bitstream, as the FPGA manager of Linux takes it, instead of an image.
    pub bitstreams: Option<Kind>,
    /// Files for two flash chips.
    pub dual: Option<Dual>,
    /// Where the AES key is, unless the description says it.
    pub key_source: Option<KeySource>,
    /// Where the AES key is read from, unless the description says it.
    pub key_file: Option<PathBuf>,
    /// AES keys to be used and written to a new key file, called as the description but with `.nky`.
    pub inline_keys: Option<Nky>,
    /// New RSA keys instead of an image.
    pub generate_keys: Option<KeyFormat>,
    /// A file for the primary key's digest.
    pub efuse_bits: Option<PathBuf>,
    /// A file for the secondary key's signature.
    pub secondary_signature: Option<PathBuf>,
    /// Files with what is to be signed.
    pub hashes: bool,
}

/// The kind of file that partitions are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Bin,
    /// MCS records.
    Mcs,
}

/// How two flash chips are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dual {
    /// Bits alternate.
    Parallel,
    /// The second follows the first, of this many bytes.
    Stacked(u64),
}

/// How key files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    /// PKCS#1 PEM.
    Pem,
    /// `N = `, `E = `, `D = `.
    Text,
}

/// Why a job is not done.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The description cannot be read.
    #[error("reading {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The description is not understood.
    #[error(transparent)]
    Bif(#[from] BifError),
    /// The image cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key cannot be made.
    #[error("making a key: {0}")]
    NewKey(#[from] InvalidKey),
    /// A file is in the way.
    #[error("{} exists already; use `-w on` (or `--force`) to overwrite it", .0.display())]
    Exists(PathBuf),
    /// No format has this name.
    #[error("{}: images are written as .bin or .mcs", .0.display())]
    Extension(PathBuf),
    /// Keys are asked for, but not where to.
    #[error("{}: the description names no file for a key; add `[pskfile] FILE` or `[sskfile] FILE`", .0.display())]
    NoKeyNamed(PathBuf),
    /// The primary key is needed.
    #[error("{}: the description names no primary key; add `[ppkfile] FILE` or `[pskfile] FILE`", .0.display())]
    NoPrimary(PathBuf),
    /// Both secret keys are needed, or one and the other's public half.
    #[error("{}: signing the secondary key needs `[pskfile] FILE` and `[sskfile] FILE` or `[spkfile] FILE`", .0.display())]
    NoSecondary(PathBuf),
    /// No bitstream is there.
    #[error("{}: the description names no bitstream", .0.display())]
    NoBitstream(PathBuf),
}

/// What a job has to say while it is done.
pub trait Listener {
    /// An image of so many bytes is begun.
    fn begin(&mut self, name: &Path, length: u64);
    /// So many more bytes of it are written.
    fn progress(&mut self, bytes: u64);
    /// It is complete.
    fn end(&mut self);
    /// Something will not work as it may be meant.
    fn warn(&mut self, warning: &Warning);
}

impl Job {
    /// Does it.
    ///
    /// # Errors
    ///
    /// At the first thing that fails. Images that are not complete are removed.
    pub fn run(&self, listener: &mut dyn Listener) -> Result<(), JobError> {
        let text = std::fs::read_to_string(&self.image);
        let text = text.map_err(|error| JobError::Read { path: self.image.clone(), error })?;
        let mut specs = bif::parse(&self.image, &text)?;
        for spec in &mut specs {
            // What the description says goes first.
            spec.key_source = spec.key_source.or(self.key_source);
            spec.keys.aes = spec.keys.aes.take().or_else(|| self.key_file.clone());
        }
        if self.options.compat {
            share(&mut specs);
        }
        if let Some(format) = self.generate_keys {
            let text = "new keys are made; an image is not, it needs a second call".to_owned();
            listener.warn(&Warning { text, vendor_loader: false });
            return specs.iter().try_for_each(|spec| self.generate(spec, format));
        }
        if let Some(path) = &self.efuse_bits {
            self.write_efuse_bits(&specs, path)?;
        }
        if let Some(path) = &self.secondary_signature {
            self.write_secondary_signature(&specs, path)?;
        }
        let options = self.options()?;
        if let Some(kind) = self.bitstreams {
            return self.write_bitstreams(&specs, kind, &options);
        }
        let last = specs.len().saturating_sub(1);
        for (index, spec) in specs.iter().enumerate() {
            let suffix = if index == last { String::new() } else { format!("_{}", spec.name) };
            self.build(spec, &suffix, &options, listener)?;
        }
        Ok(())
    }

    /// The options, with the keys that were given in the call.
    fn options(&self) -> Result<Options, JobError> {
        let mut options = self.options.clone();
        options.fill = self.fill.unwrap_or(options.fill);
        options.unsigned |= self.hashes;
        if let Some(nky) = &self.inline_keys {
            let path = PathBuf::from(self.image.file_stem().unwrap_or_default()).with_extension("nky");
            if path.exists() && self.overwrite {
                std::fs::remove_file(&path).map_err(|error| OutputError { path: path.clone(), error })?;
            }
            keys::write_secret(&path, &nky.text()).map_err(|error| OutputError { path, error })?;
            options.secrets = Some(nky.clone());
        }
        Ok(options)
    }

    fn build(&self, spec: &Spec, suffix: &str, options: &Options, listener: &mut dyn Listener) -> Result<(), JobError> {
        // Nothing is written before all of this has succeeded.
        let outputs: Vec<(PathBuf, Format)> =
            self.outputs.iter().map(|path| self.output(path, suffix)).collect::<Result<_, _>>()?;
        let image = Image::plan(spec, options)?;
        for warning in &image.warnings {
            listener.warn(warning);
        }
        let mut digests = None;
        if let Some(kind) = self.split {
            let name = self.image.file_stem().unwrap_or_default().to_string_lossy().into_owned() + suffix;
            let format = self.format(kind);
            // Without a boot loader there is nothing to split from.
            let mut sink: Box<dyn Sink> = if image.has_bootloader() {
                Box::new(Split::create(Path::new(""), &name, format)?)
            } else {
                format.create(&PathBuf::from(format!("{name}.{}", format.extension())))?
            };
            listener.begin(Path::new(&name), image.length());
            digests = Some(image.write(sink.as_mut(), &mut |bytes| listener.progress(bytes))?);
            listener.end();
        } else {
            for (path, format) in &outputs {
                listener.begin(path, image.length());
                digests = Some(self.write(&image, path, *format, listener)?);
                listener.end();
            }
        }
        if self.hashes {
            let digests = match digests {
                Some(digests) => digests,
                None => image.write(&mut Nowhere, &mut |_| ())?,
            };
            write_hashes(spec, &digests)?;
        }
        Ok(())
    }

    /// Where an image goes and in which format.
    fn output(&self, path: &Path, suffix: &str) -> Result<(PathBuf, Format), JobError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let kind = match extension.as_deref() {
            Some("bit" | "hex" | "mem" | "rbt") => return Err(JobError::Extension(path.to_owned())),
            Some("mcs") => Kind::Mcs,
            _ => Kind::Bin,
        };
        let path = with_suffix(path, suffix);
        let existing = match self.dual {
            None => vec![path.clone()],
            Some(_) => vec![path.clone(), with_suffix(&path, "_1"), with_suffix(&path, "_2")],
        };
        // Devices and pipes are there before they are written to.
        match existing.into_iter().find(|path| path.is_file()) {
            Some(path) if !self.overwrite && self.split.is_none() => Err(JobError::Exists(path)),
            _ => Ok((path, self.format(kind))),
        }
    }

    fn format(&self, kind: Kind) -> Format {
        match kind {
            Kind::Bin => Format::Bin { fill: self.fill.unwrap_or(self.options.fill) },
            Kind::Mcs => Format::Mcs { fill: self.fill, crosses: self.options.compat },
        }
    }

    /// Writes an image; if that fails, what there is of it is removed.
    fn write(
        &self,
        image: &Image,
        path: &Path,
        format: Format,
        listener: &mut dyn Listener,
    ) -> Result<Digests, JobError> {
        let (first, second) = (with_suffix(path, "_1"), with_suffix(path, "_2"));
        let (mut sink, files): (Box<dyn Sink>, Vec<PathBuf>) = match self.dual {
            Some(Dual::Parallel) => {
                let parallel = Parallel::create(&first, &second, format, self.options.compat)?;
                (Box::new(parallel), vec![first, second])
            }
            Some(Dual::Stacked(size)) if image.length() > size => {
                let stacked = Stacked::new(format.create(&first)?, second.clone(), format, size);
                (Box::new(stacked), vec![first, second])
            }
            None | Some(Dual::Stacked(_)) => (format.create(path)?, vec![path.to_owned()]),
        };
        let written = image.write(sink.as_mut(), &mut |bytes| listener.progress(bytes));
        drop(sink);
        if written.is_err() {
            for file in files.iter().filter(|file| file.is_file()) {
                // The error that is reported is the one that came first.
                let _ = std::fs::remove_file(file);
            }
        }
        Ok(written?)
    }

    /// Makes the secret keys that the description names.
    fn generate(&self, spec: &Spec, format: KeyFormat) -> Result<(), JobError> {
        let named = [&spec.keys.primary_secret, &spec.keys.secondary_secret];
        let named: Vec<&PathBuf> = named.into_iter().flatten().collect();
        if named.is_empty() {
            return Err(JobError::NoKeyNamed(self.image.clone()));
        }
        if let Some(path) = named.iter().find(|path| path.exists() && !self.overwrite) {
            return Err(JobError::Exists((*path).clone()));
        }
        for path in named {
            write_key(path, &SecretKey::generate()?, format)?;
        }
        Ok(())
    }

    fn write_efuse_bits(&self, specs: &[Spec], path: &Path) -> Result<(), JobError> {
        let primary =
            specs.iter().rev().find_map(|spec| spec.keys.primary_public.as_ref().or(spec.keys.primary_secret.as_ref()));
        let primary = primary.ok_or_else(|| JobError::NoPrimary(self.image.clone()))?;
        let text = keys::to_hex(&keys::read_public(primary)?.hash()).to_uppercase() + "\r\n";
        write_file(path, text.as_bytes())
    }

    fn write_secondary_signature(&self, specs: &[Spec], path: &Path) -> Result<(), JobError> {
        let keys = specs.iter().map(|spec| &spec.keys).find(|keys| keys.primary_secret.is_some());
        let primary = keys.and_then(|keys| keys.primary_secret.as_ref());
        let secondary = keys.and_then(|keys| keys.secondary_public.as_ref().or(keys.secondary_secret.as_ref()));
        let (Some(primary), Some(secondary)) = (primary, secondary) else {
            return Err(JobError::NoSecondary(self.image.clone()));
        };
        let signature = keys::read_secret(primary)?.sign(&keys::read_public(secondary)?.hash())?;
        write_file(path, &signature)
    }

    /// Writes each bitstream as an image would hold it, beside its file.
    fn write_bitstreams(&self, specs: &[Spec], kind: Kind, options: &Options) -> Result<(), JobError> {
        let mut found = false;
        let format = self.format(kind);
        for spec in specs {
            let image = Image::plan(spec, options)?;
            for (path, index) in image.bitstreams() {
                found = true;
                let mut name = path.as_os_str().to_owned();
                name.push(format!(".{}", format.extension()));
                image.write_data(index, format.create(Path::new(&name))?.as_mut())?;
            }
        }
        if found { Ok(()) } else { Err(JobError::NoBitstream(self.image.clone())) }
    }
}

/// Gives all images what the vendor's tool takes for settings of the whole file: the last one's.
fn share(specs: &mut [Spec]) {
    let Some(Spec { init, udf_bh, key_source, .. }) = specs.last().cloned() else {
        return;
    };
    for spec in specs {
        (spec.init, spec.udf_bh, spec.key_source) = (init.clone(), udf_bh.clone(), key_source);
    }
}

/// Takes an image of which only the digests matter.
struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _place: u64, _bytes: &[u8]) -> Result<(), OutputError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

/// Writes a secret key to a file that only its owner may read.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_key(path: &Path, key: &SecretKey, format: KeyFormat) -> Result<(), JobError> {
    let text = match format {
        KeyFormat::Pem => keys::secret_to_pem(key)?,
        KeyFormat::Text => keys::secret_to_text(key),
    };
    let output = |error| OutputError { path: path.to_owned(), error };
    if path.exists() {
        std::fs::remove_file(path).map_err(output)?;
    }
    Ok(keys::write_secret(path, &text).map_err(output)?)
}

/// Writes what is to be signed: for each digest the number that a signature is the power of.
fn write_hashes(spec: &Spec, digests: &Digests) -> Result<(), JobError> {
    for (name, segment, digest) in &digests.partitions {
        write_file(Path::new(&format!("{name}.{segment}.sha256")), &rsa::padded(digest))?;
    }
    if let Some(digest) = &digests.tables {
        write_file(Path::new("ImageHeaderTable.sha256"), &rsa::padded(digest))?;
    }
    let secondary = spec.keys.secondary_public.as_ref();
    if let (Some(path), Some(digest)) = (secondary, &digests.secondary_key) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        write_file(Path::new(&format!("{name}.sha256")), &rsa::padded(digest))?;
    }
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    Ok(std::fs::write(path, bytes).map_err(|error| OutputError { path: path.to_owned(), error })?)
}

/// A file's name with `suffix` before its extension.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    if suffix.is_empty() {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(suffix);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
