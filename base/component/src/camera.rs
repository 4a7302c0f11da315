//! A Capture session as a client uses it.
//!
//! # Theory of operation
//!
//! [`Camera::take`] waits for the youngest whole picture and gives back the one that has been held longest. What is held is the client's as long as the client
//! likes; the camera goes on writing elsewhere. Nothing is mapped until the client wants to see [pixels](Picture::pixels): then memory is attached cached, and
//! what the caches hold of a picture from earlier is dropped. Who passes pictures on does not need to look at them.
//!
//! ```ignore
//! let mut camera = Camera::open(8 << 20, 1)?;
//! let picture = camera.take()?;
//! let pixels = picture.pixels()?;
//! let mut buffer = [0; 481];
//! let line = pixels.line(0, &mut buffer)?;
//! ```

use heapless::Vec;
use session::capture::{Client, Info, MAX_BUFFERS};
use session::core::{CACHE_INVALIDATE, WRITE};
use session::{Error, Service};

use crate::cap::Capability;
use crate::env::{Open, Session, open_with};
use crate::platform::{Attached, Dataspace, Domain};

/// Capabilities of a session.
const CAPS: u32 = 8 * (MAX_BUFFERS + 1);

/// An open session.
#[derive(Debug)]
pub struct Camera {
    info: Info,
    server: Client<Capability>,
    buffers: Vec<Buffer, { MAX_BUFFERS as usize }>,
    session: Session,
}

/// Memory of a picture.
#[derive(Debug)]
struct Buffer {
    dataspace: Dataspace,
    /// From when its pixels have been wanted for the first time.
    attached: Option<Attached>,
}

impl Camera {
    /// Opens a session that holds `held` pictures at a time, 1 or 2. `ram`: what is donated; what is needed depends on the size of the picture.
    ///
    /// # Errors
    /// [`Error::InsufficientRam`]: `ram` is too little; [`Error::Busy`]: somebody else has the camera; others as for every session.
    pub fn open(ram: u32, held: u32) -> Result<Self, Error> {
        let request = Open { ram, caps: CAPS, argument: held, ..Open::new(Service::Capture) };
        let make = |capability| {
            let server = Client::new(capability);
            let (info, buffers) = buffers(&server)?;
            Ok((info, server, buffers))
        };
        let ((info, server, buffers), session) = open_with(&request, make)?;
        Ok(Self { info, server, buffers, session })
    }

    /// Closes the session; the camera is stopped and the donation is back when this returns.
    pub fn close(self) -> Result<(), Error> {
        let Self { buffers, server, session, .. } = self;
        drop((buffers, server));
        session.close()
    }

    /// What the session offers.
    pub fn info(&self) -> Info {
        self.info
    }

    /// The server's side, for taking pictures without waiting and for [notifications](Client::connect).
    pub fn server(&self) -> &Client<Capability> {
        &self.server
    }

    /// The memory of picture `index`, to be passed on.
    pub fn buffer(&self, index: u32) -> Option<&Dataspace> {
        self.buffers.get(index as usize).map(|buffer| &buffer.dataspace)
    }

    /// Waits for the next picture that has not been taken, and gives back the one that has been held longest.
    ///
    /// # Errors
    /// [`Error::Device`]: the camera's engine has failed.
    pub fn take(&mut self) -> Result<Picture<'_>, Error> {
        let (index, lost) = self.server.take_counted(true)?;
        let buffer = self.buffers.get_mut(index as usize).ok_or(Error::Invalid)?;
        Ok(Picture { info: self.info, index, lost, buffer })
    }
}

fn buffers(server: &Client<Capability>) -> Result<(Info, Vec<Buffer, { MAX_BUFFERS as usize }>), Error> {
    let info = server.info()?;
    let mut buffers = Vec::new();
    for index in 0..info.buffers {
        let dataspace = Dataspace::from_capability(server.buffer(index)?)?;
        if dataspace.bytes() < info.bytes() {
            return Err(Error::Invalid);
        }
        buffers.push(Buffer { dataspace, attached: None }).map_err(|_| Error::Invalid)?;
    }
    Ok((info, buffers))
}

/// A whole picture.
#[derive(Debug)]
pub struct Picture<'c> {
    info: Info,
    index: u32,
    lost: u32,
    buffer: &'c mut Buffer,
}

impl<'c> Picture<'c> {
    /// The number of its buffer.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Pictures that were not taken in time so far.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// What is in it.
    ///
    /// # Errors
    /// [`Error::OutOfRam`]: it has not been looked at before, and there is not enough memory to map it.
    pub fn pixels(self) -> Result<Pixels<'c>, Error> {
        let Self { info, buffer: Buffer { dataspace, attached }, .. } = self;
        let memory = match attached {
            Some(memory) => memory,
            // Writeable: invalidating a cache undoes what others have written, so core wants that right.
            None => attached.insert(Attached::new(dataspace, WRITE, None)?),
        };
        Domain::own().maintain_cache(memory.region(), 0, info.bytes(), CACHE_INVALIDATE)?;
        Ok(Pixels { info, memory })
    }
}

/// What is in a picture.
#[derive(Debug)]
pub struct Pixels<'c> {
    info: Info,
    memory: &'c Attached,
}

impl Pixels<'_> {
    /// Copies line `y` into `buffer`, which must have room for a word more, and returns its pixels: as [`Format`](session::framebuffer::Format) says.
    ///
    /// # Errors
    /// [`Error::Invalid`]: there is no such line, or `buffer` is too short.
    pub fn line<'b>(&self, y: u32, buffer: &'b mut [u32]) -> Result<&'b [u8], Error> {
        if y >= self.info.height {
            return Err(Error::Invalid);
        }
        let bytes = self.info.width * self.info.format.bytes();
        self.memory.read((y * self.info.stride) as usize, bytes as usize, buffer)
    }
}
