//! Gives components what they ask for, by changing the system description.
//!
//! init's state report says what each component has asked its parent for and not got. Whenever it changes, this looks through it, raises the
//! quota of those who asked, up to a limit for each, and submits the new description. A component that wants more than the limit is told so in the log, once.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::report::Reader;
use component::signal::{self, Signal};
use component::{Env, Error, Rom, log};
use init::description::Name;
use init::manage::Plan;
use init::state::State;
use serde::Deserialize;

/// Most components of the system.
const COMPONENTS: usize = 12;
const STATE: u32 = 8192;
const NEWS: u32 = 1;

component::entry!(run);

/// init's library wants one; nothing here allocates, so it stays empty.
#[cfg(target_os = "none")]
#[global_allocator]
static MEMORY: component::heap::ComponentHeap = component::heap::ComponentHeap::empty();

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Most RAM in bytes and capabilities that a component can have by asking.
    limit: [u32; 2],
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let rom = Rom::open("system")?;
    let mut plan = Plan::<COMPONENTS>::new(&rom)?;
    let news = Signal::new(NEWS).ok_or(Error::Invalid)?;
    let mut state = Reader::open("state", STATE, Some(news))?;
    let mut refused = heapless::Vec::<Name, COMPONENTS>::new();
    loop {
        let report = State::<COMPONENTS>::parse(state.update()?)?;
        let mut changed = false;
        for entry in &mut plan.entries {
            let component = &mut entry.component;
            let Ok(row) = report.component(&component.name) else { continue };
            let [ram, caps] = row.requested;
            if row.requested == [0, 0] {
                continue;
            }
            let wanted =
                [component.ram.saturating_add(ram).next_multiple_of(4096), component.caps.saturating_add(caps)];
            let [limit_ram, limit_caps] = config.limit;
            if wanted > config.limit && (wanted[0] > limit_ram || wanted[1] > limit_caps) {
                if !refused.contains(&component.name) && refused.push(component.name.clone()).is_ok() {
                    log!(
                        "{} asks for {ram} bytes and {caps} capabilities, which is more than it can have",
                        component.name
                    );
                }
                continue;
            }
            let [new_ram, new_caps] = wanted;
            log!("{} gets {ram} bytes and {caps} capabilities", component.name);
            (component.ram, component.caps) = (new_ram, new_caps);
            changed = true;
        }
        if changed {
            plan.submit()?;
            continue;
        }
        while signal::wait() & news.bit() == 0 {}
    }
}
