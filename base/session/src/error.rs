//! Why a request was refused.

/// Why a request was refused, by core, by a parent or by a server.
///
/// The two kinds of poverty have different cures: on *out of*, the caller's own account is short: ask the parent for
/// more, or free something. On *insufficient*, the donation to the server was too small: try again with more.
///
/// Wire values begin at 64. Lower labels are the kernel's: it answers a call by itself if the capability that was called no
/// longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u32)]
pub enum Error {
    /// The caller's account has too little RAM left.
    #[error("out of RAM: the account is used up; free something or ask the parent for more")]
    OutOfRam = 64,
    /// The caller's account has too few capabilities left.
    #[error("out of capabilities: the account is used up; free something or ask the parent for more")]
    OutOfCaps = 65,
    /// The donated RAM is too little for the session.
    #[error("insufficient RAM donated to the session; donate more")]
    InsufficientRam = 66,
    /// The donated capabilities are too few for the session.
    #[error("insufficient capabilities donated to the session; donate more")]
    InsufficientCaps = 67,
    /// There is no route, or a policy forbids it.
    #[error("denied: there is no route to the service or its policy forbids it")]
    Denied = 68,
    /// The request makes no sense: unknown, malformed, out of range, or on the wrong kind of object.
    #[error("invalid request")]
    Invalid = 69,
    /// The named thing does not exist.
    #[error("not found")]
    NotFound = 70,
    /// The thing is in use, or the server has no place for one more.
    #[error("busy")]
    Busy = 71,
    /// The other side has closed or died.
    #[error("the other side is gone")]
    Gone = 72,
    /// The device reported an error or did not answer in time.
    #[error("the device failed")]
    Device = 73,
    /// The kernel refused what should have worked: a defect.
    #[error("the kernel refused the operation")]
    Kernel = 74,
}

/// Least label of an answer that is a component's own.
pub(crate) const FIRST: u32 = 64;

impl Error {
    const ALL: [Self; 11] = [
        Self::OutOfRam,
        Self::OutOfCaps,
        Self::InsufficientRam,
        Self::InsufficientCaps,
        Self::Denied,
        Self::Invalid,
        Self::NotFound,
        Self::Busy,
        Self::Gone,
        Self::Device,
        Self::Kernel,
    ];

    /// The result that an answer's label stands for. One of the kernel's own says that there is nobody any more to answer; unknown
    /// labels are [`Error::Invalid`].
    pub fn check(label: u32) -> Result<(), Self> {
        match label {
            0 => Ok(()),
            1..FIRST => Err(Self::Gone),
            label => Err(Self::ALL.into_iter().find(|error| *error as u32 == label).unwrap_or(Self::Invalid)),
        }
    }

    /// The label of an answer.
    pub fn label<T>(result: &Result<T, Self>) -> u32 {
        match result {
            Ok(_) => 0,
            Err(error) => *error as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_wire_and_the_kernels_are_told_apart() {
        for error in Error::ALL {
            assert!(error as u32 >= FIRST);
            assert_eq!(Error::check(Error::label::<()>(&Err(error))), Err(error));
        }
        assert_eq!(Error::check(Error::label(&Ok(5))), Ok(()));
        assert_eq!(Error::check(2), Err(Error::Gone));
        assert_eq!(Error::check(FIRST - 1), Err(Error::Gone));
        assert_eq!(Error::check(u32::MAX), Err(Error::Invalid));
    }
}
