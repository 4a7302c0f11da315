//! Timings of video modes, and pixel formats.

use serde::{Deserialize, Serialize};

/// How a pixel lies in memory and on the stream.
///
/// A pixel is a little-endian number, least significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 24 bits: red above green above blue; in memory blue, green, red.
    Rgb888,
    /// 32 bits: the same, and a byte that is ignored above.
    Xrgb8888,
    /// 16 bits: 5 of red, 6 of green, 5 of blue.
    Rgb565,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rgb888, Self::Xrgb8888, Self::Rgb565];

    /// Bytes of a pixel.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Rgb888 => 3,
            Self::Xrgb8888 => 4,
            Self::Rgb565 => 2,
        }
    }

    /// The colour of a pixel as 0xRRGGBB. Missing bytes are zeros.
    pub fn decode(self, pixel: &[u8]) -> u32 {
        let value = pixel.iter().take(4).rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        match self {
            Self::Rgb888 | Self::Xrgb8888 => value & 0xFF_FFFF,
            Self::Rgb565 => {
                let [red, green, blue] = [value >> 11 & 0x1F, value >> 5 & 0x3F, value & 0x1F];
                // The upper bits again below, so that full is full.
                let [red, green, blue] = [red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2];
                red << 16 | green << 8 | blue
            }
        }
    }

    /// The bytes of a pixel of a colour 0xRRGGBB, [`Format::bytes`] of them used.
    pub const fn encode(self, colour: u32) -> [u8; 4] {
        match self {
            Self::Rgb888 | Self::Xrgb8888 => (colour & 0xFF_FFFF).to_le_bytes(),
            Self::Rgb565 => (colour >> 8 & 0xF800 | colour >> 5 & 0x07E0 | colour >> 3 & 0x001F).to_le_bytes(),
        }
    }
}

/// The timing of a progressive video mode. Horizontal figures are pixels, vertical ones lines; a frame begins with its vertical sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Visible pixels of a line.
    pub width: u32,
    /// Visible lines.
    pub height: u32,
    /// All pixels of a line, blanking included.
    pub total_width: u32,
    /// All lines, blanking included.
    pub total_height: u32,
    /// Lines from the begin of the vertical sync to the first visible line.
    pub blanking_before: u32,
    /// Pixel clock in Hz.
    pub pixel_clock: u32,
}

impl Mode {
    /// 640x480 at 60 Hz (59.94 Hz; CTA-861 format 1).
    pub const VGA: Self = Self::new([640, 480], [800, 525], 2 + 33, 25_175_000);
    /// 800x600 at 60 Hz (60.32 Hz; VESA DMT).
    pub const SVGA: Self = Self::new([800, 600], [1056, 628], 4 + 23, 40_000_000);
    /// 1024x768 at 60 Hz (60.00 Hz; VESA DMT).
    pub const XGA: Self = Self::new([1024, 768], [1344, 806], 6 + 29, 65_000_000);
    /// 1280x720 at 60 Hz (CTA-861 format 4).
    pub const HD: Self = Self::new([1280, 720], [1650, 750], 5 + 20, 74_250_000);
    /// 1920x1080 at 60 Hz (CTA-861 format 16).
    pub const FULL_HD: Self = Self::new([1920, 1080], [2200, 1125], 5 + 36, 148_500_000);

    /// The well-known ones.
    pub const ALL: [Self; 5] = [Self::VGA, Self::SVGA, Self::XGA, Self::HD, Self::FULL_HD];

    const fn new(visible: [u32; 2], total: [u32; 2], blanking_before: u32, pixel_clock: u32) -> Self {
        let [width, height] = visible;
        let [total_width, total_height] = total;
        Self { width, height, total_width, total_height, blanking_before, pixel_clock }
    }

    /// The well-known mode of a size.
    pub fn of(width: u32, height: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.width == width && mode.height == height)
    }

    /// The same timing with another pixel clock, such as a clock that the processor generates for the PL (FCLK).
    #[must_use]
    pub const fn with_pixel_clock(self, pixel_clock: u32) -> Self {
        Self { pixel_clock, ..self }
    }

    /// When a line begins, in ns since the clock started. `line` counts from the vertical sync and may lie behind the end of the frame.
    pub fn time_of(&self, frame: u64, line: u32) -> u64 {
        let lines = u128::from(frame) * u128::from(self.total_height) + u128::from(line);
        let pixels = lines * u128::from(self.total_width);
        // Rounded up, so that the frame that a moment lies in is the one that `frame_at` names.
        (pixels * 1_000_000_000).div_ceil(u128::from(self.pixel_clock.max(1))) as u64
    }

    /// The frame that a moment lies in.
    pub fn frame_at(&self, time: u64) -> u64 {
        let pixels = u128::from(time) * u128::from(self.pixel_clock.max(1)) / 1_000_000_000;
        (pixels / (u128::from(self.total_width) * u128::from(self.total_height)).max(1)) as u64
    }

    /// The frame that begins next, at `time` or later.
    pub fn next_frame(&self, time: u64) -> u64 {
        let frame = self.frame_at(time);
        if self.time_of(frame, 0) >= time { frame } else { frame + 1 }
    }
}
