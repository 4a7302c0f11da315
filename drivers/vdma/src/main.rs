//! The AXI VDMA as a Framebuffer and a Capture server.
//!
//! # Theory of operation
//!
//! One client has the screen, one has the camera; who may is the policy's matter. The pictures are made out of the client's donation and given to the engine at their
//! bus addresses, which never leave this component. Nothing is copied: the client draws where the engine reads, and reads where it writes.
//!
//! A screen without buffers of its own shows those of the camera. Its client presents their dataspaces, which it has from whoever has the camera, and core tells
//! whether they are those that were made here. Both channels then have the same memory, so it is given back only when both are stopped.
//!
//! Both channels are state machines that never wait ([`zelkova_vdma::Channel`]); this component feeds them interrupts and, ten times a second, the time. Of a call that waits for
//! a picture the right to answer is kept, one for each session, so that no client waits for another one's frames. It waits a few frames at most: a channel that
//! moves none fails by its own deadline, and then every call that waits is answered. A channel that has failed because its reset did not end recovers when it ends.
//!
//! When a session closes, its channel is stopped first, and only then is its memory given back: the engine touches none of it any more, and the screen is
//! blank. Should the engine not stop, this component ends, so that the device manager, which gets its registers back before the memory is anybody else's, can try.
//!
//! The engine reaches all of memory, as the Zynq-7000 has no IOMMU before it. Whoever runs this component trusts it with memory.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::NonNull;

use component::device::Device;
use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::timer::open_timer;
use component::{Account, Capability, Dataspace, Env, Error, log};
use heapless::Vec;
use mmio::Mmio;
use session::capture::{self, CaptureRequest};
use session::framebuffer::{self, Area, FramebufferRequest, Info, Statistics};
use session::{Message, Service, timer};
use zelkova_vdma::capture::PICTURES;
use zelkova_vdma::config::{Config, Stream};
use zelkova_vdma::{Change, Channel, Direction, FlipError, Mode, Outcome, Queue, State};

/// Clients at a time: one has the screen, one the camera, and others hear that these are taken.
const SESSIONS: usize = 4;
/// Signals.
const DISPLAY: u32 = 1;
const CAMERA: u32 = 2;
const TIME: u32 = 3;
/// Name of the device in the devicetree.
const DEVICE: &str = "vdma0";
const DEVICES_RAM: u32 = 48 * 1024;
const DEVICES_CAPS: u32 = 12;
/// Microseconds between two looks at the time.
const TICK: u32 = 100_000;
/// Looks at the time, a thousandth of a second apart, until an engine that is being stopped is given up.
const STOP_LOOKS: u32 = 100;

component::entry!(run);

/// A picture's memory, which the session's account has paid.
struct Buffer {
    dataspace: Dataspace,
    bus_address: u32,
}

/// What a client has.
enum Kind {
    Screen(Screen),
    Camera(Camera),
}

struct Client {
    kind: Kind,
    info: Info,
    /// Raised at the end of each frame.
    notification: Option<Capability>,
    /// Keeps what the session owns until it is closed.
    _account: Account,
}

#[derive(Default)]
struct Screen {
    statistics: Statistics,
    /// A flip is under way.
    flipping: bool,
    waiting: Option<Waiting>,
    imports: Imports,
}

/// Buffers of the camera that a screen shows.
#[derive(Default)]
struct Imports {
    /// Which session of the camera they belong to.
    session: u32,
    /// Their numbers in that session.
    buffers: Vec<u8, PICTURES>,
}

/// A call that is answered later.
struct Waiting {
    reply: Capability,
    until: Until,
}

/// What a call to a screen waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The flip is over.
    Flipped,
    /// So many frames have been shown.
    Frame(u32),
}

struct Camera {
    queue: Queue,
    waiting: Option<Capability>,
}

/// A channel and its interrupt.
struct Side {
    channel: Channel<Mmio>,
    interrupt: Capability,
    /// A client has it.
    taken: bool,
    /// That client's.
    buffers: Vec<Buffer, PICTURES>,
}

struct Video {
    config: Config,
    display: Side,
    camera: Side,
    device: Device,
    timer: timer::Client<Capability>,
    /// Raised by the timer.
    time: Signal,
    /// The time of the last tick.
    ticked: u64,
    /// Sessions that the camera has had.
    camera_sessions: u32,
    /// The screen shows buffers of the camera.
    shows_camera: bool,
}

