//! The start of a component, its parent and its configuration.

use core::fmt;

use abi::slot;
use serde::Deserialize;
use session::parent::{ParentRequest, ServerEvent};
use session::{Error, Service};

use crate::cap::{Capability, call, call_for_cap};
use crate::platform::Account;

/// What a component knows when it starts.
#[derive(Debug)]
pub struct Env {
    config: &'static [u8],
}

/// A session with a server.
#[derive(Debug)]
pub struct Session {
    id: u32,
    /// What the server gave; services of core may need none.
    pub capability: Option<Capability>,
}

impl Session {
    /// Its number, for requests about it to the parent.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Donates `ram` bytes and `caps` capabilities more from the own account. The server can spend them when this returns.
    ///
    /// # Errors
    /// [`Error::OutOfRam`], [`Error::OutOfCaps`] if the own account cannot pay; [`Error::Gone`] if the session is being closed or
    /// its server is gone.
    pub fn upgrade(&self, ram: u32, caps: u32) -> Result<(), Error> {
        call(slot::PARENT, &ParentRequest::Upgrade { session: self.id, ram, caps }.encode(), &[]).map(drop)
    }

    /// Makes a request; as long as the server says that the donation is insufficient, donates `ram` bytes or `caps` capabilities more and
    /// makes it again, at most `times` times.
    ///
    /// # Errors
    /// Those of the request, and of [`upgrade`](Self::upgrade).
    pub fn with_upgrades<T>(
        &self,
        [ram, caps]: [u32; 2],
        times: u32,
        mut request: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..times {
            match request() {
                Err(Error::InsufficientRam) => self.upgrade(ram, 0)?,
                Err(Error::InsufficientCaps) => self.upgrade(0, caps)?,
                result => return result,
            }
        }
        request()
    }

    /// Its number, as [`ParentRequest::Close`] takes it.
    pub fn number(&self) -> u32 {
        self.id
    }

    /// Closes the session; the donation is back when this returns.
    pub fn close(self) -> Result<(), Error> {
        drop(self.capability);
        call(slot::PARENT, &ParentRequest::Close { session: self.id }.encode(), &[]).map(drop)
    }
}

/// What to open.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    /// The service.
    pub service: Service,
    /// The name wanted, for services that have several things.
    pub name: &'a str,
    /// RAM to donate, in bytes.
    pub ram: u32,
    /// Capabilities to donate.
    pub caps: u32,
    /// Argument of the service.
    pub argument: u32,
    /// A notification to go with the request.
    pub notification: Option<u32>,
}

impl Open<'_> {
    /// A session that needs nothing but a service.
    pub const fn new(service: Service) -> Self {
        Self { service, name: "", ram: 0, caps: 0, argument: 0, notification: None }
    }
}

/// Opens a session.
///
/// # Errors
/// [`Error::Denied`] without a route; [`Error::OutOfRam`], [`Error::OutOfCaps`] if the own account cannot pay the
/// donation; [`Error::InsufficientRam`], [`Error::InsufficientCaps`] if the donation is too small for the server.
pub fn open(open: &Open<'_>) -> Result<Session, Error> {
    let Open { service, name, ram, caps, argument, notification } = *open;
    let mut message = ParentRequest::Open { service: service as u32, ram, caps, argument }.encode();
    message.push_text(name);
    let (answer, capability) = match notification {
        None => call_for_cap(slot::PARENT, &message, &[]),
        Some(notification) => call_for_cap(slot::PARENT, &message, &[notification]),
    }?;
    Ok(Session { id: answer.word(0).ok_or(Error::Invalid)?, capability })
}

/// Opens a session and makes of its capability what its client needs. If that fails, the session is closed again.
pub(crate) fn open_with<T>(
    request: &Open<'_>,
    make: impl FnOnce(Capability) -> Result<T, Error>,
) -> Result<(T, Session), Error> {
    let mut session = open(request)?;
    match session.capability.take().ok_or(Error::Invalid).and_then(make) {
        Ok(made) => Ok((made, session)),
        Err(error) => {
            session.close()?;
            Err(error)
        }
    }
}

impl Env {
    /// The configuration as the system description has it, JSON; empty if there is none.
    pub fn config_text(&self) -> &'static [u8] {
        self.config
    }

    /// The configuration, checked completely. What is wrong with it goes to the log.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none, or it does not fit what the component expects.
    pub fn config<T: Deserialize<'static>>(&self) -> Result<T, Error> {
        if self.config.is_empty() {
            crate::log!("no configuration: the system description gives this component none");
            return Err(Error::Invalid);
        }
        serde_json_core::from_slice(self.config).map(|(config, _)| config).map_err(|error| refuse_config(&error))
    }

    /// Like [`config`](Self::config), for a configuration that has to pass a `check` besides.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none, or it does not fit what the component expects, or does not pass.
    pub fn checked_config<T: Deserialize<'static>, E: fmt::Display>(
        &self,
        check: impl FnOnce(&T) -> Result<(), E>,
    ) -> Result<T, Error> {
        let config = self.config()?;
        match check(&config) {
            Ok(()) => Ok(config),
            Err(error) => Err(refuse_config(&error)),
        }
    }
}

