//! The device manager as a component.
//!
//! It is the only component that may ask core for physical registers and interrupts. It reads the board's devicetree, and
//! hands devices out by name, to those clients whose label its configuration allows them. What a client gets is paid by
//! the client's session: registers, interrupts and DMA memory vanish when the session closes, and the device is free again. A device that moves data
//! by itself is stopped before, and the pins that the client has connected are set as they were at the start.
//!
//! A DMA engine can reach all of memory, because the Zynq-7000 has no IOMMU for these masters. Whoever is given one is trusted with memory.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::{Account, Attached, Capability, Dataspace, Env, Error, Hardware, Open, log, open};
use core::ptr::NonNull;
use heapless::Vec;
use mmio::Mmio;
use session::core::WRITE;
use session::devices::{CELLS, DevicesRequest, Function};
use session::gpio::{Pull, Slew};
use session::{Label, Message, Service};
use zelkova_devices::config::{Config, PinSet};
use zelkova_devices::quiesce::{self, is_bus_master};
use zelkova_devices::slcr::{PinSettings, Slcr};
use zelkova_devices::tree::{Device, DeviceTree};
use zynq7000::{memory, mio};

/// Clients at a time.
const SESSIONS: usize = 16;
/// Devices that one client can hold.
const DEVICES: usize = 4;
const PAGE: u32 = 4096;

component::entry!(run);

struct Manager<'a> {
    hardware: Hardware,
    tree: &'a DeviceTree<'a>,
    config: &'a Config,
    slcr: Slcr<Mmio>,
    ps_clk: u32,
    /// The registers of the pins as they were at the start.
    before: [u32; mio::PINS as usize],
    /// What the last answer carried: kept until it has been sent.
    sent: Option<Capability>,
}

struct Client<'a> {
    label: Label,
    account: Account,
    devices: Vec<Held<'a>, DEVICES>,
    /// The pins that it has connected.
    pins: PinSet,
    /// It has asked for a device that it may not have, or that is not there. That is said once, so that nobody fills the log by asking.
    denied: bool,
}

/// A device that a client has.
struct Held<'a> {
    device: Device<'a>,
    /// Its first range of registers, if it moves data by itself: what it takes to stop it.
    registers: Option<Dataspace>,
}

fn run(env: Env) -> Result<(), Error> {
    let session = open(&Open { caps: 2, ..Open::new(Service::Hardware) })?;
    let hardware = Hardware::from_capability(session.capability.ok_or(Error::Invalid)?);
    let rom = open(&Open { name: "zedboard.dtb", ..Open::new(Service::Rom) })?;
    let blob = Attached::new(&Dataspace::from_capability(rom.capability.ok_or(Error::Invalid)?)?, 0, None)?;
    // SAFETY: the devicetree is a boot module.
    let tree = DeviceTree::new(unsafe { blob.content() }).map_err(|error| {
        log!("{error}");
        Error::Invalid
    })?;
    let config = Config::parse(env.config_text(), &tree).map_err(|error| {
        log!("configuration: {error}");
        Error::Invalid
    })?;
    let slcr =
        tree.devices().filter_map(|(_, device)| device.ok()).find(|device| device.is_compatible("xlnx,zynq-slcr"));
    let registers = slcr.and_then(|device| device.registers.first().copied());
    let registers = registers.ok_or(Error::NotFound)?;
    let memory = hardware.io_memory(&Account::own(), registers.base, registers.size)?;
    let attached = Attached::new(&memory, WRITE, None)?;
    let base = NonNull::new(attached.pointer().cast()).ok_or(Error::Invalid)?;
    // SAFETY: the registers are attached as device memory for as long as this component lives, and nobody else has that page.
    let slcr = Slcr::new(unsafe { Mmio::new(base) });
    let ps_clk = tree.ps_clk().ok_or(Error::NotFound)?;
    let before = core::array::from_fn(|pin| slcr.pin(pin as u32).unwrap_or(0));
    let mut manager = Manager { hardware, tree: &tree, config: &config, slcr, ps_clk, before, sent: None };
    serve::<_, SESSIONS>(&mut manager)
}

