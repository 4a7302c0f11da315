//! What a card says about itself.
//!
//! A card answers with registers of its own: OCR while it powers up, CID and CSD as 136 bit responses, SCR and the
//! switch status as data. This module takes them apart; all functions are pure. Bit positions are those of PHY chapter 5
//! and section 4.3.10.4.

use core::fmt;

/// Bytes in a block. The only block size this driver uses; SDHC cards have no other.
pub const BLOCK_SIZE: u32 = 512;

/// How the argument of a read or write command counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Standard capacity (SDSC): in bytes.
    Bytes,
    /// High and extended capacity (SDHC, SDXC): in blocks of 512 bytes.
    Blocks,
}

/// A card that is ready for transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// How its commands address data; from OCR bit 30 (CCS).
    pub addressing: Addressing,
    /// Capacity in blocks of 512 bytes; from the CSD.
    pub blocks: u64,
    /// The slot's switch or the CSD forbids writing.
    pub read_only: bool,
    /// Four data lines are in use, not one.
    pub four_bit: bool,
    /// The card and the host run in high-speed mode.
    pub high_speed: bool,
    /// The card's clock in Hz.
    pub clock: u32,
    /// Who made the card.
    pub identification: Identification,
}

/// The CID register (PHY 5.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identification(u128);

impl Identification {
    pub(crate) const fn new(cid: u128) -> Self {
        Self(cid)
    }

    /// The whole register; bits 7:1, the CRC, are 0.
    pub const fn raw(self) -> u128 {
        self.0
    }

    /// Manufacturer, assigned by the SD association.
    pub const fn manufacturer(self) -> u8 {
        (self.0 >> 120) as u8
    }

    /// Product name, five ASCII characters.
    pub const fn product(self) -> [u8; 5] {
        let [_, _, _, name @ .., _, _, _, _, _, _, _, _] = self.0.to_be_bytes();
        name
    }

    /// Serial number.
    pub const fn serial(self) -> u32 {
        (self.0 >> 24) as u32
    }
}

impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.product() {
            let character = if byte.is_ascii_graphic() { char::from(byte) } else { '?' };
            write!(f, "{character}")?;
        }
        write!(f, " (manufacturer {:#04x}, serial {:#010x})", self.manufacturer(), self.serial())
    }
}

impl fmt::Debug for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identification({self})")
    }
}

/// The operation conditions register (PHY 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OperationConditions(pub(crate) u32);

impl OperationConditions {
    /// 3.2 V to 3.4 V, what a slot at 3.3 V offers.
    pub(crate) const V33: u32 = 0b11 << 20;
    /// In the argument of ACMD41: the host can address by blocks.
    pub(crate) const HIGH_CAPACITY_SUPPORT: u32 = 1 << 30;

    pub(crate) const fn powered_up(self) -> bool {
        self.0 & 1 << 31 != 0
    }

    pub(crate) const fn accepts_3v3(self) -> bool {
        self.0 & Self::V33 != 0
    }

    /// Valid once powered up.
    pub(crate) const fn addressing(self) -> Addressing {
        if self.0 & Self::HIGH_CAPACITY_SUPPORT == 0 { Addressing::Bytes } else { Addressing::Blocks }
    }
}

/// The card-specific data register (PHY 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpecificData(pub(crate) u128);

impl SpecificData {
    const fn field(self, high: u32, low: u32) -> u32 {
        ((self.0 >> low) as u32) & (u32::MAX >> (31 - (high - low)))
    }

    /// Capacity in blocks of 512 bytes, or `None` for a structure version this driver does not know.
    pub(crate) const fn blocks(self) -> Option<u64> {
        match self.field(127, 126) {
            0 => {
                let length_exponent = self.field(83, 80);
                // 512, 1024 and 2048 bytes are the values the specification allows.
                if length_exponent < 9 || length_exponent > 11 {
                    return None;
                }
                let count = (self.field(73, 62) as u64 + 1) << (self.field(49, 47) + 2);
                Some(count << (length_exponent - 9))
            }
            1 => Some((self.field(69, 48) as u64 + 1) * 1024),
            _ => None,
        }
    }

    /// Permanent or temporary write protection.
    pub(crate) const fn write_protected(self) -> bool {
        self.field(13, 12) != 0
    }

    /// The card has command class 10, which holds CMD6.
    pub(crate) const fn has_switch(self) -> bool {
        self.field(95, 84) & 1 << 10 != 0
    }
}

/// The SD configuration register (PHY 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Configuration(pub(crate) u64);

impl Configuration {
    /// Bytes of the register as data.
    pub(crate) const LENGTH: u32 = 8;

    /// Physical layer 1.10 or later, the first one with CMD6.
    pub(crate) const fn has_switch(self) -> bool {
        (self.0 >> 56) & 0xF >= 1
    }

    /// The card can use four data lines.
    pub(crate) const fn has_four_bit(self) -> bool {
        self.0 & 1 << 50 != 0
    }
}

