//! What happens between entry and hand-over, and what is done where it does not get there.

use core::arch::asm;
use core::fmt::{self, Write as _};
use core::panic::PanicInfo;
use core::sync::atomic::AtomicU32;

use mmio::{Mmio, Registers as _};
use sd::{DescriptorTable, Driver};
use zedboard::BOARD;
use zelkova_fsbl::boot::{self, Devices};
use zelkova_fsbl::card::{Buffer, Card};
use zelkova_fsbl::led::{self, Led};
use zelkova_fsbl::signature::{self, Digest};
use zelkova_fsbl::{Failure, clocks, memory};
use zynq7000::memory::{CPU_PRIVATE, DDRC, DEVCFG, GPIO, SDIO0, SLCR};
use zynq7000::slcr;

use crate::entry;
use crate::hardware::{BLOCKS, Console, DESCRIPTORS, Ddr, Timer, page};

unsafe extern "C" {
    /// Where the boot ROM leaves a certificate; from the linker script.
    static __certificate: [u8; bootimage::certificate::SIZE as usize];
}

/// The boot loader.
pub(crate) extern "C" fn run() -> ! {
    // SAFETY: these are the pages of the SLCR and of the processors' private devices, and this is the only program that runs.
    let (system, private) = unsafe { (page(SLCR.registers.base), page(CPU_PRIVATE.base)) };
    let time = Timer::start(private, &BOARD);
    let started = clocks::start(&system, &BOARD, &time);
    // Without its clock the UART does not start, and there is only the LED.
    let mut console = Console::start(&BOARD, &time);
    let led = light();
    if let Some(led) = &led {
        led.set(true);
    }
    say(&mut console, format_args!("Zelkova boot loader, {}", BOARD.name));
    let outcome = started.map_err(Failure::from).and_then(|()| prepare_and_load(&system, &time, &mut console));
    match outcome {
        Ok(entry) => {
            if let Some(led) = &led {
                led.set(false);
            }
            say(&mut console, format_args!("starting {entry:#010x}"));
            if let Some(console) = &console {
                console.flush();
            }
            time.stop();
            system.write(slcr::LOCK, slcr::LOCK_KEY);
            // SAFETY: a verified program was put there.
            unsafe { entry::leave(entry) }
        }
        Err(failure) => {
            say(&mut console, format_args!("failed, code {}: {failure}", failure.code()));
            give_up(&time, led.as_ref(), failure.code())
        }
    }
}

fn prepare_and_load(system: &Mmio, time: &Timer, console: &mut Option<Console<'_>>) -> Result<u32, Failure> {
    // SAFETY: these are the pages of the memory controller, the configuration interface and the SD controller, used by nobody else. DMA of both engines
    // goes where this program tells it.
    let (controller, devcfg, sd) =
        unsafe { (page(DDRC.registers.base), page(DEVCFG.registers.base), page(SDIO0.registers.base)) };
    memory::start(system, &controller, &BOARD, time)?;
    // SAFETY: the memory answers from now on, and nothing of this program is in it.
    let mut ram = unsafe { Ddr::new(BOARD.memory.size()) };
    memory::test(&mut ram)?;
    say(console, format_args!("{} MiB of memory, trained and tested", BOARD.memory.size() >> 20));
    let address = |cells: &[AtomicU32]| cells.as_ptr().expose_provenance() as u32;
    let table = DescriptorTable::new(&DESCRIPTORS, address(&DESCRIPTORS));
    let driver = Driver::new(sd, table, BOARD.clocks.sd);
    let card = Card::start(driver, Buffer::new(&BLOCKS, address(&BLOCKS)), time).map_err(|error| match error {
        zelkova_fsbl::card::CardError::NoCard => Failure::NoCard,
        other => Failure::Card(other),
    })?;
    if let Some(found) = card.describe() {
        say(console, format_args!("card {}, {} MiB", found.identification, found.blocks >> 11));
    }
    let anchor = own_signer();
    let devices = Devices { slcr: system, devcfg: &devcfg };
    boot::load(&card, &devices, &mut ram, anchor.as_ref(), &time, &mut Lines(console))
}

/// The LED, if the board has one. The pin's clock runs from reset.
fn light() -> Option<Led<Mmio>> {
    // SAFETY: this is the page of the GPIO controller, used by nobody else.
    BOARD.led.and_then(|pin| Led::new(unsafe { page(GPIO.registers.base) }, pin))
}

/// The digest of the key that this program is signed with, if the boot ROM has found a certificate behind it.
fn own_signer() -> Option<Digest> {
    // SAFETY: the linker script keeps the place free, and nothing writes to it any more.
    signature::anchor(unsafe { &__certificate })
}

/// Writes a line of ours to the console, if there is one.
fn say(console: &mut Option<Console<'_>>, message: fmt::Arguments<'_>) {
    if let Some(console) = console {
        // The console never fails.
        let _ = writeln!(console, "[fsbl] {message}");
    }
}

/// The console for whole lines from the library.
struct Lines<'c, 't>(&'c mut Option<Console<'t>>);

impl fmt::Write for Lines<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self.0 {
            Some(console) => console.write_str(text),
            None => Ok(()),
        }
    }
}

/// Flashes the code until the board is switched off.
fn give_up(time: &Timer, led: Option<&Led<Mmio>>, code: u8) -> ! {
    loop {
        for (on, duration) in led::round(code) {
            if let Some(led) = led {
                led.set(on);
            }
            time.sleep(duration);
        }
    }
}

/// Says what must not happen, and gives up. Everything that was in use is taken over.
fn fault(message: fmt::Arguments<'_>) -> ! {
    // SAFETY: whatever used these pages does not go on.
    let time = Timer::start(unsafe { page(CPU_PRIVATE.base) }, &BOARD);
    let mut console = Console::start(&BOARD, &time);
    let code = Failure::Internal.code();
    say(&mut console, format_args!("failed, code {code}: {message}"));
    give_up(&time, light().as_ref(), code)
}

/// An exception: `kind` is its place in the table of vectors, `link` the address behind the instruction.
pub(crate) extern "C" fn exception(kind: u32, link: u32) -> ! {
    let (name, address) = match kind {
        1 => ("undefined instruction", link.wrapping_sub(4)),
        2 => ("supervisor call", link.wrapping_sub(4)),
        3 => ("prefetch abort", link.wrapping_sub(4)),
        _ => ("data abort", link.wrapping_sub(8)),
    };
    let fault_address: u32;
    // SAFETY: reading DFAR has no side effect.
    unsafe { asm!("mrc p15, 0, {}, c6, c0, 0", out(reg) fault_address, options(nomem, nostack, preserves_flags)) }
    fault(format_args!("{name} at {address:#010x}, fault address {fault_address:#010x}"))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fault(format_args!("{info}"))
}
