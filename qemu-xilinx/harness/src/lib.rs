//! Starts the emulated board, drives it and judges what it prints.
