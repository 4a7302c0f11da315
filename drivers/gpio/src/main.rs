//! The GPIO server: the pins of one controller for the clients that have them by policy.
//!
//! # Theory of operation
//!
//! The state machine is in [`zelkova_gpio::pins`]; this component feeds it interrupts and time and speaks the Gpio session. The controller is that of the
//! processing system or an AXI GPIO, whichever the device in the configuration is.
//!
//! A pin of the processing system that is a multiplexed one is connected to the controller by the device manager when its session opens, and stays
//! connected: as an input, once the session is closed. Pull and slew are the device manager's as well. A session that has changed them leaves them as they
//! are after a reset: with the pull-up, and flat edges.
//!
//! Debouncing needs a route to a timer; without one it is refused.
//!
//! While the configuration is read, it takes a stack of 128 KiB; in a system description: `stack = "128K"`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::NonNull;

use component::device::Device;
use component::env::refuse_config;
use component::server::{Answer, Fast, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::timer::open_timer;
use component::{Account, Capability, Env, Error, gate, log};
use mmio::Mmio;
use session::devices::Function;
use session::gpio::{self, GpioRequest, PENDING, Pin, Pull, READ, Slew, TAKE, TRIGGER, Trigger};
use session::{Label, Message, timer};
use zelkova_gpio::config::Policy;
use zelkova_gpio::{Axi, Config, Controller, Group, Pins, Ps, ps};

/// Clients at a time.
const SESSIONS: usize = 16;
const INTERRUPT: u32 = 1;
const TIME: u32 = 2;
const DEVICES_RAM: u32 = 40 * 1024;
const DEVICES_CAPS: u32 = 8;
/// The controller of the processing system, and AXI GPIO, in their bindings.
const PS: &str = "xlnx,zynq-gpio-1.0";
const AXI: &str = "xlnx,xps-gpio-1.00.a";

component::entry!(run);

struct Gpio<'a, C> {
    pins: Pins<C>,
    config: &'a Config,
    board: Board,
    interrupt: Option<Capability>,
    timer: Option<timer::Client<Capability>>,
    /// A pin has had a debounce time: from now on, the time matters.
    is_timed: bool,
    /// What the timeout is set to.
    armed: Option<u64>,
}

/// The device and its manager.
struct Board {
    device: Device,
    /// Its pins below [`ps::FIRST_EMIO`] are multiplexed.
    is_ps: bool,
}

struct Client {
    label: Label,
    group: Group,
    notification: Option<Capability>,
    /// Pins whose buffers it has set.
    configured: u32,
    /// Keeps what the session owns until it is closed.
    _account: Account,
}

fn run(env: Env) -> Result<(), Error> {
    let config = configuration(&env)?;
    let device = Device::open(&config.device, DEVICES_RAM, DEVICES_CAPS)?;
    let number = device.found().device;
    let registers = device.registers(0)?;
    let base = NonNull::new(registers.pointer().cast()).ok_or(Error::Invalid)?;
    // SAFETY: the registers are attached as device memory for as long as this component lives, and the device is ours alone.
    let block = unsafe { Mmio::new(base) };
    if device.is_compatible(number, PS)? {
        return run_with(Ps::new(block), Board { device, is_ps: true }, &config);
    }
    if !device.is_compatible(number, AXI)? {
        log!("`{}` is neither {PS} nor {AXI}", config.device);
        return Err(Error::Invalid);
    }
    let width = |name| device.property(number, name).map(|cells| cells.first().copied().unwrap_or(0));
    let is_dual = width("xlnx,is-dual").unwrap_or(0) != 0;
    let widths = [width("xlnx,gpio-width")?, if is_dual { width("xlnx,gpio2-width")? } else { 0 }];
    run_with(Axi::new(block, widths), Board { device, is_ps: false }, &config)
}

/// A frame of its own, as large values move around while the text is read.
#[inline(never)]
fn configuration(env: &Env) -> Result<Config, Error> {
    env.config()
}

