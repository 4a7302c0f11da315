//! Errors of invocations.

use crate::constants as c;

/// Why the kernel refused an invocation, with the details it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Argument `number` is invalid.
    InvalidArgument {
        /// Counted from 0.
        number: u32,
    },
    /// A capability is missing or of the wrong kind.
    InvalidCapability {
        /// 0 is the invoked one.
        number: u32,
    },
    /// The operation is not possible in this state.
    IllegalOperation,
    /// An argument is out of range.
    Range {
        /// Least allowed value.
        min: u32,
        /// Greatest allowed value.
        max: u32,
    },
    /// An address is not aligned.
    Alignment,
    /// A slot could not be found.
    FailedLookup {
        /// It was the source that was looked for.
        source: bool,
        /// Why: the kernel's lookup failure type.
        kind: u32,
        /// For a missing table or level: how many bits were left, or which level is missing.
        level: u32,
    },
    /// The message is too short.
    TruncatedMessage,
    /// The destination is in use: delete it first.
    DeleteFirst,
    /// The object has descendants: revoke it first.
    RevokeFirst,
    /// The untyped is too small for what is asked.
    NotEnoughMemory {
        /// Bytes that are left.
        bytes: u32,
    },
    /// A code that this kernel's headers do not name.
    Unknown(u32),
}

impl Error {
    pub(crate) fn check(label: u32, words: [u32; 4]) -> Result<[u32; 4], Self> {
        Err(match label {
            0 => return Ok(words),
            c::ERROR_INVALID_ARGUMENT => Self::InvalidArgument { number: words[0] },
            c::ERROR_INVALID_CAPABILITY => Self::InvalidCapability { number: words[0] },
            c::ERROR_ILLEGAL_OPERATION => Self::IllegalOperation,
            c::ERROR_RANGE => Self::Range { min: words[0], max: words[1] },
            c::ERROR_ALIGNMENT => Self::Alignment,
            c::ERROR_FAILED_LOOKUP => Self::FailedLookup { source: words[0] != 0, kind: words[1], level: words[2] },
            c::ERROR_TRUNCATED_MESSAGE => Self::TruncatedMessage,
            c::ERROR_DELETE_FIRST => Self::DeleteFirst,
            c::ERROR_REVOKE_FIRST => Self::RevokeFirst,
            c::ERROR_NOT_ENOUGH_MEMORY => Self::NotEnoughMemory { bytes: words[0] },
            other => Self::Unknown(other),
        })
    }
}
