//! The I2C controller against UG585 chapter 20 and the register appendix, by a master that polls registers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use zelkova_models::i2c::{
    Address, Bus, Controller, Direction, Eeprom, Fault, Kind, Lines, Occurrence, SCL, SDA, Scripted, Size,
};
use zelkova_models::memory::Ram;
use zelkova_models::{Device, Drive, Width};

const CR: u32 = 0x00;
const SR: u32 = 0x04;
const ADDR: u32 = 0x08;
const DATA: u32 = 0x0C;
const ISR: u32 = 0x10;
const SIZE: u32 = 0x14;
const PAUSE: u32 = 0x18;
const TIME_OUT: u32 = 0x1C;
const IMR: u32 = 0x20;
const IER: u32 = 0x24;
const IDR: u32 = 0x28;

const RW: u32 = 1 << 0;
const MS: u32 = 1 << 1;
const NEA: u32 = 1 << 2;
const ACK_EN: u32 = 1 << 3;
const HOLD: u32 = 1 << 4;
const SLVMON: u32 = 1 << 5;
const CLR_FIFO: u32 = 1 << 6;
/// 100 MHz / 22 / (3 + 1) / (12 + 1): 87.4 kHz.
const DIVISORS: u32 = 3 << 14 | 12 << 8;
const PERIOD: u64 = 11_440;

const SR_RXDV: u32 = 1 << 5;
const SR_TXDV: u32 = 1 << 6;
const SR_RXOVF: u32 = 1 << 7;
const SR_BA: u32 = 1 << 8;

const COMP: u32 = 1 << 0;
const DATA_INT: u32 = 1 << 1;
const NACK: u32 = 1 << 2;
const TO: u32 = 1 << 3;
const SLV_RDY: u32 = 1 << 4;
const RX_OVF: u32 = 1 << 5;
const TX_OVF: u32 = 1 << 6;
const RX_UNF: u32 = 1 << 7;
const ARB_LOST: u32 = 1 << 9;
const ALL: u32 = 0x2FF;

const MASTER: u32 = DIVISORS | ACK_EN | NEA | MS;

/// A slave that takes and sends anything.
const SLAVE: u8 = 0x2A;
/// The same, at a 10-bit address.
const TEN: u16 = 0x2C5;
const ROM: u8 = 0x50;
const LABEL: &str = "slave";

struct Host {
    i2c: Controller,
    ram: Ram,
    now: u64,
}

impl Host {
    fn new() -> Self {
        let mut bus = Bus::new();
        let addresses = vec![Address::Seven(SLAVE), Address::Ten(TEN)];
        bus.attach(LABEL, addresses, Box::new(Scripted::new())).unwrap();
        bus.attach("rom", vec![Address::Seven(ROM)], Box::new(Eeprom::new(Size::C256))).unwrap();
        Self { i2c: Controller::new(100_000_000, bus), ram: Ram::new(0, 16), now: 1_000_000 }
    }

    fn r(&mut self, offset: u32) -> u32 {
        self.i2c.read(offset, Width::Word, self.now)
    }

    fn w(&mut self, offset: u32, value: u32) {
        self.i2c.write(offset, Width::Word, value, self.now);
    }

    fn sleep(&mut self, time: u64) {
        self.now += time;
        self.i2c.advance(self.now, &mut &self.ram);
    }

    /// Goes on to the next event; `false` if there is none.
    fn event(&mut self) -> bool {
        let Some(next) = self.i2c.next_event() else { return false };
        self.now = self.now.max(next);
        self.i2c.advance(self.now, &mut &self.ram);
        true
    }

    /// Waits until one of `bits` is in the interrupt status, and returns the status and clears it; 0 if nothing happens any more.
    fn wait(&mut self, bits: u32) -> u32 {
        for _ in 0..100_000 {
            let status = self.r(ISR);
            if status & bits != 0 {
                self.w(ISR, status);
                return status;
            }
            if !self.event() {
                return 0;
            }
        }
        panic!("it never ends");
    }

    /// Lets everything happen that will happen.
    fn settle(&mut self) {
        let mut count = 0;
        while self.event() {
            count += 1;
            assert!(count < 100_000, "it never ends");
        }
    }

    fn slave(&self) -> &Scripted {
        self.i2c.bus().slave(LABEL).unwrap()
    }

    fn inject(&mut self, fault: Fault) {
        self.i2c.bus_mut().inject(fault).unwrap();
    }

    fn last(&self) -> String {
        self.i2c.bus().history().back().map(ToString::to_string).unwrap_or_default()
    }

    fn complaints(&mut self) -> String {
        self.i2c.complaints().join("\n")
    }

