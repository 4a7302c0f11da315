//! Sums of whole cards: images made by mkfs.fat and mtools, sound and damaged.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may stop the test"
)]

mod damaged;
mod images;
mod sound;
