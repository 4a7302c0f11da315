//! What can be written in a scenario file.
//!
//! Every key that is not here is an error that names the place. Values that another check may find
//! fault with carry their place in the text ([`Spanned`]).

use std::collections::BTreeMap;

use harness::recipe::Recipe;
use harness::size::Size;
use models::board::description::{Bitstream, Bus, Event};
use serde::Deserialize;
use toml::Spanned;

/// A whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    /// One sentence about the system.
    pub(crate) description: Spanned<String>,
    /// What a run is judged by.
    pub(crate) run: Run,
    /// What is attached to the board.
    #[serde(default)]
    pub(crate) board: Board,
    /// What init itself needs.
    #[serde(default)]
    pub(crate) init: Init,
    /// What init starts, servers before their clients.
    #[serde(default)]
    pub(crate) component: Vec<Spanned<Component>>,
    /// Systems for nested inits.
    #[serde(default)]
    pub(crate) system: Vec<System>,
    /// The same system with other cards and outcomes, for tests.
    #[serde(default)]
    pub(crate) case: Vec<Case>,
}

/// What a run is judged by. Lines are compared as [`harness::judge::Pattern`] says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Run {
    /// The console line that ends the run with success.
    pub(crate) success: Spanned<String>,
    /// Console lines that end it with failure.
    #[serde(default)]
    pub(crate) failure: Vec<Spanned<String>>,
    /// Seconds until it is given up.
    pub(crate) timeout: Spanned<u32>,
    /// The component whose lines go to standard output without their label; all others go to
    /// standard error then.
    pub(crate) stdout: Option<Spanned<String>>,
    /// The component whose `SUM` lines are compared with the files of the card that was built.
    pub(crate) sums: Option<Spanned<String>>,
    /// Let the virtual clock follow the instructions, so that two runs are the same run.
    #[serde(default = "yes")]
    pub(crate) deterministic: bool,
    /// Lines that must have been seen by the time of success.
    #[serde(default)]
    pub(crate) expect: Vec<Expect>,
    /// Figures to show at the end.
    #[serde(default)]
    pub(crate) measure: Vec<Measure>,
}

/// A line that must have been seen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Expect {
    /// The line.
    pub(crate) line: Spanned<String>,
    /// How often exactly; at least once if absent.
    pub(crate) times: Option<u32>,
}

/// A figure to show.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Measure {
    /// The number in the program's marks.
    pub(crate) op: Spanned<u8>,
    /// What the table calls it; the well-known numbers have names.
    pub(crate) name: Option<String>,
    /// Units of work in one interval, for instance the bytes of a request; 1 if absent, save for the well-known numbers.
    pub(crate) per: Option<Spanned<u64>>,
    /// The most instructions per unit that count as right.
    pub(crate) goal: Option<f64>,
    /// The same on other kernels than the default one, if they cannot meet that.
    pub(crate) other_kernels: Option<f64>,
    /// The interval of that number in the order of time, instead of the median.
    pub(crate) nth: Option<Spanned<usize>>,
    /// In units of the interval of that number.
    pub(crate) relative_to: Option<Spanned<usize>>,
    /// The mean, in units of the kernel's share of it.
    #[serde(default)]
    pub(crate) per_kernel: bool,
    /// Another figure that this one is held against, instead of a goal.
    pub(crate) like: Option<Like>,
}

/// How far a figure may be above another one.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Like {
    /// The number in the other one's marks.
    pub(crate) op: u8,
    /// Percent that it may be more.
    pub(crate) percent: f64,
}

/// What is attached to the board.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Board {
    /// The card in the SD slot, unless the user brings one.
    pub(crate) sd: Option<Spanned<Recipe>>,
    /// What the PL is configured with: `"none"`, `"emio"`, `"axi"` or a table of one's own.
    pub(crate) bitstream: Option<Spanned<Bitstream>>,
    /// The buses of the I2C controllers `i2c0` and `i2c1`, and the slaves on them.
    #[serde(default)]
    pub(crate) i2c: BTreeMap<String, Spanned<Bus>>,
    /// What happens from outside.
    #[serde(default)]
    pub(crate) event: Vec<Spanned<Event>>,
    /// What pins, slaves and the display must have gone through by the time of success.
    #[serde(default)]
    pub(crate) expect: Vec<Spanned<harness::expect::Expect>>,
}

/// What an init itself needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Init {
    /// The component whose report `system` is the next description.
    pub(crate) manager: Option<Spanned<String>>,
    /// The component that it asks for the time.
    pub(crate) timer: Option<Spanned<String>>,
    /// The component that is believed when it says that others do not get the processor.
    pub(crate) watchdog: Option<Spanned<String>>,
}

/// A system for a nested init.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct System {
    /// Unique name, for the key `system` of a component.
    pub(crate) name: Spanned<String>,
    /// What the init itself needs.
    #[serde(default)]
    pub(crate) init: Init,
    /// What it starts.
    #[serde(default)]
    pub(crate) component: Vec<Spanned<Component>>,
}