    /// UG585 20.4.3: a write of any length.
    fn write(&mut self, address: u16, bytes: &[u8], stop: bool) -> u32 {
        let hold = if bytes.len() > 16 || bytes.is_empty() || !stop { HOLD } else { 0 };
        let held = self.r(CR) & HOLD;
        self.w(CR, MASTER | CLR_FIFO | hold | held);
        let status = self.r(ISR);
        self.w(ISR, status);
        let mut chunks = bytes.chunks(16);
        for byte in chunks.next().unwrap_or_default() {
            self.w(DATA, u32::from(*byte));
        }
        if hold == 0 {
            self.w(CR, MASTER);
        }
        self.w(ADDR, u32::from(address));
        loop {
            let status = self.wait(COMP | NACK | ARB_LOST);
            if status & (NACK | ARB_LOST) != 0 || status == 0 {
                self.w(CR, MASTER | CLR_FIFO);
                self.settle();
                return status;
            }
            let Some(chunk) = chunks.next() else { break };
            for byte in chunk {
                self.w(DATA, u32::from(*byte));
            }
        }
        if stop {
            self.w(CR, MASTER);
            self.settle();
            let status = self.r(ISR);
            if status & ARB_LOST != 0 {
                return status;
            }
            assert_eq!(self.r(SR) & SR_BA, 0);
        }
        COMP
    }

    /// UG585 20.4.4: a read of any length from 1 on. The size is reloaded while the full FIFO holds the bus.
    fn read(&mut self, address: u16, length: usize) -> Result<Vec<u8>, u32> {
        let mut bytes = Vec::new();
        let hold = if length > 16 { HOLD } else { 0 };
        let held = self.r(CR) & HOLD;
        self.w(CR, MASTER | RW | CLR_FIFO | hold | held);
        let status = self.r(ISR);
        self.w(ISR, status);
        // Bytes that the controller knows of.
        let mut known = length.min(255);
        self.w(SIZE, known as u32);
        self.w(ADDR, u32::from(address));
        if hold == 0 {
            self.w(CR, MASTER | RW);
        }
        while bytes.len() < length {
            let status = self.wait(COMP | DATA_INT | NACK | ARB_LOST);
            if status & (NACK | ARB_LOST) != 0 || status == 0 {
                self.w(CR, MASTER | CLR_FIFO);
                self.settle();
                return Err(status);
            }
            while self.r(SR) & SR_RXDV != 0 {
                if known < length && known - bytes.len() == 17 {
                    while self.r(SIZE) != 1 {
                        assert!(self.event());
                    }
                    let left = (length - bytes.len() - 16).min(255);
                    self.w(SIZE, left as u32);
                    known = bytes.len() + 16 + left;
                }
                bytes.push(self.r(DATA) as u8);
                if length - bytes.len() <= 16 {
                    self.w(CR, MASTER | RW);
                }
            }
        }
        self.settle();
        assert_eq!(self.r(SR) & SR_BA, 0);
        Ok(bytes)
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 256) as u8).collect()
}

/// Register appendix, I2C: reset values and widths.
#[test]
fn registers_after_reset() {
    let mut host = Host::new();
    let expected = [(CR, 0), (SR, 0), (ADDR, 0), (ISR, 0), (SIZE, 0), (PAUSE, 0), (TIME_OUT, 0x1F), (IMR, 0x2FF)];
    for (offset, value) in expected {
        assert_eq!(host.r(offset), value, "register {offset:#x}");
    }
    assert_eq!(host.complaints(), "");
    for (offset, wanted) in [(CR, 0xFF3F & !MS), (ADDR, 0x3FF), (PAUSE, 0xF), (TIME_OUT, 0xFF)] {
        host.w(offset, 0xFFFF & if offset == CR { !MS } else { 0xFFFF });
        assert_eq!(host.r(offset), wanted, "register {offset:#x}");
    }
    assert!(host.complaints().contains("reserved bits written: 0xfffd"));
}

/// Register appendix, Intrpt_mask_reg0, Intrpt_enable_reg0, Intrpt_disable_reg0: bits are enabled and disabled one by one; a
/// masked bit is in the status but does not raise the line; the status is cleared by ones.
#[test]
fn every_interrupt_bit_can_be_masked() {
    for bit in (0..10).filter(|bit| *bit != 8).map(|bit| 1 << bit) {
        let mut host = Host::new();
        host.w(IER, bit);
        assert_eq!(host.r(IMR), ALL & !bit);
        host.w(IDR, bit);
        assert_eq!(host.r(IMR), ALL);
    }
    let mut host = Host::new();
    assert_eq!(host.r(DATA), 0);
    assert_eq!(host.r(ISR), RX_UNF);
    assert_eq!(host.i2c.interrupts(), 0);
    host.w(IER, RX_UNF);
    assert_eq!(host.i2c.interrupts(), 1);
    host.w(ISR, ALL & !RX_UNF);
    assert_eq!(host.i2c.interrupts(), 1);
    host.w(ISR, RX_UNF);
    assert_eq!((host.i2c.interrupts(), host.r(ISR)), (0, 0));
    host.w(IMR, 0);
    host.w(SR, 0);
    assert_eq!(host.complaints().matches("read-only").count(), 2);
}

