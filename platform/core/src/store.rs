//! Core's objects, in pages paid by the accounts that they belong to.
//!
//! # Theory of operation
//!
//! Everything core remembers about an account's objects lies in pages that were bought from that
//! account's RAM, so nobody can make core run out of memory. A page holds 32 entries of 128 bytes; the first is its
//! [`Header`], the others hold one object each. A [`Key`] is `page number << 5 | entry`, so that any object is reached in a few
//! instructions, and the owner of an object is the account in its page's header. Keys double as badges.
//!
//! Pages are mapped in a window of core's address space. The store keeps one bit for each page of the window and
//! never touches a page that is not there: a key out of thin air finds nothing.

use core::num::NonZeroU32;
use core::ptr::NonNull;

use crate::objects::{Header, Object};

/// Entries in a page.
pub const ENTRIES: usize = 32;
/// Pages in the window: 64 MiB.
pub const PAGES: usize = 1 << 14;
const ENTRY_BITS: u32 = 5;

/// Name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(NonZeroU32);

impl Key {
    /// The key with that badge, if it can be one.
    pub fn from_badge(badge: u32) -> Option<Self> {
        NonZeroU32::new(badge).map(Self)
    }

    fn new(page: usize, entry: usize) -> Option<Self> {
        Self::from_badge((page << ENTRY_BITS | entry) as u32)
    }

    /// The badge of capabilities to the object: less than 2^19.
    pub fn badge(self) -> u32 {
        self.0.get()
    }

    fn page(self) -> usize {
        (self.0.get() >> ENTRY_BITS) as usize
    }

    fn entry(self) -> usize {
        self.0.get() as usize % ENTRIES
    }

    /// The header of the page that the object lies in.
    #[must_use]
    pub fn header(self) -> Self {
        Self(self.0.get().checked_sub(self.entry() as u32).and_then(NonZeroU32::new).unwrap_or(self.0))
    }
}

const _: () = assert!(size_of::<Object>() <= 128, "an entry has outgrown its slot");

#[repr(C, align(128))]
struct Entry {
    object: Object,
}

type Page = [Entry; ENTRIES];

const _: () = assert!(size_of::<Page>() == 4096);

/// All objects.
pub struct Store {
    window: NonNull<Page>,
    present: [u32; PAGES / 32],
}

impl Store {
    /// A store over a window of [`PAGES`] pages of address space, none of which is mapped yet.
    ///
    /// # Safety
    /// `window` is aligned to 4096 bytes, the whole window is addressable by nobody else for as long as the
    /// store lives, and each page is mapped readable and writeable before it is passed to [`add_page`](Self::add_page) and
    /// stays so until [`remove_page`](Self::remove_page).
    #[must_use]
    pub unsafe fn new(window: NonNull<u8>) -> Self {
        Self { window: window.cast(), present: [0; PAGES / 32] }
    }

    /// A page number that is not in use, and the address of that page.
    pub fn free_page(&self) -> Option<(usize, usize)> {
        // Page 0 stays empty: the key of its first entry would be 0.
        let mut used = self.present.iter().enumerate().map(|(index, word)| (index, word | u32::from(index == 0)));
        let (index, word) = used.find(|(_, word)| *word != u32::MAX)?;
        let page = index * 32 + word.trailing_ones() as usize;
        (page < PAGES).then(|| (page, self.window.addr().get() + page * size_of::<Page>()))
    }

    /// Takes a freshly mapped page into use and returns the key of its header.
    pub fn add_page(&mut self, page: usize, header: Header) -> Option<Key> {
        let key = Key::new(page, 0)?;
        if page >= PAGES || self.is_present(page) {
            return None;
        }
        // SAFETY: the page is within the window, and by the contract of `new` mapped and ours alone. Writing
        // through the raw pointer initialises all entries before a reference to any of them can exist.
        unsafe {
            let first = self.window.as_ptr().add(page).cast::<Entry>();
            first.write(Entry { object: Object::Header(Header { free: Key::new(page, 1), ..header }) });
            for entry in 1..ENTRIES {
                first
                    .add(entry)
                    .write(Entry { object: Object::Free(Key::new(page, entry + 1).filter(|_| entry + 1 < ENTRIES)) });
            }
        }
        if let Some(word) = self.present.get_mut(page / 32) {
            *word |= 1 << (page % 32);
        }
        Some(key)
    }

    /// Takes a page out of use, before it is unmapped.
    pub fn remove_page(&mut self, header: Key) {
        if let Some(word) = self.present.get_mut(header.page() / 32) {
            *word &= !(1 << (header.page() % 32));
        }
    }

    /// Whether any of `count` pages from `first` on is in use; both are multiples of 32.
    pub fn has_pages(&self, first: usize, count: usize) -> bool {
        self.present.iter().skip(first / 32).take(count / 32).any(|word| *word != 0)
    }

    fn is_present(&self, page: usize) -> bool {
        self.present.get(page / 32).is_some_and(|word| word & 1 << (page % 32) != 0)
    }

    /// The object of that name.
    pub fn get(&self, key: Key) -> Option<&Object> {
        if !self.is_present(key.page()) {
            return None;
        }
        // SAFETY: a present page is mapped and initialised, `page` is below PAGES and `entry` below ENTRIES, so the
        // pointer is to an initialised entry; the shared borrow of the store excludes writers.
        let entry = unsafe { &*self.window.as_ptr().add(key.page()).cast::<Entry>().add(key.entry()) };
        Some(&entry.object)
    }

    /// The object of that name, to change it.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Object> {
        if !self.is_present(key.page()) {
            return None;
        }
        // SAFETY: as in `get`; the exclusive borrow of the store excludes any other reference.
        let entry = unsafe { &mut *self.window.as_ptr().add(key.page()).cast::<Entry>().add(key.entry()) };
        Some(&mut entry.object)
    }

    /// Two different objects, to change both.
    pub fn get_two_mut(&mut self, one: Key, other: Key) -> Option<(&mut Object, &mut Object)> {
        if one == other {
            return None;
        }
        let first: *mut Object = self.get_mut(one)?;
        let second = self.get_mut(other)?;
        // SAFETY: different keys are different entries, so the two references do not overlap; both are bound to the
        // exclusive borrow of the store.
        Some((unsafe { &mut *first }, second))
    }

    /// The keys of all entries of a page but its header.
    pub fn entries(header: Key) -> impl Iterator<Item = Key> {
        (1..ENTRIES).filter_map(move |entry| Key::new(header.page(), entry))
    }
}
