use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::vec;

use embedded_hal::i2c::Error as _;
use proptest::prelude::*;

use super::*;
use crate::Message as Words;

/// Messages or operations: direction and data.
type Parts = vec::Vec<(bool, vec::Vec<u8>)>;

const ROOM: usize = 64 * 4;

/// A server whose device answers each byte read with the next of what was written before, in a loop.
struct Server {
    buffer: &'static [AtomicU32],
    calls: RefCell<vec::Vec<u32>>,
    /// The transactions as they were on the bus.
    seen: RefCell<vec::Vec<(Address, Parts)>>,
    answer: Cell<Status>,
    /// Polls that an asynchronous transaction takes.
    polls: Cell<u32>,
}

impl Server {
    fn new() -> Self {
        let buffer: vec::Vec<AtomicU32> = (0..ROOM / 4).map(|_| AtomicU32::new(0)).collect();
        Self {
            buffer: Box::leak(buffer.into_boxed_slice()),
            calls: RefCell::default(),
            seen: RefCell::default(),
            answer: Cell::new(Status::Done),
            polls: Cell::new(0),
        }
    }

    fn run(&self, address: Address, messages: &[Message], data: Payload<'_>) {
        let (mut place, mut written, mut seen) = (0, 0_u8, vec![]);
        for message in messages {
            let bytes = place..place + message.length;
            if message.read {
                bytes
                    .clone()
                    .for_each(|index| data.set(index, ((index - place) as u8).wrapping_add(0xa0 + written % 16)));
            } else {
                written = message.length as u8;
            }
            seen.push((message.read, bytes.map(|index| data.get(index)).collect()));
            place += message.words() * 4;
        }
        self.seen.borrow_mut().push((address, seen));
    }
}

impl Transport for &Server {
    type Capability = ();

    fn call(&self, _: &Words, _: &[u32]) -> Result<Words, SessionError> {
        Err(SessionError::Invalid)
    }

    fn call_for_cap(&self, _: &Words, _: &[u32]) -> Result<(Words, Option<()>), SessionError> {
        Err(SessionError::Invalid)
    }

    fn call_words(&self, label: u32, words: [u32; 4], _: u32) -> (u32, [u32; 4]) {
        self.calls.borrow_mut().push(label);
        let answer = self.answer.get().to_wire();
        match label {
            SHORT_TRANSFER => {
                let request = ShortRequest::from_wire(words[0]).unwrap();
                let data: vec::Vec<AtomicU32> = words[1..].iter().chain(&[0; 3]).map(|w| AtomicU32::new(*w)).collect();
                self.run(request.address, &request.messages(), Payload(&data));
                let skip = request.write.unwrap_or(0).div_ceil(4);
                let word = |index: usize| data[skip + index].load(Ordering::Relaxed);
                (0, [answer, word(0), word(1), word(2)])
            }
            TRANSFER => {
                let (messages, data) = load(self.buffer, words[1]).unwrap();
                self.run(Address::from_wire(words[0]).unwrap(), &messages, data);
                (0, [if words[2] == 1 { answer } else { Status::UNDER_WAY }, 0, 0, 0])
            }
            POLL => {
                let left = self.polls.get();
                self.polls.set(left.saturating_sub(1));
                (0, [if left > 0 && words[0] == 0 { Status::UNDER_WAY } else { answer }, 0, 0, 0])
            }
            _ => (SessionError::Invalid as u32, [0; 4]),
        }
    }
}

struct Buffer(&'static [AtomicU32]);

impl AsRef<[AtomicU32]> for Buffer {
    fn as_ref(&self) -> &[AtomicU32] {
        self.0
    }
}

fn bus(server: &Server) -> Bus<&Server, Buffer> {
    Bus::new(server, Some(Buffer(server.buffer)))
}

/// Polls until the end and returns how often.
fn poll<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = pin!(future);
    for polls in 1.. {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (output, polls);
        }
    }
    unreachable!()
}

/// The messages that operations are on the bus, by another way than the code's.
fn expected(operations: &[(bool, vec::Vec<u8>)]) -> Parts {
    operations
        .chunk_by(|a, b| a.0 == b.0)
        .map(|run| (run[0].0, run.iter().flat_map(|o| o.1.clone()).collect()))
        .collect()
}

