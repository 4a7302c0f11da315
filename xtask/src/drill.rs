//! Starting from the card in emulation: that it works, and each way in which it does not.
//!
//! A drill makes a card that something is wrong with, or lets something go wrong while the board starts from it, and looks at what a user would see: the
//! line on the console, the LED's code, or the boot ROM's refusal with its error code. The board is the one that `cargo xtask run --from-card` starts.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, bail, ensure};
use bootimage::Image;
use harness::boot_card::{self, BootFile};
use harness::judge::{Pattern, Rules, Verdict};
use harness::sums;
use models::board::{Event, History};
use models::{bitstream, slcr};

use crate::image::{self, Made};
use crate::pipeline::Pipeline;
use crate::run::{Built, GAVE_UP, Options, Ran};
use crate::scenario::{self, Scenario};
use crate::workspace::Workspace;

/// The line that says that the boot loader has given way to the system.
const STARTED: &str = "^[core] Zelkova on seL4";
/// So long the LED is watched, in the board's time.
const WATCHED: &str = "100s";
/// Where the boot partition begins, in bytes.
const PARTITION: u64 = 1 << 20;

/// What a card is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Card {
    /// There is none.
    None,
    /// One with an unsigned image that has MD5 sums.
    Plain,
    /// One with a signed image.
    Signed,
    /// One with an unsigned image that has a bitstream, and no sums that would find out that it is damaged.
    Logic,
    /// The same with a system that uses what the bitstream connects.
    Pins,
}

