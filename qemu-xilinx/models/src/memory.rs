//! What devices find on the bus in tests and models: plain memory, or none.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{BusError, Memory};

/// Memory at an address. Cells are atomic, so that "the processor" may hold a part of it while "a device" uses it.
#[derive(Debug)]
pub struct Ram {
    base: u32,
    cells: Vec<AtomicU32>,
}

impl Ram {
    /// `length` bytes of zeros from `base` on. Both must be multiples of 4.
    pub fn new(base: u32, length: u32) -> Self {
        Self { base, cells: (0..length / 4).map(|_| AtomicU32::new(0)).collect() }
    }

    /// The cells, the first one at the base address.
    pub fn cells(&self) -> &[AtomicU32] {
        &self.cells
    }

    /// Copies bytes in from the processor's side.
    pub fn load(&self, address: u32, data: &[u8]) -> Result<(), BusError> {
        for (position, byte) in (0..).zip(data) {
            let (cell, shift) = self.cell(address.wrapping_add(position))?;
            let value = cell.load(Ordering::Relaxed) & !(0xFF << shift) | u32::from(*byte) << shift;
            cell.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies bytes out to the processor's side.
    pub fn dump(&self, address: u32, length: u32) -> Result<Vec<u8>, BusError> {
        (0..length)
            .map(|position| {
                let (cell, shift) = self.cell(address.wrapping_add(position))?;
                Ok((cell.load(Ordering::Relaxed) >> shift) as u8)
            })
            .collect()
    }

    fn cell(&self, address: u32) -> Result<(&AtomicU32, u32), BusError> {
        let offset = address.checked_sub(self.base).ok_or(BusError { address })?;
        let cell = self.cells.get(offset as usize / 4).ok_or(BusError { address })?;
        Ok((cell, offset % 4 * 8))
    }
}

impl Memory for &Ram {
    fn read(&mut self, address: u32, data: &mut [u8]) -> Result<(), BusError> {
        data.copy_from_slice(&self.dump(address, data.len() as u32)?);
        Ok(())
    }

    fn write(&mut self, address: u32, data: &[u8]) -> Result<(), BusError> {
        self.load(address, data)
    }
}

/// No memory at any address, for devices that have no business there.
#[derive(Clone, Copy, Debug)]
pub struct NoMemory;

impl Memory for NoMemory {
    fn read(&mut self, address: u32, _: &mut [u8]) -> Result<(), BusError> {
        Err(BusError { address })
    }

    fn write(&mut self, address: u32, _: &[u8]) -> Result<(), BusError> {
        Err(BusError { address })
    }
}
