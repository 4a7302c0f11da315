//! The options of the vendor's tool.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use bootgen::crypto::aes::{KeySource, Secrets};
use bootgen::job::{Dual, Job, KeyFormat, Kind};
use bootgen::keys::{self, Nky};

use super::fail;

/// What `-help` prints.
const HELP: &str = "\
Options of the vendor's tool that work for the Zynq-7000:

  -arch zynq                        the default
  -image FILE.bif                   the description of the image
  -o FILE.bin|FILE.mcs              the image to write; may occur more than once
  -w [on|off]                       overwrite files that exist
  -fill [0xNN]                      the byte between the parts of an image; without a value 0xFF
  -legacy                           no certificate for the headers, no padding of bitstreams
  -split bin|mcs                    a file for each partition
  -process_bitstream bin|mcs        a file for each bitstream, as Linux' fpga_manager takes it
  -dual_qspi_mode parallel          files for two flash chips that share each byte
  -dual_qspi_mode stacked 16|32|64|128
                                    files for two flash chips of that many megabytes
  -encrypt bbram|efuse [FILE.nky] [Key0=HEX] [StartCBC=HEX] [HMAC=HEX]
                                    where the AES key is kept, and the keys
  -p PART                           the part that new AES keys are for
  -generate_keys pem|rsa            write new keys to the files that the description names
  -efuseppkbits FILE                write the primary key's digest, for the eFUSEs
  -generate_hashes                  write what is to be signed
  -spksignature FILE                write the secondary key's signature
  -read FILE, -verify FILE          the same as the subcommands inspect and verify
  -log LEVEL, -padimageheader 0|1   accepted, without effect
  --compat                          follow the vendor's tool where it is wrong
  -help, -bif_help

`bootgen --help` lists the subcommands.
";

/// What `-bif_help` prints.
const BIF_HELP: &str = "\
name: {                             an image; the next ones go to files of their own
  [init] FILE                       registers to be set: .set. ADDRESS = VALUE;
  [udf_bh] FILE                     up to 76 bytes for the boot header, in hexadecimal
  [aeskeyfile] FILE.nky             AES and HMAC keys
  [keysrc_encryption] efuse_red_key|bbram_red_key
                                    where the chip keeps the AES key
  [pskfile] FILE  [sskfile] FILE    primary and secondary secret key
  [ppkfile] FILE  [spkfile] FILE    primary and secondary public key
  [spksignature] FILE               signature of the secondary key
  [headersignature] FILE            signature of the headers
  [bootimage] FILE                  all partitions of another image
  [attribute, ...] FILE             a partition: .elf, .bit, .rbt or any other
}

bootloader                          the boot loader that the boot ROM starts
load=ADDRESS  startup=ADDRESS       where it is loaded and entered
offset=N  alignment=N               where it lies in the image; multiples of 64
reserve=N  reserve_legacy=N         how much room it has in the image; multiples of 64
checksum=md5|none                   a digest
encryption=aes|none  authentication=rsa|none
partition_owner=fsbl|uboot          who loads it
udf_data=FILE                       up to 56 bytes for its certificate, in hexadecimal
presign=FILE.0.sig                  its signature, made elsewhere
xip_mode                            the boot loader runs in flash

Numbers are decimal or 0x hexadecimal, and may be expressions: + - * / % & | ^ ~ << >> ( ).
The newer syntax is { type=bootloader, file=FILE, attribute, ... }.
";

/// What a call asks for.
enum Call {
    Job(Box<Job>),
    Print(&'static str),
    /// The same as a subcommand.
    Subcommand(Vec<OsString>),
}

/// Runs a call with the vendor's options.
pub(super) fn run(arguments: &[OsString], compat: bool) -> ExitCode {
    let mut words: Vec<String> = Vec::new();
    for argument in arguments.iter().skip(1) {
        match argument.to_str() {
            Some(word) => words.push(word.to_owned()),
            None => return fail(&format!("the argument {} is not UTF-8", argument.to_string_lossy())),
        }
    }
    match parse(&words) {
        Ok(Call::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Call::Subcommand(subcommand)) => super::modern::run(&subcommand, compat),
        Ok(Call::Job(mut job)) => {
            job.options.compat = compat;
            let result = super::run(&job);
            if result == ExitCode::SUCCESS {
                println!("[INFO]   : {}", summary(&job));
            }
            result
        }
        Err(message) => fail(&message),
    }
}

/// What was done.
fn summary(job: &Job) -> String {
    if job.generate_keys.is_some() {
        "Keys generated successfully".to_owned()
    } else if job.bitstreams.is_some() {
        "Bitstreams processed successfully".to_owned()
    } else if job.outputs.is_empty() && job.split.is_none() {
        "Nothing was written but what the options say; name an image with -o".to_owned()
    } else {
        "Bootimage generated successfully".to_owned()
    }
}

/// The words of a command line.
struct Words<'a> {
    words: &'a [String],
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// The next word, if it is no option.
    fn value(&mut self) -> Option<&'a str> {
        self.next_if(|word| !word.starts_with('-'))
    }

    fn next_if(&mut self, condition: impl Fn(&str) -> bool) -> Option<&'a str> {
        self.words.first().filter(|word| condition(word))?;
        self.next()
    }

    fn needed(&mut self, option: &str, what: &str) -> Result<&'a str, String> {
        self.value().ok_or_else(|| format!("{option} needs {what}"))
    }

    fn choice<T: Copy>(&mut self, option: &str, choices: &[(&str, T)]) -> Result<T, String> {
        let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
        let names = names.join(" or ");
        let word = self.needed(option, &names)?;
        let found = choices.iter().find(|(name, _)| *name == word);
        found.map(|&(_, value)| value).ok_or_else(|| format!("{option} needs {names}, not {word}"))
    }
}