/// UG585 20.2.2 "Write Transfer": every length, and what was sent arrives, with one START and one STOP.
#[test]
fn writes_of_every_length() {
    let mut host = Host::new();
    for length in (0..=255).chain([256, 257, 511, 512, 1023, 1024]) {
        host.i2c.bus_mut().slave_mut::<Scripted>(LABEL).unwrap().forget();
        assert_eq!(host.write(SLAVE.into(), &pattern(length), true), COMP, "length {length}");
        let slave = host.slave();
        assert_eq!(slave.received(), pattern(length), "length {length}");
        assert_eq!(slave.starts(), [(Address::Seven(SLAVE), Direction::Write)]);
        assert_eq!(slave.stops(), 1);
    }
    assert_eq!(host.complaints(), "");
}

/// UG585 20.2.2 "Read Transfer": every length, the last byte and only that is not acknowledged.
#[test]
fn reads_of_every_length() {
    let mut host = Host::new();
    host.i2c.bus_mut().detach(LABEL, 0).unwrap();
    let reply = pattern(2000);
    let slave = Scripted::new().replying(&reply);
    host.i2c.bus_mut().attach(LABEL, vec![Address::Seven(SLAVE)], Box::new(slave)).unwrap();
    for length in (1..=300).chain([511, 512, 513, 1023, 1024]) {
        host.i2c.bus_mut().slave_mut::<Scripted>(LABEL).unwrap().forget();
        assert_eq!(host.read(SLAVE.into(), length), Ok(reply[..length].to_vec()), "length {length}");
        let slave = host.slave();
        assert_eq!(slave.starts(), [(Address::Seven(SLAVE), Direction::Read)]);
        assert_eq!((slave.stops(), slave.refused()), (1, 1), "length {length}");
        let message = &host.i2c.bus().history().back().unwrap().messages[0];
        assert!(message.bytes[..length].iter().all(|byte| byte.ack) && !message.bytes[length].ack);
    }
    assert_eq!(host.complaints(), "");
}

/// UG585 20.2.2: a write that is held is followed by a repeated START, also with the other direction.
#[test]
fn a_repeated_start_joins_write_and_read() {
    let mut host = Host::new();
    assert_eq!(host.write(ROM.into(), &[0x12, 0x34, 1, 2, 3], true), COMP);
    assert_eq!(host.write(ROM.into(), &[0x12, 0x34], true), NACK, "it programs");
    host.sleep(5_000_000);
    assert_eq!(host.write(ROM.into(), &[0x12, 0x34], false), COMP);
    assert_eq!(host.r(SR) & (SR_BA | SR_TXDV), SR_BA);
    assert_eq!(host.read(ROM.into(), 3), Ok(vec![1, 2, 3]));
    assert_eq!(host.last(), "S a0+ 12+ 34+ Sr a1+ 01+ 02+ 03- P");
    assert_eq!(host.complaints(), "");
}

/// Register appendix, Control_reg0, DIV_A and DIV_B: the time of a byte.
#[test]
fn divisors_make_the_time() {
    for (a, b, clock) in [(3, 12, 100_000_000), (0, 12, 110_000_000), (0, 63, 111_111_111)] {
        let mut host = Host::new();
        host.i2c.set_clock(clock, host.now);
        let begun = host.now;
        host.w(CR, ACK_EN | NEA | MS | a << 14 | b << 8);
        host.w(DATA, 0x55);
        host.w(ADDR, SLAVE.into());
        assert_eq!(host.wait(COMP), COMP);
        // START, address and data with their acknowledgements.
        let wanted = 19 * 22_000_000_000 * u64::from((a + 1) * (b + 1)) / u64::from(clock);
        assert!((host.now - begun).abs_diff(wanted) < 20, "{} ns instead of {wanted}", host.now - begun);
    }
}

/// The erratum on the low time of SCL: what is too fast is a complaint, once, with register and frequency.
#[test]
fn divisors_that_are_too_fast_are_a_complaint() {
    for (divisors, complaint) in [
        (DIVISORS, None),
        (3 << 14 | 11 << 8, Some("94696 Hz: above 90 kHz")),
        (45 << 8, Some("98814 Hz: above 90 kHz")),
        (0, Some("4545454 Hz: above 384.6 kHz")),
        (10 << 8, Some("413223 Hz: above 384.6 kHz")),
        (11 << 8, None),
    ] {
        let mut host = Host::new();
        for _ in 0..2 {
            host.w(CR, divisors | ACK_EN | NEA | MS);
            host.w(DATA, 0);
            host.w(ADDR, SLAVE.into());
            assert_eq!(host.wait(COMP), COMP);
            host.settle();
        }
        let complaints = host.complaints();
        assert_eq!(complaints.lines().count(), usize::from(complaint.is_some()), "{complaints}");
        assert!(complaints.contains(complaint.unwrap_or_default()), "{complaints}");
    }
}

