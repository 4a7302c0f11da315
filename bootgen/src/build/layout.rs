//! Where the parts of an image lie.
//!
//! Parts follow each other at multiples of 64 bytes, unless they ask for an offset or a larger alignment. A part may
//! reserve more than it has: the tables do, so that the boot loader, and in signed images the tables'
//! certificate, lie at the same place whatever the number of partitions, up to 14 of them.

/// What all parts are aligned to, in bytes.
pub(crate) const GRAIN: u64 = 64;

/// What a part of an image wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its bytes.
    pub length: u64,
    /// Where it has to be, if it has to be somewhere.
    pub offset: Option<u64>,
    /// What its place is a multiple of.
    pub alignment: Option<u64>,
    /// Whether the alignment is applied by a mask, as the vendor's tool does, which is right for powers of two only.
    pub masked: bool,
    /// How many bytes from its begin on belong to it at least.
    pub reserve: Option<u64>,
    /// Whether it continues the program of the part before; it then may lie in what that one reserved.
    pub continues: bool,
}

/// A part wants a place that lies in or before the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Collision {
    /// Which part.
    pub part: usize,
    /// Where it wants to be.
    pub offset: u64,
    /// Where it could be at the earliest.
    pub free: u64,
}

/// The places of all parts, in bytes.
///
/// # Errors
///
/// When an offset that is asked for is occupied.
pub(crate) fn place(requests: &[Request]) -> Result<Vec<u64>, Collision> {
    let (mut free, mut reserved) = (0_u64, 0_u64);
    let mut places = Vec::with_capacity(requests.len());
    for (part, request) in requests.iter().enumerate() {
        if !request.continues {
            free = free.max(reserved);
        }
        let place = match request.offset {
            Some(offset) if free > offset => return Err(Collision { part, offset, free }),
            Some(offset) => offset,
            None => match request.alignment.unwrap_or(1).max(1) {
                alignment if request.masked => (free + alignment - 1) & !(alignment - 1),
                alignment => free.next_multiple_of(alignment),
            },
        };
        if let Some(reserve) = request.reserve {
            reserved = place + reserve;
        }
        free = (place + request.length).next_multiple_of(GRAIN);
        places.push(place);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(length: u64) -> Request {
        Request { length, ..Request::default() }
    }

    #[test]
    fn parts_follow_each_other() {
        assert_eq!(place(&[part(1), part(64), part(65), part(0)]), Ok(vec![0, 64, 128, 256]));
    }

    #[test]
    fn reservations_hold_back_what_does_not_continue() {
        let first = Request { reserve: Some(0x400), ..part(10) };
        let continuation = Request { continues: true, ..part(10) };
        assert_eq!(place(&[first, continuation, part(1)]), Ok(vec![0, 64, 0x400]));
    }

    #[test]
    fn places_are_kept_or_refused() {
        let there = Request { offset: Some(0x100), ..part(1) };
        let aligned = Request { alignment: Some(0xc0), ..part(1) };
        assert_eq!(place(&[part(1), there, aligned]), Ok(vec![0, 0x100, 0x180]));
        assert_eq!(place(&[part(0x101), there]), Err(Collision { part: 1, offset: 0x100, free: 0x140 }));
    }
}
