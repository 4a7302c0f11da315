//! The emulator's inside, as far as a device needs it: register blocks, where memory shows, interrupt lines, the virtual clock and a timer on it,
//! reset, the processor's registers, log, file descriptors of the main loop.
//!
//! This is not the documented plugin interface but what QEMU's own devices use; distribution builds export it for their loadable modules. What is
//! relied on here is the same in 7.2 and 10.0 (their `include/exec/memory.h`, `include/qemu/timer.h`, `include/qemu/notify.h`,
//! `include/qemu/main-loop.h`, `include/hw/irq.h`, `include/hw/qdev-core.h`, `include/hw/core/cpu.h`, `include/sysemu/reset.h`, `include/sysemu/runstate.h`):
//!
//! - the functions in [`Functions`];
//! - the layout of `MemoryRegionOps` ([`Operations`]);
//! - the first member of `MemoryRegionSection` being a 128-bit size and the second one the region ([`Section`]);
//! - that `MemTxAttrs` has at most 8 bytes, and that all zero is an ordinary access.
//!
//! Structures that the emulator keeps in memory of ours (`MemoryRegion`, `QEMUTimer`, `Notifier`) are never looked into. They get far more room than
//! they take in any version ([`room`]), zeroed, as the emulator itself zeroes them before it calls the same functions, and are never freed.
//!
//! The emulator calls back under its big lock, and only such calls reach the functions here: they need no lock of their own.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::os::fd::RawFd;
use std::sync::OnceLock;

use super::{function, lookup};

/// `QEMU_CLOCK_VIRTUAL`: stands still with the machine, and follows the instructions with `-icount`.
const CLOCK: c_int = 1;
/// Nanoseconds.
const SCALE: c_int = 1;
/// `SHUTDOWN_CAUSE_GUEST_RESET`.
const GUEST_RESET: c_int = 7;
/// `SHUTDOWN_CAUSE_GUEST_SHUTDOWN`.
const GUEST_SHUTDOWN: c_int = 6;
/// `DEVICE_LITTLE_ENDIAN`.
const LITTLE_ENDIAN: c_int = 2;
/// Our register blocks lie over the machine's own (priority 0) and its unimplemented ones (-1000).
const PRIORITY: c_int = 1;
/// Memory that shows at a second place lies over everything.
const MEMORY_PRIORITY: c_int = 2;
/// The program counter, by its number among the core registers.
const PROGRAM_COUNTER: c_int = 15;
/// The GIC's number of the interrupt controller's input 0.
const FIRST_INPUT: u32 = 32;
/// Number of these inputs on this machine.
const INPUTS: u32 = 64;
/// An access that succeeded.
const OK: u32 = 0;

type Opaque = c_void;

/// `MemoryRegionOps`.
#[repr(C)]
struct Operations {
    read: extern "C" fn(*mut c_void, u64, c_uint) -> u64,
    write: extern "C" fn(*mut c_void, u64, u64, c_uint),
    read_with_attributes: *const c_void,
    write_with_attributes: *const c_void,
    endianness: c_int,
    valid: Valid,
    implemented: Implemented,
}

#[repr(C)]
struct Valid {
    least: c_uint,
    most: c_uint,
    unaligned: bool,
    accepts: *const c_void,
}

#[repr(C)]
struct Implemented {
    least: c_uint,
    most: c_uint,
    unaligned: bool,
}

// SAFETY: The pointers in it are null, and nothing in it is ever changed.
unsafe impl Sync for Operations {}

/// `MemoryRegionSection`, with more room behind what is used than any version takes.
#[repr(C, align(16))]
struct Section {
    size: [u64; 2],
    region: *mut Opaque,
    view: *mut Opaque,
    offset: u64,
    rest: [u64; 27],
}

/// `VersionInfo` of QMP's schema, and the `VersionTriple` in it.
#[repr(C)]
struct Version {
    triple: *const [i64; 3],
    package: *const c_char,
}

