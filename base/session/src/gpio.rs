//! The Gpio session: pins.
//!
//! # Theory of operation
//!
//! A session has up to 32 pins. Which ones they are, what they are called and whether they may be inputs, outputs or both is decided by the
//! server's policy for the client's label. They are numbered from 0 in the order of the policy, so that a set of pins is a word with one bit for each. A
//! pin is in one session at a time.
//!
//! Every request that is not made once only is answered in registers. [`Write`](GpioRequest::Write) changes any of the session's outputs at once: those
//! that the hardware can change together change at the same moment (on the Zynq-7000: pins of the same half of a bank).
//!
//! # Events
//!
//! A pin that has been given a [`Trigger`] counts events. Whenever some count is raised from zero, the notification that the client has
//! [connected](GpioRequest::Connect) is raised; counts stay until the client [takes](GpioRequest::Take) them, so none is lost if signals of several pins
//! run together, and a client may look at the counts without any signal. Edges that follow each other faster than the driver handles interrupts are one
//! event, because the hardware notes them with one bit.
//!
//! An edge that comes back within the pin's [debounce time](GpioRequest::Debounce) is none: what counts is the level when the pin has been quiet for so
//! long. A level trigger counts one event and then rests until that has been taken, else a level that lasts would keep the server busy.
//!
//! # At the end
//!
//! When a session is closed, its pins become inputs, without pull and trigger of the session's making.
//!
//! ```ignore
//! let led = gpio.output(gpio.pin("led")?, true)?;    // embedded_hal::digital::OutputPin
//! let button = gpio.input(gpio.pin("button")?)?;     // embedded_hal::digital::InputPin
//! ```

use core::future::poll_fn;
use core::task::Poll;

use embedded_hal::digital::{ErrorType, InputPin, OutputPin, StatefulOutputPin};
use embedded_hal_async::digital::Wait;

use crate::{Error, Transport, protocol};

protocol! {
    /// Requests to a GPIO server. Sets of pins have bit n for pin n; a set that names a pin that the session does not have is refused with
    /// [`Error::Denied`], and nothing is done.
    pub enum GpioRequest {
        /// Answer: number of pins, the set of those that may be inputs, the set of those that may be outputs.
        Info = 1,
        /// Text: a pin's name in the policy. Answer: its number.
        Find = 2,
        /// Answer: levels of the pins, what the outputs are set to, the set of outputs.
        Read = 3,
        /// Sets several pins at once. Those that are no outputs now start with this level when they become outputs.
        Write = 4 {
            /// Which pins.
            mask,
            /// The levels they get.
            levels,
        },
        /// Makes pins inputs or outputs. A pin that becomes an output has its level before it drives.
        Direct = 5 {
            /// Which pins.
            mask,
            /// Those of them that become outputs; the others become inputs.
            outputs,
            /// The levels of the outputs.
            levels,
        },
        /// Chooses what counts as an event, and forgets the pins' events until now.
        Trigger = 6 {
            /// Which pins.
            mask,
            /// A [`Trigger`].
            kind,
        },
        /// Sets the debounce time of pins.
        Debounce = 7 {
            /// Which pins.
            mask,
            /// In microseconds, at most [`MAX_DEBOUNCE`]; 0: none.
            microseconds,
        },
        /// Sets the electrical properties of pins.
        Configure = 8 {
            /// Which pins.
            mask,
            /// A [`Pull`].
            pull,
            /// A [`Slew`].
            slew,
        },
        /// Answer: the set of pins with events that have not been taken.
        Pending = 9,
        /// Takes the events of a pin. Answer: how many there were, the level of the pin (debounced if it has a debounce time), and the set of pins that
        /// still have events.
        Take = 10 {
            /// Number of the pin.
            pin,
        },
        /// Names the notification that events raise. Caps: the notification.
        Connect = 11,
    }
}

/// Label of [`GpioRequest::Read`], for servers that answer it in registers.
pub const READ: u32 = 3;
/// Label of [`GpioRequest::Write`].
pub const WRITE: u32 = 4;
/// Label of [`GpioRequest::Direct`].
pub const DIRECT: u32 = 5;
/// Label of [`GpioRequest::Trigger`].
pub const TRIGGER: u32 = 6;
/// Label of [`GpioRequest::Pending`].
pub const PENDING: u32 = 9;
/// Label of [`GpioRequest::Take`].
pub const TAKE: u32 = 10;

/// Most pins of a session.
pub const PINS: usize = 32;
/// Longest debounce time, in microseconds.
pub const MAX_DEBOUNCE: u32 = 10_000_000;

