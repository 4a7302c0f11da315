//! SD card driver and Block server.
