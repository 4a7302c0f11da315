//! Where this tool differs from the vendor's on purpose. `bootgen/README.md` has the same table, with reasons.

use super::case::Case;

/// A difference.
pub(crate) struct Difference {
    /// Its name in the README.
    pub(crate) name: &'static str,
    /// Whether `--compat` makes it vanish.
    pub(crate) compat: bool,
    /// Whether a case can show it; the flags are whether the vendor's tool and ours succeeded.
    applies: fn(&Case, bool, bool) -> bool,
}

const ALL: &[Difference] = &[
    Difference {
        name: "process-bitstream-all",
        compat: false,
        applies: |case, reference, ours| reference && ours && case.processed_bitstreams.is_some_and(|count| count > 1),
    },
    Difference {
        name: "process-bitstream-none",
        compat: false,
        applies: |case, reference, ours| reference && !ours && case.processed_bitstreams == Some(0),
    },
    Difference {
        name: "parallel-fill",
        compat: true,
        applies: |case, reference, ours| reference && ours && case.filled_parallel,
    },
    Difference {
        name: "groups-share",
        compat: true,
        applies: |case, reference, ours| reference && ours && case.groups,
    },
    Difference {
        name: "groups-share-refusal",
        compat: false,
        applies: |case, reference, ours| !reference && ours && case.groups,
    },
    Difference {
        name: "alignment-no-power-of-two",
        compat: true,
        applies: |case, reference, ours| reference && ours && case.odd_alignment,
    },
    Difference { name: "srec-headers", compat: true, applies: |case, reference, ours| reference && ours && case.srec },
    Difference {
        name: "bootloader-length",
        compat: true,
        applies: |case, reference, ours| reference && ours && (case.raw_bootloader || case.static_bootloader),
    },
    Difference {
        name: "mcs-record-crosses-64k",
        compat: true,
        applies: |case, reference, ours| reference && ours && case.filled_mcs,
    },
];

/// The difference that `case` shows, if it is a known one.
pub(crate) fn find(case: &Case, reference: bool, ours: bool) -> Option<&'static Difference> {
    ALL.iter().find(|difference| (difference.applies)(case, reference, ours))
}

/// The difference with that name.
pub(crate) fn named(name: &str) -> &'static Difference {
    ALL.iter().find(|difference| difference.name == name).unwrap()
}
