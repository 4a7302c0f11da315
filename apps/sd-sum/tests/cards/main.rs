//! Sums of whole cards: images made by mkfs.fat and mtools, sound and damaged.

mod damaged;
mod images;
mod sound;
