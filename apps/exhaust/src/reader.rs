//! The reader.

use component::block::Device;
use component::mark::{begin, end};
use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::signal::{self, Signal};
use component::{Account, Capability, Error, Open, log, open};
use session::block::BLOCK;
use session::{Message, Service, timer};

/// Bytes of a read.
const BYTES: u32 = 64 << 10;
const BLOCKS: u32 = BYTES / BLOCK;
/// Least reads, alone and beside the drain.
const READS: u32 = 256;
/// Microseconds of sleep between two reads.
const PAUSE: u64 = 2_000;
const TIME: u32 = 1;

/// Marks of a read without the drain.
const ALONE: u32 = 16;
/// Marks of a read beside it.
const BESIDE: u32 = 17;

struct Reader {
    device: Device,
    timer: timer::Client<Capability>,
    /// Which of the [`READS`] parts of the card is read next.
    part: usize,
    /// Sums of the parts, as they were read alone.
    sums: [u32; READS as usize],
}

/// Reads alone, then waits for the drain and reads beside it.
pub(crate) fn run() -> Result<(), Error> {
    let session = open(&Open::new(Service::Timer))?;
    let timer = timer::Client::new(session.capability.ok_or(Error::Invalid)?);
    timer.connect(Signal::new(TIME).ok_or(Error::Invalid)?.capability()?.slot())?;
    let mut reader = Reader { device: Device::open(BYTES)?, timer, part: 0, sums: [0; READS as usize] };
    for part in 0..READS as usize {
        reader.pause()?;
        begin::<ALONE>();
        let read = reader.read();
        end::<ALONE>();
        if let Some(sum) = reader.sums.get_mut(part) {
            *sum = read?;
        }
    }
    log!("{READS} reads of {BYTES} bytes alone");
    serve::<_, 1>(&mut reader)
}

impl Reader {
    /// Reads the next part and adds its words up.
    fn read(&mut self) -> Result<u32, Error> {
        self.device.read(self.part as u32 * BLOCKS, BLOCKS, 0, 0)?;
        self.device.wait()?.result?;
        self.part = (self.part + 1) % READS as usize;
        let (words, _) = self.device.view(0, BYTES)?.as_chunks();
        Ok(words.iter().fold(0, |sum, word| sum.wrapping_mul(31).wrapping_add(u32::from_le_bytes(*word))))
    }

    /// Sleeps; returns whether the parent has something to say.
    fn pause(&mut self) -> Result<bool, Error> {
        let mut parent = false;
        self.timer.set(self.timer.now()? + PAUSE)?;
        loop {
            let signals = signal::wait();
            parent |= signals & abi::PARENT_SIGNAL != 0;
            if signals & 1 << TIME != 0 {
                return Ok(parent);
            }
        }
    }

    fn beside(&mut self) -> Result<u32, Error> {
        let mut reads = 0;
        let mut over = false;
        while reads < READS || !over {
            over |= self.pause()?;
            let sum = self.sums.get(self.part).copied();
            begin::<BESIDE>();
            let read = self.read();
            end::<BESIDE>();
            if Some(read?) != sum {
                log!("wrong: the card is not what it was");
                return Err(Error::Invalid);
            }
            reads += 1;
        }
        Ok(reads)
    }
}

impl Server for Reader {
    type Session = ();

    fn open(&mut self, _: &OpenRequest, _: Account) -> Result<(), Error> {
        Ok(())
    }

    fn close(&mut self, (): ()) {}

    fn request(&mut self, (): &mut (), _: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        // The drain goes on while the reader reads; its next word is that it closes the session.
        Capability::save_reply()?.reply(&Message::new(0), &[]);
        match self.beside() {
            Ok(reads) => {
                log!("{reads} reads of {BYTES} bytes beside the drain");
                component::exit(0, "")
            }
            Err(error) => {
                log!("failed: {error}");
                component::exit(1, "")
            }
        }
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, ()>) {}
}
