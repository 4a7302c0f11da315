//! The contents of an image for people: a tree of the headers and a map of the bytes.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};

use super::contents::Contents;
use super::describe::{Description, File, Part};
use super::sections::{Kind, Section};

/// How things look on a terminal.
mod style {
    use super::{AnsiColor, Style};

    pub(super) const TITLE: Style = Style::new().bold();
    pub(super) const NAME: Style = AnsiColor::Cyan.on_default().bold();
    pub(super) const DIM: Style = Style::new().dimmed();
    pub(super) const GOOD: Style = AnsiColor::Green.on_default();
    pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
}

/// Columns of a bar in the map.
const BAR: u64 = 24;

/// Columns of a line of text.
const WIDTH: usize = 100;

/// A line with lines below it.
struct Node {
    text: String,
    children: Vec<Node>,
}

impl Node {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), children: Vec::new() }
    }

    /// A named value.
    fn entry(name: &str, value: impl fmt::Display) -> Self {
        Self::new(format!("{}{name:<14}{:#} {value}", style::DIM, style::DIM))
    }

    fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    fn print(&self, out: &mut String, prefix: &str) {
        let count = self.children.len();
        for (index, child) in self.children.iter().enumerate() {
            let (branch, below) = if index + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}{prefix}{branch}{:#}{}", style::DIM, style::DIM, child.text);
            child.print(out, &format!("{prefix}{below}"));
        }
    }
}

/// The tree and the map. The text has the escape sequences for colours; what prints it strips them where there is no terminal.
pub fn render(name: &str, description: &Description, contents: &Contents) -> String {
    let mut out = String::new();
    let mut add = |node: &Node| {
        let _ = writeln!(out, "{}", node.text);
        node.print(&mut out, "");
        out.push('\n');
    };
    add(&Node::new(summary(name, description)));
    add(&boot(description));
    add(&table(description));
    if let Some(authentication) = &description.authentication {
        let mut node = title("Authentication", None);
        node = node
            .with(Node::entry("algorithm", "RSA-2048 with SHA-256"))
            .with(Node::entry("primary key", format!("SHA-256 {}", authentication.primary_key_hash)))
            .with(Node::entry("secondary key", format!("SHA-256 {}", authentication.secondary_key_hash)))
            .with(Node::entry("signatures", authentication.signatures));
        add(&match authentication.header_certificate {
            Some(offset) => node.with(Node::entry("headers", format!("certificate at {offset:#x}"))),
            None => node.with(Node::entry("headers", "not signed")),
        });
    }
    for file in &description.images {
        add(&image(file));
    }
    out.push_str(&map(&description.sections, contents));
    out
}

/// The line that says what this is.
fn summary(name: &str, description: &Description) -> String {
    let partitions = || description.images.iter().flat_map(|image| &image.partitions);
    let mut facts = vec![size(description.length), "Zynq-7000 boot image".to_owned()];
    facts.push(plural(description.images.len(), "file"));
    facts.push(plural(partitions().count(), "partition"));
    if description.authentication.is_some() {
        facts.push("signed".to_owned());
    }
    if partitions().any(|partition| partition.encrypted) {
        facts.push("encrypted".to_owned());
    }
    format!("{}{name}{:#}: {}", style::NAME, style::NAME, facts.join(", "))
}

/// A heading, with where it is.
fn title(name: &str, offset: Option<u64>) -> Node {
    let place = offset.map(|offset| format!(", {}at {offset:#x}{:#}", style::DIM, style::DIM)).unwrap_or_default();
    Node::new(format!("{}{name}{:#}{place}", style::TITLE, style::TITLE))
}

fn boot(description: &Description) -> Node {
    let boot = &description.boot_header;
    let mut node = title("Boot header", Some(0));
    node = match boot.source_offset {
        None => node.with(Node::entry("boot loader", "none: the boot ROM starts nothing")),
        Some(source) if boot.runs_in_place => node
            .with(Node::entry("boot loader", format!("at {source:#x}, runs in place")))
            .with(Node::entry("entry", format!("{:#010x}", boot.execution_address))),
        Some(source) => node
            .with(Node::entry(
                "boot loader",
                format!("at {source:#x}, {}", stored_and_plain(boot.total_length.into(), boot.length.into())),
            ))
            .with(Node::entry("load address", format!("{:#010x}", boot.load_address)))
            .with(Node::entry("entry", format!("{:#010x}", boot.execution_address))),
    };
    let key = match boot.key_source {
        "none" => "none: not encrypted",
        "bbram" => "battery-backed RAM",
        "efuse" => "eFUSE",
        other => other,
    };
    node = node
        .with(Node::entry("AES key", key))
        .with(Node::entry("checksum", format!("{:#010x} {}", boot.checksum, ok(boot.checksum_ok))));
    if !boot.user_defined.is_empty() {
        node = node.with(Node::entry("user defined", &boot.user_defined));
    }
    if !description.register_initialization.is_empty() {
        let count = description.register_initialization.len();
        let mut writes = Node::entry("register init", plural(count, "write"));
        for write in &description.register_initialization {
            writes = writes.with(Node::new(format!("{:#010x} = {:#010x}", write.address, write.value)));
        }
        node = node.with(writes);
    }
    node
}

