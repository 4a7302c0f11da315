//! What must be on the display at the end of a run, and what must have been there before.
//!
//! | key | meaning |
//! |---|---|
//! | `picture` | a PNG file, relative to the scenarios: the display shows exactly that |
//! | `blank` | nothing is shown |
//! | `steady` | the picture's first column counted, from one frame to the next, through at least so many frames without a torn, a repeated or a lost one |
//! | `complete` | every frame was complete |
//! | `untorn` | every complete frame's first column was of one colour |
//! | `different-at-least` | so many colours there were in the first column: of a picture that counts there, so many pictures were shown |
//! | `dark-at-least`, `dark-at-most` | how many frames nobody could see, because the transmitter was not set up |
//! | `only` | the colours (`0xRRGGBB`) that the first pixel of a line ever had; each was there, and no other one |

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use models::board::DisplayReport;
use serde::Deserialize;

/// What is expected of a display.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Screen {
    /// What it shows at the end.
    pub picture: Option<PathBuf>,
    /// It shows nothing at the end.
    pub blank: bool,
    /// Frames in a row that the picture has counted.
    pub steady: Option<u64>,
    /// No frame was incomplete.
    pub complete: bool,
    /// No frame was torn.
    pub untorn: bool,
    /// The fewest colours that lines began with.
    pub different_at_least: Option<usize>,
    /// The fewest frames that nobody could see.
    pub dark_at_least: Option<u64>,
    /// The most of them.
    pub dark_at_most: Option<u64>,
    /// All colours that lines began with.
    pub only: Option<BTreeSet<u32>>,
}

/// Where pictures are.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// The file that the emulator has left, if the display ever showed something.
    pub shown: &'a Path,
    /// What [`Screen::picture`] is relative to.
    pub directory: &'a Path,
}

/// A picture of 24 bits.
#[derive(Clone, PartialEq, Eq)]
struct Picture {
    width: u32,
    height: u32,
    /// Red, green, blue, line by line.
    pixels: Vec<u8>,
}

impl Screen {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is not as expected.
    pub fn problems(&self, report: Option<&DisplayReport>, pictures: Pictures<'_>) -> Vec<String> {
        let Pictures { shown, directory } = pictures;
        let Some(report) = report else { return vec!["the emulated board has no display".to_owned()] };
        let mut problems = Vec::new();
        if self.blank && !report.blank {
            problems.push(format!("the display shows {}, expected nothing", shown.display()));
        }
        if let Some(picture) = &self.picture {
            let expected = directory.join(picture);
            if report.blank {
                problems.push(format!("the display shows nothing, expected {}", expected.display()));
            } else if let Err(why) = compare(shown, &expected) {
                problems.push(why);
            }
        }
        if let Some(steady) = self.steady.filter(|steady| report.steady < *steady) {
            problems.push(format!(
                "the display: {} frames in a row counted, expected {steady}; {} of {} incomplete, {} mixed",
                report.steady, report.incomplete, report.frames, report.mixed
            ));
        }
        for (expected, found, what) in
            [(self.complete, report.incomplete, "incomplete"), (self.untorn, report.mixed, "torn")]
        {
            if expected && found != 0 {
                problems.push(format!("the display: {found} of {} frames were {what}, expected none", report.frames));
            }
        }
        if let Some(least) = self.different_at_least.filter(|least| report.tags.len() < *least) {
            problems.push(format!("the display: {} different pictures, expected at least {least}", report.tags.len()));
        }
        if self.dark_at_least.is_some_and(|least| report.dark < least)
            || self.dark_at_most.is_some_and(|most| report.dark > most)
        {
            let limit = |word: &str, limit: Option<u64>| limit.map(|limit| format!("{word} {limit}"));
            let limits = [limit("at least", self.dark_at_least), limit("at most", self.dark_at_most)];
            let limits: Vec<String> = limits.into_iter().flatten().collect();
            problems.push(format!("the display: {} dark frames, expected {}", report.dark, limits.join(", ")));
        }
        if let Some(only) = &self.only {
            for colour in report.tags.symmetric_difference(only) {
                let has = if only.contains(colour) { "no line ever began" } else { "lines began" };
                problems.push(format!("the display: {has} with the colour {colour:#08x}"));
            }
        }
        problems
    }
}

