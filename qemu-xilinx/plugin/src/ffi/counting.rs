//! The plugin interface of the emulator, as documented in QEMU's "TCG Plugins" pages.
//!
//! The interface has versions, and the two that matter differ in what is used here:
//!
//! | version | emulator | counting | an instruction's bytes |
//! |---|---|---|---|
//! | 1 | 7.2 to 8.x | adds to one address | are pointed to |
//! | 3 and 4 | 9.1 to 10.x | adds to a scoreboard, one entry a processor | are copied |
//!
//! A library must name its version in a variable before it is called. So the version is found out when the library is loaded, from
//! the functions that the emulator exports. Functions are looked up by name, since a missing one would otherwise keep the library from
//! being loaded at all.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use models::frames::Access;

use super::{function, lookup};
use crate::count::{Count, Mark};

/// The oldest version that is supported.
const SINGLE_ADDRESS: c_int = 1;
/// Scoreboards, and instruction bytes that are copied.
const SCOREBOARD: c_int = 3;
/// The newest version that is supported.
const NEWEST: c_int = 4;

/// The version of the interface that this library uses; the emulator reads it before anything else.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)] // The name is the interface's.
pub(crate) static qemu_plugin_version: AtomicI32 = AtomicI32::new(NEWEST);

/// Runs when the library is loaded, before the emulator reads the version.
// SAFETY: The section holds pointers to functions without arguments that the dynamic linker calls once; this is one.
#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = choose_version;

extern "C" fn choose_version() {
    let version = if lookup(c"qemu_plugin_register_vcpu_insn_exec_inline").is_some() {
        SINGLE_ADDRESS
    } else if lookup(c"qemu_plugin_read_memory_vaddr").is_some() {
        NEWEST
    } else {
        SCOREBOARD
    };
    qemu_plugin_version.store(version, Ordering::Relaxed);
}

type Id = u64;
type Opaque = c_void;
type MarkCallback = extern "C" fn(cpu: c_uint, data: *mut c_void);
type AccessCallback = extern "C" fn(cpu: c_uint, access: u32, virtual_address: u64, data: *mut c_void);

/// An entry of a scoreboard, passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    board: *mut Opaque,
    offset: usize,
}

/// The addition of a constant, in every version.
const ADD: c_int = 0;
/// Loads and stores.
const BOTH: c_int = 3;
/// The callback reads no registers.
const NO_REGISTERS: c_int = 0;
/// The only processor.
const CPU: c_uint = 0;

/// How instructions are counted in the emulator's version.
#[derive(Clone, Copy)]
enum Counting {
    Single {
        add: unsafe extern "C" fn(*mut Opaque, c_int, *mut c_void, u64),
        bytes: unsafe extern "C" fn(*const Opaque) -> *const c_void,
    },
    Scoreboard {
        add: unsafe extern "C" fn(*mut Opaque, c_int, Entry, u64),
        bytes: unsafe extern "C" fn(*const Opaque, *mut c_void, usize) -> usize,
        get: unsafe extern "C" fn(Entry, c_uint) -> u64,
        user: Entry,
        kernel: Entry,
    },
}

struct Functions {
    instructions: unsafe extern "C" fn(*const Opaque) -> usize,
    instruction: unsafe extern "C" fn(*const Opaque, usize) -> *mut Opaque,
    size: unsafe extern "C" fn(*const Opaque) -> usize,
    address: unsafe extern "C" fn(*const Opaque) -> u64,
    call: unsafe extern "C" fn(*mut Opaque, MarkCallback, c_int, *mut c_void),
    call_at_access: unsafe extern "C" fn(*mut Opaque, AccessCallback, c_int, c_int, *mut c_void),
    is_store: unsafe extern "C" fn(u32) -> bool,
    size_shift: unsafe extern "C" fn(u32) -> c_uint,
    place: unsafe extern "C" fn(u32, u64) -> *const Opaque,
    is_device: unsafe extern "C" fn(*const Opaque) -> bool,
    physical: unsafe extern "C" fn(*const Opaque) -> u64,
    counting: Counting,
}

