//! What a mistake in a scenario looks like to the one who made it.

use std::time::Duration;

use init::description::{OnExit, Target};
use session::Service;

use super::{Document, Goals};
use crate::configs::{self, Step};

fn parse(source: &str) -> Result<Document, String> {
    let binaries = ["greedy", "sd", "sd-sum", "timer"].map(String::from);
    Document::parse("test", "scenarios/test.toml", source, &binaries).map_err(|report| report.render(false))
}

fn mistakes(source: &str) -> String {
    parse(source).map_or_else(|report| report, |document| format!("accepted: {document:?}"))
}

/// A scenario with `components` and everything else in order.
fn system(components: &str) -> String {
    format!("description = \"A test\"\n[run]\nsuccess = \"done\"\ntimeout = 10\n{components}")
}

const RIGHT: &str = r#"
description = "Sums up a card"

[run]
success = "finished"
failure = ["error:"]
timeout = 30
stdout = "sum"
sums = "sum"

[[run.expect]]
line = "hello"
times = 2

[[run.measure]]
op = 3
goal = 0.04
other-kernels = 0.05

[board.sd]
size = "40M"
format = "fat16"
[[board.sd.file]]
path = "/A.TXT"
text = "a"

[[component]]
name = "timer"
ram = "256K"
caps = 40
provides = ["Timer"]
route = { Log = "core" }

[[component]]
name = "sd"
ram = 1048576
caps = 60
priority = 110
stack = "32K"
provides = ["Block"]
route = { Timer = "timer" }
[component.config]
policies = [{ selector = { exact = "init -> sum" }, first = 8 }]

[[component]]
name = "sum"
binary = "sd-sum"
ram = "2M"
caps = 80
on-exit = "finish"
route = { Block = "sd", Log = "core" }

[[case]]
name = "blank"
description = "No file system"
sd = { size = "8M" }
fails-with = "no FAT"
"#;

#[test]
fn a_right_scenario_becomes_a_description() {
    let document = parse(RIGHT).unwrap();
    assert_eq!(document.names(), ["test", "test/blank"]);
    let scenario = document.scenario(None).unwrap();
    assert_eq!(scenario.binaries, ["timer", "sd", "sd-sum"]);
    assert_eq!(scenario.rules.deadline, Some(Duration::from_secs(30)));
    assert_eq!(scenario.rules.expect[0].times, Some(2));
    let figure = |goals| {
        let wanted = scenario.wanted(goals);
        (wanted[0].per, wanted[0].goal)
    };
    assert_eq!(figure(Goals::Default), (65536, Some(0.04)));
    assert_eq!(figure(Goals::OtherKernels), (65536, Some(0.05)));
    assert_eq!(figure(Goals::None), (65536, None));
    let [(timer, _), (sd, config), (sum, _)] = &scenario.systems[0].components[..] else {
        panic!("not three components")
    };
    assert_eq!(config, r#"{"policies":[{"first":8,"selector":{"exact":"init -> sum"}}]}"#);
    assert_eq!((timer.ram, timer.caps, timer.priority, timer.stack), (256 << 10, 40, 100, 16 << 10));
    assert_eq!((sd.ram, sd.priority, sd.stack), (1 << 20, 110, 32 << 10));
    assert_eq!(sd.provides[..], [Service::Block]);
    assert_eq!((sum.name.as_str(), sum.binary.as_str(), sum.on_exit), ("sum", "sd-sum", OnExit::Finish));
    assert!(sum.routes.iter().any(|route| route.target == Target::Child("sd".try_into().unwrap())));
    assert!(sum.routes.iter().any(|route| (route.service, &route.target) == (Service::Log, &Target::Core)));
}

#[test]
fn a_description_survives_the_way_to_the_board() {
    let systems = parse(RIGHT).unwrap().scenario(None).unwrap().systems;
    let bytes = systems[0].encode();
    let description = init::description::Description::parse(&bytes).unwrap();
    let entries =
        description.entries().map(|entry| (entry.component, String::from_utf8_lossy(entry.config).into_owned()));
    assert_eq!(entries.collect::<Vec<_>>(), systems[0].components);
}

#[test]
fn systems_nest() {
    let document = parse(&system(
        r#"
[[component]]
name = "tree"
system = "leaves"
ram = "1M"
caps = 60
route = { Rom = ["init", "core"], Log = "core" }
restart = { limit = 2, always = true, audit = true }

[[system]]
name = "leaves"
[[system.component]]
name = "leaf"
binary = "greedy"
count = 3
ram = "128K"
caps = 9
on-exit = "end"
route = { Log = "parent" }
"#,
    ))
    .unwrap();
    let scenario = document.scenario(None).unwrap();
    assert_eq!(scenario.binaries, ["greedy"]);
    let [main, leaves] = &scenario.systems[..] else { panic!("not two systems") };
    let (tree, config) = &main.components[0];
    assert_eq!((tree.binary.as_str(), config.as_str(), main.module.as_str()), ("init", "leaves.sys", "system"));
    let roms = tree.routes.iter().filter(|route| route.service == Service::Rom).map(|route| &route.target);
    assert_eq!(roms.collect::<Vec<_>>(), [&Target::Init, &Target::Core]);
    let names: Vec<_> = leaves.components.iter().map(|(leaf, _)| leaf.name.as_str()).collect();
    assert_eq!((names, leaves.module.as_str()), (vec!["leaf-1", "leaf-2", "leaf-3"], "leaves.sys"));
}

#[test]
fn mistakes_in_systems_are_found() {
    insta::assert_snapshot!(mistakes(&system(
        r#"
[init]
timer = "tree"
manager = "nobody"

[[component]]
name = "tree"
system = "leaves"
ram = "128K"
caps = 60
route = { Log = "parent", Timer = "init" }

[[component]]
name = "other"
system = "nothing"
ram = "128K"
caps = 60

[[system]]
name = "leaves"
[[system.component]]
name = "leaf"
binary = "greedy"
count = 3
ram = "128K"
caps = 9
heartbeat = "2s"
route = { Log = "core" }
"#
    )));
}

#[test]
fn a_pause_needs_a_timer() {
    insta::assert_snapshot!(mistakes(&system(
        "[[component]]\nname = \"sd\"\nram = \"1M\"\ncaps = 9\nrestart = { limit = 2, backoff = \"100ms\" }\n"
    )));
}

#[test]
fn a_case_replaces_card_and_outcome() {
    let document = parse(RIGHT).unwrap();
    let scenario = document.scenario(Some("blank")).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.system()), ("test/blank", "test"));
    assert_eq!(scenario.about, "No file system");
    assert_eq!(scenario.fails_with.unwrap().to_string(), "no FAT");
    assert_eq!(scenario.card.unwrap().size.get_ref().0, 8 << 20);
    let error = document.scenario(Some("nix")).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"scenario `test` has no case `nix`; it has: blank");
}

