//! The log server: a UART that prints what its clients write, each line with its label.
//!
//! Output waits in a buffer that the transmitter's interrupt empties. A client whose text does not fit is answered when
//! there is room, so nothing is lost and a chatty client only stops itself. The server also prints core's own log, which it finds
//! in a boot module that core writes to.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use component::device::Device;
use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::{Account, Attached, Capability, Dataspace, Env, Error, Open, log, open};
use heapless::{Deque, Vec};
use mmio::Mmio;
use session::core::WRITE;
use session::log::{LogRequest, Printable};
use session::{Label, Message, Service, Text};
use zelkova_uart::{Driver, Events, SetUpError};

/// Clients at a time.
const SESSIONS: usize = 32;
const INTERRUPT: u32 = 1;
const CORE_LOG: u32 = 2;
const DEVICE: &str = "serial0";
const BAUD: u32 = 115_200;
const DEVICES_RAM: u32 = 40 * 1024;
const DEVICES_CAPS: u32 = 8;
/// Bytes that wait for the transmitter.
const BUFFER: usize = 8192;
/// Attempts to set the UART up while it still sends what core wrote: its FIFO holds 64 bytes, 5.6 ms.
const ATTEMPTS: u32 = 100_000;

component::entry!(run);

struct Printer {
    driver: Driver<Mmio>,
    interrupt: Capability,
    buffer: Deque<u8, BUFFER>,
    waiting: Vec<Waiting, SESSIONS>,
    /// The client in the middle of a line.
    unfinished: Option<u32>,
    clients: u32,
    core_log: Attached,
}

/// A client that waits for room.
struct Waiting {
    reply: Capability,
    client: u32,
    label: Label,
    text: Text,
    end: bool,
}

struct Client {
    number: u32,
    label: Label,
}

fn run(_: Env) -> Result<(), Error> {
    let device = Device::open(DEVICE, DEVICES_RAM, DEVICES_CAPS)?;
    let wake = Signal::new(CORE_LOG).ok_or(Error::Invalid)?.capability()?;
    let rom = Open { name: "core-log", notification: Some(wake.slot()), ..Open::new(Service::Rom) };
    let core_log = Dataspace::from_capability(open(&rom)?.capability.ok_or(Error::Invalid)?)?;
    let core_log = Attached::new(&core_log, WRITE, None)?;
    let registers = device.registers(0)?;
    let base = NonNull::new(registers.pointer().cast()).ok_or(Error::Invalid)?;
    let mut attempts = 0;
    let driver = loop {
        // SAFETY: the registers are attached as device memory for as long as this component lives, and the device is ours alone.
        let block = unsafe { Mmio::new(base) };
        match Driver::new(block, device.found().clock, BAUD) {
            Ok(driver) => break driver,
            Err(SetUpError::StillSending) if attempts < ATTEMPTS => attempts += 1,
            Err(error) => {
                log!("{error}");
                return Err(Error::Device);
            }
        }
    };
    let interrupt = device.interrupt(0, Signal::new(INTERRUPT).ok_or(Error::Invalid)?)?;
    let mut printer = Printer {
        driver,
        interrupt,
        buffer: Deque::new(),
        waiting: Vec::new(),
        unfinished: None,
        clients: 0,
        core_log,
    };
    printer.take_core_log();
    printer.pump();
    serve::<_, SESSIONS>(&mut printer)
}

impl Printer {
    /// Gives the transmitter what it takes, and lets in who waits for room.
    fn pump(&mut self) {
        loop {
            while !self.buffer.is_empty() {
                let (front, _) = self.buffer.as_slices();
                let sent = self.driver.write(front);
                for _ in 0..sent {
                    self.buffer.pop_front();
                }
                if sent == 0 {
                    break;
                }
            }
            let fits = self.waiting.first().is_some_and(|waiting| self.has_room(&waiting.label, &waiting.text));
            if !fits {
                return;
            }
            let Waiting { reply, client, label, text, end } = self.waiting.remove(0);
            self.put(client, &label, &text, end);
            reply.reply(&Message::new(0), &[]);
        }
    }

    fn has_room(&self, label: &Label, text: &str) -> bool {
        // Two line ends and the label's brackets and space.
        self.buffer.capacity() - self.buffer.len() >= label.as_str().len() + text.len() + 7
    }

    fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            // Whoever calls has asked for room.
            let _ = self.buffer.push_back(byte);
        }
    }

    fn put(&mut self, client: u32, label: &Label, text: &str, end: bool) {
        if self.unfinished != Some(client) {
            if self.unfinished.take().is_some() {
                self.push("\r\n");
            }
            self.push("[");
            self.push(label.as_str());
            self.push("] ");
        }
        // Room for the text is enough: what is shown is not longer.
        let _ = write!(self, "{}", Printable(text));
        self.unfinished = (!end).then_some(client);
        if end {
            self.push("\r\n");
        }
    }

    /// Takes over what core has written, as far as there is room.
    fn take_core_log(&mut self) {
        let [written, read, words @ ..] = self.core_log.words() else { return };
        let bytes = words.len() as u32 * 4;
        let end = written.load(Ordering::Acquire);
        let mut at = read.load(Ordering::Relaxed);
        if end.wrapping_sub(at) > bytes {
            // The oldest lines are overwritten.
            at = end.wrapping_sub(bytes);
        }
        while at != end && !self.buffer.is_full() {
            let position = at % bytes;
            let word = words.get(position as usize / 4).map_or(0, |word| word.load(Ordering::Relaxed));
            let _ = self.buffer.push_back((word >> (position % 4 * 8)) as u8);
            at = at.wrapping_add(1);
        }
        read.store(at, Ordering::Relaxed);
    }
}

impl Write for Printer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl Server for Printer {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, _: Account) -> Result<Client, Error> {
        self.clients = self.clients.wrapping_add(1);
        Ok(Client { number: self.clients, label: request.label.clone() })
    }

    fn close(&mut self, client: Client) {
        self.waiting.retain(|waiting| waiting.client != client.number);
    }

    fn request(&mut self, client: &mut Client, message: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        let (LogRequest::Write { end }, text) = LogRequest::decode(message).ok_or(Error::Invalid)?;
        let text = message.text(text).ok_or(Error::Invalid)?;
        if self.waiting.is_empty() && self.has_room(&client.label, &text) {
            self.put(client.number, &client.label, &text, end != 0);
            self.pump();
            return Ok(Answer::words(&[]));
        }
        let waiting = Waiting {
            reply: Capability::save_reply()?,
            client: client.number,
            label: client.label.clone(),
            text,
            end: end != 0,
        };
        // A client waits at most once, and there are no more clients than places.
        self.waiting.push(waiting).map_err(|_| Error::Busy)?;
        self.pump();
        Ok(Answer::Later)
    }

    fn signal(&mut self, signals: u32, _: Sessions<'_, Client>) {
        if signals & 1 << INTERRUPT != 0 {
            let events = self.driver.handle_interrupt();
            if events.contains(Events::READABLE) {
                // Nobody reads yet: what is typed is dropped, so that the receiver does not overrun.
                let mut bytes = [0; 64];
                self.driver.read(&mut bytes);
            }
            component::gate::irq_ack(self.interrupt.slot());
        }
        self.take_core_log();
        self.pump();
    }
}
