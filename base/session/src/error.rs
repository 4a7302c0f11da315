//! Why a request was refused.

/// Why a request was refused, by core, by a parent or by a server.
///
/// The two kinds of poverty have different cures: on *out of*, the caller's own account is short: ask the parent for
/// more, or free something. On *insufficient*, the donation to the server was too small: try again with more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u32)]
pub enum Error {
    /// The caller's account has too little RAM left.
    #[error("out of RAM: the account is used up; free something or ask the parent for more")]
    OutOfRam = 1,
    /// The caller's account has too few capabilities left.
    #[error("out of capabilities: the account is used up; free something or ask the parent for more")]
    OutOfCaps = 2,
    /// The donated RAM is too little for the session.
    #[error("insufficient RAM donated to the session; donate more")]
    InsufficientRam = 3,
    /// The donated capabilities are too few for the session.
    #[error("insufficient capabilities donated to the session; donate more")]
    InsufficientCaps = 4,
    /// There is no route, or a policy forbids it.
    #[error("denied: there is no route to the service or its policy forbids it")]
    Denied = 5,
    /// The request makes no sense: unknown, malformed, out of range, or on the wrong kind of object.
    #[error("invalid request")]
    Invalid = 6,
    /// The named thing does not exist.
    #[error("not found")]
    NotFound = 7,
    /// The thing is in use, or the server has no place for one more.
    #[error("busy")]
    Busy = 8,
    /// The other side has closed or died.
    #[error("the other side is gone")]
    Gone = 9,
    /// The device reported an error or did not answer in time.
    #[error("the device failed")]
    Device = 10,
    /// The kernel refused what should have worked: a defect.
    #[error("the kernel refused the operation")]
    Kernel = 11,
}

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

    /// The result that an answer's label stands for; unknown labels are [`Error::Invalid`].
    pub fn check(label: u32) -> Result<(), Self> {
        match label {
            0 => Ok(()),
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