/// UG585 20.2.2: a slave that does not answer ends the transfer: NACK, STOP, and what was not sent stays in the FIFO until it is
/// cleared.
#[test]
fn nobody_answers() {
    let mut host = Host::new();
    host.w(CR, MASTER);
    (0..4).for_each(|byte| host.w(DATA, byte));
    assert_eq!(host.r(SR), SR_TXDV);
    host.w(ADDR, 0x33);
    assert_eq!(host.r(SR), SR_TXDV | SR_BA);
    assert_eq!(host.wait(ALL), NACK);
    host.settle();
    assert_eq!((host.r(SR), host.r(SIZE)), (SR_TXDV, 4));
    assert_eq!(host.last(), "S 66- P");
    host.w(CR, MASTER | CLR_FIFO);
    assert_eq!((host.r(SR), host.r(SIZE), host.r(CR)), (0, 0, MASTER));
    assert_eq!(host.read(0x33, 1), Err(NACK));
    assert_eq!(host.last(), "S 67- P");
}

/// UG585 20.2.2: a NACK at every byte of a write, and the next transfer works.
#[test]
fn a_nack_at_every_byte() {
    let mut host = Host::new();
    for length in [1, 2, 15, 16, 17, 40] {
        for byte in 0..=length {
            host.i2c.bus_mut().slave_mut::<Scripted>(LABEL).unwrap().forget();
            host.inject(Fault::new(Kind::Nack, byte).on(LABEL));
            assert_eq!(host.write(SLAVE.into(), &pattern(length as usize), true) & !DATA_INT & !COMP, NACK);
            let message = host.i2c.bus().history().back().unwrap().messages[0].clone();
            assert_eq!(message.bytes.len() as u32, byte + 1);
            assert_eq!(message.bytes.iter().position(|byte| !byte.ack), Some(byte as usize));
            assert_eq!(host.slave().received(), &pattern(length as usize)[..(byte as usize).saturating_sub(1)]);
            assert_eq!(host.write(SLAVE.into(), &pattern(20), true), COMP);
        }
    }
    assert_eq!(host.complaints(), "");
}

/// Intrpt_status_reg0, ARB_LOST: another master at every byte of a write, at the address and at the end of a read. The bus is
/// busy until it is done; then the next transfer works.
#[test]
fn arbitration_is_lost_at_every_byte() {
    let mut host = Host::new();
    let bytes = [0xFF_u8; 20];
    for byte in 0..=20 {
        host.inject(Fault::new(Kind::LoseArbitration, byte));
        host.w(CR, MASTER | HOLD | CLR_FIFO);
        bytes.iter().take(16).for_each(|byte| host.w(DATA, u32::from(*byte)));
        host.w(ADDR, SLAVE.into());
        let status = host.wait(COMP | ARB_LOST);
        if byte > 16 {
            assert_eq!(status, COMP | DATA_INT);
            bytes.iter().skip(16).for_each(|byte| host.w(DATA, u32::from(*byte)));
            assert_eq!(host.wait(ARB_LOST) & ARB_LOST, ARB_LOST);
        } else {
            assert_eq!(status & (COMP | ARB_LOST), ARB_LOST, "byte {byte}");
        }
        assert!(host.i2c.bus().pulls().scl);
        assert_eq!(host.r(SR) & SR_BA, SR_BA, "the other master has the bus");
        assert_eq!(host.write(SLAVE.into(), &[1, 2], true), COMP, "it waits for the other's STOP");
    }
    // A read sends ones in its address and in its last acknowledgement.
    host.inject(Fault::new(Kind::LoseArbitration, 0));
    assert_eq!(host.read(SLAVE.into(), 3), Err(ARB_LOST));
    host.inject(Fault::new(Kind::LoseArbitration, 3).on(LABEL));
    assert_eq!(host.read(SLAVE.into(), 3), Err(ARB_LOST));
    assert_eq!(host.read(SLAVE.into(), 3), Ok(vec![0, 1, 2]));
}

/// A slave stretches the clock at every byte: the transfer takes longer, and nothing else.
#[test]
fn a_slave_stretches_the_clock_at_every_byte() {
    let mut host = Host::new();
    let times = |host: &mut Host| {
        let begun = host.now;
        assert_eq!(host.write(SLAVE.into(), &pattern(3), true), COMP);
        let middle = host.now;
        assert_eq!(host.read(SLAVE.into(), 3), Ok(vec![0, 1, 2]));
        (middle - begun, host.now - middle)
    };
    let plain = times(&mut host);
    for byte in 0..=3 {
        let fault = Fault::new(Kind::Stretch { ns: 100_000 }, byte).on(LABEL).occurring(Occurrence::Always);
        host.inject(fault);
        let stretched = times(&mut host);
        host.i2c.bus_mut().clear_faults(host.now);
        for (plain, stretched) in [(plain.0, stretched.0), (plain.1, stretched.1)] {
            let more = stretched - plain;
            assert!((100_000 - PERIOD..100_000 + 2 * PERIOD).contains(&more), "byte {byte}: {more} ns more");
        }
    }
    assert_eq!(host.r(ISR) & TO, 0);
}

