extern crate std;

use core::cell::RefCell;
use std::string::ToString;

use mmio::Registers;

use super::*;
use crate::Ps;

struct Nothing(RefCell<u32>);

impl Registers for Nothing {
    fn read(&self, _: usize) -> u32 {
        0
    }

    fn write(&self, _: usize, value: u32) {
        *self.0.borrow_mut() |= value;
    }
}

fn parse(text: &str) -> Config {
    serde_json_core::from_str(text).unwrap().0
}

fn error(text: &str) -> std::string::String {
    let controller = Ps::new(Nothing(RefCell::new(0)));
    parse(text).check_pins(&controller).unwrap_err().to_string()
}

const CONFIG: &str = r#"{"policies": [
    {"selector": {"exact": "init -> blinky"}, "pins": [{"name": "led", "pin": 7, "access": "output"}]},
    {"selector": {"prefix": "init -> lab"}, "pins": [{"name": "a", "pin": 54}, {"name": "b", "pin": 31, "access": "input"}]}
]}"#;

#[test]
fn a_client_has_the_pins_of_its_policy() {
    let config = parse(CONFIG);
    let controller = Ps::new(Nothing(RefCell::new(0)));
    config.check_pins(&controller).unwrap();
    assert_eq!(config.device, "gpio0");
    let policy = |label: &str| config.policy(&Label::new(label).unwrap());
    assert!(policy("init -> other").is_none());
    let lab = policy("init -> lab -> one").unwrap();
    assert_eq!((lab.find("b"), lab.find("led")), (Some(1), None));
    let group = lab.group(&controller).unwrap();
    assert_eq!((group.len(), group.inputs(), group.outputs()), (2, 0b11, 0b01));
    let [a, b] = group.places() else { panic!() };
    assert_eq!(((a.bank, a.bit), (b.bank, b.bit)), ((2, 0), (0, 31)));
}

#[test]
fn mistakes_are_named() {
    let pins = |pins: &str| error(&std::format!(r#"{{"policies": [{{"selector": "default", "pins": [{pins}]}}]}}"#));
    assert_eq!(pins(r#"{"name": "x", "pin": 118}"#), "pin 118, `x`: the device has no such pin");
    assert!(pins(r#"{"name": "x", "pin": 8}"#).contains("only make it an output"));
    assert!(pins(r#"{"name": "x", "pin": 9}, {"name": "x", "pin": 10}"#).contains("two pins `x`"));
    assert!(pins(r#"{"name": "x", "pin": 9}, {"name": "y", "pin": 9}"#).contains("pin 9 is `y`"));
    let twice = r#"{"policies": [{"selector": "default", "pins": []}, {"selector": "default", "pins": []}]}"#;
    assert!(error(twice).contains("two policies"));
}