/// The answer to CMD6 (PHY 4.3.10.4), as far as function group 1, the access mode, goes.
pub(crate) struct SwitchStatus {
    support: u16,
    selection: u8,
}

impl SwitchStatus {
    /// Bytes of the status.
    pub(crate) const LENGTH: u32 = 64;
    /// CMD6 argument: would the card switch to high speed? All other groups keep their function.
    pub(crate) const CHECK_HIGH_SPEED: u32 = 0x00FF_FFF1;
    /// CMD6 argument: switch to high speed.
    pub(crate) const SET_HIGH_SPEED: u32 = 0x80FF_FFF1;

    /// Takes the 64 bytes of the status in the order of their arrival.
    pub(crate) const fn new(data: &[u8; Self::LENGTH as usize]) -> Self {
        // Bit 511 is the first on the wire: bits 415:400 are bytes 12 and 13, bits 379:376 half of byte 16.
        Self { support: u16::from_be_bytes([data[12], data[13]]), selection: data[16] & 0xF }
    }

    /// The card has high-speed mode and would switch, or has switched, to it.
    pub(crate) const fn high_speed(&self) -> bool {
        self.support & 1 << 1 != 0 && self.selection == 1
    }
}

/// The card status of an R1 response (PHY 4.10.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// Error bits that the command at hand can set. `COM_CRC_ERROR` and `ILLEGAL_COMMAND` speak of an earlier command, and
    /// the bits of erasing and of key exchange cannot occur.
    pub const ERRORS: u32 = Self::OUT_OF_RANGE
        | 1 << 30 // ADDRESS_ERROR
        | 1 << 29 // BLOCK_LEN_ERROR
        | 1 << 26 // WP_VIOLATION
        | 1 << 24 // LOCK_UNLOCK_FAILED
        | 1 << 21 // CARD_ECC_FAILED
        | 1 << 20 // CC_ERROR
        | 1 << 19 // ERROR
        | 1 << 16; // CSD_OVERWRITE

    /// The address is beyond the end of the card.
    pub const OUT_OF_RANGE: u32 = 1 << 31;

    pub(crate) const fn state(self) -> u32 {
        self.0 >> 9 & 0xF
    }

    pub(crate) const fn ready_for_data(self) -> bool {
        self.0 & 1 << 8 != 0
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:#010x})", self.0)
    }
}

/// Values of [`Status::state`] (PHY table 4-42).
pub(crate) mod card_state {
    pub(crate) const TRANSFER: u32 = 4;
    pub(crate) const SENDING_DATA: u32 = 5;
    pub(crate) const RECEIVING_DATA: u32 = 6;
    pub(crate) const PROGRAMMING: u32 = 7;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csd(fields: &[(u32, u128)]) -> SpecificData {
        SpecificData(fields.iter().fold(0, |csd, (low, value)| csd | value << low))
    }

    #[test]
    fn standard_capacity() {
        // The example of PHY 5.3.2: 4,096 x 512 blocks of 512 bytes are 1 GiB.
        let one = csd(&[(80, 9), (62, 4095), (47, 7)]);
        assert_eq!(one.blocks(), Some(1 << 21));
        // 2 GiB need blocks of 1,024 bytes.
        assert_eq!(csd(&[(80, 10), (62, 4095), (47, 7)]).blocks(), Some(1 << 22));
        // The smallest.
        assert_eq!(csd(&[(80, 9)]).blocks(), Some(4));
        assert_eq!(csd(&[(80, 8)]).blocks(), None);
        assert_eq!(csd(&[(80, 12)]).blocks(), None);
    }

    #[test]
    fn high_capacity() {
        assert_eq!(csd(&[(126, 1), (48, 0)]).blocks(), Some(1024));
        assert_eq!(csd(&[(126, 1), (48, 0x3F_FFFF)]).blocks(), Some(1 << 32));
        assert_eq!(csd(&[(126, 2), (48, 5)]).blocks(), None);
        assert_eq!(csd(&[(126, 3)]).blocks(), None);
    }

    #[test]
    fn write_protection() {
        assert!(!csd(&[(126, 1)]).write_protected());
        assert!(csd(&[(13, 1)]).write_protected());
        assert!(csd(&[(12, 1)]).write_protected());
    }

    #[test]
    fn switch_status() {
        let mut data = [0; 64];
        data[13] = 0b11;
        data[16] = 1;
        assert!(SwitchStatus::new(&data).high_speed());
        data[16] = 0xF;
        assert!(!SwitchStatus::new(&data).high_speed());
        data[16] = 1;
        data[13] = 0b01;
        assert!(!SwitchStatus::new(&data).high_speed());
    }

    #[test]
    fn identification() {
        let cid = Identification::new(u128::from_be_bytes(*b"\x03SDSU16G\x80\x12\x34\x56\x78\x01\x23\x01"));
        assert_eq!(cid.manufacturer(), 3);
        assert_eq!(&cid.product(), b"SU16G");
        assert_eq!(cid.serial(), 0x1234_5678);
    }
}