struct Functions {
    system_memory: unsafe extern "C" fn() -> *mut Opaque,
    init_io: unsafe extern "C" fn(*mut Opaque, *mut Opaque, *const Operations, *mut c_void, *const c_char, u64),
    add_overlap: unsafe extern "C" fn(*mut Opaque, u64, *mut Opaque, c_int),
    init_alias: unsafe extern "C" fn(*mut Opaque, *mut Opaque, *const c_char, *mut Opaque, u64, u64),
    set_enabled: unsafe extern "C" fn(*mut Opaque, bool),
    find: unsafe extern "C" fn(*mut Opaque, u64, u64) -> Section,
    dispatch_read: unsafe extern "C" fn(*mut Opaque, u64, *mut u64, c_int, u64) -> u32,
    dispatch_write: unsafe extern "C" fn(*mut Opaque, u64, u64, c_int, u64) -> u32,
    resolve_type: unsafe extern "C" fn(*const c_char, *const c_char, *mut bool) -> *mut Opaque,
    input: unsafe extern "C" fn(*mut Opaque, c_int) -> *mut Opaque,
    set_line: unsafe extern "C" fn(*mut Opaque, c_int),
    clock: unsafe extern "C" fn(c_int) -> i64,
    timer_init:
        unsafe extern "C" fn(*mut Opaque, *mut Opaque, c_int, c_int, c_int, extern "C" fn(*mut c_void), *mut c_void),
    timer_set: unsafe extern "C" fn(*mut Opaque, i64),
    timer_stop: unsafe extern "C" fn(*mut Opaque),
    on_reset: unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void),
    on_ready: unsafe extern "C" fn(*mut Opaque),
    request_reset: unsafe extern "C" fn(c_int),
    request_shutdown: unsafe extern "C" fn(c_int),
    processor: unsafe extern "C" fn(c_int) -> *mut Opaque,
    set_register: unsafe extern "C" fn(*mut Opaque, *mut u8, c_int) -> c_int,
    watch: unsafe extern "C" fn(
        c_int,
        Option<extern "C" fn(*mut c_void)>,
        Option<extern "C" fn(*mut c_void)>,
        *mut c_void,
    ),
    memory: unsafe extern "C" fn(*mut Opaque, u64, u64, *mut c_void, u64, bool) -> u32,
    log: unsafe extern "C" fn(*const c_char, ...) -> c_int,
    space: *mut Opaque,
}

// SAFETY: The pointers in it are functions, and a variable of the emulator that is only passed back to it.
unsafe impl Send for Functions {}
// SAFETY: As above.
unsafe impl Sync for Functions {}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
static TIMER: OnceLock<Address> = OnceLock::new();
static CONTROLLER: OnceLock<Address> = OnceLock::new();
static CONSOLE: OnceLock<(Address, u64)> = OnceLock::new();

/// A pointer to something of the emulator, that only it follows.
#[derive(Clone, Copy)]
struct Address(*mut Opaque);

// SAFETY: The pointer is only handed to the emulator's functions, under its lock.
unsafe impl Send for Address {}
// SAFETY: As above.
unsafe impl Sync for Address {}

/// Zeroed memory for a structure of the emulator's, 4 KiB and never freed: a `MemoryRegion`, the largest of those that are kept here, takes less
/// than 300 bytes in the versions that are supported.
fn room() -> *mut Opaque {
    #[repr(C, align(64))]
    struct Room([u8; 4096]);
    Box::into_raw(Box::new(Room([0; 4096]))).cast()
}

/// The machine that the emulator runs.
#[derive(Clone, Copy)]
pub(crate) struct Machine(&'static Functions);

/// Something that lies over the machine's own address space and can be switched on and off.
pub(crate) struct Overlay(Address);

/// What happens to a file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// [`crate::devices::input`] is called when it can be read.
    Reading,
    /// No longer watched.
    Not,
}

impl Machine {
    /// Finds the emulator's functions.
    ///
    /// # Errors
    /// A function is missing: the message names it, and the emulator's version.
    pub(crate) fn find() -> Result<Self, String> {
        let functions = Functions::find().map_err(|why| {
            let version = version().unwrap_or_else(|| "unknown".to_owned());
            format!(
                "{why}; its version is {version}. The emulated devices need a qemu-system-arm that exports its functions, as the builds of \
                 distributions do (configured with --enable-modules); versions 7.2 and 10.0 are known to work"
            )
        })?;
        Ok(Self(FUNCTIONS.get_or_init(|| functions)))
    }

    /// Has [`crate::devices::ready`] called when the machine is complete.
    pub(crate) fn when_ready(self) {
        let notifier = room();
        // SAFETY: The first member of `Notifier` is the function, the rest is the emulator's; the memory is never freed, and no one else has it.
        unsafe {
            notifier.cast::<extern "C" fn(*mut Opaque, *mut c_void)>().write(on_ready);
            (self.0.on_ready)(notifier);
        }
    }

