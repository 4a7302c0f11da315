//! The one to whom nothing may happen.

use component::block::Device;
use component::server::{Answer, Fast, OpenRequest, Server, Sessions, serve};
use component::{Account, Attached, Capability, Error, Open, exit, log, open};
use session::block::BLOCK;
use session::core::{AccountInfo, WRITE};
use session::echo::ECHO;
use session::{Message, Service, timer};

use crate::{CHECK, GOING};

/// Clients at a time.
const SESSIONS: usize = 8;
/// Bytes of memory that must stay what they are.
const MEMORY: u32 = 64 * 1024;
/// Blocks of the card that are read each time, and the session's buffer.
const BLOCKS: u32 = 16;
const BUFFER: u32 = BLOCKS * BLOCK;
const CLOCK_CAPS: u32 = 4;

/// What there is to look at.
struct Belongings {
    memory: Attached,
    device: Device,
    clock: timer::Client<Capability>,
    /// What the card held at first.
    card: [u8; BUFFER as usize],
    /// What the account held at first.
    account: AccountInfo,
    time: u64,
}

struct Witness {
    belongings: Belongings,
    checks: u32,
    sessions: u32,
    /// The hostile component has said that it goes.
    last: bool,
}

pub(crate) fn run() -> Result<(), Error> {
    log!("a witness");
    let clock = open(&Open { caps: CLOCK_CAPS, ..Open::new(Service::Timer) })?;
    let clock = timer::Client::new(clock.capability.ok_or(Error::Invalid)?);
    let memory = Attached::new(&Account::own().create_dataspace(MEMORY, 0)?, WRITE, None)?;
    for (word, index) in memory.words().iter().zip(0..) {
        word.store(pattern(index), core::sync::atomic::Ordering::Relaxed);
    }
    let mut device = Device::open(BUFFER)?;
    let mut card = [0; BUFFER as usize];
    card.copy_from_slice(read(&mut device)?);
    let time = clock.now()?;
    let account = Account::own().info()?;
    let belongings = Belongings { memory, device, clock, card, account, time };
    serve::<_, SESSIONS>(&mut Witness { belongings, checks: 0, sessions: 0, last: false })
}

/// A word that depends on its place.
const fn pattern(index: u32) -> u32 {
    index.wrapping_mul(0x9e37_79b9) ^ 0x5555_5555
}

fn read(device: &mut Device) -> Result<&[u8], Error> {
    device.read(0, BLOCKS, 0, 7)?;
    let completion = device.wait()?;
    completion.result?;
    if completion.tag != 7 {
        return Err(Error::Kernel);
    }
    device.view(0, BUFFER)
}

impl Belongings {
    /// What is not as it was.
    fn damage(&mut self) -> Result<Option<&'static str>, Error> {
        let now = self.clock.now()?;
        if now < self.time {
            return Ok(Some("the clock"));
        }
        self.time = now;
        let mut words = self.memory.words().iter().zip(0..);
        if !words.all(|(word, index)| word.load(core::sync::atomic::Ordering::Relaxed) == pattern(index)) {
            return Ok(Some("the memory"));
        }
        if read(&mut self.device)? != self.card {
            return Ok(Some("the card"));
        }
        let AccountInfo { ram_peak, caps_peak, .. } = self.account;
        let account = AccountInfo { ram_peak, caps_peak, ..Account::own().info()? };
        Ok((account != self.account).then_some("the account"))
    }
}

impl Witness {
    /// Looks around; ends the component if anything is wrong.
    fn check(&mut self) {
        self.checks += 1;
        match self.belongings.damage() {
            Ok(None) => {}
            Ok(Some(what)) => {
                log!("wrong: {what} is not as it was, at check {}", self.checks);
                exit(1, "harmed");
            }
            Err(error) => {
                log!("wrong: a service has stopped, at check {}: {error:?}", self.checks);
                exit(1, "harmed");
            }
        }
    }
}

impl Server for Witness {
    type Session = ();

    fn open(&mut self, _: &OpenRequest, _: Account) -> Result<(), Error> {
        self.sessions += 1;
        Ok(())
    }

    fn close(&mut self, (): ()) {
        self.sessions -= 1;
        if self.last && self.sessions == 0 {
            self.check();
            log!("witness: {} checks; account, memory, card and clock are as they should be", self.checks);
            exit(0, "unharmed");
        }
    }

    fn fast(&mut self, (): &mut (), label: u32, words: [u32; 4]) -> Option<Fast> {
        if label != ECHO {
            return None;
        }
        if words == CHECK {
            self.check();
        }
        self.last |= words == GOING;
        Some(Fast::Answer(words))
    }

    fn request(&mut self, (): &mut (), _: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        Err(Error::Invalid)
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, ()>) {}
}
