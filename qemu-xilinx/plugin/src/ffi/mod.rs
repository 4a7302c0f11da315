//! The emulator's functions. All unsafe code of the plugin is here.
//!
//! Functions are looked up by name, since a missing one would otherwise keep the library from being loaded at all.

mod counting;
mod machine;
mod screen;

use std::ffi::{CStr, c_char, c_void};

pub(crate) use counting::{Emulator, Instruction};
pub(crate) use machine::{Machine, Overlay, Watched};
pub(crate) use screen::Screen;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// The address of the function or variable `name` in the emulator.
fn lookup(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: A null handle searches all that is loaded into the process (RTLD_DEFAULT), and the name ends with a null byte.
    let address = unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// A function of the emulator.
///
/// # Safety
///
/// `F` must be the type of a pointer to the function `name` as the emulator declares it.
unsafe fn function<F: Copy>(name: &CStr) -> Result<F, String> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    let address = lookup(name).ok_or_else(|| format!("this emulator has no function {}", name.to_string_lossy()))?;
    // SAFETY: Function pointers have the size of the address, and the caller vouches for the type.
    Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
}