#[test]
fn syntax_errors_point_at_their_place() {
    insta::assert_snapshot!(mistakes("description = \"x\"\n[run\nsuccess = \"a\"\n"));
}

#[test]
fn unknown_keys_are_refused() {
    insta::assert_snapshot!(mistakes(&system("[[component]]\nname = \"sd\"\nram = \"1M\"\ncaps = 9\nquota = 3\n")));
}

#[test]
fn a_run_needs_a_success_line() {
    insta::assert_snapshot!(mistakes("description = \"x\"\n[run]\ntimeout = 10\n"));
}

#[test]
fn wrong_types_are_refused() {
    insta::assert_snapshot!(mistakes(&system("[[component]]\nname = \"sd\"\nram = \"1 MB\"\ncaps = 9\n")));
}

#[test]
fn numbers_have_ranges() {
    insta::assert_snapshot!(mistakes(&system(
        r#"
[[component]]
name = "sd"
ram = 10000
caps = 0
priority = 251
stack = 100
"#
    )));
}

#[test]
fn the_board_has_only_so_much_ram() {
    insta::assert_snapshot!(mistakes(&system(
        r#"
[[component]]
name = "sd"
ram = "400M"
caps = 9

[[component]]
name = "greedy"
ram = "101M"
caps = 9

[[component]]
name = "timer"
ram = "1M"
caps = 9
"#
    )));
}

#[test]
fn names_are_unique_and_well_formed() {
    insta::assert_snapshot!(mistakes(&system(
        r#"
[[component]]
name = "sd"
ram = "1M"
caps = 9

[[component]]
name = "sd"
ram = "1M"
caps = 9

[[component]]
name = "The SD"
binary = "sd"
ram = "1M"
caps = 9

[[component]]
name = "core"
binary = "init"
ram = "1M"
caps = 9

[[component]]
name = "a-name-that-is-much-too-long"
binary = "nothing"
ram = "1M"
caps = 9

[[component]]
name = "a-name-with-a-config"
binary = "timer"
ram = "1M"
caps = 9
config = { x = 1 }

[[component]]
name = "a-name-with-a-config1"
binary = "timer"
ram = "1M"
caps = 9
config = { x = 1 }
"#
    )));
}

