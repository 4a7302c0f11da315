//! The I2c session: transactions on an I2C bus.
//!
//! # Theory of operation
//!
//! A transaction is what happens on the bus between a START and a STOP condition: one or more messages to one device, each in one direction, with a
//! repeated START between two of them. Which devices a session may talk to, and how fast, is decided by the server's policy for the client's label. Clients
//! take turns, a transaction at a time; a transaction ends within its deadlines, whatever the bus does.
//!
//! A short transaction, at most [`SHORT`] bytes written and then at most as many read, fits the registers of one call both ways. Anything else lies in
//! the session's buffer, which is plain memory that the server has made out of the client's donation: first the length of each message, then their
//! data, each on a word of its own. The call waits for the end of the transaction, or returns at once and the end raises the notification that the client
//! has [connected](I2cRequest::Connect).
//!
//! [`Bus`] is the client. It is an [`embedded_hal::i2c::I2c`] and an [`embedded_hal_async::i2c::I2c`] for addresses of 7 and 10 bits. As these traits ask for,
//! neighbours of one direction in a transaction become one message.
//!
//! A transaction that fails says [why](Kind), in which message (counted after neighbours were joined) and at which byte of it.

use core::fmt;
use core::future::poll_fn;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Poll;

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress, TenBitAddress};
use heapless::Vec;

use crate::{Error as SessionError, Transport, protocol};

protocol! {
    /// Requests to an I2C server. The last three are answered in registers.
    pub enum I2cRequest {
        /// Answer: size of the session's buffer in bytes, rate of the clock line in Hz.
        Info = 1,
        /// Answer: the dataspace of the buffer.
        Buffer = 2,
        /// Names the notification that the end of a transaction raises that nobody waits for. Caps: the notification.
        Connect = 3,
        /// A short transaction: writes, then reads. Answer: a [`Status`], and the bytes that were read.
        Short = 4 {
            /// A [`ShortRequest`].
            what,
            /// Bytes to write 0 to 3, lowest first.
            first,
            /// Bytes 4 to 7.
            second,
            /// Bytes 8 to 11.
            third,
        },
        /// A transaction that lies in the buffer. Answer: a [`Status`].
        Transfer = 5 {
            /// An [`Address`].
            address,
            /// Number of messages.
            messages,
            /// 1: to be answered at the end.
            wait,
        },
        /// Answer: the [`Status`] of the transaction that was begun last.
        Poll = 6 {
            /// 1: to be answered at the end.
            wait,
        },
    }
}

/// Label of [`I2cRequest::Short`], for servers that answer it in registers.
pub const SHORT_TRANSFER: u32 = 4;
/// Label of [`I2cRequest::Transfer`].
pub const TRANSFER: u32 = 5;
/// Label of [`I2cRequest::Poll`].
pub const POLL: u32 = 6;

/// Most bytes each way of a short transaction.
pub const SHORT: usize = 12;
const SHORT_WORDS: usize = SHORT / 4;
/// Most messages of a transaction.
pub const MESSAGES: usize = 16;
/// Word of the buffer at which the data begin; the messages are described before that.
pub const DATA: usize = MESSAGES;
/// Longest message in bytes.
pub const LENGTH: usize = 0xffff;

const READ: u32 = 1 << 31;

/// An address on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// Of 7 bits, without the direction bit.
    Seven(u8),
    /// Of 10 bits.
    Ten(u16),
}

impl Address {
    const TEN: u32 = 1 << 10;

    /// Its wire value.
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::Seven(address) => address as u32,
            Self::Ten(address) => address as u32 | Self::TEN,
        }
    }

    /// The address with the wire value `value`; `None` if it has too many bits.
    pub const fn from_wire(value: u32) -> Option<Self> {
        match value {
            0..=0x7f => Some(Self::Seven(value as u8)),
            Self::TEN..=0x7ff => Some(Self::Ten((value & 0x3ff) as u16)),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seven(address) => write!(f, "{address:#04x}"),
            Self::Ten(address) => write!(f, "{address:#05x} (10 bit)"),
        }
    }
}

/// A part of a transaction, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// From the device to the client.
    pub read: bool,
    /// Number of bytes.
    pub length: usize,
}

