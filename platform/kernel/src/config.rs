//! The kernel's configuration: ours, and how any is read.

use serde_json::{Map, Value};

/// A kernel's configuration, as `gen_config.json` has it.
///
/// Names are without `CONFIG_`. The seL4 build writes switches as booleans and all else as strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config(Map<String, Value>);

impl Config {
    /// Reads `gen_config.json`. The error says what is wrong with the text, and where.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        match serde_json::from_str(json) {
            Ok(Value::Object(options)) => Ok(Self(options)),
            Ok(_) => Err("the configuration must be a JSON object".into()),
            Err(error) => Err(format!("the configuration is not JSON: {error}")),
        }
    }

    /// Whether the switch `name` is on. A switch that the kernel does not have is off.
    pub fn is_set(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) => text == "1" || text == "y",
            _ => false,
        }
    }

    /// The value of `name` if it is a number, decimal or hexadecimal with `0x`.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            },
            _ => None,
        }
    }

    /// The value of `name` if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// All options and their values in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// A value in the configuration of the kernel that is built here.
#[derive(Clone, Copy)]
enum Setting {
    On,
    Off,
    Is(&'static str),
}

use Setting::{Is, Off, On};

/// Options of the default kernel, release build.
///
/// Beyond what the platform dictates: one core and one domain; 4096 slots in the root task's CNode; the fast path;
/// and the time slice of 5 ticks of 2 ms. seL4 5.0 does not know `ARCH`, `PLAT`, `SEL4_ARCH` and `KERNEL_MCS`; they are here
/// because a newer kernel's description has them.
const RELEASE: &[(&str, Setting)] = &[
    ("ARCH", Is("arm")),
    ("ARCH_ARM", On),
    ("ARCH_AARCH32", On),
    ("ARCH_ARM_V7A", On),
    ("ARM_CORTEX_A9", On),
    ("FASTPATH", On),
    ("IPC_BUF_TPIDRURW", On),
    ("KERNEL_MCS", Off),
    ("KERNEL_STACK_BITS", Is("12")),
    ("MAX_NUM_BOOTINFO_DEVICE_REGIONS", Is("199")),
    ("MAX_NUM_BOOTINFO_UNTYPED_CAPS", Is("166")),
    ("MAX_NUM_NODES", Is("1")),
    ("MAX_NUM_WORK_UNITS_PER_PREEMPTION", Is("100")),
    ("NUM_DOMAINS", Is("1")),
    ("NUM_PRIORITIES", Is("256")),
    ("PLAT", Is("zynq7000")),
    ("PLAT_ZYNQ7000", On),
    ("RETYPE_FAN_OUT_LIMIT", Is("256")),
    ("ROOT_CNODE_SIZE_BITS", Is("12")),
    ("SEL4_ARCH", Is("aarch32")),
    ("TIMER_TICK_MS", Is("2")),
    ("TIME_SLICE", Is("5")),
    ("WORD_SIZE", Is("32")),
];

/// What a debug build has on top: a console, assertions, and system calls that print and dump.
const DEBUG: &[(&str, Setting)] = &[("DEBUG_BUILD", On), ("PRINTING", On), ("USER_STACK_TRACE_LENGTH", Is("1"))];

/// The same names in a release build's description, so that readers find them off.
const NO_DEBUG: &[(&str, Setting)] = &[("DEBUG_BUILD", Off), ("PRINTING", Off)];

fn options(debug: bool) -> impl Iterator<Item = (&'static str, Setting)> {
    RELEASE.iter().chain(if debug { DEBUG } else { NO_DEBUG }).copied()
}

/// The default kernel's configuration as the C header `autoconf.h`.
pub(crate) fn header(debug: bool) -> String {
    let mut header = String::from("#define AUTOCONF_INCLUDED\n");
    for (name, setting) in options(debug) {
        header += &match setting {
            On => format!("#define CONFIG_{name} 1\n"),
            Off => format!("/* disabled: CONFIG_{name} */\n"),
            Is(value) => format!("#define CONFIG_{name} {value}\n"),
        };
    }
    header
}

/// The default kernel's configuration as `gen_config.json`.
pub(crate) fn json(debug: bool) -> String {
    let options = options(debug).map(|(name, setting)| {
        let value = match setting {
            On => Value::Bool(true),
            Off => Value::Bool(false),
            Is(value) => Value::String(value.into()),
        };
        (name.to_owned(), value)
    });
    format!("{:#}\n", Value::Object(options.collect()))
}

#[cfg(test)]
mod tests {
    use super::{Config, header, json};

    #[test]
    fn header_and_json_say_the_same() {
        for debug in [false, true] {
            let config = Config::parse(&json(debug)).unwrap();
            let defined: Vec<_> = header(debug)
                .lines()
                .filter_map(|line| line.strip_prefix("#define CONFIG_"))
                .map(String::from)
                .collect();
            let on = config.iter().filter(|(_, value)| **value != false).count();
            assert_eq!(defined.len(), on);
            for line in defined {
                let (name, value) = line.split_once(' ').unwrap();
                assert!(config.is_set(name) || config.text(name) == Some(value), "{name}");
            }
        }
    }

    #[test]
    fn debug_is_off_unless_wanted() {
        for debug in [false, true] {
            let config = Config::parse(&json(debug)).unwrap();
            assert_eq!((config.is_set("PRINTING"), config.is_set("DEBUG_BUILD")), (debug, debug));
            assert_eq!(header(debug).contains("#define CONFIG_PRINTING"), debug);
        }
    }

    #[test]
    fn reads_values_in_either_notation() {
        let config =
            Config::parse(r#"{"A": "12", "B": 12, "C": "0x0c", "D": true, "E": false, "F": "x", "G": "-1"}"#).unwrap();
        for name in ["A", "B", "C"] {
            assert_eq!(config.number(name), Some(12), "{name}");
        }
        for name in ["D", "E", "F", "G", "H"] {
            assert_eq!(config.number(name), None, "{name}");
        }
        assert!(config.is_set("D") && !config.is_set("E") && !config.is_set("F") && !config.is_set("H"));
        assert_eq!(config.text("F"), Some("x"));
    }

    #[test]
    fn refuses_what_is_no_object() {
        for text in ["", "[]", "12", "{\"A\": ", "null"] {
            Config::parse(text).unwrap_err();
        }
    }
}