#[test]
fn routes_lead_to_earlier_components_that_provide_the_service() {
    insta::assert_snapshot!(mistakes(&system(
        r#"
[[component]]
name = "timer"
ram = "1M"
caps = 9
provides = ["Timer", "Clock", "Timer"]
route = { Timer = "timer", Log = "uart", Block = "sd", Devices = "core" }

[[component]]
name = "sd"
ram = "1M"
caps = 9
provides = ["Block"]
route = { Timer = "timer", Rom = "timer", Gps = "timer" }

[[component]]
name = "greedy"
ram = "1M"
caps = 9
route = { Block = "timer" }
"#
    )));
}

#[test]
fn rules_must_mean_something() {
    insta::assert_snapshot!(mistakes(
        r#"
description = "x"
[run]
success = ""
failure = ["^$"]
timeout = 0
stdout = "nobody"
measure = [{ op = 1 }, { op = 1, per = 0 }, { op = 99 }]
"#
    ));
}

#[test]
fn cards_and_cases_are_checked() {
    insta::assert_snapshot!(mistakes(&system(
        r#"
[board.sd]
size = "1M"
mbr = true
[[board.sd.file]]
path = "/A.TXT"

[[component]]
name = "sd"
ram = "1M"
caps = 9

[[case]]
name = "one"
description = "x"

[[case]]
name = "one"
description = "x"
fails-with = ""
sd = { size = "40M", format = "fat16", file = [{ path = "A" }] }
"#
    )));
}

#[test]
fn damage_is_one_of_a_few_kinds() {
    insta::assert_snapshot!(mistakes(&system(
        "[board.sd]\nsize = \"40M\"\nformat = \"fat16\"\nfile = [{ path = \"/A\", chain = \"broken\" }]\n"
    )));
}

#[test]
fn a_mistake_in_a_configuration_is_shown_where_it_is() {
    insta::assert_snapshot!(mistakes(&RIGHT.replace("first = 8", "frist = 8")));
}

#[test]
fn configurations_are_checked_at_their_place() {
    let source = system(
        "[[component]]\nname = \"sd\"\nram = \"1M\"\ncaps = 9\n[component.config]\npolicies = [{ end = 7 }, { end = \"x\" }]\n",
    );
    let file: super::file::File = toml::from_str(&source).unwrap();
    let key = |key: &str| Step::Key(key.into());
    let place = |path: &[Step]| {
        let span = super::check::config_span(&source, None, 0, path).unwrap();
        source[span].to_owned()
    };
    assert_eq!(place(&[key("policies"), Step::Index(1), key("end")]), "\"x\"");
    assert_eq!(place(&[key("policies"), Step::Index(0), key("start")]), "{ end = 7 }");
    assert_eq!(place(&[key("policies"), Step::Index(2)]), "[{ end = 7 }, { end = \"x\" }]");
    assert!(configs::check("no-check", file.component[0].get_ref().config.as_ref().unwrap().get_ref()).is_ok());
}

#[test]
fn the_shipped_scenarios_are_right() {
    let workspace = crate::workspace::Workspace::find().unwrap();
    for name in super::list(&workspace.scenarios()) {
        let document = super::document(&workspace.scenarios(), &name, &workspace.components());
        assert!(document.is_ok(), "{}", document.unwrap_err());
    }
}

/// What the SD driver of a scenario is configured to on a card of which it gets 1,000 sectors from 64 on.
fn within(policies: &str) -> Result<serde_json::Value, String> {
    let driver = "\n[[component]]\nname = \"sd\"\nram = \"256K\"\ncaps = 60\nprovides = [\"Block\"]\n";
    let document = parse(&system(&format!("{driver}config = {{ policies = [{policies}] }}"))).unwrap();
    let scenario = document.scenario(None).unwrap().within(64, 1000).map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&scenario.systems[0].components[0].1).unwrap())
}

#[test]
fn on_a_card_that_boots_a_driver_keeps_to_its_part() {
    let policies = "{ selector = \"default\" }, { selector = { exact = \"a\" }, first = 10, writeable = true }, \
                    { selector = { exact = \"b\" }, first = 999, count = 1 }";
    let expected = serde_json::json!({ "policies": [
        { "selector": "default", "first": 64, "count": 1000 },
        { "selector": { "exact": "a" }, "first": 74, "count": 990, "writeable": true },
        { "selector": { "exact": "b" }, "first": 1063, "count": 1 },
    ] });
    assert_eq!(within(policies), Ok(expected));
    for outside in ["first = 1000", "first = 999, count = 2", "first = 18446744073709551614, count = 1"] {
        let error = within(&format!("{{ selector = \"default\", {outside} }}")).unwrap_err();
        assert!(error.contains("policy 1 of component `sd`"), "{error}");
    }
}

const BOARD: &str = r#"
[board]
bitstream = "emio"

