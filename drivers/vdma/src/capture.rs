//! Which pictures of a camera a reader gets, and where the camera writes meanwhile.
//!
//! # Theory of operation
//!
//! A camera cannot be made to wait, and a reader may keep pictures as long as it likes. So there are one or two pictures more than the channel takes in turn. A
//! reader gets the youngest whole picture, and the one that it has held longest takes its place among those that are written to. The engine comes to that place again
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
/// Most pictures that a reader holds.
pub const HELD: usize = 2;
/// Most pictures altogether.
pub const PICTURES: usize = PLACES + HELD;

/// The pictures of a write channel, by their number from 0 to [`PICTURES`] - 1.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    addresses: [u32; PICTURES],
    /// Which picture is in which place.
    places: [u8; PLACES],
    /// With the reader, or kept for it to give back; the one that is held longest first.
    held: [u8; HELD],
    /// How many of those there are.
    holds: usize,
    /// The place of the youngest whole picture.
    youngest: u8,
    /// That picture has not been taken.
    fresh: bool,
    /// The next frame's end says nothing, because one before it was damaged.
    doubt: bool,
    lost: u64,
}

impl Queue {
    /// Sets `channel` running on pictures at `addresses`: [`PLACES`], and as many more as the reader is to hold. `now` is a time in µs.
    ///
    /// # Errors
    /// [`SetupError`], also if the engine's frame stores are no multiple of [`PLACES`], or the reader would hold none or more than [`HELD`].
    pub fn start<B: Registers>(
        channel: &mut Channel<B>,
        picture: Picture,
        addresses: &[u32],
        now: u64,
    ) -> Result<(Self, Outcome), SetupError> {
        let holds = addresses.len().saturating_sub(PLACES);
        let (Some(places), 1..=HELD) = (addresses.get(..PLACES), holds) else {
            return Err(SetupError::Stores { wanted: addresses.len(), stores: channel.hardware().stores });
        };
        let mut all = [0; PICTURES];
        for (place, address) in all.iter_mut().zip(addresses) {
            *place = *address;
        }
        let outcome = channel.start(picture, places, Mode::Circular, now)?;
        let queue = Self {
            addresses: all,
            places: [0, 1, 2],
            held: [3, 4],
            holds,
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

    /// Gives the picture back that is held longest and takes the youngest one, if there is one that has not been taken.
    pub fn take<B: Registers>(&mut self, channel: &mut Channel<B>) -> Option<u8> {
        // On the place before, the engine may begin with this one at any moment.
        let late = pointer(channel) == previous(self.youngest);
        if !core::mem::take(&mut self.fresh) || late {
            return None;
        }
        let place = self.places.get_mut(usize::from(self.youngest))?;
        let held = self.held.get_mut(..self.holds)?;
        let (oldest, _) = held.split_first_mut()?;
        let address = self.addresses.get(usize::from(*oldest)).copied()?;
        channel.replace(self.youngest, address).ok()?;
        core::mem::swap(place, oldest);
        let taken = *oldest;
        held.rotate_left(1);
        Some(taken)
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
