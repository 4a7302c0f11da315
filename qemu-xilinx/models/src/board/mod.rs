//! The emulated part of the board: devices, nets, I2C buses, and what happens from outside.
//!
//! # Theory of operation
//!
//! [`Board::new`] puts the devices together that a [`Description`] asks for. Each has a [`Region`] of registers; whoever owns the board, an
//! emulator or a host test, passes accesses in with the time, calls [`Board::advance`] no later than [`Board::next_event`] says, and forwards
//! [`Board::interrupts`].
//!
//! *Nets* connect the devices with each other and with the outside. An MIO pin is on the net of the same number; what reaches it is the device
//! that the pin's register in the SLCR selects, unless that register makes it an input. An EMIO pin of the GPIO controller is on a net
//! as well, as far as the level shifters are on, and the PL may lead that net to a pad. Pads that AXI GPIO controllers serve are nets of their
//! own. The level is what the drivers make; where nobody drives, a resistor on the board, then the pin's pull-up in the chip, else low. Two that
//! drive against each other make it low, and that is complained about. Every change is kept with its time.
//!
//! *Gates*: a block whose bus clock is off, or that the SLCR holds in reset, does not answer: reads are 0, writes vanish, and it is
//! complained about. Reset loses the block's state. The same holds for what is in the PL before that is configured, on a board that starts from its card.
//!
//! *Events* happen at given times, or a given time behind a console line ([`Board::console`]), and depend on nothing else: the same accesses at the same
//! times give the same board.
//!
//! # What it does not do
//!
//! Times on wires, voltages, and the devices that the emulator models itself: their pins (UART, SD card, Ethernet) are nets that nobody drives.

pub mod command;
pub mod description;
mod nets;
pub mod pattern;
mod power_on;
pub mod report;
pub mod time;
pub mod video;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

pub use command::{Command, CommandError, Net, Reply, SlavePath};
pub use description::{Bitstream, Description, DescriptionError, Event, Fabric};
pub use pattern::Pattern;
pub use power_on::MemoryMap;
pub use report::{Edge, History, Report};
pub use time::Time;
pub use video::{DisplayReport, Video};

use crate::axi_gpio::{AxiGpio, CHANNEL_2, Channel};
use crate::ddrc::Ddrc;
use crate::devcfg::Devcfg;
use crate::frames::Watch;
use crate::gpio::{EMIO, Gpio};
use crate::i2c::{self, Bus, Controller, Fault, Kind};
use crate::l2cc::L2cc;
use crate::memory::NoMemory;
use crate::scu::Scu;
use crate::sdhci::Sdhci;
use crate::slcr::{self, Function, Gate, Slcr};
use crate::ttc::Ttc;
use crate::vdma::Vdma;
use crate::video::{Frame, Sink, adv7511};
use crate::{Device, Drive, Memory, Width};
use description::{EMIO_PINS, FABRIC, MIO_PINS};
use nets::{Nets, Pull, emio};

/// The SLCR's number among the regions.
const SLCR: usize = 0;
/// So often one and the same complaint is passed on.
const REPEATED: u32 = 20;
/// So many different complaints are kept for the report.
const KEPT: usize = 1000;
/// Longest console line that is looked at.
const LINE: usize = 16 * 1024;
/// So many times the nets are worked out anew for one change. What has not settled by then oscillates.
const ROUNDS: u32 = 100;

/// A block of registers in the address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Name, as in complaints.
    pub name: String,
    /// Its first address.
    pub base: u32,
    /// Its length in bytes.
    pub length: u32,
    /// For each of the device's interrupt lines, the GIC's number of it.
    pub interrupts: Vec<u32>,
}

/// A device besides the SLCR.
#[derive(Debug)]
enum Chip {
    Gpio(Gpio),
    I2c(Controller),
    AxiGpio(AxiGpio),
    L2cc(L2cc),
    Ttc(Ttc),
    Sd(Box<Sdhci>),
    Ddrc(Ddrc),
    Devcfg(Devcfg),
    Scu(Scu),
    Vdma(Box<Vdma>),
}

impl Chip {
    fn device(&self) -> &dyn Device {
        match self {
            Self::Gpio(device) => device,
            Self::I2c(device) => device,
            Self::AxiGpio(device) => device,
            Self::L2cc(device) => device,
            Self::Ttc(device) => device,
            Self::Sd(device) => &**device,
            Self::Ddrc(device) => device,
            Self::Devcfg(device) => device,
            Self::Scu(device) => device,
            Self::Vdma(device) => device.as_ref(),
        }
    }

    fn device_mut(&mut self) -> &mut dyn Device {
        match self {
            Self::Gpio(device) => device,
            Self::I2c(device) => device,
            Self::AxiGpio(device) => device,
            Self::L2cc(device) => device,
            Self::Ttc(device) => device,
            Self::Sd(device) => &mut **device,
            Self::Ddrc(device) => device,
            Self::Devcfg(device) => device,
            Self::Scu(device) => device,
            Self::Vdma(device) => device.as_mut(),
        }
    }

    fn reset(&mut self, now: u64) {
        match self {
            Self::Gpio(device) => device.reset(),
            Self::I2c(device) => device.reset(now),
            Self::AxiGpio(device) => device.reset(),
            Self::L2cc(device) => device.reset(),
            Self::Vdma(device) => device.reset(),
            // Its clock is set whenever the SLCR changes, which a reset is.
            Self::Ttc(device) => *device = Ttc::new(0),
            Self::Sd(device) => device.power_on_reset(),
            Self::Ddrc(device) => device.reset(),
            Self::Devcfg(device) => device.reset(),
            Self::Scu(device) => device.reset(),
        }
    }
}

