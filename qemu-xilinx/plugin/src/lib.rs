//! What the emulator loads: the board's devices, and an exact count of instructions.
//!
//! # Theory of operation
//!
//! QEMU loads this library with `-plugin file=...` and these arguments, in any combination:
//!
//! | argument | |
//! |---|---|
//! | `out=FILE` | counts instructions; the counts go to FILE at the end |
//! | `board=FILE` | puts the devices of [`models::board`] into the machine, as FILE describes them (JSON) |
//! | `card=FILE` | the SD card of a board that starts from it, with `board` |
//! | `control=SOCKET` | takes commands for the board at a Unix socket, with `board` |
//! | `report=FILE` | writes what is known of the board at the end to FILE (JSON), with `board` |
//! | `screenshot=FILE` | writes what is on the display at the end, or was last, to FILE (PNG), with `board` |
//! | `display=on` | shows the display on a screen of the emulator, for its windows, VNC and QMP's `screendump`, with `board` |
//!
//! **Devices.** When the machine is complete, each register block of the board is laid over whatever the stock machine has there. Accesses go to the
//! models with the virtual time; the models' interrupt lines go to the interrupt controller's inputs, their next event to a timer on the virtual
//! clock, and what they complain about to the emulator's log, each line with `zelkova: ` before it. The board also listens to what is
//! written to the console, so that an event can wait for a line. All of that depends on nothing but the virtual time: with `-icount` two
//! runs are the same run. The emulator's inside is reached as its own loadable device modules do it (module `ffi`), not through the
//! documented plugin interface; where that is missing, the library says so and refuses to load.
//!
//! **Power-on.** A board that starts from its card ([`models::board::description::Start`]) has the boot ROM's model run at each reset, and memory where the chip
//! shows it, moment by moment: parts of the machine's memory are shown at a second place or hidden as the SLCR, the snoop
//! control unit and the memory controller say. No program is loaded but what the ROM finds on the card; the processor starts where the ROM jumps to.
//! If it finds nothing, the machine stops and the report says why.
//!
//! **Frames.** If the board's description asks for it, every access of the processor to memory is looked at, for those to the memory of pictures
//! ([`models::frames`]). That uses the documented plugin interface: QEMU calls after each access, and tells the physical address behind it. Instructions at or above seL4's window
//! are the kernel's accesses, all others those of programs. The callback comes without the emulator's big lock; what it
//! and the devices share has a lock of its own, within which neither waits for anything. It makes a run up to two and a half times as long.
//!
//! **Counting.** It uses the documented plugin interface only, and adapts to the version of the emulator. QEMU calls whenever it translates a
//! block of the guest's instructions. The plugin attaches to every instruction an addition that QEMU compiles into the
//! translated code, so that an instruction is counted when it is executed and never when it is only translated, even
//! if an exception ends the block early. Instructions at or above 0xE0000000, seL4's window, count as the kernel's, all
//! others as the user's.
//!
//! A program marks an interval with two instructions that do nothing, `PLD [pc, #-imm]`: the word
//! `0xf55ff100 | op` begins interval `op` (0 to 255) and `0xf55ff200 | op` ends it. The hint needs no privilege and
//! reads nothing, and no compiler emits it. Marks themselves are not counted. Whatever the processor does in
//! between belongs to the interval, in whatever address space: other threads, the kernel, interrupts. Intervals
//! with different numbers may overlap; a second begin restarts, and an end without a begin is nothing. It assumes one processor, and A32 code: in
//! T32 code the mark's bytes are an ordinary addition.

mod control;
mod count;
mod devices;
mod ffi;
mod power_on;

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use count::{Count, Mark, Marks};
use ffi::Emulator;
use models::frames::{Access, Watch};

/// First address of the kernel's window.
const KERNEL_WINDOW: u64 = 0xE000_0000;

/// What the callbacks work on.
struct State {
    emulator: Emulator,
    marks: Marks,
    /// Where the counts go, if instructions are counted.
    out: Option<PathBuf>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Who wants to know of accesses to memory.
static WATCH: OnceLock<Watch> = OnceLock::new();

/// Runs `f` on the state, if the plugin is installed.
fn with_state(f: impl FnOnce(&mut State)) {
    if let Some(state) = STATE.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        f(state);
    }
}

/// What the arguments ask for.
#[derive(Debug, Default)]
struct Options {
    out: Option<PathBuf>,
    devices: devices::Options,
}

impl Options {
    /// `arguments` are the plugin's arguments as `name=value`.
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        for argument in arguments {
            if argument == "display=on" {
                options.devices.display = true;
                continue;
            }
            let place = match argument.split_once('=') {
                Some(("out", path)) => Some((&mut options.out, path)),
                Some(("board", path)) => Some((&mut options.devices.board, path)),
                Some(("card", path)) => Some((&mut options.devices.card, path)),
                Some(("control", path)) => Some((&mut options.devices.control, path)),
                Some(("report", path)) => Some((&mut options.devices.report, path)),
                Some(("screenshot", path)) => Some((&mut options.devices.screenshot, path)),
                _ => None,
            };
            let Some((place, path)) = place.filter(|(_, path)| !path.is_empty()) else {
                return Err(format!(
                    "unknown argument `{argument}`; there are out=FILE, board=FILE, card=FILE, control=SOCKET, report=FILE, screenshot=FILE, \
                     display=on"
                ));
            };
            *place = Some(PathBuf::from(path));
        }
        if options.out.is_none() && options.devices.board.is_none() {
            return Err("nothing to do: give out=FILE or board=FILE".to_owned());
        }
        Ok(options)
    }
}

/// Starts what the arguments ask for. Says whether instructions are to be followed.
///
/// # Errors
/// A message for the user.
fn install(arguments: &[String], emulator: impl FnOnce() -> Result<Emulator, String>) -> Result<bool, String> {
    let options = Options::parse(arguments)?;
    let watch = devices::install(&options.devices)?;
    if options.out.is_none() && watch.is_none() {
        return Ok(false);
    }
    if let Some(watch) = watch {
        WATCH.get_or_init(|| watch);
    }
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    *state = Some(State { emulator: emulator()?, marks: Marks::default(), out: options.out });
    Ok(true)
}

/// Decides what is attached to an instruction that is being translated.
fn translate(instruction: ffi::Instruction<'_>) {
    let in_kernel = instruction.address() >= KERNEL_WINDOW;
    match instruction.word().and_then(Mark::from_word) {
        Some(mark) => instruction.call_at_mark(mark),
        None => instruction.count(in_kernel),
    }
    if WATCH.get().is_some() {
        instruction.call_at_access(in_kernel);
    }
}

/// Whether it is worth finding out where an access goes.
fn wants_accesses() -> bool {
    WATCH.get().is_some_and(|watch| !watch.is_idle())
}

/// The processor has come to its memory.
fn access(access: Access) {
    if let Some(watch) = WATCH.get().filter(|watch| watch.is_near(access.address)) {
        watch.access(access);
    }
}

/// The processor has come to a mark.
fn mark(mark: Mark) {
    with_state(|state| {
        let now = state.emulator.counted();
        state.marks.pass(mark, now);
    });
}

/// The emulator ends.
fn finish() {
    devices::finish();
    with_state(|state| {
        let Some(out) = &state.out else { return };
        let total: Count = state.emulator.counted();
        if let Err(error) = std::fs::write(out, state.marks.report(total)) {
            eprintln!("zelkova-plugin: {}: {error}", out.display());
        }
    });
}
