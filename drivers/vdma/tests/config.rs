//! What is connected to the engine, and who may use it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use session::Label;
use zelkova_vdma::Picture;
use zelkova_vdma::config::{Config, ConfigError};

const CONFIG: &str = r#"{
    "stores": 3, "alignment": 8,
    "display": { "width": 1280, "height": 720, "format": "rgb888", "millihertz": 60000 },
    "camera": { "width": 640, "height": 480, "format": "rgb565", "millihertz": 30000 },
    "policies": [
        { "selector": { "exact": "init -> dashboard" }, "screen": true },
        { "selector": { "prefix": "init -> lab" }, "screen": true, "camera": true }
    ]
}"#;

fn parse(text: &str) -> Config {
    serde_json_core::from_str(text).unwrap().0
}

fn with(right: &str, wrong: &str) -> Result<(), ConfigError> {
    let text = CONFIG.replacen(right, wrong, 1);
    assert_ne!(text, CONFIG);
    parse(&text).check()
}

#[test]
fn what_is_connected_gives_the_form_of_pictures() {
    let config = parse(CONFIG);
    assert_eq!(config.check(), Ok(()));
    let display = config.picture(&config.display.unwrap());
    assert_eq!(display, Picture { line_bytes: 3840, lines: 720, stride: 3840 });
    let camera = config.picture(&config.camera.unwrap());
    assert_eq!(camera, Picture { line_bytes: 1280, lines: 480, stride: 1280 });
    // With a realignment engine a line may have any length; the next one begins at a multiple of the data path all the same.
    let odd = CONFIG.replace("1280", "1279").replace(r#""alignment": 8"#, r#""alignment": 8, "realignment": true"#);
    let config = parse(&odd);
    assert_eq!(config.check(), Ok(()));
    assert_eq!(config.picture(&config.display.unwrap()), Picture { line_bytes: 3837, lines: 720, stride: 3840 });
}

#[test]
fn only_those_with_a_policy_get_something() {
    let config = parse(CONFIG);
    let rights = |label: &str| {
        let policy = config.policy(&Label::new(label).unwrap());
        policy.map(|policy| (policy.screen, policy.camera))
    };
    assert_eq!(rights("init -> dashboard"), Some((true, false)));
    assert_eq!(rights("init -> lab -> viewer"), Some((true, true)));
    assert_eq!(rights("init -> laboratory"), None);
}

#[test]
fn what_no_engine_can_be_is_refused() {
    assert_eq!(with(r#""stores": 3"#, r#""stores": 0"#), Err(ConfigError::Stores(0)));
    assert_eq!(with(r#""stores": 3"#, r#""stores": 33"#), Err(ConfigError::Stores(33)));
    assert_eq!(with(r#""alignment": 8"#, r#""alignment": 12"#), Err(ConfigError::Alignment(12)));
    assert_eq!(with(r#""alignment": 8"#, r#""alignment": 256"#), Err(ConfigError::Alignment(256)));
    assert_eq!(with("1280", "1279"), Err(ConfigError::Line { line_bytes: 3837, alignment: 8 }));
    for (right, wrong) in [("1280", "0"), ("1280", "21848"), ("720", "0"), ("720", "8192"), ("1280", "4294967295")] {
        assert!(matches!(with(right, wrong), Err(ConfigError::Size { .. })), "{wrong}");
    }
    let twice = with(r#"{ "prefix": "init -> lab" }"#, r#"{ "exact": "init -> dashboard" }"#);
    assert!(matches!(twice, Err(ConfigError::Duplicate(_))));
}