impl Card {
    /// The scenario that is on it.
    fn scenario(self) -> &'static str {
        if self == Self::Pins { "gpio" } else { "demo" }
    }
}

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The system runs to its success line, and has read its files right.
    Runs,
    /// The system starts.
    Starts,
    /// The boot ROM refuses, and this is in its reason.
    Refused(&'static str),
    /// The boot loader gives up with this code, and this is in its message.
    GivesUp(u8, &'static str),
}

/// One way to start.
struct Drill {
    name: &'static str,
    card: Card,
    /// What is done to `BOOT.BIN`.
    image: fn(&mut Vec<u8>) -> anyhow::Result<()>,
    /// There is an intact `BOOT.ALT`, too.
    fallback: bool,
    /// What is done to the card.
    damage: fn(&Path) -> anyhow::Result<()>,
    /// What happens, and behind which line of the console; `None` is right after the boot ROM.
    event: Option<(Option<&'static str>, &'static str)>,
    /// The chip starts only what the key has signed.
    efuse: bool,
    /// A line that must be seen.
    says: Option<&'static str>,
    outcome: Outcome,
}

const START: Drill = Drill {
    name: "",
    card: Card::Plain,
    image: |_| Ok(()),
    fallback: false,
    damage: |_| Ok(()),
    event: None,
    efuse: false,
    says: None,
    outcome: Outcome::Starts,
};

const DRILLS: [Drill; 22] = [
    Drill { name: "boot/plain", says: Some("not signed, verified; 3 partitions"), outcome: Outcome::Runs, ..START },
    Drill { name: "boot/bitstream", card: Card::Logic, says: Some("not signed, verified; 4 partitions"), ..START },
    Drill { name: "boot/gpio", card: Card::Pins, outcome: Outcome::Runs, ..START },
    Drill {
        name: "boot/signed",
        card: Card::Signed,
        efuse: true,
        says: Some("bytes, signed, verified; 3 partitions"),
        ..START
    },
    Drill {
        name: "boot/fallback",
        image: |image| flip(image, 1, 1000),
        fallback: true,
        says: Some("BOOT.BIN is not used: partition 1 is damaged: its MD5 sum is wrong"),
        ..START
    },
    Drill {
        name: "boot/no-card",
        card: Card::None,
        outcome: Outcome::Refused("no card in the slot (REBOOT_STATUS 0x200a)"),
        ..START
    },
    Drill {
        name: "boot/no-partition",
        damage: |card| overwrite(card, 0),
        outcome: Outcome::Refused("no partition table, or no first partition (REBOOT_STATUS 0x200a)"),
        ..START
    },
    Drill {
        name: "boot/no-fat",
        damage: |card| overwrite(card, PARTITION),
        outcome: Outcome::Refused("neither a FAT16 nor a FAT32 (REBOOT_STATUS 0x200a)"),
        ..START
    },
    Drill {
        name: "boot/no-file",
        damage: |card| mtools(card, "mren", &["::/BOOT.BIN", "::/BOOT.OLD"]).map(drop),
        outcome: Outcome::Refused("no BOOT.BIN in the root directory (REBOOT_STATUS 0x200a)"),
        ..START
    },
    Drill {
        name: "boot/header-checksum",
        image: |image| change(image, 0x48, |sum| sum ^ 1),
        outcome: Outcome::Refused("the boot header's checksum is"),
        ..START
    },
    Drill {
        name: "boot/oversize-loader",
        image: |image| set_length(image, 192 * 1024 + 4),
        outcome: Outcome::Refused("the boot loader has 196612 bytes, more than the 196,608"),
        ..START
    },
    Drill {
        name: "boot/not-signed",
        efuse: true,
        outcome: Outcome::Refused("the boot loader is not authentic: there is no certificate behind it"),
        ..START
    },
    Drill {
        name: "boot/changed-loader",
        card: Card::Signed,
        image: |image| flip(image, 0, 5000),
        efuse: true,
        outcome: Outcome::Refused("header or boot loader are not signed by the secondary key"),
        ..START
    },
    Drill {
        name: "boot/bad-header",
        image: |image| change(image, 0x8C0, |version| version ^ 1),
        outcome: Outcome::GivesUp(7, "image header table"),
        ..START
    },
    Drill {
        name: "boot/bad-md5",
        image: |image| flip(image, 1, 1000),
        outcome: Outcome::GivesUp(8, "partition 1 is damaged: its MD5 sum is wrong"),
        ..START
    },
    Drill {
        name: "boot/bad-signature",
        card: Card::Signed,
        image: |image| flip(image, 1, 1000),
        efuse: true,
        outcome: Outcome::GivesUp(9, "partition 1 is not authentic: the data are not signed by the secondary key"),
        ..START
    },
    Drill {
        name: "boot/bad-bitstream",
        card: Card::Logic,
        image: |image| flip(image, 1, 1000),
        outcome: Outcome::GivesUp(11, "the programmable logic does not start (DONE stays low)"),
        ..START
    },
    Drill {
        name: "boot/pcap-error",
        card: Card::Logic,
        event: Some((None, "pcap fail read")),
        outcome: Outcome::GivesUp(11, "the configuration interface reports errors 0x00100000"),
        ..START
    },
    Drill {
        name: "boot/pcap-not-ready",
        card: Card::Logic,
        event: Some((None, "pcap fail init")),
        outcome: Outcome::GivesUp(11, "the programmable logic does not become ready when it is cleared (INIT)"),
        ..START
    },
    Drill {
        name: "boot/ddr-training",
        event: Some((None, "ddr break data-eye")),
        outcome: Outcome::GivesUp(2, "training of the memory failed"),
        ..START
    },
    Drill {
        name: "boot/card-gone",
        event: Some((None, "card remove")),
        outcome: Outcome::GivesUp(3, "there is no card in the slot"),
        ..START
    },
    Drill {
        name: "boot/card-pulled",
        event: Some((Some("^[fsbl] card "), "card remove")),
        outcome: Outcome::GivesUp(4, "cannot read the card"),
        ..START
    },
];

/// The drills, with the images that they have in common.
pub(crate) struct Drills<'a> {
    workspace: &'a Workspace,
    pipeline: &'a Pipeline<'a>,
    options: &'a Options,
    plain: OnceLock<Made>,
    signed: OnceLock<Made>,
    logic: OnceLock<Made>,
    pins: OnceLock<Made>,
}

/// What the drills are called.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    DRILLS.iter().map(|drill| drill.name).chain([REPRODUCED])
}

/// The drill that makes the same image twice.
const REPRODUCED: &str = "boot/image";

impl<'a> Drills<'a> {
    /// Drills on this tree.
    pub(crate) fn new(workspace: &'a Workspace, pipeline: &'a Pipeline<'a>, options: &'a Options) -> Self {
        let cell = OnceLock::new;
        Self { workspace, pipeline, options, plain: cell(), signed: cell(), logic: cell(), pins: cell() }
    }