/// Compares two pictures pixel by pixel.
fn compare(shown: &Path, expected: &Path) -> Result<(), String> {
    let (found, wanted) = (read(shown)?, read(expected)?);
    if (found.width, found.height) != (wanted.width, wanted.height) {
        return Err(format!(
            "{}: {} x {} pixels, expected {} x {}",
            shown.display(),
            found.width,
            found.height,
            wanted.width,
            wanted.height
        ));
    }
    let differing: Vec<usize> = found
        .pixels
        .chunks_exact(3)
        .zip(wanted.pixels.chunks_exact(3))
        .enumerate()
        .filter(|(_, (found, wanted))| found != wanted)
        .map(|(position, _)| position)
        .collect();
    match differing.first() {
        None => Ok(()),
        Some(first) => {
            let width = wanted.width.max(1) as usize;
            Err(format!(
                "{} differs from {} in {} pixels, first at ({}, {})",
                shown.display(),
                expected.display(),
                differing.len(),
                first % width,
                first / width
            ))
        }
    }
}

fn read(path: &Path) -> Result<Picture, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().map_err(|error| wrong(error.to_string()))?;
    let size = reader.output_buffer_size().ok_or_else(|| wrong("too large".to_owned()))?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(|error| wrong(error.to_string()))?;
    if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err(wrong("no PNG of 24 bits".to_owned()));
    }
    pixels.truncate(info.buffer_size());
    Ok(Picture { width: info.width, height: info.height, pixels })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn write(path: &Path, width: u32, height: u32, pixels: &[u8]) {
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    }

    #[test]
    fn pictures_are_compared_pixel_by_pixel() {
        let directory = tempfile::tempdir().unwrap();
        let [shown, missing] = ["shown.png", "missing.png"].map(|name| directory.path().join(name));
        write(&shown, 2, 2, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        write(&directory.path().join("same.png"), 2, 2, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        write(&directory.path().join("other.png"), 2, 2, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]);
        write(&directory.path().join("wide.png"), 4, 1, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let report = DisplayReport { steady: 10, mixed: 1, tags: BTreeSet::from([1, 2]), ..DisplayReport::default() };
        let dark = DisplayReport { blank: true, ..DisplayReport::default() };
        let problems = |screen: Screen, shown: &Path| {
            let report = if shown == missing { &dark } else { &report };
            screen.problems(Some(report), Pictures { shown, directory: directory.path() })
        };
        let picture = |name: &str| Screen { picture: Some(name.into()), ..Screen::default() };
        assert_eq!(problems(picture("same.png"), &shown), Vec::<String>::new());
        assert!(problems(picture("other.png"), &shown).concat().ends_with("in 1 pixels, first at (1, 1)"));
        assert!(problems(picture("wide.png"), &shown).concat().ends_with("2 x 2 pixels, expected 4 x 1"));
        assert_eq!(problems(picture("nowhere.png"), &shown).len(), 1);
        assert_eq!(problems(picture("same.png"), &missing).len(), 1);
        let blank = Screen { blank: true, ..Screen::default() };
        assert_eq!(problems(blank.clone(), &missing).len(), 0);
        assert_eq!(problems(blank, &shown).len(), 1);
        assert_eq!(problems(Screen { steady: Some(10), ..Screen::default() }, &shown).len(), 0);
        assert_eq!(problems(Screen { steady: Some(11), ..Screen::default() }, &shown).len(), 1);
        assert_eq!(problems(Screen { complete: true, ..Screen::default() }, &shown).len(), 0);
        assert!(
            problems(Screen { untorn: true, ..Screen::default() }, &shown).concat().contains("1 of 0 frames were torn")
        );
        let different = |least| Screen { different_at_least: Some(least), ..Screen::default() };
        assert_eq!([2, 3].map(|least| problems(different(least), &shown).len()), [0, 1]);
        let dim = |least, most| Screen { dark_at_least: least, dark_at_most: most, ..Screen::default() };
        assert_eq!(problems(dim(Some(0), Some(0)), &shown).len(), 0);
        assert_eq!(
            problems(dim(Some(1), Some(2)), &shown),
            ["the display: 0 dark frames, expected at least 1, at most 2"]
        );
        let only = |colours: &[u32]| Screen { only: Some(colours.iter().copied().collect()), ..Screen::default() };
        assert_eq!(problems(only(&[1, 2]), &shown).len(), 0);
        assert!(problems(only(&[1, 3]), &shown).concat().contains("lines began with the colour 0x000002"));
        assert!(problems(only(&[1, 2, 3]), &shown).concat().contains("no line ever began with the colour 0x000003"));
        assert!(Screen::default().is_empty() && !only(&[]).is_empty());
        let pictures = Pictures { shown: &shown, directory: directory.path() };
        assert_eq!(Screen::default().problems(None, pictures).len(), 1);
    }
}
