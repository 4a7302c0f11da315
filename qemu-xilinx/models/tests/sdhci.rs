//! The controller and card models against the specifications, by a host that polls.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use zelkova_models::memory::Ram;
use zelkova_models::sdcard::{Card, Fault, Features, Media, SparseMedia, State};
use zelkova_models::sdhci::{Options, Sdhci};
use zelkova_models::{Device, Width};

const RAM: u32 = 0x10_0000;
const TABLE: u32 = RAM;
const BUFFER: u32 = RAM + 0x1000;

// Command register values: index, data, index check, CRC check, response.
const R1: u16 = 0x1A;
const R1B: u16 = 0x1B;
const R2: u16 = 0x09;
const R3: u16 = 0x02;
const DATA: u16 = 0x20;

// Transfer mode.
const DMA: u16 = 0x01;
const COUNT: u16 = 0x02;
const AUTO_CMD12: u16 = 0x04;
const READ: u16 = 0x10;
const MULTIPLE: u16 = 0x20;

const COMMAND_COMPLETE: u32 = 1 << 0;
const TRANSFER_COMPLETE: u32 = 1 << 1;
const BUFFER_WRITE_READY: u32 = 1 << 4;
const BUFFER_READ_READY: u32 = 1 << 5;
const ERROR: u32 = 1 << 15;
const COMMAND_TIMEOUT: u32 = 1 << 16;
const COMMAND_CRC: u32 = 1 << 17;
const COMMAND_END_BIT: u32 = 1 << 18;
const COMMAND_INDEX: u32 = 1 << 19;
const DATA_TIMEOUT: u32 = 1 << 20;
const DATA_CRC: u32 = 1 << 21;
const AUTO_CMD12_ERROR: u32 = 1 << 24;
const ADMA_ERROR: u32 = 1 << 25;

struct Host {
    sdhci: Sdhci,
    ram: Ram,
    now: u64,
    address: u32,
}

impl Host {
    fn new(features: Features, blocks: u64) -> Self {
        let mut media = SparseMedia::new(blocks);
        for block in (0..64.min(blocks)).chain(blocks.saturating_sub(8)..blocks) {
            media.write(block, &content(block));
        }
        let mut sdhci = Sdhci::new(Options::ZYNQ7000);
        sdhci.insert(Card::new(features, Box::new(media)).unwrap(), true);
        Self { sdhci, ram: Ram::new(RAM, 0x2_0000), now: 0, address: 0 }
    }

    fn r8(&mut self, offset: u32) -> u32 {
        self.sdhci.read(offset, Width::Byte, self.now)
    }

    fn r16(&mut self, offset: u32) -> u32 {
        self.sdhci.read(offset, Width::Half, self.now)
    }

    fn r32(&mut self, offset: u32) -> u32 {
        self.sdhci.read(offset, Width::Word, self.now)
    }

    fn w8(&mut self, offset: u32, value: u8) {
        self.sdhci.write(offset, Width::Byte, value.into(), self.now);
    }

    fn w16(&mut self, offset: u32, value: u16) {
        self.sdhci.write(offset, Width::Half, value.into(), self.now);
    }

    fn w32(&mut self, offset: u32, value: u32) {
        self.sdhci.write(offset, Width::Word, value, self.now);
    }

    fn sleep(&mut self, time: u64) {
        self.now += time;
        self.sdhci.advance(self.now, &mut &self.ram);
    }

    /// Lets everything happen that will happen.
    fn settle(&mut self) {
        while let Some(next) = self.sdhci.next_event() {
            self.now = self.now.max(next);
            self.sdhci.advance(self.now, &mut &self.ram);
        }
    }

    /// Power and a clock of base / (2 * `divider`).
    fn power(&mut self, divider: u8) {
        self.w32(0x34, 0x03FF_00FF);
        self.w8(0x28, 0x10);
        self.w8(0x29, 0x0F);
        self.clock(divider);
        self.w8(0x2E, 12);
    }

