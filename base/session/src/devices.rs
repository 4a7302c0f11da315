//! The Devices session: devices by name.
//!
//! A driver asks its device manager for a device by name and gets its registers, interrupts and DMA buffers, without ever
//! naming a physical address. Which devices a session may have is decided by the manager's policy for the client's label.

use heapless::Vec;

use crate::gpio::{Pull, Slew};
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
        /// Connects a pin and sets its buffer. When the session closes, the pin becomes what it was at the start.
        Pin = 6 {
            /// As `Find` answered.
            device,
            /// MIO number.
            pin,
            /// A [`Function`].
            function,
            /// A [`Pull`].
            pull,
            /// A [`Slew`].
            slew,
        },
        /// A property of numbers of a device. Text: its name. Answer: the numbers, at most [`CELLS`].
        Property = 7 {
            /// As `Find` answered.
            device,
        },
        /// Text: a name in the binding of a device. Answer: 1 if the device is compatible with that, else 0.
        Compatible = 8 {
            /// As `Find` answered.
            device,
        },
    }
}

/// Most numbers of a property.
pub const CELLS: usize = 16;

/// What a pin is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Function {
    /// What it is connected to already.
    Keep = 0,
    /// The GPIO controller.
    Gpio = 1,
    /// The device.
    Device = 2,
}

impl Function {
    /// The one with the wire value `value`.
    pub const fn from_wire(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Keep),
            1 => Some(Self::Gpio),
            2 => Some(Self::Device),
            _ => None,
        }
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
    ///
    /// # Errors
    /// [`Error::Denied`]: no policy gives it to this client. [`Error::NotFound`]: it is in the PL, and the board was started without a bitstream.
    /// [`Error::Device`]: its clock or reset does not obey.
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

    /// Connects a pin, and sets its buffer.
    ///
    /// # Errors
    /// [`Error::Denied`]: no policy gives the pin to this client. [`Error::Invalid`]: the pin does not exist or cannot be connected to the device.
    pub fn pin(&self, device: u32, pin: u32, function: Function, pull: Pull, slew: Slew) -> Result<(), Error> {
        let (function, pull, slew) = (function as u32, pull as u32, slew as u32);
        self.0.call(&DevicesRequest::Pin { device, pin, function, pull, slew }.encode(), &[]).map(drop)
    }

    /// A property of numbers of a device.
    ///
    /// # Errors
    /// [`Error::NotFound`]: the device has no such property.
    pub fn property(&self, device: u32, name: &str) -> Result<Vec<u32, CELLS>, Error> {
        let mut message = DevicesRequest::Property { device }.encode();
        message.push_text(name);
        Vec::from_slice(self.0.call(&message, &[])?.words()).map_err(|_| Error::Invalid)
    }

    /// Whether a device is compatible with `what`, a name in its binding.
    pub fn is_compatible(&self, device: u32, what: &str) -> Result<bool, Error> {
        let mut message = DevicesRequest::Compatible { device }.encode();
        message.push_text(what);
        Ok(self.0.call(&message, &[])?.word(0) == Some(1))
    }

    /// Puts a device through its reset.
    pub fn reset(&self, device: u32) -> Result<(), Error> {
        self.0.call(&DevicesRequest::Reset { device }.encode(), &[]).map(drop)
    }
}
