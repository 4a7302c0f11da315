//! Stopping a device that moves data by itself, before the memory that it writes to is anybody else's.
//!
//! # Theory of operation
//!
//! A driver may end at any time, killed in the middle of a transfer. Its memory and the buffers of its clients are given back when the device
//! manager has let go of the driver's session, and not earlier: so the manager stops the device first. It goes two ways, one after the other:
//!
//! 1. the device's own reset, if it has one that says when it is done: an SD host controller is told to reset everything (SD Host Controller
//!    Simplified Specification, register 02Fh; UG585 appendix B.30), which ends transfers and DMA, and clears the bit afterwards; each channel of an AXI VDMA has such a bit, too;
//! 2. the reset line in the system level control registers (UG585 chapter 26; [`Slcr::reset`](crate::Slcr::reset)), which stops whatever is in the
//!    device, its bus master included.
//!
//! A device that does neither in time is held in reset with its clocks closed, and stays so until the next driver asks for it. The emulator knows
//! only the first way.
//!
//! What this cannot do: stop a device that was given to a driver without the manager knowing how it works. Those in
//! [`is_bus_master`] are all that the processing system of a Zynq-7000 has, and the one of the programmable logic that this system drives.

use mmio::{ReadWrite, Registers};
use thiserror::Error;
use tock_registers::interfaces::{Readable, Writeable};

use crate::tree::Device;

/// Devices that read and write memory by themselves (UG585 chapter 5: masters of the central interconnect).
const BUS_MASTERS: [&str; 7] =
    [SDHCI, VDMA, "cdns,zynq-gem", "xlnx,zynq-gem", "xlnx,zynq-usb-2.20a", "arm,pl330", "xlnx,zynq-devcfg-1.0"];
/// The SD host controllers.
const SDHCI: &str = "arasan,sdhci-8.9a";
/// Clock control, time-out control and, in bit 24, software reset for all.
const SDHCI_RESETS: usize = 0x2c;
const SDHCI_RESET_ALL: u32 = 1 << 24;
/// The AXI video DMA engine.
const VDMA: &str = "xlnx,axi-vdma-6.3";
/// The control registers of its channels; bit 2 resets, and clears when transfers to memory are complete (PG020 table 2-6).
const VDMA_CONTROL: [usize; 2] = [0x00, 0x30];
const VDMA_RESET: u32 = 1 << 2;
/// Reads until a device is given up: each takes the bus at least 100 ns, and the reset 100 ms at most.
const ATTEMPTS: u32 = 1_000_000;

/// The device does not end its reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the reset of the device does not end; its register {register:#x} reads {found:#010x}")]
pub struct StillBusy {
    /// Offset of the register that was waited for.
    pub register: usize,
    /// What it reads.
    pub found: u32,
}

/// Whether a device reads or writes memory by itself.
pub fn is_bus_master(device: &Device<'_>) -> bool {
    BUS_MASTERS.iter().any(|name| device.is_compatible(name))
}

/// Ends whatever a device is doing by its own reset, through its registers in `block`. A device without one is left as it is.
///
/// # Errors
/// [`StillBusy`]
pub fn reset<B: Registers>(device: &Device<'_>, block: &B) -> Result<(), StillBusy> {
    if device.is_compatible(SDHCI) {
        return reset_by(block, SDHCI_RESETS, SDHCI_RESET_ALL);
    }
    if device.is_compatible(VDMA) {
        return VDMA_CONTROL.into_iter().try_for_each(|register| reset_by(block, register, VDMA_RESET));
    }
    Ok(())
}

/// Sets a bit and waits until it is 0 again.
fn reset_by<B: Registers>(block: &B, register: usize, bit: u32) -> Result<(), StillBusy> {
    let handle = ReadWrite::<_, ()>::new(block, register);
    handle.set(bit);
    let mut found = bit;
    for _ in 0..ATTEMPTS {
        found = handle.get();
        if found & bit == 0 {
            return Ok(());
        }
    }
    Err(StillBusy { register, found })
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::tree::DeviceTree;
    use crate::tree::tests::BOARD;

    /// A controller that needs so many reads for its reset.
    struct Controller {
        left: Cell<u32>,
        resets: Cell<u32>,
    }

    impl Registers for Controller {
        fn read(&self, offset: usize) -> u32 {
            assert_eq!(offset, SDHCI_RESETS);
            let left = self.left.get();
            self.left.set(left.saturating_sub(1));
            if left == 0 { 0 } else { SDHCI_RESET_ALL }
        }

        fn write(&self, offset: usize, value: u32) {
            assert_eq!((offset, value), (SDHCI_RESETS, SDHCI_RESET_ALL));
            self.resets.set(self.resets.get() + 1);
        }
    }

    #[test]
    fn a_card_controller_is_reset_and_waited_for() {
        let tree = DeviceTree::new(&BOARD).unwrap();
        let card = tree.device("mmc0").unwrap();
        assert!(is_bus_master(&card));
        let controller = Controller { left: Cell::new(3), resets: Cell::new(0) };
        assert_eq!(reset(&card, &controller), Ok(()));
        assert_eq!((controller.left.get(), controller.resets.get()), (0, 1));
        let controller = Controller { left: Cell::new(u32::MAX), resets: Cell::new(0) };
        let busy = StillBusy { register: SDHCI_RESETS, found: SDHCI_RESET_ALL };
        assert_eq!(reset(&card, &controller), Err(busy));
    }

    /// A video DMA engine: for each channel, the reads that its reset takes.
    struct Engine {
        left: [Cell<u32>; 2],
        resets: [Cell<u32>; 2],
    }

    impl Engine {
        fn new(left: [u32; 2]) -> Self {
            Self { left: left.map(Cell::new), resets: [Cell::new(0), Cell::new(0)] }
        }

        fn channel(offset: usize) -> usize {
            VDMA_CONTROL.iter().position(|control| *control == offset).unwrap()
        }
    }

    impl Registers for Engine {
        fn read(&self, offset: usize) -> u32 {
            let left = &self.left[Self::channel(offset)];
            let before = left.get();
            left.set(before.saturating_sub(1));
            if before == 0 { 0 } else { VDMA_RESET }
        }

        fn write(&self, offset: usize, value: u32) {
            assert_eq!(value, VDMA_RESET);
            let resets = &self.resets[Self::channel(offset)];
            resets.set(resets.get() + 1);
        }
    }

    #[test]
    fn both_channels_of_a_video_engine_are_reset_and_waited_for() {
        let tree = DeviceTree::new(&BOARD).unwrap();
        let video = tree.device("vdma0").unwrap();
        assert!(is_bus_master(&video));
        let engine = Engine::new([3, 5]);
        assert_eq!(reset(&video, &engine), Ok(()));
        assert_eq!(engine.left.map(|left| left.get()), [0, 0]);
        assert_eq!(engine.resets.map(|resets| resets.get()), [1, 1]);
        for (left, register) in [([u32::MAX, 0], 0x00), ([0, u32::MAX], 0x30)] {
            let busy = StillBusy { register, found: VDMA_RESET };
            assert_eq!(reset(&video, &Engine::new(left)), Err(busy));
        }
    }

    #[test]
    fn others_are_left_alone() {
        let tree = DeviceTree::new(&BOARD).unwrap();
        let uart = tree.device("serial0").unwrap();
        assert!(!is_bus_master(&uart));
        let controller = Controller { left: Cell::new(0), resets: Cell::new(0) };
        assert_eq!(reset(&uart, &controller), Ok(()));
        assert_eq!(controller.resets.get(), 0);
    }
}
