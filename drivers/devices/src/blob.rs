//! Checks a flattened devicetree (Devicetree Specification, chapter 5) from end to end.
//!
//! The parser that is used afterwards indexes and recurses as the blob tells it to, and panics if
//! that leads nowhere. So the blob is walked once beforehand, with every length and offset looked
//! at: after [`check`] the header's blocks lie inside the blob, each property's value and name lie
//! inside their blocks, nodes are balanced, named, and nested no deeper than [`DEPTH`].
//!
//! The check is stricter than the specification where the parser is: it refuses `NOP` tokens, which
//! only tools that edit blobs in place leave behind.

use thiserror::Error;

/// How deep nodes may be nested.
pub const DEPTH: usize = 16;

const MAGIC: u32 = 0xd00d_feed;
/// The format this reads, and what a newer one must be compatible with.
const VERSION: u32 = 17;
const HEADER: usize = 40;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// What is wrong with a devicetree blob. Offsets are bytes from the start of the structure block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlobError {
    /// Not even a header.
    #[error("devicetree blob of {length} bytes has no header; is it the right file?")]
    NoHeader {
        /// Length of what was given.
        length: usize,
    },
    /// Not a devicetree blob.
    #[error("devicetree blob begins with {found:#010x} instead of 0xd00dfeed; compile the source with dtc")]
    Magic {
        /// The first word.
        found: u32,
    },
    /// The blob is shorter than its header says.
    #[error("devicetree blob is cut off: {length} of {total} bytes")]
    Truncated {
        /// Length of what was given.
        length: usize,
        /// Length it should have.
        total: u32,
    },
    /// Another version of the format.
    #[error("devicetree blob has version {version}, readable by {compatible}, instead of 17")]
    Version {
        /// Version of the blob.
        version: u32,
        /// Oldest version it can be read as.
        compatible: u32,
    },
    /// A block is not aligned or reaches out of the blob.
    #[error("devicetree blob has its {block} block outside of itself")]
    Block {
        /// Which one.
        block: &'static str,
    },
    /// The structure block ends in the middle of something.
    #[error("devicetree ends in the middle of a node at {offset:#x}")]
    Unfinished {
        /// Where.
        offset: usize,
    },
    /// A token that does not exist or does not belong here.
    #[error("devicetree has token {token:#x} at {offset:#x}, where none such may be")]
    Token {
        /// The token.
        token: u32,
        /// Where.
        offset: usize,
    },
    /// A token that was overwritten in place.
    #[error("devicetree has a NOP at {offset:#x}; compile it anew with dtc")]
    Nop {
        /// Where.
        offset: usize,
    },
    /// A node's or property's name is unterminated, empty or not printable ASCII.
    #[error("devicetree has a damaged name at {offset:#x}")]
    Name {
        /// Where the node or property begins.
        offset: usize,
    },
    /// Nodes in nodes in nodes.
    #[error("devicetree nests nodes deeper than {DEPTH} levels at {offset:#x}")]
    TooDeep {
        /// Where.
        offset: usize,
    },
    /// `#address-cells`, `#size-cells` or `#interrupt-cells` is not one number in range.
    #[error("devicetree has a damaged number of cells at {offset:#x}")]
    Cells {
        /// Where the property begins.
        offset: usize,
    },
}