    fn load(&self, card: Card) -> anyhow::Result<Scenario> {
        Ok(scenario::load(&self.workspace.scenarios(), card.scenario(), &self.workspace.components())?)
    }

    /// Does the drill `name`.
    ///
    /// # Errors
    ///
    /// It did not end as it should, or could not be done.
    pub(crate) fn run(&self, name: &str) -> anyhow::Result<()> {
        if name == REPRODUCED {
            return self.reproduce();
        }
        let drill = DRILLS.iter().find(|drill| drill.name == name);
        let drill = drill.with_context(|| format!("there is no drill `{name}`"))?;
        let folder = self.folder(name)?;
        let (card, files) = self.card(drill, &folder)?;
        let scenario = self.scenario(drill)?;
        let options = Options { card, files: Some(files), ..self.options.clone() };
        let ran =
            Built::on_card(self.pipeline, &scenario)?.run(self.workspace, &options, |_, _| ())?.uninterrupted()?;
        judge(drill, &ran).with_context(|| {
            let mut console = ran.console.join("\n| ");
            console.insert_str(0, "| ");
            format!("{}\n{console}\n{}", ran.verdict, ran.artefacts())
        })?;
        // What is of no more use takes much room.
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
    }

    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.workspace.output().join(name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// The image of a kind of card.
    fn made(&self, card: Card) -> anyhow::Result<Option<&Made>> {
        let (cell, name, sign, logic) = match card {
            Card::None => return Ok(None),
            Card::Plain => (&self.plain, "plain", false, false),
            Card::Signed => (&self.signed, "signed", true, false),
            Card::Logic => (&self.logic, "logic", false, true),
            Card::Pins => (&self.pins, "pins", false, true),
        };
        let _alone = self.pipeline.alone();
        if let Some(made) = cell.get() {
            return Ok(Some(made));
        }
        let folder = self.folder(&format!("boot/images/{name}"))?;
        let bitstream = folder.join("top.bit");
        if logic {
            let words = bitstream::minimal(slcr::Options::ZEDBOARD.idcode, 2000);
            std::fs::write(&bitstream, bitstream::file("7z020clg484", &words))?;
        }
        let options = image::Options {
            md5: card == Card::Plain,
            sign: sign.then(|| self.workspace.root.join("bootgen/tests/keys")),
            bitstream: logic.then_some(bitstream),
            ..image::Options::default()
        };
        let made = image::make(self.pipeline, &self.load(card)?, &options, &folder)?;
        Ok(Some(cell.get_or_init(|| made)))
    }

    /// The card of a drill, and the files on it that the system reads.
    fn card(&self, drill: &Drill, folder: &Path) -> anyhow::Result<(Option<PathBuf>, Vec<sums::File>)> {
        let Some(made) = self.made(drill.card)? else { return Ok((None, Vec::new())) };
        let mut image = std::fs::read(&made.boot).with_context(|| made.boot.display().to_string())?;
        (drill.image)(&mut image)?;
        let changed = folder.join("BOOT.BIN");
        std::fs::write(&changed, image).with_context(|| changed.display().to_string())?;
        let mut files = vec![BootFile { name: "BOOT.BIN", contents: changed }];
        if drill.fallback {
            files.push(BootFile { name: "BOOT.ALT", contents: made.boot.clone() });
        }
        let card = folder.join("card");
        let scenario = self.load(drill.card)?;
        let data = scenario.card.as_ref().filter(|_| matches!(drill.outcome, Outcome::Runs));
        let files = boot_card::build(&card, &files, data)?;
        (drill.damage)(&card)?;
        Ok((Some(card), files))
    }

    /// The scenario that is started, with what happens in the drill.
    fn scenario(&self, drill: &Drill) -> anyhow::Result<Scenario> {
        let mut scenario = self.load(drill.card)?;
        drill.name.clone_into(&mut scenario.name);
        scenario.card = None;
        if drill.efuse {
            let key = self.made(Card::Signed)?.and_then(|made| made.key.as_deref());
            scenario.devices.efuse = Some(digest(key.context("the signed image has no key")?)?);
        }
        if let Some((after, command)) = drill.event {
            // Behind a line, so much later that the image is being read.
            let at = if after.is_some() { "5ms" } else { "1us" };
            scenario.devices.event.push(event(after, at, command)?);
        }
        if !matches!(drill.outcome, Outcome::Runs) {
            scenario.devices.event.push(event(Some(GAVE_UP), WATCHED, "off")?);
            scenario.devices.until = None;
            scenario.checks.clear();
            scenario.sums = None;
            let deadline = scenario.rules.deadline;
            scenario.rules =
                Rules { success: Pattern::new(STARTED), failure: Vec::new(), expect: Vec::new(), deadline };
        }
        Ok(scenario)
    }

    /// Two builds give the same files, which others can read.
    fn reproduce(&self) -> anyhow::Result<()> {
        let first = self.made(Card::Plain)?.context("there is no image")?;
        let folder = self.folder(REPRODUCED)?;
        let options = image::Options { md5: true, ..image::Options::default() };
        let _alone = self.pipeline.alone();
        let second = image::make(self.pipeline, &self.load(Card::Plain)?, &options, &folder)?;
        for (one, other) in [(&first.boot, &second.boot), (&first.card, &second.card)] {
            ensure!(std::fs::read(one)? == std::fs::read(other)?, "{} and {} differ", one.display(), other.display());
        }
        let listing = mtools(&second.card, "mdir", &["-b", "::/"])?;
        ensure!(listing.trim() == "::/BOOT.BIN", "on the card there is:\n{listing}");
        // The reference tool reads it, too.
        let output = Command::new("bootgen").args(["-arch", "zynq", "-read"]).arg(&second.boot).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && said.contains("total_partitions"), "bootgen -read says:\n{said}");
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
    }
}