fn run(env: Env) -> Result<(), Error> {
    let config = env.checked_config(Config::check)?;
    let time = Signal::new(TIME).ok_or(Error::Invalid)?;
    let timer = open_timer(time)?;
    let device = match Device::open(DEVICE, DEVICES_RAM, DEVICES_CAPS) {
        Err(Error::NotFound) => {
            log!("there is no engine, so nobody has a screen or a camera");
            return Ok(());
        }
        device => device?,
    };
    let registers = device.registers(0)?;
    let base = NonNull::new(registers.pointer().cast()).ok_or(Error::Invalid)?;
    let hardware = config.hardware();
    let side = |direction: Direction, index: u32, signal: u32| {
        let interrupt = device.interrupt(index, Signal::new(signal).ok_or(Error::Invalid)?)?;
        // SAFETY: the registers are attached as device memory for as long as this component lives, and the device is ours alone. Each channel has
        // registers of its own; what they share is written by this one thread.
        let block = unsafe { Mmio::new(base) };
        let channel = Channel::new(block, direction, hardware);
        Ok(Side { channel, interrupt, taken: false, buffers: Vec::new() })
    };
    let display = side(Direction::Read, 0, DISPLAY)?;
    let camera = side(Direction::Write, 1, CAMERA)?;
    let [major, minor] = display.channel.version();
    log!("AXI VDMA {major}.{minor:x}, {} frame stores", hardware.stores);
    let ticked = timer.now()?;
    timer.repeat(TICK)?;
    let mut video =
        Video { config, display, camera, device, timer, time, ticked, camera_sessions: 0, shows_camera: false };
    serve::<_, SESSIONS>(&mut video)
}

impl Video {
    /// A time that is not before now, for interrupts: asking the timer at each of them would cost more than it tells.
    fn latest_now(&self) -> u64 {
        self.ticked + u64::from(TICK) + u64::from(TICK) / 4
    }

    fn info(&self, stream: &Stream, buffers: u32) -> Info {
        let Stream { width, height, format, millihertz } = *stream;
        Info { width, height, stride: self.config.picture(stream).stride, format, buffers, millihertz }
    }

    fn buffers(&self, info: &Info, account: &Account) -> Result<Vec<Buffer, PICTURES>, Error> {
        let mut buffers = Vec::new();
        for _ in 0..info.buffers {
            let made = self.device.dma_buffer(info.bytes(), Some(account.slot()))?;
            let dataspace = Dataspace::from_capability(made.dataspace)?;
            let buffer = Buffer { dataspace, bus_address: made.bus_address };
            buffers.push(buffer).map_err(|_| Error::Invalid)?;
        }
        Ok(buffers)
    }

    fn open_screen(&mut self, buffers: u32, account: Account) -> Result<Client, Error> {
        let stream = self.config.display.ok_or(Error::NotFound)?;
        if buffers != 0 && !(framebuffer::MIN_BUFFERS..=framebuffer::MAX_BUFFERS).contains(&buffers) {
            return Err(Error::Invalid);
        }
        if self.display.taken {
            return Err(Error::Busy);
        }
        let info = self.info(&stream, buffers);
        let memory = self.buffers(&info, &account)?;
        if buffers != 0 {
            let addresses = addresses(&memory);
            let now = self.timer.now()?;
            let picture = self.config.picture(&stream);
            self.display.channel.start(picture, &addresses, Mode::Parked(0), now).map_err(refused)?;
        }
        self.display.taken = true;
        self.display.buffers = memory;
        let kind = Kind::Screen(Screen::default());
        Ok(Client { kind, info, notification: None, _account: account })
    }

    fn open_camera(&mut self, held: u32, account: Account) -> Result<Client, Error> {
        let stream = self.config.camera.ok_or(Error::NotFound)?;
        if !(1..=capture::MAX_HELD).contains(&held) {
            return Err(Error::Invalid);
        }
        if self.camera.taken {
            return Err(Error::Busy);
        }
        let info = self.info(&stream, capture::WRITTEN + held);
        let memory = self.buffers(&info, &account)?;
        let now = self.timer.now()?;
        let picture = self.config.picture(&stream);
        let (queue, _) = Queue::start(&mut self.camera.channel, picture, &addresses(&memory), now).map_err(refused)?;
        self.camera.taken = true;
        self.camera.buffers = memory;
        self.camera_sessions = self.camera_sessions.wrapping_add(1);
        let kind = Kind::Camera(Camera { queue, waiting: None });
        Ok(Client { kind, info, notification: None, _account: account })
    }

