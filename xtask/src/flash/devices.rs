//! Which disks there are, and which of them may be written.
//!
//! # Theory of operation
//!
//! The kernel describes every disk in a folder `/sys/block/NAME`: `size` in units of 512 bytes whatever the disk's own
//! sectors are, `removable`, `ro`, `device/vendor` and `device/model`, and for cards in a slot of their own
//! `device/type` and `device/name`. Partitions are folders in it that have a file `partition`. Disks and partitions have
//! a number, `major:minor`, in their file `dev`.
//!
//! *Removable* is a disk whose medium is (`removable` is 1: card readers, USB sticks) or that is an SD card in a slot:
//! the kernel calls the latter not removable, because with the card the whole disk goes, and so its `device/type` is
//! looked at, which is `SD` for a card and `MMC` for a chip on the board.
//!
//! *In use* is a disk that a file system of `/proc/self/mountinfo` or a swap space of `/proc/swaps` lies on, directly, in
//! a partition, or below layers like LVM, RAID and encryption: these are disks of their own with the disks below them in
//! their folder `slaves`. A disk below such a layer is in use even if nothing is mounted; then it is in the
//! `holders` of the lower one. File systems that spread over several disks are named by one of them only (btrfs), or by
//! none (ZFS): the kernel itself refuses to open such a disk for exclusive use, which is asked of it before the first
//! write.
//!
//! All files are looked up in the folders of a [`Host`], so that a test can bring its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use indicatif::DecimalBytes;

/// Unit of the kernel's `size` files, in bytes.
const SECTOR: u64 = 512;
/// How many layers may lie on top of each other; the kernel's own limit is lower.
const LAYERS: usize = 16;
/// Without what is mounted there, or below, the running system cannot go on.
const SYSTEM: [&str; 12] =
    ["/boot", "/efi", "/etc", "/gnu", "/home", "/lib", "/nix", "/opt", "/root", "/srv", "/usr", "/var"];

/// Where a machine describes itself.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The folder `/sys`.
    pub(crate) sys: PathBuf,
    /// The folder `/proc`.
    pub(crate) proc: PathBuf,
    /// The folder `/dev`.
    pub(crate) dev: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self { sys: "/sys".into(), proc: "/proc".into(), dev: "/dev".into() }
    }
}

/// A whole disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// What the kernel calls it: `sdb`, `mmcblk0`.
    pub(crate) name: String,
    /// Its size in bytes; 0 without a medium.
    pub(crate) bytes: u64,
    /// Vendor and model; may be empty.
    pub(crate) model: String,
    /// Its medium can be taken out.
    pub(crate) removable: bool,
    /// A file that the kernel shows as a disk.
    pub(crate) is_loop: bool,
    /// It is write-protected.
    pub(crate) read_only: bool,
    /// Who uses it.
    pub(crate) uses: BTreeSet<Use>,
}

/// What a disk is in use for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// A file system on it is mounted.
    Mounted {
        /// The disk, partition or layer with the file system.
        device: String,
        /// Where.
        at: PathBuf,
    },
    /// Memory is paged out to it.
    Swap {
        /// The disk, partition or layer.
        device: String,
    },
    /// It, or a part of it, is below a layer.
    Held {
        /// The layer.
        by: String,
    },
}

impl Use {
    /// Whether the running system depends on it.
    fn is_system(&self) -> bool {
        match self {
            Self::Swap { .. } => true,
            Self::Mounted { at, .. } => at == Path::new("/") || SYSTEM.iter().any(|folder| at.starts_with(folder)),
            Self::Held { .. } => false,
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted { device, at } => write!(f, "{device} is mounted at {}", at.display()),
            Self::Swap { device } => write!(f, "{device} is swap space"),
            Self::Held { by } => write!(f, "{by} lies on it"),
        }
    }
}

/// What a device number stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A whole disk.
    Disk(Box<Disk>),
    /// A part of one.
    Partition {
        /// The partition.
        name: String,
        /// Its disk.
        of: String,
    },
}

