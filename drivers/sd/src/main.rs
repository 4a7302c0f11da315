//! The SD card as a Block server.
//!
//! # Theory of operation
//!
//! The driver is a state machine that never waits ([`sd::driver`](zelkova_sd)); this component feeds it interrupts and time. Requests lie in
//! the rings of the sessions; one at a time is given to the card, taking the sessions in turn. A client that waits is [held](component::server::Fast::Hold)
//! until one of its requests has ended: calls of others queue up meanwhile, but the requests in their rings have their turn. Data moves between the card and the
//! client's buffer by ADMA2: this component neither maps the buffer nor copies.
//!
//! While the card is brought up, deadlines are kept exactly. Afterwards asking the timer for each request would cost more than the
//! request itself: instead a timeout every second looks for requests that are overdue. Their deadlines are computed from the
//! latest time that it can be, so that none is ever too early.
//!
//! Each session sees the window of the card that the policy for its label gives it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

use component::device::Device;
use component::server::{Answer, Fast, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::timer::open_timer;
use component::{Account, Attached, Capability, Dataspace, Env, Error, log};
use mmio::Mmio;
use session::block::{BLOCK, BlockRequest, Completion, ENTER, Operation, RING_WORDS, Request, SLOTS, ServerRings};
use session::core::{SMALL_PAGES, UNCACHED, WRITE};
use session::{Label, Message, timer};
use zelkova_sd::adma::{DescriptorTable, Segment};
use zelkova_sd::card::Card;
use zelkova_sd::config::{Config, Window};
use zelkova_sd::driver::{Direction, Driver, Event, Transfer};

/// Clients at a time.
const SESSIONS: usize = 8;
const INTERRUPT: u32 = 1;
const TIME: u32 = 2;
const DEVICE: &str = "mmc0";
/// Own DMA memory: one page of descriptors, 32 MiB a request.
const DESCRIPTOR_BYTES: u32 = 4096;
const DEVICES_RAM: u32 = 48 * 1024;
const DEVICES_CAPS: u32 = 10;
/// Microseconds between two looks at requests under way.
const TICK: u32 = 1_000_000;
/// Times that a card that failed is tried again, a tick apart.
const RETRIES: u32 = 3;
/// Largest buffer of a session.
const MAX_BUFFER: u32 = 4 << 20;

component::entry!(run);

struct Client {
    number: u32,
    label: Label,
    /// What it may see of the card in the slot.
    window: Option<Window>,
    rings: ServerRings,
    ring_memory: Attached,
    ring_dataspace: Dataspace,
    buffer: Capability,
    buffer_address: u32,
    buffer_bytes: u32,
    /// Keeps what the session owns until it is closed.
    _account: Account,
}

/// The request that the card is working on.
struct Current {
    client: u32,
    tag: u32,
}

struct Disk<'a> {
    driver: Driver<'a, Mmio>,
    device: Device,
    timer: timer::Client<Capability>,
    interrupt: Capability,
    config: Config,
    current: Option<Current>,
    /// The time of the last tick.
    ticked: u64,
    ready: bool,
    retries: u32,
    clients: u32,
    /// The client whose turn it is.
    turn: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config = configuration(&env)?;
    let timer = open_timer(Signal::new(TIME).ok_or(Error::Invalid)?)?;
    let device = Device::open(DEVICE, DEVICES_RAM, DEVICES_CAPS)?;
    let table = device.dma_buffer(DESCRIPTOR_BYTES, None)?;
    let table_address = table.bus_address;
    // Uncached: the host controller reads the descriptors past the cache.
    let table = Attached::new(&Dataspace::from_capability(table.dataspace)?, WRITE | UNCACHED, None)?;
    let registers = device.registers(0)?;
    let base = NonNull::new(registers.pointer().cast()).ok_or(Error::Invalid)?;
    // SAFETY: the registers are attached as device memory for as long as this component lives, and the device is ours alone.
    let block = unsafe { Mmio::new(base) };
    let interrupt = device.interrupt(0, Signal::new(INTERRUPT).ok_or(Error::Invalid)?)?;
    let driver = Driver::new(block, DescriptorTable::new(table.words(), table_address), device.found().clock);
    let mut disk = Disk {
        driver,
        device,
        timer,
        interrupt,
        config,
        current: None,
        ticked: 0,
        ready: false,
        retries: 0,
        clients: 0,
        turn: 0,
    };
    disk.bring_up()?;
    serve::<_, SESSIONS>(&mut disk)
}

/// A frame of its own, as large values move around while the text is read.
#[inline(never)]
fn configuration(env: &Env) -> Result<Config, Error> {
    env.checked_config(Config::check)
}

