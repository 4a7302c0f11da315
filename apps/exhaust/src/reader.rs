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
const PAUSE: u64 = 200;
const TIME: u32 = 1;

/// Marks of a read without the drain.
const ALONE: u32 = 16;
/// Marks of a read beside it.
const BESIDE: u32 = 17;

struct Reader {
    device: Device,
    timer: timer::Client<Capability>,
    block: u32,
    read: u32,
}

/// Reads alone, then waits for the drain and reads beside it.
pub(crate) fn run() -> Result<(), Error> {
    let session = open(&Open::new(Service::Timer))?;
    let timer = timer::Client::new(session.capability.ok_or(Error::Invalid)?);
    timer.connect(Signal::new(TIME).ok_or(Error::Invalid)?.capability()?.slot())?;
    let mut reader = Reader { device: Device::open(BYTES)?, timer, block: 0, read: 0 };
    for _ in 0..READS {
        reader.pause()?;
        begin::<ALONE>();
        let read = reader.read();
        end::<ALONE>();
        read?;
    }
    log!("{READS} reads of {BYTES} bytes alone");
    serve::<_, 1>(&mut reader)
}

impl Reader {
    fn read(&mut self) -> Result<(), Error> {
        self.device.read(self.block, BLOCKS, 0, self.read)?;
        let completion = self.device.wait()?;
        self.block = (self.block + BLOCKS) % (self.device.info().blocks - BLOCKS);
        self.read += 1;
        completion.result
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
            begin::<BESIDE>();
            let read = self.read();
            end::<BESIDE>();
            read?;
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
