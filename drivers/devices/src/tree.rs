//! Devices in the devicetree.
//!
//! A device is a node below a bus: a node directly below the root that is compatible with
//! `simple-bus` and maps addresses one to one (an empty `ranges`). Nodes elsewhere are not devices,
//! even if they have a `reg`: what looks like an address there is none. Clocks and resets are
//! identified as in the bindings `xlnx,ps7-clkc` and `xlnx,zynq-reset`.
//!
//! A device is named by its node name, `serial@e0001000`, or by an alias, `serial0`.

use core::str;

use fdt::Fdt;
use fdt::node::{FdtNode, NodeProperty};
use heapless::Vec;
use thiserror::Error;
use zynq7000::clocks::{Clock, Reset};
use zynq7000::memory::{self, Region};

use crate::blob::{self, BlobError};

/// Most register ranges of one device.
pub const REGISTERS: usize = 4;
/// Most interrupts of one device.
pub const INTERRUPTS: usize = 16;
/// Most clocks and most resets of one device.
pub const CLOCKS: usize = 4;

/// Why a device cannot be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// No node and no alias has that name.
    #[error("the devicetree has no such device")]
    NoSuchDevice,
    /// Two buses have a node of that name.
    #[error("the devicetree has two devices of that name; give one of them an alias")]
    Ambiguous,
    /// Its status is not `okay`.
    #[error("the devicetree disables the device")]
    Disabled,
    /// A property is damaged, or has too many entries, or a kind of entry that is not known.
    #[error("the devicetree has a damaged or unknown `{property}` of the device")]
    Property {
        /// Its name.
        property: &'static str,
    },
    /// The registers are memory, or belong to the kernel.
    #[error("the registers at {base:#x} belong to the memory or the kernel")]
    Reserved {
        /// Their address.
        base: u32,
    },
}

/// A device of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// Node name.
    pub name: &'a str,
    /// Physical addresses of the registers.
    pub registers: Vec<Region, REGISTERS>,
    /// Identifiers at the interrupt controller.
    pub interrupts: Vec<u32, INTERRUPTS>,
    /// Clocks; for most controllers first the reference clock, then the bus clock.
    pub clocks: Vec<Clock, CLOCKS>,
    /// Resets.
    pub resets: Vec<Reset, CLOCKS>,
    compatible: &'a [u8],
}

impl<'a> Device<'a> {
    /// What the device is compatible with, most specific first.
    pub fn compatible(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        strings(self.compatible)
    }

    /// Whether the device is compatible with `what`.
    pub fn is_compatible(&self, what: &str) -> bool {
        self.compatible().any(|compatible| compatible == what)
    }
}

/// A devicetree whose structure has been checked.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTree<'a> {
    fdt: Fdt<'a>,
}

impl<'a> DeviceTree<'a> {
    /// Checks and opens a devicetree blob. Bytes after its end are ignored.
    ///
    /// # Errors
    /// [`BlobError`] for whatever is wrong with its structure.
    pub fn new(blob: &'a [u8]) -> Result<Self, BlobError> {
        let blob = blob::check(blob)?;
        let no_header = BlobError::NoHeader { length: blob.len() };
        Ok(Self { fdt: Fdt::new(blob).map_err(|_| no_header)? })
    }

