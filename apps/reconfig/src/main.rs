//! Changes the system while it runs, and checks what comes of it.
//!
//! Two components work while their quotas are moved up and down between them ten thousand times. After that, in this order: a configuration
//! changes, a damaged description is sent, a component is added and removed, routes change, a version changes. Each time the state report and the
//! components' own reports must show that it happened, and that nobody was restarted who need not be.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::gate::yield_now;
use component::report::Reader;
use component::{Env, Error, Rom, log};
use init::description::{Entry, Name};
use init::manage::Plan;
use init::state::State;
use serde::Deserialize;

/// Most components of the system.
const COMPONENTS: usize = 8;
const STATE: u32 = 8192;
/// Patience for what others have to do, in turns of the processor.
const TURNS: u32 = 100_000;
/// Moves between two looks at the state report.
const BETWEEN: u32 = 500;

component::entry!(run);

/// init's library wants one; nothing here allocates, so it stays empty.
#[cfg(target_os = "none")]
#[global_allocator]
static MEMORY: component::heap::ComponentHeap = component::heap::ComponentHeap::empty();

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    moves: u32,
    /// Bytes and capabilities of a move.
    step: [u32; 2],
}

/// How a worker gets on.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Progress {
    rounds: u32,
    pieces: u32,
}

struct Watch<'a> {
    plan: Plan<'a, COMPONENTS>,
    state: Reader,
    left: Reader,
    right: Reader,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let rom = Rom::open("system")?;
    let mut watch = Watch {
        plan: Plan::new(&rom)?,
        state: Reader::open("state", STATE, None)?,
        left: Reader::open("left/progress", 4096, None)?,
        right: Reader::open("right/progress", 4096, None)?,
    };
    watch.moves(&config)?;
    watch.configuration()?;
    watch.damaged()?;
    watch.addition()?;
    watch.routes()?;
    watch.version()
}

fn progress(reader: &mut Reader) -> Result<Progress, Error> {
    let content = reader.update()?;
    if content.is_empty() {
        return Ok(Progress::default());
    }
    serde_json_core::from_slice(content).map(|(progress, _)| progress).map_err(|_| Error::Invalid)
}

fn check(what: &str, right: bool) -> Result<(), Error> {
    if right {
        Ok(())
    } else {
        log!("wrong: {what}");
        Err(Error::Invalid)
    }
}

impl Watch<'_> {
    fn state(&mut self) -> Result<State<'_, COMPONENTS>, Error> {
        State::parse(self.state.update()?)
    }

    fn both(&mut self) -> Result<[Progress; 2], Error> {
        Ok([progress(&mut self.left)?, progress(&mut self.right)?])
    }

    /// Gives the others time until something is as it should be.
    fn wait_for(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Result<bool, Error>) -> Result<(), Error> {
        for _ in 0..TURNS {
            if done(self)? {
                log!("ok: {what}");
                return Ok(());
            }
            yield_now();
        }
        check(what, false)
    }

    /// What the two have, as the state report says: it must be what the description says.
    fn assigned(&mut self) -> Result<[u32; 4], Error> {
        let mut described = [0; 4];
        for (pair, name) in described.chunks_exact_mut(2).zip(["left", "right"]) {
            let component = self.plan.component(name)?;
            pair.copy_from_slice(&[component.ram, component.caps]);
        }
        let state = self.state()?;
        let (left, right) = (state.component("left")?, state.component("right")?);
        let [[left_ram, ..], [left_caps, ..]] = [left.ram, left.caps];
        let [[right_ram, ..], [right_caps, ..]] = [right.ram, right.caps];
        let assigned = [left_ram, left_caps, right_ram, right_caps];
        check("what the components have is what the description says", assigned == described)?;
        Ok(assigned)
    }

    fn moves(&mut self, config: &Config) -> Result<(), Error> {
        self.wait_for("both work", |watch| Ok(watch.both()?.iter().all(|worker| worker.rounds > 0)))?;
        let before = self.both()?;
        let [ram, caps] = config.step;
        let first = self.assigned()?;
        for number in 0..config.moves {
            let (from, to) = if number % 2 == 0 { ("left", "right") } else { ("right", "left") };
            let giver = self.plan.component(from)?;
            (giver.ram, giver.caps) = (giver.ram - ram, giver.caps - caps);
            let taker = self.plan.component(to)?;
            (taker.ram, taker.caps) = (taker.ram + ram, taker.caps + caps);
            self.plan.submit()?;
            if number % BETWEEN < 2 {
                self.assigned()?;
            }
        }
        let after = self.both()?;
        let done =
            [0, 1].map(|worker| after.get(worker).zip(before.get(worker)).map_or(0, |(a, b)| a.rounds - b.rounds));
        check("both have worked meanwhile", done.iter().all(|rounds| *rounds > 0))?;
        check("after an even number of moves both have what they had", self.assigned()? == first)?;
        let [left, right] = done;
        log!("{} moves, meanwhile the workers did {left} and {right} rounds", config.moves);
        Ok(())
    }

    fn configuration(&mut self) -> Result<(), Error> {
        let before = progress(&mut self.left)?;
        self.plan.entry("left")?.config = br#"{"pieces":3}"#;
        self.plan.submit()?;
        self.wait_for("a configuration changes without a restart", |watch| {
            let now = progress(&mut watch.left)?;
            Ok(now.pieces == 3 && now.rounds > before.rounds)
        })
    }

    fn damaged(&mut self) -> Result<(), Error> {
        let before = self.assigned()?;
        self.plan.submit_raw(&[5, 0, 0, 255])?;
        check("a damaged description changes nothing", self.assigned()? == before)?;
        log!("ok: a damaged description changes nothing");
        Ok(())
    }

    fn addition(&mut self) -> Result<(), Error> {
        let count = self.state()?.components.len();
        let extra = self.plan.entry("left")?.clone();
        let name = Name::try_from("extra").map_err(|_| Error::Invalid)?;
        let extra = Entry { component: init::description::Component { name, ..extra.component }, ..extra };
        self.plan.entries.push(extra).map_err(|_| Error::Invalid)?;
        self.plan.submit()?;
        let mut reports = Reader::open("extra/progress", 4096, None)?;
        self.wait_for("a component is added and works", |_| Ok(progress(&mut reports)?.rounds > 1))?;
        check("the state report knows it", self.state()?.component("extra")?.state == "running")?;
        self.plan.entries.pop();
        self.plan.submit()?;
        check("its report goes with it", reports.update()?.is_empty())?;
        reports.close()?;
        let after = self.state()?.components.len();
        check("a component is removed", after == count)?;
        log!("ok: a component is removed");
        Ok(())
    }

    fn routes(&mut self) -> Result<(), Error> {
        let before = progress(&mut self.right)?;
        self.plan.component("right")?.routes.retain(|route| route.service != session::Service::Log);
        self.plan.submit()?;
        self.wait_for("routes change without a restart", |watch| Ok(progress(&mut watch.right)?.rounds > before.rounds))
    }

    fn version(&mut self) -> Result<(), Error> {
        let before = progress(&mut self.right)?;
        self.plan.component("right")?.version = 1;
        self.plan.submit()?;
        self.wait_for("another version is a restart", |watch| {
            let now = progress(&mut watch.right)?;
            Ok(now.rounds > 0 && now.rounds < before.rounds)
        })?;
        let left = progress(&mut self.left)?;
        check("and the others are not restarted", left.pieces == 3)
    }
}