macro_rules! wire {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$vdoc])* $variant = $value,)*
        }

        impl $name {
            /// The one with the wire value `value`.
            pub const fn from_wire(value: u32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

wire! {
    /// What counts as an event of a pin.
    pub enum Trigger {
        /// Nothing.
        #[default]
        Off = 0,
        /// The level goes up.
        Rising = 1,
        /// The level goes down.
        Falling = 2,
        /// The level changes.
        Both = 3,
        /// The level is high.
        High = 4,
        /// The level is low.
        Low = 5,
    }
}

wire! {
    /// What holds a pin that nobody drives.
    pub enum Pull {
        /// Leave it as it is.
        #[default]
        Keep = 0,
        /// Nothing in the chip.
        Off = 1,
        /// A resistor to the supply.
        Up = 2,
    }
}

wire! {
    /// How steep the edges of an output are, which is what the Zynq-7000 has for drive strength (UG585, register `MIO_PIN`, field `Speed`).
    pub enum Slew {
        /// Leave them as they are.
        #[default]
        Keep = 0,
        /// Flat: less noise.
        Slow = 1,
        /// Steep.
        Fast = 2,
    }
}

/// What a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Number of pins.
    pub pins: u32,
    /// Those that may be inputs.
    pub inputs: u32,
    /// Those that may be outputs.
    pub outputs: u32,
}

/// Pins as they are at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Levels at the pins.
    pub pins: u32,
    /// What the outputs are set to, and what the others would start with.
    pub set: u32,
    /// The pins that are outputs.
    pub outputs: u32,
}

/// Events of a pin that have been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// How many.
    pub count: u32,
    /// The level of the pin now; that of the last event if the pin has a debounce time.
    pub level: bool,
    /// The pins that still have events.
    pub pending: u32,
}

/// Number of a pin in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(u32);

impl Pin {
    /// Pin `number`, below [`PINS`].
    pub const fn new(number: u32) -> Option<Self> {
        if number < PINS as u32 { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The set of this pin alone.
    pub const fn mask(self) -> u32 {
        1 << self.0
    }
}

/// The client's side.
#[derive(Debug)]
pub struct Client<T>(T);

impl<T: Transport> Client<T> {
    /// A client of a session.
    pub const fn new(session: T) -> Self {
        Self(session)
    }

    /// What the session has.
    pub fn info(&self) -> Result<Info, Error> {
        match self.0.call(&GpioRequest::Info.encode(), &[])?.words() {
            [pins, inputs, outputs] => Ok(Info { pins: *pins, inputs: *inputs, outputs: *outputs }),
            _ => Err(Error::Invalid),
        }
    }

    /// The pin that the policy calls `name`.
    ///
    /// # Errors
    /// [`Error::Denied`]: the session has no such pin.
    pub fn pin(&self, name: &str) -> Result<Pin, Error> {
        let mut message = GpioRequest::Find.encode();
        message.push_text(name);
        self.0.call(&message, &[])?.word(0).and_then(Pin::new).ok_or(Error::Invalid)
    }

    /// Names the notification in slot `notification` as the one that events raise.
    pub fn connect(&self, notification: u32) -> Result<(), Error> {
        self.0.call(&GpioRequest::Connect.encode(), &[notification]).map(drop)
    }

    /// All pins, read at once.
    #[inline]
    pub fn read(&self) -> Result<Levels, Error> {
        let [pins, set, outputs, _] = self.0.call_fast(READ, [0; 4], 0)?;
        Ok(Levels { pins, set, outputs })
    }

    /// Sets the pins in `mask` to `levels`, at once.
    #[inline]
    pub fn write(&self, mask: u32, levels: u32) -> Result<(), Error> {
        self.0.call_fast(WRITE, [mask, levels, 0, 0], 2).map(drop)
    }

    /// Makes the pins in `mask` outputs with these `levels` if they are in `outputs`, else inputs.
    pub fn direct(&self, mask: u32, outputs: u32, levels: u32) -> Result<(), Error> {
        self.0.call_fast(DIRECT, [mask, outputs, levels, 0], 3).map(drop)
    }

    /// Chooses what counts as an event of the pins in `mask`, and forgets their events until now.
    pub fn trigger(&self, mask: u32, trigger: Trigger) -> Result<(), Error> {
        self.0.call_fast(TRIGGER, [mask, trigger as u32, 0, 0], 2).map(drop)
    }

    /// Sets the debounce time of the pins in `mask`, in microseconds: at most [`MAX_DEBOUNCE`], 0: none.
    ///
    /// # Errors
    /// [`Error::Denied`] if the server has no route to a timer.
    pub fn debounce(&self, mask: u32, microseconds: u32) -> Result<(), Error> {
        self.0.call(&GpioRequest::Debounce { mask, microseconds }.encode(), &[]).map(drop)
    }

    /// Sets pull and slew of the pins in `mask`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for pins that have neither, such as those into the programmable logic.
    pub fn configure(&self, mask: u32, pull: Pull, slew: Slew) -> Result<(), Error> {
        let request = GpioRequest::Configure { mask, pull: pull as u32, slew: slew as u32 };
        self.0.call(&request.encode(), &[]).map(drop)
    }

    /// The pins with events that have not been taken.
    #[inline]
    pub fn pending(&self) -> Result<u32, Error> {
        self.0.call_fast(PENDING, [0; 4], 0).map(|[pending, ..]| pending)
    }

    /// Takes the events of a pin.
    #[inline]
    pub fn take(&self, pin: Pin) -> Result<Events, Error> {
        let [count, level, pending, _] = self.0.call_fast(TAKE, [pin.0, 0, 0, 0], 1)?;
        Ok(Events { count, level: level != 0, pending })
    }

    /// Makes a pin an input.
    pub fn input(&self, pin: Pin) -> Result<Input<'_, T>, Error> {
        self.direct(pin.mask(), 0, 0)?;
        Ok(Input { client: self, pin })
    }

    /// Makes a pin an output that starts with `level`.
    pub fn output(&self, pin: Pin, level: bool) -> Result<Output<'_, T>, Error> {
        self.direct(pin.mask(), pin.mask(), if level { pin.mask() } else { 0 })?;
        Ok(Output { client: self, pin })
    }
}

