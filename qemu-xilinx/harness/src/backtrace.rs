//! Backtraces of faults, from what the board prints.
//!
//! # Theory of operation
//!
//! A fault comes as lines of the console: which program, its registers, and the innermost part of its stack (the words are those of
//! `base/init/src/faults.rs`). The program file here has what the board has not: line tables, names, and the *call frame information* that says for every
//! instruction where the caller's registers are (DWARF 4 section 6.4, in `.debug_frame`; the registers of ARM are numbered as in AADWARF32).
//! From the innermost frame outwards, each frame's rule gives the address that it returns to and the caller's stack pointer and saved
//! registers, until the rules end, the return address is no longer in the program, or the stack was not printed that far.
//!
//! The address in an outer frame is that of the instruction behind the call; the call itself is looked up. Functions that were inlined
//! appear as frames of their own.
//!
//! What this does not do: trust the lines. Components write to the same console; a line that makes no sense is ignored, and whatever
//! the words say, unwinding ends after a fixed number of frames.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use gimli::{
    self, BaseAddresses, CfaRule, DebugFrame, EndianRcSlice, Register, RegisterRule, RunTimeEndian, UnwindContext,
    UnwindSection,
};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// Most frames of a backtrace.
const FRAMES: usize = 64;
/// Words of a stack after which no more lines are taken.
const STACK_WORDS: usize = 16 * 1024;
/// Most faults whose lines are being collected at a time.
const OPEN: usize = 16;
/// Register numbers.
const SP: usize = 13;
const LR: usize = 14;
const PC: usize = 15;

type Reader = EndianRcSlice<RunTimeEndian>;

/// Why a program's debug information cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no object file.
    #[error("{}: {source}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// Why.
        source: object::Error,
    },
    /// Its debug information is damaged.
    #[error("{}: debug information: {source}", path.display())]
    Debug {
        /// The file.
        path: PathBuf,
        /// Why.
        source: gimli::Error,
    },
}

/// Debug information of a program.
pub struct Program {
    lines: addr2line::Context<Reader>,
    frames: DebugFrame<Reader>,
    /// Its functions by address: size in bytes and name.
    functions: BTreeMap<u32, (u32, String)>,
}

/// Registers r0 to r15 as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Registers([Option<u32>; 16]);

impl Registers {
    fn get(&self, register: usize) -> Option<u32> {
        self.0.get(register).copied().flatten()
    }

    fn set(&mut self, register: usize, value: Option<u32>) {
        if let Some(place) = self.0.get_mut(register) {
            *place = value;
        }
    }
}

impl Program {
    /// Reads the debug information of the program file `path`.
    ///
    /// # Errors
    /// It is no object file, or its debug information is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let file =
            object::File::parse(bytes.as_slice()).map_err(|source| Error::Object { path: path.to_owned(), source })?;
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let section = |name: &str| {
            let data = file.section_by_name(name).and_then(|section| section.uncompressed_data().ok());
            EndianRcSlice::new(Rc::from(data.unwrap_or_default().as_ref()), endian)
        };
        let debug = |source| Error::Debug { path: path.to_owned(), source };
        let dwarf = gimli::Dwarf::load(|id| Ok::<_, gimli::Error>(section(id.name()))).map_err(debug)?;
        let lines = addr2line::Context::from_dwarf(dwarf).map_err(debug)?;
        let mut frames = DebugFrame::from(section(gimli::SectionId::DebugFrame.name()));
        frames.set_address_size(4);
        let mut functions = BTreeMap::new();
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
            if let (Ok(address), Ok(size), Ok(name)) =
                (u32::try_from(symbol.address()), u32::try_from(symbol.size()), symbol.name())
            {
                functions.insert(address, (size, format!("{:#}", rustc_demangle::demangle(name))));
            }
        }
        Ok(Self { lines, frames, functions })
    }

    /// Name of the function that an address lies in.
    fn function(&self, address: u32) -> Option<&str> {
        let (start, (size, name)) = self.functions.range(..=address).next_back()?;
        (address - start < *size).then_some(name)
    }

    /// The caller's registers; `None` if the program has no rule for that place, or the words it needs are not there.
    fn caller(&self, at: u32, registers: &Registers, stack: &BTreeMap<u32, u32>) -> Option<Registers> {
        // Functions that the linker has left out have rules that seem to be for addresses around 0.
        self.function(at)?;
        let bases = BaseAddresses::default();
        let mut context = UnwindContext::new();
        let at = u64::from(at);
        let row = self.frames.unwind_info_for_address(&bases, &mut context, at, DebugFrame::cie_from_offset).ok()?;
        let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
        let frame = registers.get(register.0.into())?.wrapping_add(*offset as u32);
        let mut caller = *registers;
        for number in 0..=LR {
            let value = match row.register(Register(number as u16)) {
                Some(RegisterRule::Offset(offset)) => stack.get(&frame.wrapping_add(offset as u32)).copied(),
                None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => registers.get(number),
                Some(_) => None,
            };
            caller.set(number, value);
        }
        caller.set(PC, caller.get(LR));
        caller.set(SP, Some(frame));
        Some(caller)
    }

    /// Function, file and line of an address, innermost first: more than one where calls were inlined. Files in the folder `root` are named from there.
    fn places(&self, address: u32, root: &Path) -> Vec<String> {
        let Some(function) = self.function(address) else { return Vec::new() };
        let mut places = Vec::new();
        if let Ok(mut frames) = self.lines.find_frames(address.into()).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.and_then(|function| Some(function.demangle().ok()?.into_owned()));
                let file = frame.location.as_ref().and_then(|location| location.file).map(|file| {
                    let file = Path::new(file);
                    file.strip_prefix(root).unwrap_or(file).display().to_string()
                });
                let line = frame.location.and_then(|location| location.line).filter(|line| *line > 0);
                places.push(Place { name: name.unwrap_or_else(|| "?".to_owned()), file, line });
            }
        }
        // What was not inlined has a symbol, with its whole path.
        match places.last_mut() {
            Some(outermost) => function.clone_into(&mut outermost.name),
            None => places.push(Place { name: function.to_owned(), file: None, line: None }),
        }
        places.iter().map(Place::to_string).collect()
    }
}