/// A device, where it is, and what the SLCR calls it.
#[derive(Debug)]
struct Block {
    region: Region,
    chip: Chip,
    gate: Option<slcr::Block>,
    /// For each signal of a device in the PL, its net.
    pads: Vec<Option<usize>>,
}

/// A device on a net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    block: usize,
    signal: u32,
    /// What the device does with its signal reaches the net.
    drives: bool,
}

/// An I2C bus with slaves.
#[derive(Debug)]
struct Line {
    name: String,
    /// Its controller: 0 or 1.
    controller: u8,
    /// The block that it is.
    block: usize,
    /// SCL and SDA, if they are MIO pins.
    mio: Option<(u8, u8)>,
    /// SCL and SDA.
    nets: [usize; 2],
    /// What others than the bus do with SCL and SDA.
    foreign: [bool; 2],
    /// The controller has the bus; else the bus is in `other`, and the controller has an empty one.
    connected: bool,
    other: Bus,
}

/// A command that will be executed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    /// Commands of one time are executed in this order.
    order: u64,
    action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// The description's event of that number.
    Event(usize),
    /// A contact that bounces: the net and its level.
    Contact(usize, bool),
}

/// The emulated part of a board.
#[derive(Debug)]
pub struct Board {
    description: Description,
    slcr: Slcr,
    slcr_region: Region,
    blocks: Vec<Block>,
    lines: Vec<Line>,
    nets: Nets,
    /// Who is on each net.
    connections: Vec<Vec<Connection>>,
    /// The pull-ups in the chip, by net.
    pulls: Vec<Pull>,
    due: BTreeSet<Due>,
    orders: u64,
    /// The description's events that wait for a console line.
    waiting: Vec<usize>,
    line: Vec<u8>,
    complaints: Vec<String>,
    /// How often each was made.
    made: BTreeMap<String, u32>,
    reset_requested: bool,
    /// It is to be switched off.
    off: bool,
    /// The board has been reset by software, so the next reset is not its first.
    reset_by_software: bool,
    frozen: Option<Report>,
    power_on: power_on::PowerOn,
    /// What a person had seen last then.
    frozen_seen: Option<Frame>,
    /// Who touches the memory of pictures, if that is watched.
    watch: Option<Watch>,
    /// The slave that must be set up before the display shows anything.
    transmitter: Option<SlavePath>,
}

/// The video design in the PL, if there is one.
fn video_block(fabric: &Fabric) -> Result<Option<Block>, DescriptionError> {
    let Some(video) = &fabric.video else { return Ok(None) };
    let device = video.build()?;
    let region = region("vdma", video.base, device.length(), &[video.read_interrupt, video.write_interrupt]);
    Ok(Some(Block { region, chip: Chip::Vdma(Box::new(device)), gate: None, pads: Vec::new() }))
}

fn region(name: &str, base: u32, length: u32, interrupts: &[u32]) -> Region {
    Region { name: name.to_owned(), base, length, interrupts: interrupts.to_vec() }
}

