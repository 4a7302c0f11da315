extern crate std;

use std::format;
use std::io::Write;
use std::process::{Command, Stdio};
use std::string::String;
use std::sync::LazyLock;

use proptest::prelude::*;
use zynq7000::memory::{GPIO, I2C0, I2C1, Peripheral, SDIO0, TTC0, TTC1, UART1};

use super::*;
use crate::blob::DEPTH;

type Blob = std::vec::Vec<u8>;

/// The board's devicetree, compiled.
pub(crate) static BOARD: LazyLock<Blob> = LazyLock::new(|| compile(zedboard::DEVICETREE));

fn compile(source: &str) -> Blob {
    let mut dtc = Command::new("dtc")
        .args(["-q", "-I", "dts", "-O", "dtb", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dtc does not start; install the package device-tree-compiler");
    dtc.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = dtc.wait_with_output().unwrap();
    assert!(output.status.success(), "dtc refuses the source");
    output.stdout
}

fn board() -> DeviceTree<'static> {
    DeviceTree::new(&BOARD).unwrap()
}

/// Uses everything there is to use.
fn use_all(blob: &[u8]) {
    let Ok(tree) = DeviceTree::new(blob) else {
        return;
    };
    tree.ps_clk();
    for (name, device) in tree.devices() {
        let _ = tree.device(name);
        if let Ok(device) = device {
            device.is_compatible("");
        }
    }
    for name in ["", "/", "amba", "serial0", "mmc0", "timer@f8001000", "aliases", "none"] {
        let _ = tree.device(name);
    }
}

#[test]
fn devices_agree_with_the_manual() {
    let agrees = |name: &str, peripheral: Peripheral, what: &str| {
        let device = board().device(name).unwrap();
        assert_eq!(device.registers, [peripheral.registers], "{name}");
        assert_eq!(device.interrupts, peripheral.interrupts, "{name}");
        assert!(device.is_compatible(what), "{name}");
    };
    agrees("serial@e0001000", UART1, "cdns,uart-r1p8");
    agrees("i2c@e0004000", I2C0, "cdns,i2c-r1p10");
    agrees("i2c@e0005000", I2C1, "cdns,i2c-r1p10");
    agrees("gpio@e000a000", GPIO, "xlnx,zynq-gpio-1.0");
    agrees("mmc@e0100000", SDIO0, "arasan,sdhci-8.9a");
    agrees("timer@f8001000", TTC0, "cdns,ttc");
    agrees("timer@f8002000", TTC1, "cdns,ttc");
    let slcr = board().device("slcr@f8000000").unwrap();
    assert_eq!(slcr.registers, [memory::SLCR.registers]);
    assert_eq!(board().ps_clk(), Some(zedboard::PS_CLK));
}

#[test]
fn clocks_and_resets_are_those_of_the_device() {
    let sd = board().device("mmc0").unwrap();
    assert_eq!(sd.clocks, [Clock::Sdio0, Clock::Sdio0Aper]);
    assert_eq!(sd.resets.iter().map(|reset| reset.id()).collect::<std::vec::Vec<_>>(), [192, 196]);
    let timer = board().device("timer0").unwrap();
    assert_eq!(timer.clocks, [Clock::Cpu1x]);
    assert!(timer.resets.is_empty());
}

#[test]
fn aliases_name_the_same_devices() {
    for (alias, name) in [("serial0", "serial@e0001000"), ("mmc0", "mmc@e0100000"), ("timer1", "timer@f8002000")] {
        assert_eq!(board().device(alias), board().device(name));
    }
}

#[test]
fn what_is_no_device_is_not_handed_out() {
    let error = |name| board().device(name).unwrap_err();
    for name in ["serial", "amba", "/", "", "memory@0", "clkc@100", "cpu@0", "serial@E0001000"] {
        assert_eq!(error(name), DeviceError::NoSuchDevice, "{name}");
    }
    assert_eq!(error("mmc@e0101000"), DeviceError::Disabled);
    assert_eq!(error("interrupt-controller@f8f01000"), DeviceError::Reserved { base: 0xf8f0_1000 });
}

#[test]
fn every_device_is_listed() {
    assert_eq!(board().devices().count(), 15);
    assert_eq!(board().devices().filter(|(_, device)| device.is_ok()).count(), 12);
}

/// A board of one bus with one device that has these properties.
fn one_device(bus: &str, device: &str) -> Blob {
    compile(&format!(
        "/dts-v1/; / {{ interrupt-parent = <&gic>;
            bus {{ compatible = \"simple-bus\"; {bus}
                x@e0000000 {{ {device} }};
                gic: gic {{ #interrupt-cells = <3>; }};
                clkc: clkc {{ compatible = \"xlnx,ps7-clkc\"; }};
            }};
        }};"
    ))
}

const IDENTITY: &str = "ranges; #address-cells = <1>; #size-cells = <1>;";

fn error_of(bus: &str, device: &str) -> DeviceError {
    let blob = one_device(bus, device);
    DeviceTree::new(&blob).unwrap().device("x@e0000000").unwrap_err()
}

#[test]
fn damaged_properties_are_named() {
    let property = |property| DeviceError::Property { property };
    for reg in ["<1>", "<1 2 3>", "[00]", "<0xe0000000 0>", "<0xfffff000 0x2000>"] {
        assert_eq!(error_of(IDENTITY, &format!("reg = {reg};")), property("reg"));
    }
    assert_eq!(error_of("ranges;", "reg = <0xe0000000 0x1000>;"), property("reg"));
    for interrupts in ["<0 1>", "<1 1 4>", "<0 64 4>", "<0 0xffffffff 4>", "[00 01]"] {
        let device = format!("interrupts = {interrupts};");
        assert_eq!(error_of(IDENTITY, &device), property("interrupts"));
    }
    for clocks in ["<&clkc>", "<&clkc 99>", "<&gic 21>", "<77 21>", "[00 01]"] {
        let device = format!("clocks = {clocks};");
        assert_eq!(error_of(IDENTITY, &device), property("clocks"));
    }
    // The clock controller is no reset controller.
    assert_eq!(error_of(IDENTITY, "resets = <&clkc 192>;"), property("resets"));
    let many = "<&clkc 6>, <&clkc 6>, <&clkc 6>, <&clkc 6>, <&clkc 6>";
    assert_eq!(error_of(IDENTITY, &format!("clocks = {many};")), property("clocks"));
}

#[test]
fn memory_is_no_device() {
    for base in [0_u32, 0x1fff_f000, 0xfffc_0000, 0xf8f0_0000, 0xf8f0_2000] {
        let device = format!("reg = <{base:#x} 0x1000>;");
        assert_eq!(error_of(IDENTITY, &device), DeviceError::Reserved { base });
    }
    let around = "reg = <0xf8000000 0x1000000>;";
    assert_eq!(error_of(IDENTITY, around), DeviceError::Reserved { base: 0xf800_0000 });
}

#[test]
fn buses_that_translate_addresses_have_no_devices() {
    let translated = "ranges = <0 0xe0000000 0x1000>; #address-cells = <1>; #size-cells = <1>;";
    assert_eq!(error_of(translated, "reg = <0 0x1000>;"), DeviceError::NoSuchDevice);
}

#[test]
fn names_must_be_unique_or_have_an_alias() {
    let bus = "compatible = \"simple-bus\"; ranges;";
    let blob = compile(&format!(
        "/dts-v1/; / {{ aliases {{ one = \"/a/x\"; far = \"/a/x/y\"; }};
            a {{ {bus} x {{ compatible = \"one\"; y {{}}; }}; }}; b {{ {bus} x {{}}; }}; }};"
    ));
    let tree = DeviceTree::new(&blob).unwrap();
    assert_eq!(tree.device("x"), Err(DeviceError::Ambiguous));
    assert!(tree.device("one").unwrap().is_compatible("one"));
    assert_eq!(tree.device("far"), Err(DeviceError::NoSuchDevice));
}

#[test]
fn truncated_blobs_are_refused() {
    for length in 0..BOARD.len() {
        assert!(DeviceTree::new(&BOARD[..length]).is_err(), "{length} bytes are accepted");
    }
    let mut longer = BOARD.clone();
    longer.extend([0xff; 100]);
    assert!(DeviceTree::new(&longer).is_ok());
}

#[test]
fn headers_are_checked() {
    let with = |offset: usize, value: u32| {
        let mut blob = BOARD.clone();
        blob[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        DeviceTree::new(&blob).map(|_| ()).unwrap_err()
    };
    let length = BOARD.len();
    assert_eq!(with(0, 0), BlobError::Magic { found: 0 });
    assert_eq!(with(4, u32::MAX), BlobError::Truncated { length, total: u32::MAX });
    assert_eq!(with(4, 8), BlobError::Truncated { length, total: 8 });
    assert_eq!(with(8, u32::MAX - 3), BlobError::Block { block: "structure" });
    assert_eq!(with(8, 0x39), BlobError::Block { block: "structure" });
    assert_eq!(with(12, u32::MAX), BlobError::Block { block: "strings" });
    assert_eq!(with(20, 16), BlobError::Version { version: 16, compatible: 16 });
    assert_eq!(with(24, 18), BlobError::Version { version: 17, compatible: 18 });
    assert_eq!(with(32, u32::MAX), BlobError::Block { block: "strings" });
    assert_eq!(with(36, 4), BlobError::Name { offset: 0 });
    assert_eq!(with(36, 8), BlobError::Unfinished { offset: 8 });
    assert_eq!(DeviceTree::new(&[]).map(|_| ()).unwrap_err(), BlobError::NoHeader { length: 0 });
}

/// A blob around these words of structure and the string `x`.
fn structure(words: &[u32]) -> Result<(), BlobError> {
    let strings = b"x\0#size-cells\0\0";
    let nodes = words.len() as u32 * 4;
    let total = 40 + nodes + strings.len() as u32;
    let header = [0xd00d_feed, total, 40, 40 + nodes, 0, 17, 16, 0, strings.len() as u32, nodes];
    let mut blob = Blob::new();
    for word in header.iter().chain(words) {
        blob.extend(word.to_be_bytes());
    }
    blob.extend(strings);
    use_all(&blob);
    DeviceTree::new(&blob).map(|_| ())
}

#[test]
fn structures_are_checked() {
    const A: u32 = 0x6100_0000;
    assert_eq!(structure(&[1, 0, 2, 9]), Ok(()));
    assert_eq!(structure(&[1, 0, 3, 0, 0, 1, A, 2, 2, 9]), Ok(()));
    assert_eq!(structure(&[]), Err(BlobError::Unfinished { offset: 0 }));
    assert_eq!(structure(&[9]), Err(BlobError::Token { token: 9, offset: 0 }));
    assert_eq!(structure(&[2]), Err(BlobError::Token { token: 2, offset: 0 }));
    assert_eq!(structure(&[1, 0, 9]), Err(BlobError::Token { token: 9, offset: 8 }));
    assert_eq!(structure(&[1, 0, 2, 2, 9]), Err(BlobError::Token { token: 2, offset: 12 }));
    assert_eq!(structure(&[1, 0, 2, 9, 9]), Err(BlobError::Token { token: 9, offset: 12 }));
    assert_eq!(structure(&[1, 0, 2, 1, 0]), Err(BlobError::Token { token: 1, offset: 12 }));
    assert_eq!(structure(&[1, 0, 5, 2, 9]), Err(BlobError::Token { token: 5, offset: 8 }));
    assert_eq!(structure(&[1, 0, 4, 2, 9]), Err(BlobError::Nop { offset: 8 }));
    assert_eq!(structure(&[1, A, 2, 9]), Err(BlobError::Name { offset: 0 }));
    assert_eq!(structure(&[1, 0, 1, 0, 2, 2, 9]), Err(BlobError::Name { offset: 8 }));
    assert_eq!(structure(&[1, 0, 1, 0x2f00_0000, 2, 2, 9]), Err(BlobError::Name { offset: 8 }));
    assert_eq!(structure(&[1, 0, 1, 0xff00_0000, 2, 2, 9]), Err(BlobError::Name { offset: 8 }));
    // A property after a node, with a length or a name that leads out of the blob, without a name.
    assert_eq!(structure(&[1, 0, 1, A, 2, 3, 0, 0, 2, 9]), Err(BlobError::Token { token: 3, offset: 20 }));
    for length in [13, u32::MAX - 2, u32::MAX] {
        assert_eq!(structure(&[1, 0, 3, length, 0, 0, 2, 9]), Err(BlobError::Unfinished { offset: 20 }));
    }
    for name in [14, 16, u32::MAX] {
        assert_eq!(structure(&[1, 0, 3, 0, name, 2, 9]), Err(BlobError::Name { offset: 8 }));
    }
    // `#size-cells` of no bytes and of three.
    assert_eq!(structure(&[1, 0, 3, 0, 2, 2, 9]), Err(BlobError::Cells { offset: 8 }));
    assert_eq!(structure(&[1, 0, 3, 4, 2, 3, 2, 9]), Err(BlobError::Cells { offset: 8 }));
}

#[test]
fn nesting_is_limited() {
    let nested = |depth: usize| {
        let mut words = std::vec![1, 0];
        words.extend([1, 0x6100_0000].repeat(depth - 1));
        words.extend(std::iter::repeat_n(2, depth));
        words.push(9);
        structure(&words)
    };
    assert_eq!(nested(DEPTH), Ok(()));
    assert_eq!(nested(DEPTH + 1), Err(BlobError::TooDeep { offset: DEPTH * 8 }));
    assert_eq!(nested(100_000), Err(BlobError::TooDeep { offset: DEPTH * 8 }));
}

#[test]
fn no_single_changed_byte_leads_to_a_panic() {
    let mut blob = BOARD.clone();
    for offset in 0..blob.len() {
        let original = blob[offset];
        for changed in [0, 0xff, original ^ 1, original ^ 0x80, original.wrapping_add(1)] {
            blob[offset] = changed;
            use_all(&blob);
        }
        blob[offset] = original;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_changed_words_lead_to_a_panic(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop_oneof![0..16_u32, any::<u32>(), Just(u32::MAX)]),
            1..6,
        ),
    ) {
        let mut blob = BOARD.clone();
        for (index, value) in changes {
            let offset = index.index(blob.len() / 4) * 4;
            blob[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        }
        use_all(&blob);
    }

    #[test]
    fn no_text_is_a_blob(text: String) {
        prop_assert!(DeviceTree::new(text.as_bytes()).is_err());
    }
}

#[test]
fn properties_of_numbers_can_be_read() {
    let tree = board();
    let property = |device: &str, name: &str| {
        tree.property(&tree.device(device).unwrap(), name).map(std::iter::Iterator::collect::<std::vec::Vec<u32>>)
    };
    assert_eq!(property("gpio3", "xlnx,gpio-width"), Some(std::vec![5]));
    assert_eq!(property("gpio1", "xlnx,gpio-width"), Some(std::vec![8]));
    assert_eq!(property("gpio0", "xlnx,gpio-width"), None);
    // A text of 13 bytes.
    assert_eq!(property("i2c0", "compatible"), None);
}