/// A place in the source.
struct Place {
    name: String,
    file: Option<String>,
    line: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " at {file}:{line}"),
            (Some(file), None) => write!(f, " at {file}"),
            (None, _) => Ok(()),
        }
    }
}

/// A fault whose lines are being collected.
#[derive(Debug, Default)]
struct Fault {
    /// Who says so, and of which component.
    who: (String, String),
    program: String,
    /// Thread and kind, as printed.
    what: String,
    registers: Registers,
    stack: BTreeMap<u32, u32>,
}

/// Collects the lines of faults and makes backtraces of them.
pub struct Backtraces<F> {
    /// Where the file of a program is.
    locate: F,
    /// Folder that the files of the source are named from.
    root: PathBuf,
    /// Programs that every component calls into.
    shared: Vec<String>,
    programs: BTreeMap<String, Option<Program>>,
    open: Vec<Fault>,
}

impl<F: Fn(&str) -> PathBuf> Backtraces<F> {
    /// `locate` says where the file of a program is, `root` is the folder of the source; `shared` are the programs that every component calls into.
    pub fn new(locate: F, root: &Path, shared: &[&str]) -> Self {
        let shared = shared.iter().map(|&name| name.to_owned()).collect();
        Self { locate, root: root.to_owned(), shared, programs: BTreeMap::new(), open: Vec::new() }
    }

    /// Takes the next console line. Returns the lines of a backtrace if it was the last of a fault.
    pub fn line(&mut self, line: &str) -> Vec<String> {
        self.take(line).map(|fault| self.backtrace(&fault)).unwrap_or_default()
    }

    fn take(&mut self, line: &str) -> Option<Fault> {
        let (speaker, text) = line.strip_prefix('[')?.split_once("] fault of ")?;
        let (name, text) = text.split_once(": ")?;
        let who = (speaker.to_owned(), name.to_owned());
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        if word == "program" {
            let (program, what) = rest.split_once(", ")?;
            // The name becomes part of a path, and any component may have written the line.
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if program.is_empty() || !program.bytes().all(is_plain) {
                return None;
            }
            self.open.retain(|fault| fault.who != who);
            if self.open.len() == OPEN {
                self.open.remove(0);
            }
            let (program, what) = (program.to_owned(), what.to_owned());
            self.open.push(Fault { who, program, what, ..Fault::default() });
            return None;
        }
        let at = self.open.iter().position(|fault| fault.who == who)?;
        let fault = self.open.get_mut(at)?;
        let mut numbers = rest.split(' ').map_while(|number| u32::from_str_radix(number, 16).ok());
        match word {
            "registers" => (0..=PC).for_each(|register| fault.registers.set(register, numbers.next())),
            "stack" if fault.stack.len() < STACK_WORDS => {
                let start = numbers.next()?;
                let addresses = (0..).map_while(|index: u32| start.checked_add(index * 4));
                fault.stack.extend(addresses.zip(numbers));
            }
            "end" => return Some(self.open.remove(at)),
            _ => {}
        }
        None
    }

