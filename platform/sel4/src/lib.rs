//! seL4 system calls and invocations, generated from the kernel's own files.
