//! `bootgen verify`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bootgen::build::Warning;
use bootgen::check::verify::{self, Known, Verdict};
use bootgen::check::{Check, Contents, Finding, Severity, payload};
use bootgen::crypto::rsa::Digest;
use bootgen::job::{Job, Listener};
use bootgen::keys;
use clap::Args;
use tempfile::TempDir;

use super::{BAD, DIM, GOOD, Keys, STRONG, WARNING};

/// Checks an image.
#[derive(Args)]
#[command(
    after_long_help = "Errors mean that the image is damaged or forged. Warnings mean that it is sound, but that the boot \
    ROM or the vendor's first-stage boot loader will not do with it what one might expect. \
    What nothing in the image vouches for is listed; --bif and --reference cover every byte.\n\n\
    Exit status: 0 if there are no errors, 1 if there are (with --strict, or warnings), 2 if the image cannot be read."
)]
pub(crate) struct Verify {
    /// The image
    image: PathBuf,
    /// SHA-256 of the primary public key as the chip's eFUSEs hold it: 64 hexadecimal digits, or a file with them
    #[arg(long, value_name = "HASH|FILE")]
    ppk_hash: Option<String>,
    /// The primary key itself (public or secret), instead of its hash
    #[arg(long, value_name = "FILE", conflicts_with = "ppk_hash")]
    ppk: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
    /// Make the image again from this description, and compare every byte
    #[arg(long, value_name = "FILE", conflicts_with = "reference")]
    bif: Option<PathBuf>,
    /// With --bif: the image was made with `-legacy`
    #[arg(long, requires = "bif")]
    legacy: bool,
    /// Compare every byte with this image, which is known to be right
    #[arg(long, value_name = "IMAGE")]
    reference: Option<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(&self, compat: bool) -> anyhow::Result<bool> {
        let known = Known { primary: self.primary()?, secrets: self.keys.read()? };
        let mut source = super::open(&self.image)?;
        let name = self.image.display();
        let mut verdict =
            verify::verify(&mut source, &known).with_context(|| format!("{name} is no boot image, or cut short"))?;
        let made = match &self.bif {
            Some(bif) => {
                // The description does not say what gaps are filled with.
                let contents = Contents::read(&mut source)?;
                let fill = payload::fill(&contents, &mut source)?;
                Some(self.make(bif, fill, compat)?)
            }
            None => None,
        };
        let made_path = made.as_ref().map(|folder| folder.path().join(MADE));
        if let Some(reference) = made_path.as_ref().or(self.reference.as_ref()) {
            let mut right = super::open(reference)?;
            verdict.add(verify::compare(&mut source, &mut right)?);
            verdict.unchecked.clear();
        }
        if self.json {
            super::print_json(&verdict)?;
        } else {
            super::print(&render(&name.to_string(), &verdict, self))?;
        }
        Ok(verdict.is_sound() && !(self.strict && verdict.warnings() > 0))
    }

    /// Makes the image of a description in a temporary folder.
    fn make(&self, bif: &Path, fill: u8, compat: bool) -> anyhow::Result<TempDir> {
        let folder = TempDir::new().context("cannot make a temporary folder")?;
        let outputs = vec![folder.path().join(MADE)];
        let mut job = Job { image: bif.to_owned(), outputs, fill: Some(fill), ..Job::default() };
        job.options.legacy = self.legacy;
        job.options.compat = compat;
        job.run(&mut Quiet).with_context(|| format!("cannot make the image of {} to compare with", bif.display()))?;
        Ok(folder)
    }

    /// The digest that the primary key must have.
    fn primary(&self) -> anyhow::Result<Option<Digest>> {
        if let Some(path) = &self.ppk {
            // A file with the secret key holds the public one too.
            let key = match keys::read_public(path) {
                Ok(key) => key,
                Err(error) => keys::read_secret(path).map_err(|_| error)?.public(),
            };
            return Ok(Some(key.hash()));
        }
        let Some(given) = &self.ppk_hash else { return Ok(None) };
        let path = Path::new(given);
        let is_hash = given.len() == 64 && given.bytes().all(|byte| byte.is_ascii_hexdigit());
        let text = if is_hash {
            given.clone()
        } else {
            fs::read_to_string(path)
                .with_context(|| format!("--ppk-hash {given} is neither 64 hexadecimal digits nor a file"))?
        };
        match keys::hex(text.trim()).and_then(|bytes| Digest::try_from(bytes).ok()) {
            Some(digest) => Ok(Some(digest)),
            None => bail!("{given} does not hold 64 hexadecimal digits"),
        }
    }
}