fn event(after: Option<&str>, at: &str, command: &str) -> anyhow::Result<Event> {
    Ok(Event { at: Some(at.parse()?), after: after.map(Pattern::new), command: command.parse()? })
}

/// The bytes of a digest in hexadecimal digits.
fn digest(text: &str) -> anyhow::Result<[u8; 32]> {
    let mut digest = [0; 32];
    ensure!(text.len() == 64 && text.is_ascii(), "`{text}` is no digest");
    for (byte, place) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(place..place + 2).unwrap_or_default(), 16)?;
    }
    Ok(digest)
}

/// Whether a drill has ended as it should.
fn judge(drill: &Drill, ran: &Ran) -> anyhow::Result<()> {
    let said = |text: &str| ran.console.iter().any(|line| line.contains(text));
    if let Some(text) = drill.says {
        ensure!(said(text), "expected a line with `{text}`");
    }
    let report = ran.devices.as_ref().context("the board has left no report")?;
    match drill.outcome {
        Outcome::Runs | Outcome::Starts => {
            ensure!(ran.verdict == Verdict::Success, "it did not start");
            ensure!(report.complaints.is_empty(), "the board complains: {:#?}", report.complaints);
            let led = report.nets.get("LD9").filter(|_| matches!(drill.outcome, Outcome::Starts));
            ensure!(led.is_none_or(|led| led.count == 0), "LED LD9 still shines when the system starts: {led:?}");
        }
        Outcome::Refused(reason) => {
            let refused = matches!(&ran.verdict, Verdict::Failure { line } if line.contains(reason));
            ensure!(refused, "expected the boot ROM to refuse with `{reason}`");
            ensure!(ran.console.is_empty(), "something has run nevertheless");
        }
        Outcome::GivesUp(code, message) => {
            let line = ran.console.last().map_or("", String::as_str);
            let expected = format!("[fsbl] failed, code {code}: ");
            ensure!(
                line.starts_with(&expected) && line.contains(message),
                "expected `{expected}...{message}...` as the last line"
            );
            ensure!(report.complaints.is_empty(), "the board complains: {:#?}", report.complaints);
            let flashes = report.nets.get("LD9").map(flashes).unwrap_or_default();
            ensure!(flashes.len() > 1, "LED LD9 was not watched long enough: {flashes:?}");
            let all_equal = flashes.iter().all(|flashes| *flashes == usize::from(code));
            ensure!(all_equal, "expected LED LD9 to flash {code} times in each round, it flashed: {flashes:?}");
        }
    }
    Ok(())
}