impl Message {
    /// Words that its data take.
    pub const fn words(self) -> usize {
        self.length.div_ceil(4)
    }
}

/// The messages of a transaction.
pub type Messages = Vec<Message, MESSAGES>;

/// Bytes in memory that client and server share, four to a word, lowest first.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a>(&'a [AtomicU32]);

impl<'a> Payload<'a> {
    /// The bytes of `words`.
    pub const fn new(words: &'a [AtomicU32]) -> Self {
        Self(words)
    }

    /// Byte `index`; 0 behind the end.
    #[inline]
    pub fn get(self, index: usize) -> u8 {
        self.0.get(index / 4).map_or(0, |word| (word.load(Ordering::Relaxed) >> (index % 4 * 8)) as u8)
    }

    /// Sets byte `index`, if it exists.
    #[inline]
    pub fn set(self, index: usize, value: u8) {
        if let Some(word) = self.0.get(index / 4) {
            let shift = index % 4 * 8;
            let others = word.load(Ordering::Relaxed) & !(0xff << shift);
            word.store(others | u32::from(value) << shift, Ordering::Relaxed);
        }
    }
}

/// The messages that lie in a buffer, and their data. Copied and checked once: the client may change the buffer at any time.
///
/// # Errors
/// [`SessionError::Invalid`]: no messages or too many, or they do not fit into the buffer.
pub fn load(buffer: &[AtomicU32], count: u32) -> Result<(Messages, Payload<'_>), SessionError> {
    let (heads, data) = buffer.split_at_checked(DATA).ok_or(SessionError::Invalid)?;
    let count = count as usize;
    if !(1..=MESSAGES).contains(&count) {
        return Err(SessionError::Invalid);
    }
    let mut messages = Messages::new();
    let mut words = 0;
    for head in heads.iter().take(count) {
        let head = head.load(Ordering::Relaxed);
        let message = Message { read: head & READ != 0, length: (head & !READ) as usize };
        words += message.words();
        if message.length > LENGTH || words > data.len() {
            return Err(SessionError::Invalid);
        }
        messages.push(message).map_err(|_| SessionError::Invalid)?;
    }
    Ok((messages, Payload(data)))
}

/// The first word of a short transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortRequest {
    /// The device.
    pub address: Address,
    /// Number of bytes to write first; `None`: nothing is written.
    pub write: Option<usize>,
    /// Number of bytes to read then; `None`: nothing is read.
    pub read: Option<usize>,
}

impl ShortRequest {
    /// Its wire value: address, then a byte for each length, with bit 7 set if there is such a message.
    pub const fn to_wire(self) -> u32 {
        const fn length(message: Option<usize>) -> u32 {
            match message {
                Some(length) => length as u32 | 0x80,
                None => 0,
            }
        }
        self.address.to_wire() | length(self.write) << 16 | length(self.read) << 24
    }

    /// The request with the wire value `value`; `None` if it is not one.
    pub fn from_wire(value: u32) -> Option<Self> {
        let length = |byte: u32| match byte {
            0 => Some(None),
            0x80..=0xff if (byte & 0x7f) as usize <= SHORT => Some(Some((byte & 0x7f) as usize)),
            _ => None,
        };
        let request = Self {
            address: Address::from_wire(value & 0xffff)?,
            write: length(value >> 16 & 0xff)?,
            read: length(value >> 24)?,
        };
        (request.write.is_some() || request.read.is_some()).then_some(request)
    }

    /// The messages of the transaction.
    pub fn messages(self) -> Messages {
        let message = |read, length: Option<usize>| length.map(|length| Message { read, length });
        [message(false, self.write), message(true, self.read)].into_iter().flatten().collect()
    }

    /// A transaction as such a request, if it is short enough.
    fn of(address: Address, messages: &[Message]) -> Option<Self> {
        let (write, read) = match *messages {
            [Message { read: false, length }] => (Some(length), None),
            [Message { read: true, length }] => (None, Some(length)),
            [Message { read: false, length: write }, Message { read: true, length: read }] => (Some(write), Some(read)),
            _ => return None,
        };
        (write.unwrap_or(0) <= SHORT && read.unwrap_or(0) <= SHORT).then_some(Self { address, write, read })
    }
}

