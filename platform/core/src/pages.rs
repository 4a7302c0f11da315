//! Page maps: which frame belongs to which page, where pages come one by one.
//!
//! A map is a tree of a depth that follows from its size. A leaf holds 32 neighbouring slots for 32 neighbouring pages, so most pages cost a slot and nothing
//! else; inner nodes have sixteen children. What has never been needed is not there. A map without slots only knows which pages are there. The account pays for
//! the entries and the slots.

use session::Error;

use crate::kernel::{Kernel, Slot};
use crate::objects::{Leaf, Node, Object, PageMap};
use crate::store::Key;
use crate::system::{Result, System};

/// Log2 of a leaf's pages.
const LEAF_BITS: u32 = 5;
/// Log2 of a node's children.
const NODE_BITS: u32 = 4;
const LEAF_PAGES: u32 = 1 << LEAF_BITS;

/// A page of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Slot of its frame.
    pub(crate) slot: Slot,
    /// Whether it may be written to.
    pub(crate) writeable: bool,
}

/// Place of a page below a node of that level.
fn child(level: u32, index: u32) -> usize {
    (index >> (LEAF_BITS + NODE_BITS * level)) as usize % (1 << NODE_BITS)
}

impl<K: Kernel> System<'_, K> {
    /// An empty map for that many pages.
    pub(crate) fn new_page_map(&mut self, account: Key, pages: u32, slots: bool) -> Result<PageMap> {
        let bits = u32::BITS - pages.saturating_sub(1).leading_zeros();
        let levels = bits.saturating_sub(LEAF_BITS).div_ceil(NODE_BITS);
        let root = self.new_map_part(account, levels, slots)?;
        Ok(PageMap { root, levels: levels as u8, slots })
    }

    fn new_map_part(&mut self, account: Key, levels: u32, slots: bool) -> Result<Key> {
        if levels > 0 {
            return self.insert(account, Object::Node(Node { children: [None; 1 << NODE_BITS] }));
        }
        let first = if slots { Some(self.take_run(account, LEAF_PAGES)?) } else { None };
        let leaf = Leaf { first, present: 0, writeable: 0 };
        self.insert(account, Object::Leaf(leaf)).inspect_err(|_| {
            if let Some(first) = first {
                self.give_run(first, LEAF_PAGES);
            }
        })
    }

    fn leaf_of_page(&self, map: PageMap, index: u32) -> Result<Option<Key>> {
        let mut at = map.root;
        for level in (0..map.levels.into()).rev() {
            match self.node(at)?.children.get(child(level, index)).copied().flatten() {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The page `index` of a map, if there is one.
    pub(crate) fn page(&self, map: PageMap, index: u32) -> Result<Option<Page>> {
        let Some(leaf) = self.leaf_of_page(map, index)? else { return Ok(None) };
        let leaf = self.leaf(leaf)?;
        let (place, bit) = (index % LEAF_PAGES, 1 << (index % LEAF_PAGES));
        let first = leaf.first.filter(|_| leaf.present & bit != 0);
        Ok(first.map(|first| Page { slot: first.plus(place), writeable: leaf.writeable & bit != 0 }))
    }

    /// Notes in a map without slots that page `index` is there. `false`: it was already.
    pub(crate) fn mark_page(&mut self, account: Key, map: PageMap, index: u32) -> Result<bool> {
        let key = self.leaf_for_page(account, map, index)?;
        let leaf = self.leaf_mut(key)?;
        let before = leaf.present;
        leaf.present |= 1 << (index % LEAF_PAGES);
        Ok(leaf.present != before)
    }

    /// The first page from `index` on that is there, of a map of `pages` pages.
    pub(crate) fn next_page(&self, map: PageMap, mut index: u32, pages: u32) -> Result<Option<u32>> {
        while index < pages {
            let left = match self.leaf_of_page(map, index)? {
                Some(leaf) => self.leaf(leaf)?.present >> (index % LEAF_PAGES),
                None => 0,
            };
            if left != 0 {
                return Ok(Some(index + left.trailing_zeros()));
            }
            index = (index / LEAF_PAGES + 1) * LEAF_PAGES;
        }
        Ok(None)
    }

    fn leaf_for_page(&mut self, account: Key, map: PageMap, index: u32) -> Result<Key> {
        let mut at = map.root;
        for level in (0..map.levels.into()).rev() {
            let place = child(level, index);
            at = match self.node(at)?.children.get(place).copied().flatten() {
                Some(next) => next,
                None => {
                    let next = self.new_map_part(account, level, map.slots)?;
                    if let Some(child) = self.node_mut(at)?.children.get_mut(place) {
                        *child = Some(next);
                    }
                    next
                }
            };
        }
        Ok(at)
    }

    /// Copies a frame to page `index`, in place of what is there, and returns its slot.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is no frame in the slot. The page is empty then.
    pub(crate) fn put_page(&mut self, account: Key, map: PageMap, index: u32, page: Page) -> Result<Slot> {
        let at = self.leaf_for_page(account, map, index)?;
        self.take_page(map, index)?;
        let (place, bit) = (index % LEAF_PAGES, 1 << (index % LEAF_PAGES));
        let slot = self.leaf(at)?.first.ok_or(Error::Kernel)?.plus(place);
        self.kernel.copy(page.slot, slot).map_err(|_| Error::NotFound)?;
        let leaf = self.leaf_mut(at)?;
        leaf.present |= bit;
        leaf.writeable = if page.writeable { leaf.writeable | bit } else { leaf.writeable & !bit };
        Ok(slot)
    }

    /// Empties page `index`.
    pub(crate) fn take_page(&mut self, map: PageMap, index: u32) -> Result<()> {
        let Some(key) = self.leaf_of_page(map, index)? else { return Ok(()) };
        let (place, bit) = (index % LEAF_PAGES, 1 << (index % LEAF_PAGES));
        let leaf = self.leaf_mut(key)?;
        if leaf.present & bit != 0 {
            leaf.present &= !bit;
            if let Some(first) = leaf.first {
                let deleted = self.kernel.delete(first.plus(place));
                self.note(deleted);
            }
        }
        Ok(())
    }

    /// Gives a map back with all that is in it.
    pub(crate) fn drop_page_map(&mut self, map: PageMap) -> Result<()> {
        self.drop_map_part(map.root)
    }

    /// Goes no deeper than a map has levels.
    fn drop_map_part(&mut self, key: Key) -> Result<()> {
        match self.remove(key)? {
            Object::Node(node) => node.children.into_iter().flatten().try_for_each(|child| self.drop_map_part(child)),
            Object::Leaf(Leaf { first: Some(first), present, .. }) => {
                for place in (0..LEAF_PAGES).filter(|place| present & 1 << place != 0) {
                    let deleted = self.kernel.delete(first.plus(place));
                    self.note(deleted);
                }
                self.give_run(first, LEAF_PAGES);
                Ok(())
            }
            Object::Leaf(_) => Ok(()),
            _ => Err(Error::Kernel),
        }
    }
}
