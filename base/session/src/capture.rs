//! The Capture session: pictures from a camera.
//!
//! # Theory of operation
//!
//! A session has [`WRITTEN`] buffers of the size of a picture that the camera's engine writes one after the other, as it cannot be made to wait, and one
//! or two more that the client holds; the session's argument says how many. The server makes them out of the client's donation. The client
//! [takes](CaptureRequest::Take) the youngest whole picture, and gives the one back that it has held longest. What it holds is not written to, however long
//! it keeps it. Pictures that are not taken in time are lost, and counted.
//!
//! Who reads pictures holds one. Who shows them holds two, as the one before is on the screen until the next one is.
//!
//! A client that reads through its cache invalidates the lines of a picture that it has taken before it reads. A client that only passes pictures on, say to a
//! [screen](crate::framebuffer::FramebufferRequest::Import), does nothing.

use crate::framebuffer::answer;
use crate::{Error, Transport, protocol};

pub use crate::framebuffer::{Format, Info};

protocol! {
    /// Requests to a capture server.
    pub enum CaptureRequest {
        /// Answer: see [`Info::to_words`].
        Info = 1,
        /// Answer: the dataspace of a buffer.
        Buffer = 2 {
            /// From 0.
            index,
        },
        /// Gives the picture back that the client has held longest, and takes the youngest one that it has not had. Answer: 0 or an error
        /// ([`Error::NotFound`]: there is none), then the number of its buffer, and how many were lost so far.
        Take = 3 {
            /// 1: to be answered only when there is one.
            wait,
        },
        /// Names the notification that is raised when there is a new picture. Caps: the notification.
        Connect = 4,
    }
}

/// Label of [`CaptureRequest::Take`].
pub const TAKE: u32 = 3;
/// Buffers that the engine writes one after the other.
pub const WRITTEN: u32 = 3;
/// Most buffers that the client holds.
pub const MAX_HELD: u32 = 2;
/// Most buffers of a session.
pub const MAX_BUFFERS: u32 = WRITTEN + MAX_HELD;

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
        Info::from_words(self.0.call(&CaptureRequest::Info.encode(), &[])?.words())
    }

    /// The dataspace of a buffer.
    pub fn buffer(&self, index: u32) -> Result<T::Capability, Error> {
        self.0.call_for_cap(&CaptureRequest::Buffer { index }.encode(), &[])?.1.ok_or(Error::Invalid)
    }

    /// Takes the youngest picture, and gives the one back that was held longest. Returns the number of its buffer.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is none, without `wait`. [`Error::Device`]: the camera's engine has failed.
    pub fn take(&self, wait: bool) -> Result<u32, Error> {
        self.take_counted(wait).map(|(buffer, _)| buffer)
    }

    /// Like [`take`](Self::take). Returns the number of the buffer, and how many pictures nobody took in time so far.
    ///
    /// # Errors
    /// As for [`take`](Self::take).
    pub fn take_counted(&self, wait: bool) -> Result<(u32, u32), Error> {
        let taken = self.0.call_words(TAKE, [wait.into(), 0, 0, 0], 1);
        let [_, _, lost, _] = taken.1;
        Ok((answer(taken)?, lost))
    }

    /// Names the notification in slot `notification` as the one to raise when there is a new picture.
    pub fn connect(&self, notification: u32) -> Result<(), Error> {
        self.0.call(&CaptureRequest::Connect.encode(), &[notification]).map(drop)
    }
}