/// Time_out_reg0: SCL low for longer than the interval raises TO, at the time, for a slave that holds it and for HOLD.
#[test]
fn the_time_out() {
    for interval in [0x1F, 0xFF] {
        for byte in 0..=2 {
            let mut host = Host::new();
            host.w(TIME_OUT, interval);
            host.inject(Fault::new(Kind::Hang, byte));
            host.w(CR, MASTER);
            host.w(DATA, 1);
            host.w(DATA, 2);
            let begun = host.now;
            host.w(ADDR, SLAVE.into());
            assert_eq!(host.wait(TO) & !DATA_INT, TO);
            let low = host.now - begun - (1 + 9 * u64::from(byte) + 8) * PERIOD;
            let wanted = (u64::from(interval) + 1) * PERIOD;
            assert!((wanted..wanted + PERIOD).contains(&low), "{low} ns instead of {wanted}");
            assert!(!host.i2c.bus().lines().scl);
            host.settle();
            assert_eq!(host.r(SR) & SR_BA, SR_BA, "it waits for ever");
            host.i2c.bus_mut().clear_faults(host.now);
            assert_eq!(host.wait(COMP), COMP);
            host.settle();
            assert_eq!(host.slave().received(), [1, 2]);
        }
    }
    let mut host = Host::new();
    assert_eq!(host.write(SLAVE.into(), &[1], false), COMP);
    assert_eq!(host.wait(ALL), TO, "HOLD keeps SCL low");
    host.w(CR, MASTER);
    host.settle();
    assert_eq!(host.r(SR), 0);
}

/// UG585 20.2.2, HOLD: at 0 no COMP comes after a read, the size rolls over, and the bus is held until HOLD is cleared.
#[test]
fn a_read_that_ends_with_hold_has_no_completion() {
    let mut host = Host::new();
    host.w(CR, MASTER | RW | HOLD);
    host.w(SIZE, 3);
    host.w(ADDR, SLAVE.into());
    assert_eq!(host.wait(COMP | NACK), 0);
    assert_eq!((host.r(SIZE), host.r(SR)), (0xFF, SR_RXDV | SR_BA));
    assert_eq!(host.last(), "S 55+ 00+ 01+ 02- ...");
    assert!(host.complaints().contains("Transfer_Size_reg0 reached 0 with HOLD set"));
    host.w(CR, MASTER | RW);
    assert_eq!(host.wait(COMP), 0);
    assert_eq!(host.last(), "S 55+ 00+ 01+ 02- P");
    assert_eq!((0..3).map(|_| host.r(DATA)).collect::<Vec<_>>(), [0, 1, 2]);
}