impl<'a> Server for Manager<'a> {
    type Session = Client<'a>;

    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Client<'a>, Error> {
        self.config.policy(&request.label).ok_or(Error::Denied)?;
        Ok(Client {
            label: request.label.clone(),
            account,
            devices: Vec::new(),
            pins: PinSet::default(),
            denied: false,
        })
    }

    fn close(&mut self, client: Client<'a>) {
        // All that the client had belongs to the session's account, which goes with the session. Until this has returned, none of the memory that its
        // devices write to is given back.
        for Held { device, registers } in &client.devices {
            if let Some(registers) = registers {
                self.quiesce(device, registers);
            }
        }
        for pin in client.pins.iter() {
            if let Some(before) = self.before.get(pin as usize)
                && let Err(error) = self.slcr.restore_pin(pin, *before)
            {
                log!("MIO {pin}: {error}");
            }
        }
        self.sent = None;
    }

    fn request(
        &mut self,
        client: &mut Client<'a>,
        message: &Message,
        received: Option<Capability>,
    ) -> Result<Answer, Error> {
        let (request, text) = DevicesRequest::decode(message).ok_or(Error::Invalid)?;
        match request {
            DevicesRequest::Find => self.find(client, &message.text(text).ok_or(Error::Invalid)?),
            DevicesRequest::IoMem { device, index } => {
                let held = device_of(client, device)?;
                let region = *held.device.registers.get(index as usize).ok_or(Error::NotFound)?;
                if region.base % PAGE != 0 {
                    return Err(Error::Denied);
                }
                let keep = index == 0 && is_bus_master(&held.device);
                let memory = self.hardware.io_memory(&client.account, region.base, region.size)?;
                if keep {
                    let copy = Dataspace::from_capability(Capability::copy(memory.slot())?)?;
                    device_of_mut(client, device)?.registers = Some(copy);
                }
                Ok(self.send(memory.into_capability(), &[]))
            }
            DevicesRequest::Irq { device, index } => {
                let number =
                    *device_of(client, device)?.device.interrupts.get(index as usize).ok_or(Error::NotFound)?;
                let handler = self.hardware.interrupt(&client.account, number)?;
                Ok(self.send(handler, &[]))
            }
            DevicesRequest::DmaBuffer { bytes } => {
                let payer = received.as_ref().map_or(client.account.slot(), Capability::slot);
                let (memory, address) = self.hardware.dma_buffer(payer, bytes)?;
                let bytes = memory.bytes();
                Ok(self.send(memory.into_capability(), &[address, bytes]))
            }
            DevicesRequest::Reset { device } => {
                let device = device_of(client, device)?.device.clone();
                self.slcr.reset(&device).map_err(|error| {
                    log!("{}: {error}", device.name);
                    Error::Device
                })?;
                Ok(Answer::words(&[]))
            }
            DevicesRequest::Pin { device, pin, function, pull, slew } => {
                self.pin(client, device, pin, [function, pull, slew])
            }
            DevicesRequest::Property { device } => {
                let name = message.text(text).ok_or(Error::Invalid)?;
                let device = &device_of(client, device)?.device;
                let numbers = self.tree.property(device, &name).ok_or(Error::NotFound)?;
                Ok(Answer::words(&numbers.take(CELLS).collect::<Vec<_, CELLS>>()))
            }
            DevicesRequest::Compatible { device } => {
                let what = message.text(text).ok_or(Error::Invalid)?;
                Ok(Answer::words(&[device_of(client, device)?.device.is_compatible(&what).into()]))
            }
        }
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, Client<'a>>) {}
}

fn device_of<'c, 'a>(client: &'c Client<'a>, number: u32) -> Result<&'c Held<'a>, Error> {
    client.devices.get(number as usize).ok_or(Error::NotFound)
}

fn device_of_mut<'c, 'a>(client: &'c mut Client<'a>, number: u32) -> Result<&'c mut Held<'a>, Error> {
    client.devices.get_mut(number as usize).ok_or(Error::NotFound)
}

/// Whether a device is in the PL.
fn is_logic(device: &Device<'_>) -> bool {
    let is_in_logic = |base| [memory::PL_GP0, memory::PL_GP1].iter().any(|region| region.contains(base));
    device.registers.iter().any(|range| is_in_logic(range.base))
}

