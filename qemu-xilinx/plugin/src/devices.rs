//! The board's devices inside the emulator.
//!
//! Everything here runs under the emulator's big lock: register accesses on the processor's thread, timers and the control socket in
//! the main loop. The mutex around the state is therefore never waited for; that it is taken means that a device's own DMA has
//! come to a register of these devices, which is refused.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, TryLockError};

use models::board::{Board, Description, Region};
use models::bootrom::FILL;
use models::frames::Watch;
use models::video::Frame;
use models::{BusError, Memory, Width};

use crate::control::Control;
use crate::ffi::{Machine, Screen};
use crate::power_on::{CardFile, Places};

/// The transmit FIFO of UART1, the board's console (UG585 register `TX_RX_FIFO0`).
const CONSOLE: u32 = 0xE000_1030;

/// The arguments that concern the devices.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The board's description, as JSON.
    pub(crate) board: Option<PathBuf>,
    /// The card's contents, if the board starts from its card.
    pub(crate) card: Option<PathBuf>,
    /// The control socket.
    pub(crate) control: Option<PathBuf>,
    /// Where the report goes.
    pub(crate) report: Option<PathBuf>,
    /// Where the picture on the display goes.
    pub(crate) screenshot: Option<PathBuf>,
    /// The display is shown on a screen of the emulator.
    pub(crate) display: bool,
}

/// A screen that shows the display.
struct Shown {
    screen: Screen,
    /// The number of the frame that it shows.
    frame: Option<u64>,
}

struct Devices {
    machine: Machine,
    board: Board,
    regions: Vec<Region>,
    /// Levels of each region's interrupt lines, as the machine knows them.
    levels: Vec<u32>,
    /// Where memory shows, if that changes.
    places: Option<Places>,
    control: Option<Control>,
    report: Option<PathBuf>,
    screenshot: Option<PathBuf>,
    /// The display is to be shown.
    display: bool,
    shown: Option<Shown>,
}

static DEVICES: Mutex<Option<Devices>> = Mutex::new(None);

