//! The Devices session: devices by name.
//!
//! A driver asks its device manager for a device by name and gets its registers, interrupts and DMA buffers, without ever
//! naming a physical address. Which devices a session may have is decided by the manager's policy for the client's label.

use crate::{Error, Transport, protocol};

protocol! {
    /// Requests to a device manager.
    pub enum DevicesRequest {
        /// Finds a device and switches its clock on. Text: its name in the devicetree, or an alias. Answer: its number, how many
        /// register ranges and interrupts it has, and its clock in Hz (0 if it has none).
        Find = 1,
        /// A range of registers. Answer: the dataspace.
        IoMem = 2 {
            /// As `Find` answered.
            device,
            /// Which range.
            index,
        },
        /// An interrupt. Answer: the interrupt handler.
        Irq = 3 {
            /// As `Find` answered.
            device,
            /// Which interrupt.
            index,
        },
        /// Memory for DMA in one piece. Caps: the account that pays, if it is not the session's. Answer: bus address and size;
        /// the dataspace.
        DmaBuffer = 4 {
            /// Size in bytes; rounded up to a power of two and at least 4096.
            bytes,
        },
        /// Puts a device through its reset.
        Reset = 5 {
            /// As `Find` answered.
            device,
        },
    }
}

/// A device that a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number in the session.
    pub device: u32,
    /// Number of register ranges.
    pub ranges: u32,
    /// Number of interrupts.
    pub interrupts: u32,
    /// Its clock in Hz; 0 if it has none.
    pub clock: u32,
}

/// Memory for DMA.
#[derive(Debug)]
pub struct DmaBuffer<C> {
    /// The dataspace.
    pub dataspace: C,
    /// Where a DMA engine finds it.
    pub bus_address: u32,
    /// Size in bytes.
    pub bytes: u32,
}

/// The client's side.
#[derive(Debug)]
pub struct Client<T>(T);

impl<T: Transport> Client<T> {
    /// A client of a session.
    pub const fn new(session: T) -> Self {
        Self(session)
    }

    /// Finds a device by name or alias.
    pub fn find(&self, name: &str) -> Result<Found, Error> {
        let mut message = DevicesRequest::Find.encode();
        message.push_text(name);
        match self.0.call(&message, &[])?.words() {
            [device, ranges, interrupts, clock] => {
                Ok(Found { device: *device, ranges: *ranges, interrupts: *interrupts, clock: *clock })
            }
            _ => Err(Error::Invalid),
        }
    }

    /// Register range `index` of a device, as a dataspace.
    pub fn io_memory(&self, device: u32, index: u32) -> Result<T::Capability, Error> {
        self.0.call_for_cap(&DevicesRequest::IoMem { device, index }.encode(), &[])?.1.ok_or(Error::Invalid)
    }

    /// Interrupt `index` of a device.
    pub fn interrupt(&self, device: u32, index: u32) -> Result<T::Capability, Error> {
        self.0.call_for_cap(&DevicesRequest::Irq { device, index }.encode(), &[])?.1.ok_or(Error::Invalid)
    }

    /// Memory for DMA; `account`: slot of the account that pays, if it is not the session's.
    pub fn dma_buffer(&self, bytes: u32, account: Option<u32>) -> Result<DmaBuffer<T::Capability>, Error> {
        let message = DevicesRequest::DmaBuffer { bytes }.encode();
        let (answer, capability) = match account {
            Some(account) => self.0.call_for_cap(&message, &[account]),
            None => self.0.call_for_cap(&message, &[]),
        }?;
        match (answer.words(), capability) {
            ([bus_address, bytes], Some(dataspace)) => {
                Ok(DmaBuffer { dataspace, bus_address: *bus_address, bytes: *bytes })
            }
            _ => Err(Error::Invalid),
        }
    }

    /// Puts a device through its reset.
    pub fn reset(&self, device: u32) -> Result<(), Error> {
        self.0.call(&DevicesRequest::Reset { device }.encode(), &[]).map(drop)
    }
}