/// A frame of its own for each kind of controller.
#[inline(never)]
fn run_with<C: Controller>(controller: C, board: Board, config: &Config) -> Result<(), Error> {
    config.check_pins(&controller).map_err(|error| refuse_config(&error))?;
    let interrupt = match board.device.found().interrupts {
        0 => None,
        _ => Some(board.device.interrupt(0, Signal::new(INTERRUPT).ok_or(Error::Invalid)?)?),
    };
    let timer = match open_timer(Signal::new(TIME).ok_or(Error::Invalid)?) {
        Ok(timer) => Some(timer),
        Err(Error::Denied) => None,
        Err(error) => return Err(error),
    };
    log!("{} is ready", config.device);
    let mut gpio = Gpio { pins: Pins::new(controller), config, board, interrupt, timer, is_timed: false, armed: None };
    serve::<_, SESSIONS>(&mut gpio)
}

impl Board {
    /// Sets up a pin of the device, if it is a multiplexed one.
    fn configure(&self, pin: u32, function: Function, pull: Pull, slew: Slew) -> Result<(), Error> {
        if self.is_ps && pin < ps::FIRST_EMIO {
            return self.device.pin(self.device.found().device, pin, function, pull, slew);
        }
        if pull == Pull::Keep && slew == Slew::Keep { Ok(()) } else { Err(Error::Invalid) }
    }
}

impl<C: Controller> Gpio<'_, C> {
    fn now(&self) -> Result<u64, Error> {
        match &self.timer {
            Some(timer) if self.is_timed => timer.now(),
            _ => Ok(0),
        }
    }

    fn policy(&self, label: &Label) -> Result<&Policy, Error> {
        self.config.policy(label).ok_or(Error::Denied)
    }

    /// Sets the timeout to the next debounced pin, if it would come too late.
    fn arm(&mut self) {
        if let (Some(deadline), Some(timer)) = (self.pins.deadline(), &self.timer)
            && self.armed.is_none_or(|armed| deadline < armed)
            && timer.set(deadline).is_ok()
        {
            self.armed = Some(deadline);
        }
    }

    /// After a request of `client`: an event of its own pins that was there at once is told, too.
    fn after(&mut self, client: &Client) {
        if self.pins.has_raised() {
            let raised = self.pins.raised();
            client.tell(&raised);
        }
    }

    fn trigger(&mut self, client: &Client, mask: u32, kind: u32) -> Result<(), Error> {
        let trigger = Trigger::from_wire(kind).ok_or(Error::Invalid)?;
        if self.interrupt.is_none() && trigger != Trigger::Off {
            return Err(Error::Invalid);
        }
        self.pins.trigger(&client.group, mask, trigger)?;
        self.after(client);
        Ok(())
    }

    fn take(&mut self, client: &Client, pin: u32) -> Result<[u32; 4], Error> {
        let pin = Pin::new(pin).ok_or(Error::Denied)?;
        let events = self.pins.take(&client.group, pin)?;
        self.after(client);
        Ok([events.count, events.level.into(), events.pending, 0])
    }

    fn read(&self, client: &Client) -> [u32; 4] {
        let levels = self.pins.read(&client.group);
        [levels.pins, levels.set, levels.outputs, 0]
    }

    fn debounce(&mut self, client: &Client, mask: u32, microseconds: u32) -> Result<(), Error> {
        if self.timer.is_none() {
            return Err(Error::Denied);
        }
        self.is_timed = true;
        self.pins.debounce(&client.group, mask, microseconds)?;
        self.after(client);
        Ok(())
    }

    fn configure(&self, client: &mut Client, mask: u32, pull: u32, slew: u32) -> Result<(), Error> {
        let pull = Pull::from_wire(pull).ok_or(Error::Invalid)?;
        let slew = Slew::from_wire(slew).ok_or(Error::Invalid)?;
        let policy = self.policy(&client.label)?;
        if u64::from(mask) >> policy.pins.len() != 0 {
            return Err(Error::Denied);
        }
        for (pin, number) in policy.pins.iter().zip(0..).filter(|(_, number)| mask >> number & 1 != 0) {
            self.board.configure(pin.pin.into(), Function::Keep, pull, slew)?;
            client.configured |= 1 << number;
        }
        Ok(())
    }

    /// Connects the pins of a policy.
    fn connect(&self, label: &Label) -> Result<(), Error> {
        for pin in &self.policy(label)?.pins {
            self.board.configure(pin.pin.into(), Function::Gpio, Pull::Keep, Slew::Keep).inspect_err(|error| {
                log!("pin {}, `{}`: the device manager refuses to connect it: {error}", pin.pin, pin.name);
            })?;
        }
        Ok(())
    }
}

