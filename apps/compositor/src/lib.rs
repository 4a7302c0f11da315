//! Several clients on one screen, each in a view of its own: what is where, and what has to be drawn anew.
//!
//! # Theory of operation
//!
//! A view is a rectangle of the screen that the configuration gives to those that a selector fits. Views are stacked in the order in which they are
//! listed, the last on top. A client draws pictures of the size of its view; the compositor copies what of them is visible. Where views overlap, each pixel comes from the
//! topmost one that shows something, and [`Runs`] finds it line by line, so that nothing is ever copied that does not stay visible.
//!
//! The screen has several buffers that take turns, and what has changed is missing in each of them. [`Damage`] keeps, for each buffer, the smallest
//! rectangle that covers it.
#![no_std]
#![forbid(unsafe_code)]

use heapless::Vec;
use serde::Deserialize;
use session::framebuffer::{Area, MAX_BUFFERS};
use session::label::{self, Label, Selector};

/// Most views.
pub const VIEWS: usize = 8;

/// The compositor's configuration. [`Config::check`] it once before use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// RAM to donate to the screen, in bytes.
    pub ram: u32,
    /// Red, green and blue where there is no view.
    #[serde(default)]
    pub background: [u8; 3],
    /// The views, from the bottom of the stack to its top.
    pub views: Vec<View, VIEWS>,
}

/// A part of the screen, and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Whom it is for: one of them at a time.
    pub selector: Selector,
    /// Left edge, in pixels.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Two views have the same selector.
    #[error("two views for {0:?}; a client has one")]
    Duplicate(Selector),
    /// A view has no pixels, or more than a screen can have.
    #[error("view {0}: width and height are from 1 to 65535, and its edges below 65536")]
    Size(usize),
    /// A view is not on the screen.
    #[error("view {view} does not fit the screen's {width} x {height} pixels")]
    Outside {
        /// Its number, from 0.
        view: usize,
        /// Pixels of the screen's lines.
        width: u32,
        /// The screen's lines.
        height: u32,
    },
}

impl Config {
    /// Checks what can be checked without the screen.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(selector) = label::duplicate(&self.views, |view| &view.selector) {
            return Err(ConfigError::Duplicate(selector.clone()));
        }
        let sound = |view: &View| {
            let sizes = [view.width, view.height];
            sizes.iter().all(|size| (1..=0xFFFF).contains(size)) && view.x <= 0xFFFF && view.y <= 0xFFFF
        };
        self.views.iter().position(|view| !sound(view)).map_or(Ok(()), |view| Err(ConfigError::Size(view)))
    }

    /// Checks that all views are on a screen of that size.
    ///
    /// # Errors
    /// [`ConfigError::Outside`] for the first one that is not.
    pub fn fits(&self, width: u32, height: u32) -> Result<(), ConfigError> {
        let screen = Rect { left: 0, top: 0, right: width, bottom: height };
        let outside = self.views.iter().position(|view| view.rect().intersection(screen) != view.rect());
        outside.map_or(Ok(()), |view| Err(ConfigError::Outside { view, width, height }))
    }

    /// The number of the view for a client, or `None` if it is to be denied.
    pub fn view(&self, label: &Label) -> Option<usize> {
        let best = label::best_match(&self.views, |view| &view.selector, label)?;
        self.views.iter().position(|view| view == best)
    }
}

impl View {
    /// Where it is.
    pub const fn rect(&self) -> Rect {
        Rect { left: self.x, top: self.y, right: self.x + self.width, bottom: self.y + self.height }
    }
}

/// A rectangle of the screen; right and lower edge lie just outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub left: u32,
    /// Upper edge.
    pub top: u32,
    /// Right edge.
    pub right: u32,
    /// Lower edge.
    pub bottom: u32,
}

impl Rect {
    /// Whether there is no pixel in it.
    pub const fn is_empty(self) -> bool {
        self.left >= self.right || self.top >= self.bottom
    }

    /// Whether it has pixels in a line.
    const fn has_line(self, y: u32) -> bool {
        self.top <= y && y < self.bottom && self.left < self.right
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let Self { left, top, right, bottom } = self;
        let both = Self {
            left: left.max(other.left),
            top: top.max(other.top),
            right: right.min(other.right),
            bottom: bottom.min(other.bottom),
        };
        if both.is_empty() { Self::default() } else { both }
    }

    /// The smallest that covers both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// A part of a view, where the view is.
    #[must_use]
    pub fn part(self, area: Area) -> Self {
        let (left, top) = (self.left.saturating_add(area.x), self.top.saturating_add(area.y));
        let (right, bottom) = (left.saturating_add(area.width), top.saturating_add(area.height));
        Self { left, top, right, bottom }.intersection(self)
    }

    /// As a session has it.
    pub const fn area(self) -> Area {
        Area {
            x: self.left,
            y: self.top,
            width: self.right.saturating_sub(self.left),
            height: self.bottom.saturating_sub(self.top),
        }
    }
}

/// For each buffer of the screen, what it lacks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage([Rect; MAX_BUFFERS as usize]);

impl Damage {
    /// Something has changed: no buffer has it yet.
    pub fn add(&mut self, rect: Rect) {
        for lacking in &mut self.0 {
            *lacking = lacking.union(rect);
        }
    }

    /// What a buffer lacks; it is about to be drawn.
    pub fn take(&mut self, buffer: usize) -> Rect {
        self.0.get_mut(buffer).map(core::mem::take).unwrap_or_default()
    }
}

/// Pixels of a line that come from the same view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The view, or `None` where the background is seen.
    pub view: Option<usize>,
    /// The first pixel.
    pub left: u32,
    /// The one behind the last.
    pub right: u32,
}

/// The runs of a part of a line, from left to right.
#[derive(Clone, Debug)]
pub struct Runs<'v> {
    views: &'v [Option<Rect>],
    line: u32,
    next: u32,
    end: u32,
}

impl<'v> Runs<'v> {
    /// Of line `line` from pixel `left` up to `right`. `views`: where the views are that show something, from the bottom of the stack to its top.
    pub const fn new(views: &'v [Option<Rect>], line: u32, left: u32, right: u32) -> Self {
        Self { views, line, next: left, end: right }
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let left = self.next;
        if left >= self.end {
            return None;
        }
        let mut view = None;
        let mut right = self.end;
        for (number, rect) in self.views.iter().enumerate() {
            let Some(rect) = rect.filter(|rect| rect.has_line(self.line)) else { continue };
            if rect.left <= left && left < rect.right {
                view = Some(number);
            }
            // The next edge of any view may be where something else is on top.
            for edge in [rect.left, rect.right] {
                if edge > left {
                    right = right.min(edge);
                }
            }
        }
        self.next = right;
        Some(Run { view, left, right })
    }
}
