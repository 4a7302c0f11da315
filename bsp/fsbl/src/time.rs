//! Time, and waiting that ends.

/// A clock.
pub trait Time {
    /// Microseconds since any fixed moment; never goes back.
    fn micros(&self) -> u64;
}

impl<T: Time + ?Sized> Time for &T {
    fn micros(&self) -> u64 {
        (**self).micros()
    }
}

/// Waits until `done` says so, for at most `limit` microseconds. Whether it did.
#[must_use]
pub fn wait(time: &impl Time, limit: u64, mut done: impl FnMut() -> bool) -> bool {
    let end = time.micros().saturating_add(limit);
    loop {
        // Asked once more when the time is over: this may have been interrupted in between.
        let is_late = time.micros() >= end;
        if done() {
            return true;
        }
        if is_late {
            return false;
        }
    }
}

/// Waits for `duration` microseconds.
pub fn pause(time: &impl Time, duration: u64) {
    let _ = wait(time, duration, || false);
}
