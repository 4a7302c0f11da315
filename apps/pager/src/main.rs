//! A server of memory that exists only as far as somebody looks at it.
//!
//! # Theory of operation
//!
//! Each session gets a managed dataspace, paid by the client. When the client touches a page, core signals this component, which fills one of its own frames
//! with what the page contains and puts it in. There are only a few frames: the one that was filled first is taken away from whoever has it
//! and filled anew, so clients can look at far more memory than there is.
//!
//! Word `i` of page `p` is `i` exclusive-or the page's *seed*. Seeds are computed, or, in a pager with a route for memory itself, read from the
//! memory of that other pager, word `p` of page `p`: then answering a fault takes a fault.
//!
//! Nobody may write: whoever does takes a fault.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::{Account, Attached, Capability, Dataspace, Env, Error, Managed, Open, PageFault, log, open};
use core::sync::atomic::Ordering;
use session::core::{SMALL_PAGES, WRITE};
use session::memory::{Client, MemoryRequest};
use session::{Message, Service};

/// Clients at a time.
const SESSIONS: usize = 8;
const PAGE: u32 = 4096;
/// Words of a page.
const WORDS: u32 = PAGE / 4;
/// Frames that pages are made in.
const FRAMES: u32 = 8;
/// Signal of all managed dataspaces.
const FAULT: u32 = 1;
/// Donation to the other pager, beside the size.
const DONATION: u32 = 64 * 1024;
const CAPS: u32 = 8;
/// Bytes of the other pager's memory: most bytes of a session.
const MOST: u32 = 1 << 20;

component::entry!(run);

/// A session.
struct Space {
    /// Not used again by another session.
    number: u32,
    managed: Managed,
    dataspace: Dataspace,
}

/// What is in a frame.
#[derive(Clone, Copy)]
struct Used {
    space: u32,
    offset: u32,
}

struct Pager {
    frames: Dataspace,
    content: Attached,
    used: [Option<Used>; FRAMES as usize],
    /// The frame that is filled next.
    next: u32,
    spaces: u32,
    signal: Capability,
    /// The other pager's memory.
    seeds: Option<Attached>,
}

fn run(_: Env) -> Result<(), Error> {
    let frames = Account::own().create_dataspace(FRAMES * PAGE, SMALL_PAGES)?;
    let content = Attached::new(&frames, WRITE, None)?;
    let signal = Signal::new(FAULT).ok_or(Error::Invalid)?.capability()?;
    let seeds = match open(&Open { ram: DONATION, caps: CAPS, argument: MOST, ..Open::new(Service::Memory) }) {
        Ok(session) => {
            let client = Client::new(session.capability.ok_or(Error::Invalid)?);
            let memory = Dataspace::from_capability(client.dataspace()?)?;
            let attached = Attached::new(&memory, 0, None)?;
            log!("answers faults with what another pager says");
            // Both last as long as this component.
            core::mem::forget(client);
            Some(attached)
        }
        Err(Error::Denied) => None,
        Err(error) => return Err(error),
    };
    let used = [None; FRAMES as usize];
    serve::<_, SESSIONS>(&mut Pager { frames, content, used, next: 0, spaces: 0, signal, seeds })
}

impl Pager {
    fn seed(&self, page: u32) -> u32 {
        match &self.seeds {
            Some(seeds) => {
                let word = seeds.words().get((page * WORDS + page % WORDS) as usize);
                word.map_or(0, |word| word.load(Ordering::Relaxed))
            }
            None => page.wrapping_mul(0x9e37_79b9),
        }
    }

    /// Puts a page in.
    fn answer(&mut self, space: &Space, fault: PageFault) -> Result<(), Error> {
        if fault.write {
            return space.managed.refuse(fault.offset);
        }
        let seed = self.seed(fault.offset / PAGE);
        let frame = self.next;
        self.next = (frame + 1) % FRAMES;
        if let Some(used) = self.used.get_mut(frame as usize) {
            *used = Some(Used { space: space.number, offset: fault.offset });
        }
        for (index, word) in (0..).zip(self.content.words().iter().skip((frame * WORDS) as usize).take(WORDS as usize))
        {
            word.store(index ^ seed, Ordering::Relaxed);
        }
        space.managed.populate(fault.offset, &self.frames, frame * PAGE, PAGE, 0)
    }

    /// Where the frame is that is filled next.
    fn victim(&self) -> Option<Used> {
        self.used.get(self.next as usize).copied().flatten()
    }
}

impl Server for Pager {
    type Session = Space;

    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Space, Error> {
        if request.argument > MOST {
            return Err(Error::Invalid);
        }
        let managed = account.create_managed(request.argument, self.signal.slot())?;
        let dataspace = managed.share(0)?;
        self.spaces = self.spaces.wrapping_add(1);
        Ok(Space { number: self.spaces, managed, dataspace })
    }

    fn close(&mut self, space: Space) {
        for used in &mut self.used {
            *used = used.filter(|used| used.space != space.number);
        }
    }

    fn request(&mut self, space: &mut Space, message: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        match MemoryRequest::decode(message).ok_or(Error::Invalid)?.0 {
            MemoryRequest::Dataspace => Ok(Answer::capability(space.dataspace.slot(), &[])),
        }
    }

    fn signal(&mut self, _: u32, mut sessions: Sessions<'_, Space>) {
        loop {
            let mut fault = None;
            for space in sessions.iter_mut() {
                if let Ok(Some(found)) = space.managed.next_fault() {
                    fault = Some((space.number, found));
                    break;
                }
            }
            let Some((number, fault)) = fault else { return };
            if let Some(victim) = self.victim().filter(|_| !fault.write) {
                let owner = sessions.iter_mut().find(|space| space.number == victim.space);
                // Somebody else's page is about to be written over: without taking it away first, that one would see this one's.
                if owner.is_some_and(|space| space.managed.evict(victim.offset, PAGE).is_err()) {
                    return;
                }
            }
            let Some(space) = sessions.iter_mut().find(|space| space.number == number) else { return };
            if let Err(error) = self.answer(space, fault) {
                log!("page at {:#x} cannot be put in: {error}", fault.offset);
                let _ = space.managed.refuse(fault.offset);
            }
        }
    }
}