    /// Whether the machine is the one whose interrupt controller is known here. To be called when the machine is complete.
    ///
    /// # Errors
    /// It is another one.
    pub(crate) fn attach(self) -> Result<(), String> {
        let mut ambiguous = false;
        // SAFETY: Strings end with a null byte, and the flag outlives the call.
        let controller = unsafe { (self.0.resolve_type)(c"".as_ptr(), c"a9mpcore_priv".as_ptr(), &raw mut ambiguous) };
        if controller.is_null() || ambiguous {
            return Err("this machine has no Cortex-A9 MPCore; the devices are for -M xilinx-zynq-a9".to_owned());
        }
        CONTROLLER.get_or_init(|| Address(controller));
        TIMER.get_or_init(|| {
            let timer = room();
            // SAFETY: The memory is large enough for a `QEMUTimer`, zeroed and never freed; no list of timers is the main loop's.
            unsafe {
                (self.0.timer_init)(timer, std::ptr::null_mut(), CLOCK, SCALE, 0, on_timer, std::ptr::null_mut());
            }
            Address(timer)
        });
        // SAFETY: The function lives as long as the process.
        unsafe { (self.0.on_reset)(on_reset, std::ptr::null_mut()) };
        Ok(())
    }

    /// Lays a register block over what the machine has there. Accesses come to [`crate::devices::read`] and [`crate::devices::write`] with
    /// the number `block`.
    pub(crate) fn map(self, name: &str, base: u32, length: u32, block: usize) {
        self.map_with(name, base, length, &OPERATIONS, block);
    }

    /// Hides whatever is from `base` on. Accesses come to [`crate::devices::nowhere`].
    pub(crate) fn cover(self, name: &str, base: u32, length: u32) -> Overlay {
        Overlay(self.map_with(name, base, length, &NOWHERE, base as usize))
    }

    /// Shows the memory that is at `original` from `base` on, too.
    ///
    /// # Errors
    /// The machine has no memory there.
    pub(crate) fn show_at(self, name: &str, original: u32, base: u32, length: u32) -> Result<Overlay, String> {
        let section = self.section(original)?;
        let name = CString::new(name).unwrap_or_default();
        let region = room();
        // SAFETY: As for `map_with`; the region that is shown is referenced for ever.
        unsafe {
            let offset = section.offset;
            (self.0.init_alias)(region, std::ptr::null_mut(), name.as_ptr(), section.region, offset, length.into());
            (self.0.add_overlap)((self.0.system_memory)(), base.into(), region, MEMORY_PRIORITY);
        }
        Ok(Overlay(Address(region)))
    }

    /// Makes an overlay effective, or not.
    pub(crate) fn enable(self, overlay: &Overlay, on: bool) {
        // SAFETY: The region was initialised before it came into the overlay, and lives as long as the process.
        unsafe { (self.0.set_enabled)(overlay.0.0, on) }
    }

    fn map_with(self, name: &str, base: u32, length: u32, operations: &'static Operations, number: usize) -> Address {
        // A name with a null byte would only be cut there.
        let name = CString::new(name).unwrap_or_default();
        let region = room();
        let number = std::ptr::without_provenance_mut(number);
        // SAFETY: The memory is large enough for a `MemoryRegion`, zeroed and never freed; without an owner the region belongs to the machine. The
        // emulator copies the name, and the operations live as long as the process.
        unsafe {
            (self.0.init_io)(region, std::ptr::null_mut(), operations, number, name.as_ptr(), length.into());
            (self.0.add_overlap)((self.0.system_memory)(), base.into(), region, PRIORITY);
        }
        Address(region)
    }

    /// Has [`crate::devices::transmitted`] called with everything that is written to the register at `address`; the machine's own device
    /// still gets it.
    ///
    /// # Errors
    /// The machine has no device there.
    pub(crate) fn listen(self, address: u32) -> Result<(), String> {
        let section = self.section(address)?;
        CONSOLE.get_or_init(|| (Address(section.region), section.offset));
        self.map_with("zelkova.console", address, 4, &LISTENING, 0);
        Ok(())
    }

    /// What the machine has at `address`. The reference to the region that the emulator takes is kept: the region is used until the end.
    fn section(self, address: u32) -> Result<Section, String> {
        // SAFETY: The result is larger than any version's `MemoryRegionSection`, and returned in memory in any case.
        let section = unsafe { (self.0.find)((self.0.system_memory)(), address.into(), 4) };
        if section.region.is_null() {
            return Err(format!("this machine has nothing at {address:#010x}"));
        }
        Ok(section)
    }

    /// Sets the level of an interrupt line, by the GIC's number of it.
    pub(crate) fn set_interrupt(self, interrupt: u32, level: bool) {
        let (Some(controller), Some(input)) = (CONTROLLER.get(), interrupt.checked_sub(FIRST_INPUT)) else { return };
        if input < INPUTS {
            // SAFETY: The interrupt controller lives as long as the machine, and has an input of that number.
            unsafe { (self.0.set_line)((self.0.input)(controller.0, input as c_int), level.into()) }
        }
    }

