//! Signals: a word of bits that others can set, and that one thread waits for.

use abi::{SIGNALS, slot};

use session::Error;

use crate::cap::Capability;
use crate::gate;

/// One bit of the component's notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(u32);

impl Signal {
    /// Signal number `number`, 1 to 26; 0 is the parent's.
    pub const fn new(number: u32) -> Option<Self> {
        if number > 0 && number < SIGNALS { Some(Self(1 << number)) } else { None }
    }

    /// Its bit in what a wait returns.
    pub const fn bit(self) -> u32 {
        self.0
    }

    /// Lets an interrupt raise this signal.
    pub fn bind(self, interrupt: &Capability) -> Result<(), Error> {
        // The kernel keeps a copy of its own.
        let notification = self.capability()?;
        match gate::irq_bind(interrupt.slot(), notification.slot()) {
            0 => {
                // Deleting the capability would undo the binding.
                core::mem::forget(notification);
                Ok(())
            }
            _ => Err(Error::Kernel),
        }
    }

    /// Waits until this signal is raised, and takes it. Others that are raised meanwhile stay so.
    ///
    /// # Errors
    /// [`Error::OutOfCaps`]: the capability space is full.
    pub fn wait(self) -> Result<(), Error> {
        let again = Capability::reserve()?;
        let mut others = 0;
        loop {
            let raised = gate::wait(slot::NOTIFICATION);
            others |= raised & !self.0;
            if raised & self.0 != 0 {
                break;
            }
        }
        if others == 0 {
            return Ok(());
        }
        match gate::mint(again.slot(), slot::NOTIFICATION, others) {
            0 => {
                gate::signal(again.slot());
                Ok(())
            }
            _ => Err(Error::Kernel),
        }
    }

    /// A capability that raises this signal, to be handed to others.
    pub fn capability(self) -> Result<Capability, Error> {
        Capability::mint(slot::NOTIFICATION, self.0)
    }
}

/// Waits until at least one signal is raised, and takes all that are.
pub fn wait() -> u32 {
    gate::wait(slot::NOTIFICATION)
}

/// Takes the raised signals without waiting; 0 if there is none.
pub fn poll() -> u32 {
    gate::poll(slot::NOTIFICATION)
}