/// Why a disk is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is no disk that the kernel knows.
    #[error("{0}: the kernel describes no such disk")]
    Unknown(PathBuf),
    /// A card's image has a partition table of its own.
    #[error("{path}: this is a partition of /dev/{of}; a card image goes onto the whole disk, --device /dev/{of}", path = path.display())]
    Partition {
        /// The device.
        path: PathBuf,
        /// The disk.
        of: String,
    },
    /// The running system is on it.
    #[error("{}: the running system needs this disk ({}); it is never written", path.display(), all(uses))]
    System {
        /// The device.
        path: PathBuf,
        /// What for.
        uses: Vec<Use>,
    },
    /// No medium.
    #[error("{}: there is no card in it", .0.display())]
    Empty(PathBuf),
    /// Write-protected.
    #[error("{}: it is write-protected; push the card's slide towards its contacts, or use another adapter", .0.display())]
    ReadOnly(PathBuf),
    /// The medium is fixed.
    #[error("{}: {what} is not removable; `cargo xtask flash` lists what is, `--force` writes all the same", path.display())]
    Fixed {
        /// The device.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// Somebody uses it.
    #[error("{}: in use ({}); `umount` it first, `--force` writes all the same", path.display(), all(uses))]
    InUse {
        /// The device.
        path: PathBuf,
        /// What for.
        uses: Vec<Use>,
    },
}

fn all(uses: &[Use]) -> String {
    uses.iter().map(Use::to_string).collect::<Vec<_>>().join(", ")
}

impl Host {
    /// Every whole disk, by name.
    pub(crate) fn disks(&self) -> std::io::Result<Vec<Disk>> {
        let tree = Tree::read(&self.sys)?;
        let uses = self.uses(&tree)?;
        Ok(tree.disks.keys().map(|name| self.disk(name, &uses)).collect())
    }

    /// What the device with the number `major:minor` is, or `None` if the kernel describes no such disk.
    pub(crate) fn place(&self, major: u64, minor: u64) -> std::io::Result<Option<Place>> {
        let tree = Tree::read(&self.sys)?;
        let Some(name) = tree.numbers.get(&format!("{major}:{minor}")) else { return Ok(None) };
        Ok(Some(match tree.partitions.get(name) {
            Some(of) => Place::Partition { name: name.clone(), of: of.clone() },
            None => Place::Disk(Box::new(self.disk(name, &self.uses(&tree)?))),
        }))
    }

    fn disk(&self, name: &str, uses: &BTreeMap<String, BTreeSet<Use>>) -> Disk {
        let folder = self.sys.join("block").join(name);
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned();
        let words = ["device/vendor", "device/model", "device/name"].map(&text);
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        Disk {
            name: name.to_owned(),
            bytes: text("size").parse::<u64>().unwrap_or(0).saturating_mul(SECTOR),
            model: words.join(" "),
            removable: text("removable") == "1" || text("device/type") == "SD",
            is_loop: folder.join("loop").is_dir(),
            read_only: text("ro") == "1",
            uses: uses.get(name).cloned().unwrap_or_default(),
        }
    }

    /// The uses of every disk.
    fn uses(&self, tree: &Tree) -> std::io::Result<BTreeMap<String, BTreeSet<Use>>> {
        let mut uses: BTreeMap<String, BTreeSet<Use>> = BTreeMap::new();
        let mut add = |device: &str, what: Use| {
            for disk in tree.below(device) {
                uses.entry(disk).or_default().insert(what.clone());
            }
        };
        for line in std::fs::read_to_string(self.proc.join("self/mountinfo"))?.lines() {
            let Some(mount) = Mount::parse(line) else { continue };
            let device = tree.numbers.get(mount.number).cloned().or_else(|| self.device(&mount.source));
            if let Some(device) = device {
                add(&device, Use::Mounted { device: device.clone(), at: mount.at.into() });
            }
        }
        // A kernel without swapping has no such file.
        let swaps = std::fs::read_to_string(self.proc.join("swaps")).unwrap_or_default();
        for line in swaps.lines().skip(1) {
            let source = unescaped(line.split_whitespace().next().unwrap_or_default());
            if let Some(device) = self.device(&source) {
                add(&device, Use::Swap { device: device.clone() });
            }
        }
        for (lower, upper) in &tree.holders {
            add(lower, Use::Held { by: upper.clone() });
        }
        Ok(uses)
    }

    /// What the kernel calls the device with the path `/dev/...`.
    fn device(&self, source: &str) -> Option<String> {
        let path = self.dev.join(source.strip_prefix("/dev/")?);
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        Some(path.file_name()?.to_str()?.to_owned())
    }
}

impl Disk {
    /// Where its contents are.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    /// One line about it.
    pub(crate) fn describe(&self) -> String {
        let size = DecimalBytes(self.bytes);
        match (self.is_loop, self.model.as_str()) {
            (true, _) => format!("a loop device of {size}"),
            (false, "") => format!("a disk of {size}"),
            (false, model) => format!("{model}, {size}"),
        }
    }