    /// Virtual time in nanoseconds.
    pub(crate) fn now(self) -> u64 {
        // SAFETY: The clock exists.
        let now = unsafe { (self.0.clock)(CLOCK) };
        u64::try_from(now).unwrap_or_default()
    }

    /// Has [`crate::devices::due`] called at a virtual time, or not at all.
    pub(crate) fn set_timer(self, at: Option<u64>) {
        let Some(timer) = TIMER.get() else { return };
        // SAFETY: The timer was initialised before it came into the variable.
        unsafe {
            match at.and_then(|at| i64::try_from(at).ok()) {
                Some(at) => (self.0.timer_set)(timer.0, at),
                None => (self.0.timer_stop)(timer.0),
            }
        }
    }

    /// Resets the machine.
    pub(crate) fn reset(self) {
        // SAFETY: The value is one of the enumeration.
        unsafe { (self.0.request_reset)(GUEST_RESET) }
    }

    /// Ends the emulation as if the board were switched off.
    pub(crate) fn power_off(self) {
        // SAFETY: The value is one of the enumeration.
        unsafe { (self.0.request_shutdown)(GUEST_SHUTDOWN) }
    }

    /// Lets the processor, which does not run, go on at `entry`, with `fill` in all other core registers.
    ///
    /// # Errors
    /// There is no processor.
    pub(crate) fn start_at(self, entry: u32, fill: u32) -> Result<(), String> {
        // SAFETY: The machine is complete.
        let processor = unsafe { (self.0.processor)(0) };
        if processor.is_null() {
            return Err("this machine has no processor".to_owned());
        }
        for register in 0..=PROGRAM_COUNTER {
            let value = if register == PROGRAM_COUNTER { entry } else { fill };
            // SAFETY: The processor is an ARM one, as the machine's interrupt controller shows; the value is read from 4 bytes.
            unsafe { (self.0.set_register)(processor, value.to_le_bytes().as_mut_ptr(), register) };
        }
        Ok(())
    }

    /// Writes a line to the emulator's log.
    pub(crate) fn log(self, line: &str) {
        let line = CString::new(line.replace('\0', " ")).unwrap_or_default();
        // SAFETY: The format takes one string, and both end with a null byte.
        unsafe {
            (self.0.log)(c"%s\n".as_ptr(), line.as_ptr());
        }
    }

    /// Watches a file descriptor in the emulator's main loop.
    pub(crate) fn watch(self, file: RawFd, how: Watched) {
        let reading: Option<extern "C" fn(*mut c_void)> = match how {
            Watched::Reading => Some(on_input),
            Watched::Not => None,
        };
        let number = std::ptr::without_provenance_mut(usize::try_from(file).unwrap_or_default());
        // SAFETY: The function lives as long as the process and never follows the number as a pointer.
        unsafe { (self.0.watch)(file, reading, None, number) }
    }

    /// Reads or writes the machine's memory as a DMA engine does.
    pub(crate) fn transfer(self, address: u32, data: &mut [u8], write: bool) -> bool {
        // SAFETY: The address space is the machine's, and the buffer has that length.
        let result = unsafe {
            (self.0.memory)(self.0.space, address.into(), 0, data.as_mut_ptr().cast(), data.len() as u64, write)
        };
        result == OK
    }
}

impl Functions {
    fn find() -> Result<Self, String> {
        // SAFETY: The types are those of the headers named above, in both versions.
        unsafe {
            Ok(Self {
                system_memory: function(c"get_system_memory")?,
                init_io: function(c"memory_region_init_io")?,
                add_overlap: function(c"memory_region_add_subregion_overlap")?,
                init_alias: function(c"memory_region_init_alias")?,
                set_enabled: function(c"memory_region_set_enabled")?,
                find: function(c"memory_region_find")?,
                dispatch_read: function(c"memory_region_dispatch_read")?,
                dispatch_write: function(c"memory_region_dispatch_write")?,
                resolve_type: function(c"object_resolve_path_type")?,
                input: function(c"qdev_get_gpio_in")?,
                set_line: function(c"qemu_set_irq")?,
                clock: function(c"qemu_clock_get_ns")?,
                timer_init: function(c"timer_init_full")?,
                timer_set: function(c"timer_mod")?,
                timer_stop: function(c"timer_del")?,
                on_reset: function(c"qemu_register_reset")?,
                on_ready: function(c"qemu_add_machine_init_done_notifier")?,
                request_reset: function(c"qemu_system_reset_request")?,
                request_shutdown: function(c"qemu_system_shutdown_request")?,
                processor: function(c"qemu_get_cpu")?,
                set_register: function(c"arm_cpu_gdb_write_register")?,
                watch: function(c"qemu_set_fd_handler")?,
                memory: function(c"address_space_rw")?,
                log: function(c"qemu_log")?,
                space: lookup(c"address_space_memory").ok_or("this emulator has no variable address_space_memory")?,
            })
        }
    }
}

