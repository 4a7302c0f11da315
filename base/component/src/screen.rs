//! A Framebuffer session as a client uses it, with the drawing traits of `embedded-graphics`.
//!
//! # Theory of operation
//!
//! [`Screen::frame`] gives the buffer that is not shown, to be drawn into; [`Screen::present`] shows it and returns when the one that was shown before is free.
//! The buffers take turns: what is in a frame at first is what was drawn into it two or three pictures ago. Memory is attached cached, and before the engine reads it, the
//! lines that have been drawn are written back.
//!
//! ```ignore
//! let mut screen = Screen::open(2)?;
//! let mut frame = screen.frame();
//! frame.clear(Rgb888::BLACK)?;
//! Circle::new(Point::new(10, 10), 50).into_styled(PrimitiveStyle::with_fill(Rgb888::RED)).draw(&mut frame)?;
//! screen.present(Area::default())?;
//! ```

use core::convert::Infallible;

use embedded_graphics_core::Pixel;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{OriginDimensions, Size};
use embedded_graphics_core::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics_core::primitives::{PointsIter, Rectangle};
use heapless::Vec;
use session::core::{CACHE_CLEAN, WRITE};
use session::framebuffer::{Area, Client, Format, Info, MAX_BUFFERS, Statistics};
use session::{Error, Service};

use crate::cap::Capability;
use crate::env::{Open, Session, open_with};
use crate::platform::{Attached, Dataspace, Domain};

/// What a session costs beyond its buffers: page tables and bookkeeping, for each buffer.
const OVERHEAD: u32 = 32 * 1024;
/// Capabilities of a session, and of each buffer.
const CAPS: u32 = 8;
/// Bytes of pixels that are put together before they are stored: a multiple of those of any pixel.
const CHUNK: usize = 384;

/// An open session.
#[derive(Debug)]
pub struct Screen {
    info: Info,
    server: Client<Capability>,
    buffers: Vec<Attached, { MAX_BUFFERS as usize }>,
    /// The buffer that is shown.
    shown: usize,
    session: Session,
}

impl Screen {
    /// Opens a session with two or three buffers. `ram`: what may be donated, at most; what is needed depends on the size of the screen.
    ///
    /// # Errors
    /// [`Error::InsufficientRam`]: `ram` is too little; [`Error::Busy`]: somebody else has the screen; others as for every session.
    pub fn open(buffers: u32, ram: u32) -> Result<Self, Error> {
        let caps = CAPS * (buffers + 1);
        let request = Open { ram, caps, argument: buffers, ..Open::new(Service::Framebuffer) };
        let make = |capability| {
            let server = Client::new(capability);
            let (info, buffers) = attach(&server)?;
            Ok((info, server, buffers))
        };
        let ((info, server, buffers), session) = open_with(&request, make)?;
        Ok(Self { info, server, buffers, shown: 0, session })
    }

    /// RAM to donate for so many buffers of a screen.
    pub const fn donation(bytes: u32, buffers: u32) -> u32 {
        buffers * (bytes.next_power_of_two() + OVERHEAD)
    }

    /// Closes the session; the screen is blank and the donation is back when this returns.
    pub fn close(self) -> Result<(), Error> {
        let Self { buffers, server, session, .. } = self;
        drop((buffers, server));
        session.close()
    }

    /// What the session offers.
    pub fn info(&self) -> Info {
        self.info
    }

    /// The server's side, for [waiting](Client::sync) and [notifications](Client::connect).
    pub fn server(&self) -> &Client<Capability> {
        &self.server
    }