    /// Finds a dataspace among the camera's buffers, for a screen to show it.
    fn import(&self, screen: &mut Screen, info: &Info, dataspace: &Capability) -> Result<u32, Error> {
        let (Some(camera), 0) = (self.config.camera, info.buffers) else { return Err(Error::Invalid) };
        if (camera.width, camera.height, camera.format) != (info.width, info.height, info.format) {
            return Err(Error::Invalid);
        }
        if screen.imports.session != self.camera_sessions {
            screen.imports = Imports { session: self.camera_sessions, buffers: Vec::new() };
        }
        for (index, buffer) in (0..).zip(&self.camera.buffers) {
            if buffer.dataspace.is_same(dataspace)? {
                let buffers = &mut screen.imports.buffers;
                if let Some(known) = buffers.iter().position(|known| *known == index) {
                    return Ok(known as u32);
                }
                buffers.push(index).map_err(|_| Error::Invalid)?;
                return Ok(buffers.len() as u32 - 1);
            }
        }
        Err(Error::NotFound)
    }

    /// Shows a buffer of the camera from the next frame on.
    fn flip_to_import(&mut self, screen: &mut Screen, buffer: u8) -> Result<(), Error> {
        let stream = self.config.display.ok_or(Error::NotFound)?;
        let index = *screen.imports.buffers.get(usize::from(buffer)).ok_or(Error::Invalid)?;
        if screen.imports.session != self.camera_sessions {
            return Err(Error::Gone);
        }
        let address = self.camera.buffers.get(usize::from(index)).ok_or(Error::Gone)?.bus_address;
        if self.display.channel.state() == State::Stopped {
            let now = self.timer.now()?;
            let picture = self.config.picture(&stream);
            // In two frame stores: the one that is not shown takes the next picture.
            self.display.channel.start(picture, &[address; 2], Mode::Parked(0), now).map_err(refused)?;
            self.shows_camera = true;
            screen.flipping = false;
            return Ok(());
        }
        self.display.channel.flip_to(address).map_err(flip_error)?;
        screen.flipping = true;
        Ok(())
    }

    /// Passes on what has happened on the display's channel.
    fn on_display(&self, outcome: Outcome, client: &mut Client) {
        let Kind::Screen(screen) = &mut client.kind else { return };
        screen.statistics.frames = screen.statistics.frames.wrapping_add(outcome.frame.into());
        screen.statistics.errors = screen.statistics.errors.saturating_add(outcome.damaged.into());
        let has_failed = matches!(outcome.change, Some(Change::Failed(_)));
        if (outcome.flipped.is_some() || has_failed) && core::mem::take(&mut screen.flipping) {
            screen.statistics.flips = screen.statistics.flips.wrapping_add(1);
        }
        if outcome.change == Some(Change::Recovered) {
            screen.statistics.recoveries = screen.statistics.recoveries.saturating_add(1);
        }
        if let Some(answer) = screen.answer(&self.display.channel)
            && let Some(waiting) = screen.waiting.take()
        {
            waiting.reply.reply(&answer, &[]);
        }
        notify("display", outcome, &self.display.channel, client, outcome.frame);
    }

    /// Passes on what has happened on the camera's channel.
    fn on_camera(&mut self, outcome: Outcome, client: &mut Client) {
        let Kind::Camera(camera) = &mut client.kind else { return };
        let channel = &mut self.camera.channel;
        camera.queue.on_outcome(channel, &outcome);
        if camera.waiting.is_some()
            && let Some(answer) = camera.take(channel)
            && let Some(reply) = camera.waiting.take()
        {
            reply.reply(&answer, &[]);
        }
        let fresh = camera.queue.has_fresh();
        notify("camera", outcome, channel, client, fresh);
    }

    fn flip(&mut self, screen: &mut Screen, info: &Info, [first, origin, size]: [u32; 3]) -> Result<Answer, Error> {
        if Area::from_words([origin, size], info.width, info.height).is_none() || first > 0x1FF {
            return Err(Error::Invalid);
        }
        let wait = first & framebuffer::WAIT != 0;
        if wait && screen.waiting.is_some() {
            return Err(Error::Busy);
        }
        if info.buffers == 0 {
            self.flip_to_import(screen, first as u8)?;
        } else {
            self.display.channel.flip(first as u8).map_err(flip_error)?;
            screen.flipping = true;
        }
        if let Some(error) = standstill(&self.display.channel) {
            screen.flipping = false;
            return Err(error);
        }
        if wait && screen.flipping {
            screen.wait(Until::Flipped, &self.display.channel)
        } else {
            Ok(number(screen.statistics.frames))
        }
    }
}

