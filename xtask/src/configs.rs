//! Checks of the free-form `[component.config]` tables, by program.
//!
//! A program that reads a configuration names its type here, so that a mistake in a scenario is
//! found before anything boots, at its place in the file.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// A step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// Where, from the configuration's root.
    pub(crate) path: Vec<Step>,
    /// What.
    pub(crate) message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Checks one configuration.
type Check = fn(&Value) -> Result<(), ConfigError>;

/// The programs that say what their configuration looks like. Any other gets its table as it is.
const CHECKS: &[(&str, Check)] = &[
    ("devices", |config| typed::<devices::config::Config>(config).map(drop)),
    ("gpio", |config| checked(config, gpio::Config::check)),
    ("i2c", |config| checked(config, i2c::Config::check)),
    ("sd", |config| checked(config, sd::Config::check)),
];

/// Checks a configuration as the program itself does.
fn checked<T: DeserializeOwned, E: fmt::Display>(
    config: &Value,
    check: fn(&T) -> Result<(), E>,
) -> Result<(), ConfigError> {
    let config = typed::<T>(config)?;
    check(&config).map_err(|error| ConfigError { path: Vec::new(), message: error.to_string() })
}

/// Checks the configuration of a component that runs `binary`.
///
/// # Errors
///
/// The first mistake, with its place.
pub(crate) fn check(binary: &str, config: &Value) -> Result<(), ConfigError> {
    check_with(CHECKS, binary, config)
}

fn check_with(checks: &[(&str, Check)], binary: &str, config: &Value) -> Result<(), ConfigError> {
    match checks.iter().find(|(name, _)| *name == binary) {
        Some((_, check)) => check(config),
        None => Ok(()),
    }
}

/// `config` as `T`, the type that the program itself reads.
fn typed<T: DeserializeOwned>(config: &Value) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Map { key } => Some(Step::Key(key.clone())),
                Segment::Seq { index } => Some(Step::Index(*index)),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        ConfigError { path, message: error.into_inner().to_string() }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_names_the_place() {
        let right = json!({ "policies": [{ "selector": "default" }] });
        let wrong = json!({ "policies": [{ "selector": "default" }, { "selector": "default", "first": "x" }] });
        assert_eq!(check("sd", &right), Ok(()));
        assert_eq!(check("uart", &wrong), Ok(()));
        let error = check("sd", &wrong).unwrap_err();
        let key = |key: &str| Step::Key(key.into());
        assert_eq!(error.path, [key("policies"), Step::Index(1), key("first")]);
        assert!(error.message.contains("expected u64"), "{error}");
    }

    #[test]
    fn what_the_program_itself_would_refuse_is_refused() {
        let twice = json!({ "policies": [{ "selector": "default" }, { "selector": "default", "writeable": true }] });
        assert!(check("sd", &twice).unwrap_err().message.contains("two policies"));
        assert!(check("devices", &json!({ "policies": [{ "selector": "default" }] })).is_err());
        let pins = json!([{ "name": "led", "pin": 7 }, { "name": "led", "pin": 8 }]);
        let gpio = json!({ "policies": [{ "selector": "default", "pins": pins }] });
        assert!(check("gpio", &gpio).unwrap_err().message.contains("two pins `led`"));
        let i2c = json!({ "policies": [{ "selector": "default", "addresses": [{ "first": 0xa0 }] }] });
        assert!(check("i2c", &i2c).unwrap_err().message.contains("0xa0"));
    }
}
