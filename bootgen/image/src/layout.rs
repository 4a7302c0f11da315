//! Structures with the layout of the image, and the names of their fields.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// A field of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The manual's name for it.
    pub name: &'static str,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Bytes that it takes.
    pub size: usize,
}

/// A structure that lies in the image as it lies in memory.
pub trait Layout: FromBytes + FromZeros + IntoBytes + Immutable + KnownLayout {
    /// Its fields in order; they leave no gaps.
    const FIELDS: &'static [Field];

    /// The field that `offset` bytes from the start of the structure belong to; behind its end, the last.
    fn field_at(offset: usize) -> Field {
        let mut found = Field { name: "", offset: 0, size: 0 };
        for field in Self::FIELDS {
            if field.offset <= offset {
                found = *field;
            }
        }
        found
    }
}

/// Declares structures in the order of their bytes, each field with its name for people.
macro_rules! layout {
    ($($(#[$meta:meta])* pub struct $structure:ident {
        $($(#[$field_meta:meta])* pub $field:ident: $type:ty = $name:literal,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
            zerocopy::KnownLayout, zerocopy::Unaligned)]
        #[repr(C)]
        pub struct $structure {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::layout::Layout for $structure {
            const FIELDS: &'static [$crate::layout::Field] = &[$($crate::layout::Field {
                name: $name,
                offset: core::mem::offset_of!($structure, $field),
                size: size_of::<$type>(),
            },)*];
        }
    )*};
}

pub(crate) use layout;

/// The complement of the sum of `words`, by which the headers are checked.
pub fn complement_of_sum(words: &[zerocopy::little_endian::U32]) -> u32 {
    !words.iter().fold(0_u32, |sum, word| sum.wrapping_add(word.get()))
}