impl Board {
    /// Puts a board together, as it is after power-on and what [`Description::preset`] says.
    ///
    /// # Errors
    /// The description contradicts itself or names what does not exist.
    pub fn new(description: &Description) -> Result<Self, DescriptionError> {
        let fabric = description.bitstream.fabric();
        fabric.check()?;
        let slcr = Slcr::new(slcr::Options::ZEDBOARD);
        let mut nets = Nets::new();
        for (number, name, pull) in [(7, "LD9", Pull::None), (50, "PB1", Pull::Down), (51, "PB2", Pull::Down)] {
            nets.name(number, name, pull);
        }
        for (pad, &pin) in &fabric.emio {
            nets.name(emio(pin), pad, Pull::Down);
        }
        let mut blocks = Vec::new();
        let mut add = |region: Region, chip: Chip, gate: Option<slcr::Block>, pads: Vec<Option<usize>>| {
            blocks.push(Block { region, chip, gate, pads });
        };
        let gpio = Gpio::new();
        add(region("gpio", 0xE000_A000, gpio.length(), &[52]), Chip::Gpio(gpio), Some(slcr::Block::Gpio), Vec::new());
        let mut lines = Vec::new();
        if let Some(name) = description.i2c.keys().find(|name| !["i2c0", "i2c1"].contains(&name.as_str())) {
            return Err(DescriptionError::Controller(name.clone()));
        }
        let controllers = [("i2c0", 0xE000_4000, 57, slcr::Block::I2c0), ("i2c1", 0xE000_5000, 80, slcr::Block::I2c1)];
        for (controller, (name, base, interrupt, gate)) in (0..).zip(controllers) {
            let device = Controller::new(0, Bus::new());
            add(region(name, base, device.length(), &[interrupt]), Chip::I2c(device), Some(gate), Vec::new());
            let Some(described) = description.i2c.get(name) else { continue };
            let mio = described.mio(name, controller)?;
            let mut net = |pin: u8, signal: &str| match mio {
                Some(_) => nets.pull_up(pin.into()),
                None => nets.add(format!("{name}.{signal}"), Pull::Up),
            };
            let (scl, sda) = mio.unwrap_or_default();
            let nets = [(scl, "scl"), (sda, "sda")].map(|(pin, signal)| net(pin, signal));
            let other = Bus::build(&described.slave, 0)
                .map_err(|error| DescriptionError::Slave { bus: name.to_owned(), error })?;
            lines.push(Line {
                name: name.to_owned(),
                controller,
                block: 1 + usize::from(controller),
                mio,
                nets,
                foreign: [true; 2],
                connected: false,
                other,
            });
        }
        for (name, base, first) in [("ttc0", 0xF800_1000, 42), ("ttc1", 0xF800_2000, 69)] {
            let ttc = Ttc::new(0);
            let region = region(name, base, ttc.length(), &[first, first + 1, first + 2]);
            add(region, Chip::Ttc(ttc), Some(slcr::Block::Ttc), Vec::new());
        }
        let l2cc = L2cc::new();
        add(region("l2cc", 0xF8F0_2000, l2cc.length(), &[34]), Chip::L2cc(l2cc), None, Vec::new());
        for gpio in &fabric.axi_gpio {
            let channel = |pads: &[String]| Channel::inputs(pads.len() as u32);
            let second = (!gpio.channel2.is_empty()).then(|| channel(&gpio.channel2));
            let device = AxiGpio::new(channel(&gpio.channel1), second);
            let mut signals = vec![None; device.signals() as usize];
            for (first, pads) in [(0, &gpio.channel1), (CHANNEL_2 as usize, &gpio.channel2)] {
                for (pad, signal) in pads.iter().zip(signals.iter_mut().skip(first)) {
                    *signal = Some(nets.add(pad.clone(), Pull::Down));
                }
            }
            let interrupts: Vec<u32> = gpio.interrupt.into_iter().collect();
            let region = region(&format!("axi-gpio@{:08x}", gpio.base), gpio.base, device.length(), &interrupts);
            add(region, Chip::AxiGpio(device), None, signals);
        }
        blocks.extend(video_block(&fabric)?);
        blocks.extend(power_on::devices(description.start));
        let slcr_region = region("slcr", 0xF800_0000, slcr.length(), &[]);
        let mut board = Self {
            description: description.clone(),
            slcr,
            slcr_region,
            blocks,
            lines,
            connections: Vec::new(),
            pulls: Vec::new(),
            nets,
            due: BTreeSet::new(),
            orders: 0,
            waiting: Vec::new(),
            line: Vec::new(),
            complaints: Vec::new(),
            made: BTreeMap::new(),
            reset_requested: false,
            off: false,
            reset_by_software: false,
            frozen: None,
            power_on: power_on::PowerOn::default(),
            frozen_seen: None,
            watch: None,
            transmitter: fabric.video.as_ref().map(Video::transmitter).transpose()?.flatten(),
        };
        board.watch_frames();
        board.plan()?;
        board.preset();
        board.configured(0);
        // What a net is before anything happens is no edge.
        board.nets.begin_histories();
        Ok(board)
    }

    /// Watches accesses to pictures, if the description asks for it.
    fn watch_frames(&mut self) {
        let spans = &self.description.frames;
        self.watch = (!spans.is_empty()).then(|| Watch::new(spans));
        if let Some(watch) = self.watch.clone()
            && let Some(vdma) = self.vdma_mut()
        {
            vdma.watch(watch);
        }
    }

    /// Checks the events and plans those that have a time.
    fn plan(&mut self) -> Result<(), DescriptionError> {
        let events = std::mem::take(&mut self.description.event);
        for (index, event) in events.iter().enumerate() {
            let command = event.command.to_string();
            if let Err(why) = self.check(&event.command) {
                return Err(DescriptionError::Event { command, why: why.to_string() });
            }
            match (&event.after, event.at) {
                (Some(_), _) => self.waiting.push(index),
                (None, Some(at)) => self.plan_at(at.0, Action::Event(index)),
                (None, None) => return Err(DescriptionError::When(command)),
            }
        }
        self.description.event = events;
        Ok(())
    }

    fn plan_at(&mut self, at: u64, action: Action) {
        self.due.insert(Due { at, order: self.orders, action });
        self.orders += 1;
    }

    /// Whether everything that a command names is there.
    fn check(&self, command: &Command) -> Result<(), CommandError> {
        match command {
            Command::Drive { net, .. } | Command::Bounce { net, .. } | Command::Level(net) | Command::History(net) => {
                self.net(net).map(drop)
            }
            Command::Set { slave, .. } | Command::Dump(slave) | Command::Fault { slave, .. } => {
                self.label(slave).map(drop)
            }
            Command::Lose { bus, .. } | Command::Wedge(bus) | Command::Free(bus) | Command::Transactions(bus) => {
                self.line(bus).map(drop)
            }
            Command::Card { .. } => self.check_start("SD controller of its own"),
            Command::BreakTraining(_) => self.check_start("memory controller"),
            Command::FailConfiguration(_) => self.check_start("configuration interface"),
            Command::Engine { .. } | Command::FreeEngine(_) => {
                self.vdma().ok_or(CommandError::NoVideo("video DMA engine")).map(drop)
            }
            Command::EarlySync => self.display().ok_or(CommandError::NoVideo("display")).map(drop),
            Command::Camera(_) => {
                let camera = self.vdma().and_then(Vdma::source);
                camera.ok_or(CommandError::NoVideo("camera")).map(drop)
            }
            Command::Report | Command::Off => Ok(()),
        }
    }

    /// The name of a net in the report.
    ///
    /// # Errors
    /// There is no such net.
    pub fn net_name(&self, net: &Net) -> Result<&str, CommandError> {
        let number = self.net(net)?;
        self.nets.states.get(number).map(|state| state.name.as_str()).ok_or_else(|| CommandError::NoNet(net.clone()))
    }

