//! What a check finds.

use std::fmt;
use std::ops::Range;

use bootimage::Invalid;
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The image is sound, but something will not go as one might expect.
    Warning,
    /// The image is damaged, forged, or was never right.
    Error,
}

/// What found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// What headers say about themselves and each other.
    Structure,
    /// Sums of words in headers.
    Checksum,
    /// Where things lie, and the bytes between them.
    Layout,
    /// MD5 sums of partitions.
    Md5,
    /// Certificates and signatures.
    Signature,
    /// AES and HMAC.
    Encryption,
    /// What the boot ROM demands of an image.
    BootRom,
    /// What the vendor's first-stage boot loader demands of an image.
    BootLoader,
    /// The comparison with what the image should be.
    Comparison,
}

impl Check {
    /// The name, as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Checksum => "checksum",
            Self::Layout => "layout",
            Self::Md5 => "md5",
            Self::Signature => "signature",
            Self::Encryption => "encryption",
            Self::BootRom => "boot-rom",
            Self::BootLoader => "boot-loader",
            Self::Comparison => "comparison",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What found it.
    pub check: Check,
    /// The structure or the data that is concerned, for people.
    pub place: String,
    /// The field of it, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The bytes of the image that are concerned.
    pub range: Range<u64>,
    /// What is wrong.
    pub message: String,
    /// Where the check covers more than one field: those of which each alone could be the wrong one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
}

/// A field that could be the wrong one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suspect {
    /// Its name.
    pub field: String,
    /// Its bytes in the image.
    pub range: Range<u64>,
    /// What it would have to be for all to be right, if that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u32>,
}

impl Finding {
    /// An error of `place` as a whole.
    pub fn error(check: Check, place: impl fmt::Display, range: Range<u64>, message: impl fmt::Display) -> Self {
        Self {
            severity: Severity::Error,
            check,
            place: place.to_string(),
            field: None,
            range,
            message: message.to_string(),
            suspects: Vec::new(),
        }
    }

    /// A warning about `place`.
    pub fn warning(check: Check, place: impl fmt::Display, range: Range<u64>, message: impl fmt::Display) -> Self {
        Self { severity: Severity::Warning, ..Self::error(check, place, range, message) }
    }

    /// The same, of one field.
    #[must_use]
    pub fn of(mut self, field: impl fmt::Display) -> Self {
        self.field = Some(field.to_string());
        self
    }

    /// The same, with the fields that may be to blame.
    #[must_use]
    pub fn suspecting(mut self, suspects: Vec<Suspect>) -> Self {
        self.suspects = suspects;
        self
    }

    /// Whether it is about the byte at `offset`: in the range that it names, or in that of a suspect.
    pub fn concerns(&self, offset: u64) -> bool {
        self.range.contains(&offset) || self.suspects.iter().any(|suspect| suspect.range.contains(&offset))
    }
}

impl From<Invalid> for Finding {
    fn from(invalid: Invalid) -> Self {
        let check = match invalid.problem {
            bootimage::Problem::Checksum { .. } => Check::Checksum,
            _ => Check::Structure,
        };
        let range = invalid.offset..invalid.offset.saturating_add(invalid.size);
        Self::error(check, invalid.structure, range, invalid.problem).of(invalid.field)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.check.name(), self.place)?;
        if let Some(field) = &self.field {
            write!(f, ", field `{field}`")?;
        }
        write!(f, " at {:#x}: {}", self.range.start, self.message)?;
        for (index, suspect) in self.suspects.iter().enumerate() {
            f.write_str(match (index, self.suspects.len()) {
                (0, 1) => "; to blame is ",
                (0, _) => "; to blame is one of ",
                _ => ", ",
            })?;
            write!(f, "`{}` at {:#x}", suspect.field, suspect.range.start)?;
            if let Some(value) = suspect.value {
                write!(f, " (should then be {value:#x})")?;
            }
        }
        Ok(())
    }
}
