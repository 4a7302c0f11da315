//! Instruction counts from the emulator's plugin.
//!
//! A program marks an interval with two hints that do nothing (`PLD [pc, #-imm]`): `0xf55ff100 | op`
//! begins interval `op` (0 to 255), `0xf55ff200 | op` ends it. The plugin counts the instructions
//! executed in between, both marks excluded, exactly and repeatably; the kernel's share are those
//! executed at or above 0xE0000000.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The plugin's report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// All instructions of the run.
    pub total: Count,
    /// The intervals, by rising `op`.
    pub intervals: Vec<Interval>,
}

/// Instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Executed below the kernel's window.
    pub user: u64,
    /// Executed in the kernel's window.
    pub kernel: u64,
}

impl Count {
    /// User and kernel together.
    pub fn all(self) -> u64 {
        self.user.saturating_add(self.kernel)
    }
}

/// All intervals of one `op`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The number that the marks carry.
    pub op: u8,
    /// How many intervals ended.
    pub times: u64,
    /// Their sum.
    pub sum: Count,
    /// The shortest, user and kernel together.
    pub min: u64,
    /// The middle one in the order of length: half of them are no longer.
    pub median: u64,
    /// The longest, user and kernel together.
    pub max: u64,
    /// The first ones in the order of time, up to a few thousand.
    #[serde(default)]
    pub first: Vec<u64>,
}

/// What is made of the intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// The median.
    #[default]
    Median,
    /// The interval of that number in the order of time, counted from 1.
    Nth(usize),
    /// The interval of the first number, in units of that of the second.
    Ratio(usize, usize),
    /// The mean, in units of the kernel's share of it: what the same kernel calls would cost by themselves.
    PerKernel,
}

/// A figure that a scenario wants to see.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The number that the marks carry.
    pub op: u8,
    /// What it is called in the table.
    pub name: String,
    /// Units of work in one interval (bytes of a request, for instance); the figure is
    /// instructions per unit.
    pub per: u64,
    /// The largest acceptable figure, for the median: timer ticks and other components that happen to fall into a few of the intervals depend on
    /// the host's clock, and do not count.
    pub goal: Option<f64>,
    /// What of the intervals has to meet it.
    pub measure: Measure,
    /// Another figure that this one is held against; it takes the place of a goal.
    pub like: Option<Like>,
}

impl Wanted {
    /// The median of what is well known by a number, without a goal.
    pub fn new(op: u8) -> Self {
        let known = WELL_KNOWN.iter().find(|known| known.op == op);
        Self {
            op,
            name: known.map(|known| known.name.to_owned()).unwrap_or_default(),
            per: known.map_or(1, |known| known.per),
            goal: None,
            measure: Measure::default(),
            like: None,
        }
    }
}

/// How far a figure may be above another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Like {
    /// The number that the other one's marks carry; its units of work must be the same.
    pub op: u8,
    /// Percent of the other one's median that this one's may be more.
    pub percent: f64,
}

/// A number that has the same meaning in every program.
#[derive(Clone, Copy, Debug)]
pub struct WellKnown {
    /// The number.
    pub op: u8,
    /// What the table calls it.
    pub name: &'static str,
    /// Units of work in one interval.
    pub per: u64,
}

/// The number that the boot loader marks.
pub const BOOT_LOADER: u8 = 16;

/// The numbers that the system's own programs mark.
pub const WELL_KNOWN: [WellKnown; 8] = [
    WellKnown { op: 1, name: "boot: loader to init", per: 1 },
    WellKnown { op: 2, name: "RPC round trip", per: 1 },
    WellKnown { op: 3, name: "SD read, a byte of 64 KiB", per: 64 << 10 },
    WellKnown { op: 4, name: "kernel call and reply", per: 1 },
    WellKnown { op: 5, name: "one more component", per: 1 },
    WellKnown { op: 6, name: "session open and close", per: 1 },
    WellKnown { op: 7, name: "signal there and back", per: 1 },
    WellKnown { op: BOOT_LOADER, name: "boot loader: reset to hand-over", per: 1 },
];

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was wanted.
    pub wanted: Wanted,
    /// The intervals, if there were any.
    pub interval: Option<Interval>,
}

impl Figure {
    /// Mean instructions per unit of work.
    #[allow(clippy::cast_precision_loss)] // Counts stay far below 2^53.
    pub fn mean(&self) -> Option<f64> {
        let interval = self.interval.as_ref().filter(|interval| interval.times > 0)?;
        Some(interval.sum.all() as f64 / interval.times as f64 / self.wanted.per.max(1) as f64)
    }

    /// Median of the instructions per unit of work.
    #[allow(clippy::cast_precision_loss)] // Counts stay far below 2^53.
    pub fn median(&self) -> Option<f64> {
        let interval = self.interval.as_ref().filter(|interval| interval.times > 0)?;
        Some(interval.median as f64 / self.wanted.per.max(1) as f64)
    }

    /// The kernel's share of [`mean`](Self::mean).
    #[allow(clippy::cast_precision_loss)] // Counts stay far below 2^53.
    pub fn kernel(&self) -> Option<f64> {
        let interval = self.interval.as_ref().filter(|interval| interval.times > 0)?;
        Some(interval.sum.kernel as f64 / interval.times as f64 / self.wanted.per.max(1) as f64)
    }

    /// The interval of that number in the order of time, per unit of work.
    #[allow(clippy::cast_precision_loss)] // Counts stay far below 2^53.
    fn nth(&self, nth: usize) -> Option<f64> {
        let interval = self.interval.as_ref()?;
        Some(*interval.first.get(nth.checked_sub(1)?)? as f64 / self.wanted.per.max(1) as f64)
    }