/// An input. It stays one when this is dropped.
#[derive(Debug)]
pub struct Input<'c, T> {
    client: &'c Client<T>,
    pin: Pin,
}

/// An output. It stays one when this is dropped.
#[derive(Debug)]
pub struct Output<'c, T> {
    client: &'c Client<T>,
    pin: Pin,
}

impl<T> Input<'_, T> {
    /// Which pin it is.
    pub const fn pin(&self) -> Pin {
        self.pin
    }
}

impl<T> Output<'_, T> {
    /// Which pin it is.
    pub const fn pin(&self) -> Pin {
        self.pin
    }
}

impl embedded_hal::digital::Error for Error {
    fn kind(&self) -> embedded_hal::digital::ErrorKind {
        embedded_hal::digital::ErrorKind::Other
    }
}

impl<T> ErrorType for Input<'_, T> {
    type Error = Error;
}

impl<T> ErrorType for Output<'_, T> {
    type Error = Error;
}

impl<T: Transport> InputPin for Input<'_, T> {
    fn is_high(&mut self) -> Result<bool, Error> {
        Ok(self.client.read()?.pins & self.pin.mask() != 0)
    }

    fn is_low(&mut self) -> Result<bool, Error> {
        self.is_high().map(|high| !high)
    }
}

impl<T: Transport> OutputPin for Output<'_, T> {
    fn set_low(&mut self) -> Result<(), Error> {
        self.client.write(self.pin.mask(), 0)
    }

    fn set_high(&mut self) -> Result<(), Error> {
        self.client.write(self.pin.mask(), self.pin.mask())
    }
}

impl<T: Transport> StatefulOutputPin for Output<'_, T> {
    fn is_set_high(&mut self) -> Result<bool, Error> {
        Ok(self.client.read()?.set & self.pin.mask() != 0)
    }

    fn is_set_low(&mut self) -> Result<bool, Error> {
        self.is_set_high().map(|high| !high)
    }
}

/// Takes the trigger back, also if the wait is given up.
struct Armed<'p, 'c, T: Transport>(&'p Input<'c, T>);

impl<T: Transport> Drop for Armed<'_, '_, T> {
    fn drop(&mut self) {
        // If the server is gone, so is the trigger.
        let _ = self.0.client.trigger(self.0.pin.mask(), Trigger::Off);
    }
}

impl<T: Transport> Input<'_, T> {
    /// Waits for an event. The future looks whenever it is polled, and is to be polled whenever the connected notification is raised.
    async fn event(&mut self, trigger: Trigger) -> Result<(), Error> {
        self.client.trigger(self.pin.mask(), trigger)?;
        let armed = Armed(self);
        poll_fn(|_| match armed.0.client.take(armed.0.pin) {
            Ok(Events { count: 0, .. }) => Poll::Pending,
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }
}

/// The pin's trigger is set anew by each wait and is off afterwards. The futures do not wake anybody: they are for an executor that polls again whenever
/// the component is signalled, and need the session to be [connected](Client::connect).
impl<T: Transport> Wait for Input<'_, T> {
    async fn wait_for_high(&mut self) -> Result<(), Error> {
        self.event(Trigger::High).await
    }

    async fn wait_for_low(&mut self) -> Result<(), Error> {
        self.event(Trigger::Low).await
    }

    async fn wait_for_rising_edge(&mut self) -> Result<(), Error> {
        self.event(Trigger::Rising).await
    }

    async fn wait_for_falling_edge(&mut self) -> Result<(), Error> {
        self.event(Trigger::Falling).await
    }

    async fn wait_for_any_edge(&mut self) -> Result<(), Error> {
        self.event(Trigger::Both).await
    }
}
