//! A triple timer counter of the Zynq-7000.
//!
//! # How the hardware works
//!
//! UG585 chapter 8.5 and appendix B.32. Three counters of 16 bits, each with a prescaler, an interrupt line, a wave output and an
//! external clock input of its own; they share a page and the input clock, `CPU_1x`.
//!
//! A counter counts up from 0 to 65,535 (overflow mode) or to its interval register (interval mode) and starts over at 0, or
//! counts down and starts over at the end. Starting over is the overflow or the interval interrupt. With match mode on,
//! becoming equal to one of three match registers is an interrupt, too; the first of them also turns the wave output over
//! until the counter starts over. What happened is latched in the interrupt register until that is read, which clears it; the
//! line is up while a latched bit is enabled.
//!
//! The event timer of each counter measures pulses at the external clock input in cycles of the input clock.
//!
//! # What this module does
//!
//! All of that, in whole cycles: time is converted to cycles by one integer division from a fixed point, so nothing drifts.
//! A counter is only looked at when it is asked for; [`Ttc::next_event`](crate::Device::next_event) is when the next interrupt
//! line goes up that is down now, or a wave output that is on turns over. A counter that interrupts with each cycle
//! therefore costs no more than its interrupt handler.
//!
//! Signals 0 to 2 are the wave outputs, 3 to 5 the external clocks.
//!
//! # Where the manual leaves a choice
//!
//! The prescaler runs on when a counter is reset, so the first tick may be shorter than the others. A reset counter is 0 in both
//! directions. A match is the step onto the value, not staying there. An interval register that is set below the count takes
//! effect after the count has gone past 65,535. A wave output that is off floats.

use crate::complaints::Complaints;
use crate::{Device, Drive, Memory, Width};

/// First signal of the external clocks.
pub const EXTERNAL_CLOCK: u32 = 3;

const SECOND: u64 = 1_000_000_000;
/// First offset behind the last register.
const END: u32 = 0x84;

const CLOCK_PRESCALE: u32 = 1 << 0;
const CLOCK_EXTERNAL: u32 = 1 << 5;
const CLOCK_FALLING: u32 = 1 << 6;

const DISABLE: u32 = 1 << 0;
const INTERVAL: u32 = 1 << 1;
const DECREMENT: u32 = 1 << 2;
const MATCH: u32 = 1 << 3;
const RESET: u32 = 1 << 4;
const WAVE_DISABLE: u32 = 1 << 5;
const WAVE_POLARITY: u32 = 1 << 6;

const STATUS_INTERVAL: u32 = 1 << 0;
const STATUS_MATCH: [u32; 3] = [1 << 1, 1 << 2, 1 << 3];
const STATUS_OVERFLOW: u32 = 1 << 4;
const STATUS_EVENT: u32 = 1 << 5;

const EVENT_ENABLE: u32 = 1 << 0;
const EVENT_LOW: u32 = 1 << 1;
const EVENT_WRAP: u32 = 1 << 2;

/// Counts of a 16-bit counter.
const RANGE: u64 = 1 << 16;

/// Converts time to cycles of the input clock.
#[derive(Clone, Copy, Debug)]
struct Cycles {
    /// In Hz.
    frequency: u32,
    /// When `count` cycles were over,
    time: u64,
    count: u64,
    /// and as much of the next one, in cycles per [`SECOND`].
    fraction: u64,
}

impl Cycles {
    fn at(&mut self, now: u64) -> u64 {
        let frequency = u64::from(self.frequency);
        let mut elapsed = now.saturating_sub(self.time);
        if elapsed >= SECOND {
            let seconds = elapsed / SECOND;
            self.time += seconds * SECOND;
            self.count += seconds * frequency;
            elapsed %= SECOND;
        }
        self.count + (elapsed * frequency + self.fraction) / SECOND
    }

    fn set_frequency(&mut self, frequency: u32, now: u64) {
        let cycles = self.at(now);
        let elapsed = now.saturating_sub(self.time);
        self.fraction = (elapsed * u64::from(self.frequency) + self.fraction) % SECOND;
        self.count = cycles;
        self.time = now;
        self.frequency = frequency;
    }

    /// The first time at which that many cycles are over; `None` if the clock stands still.
    fn time_of(&self, cycles: u64) -> Option<u64> {
        let missing = u128::from(cycles.saturating_sub(self.count)) * u128::from(SECOND);
        let frequency = u128::from(self.frequency);
        let elapsed =
            missing.saturating_sub(u128::from(self.fraction)).checked_add(frequency.checked_sub(1)?)? / frequency;
        self.time.checked_add(u64::try_from(elapsed).ok()?)
    }
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    clock: u32,
    control: u32,
    /// The count,
    count: u64,
    /// as of this tick of the prescaled clock.
    tick: u64,
    interval: u64,
    matches: [u64; 3],
    status: u32,
    enable: u32,
    event_control: u32,
    event: u64,
    /// Level of the wave output.
    wave: bool,
    /// Level of the external clock.
    external: bool,
    /// Edges of the external clock that were counted.
    edges: u64,
    /// When the event timer was 0, in cycles, while it counts.
    pulse: Option<u64>,
}