/// The name of the image that is made for comparison.
const MADE: &str = "image.bin";

/// Says nothing: what is made is only compared with.
struct Quiet;

impl Listener for Quiet {
    fn begin(&mut self, _name: &Path, _length: u64) {}

    fn progress(&mut self, _bytes: u64) {}

    fn end(&mut self) {}

    fn warn(&mut self, _warning: &Warning) {}
}

/// The verdict for people: a line for each kind of check, then what was found, then what could not be checked.
fn render(name: &str, verdict: &Verdict, options: &Verify) -> String {
    let mut out = String::new();
    let checked = &verdict.checked;
    let failed = verdict.failed();
    let mut line = |check: &[Check], title: &str, what: Option<String>| {
        let mark = match what {
            _ if check.iter().any(|check| failed.contains(check)) => format!("{BAD}failed{BAD:#}"),
            None => format!("{DIM}    --{DIM:#}"),
            Some(_) => format!("{GOOD}    ok{GOOD:#}"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {mark}  {title:<12} {}", what.unwrap_or_else(|| "none".to_owned()));
    };
    line(&[Check::Structure, Check::Layout], "structure", Some("references between headers, order, gaps".to_owned()));
    line(
        &[Check::Checksum],
        "checksums",
        Some(format!("boot header and {}", count(checked.partitions, "partition header"))),
    );
    let md5 = (checked.md5 > 0).then(|| format!("{} of {}", checked.md5, count(checked.partitions, "partition")));
    line(&[Check::Md5], "MD5 sums", md5);
    let anchor = match (failed.contains(&Check::Signature), checked.anchored) {
        (true, _) => "",
        (false, true) => ", from the primary key that was asked for",
        (false, false) => ", from the primary key in the image",
    };
    let signatures = (checked.signatures > 0).then(|| format!("{}{anchor}", count(checked.signatures, "certificate")));
    line(&[Check::Signature], "signatures", signatures);
    let how = match (failed.contains(&Check::Encryption), checked.decrypted) {
        (true, _) => "",
        (false, true) => ", decrypted and HMAC checked",
        (false, false) => ", but no key was given to decrypt with",
    };
    let encrypted = (checked.encrypted > 0).then(|| format!("{}{how}", count(checked.encrypted, "partition")));
    line(&[Check::Encryption], "encryption", encrypted);
    if let Some(reference) = options.bif.as_ref().or(options.reference.as_ref()) {
        line(&[Check::Comparison], "comparison", Some(format!("with {}", reference.display())));
    }
    if let Some(primary) = checked.primary.as_ref().filter(|_| !checked.anchored) {
        let _ = writeln!(
            out,
            "\n  The primary key's hash is {primary};\n  --ppk-hash ties it to what is in the chip's eFUSEs."
        );
    }
    if !verdict.findings.is_empty() {
        out.push('\n');
    }
    for finding in &verdict.findings {
        let _ = writeln!(out, "{}", colored(finding));
    }
    if !verdict.unchecked.is_empty() {
        let _ = writeln!(out, "\n{STRONG}Nothing vouches for{STRONG:#}");
        for gap in &verdict.unchecked {
            let bytes = gap.range.end.saturating_sub(gap.range.start);
            let range = format!("{:#x}..{:#x}", gap.range.start, gap.range.end);
            let _ = writeln!(
                out,
                "  {range:<20} {:>12}  {}",
                count(usize::try_from(bytes).unwrap_or(usize::MAX), "byte"),
                gap.place
            );
        }
        let mut remedies: Vec<&str> = verdict.unchecked.iter().map(|gap| gap.remedy).collect();
        remedies.sort_unstable();
        remedies.dedup();
        for remedy in remedies {
            let _ = writeln!(out, "  {DIM}- {remedy}{DIM:#}");
        }
    }
    let (errors, warnings) = (verdict.errors(), verdict.warnings());
    let judgement = if errors > 0 {
        format!("{BAD}not sound{BAD:#}")
    } else if warnings > 0 {
        format!("{WARNING}sound{WARNING:#}")
    } else {
        format!("{GOOD}sound{GOOD:#}")
    };
    let _ = writeln!(out, "\n{name} is {judgement}: {}, {}", count(errors, "error"), count(warnings, "warning"));
    out
}

/// A finding with its severity in colour.
fn colored(finding: &Finding) -> String {
    let text = finding.to_string();
    let style = match finding.severity {
        Severity::Error => BAD,
        Severity::Warning => WARNING,
    };
    match text.split_once(": ") {
        Some((head, rest)) => format!("{style}{head}{style:#}: {rest}"),
        None => text,
    }
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
