//! The control socket: one command a line, one answer in JSON a line.
//!
//! Commands are those of [`models::board::command`]. The answer is `{"reply": ...}` with a [`Reply`], or `{"error": "..."}`. Any number of clients
//! may be connected. Commands are executed in the emulator's main loop, at whatever virtual time that is; what has to happen
//! at an exact time belongs into the board's description.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use models::board::{Command, CommandError, Reply};
use serde_json::json;

use crate::ffi::{Machine, Watched};

/// Longest line of a client.
const LINE: usize = 4096;
/// Time that a client has to take its answer; the machine stands still meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// The control socket.
pub(crate) struct Control {
    listener: UnixListener,
    clients: BTreeMap<i32, Client>,
}

struct Client {
    stream: UnixStream,
    /// What has come of a line.
    begun: Vec<u8>,
}

impl Control {
    /// Listens at `path`. A socket that a process has left there, and that no one listens to, is replaced.
    ///
    /// # Errors
    /// A message for the user.
    pub(crate) fn listen(path: &Path) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("control={}: {error}", path.display());
        if UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path).map_err(wrong)?;
        }
        let listener = UnixListener::bind(path).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        Ok(Self { listener, clients: BTreeMap::new() })
    }

    /// Starts to answer.
    pub(crate) fn start(&self, machine: Machine) {
        machine.watch(self.listener.as_raw_fd(), Watched::Reading);
    }

    /// Something has come in on `file`.
    pub(crate) fn input(
        &mut self,
        file: i32,
        machine: Machine,
        mut execute: impl FnMut(&Command) -> Result<Reply, CommandError>,
    ) {
        if file == self.listener.as_raw_fd() {
            self.accept(machine);
        } else if let Some(client) = self.clients.get_mut(&file)
            && client.serve(&mut execute).is_err()
        {
            // It must not be watched any more when its number becomes free.
            machine.watch(file, Watched::Not);
            self.clients.remove(&file);
        }
    }

    fn accept(&mut self, machine: Machine) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        // An answer may be longer than the socket's buffer: reading must not block, writing may, for a while.
        if stream.set_write_timeout(Some(PATIENCE)).is_err()
            || stream.set_read_timeout(Some(Duration::from_millis(1))).is_err()
        {
            return;
        }
        let file = stream.as_raw_fd();
        self.clients.insert(file, Client { stream, begun: Vec::new() });
        machine.watch(file, Watched::Reading);
    }
}

impl Client {
    /// Executes the lines that have come.
    ///
    /// # Errors
    /// The client is gone, or misbehaves.
    fn serve(&mut self, execute: &mut impl FnMut(&Command) -> Result<Reply, CommandError>) -> std::io::Result<()> {
        let mut buffer = [0; LINE];
        let length = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.begun.extend(buffer.iter().take(length));
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let result = line.trim().parse::<Command>().and_then(|command| execute(&command));
            let answer = match result {
                Ok(reply) => json!({ "reply": reply }),
                Err(error) => json!({ "error": error.to_string() }),
            };
            self.stream.write_all(format!("{answer}\n").as_bytes())?;
        }
        if self.begun.len() > LINE { Err(ErrorKind::InvalidData.into()) } else { Ok(()) }
    }
}