    fn net(&self, net: &Net) -> Result<usize, CommandError> {
        self.nets.find(net).ok_or_else(|| CommandError::NoNet(net.clone()))
    }

    /// Sets the SLCR's registers as what ran before has left them.
    fn preset(&mut self) {
        for preset in &self.description.preset {
            let before = self.slcr.register(preset.offset);
            self.slcr.preset(preset.offset, before & !preset.mask | preset.value & preset.mask);
        }
    }

    /// The register blocks. Their order is that of the numbers that the other functions take.
    pub fn regions(&self) -> Vec<Region> {
        std::iter::once(&self.slcr_region).chain(self.blocks.iter().map(|block| &block.region)).cloned().collect()
    }

    /// The number of the region called `name`.
    pub fn region(&self, name: &str) -> Option<usize> {
        self.regions().iter().position(|region| region.name == name)
    }

    fn block(&mut self, region: usize) -> Option<&mut Block> {
        self.blocks.get_mut(region.checked_sub(1)?)
    }

    /// Whether a block answers. If not, that is complained about.
    fn answers(&mut self, region: usize, access: &str, offset: u32) -> bool {
        let Some(block) = region.checked_sub(1).and_then(|index| self.blocks.get(index)) else { return region == SLCR };
        let gate = block.gate.map_or(Gate::Running, |gate| self.slcr.gate(gate));
        let is_there = !FABRIC.contains(&block.region.base) || self.has_logic();
        let why = match gate {
            Gate::Running if is_there => return true,
            Gate::Running => "the PL is not configured".to_owned(),
            gate => gate.to_string(),
        };
        let complaint = format!("{}: {access} at {offset:#05x} while {why}", block.region.name);
        self.complain(complaint);
        false
    }

    /// Loads from a register. 0 where there is none, or if the device does not answer.
    pub fn read(&mut self, region: usize, offset: u32, width: Width, now: u64) -> u32 {
        if !self.answers(region, "a read", offset) {
            return 0;
        }
        let device: &mut dyn Device = match self.block(region) {
            Some(block) => block.chip.device_mut(),
            None => &mut self.slcr,
        };
        let value = if offset < device.length() { device.read(offset, width, now) } else { 0 };
        self.after(region, now);
        value
    }

    /// Stores to a register. It vanishes where there is none, or if the device does not answer.
    pub fn write(&mut self, region: usize, offset: u32, width: Width, value: u32, now: u64) {
        if !self.answers(region, "a write", offset) {
            return;
        }
        let device: &mut dyn Device = match self.block(region) {
            Some(block) => block.chip.device_mut(),
            None => &mut self.slcr,
        };
        if offset < device.length() {
            device.write(offset, width, value, now);
        }
        if region == SLCR {
            self.configured(now);
        }
        self.after(region, now);
    }

    /// Levels of the region's interrupt lines: bit n is line n.
    pub fn interrupts(&self, region: usize) -> u32 {
        let block = region.checked_sub(1).and_then(|index| self.blocks.get(index));
        block.map_or(0, |block| block.chip.device().interrupts())
    }

    /// When [`Board::advance`] has something to do.
    pub fn next_event(&self) -> Option<u64> {
        let devices = self.blocks.iter().filter_map(|block| block.chip.device().next_event());
        let due = self.due.first().map(|due| due.at);
        let buses = self.lines.iter().filter_map(|line| line.other.next_event());
        devices.chain(due).chain(buses).chain(self.slcr.next_event()).min()
    }

    /// Does everything that is due until `now`, in the order of time.
    pub fn advance(&mut self, now: u64, memory: &mut dyn Memory) {
        let mut stuck = 0;
        let mut last = 0;
        while let Some(at) = self.next_event().filter(|at| *at <= now) {
            // A device that asks for the same moment again and again would keep the board there for ever.
            stuck = if at == last { stuck + 1 } else { 0 };
            last = at;
            if stuck > ROUNDS {
                break;
            }
            self.slcr.advance(at, memory);
            self.look_at_transmitter();
            for block in &mut self.blocks {
                let device = block.chip.device_mut();
                if device.next_event().is_some_and(|event| event <= at) {
                    device.advance(at, memory);
                }
            }
            for line in &mut self.lines {
                line.other.advance(at);
            }
            self.settle(at);
            self.collect();
            while let Some(due) = self.due.first().filter(|due| due.at <= at).cloned() {
                self.due.remove(&due);
                self.act(&due.action, at);
            }
        }
    }

    fn act(&mut self, action: &Action, now: u64) {
        match *action {
            Action::Contact(net, level) => self.drive(net, if level { Drive::High } else { Drive::Low }, now),
            Action::Event(index) => {
                let Some(event) = self.description.event.get(index).cloned() else { return };
                if let Err(error) = self.command(&event.command, now) {
                    self.complain(format!("board: event `{}`: {error}", event.command));
                }
            }
        }
    }