/// Why a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u32)]
pub enum Kind {
    /// No device acknowledged the address.
    #[error("no device acknowledges the address")]
    NoDevice = 1,
    /// The device did not acknowledge a byte.
    #[error("the device does not acknowledge the byte")]
    NoAcknowledge = 2,
    /// Another master kept winning the bus.
    #[error("another master has the bus")]
    ArbitrationLost = 3,
    /// The device held the clock for too long, or the controller did not come to an end.
    #[error("the transfer does not come to an end in time")]
    Timeout = 4,
    /// A line of the bus stays low, and clock pulses did not free it.
    #[error("the bus is held low and could not be freed")]
    Wedged = 5,
    /// The driver was kept from running for so long that data were lost.
    #[error("data were lost between controller and driver")]
    Overrun = 6,
    /// The controller cannot do such a transaction; nothing was sent. See the driver.
    #[error("the controller cannot do this transaction")]
    Unsupported = 7,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::NoDevice,
        Self::NoAcknowledge,
        Self::ArbitrationLost,
        Self::Timeout,
        Self::Wedged,
        Self::Overrun,
        Self::Unsupported,
    ];
}

/// Why and where a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (message {message}, byte {byte})")]
pub struct Failure {
    /// Why.
    pub kind: Kind,
    /// In which message, counted from 0 after neighbours of one direction were joined.
    pub message: u8,
    /// At which of its bytes, counted from 0: so many were transferred and acknowledged before.
    pub byte: u16,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has ended as it should.
    Done,
    /// It has not ended.
    UnderWay,
    /// It has failed.
    Failed(Failure),
}

impl Status {
    /// Wire value of [`UnderWay`](Self::UnderWay).
    pub const UNDER_WAY: u32 = 0xff;

    /// Its wire value: the kind of failure, message, byte.
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::UnderWay => Self::UNDER_WAY,
            Self::Failed(Failure { kind, message, byte }) => kind as u32 | (message as u32) << 8 | (byte as u32) << 16,
        }
    }

    /// The status with the wire value `value`; `None` if it is none.
    pub fn from_wire(value: u32) -> Option<Self> {
        match value & 0xff {
            0 => Some(Self::Done),
            Self::UNDER_WAY => Some(Self::UnderWay),
            kind => {
                let kind = Kind::ALL.into_iter().find(|known| *known as u32 == kind)?;
                Some(Self::Failed(Failure { kind, message: (value >> 8) as u8, byte: (value >> 16) as u16 }))
            }
        }
    }
}

/// What the server says about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Size of the buffer in bytes; 0: there is none, and transactions must be short.
    pub buffer: u32,
    /// Highest rate of the clock line in Hz.
    pub rate: u32,
}

/// Why a client's transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server refused it: the address is not the session's ([`SessionError::Denied`]), or the server is gone.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It failed on the bus.
    #[error(transparent)]
    Bus(#[from] Failure),
    /// It does not fit the session's buffer; nothing was sent.
    #[error("transaction of {bytes} bytes in a session for {room}; open the session with a larger buffer")]
    TooLong {
        /// Bytes it takes in the buffer.
        bytes: usize,
        /// Bytes there are.
        room: usize,
    },
    /// It has more than [`MESSAGES`] messages, or one of more than [`LENGTH`] bytes; nothing was sent.
    #[error("transaction of more than {MESSAGES} messages, or with one of more than {LENGTH} bytes")]
    TooManyMessages,
}

impl embedded_hal::i2c::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Bus(failure) => match failure.kind {
                Kind::NoDevice => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
                Kind::NoAcknowledge => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
                Kind::ArbitrationLost => ErrorKind::ArbitrationLoss,
                Kind::Overrun => ErrorKind::Overrun,
                Kind::Timeout | Kind::Wedged => ErrorKind::Bus,
                Kind::Unsupported => ErrorKind::Other,
            },
            _ => ErrorKind::Other,
        }
    }
}

/// A session: the bus as its client sees it.
///
/// `M` is the attached buffer of the session.
#[derive(Debug)]
pub struct Bus<T, M> {
    session: T,
    buffer: Option<M>,
    /// A transaction was begun, and nobody has seen its end.
    under_way: bool,
}