    /// Checks that it may be written; `path` is what the user calls it.
    ///
    /// A loop device counts as a plain file and need not be removable. `force` lets a disk be fixed or in use, but
    /// never the system's.
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub(crate) fn may_be_written(&self, path: &Path, force: bool) -> Result<(), Refusal> {
        let path = path.to_owned();
        let system: Vec<Use> = self.uses.iter().filter(|used| used.is_system()).cloned().collect();
        if !system.is_empty() {
            return Err(Refusal::System { path, uses: system });
        }
        if !(force || self.removable || self.is_loop) {
            return Err(Refusal::Fixed { path, what: self.describe() });
        }
        if self.bytes == 0 {
            return Err(Refusal::Empty(path));
        }
        if self.read_only {
            return Err(Refusal::ReadOnly(path));
        }
        if !(force || self.uses.is_empty()) {
            return Err(Refusal::InUse { path, uses: self.uses.iter().cloned().collect() });
        }
        Ok(())
    }
}

/// Disks as a table for people: device, size, model, and what it is in use for.
pub(crate) fn table<'d>(disks: impl IntoIterator<Item = &'d Disk>) -> String {
    let mut rows = vec![["device".to_owned(), "size".to_owned(), "model".to_owned(), "in use".to_owned()]];
    rows.extend(disks.into_iter().map(|disk| {
        let size = if disk.bytes == 0 { "no card".to_owned() } else { DecimalBytes(disk.bytes).to_string() };
        let uses = if disk.uses.is_empty() {
            "no".to_owned()
        } else {
            disk.uses.iter().map(Use::to_string).collect::<Vec<_>>().join(", ")
        };
        [disk.path().display().to_string(), size, disk.model.clone(), uses]
    }));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [device, size, model, uses] in &rows {
        let [first, second, third] = widths;
        let _ = writeln!(text, "{device:first$}  {size:>second$}  {model:third$}  {uses}");
    }
    text
}

/// The disks and partitions that the kernel describes.
struct Tree {
    /// Whole disks, with the disks or partitions that each lies on.
    disks: BTreeMap<String, Vec<String>>,
    /// Partitions, with their disk.
    partitions: BTreeMap<String, String>,
    /// What lies below which layer.
    holders: Vec<(String, String)>,
    /// Names by `major:minor`.
    numbers: BTreeMap<String, String>,
}

impl Tree {
    fn read(sys: &Path) -> std::io::Result<Self> {
        let mut tree =
            Self { disks: BTreeMap::new(), partitions: BTreeMap::new(), holders: Vec::new(), numbers: BTreeMap::new() };
        let block = sys.join("block");
        for disk in names(&block)? {
            let folder = block.join(&disk);
            for entry in names(&folder).unwrap_or_default() {
                if folder.join(&entry).join("partition").exists() {
                    tree.enter(&folder.join(&entry), &entry);
                    tree.partitions.insert(entry, disk.clone());
                }
            }
            tree.enter(&folder, &disk);
            let slaves = names(&folder.join("slaves")).unwrap_or_default();
            tree.disks.insert(disk, slaves);
        }
        Ok(tree)
    }

    fn enter(&mut self, folder: &Path, name: &str) {
        if let Ok(number) = std::fs::read_to_string(folder.join("dev")) {
            self.numbers.insert(number.trim().to_owned(), name.to_owned());
        }
        for holder in names(&folder.join("holders")).unwrap_or_default() {
            self.holders.push((name.to_owned(), holder));
        }
    }

    /// The whole disks that `device` lies on, itself among them if it is one.
    fn below(&self, device: &str) -> BTreeSet<String> {
        let mut disks = BTreeSet::new();
        let mut level = vec![device.to_owned()];
        for _ in 0..LAYERS {
            let mut next = Vec::new();
            for name in level {
                let disk = self.partitions.get(&name).unwrap_or(&name).clone();
                next.extend(self.disks.get(&disk).into_iter().flatten().cloned());
                disks.insert(disk);
            }
            if next.is_empty() {
                break;
            }
            level = next;
        }
        disks
    }
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// A line of `/proc/self/mountinfo`, see proc_pid_mountinfo(5).
struct Mount<'a> {
    number: &'a str,
    at: String,
    source: String,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let number = fields.nth(2)?;
        let at = unescaped(fields.nth(1)?);
        let source = unescaped(file_system.split(' ').nth(1)?);
        Some(Self { number, at, source })
    }
}

