//! Memory whose faults the component answers itself.
//!
//! A second thread is the pager of the main thread's memory. All pages are one page at first, which may only be read; who writes to one gets a page of
//! its own with the same content (copy on write).

use core::sync::atomic::{AtomicBool, Ordering};

use component::thread::{self, Options};
use component::{Account, Attached, Capability, Dataspace, Error, Managed, gate};
use session::core::{SMALL_PAGES, WRITE};

use crate::{PAGE, WORDS, check, word};

/// Pages of the memory.
const PAGES: u32 = 40;
/// What the words of the common page are exclusive-or their numbers.
const PATTERN: u32 = 0x0c0a_1e5c;
const STACK: u32 = 16 * 1024;
const PRIORITY: u32 = 100;

static DONE: AtomicBool = AtomicBool::new(false);

/// What the pager works with.
struct Pager {
    managed: Managed,
    /// The common page, then one for each page of the memory.
    frames: Dataspace,
    content: Attached,
    faults: Capability,
    reads: u32,
    writes: u32,
}

impl Pager {
    /// Answers faults until it is told to end.
    fn run(mut self) -> Result<Self, Error> {
        while !DONE.load(Ordering::Acquire) {
            gate::wait(self.faults.slot());
            while let Some(fault) = self.managed.next_fault()? {
                let flags = if fault.write {
                    self.copy(fault.offset / PAGE + 1);
                    self.writes += 1;
                    WRITE
                } else {
                    self.reads += 1;
                    0
                };
                let source = if fault.write { fault.offset + PAGE } else { 0 };
                self.managed.populate(fault.offset, &self.frames, source, PAGE, flags)?;
            }
        }
        Ok(self)
    }

    /// Copies the common page.
    fn copy(&self, frame: u32) {
        let words = self.content.words();
        for (from, to) in words.iter().take(WORDS as usize).zip(words.iter().skip((frame * WORDS) as usize)) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Uses such memory and checks each word that it touches.
pub(crate) fn run() -> Result<(), Error> {
    let account = Account::own();
    let faults = account.create_notification()?;
    let told = faults.slot();
    let managed = account.create_managed(PAGES * PAGE, told)?;
    let frames = account.create_dataspace((1 + PAGES) * PAGE, SMALL_PAGES)?;
    let content = Attached::new(&frames, WRITE, None)?;
    for (index, word) in (0..WORDS).zip(content.words()) {
        word.store(index ^ PATTERN, Ordering::Relaxed);
    }
    let dataspace = managed.share(WRITE)?;
    let memory = Attached::new(&dataspace, WRITE, None)?;
    let pager = Pager { managed, frames, content, faults, reads: 0, writes: 0 };
    let pager = thread::spawn(Options { stack: STACK, priority: PRIORITY }, move || pager.run())?;
    let right = (0..PAGES).all(|page| word(&memory, page * WORDS + page) == page ^ PATTERN);
    check("pages that nobody has written to are the common page", right)?;
    for page in (0..PAGES).step_by(2) {
        if let Some(word) = memory.words().get((page * WORDS) as usize) {
            word.store(page, Ordering::Relaxed);
        }
    }
    let right = (0..PAGES).all(|page| {
        let first = if page % 2 == 0 { page } else { PATTERN };
        word(&memory, page * WORDS) == first && word(&memory, page * WORDS + 7) == 7 ^ PATTERN
    });
    check("pages that were written to are pages of their own, with the rest as it was", right)?;
    DONE.store(true, Ordering::Release);
    gate::signal(told);
    let Pager { managed, frames, content, reads, writes, .. } = pager.join()??;
    check("each page was asked for once, and once more when it was written to", reads == PAGES && writes == PAGES / 2)?;
    let sealed = account.seal(&frames);
    check("what others may write to cannot be sealed", sealed == Err(Error::Busy))?;
    drop((memory, content, managed));
    account.free_dataspace(dataspace)?;
    account.free_dataspace(frames)
}
