//! Delays, over a Timer session of their own.
//!
//! [`Delay`] is an [`embedded_hal::delay::DelayNs`] and an [`embedded_hal_async::delay::DelayNs`]. Its resolution is that of the timer, about a microsecond, and
//! a delay is never too short.

use core::future::poll_fn;
use core::task::Poll;

use session::{Error, timer};

use crate::cap::Capability;
use crate::env::exit;
use crate::signal::Signal;
use crate::timer::open_timer;

/// A Timer session for one delay at a time.
#[derive(Debug)]
pub struct Delay {
    timer: timer::Client<Capability>,
    signal: Signal,
}

impl Delay {
    /// Opens a session; `signal` is raised at the end of delays.
    ///
    /// # Errors
    /// Those of [`open_timer`].
    pub fn open(signal: Signal) -> Result<Self, Error> {
        Ok(Self { timer: open_timer(signal)?, signal })
    }

    /// The time in microseconds, of the timer's clock.
    ///
    /// # Errors
    /// [`Error::Gone`] if the timer is.
    pub fn now(&self) -> Result<u64, Error> {
        self.timer.now()
    }

    /// Waits until `time`, and leaves all other signals raised.
    ///
    /// # Errors
    /// [`Error::Gone`] if the timer is.
    pub fn wait_until(&mut self, time: u64) -> Result<(), Error> {
        while self.timer.set(time)? < time {
            self.signal.wait()?;
        }
        Ok(())
    }

    /// Waits for at least so many microseconds.
    ///
    /// # Errors
    /// [`Error::Gone`] if the timer is.
    pub fn wait(&mut self, microseconds: u64) -> Result<(), Error> {
        // The present tick is not a whole one.
        let end = self.timer.now()?.saturating_add(microseconds).saturating_add(1);
        self.wait_until(end)
    }

    /// The end of a delay.
    async fn end(&mut self, microseconds: u64) -> Result<(), Error> {
        let end = self.timer.now()?.saturating_add(microseconds).saturating_add(1);
        if self.timer.set(end)? >= end {
            return Ok(());
        }
        poll_fn(|_| match self.timer.now() {
            Ok(now) if now < end => Poll::Pending,
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }
}

/// The traits know no errors, and whoever delays relies on the time having passed: without its timer, the component ends.
fn without_timer(error: Error) {
    crate::log!("cannot delay: {error}");
    exit(1, "the timer is gone")
}

impl embedded_hal::delay::DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        self.delay_us(ns.div_ceil(1000));
    }

    fn delay_us(&mut self, us: u32) {
        self.wait(us.into()).unwrap_or_else(without_timer);
    }

    fn delay_ms(&mut self, ms: u32) {
        self.wait(u64::from(ms) * 1000).unwrap_or_else(without_timer);
    }
}

impl embedded_hal_async::delay::DelayNs for Delay {
    async fn delay_ns(&mut self, ns: u32) {
        self.end(ns.div_ceil(1000).into()).await.unwrap_or_else(without_timer);
    }

    async fn delay_us(&mut self, us: u32) {
        self.end(us.into()).await.unwrap_or_else(without_timer);
    }

    async fn delay_ms(&mut self, ms: u32) {
        self.end(u64::from(ms) * 1000).await.unwrap_or_else(without_timer);
    }
}
