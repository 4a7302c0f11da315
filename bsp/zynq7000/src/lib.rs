//! Facts about the Zynq-7000.