// SAFETY: The pointers in it are functions, and scoreboards, which the emulator allows to be used from any thread.
unsafe impl Send for Functions {}
// SAFETY: As above.
unsafe impl Sync for Functions {}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// The counters of version 1, which translated code adds to.
static USER: AtomicU64 = AtomicU64::new(0);
static KERNEL: AtomicU64 = AtomicU64::new(0);

impl Functions {
    fn find() -> Result<Self, String> {
        // SAFETY: The types are those of the interface's documentation, for the version that was found.
        unsafe {
            let counting = if qemu_plugin_version.load(Ordering::Relaxed) == SINGLE_ADDRESS {
                Counting::Single {
                    add: function(c"qemu_plugin_register_vcpu_insn_exec_inline")?,
                    bytes: function(c"qemu_plugin_insn_data")?,
                }
            } else {
                let new: unsafe extern "C" fn(usize) -> *mut Opaque = function(c"qemu_plugin_scoreboard_new")?;
                let word = size_of::<u64>();
                let board = new(2 * word);
                Counting::Scoreboard {
                    add: function(c"qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu")?,
                    bytes: function(c"qemu_plugin_insn_data")?,
                    get: function(c"qemu_plugin_u64_get")?,
                    user: Entry { board, offset: 0 },
                    kernel: Entry { board, offset: word },
                }
            };
            Ok(Self {
                instructions: function(c"qemu_plugin_tb_n_insns")?,
                instruction: function(c"qemu_plugin_tb_get_insn")?,
                size: function(c"qemu_plugin_insn_size")?,
                address: function(c"qemu_plugin_insn_vaddr")?,
                call: function(c"qemu_plugin_register_vcpu_insn_exec_cb")?,
                call_at_access: function(c"qemu_plugin_register_vcpu_mem_cb")?,
                is_store: function(c"qemu_plugin_mem_is_store")?,
                size_shift: function(c"qemu_plugin_mem_size_shift")?,
                place: function(c"qemu_plugin_get_hwaddr")?,
                is_device: function(c"qemu_plugin_hwaddr_is_io")?,
                physical: function(c"qemu_plugin_hwaddr_phys_addr")?,
                counting,
            })
        }
    }
}

/// The counters in the emulator.
pub(crate) struct Emulator(&'static Functions);

impl Emulator {
    /// The instructions counted so far.
    pub(crate) fn counted(&self) -> Count {
        match self.0.counting {
            Counting::Single { .. } => {
                Count { user: USER.load(Ordering::Relaxed), kernel: KERNEL.load(Ordering::Relaxed) }
            }
            Counting::Scoreboard { get, user, kernel, .. } => {
                // SAFETY: The entries lie in a scoreboard that is never freed, and the processor exists.
                unsafe { Count { user: get(user, CPU), kernel: get(kernel, CPU) } }
            }
        }
    }
}

/// An instruction that is being translated.
#[derive(Clone, Copy)]
pub(crate) struct Instruction<'a> {
    handle: *mut Opaque,
    functions: &'static Functions,
    /// The handle is valid during the callback only.
    block: PhantomData<&'a ()>,
}

