//! Checks of components that are there to be tests: each says how it went, in a line that a scenario can look for.

use session::Error;

use crate::log;

/// Says whether something is as it should be.
///
/// # Errors
/// [`Error::Invalid`] if not.
pub fn check(what: &str, right: bool) -> Result<(), Error> {
    if right {
        log!("ok: {what}");
        Ok(())
    } else {
        log!("wrong: {what}");
        Err(Error::Invalid)
    }
}

/// Says whether something was refused, and for the right reason.
///
/// # Errors
/// [`Error::Invalid`] if not.
pub fn check_refused<T>(what: &str, result: Result<T, Error>, reason: Error) -> Result<(), Error> {
    match result.err() {
        Some(error) if reason == error => {
            log!("ok: {what}: {error:?}");
            Ok(())
        }
        Some(error) => {
            log!("wrong: {what}: {error:?} instead of {reason:?}");
            Err(Error::Invalid)
        }
        None => {
            log!("wrong: {what} was not refused; {reason:?} was due");
            Err(Error::Invalid)
        }
    }
}