/// How often an LED flashes in each round that ended: rounds are told apart by longer darkness.
fn flashes(history: &History) -> Vec<usize> {
    let mut rounds: Vec<usize> = Vec::new();
    let mut flash = 0;
    // Behind the light of the boot loader at work the first round begins with darkness.
    for pair in history.edges.windows(2).skip(1) {
        let [from, to] = pair else { continue };
        let lasted = to.time.saturating_sub(from.time);
        if from.level {
            flash = lasted;
            rounds.last_mut().map(|round| *round += 1).unwrap_or_default();
        } else if flash == 0 || lasted > 3 * flash {
            rounds.push(0);
        }
    }
    // The last round may have been cut short.
    rounds.pop();
    rounds
}

fn word(image: &[u8], offset: usize) -> anyhow::Result<u32> {
    let bytes = image.get(offset..).and_then(<[u8]>::first_chunk).context("the image is too short")?;
    Ok(u32::from_le_bytes(*bytes))
}

/// Changes the word at `offset`.
fn change(image: &mut [u8], offset: usize, change: impl FnOnce(u32) -> u32) -> anyhow::Result<()> {
    let changed = change(word(image, offset)?).to_le_bytes();
    image.get_mut(offset..offset + 4).context("the image is too short")?.copy_from_slice(&changed);
    Ok(())
}

/// Changes a bit of the data of a partition.
fn flip(image: &mut [u8], partition: u32, offset: usize) -> anyhow::Result<()> {
    let found = Image::open(&*image).and_then(|mut parsed| parsed.partition(partition));
    let start = match found {
        Ok(partition) => usize::try_from(partition.data().start)?,
        Err(error) => bail!("{error:?}"),
    };
    *image.get_mut(start + offset).context("the partition is too short")? ^= 0x10;
    Ok(())
}

/// Sets the boot loader's length, and makes the boot header's checksum right again.
fn set_length(image: &mut [u8], length: u32) -> anyhow::Result<()> {
    change(image, 0x34, |_| length)?;
    change(image, 0x40, |_| length)?;
    let mut sum = 0_u32;
    for offset in (0x20..0x48).step_by(4) {
        sum = sum.wrapping_add(word(image, offset)?);
    }
    change(image, 0x48, |_| !sum)
}

/// Overwrites the sector at `offset` with zeros.
fn overwrite(card: &Path, offset: u64) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).open(card)?;
    Ok(file.write_all_at(&[0; 512], offset)?)
}

/// Runs one of the mtools on the boot partition of a card; returns what it says.
fn mtools(card: &Path, tool: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut partition = card.as_os_str().to_owned();
    partition.push(format!("@@{PARTITION}"));
    let output = Command::new(tool).arg("-i").arg(partition).args(arguments).output()?;
    ensure!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use models::board::Edge;

    use super::*;

    /// Edges at these times, the first one to high.
    fn history(times: &[u64]) -> History {
        let mut history = History::default();
        times.iter().zip([true, false].into_iter().cycle()).for_each(|(&time, level)| history.note(time, level));
        history
    }

    #[test]
    fn flashes_are_counted_by_round() {
        // At work, then twice three flashes, then something unfinished.
        let mut times = vec![5, 100];
        for round in [1_000, 2_000, 3_000] {
            for flash in 0..3 {
                times.extend([round + 100 * flash, round + 100 * flash + 50]);
            }
        }
        times.pop();
        assert_eq!(flashes(&history(&times)), [3, 3]);
        // One flash in each round.
        assert_eq!(flashes(&history(&[5, 100, 1_000, 1_050, 2_000, 2_050, 3_000, 3_050])), [1, 1]);
        assert!(flashes(&history(&[5, 100])).is_empty());
        assert_eq!(history(&[5, 100]).edges.first(), Some(&Edge { time: 5, level: true }));
    }

    #[test]
    fn digests_are_read() {
        let text: Vec<String> = (0..32).map(|byte| format!("{byte:02x}")).collect();
        let bytes: Vec<u8> = (0..32).collect();
        assert_eq!(digest(&text.concat()).unwrap(), *bytes);
        assert!(digest("00").is_err());
    }

    #[test]
    fn drills_have_names_of_their_own() {
        let names: std::collections::BTreeSet<&str> = names().collect();
        assert_eq!(names.len(), DRILLS.len() + 1);
    }
}
