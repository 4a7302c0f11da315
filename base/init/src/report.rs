//! What every component has and uses: as a table for people, and as the state report for components.
//!
//! The state report is JSON: `{"components":[...]}`, one object for each component in the order of their numbers, with the members
//!
//! - `label`; `state`: `running`, `ending`, `waiting` or `ended`; `restarts`;
//! - `end`: how it ended last: `""`, `exit N`, `fault`, `silent`, `unstartable`, `changed`;
//! - `fault`: its last fault, `KIND at INSTRUCTION, address ADDRESS, thread N`, or `""`;
//! - `ram` and `caps`: `[assigned, used, available, peak]`, and `kernel`: bytes of kernel objects and bookkeeping among the used;
//! - `requested`: what it has asked for and not got, RAM and capabilities.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use session::core::{AccountInfo, fault_name};

use crate::children::{Child, Children};
use crate::lifecycle::{End, State};
use crate::platform::{Account, Error, log};

/// Writes one line for each component, and one for init itself.
pub(crate) fn print(children: &Children) {
    log!(
        "{:<12} {:>9} {:>9} {:>9} {:>9}   {:>6} {:>6} {:>6}",
        "component",
        "RAM",
        "used",
        "kernel",
        "peak",
        "caps",
        "used",
        "peak"
    );
    for (_, child) in children.iter() {
        if let Ok(account) = child.account() {
            line(&child.component.name, account);
        }
    }
    line("init", &Account::own());
}

fn line(name: &str, account: &Account) {
    match account.info() {
        Ok(AccountInfo { ram, ram_used, ram_kernel, ram_peak, caps, caps_used, caps_peak, .. }) => {
            log!(
                "{name:<12} {ram:>9} {ram_used:>9} {ram_kernel:>9} {ram_peak:>9}   {caps:>6} {caps_used:>6} {caps_peak:>6}"
            );
        }
        Err(error) => log!("{name:<12} {error}"),
    }
}

/// Text that grows while there is memory.
struct Growing(Vec<u8>);

impl Write for Growing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.try_reserve(text.len()).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Ending => "ending",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Fault => f.write_str("fault"),
            Self::Silent => f.write_str("silent"),
            Self::Hog => f.write_str("hog"),
            Self::Bankrupt => f.write_str("bankrupt"),
            Self::Unyielding => f.write_str("unyielding"),
            Self::Unstartable => f.write_str("unstartable"),
            Self::Changed => f.write_str("changed"),
            Self::Removed | Self::Over => f.write_str("removed"),
        }
    }
}

/// The state report.
///
/// # Errors
/// [`Error::OutOfRam`]: init has no memory for it.
pub(crate) fn state(children: &Children) -> Result<Vec<u8>, Error> {
    let mut text = Growing(Vec::new());
    write_state(&mut text, children).map_err(|fmt::Error| Error::OutOfRam)?;
    Ok(text.0)
}

fn write_state(text: &mut Growing, children: &Children) -> fmt::Result {
    text.write_str("{\"components\":[")?;
    for (number, (index, child)) in children.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let Child { state, restarts, end, fault, .. } = child;
        write!(
            text,
            "{comma}{{\"label\":\"{}\",\"state\":\"{state}\",\"restarts\":{restarts},",
            children.label(index)
        )?;
        text.write_str("\"end\":\"")?;
        if let Some(end) = end {
            write!(text, "{end}")?;
        }
        text.write_str("\",\"fault\":\"")?;
        if let Some([kind, instruction, address, thread]) = *fault {
            let kind = fault_name(kind);
            write!(text, "{kind} at {instruction:08x}, address {address:08x}, thread {thread}")?;
        }
        let info = child.account().and_then(Account::info).unwrap_or_default();
        let AccountInfo { ram, ram_lent, ram_used, ram_kernel, ram_peak, caps, caps_lent, caps_used, caps_peak } = info;
        let (ram_left, caps_left) = (
            ram.saturating_sub(ram_lent).saturating_sub(ram_used),
            caps.saturating_sub(caps_lent).saturating_sub(caps_used),
        );
        let [wanted_ram, wanted_caps] = child.requested;
        write!(
            text,
            "\",\"ram\":[{ram},{ram_used},{ram_left},{ram_peak}],\"caps\":[{caps},{caps_used},{caps_left},{caps_peak}],\"kernel\":{ram_kernel},\"requested\":[{wanted_ram},{wanted_caps}]}}"
        )?;
    }
    text.write_str("]}")
}