impl Disk<'_> {
    /// Brings the card up before any client is served: they want to know how large it is.
    fn bring_up(&mut self) -> Result<(), Error> {
        let mut event = self.driver.start(self.timer.now()?);
        loop {
            match event {
                Some(Event::Ready(card)) => {
                    self.announce(&card);
                    return self.timer.repeat(TICK);
                }
                Some(Event::NoCard) => {
                    log!("no card in the slot");
                    return self.timer.repeat(TICK);
                }
                Some(Event::Failed(error)) if self.retries >= RETRIES => {
                    log!("{error}");
                    return self.timer.repeat(TICK);
                }
                Some(Event::Failed(error)) => {
                    log!("{error}; trying again");
                    self.retries += 1;
                    event = self.driver.start(self.timer.now()?);
                    continue;
                }
                Some(Event::Done(_)) | None => {}
            }
            if let Some(deadline) = self.driver.deadline() {
                self.timer.set(deadline)?;
            }
            let signals = component::signal::wait();
            let now = self.timer.now()?;
            event = if signals & 1 << INTERRUPT != 0 {
                let event = self.driver.on_interrupt(now);
                component::gate::irq_ack(self.interrupt.slot());
                event
            } else {
                self.driver.on_time(now)
            };
        }
    }

    fn announce(&mut self, card: &Card) {
        self.ready = true;
        self.retries = 0;
        log!(
            "{} blocks, {:?} addresses, {} bit, {}{}",
            card.blocks,
            card.addressing,
            if card.four_bit { 4 } else { 1 },
            if card.high_speed { "high speed" } else { "default speed" },
            if card.read_only { ", write-protected" } else { "" }
        );
    }

    /// A time that is not before now.
    fn latest_now(&self) -> u64 {
        self.ticked + u64::from(TICK) + u64::from(TICK) / 4
    }

    /// The part of the card that a client may see.
    fn window(&self, label: &Label) -> Result<Window, Error> {
        let policy = self.config.policy(label).ok_or(Error::Denied)?;
        let card = self.driver.card().ok_or(Error::Device)?;
        policy.window(card.blocks, card.read_only).map_err(|error| {
            log!("{label}: {error}");
            Error::Denied
        })
    }

    /// Gives the card the next request, if it has none.
    #[inline]
    fn pump(&mut self, sessions: &mut Sessions<'_, Client>) {
        while self.current.is_none() {
            // Those behind the turn first, so that nobody is forgotten.
            let turn = self.turn;
            let waits = |client: &&mut Client| !client.rings.is_idle(client.ring_memory.words());
            let next = sessions.iter_mut().filter(waits).min_by_key(|client| (client.number <= turn, client.number));
            let Some(next) = next else { return };
            self.turn = next.number;
            self.begin(next);
        }
    }

    /// Gives the card a request of `client`, if it has none.
    #[inline]
    fn begin(&mut self, client: &mut Client) {
        // Requests that are wrong end at once. Bounded, as the client may make more of them all the time.
        for _ in 0..SLOTS {
            if self.current.is_some() {
                return;
            }
            let Some(request) = client.rings.next(client.ring_memory.words()) else { return };
            if let Err(error) = self.start(client, request) {
                client.complete(Completion { tag: request.tag, result: Err(error) });
            }
        }
    }

    /// Whether a request of `client` is under way, or waits.
    fn is_busy_for(&self, client: &Client) -> bool {
        self.current.as_ref().is_some_and(|current| current.client == client.number)
            || !client.rings.is_idle(client.ring_memory.words())
    }

    #[inline]
    fn start(&mut self, client: &Client, request: Request) -> Result<(), Error> {
        if !self.ready {
            return Err(Error::Device);
        }
        let operation = request.operation.ok_or(Error::Invalid)?;
        let write = operation == Operation::Write;
        let bytes = request.count.checked_mul(BLOCK).ok_or(Error::Invalid)?;
        let end = request.offset.checked_add(bytes).ok_or(Error::Invalid)?;
        if end > client.buffer_bytes || !request.offset.is_multiple_of(4) {
            return Err(Error::Invalid);
        }
        let window = client.window.as_ref().ok_or(Error::Device)?;
        let block = window.translate(request.block.into(), request.count, write).map_err(|_| Error::Denied)?;
        let transfer = Transfer {
            block: u32::try_from(block).map_err(|_| Error::Invalid)?,
            count: request.count,
            direction: if write { Direction::Write } else { Direction::Read },
            segments: &[Segment { address: client.buffer_address + request.offset, length: bytes }],
        };
        let now = self.latest_now();
        self.driver.submit(&transfer, now).map_err(|error| {
            log!("{error}");
            Error::Invalid
        })?;
        self.current = Some(Current { client: client.number, tag: request.tag });
        Ok(())
    }

    #[inline]
    fn handle(&mut self, event: Event, sessions: &mut Sessions<'_, Client>) {
        match event {
            Event::Done(result) => {
                let result = result.map_err(|error| {
                    log!("{error}");
                    Error::Device
                });
                if let Some(Current { client, tag }) = self.current.take()
                    && let Some(client) = sessions.iter_mut().find(|other| other.number == client)
                {
                    client.complete(Completion { tag, result });
                }
            }
            Event::Ready(card) => {
                self.announce(&card);
                for client in sessions.iter_mut() {
                    client.window = self.window(&client.label).ok();
                }
            }
            Event::NoCard => {
                self.ready = false;
                sessions.iter_mut().for_each(|client| client.window = None);
                log!("the card has been removed");
            }
            Event::Failed(error) => {
                self.ready = false;
                log!("{error}");
            }
        }
    }

    fn tick(&mut self, sessions: &mut Sessions<'_, Client>) {
        let Ok(now) = self.timer.now() else { return };
        self.ticked = now;
        if self.driver.deadline().is_some_and(|deadline| deadline <= now)
            && let Some(event) = self.driver.on_time(now)
        {
            self.handle(event, sessions);
        }
    }
}

