//! What can be wrong with an image, and where.

use core::fmt;

use thiserror::Error;

use crate::layout::Layout;

/// Why an image cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error<E> {
    /// The medium failed.
    #[error("cannot read {length} bytes at {offset:#x}: {cause}")]
    Read {
        /// First byte of the read.
        offset: u64,
        /// Bytes to read.
        length: usize,
        /// What the medium says.
        cause: E,
    },
    /// The image is damaged, or it is none.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A part of the image that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{structure}, field `{field}` at {offset:#x}: {problem}")]
pub struct Invalid {
    /// The structure.
    pub structure: Structure,
    /// The name of its field.
    pub field: &'static str,
    /// First byte of the field in the image.
    pub offset: u64,
    /// Bytes that the field takes.
    pub size: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Invalid {
    /// A problem of the field at `field` bytes from the start of a `T`, which begins at byte `base` of the image.
    pub(crate) fn new<T: Layout>(structure: Structure, base: u64, field: usize, problem: Problem) -> Self {
        let field = T::field_at(field);
        Self {
            structure,
            field: field.name,
            offset: base.saturating_add(field.offset as u64),
            size: field.size as u64,
            problem,
        }
    }
}

/// The structures of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Structure {
    /// What the boot ROM reads.
    BootHeader,
    /// A write to a register that the boot ROM performs, by its number from 0.
    RegisterInit(u32),
    /// Where the headers are.
    ImageHeaderTable,
    /// The header of an input file, by its number from 0.
    ImageHeader(u32),
    /// The header of a partition, by its number from 0.
    PartitionHeader(u32),
    /// The end of the partition headers.
    NullHeader,
    /// The certificate of all headers.
    HeaderCertificate,
    /// The certificate of a partition, by its number from 0.
    Certificate(u32),
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BootHeader => write!(f, "boot header"),
            Self::RegisterInit(index) => write!(f, "register initialization {index}"),
            Self::ImageHeaderTable => write!(f, "image header table"),
            Self::ImageHeader(index) => write!(f, "image header {index}"),
            Self::PartitionHeader(index) => write!(f, "partition header {index}"),
            Self::NullHeader => write!(f, "null partition header"),
            Self::HeaderCertificate => write!(f, "header certificate"),
            Self::Certificate(index) => write!(f, "certificate of partition {index}"),
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The image is too short for it.
    #[error("the image ends at {length:#x}, before the field does")]
    Truncated {
        /// Length of the image in bytes.
        length: u64,
    },
    /// It has one right value, and this is not it.
    #[error("is {found:#010x}, not {expected:#010x}")]
    Unexpected {
        /// What is there.
        found: u32,
        /// What should be there.
        expected: u32,
    },
    /// The sum of the words before it says otherwise.
    #[error("is {found:#010x}, but the words that it sums up give {computed:#010x}")]
    Checksum {
        /// What is there.
        found: u32,
        /// What the words give.
        computed: u32,
    },
    /// It refers to bytes that the image does not have.
    #[error("refers to {start:#x}..{end:#x}, but the image ends at {length:#x}")]
    BeyondEnd {
        /// First byte.
        start: u64,
        /// First byte behind it.
        end: u64,
        /// Length of the image in bytes.
        length: u64,
    },
    /// It refers to a place where something else is.
    #[error("refers to {found:#x}, but must not lie before {least:#x}")]
    TooLow {
        /// The byte that it refers to.
        found: u64,
        /// The first that would be right.
        least: u64,
    },
    /// It is larger than it can be.
    #[error("is {found:#x}, but at most {most:#x} is possible")]
    TooLarge {
        /// What is there.
        found: u64,
        /// The largest possible value.
        most: u64,
    },
    /// Its value has no meaning.
    #[error("has the undefined value {0:#x}")]
    Undefined(u32),
    /// It is set, though the attributes say that there is no such thing, or the other way round.
    #[error("is {found:#x}, which contradicts the attributes")]
    Contradicts {
        /// What is there.
        found: u32,
    },
    /// A name that does not end.
    #[error("does not end within {0} bytes")]
    Unterminated(usize),
    /// What must be zero or fill is something else.
    #[error("must hold nothing but {0:#04x}")]
    NotFill(u8),
}
