//! RAM and capability accounts.