impl Client {
    /// Reports the end of a request.
    #[inline]
    fn complete(&mut self, completion: Completion) {
        self.rings.complete(self.ring_memory.words(), completion);
    }
}

impl Server for Disk<'_> {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Client, Error> {
        let window = self.window(&request.label)?;
        let wanted = request.argument;
        if !wanted.is_power_of_two() || !(4096..=MAX_BUFFER).contains(&wanted) {
            return Err(Error::Invalid);
        }
        let buffer = self.device.dma_buffer(wanted, Some(account.slot()))?;
        let ring_dataspace =
            account.create_dataspace(RING_WORDS as u32 * size_of::<AtomicU32>() as u32, SMALL_PAGES)?;
        let ring_memory = Attached::new(&ring_dataspace, WRITE, Some(&account))?;
        self.clients = self.clients.wrapping_add(1).max(1);
        Ok(Client {
            number: self.clients,
            label: request.label.clone(),
            window: Some(window),
            rings: ServerRings::new(),
            ring_memory,
            ring_dataspace,
            buffer: buffer.dataspace,
            buffer_address: buffer.bus_address,
            buffer_bytes: buffer.bytes,
            _account: account,
        })
    }

    fn close(&mut self, client: Client) {
        // The card must not write to memory that is about to belong to somebody else: a transfer that is under way is waited for, by the
        // driver's own deadlines.
        while self.current.as_ref().is_some_and(|current| current.client == client.number) {
            let signals = component::signal::wait();
            let Ok(now) = self.timer.now() else { break };
            let event = if signals & 1 << INTERRUPT != 0 {
                let event = self.driver.on_interrupt(now);
                component::gate::irq_ack(self.interrupt.slot());
                event
            } else if self.driver.deadline().is_some_and(|deadline| deadline <= now) {
                self.driver.on_time(now)
            } else {
                None
            };
            if matches!(event, Some(Event::Done(_) | Event::Failed(_) | Event::NoCard)) {
                self.current = None;
            }
        }
        drop(client);
    }

    #[inline(always)]
    fn fast(&mut self, client: &mut Client, label: u32, [wait, ..]: [u32; 4]) -> Option<Fast> {
        if label != ENTER {
            return None;
        }
        self.begin(client);
        Some(match self.held(client) {
            Some(words) => Fast::Answer(words),
            None if wait == 0 => Fast::Answer([0; 4]),
            None => Fast::Hold,
        })
    }

    #[inline(always)]
    fn held(&mut self, client: &mut Client) -> Option<[u32; 4]> {
        if client.rings.has_completions(client.ring_memory.words()) {
            Some([1, 0, 0, 0])
        } else if self.is_busy_for(client) {
            None
        } else {
            Some([0; 4])
        }
    }

    fn request(&mut self, client: &mut Client, message: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        match BlockRequest::decode(message).ok_or(Error::Invalid)?.0 {
            BlockRequest::Info => {
                let window = client.window.as_ref().ok_or(Error::Device)?;
                let blocks = u32::try_from(window.blocks).unwrap_or(u32::MAX);
                Ok(Answer::words(&[blocks, window.writeable.into(), client.buffer_bytes]))
            }
            BlockRequest::Rings => Ok(Answer::capability(client.ring_dataspace.slot(), &[])),
            BlockRequest::Buffer => Ok(Answer::capability(client.buffer.slot(), &[])),
            // A client of this protocol sends it in registers.
            BlockRequest::Enter { .. } => Err(Error::Invalid),
        }
    }

    #[inline]
    fn signal(&mut self, signals: u32, mut sessions: Sessions<'_, Client>) {
        if signals & 1 << INTERRUPT != 0 {
            let now = self.latest_now();
            let event = self.driver.on_interrupt(now);
            component::gate::irq_ack(self.interrupt.slot());
            if let Some(event) = event {
                self.handle(event, &mut sessions);
            }
        }
        if signals & 1 << TIME != 0 {
            self.tick(&mut sessions);
        }
        self.pump(&mut sessions);
    }
}