/// The kernel writes blanks and the like as a backslash and three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine: `files` are paths below its root and their contents.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for folder in ["sys/block", "proc/self", "dev/mapper"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::fs::write(root.path().join("proc/self/mountinfo"), "").unwrap();
        for (path, contents) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        let host = Host { sys: root.path().join("sys"), proc: root.path().join("proc"), dev: root.path().join("dev") };
        (root, host)
    }

    /// A notebook: a system disk with an encrypted root, a card reader with a card, one without, a card in a slot, the
    /// chip of an eMMC, a USB disk.
    const NOTEBOOK: &[(&str, &str)] = &[
        ("sys/block/nvme0n1/dev", "259:0\n"),
        ("sys/block/nvme0n1/size", "1000215216\n"),
        ("sys/block/nvme0n1/removable", "0\n"),
        ("sys/block/nvme0n1/device/model", "Fast 512GB            \n"),
        ("sys/block/nvme0n1/nvme0n1p1/partition", "1\n"),
        ("sys/block/nvme0n1/nvme0n1p1/dev", "259:1\n"),
        ("sys/block/nvme0n1/nvme0n1p2/partition", "2\n"),
        ("sys/block/nvme0n1/nvme0n1p2/dev", "259:2\n"),
        ("sys/block/nvme0n1/nvme0n1p2/holders/dm-0", ""),
        ("sys/block/dm-0/dev", "253:0\n"),
        ("sys/block/dm-0/size", "999000000\n"),
        ("sys/block/dm-0/slaves/nvme0n1p2", ""),
        ("sys/block/sda/dev", "8:0\n"),
        ("sys/block/sda/size", "31116288\n"),
        ("sys/block/sda/removable", "1\n"),
        ("sys/block/sda/ro", "0\n"),
        ("sys/block/sda/device/vendor", "Generic \n"),
        ("sys/block/sda/device/model", "STORAGE DEVICE  \n"),
        ("sys/block/sda/sda1/partition", "1\n"),
        ("sys/block/sda/sda1/dev", "8:1\n"),
        ("sys/block/sdb/dev", "8:16\n"),
        ("sys/block/sdb/size", "0\n"),
        ("sys/block/sdb/removable", "1\n"),
        ("sys/block/sdc/dev", "8:32\n"),
        ("sys/block/sdc/size", "1953525168\n"),
        ("sys/block/sdc/removable", "0\n"),
        ("sys/block/sdc/device/model", "Backup\n"),
        ("sys/block/mmcblk0/dev", "179:0\n"),
        ("sys/block/mmcblk0/size", "62333952\n"),
        ("sys/block/mmcblk0/removable", "0\n"),
        ("sys/block/mmcblk0/device/type", "SD\n"),
        ("sys/block/mmcblk0/device/name", "SC32G\n"),
        ("sys/block/mmcblk1/dev", "179:8\n"),
        ("sys/block/mmcblk1/size", "15269888\n"),
        ("sys/block/mmcblk1/removable", "0\n"),
        ("sys/block/mmcblk1/device/type", "MMC\n"),
        ("sys/block/loop0/dev", "7:0\n"),
        ("sys/block/loop0/size", "2048\n"),
        ("sys/block/loop0/loop/backing_file", "/tmp/x\n"),
        ("proc/swaps", "Filename Type Size Used Priority\n"),
        (
            "proc/self/mountinfo",
            "22 1 0:21 / /proc rw - proc proc rw\n\
             23 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/root rw\n\
             24 1 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n",
        ),
    ];

    fn disk(host: &Host, name: &str) -> Disk {
        host.disks().unwrap().into_iter().find(|disk| disk.name == name).unwrap()
    }

    fn with(extra: &[(&'static str, &'static str)]) -> (tempfile::TempDir, Host) {
        machine(&[NOTEBOOK, extra].concat())
    }

    #[test]
    fn cards_in_readers_and_slots_are_removable_and_nothing_else_is() {
        let (_root, host) = with(&[]);
        let disks = host.disks().unwrap();
        let removable: Vec<&str> = disks.iter().filter(|disk| disk.removable).map(|disk| disk.name.as_str()).collect();
        assert_eq!(removable, ["mmcblk0", "sda", "sdb"]);
        let sda = disk(&host, "sda");
        assert_eq!((sda.bytes, sda.model.as_str()), (31_116_288 * 512, "Generic STORAGE DEVICE"));
        assert_eq!(disk(&host, "mmcblk0").describe(), "SC32G, 31.91 GB");
    }

    #[test]
    fn the_table_says_what_a_person_wants_to_know() {
        let (_root, host) = with(&[("proc/self/mountinfo", "9 1 8:1 / /media/my\\040card rw - vfat /dev/sda1 rw\n")]);
        let disks = host.disks().unwrap();
        let text = table(disks.iter().filter(|disk| disk.removable));
        let expected = [
            "device            size  model                   in use",
            "/dev/mmcblk0  31.91 GB  SC32G                   no",
            "/dev/sda      15.93 GB  Generic STORAGE DEVICE  sda1 is mounted at /media/my card",
            "/dev/sdb       no card                          no",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_system_disk_is_found_below_its_layers_and_never_written() {
        let (_root, host) = with(&[]);
        for force in [false, true] {
            let refusal = disk(&host, "nvme0n1").may_be_written(Path::new("/dev/nvme0n1"), force).unwrap_err();
            let Refusal::System { uses, .. } = &refusal else { panic!("{refusal}") };
            assert_eq!(uses.len(), 2, "{refusal}");
            assert!(refusal.to_string().contains("dm-0 is mounted at /,"), "{refusal}");
        }
    }

    #[test]
    fn swap_space_is_the_system_s_too() {
        let (_root, host) = with(&[("proc/swaps", "Filename Type\n/dev/sda1 partition 1 0 -2\n")]);
        let refusal = disk(&host, "sda").may_be_written(Path::new("/dev/sda"), true).unwrap_err();
        assert!(matches!(refusal, Refusal::System { .. }), "{refusal}");
    }

    #[test]
    fn what_is_mounted_is_found_by_number_and_by_name() {
        // The second is how btrfs shows itself: with a number that is no disk's.
        for line in ["9 1 8:1 / /media/x rw - vfat /dev/sda1 rw\n", "9 1 0:50 / /media/x rw - btrfs /dev/sda1 rw\n"] {
            let (_root, host) = with(&[("proc/self/mountinfo", line)]);
            let sda = disk(&host, "sda");
            let refusal = sda.may_be_written(Path::new("/dev/sda"), false).unwrap_err();
            assert!(refusal.to_string().contains("sda1 is mounted at /media/x"), "{refusal}");
            assert_eq!(sda.may_be_written(Path::new("/dev/sda"), true), Ok(()));
        }
    }

    #[test]
    fn a_link_leads_to_the_device() {
        let (root, host) =
            with(&[("dev/sda1", ""), ("proc/self/mountinfo", "9 1 0:50 / /media/x rw - btrfs /dev/mapper/card rw\n")]);
        std::os::unix::fs::symlink("../sda1", root.path().join("dev/mapper/card")).unwrap();
        assert_eq!(disk(&host, "sda").uses.len(), 1);
    }

    #[test]
    fn a_layer_without_a_mount_is_a_use() {
        let (_root, host) = with(&[("sys/block/sda/sda1/holders/dm-7", ""), ("sys/block/dm-7/slaves/sda1", "")]);
        let refusal = disk(&host, "sda").may_be_written(Path::new("/dev/sda"), false).unwrap_err();
        assert!(refusal.to_string().contains("dm-7 lies on it"), "{refusal}");
    }

    #[test]
    fn the_fixed_the_empty_and_the_protected_are_refused() {
        let (_root, host) = with(&[("sys/block/mmcblk0/ro", "1\n")]);
        let refused = |name: &str, force| disk(&host, name).may_be_written(Path::new("/dev/x"), force);
        assert!(matches!(refused("sdc", false), Err(Refusal::Fixed { .. })));
        assert_eq!(refused("sdc", true), Ok(()));
        assert!(matches!(refused("mmcblk1", false), Err(Refusal::Fixed { .. })));
        assert!(matches!(refused("sdb", true), Err(Refusal::Empty(_))));
        assert!(matches!(refused("mmcblk0", true), Err(Refusal::ReadOnly(_))));
        assert_eq!(refused("sda", false), Ok(()));
        assert_eq!(refused("loop0", false), Ok(()));
    }

    #[test]
    fn a_number_leads_to_its_disk_or_partition() {
        let (_root, host) = with(&[]);
        assert!(matches!(host.place(8, 0).unwrap(), Some(Place::Disk(disk)) if disk.name == "sda"));
        let partition = Place::Partition { name: "sda1".into(), of: "sda".into() };
        assert_eq!(host.place(8, 1).unwrap(), Some(partition));
        assert_eq!(host.place(8, 200).unwrap(), None);
    }

    #[test]
    fn layers_that_go_round_in_a_circle_end() {
        let (_root, host) = machine(&[
            ("sys/block/dm-0/slaves/dm-1", ""),
            ("sys/block/dm-1/slaves/dm-0", ""),
            ("sys/block/dm-0/dev", "253:0"),
            ("proc/self/mountinfo", "9 1 253:0 / /x rw - ext4 /dev/dm-0 rw\n"),
        ]);
        assert_eq!(host.disks().unwrap().len(), 2);
    }
}
