//! Marks and what lies between them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A mark in the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The interval begins behind this instruction.
    Begin(u8),
    /// The interval ends before this instruction.
    End(u8),
}

impl Mark {
    /// The mark that the A32 instruction `word` is, if it is one.
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        let op = (word & 0xFF) as u8;
        match word & !0xFF {
            0xF55F_F100 => Some(Self::Begin(op)),
            0xF55F_F200 => Some(Self::End(op)),
            _ => None,
        }
    }

    /// The instruction.
    pub(crate) fn word(self) -> u32 {
        match self {
            Self::Begin(op) => 0xF55F_F100 | u32::from(op),
            Self::End(op) => 0xF55F_F200 | u32::from(op),
        }
    }
}

/// Instructions executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Below the kernel's window.
    pub(crate) user: u64,
    /// In the kernel's window.
    pub(crate) kernel: u64,
}

impl Count {
    fn since(self, earlier: Self) -> Self {
        Self { user: self.user.wrapping_sub(earlier.user), kernel: self.kernel.wrapping_sub(earlier.kernel) }
    }

    fn all(self) -> u64 {
        self.user.saturating_add(self.kernel)
    }
}

/// So many intervals of one number are reported one by one.
const LISTED: usize = 2048;

/// All intervals of one number.
#[derive(Clone, Debug, Default)]
struct Interval {
    sum: Count,
    /// Each interval's instructions.
    all: Vec<u64>,
}

/// The intervals of a run.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    open: BTreeMap<u8, Count>,
    closed: BTreeMap<u8, Interval>,
}

impl Marks {
    /// The processor passes `mark` after `now` instructions.
    pub(crate) fn pass(&mut self, mark: Mark, now: Count) {
        match mark {
            Mark::Begin(op) => {
                self.open.insert(op, now);
            }
            Mark::End(op) => {
                let Some(begin) = self.open.remove(&op) else { return };
                let count = now.since(begin);
                let interval = self.closed.entry(op).or_default();
                interval.sum.user += count.user;
                interval.sum.kernel += count.kernel;
                interval.all.push(count.all());
            }
        }
    }

    /// The report as JSON: `total` instructions of the run, and the intervals by rising number.
    pub(crate) fn report(&self, total: Count) -> String {
        let mut text = format!("{{\n  \"total\": {},\n  \"intervals\": [", json(total));
        for (index, (op, interval)) in self.closed.iter().enumerate() {
            let first: Vec<String> = interval.all.iter().take(LISTED).map(u64::to_string).collect();
            let first = first.join(", ");
            let mut all = interval.all.clone();
            all.sort_unstable();
            let (Some(min), Some(median), Some(max)) = (all.first(), all.get((all.len() - 1) / 2), all.last()) else {
                continue;
            };
            let (times, sum) = (all.len(), json(interval.sum));
            let comma = if index == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{comma}\n    {{ \"op\": {op}, \"times\": {times}, \"sum\": {sum}, \"min\": {min}, \"median\": {median}, \"max\": {max}, \"first\": [{first}] }}"
            );
        }
        text.push_str("\n  ]\n}\n");
        text
    }
}

fn json(count: Count) -> String {
    format!("{{ \"user\": {}, \"kernel\": {} }}", count.user, count.kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(user: u64, kernel: u64) -> Count {
        Count { user, kernel }
    }

    #[test]
    fn marks_are_told_from_other_instructions() {
        for op in [0, 1, 255] {
            for mark in [Mark::Begin(op), Mark::End(op)] {
                assert_eq!(Mark::from_word(mark.word()), Some(mark));
            }
        }
        // PLD [pc, #-0x300], PLD [pc, #0x100], NOP.
        for word in [0xF55F_F300, 0xF5DF_F100, 0xE320_F000] {
            assert_eq!(Mark::from_word(word), None);
        }
    }

    #[test]
    fn intervals_add_up() {
        let mut marks = Marks::default();
        marks.pass(Mark::End(3), at(5, 0));
        marks.pass(Mark::Begin(3), at(10, 0));
        marks.pass(Mark::Begin(4), at(11, 0));
        marks.pass(Mark::End(3), at(15, 2));
        marks.pass(Mark::Begin(3), at(20, 2));
        marks.pass(Mark::Begin(3), at(30, 2));
        marks.pass(Mark::End(3), at(31, 3));
        assert_eq!(
            marks.report(at(40, 9)),
            "{\n  \"total\": { \"user\": 40, \"kernel\": 9 },\n  \"intervals\": [\n    \
             { \"op\": 3, \"times\": 2, \"sum\": { \"user\": 6, \"kernel\": 3 }, \"min\": 2, \"median\": 2, \"max\": 7, \"first\": [7, 2] }\n  ]\n}\n"
        );
    }

    #[test]
    fn a_run_without_marks_has_an_empty_list() {
        assert_eq!(
            Marks::default().report(at(1, 2)),
            "{\n  \"total\": { \"user\": 1, \"kernel\": 2 },\n  \"intervals\": [\n  ]\n}\n"
        );
    }
}
