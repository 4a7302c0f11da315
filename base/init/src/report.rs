//! The table of what every component has used.

use crate::platform::{Account, log};
use session::core::AccountInfo;

use crate::children::Children;

/// Writes one line for each component, and one for init itself.
pub(crate) fn print(children: &Children) {
    log!(
        "{:<12} {:>9} {:>9} {:>9} {:>9}   {:>6} {:>6} {:>6}",
        "component",
        "RAM",
        "used",
        "kernel",
        "peak",
        "caps",
        "used",
        "peak"
    );
    for child in children.iter() {
        line(&child.component.name, &child.account);
    }
    line("init", &Account::own());
}

fn line(name: &str, account: &Account) {
    match account.info() {
        Ok(AccountInfo { ram, ram_used, ram_kernel, ram_peak, caps, caps_used, caps_peak, .. }) => {
            log!(
                "{name:<12} {ram:>9} {ram_used:>9} {ram_kernel:>9} {ram_peak:>9}   {caps:>6} {caps_used:>6} {caps_peak:>6}"
            );
        }
        Err(error) => log!("{name:<12} {error}"),
    }
}
