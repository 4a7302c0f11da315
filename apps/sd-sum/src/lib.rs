//! Checksums of all files on an SD card.
