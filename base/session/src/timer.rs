//! The Timer session: monotonic time and timeouts.
//!
//! Times are microseconds since the timer server started, as 64-bit numbers in two words. A timeout raises the notification that
//! the client has [connected](TimerRequest::Connect). A client that cannot wait for an answer brings the notification when it opens the session, and as
//! argument the period in microseconds of a timeout that repeats (0: none). A session has one timeout; setting it anew replaces it.

use crate::{Error, Transport, protocol};

protocol! {
    /// Requests to a timer server.
    pub enum TimerRequest {
        /// Answer: the time, low and high word.
        Now = 1,
        /// Sets the timeout to a time. Answer: the time now, low and high word.
        Set = 2 {
            /// Low word.
            low,
            /// High word.
            high,
        },
        /// Sets a timeout that repeats.
        Repeat = 3 {
            /// Microseconds from now on and between two timeouts, at least 100.
            period,
        },
        /// Takes the timeout back.
        Cancel = 4,
        /// Names the notification that a timeout raises. Caps: the notification.
        Connect = 5,
    }
}

/// Label of [`TimerRequest::Now`], for servers that answer it in registers.
pub const NOW: u32 = 1;
/// Label of [`TimerRequest::Set`].
pub const SET: u32 = 2;

/// Least period of a repeating timeout, in microseconds.
pub const MIN_PERIOD: u32 = 100;

/// A 64-bit time as two words.
pub const fn to_words(time: u64) -> [u32; 2] {
    [time as u32, (time >> 32) as u32]
}

/// Two words as a 64-bit time.
pub const fn from_words(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// The client's side.
#[derive(Debug)]
pub struct Client<T>(T);

impl<T: Transport> Client<T> {
    /// A client of a session.
    pub const fn new(session: T) -> Self {
        Self(session)
    }

    /// Names the notification in slot `notification` as the one to raise.
    pub fn connect(&self, notification: u32) -> Result<(), Error> {
        self.0.call(&TimerRequest::Connect.encode(), &[notification]).map(drop)
    }

    /// The time in microseconds.
    #[inline]
    pub fn now(&self) -> Result<u64, Error> {
        let [low, high, ..] = self.0.call_fast(NOW, [0; 4], 0)?;
        Ok(from_words(low, high))
    }

    /// Sets the timeout to `time`, and returns the time now.
    #[inline]
    pub fn set(&self, time: u64) -> Result<u64, Error> {
        let [low, high] = to_words(time);
        let [low, high, ..] = self.0.call_fast(SET, [low, high, 0, 0], 2)?;
        Ok(from_words(low, high))
    }

    /// Sets a timeout every `period` microseconds.
    pub fn repeat(&self, period: u32) -> Result<(), Error> {
        self.0.call(&TimerRequest::Repeat { period }.encode(), &[]).map(drop)
    }

    /// Takes the timeout back.
    pub fn cancel(&self) -> Result<(), Error> {
        self.0.call(&TimerRequest::Cancel.encode(), &[]).map(drop)
    }
}
