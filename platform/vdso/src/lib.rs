//! The code through which every component enters the kernel.
