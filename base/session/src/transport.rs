//! How a client reaches its server.

use crate::{Error, Message};

/// A way to call a server.
pub trait Transport {
    /// A capability as this transport hands it out.
    type Capability;

    /// Sends a message with the capabilities in the slots `caps` and waits for the answer.
    fn call(&self, message: &Message, caps: &[u32]) -> Result<Message, Error>;

    /// Like `call`, for an answer that brings a capability.
    fn call_for_cap(&self, message: &Message, caps: &[u32]) -> Result<(Message, Option<Self::Capability>), Error>;

    /// A call of `count` words, at most four, and an answer of at most four; nothing but registers.
    fn call_words(&self, label: u32, words: [u32; 4], count: u32) -> (u32, [u32; 4]);

    /// Like [`call_words`](Self::call_words), for servers whose label is a result.
    ///
    /// # Errors
    /// The one that the answer's label stands for: see [`Error::check`].
    #[inline]
    fn call_fast(&self, label: u32, words: [u32; 4], count: u32) -> Result<[u32; 4], Error> {
        let (label, answer) = self.call_words(label, words, count);
        Error::check(label).map(|()| answer)
    }
}

impl<T: Transport> Transport for &T {
    type Capability = T::Capability;

    fn call(&self, message: &Message, caps: &[u32]) -> Result<Message, Error> {
        (**self).call(message, caps)
    }

    fn call_for_cap(&self, message: &Message, caps: &[u32]) -> Result<(Message, Option<Self::Capability>), Error> {
        (**self).call_for_cap(message, caps)
    }

    #[inline]
    fn call_words(&self, label: u32, words: [u32; 4], count: u32) -> (u32, [u32; 4]) {
        (**self).call_words(label, words, count)
    }
}
