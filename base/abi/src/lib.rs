//! The contract between a component and the platform under it.
//!
//! # Theory of operation
//!
//! A component's ELF file knows nothing of the kernel it runs on: no system call number, no invocation label,
//! no object size. When it must enter the kernel it calls through the [`Gate`], a table of functions at a fixed
//! address that the platform maps read-only into every component (on seL4: the `vdso` of the platform).
//!
//! Each component starts with its capabilities in known slots ([`slot`]), its main thread's IPC buffer page at
//! [`IPC_BASE`], and [`StartInfo`] in the second half of that page.
//!
//! # Message format
//!
//! A message has a label, up to [`MESSAGE_WORDS`] words and up to 3 capabilities, described by one word
//! ([`Info`]). The first 4 words travel in registers, the others and the capabilities in the IPC buffer
//! ([`IpcBuffer`]). This is the message format of seL4 on 32-bit machines.
#![no_std]
#![forbid(unsafe_code)]

/// Address of the gate's code; its table comes first.
pub const GATE_BASE: usize = 0x0010_0000;
/// Address of the main thread's IPC buffer page.
pub const IPC_BASE: usize = 0x0011_0000;
/// End (exclusive) of the main thread's stack; the page below its start is never mapped.
pub const STACK_TOP: usize = 0x0018_0000;
/// Address that component programs are linked at.
pub const PROGRAM_BASE: usize = 0x0018_0000;
/// First address that `attach` chooses from; below it addresses are the component's own choice.
pub const WINDOW_BASE: usize = 0x1000_0000;
/// End (exclusive) of the addresses that `attach` chooses from.
pub const WINDOW_END: usize = 0xe000_0000;

/// Capability slots that are filled when a component starts.
pub mod slot {
    /// The component's own capability space.
    pub const SELF: u32 = 1;
    /// Its domain (address space and threads), served by core.
    pub const DOMAIN: u32 = 2;
    /// Its account, served by core.
    pub const ACCOUNT: u32 = 3;
    /// Its own endpoint.
    pub const ENDPOINT: u32 = 4;
    /// Its own notification, bound to the main thread.
    pub const NOTIFICATION: u32 = 5;
    /// Its parent's endpoint.
    pub const PARENT: u32 = 6;
    /// Where the faults of the main thread go.
    pub const FAULT: u32 = 7;
    /// The first slot that is free for the component's own use.
    pub const FIRST_FREE: u32 = 8;
}

/// Version of [`Gate`]; a component refuses to start on another one.
pub const GATE_VERSION: u32 = 3;
/// First word of [`Gate`]: "ZGAT".
pub const GATE_MAGIC: u32 = 0x5441_475a;

/// The functions through which a component enters the kernel, as code addresses.
///
/// `call`, `send`, `reply`, `recv` and `reply_recv` take and return registers as the kernel does: r0 = slot, and badge on
/// return; r1 = [`Info`]; r2 to r5 = the first four message words. They keep all registers but these, r7, lr and the flags.
///
/// `signal`, `wait`, `poll`, `yield_now` and `irq_ack` take their argument and return their result in r0. They change r1 to r5, r7, lr and the
/// flags, and keep the rest.
///
/// The others follow the procedure call standard. Those that can fail return 0, or 1 if the kernel refused.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Gate {
    /// [`GATE_MAGIC`].
    pub magic: u32,
    /// [`GATE_VERSION`].
    pub version: u32,
    /// Sends to an endpoint and waits for the reply.
    pub call: u32,
    /// Sends to an endpoint, waits until it is received.
    pub send: u32,
    /// Answers the last caller; never waits.
    pub reply: u32,
    /// Waits for a message on an endpoint, or a signal on the bound notification.
    pub recv: u32,
    /// `reply` and `recv` in one.
    pub reply_recv: u32,
    /// `(slot)`: signals a notification.
    pub signal: u32,
    /// `(slot) -> badge`: waits for a notification.
    pub wait: u32,
    /// `(slot) -> badge`: takes a notification's badge, 0 if nothing was signalled.
    pub poll: u32,
    /// `()`: gives up the rest of the time slice.
    pub yield_now: u32,
    /// `(slot) -> error`: lets an interrupt happen again.
    pub irq_ack: u32,
    /// `(irq slot, notification slot) -> error`: where an interrupt signals.
    pub irq_bind: u32,
    /// `(destination, source, badge) -> error`: copies an endpoint or notification with a badge.
    pub mint: u32,
    /// `(destination, source) -> error`: copies a capability.
    pub copy: u32,
    /// `(slot) -> error`: empties a slot.
    pub delete: u32,
    /// `(slot) -> error`: takes back all copies of a capability.
    pub revoke: u32,
    /// `(slot) -> error`: keeps the right to answer the last caller in a slot.
    pub save_reply: u32,
    /// `(slot) -> error`: requests that were sent with the badge of an endpoint and not received yet fail; their senders go on.
    pub cancel_sends: u32,
    /// `() -> address` of the calling thread's [`IpcBuffer`].
    pub ipc_buffer: u32,
}