/// The emulator's version, if it tells it.
fn version() -> Option<String> {
    // SAFETY: The type is that of QMP's `query-version`; an error would be written to the pointer, which may be null.
    unsafe {
        let query: unsafe extern "C" fn(*mut *mut Opaque) -> *const Version = function(c"qmp_query_version").ok()?;
        // The emulator allocates the answer; it is small and asked for once, so it is not freed.
        let version = query(std::ptr::null_mut()).as_ref()?;
        let [major, minor, micro] = version.triple.as_ref()?;
        Some(format!("{major}.{minor}.{micro}"))
    }
}

static OPERATIONS: Operations = operations(on_read, on_write);
static NOWHERE: Operations = operations(on_nowhere_read, on_nowhere_write);
static LISTENING: Operations = operations(on_console_read, on_console_write);

const fn operations(
    read: extern "C" fn(*mut c_void, u64, c_uint) -> u64,
    write: extern "C" fn(*mut c_void, u64, u64, c_uint),
) -> Operations {
    Operations {
        read,
        write,
        read_with_attributes: std::ptr::null(),
        write_with_attributes: std::ptr::null(),
        endianness: LITTLE_ENDIAN,
        valid: Valid { least: 1, most: 4, unaligned: false, accepts: std::ptr::null() },
        implemented: Implemented { least: 1, most: 4, unaligned: false },
    }
}

// The layout in both versions on 64-bit machines.
const _: () = assert!(std::mem::offset_of!(Operations, endianness) == 32);
const _: () = assert!(std::mem::offset_of!(Operations, valid) == 40);
const _: () = assert!(std::mem::offset_of!(Operations, implemented) == 64);
const _: () = assert!(std::mem::offset_of!(Section, region) == 16);
const _: () = assert!(std::mem::offset_of!(Section, offset) == 32);

extern "C" fn on_read(block: *mut c_void, offset: u64, size: c_uint) -> u64 {
    crate::devices::read(block.addr(), offset as u32, size).into()
}

extern "C" fn on_write(block: *mut c_void, offset: u64, value: u64, size: c_uint) {
    crate::devices::write(block.addr(), offset as u32, size, value as u32);
}

extern "C" fn on_nowhere_read(base: *mut c_void, offset: u64, _: c_uint) -> u64 {
    crate::devices::nowhere((base.addr() as u32).wrapping_add(offset as u32), "read");
    0
}

extern "C" fn on_nowhere_write(base: *mut c_void, offset: u64, _: u64, _: c_uint) {
    crate::devices::nowhere((base.addr() as u32).wrapping_add(offset as u32), "write");
}

/// `MemOp` of a little-endian access.
fn operation(size: c_uint) -> c_int {
    size.trailing_zeros() as c_int
}

extern "C" fn on_console_read(_: *mut c_void, offset: u64, size: c_uint) -> u64 {
    let (Some(functions), Some(&(device, base))) = (FUNCTIONS.get(), CONSOLE.get()) else { return 0 };
    let mut value = 0;
    // SAFETY: The region is referenced for ever, the offset lies in it, and the value outlives the call.
    unsafe {
        (functions.dispatch_read)(device.0, base + offset, &raw mut value, operation(size), 0);
    }
    value
}

extern "C" fn on_console_write(_: *mut c_void, offset: u64, value: u64, size: c_uint) {
    let (Some(functions), Some(&(device, base))) = (FUNCTIONS.get(), CONSOLE.get()) else { return };
    // SAFETY: The region is referenced for ever, and the offset lies in it.
    unsafe {
        (functions.dispatch_write)(device.0, base + offset, value, operation(size), 0);
    }
    crate::devices::transmitted(value as u8);
}

extern "C" fn on_timer(_: *mut c_void) {
    crate::devices::due();
}

extern "C" fn on_reset(_: *mut c_void) {
    crate::devices::reset();
}

extern "C" fn on_ready(_: *mut Opaque, _: *mut c_void) {
    crate::devices::ready();
}

extern "C" fn on_input(file: *mut c_void) {
    crate::devices::input(file.addr() as RawFd);
}
