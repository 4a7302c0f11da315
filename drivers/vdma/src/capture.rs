//! Which pictures of a camera a reader gets, and where the camera writes meanwhile.
//!
//! # Theory of operation
//!
//! A camera cannot be made to wait, and a reader may keep a picture as long as it likes. So there is one picture more than the channel takes in turn. A
//! reader gets the youngest whole picture, and the one that it gives back takes its place among those that are written to. The engine comes to that place again
//! only after it has been through all the others, and by then it knows the new address: the commit holds from the next frame on. Should a reader come
//! so late that the engine is about to come there, the picture is not handed out.
//!
//! Which picture is the youngest whole one, the engine does not say: its pointer shows the frame store that it is on, be it in the middle of a frame or
//! between two. Interrupts are counted instead: if the pointer is where the next frame must have ended, that one is whole; if it is further, the one before
//! the pointer is. A frame that is damaged is left out.

use mmio::Registers;

use crate::channel::{Change, Channel, Mode, Outcome, Picture, SetupError};

/// Pictures that the channel takes in turn.
pub const PLACES: usize = 3;
/// Pictures altogether: one is with the reader.
pub const PICTURES: usize = PLACES + 1;

/// The pictures of a write channel, by their number from 0 to [`PICTURES`] - 1.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    addresses: [u32; PICTURES],
    /// Which picture is in which place.
    places: [u8; PLACES],
    /// With the reader, or kept for it to give back.
    spare: u8,
    /// The place of the youngest whole picture.
    youngest: u8,
    /// That picture has not been taken.
    fresh: bool,
    /// The next frame's end says nothing, because one before it was damaged.
    doubt: bool,
    lost: u64,
}

impl Queue {
    /// Sets `channel` running on pictures at `addresses`. `now` is a time in µs.
    ///
    /// # Errors
    /// [`SetupError`], also if the engine's frame stores are no multiple of [`PLACES`].
    pub fn start<B: Registers>(
        channel: &mut Channel<B>,
        picture: Picture,
        addresses: [u32; PICTURES],
        now: u64,
    ) -> Result<(Self, Outcome), SetupError> {
        let [first, second, third, _] = addresses;
        let outcome = channel.start(picture, &[first, second, third], Mode::Circular, now)?;
        let queue = Self {
            addresses,
            places: [0, 1, 2],
            spare: 3,
            // Before the first place.
            youngest: PLACES as u8 - 1,
            fresh: false,
            doubt: false,
            lost: 0,
        };
        Ok((queue, outcome))
    }

    /// Whole pictures that nobody took in time.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether [`take`](Self::take) may find something.
    pub const fn has_fresh(&self) -> bool {
        self.fresh
    }

    /// Something has happened on the channel.
    pub fn on_outcome<B: Registers>(&mut self, channel: &Channel<B>, outcome: &Outcome) {
        if outcome.change == Some(Change::Recovered) {
            // The engine begins at the first place again.
            self.youngest = PLACES as u8 - 1;
            self.fresh = false;
            self.doubt = false;
            return;
        }
        if outcome.damaged {
            self.fresh = false;
            self.doubt = true;
            return;
        }
        if !outcome.frame {
            return;
        }
        let place = pointer(channel);
        let before = previous(place);
        if core::mem::take(&mut self.doubt) {
            self.youngest = before;
            return;
        }
        if core::mem::replace(&mut self.fresh, true) {
            self.lost += 1;
        }
        self.youngest = if before == self.youngest { place } else { before };
    }

    /// Gives the last picture back and takes the youngest one, if there is one that has not been taken.
    pub fn take<B: Registers>(&mut self, channel: &mut Channel<B>) -> Option<u8> {
        // On the place before, the engine may begin with this one at any moment.
        let late = pointer(channel) == previous(self.youngest);
        if !core::mem::take(&mut self.fresh) || late {
            return None;
        }
        let place = self.places.get_mut(usize::from(self.youngest))?;
        let address = self.addresses.get(usize::from(self.spare)).copied()?;
        channel.replace(self.youngest, address).ok()?;
        core::mem::swap(place, &mut self.spare);
        Some(self.spare)
    }
}

/// The place that the engine is on.
fn pointer<B: Registers>(channel: &Channel<B>) -> u8 {
    channel.current() % PLACES as u8
}

/// The place that the engine comes from.
const fn previous(place: u8) -> u8 {
    (place + PLACES as u8 - 1) % PLACES as u8
}