/// What the pins of a device are called.
fn function_of(device: &Device<'_>) -> Option<mio::Function> {
    let functions =
        [(memory::I2C0, mio::Function::I2c0), (memory::I2C1, mio::Function::I2c1), (memory::GPIO, mio::Function::Gpio)];
    functions.into_iter().find(|(peripheral, _)| device.registers.contains(&peripheral.registers)).map(|found| found.1)
}

impl<'a> Manager<'a> {
    fn find(&mut self, client: &mut Client<'a>, name: &str) -> Result<Answer, Error> {
        let device = self.config.device(&client.label, name, self.tree).map_err(|denied| {
            if !core::mem::replace(&mut client.denied, true) {
                log!("{} asks for `{name}`: {denied}", client.label.as_str());
            }
            Error::Denied
        })?;
        if is_logic(&device) && !self.slcr.has_logic() {
            if !core::mem::replace(&mut client.denied, true) {
                log!(
                    "{} is in the PL, which is not configured: the board was started without a bitstream",
                    device.name
                );
            }
            return Err(Error::NotFound);
        }
        self.slcr.enable(&device).map_err(|error| {
            log!("{}: {error}", device.name);
            Error::Device
        })?;
        let given = self.config.rate(&device, self.tree).map(core::num::NonZeroU32::get);
        let computed = || device.clocks.first().and_then(|clock| self.slcr.rate(*clock, self.ps_clk).ok());
        let rate = given.or_else(computed).unwrap_or(0);
        let words = [client.devices.len() as u32, device.registers.len() as u32, device.interrupts.len() as u32, rate];
        client.devices.push(Held { device, registers: None }).map_err(|_| Error::Busy)?;
        Ok(Answer::words(&words))
    }

    fn pin(
        &mut self,
        client: &mut Client<'a>,
        device: u32,
        pin: u32,
        [function, pull, slew]: [u32; 3],
    ) -> Result<Answer, Error> {
        let held = device_of(client, device)?;
        let function = match Function::from_wire(function).ok_or(Error::Invalid)? {
            Function::Keep => None,
            Function::Gpio => Some(mio::Function::Gpio),
            Function::Device => Some(function_of(&held.device).ok_or(Error::Invalid)?),
        };
        let settings = PinSettings {
            function: function.map(|function| mio::select(pin, function).ok_or(Error::Invalid)).transpose()?,
            pull: Pull::from_wire(pull).ok_or(Error::Invalid)?,
            slew: Slew::from_wire(slew).ok_or(Error::Invalid)?,
        };
        self.config.pin(&client.label, pin).map_err(|denied| {
            if !core::mem::replace(&mut client.denied, true) {
                log!("{} asks for MIO {pin}: {denied}", client.label.as_str());
            }
            Error::Denied
        })?;
        if !client.pins.insert(pin) {
            return Err(Error::Invalid);
        }
        self.slcr.configure_pin(pin, settings).map_err(|error| {
            log!("MIO {pin}: {error}");
            Error::Device
        })?;
        Ok(Answer::words(&[]))
    }

    /// Stops a device that moves data by itself.
    fn quiesce(&mut self, device: &Device<'a>, registers: &Dataspace) {
        let own = Attached::new(registers, WRITE, Some(&Account::own())).and_then(|attached| {
            let base = NonNull::new(attached.pointer().cast()).ok_or(Error::Invalid)?;
            // SAFETY: the registers are attached as device memory until the end of this block. The driver that has had them is stopped or has given them
            // up; should it still write to them, the device alone suffers.
            let block = unsafe { Mmio::new(base) };
            quiesce::reset(device, &block).map_err(|error| {
                log!("{}: {error}", device.name);
                Error::Device
            })
        });
        let reset = self.slcr.reset(device);
        if own.is_ok() && reset.is_ok() {
            return;
        }
        log!("{} is switched off, as it could not be reset", device.name);
        if let Err(error) = self.slcr.disable(device) {
            log!("{}: {error}", device.name);
        }
    }

    fn send(&mut self, capability: Capability, words: &[u32]) -> Answer {
        let slot = self.sent.insert(capability).slot();
        Answer::capability(slot, words)
    }
}