    /// Executes a command.
    ///
    /// # Errors
    /// It names what this board does not have, or asks for what it cannot do.
    pub fn command(&mut self, command: &Command, now: u64) -> Result<Reply, CommandError> {
        match command {
            Command::Drive { net, drive } => {
                let net = self.net(net)?;
                self.still(net);
                self.drive(net, *drive, now);
            }
            Command::Bounce { net, level, span } => {
                let net = self.net(net)?;
                self.still(net);
                self.bounce(net, *level, span.0, now);
            }
            Command::Level(net) => {
                let history = self.nets.states.get(self.net(net)?).map(|state| state.history.level);
                return Ok(Reply::Level(history.unwrap_or_default()));
            }
            Command::History(net) => {
                let history = self.nets.states.get(self.net(net)?).map(|state| state.history.clone());
                return Ok(Reply::History(history.unwrap_or_default()));
            }
            Command::Report => return Ok(Reply::Report(Box::new(self.report(now)))),
            Command::Dump(slave) => {
                let label = self.label(slave)?;
                let slaves = self.bus(&slave.bus)?.slaves();
                let memory = slaves.iter().find(|(name, _)| *name == label).map(|(_, slave)| slave.dump());
                return Ok(Reply::Bytes(hexadecimal(&memory.unwrap_or_default())));
            }
            Command::Transactions(bus) => {
                return Ok(Reply::Transactions(self.bus(bus)?.history().iter().map(ToString::to_string).collect()));
            }
            Command::Set { slave, property, value } => {
                let label = self.label(slave)?;
                self.on_bus(&slave.bus, now, |bus| bus.set(&label, property, value, now))??;
            }
            Command::Fault { slave, byte, kind, occurs } => {
                let fault = Fault::new(*kind, *byte).on(&self.label(slave)?).occurring(*occurs);
                self.on_bus(&slave.bus, now, |bus| bus.inject(fault))??;
            }
            Command::Lose { bus, byte, occurs } => {
                let fault = Fault::new(Kind::LoseArbitration, *byte).occurring(*occurs);
                self.on_bus(bus, now, |bus| bus.inject(fault))??;
            }
            Command::Wedge(bus) => self.on_bus(bus, now, |bus| bus.wedge(command::CLOCKS, now))?,
            Command::Card { inserted } => self.check(command).map(|()| self.move_card(*inserted, now))?,
            Command::BreakTraining(training) => self.check(command).map(|()| self.break_training(*training))?,
            Command::FailConfiguration(failure) => self.check(command).map(|()| self.fail_configuration(*failure))?,
            Command::Off => self.off = true,
            Command::Free(bus) => self.on_bus(bus, now, |bus| bus.clear_faults(now))?,
            Command::Engine { channel, fault } => {
                let engine = self.vdma_mut().ok_or(CommandError::NoVideo("video DMA engine"))?;
                engine.inject(*channel, *fault);
            }
            Command::FreeEngine(channel) => {
                let engine = self.vdma_mut().ok_or(CommandError::NoVideo("video DMA engine"))?;
                engine.clear_faults(*channel, now);
            }
            Command::EarlySync => {
                let display = self.vdma_mut().and_then(Vdma::sink_mut);
                display.ok_or(CommandError::NoVideo("display"))?.inject_early_sync();
            }
            Command::Camera(fault) => {
                let camera = self.vdma_mut().and_then(Vdma::source_mut);
                camera.ok_or(CommandError::NoVideo("camera"))?.inject(*fault);
            }
        }
        Ok(Reply::Done)
    }

    fn line(&self, name: &str) -> Result<&Line, CommandError> {
        self.lines.iter().find(|line| line.name == name).ok_or_else(|| CommandError::NoBus(name.to_owned()))
    }

    fn bus(&self, name: &str) -> Result<&Bus, CommandError> {
        self.line(name).map(|line| self.bus_of(line))
    }

    fn bus_of<'a>(&'a self, line: &'a Line) -> &'a Bus {
        match self.blocks.get(line.block).map(|block| &block.chip) {
            Some(Chip::I2c(controller)) if line.connected => controller.bus(),
            _ => &line.other,
        }
    }

    fn label(&self, slave: &SlavePath) -> Result<String, CommandError> {
        let bus = self.bus(&slave.bus)?;
        let by_address = slave.numbers().and_then(|path| bus.label_at(&path));
        let by_label = || bus.slaves().iter().map(|(label, _)| *label).find(|label| *label == slave.slave);
        by_address.or_else(by_label).map(str::to_owned).ok_or_else(|| CommandError::NoSlave(slave.clone()))
    }

    /// Does something to a bus, and has everybody notice.
    fn on_bus<T>(&mut self, name: &str, now: u64, act: impl FnOnce(&mut Bus) -> T) -> Result<T, CommandError> {
        let number = self.lines.iter().position(|line| line.name == name);
        let line = number.and_then(|number| self.lines.get_mut(number));
        let line = line.ok_or_else(|| CommandError::NoBus(name.to_owned()))?;
        let result = match self.blocks.get_mut(line.block).map(|block| &mut block.chip) {
            Some(Chip::I2c(controller)) if line.connected => {
                let result = act(controller.bus_mut());
                controller.advance(now, &mut NoMemory);
                result
            }
            _ => act(&mut line.other),
        };
        self.settle(now);
        Ok(result)
    }

    /// The net's contact no longer bounces.
    fn still(&mut self, net: usize) {
        self.due.retain(|due| !matches!(due.action, Action::Contact(other, _) if other == net));
    }

    fn drive(&mut self, net: usize, drive: Drive, now: u64) {
        if let Some(state) = self.nets.states.get_mut(net) {
            state.outside = drive;
        }
        self.settle(now);
    }