impl Counter {
    const fn new() -> Self {
        Self {
            clock: 0,
            control: DISABLE | WAVE_DISABLE,
            count: 0,
            tick: 0,
            interval: 0,
            matches: [0; 3],
            status: 0,
            enable: 0,
            event_control: 0,
            event: 0,
            wave: false,
            external: false,
            edges: 0,
            pulse: None,
        }
    }

    /// The exponent of the prescaler.
    const fn shift(&self) -> u32 {
        if self.clock & CLOCK_PRESCALE == 0 { 0 } else { (self.clock >> 1 & 0xF) + 1 }
    }

    /// Ticks of the prescaled clock.
    const fn ticks(&self, cycles: u64) -> u64 {
        (if self.clock & CLOCK_EXTERNAL == 0 { cycles } else { self.edges }) >> self.shift()
    }

    /// The largest count.
    const fn end(&self) -> u64 {
        if self.control & INTERVAL == 0 { RANGE - 1 } else { self.interval }
    }

    const fn counts_down(&self) -> bool {
        self.control & DECREMENT != 0
    }

    /// Ticks until it starts over.
    const fn until_restart(&self) -> u64 {
        if self.counts_down() {
            self.count + 1
        } else if self.count <= self.end() {
            self.end() - self.count + 1
        } else {
            RANGE - self.count
        }
    }

    /// Ticks from starting over until the count is `value`, if it ever is.
    fn after_restart(&self, value: u64) -> Option<u64> {
        let end = self.end();
        (value <= end).then_some(if self.counts_down() { end.saturating_sub(value) } else { value })
    }

    /// Ticks until the count becomes `value`, if it ever does.
    fn until(&self, value: u64) -> Option<u64> {
        let until_restart = self.until_restart();
        let direct = if self.counts_down() { self.count.checked_sub(value) } else { value.checked_sub(self.count) };
        match direct {
            Some(distance) if distance > 0 && distance < until_restart => Some(distance),
            _ => Some(until_restart + self.after_restart(value)?),
        }
    }

    /// The last of the ticks 1 to `ticks` at which the count becomes `value`.
    fn last(&self, value: u64, ticks: u64) -> Option<u64> {
        let period = self.end() + 1;
        let repeated = self.after_restart(value).map(|distance| self.until_restart() + distance);
        match repeated {
            Some(first) if first <= ticks => Some(first + (ticks - first) / period * period),
            _ => self.until(value).filter(|distance| *distance <= ticks),
        }
    }

    /// Counts `ticks` on.
    fn count(&mut self, ticks: u64) {
        let until_restart = self.until_restart();
        let period = self.end() + 1;
        let restarted = ticks >= until_restart;
        if restarted {
            self.status |= if self.control & INTERVAL == 0 { STATUS_OVERFLOW } else { STATUS_INTERVAL };
        }
        if self.control & MATCH != 0 {
            for (value, status) in self.matches.into_iter().zip(STATUS_MATCH) {
                if self.until(value).is_some_and(|distance| distance <= ticks) {
                    self.status |= status;
                }
            }
        }
        if self.control & WAVE_DISABLE == 0 {
            let [value, ..] = self.matches;
            let matched = if self.control & MATCH == 0 { None } else { self.last(value, ticks) };
            let restart = restarted.then(|| until_restart + (ticks - until_restart) / period * period);
            // Starting over at the match value turns back and over at once.
            if matched.is_some() && matched >= restart {
                self.wave = self.control & WAVE_POLARITY == 0;
            } else if restarted {
                self.wave = self.control & WAVE_POLARITY != 0;
            }
        }
        self.count = match (restarted, self.counts_down()) {
            (true, false) => (ticks - until_restart) % period,
            (true, true) => self.end() - (ticks - until_restart) % period,
            (false, false) => self.count + ticks,
            (false, true) => self.count - ticks,
        };
    }

    /// Brings everything up to `cycles`.
    fn update(&mut self, cycles: u64) {
        let tick = self.ticks(cycles);
        if self.control & DISABLE == 0 && tick > self.tick {
            self.count(tick - self.tick);
        }
        self.tick = tick;
        if let Some(start) = self.pulse {
            let length = cycles.saturating_sub(start);
            if length >= RANGE {
                self.status |= STATUS_EVENT;
                if self.event_control & EVENT_WRAP != 0 {
                    self.pulse = Some(cycles - length % RANGE);
                } else {
                    self.event_control &= !EVENT_ENABLE;
                    self.pulse = None;
                }
            }
        }
    }