fn parse(words: &[String]) -> Result<Call, String> {
    const KINDS: &[(&str, Kind)] = &[("bin", Kind::Bin), ("mcs", Kind::Mcs)];
    let mut words = Words { words };
    let mut job = Job::default();
    let mut image = None;
    while let Some(option) = words.next() {
        match option {
            "-arch" => {
                let arch = words.needed(option, "zynq")?;
                if arch != "zynq" {
                    return Err(format!("-arch {arch}: this tool makes images for the Zynq-7000 only (-arch zynq)"));
                }
            }
            "-image" => image = Some(PathBuf::from(words.needed(option, "a file")?)),
            "-o" => {
                // In the old spelling the kind of output precedes the name.
                words.next_if(|word| word == "i");
                job.outputs.push(PathBuf::from(words.needed(option, "a file")?));
            }
            "-w" => job.overwrite = words.next_if(|word| matches!(word, "on" | "off")) != Some("off"),
            "-fill" => job.fill = Some(fill(words.value())?),
            "-legacy" => job.options.legacy = true,
            "-split" => job.split = Some(words.choice(option, KINDS)?),
            "-process_bitstream" => job.bitstreams = Some(words.choice(option, KINDS)?),
            "-dual_qspi_mode" => {
                job.dual = Some(if words.choice(option, &[("parallel", true), ("stacked", false)])? {
                    Dual::Parallel
                } else {
                    let sizes = &[("16", 16), ("32", 32), ("64", 64), ("128", 128)];
                    Dual::Stacked(words.choice("-dual_qspi_mode stacked", sizes)? << 20)
                });
            }
            "-p" => words.needed(option, "a part's name")?.clone_into(&mut job.options.part),
            "-encrypt" => encrypt(&mut words, &mut job)?,
            "-generate_keys" => {
                let formats = &[("pem", KeyFormat::Pem), ("rsa", KeyFormat::Text)];
                job.generate_keys = Some(words.choice(option, formats)?);
            }
            "-efuseppkbits" => job.efuse_bits = Some(words.needed(option, "a file")?.into()),
            "-spksignature" => job.secondary_signature = Some(words.needed(option, "a file")?.into()),
            "-generate_hashes" => job.hashes = true,
            "-padimageheader" => drop(words.next_if(|word| matches!(word, "0" | "1"))),
            "-log" => drop(words.needed(option, "a level")?),
            "-help" | "-h" => return Ok(Call::Print(HELP)),
            "-bif_help" => return Ok(Call::Print(BIF_HELP)),
            "-read" => {
                words.next_if(|word| matches!(word, "bh" | "iht" | "ih" | "pht" | "ac"));
                return Ok(subcommand("inspect", words.needed(option, "an image")?));
            }
            "-verify" => return Ok(subcommand("verify", words.needed(option, "an image")?)),
            "-nonbooting" | "-zynqmpes1" | "-authenticatedjtag" | "-securedebugimage" | "-overlay_cdo"
            | "-encryption_dump" | "-packagename" | "-dual_ospi_mode" | "-verify_kdf" | "-dump" | "-dump_dir" => {
                return Err(format!(
                    "{option} is not for the Zynq-7000; `bootgen extract` writes an image's partitions"
                ));
            }
            _ => return Err(format!("{option} is no option; -help lists them")),
        }
    }
    if let Some(nky) = &mut job.inline_keys {
        nky.device.clone_from(&job.options.part);
    }
    job.image = image.ok_or("-image FILE.bif is missing")?;
    Ok(Call::Job(Box::new(job)))
}

fn subcommand(name: &str, image: &str) -> Call {
    Call::Subcommand(["bootgen", name, image].map(OsString::from).to_vec())
}

fn fill(value: Option<&str>) -> Result<u8, String> {
    let Some(value) = value else {
        return Ok(0xff);
    };
    let digits = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
    digits
        .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        .ok_or_else(|| format!("-fill needs a byte like 0xFF, not {value}"))
}

fn encrypt(words: &mut Words<'_>, job: &mut Job) -> Result<(), String> {
    job.key_source = Some(words.choice("-encrypt", &[("bbram", KeySource::Bbram), ("efuse", KeySource::Efuse)])?);
    let (mut key, mut iv, mut hmac) = (None, None, None);
    while let Some(word) = words.value() {
        match word.split_once('=') {
            Some(("Key0", digits)) => key = Some(bytes::<32>("Key0", digits)?),
            Some(("StartCBC", digits)) => iv = Some(bytes::<16>("StartCBC", digits)?),
            Some(("HMAC", digits)) => hmac = Some(bytes::<32>("HMAC", digits)?),
            _ => job.key_file = Some(PathBuf::from(word)),
        }
    }
    match (key, iv, hmac) {
        (None, None, None) => Ok(()),
        (Some(key), Some(iv), Some(hmac)) => {
            job.inline_keys = Some(Nky { device: String::new(), secrets: Secrets { key, hmac, iv } });
            Ok(())
        }
        _ => Err("-encrypt needs all of Key0=, StartCBC= and HMAC=, or none of them".to_owned()),
    }
}

fn bytes<const N: usize>(name: &str, digits: &str) -> Result<[u8; N], String> {
    let bytes = keys::hex(digits).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("-encrypt: {name} needs {} hexadecimal digits", 2 * N))
}
