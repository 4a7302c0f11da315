//! From the first instruction to the kernel's.

use core::arch::{asm, global_asm};
use core::fmt::{self, Write as _};
use core::ops::Range;
use core::panic::PanicInfo;
use core::slice;

use aarch32_cpu::asm::wfe;
use aarch32_cpu::register::cpsr::{Cpsr, ProcessorMode};
use zelkova_loader::LOADER_BASE;
use zelkova_loader::modules::Modules;
use zelkova_loader::params::{Handover, Parameters};

use crate::mmu;
use crate::uart::Uart;

// The first word is a preload that does nothing; it marks the beginning of interval 1, which instruction counting sees.
// MPIDR can only be read in a privileged mode, and `start` reports any other.
global_asm!(
    ".section .text.start, \"ax\"",
    ".global _start",
    ".arm",
    "_start:",
    ".word 0xf55ff101",
    "cpsid aif, #0x13",
    "mrs r0, cpsr",
    "and r0, r0, #0x1f",
    "cmp r0, #0x13",
    "bne 2f",
    "mrc p15, 0, r0, c0, c0, 5",
    "tst r0, #0xff",
    "beq 2f",
    "1: wfe",
    "b 1b",
    "2: ldr sp, ={stack}",
    "ldr r0, ={parameters}",
    "b {start}",
    ".section .params, \"aw\"",
    ".space {size}",
    stack = sym __stack_top,
    parameters = sym __params,
    start = sym start,
    size = const size_of::<Parameters>(),
);

unsafe extern "C" {
    /// Where the stack begins; from the linker script.
    static __stack_top: u8;
    /// The parameters; from the linker script.
    static __params: Parameters;
    /// End of the loader, from the linker script.
    static __end: u8;
}

/// The control register of the level 2 cache controller, and its enable bit (PL310 TRM, `reg1_control`; UG585, appendix B,
/// module `L2Cpl310`).
const L2_CONTROL: usize = 0xf8f0_2100;
const L2_ENABLE: u32 = 1;

/// Why the kernel is not entered.
enum Error {
    Mode(Cpsr),
    MmuOn,
    L2On,
    Parameters(zelkova_loader::params::Error),
    Modules(zelkova_loader::modules::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(status) => {
                write!(
                    f,
                    "not in SVC mode but in {:#04x}: enter the loader in a privileged mode",
                    status.raw_value() & 0x1f
                )
            }
            Self::MmuOn => f.write_str("MMU or data cache is on: turn both off before entering the loader"),
            Self::L2On => f.write_str("the level 2 cache is on: clean it and turn it off before entering the loader"),
            Self::Parameters(error) => error.fmt(f),
            Self::Modules(error) => error.fmt(f),
        }
    }
}

/// The loader with a stack.
extern "C" fn start(parameters: &Parameters) -> ! {
    // SAFETY: nobody else runs. Should the MMU be on against the contract, the UART is still the only way to say so.
    let mut uart = unsafe { Uart::start() };
    match check(parameters) {
        Ok(handover) => {
            // SAFETY: `check` saw that the state and the range of everything to enter are right.
            unsafe {
                mmu::turn_on();
                enter(&handover)
            }
        }
        Err(error) => stop(&mut uart, &error),
    }
}

/// Checks the state of the machine and all of the input.
fn check(parameters: &Parameters) -> Result<Handover, Error> {
    let status = Cpsr::read();
    if status.mode() != Ok(ProcessorMode::Svc) {
        return Err(Error::Mode(status));
    }
    if mmu::is_on() {
        return Err(Error::MmuOn);
    }
    // SAFETY: the MMU is off, so this is the physical address of an aligned register whose reading has no side effect.
    let l2 = unsafe { core::ptr::with_exposed_provenance::<u32>(L2_CONTROL).read_volatile() };
    if l2 & L2_ENABLE != 0 {
        return Err(Error::L2On);
    }
    let loader: Range<u32> = LOADER_BASE..(&raw const __end).addr() as u32;
    let handover = parameters.check(&loader).map_err(Error::Parameters)?;
    let length = handover.modules.end - handover.modules.start;
    // SAFETY: the range was checked to be RAM that neither kernel nor loader covers, and nothing writes there. Its address
    // is not zero, since the kernel is in front of it.
    let image = unsafe {
        slice::from_raw_parts(
            core::ptr::with_exposed_provenance::<u8>(handover.modules.start as usize),
            length as usize,
        )
    };
    Modules::parse(image).map_err(Error::Modules)?;
    Ok(handover)
}

/// Enters the kernel. It takes the user image's physical start and end in r0 and r1, the physical minus the virtual address of
/// it in r2, core's entry point in r3; kernels since version 10 also take the address and size of a devicetree from the
/// stack: there is none, so two zeros. All else but the jump's own r12 is zero.
///
/// # Safety
/// The MMU must map the kernel, and `handover` must be right about it.
unsafe fn enter(handover: &Handover) -> ! {
    // SAFETY: the caller vouches for the jump. The stack is cut back to its top, since nothing here is returned to.
    unsafe {
        asm!(
            "ldr sp, ={stack}",
            "mov r4, #0",
            "mov r5, #0",
            "push {{r4, r5}}",
            "mov r6, #0",
            "mov r7, #0",
            "mov r8, #0",
            "mov r9, #0",
            "mov r10, #0",
            "mov r11, #0",
            "mov lr, #0",
            "bx r12",
            stack = sym __stack_top,
            in("r0") handover.image.start,
            in("r1") handover.image.end,
            in("r2") handover.offset,
            in("r3") handover.image_entry,
            in("r12") handover.kernel_entry,
            options(noreturn),
        )
    }
}

/// Says why, and halts.
fn stop(uart: &mut Uart, error: &dyn fmt::Display) -> ! {
    // Writing to the UART never fails.
    let _ = writeln!(uart, "[loader] error: {error}");
    uart.flush();
    loop {
        wfe();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // SAFETY: nobody else prints any more; a panic can only come from `check`, with the MMU off.
    let mut uart = unsafe { Uart::start() };
    stop(&mut uart, info)
}