    fn clock(&mut self, divider: u8) {
        self.w16(0x2C, 0);
        self.w16(0x2C, u16::from(divider) << 8 | 1);
        assert_eq!(self.r16(0x2C) & 2, 0, "the clock is stable at once");
        self.sleep(100_000);
        assert_eq!(self.r16(0x2C) & 2, 2);
        self.w16(0x2C, u16::from(divider) << 8 | 5);
        self.sleep(1_000_000);
    }

    /// Sends a command and returns the whole interrupt status after everything has settled, and clears it.
    fn command(&mut self, index: u16, flags: u16, argument: u32) -> u32 {
        self.w32(0x08, argument);
        self.w16(0x0E, index << 8 | flags);
        self.settle();
        let status = self.r32(0x30);
        self.w32(0x30, status & (COMMAND_COMPLETE | TRANSFER_COMPLETE | 0xFFFF_0000));
        status
    }

    fn ok(&mut self, index: u16, flags: u16, argument: u32) -> u32 {
        let status = self.command(index, flags, argument);
        assert_eq!(status & (ERROR | COMMAND_COMPLETE), COMMAND_COMPLETE, "CMD{index}: {status:#x}");
        self.r32(0x10)
    }

    fn application(&mut self, index: u16, flags: u16, argument: u32) -> u32 {
        let address = self.address;
        self.ok(55, R1, address);
        self.ok(index, flags, argument)
    }

    /// Up to the transfer state at 400 kHz.
    fn select(&mut self) {
        self.power(0x80);
        self.ok(0, 0, 0);
        self.ok(8, R1, 0x1AA);
        while self.application(41, R3, 0x4030_0000) >> 31 == 0 {
            self.sleep(10_000_000);
        }
        self.ok(2, R2, 0);
        self.address = self.ok(3, R1, 0) & 0xFFFF_0000;
        let address = self.address;
        self.ok(7, R1B, address);
        assert_eq!(self.sdhci.card().unwrap().state(), State::Transfer);
    }

    fn reset_lines(&mut self) {
        self.w8(0x2F, 6);
        assert_eq!(self.r8(0x2F), 6, "a reset takes time");
        self.sleep(10_000);
        assert_eq!(self.r8(0x2F), 0);
    }