/// Most words of a message.
pub const MESSAGE_WORDS: usize = 120;

/// The part of a thread's IPC buffer that both sides use.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct IpcBuffer {
    /// Kernel's copy of the info word.
    pub tag: u32,
    /// Message words; the first four travel in registers.
    pub words: [u32; MESSAGE_WORDS],
    /// Free for the user.
    pub user_data: u32,
    /// Sending: slots of the capabilities to send. Received: badges of those capabilities that
    /// belong to the receiving endpoint.
    pub caps: [u32; 3],
    /// Slot of the capability space that a received capability goes to.
    pub receive_cnode: u32,
    /// Slot that a received capability goes to.
    pub receive_index: u32,
    /// Bits of `receive_index` to resolve.
    pub receive_depth: u32,
}

const _: () = assert!(size_of::<IpcBuffer>() == 512);

/// Description of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Info(pub u32);

impl Info {
    /// A message with `label` (20 bits), `caps` capabilities (0 to 3) and `words` words (0 to 120).
    pub const fn new(label: u32, caps: u32, words: u32) -> Self {
        Self(label << 12 | (caps & 3) << 7 | (words & 0x7f))
    }

    /// What the message is about.
    pub const fn label(self) -> u32 {
        self.0 >> 12
    }

    /// Bit n set: capability n belonged to the receiving endpoint and arrived as its badge.
    pub const fn unwrapped(self) -> u32 {
        self.0 >> 9 & 7
    }

    /// Number of capabilities.
    pub const fn caps(self) -> u32 {
        self.0 >> 7 & 3
    }

    /// Number of words, at most [`MESSAGE_WORDS`].
    pub const fn words(self) -> usize {
        let words = (self.0 & 0x7f) as usize;
        if words > MESSAGE_WORDS { MESSAGE_WORDS } else { words }
    }
}

/// Badges of endpoint capabilities have this bit, badges of notifications do not: one wait tells them apart.
pub const ENDPOINT_BADGE: u32 = 1 << 27;
/// Number of separate signals that a notification can carry.
pub const SIGNALS: u32 = 27;
/// The signal by which a parent says that a request waits.
pub const PARENT_SIGNAL: u32 = 1 << 0;

/// Offset of [`StartInfo`] in the main thread's IPC buffer page.
pub const START_INFO_OFFSET: usize = 2048;
/// Longest configuration that fits a component's start page, in bytes.
pub const CONFIG_LEN: usize = 2032;

/// What a component is told at its start.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StartInfo {
    /// [`GATE_VERSION`] that the parent expects.
    pub version: u32,
    /// Number of slots of its capability space.
    pub slots: u32,
    /// Bytes of `config` in use.
    pub config_len: u32,
    /// The configuration: JSON text.
    pub config: [u8; CONFIG_LEN],
}

impl StartInfo {
    /// The bytes before the configuration, for a component with so many slots and bytes of configuration.
    pub const fn head(slots: u32, config_len: u32) -> [u8; core::mem::offset_of!(Self, config)] {
        let [v0, v1, v2, v3] = GATE_VERSION.to_le_bytes();
        let [s0, s1, s2, s3] = slots.to_le_bytes();
        let [c0, c1, c2, c3] = config_len.to_le_bytes();
        [v0, v1, v2, v3, s0, s1, s2, s3, c0, c1, c2, c3]
    }
}

const _: () = assert!(START_INFO_OFFSET + size_of::<StartInfo>() <= 4096);
const _: () = assert!(size_of::<Gate>() == 20 * 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_keeps_its_parts_apart() {
        let info = Info::new(0xf_ffff, 3, 120);
        assert_eq!((info.label(), info.caps(), info.words(), info.unwrapped()), (0xf_ffff, 3, 120, 0));
        assert_eq!(Info(0x7f).words(), MESSAGE_WORDS);
    }
}