    /// The first edge is now and the last one at the end; in between there is an even number at irregular times, the same for the same net and time.
    fn bounce(&mut self, net: usize, level: bool, span: u64, now: u64) {
        let mut random = now ^ (net as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let pairs = 2 + next() % 4;
        let mut times: BTreeSet<u64> = (0..2 * pairs - 1).map(|_| 1 + next() % span.max(2)).collect();
        times.insert(span);
        if !times.len().is_multiple_of(2) {
            times.pop_first();
        }
        self.drive(net, if level { Drive::High } else { Drive::Low }, now);
        let mut contact = level;
        for time in times {
            contact = !contact;
            self.plan_at(now.saturating_add(time), Action::Contact(net, contact));
        }
    }

    /// The board has sent a byte to its console.
    pub fn console(&mut self, byte: u8, now: u64) {
        if byte != b'\n' {
            if self.line.len() < LINE {
                self.line.push(byte);
            }
            return;
        }
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
        if self.description.since.as_ref().is_some_and(|since| since.matches(&text)) {
            self.nets.begin_histories();
        }
        if let Some(watch) = &self.watch {
            watch.line(&text);
        }
        if self.frozen.is_none() && self.description.until.as_ref().is_some_and(|until| until.matches(&text)) {
            self.frozen_seen = self.seen().cloned();
            self.frozen = Some(self.report(now));
        }
        for index in std::mem::take(&mut self.waiting) {
            let Some(event) = self.description.event.get(index) else { continue };
            let at = event.at.unwrap_or_default().0;
            if event.after.as_ref().is_some_and(|after| after.matches(&text)) {
                self.plan_at(now.saturating_add(at), Action::Event(index));
            } else {
                self.waiting.push(index);
            }
        }
    }

    /// Takes what software did wrong since the last call, oldest first, each with the device's name. The same thing over and over is passed on a few
    /// times only.
    pub fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    fn complain(&mut self, text: String) {
        if !self.made.contains_key(&text) && self.made.len() >= KEPT {
            return;
        }
        let times = self.made.entry(text.clone()).or_default();
        *times = times.saturating_add(1);
        if *times <= REPEATED {
            self.complaints.push(text);
        }
    }

    /// Whether software has asked for a reset of the system since the last call.
    pub fn reset_requested(&mut self) -> bool {
        std::mem::take(&mut self.reset_requested)
    }

    /// Whether the board has been switched off.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Resets the chip: after power-on if software did not ask for it. What is outside of it (slaves' memories, who drives which net, histories) stays.
    pub fn reset(&mut self, now: u64) {
        let reason = if self.reset_by_software { slcr::Reset::Software } else { slcr::Reset::PowerOn };
        self.slcr.reset(reason);
        for block in &mut self.blocks {
            block.chip.reset(now);
        }
        self.preset();
        self.configured(now);
    }

    /// What is known at `now`, or at the console line that [`Description::until`] names if that has come.
    pub fn report(&self, now: u64) -> Report {
        if let Some(report) = &self.frozen {
            return report.clone();
        }
        let nets = self.nets.states.iter();
        let nets =
            nets.filter(|state| state.history.count > 0 || state.history.level || state.outside != Drive::Floating);
        let pending = self.waiting.iter().filter_map(|index| self.description.event.get(*index));
        Report {
            time: now,
            nets: nets.map(|state| (state.name.clone(), state.history.clone())).collect(),
            slaves: self.slaves(),
            transactions: self
                .lines
                .iter()
                .filter_map(|line| Some((line.name.clone(), self.bus(&line.name).ok()?)))
                .map(|(name, bus)| (name, bus.history().iter().map(ToString::to_string).collect()))
                .collect(),
            display: self.display().map(DisplayReport::new),
            frames: self.watch.as_ref().map(Watch::report),
            complaints: self.made.clone(),
            stopped: self.power_on.stopped.clone(),
            loader: self.power_on.loader,
            pending: pending.map(|event| event.command.to_string()).collect(),
        }
    }

    /// Who wants to know of the processor's accesses to memory, if somebody does.
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Whether there is a video DMA engine.
    pub fn has_video(&self) -> bool {
        self.vdma().is_some()
    }

    /// Whether a display is connected.
    pub fn has_display(&self) -> bool {
        self.display().is_some()
    }

    fn display(&self) -> Option<&Sink> {
        self.vdma()?.sink()
    }

    fn vdma_mut(&mut self) -> Option<&mut Vdma> {
        self.blocks.iter_mut().find_map(|block| match &mut block.chip {
            Chip::Vdma(vdma) => Some(vdma.as_mut()),
            _ => None,
        })
    }

    /// The path of the transmitter that the display needs, if it needs one.
    ///
    /// # Errors
    /// It is not on the bus, or it is something else.
    pub fn transmitter(&self) -> Result<Option<&SlavePath>, CommandError> {
        match &self.transmitter {
            None => Ok(None),
            Some(path) => self.transmitter_registers(path).map(|_| Some(path)),
        }
    }

    fn transmitter_registers(&self, path: &SlavePath) -> Result<adv7511::Registers, CommandError> {
        let label = self.label(path)?;
        let slaves = self.bus(&path.bus)?.slaves();
        let slave = slaves.iter().find(|(name, slave)| *name == label && slave.name() == "adv7511");
        let registers = slave.and_then(|(_, slave)| slave.dump().try_into().ok());
        registers.ok_or_else(|| CommandError::NoSlave(path.clone()))
    }

    /// The display shows a picture only if its transmitter has been set up.
    fn look_at_transmitter(&mut self) {
        let Some(path) = &self.transmitter else { return };
        let dark = self.transmitter_registers(path).map_or(true, |registers| adv7511::check(&registers).is_err());
        if let Some(display) = self.vdma_mut().and_then(Vdma::sink_mut) {
            display.set_dark(dark);
        }
    }

    fn vdma(&self) -> Option<&Vdma> {
        self.blocks.iter().find_map(|block| match &block.chip {
            Chip::Vdma(vdma) => Some(vdma.as_ref()),
            _ => None,
        })
    }

    /// What a person sees on the display now, or saw last if it is blank; or at the console line that [`Description::until`] names, if that has
    /// come.
    pub fn seen(&self) -> Option<&Frame> {
        match self.frozen {
            Some(_) => self.frozen_seen.as_ref(),
            None => self.display()?.seen(),
        }
    }

    /// The same, without what was there before.
    pub fn screen(&self) -> Option<&Frame> {
        let is_blank = match &self.frozen {
            Some(report) => report.display.as_ref().is_none_or(|display| display.blank),
            None => self.display()?.screen().is_none(),
        };
        self.seen().filter(|_| !is_blank)
    }

    /// The slaves' memories by path.
    fn slaves(&self) -> BTreeMap<String, report::Slave> {
        fn paths(prefix: &str, slaves: &[i2c::Description], all: &mut Vec<String>) {
            for slave in slaves {
                let path = format!("{prefix}/{:#04x}", slave.address);
                for behind in &slave.behind {
                    paths(&format!("{path}/{}", behind.channel), &behind.slaves, all);
                }
                all.push(path);
            }
        }
        let mut all = Vec::new();
        for (name, bus) in &self.description.i2c {
            paths(name, &bus.slave, &mut all);
        }
        let slave = |path: String| {
            let slave: SlavePath = path.parse().ok()?;
            let label = self.label(&slave).ok()?;
            let slaves = self.bus(&slave.bus).ok()?.slaves();
            let (_, device) = slaves.iter().find(|(name, _)| *name == label)?;
            let memory = hexadecimal(&device.dump());
            Some((path, report::Slave { label, memory }))
        };
        all.into_iter().filter_map(slave).collect()
    }

    /// After an access: what it did to the nets, and what was wrong with it.
    fn after(&mut self, region: usize, now: u64) {
        if self.block(region).is_some_and(|block| block.chip.device().signals() > 0) {
            self.settle(now);
        }
        if self.slcr.take_reset() {
            self.reset_requested = true;
            self.reset_by_software = true;
        }
        self.collect();
    }

    fn collect(&mut self) {
        let mut all = self.slcr.complaints();
        for block in &mut self.blocks {
            let name = &block.region.name;
            let named = |text: String| {
                if text.starts_with(name.as_str()) { text } else { format!("{name}: {text}") }
            };
            all.extend(block.chip.device_mut().complaints().into_iter().map(named));
        }
        for line in &mut self.lines {
            all.extend(line.other.complaints().into_iter().map(|text| format!("{}: {text}", line.name)));
        }
        for text in all {
            self.complain(text);
        }
    }

    /// The SLCR has changed: blocks in reset lose their state, clocks run at other rates, pins are connected to something else.
    fn configured(&mut self, now: u64) {
        // Every setting of the dividers is far below 4 GHz.
        let cpu_1x = u32::try_from(self.slcr.frequency(slcr::Clock::Cpu1x)).unwrap_or(u32::MAX);
        let sd = u32::try_from(self.slcr.reference(slcr::Block::Sdio0)).unwrap_or(u32::MAX);
        let memory = self.slcr.frequency(slcr::Clock::Ddr3x);
        for block in &mut self.blocks {
            let gate = block.gate.map_or(Gate::Running, |gate| self.slcr.gate(gate));
            if matches!(gate, Gate::InReset { .. }) {
                block.chip.reset(now);
            }
            let clock = if matches!(gate, Gate::ClockOff { .. }) { 0 } else { cpu_1x };
            match &mut block.chip {
                Chip::Ttc(ttc) => ttc.set_frequency(clock, now),
                Chip::I2c(controller) => controller.set_clock(clock, now),
                Chip::Sd(controller) => controller.set_base_clock(sd),
                Chip::Ddrc(controller) => controller.set_clock(memory),
                _ => {}
            }
        }
        self.connect_buses(now);
        let pull = |pin| if self.slcr.pin(pin).pull_up { Pull::Up } else { Pull::None };
        self.pulls = (0..slcr::MIO_PINS).map(pull).collect();
        let connections = self.connect();
        let before = std::mem::replace(&mut self.connections, connections);
        self.settle(now);
        for (net, before) in before.iter().enumerate() {
            for connection in before {
                let stays = self.connections.get(net).is_some_and(|now| {
                    now.iter().any(|other| (other.block, other.signal) == (connection.block, connection.signal))
                });
                if !stays && let Some(block) = self.blocks.get_mut(connection.block) {
                    // What a device sees of a pin that is not connected to it is unpredictable; this is low.
                    block.chip.device_mut().sense(connection.signal, false, now);
                }
            }
        }
        // Whoever is connected anew learns the level.
        for net in 0..self.nets.states.len() {
            self.tell(net, now);
        }
        self.settle(now);
    }

    /// Connects the I2C controllers with the buses that the SLCR leads them to.
    fn connect_buses(&mut self, now: u64) {
        let shifters = self.level_shifters();
        for line in &mut self.lines {
            let is = |pin: u8, function: Function| {
                let configured = self.slcr.pin(pin.into());
                configured.function == function && !configured.tristate
            };
            let (scl, sda) = (Function::I2cScl(line.controller), Function::I2cSda(line.controller));
            let connected = match line.mio {
                Some((scl_pin, sda_pin)) => is(scl_pin, scl) && is(sda_pin, sda),
                // A controller that no MIO pin is set to goes to the PL.
                None => {
                    let pins = (0..MIO_PINS).map(|pin| self.slcr.pin(pin.into()).function);
                    shifters.from_logic && !pins.into_iter().any(|function| function == scl || function == sda)
                }
            };
            if connected != line.connected
                && let Some(Chip::I2c(controller)) = self.blocks.get_mut(line.block).map(|block| &mut block.chip)
            {
                line.connected = connected;
                controller.bus_mut().disconnect(now);
                std::mem::swap(controller.bus_mut(), &mut line.other);
                controller.advance(now, &mut NoMemory);
            }
        }
    }

    /// Tells each bus what others do with its lines. Says whether there was something to tell.
    fn foreign(&mut self, now: u64) -> bool {
        let mut moves = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            for (wire, (&net, &free)) in line.nets.iter().zip(&line.foreign).enumerate() {
                let outside = self.nets.states.get(net).map(|state| state.outside);
                let low = self.drives_of_devices(net).contains(&Drive::Low) || outside == Some(Drive::Low);
                if free == low {
                    moves.push((number, wire, !low));
                }
            }
        }
        for &(number, wire, level) in &moves {
            let Some(line) = self.lines.get_mut(number) else { continue };
            if let Some(free) = line.foreign.get_mut(wire) {
                *free = level;
            }
            let drive = |bus: &mut Bus| if wire == 0 { bus.drive_scl(level, now) } else { bus.drive_sda(level, now) };
            match self.blocks.get_mut(line.block).map(|block| &mut block.chip) {
                Some(Chip::I2c(controller)) if line.connected => {
                    drive(controller.bus_mut());
                    controller.advance(now, &mut NoMemory);
                }
                _ => drive(&mut line.other),
            }
        }
        !moves.is_empty()
    }