impl Screen {
    /// The answer to a call that waits, if there is one by now.
    fn answer(&mut self, channel: &Channel<Mmio>) -> Option<Message> {
        if let Some(error) = standstill(channel) {
            return Some(Message::new(error as u32));
        }
        let over = match self.waiting.as_ref()?.until {
            Until::Flipped => !self.flipping,
            Until::Frame(frames) => self.statistics.frames.wrapping_sub(frames) < u32::MAX / 2,
        };
        over.then(|| Message::from_words(0, &[0, self.statistics.frames]))
    }

    /// Lets the caller wait.
    fn wait(&mut self, until: Until, channel: &Channel<Mmio>) -> Result<Answer, Error> {
        if self.waiting.is_some() {
            return Err(Error::Busy);
        }
        if let Some(error) = standstill(channel) {
            return Err(error);
        }
        self.waiting = Some(Waiting { reply: Capability::save_reply()?, until });
        Ok(Answer::Later)
    }
}

impl Camera {
    /// Takes a picture, if there is one. The answer to the call that wants it.
    fn take(&mut self, channel: &mut Channel<Mmio>) -> Option<Message> {
        match self.queue.take(channel) {
            Some(picture) => Some(Message::from_words(0, &[0, picture.into(), self.queue.lost() as u32])),
            None => standstill(channel).map(|error| Message::new(error as u32)),
        }
    }
}

impl Client {
    /// The call that waits is answered: the session is over.
    fn hang_up(&mut self) {
        let reply = match &mut self.kind {
            Kind::Screen(screen) => screen.waiting.take().map(|waiting| waiting.reply),
            Kind::Camera(camera) => camera.waiting.take(),
        };
        if let Some(reply) = reply {
            reply.reply(&Message::new(Error::Gone as u32), &[]);
        }
    }
}

/// The answer to a request that is answered in registers.
fn number(value: u32) -> Answer {
    Answer::words(&[0, value])
}

/// Why a channel moves no frames, if it does not.
fn standstill(channel: &Channel<Mmio>) -> Option<Error> {
    match channel.state() {
        State::Running | State::Resetting => None,
        // A client has it, so it waits for memory: that of the camera, which has not been shown yet or is gone.
        State::Stopped => Some(Error::Gone),
        State::Failed(_) => Some(Error::Device),
    }
}

fn addresses(buffers: &[Buffer]) -> Vec<u32, PICTURES> {
    buffers.iter().map(|buffer| buffer.bus_address).collect()
}

fn flip_error(error: FlipError) -> Error {
    match error {
        FlipError::Pending => Error::Busy,
        FlipError::NoPicture(_) => Error::Invalid,
        FlipError::NotParked => Error::Device,
        FlipError::Picture(error) => refused(error),
    }
}

fn refused(error: zelkova_vdma::SetupError) -> Error {
    log!("{error}");
    Error::Device
}

/// Says what is worth saying, and raises the client's notification if there is news.
fn notify(name: &str, outcome: Outcome, channel: &Channel<Mmio>, client: &Client, news: bool) {
    match outcome.change {
        Some(Change::Recovered) => log!("{name}: reset after an error: {:?}", channel.counters()),
        Some(Change::Failed(failure)) => log!("{name}: {failure}"),
        Some(Change::Stopped) | None => {}
    }
    if (news || outcome.change.is_some())
        && let Some(notification) = &client.notification
    {
        component::gate::signal(notification.slot());
    }
}

/// Stops a channel and waits until it touches no memory any more.
fn stop(side: &mut Side, timer: &timer::Client<Capability>, time: Signal) -> bool {
    let Ok(now) = timer.now() else { return false };
    side.channel.stop(now);
    for _ in 0..STOP_LOOKS {
        match side.channel.state() {
            State::Stopped => return true,
            State::Failed(_) => return false,
            State::Running | State::Resetting => {}
        }
        // The tick comes as well; it does no harm here.
        let Ok(now) = timer.now() else { return false };
        if timer.set(now + 1000).is_err() || time.wait().is_err() {
            return false;
        }
        let Ok(now) = timer.now() else { return false };
        side.channel.on_time(now);
    }
    false
}

impl Server for Video {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Client, Error> {
        let policy = self.config.policy(&request.label).ok_or(Error::Denied)?;
        match request.service {
            Service::Framebuffer if policy.screen => self.open_screen(request.argument, account),
            Service::Capture if policy.camera => self.open_camera(request.argument, account),
            _ => Err(Error::Denied),
        }
    }