/// Runs `f` on the devices, if there are any.
fn with<T>(f: impl FnOnce(&mut Devices) -> T) -> Option<T> {
    let mut devices = match DEVICES.try_lock() {
        Ok(devices) => devices,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    devices.as_mut().map(f)
}

/// Reads the description; the devices come when the machine is complete. Answers who wants to know of the processor's accesses to memory.
///
/// # Errors
/// A message for the user.
pub(crate) fn install(options: &Options) -> Result<Option<Watch>, String> {
    let Some(path) = &options.board else {
        return match (&options.card, &options.control, &options.report, &options.screenshot, options.display) {
            (None, None, None, None, false) => Ok(None),
            _ => Err("card=, control=, report=, screenshot= and display= need board=FILE".to_owned()),
        };
    };
    let mut board = read_board(path).map_err(|why| format!("{}: {why}", path.display()))?;
    if let Some(path) = &options.card {
        if !board.starts_from_card() {
            return Err("card= needs a board that starts from its card".to_owned());
        }
        let card = CardFile::open(path)?;
        board.insert(Box::new(card)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if options.display && !board.has_display() {
        return Err("display= needs a board that has a display".to_owned());
    }
    let machine = Machine::find()?;
    let control = options.control.as_deref().map(Control::listen).transpose()?;
    let watch = board.watch().cloned();
    let regions = board.regions();
    let levels = vec![0; regions.len()];
    let devices = Devices {
        machine,
        board,
        regions,
        levels,
        places: None,
        control,
        report: options.report.clone(),
        screenshot: options.screenshot.clone(),
        display: options.display,
        shown: None,
    };
    *DEVICES.lock().map_err(|error| error.to_string())? = Some(devices);
    machine.when_ready();
    Ok(watch)
}

fn read_board(path: &Path) -> Result<Board, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let description: Description = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    Board::new(&description).map_err(|error| error.to_string())
}

/// The machine's memory, for DMA.
struct Bus(Machine);

impl Memory for Bus {
    fn read(&mut self, address: u32, data: &mut [u8]) -> Result<(), BusError> {
        if self.0.transfer(address, data, false) { Ok(()) } else { Err(BusError { address }) }
    }

    fn write(&mut self, address: u32, data: &[u8]) -> Result<(), BusError> {
        if self.0.transfer(address, &mut data.to_vec(), true) { Ok(()) } else { Err(BusError { address }) }
    }
}

impl Devices {
    /// Tells the machine what has changed.
    fn settle(&mut self) {
        for complaint in self.board.complaints() {
            self.machine.log(&format!("zelkova: {complaint}"));
        }
        for (index, (region, known)) in self.regions.iter().zip(&mut self.levels).enumerate() {
            let levels = self.board.interrupts(index);
            for (line, &interrupt) in region.interrupts.iter().enumerate() {
                if (levels ^ *known) >> line & 1 != 0 {
                    self.machine.set_interrupt(interrupt, levels >> line & 1 != 0);
                }
            }
            *known = levels;
        }
        if let Some(places) = &mut self.places {
            places.follow(self.board.memory_map());
        }
        if self.board.is_off() || self.board.stopped().is_some() {
            self.machine.power_off();
        }
        if self.board.reset_requested() {
            self.machine.reset();
        }
        self.machine.set_timer(self.board.next_event());
    }

    /// After a reset the boot ROM runs, if the board starts there.
    fn power_on(&mut self, now: u64) {
        let Some(places) = &mut self.places else { return };
        let Some(start) = self.board.boot_rom(now) else { return };
        let performed = places.load(&start.ocm);
        for (address, value) in start.writes {
            Bus(self.machine).write(address, &value.to_le_bytes()).unwrap_or_else(|error| eprintln!("{error}"));
        }
        if let Err(why) = performed.and_then(|()| self.machine.start_at(start.entry, u32::from_ne_bytes([FILL; 4]))) {
            eprintln!("zelkova-plugin: {why}");
            self.machine.power_off();
        }
    }

    fn advance(&mut self) -> u64 {
        let now = self.machine.now();
        self.board.advance(now, &mut Bus(self.machine));
        now
    }
}

/// The machine is complete.
pub(crate) fn ready() {
    let result = with(|devices| {
        devices.machine.attach()?;
        if devices.board.starts_from_card() {
            devices.places = Some(Places::new(devices.machine)?);
        }
        for (index, region) in devices.regions.iter().enumerate() {
            devices.machine.map(&format!("zelkova.{}", region.name), region.base, region.length, index);
        }
        devices.machine.listen(CONSOLE)?;
        if let Some(control) = &devices.control {
            control.start(devices.machine);
        }
        if devices.display {
            devices.shown = Some(Shown { screen: Screen::open()?, frame: None });
        }
        devices.settle();
        Ok::<(), String>(())
    });
    if let Some(Err(why)) = result {
        eprintln!("zelkova-plugin: {why}");
        // There is no way to refuse at this point, and a machine without its devices would only mislead.
        std::process::exit(1);
    }
}

/// The processor reads a register.
pub(crate) fn read(region: usize, offset: u32, size: u32) -> u32 {
    with(|devices| {
        let now = devices.advance();
        let value = width(size).map(|width| devices.board.read(region, offset, width, now));
        devices.settle();
        value
    })
    .flatten()
    .unwrap_or_default()
}

/// The processor writes a register.
pub(crate) fn write(region: usize, offset: u32, size: u32, value: u32) {
    with(|devices| {
        let now = devices.advance();
        if let Some(width) = width(size) {
            devices.board.write(region, offset, width, value, now);
        }
        devices.settle();
    });
}

fn width(size: u32) -> Option<Width> {
    [Width::Byte, Width::Half, Width::Word].into_iter().find(|width| width.bytes() == size)
}

/// The timer has come to its time.
pub(crate) fn due() {
    with(|devices| {
        devices.advance();
        devices.settle();
    });
}

/// The machine is reset.
pub(crate) fn reset() {
    with(|devices| {
        let now = devices.machine.now();
        devices.board.reset(now);
        devices.power_on(now);
        devices.settle();
    });
}

/// The processor or a DMA engine uses an address where memory is hidden.
pub(crate) fn nowhere(address: u32, access: &str) {
    with(|devices| {
        devices.board.nothing_at(address, access);
        devices.settle();
    });
}

/// The board has sent a byte to its console.
pub(crate) fn transmitted(byte: u8) {
    with(|devices| {
        let now = devices.advance();
        devices.board.console(byte, now);
        devices.settle();
    });
}

/// A file descriptor that is watched can be read.
pub(crate) fn input(file: i32) {
    with(|devices| {
        let now = devices.advance();
        if let Some(control) = &mut devices.control {
            control.input(file, devices.machine, |command| devices.board.command(command, now));
        }
        devices.settle();
    });
}

/// Somebody looks at the emulator's screen. The board does not notice.
pub(crate) fn look() {
    with(|devices| {
        let Some(shown) = &mut devices.shown else { return };
        let frame = devices.board.screen();
        let number = frame.map(|frame| frame.sequence);
        if shown.frame != number {
            match frame {
                Some(frame) => shown.screen.show(frame.width, frame.height, frame.colours()),
                None => shown.screen.blank(),
            }
            shown.frame = number;
        }
    });
}

/// The emulator ends.
pub(crate) fn finish() {
    with(|devices| {
        if let Some(path) = &devices.report {
            let report = devices.board.report(devices.machine.now());
            let result = serde_json::to_vec_pretty(&report).map_err(std::io::Error::from);
            complain(path, result.and_then(|text| std::fs::write(path, text)));
        }
        if let (Some(path), Some(frame)) = (&devices.screenshot, devices.board.seen()) {
            complain(path, picture(frame).and_then(|png| std::fs::write(path, png)));
        }
    });
}

fn complain(path: &Path, result: std::io::Result<()>) {
    if let Err(error) = result {
        eprintln!("zelkova-plugin: {}: {error}", path.display());
    }
}

/// A frame as a PNG of 24 bits.
fn picture(frame: &Frame) -> std::io::Result<Vec<u8>> {
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, frame.width, frame.height);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = frame
        .colours()
        .flat_map(|colour| {
            let [_, red, green, blue] = colour.to_be_bytes();
            [red, green, blue]
        })
        .collect();
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(png)
}