    /// Who is on which net, as the SLCR is set.
    fn connect(&self) -> Vec<Vec<Connection>> {
        let mut connections = vec![Vec::new(); self.nets.states.len()];
        let mut add = |net: usize, block: usize, signal: u32, drives: bool| {
            if let Some(list) = connections.get_mut(net) {
                list.push(Connection { block, signal, drives });
            }
        };
        let shifters = self.level_shifters();
        for (number, block) in self.blocks.iter().enumerate() {
            if let Chip::Gpio(_) = &block.chip {
                for pin in 0..MIO_PINS {
                    let configured = self.slcr.pin(pin.into());
                    if configured.function == Function::Gpio {
                        add(pin.into(), number, pin.into(), !configured.tristate);
                    }
                }
                for pin in (0..EMIO_PINS).filter(|_| shifters.from_logic) {
                    add(emio(pin), number, EMIO + u32::from(pin), shifters.to_logic);
                }
            }
            for (signal, net) in (0..).zip(&block.pads) {
                if let Some(net) = net {
                    add(*net, number, signal, true);
                }
            }
        }
        connections
    }

    /// What devices and I2C buses do with a net: whether somebody drives it low, and whether somebody drives it high.
    fn drives(&self, net: usize) -> [Drive; 2] {
        let mut drives = self.drives_of_devices(net);
        for line in self.lines.iter().filter(|line| line.nets.contains(&net)) {
            let pulls = self.bus_of(line).pulls();
            if line.nets[0] == net && !pulls.scl || line.nets[1] == net && !pulls.sda {
                drives[0] = Drive::Low;
            }
        }
        drives
    }