/// Says what is wrong with the component's configuration.
pub fn refuse_config(error: &dyn fmt::Display) -> Error {
    crate::log!("configuration: {error}");
    Error::Invalid
}

/// Asks the parent for more quota: what the own account is short of. `true`: it is there. `false`: the parent has noted it, and
/// raises the parent's signal when it grants it; see [`next_event`].
///
/// # Errors
/// [`Error::Denied`]: the parent's policy never gives that much.
pub fn ask(ram: u32, caps: u32) -> Result<bool, Error> {
    let answer = call(slot::PARENT, &ParentRequest::Ask { ram, caps }.encode(), &[])?;
    Ok(answer.word(0) == Some(1))
}

/// What the parent has to say, for components that serve nobody; servers have it from [`serve`](crate::server::serve).
pub fn next_event() -> Result<Option<ServerEvent>, Error> {
    next_request().map(|next| next.map(|(event, _)| event))
}

/// Tells the parent that what can be spared is free: the answer to [`ServerEvent::Yield`].
pub fn yielded() -> Result<(), Error> {
    call(slot::PARENT, &ParentRequest::Yielded.encode(), &[]).map(drop)
}

/// The notification that came with a request for a session.
pub(crate) fn brought(request: u32) -> Result<Option<Capability>, Error> {
    Ok(call_for_cap(slot::PARENT, &ParentRequest::Brought { request }.encode(), &[])?.1)
}

/// Ends a session that this component serves.
pub(crate) fn end_session(session: u32) -> Result<(), Error> {
    call(slot::PARENT, &ParentRequest::End { session }.encode(), &[]).map(drop)
}

/// The next request of the parent to this server.
pub(crate) fn next_request() -> Result<Option<(ServerEvent, Option<Account>)>, Error> {
    let (answer, capability) = call_for_cap(slot::PARENT, &ParentRequest::Next.encode(), &[])?;
    Ok(ServerEvent::decode(&answer).map(|event| (event, capability.map(Account::from_capability))))
}

/// Answers a request of the parent.
pub(crate) fn answer(request: u32, result: Result<Option<u32>, Error>) -> Result<(), Error> {
    let status = Error::label(&result);
    let message = ParentRequest::Answer { request, status }.encode();
    match result {
        Ok(Some(cap)) => call(slot::PARENT, &message, &[cap]),
        _ => call(slot::PARENT, &message, &[]),
    }
    .map(drop)
}

/// Tells the parent that threads of a priority have not run for too long; for its watchdog alone. 0: all run again. Returns how many
/// components the parent has ended for that.
///
/// # Errors
/// [`Error::Denied`]: the parent has another watchdog, or none.
pub fn starving(priority: u32) -> Result<u32, Error> {
    call(slot::PARENT, &ParentRequest::Starving { priority }.encode(), &[])?.word(0).ok_or(Error::Invalid)
}

/// Ends the component: never returns.
pub fn exit(code: u32, last_word: &str) -> ! {
    let mut message = ParentRequest::Exit { code }.encode();
    message.push_text(last_word);
    let _ = call(slot::PARENT, &message, &[]);
    loop {
        // The parent does not answer; should it have refused, there is nothing left to do but to wait for the end.
        crate::gate::wait(slot::NOTIFICATION);
    }
}

#[cfg(target_os = "none")]
mod target {
    use super::{Env, exit};
    use abi::{IPC_BASE, START_INFO_OFFSET, StartInfo};

    /// Starts a component: called by [`entry!`](crate::entry).
    pub fn start(main: fn(Env) -> Result<(), session::Error>) -> ! {
        if !crate::gate::is_compatible() {
            // Without a gate there is no way to say so; the fault that follows is reported to the parent.
            loop {
                core::hint::spin_loop();
            }
        }
        // SAFETY: the parent has mapped the page and filled the structure before this thread started; nothing writes to that part
        // of the page afterwards.
        let info = unsafe { &*core::ptr::with_exposed_provenance::<StartInfo>(IPC_BASE + START_INFO_OFFSET) };
        crate::cap::set_slots(info.slots);
        let config = info.config.get(..info.config_len as usize).unwrap_or(&[]);
        match main(Env { config }) {
            Ok(()) => exit(0, ""),
            Err(error) => {
                crate::log!("failed: {error}");
                exit(1, "")
            }
        }
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        crate::log!("{info}");
        exit(101, "panicked")
    }
}

#[cfg(target_os = "none")]
pub use target::start;