    /// What has happened so far.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        self.server.statistics()
    }

    /// The number of the buffer that is drawn into, from 0.
    pub fn hidden(&self) -> usize {
        (self.shown + 1) % self.buffers.len().max(1)
    }

    /// The next picture, to be drawn. Nobody sees it before it is presented.
    pub fn frame(&mut self) -> Frame<'_> {
        Frame { info: self.info, memory: self.buffers.get(self.hidden()) }
    }

    /// Shows what has been drawn, from the next frame on, and returns when the buffer that was shown is free: [`write_back`](Self::write_back) and
    /// [`show`](Self::show). `damage` is what has been drawn since this buffer was shown last.
    ///
    /// # Errors
    /// [`Error::Device`]: the display engine has failed. It may recover, and then it shows the last picture that was presented: so draw the next one, and present it
    /// after a while. [`Error::Invalid`]: the area is not on the screen.
    pub fn present(&mut self, damage: Area) -> Result<(), Error> {
        self.write_back(damage)?;
        self.show(damage)
    }

    /// Writes the lines of an area that is drawn from the processor's caches to memory.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the area is not on the screen.
    pub fn write_back(&self, damage: Area) -> Result<(), Error> {
        let buffer = self.buffers.get(self.hidden()).ok_or(Error::Invalid)?;
        let area = Area::from_words(damage.to_words(), self.info.width, self.info.height).ok_or(Error::Invalid)?;
        let offset = area.y * self.info.stride;
        Domain::own().maintain_cache(buffer.region(), offset, area.height * self.info.stride, CACHE_CLEAN)
    }

    /// Shows what has been drawn and [written back](Self::write_back), from the next frame on, and returns when the buffer that was shown is free.
    ///
    /// # Errors
    /// As for [`present`](Self::present).
    pub fn show(&mut self, damage: Area) -> Result<(), Error> {
        self.flip(damage, true)
    }

    /// Like [`show`](Self::show), without waiting. The buffer that was shown is free when [`statistics`](Self::statistics) has counted the flip.
    ///
    /// # Errors
    /// As for [`present`](Self::present), and [`Error::Busy`]: the last one is not over.
    pub fn begin_show(&mut self, damage: Area) -> Result<(), Error> {
        self.flip(damage, false)
    }

    fn flip(&mut self, damage: Area, wait: bool) -> Result<(), Error> {
        let next = self.hidden();
        let result = self.server.flip(next as u32, damage, wait);
        // An engine that has failed begins with that one when it recovers.
        if matches!(result, Ok(_) | Err(Error::Device)) {
            self.shown = next;
        }
        result.map(drop)
    }
}

fn attach(server: &Client<Capability>) -> Result<(Info, Vec<Attached, { MAX_BUFFERS as usize }>), Error> {
    let info = server.info()?;
    let mut buffers = Vec::new();
    for index in 0..info.buffers {
        // The attachment keeps the memory mapped; the server keeps it alive.
        let memory = Dataspace::from_capability(server.buffer(index)?)?;
        let attached = Attached::new(&memory, WRITE, None)?;
        if attached.bytes() < info.bytes() as usize {
            return Err(Error::Invalid);
        }
        buffers.push(attached).map_err(|_| Error::Invalid)?;
    }
    if buffers.len() < 2 {
        return Err(Error::Invalid);
    }
    Ok((info, buffers))
}

/// An open session without buffers: a screen for pictures that are there already.
///
/// Nothing is mapped, and nothing is written back: who has drawn the pictures, or the camera's engine, has left them in memory.
#[derive(Debug)]
pub struct Scanout {
    info: Info,
    server: Client<Capability>,
    session: Session,
}

impl Scanout {
    /// Opens a session. It needs no RAM.
    ///
    /// # Errors
    /// [`Error::Busy`]: somebody else has the screen; others as for every session.
    pub fn open() -> Result<Self, Error> {
        let request = Open { caps: CAPS, ..Open::new(Service::Framebuffer) };
        let make = |capability| {
            let server = Client::new(capability);
            Ok((server.info()?, server))
        };
        let ((info, server), session) = open_with(&request, make)?;
        Ok(Self { info, server, session })
    }

    /// Closes the session; the screen is blank when this returns.
    pub fn close(self) -> Result<(), Error> {
        let Self { server, session, .. } = self;
        drop(server);
        session.close()
    }

    /// What the session offers.
    pub fn info(&self) -> Info {
        self.info
    }

    /// The server's side, for [waiting](Client::sync) and [notifications](Client::connect).
    pub fn server(&self) -> &Client<Capability> {
        &self.server
    }

    /// Makes a picture one of this screen's. Returns its number.
    ///
    /// # Errors
    /// As for [`Client::import`].
    pub fn import(&self, picture: &Dataspace) -> Result<u32, Error> {
        self.server.import(picture.slot())
    }

