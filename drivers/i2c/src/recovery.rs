//! Frees a bus that a device holds.
//!
//! A device that was left in the middle of a byte that it sends goes on pulling SDA low for a zero, and waits for a clock. Nobody can make a START or STOP then. Nine
//! clocks bring it to the bit in which it listens for an acknowledgement; it gets none and lets go (UM10204, 3.1.16). The STOP afterwards tells
//! everybody that the bus is free. First a STOP is tried behind a single clock: a device that only holds its acknowledgement would take eight more for a byte of
//! ones. The clocks are no harm to devices that are not in a transfer, since there is no START.
//!
//! Nothing is done to a bus whose lines move: there is another master at work.
//!
//! A device that holds SCL cannot be freed in this way: that takes its reset line.

/// Most clocks that a device can need: eight bits and the acknowledgement.
pub const CLOCKS: u32 = 9;

/// Looks at the lines, half a period apart, during which they must not move: longer than a byte in standard mode.
const LOOKS: u32 = 20;

/// The two lines, as whoever can pull them low has them.
pub trait Lines {
    /// What can go wrong with that.
    type Error;

    /// Pulls lines low that are `false`, and lets go of the others. Returns when that has been so for half a period of the clock line, at least 5 us.
    fn drive(&mut self, scl: bool, sda: bool) -> Result<(), Self::Error>;

    /// The levels of SCL and SDA.
    fn levels(&mut self) -> Result<(bool, bool), Self::Error>;
}

/// Clocks the bus free. `true`: it is free as far as one can see, or somebody else is at work.
///
/// # Errors
/// Those of `lines`.
pub fn free<L: Lines>(lines: &mut L) -> Result<bool, L::Error> {
    lines.drive(true, true)?;
    let before = lines.levels()?;
    for _ in 0..LOOKS {
        lines.drive(true, true)?;
        if lines.levels()? != before {
            return Ok(true);
        }
    }
    if !before.0 {
        return Ok(false);
    }
    // Enough for a device that holds its acknowledgement. One that sends a byte may answer with its next zero.
    clock(lines)?;
    if lines.levels()?.1 && stop(lines)? {
        return Ok(true);
    }
    for _ in 0..CLOCKS {
        clock(lines)?;
    }
    stop(lines)
}

fn clock<L: Lines>(lines: &mut L) -> Result<(), L::Error> {
    lines.drive(false, true)?;
    lines.drive(true, true)
}

/// Sends a STOP. `true`: both lines are high afterwards.
fn stop<L: Lines>(lines: &mut L) -> Result<bool, L::Error> {
    for (scl, sda) in [(false, true), (false, false), (true, false), (true, true)] {
        lines.drive(scl, sda)?;
    }
    Ok(lines.levels()? == (true, true))
}