    fn write_control(&mut self, value: u32) {
        if value & RESET != 0 {
            self.count = 0;
        }
        let wave = WAVE_DISABLE | WAVE_POLARITY;
        if value & RESET != 0 || (self.control ^ value) & wave != 0 {
            self.wave = value & WAVE_POLARITY != 0;
        }
        self.control = value & !RESET;
    }

    fn write_event_control(&mut self, value: u32, cycles: u64) {
        let changed = (self.event_control ^ value) & (EVENT_ENABLE | EVENT_LOW) != 0;
        self.event_control = value;
        if changed {
            self.pulse = self.in_pulse().then_some(cycles);
        }
    }

    /// Whether the event timer counts.
    const fn in_pulse(&self) -> bool {
        self.event_control & EVENT_ENABLE != 0 && self.external == (self.event_control & EVENT_LOW == 0)
    }

    fn external_clock(&mut self, level: bool, cycles: u64) {
        if level == self.external {
            return;
        }
        self.external = level;
        if level == (self.clock & CLOCK_FALLING == 0) {
            self.edges += 1;
            self.update(cycles);
        }
        if let Some(start) = self.pulse.take() {
            let length = cycles.saturating_sub(start);
            if length != 0 {
                self.event = length;
            }
        }
        self.pulse = self.in_pulse().then_some(cycles);
    }

    const fn interrupts(&self) -> bool {
        self.status & self.enable != 0
    }

    /// When its line goes up or its wave output turns over, in cycles.
    fn next_event(&self) -> Option<u64> {
        let silent = self.interrupts();
        let wanted = |status: u32| !silent && self.enable & status != 0;
        let wave = self.control & WAVE_DISABLE == 0;
        let mut next = u64::MAX;
        if self.control & DISABLE == 0 {
            let restart = if self.control & INTERVAL == 0 { STATUS_OVERFLOW } else { STATUS_INTERVAL };
            // Starting over at the match value does not turn the wave back.
            let stays = self.control & MATCH != 0 && self.after_restart(self.matches[0]) == Some(0);
            if wanted(restart) || wave && !stays && self.wave != (self.control & WAVE_POLARITY != 0) {
                next = self.until_restart();
            }
            if self.control & MATCH != 0 {
                for (value, status) in self.matches.into_iter().zip(STATUS_MATCH) {
                    let turns = wave && status == STATUS_MATCH[0] && self.wave == (self.control & WAVE_POLARITY != 0);
                    if wanted(status) || turns {
                        next = next.min(self.until(value).unwrap_or(u64::MAX));
                    }
                }
            }
        }
        let counter = if next == u64::MAX || self.clock & CLOCK_EXTERNAL != 0 {
            None
        } else {
            Some((self.tick + next) << self.shift())
        };
        let pulse = self.pulse.filter(|_| wanted(STATUS_EVENT)).map(|start| start + RANGE);
        counter.into_iter().chain(pulse).min()
    }
}

/// Which register of a counter is at an offset.
#[derive(Clone, Copy, Debug)]
enum Register {
    Clock,
    Control,
    Count,
    Interval,
    Match(usize),
    Status,
    Enable,
    EventControl,
    Event,
}

impl Register {
    /// Its name in the manual, without the counter.
    const fn name(self) -> &'static str {
        match self {
            Self::Clock => "Clock_Control",
            Self::Control => "Counter_Control",
            Self::Count => "Counter_Value",
            Self::Interval => "Interval_Counter",
            Self::Match(0) => "Match_1_Counter",
            Self::Match(1) => "Match_2_Counter",
            Self::Match(_) => "Match_3_Counter",
            Self::Status => "Interrupt_Register",
            Self::Enable => "Interrupt_Enable",
            Self::EventControl => "Event_Control_Timer",
            Self::Event => "Event_Register",
        }
    }
}

/// Counter and register at an offset: each register exists three times in a row.
fn decode(offset: u32) -> Option<(usize, Register)> {
    if offset >= END {
        return None;
    }
    let register = match offset / 12 {
        0 => Register::Clock,
        1 => Register::Control,
        2 => Register::Count,
        3 => Register::Interval,
        number @ 4..=6 => Register::Match(number as usize - 4),
        7 => Register::Status,
        8 => Register::Enable,
        9 => Register::EventControl,
        _ => Register::Event,
    };
    Some(((offset % 12 / 4) as usize, register))
}

/// The block.
#[derive(Debug)]
pub struct Ttc {
    counters: [Counter; 3],
    cycles: Cycles,
    complaints: Complaints,
}