    /// The device that `name` names.
    ///
    /// # Errors
    /// [`DeviceError`]
    pub fn device(&self, name: &str) -> Result<Device<'a>, DeviceError> {
        let path = self.alias(name);
        let mut found = None;
        for (bus, node) in self.nodes() {
            let matches = match path.and_then(|path| path.strip_prefix('/')) {
                Some(path) => path.split_once('/') == Some((bus.name, node.name)),
                None => node.name == name,
            };
            if matches && found.replace((bus, node)).is_some() {
                return Err(DeviceError::Ambiguous);
            }
        }
        let (bus, node) = found.ok_or(DeviceError::NoSuchDevice)?;
        self.read(bus, node)
    }

    /// Every device, with the reason if it cannot be handed out.
    pub fn devices(&self) -> impl Iterator<Item = (&'a str, Result<Device<'a>, DeviceError>)> {
        self.nodes().map(|(bus, node)| (node.name, self.read(bus, node)))
    }

    /// The numbers of a device's property `name`; `None` if it has no such property, or one that does not consist of numbers.
    pub fn property(&self, device: &Device<'a>, name: &str) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let mut nodes = self.nodes().filter(|(bus, node)| self.read(*bus, *node).as_ref() == Ok(device));
        let value = nodes.next()?.1.property(name)?.value;
        Some(cells(value)?.iter().copied().map(u32::from_be_bytes))
    }

    /// Rate of the crystal clock in hertz.
    pub fn ps_clk(&self) -> Option<u32> {
        let clocks =
            self.fdt.all_nodes().find(|&node| strings_of(node, "compatible").any(|what| what == CLOCKS_BINDING))?;
        number(clocks.property("ps-clk-frequency")?)
    }

    fn root(&self) -> Option<FdtNode<'_, 'a>> {
        self.fdt.all_nodes().next()
    }

    fn alias(&self, name: &str) -> Option<&'a str> {
        let aliases = self.root()?.children().find(|node| node.name == "aliases")?;
        strings(aliases.property(name)?.value).next()
    }

    /// All devices and the bus each is on.
    fn nodes(&self) -> impl Iterator<Item = (FdtNode<'_, 'a>, FdtNode<'_, 'a>)> {
        self.root()
            .into_iter()
            .flat_map(FdtNode::children)
            .filter(|&node| {
                strings_of(node, "compatible").any(|what| what == "simple-bus")
                    && node.property("ranges").is_some_and(|ranges| ranges.value.is_empty())
            })
            .flat_map(|bus| bus.children().map(move |node| (bus, node)))
    }

    fn read(&self, bus: FdtNode<'_, 'a>, node: FdtNode<'_, 'a>) -> Result<Device<'a>, DeviceError> {
        if let Some(status) = node.property("status")
            && !strings(status.value).next().is_some_and(|status| matches!(status, "okay" | "ok"))
        {
            return Err(DeviceError::Disabled);
        }
        Ok(Device {
            name: node.name,
            registers: registers(bus, node)?,
            interrupts: self.interrupts(bus, node)?,
            clocks: self.handles(node, "clocks", CLOCKS_BINDING, Clock::from_id)?,
            resets: self.handles(node, "resets", RESETS_BINDING, Reset::from_id)?,
            compatible: node.property("compatible").map_or(&[], |property| property.value),
        })
    }

    fn interrupts(&self, bus: FdtNode<'_, 'a>, node: FdtNode<'_, 'a>) -> Result<Vec<u32, INTERRUPTS>, DeviceError> {
        const ERROR: DeviceError = DeviceError::Property { property: "interrupts" };
        let Some(property) = node.property("interrupts") else {
            return Ok(Vec::new());
        };
        let controller = [Some(node), Some(bus), self.root()]
            .into_iter()
            .flatten()
            .find_map(|node| node.property("interrupt-parent"))
            .and_then(number)
            .and_then(|phandle| self.fdt.find_phandle(phandle))
            .ok_or(ERROR)?;
        if controller.property("#interrupt-cells").and_then(number) != Some(3) {
            return Err(ERROR);
        }
        let (triples, rest) = cells(property.value).ok_or(ERROR)?.as_chunks::<3>();
        if !rest.is_empty() {
            return Err(ERROR);
        }
        let mut interrupts = Vec::new();
        for triple in triples {
            let [kind, number, _flags] = triple.map(u32::from_be_bytes);
            // Kind 1 would be a private interrupt of the processors, which is the kernel's.
            if kind != 0 || number > LAST_SPI {
                return Err(ERROR);
            }
            interrupts.push(memory::spi(number)).map_err(|_| ERROR)?;
        }
        Ok(interrupts)
    }

    /// Pairs of a provider, which must speak `binding`, and an identifier.
    fn handles<T>(
        &self,
        node: FdtNode<'_, 'a>,
        name: &'static str,
        binding: &str,
        from_id: impl Fn(u32) -> Option<T>,
    ) -> Result<Vec<T, CLOCKS>, DeviceError> {
        let error = DeviceError::Property { property: name };
        let Some(property) = node.property(name) else {
            return Ok(Vec::new());
        };
        let (pairs, rest) = cells(property.value).ok_or(error)?.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(error);
        }
        let mut handles = Vec::new();
        for pair in pairs {
            let [phandle, id] = pair.map(u32::from_be_bytes);
            let provider = self.fdt.find_phandle(phandle).ok_or(error)?;
            if !strings_of(provider, "compatible").any(|what| what == binding) {
                return Err(error);
            }
            let handle = from_id(id).ok_or(error)?;
            handles.push(handle).map_err(|_| error)?;
        }
        Ok(handles)
    }
}

/// The interrupt controller of the Zynq-7000 has 64 shared peripheral interrupts (UG585 chapter
/// 7.1.4).
const LAST_SPI: u32 = 63;

const CLOCKS_BINDING: &str = "xlnx,ps7-clkc";
const RESETS_BINDING: &str = "xlnx,zynq-reset";

fn registers(bus: FdtNode<'_, '_>, node: FdtNode<'_, '_>) -> Result<Vec<Region, REGISTERS>, DeviceError> {
    const ERROR: DeviceError = DeviceError::Property { property: "reg" };
    let Some(property) = node.property("reg") else {
        return Ok(Vec::new());
    };
    // Two cells could name addresses that this chip does not have.
    let one = |name| bus.property(name).and_then(number) == Some(1);
    if !one("#address-cells") || !one("#size-cells") {
        return Err(ERROR);
    }
    let (pairs, rest) = cells(property.value).ok_or(ERROR)?.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ERROR);
    }
    let mut registers = Vec::new();
    for pair in pairs {
        let [base, size] = pair.map(u32::from_be_bytes);
        let region = Region::new(base, size);
        let ends = region.size.checked_sub(1).and_then(|last| region.base.checked_add(last));
        if ends.is_none() {
            return Err(ERROR);
        }
        let reserved = [memory::DDR, memory::OCM_HIGH, memory::CPU_PRIVATE, memory::L2_CACHE];
        if reserved.into_iter().any(|reserved| reserved.overlaps(region)) {
            return Err(DeviceError::Reserved { base: region.base });
        }
        registers.push(region).map_err(|_| ERROR)?;
    }
    Ok(registers)
}

/// The words of a property value, most significant byte first.
fn cells(value: &[u8]) -> Option<&[[u8; 4]]> {
    let (cells, rest) = value.as_chunks();
    rest.is_empty().then_some(cells)
}

fn number(property: NodeProperty<'_>) -> Option<u32> {
    Some(u32::from_be_bytes(property.value.try_into().ok()?))
}

/// The zero-terminated strings of a property value, as far as they are text.
fn strings(value: &[u8]) -> impl Iterator<Item = &str> {
    value.split_inclusive(|&byte| byte == 0).map_while(|string| str::from_utf8(string.strip_suffix(&[0])?).ok())
}

fn strings_of<'a>(node: FdtNode<'_, 'a>, property: &str) -> impl Iterator<Item = &'a str> {
    node.property(property).into_iter().flat_map(|property| strings(property.value))
}

#[cfg(test)]
pub(crate) mod tests;