    fn close(&mut self, mut client: Client) {
        client.hang_up();
        let mut stopped = true;
        if matches!(client.kind, Kind::Screen(_)) || core::mem::take(&mut self.shows_camera) {
            stopped = stop(&mut self.display, &self.timer, self.time);
        }
        let side = match client.kind {
            Kind::Screen(_) => {
                self.shows_camera = false;
                &mut self.display
            }
            Kind::Camera(_) => {
                stopped &= stop(&mut self.camera, &self.timer, self.time);
                &mut self.camera
            }
        };
        if !stopped {
            // The memory must not be given back while the engine may use it.
            component::exit(1, "the engine does not stop");
        }
        side.taken = false;
        side.buffers.clear();
        // Waiting may have replaced the tick.
        if self.timer.repeat(TICK).is_err() {
            log!("no time any more: errors of the engine will be noticed late");
        }
        drop(client);
    }

    fn request(
        &mut self,
        client: &mut Client,
        message: &Message,
        received: Option<Capability>,
    ) -> Result<Answer, Error> {
        let buffer = |side: &Side, index: u32| {
            let buffer = side.buffers.get(index as usize).ok_or(Error::NotFound)?;
            Ok(Answer::capability(buffer.dataspace.slot(), &[]))
        };
        let Client { kind, info, .. } = client;
        match kind {
            Kind::Screen(screen) => match FramebufferRequest::decode(message).ok_or(Error::Invalid)?.0 {
                FramebufferRequest::Info => Ok(Answer::words(&info.to_words())),
                FramebufferRequest::Buffer { index } => buffer(&self.display, index),
                FramebufferRequest::Flip { buffer, origin, size } => self.flip(screen, info, [buffer, origin, size]),
                FramebufferRequest::Sync => {
                    let next = screen.statistics.frames.wrapping_add(1);
                    screen.wait(Until::Frame(next), &self.display.channel)
                }
                FramebufferRequest::Import => {
                    let dataspace = received.ok_or(Error::Invalid)?;
                    Ok(Answer::words(&[self.import(screen, info, &dataspace)?]))
                }
                FramebufferRequest::Statistics => Ok(Answer::words(&screen.statistics.to_words())),
                FramebufferRequest::Connect => {
                    client.notification = Some(received.ok_or(Error::Invalid)?);
                    Ok(Answer::words(&[]))
                }
            },
            Kind::Camera(camera) => match CaptureRequest::decode(message).ok_or(Error::Invalid)?.0 {
                CaptureRequest::Info => Ok(Answer::words(&info.to_words())),
                CaptureRequest::Buffer { index } => buffer(&self.camera, index),
                CaptureRequest::Take { wait } => {
                    if camera.waiting.is_some() {
                        return Err(Error::Busy);
                    }
                    match camera.take(&mut self.camera.channel) {
                        Some(answer) => Ok(Answer::Now(answer, None)),
                        None if wait == 0 => Err(Error::NotFound),
                        None => {
                            camera.waiting = Some(Capability::save_reply()?);
                            Ok(Answer::Later)
                        }
                    }
                }
                CaptureRequest::Connect => {
                    client.notification = Some(received.ok_or(Error::Invalid)?);
                    Ok(Answer::words(&[]))
                }
            },
        }
    }

    fn signal(&mut self, signals: u32, mut sessions: Sessions<'_, Client>) {
        let tick = signals & 1 << TIME != 0;
        if tick && let Ok(now) = self.timer.now() {
            self.ticked = now;
        }
        let due = |side: &Side, now: u64| tick && side.channel.deadline().is_some_and(|deadline| deadline <= now);
        let (ticked, latest) = (self.ticked, self.latest_now());
        if signals & 1 << DISPLAY != 0 {
            let outcome = self.display.channel.on_interrupt(latest);
            component::gate::irq_ack(self.display.interrupt.slot());
            sessions.iter_mut().for_each(|client| self.on_display(outcome, client));
        }
        if signals & 1 << CAMERA != 0 {
            let outcome = self.camera.channel.on_interrupt(latest);
            component::gate::irq_ack(self.camera.interrupt.slot());
            sessions.iter_mut().for_each(|client| self.on_camera(outcome, client));
        }
        // A channel that was stopped because the camera's memory is gone has no interrupts: calls that wait hear of it now.
        if due(&self.display, ticked) || tick && self.display.taken && standstill(&self.display.channel).is_some() {
            let outcome = self.display.channel.on_time(ticked);
            sessions.iter_mut().for_each(|client| self.on_display(outcome, client));
        }
        if due(&self.camera, ticked) {
            let outcome = self.camera.channel.on_time(ticked);
            sessions.iter_mut().for_each(|client| self.on_camera(outcome, client));
        }
    }
}
