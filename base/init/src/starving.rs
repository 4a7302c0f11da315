//! Who keeps the processor from others.
//!
//! # Theory of operation
//!
//! A component that never waits keeps every component with a lower priority from running. One component, the watchdog, has threads at several priorities and tells init
//! when one of them does not run any more, again and again as long as that lasts. init then asks core which components want the
//! processor at that moment. init and the watchdog have higher priorities than those that are watched, so while they run, whoever keeps the others
//! from running has been interrupted in the middle of its work, and does not wait. Somebody else may have been interrupted
//! as well; but whoever is found like that [three times](STRIKES) in a row, at the highest priority of those found and above that of
//! those who do not run, is ended. What comes after that its restart policy says.
//!
//! What this does not find: components that keep others from running by turns, each waiting for the other in between; components of a nested init, which
//! needs a watchdog of its own; and anything with a priority above the watchdog's.

use crate::lifecycle::{End, State};
use crate::platform::{Error, log};
use crate::{Init, Reply};
use session::Message;

/// So often in a row.
const STRIKES: u32 = 3;

/// How often in a row a component has been found, after so many times before: now it wants the processor at priority `wanted` (0: it does not), the
/// highest priority at which anybody does is `highest`, and nobody of `starving` or below runs.
fn strikes(before: u32, wanted: u32, highest: u32, starving: u32) -> u32 {
    if wanted == 0 || starving == 0 {
        0
    } else if wanted == highest && wanted > starving {
        before.saturating_add(1)
    } else {
        // Somebody above it happened to be at work, or it starves itself: that says nothing about it.
        before
    }
}

impl Init {
    /// The watchdog says that threads of `priority` have not run; 0: that all run again.
    pub(crate) fn starving(&mut self, watchdog: usize, priority: u32) -> Result<Reply, Error> {
        let name = self.children.get(watchdog).map(|child| &child.component.name);
        if name.is_none() || name != self.watchdog.as_ref() {
            return Err(Error::Denied);
        }
        let mut highest = 0;
        for index in 0..self.children.len() {
            let Some(child) = self.children.get_mut(index) else { continue };
            let busy = match (&child.instance, child.state) {
                (Some(instance), State::Running) if priority > 0 => instance.domain.busy().unwrap_or_default(),
                _ => 0,
            };
            child.wanted = busy;
            highest = busy.max(highest);
        }
        let mut ended = 0;
        for index in 0..self.children.len() {
            let Some(child) = self.children.get_mut(index).filter(|child| child.state == State::Running) else {
                continue;
            };
            child.busy = strikes(child.busy, child.wanted, highest, priority);
            if child.busy >= STRIKES {
                log!("{} keeps priority {priority} from running and is ended", child.component.name);
                child.busy = 0;
                self.end(index, End::Hog);
                ended += 1;
            }
        }
        Ok(Some((Message::from_words(0, &[ended]), None)))
    }
}

#[cfg(test)]
mod tests {
    use super::strikes;

    #[test]
    fn who_is_found_three_times_in_a_row_is_it() {
        // A hog at 100, a victim at 50 in the middle of its work, a driver at 180 that is at work the second time, and a neighbour of the hog
        // that waits the third time.
        let mut found = [0; 4];
        for [hog, victim, driver, neighbour] in
            [[100, 50, 0, 100], [100, 50, 180, 100], [100, 50, 0, 0], [100, 50, 0, 100]]
        {
            let highest = [hog, victim, driver, neighbour].into_iter().max().unwrap();
            for (count, wanted) in found.iter_mut().zip([hog, victim, driver, neighbour]) {
                *count = strikes(*count, wanted, highest, 50);
            }
        }
        assert_eq!(found, [3, 0, 0, 1]);
    }

    #[test]
    fn all_is_forgiven_when_all_run_again() {
        assert_eq!(strikes(2, 100, 100, 0), 0);
        assert_eq!(strikes(2, 0, 100, 50), 0);
        assert_eq!(strikes(2, 100, 180, 50), 2);
    }
}
