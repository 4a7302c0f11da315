//! A screen of the emulator's own, which its windows and VNC servers show and QMP's `screendump` saves.
//!
//! # Theory of operation
//!
//! A device with a picture makes itself a console (`graphic_console_init`) and is asked through it, in the main loop and under the big lock, to bring its
//! picture up to date whenever somebody looks: a window and a connected VNC client some thirty times a second of the host's time, `screendump` once, and
//! without any of them nobody ever does. The picture is a surface over memory of ours (`qemu_create_displaysurface_from`, `dpy_gfx_replace_surface`);
//! `dpy_gfx_update` says what has changed in it. Until there is a surface, the emulator shows a text that says so.
//!
//! What is relied on is the same in 7.2 and 10.0 (their `include/ui/console.h`, `include/ui/surface.h`): those four functions, and that
//! the third member of `GraphicHwOps` is the function that brings the picture up to date. All members but that one are null, which each may be.
//! Consoles and surfaces are only handed back to the emulator.

use std::ffi::{c_int, c_void};

use super::function;

/// `PIXMAN_x8r8g8b8`: 32 bits a pixel, 0x00RRGGBB as a number of the host.
const FORMAT: c_int = 32 << 24 | 2 << 16 | 8 << 8 | 8 << 4 | 8;
/// Bytes of a pixel.
const PIXEL: c_int = 4;

type Opaque = c_void;

/// `GraphicHwOps`, with more room behind what is used than any version takes.
#[repr(C)]
struct Operations {
    unused: [*const c_void; 2],
    /// Newer versions want to know whether it is done when it returns; others do not look at the result.
    update: extern "C" fn(*mut c_void) -> bool,
    rest: [*const c_void; 29],
}

// SAFETY: The pointers in it are null, and nothing in it is ever changed.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations =
    Operations { unused: [std::ptr::null(); 2], update: on_update, rest: [std::ptr::null(); 29] };

struct Functions {
    new_console: unsafe extern "C" fn(*mut Opaque, u32, *const Operations, *mut c_void) -> *mut Opaque,
    new_surface: unsafe extern "C" fn(c_int, c_int, c_int, c_int, *mut u8) -> *mut Opaque,
    replace_surface: unsafe extern "C" fn(*mut Opaque, *mut Opaque),
    update: unsafe extern "C" fn(*mut Opaque, c_int, c_int, c_int, c_int),
}

/// The screen; [`crate::devices::look`] is called when somebody looks at it.
pub(crate) struct Screen {
    functions: Functions,
    console: *mut Opaque,
    surface: Option<Surface>,
}

/// What the console shows.
#[derive(Clone, Copy)]
struct Surface {
    width: c_int,
    height: c_int,
    /// `width * height` of them, never freed: who shows the screen may keep the surface.
    pixels: *mut u32,
    count: usize,
}

// SAFETY: Its pointers are only followed, by us and by the emulator, under the emulator's big lock.
unsafe impl Send for Screen {}

impl Screen {
    /// Makes the emulator's screen. To be called once, when the machine is complete: the emulator's windows are made after that.
    ///
    /// # Errors
    /// This emulator cannot show anything: the message says what it lacks.
    pub(crate) fn open() -> Result<Self, String> {
        let functions = Functions::find().map_err(|why| format!("{why}; the display cannot be shown"))?;
        let (no_device, operations) = (std::ptr::null_mut(), &raw const OPERATIONS);
        // SAFETY: A console needs no device; the operations live as long as the process.
        let console = unsafe { (functions.new_console)(no_device, 0, operations, std::ptr::null_mut()) };
        if console.is_null() {
            return Err("the emulator has made no console; the display cannot be shown".to_owned());
        }
        Ok(Self { functions, console, surface: None })
    }

    /// Shows a picture of `width` times `height` colours, 0xRRGGBB, line by line.
    pub(crate) fn show(&mut self, width: u32, height: u32, colours: impl Iterator<Item = u32>) {
        let (Ok(width), Ok(height)) = (c_int::try_from(width), c_int::try_from(height)) else { return };
        let surface = match self.surface {
            Some(surface) if (surface.width, surface.height) == (width, height) => surface,
            _ => self.replace(width, height),
        };
        self.fill(surface, colours);
    }

    /// Shows nothing. What has not shown anything yet, goes on saying so.
    pub(crate) fn blank(&mut self) {
        if let Some(surface) = self.surface {
            self.fill(surface, std::iter::repeat(0));
        }
    }

    fn replace(&mut self, width: c_int, height: c_int) -> Surface {
        let count = width.unsigned_abs() as usize * height.unsigned_abs() as usize;
        let pixels = Box::leak(vec![0_u32; count].into_boxed_slice()).as_mut_ptr();
        // SAFETY: The memory holds as many pixels of that format, and is never freed. The console takes the surface over and frees the one before.
        unsafe {
            let surface = (self.functions.new_surface)(width, height, FORMAT, width * PIXEL, pixels.cast());
            (self.functions.replace_surface)(self.console, surface);
        }
        *self.surface.insert(Surface { width, height, pixels, count })
    }

    fn fill(&mut self, surface: Surface, colours: impl Iterator<Item = u32>) {
        // SAFETY: The memory is that large and never freed; the emulator reads it only under its lock, which is held here, and not in this block.
        let pixels = unsafe { std::slice::from_raw_parts_mut(surface.pixels, surface.count) };
        for (pixel, colour) in pixels.iter_mut().zip(colours) {
            *pixel = colour;
        }
        // SAFETY: The console lives as long as the machine, and its surface has that size.
        unsafe { (self.functions.update)(self.console, 0, 0, surface.width, surface.height) }
    }
}

impl Functions {
    fn find() -> Result<Self, String> {
        // SAFETY: The types are those of the headers named above, in both versions; an enumeration is passed as a `c_int`.
        unsafe {
            Ok(Self {
                new_console: function(c"graphic_console_init")?,
                new_surface: function(c"qemu_create_displaysurface_from")?,
                replace_surface: function(c"dpy_gfx_replace_surface")?,
                update: function(c"dpy_gfx_update")?,
            })
        }
    }
}

// The layout in both versions on 64-bit machines.
const _: () = assert!(std::mem::offset_of!(Operations, update) == 16);

extern "C" fn on_update(_: *mut c_void) -> bool {
    crate::devices::look();
    true
}