    /// The same without the I2C buses.
    fn drives_of_devices(&self, net: usize) -> [Drive; 2] {
        let mut drives = [Drive::Floating; 2];
        for connection in self.connections.get(net).into_iter().flatten().filter(|connection| connection.drives) {
            let Some(block) = self.blocks.get(connection.block) else { continue };
            match block.chip.device().drive(connection.signal) {
                Drive::Floating => {}
                Drive::Low => drives = [Drive::Low, drives[1]],
                Drive::High => drives = [drives[0], Drive::High],
            }
        }
        drives
    }

    /// Tells the devices on a net its level.
    fn tell(&mut self, net: usize, now: u64) {
        let Some(level) = self.nets.states.get(net).map(|state| state.history.level) else { return };
        for connection in self.connections.get(net).into_iter().flatten() {
            if let Some(block) = self.blocks.get_mut(connection.block) {
                block.chip.device_mut().sense(connection.signal, level, now);
            }
        }
    }

    /// Works out the level of every net until nothing changes.
    fn settle(&mut self, now: u64) {
        for _ in 0..ROUNDS {
            let mut changed = false;
            for number in 0..self.nets.states.len() {
                let drives = self.drives(number);
                let pull = self.pulls.get(number).copied().unwrap_or_default();
                let (level, fights) = self.nets.resolve(number, drives, pull);
                let Some(state) = self.nets.states.get_mut(number) else { continue };
                if level != state.history.level {
                    state.history.note(now, level);
                    changed = true;
                    self.tell(number, now);
                }
                if fights && let Some(name) = self.nets.states.get(number).map(|state| state.name.clone()) {
                    self.complain(format!("board: {name} is driven high and low at the same time"));
                }
            }
            if !self.foreign(now) && !changed {
                return;
            }
        }
        self.complain("board: the nets oscillate".to_owned());
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
