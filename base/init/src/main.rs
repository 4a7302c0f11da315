//! The init component: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::heap::ComponentHeap;
use component::{Env, Error};

/// Heap of the first init at the start: enough for a hundred components, so that what it uses at the end is what it used at the start.
const FIRST_HEAP: u32 = 64 * 1024;
/// Heap of a nested init at the start, and by how much each grows: what init remembers of its components, and the state report.
const HEAP: u32 = 16 * 1024;

#[cfg_attr(target_os = "none", global_allocator)]
static MEMORY: ComponentHeap = ComponentHeap::empty();

component::entry!(run);

fn run(env: Env) -> Result<(), Error> {
    MEMORY.init_growing(if env.config_text().is_empty() { FIRST_HEAP } else { HEAP }, HEAP)?;
    zelkova_init::run(env)
}
