//! Takes memory, uses it, gives it back, and tells how it gets on.
//!
//! A round takes pieces of 16 KiB, as many as its configuration says or as it can get, and frees them again. The configuration is read as the ROM
//! `config`, so that it can change while this runs. The report `progress` is JSON: `{"rounds":R,"pieces":P,"got":G}`, the rounds so far, the
//! pieces wanted and the pieces got in the last round.
//!
//! With `ask`, it asks its parent for what it could not get; with `until_all`, it ends when it has got all that it wants.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write;

use component::report::{Reader, Reporter};
use component::signal::{self, Signal};
use component::{Account, Attached, Dataspace, Env, Error, ask, log};
use serde::Deserialize;
use session::core::{SMALL_PAGES, WRITE};

/// Bytes of a piece.
const PIECE: u32 = 16 * 1024;
/// Most pieces.
const PIECES: usize = 64;
/// Capacity of configuration and report.
const TEXT: u32 = 4096;
const CONFIG: u32 = 1;

component::entry!(run);

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    pieces: u32,
    #[serde(default)]
    ask: bool,
    #[serde(default)]
    until_all: bool,
}

fn configuration(reader: &mut Reader) -> Result<Config, Error> {
    match serde_json_core::from_slice(reader.update()?) {
        Ok((config, _)) => Ok(config),
        Err(error) => {
            log!("configuration: {error}");
            Err(Error::Invalid)
        }
    }
}

fn run(_: Env) -> Result<(), Error> {
    let changed = Signal::new(CONFIG).ok_or(Error::Invalid)?;
    let mut reader = Reader::open("config", TEXT, Some(changed))?;
    let mut reporter = Reporter::open("progress", TEXT)?;
    let mut config = configuration(&mut reader)?;
    let mut rounds = 0u32;
    loop {
        if signal::poll() & changed.bit() != 0 {
            config = configuration(&mut reader)?;
        }
        let got = round(config.pieces as usize)?;
        if config.until_all && got == config.pieces {
            log!("got all of {got} pieces in round {}", rounds + 1);
            return Ok(());
        }
        if config.ask && got < config.pieces {
            // Granted or not: the next round shows it.
            let _ = ask((config.pieces - got) * PIECE, 0);
        }
        rounds = rounds.wrapping_add(1);
        let mut text = heapless::String::<96>::new();
        write!(text, "{{\"rounds\":{rounds},\"pieces\":{},\"got\":{got}}}", config.pieces)
            .map_err(|_| Error::Invalid)?;
        reporter.submit(text.as_bytes())?;
    }
}

/// Takes pieces, uses them, and frees them. Returns how many it got.
fn round(wanted: usize) -> Result<u32, Error> {
    let account = Account::own();
    let mut pieces = heapless::Vec::<Dataspace, PIECES>::new();
    while pieces.len() < wanted.min(PIECES) {
        let piece = match account.create_dataspace(PIECE, SMALL_PAGES) {
            Ok(piece) => piece,
            Err(Error::OutOfRam | Error::OutOfCaps) => break,
            Err(error) => return Err(error),
        };
        match Attached::new(&piece, WRITE, None) {
            Ok(attached) => attached.write(PIECE as usize - 1, &[1])?,
            Err(Error::OutOfRam) => {
                account.free_dataspace(piece)?;
                break;
            }
            Err(error) => return Err(error),
        }
        pieces.push(piece).map_err(|_| Error::Invalid)?;
    }
    let got = pieces.len() as u32;
    for piece in pieces {
        account.free_dataspace(piece)?;
    }
    Ok(got)
}
