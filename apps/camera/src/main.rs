//! Holds the camera, and hands its pictures on to one other component.
//!
//! # Theory of operation
//!
//! Towards the driver it is the client that has the camera and pays for its buffers; towards its own client it is a capture server. A request for a picture goes
//! on to the driver, and the answer comes back; the buffers' dataspaces are passed on once. So its client has the camera without the right to it, for as long as this
//! component likes, and no picture is copied, or mapped here.
//!
//! A request waits in the driver until there is a picture, which its deadlines bound; meanwhile this component does nothing else. When the driver is gone it
//! ends, and its client hears that its session is gone.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::camera::Camera;
use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::{Account, Capability, Env, Error, log};
use serde::Deserialize;
use session::Message;
use session::capture::{CaptureRequest, MAX_HELD};

component::entry!(run);

/// Clients at a time: one has the pictures, and another one hears that it does.
const SESSIONS: usize = 2;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// RAM to donate to the driver, in bytes.
    ram: u32,
}

struct Source {
    camera: Camera,
    /// Somebody has the pictures.
    taken: bool,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let camera = Camera::open(config.ram, MAX_HELD)?;
    let info = camera.info();
    log!("{} x {}, {} buffers", info.width, info.height, info.buffers);
    serve::<_, SESSIONS>(&mut Source { camera, taken: false })
}

impl Server for Source {
    type Session = ();

    fn open(&mut self, request: &OpenRequest, _: Account) -> Result<(), Error> {
        // What is held was decided when the buffers were made.
        if !(1..=MAX_HELD).contains(&request.argument) {
            return Err(Error::Invalid);
        }
        if core::mem::replace(&mut self.taken, true) { Err(Error::Busy) } else { Ok(()) }
    }

    fn close(&mut self, (): ()) {
        self.taken = false;
    }

    fn request(&mut self, (): &mut (), message: &Message, received: Option<Capability>) -> Result<Answer, Error> {
        let server = self.camera.server();
        let answer = match CaptureRequest::decode(message).ok_or(Error::Invalid)?.0 {
            CaptureRequest::Info => Ok(Answer::words(&self.camera.info().to_words())),
            CaptureRequest::Buffer { index } => {
                let buffer = self.camera.buffer(index).ok_or(Error::NotFound)?;
                Ok(Answer::capability(buffer.slot(), &[]))
            }
            CaptureRequest::Take { wait } => {
                server.take_counted(wait != 0).map(|(index, lost)| Answer::words(&[0, index, lost]))
            }
            CaptureRequest::Connect => {
                let notification = received.ok_or(Error::Invalid)?;
                server.connect(notification.slot()).map(|()| Answer::words(&[]))
            }
        };
        if matches!(answer, Err(Error::Gone)) {
            component::exit(1, "the camera's driver is gone");
        }
        answer
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, ()>) {}
}
