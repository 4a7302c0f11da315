//! UART driver and LOG sink.