/// One target, or several of which the first that answers counts.
#[derive(Clone, Debug)]
pub(crate) struct Targets(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = Targets;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a target or a list of targets")
            }

            fn visit_str<E: serde::de::Error>(self, target: &str) -> Result<Targets, E> {
                Ok(Targets(vec![target.to_owned()]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Targets, A::Error> {
                let mut targets = Vec::new();
                while let Some(target) = list.next_element()? {
                    targets.push(target);
                }
                Ok(Targets(targets))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// How much a component may be given when it asks for more.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Grant {
    /// Most RAM beyond its own.
    #[serde(default)]
    pub(crate) ram: Size,
    /// Most capabilities beyond its own.
    #[serde(default)]
    pub(crate) caps: u32,
    /// It is ended if it is asked to give them back and does not. Needs `init.timer`.
    #[serde(default = "voluntary")]
    pub(crate) must_yield: Spanned<bool>,
}

/// When a component is started again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Restart {
    /// Most restarts.
    pub(crate) limit: u32,
    /// Pause before the first one; each further one takes twice as long. Needs `init.timer`.
    pub(crate) backoff: Option<Spanned<Duration>>,
    /// Also after an exit with code 0.
    #[serde(default)]
    pub(crate) always: bool,
    /// Compare what core has free after each end.
    #[serde(default)]
    pub(crate) audit: bool,
}

/// A time: `"100ms"` or `"2s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Duration {
    /// Milliseconds.
    pub(crate) milliseconds: u32,
}

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time; write for instance \"100ms\" or \"2s\"");
        let (number, unit) = match text.strip_suffix("ms") {
            Some(number) => (number, 1),
            None => (text.strip_suffix('s').ok_or_else(wrong)?, 1000),
        };
        let number: u32 = number.trim().parse().map_err(|_| wrong())?;
        Ok(Self { milliseconds: number.checked_mul(unit).ok_or_else(wrong)? })
    }
}

/// One component.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Component {
    /// Unique name.
    pub(crate) name: Spanned<String>,
    /// The program; the name if absent.
    pub(crate) binary: Option<Spanned<String>>,
    /// The component is an init with that system.
    pub(crate) system: Option<Spanned<String>>,
    /// So many components of this kind, called `NAME-1`, `NAME-2`, ...; a single one if absent.
    pub(crate) count: Option<Spanned<u32>>,
    /// A component whose version changes is restarted.
    #[serde(default)]
    pub(crate) version: u32,
    /// Whether it is started again after its end.
    pub(crate) restart: Option<Restart>,
    /// What it is given when it asks for more.
    pub(crate) grant: Option<Grant>,
    /// Time within which it must answer that it is alive. Needs `init.timer`.
    pub(crate) heartbeat: Option<Spanned<Duration>>,
    /// RAM that it is lent.
    pub(crate) ram: Spanned<Size>,
    /// Capabilities that it is lent.
    pub(crate) caps: Spanned<u32>,
    /// Scheduling priority.
    #[serde(default = "priority")]
    pub(crate) priority: Spanned<u8>,
    /// Stack of its main thread.
    #[serde(default = "stack")]
    pub(crate) stack: Spanned<Size>,
    /// Services that it offers.
    #[serde(default)]
    pub(crate) provides: Vec<Spanned<String>>,
    /// Service to component, `core`, `init` or (in a nested system) `parent`; or to several of them.
    #[serde(default)]
    pub(crate) route: BTreeMap<Spanned<String>, Spanned<Targets>>,
    /// What its end means.
    #[serde(default)]
    pub(crate) on_exit: OnExit,
    /// Its configuration, handed to it as JSON.
    pub(crate) config: Option<Spanned<serde_json::Value>>,
}

/// Equal priorities by default: a server above its client leaves the kernel's fast path on replies.
fn priority() -> Spanned<u8> {
    Spanned::new(0..0, 100)
}

fn yes() -> bool {
    true
}

fn voluntary() -> Spanned<bool> {
    Spanned::new(0..0, false)
}

fn stack() -> Spanned<Size> {
    Spanned::new(0..0, Size(16 << 10))
}

/// What the end of a component means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnExit {
    /// Nothing.
    #[default]
    Ignore,
    /// The run is over once all components of this kind have ended.
    Finish,
    /// The run is over, with its exit code.
    End,
}

/// The same system with another card or another outcome.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Case {
    /// Unique within the file.
    pub(crate) name: Spanned<String>,
    /// One sentence.
    pub(crate) description: String,
    /// The card, instead of the board's.
    pub(crate) sd: Option<Spanned<Recipe>>,
    /// The run must fail, with a line that contains this.
    pub(crate) fails_with: Option<Spanned<String>>,
}