/// What the server says about a session, without its buffer.
pub fn info<T: Transport>(session: &T) -> Result<Info, SessionError> {
    match session.call(&I2cRequest::Info.encode(), &[])?.words() {
        [buffer, rate] => Ok(Info { buffer: *buffer, rate: *rate }),
        _ => Err(SessionError::Invalid),
    }
}

/// The dataspace of a session's buffer.
pub fn buffer<T: Transport>(session: &T) -> Result<T::Capability, SessionError> {
    session.call_for_cap(&I2cRequest::Buffer.encode(), &[])?.1.ok_or(SessionError::Invalid)
}

impl<T: Transport, M: AsRef<[AtomicU32]>> Bus<T, M> {
    /// The client of a session; without its `buffer` it can do short transactions only.
    pub const fn new(session: T, buffer: Option<M>) -> Self {
        Self { session, buffer, under_way: false }
    }

    /// Its parts: the session and the buffer.
    pub fn into_parts(self) -> (T, Option<M>) {
        (self.session, self.buffer)
    }

    /// Names the notification in slot `notification` as the one that the end of an asynchronous transaction raises.
    pub fn connect(&self, notification: u32) -> Result<(), SessionError> {
        self.session.call(&I2cRequest::Connect.encode(), &[notification]).map(drop)
    }

    /// Does a transaction and waits for its end.
    ///
    /// There is no time limit here: the server has deadlines of its own.
    pub fn transact(&mut self, address: Address, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        self.settle()?;
        let messages = join(operations)?;
        if messages.is_empty() {
            return Ok(());
        }
        if let Some(request) = ShortRequest::of(address, &messages) {
            return self.transact_short(request, operations);
        }
        self.store(&messages, operations)?;
        self.finish(self.begin(address, &messages, true)?, operations)
    }

    fn transact_short(&self, request: ShortRequest, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        let words = [const { AtomicU32::new(0) }; 2 * SHORT_WORDS];
        put(Payload(&words), operations);
        let [first, second, third, ..] = words.each_ref().map(|word| word.load(Ordering::Relaxed));
        let [status, data @ ..] =
            self.session.call_fast(SHORT_TRANSFER, [request.to_wire(), first, second, third], 4)?;
        check(status)?;
        // The answer has only what was read, which comes behind what was written.
        let written = request.write.unwrap_or(0).div_ceil(4);
        words.iter().skip(written).zip(data).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
        take(Payload(&words), operations);
        Ok(())
    }

    /// Does a transaction; the future is done at its end. To be polled whenever the connected notification is raised.
    async fn transact_async(&mut self, address: Address, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        self.settle()?;
        let messages = join(operations)?;
        if messages.is_empty() {
            return Ok(());
        }
        self.store(&messages, operations)?;
        let mut status = self.begin(address, &messages, false)?;
        self.under_way = true;
        if status == Status::UNDER_WAY {
            status = poll_fn(|_| match self.session.call_fast(POLL, [0; 4], 1) {
                Ok([Status::UNDER_WAY, ..]) => Poll::Pending,
                Ok([ended, ..]) => Poll::Ready(Ok(ended)),
                Err(error) => Poll::Ready(Err(error)),
            })
            .await?;
        }
        self.under_way = false;
        self.finish(status, operations)
    }

    /// Waits for the end of a transaction whose future was dropped.
    fn settle(&mut self) -> Result<(), Error> {
        if self.under_way {
            self.session.call_fast(POLL, [1, 0, 0, 0], 1)?;
            self.under_way = false;
        }
        Ok(())
    }

    fn words(&self) -> &[AtomicU32] {
        self.buffer.as_ref().map_or(&[], AsRef::as_ref)
    }

