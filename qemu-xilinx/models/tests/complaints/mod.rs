//! What a device under test complains about.

use zelkova_models::Device;

/// Its only complaint.
pub(crate) fn only(device: &mut dyn Device) -> String {
    let mut complaints = device.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints.pop().unwrap()
}

/// There is none.
pub(crate) fn none(device: &mut dyn Device) {
    assert_eq!(device.complaints(), Vec::<String>::new());
}
