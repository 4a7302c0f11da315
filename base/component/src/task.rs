//! Waiting for futures.
//!
//! # Theory of operation
//!
//! The futures of the session interfaces do not know who waits for them: each asks its server for the state of things when it is polled, in a call on the
//! kernel's fast path, and the server raises one of the component's signals when the answer may have changed. So one executor is enough, without queues and wakers:
//! poll, and if that is not the end, wait for any signal and poll again. A signal that comes between the poll and the wait is kept by the kernel.
//!
//! Several futures wait at once by being joined into one, by any crate that does so without wakers of its own.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use crate::signal;

/// Runs a future to its end. Takes all signals that are raised meanwhile: nobody else in the component may wait for one by its bit at that time.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        signal::wait();
    }
}
