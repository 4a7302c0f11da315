//! The MMU and the caches (ARMv7-A architecture reference manual, B3; Cortex-A9 TRM, 4.3).
//!
//! The translation table is a constant of 4096 sections of 1 MiB, in the short descriptor format: all RAM at its own
//! address, so that the loader goes on running; all RAM again from the kernel's window on; no access elsewhere. The kernel
//! replaces it with its own as one of its first acts. It runs on this one in secure state, in domain 0, with memory that is
//! write-back cached and not shared: one CPU.
//!
//! The caches hold nothing that is needed, because the data cache was off; but after a reset they may hold anything, so they
//! are invalidated, never cleaned, before they are turned on. The level 2 cache is left off: the kernel turns it on.

use aarch32_cpu::asm::{dsb, isb};
use aarch32_cpu::cache::invalidate_l1_data_cache;
use aarch32_cpu::mmu::{
    AccessPermissions, L1Section, MemoryRegionAttributes, NUM_L1_PAGE_TABLE_ENTRIES, SectionAttributes,
};
use aarch32_cpu::register::dacr::{Dacr, DomainAccess};
use aarch32_cpu::register::ttbr0::Ttbr0;
use aarch32_cpu::register::{BpIAll, Iciallu, Sctlr, SysReg, SysRegWrite, TlbIAll};
use zelkova_loader::{KERNEL_WINDOW, RAM_END};

/// log2 of the size of a section.
const SECTION_BITS: u32 = 20;

/// RAM: normal memory, write-back, for privileged code only, executable.
const RAM: SectionAttributes = SectionAttributes {
    non_global: false,
    p_bit: false,
    shareable: false,
    access: AccessPermissions::PrivilegedOnly,
    memory_attrs: MemoryRegionAttributes::OuterAndInnerWriteBackWriteAlloc.as_raw(),
    // Bits 5 to 8 of an entry: domain 0.
    domain: L1Section::new_with_raw_value(0).domain(),
    execute_never: false,
};

/// A translation table; TTBR0 wants it aligned to its size.
#[repr(C, align(16384))]
struct Table([L1Section; NUM_L1_PAGE_TABLE_ENTRIES]);

static TABLE: Table = Table(sections());

/// The entries: RAM at its own address and in the kernel's window.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where an index out of bounds is an error")]
const fn sections() -> [L1Section; NUM_L1_PAGE_TABLE_ENTRIES] {
    let mut table = [L1Section::new_with_raw_value(0); NUM_L1_PAGE_TABLE_ENTRIES];
    let mut section = 0;
    while section < RAM_END >> SECTION_BITS {
        let entry = L1Section::new_with_addr_and_attrs(section << SECTION_BITS, RAM);
        table[section as usize] = entry;
        table[((KERNEL_WINDOW >> SECTION_BITS) + section) as usize] = entry;
        section += 1;
    }
    table
}

/// Translation Table Base Control Register.
struct Ttbcr;

impl SysReg for Ttbcr {
    const CP: u32 = 15;
    const CRN: u32 = 2;
    const OP1: u32 = 0;
    const CRM: u32 = 0;
    const OP2: u32 = 2;
}

impl SysRegWrite for Ttbcr {}

/// Whether the MMU or the data cache is on.
pub(crate) fn is_on() -> bool {
    let control = Sctlr::read();
    control.m() || control.c()
}

/// Turns MMU and caches on.
///
/// # Safety
/// In a privileged mode of the secure state, with MMU and data cache off. Afterwards nothing outside of RAM may be accessed.
pub(crate) unsafe fn turn_on() {
    // A Cortex-A9 of this chip has 32 KiB of level 1 data cache: 4 ways, 256 sets, lines of 32 bytes (UG585, 3.2).
    invalidate_l1_data_cache::<2, 5, 8>();
    Iciallu::write();
    BpIAll::write();
    TlbIAll::write();
    dsb();

    // Table walks are not cached: the table was written with the caches off.
    let base = Ttbr0::new_with_raw_value(0).with_address((&raw const TABLE.0).addr());
    // SAFETY: the table is aligned to 16 KiB, static, and maps the code and stack in use at their own addresses. TTBCR 0
    // selects TTBR0 for all addresses, and the short descriptor format.
    unsafe {
        Ttbcr::write_raw(0);
        Ttbr0::write(base);
    }
    let mut domains = Dacr::new_with_raw_value(0);
    domains.set_d(0, DomainAccess::Client);
    Dacr::write(domains);
    isb();

    Sctlr::modify(|control| {
        // TEX remap (bit 28) and access flag (bit 29) would give the entries another meaning.
        let mut value = Sctlr::new_with_raw_value(control.raw_value() & !(0b11 << 28));
        value.set_a(false);
        value.set_m(true);
        value.set_c(true);
        value.set_i(true);
        value.set_z(true);
        *control = value;
    });
}
