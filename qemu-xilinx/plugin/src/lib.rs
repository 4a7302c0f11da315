//! Emulator plugin.