impl Client {
    /// Raises the client's notification if one of its pins is in `raised`.
    fn tell(&self, raised: &zelkova_gpio::controller::Sets) {
        if let Some(notification) = &self.notification
            && self.group.touches(raised)
        {
            gate::signal(notification.slot());
        }
    }
}

impl<C: Controller> Server for Gpio<'_, C> {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Client, Error> {
        let group = self.policy(&request.label)?.group(self.pins.controller()).map_err(|_| Error::Denied)?;
        self.pins.claim(&group)?;
        if let Err(error) = self.connect(&request.label) {
            self.pins.release(&group);
            return Err(error);
        }
        Ok(Client { label: request.label.clone(), group, notification: None, configured: 0, _account: account })
    }

    fn close(&mut self, client: Client) {
        self.pins.release(&client.group);
        let Ok(policy) = self.policy(&client.label) else { return };
        for (pin, _) in policy.pins.iter().zip(0..).filter(|(_, number)| client.configured >> number & 1 != 0) {
            if let Err(error) = self.board.configure(pin.pin.into(), Function::Keep, Pull::Up, Slew::Slow) {
                log!("pin {}, `{}`: {error}", pin.pin, pin.name);
            }
        }
    }

    #[inline(always)]
    fn fast(&mut self, client: &mut Client, label: u32, words: [u32; 4]) -> Option<Fast> {
        let [first, second, third, _] = words;
        // What is refused here is refused once more by the slow way, which can say why.
        let answer = match label {
            READ => Ok(self.read(client)),
            gpio::WRITE => self.pins.write(&client.group, first, second).map(|()| [0; 4]),
            gpio::DIRECT => self.pins.direct(&client.group, first, second, third).map(|()| [0; 4]),
            TRIGGER => self.trigger(client, first, second).map(|()| [0; 4]),
            PENDING => Ok([self.pins.pending(&client.group), 0, 0, 0]),
            TAKE => self.take(client, first),
            _ => return None,
        };
        answer.ok().map(Fast::Answer)
    }

    fn request(
        &mut self,
        client: &mut Client,
        message: &Message,
        received: Option<Capability>,
    ) -> Result<Answer, Error> {
        let (request, text) = GpioRequest::decode(message).ok_or(Error::Invalid)?;
        match request {
            GpioRequest::Info => {
                let Client { group, .. } = client;
                return Ok(Answer::words(&[group.len() as u32, group.inputs(), group.outputs()]));
            }
            GpioRequest::Find => {
                let name = message.text(text).ok_or(Error::Invalid)?;
                let number = self.policy(&client.label)?.find(&name).ok_or(Error::Denied)?;
                return Ok(Answer::words(&[number as u32]));
            }
            GpioRequest::Read => return Ok(Answer::words(&self.read(client))),
            GpioRequest::Write { mask, levels } => self.pins.write(&client.group, mask, levels)?,
            GpioRequest::Direct { mask, outputs, levels } => {
                self.pins.direct(&client.group, mask, outputs, levels)?;
            }
            GpioRequest::Trigger { mask, kind } => self.trigger(client, mask, kind)?,
            GpioRequest::Debounce { mask, microseconds } => self.debounce(client, mask, microseconds)?,
            GpioRequest::Configure { mask, pull, slew } => self.configure(client, mask, pull, slew)?,
            GpioRequest::Pending => return Ok(Answer::words(&[self.pins.pending(&client.group)])),
            GpioRequest::Take { pin } => return Ok(Answer::words(&self.take(client, pin)?)),
            GpioRequest::Connect => {
                client.notification = Some(received.ok_or(Error::Invalid)?);
            }
        }
        Ok(Answer::words(&[]))
    }

    #[inline]
    fn signal(&mut self, signals: u32, mut sessions: Sessions<'_, Client>) {
        // Without the time, debounced pins wait for the next interrupt; the timer's end is the end of the sessions with it, too.
        let now = self.now().unwrap_or(0);
        if signals & 1 << INTERRUPT != 0 {
            self.pins.on_interrupt(now);
            if let Some(interrupt) = &self.interrupt {
                gate::irq_ack(interrupt.slot());
            }
        }
        if signals & 1 << TIME != 0 {
            self.armed = None;
            self.pins.on_time(now);
        }
        self.arm();
        if self.pins.has_raised() {
            let raised = self.pins.raised();
            sessions.iter_mut().for_each(|client| client.tell(&raised));
        }
    }
}