    /// What has to meet the goal.
    pub fn value(&self) -> Option<f64> {
        match self.wanted.measure {
            Measure::Median => self.median(),
            Measure::Nth(nth) => self.nth(nth),
            Measure::Ratio(nth, other) => Some(self.nth(nth)? / self.nth(other)?),
            Measure::PerKernel => Some(self.mean()? / self.kernel()?),
        }
    }

    /// What is wrong with it, if it has a goal: nothing was measured, or the goal is missed.
    pub fn problem(&self) -> Option<String> {
        let Wanted { op, name, goal, .. } = &self.wanted;
        let goal = (*goal)?;
        match self.value() {
            None => Some(format!("{name}: nothing measured (too few marks {op} seen)")),
            Some(value) if value > goal => Some(format!("{name}: {} is more than {}", number(value), number(goal))),
            Some(_) => None,
        }
    }
}

/// Looks the `wanted` figures up in `report`.
pub fn figures(report: &Report, wanted: &[Wanted]) -> Vec<Figure> {
    let find = |op| report.intervals.iter().find(|interval| interval.op == op).cloned();
    let figure = |wanted: &Wanted| {
        let mut wanted = wanted.clone();
        if let Some(Like { op, percent }) = wanted.like {
            // Without the other one nothing is right.
            let other = Figure { interval: find(op), wanted: wanted.clone() }.median().unwrap_or(0.0);
            wanted.goal = Some(other * (1.0 + percent / 100.0));
        }
        Figure { interval: find(wanted.op), wanted }
    };
    wanted.iter().map(figure).collect()
}

/// The figures as a table, one line each.
#[derive(Debug)]
pub struct Table<'a>(pub &'a [Figure]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<34} {:>8} {:>12} {:>8} {:>12} {:>12} {:>12} {:>12}",
            "measured (instructions)", "times", "mean", "kernel", "min", "median", "max", "goal"
        )?;
        for figure in self.0 {
            let name = &figure.wanted.name;
            let (Some(interval), Some(mean), Some(kernel)) = (&figure.interval, figure.mean(), figure.kernel()) else {
                writeln!(f, "{name:<34} {:>8}", "none")?;
                continue;
            };
            if figure.wanted.measure == Measure::Median {
                write!(
                    f,
                    "{name:<34} {:>8} {:>12} {:>8} {:>12} {:>12} {:>12}",
                    interval.times,
                    number(mean),
                    number(kernel),
                    interval.min,
                    interval.median,
                    interval.max
                )?;
            } else {
                let value = figure.value().map_or_else(|| "none".to_owned(), number);
                write!(f, "{name:<34} {:>8} {value:>12} {:>8} {:>12} {:>12} {:>12}", "", "", "", "", "")?;
            }
            match figure.wanted.goal {
                Some(goal) if figure.problem().is_none() => writeln!(f, " {:>12}  met", number(goal))?,
                Some(goal) => writeln!(f, " {:>12}  MISSED", number(goal))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// A figure with as many digits as are of interest.
fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.4}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            total: Count { user: 100, kernel: 50 },
            intervals: vec![Interval {
                op: 3,
                times: 2,
                sum: Count { user: 1000, kernel: 3000 },
                min: 1500,
                median: 1600,
                max: 2500,
                first: vec![2500, 1500],
            }],
        }
    }

    fn wanted(op: u8, goal: Option<f64>) -> Wanted {
        Wanted { op, name: format!("op {op}"), per: 65536, goal, measure: Measure::Median, like: None }
    }

    #[test]
    fn a_figure_can_be_held_against_another() {
        let mut report = report();
        report.intervals.push(Interval { op: 4, median: 1680, ..report.intervals[0].clone() });
        let like = |op, other, percent| Wanted { like: Some(Like { op: other, percent }), ..wanted(op, None) };
        let figures = figures(&report, &[like(4, 3, 5.0), like(4, 3, 4.9), like(3, 4, 0.0), like(3, 9, 5.0)]);
        let problems: Vec<bool> = figures.iter().map(|figure| figure.problem().is_some()).collect();
        assert_eq!(problems, [false, true, false, true]);
    }

    #[test]
    fn a_figure_is_the_mean_per_unit() {
        let figures = figures(&report(), &[wanted(3, Some(0.04)), wanted(3, Some(0.02))]);
        assert_eq!(figures[0].mean(), Some(2000.0 / 65536.0));
        assert_eq!(figures[0].problem(), None);
        assert_eq!(figures[1].problem().as_deref(), Some("op 3: 0.0244 is more than 0.0200"));
        let table = Table(&figures).to_string();
        assert!(table.contains("0.0305   0.0229"), "{table}");
        assert!(table.contains("MISSED"), "{table}");
    }

    #[test]
    fn a_goal_needs_a_measurement() {
        let figures = figures(&report(), &[wanted(4, Some(1.0)), wanted(5, None)]);
        assert!(figures[0].problem().is_some());
        assert!(figures[1].problem().is_none());
    }

    #[test]
    fn single_intervals_and_ratios_have_goals_too() {
        let with = |measure, goal| Wanted { per: 1, measure, ..wanted(3, Some(goal)) };
        let wanted = [
            with(Measure::Nth(2), 1500.0),
            with(Measure::Ratio(2, 1), 0.5),
            with(Measure::PerKernel, 1.25),
            with(Measure::PerKernel, 1.34),
            with(Measure::Nth(3), 1500.0),
        ];
        let problems: Vec<_> = figures(&report(), &wanted).iter().map(|figure| figure.problem().is_some()).collect();
        assert_eq!(problems, [false, true, true, false, true]);
    }

    #[test]
    fn reports_are_read_back() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
    }
}