fn check_transaction(parts: &[(bool, vec::Vec<u8>)], asynchronous: bool) {
    let server = Server::new();
    server.polls.set(3);
    let mut data: vec::Vec<_> = parts.iter().map(|(read, bytes)| (*read, bytes.clone())).collect();
    let mut operations: vec::Vec<Operation<'_>> = data
        .iter_mut()
        .map(|(read, bytes)| if *read { Operation::Read(bytes) } else { Operation::Write(bytes) })
        .collect();
    let mut bus = bus(&server);
    let result = if asynchronous {
        let (result, polls) = poll(embedded_hal_async::i2c::I2c::transaction(&mut bus, 0x50_u8, &mut operations));
        assert_eq!(polls, if parts.is_empty() { 1 } else { 4 });
        result
    } else {
        I2c::transaction(&mut bus, 0x50_u8, &mut operations)
    };
    result.unwrap();
    if parts.is_empty() {
        assert!(server.seen.borrow().is_empty());
        return;
    }
    let seen = server.seen.borrow();
    let [(Address::Seven(0x50), seen)] = &seen[..] else { panic!("{seen:?}") };
    // What was read is in the operations now, so both sides must agree about every byte.
    assert_eq!(*seen, expected(&data));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_byte_comes_where_it_belongs(
        parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..18)), 0..8),
        asynchronous in any::<bool>(),
    ) {
        check_transaction(&parts, asynchronous);
    }

    #[test]
    fn words_from_a_client_never_panic(words in prop::collection::vec(any::<u32>(), 0..40), count in 0..40_u32) {
        let memory: vec::Vec<AtomicU32> = words.iter().map(|word| AtomicU32::new(*word)).collect();
        if let Ok((messages, _)) = load(&memory, count) {
            let words: usize = messages.iter().map(|message| message.words()).sum();
            prop_assert!(words + DATA <= memory.len());
        }
        for word in words {
            if let Some(request) = ShortRequest::from_wire(word) {
                prop_assert_eq!(request.to_wire(), word & 0x8f8f_07ff);
            }
            let _ = Status::from_wire(word);
        }
    }
}

#[test]
fn short_transactions_take_one_call() {
    let server = Server::new();
    let mut data = [0; SHORT];
    I2c::write_read(&mut bus(&server), 0x48_u8, &[7; SHORT], &mut data).unwrap();
    assert_eq!(data, core::array::from_fn(|index| index as u8 + 0xa0 + SHORT as u8));
    I2c::write(&mut bus(&server), 0x123_u16, &[1]).unwrap();
    assert_eq!(*server.calls.borrow(), [SHORT_TRANSFER; 2]);
    assert_eq!(server.seen.borrow()[1].0, Address::Ten(0x123));
    // No buffer, and none needed.
    I2c::read(&mut Bus::<_, Buffer>::new(&server, None), 0x48_u8, &mut data).unwrap();
    let result = I2c::read(&mut Bus::<_, Buffer>::new(&server, None), 0x48_u8, &mut [0; SHORT + 1]);
    assert_eq!(result, Err(Error::TooLong { bytes: 80, room: 0 }));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let server = Server::new();
    let mut bus = bus(&server);
    assert_eq!(I2c::write(&mut bus, 1_u8, &[0; ROOM]), Err(Error::TooLong { bytes: 4 * DATA + ROOM, room: ROOM }));
    let mut byte = [[0; 1]; MESSAGES + 1];
    let mut operations: vec::Vec<Operation<'_>> = byte
        .iter_mut()
        .enumerate()
        .map(|(index, byte)| if index % 2 == 0 { Operation::Read(byte) } else { Operation::Write(byte) })
        .collect();
    assert_eq!(I2c::transaction(&mut bus, 1_u8, &mut operations), Err(Error::TooManyMessages));
    assert!(server.calls.borrow().is_empty());
}

#[test]
fn failures_say_where() {
    for kind in Kind::ALL {
        let failure = Failure { kind, message: 3, byte: 0xfffe };
        assert_eq!(Status::from_wire(Status::Failed(failure).to_wire()), Some(Status::Failed(failure)));
        let server = Server::new();
        server.answer.set(Status::Failed(failure));
        let mut bus = bus(&server);
        assert_eq!(I2c::write(&mut bus, 1_u8, &[0]), Err(Error::Bus(failure)));
        let (result, _) = poll(embedded_hal_async::i2c::I2c::write(&mut bus, 1_u8, &[0; 20]));
        assert_eq!(result, Err(Error::Bus(failure)));
    }
    let error = Error::Bus(Failure { kind: Kind::NoDevice, message: 0, byte: 0 });
    assert_eq!(error.kind(), ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
    assert_eq!(std::format!("{error}"), "no device acknowledges the address (message 0, byte 0)");
}

#[test]
fn a_dropped_transaction_is_waited_for() {
    let server = Server::new();
    server.polls.set(5);
    let mut bus = bus(&server);
    {
        let transaction = embedded_hal_async::i2c::I2c::write(&mut bus, 1_u8, &[0; 20]);
        let mut transaction = pin!(transaction);
        assert!(transaction.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    server.calls.borrow_mut().clear();
    I2c::write(&mut bus, 1_u8, &[0]).unwrap();
    assert_eq!(*server.calls.borrow(), [POLL, SHORT_TRANSFER]);
}
