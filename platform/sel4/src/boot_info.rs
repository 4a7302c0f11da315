//! What the kernel tells the root task.

use crate::constants as c;

/// The boot information that the kernel has written.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo {
    address: usize,
}

/// A boot untyped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UntypedInfo {
    /// Slot of its capability.
    pub slot: u32,
    /// Physical address.
    pub address: u32,
    /// Log2 of its size in bytes.
    pub bits: u8,
    /// It is device memory.
    pub is_device: bool,
}

impl BootInfo {
    /// The boot information at an address.
    ///
    /// # Safety
    /// `address` is what the kernel passed to the root task in r0, and the pages there stay mapped.
    pub const unsafe fn at(address: usize) -> Self {
        Self { address }
    }

    fn word(self, offset: u32) -> u32 {
        // SAFETY: by the contract of `at`, the kernel's structure lies there and stays; `offset` was generated from its own header. It
        // is packed in some kernels, hence the unaligned read.
        unsafe { core::ptr::with_exposed_provenance::<u32>(self.address + offset as usize).read_unaligned() }
    }

    fn byte(self, offset: u32) -> u8 {
        // SAFETY: as in `word`.
        unsafe { core::ptr::with_exposed_provenance::<u8>(self.address + offset as usize).read() }
    }

    /// Address of the root task's IPC buffer.
    pub fn ipc_buffer(self) -> u32 {
        self.word(c::BOOT_INFO_IPC_BUFFER)
    }

    /// Empty slots of the root CNode: first, and one behind the last.
    pub fn empty(self) -> (u32, u32) {
        (self.word(c::BOOT_INFO_EMPTY), self.word(c::BOOT_INFO_EMPTY + 4))
    }

    /// Slots of the frames of the root task's image: first, and one behind the last.
    pub fn image_frames(self) -> (u32, u32) {
        (self.word(c::BOOT_INFO_IMAGE_FRAMES), self.word(c::BOOT_INFO_IMAGE_FRAMES + 4))
    }

    /// All boot untypeds.
    pub fn untypeds(self) -> impl Iterator<Item = UntypedInfo> {
        let (first, end) = (self.word(c::BOOT_INFO_UNTYPED), self.word(c::BOOT_INFO_UNTYPED + 4));
        (0..end.saturating_sub(first)).map(move |index| {
            let at = c::BOOT_INFO_UNTYPED_LIST + index * c::BOOT_INFO_UNTYPED_SIZE;
            UntypedInfo {
                slot: first + index,
                address: self.word(at + c::UNTYPED_ADDRESS),
                bits: self.byte(at + c::UNTYPED_BITS),
                is_device: self.byte(at + c::UNTYPED_IS_DEVICE) != 0,
            }
        })
    }
}
