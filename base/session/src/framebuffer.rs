//! The Framebuffer session: a screen, and pictures to show on it.
//!
//! # Theory of operation
//!
//! A session has two or three buffers of the size of the screen. The *server* makes them out of the client's donation, so that the display engine reads
//! them where they are and nobody copies; the client attaches them and never learns where they lie. One is shown, and the client draws into another.
//! [`Flip`](FramebufferRequest::Flip) shows that one from the next frame on. When the flip is over, no line of the buffer that was shown
//! before is read any more, and it is free to be drawn into. So no picture is ever torn, and with two buffers already each frame can show a new one.
//!
//! A client that draws through its cache cleans the lines that it has drawn before it flips.
//!
//! A session can also be opened without buffers, to show pictures that are there already. It [imports](FramebufferRequest::Import) the buffers of a
//! [capture session](crate::capture) of the same server, whoever has that session: the dataspace is the right to show what is in it. Then a
//! picture gets from the camera to the screen without anybody copying it, or even having it mapped. When the capture session ends, so do its buffers, and the screen is blank.
//!
//! The answer to a flip can wait for its end; and the notification that the client has [connected](FramebufferRequest::Connect) is raised at
//! the end of each frame, and when the engine fails or recovers. Waiting is a call, so that a client whose server dies gets an error and does not wait for ever.
//!
//! Size, format and rate of the screen are those of the hardware; who may have the screen is decided by the server's policy for the client's label. When
//! a session is closed, or its client ends, the screen is blank.

use crate::{Error, Transport, protocol};

protocol! {
    /// Requests to a framebuffer server.
    pub enum FramebufferRequest {
        /// Answer: see [`Info::to_words`].
        Info = 1,
        /// Answer: the dataspace of a buffer.
        Buffer = 2 {
            /// From 0.
            index,
        },
        /// Shows a buffer. Answer: 0 or an error, then the number of frames so far.
        Flip = 3 {
            /// The buffer in bits 7:0; bit 8: to be answered only when the flip is over.
            buffer,
            /// What has changed since the picture that is shown: left edge in bits 15:0, upper edge above.
            origin,
            /// Width of that in bits 15:0, height above. 0: everything.
            size,
        },
        /// Waits for the end of a frame. Answer: 0 or an error, then the number of frames so far.
        Sync = 4,
        /// Answer: see [`Statistics::to_words`].
        Statistics = 5,
        /// Names the notification that is raised at the end of each frame. Caps: the notification.
        Connect = 6,
        /// Makes a buffer of a capture session one of this session, which has been opened without any. Caps: its dataspace. Answer: the
        /// buffer's number for [`Flip`](Self::Flip).
        Import = 7,
    }
}

/// Label of [`FramebufferRequest::Flip`].
pub const FLIP: u32 = 3;
/// Label of [`FramebufferRequest::Sync`].
pub const SYNC: u32 = 4;
/// Bit of [`FramebufferRequest::Flip`]'s first word: wait.
pub const WAIT: u32 = 1 << 8;

/// Fewest buffers of a session that has its own.
pub const MIN_BUFFERS: u32 = 2;
/// Most buffers of a session.
pub const MAX_BUFFERS: u32 = 3;

/// How a pixel lies in memory. It is a little-endian number, least significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u32)]
pub enum Format {
    /// 24 bits: red above green above blue; in memory blue, green, red.
    Rgb888 = 0,
    /// 32 bits: the same, and a byte above that is ignored.
    Xrgb8888 = 1,
    /// 16 bits: 5 of red, 6 of green, 5 of blue.
    Rgb565 = 2,
}

impl Format {
    /// Bytes of a pixel.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Rgb888 => 3,
            Self::Xrgb8888 => 4,
            Self::Rgb565 => 2,
        }
    }

    /// The pixel of a colour: [`bytes`](Self::bytes) of these, the rest zero.
    pub const fn encode(self, [red, green, blue]: [u8; 3]) -> [u8; 4] {
        match self {
            Self::Rgb888 | Self::Xrgb8888 => [blue, green, red, 0],
            Self::Rgb565 => {
                let value = (red as u32 >> 3) << 11 | (green as u32 >> 2) << 5 | blue as u32 >> 3;
                value.to_le_bytes()
            }
        }
    }

    /// The format with that wire value.
    pub const fn from_wire(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Rgb888),
            1 => Some(Self::Xrgb8888),
            2 => Some(Self::Rgb565),
            _ => None,
        }
    }
}