    /// Shows a picture from the next frame on, and returns when the one that was shown before is free.
    ///
    /// # Errors
    /// As for [`Client::flip`].
    pub fn show(&self, picture: u32) -> Result<(), Error> {
        self.server.flip(picture, Area::default(), true).map(drop)
    }
}

/// A picture that is being drawn.
#[derive(Debug)]
pub struct Frame<'s> {
    info: Info,
    memory: Option<&'s Attached>,
}

impl Frame<'_> {
    /// Stores bytes into line `y`, from pixel `x` on: pixels as [`Format`] says. What does not fit the line is left out.
    pub fn store(&mut self, x: u32, y: u32, pixels: &[u8]) {
        let Some(memory) = self.memory.filter(|_| x < self.info.width && y < self.info.height) else { return };
        let room = (self.info.width - x) * self.info.format.bytes();
        let pixels = pixels.get(..room as usize).unwrap_or(pixels);
        let offset = y * self.info.stride + x * self.info.format.bytes();
        // The picture is within the buffer.
        let _ = memory.write(offset as usize, pixels);
    }

    /// Fills a part of line `y` with what `colours` yields.
    fn run(&mut self, x: u32, y: u32, width: u32, colours: &mut dyn Iterator<Item = Rgb888>) {
        let bytes = self.info.format.bytes() as usize;
        let mut chunk: Vec<u8, CHUNK> = Vec::new();
        let mut begun = x;
        for (column, colour) in (x..x + width).zip(colours) {
            let pixel = encode(self.info.format, colour);
            if chunk.extend_from_slice(pixel.get(..bytes).unwrap_or(&pixel)).is_err() {
                self.store(begun, y, &chunk);
                chunk.clear();
                begun = column;
                // It is empty now.
                let _ = chunk.extend_from_slice(pixel.get(..bytes).unwrap_or(&pixel));
            }
        }
        self.store(begun, y, &chunk);
    }
}

fn encode(format: Format, colour: Rgb888) -> [u8; 4] {
    format.encode([colour.r(), colour.g(), colour.b()])
}

impl OriginDimensions for Frame<'_> {
    fn size(&self) -> Size {
        Size::new(self.info.width, self.info.height)
    }
}

impl DrawTarget for Frame<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let bytes = self.info.format.bytes() as usize;
        for Pixel(point, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y)) {
                let pixel = encode(self.info.format, colour);
                self.store(x, y, pixel.get(..bytes).unwrap_or(&pixel));
            }
        }
        Ok(())
    }

    fn fill_contiguous<I: IntoIterator<Item = Rgb888>>(
        &mut self,
        area: &Rectangle,
        colours: I,
    ) -> Result<(), Infallible> {
        let screen = Rectangle::new(embedded_graphics_core::geometry::Point::zero(), self.size());
        if area.intersection(&screen) != *area {
            return self.draw_iter(area.points().zip(colours).map(|(point, colour)| Pixel(point, colour)));
        }
        let mut colours = colours.into_iter();
        let (x, y) = (area.top_left.x as u32, area.top_left.y as u32);
        for line in 0..area.size.height {
            self.run(x, y + line, area.size.width, &mut colours);
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        let screen = Rectangle::new(embedded_graphics_core::geometry::Point::zero(), self.size());
        let area = area.intersection(&screen);
        let (x, y) = (area.top_left.x as u32, area.top_left.y as u32);
        let bytes = self.info.format.bytes() as usize;
        let pixel = encode(self.info.format, colour);
        let mut chunk = [0; CHUNK];
        for place in chunk.chunks_exact_mut(bytes) {
            place.copy_from_slice(pixel.get(..bytes).unwrap_or(&pixel));
        }
        let pixels = (CHUNK / bytes) as u32;
        for line in 0..area.size.height {
            for done in (0..area.size.width).step_by(pixels as usize) {
                let length = (area.size.width - done).min(pixels) as usize * bytes;
                self.store(x + done, y + line, chunk.get(..length).unwrap_or_default());
            }
        }
        Ok(())
    }
}