impl Instruction<'_> {
    /// Its virtual address.
    pub(crate) fn address(self) -> u64 {
        // SAFETY: The handle is valid for the lifetime of this value.
        unsafe { (self.functions.address)(self.handle) }
    }

    /// The instruction itself, if it has 32 bits.
    pub(crate) fn word(self) -> Option<u32> {
        let mut bytes = [0; 4];
        // SAFETY: The handle is valid, and nothing is read from or written to more than the instruction's four bytes.
        unsafe {
            if (self.functions.size)(self.handle) != bytes.len() {
                return None;
            }
            match self.functions.counting {
                Counting::Single { bytes: data, .. } => {
                    let data = data(self.handle).cast::<u8>();
                    if data.is_null() {
                        return None;
                    }
                    std::ptr::copy_nonoverlapping(data, bytes.as_mut_ptr(), bytes.len());
                }
                Counting::Scoreboard { bytes: data, .. } => {
                    if data(self.handle, bytes.as_mut_ptr().cast(), bytes.len()) != bytes.len() {
                        return None;
                    }
                }
            }
        }
        Some(u32::from_le_bytes(bytes))
    }

    /// Counts it whenever it is executed.
    pub(crate) fn count(self, in_kernel: bool) {
        match self.functions.counting {
            Counting::Single { add, .. } => {
                let counter = if in_kernel { &KERNEL } else { &USER };
                // SAFETY: The handle is valid, and the counter lives as long as the process. Only the one processor's thread adds to
                // it.
                unsafe { add(self.handle, ADD, counter.as_ptr().cast(), 1) }
            }
            Counting::Scoreboard { add, user, kernel, .. } => {
                // SAFETY: The handle is valid, and the entries lie in a scoreboard that is never freed.
                unsafe { add(self.handle, ADD, if in_kernel { kernel } else { user }, 1) }
            }
        }
    }

    /// Calls [`crate::access`] whenever it has come to memory.
    pub(crate) fn call_at_access(self, in_kernel: bool) {
        let data = std::ptr::without_provenance_mut(in_kernel.into());
        // SAFETY: The handle is valid; the callback never follows the data as a pointer.
        unsafe { (self.functions.call_at_access)(self.handle, on_access, NO_REGISTERS, BOTH, data) }
    }

    /// Calls [`crate::mark`] whenever it is executed.
    pub(crate) fn call_at_mark(self, mark: Mark) {
        let data = std::ptr::without_provenance_mut(mark.word() as usize);
        // SAFETY: The handle is valid; the callback never follows the data as a pointer.
        unsafe { (self.functions.call)(self.handle, on_mark, NO_REGISTERS, data) }
    }
}

extern "C" fn on_mark(_cpu: c_uint, data: *mut c_void) {
    if let Some(mark) = Mark::from_word(data.addr() as u32) {
        crate::mark(mark);
    }
}

extern "C" fn on_access(_cpu: c_uint, access: u32, virtual_address: u64, data: *mut c_void) {
    let Some(functions) = FUNCTIONS.get() else { return };
    if !crate::wants_accesses() {
        return;
    }
    // SAFETY: These functions may be called here, with what was handed over; the place is used before the callback returns, and not at all
    // where there is none.
    let (address, bytes, store) = unsafe {
        let place = (functions.place)(access, virtual_address);
        if place.is_null() || (functions.is_device)(place) {
            return;
        }
        ((functions.physical)(place), 1 << (functions.size_shift)(access), (functions.is_store)(access))
    };
    if let Ok(address) = u32::try_from(address) {
        crate::access(Access { address, bytes, store, kernel: data.addr() != 0 });
    }
}

extern "C" fn on_translation(_id: Id, block: *mut Opaque) {
    let Some(functions) = FUNCTIONS.get() else { return };
    // SAFETY: The emulator hands over a valid block for the duration of this call, and the indices are below its length.
    let handles = unsafe { (0..(functions.instructions)(block)).map(|index| (functions.instruction)(block, index)) };
    for handle in handles {
        crate::translate(Instruction { handle, functions, block: PhantomData });
    }
}

extern "C" fn on_exit(_id: Id, _data: *mut c_void) {
    crate::finish();
}

/// The emulator's call at start; anything but 0 refuses.
///
/// # Safety
///
/// To be called by the emulator only, with its arguments.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let arguments: Vec<String> = (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: The emulator passes `count` strings that end with a null byte.
        .map(|index| unsafe { CStr::from_ptr(*arguments.add(index)) }.to_string_lossy().into_owned())
        .collect();
    match install(id, &arguments) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("zelkova-plugin: {why}");
            -1
        }
    }
}

fn install(id: Id, arguments: &[String]) -> Result<(), String> {
    let emulator = || {
        let functions = Functions::find()?;
        Ok(Emulator(FUNCTIONS.get_or_init(|| functions)))
    };
    let follows = crate::install(arguments, emulator)?;
    // SAFETY: The types are those of the interface's documentation, and the callbacks live as long as the process.
    unsafe {
        let exit: unsafe extern "C" fn(Id, extern "C" fn(Id, *mut c_void), *mut c_void) =
            function(c"qemu_plugin_register_atexit_cb")?;
        exit(id, on_exit, std::ptr::null_mut());
        if follows {
            let translations: unsafe extern "C" fn(Id, extern "C" fn(Id, *mut Opaque)) =
                function(c"qemu_plugin_register_vcpu_tb_trans_cb")?;
            translations(id, on_translation);
        }
    }
    Ok(())
}
