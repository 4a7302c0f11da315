//! The Capture session: pictures from a camera.
//!
//! # Theory of operation
//!
//! A session has [`BUFFERS`] buffers of the size of a picture, made by the server out of the client's donation. The camera's engine writes them one after the other, and
//! cannot be made to wait. The client [takes](CaptureRequest::Take) the youngest whole picture; with that it gives the one that it had back. What it has is
//! not written to, however long it keeps it. Pictures that are not taken in time are lost, and counted.
//!
//! A client that reads through its cache invalidates the lines of a picture that it has taken before it reads.

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
        /// Gives the picture back that the client has, and takes the youngest one that it has not had. Answer: 0 or an error
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
/// Buffers of a session.
pub const BUFFERS: u32 = 4;

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

    /// Takes the youngest picture, and gives the last one back. Returns the number of its buffer.
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