    fn backtrace(&mut self, fault: &Fault) -> Vec<String> {
        let name = &fault.who.1;
        let mut lines = vec![format!("backtrace of {name}: program {}, {}", fault.program, fault.what)];
        let names: Vec<String> = std::iter::once(&fault.program).chain(&self.shared).cloned().collect();
        for program in &names {
            if !self.programs.contains_key(program) {
                let opened = Program::open(&(self.locate)(program));
                if let Err(error) = &opened {
                    lines.push(format!("backtrace of {name}: {error}"));
                }
                self.programs.insert(program.clone(), opened.ok());
            }
        }
        let programs: Vec<&Program> = names.iter().filter_map(|name| self.programs.get(name)?.as_ref()).collect();
        let mut registers = fault.registers;
        let mut frames: Vec<(usize, String)> = Vec::new();
        for depth in 0..FRAMES {
            let Some(pc) = registers.get(PC).filter(|pc| *pc != 0) else { break };
            // Outside, the address is that of the instruction behind a call.
            let at = if depth == 0 { pc } else { pc.wrapping_sub(4) };
            let places =
                programs.iter().map(|program| program.places(at, &self.root)).find(|places| !places.is_empty());
            for place in places.unwrap_or_else(|| vec!["no function".to_owned()]) {
                let frame = format!("{at:08x} {place}");
                match frames.last_mut() {
                    Some((times, last)) if *last == frame => *times += 1,
                    _ => frames.push((1, frame)),
                }
            }
            let caller = programs.iter().find_map(|program| program.caller(at, &registers, &fault.stack));
            registers = match caller {
                // A frame that leads to itself would lead there for ever.
                Some(caller) if caller != registers => caller,
                // Where control went astray, the way back may still be in the link register.
                None if depth == 0 && registers.get(LR) != registers.get(PC) => {
                    let mut caller = registers;
                    caller.set(PC, registers.get(LR));
                    caller
                }
                _ => break,
            };
        }
        for (number, (times, frame)) in frames.into_iter().enumerate() {
            let times = if times == 1 { String::new() } else { format!(" ({times} times)") };
            lines.push(format!("backtrace of {name}: {number:>2} {frame}{times}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test program itself has symbols, but is no program for ARM: there are names and no frames.
    #[test]
    fn a_fault_is_collected_and_lines_of_others_do_no_harm() {
        let own = std::env::current_exe().unwrap();
        let mut backtraces = Backtraces::new(|_| own.clone(), Path::new("/"), &[]);
        let mut last = Vec::new();
        for line in [
            "[init] fault of a: program p, thread 0, stack overflow at 00000010, address 0000000c",
            "[init -> x] fault of a: program q, thread 7, data access fault at 0, address 0",
            "[init] fault of a: registers 0 1 2 3 4 5 6 7 8 9 a b c 1000 0 10 1d0",
            "[init] fault of a: registers",
            "[init] fault of b: end",
            "fault of a: end",
            "[init] fault of a: stack 1000 1 2 zz 3",
            "[init] fault of a: stack fffffffc 1 2 3",
            "[init] fault of a: end",
        ] {
            last = backtraces.line(line);
        }
        assert_eq!(last[0], "backtrace of a: program p, thread 0, stack overflow at 00000010, address 0000000c");
        assert!(backtraces.line("[init] fault of a: end").is_empty());
        let other = backtraces.line("[init -> x] fault of a: end");
        assert!(other[0].contains("program q, thread 7"));
    }

    #[test]
    fn only_names_of_programs_are_looked_for() {
        let mut backtraces = Backtraces::new(|name| panic!("{name} was looked for"), Path::new("/"), &[]);
        for program in ["/dev/zero", "../secret", "", "a b"] {
            assert!(backtraces.line(&format!("[init -> x] fault of a: program {program}, thread 0, x")).is_empty());
            assert!(backtraces.line("[init -> x] fault of a: end").is_empty());
        }
    }

    #[test]
    fn many_unfinished_faults_are_forgotten() {
        let mut backtraces = Backtraces::new(|_| PathBuf::from("/nowhere"), Path::new("/"), &["gate"]);
        for number in 0..100 {
            backtraces.line(&format!("[init] fault of c{number}: program p, thread 0, x"));
        }
        assert_eq!(backtraces.open.len(), OPEN);
        let lines = backtraces.line("[init] fault of c99: end");
        assert!(lines[1].starts_with("backtrace of c99: /nowhere: "), "{lines:?}");
    }
}
