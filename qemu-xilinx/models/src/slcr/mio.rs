//! What an MIO pin is used for (UG585 chapter 2.5 and appendix B.28, `MIO_PIN_00` to `MIO_PIN_53`).
//!
//! Four multiplexers in a row select the function of a pin. The first of them that does not pass the choice on to the
//! next one decides. The last one repeats itself along the pins with period 12, in two variants.

/// What a pin is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The GPIO controller's pin of the same number.
    Gpio,
    /// Clock of an I2C controller.
    I2cScl(u8),
    /// Data of an I2C controller.
    I2cSda(u8),
    /// Transmitter of a UART.
    UartTx(u8),
    /// Receiver of a UART.
    UartRx(u8),
    /// Transmitter of a CAN controller.
    CanTx(u8),
    /// Receiver of a CAN controller.
    CanRx(u8),
    /// Clock of an SD controller.
    SdClock(u8),
    /// CMD line of an SD controller.
    SdCommand(u8),
    /// A DAT line of an SD controller.
    SdData {
        /// The controller.
        controller: u8,
        /// The line, 0 to 3.
        line: u8,
    },
    /// Card power of an SD controller.
    SdPower(u8),
    /// Clock of an SPI controller.
    SpiClock(u8),
    /// Output of the master.
    SpiMosi(u8),
    /// Input of the master.
    SpiMiso(u8),
    /// A slave select of an SPI controller.
    SpiSelect {
        /// The controller.
        controller: u8,
        /// The select line, 0 to 2.
        line: u8,
    },
    /// Wave output of a triple timer counter's counter 1.
    TtcWave(u8),
    /// External clock of a triple timer counter's counter 1.
    TtcClock(u8),
    /// Clock of the system watchdog.
    WatchdogClock,
    /// Reset output of the system watchdog.
    WatchdogReset,
    /// Clock of the management interface of an Ethernet controller.
    MdioClock(u8),
    /// Data of the management interface of an Ethernet controller.
    MdioData(u8),
    /// JTAG of the processors: TDI, TDO, TCK, TMS in this order.
    Jtag(u8),
    /// A line of an Ethernet controller's RGMII.
    Ethernet(u8),
    /// A line of a USB controller's ULPI.
    Usb(u8),
    /// A line of the quad SPI controller.
    QuadSpi,
    /// A line of the SRAM and NOR flash interface.
    Sram,
    /// A line of the NAND flash interface.
    Nand,
    /// A line of the trace port.
    Trace,
    /// Nothing: a reserved value is selected.
    Reserved,
}

/// The function that the value of the pin's register selects.
pub(super) fn function(pin: u32, register: u32) -> Function {
    if register >> 1 & 1 != 0 {
        return level0(pin);
    }
    if register >> 2 & 1 != 0 {
        return level1(pin);
    }
    match register >> 3 & 3 {
        0 => level3(pin, register >> 5 & 7),
        select => level2(pin, select),
    }
}

fn level0(pin: u32) -> Function {
    match pin {
        0..=6 | 8..=13 => Function::QuadSpi,
        16..=27 => Function::Ethernet(0),
        28..=39 => Function::Ethernet(1),
        _ => Function::Reserved,
    }
}

fn level1(pin: u32) -> Function {
    match pin {
        2..=19 | 22..=27 => Function::Trace,
        28..=39 => Function::Usb(0),
        40..=51 => Function::Usb(1),
        _ => Function::Reserved,
    }
}

fn level2(pin: u32, select: u32) -> Function {
    match (select, pin) {
        (1, 0 | 1 | 3..=7 | 9..=11 | 13 | 15..=39) | (2, 1) => Function::Sram,
        (2, 0 | 2..=14 | 16..=23) => Function::Nand,
        (3, _) => Function::SdPower((pin & 1) as u8),
        _ => Function::Reserved,
    }
}

fn level3(pin: u32, select: u32) -> Function {
    // Pins 2 and 3 of each four belong to the first of two controllers, the others to the second.
    let controller = u8::from(pin & 2 == 0);
    let even = pin & 1 == 0;
    // Groups of six pins from pin 10 on, of two kinds in turn, and the place in the group.
    let group = pin.wrapping_sub(10);
    let (first, place) = ((group / 6).is_multiple_of(2), group % 6);
    match (select, pin) {
        (0, _) => Function::Gpio,
        (2, 8) => Function::Sram,
        // The first controller has its receiver on the even pin, the second one on the odd pin.
        (1, 8..=53) if even == (controller == 1) => Function::CanTx(controller),
        (1, 8..=53) => Function::CanRx(controller),
        (7, 8..=53) if even == (controller == 1) => Function::UartTx(controller),
        (7, 8..=53) => Function::UartRx(controller),
        (2, 10..=53) if even => Function::I2cScl(controller),
        (2, 10..=53) => Function::I2cSda(controller),
        (3, 52) => Function::WatchdogClock,
        (3, 53) => Function::WatchdogReset,
        (4 | 5, 52) => Function::MdioClock((select - 4) as u8),
        (4 | 5, 53) => Function::MdioData((select - 4) as u8),
        (3, 10..=51) if first => match place {
            4 => Function::WatchdogClock,
            5 => Function::WatchdogReset,
            line => Function::Jtag(line as u8),
        },
        (4, 10..=51) if first => match place {
            0 => Function::SdData { controller: 1, line: 0 },
            1 => Function::SdCommand(1),
            2 => Function::SdClock(1),
            _ => Function::SdData { controller: 1, line: (place - 2) as u8 },
        },
        (4, 10..=51) => match place {
            0 => Function::SdClock(0),
            1 => Function::SdCommand(0),
            _ => Function::SdData { controller: 0, line: (place - 2) as u8 },
        },
        (5, 10..=51) if first => match place {
            0 => Function::SpiMosi(1),
            1 => Function::SpiMiso(1),
            2 => Function::SpiClock(1),
            _ => Function::SpiSelect { controller: 1, line: (place - 3) as u8 },
        },
        (5, 10..=51) => match place {
            0 => Function::SpiClock(0),
            1 => Function::SpiMiso(0),
            5 => Function::SpiMosi(0),
            _ => Function::SpiSelect { controller: 0, line: (place - 2) as u8 },
        },
        (6, 10..=51) if !first => match place {
            0 => Function::TtcWave(1),
            1 => Function::TtcClock(1),
            2 => Function::TtcWave(0),
            3 => Function::TtcClock(0),
            _ => Function::Reserved,
        },
        _ => Function::Reserved,
    }
}
