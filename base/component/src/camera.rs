//! A Capture session as a client uses it.
//!
//! # Theory of operation
//!
//! [`Camera::take`] waits for the youngest whole picture and gives back the one that was taken before. A picture is the client's as long as the client likes; the camera goes on writing
//! elsewhere. Memory is attached cached, and what the caches hold of a picture from earlier is dropped before it is read.
//!
//! ```ignore
//! let mut camera = Camera::open(8 << 20)?;
//! let picture = camera.take()?;
//! let mut buffer = [0; 481];
//! let pixels = picture.line(0, &mut buffer)?;
//! ```

use heapless::Vec;
use session::capture::{BUFFERS, Client, Info};
use session::core::CACHE_INVALIDATE;
use session::{Error, Service};

use crate::cap::Capability;
use crate::env::{Open, Session, open};
use crate::platform::{Attached, Domain};
use crate::screen::attach_buffers;

/// Capabilities of a session.
const CAPS: u32 = 8 * (BUFFERS + 1);

/// An open session.
#[derive(Debug)]
pub struct Camera {
    info: Info,
    server: Client<Capability>,
    buffers: Vec<Attached, { BUFFERS as usize }>,
    session: Session,
}

impl Camera {
    /// Opens a session. `ram`: what is donated; what is needed depends on the size of the picture.
    ///
    /// # Errors
    /// [`Error::InsufficientRam`]: `ram` is too little; [`Error::Busy`]: somebody else has the camera; others as for every session.
    pub fn open(ram: u32) -> Result<Self, Error> {
        let mut session = open(&Open { ram, caps: CAPS, ..Open::new(Service::Capture) })?;
        let server = Client::new(session.capability.take().ok_or(Error::Invalid)?);
        match attach(&server) {
            Ok((info, buffers)) => Ok(Self { info, server, buffers, session }),
            Err(error) => {
                drop(server);
                session.close()?;
                Err(error)
            }
        }
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

    /// Waits for the next picture that has not been taken, and gives back the one before.
    ///
    /// # Errors
    /// [`Error::Device`]: the camera's engine has failed.
    pub fn take(&mut self) -> Result<Picture<'_>, Error> {
        let (index, lost) = self.server.take_counted(true)?;
        let memory = self.buffers.get(index as usize).ok_or(Error::Invalid)?;
        Domain::own().maintain_cache(memory.region(), 0, self.info.bytes(), CACHE_INVALIDATE)?;
        Ok(Picture { info: self.info, memory, lost })
    }
}

fn attach(server: &Client<Capability>) -> Result<(Info, Vec<Attached, { BUFFERS as usize }>), Error> {
    let info = server.info()?;
    let buffers = attach_buffers(BUFFERS, info.bytes(), |index| server.buffer(index))?;
    Ok((info, buffers))
}

/// A whole picture.
#[derive(Debug)]
pub struct Picture<'c> {
    info: Info,
    memory: &'c Attached,
    lost: u32,
}

impl Picture<'_> {
    /// Pictures that were not taken in time so far.
    pub fn lost(&self) -> u32 {
        self.lost
    }

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