    /// Lays a transaction into the buffer.
    fn store(&self, messages: &[Message], operations: &[Operation<'_>]) -> Result<(), Error> {
        let words = self.words();
        let needed = DATA + messages.iter().map(|message| message.words()).sum::<usize>();
        match words.split_at_checked(DATA) {
            Some((heads, data)) if needed <= words.len() => {
                for (head, message) in heads.iter().zip(messages) {
                    let direction = if message.read { READ } else { 0 };
                    head.store(message.length as u32 | direction, Ordering::Relaxed);
                }
                put(Payload(data), operations);
                Ok(())
            }
            _ => Err(Error::TooLong { bytes: needed * 4, room: words.len() * 4 }),
        }
    }

    fn begin(&self, address: Address, messages: &[Message], wait: bool) -> Result<u32, Error> {
        let words = [address.to_wire(), messages.len() as u32, wait.into(), 0];
        let [status, ..] = self.session.call_fast(TRANSFER, words, 3)?;
        Ok(status)
    }

    fn finish(&self, status: u32, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        check(status)?;
        let data = self.words().get(DATA..).unwrap_or(&[]);
        take(Payload(data), operations);
        Ok(())
    }
}

fn check(status: u32) -> Result<(), Error> {
    match Status::from_wire(status) {
        Some(Status::Done) => Ok(()),
        Some(Status::Failed(failure)) => Err(Error::Bus(failure)),
        Some(Status::UnderWay) | None => Err(Error::Session(SessionError::Invalid)),
    }
}

/// The messages of a transaction: neighbours of one direction are one.
fn join(operations: &[Operation<'_>]) -> Result<Messages, Error> {
    let mut messages = Messages::new();
    for operation in operations {
        let (read, length) = match operation {
            Operation::Read(data) => (true, data.len()),
            Operation::Write(data) => (false, data.len()),
        };
        match messages.last_mut() {
            Some(last) if last.read == read => last.length = last.length.saturating_add(length),
            _ => messages.push(Message { read, length }).map_err(|_| Error::TooManyMessages)?,
        }
    }
    if messages.iter().any(|message| message.length > LENGTH) {
        return Err(Error::TooManyMessages);
    }
    Ok(messages)
}

/// Where the data of operations lie: one behind the other, each message on a word of its own.
#[derive(Default)]
struct Places {
    next: usize,
    read: Option<bool>,
}

impl Places {
    /// The first byte of the next operation.
    fn place(&mut self, read: bool, length: usize) -> usize {
        if self.read.replace(read) != Some(read) {
            self.next = self.next.next_multiple_of(4);
        }
        let place = self.next;
        self.next += length;
        place
    }
}

/// Copies what is to be written.
fn put(data: Payload<'_>, operations: &[Operation<'_>]) {
    let mut places = Places::default();
    for operation in operations {
        match operation {
            Operation::Read(bytes) => _ = places.place(true, bytes.len()),
            Operation::Write(bytes) => {
                let place = places.place(false, bytes.len());
                bytes.iter().zip(place..).for_each(|(byte, index)| data.set(index, *byte));
            }
        }
    }
}

/// Copies what was read.
fn take(data: Payload<'_>, operations: &mut [Operation<'_>]) {
    let mut places = Places::default();
    for operation in operations {
        match operation {
            Operation::Read(bytes) => {
                let place = places.place(true, bytes.len());
                bytes.iter_mut().zip(place..).for_each(|(byte, index)| *byte = data.get(index));
            }
            Operation::Write(bytes) => _ = places.place(false, bytes.len()),
        }
    }
}

impl<T, M> ErrorType for Bus<T, M> {
    type Error = Error;
}

impl<T: Transport, M: AsRef<[AtomicU32]>> I2c<SevenBitAddress> for Bus<T, M> {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        self.transact(Address::Seven(address), operations)
    }
}

impl<T: Transport, M: AsRef<[AtomicU32]>> I2c<TenBitAddress> for Bus<T, M> {
    fn transaction(&mut self, address: u16, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        self.transact(Address::Ten(address), operations)
    }
}

/// For a session with a buffer that is [connected](Bus::connect): the future is to be polled whenever the component is signalled. A transaction whose future is
/// dropped goes on, and the next one waits for its end.
impl<T: Transport, M: AsRef<[AtomicU32]>> embedded_hal_async::i2c::I2c<SevenBitAddress> for Bus<T, M> {
    async fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        self.transact_async(Address::Seven(address), operations).await
    }
}

/// As for addresses of 7 bits.
impl<T: Transport, M: AsRef<[AtomicU32]>> embedded_hal_async::i2c::I2c<TenBitAddress> for Bus<T, M> {
    async fn transaction(&mut self, address: u16, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        self.transact_async(Address::Ten(address), operations).await
    }
}

#[cfg(test)]
mod tests;