/// Checks `blob` and returns it without what comes after its end.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(blob: &[u8]) -> Result<&[u8], BlobError> {
    let header = |index: usize| word(blob, index * 4);
    let no_header = BlobError::NoHeader { length: blob.len() };
    let found = header(0).ok_or(no_header)?;
    if found != MAGIC {
        return Err(BlobError::Magic { found });
    }
    if blob.len() < HEADER {
        return Err(no_header);
    }
    let field = |index| header(index).ok_or(no_header);
    let (total, structure, strings) = (field(1)?, field(2)?, field(3)?);
    let (version, compatible) = (field(5)?, field(6)?);
    let (strings_length, structure_length) = (field(8)?, field(9)?);
    let truncated = BlobError::Truncated { length: blob.len(), total };
    let blob = blob.get(..total as usize).ok_or(truncated)?;
    if blob.len() < HEADER {
        return Err(truncated);
    }
    if version < VERSION || compatible > VERSION {
        return Err(BlobError::Version { version, compatible });
    }
    let block = |start: u32, length: u32, block: &'static str| {
        let end = start.checked_add(length).ok_or(BlobError::Block { block })?;
        blob.get(start as usize..end as usize).ok_or(BlobError::Block { block })
    };
    let strings = block(strings, strings_length, "strings")?;
    let nodes = block(structure, structure_length, "structure")?;
    if !structure.is_multiple_of(4) {
        return Err(BlobError::Block { block: "structure" });
    }
    Walk { nodes, strings, offset: 0 }.whole()?;
    Ok(blob)
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    Some(u32::from_be_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

struct Walk<'a> {
    nodes: &'a [u8],
    strings: &'a [u8],
    offset: usize,
}

impl Walk<'_> {
    fn word(&mut self) -> Result<u32, BlobError> {
        let value = word(self.nodes, self.offset).ok_or(BlobError::Unfinished { offset: self.offset })?;
        self.offset += 4;
        Ok(value)
    }

    /// Skips `length` bytes and what pads them to a word.
    fn skip(&mut self, length: usize) -> Result<(), BlobError> {
        let unfinished = BlobError::Unfinished { offset: self.offset };
        let end = self.offset.checked_add(length).ok_or(unfinished)?;
        let end = end.checked_next_multiple_of(4).ok_or(unfinished)?;
        if end > self.nodes.len() {
            return Err(unfinished);
        }
        self.offset = end;
        Ok(())
    }

    fn whole(&mut self) -> Result<(), BlobError> {
        let mut depth = 0;
        // Bit n: the node at depth n has had a child, after which it may have no more properties.
        let mut parents = 0_u32;
        loop {
            let offset = self.offset;
            let token = self.word()?;
            match token {
                BEGIN_NODE if depth > 0 || offset == 0 => {
                    if depth == DEPTH {
                        return Err(BlobError::TooDeep { offset });
                    }
                    parents |= 1 << depth;
                    depth += 1;
                    parents &= !(1 << depth);
                    self.node_name(offset, depth == 1)?;
                }
                END_NODE if depth > 0 => depth -= 1,
                PROPERTY if depth > 0 && parents & (1 << depth) == 0 => self.property(offset)?,
                NOP => return Err(BlobError::Nop { offset }),
                END if depth == 0 && offset > 0 && self.offset == self.nodes.len() => {
                    return Ok(());
                }
                _ => return Err(BlobError::Token { token, offset }),
            }
        }
    }

    fn node_name(&mut self, node: usize, root: bool) -> Result<(), BlobError> {
        let error = BlobError::Name { offset: node };
        let name = terminated(self.nodes, self.offset).ok_or(error)?;
        if name.is_empty() != root || name.contains(&b'/') {
            return Err(error);
        }
        self.skip(name.len() + 1)
    }

    fn property(&mut self, property: usize) -> Result<(), BlobError> {
        let length = self.word()? as usize;
        let name = self.word()? as usize;
        let value = self.offset;
        self.skip(length)?;
        let error = BlobError::Name { offset: property };
        let name = terminated(self.strings, name).filter(|name| !name.is_empty()).ok_or(error)?;
        let most = match name {
            b"#address-cells" | b"#size-cells" => 2,
            b"#interrupt-cells" => 4,
            _ => return Ok(()),
        };
        match word(self.nodes, value) {
            Some(cells) if length == 4 && cells <= most => Ok(()),
            _ => Err(BlobError::Cells { offset: property }),
        }
    }
}

/// The printable string from `offset` to the next zero byte.
fn terminated(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let string = bytes.get(offset..)?;
    let string = string.get(..string.iter().position(|&byte| byte == 0)?)?;
    string.iter().all(u8::is_ascii_graphic).then_some(string)
}