/// Status_reg0 RXOVF, Intrpt_status_reg0 RX_OVF: without HOLD a full FIFO loses the byte, which is not acknowledged.
#[test]
fn the_receiver_overflows_without_hold() {
    let mut host = Host::new();
    host.w(CR, MASTER | RW);
    host.w(SIZE, 20);
    host.w(ADDR, SLAVE.into());
    assert_eq!(host.wait(RX_OVF), RX_OVF | DATA_INT);
    host.settle();
    assert_eq!(host.r(SR), SR_RXDV | SR_RXOVF);
    let message = host.i2c.bus().history().back().unwrap().messages[0].clone();
    assert_eq!(message.bytes.iter().filter(|byte| !byte.ack).count(), 1);
    assert_eq!((0..16).map(|_| host.r(DATA)).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    assert!(host.complaints().contains("0x10) arrived at a full FIFO"));
    host.w(CR, MASTER | CLR_FIFO);
    assert_eq!(host.r(SR), 0);
}

/// HOLD cleared while the full FIFO holds the bus: the same.
#[test]
fn clearing_hold_with_a_full_fifo_loses_bytes() {
    let mut host = Host::new();
    host.w(CR, MASTER | RW | HOLD);
    host.w(SIZE, 20);
    host.w(ADDR, SLAVE.into());
    while host.r(SIZE) != 4 {
        assert!(host.event());
    }
    host.sleep(50 * PERIOD);
    assert_eq!((host.r(SIZE), host.r(ISR)), (4, DATA_INT | TO));
    host.w(CR, MASTER | RW);
    assert_eq!(host.wait(RX_OVF) & RX_OVF, RX_OVF);
}

/// Intrpt_status_reg0 TX_OVF: one byte more than the FIFO holds is lost.
#[test]
fn the_transmitter_overflows() {
    let mut host = Host::new();
    host.w(CR, MASTER);
    (0..17).for_each(|byte| host.w(DATA, byte));
    assert_eq!((host.r(ISR), host.r(SIZE)), (TX_OVF, 16));
    host.w(ADDR, SLAVE.into());
    assert_eq!(host.wait(COMP) & COMP, COMP);
    assert_eq!(host.slave().received(), (0..16).collect::<Vec<_>>());
    assert!(host.complaints().contains("0x10 written to a full FIFO"));
}

/// Intrpt_status_reg0 DATA: a transmitter has it when two bytes are left, a receiver when there is room for two.
#[test]
fn data_interrupts_at_their_marks() {
    let mut host = Host::new();
    host.w(CR, MASTER | HOLD);
    (0..10).for_each(|byte| host.w(DATA, byte));
    host.w(ADDR, SLAVE.into());
    assert_eq!(host.wait(DATA_INT), DATA_INT);
    assert_eq!((host.r(SIZE), host.slave().received().len()), (2, 7));
    assert_eq!(host.wait(COMP), COMP);
    host.w(CR, MASTER);
    host.settle();
    host.w(CR, MASTER | RW | HOLD | CLR_FIFO);
    host.w(SIZE, 30);
    host.w(ADDR, SLAVE.into());
    assert_eq!(host.wait(DATA_INT), DATA_INT);
    assert_eq!(host.r(SIZE), 16, "14 of 30 are there");
}

/// Control_reg0 CLR_FIFO: clears the transfer size, but not in master receive mode; reads as 0.
#[test]
fn clearing_the_fifo() {
    let mut host = Host::new();
    host.w(CR, MASTER);
    host.w(DATA, 1);
    host.w(CR, MASTER | CLR_FIFO);
    assert_eq!((host.r(CR), host.r(SIZE), host.r(SR)), (MASTER, 0, 0));
    host.w(CR, MASTER | RW);
    host.w(SIZE, 7);
    host.w(CR, MASTER | RW | CLR_FIFO);
    assert_eq!(host.r(SIZE), 7);
    host.w(CR, MASTER | CLR_FIFO);
    host.w(CR, MASTER | RW);
    assert_eq!(host.r(SIZE), 0);
}

/// UG585 20.2.2 and UM10204 3.1.11: 10-bit addresses, both directions.
#[test]
fn ten_bit_addresses() {
    let mut host = Host::new();
    let master = MASTER & !NEA;
    host.w(CR, master);
    host.w(DATA, 0x77);
    host.w(ADDR, TEN.into());
    assert_eq!(host.wait(COMP | NACK), COMP);
    host.settle();
    assert_eq!(host.last(), "S f4+ c5+ 77+ P");
    assert_eq!(host.slave().received(), [0x77]);
    host.w(CR, master | RW);
    host.w(SIZE, 2);
    host.w(ADDR, TEN.into());
    assert_eq!(host.wait(COMP | NACK), COMP);
    host.settle();
    assert_eq!(host.last(), "S f4+ c5+ Sr f5+ 00+ 01- P");
    let ten = Address::Ten(TEN);
    assert_eq!(host.slave().starts()[1..], [(ten, Direction::Write), (ten, Direction::Read)]);
    // The upper part is a slave's, the lower is nobody's.
    host.w(CR, master | CLR_FIFO);
    host.w(DATA, 0);
    host.w(ADDR, 0x2C6);
    assert_eq!(host.wait(COMP | NACK), NACK);
    host.settle();
    assert_eq!(host.last(), "S f4+ c6- P");
    assert_eq!(host.complaints(), "");
}

/// UG585 20.2.3 "Slave Monitor Mode": the address is tried with the programmed pause until the slave answers.
#[test]
fn slave_monitor_mode() {
    let mut host = Host::new();
    assert_eq!(host.write(ROM.into(), &[0, 0, 1], true), COMP);
    let begun = host.now;
    host.w(PAUSE, 9);
    host.w(CR, MASTER | SLVMON | CLR_FIFO);
    host.w(ADDR, ROM.into());
    assert_eq!(host.wait(SLV_RDY | NACK), SLV_RDY);
    // The EEPROM needs 5 ms from its own STOP on; an attempt takes 11 bit times and the pause 10.
    let took = host.now - begun;
    assert!((4_900_000..5_000_000 + 22 * PERIOD).contains(&took), "{took} ns");
    host.settle();
    assert_eq!(host.r(SR), 0);
    let history = host.i2c.bus().history();
    let attempts: Vec<_> = history.iter().skip(1).map(ToString::to_string).collect();
    assert!(attempts.len() > 15);
    assert!(attempts[..attempts.len() - 1].iter().all(|attempt| attempt == "S a0- P"));
    assert_eq!(attempts.last().unwrap(), "S a0+ P");
    let gap = history[3].begun - history[2].ended.unwrap();
    assert!((10 * PERIOD..12 * PERIOD).contains(&gap));
    // Clearing SLVMON ends it.
    host.w(ADDR, 0x33);
    host.sleep(PERIOD * 200);
    host.w(CR, MASTER);
    host.settle();
    assert_eq!((host.r(SR), host.r(ISR)), (0, 0));
    assert_eq!(host.complaints(), "");
}

/// A wedged bus: no transfer starts, BA stays set, and nine clocks on SCL with a STOP free it.
#[test]
fn a_wedged_bus_is_freed_by_nine_clocks() {
    for byte in 0..=3 {
        for read in [false, true] {
            let mut host = Host::new();
            host.inject(Fault::new(Kind::Wedge { clocks: 9 + 8 }, byte).on(LABEL));
            let status = if read {
                host.read(SLAVE.into(), 3).err().map(|status| status & !DATA_INT)
            } else {
                Some(host.write(SLAVE.into(), &[0xFF; 3], true) & !DATA_INT).filter(|status| *status != COMP)
            };
            // It may let go in time for the STOP if it is wedged early enough.
            let wedged = !host.i2c.bus().lines().sda;
            assert_eq!(status == Some(ARB_LOST), wedged, "byte {byte}, read {read}: {status:?}");
            if !wedged {
                continue;
            }
            assert_eq!(host.r(SR) & SR_BA, SR_BA);
            host.w(ISR, ALL);
            host.w(CR, MASTER | CLR_FIFO);
            host.w(DATA, 1);
            host.w(ADDR, SLAVE.into());
            assert_eq!(host.wait(ALL), 0, "nothing happens");
            host.i2c.reset(host.now);
            assert!(!host.i2c.bus().lines().sda, "a reset does not help");
            let mut clocks = 0;
            while !host.i2c.bus().lines().sda {
                for level in [false, true] {
                    host.now += 5_000;
                    host.i2c.sense(SCL, level, host.now);
                }
                clocks += 1;
                assert!(clocks <= 17);
            }
            for (line, level) in [(SCL, false), (SDA, false), (SCL, true), (SDA, true)] {
                host.now += 5_000;
                host.i2c.sense(line, level, host.now);
            }
            assert_eq!(host.r(SR), 0);
            assert_eq!(host.write(SLAVE.into(), &[1, 2, 3], true), COMP);
            assert_eq!(host.read(SLAVE.into(), 3), Ok(vec![0, 1, 2]));
        }
    }
}

/// What wedges a bus in real life: the controller is reset while a slave sends zeros.
#[test]
fn a_reset_in_the_middle_of_a_read_wedges_the_bus() {
    let mut host = Host::new();
    host.i2c.bus_mut().slave_mut::<Eeprom>("rom").unwrap();
    host.i2c.bus_mut().set("rom", "contents", &zelkova_models::i2c::Value::Bytes(vec![0; 64]), 0).unwrap();
    assert_eq!(host.write(ROM.into(), &[0, 0], true), COMP);
    host.w(CR, MASTER | RW | HOLD | CLR_FIFO);
    host.w(SIZE, 40);
    host.w(ADDR, ROM.into());
    host.sleep(100 * PERIOD);
    host.i2c.reset(host.now);
    assert_eq!(host.r(CR), 0);
    assert_eq!(host.i2c.bus().lines(), Lines { scl: true, sda: false });
    assert_eq!((host.i2c.drive(SCL), host.i2c.drive(SDA)), (Drive::Floating, Drive::Low));
    for _ in 0..9 {
        host.i2c.sense(SCL, false, host.now);
        host.i2c.sense(SCL, true, host.now);
    }
    // The ninth bit of a byte is the master's: a STOP can be made there.
    let mut clocks = 0;
    while !host.i2c.bus().lines().sda {
        host.i2c.sense(SCL, false, host.now);
        host.i2c.sense(SCL, true, host.now);
        clocks += 1;
        assert!(clocks < 9);
    }
    for (line, level) in [(SCL, false), (SDA, false), (SCL, true), (SDA, true)] {
        host.i2c.sense(line, level, host.now);
    }
    assert_eq!(host.r(SR), 0);
    assert_eq!(host.read(ROM.into(), 2).map(|bytes| bytes.len()), Ok(2));
}

/// The signals show what lasts: SCL is low from START to STOP, and a net that somebody holds low stops the controller.
#[test]
fn signals() {
    let mut host = Host::new();
    assert_eq!(host.i2c.signals(), 2);
    assert_eq!((host.i2c.drive(SCL), host.i2c.drive(SDA)), (Drive::Floating, Drive::Floating));
    assert_eq!(host.write(SLAVE.into(), &[1], false), COMP);
    assert_eq!(host.i2c.drive(SCL), Drive::Low);
    // The net follows the controller: nobody else is to blame.
    host.i2c.sense(SCL, false, host.now);
    host.w(CR, MASTER);
    host.settle();
    assert_eq!(host.i2c.drive(SCL), Drive::Floating);
    assert_eq!(host.last(), "S 54+ 01+ P");
    host.i2c.sense(SCL, true, host.now);
    assert_eq!(host.r(SR), 0);
    // Somebody holds SCL low: the next transfer waits.
    host.i2c.sense(SCL, false, host.now);
    assert_eq!(host.r(SR), SR_BA);
    host.w(CR, MASTER | CLR_FIFO);
    host.w(DATA, 9);
    host.w(ADDR, SLAVE.into());
    assert_eq!(host.wait(COMP), 0);
    host.i2c.sense(SCL, true, host.now);
    assert_eq!(host.wait(COMP) & COMP, COMP);
    host.settle();
    assert_eq!(host.slave().received(), [1, 9]);
}

/// Without its clock the controller stands still, and goes on where it was.
#[test]
fn without_a_clock_nothing_moves() {
    let mut host = Host::new();
    host.w(CR, MASTER);
    host.w(DATA, 9);
    host.w(ADDR, SLAVE.into());
    host.sleep(5 * PERIOD);
    host.i2c.set_clock(0, host.now);
    assert_eq!(host.i2c.next_event(), None);
    host.sleep(1_000_000_000);
    assert_eq!(host.r(ISR), 0);
    host.i2c.set_clock(100_000_000, host.now);
    assert_eq!(host.wait(COMP), COMP);
    assert_eq!(host.slave().received(), [9]);
}

/// What software must not do is a complaint that names register and value.
#[test]
fn complaints() {
    let cases: [(&str, &[(u32, u32)]); 11] = [
        ("0x050 written with MS clear", &[(CR, ACK_EN | NEA), (ADDR, 0x50)]),
        ("0x150 has more than 7 bits", &[(CR, MASTER), (DATA, 0), (ADDR, 0x150)]),
        ("starts with ACK_EN clear", &[(CR, MASTER & !ACK_EN), (DATA, 0), (ADDR, 0x50)]),
        ("1 old bytes in the FIFO", &[(CR, MASTER), (DATA, 0), (CR, MASTER | RW), (SIZE, 1), (ADDR, 0x50)]),
        ("it will read 256 bytes", &[(CR, MASTER | RW), (ADDR, 0x50)]),
        ("empty FIFO and HOLD clear", &[(CR, MASTER), (ADDR, 0x50)]),
        ("from 0xcc0e to 0xc40e", &[(CR, MASTER), (DATA, 0), (ADDR, 0x50), (CR, MASTER & !(8 << 8))]),
        ("0x051 written while a transfer runs", &[(CR, MASTER), (DATA, 0), (ADDR, 0x50), (ADDR, 0x51)]),
        ("Transfer_Size_reg0: 0x100 does not fit", &[(CR, MASTER), (SIZE, 0x100)]),
        ("0x07 written in receive mode", &[(CR, MASTER | RW), (DATA, 7)]),
        ("no register 0x02c: 0x0001", &[(0x2C, 1)]),
    ];
    for (wanted, writes) in cases {
        let mut host = Host::new();
        for (offset, value) in writes {
            host.w(*offset, *value);
            if *offset == ADDR {
                host.sleep(3 * PERIOD);
            }
        }
        let complaints = host.complaints();
        assert!(complaints.contains(wanted), "{wanted}: {complaints}");
        assert_eq!(complaints.lines().count(), 1, "{complaints}");
    }
}

/// An address written while a STOP is under way is sent after it, with a START of its own.
#[test]
fn an_address_during_stop_waits() {
    let mut host = Host::new();
    assert_eq!(host.write(SLAVE.into(), &[1], false), COMP);
    host.w(CR, MASTER | CLR_FIFO);
    host.w(DATA, 2);
    host.w(ADDR, SLAVE.into());
    assert_eq!(host.wait(COMP), COMP);
    host.settle();
    assert_eq!(host.slave().received(), [1, 2]);
    assert_eq!(host.slave().stops(), 2);
}

/// However coarsely time passes, the same happens.
#[test]
fn coarse_time_changes_nothing() {
    let run = |step: u64| {
        let mut host = Host::new();
        host.w(CR, MASTER);
        (0..16).for_each(|byte| host.w(DATA, byte));
        host.w(ADDR, SLAVE.into());
        while host.r(ISR) & COMP == 0 {
            host.sleep(step);
        }
        host.sleep(10 * PERIOD);
        let transaction = host.i2c.bus().history().back().unwrap().clone();
        (transaction, host.slave().received().to_vec())
    };
    let fine = run(1_000);
    assert_eq!(run(777_777), fine);
    assert_eq!(run(1_000_000_000), fine);
}

/// Random messages, write, read and both in one transaction, leave an EEPROM as a plain array would be, whatever the lengths.
#[test]
fn random_transfers_against_a_plain_memory() {
    let mut host = Host::new();
    host.i2c.bus_mut().set("rom", "write-time-us", &zelkova_models::i2c::Value::Integer(0), 0).unwrap();
    let mut memory = vec![0xFF_u8; 32 * 1024];
    let mut state = 0x1234_5678_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for _ in 0..500 {
        let place = random(0x8000) as usize;
        let address = [(place >> 8) as u8, place as u8];
        if random(2) == 0 {
            let data: Vec<u8> = (0..random(100)).map(|_| random(256) as u8).collect();
            for (index, byte) in data.iter().enumerate() {
                memory[place / 64 * 64 + (place + index) % 64] = *byte;
            }
            assert_eq!(host.write(ROM.into(), &[&address, data.as_slice()].concat(), true), COMP);
        } else {
            let length = 1 + random(600) as usize;
            let wanted: Vec<u8> = (place..place + length).map(|place| memory[place % memory.len()]).collect();
            assert_eq!(host.write(ROM.into(), &address, random(2) == 0), COMP);
            assert_eq!(host.read(ROM.into(), length), Ok(wanted));
        }
    }
    assert_eq!(host.i2c.bus().slave::<Eeprom>("rom").unwrap().memory(), memory);
    assert_eq!(host.complaints(), "");
}