/// What a session offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes from the start of a line to that of the next.
    pub stride: u32,
    /// How a pixel lies in memory.
    pub format: Format,
    /// Number of buffers.
    pub buffers: u32,
    /// Frames in 1000 seconds.
    pub millihertz: u32,
}

impl Info {
    /// As it goes over the wire.
    pub const fn to_words(&self) -> [u32; 4] {
        [self.width | self.height << 16, self.stride, self.format as u32 | self.buffers << 8, self.millihertz]
    }

    /// As it came over the wire.
    ///
    /// # Errors
    /// [`Error::Invalid`]: not from a server of this protocol.
    pub fn from_words(words: &[u32]) -> Result<Self, Error> {
        let [size, stride, kind, millihertz] = words else { return Err(Error::Invalid) };
        Ok(Self {
            width: size & 0xFFFF,
            height: size >> 16,
            stride: *stride,
            format: Format::from_wire(kind & 0xFF).ok_or(Error::Invalid)?,
            buffers: kind >> 8,
            millihertz: *millihertz,
        })
    }

    /// Bytes from the first pixel to the one behind the last.
    pub const fn bytes(&self) -> u32 {
        self.stride * self.height
    }
}

/// A part of the screen. 0 in size: everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl Area {
    /// As it goes over the wire. What does not fit 16 bits becomes everything.
    pub const fn to_words(self) -> [u32; 2] {
        if self.x > 0xFFFF || self.y > 0xFFFF || self.width > 0xFFFF || self.height > 0xFFFF {
            return [0, 0];
        }
        [self.x | self.y << 16, self.width | self.height << 16]
    }

    /// As it came over the wire; `None` if it is not within a screen of that size.
    pub const fn from_words([origin, size]: [u32; 2], width: u32, height: u32) -> Option<Self> {
        if size == 0 {
            return Some(Self { x: 0, y: 0, width, height });
        }
        let area = Self { x: origin & 0xFFFF, y: origin >> 16, width: size & 0xFFFF, height: size >> 16 };
        if area.x + area.width > width || area.y + area.height > height { None } else { Some(area) }
    }
}

/// What has happened since the session was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that were shown.
    pub frames: u32,
    /// Flips that are over, be it because the engine has failed.
    pub flips: u32,
    /// Errors of the engine or of the stream.
    pub errors: u32,
    /// Times that the engine had to be reset.
    pub recoveries: u32,
}

impl Statistics {
    /// As it goes over the wire.
    pub const fn to_words(&self) -> [u32; 4] {
        [self.frames, self.flips, self.errors, self.recoveries]
    }
}

/// The client's side.
#[derive(Debug)]
pub struct Client<T>(T);

impl<T: Transport> Client<T> {
    /// A client of a session.
    pub const fn new(session: T) -> Self {
        Self(session)
    }

    /// What requests go through.
    pub const fn session(&self) -> &T {
        &self.0
    }

    /// What the session offers.
    pub fn info(&self) -> Result<Info, Error> {
        Info::from_words(self.0.call(&FramebufferRequest::Info.encode(), &[])?.words())
    }

    /// The dataspace of a buffer.
    pub fn buffer(&self, index: u32) -> Result<T::Capability, Error> {
        self.0.call_for_cap(&FramebufferRequest::Buffer { index }.encode(), &[])?.1.ok_or(Error::Invalid)
    }