impl Ttc {
    /// A block after reset, whose input clock has `frequency` in Hz.
    pub const fn new(frequency: u32) -> Self {
        Self {
            counters: [Counter::new(); 3],
            cycles: Cycles { frequency, time: 0, count: 0, fraction: 0 },
            complaints: Complaints::new(),
        }
    }

    /// Resets all registers. Levels of the external clocks, and the input clock, stay.
    pub fn reset(&mut self) {
        for counter in &mut self.counters {
            *counter = Counter { external: counter.external, edges: counter.edges, ..Counter::new() };
        }
    }

    /// Changes the frequency of the input clock, in Hz. 0 stops it.
    pub fn set_frequency(&mut self, frequency: u32, now: u64) {
        if frequency != self.cycles.frequency {
            self.update(now);
            self.cycles.set_frequency(frequency, now);
        }
    }

    fn update(&mut self, now: u64) {
        let cycles = self.cycles.at(now);
        for counter in &mut self.counters {
            counter.update(cycles);
        }
    }
}

impl Device for Ttc {
    fn length(&self) -> u32 {
        0x1000
    }

    fn read(&mut self, offset: u32, width: Width, now: u64) -> u32 {
        let Some((number, register)) = decode(offset) else {
            self.complaints.no_register("ttc", "read", offset);
            return 0;
        };
        let cycles = self.cycles.at(now);
        let Some(counter) = self.counters.get_mut(number) else { return 0 };
        counter.update(cycles);
        let value = match register {
            Register::Clock => counter.clock,
            Register::Control => counter.control,
            Register::Count => counter.count as u32,
            Register::Interval => counter.interval as u32,
            Register::Match(which) => counter.matches.get(which).copied().unwrap_or_default() as u32,
            Register::Status => std::mem::take(&mut counter.status),
            Register::Enable => counter.enable,
            Register::EventControl => counter.event_control,
            Register::Event => counter.event as u32,
        };
        width.lanes(offset, value)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, now: u64) {
        let Some((number, register)) = decode(offset) else {
            self.complaints.no_register("ttc", "write", offset);
            return;
        };
        let (name, one_based) = (register.name(), number + 1);
        if width != Width::Word {
            self.complaints.narrow("ttc", format_args!("{name}_{one_based}"), width);
            return;
        }
        let mask = match register {
            Register::Clock | Register::Control => 0x7F,
            Register::Interval | Register::Match(_) => 0xFFFF,
            Register::Enable => 0x3F,
            Register::EventControl => 0x7,
            Register::Count | Register::Status | Register::Event => {
                self.complaints.add(|| format!("ttc: {name}_{one_based} = {value:#x} ignored: it is read-only"));
                return;
            }
        };
        if value & !mask != 0 {
            self.complaints.add(|| format!("ttc: {name}_{one_based} = {value:#x}: its bits are {mask:#x}"));
        }
        let value = value & mask;
        let cycles = self.cycles.at(now);
        let Some(counter) = self.counters.get_mut(number) else { return };
        counter.update(cycles);
        match register {
            Register::Clock => {
                counter.clock = value;
                counter.tick = counter.ticks(cycles);
            }
            Register::Control => counter.write_control(value),
            Register::Interval => counter.interval = u64::from(value),
            Register::Match(which) => {
                if let Some(slot) = counter.matches.get_mut(which) {
                    *slot = u64::from(value);
                }
            }
            Register::Enable => counter.enable = value,
            Register::EventControl => counter.write_event_control(value, cycles),
            Register::Count | Register::Status | Register::Event => {}
        }
    }

    fn interrupts(&self) -> u32 {
        (0..).zip(&self.counters).fold(0, |lines, (number, counter)| lines | u32::from(counter.interrupts()) << number)
    }

    fn next_event(&self) -> Option<u64> {
        let next = self.counters.iter().filter_map(Counter::next_event).min()?;
        self.cycles.time_of(next)
    }

    fn advance(&mut self, now: u64, _memory: &mut dyn Memory) {
        self.update(now);
    }

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }

    fn signals(&self) -> u32 {
        6
    }

    fn drive(&self, signal: u32) -> Drive {
        match self.counters.get(signal as usize) {
            Some(counter) if counter.control & WAVE_DISABLE == 0 => {
                if counter.wave {
                    Drive::High
                } else {
                    Drive::Low
                }
            }
            _ => Drive::Floating,
        }
    }

    fn sense(&mut self, signal: u32, level: bool, now: u64) {
        let Some(number) = signal.checked_sub(EXTERNAL_CLOCK) else { return };
        let cycles = self.cycles.at(now);
        if let Some(counter) = self.counters.get_mut(number as usize) {
            counter.update(cycles);
            counter.external_clock(level, cycles);
        }
    }
}