[board.i2c.i2c0]
pins = [14, 15]
[[board.i2c.i2c0.slave]]
model = "24c256"
address = 0x50
[[board.i2c.i2c0.slave]]
model = "tmp105"
address = 0x48
label = "room"
properties = { temperature = 21.5 }

[[board.event]]
at = "200ms"
do = "pin PB1 bounce high 5ms"
[[board.event]]
after = "] ready$"
at = "10us"
do = "temperature i2c0/room = 42.5"
[[board.event]]
after = "] go"
do = "i2c0/0x50 nack byte 2 nth 3"

[[board.expect]]
net = "LD9"
edges = 10
period = "1s"
tolerance = "1ms"
level = "low"
[[board.expect]]
net = "emio 3"
at-least = 2
at-most = 4
[[board.expect]]
slave = "i2c0/0x50"
offset = 0x40
text = "hello"

[[component]]
name = "timer"
ram = "256K"
caps = 40
"#;

/// A system needs a component.
const COMPONENT: &str = "[[component]]\nname = \"timer\"\nram = \"256K\"\ncaps = 40\n";

#[test]
fn a_board_is_described_and_expected() {
    let scenario = parse(&system(BOARD)).unwrap().scenario(None).unwrap();
    assert_eq!(scenario.devices.event.len(), 3);
    assert_eq!(scenario.devices.i2c["i2c0"].slave.len(), 2);
    assert_eq!(scenario.checks.len(), 3);
    assert!(scenario.devices.until.as_ref().is_some_and(|until| until.matches("done")));
    assert!(!scenario.devices.preset.is_empty());
}

#[test]
fn the_parts_of_a_run_in_which_frames_are_expected_to_be_let_alone_are_watched() {
    const VIDEO: &str = "[board.bitstream.video]\ndisplay = { width = 640, height = 480, format = \"rgb888\" }\n";
    let expect = |keys: &str| format!("[[board.expect]]\nframes = {{ {keys} }}\n");
    let part = expect("from = \"go\", to = \"stop\", cpu-loads = 0");
    let all = format!("{VIDEO}{part}{}{part}{COMPONENT}", expect("cpu-stores = 0"));
    let scenario = parse(&system(&all)).unwrap().scenario(None).unwrap();
    let watched: Vec<bool> = scenario.devices.frames.iter().map(|span| span.from.is_some()).collect();
    assert_eq!((watched.as_slice(), scenario.checks.len()), ([true, false].as_slice(), 3));
    let unwatched = parse(&system(&format!("{VIDEO}{COMPONENT}"))).unwrap().scenario(None).unwrap();
    assert_eq!(unwatched.devices.frames.len(), 0);
    for (text, mistake) in [
        (part.clone(), "the bitstream has no video"),
        (format!("{VIDEO}{}", expect("from = \"go\"")), "what is expected of it?"),
        (format!("{VIDEO}{}", expect("cpu-load = 0")), "unknown field `cpu-load`"),
    ] {
        let found = mistakes(&system(&format!("{text}{COMPONENT}")));
        assert!(found.contains(mistake), "{found}");
    }
}

#[test]
fn mistakes_about_the_board_are_shown_where_they_are() {
    for (right, wrong, title, line) in [
        ("bitstream = \"emio\"", "bitstream = \"vivado\"", "unknown variant `vivado`", "bitstream = "),
        ("[14, 15]", "[15, 14]", "no SCL and SDA", "[board.i2c.i2c0]"),
        ("address = 0x50", "address = 0x80", "not from 0x08 to 0x77", "[board.i2c.i2c0]"),
        ("bounce high 5ms", "bounce high 5", "is no time", "do = "),
        ("pin PB1 bounce", "pin PB7 bounce", "no net `pin PB7`", "[[board.event]]"),
        ("at = \"200ms\"\n", "", "when?", "[[board.event]]"),
        ("i2c0/0x50 nack", "i2c0/0x51 nack", "no I2C slave", "[[board.event]]"),
        ("net = \"LD9\"", "net = \"LD99\"", "no net `pin LD99`", "[[board.expect]]"),
        ("edges = 10", "text = \"x\"", "`text` does not go with this", "[[board.expect]]"),
        ("text = \"hello\"", "", "what is expected of it?", "[[board.expect]]"),
        ("slave = \"i2c0/0x50\"", "slave = \"i2c1/0x50\"", "no I2C bus", "[[board.expect]]"),
        ("level = \"low\"", "colour = \"low\"", "unknown field `colour`", "colour"),
    ] {
        let source = BOARD.replacen(right, wrong, 1);
        assert_ne!(source, BOARD);
        let found = mistakes(&system(&source));
        assert!(found.contains(title), "{wrong}: {found}");
        assert!(found.contains(line), "{wrong}: {found}");
    }
}