    /// An ADMA2 table: attributes, length, address.
    fn table(&mut self, descriptors: &[(u16, u16, u32)]) {
        let mut bytes = Vec::new();
        for (attributes, length, address) in descriptors {
            bytes.extend(attributes.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(address.to_le_bytes());
        }
        self.ram.load(TABLE, &bytes).unwrap();
        self.w32(0x58, TABLE);
    }

    fn dma(&mut self, index: u16, mode: u16, blocks: u16, argument: u32) -> u32 {
        self.w16(0x04, 512);
        self.w16(0x06, blocks);
        self.w16(0x0C, mode | DMA);
        self.command(index, R1 | DATA, argument)
    }

    fn buffer(&self, length: u32) -> Vec<u8> {
        self.ram.dump(BUFFER, length).unwrap()
    }

    fn clean(&mut self) {
        assert_eq!(self.sdhci.complaints(), Vec::<String>::new());
    }
}

fn content(block: u64) -> [u8; 512] {
    std::array::from_fn(|index| (block as usize * 31 + index * 7 + index / 256) as u8)
}

fn contents(blocks: std::ops::Range<u64>) -> Vec<u8> {
    blocks.flat_map(content).collect()
}

fn sdsc() -> Host {
    Host::new(Features::SDSC, 8192)
}

fn sdhc() -> Host {
    Host::new(Features::SDHC, 1 << 23)
}

#[test]
fn reset_values() {
    let mut host = sdhc();
    assert_eq!(host.r32(0xFC), 0x8901_0000);
    assert_eq!(host.r8(0xFE), 1);
    assert_eq!(host.r32(0x40), Options::ZYNQ7000.capabilities);
    for offset in [0x04, 0x08, 0x0C, 0x10, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x54, 0x58] {
        assert_eq!(host.r32(offset), 0, "{offset:#x}");
    }
    assert_eq!(host.r32(0x24), 0x01FF_0000);
    host.clean();
}

#[test]
fn status_exists_only_where_enabled_and_clears_bit_by_bit() {
    let mut host = sdhc();
    host.power(0x80);
    host.w32(0x34, 0);
    assert_eq!(host.command(0, 0, 0), 0);
    host.w32(0x34, 0x03FF_00FF);
    host.w32(0x08, 0);
    host.w16(0x0E, 55 << 8 | R1);
    host.settle();
    assert_eq!(host.r32(0x30), COMMAND_COMPLETE);
    assert!(host.sdhci.interrupts() == 0);
    assert_eq!(host.r16(0xFC), 0);
    host.w16(0x38, 1);
    assert!(host.sdhci.interrupts() != 0);
    assert_eq!(host.r16(0xFC), 1);
    // Writing zeros, or other bits, clears nothing.
    host.w32(0x30, !COMMAND_COMPLETE);
    assert_eq!(host.r32(0x30), COMMAND_COMPLETE);
    host.w8(0x30, 1);
    assert_eq!(host.r32(0x30), 0);
    assert!(host.sdhci.interrupts() == 0);
    // An error sets the summary bit, which follows the error bits.
    host.command(2, R2, 0);
    host.w32(0x08, 0);
    host.reset_lines();
    host.w16(0x0E, 2 << 8 | R2);
    host.settle();
    assert_eq!(host.r32(0x30), ERROR | COMMAND_TIMEOUT);
    host.w16(0x30, 0xFFFF);
    assert_eq!(host.r32(0x30), ERROR | COMMAND_TIMEOUT);
    host.w16(0x32, 1);
    assert_eq!(host.r32(0x30), 0);
}

#[test]
fn the_upper_command_byte_starts_it_in_any_width() {
    let mut host = sdhc();
    host.power(0x80);
    host.w8(0x0E, R1 as u8);
    assert_eq!(host.r32(0x24) & 1, 0);
    host.w8(0x0F, 55);
    assert_eq!(host.r32(0x24) & 1, 1);
    host.settle();
    assert_eq!(host.r32(0x24) & 1, 0);
    assert_eq!(host.r32(0x30), COMMAND_COMPLETE);
    host.w32(0x30, COMMAND_COMPLETE);
    host.w32(0x0C, u32::from(55 << 8 | R1) << 16);
    host.settle();
    assert_eq!(host.r32(0x30), COMMAND_COMPLETE);
    assert_eq!(host.r16(0x12) << 16 | host.r16(0x10), host.r32(0x10));
    host.clean();
}

#[test]
fn nothing_happens_without_clock_or_power() {
    let mut host = sdhc();
    host.w32(0x34, 0x03FF_00FF);
    assert_eq!(host.command(0, 0, 0), 0);
    host.sleep(10_000_000_000);
    assert_eq!(host.r32(0x24) & 1, 1, "still inhibited");
    assert_eq!(host.sdhci.complaints().len(), 1);
    // The clock comes before it is stable: it stays off.
    host.reset_lines();
    host.w8(0x29, 0x0F);
    host.w16(0x2C, 0x8005);
    assert_eq!(host.r16(0x2C) & 4, 0);
    assert_eq!(host.sdhci.complaints().len(), 1);
}

#[test]
fn a_command_without_answer_leaves_the_line_inhibited() {
    let mut host = sdhc();
    host.power(0x80);
    assert_eq!(host.command(2, R2, 0), ERROR | COMMAND_TIMEOUT);
    assert_eq!(host.r32(0x24) & 1, 1);
    assert_eq!(host.command(0, 0, 0), 0, "not sent");
    assert_eq!(host.sdhci.complaints().len(), 1);
    host.reset_lines();
    assert_eq!(host.r32(0x24) & 1, 0);
    host.ok(0, 0, 0);
    host.clean();
}

#[test]
fn a_card_needs_its_clocks_and_not_too_fast() {
    let mut host = sdhc();
    // 50 MHz during identification.
    host.power(1);
    assert_eq!(host.command(8, R1, 0x1AA), ERROR | COMMAND_TIMEOUT);
    host.reset_lines();
    host.clock(0x80);
    host.ok(8, R1, 0x1AA);
    // Power off and on, and a command after too few clocks.
    host.w8(0x29, 0);
    host.w8(0x29, 0x0F);
    host.sleep(50_000);
    assert_eq!(host.command(8, R1, 0x1AA), ERROR | COMMAND_TIMEOUT);
    host.reset_lines();
    host.sleep(1_000_000);
    host.ok(8, R1, 0x1AA);
    assert_eq!(host.r32(0x10), 0x1AA);
}

#[test]
fn response_checks() {
    let mut host = sdhc();
    host.power(0x80);
    host.ok(55, R1, 0);
    // R3 has neither CRC nor index.
    let status = host.command(41, R1, 0x4030_0000);
    assert_eq!(status, COMMAND_COMPLETE | ERROR | COMMAND_CRC | COMMAND_INDEX);
    host.reset_lines();
    // 48 bits where 136 are expected.
    let status = host.command(55, R2, 0);
    assert_eq!(status & (COMMAND_END_BIT | COMMAND_CRC), COMMAND_END_BIT | COMMAND_CRC);
    host.reset_lines();
    host.sdhci.card().unwrap().inject(Fault::CorruptResponse(55), 1);
    assert_eq!(host.command(55, R1, 0), COMMAND_COMPLETE | ERROR | COMMAND_CRC);
    host.clean();
}

#[test]
fn capacity_needs_the_hosts_consent() {
    let mut host = sdhc();
    host.power(0x80);
    host.ok(8, R1, 0x1AA);
    for _ in 0..20 {
        assert_eq!(host.application(41, R3, 0x0030_0000) >> 31, 0);
        host.sleep(100_000_000);
    }
    assert_eq!(host.application(41, R3, 0x4030_0000) >> 30, 3);
}

#[test]
fn registers_of_the_card() {
    for (mut host, structure) in [(sdsc(), 0), (sdhc(), 1)] {
        host.select();
        // Deselect, then ask.
        host.command(7, 0, 0);
        let address = host.address;
        for index in [9, 10] {
            host.ok(index, R2, address);
            let words = [0x1C, 0x18, 0x14, 0x10].map(|offset| host.r32(offset));
            let register = words.iter().fold(0_u128, |all, word| all << 32 | u128::from(*word));
            if index == 9 {
                assert_eq!(register >> 118 & 3, structure);
            } else {
                assert_eq!(register >> 112 & 0xFF, 0x5A);
            }
        }
        host.clean();
    }
}

#[test]
fn programmed_input_in_any_width() {
    for width in [Width::Byte, Width::Half, Width::Word] {
        let mut host = sdhc();
        host.select();
        host.w16(0x04, 512);
        host.w16(0x06, 3);
        host.w16(0x0C, READ | MULTIPLE | COUNT | AUTO_CMD12);
        let mut status = host.command(18, R1 | DATA, 5);
        let mut bytes = Vec::<u8>::new();
        for block in 0..3 {
            assert_eq!(status & (BUFFER_READ_READY | TRANSFER_COMPLETE | ERROR), BUFFER_READ_READY);
            host.w32(0x30, BUFFER_READ_READY);
            assert_eq!(host.r32(0x24) & 1 << 11, 1 << 11);
            assert_eq!(host.r16(0x06), 3 - block);
            while host.r32(0x24) & 1 << 11 != 0 {
                let value = host.sdhci.read(0x20, width, host.now);
                bytes.extend(value.to_le_bytes().iter().take(width.bytes() as usize));
            }
            host.settle();
            status = host.r32(0x30);
        }
        assert_eq!(status & (BUFFER_READ_READY | TRANSFER_COMPLETE), TRANSFER_COMPLETE);
        assert_eq!(bytes, contents(5..8));
        assert_eq!(host.sdhci.card().unwrap().state(), State::Transfer);
        host.clean();
    }
}

#[test]
fn programmed_output() {
    let mut host = sdsc();
    host.select();
    host.w16(0x04, 512);
    host.w16(0x0C, 0);
    let status = host.command(24, R1 | DATA, 100 * 512);
    assert_eq!(status & (BUFFER_WRITE_READY | TRANSFER_COMPLETE), BUFFER_WRITE_READY);
    for word in content(7).chunks(4) {
        host.w32(0x20, u32::from_le_bytes(word.try_into().unwrap()));
    }
    // On its way and then busy, DAT0 low, before it is complete.
    let begun = host.now;
    while host.r32(0x30) & TRANSFER_COMPLETE == 0 {
        host.sleep(10_000);
        if (10_600_000..10_800_000).contains(&(host.now - begun)) {
            assert_eq!(host.r32(0x24) & (1 << 20 | 2), 2, "busy");
        }
    }
    // 512 bytes at 390,625 Hz on one line take 10.5 ms, programming 0.3 ms.
    assert!((10_750_000..11_000_000).contains(&(host.now - begun)), "{}", host.now - begun);
    assert_eq!(host.r32(0x24) & (1 << 20 | 2), 1 << 20);
    assert_eq!(host.sdhci.card().unwrap().media().read(100), content(7));
    host.clean();
}

#[test]
fn adma_follows_descriptors() {
    let mut host = sdhc();
    host.select();
    // 8 bytes, a descriptor without action, 504 bytes elsewhere, a link to the rest.
    let rest = TABLE + 0x100;
    host.table(&[(0x21, 8, BUFFER), (0x01, 99, 0xDEAD_0000), (0x25, 504, BUFFER + 0x400), (0x31, 0, rest)]);
    host.ram.load(rest, &[0x23, 0, 0, 4]).unwrap();
    host.ram.load(rest + 4, &(BUFFER + 0x800).to_le_bytes()).unwrap();
    let status = host.dma(18, READ | MULTIPLE | COUNT | AUTO_CMD12, 3, 2);
    // The third descriptor asked for an interrupt.
    assert_eq!(status, COMMAND_COMPLETE | TRANSFER_COMPLETE | 1 << 3);
    let mut bytes = host.ram.dump(BUFFER, 8).unwrap();
    bytes.extend(host.ram.dump(BUFFER + 0x400, 504).unwrap());
    bytes.extend(host.ram.dump(BUFFER + 0x800, 1024).unwrap());
    assert_eq!(bytes, contents(2..5));
    assert_eq!(host.r32(0x58), rest + 8);
    assert_eq!(host.r16(0x06), 0);
    assert_eq!(host.r32(0x1C) >> 9 & 0xF, State::SendingData as u32, "response to CMD12");
    host.clean();
}

#[test]
fn length_0_is_64_kib() {
    let mut host = sdhc();
    host.select();
    host.table(&[(0x23, 0, BUFFER)]);
    let mode = READ | MULTIPLE | COUNT | AUTO_CMD12;
    assert_eq!(host.dma(18, mode, 128, 0), COMMAND_COMPLETE | TRANSFER_COMPLETE);
    assert!(host.buffer(64 * 512) == contents(0..64));
}

#[test]
fn without_block_count_the_descriptors_decide() {
    let mut host = sdhc();
    host.select();
    host.table(&[(0x23, 1024, BUFFER)]);
    let status = host.dma(18, READ | MULTIPLE | AUTO_CMD12, 77, 1);
    assert_eq!(status, COMMAND_COMPLETE | TRANSFER_COMPLETE);
    assert_eq!(host.buffer(1024), contents(1..3));
}

#[test]
fn bad_descriptors() {
    const LENGTH_MISMATCH: u32 = 4;
    const FETCH: u32 = 1;
    for (descriptors, adma_error) in [
        (&[(0x22, 1024, BUFFER)][..], FETCH),
        (&[(0x21, 512, BUFFER), (0, 0, 0)], FETCH),
        (&[(0x23, 512, BUFFER)], LENGTH_MISMATCH),
        (&[(0x23, 1028, BUFFER)], LENGTH_MISMATCH),
        (&[(0x21, 1024, BUFFER), (0x23, 512, BUFFER)], LENGTH_MISMATCH),
        (&[(0x31, 0, TABLE)], FETCH),
    ] {
        for index in [18, 25] {
            let mut host = sdhc();
            host.select();
            host.table(descriptors);
            let direction = if index == 18 { READ } else { 0 };
            let mode = MULTIPLE | COUNT | AUTO_CMD12 | direction;
            let status = host.dma(index, mode, 2, 0);
            assert_eq!(status & !COMMAND_COMPLETE, ERROR | ADMA_ERROR, "{descriptors:x?}");
            assert_eq!(host.r32(0x54), adma_error, "{descriptors:x?}");
            assert_eq!(host.r32(0x24) & 2, 2, "inhibited until reset");
            host.reset_lines();
            assert_eq!(host.r32(0x24) & 2, 0);
        }
    }
    let mut host = sdhc();
    host.select();
    host.table(&[(0x23, 512, 0x8000_0000)]);
    assert_eq!(host.dma(17, READ, 1, 0) & (ADMA_ERROR | 1 << 28), ADMA_ERROR);
}

#[test]
fn without_auto_cmd12_the_card_goes_on() {
    let mut host = sdhc();
    host.select();
    host.table(&[(0x23, 1024, BUFFER)]);
    let status = host.dma(18, READ | MULTIPLE | COUNT, 2, 0);
    assert_eq!(status, COMMAND_COMPLETE | TRANSFER_COMPLETE);
    assert_eq!(host.sdhci.card().unwrap().state(), State::SendingData);
    let status = host.command(12, R1B | 0xC0, 0);
    assert_eq!(status, COMMAND_COMPLETE | TRANSFER_COMPLETE);
    assert_eq!(host.sdhci.card().unwrap().state(), State::Transfer);
    // Now there is nothing to stop: silence.
    assert_eq!(host.command(12, R1B | 0xC0, 0), ERROR | COMMAND_TIMEOUT);
}

#[test]
fn auto_cmd12_errors() {
    let mut host = sdhc();
    host.select();
    host.sdhci.card().unwrap().inject(Fault::Mute(12), 1);
    host.table(&[(0x23, 1024, BUFFER)]);
    let status = host.dma(18, READ | MULTIPLE | COUNT | AUTO_CMD12, 2, 0);
    assert_eq!(status, COMMAND_COMPLETE | ERROR | AUTO_CMD12_ERROR);
    assert_eq!(host.r16(0x3C), 2);
}

#[test]
fn lines_and_speed_must_agree() {
    let read = |host: &mut Host| {
        host.table(&[(0x23, 512, BUFFER)]);
        let status = host.dma(17, READ, 1, 9);
        host.reset_lines();
        let right = host.buffer(512) == content(9);
        assert_eq!(right, status & ERROR == 0, "corrupt data does not reach memory");
        host.ram.load(BUFFER, &[0; 512]).unwrap();
        status & (TRANSFER_COMPLETE | 0x03FF_0000)
    };
    let mut host = sdhc();
    host.select();
    assert_eq!(read(&mut host), TRANSFER_COMPLETE);
    host.w8(0x28, 0x12);
    assert_eq!(read(&mut host), DATA_CRC, "four lines only at the host");
    host.application(6, R1, 2);
    assert_eq!(read(&mut host), TRANSFER_COMPLETE);
    host.w8(0x28, 0x10);
    assert_eq!(read(&mut host), DATA_CRC, "four lines only at the card");
    host.w8(0x28, 0x12);
    host.clock(2);
    assert_eq!(read(&mut host), TRANSFER_COMPLETE);
    host.w8(0x28, 0x16);
    assert_eq!(read(&mut host), DATA_CRC, "high speed only at the host");
    host.w8(0x28, 0x12);
    host.clock(1);
    assert_eq!(read(&mut host), DATA_CRC, "50 MHz at default speed");

    host.clock(2);
    for (argument, selected) in [(0x00FF_FFF1, false), (0x80FF_FFF1, true)] {
        host.w16(0x04, 64);
        host.w16(0x0C, READ | DMA);
        host.table(&[(0x23, 64, BUFFER)]);
        assert_eq!(host.command(6, R1 | DATA, argument), COMMAND_COMPLETE | TRANSFER_COMPLETE);
        let status = host.buffer(64);
        assert_eq!((status[13] & 2, status[16] & 0xF), (2, 1));
        host.w8(0x28, 0x16);
        host.clock(1);
        assert_eq!(read(&mut host) == TRANSFER_COMPLETE, selected);
        host.w8(0x28, 0x12);
        host.clock(2);
    }
    host.clean();
}

#[test]
fn a_block_length_of_another_size_is_corrupt() {
    let mut host = sdhc();
    host.select();
    host.table(&[(0x23, 8, BUFFER)]);
    host.w16(0x04, 8);
    host.w16(0x0C, READ | DMA);
    assert_eq!(host.command(17, R1 | DATA, 0), COMMAND_COMPLETE | ERROR | DATA_CRC);
}

#[test]
fn configuration_register() {
    for four_bit in [false, true] {
        let mut host = Host::new(Features { four_bit, ..Features::SDSC }, 8192);
        host.select();
        let address = host.address;
        host.ok(55, R1, address);
        host.table(&[(0x23, 8, BUFFER)]);
        host.w16(0x04, 8);
        host.w16(0x0C, READ | DMA);
        assert_eq!(host.command(51, R1 | DATA, 0), COMMAND_COMPLETE | TRANSFER_COMPLETE);
        assert_eq!(host.buffer(2), [0x02, if four_bit { 0x05 } else { 0x01 }]);
        // A card with one line refuses four.
        let status = host.application(6, R1, 2);
        let status = status | host.ok(13, R1, address);
        assert_eq!(status & 1 << 19 == 0, four_bit);
    }
}

#[test]
fn addresses_count_in_the_cards_units() {
    const OUT_OF_RANGE: u32 = 1 << 31;
    const ADDRESS_ERROR: u32 = 1 << 30;
    for (mut host, unit, end) in [(sdsc(), 512, 8192_u32), (sdhc(), 1, 1 << 23)] {
        host.select();
        for block in [0, 1, 63, end - 1] {
            host.table(&[(0x23, 512, BUFFER)]);
            let status = host.dma(17, READ, 1, block * unit);
            assert_eq!(status, COMMAND_COMPLETE | TRANSFER_COMPLETE);
            assert_eq!(host.buffer(512), content(block.into()));
        }
        // Beyond the end: an error in the status and no data.
        let status = host.dma(17, READ, 1, end * unit);
        assert_eq!(status, COMMAND_COMPLETE | ERROR | DATA_TIMEOUT);
        assert_eq!(host.r32(0x10) & OUT_OF_RANGE, OUT_OF_RANGE);
        host.reset_lines();
        if unit == 512 {
            assert_eq!(host.dma(17, READ, 1, 5) & DATA_TIMEOUT, DATA_TIMEOUT);
            assert_eq!(host.r32(0x10) & ADDRESS_ERROR, ADDRESS_ERROR);
        }
    }
}

#[test]
fn a_read_across_the_end_stops_there() {
    let mut host = sdhc();
    host.select();
    host.table(&[(0x23, 4096, BUFFER)]);
    let status = host.dma(18, READ | MULTIPLE | COUNT | AUTO_CMD12, 8, (1 << 23) - 2);
    assert_eq!(status, COMMAND_COMPLETE | ERROR | DATA_TIMEOUT);
    host.reset_lines();
    let response = host.ok(12, R1B | 0xC0, 0);
    assert_eq!(response >> 31, 1, "the card tells with CMD12");
}

#[test]
fn the_data_time_out_is_what_was_programmed() {
    for exponent in [0, 5, 14] {
        let mut host = sdhc();
        host.select();
        host.w8(0x2E, exponent);
        host.sdhci.card().unwrap().inject(Fault::SilentData, 1);
        host.table(&[(0x23, 512, BUFFER)]);
        let begun = host.now;
        assert_eq!(host.dma(17, READ, 1, 0), COMMAND_COMPLETE | ERROR | DATA_TIMEOUT);
        let expected = (1_u64 << (13 + exponent)) * 10;
        // The command and its response take 0.4 ms.
        assert!((expected..expected + 500_000).contains(&(host.now - begun)));
    }
}

#[test]
fn an_illegal_command_is_told_afterwards() {
    const ILLEGAL_COMMAND: u32 = 1 << 22;
    let mut host = sdhc();
    host.select();
    let address = host.address;
    assert_eq!(host.command(9, R2, address), ERROR | COMMAND_TIMEOUT);
    host.reset_lines();
    assert_eq!(host.ok(13, R1, address) & ILLEGAL_COMMAND, ILLEGAL_COMMAND);
    assert_eq!(host.ok(13, R1, address) & ILLEGAL_COMMAND, 0);
    // Another card's address: silence.
    assert_eq!(host.command(13, R1, address ^ 0x1_0000), ERROR | COMMAND_TIMEOUT);
}

#[test]
fn removal_takes_power_and_clock() {
    let mut host = sdhc();
    host.select();
    host.w32(0x30, u32::MAX);
    let card = host.sdhci.remove(host.now).unwrap();
    assert_eq!(host.r16(0x30), 1 << 7);
    assert_eq!(host.r32(0x24) & 1 << 16, 0);
    assert_eq!(host.r8(0x29) & 1, 0);
    assert_eq!(host.r16(0x2C) & 4, 0);
    // Power cannot be switched on in an empty slot.
    host.w8(0x29, 0x0F);
    assert_eq!(host.r8(0x29) & 1, 0);
    host.sdhci.insert(card, false);
    assert_eq!(host.r16(0x30), 1 << 7 | 1 << 6);
    assert_eq!(host.r32(0x24) & 1 << 16, 1 << 16);
    assert_eq!(host.r32(0x24) & 1 << 19, 0, "write protected");
    assert_eq!(host.sdhci.card().unwrap().state(), State::Idle);
}

#[test]
fn reset_all_keeps_only_the_card() {
    let mut host = sdhc();
    host.select();
    host.w8(0x2F, 1);
    host.sleep(10_000);
    for offset in [0x04, 0x0C, 0x10, 0x28, 0x2C, 0x30, 0x34, 0x38] {
        assert_eq!(host.r32(offset), 0, "{offset:#x}");
    }
    assert_eq!(host.r32(0x24), 0x01FF_0000);
    assert_eq!(host.sdhci.card().unwrap().state(), State::Idle);
}

#[test]
fn capacities_that_no_register_can_tell() {
    for (features, blocks) in [
        (Features::SDSC, 0),
        (Features::SDSC, 3),
        (Features::SDSC, 4097 * 4 + 1),
        (Features::SDSC, 1 << 24),
        (Features::SDHC, 1023),
        (Features::SDHC, (1 << 32) + 1024),
    ] {
        let media = Box::new(SparseMedia::new(blocks));
        assert!(Card::new(features, media).is_err(), "{blocks}");
    }
}