    /// Shows a buffer from the next frame on; with `wait` returns when what was shown before is free. Returns the number of frames so far.
    ///
    /// # Errors
    /// [`Error::Busy`]: the last flip is not over. [`Error::Device`]: the engine has failed; should it recover, it begins with this buffer, or with the
    /// one of a later flip. [`Error::Invalid`]: there is no such buffer, or the area is not on the screen. [`Error::Gone`]: the capture session that the
    /// buffer was imported from has ended.
    #[inline]
    pub fn flip(&self, buffer: u32, damage: Area, wait: bool) -> Result<u32, Error> {
        let [origin, size] = damage.to_words();
        let first = buffer & 0xFF | if wait { WAIT } else { 0 };
        answer(self.0.call_words(FLIP, [first, origin, size, 0], 3))
    }

    /// Waits for the end of a frame. Returns the number of frames so far.
    ///
    /// # Errors
    /// [`Error::Device`]: the engine has failed. [`Error::Gone`]: nothing is shown, as nothing has been flipped to since the session was opened without buffers, or
    /// since what was imported is gone.
    pub fn sync(&self) -> Result<u32, Error> {
        answer(self.0.call_words(SYNC, [0; 4], 0))
    }

    /// What has happened so far.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        match self.0.call(&FramebufferRequest::Statistics.encode(), &[])?.words() {
            [frames, flips, errors, recoveries] => {
                Ok(Statistics { frames: *frames, flips: *flips, errors: *errors, recoveries: *recoveries })
            }
            _ => Err(Error::Invalid),
        }
    }

    /// Makes the buffer of a capture session whose dataspace is in slot `dataspace` one of this session. Returns its number.
    ///
    /// # Errors
    /// [`Error::NotFound`]: it is no buffer of a camera of this server. [`Error::Invalid`]: this session has buffers of its own, or the camera's pictures
    /// have another form than the screen's.
    pub fn import(&self, dataspace: u32) -> Result<u32, Error> {
        self.0.call(&FramebufferRequest::Import.encode(), &[dataspace])?.word(0).ok_or(Error::Invalid)
    }

    /// Names the notification in slot `notification` as the one to raise at the end of each frame.
    pub fn connect(&self, notification: u32) -> Result<(), Error> {
        self.0.call(&FramebufferRequest::Connect.encode(), &[notification]).map(drop)
    }
}

/// The answer to a request that is answered in registers: a status and a number.
pub(crate) fn answer((label, [status, number, ..]): (u32, [u32; 4])) -> Result<u32, Error> {
    Error::check(label)?;
    Error::check(status)?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_offers_survives_the_wire() {
        for format in [Format::Rgb888, Format::Xrgb8888, Format::Rgb565] {
            let info = Info { width: 1920, height: 1080, stride: 5760, format, buffers: 3, millihertz: 59_940 };
            assert_eq!(Info::from_words(&info.to_words()), Ok(info));
        }
        assert_eq!(Info::from_words(&[0, 0, 3, 0]), Err(Error::Invalid));
        assert_eq!(Info::from_words(&[0]), Err(Error::Invalid));
    }

    #[test]
    fn areas_are_within_the_screen_or_refused() {
        let area = Area { x: 600, y: 400, width: 40, height: 80 };
        assert_eq!(Area::from_words(area.to_words(), 640, 480), Some(area));
        assert_eq!(Area::from_words(area.to_words(), 639, 480), None);
        assert_eq!(Area::from_words(area.to_words(), 640, 479), None);
        assert_eq!(Area::from_words([u32::MAX, u32::MAX], 640, 480), None);
        let all = Area { x: 0, y: 0, width: 640, height: 480 };
        assert_eq!(Area::from_words(Area::default().to_words(), 640, 480), Some(all));
    }

    #[test]
    fn pixels_are_little_endian_numbers() {
        let colour = [0x12, 0x34, 0x56];
        assert_eq!(Format::Rgb888.encode(colour), [0x56, 0x34, 0x12, 0]);
        assert_eq!(Format::Xrgb8888.encode(colour), [0x56, 0x34, 0x12, 0]);
        assert_eq!(Format::Rgb565.encode([0xFF, 0, 0]), [0x00, 0xF8, 0, 0]);
        assert_eq!(Format::Rgb565.encode([0, 0xFF, 0]), [0xE0, 0x07, 0, 0]);
        assert_eq!(Format::Rgb565.encode([0, 0, 0xFF]), [0x1F, 0x00, 0, 0]);
    }
}