fn table(description: &Description) -> Node {
    let table = &description.image_header_table;
    title("Image header table", Some(table.offset))
        .with(Node::entry("version", format!("{:#010x}", table.version)))
        .with(Node::entry("partitions", table.partitions))
        .with(Node::entry("image headers", format!("from {:#x}", table.image_headers)))
        .with(Node::entry("part. headers", format!("from {:#x}", table.partition_headers)))
        .with(match table.certificate {
            Some(offset) => Node::entry("certificate", format!("at {offset:#x}")),
            None => Node::entry("certificate", "none"),
        })
}

fn image(file: &File) -> Node {
    let mut node = Node::new(format!(
        "{}{}{:#}, {}image header at {:#x}{:#}",
        style::NAME,
        file.name,
        style::NAME,
        style::DIM,
        file.offset,
        style::DIM
    ));
    for part in &file.partitions {
        node = node.with(partition(part));
    }
    node
}

fn partition(part: &Part) -> Node {
    let what = match (part.is_boot_loader, part.destination) {
        (true, _) => "boot loader".to_owned(),
        (_, "pl") => match part.device {
            Some(device) => format!("programmable logic for xc{device}"),
            None => "programmable logic".to_owned(),
        },
        (_, "ps") => "program or data".to_owned(),
        _ => "of unknown destination".to_owned(),
    };
    let mut node = Node::new(format!(
        "{}partition {}{:#}: {what}, {}header at {:#x}{:#}",
        style::TITLE,
        part.index,
        style::TITLE,
        style::DIM,
        part.header_offset,
        style::DIM
    ));
    let lengths =
        if part.encrypted { stored_and_plain(part.data_length, part.plain_length) } else { size(part.data_length) };
    node = node.with(Node::entry("data", format!("at {:#x}, {lengths}", part.data_offset)));
    if part.destination != "pl" {
        node = node.with(Node::entry("load address", format!("{:#010x}", part.load_address)));
        if part.execution_address != 0 || part.is_boot_loader {
            node = node.with(Node::entry("entry", format!("{:#010x}", part.execution_address)));
        }
    }
    if part.owner == "uboot" {
        node = node.with(Node::entry("owner", "U-Boot"));
    } else if part.owner != "fsbl" {
        node = node.with(Node::entry("owner", part.owner));
    }
    if part.encrypted {
        node = node.with(Node::entry("encryption", "AES-256-CBC with HMAC-SHA256"));
    }
    if let Some(offset) = part.certificate {
        node = node.with(Node::entry("signature", format!("RSA-2048, certificate at {offset:#x}")));
    }
    if let (Some(md5), Some(offset)) = (&part.md5, part.md5_offset) {
        node = node.with(Node::entry("MD5", format!("{md5} {}at {offset:#x}{:#}", style::DIM, style::DIM)));
    }
    if !part.checksum_ok {
        node = node.with(Node::entry("header", ok(false)));
    }
    node
}

/// The map: all sections, each with a bar as long as its share of the image.
fn map(sections: &[Section], contents: &Contents) -> String {
    let mut out = format!("{}Map{:#}\n", style::TITLE, style::TITLE);
    let longest = sections.iter().map(|section| section.range.end - section.range.start).max().unwrap_or(1).max(1);
    let digits = format!("{:x}", contents.length).len().max(4);
    for section in sections {
        let length = section.range.end - section.range.start;
        // The square root leaves the headers visible beside a bitstream.
        let share = (length.saturating_mul(BAR * BAR) / longest).isqrt().clamp(1, BAR);
        let style = match section.kind {
            Kind::Data(_) => style::GOOD,
            Kind::Fill | Kind::Rest | Kind::Padding(_) => style::DIM,
            _ => style::NAME,
        };
        let block = if matches!(section.kind, Kind::Fill | Kind::Padding(_)) { "·" } else { "█" };
        let bar = block.repeat(usize::try_from(share).unwrap_or_default());
        let blank = " ".repeat(usize::try_from(BAR - share).unwrap_or_default());
        let what = section.kind.describe(contents);
        let line = format!("{what:<WHAT$}", WHAT = WIDTH.saturating_sub(62));
        let _ = writeln!(
            out,
            "  {:0digits$x}..{:0digits$x}  {style}{bar}{style:#}{blank}  {line} {}{}{:#}",
            section.range.start,
            section.range.end,
            style::DIM,
            size(length),
            style::DIM,
        );
    }
    out
}

/// Whether a sum of words is right, in words.
fn ok(is_ok: bool) -> String {
    if is_ok {
        format!("{}ok{:#}", style::GOOD, style::GOOD)
    } else {
        format!("{}wrong checksum{:#}", style::BAD, style::BAD)
    }
}

/// Both lengths where they differ.
fn stored_and_plain(stored: u64, plain: u64) -> String {
    if stored == plain { size(plain) } else { format!("{} ({} decrypted)", size(stored), size(plain)) }
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = (bytes.saturating_mul(10) + unit / 2) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..10_240 => plural(usize::try_from(bytes).unwrap_or_default(), "byte"),
        10_240..1_048_576 => format!("{} KiB", tenths(1 << 10)),
        _ => format!("{} MiB", tenths(1 << 20)),
    }
}

/// A number of things.
pub(crate) fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
