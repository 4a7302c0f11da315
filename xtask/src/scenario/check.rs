//! Whether a scenario makes a system that can run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use harness::expect::Check;
use harness::judge::Pattern;
use harness::measure::WELL_KNOWN;
use harness::recipe::Recipe;
use harness::size::Size;
use heapless::Vec as Bounded;
use init::description::{
    COMPONENTS, Component as Started, Entry, Grant, Header, NAME_LEN, Name, OnExit, PROVIDES, ROUTES, Restart, Route,
    Target, encode,
};
use models::board::{Bitstream, Board as Devices, Description};
use session::Service;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{self, Case, Component, File, Run};
use crate::configs;
use crate::diagnostic::Problem;

/// RAM that the components may be lent together: what the board has, less the kernel, core and
/// init.
pub(crate) const RAM: u64 = 500 << 20;
/// The grain of memory.
const PAGE: u64 = 4096;
/// Priorities that a component may have.
const PRIORITIES: std::ops::RangeInclusive<u8> = 1..=250;
/// Longest deadline in seconds.
const LONGEST: u32 = 3600;
/// Names that core and init use for themselves and for their ROM modules.
const RESERVED: [&str; 6] = ["core", "init", "parent", "vdso", SYSTEM, "zedboard.dtb"];
/// The services that core offers itself.
const CORE: [Service; 3] = [Service::Log, Service::Rom, Service::Hardware];
/// The services that init offers itself.
const INIT: [Service; 2] = [Service::Rom, Service::Report];
/// The services that a nested init hands on to its parent.
const PARENT: [Service; 2] = [Service::Log, Service::Rom];
/// The module with the description of the first init.
const SYSTEM: &str = "system";
/// The program of a nested init.
const NESTED: &str = "init";

/// What a checked scenario hands to the target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    /// What the inits start; the first is that of the first init.
    pub(crate) systems: Vec<System>,
    /// The programs, each once.
    pub(crate) binaries: Vec<String>,
    /// The emulated part of the board.
    pub(crate) devices: Description,
    /// What must have become of it.
    pub(crate) checks: Vec<Check>,
}

/// A system for an init.
#[derive(Clone, Debug, Default)]
pub(crate) struct System {
    /// The ROM module.
    pub(crate) module: String,
    /// What the init itself needs.
    pub(crate) header: Header,
    /// The components, and their configurations.
    pub(crate) components: Vec<(Started, String)>,
}

impl System {
    /// The compact form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let entries = self
            .components
            .iter()
            .map(|(component, config)| Entry { component: component.clone(), config: config.as_bytes() });
        let mut bytes = vec![0; 256 + self.components.iter().map(|(_, config)| 1024 + config.len()).sum::<usize>()];
        // An entry without its configuration is far shorter than that.
        let used = encode(&self.header, entries, &mut bytes).unwrap_or_default();
        bytes.truncate(used);
        bytes
    }
}

/// Checks `file`, read from `source`; `binaries` are the programs that can be built.
///
/// # Errors
///
/// Every problem, in the order of the text.
pub(crate) fn check(file: &File, source: &str, binaries: &[String]) -> Result<Checked, Vec<Problem>> {
    let mut checker = Checker { source, binaries, problems: Vec::new() };
    checker.run(&file.run, &file.component);
    checker.card(file.board.sd.as_ref());
    checker.cases(&file.case);
    let mut checked = Checked::default();
    checker.devices(&file.board, &file.run, &mut checked);
    let nested = checker.system_names(&file.system);
    let main = checker.system(SYSTEM.to_owned(), &file.init, &file.component, Place::Main(&nested), &mut checked);
    checked.systems.push(main);
    for (index, system) in file.system.iter().enumerate() {
        let module = system_module(system.name.get_ref());
        let system =
            checker.system(module, &system.init, &system.component, Place::Nested(&nested, index), &mut checked);
        checked.systems.push(system);
    }
    if checker.problems.is_empty() {
        Ok(checked)
    } else {
        checker.problems.sort_by_key(|problem| problem.span.start);
        Err(checker.problems)
    }
}

struct Checker<'a> {
    source: &'a str,
    binaries: &'a [String],
    problems: Vec<Problem>,
}

/// Which of a file's systems is looked at.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// That of the first init. The RAM that each nested system needs, by name.
    Main(&'a BTreeMap<String, u64>),
    /// A nested one, and its number.
    Nested(&'a BTreeMap<String, u64>, usize),
}

/// The ROM module with a nested system.
fn system_module(name: &str) -> String {
    format!("{name}.sys")
}

/// What is known of a component when a later one is looked at.
struct Known {
    provides: Vec<Service>,
}

impl Checker<'_> {
    fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn run(&mut self, run: &Run, components: &[Spanned<Component>]) {
        let lines =
            std::iter::once(&run.success).chain(&run.failure).chain(run.expect.iter().map(|expect| &expect.line));
        for line in lines {
            self.pattern(line);
        }
        if !(1..=LONGEST).contains(run.timeout.get_ref()) {
            self.add(
                Problem::new(run.timeout.span(), format!("a timeout is 1 to {LONGEST} seconds")).label("out of range"),
            );
        }
        for name in [&run.stdout, &run.sums].into_iter().flatten() {
            if !components.iter().any(|component| component.get_ref().name == *name) {
                let title = format!("there is no component `{}`", name.get_ref());
                self.add(Problem::new(name.span(), title).label("not a [[component]]"));
            }
        }
        let mut ops = BTreeSet::new();
        for measure in &run.measure {
            let nth = measure.nth.as_ref().map(|nth| *nth.get_ref());
            let relative_to = measure.relative_to.as_ref().map(|other| *other.get_ref());
            if let Some(zero) = [&measure.nth, &measure.relative_to].into_iter().flatten().find(|n| *n.get_ref() == 0) {
                self.add(Problem::new(zero.span(), "intervals are counted from 1"));
            }
            if let (None, Some(other)) = (nth, &measure.relative_to) {
                self.add(
                    Problem::new(other.span(), "which interval is it that is relative to this one?").help("add `nth`"),
                );
            }
            if !ops.insert((*measure.op.get_ref(), nth, relative_to, measure.per_kernel)) {
                let title = format!("op {} is measured twice", measure.op.get_ref());
                self.add(Problem::new(measure.op.span(), title));
            }
            if let Some(per) = measure.per.as_ref().filter(|per| *per.get_ref() == 0) {
                self.add(Problem::new(per.span(), "`per` is at least 1"));
            }
            if measure.name.is_none() && !WELL_KNOWN.iter().any(|known| known.op == *measure.op.get_ref()) {
                let title = format!("op {} has no name of its own", measure.op.get_ref());
                self.add(Problem::new(measure.op.span(), title).help("give it a `name`"));
            }
        }
    }

    /// An empty pattern would match every line.
    fn pattern(&mut self, line: &Spanned<String>) {
        if line.get_ref().trim_matches(['^', '$', ' ']).is_empty() {
            self.add(
                Problem::new(line.span(), "this would match every line")
                    .help("give a part of the console line that you wait for"),
            );
        }
    }

    fn cases(&mut self, cases: &[Case]) {
        let mut names = BTreeSet::new();
        for case in cases {
            self.name_syntax(&case.name);
            if !names.insert(case.name.get_ref()) {
                let title = format!("a second case `{}`", case.name.get_ref());
                self.add(Problem::new(case.name.span(), title));
            }
            if let Some(line) = &case.fails_with {
                self.pattern(line);
            }
            self.card(case.sd.as_ref());
        }
    }

    fn card(&mut self, card: Option<&Spanned<Recipe>>) {
        let Some(card) = card else { return };
        for mistake in card.get_ref().mistakes() {
            let span = mistake.span.unwrap_or_else(|| card.span());
            self.add(Problem::new(span, mistake.what));
        }
    }

    /// The emulated part of the board. Each part is tried by itself, so that a mistake is shown where it is.
    fn devices(&mut self, board: &file::Board, run: &Run, checked: &mut Checked) {
        let mut devices = Description { until: Some(Pattern::new(run.success.get_ref())), ..Description::default() };
        match crate::board::start_up(board.bitstream.is_some()) {
            Ok(preset) => devices.preset = preset,
            Err(error) => self.add(Problem::new(0..0, format!("the board cannot be set up: {error}"))),
        }
        let mut parts: Vec<(Range<usize>, Description)> = Vec::new();
        if let Some(bitstream) = &board.bitstream {
            parts.push((
                bitstream.span(),
                Description { bitstream: bitstream.get_ref().clone(), ..Description::default() },
            ));
        }
        for (name, bus) in &board.i2c {
            let i2c = BTreeMap::from([(name.clone(), bus.get_ref().clone())]);
            parts.push((bus.span(), Description { i2c, ..Description::default() }));
        }
        let mut right = true;
        for (span, part) in parts {
            if let Err(error) = Devices::new(&part) {
                self.add(Problem::new(span, error.to_string()));
                right = false;
                continue;
            }
            devices.i2c.extend(part.i2c);
            if part.bitstream != Bitstream::default() {
                devices.bitstream = part.bitstream;
            }
        }
        for event in &board.event {
            let with_event = Description { event: vec![event.get_ref().clone()], ..devices.clone() };
            match Devices::new(&with_event) {
                Ok(_) => devices.event.extend(with_event.event),
                // A pad or a slave may only be missing because its part is wrong.
                Err(error) if right => self.add(Problem::new(event.span(), error.to_string())),
                Err(_) => {}
            }
        }
        if let (true, Ok(mut built)) = (right, Devices::new(&devices)) {
            if let (Err(error), Some(bitstream)) = (built.transmitter(), &board.bitstream) {
                self.add(Problem::new(bitstream.span(), format!("the display's transmitter: {error}")));
            }
            for expect in &board.expect {
                match expect.get_ref().resolve(&mut built) {
                    Ok(check) => {
                        devices.frames.extend(check.span().filter(|span| !devices.frames.contains(span)));
                        checked.checks.push(check);
                    }
                    Err(error) => self.add(Problem::new(expect.span(), error.to_string())),
                }
            }
        }
        checked.devices = devices;
    }

    /// The nested systems by name, with what their components are lent together.
    fn system_names(&mut self, systems: &[file::System]) -> BTreeMap<String, u64> {
        let mut known = BTreeMap::new();
        for system in systems {
            self.name_syntax(&system.name);
            let name = system.name.get_ref();
            if system_module(name).len() > NAME_LEN {
                let title = format!("the name of a system has at most {} bytes", NAME_LEN - system_module("").len());
                self.add(Problem::new(system.name.span(), title));
            }
            let ram = |component: &Component| {
                component
                    .ram
                    .get_ref()
                    .0
                    .saturating_mul(component.count.as_ref().map_or(1, |count| *count.get_ref()).into())
            };
            let sum = system.component.iter().map(|component| ram(component.get_ref())).fold(0, u64::saturating_add);
            if known.insert(name.clone(), sum).is_some() {
                self.add(
                    Problem::new(system.name.span(), format!("a second system `{name}`")).label("names are unique"),
                );
            }
        }
        known
    }

    /// A component that the init itself relies on.
    fn reliance(
        &mut self,
        name: Option<&Spanned<String>>,
        known: &BTreeMap<&str, Known>,
        service: Option<Service>,
    ) -> Option<Name> {
        let name = name?;
        match (known.get(name.get_ref().as_str()), service) {
            (None, _) => {
                let title = format!("there is no component `{}`", name.get_ref());
                self.add(Problem::new(name.span(), title).label("not a [[component]]"));
            }
            (Some(known), Some(service)) if !known.provides.contains(&service) => {
                let title = format!("`{}` does not provide {}", name.get_ref(), spelling(service));
                self.add(Problem::new(name.span(), title));
            }
            _ => {}
        }
        Some(short(name.get_ref()))
    }

    fn system(
        &mut self,
        module: String,
        own: &file::Init,
        components: &[Spanned<Component>],
        place: Place<'_>,
        checked: &mut Checked,
    ) -> System {
        let mut system = System { module, ..System::default() };
        let mut known: BTreeMap<&str, Known> = BTreeMap::new();
        let all: BTreeSet<&str> =
            components.iter().map(|component| component.get_ref().name.get_ref().as_str()).collect();
        let mut lent = 0u64;
        if components.is_empty() {
            self.add(Problem::new(0..0, "the system has no components").help("add at least one [[component]]"));
        }
        for (index, spanned) in components.iter().enumerate() {
            let component = spanned.get_ref();
            let name = component.name.get_ref().as_str();
            let count = component.count.as_ref().map_or(1, |count| *count.get_ref());
            self.component_name(component, known.contains_key(name));
            self.numbers(component);
            self.times(component, own.timer.is_some());
            let before = lent;
            lent = lent.saturating_add(component.ram.get_ref().0.saturating_mul(count.into()));
            if before <= RAM && lent > RAM {
                let title =
                    format!("up to here the components are lent {lent} bytes, but the board has {RAM} ({})", Size(RAM));
                self.add(Problem::new(component.ram.span(), title).label("too much with this one"));
            }
            let provides = self.provides(component);
            let routes = self.routes(component, &known, &all, place);
            let binary = self.binary(component);
            let config = match &component.system {
                Some(nested) => self.nested(component, nested, place),
                None => self.config(index, component, binary, place),
            };
            let started = Started {
                name: short(name),
                binary: short(binary),
                version: component.version,
                ram: u32::try_from(component.ram.get_ref().0).unwrap_or(u32::MAX),
                caps: *component.caps.get_ref(),
                priority: *component.priority.get_ref(),
                stack: u32::try_from(component.stack.get_ref().0).unwrap_or(u32::MAX),
                provides: bounded(&provides),
                routes: bounded(&routes),
                on_exit: match component.on_exit {
                    file::OnExit::Ignore => OnExit::Ignore,
                    file::OnExit::Finish => OnExit::Finish,
                    file::OnExit::End => OnExit::End,
                },
                restart: component.restart.as_ref().map(|restart| Restart {
                    limit: restart.limit,
                    backoff: restart.backoff.as_ref().map_or(0, |backoff| backoff.get_ref().milliseconds),
                    always: restart.always,
                    audit: restart.audit,
                }),
                grant: component.grant.as_ref().map(|grant| Grant {
                    ram: u32::try_from(grant.ram.0).unwrap_or(u32::MAX),
                    caps: grant.caps,
                    must_yield: *grant.must_yield.get_ref(),
                }),
                heartbeat: component.heartbeat.as_ref().map(|heartbeat| heartbeat.get_ref().milliseconds),
            };
            self.enter(component, started, config, count, &mut system);
            if binary != NESTED && !checked.binaries.iter().any(|known| known == binary) {
                checked.binaries.push(binary.to_owned());
            }
            known.entry(name).or_insert(Known { provides });
        }
        system.header = Header {
            components: system.components.len() as u32,
            manager: self.reliance(own.manager.as_ref(), &known, None),
            timer: self.reliance(own.timer.as_ref(), &known, Some(Service::Timer)),
            watchdog: self.reliance(own.watchdog.as_ref(), &known, None),
        };
        system
    }

    /// Enters a component as often as it says.
    fn enter(&mut self, component: &Component, started: Started, config: String, count: u32, system: &mut System) {
        if system.components.len() + count as usize > COMPONENTS {
            let title = format!("a system has at most {COMPONENTS} components");
            self.add(Problem::new(component.name.span(), title).label("too many with this one"));
            return;
        }
        let Some(spanned) = &component.count else {
            system.components.push((started, config));
            return;
        };
        if count == 0 {
            self.add(Problem::new(spanned.span(), "a component exists at least once"));
        }
        if format!("{}-{count}", started.name).len() > NAME_LEN {
            self.add(Problem::new(component.name.span(), "the numbered names are too long"));
        }
        for number in 1..=count {
            let name = short(&format!("{}-{number}", started.name));
            system.components.push((Started { name, ..started.clone() }, config.clone()));
        }
    }

    /// The configuration of a nested init: the module with its system.
    fn nested(&mut self, component: &Component, nested: &Spanned<String>, place: Place<'_>) -> String {
        let name = nested.get_ref();
        let (Place::Main(known) | Place::Nested(known, _)) = place;
        match known.get(name) {
            None => {
                self.add(Problem::new(nested.span(), format!("there is no system `{name}`")).label("not a [[system]]"));
            }
            Some(sum) if *sum >= component.ram.get_ref().0 => {
                let title = format!("the components of `{name}` are lent {sum} bytes together");
                self.add(
                    Problem::new(component.ram.span(), title)
                        .label("not more than that")
                        .help("the init needs some for itself"),
                );
            }
            Some(_) => {}
        }
        if let Some(config) = &component.config {
            self.add(Problem::new(config.span(), "a nested init has no configuration but its system"));
        }
        system_module(name)
    }

    fn times(&mut self, component: &Component, timer: bool) {
        let backoff = component.restart.as_ref().and_then(|restart| restart.backoff.as_ref());
        let times = [backoff, component.heartbeat.as_ref()].into_iter().flatten().map(Spanned::span);
        let must_yield = component.grant.as_ref().map(|grant| &grant.must_yield).filter(|must| *must.get_ref());
        for span in times.chain(must_yield.map(Spanned::span)) {
            if !timer {
                self.add(
                    Problem::new(span, "init has no timer to wait by")
                        .help("name a component that provides Timer: [init] timer = \"NAME\""),
                );
            }
        }
    }

    fn component_name(&mut self, component: &Component, duplicate: bool) {
        let name = component.name.get_ref();
        self.name_syntax(&component.name);
        if duplicate {
            let title = format!("a second component `{name}`");
            self.add(Problem::new(component.name.span(), title).label("names are unique"));
        }
        if name.len() > NAME_LEN {
            self.add(
                Problem::new(component.name.span(), format!("the name has {} bytes", name.len()))
                    .label(format!("at most {NAME_LEN}")),
            );
        }
        if RESERVED.contains(&name.as_str()) {
            let title = format!("no component can be called `{name}`");
            self.add(Problem::new(component.name.span(), title).label("reserved for the system"));
        }
    }

    fn name_syntax(&mut self, name: &Spanned<String>) {
        let text = name.get_ref();
        let well_formed = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if text.is_empty() || !well_formed {
            self.add(
                Problem::new(name.span(), format!("`{text}` is no name")).label("names consist of a-z, 0-9 and -"),
            );
        }
    }

    fn numbers(&mut self, component: &Component) {
        let Component { ram, stack, caps, priority, .. } = component;
        for (size, what) in [(ram, "ram"), (stack, "stack")] {
            let bytes = size.get_ref().0;
            if bytes == 0 || bytes % PAGE != 0 {
                let title = format!("{what} is {bytes} bytes");
                self.add(Problem::new(size.span(), title).label(format!("not a multiple of {PAGE}")));
            }
        }
        if stack.get_ref() >= ram.get_ref() && stack.span() != (0..0) {
            self.add(
                Problem::new(stack.span(), "the stack is as large as all of the component's ram")
                    .help("the stack is taken from `ram`"),
            );
        }
        if *caps.get_ref() == 0 {
            self.add(Problem::new(caps.span(), "a component needs capabilities").label("at least 1"));
        }
        if !PRIORITIES.contains(priority.get_ref()) {
            let title = format!("priority {} is out of range", priority.get_ref());
            let (low, high) = (PRIORITIES.start(), PRIORITIES.end());
            self.add(Problem::new(priority.span(), title).label(format!("{low} to {high}")));
        }
    }

    fn service(&mut self, name: &Spanned<String>) -> Option<Service> {
        let found = Service::ALL.into_iter().find(|service| spelling(*service) == *name.get_ref());
        if found.is_none() {
            let all: Vec<String> = Service::ALL.into_iter().map(spelling).collect();
            let title = format!("there is no service `{}`", name.get_ref());
            self.add(Problem::new(name.span(), title).help(format!("services: {}", all.join(", "))));
        }
        found
    }

    fn provides(&mut self, component: &Component) -> Vec<Service> {
        let mut services = Vec::new();
        for name in &component.provides {
            let Some(service) = self.service(name) else {
                continue;
            };
            if services.contains(&service) {
                let title = format!("`{}` is named twice", name.get_ref());
                self.add(Problem::new(name.span(), title));
            } else if services.len() == PROVIDES {
                let title = format!("a component provides at most {PROVIDES} services");
                self.add(Problem::new(name.span(), title).label("one too many"));
            } else {
                services.push(service);
            }
        }
        services
    }

    fn routes(
        &mut self,
        component: &Component,
        known: &BTreeMap<&str, Known>,
        all: &BTreeSet<&str>,
        place: Place<'_>,
    ) -> Vec<Route> {
        let mut routes = Vec::new();
        for (name, targets) in &component.route {
            let Some(service) = self.service(name) else {
                continue;
            };
            let names = &targets.get_ref().0;
            for (index, target) in names.iter().enumerate() {
                let target = &Spanned::new(targets.span(), target.clone());
                if routes.len() == ROUTES {
                    let title = format!("a component has at most {ROUTES} routes");
                    self.add(Problem::new(name.span(), title).label("one too many"));
                } else if let Some(target) = self.target(component, service, target, known, all, place) {
                    if matches!(target, Target::Child(_)) && index + 1 < names.len() {
                        let title = "a component that provides the service is the last target";
                        self.add(Problem::new(name.span(), title).help("those after it would never be asked"));
                    }
                    routes.push(Route { service, target });
                }
            }
        }
        routes
    }

    /// A target that is no component, if it offers `service`.
    fn special(&mut self, name: &str, target: &Spanned<String>, service: Service, place: Place<'_>) -> Option<Target> {
        let (offered, to) = match (name, place) {
            ("core", Place::Main(_)) => (&CORE[..], Target::Core),
            ("parent", Place::Nested(..)) => (&PARENT[..], Target::Parent),
            ("init", _) => (&INIT[..], Target::Init),
            ("core", _) => {
                self.add(Problem::new(target.span(), "core serves the first init alone").help("route to `parent`"));
                return None;
            }
            _ => {
                self.add(Problem::new(target.span(), "the first init has no parent").help("route to `core`"));
                return None;
            }
        };
        if offered.contains(&service) {
            return Some(to);
        }
        let own: Vec<String> = offered.iter().copied().map(spelling).collect();
        self.add(
            Problem::new(target.span(), format!("{name} does not provide {}", spelling(service)))
                .help(format!("{name} provides {}", own.join(", "))),
        );
        None
    }

    fn target(
        &mut self,
        component: &Component,
        service: Service,
        target: &Spanned<String>,
        known: &BTreeMap<&str, Known>,
        all: &BTreeSet<&str>,
        place: Place<'_>,
    ) -> Option<Target> {
        let name = target.get_ref().as_str();
        let service_name = spelling(service);
        if matches!(name, "core" | "init" | "parent") {
            return self.special(name, target, service, place);
        }
        if let Some(server) = known.get(name) {
            if server.provides.contains(&service) {
                return Some(Target::Child(short(name)));
            }
            let title = format!("`{name}` does not provide {service_name}");
            let help = if server.provides.is_empty() {
                format!("`{name}` provides nothing")
            } else {
                let offered: Vec<String> = server.provides.iter().copied().map(spelling).collect();
                format!("`{name}` provides {}", offered.join(", "))
            };
            self.add(Problem::new(target.span(), title).help(help));
        } else if name == component.name.get_ref() {
            self.add(Problem::new(target.span(), format!("`{name}` routes {service_name} to itself")));
        } else if all.contains(name) {
            self.add(
                Problem::new(target.span(), format!("`{name}` starts after `{}`", component.name.get_ref()))
                    .label("routes go to earlier components")
                    .help("put servers before their clients; two components cannot serve each other"),
            );
        } else {
            let title = format!("there is no component `{name}`");
            self.add(Problem::new(target.span(), title).label("not a [[component]]"));
        }
        None
    }

    fn binary<'c>(&mut self, component: &'c Component) -> &'c str {
        if component.system.is_some() {
            if let Some(binary) = &component.binary {
                self.add(Problem::new(binary.span(), "a component with a system runs init"));
            }
            return NESTED;
        }
        let binary = component.binary.as_ref().unwrap_or(&component.name);
        let name = binary.get_ref();
        if RESERVED.contains(&name.as_str()) {
            let title = format!("`{name}` is no program for a component");
            self.add(Problem::new(binary.span(), title));
        } else if name.len() > NAME_LEN {
            let title = format!("the program's name has {} bytes", name.len());
            self.add(Problem::new(binary.span(), title).label(format!("at most {NAME_LEN}")));
        } else if !self.binaries.contains(name) {
            let title = format!("there is no program `{name}`");
            let programs = self.binaries.join(", ");
            self.add(Problem::new(binary.span(), title).help(format!("programs: {programs}")));
        }
        name
    }

    fn config(&mut self, index: usize, component: &Component, binary: &str, place: Place<'_>) -> String {
        let Some(config) = &component.config else { return String::new() };
        if let Err(error) = configs::check(binary, config.get_ref()) {
            let system = match place {
                Place::Main(_) => None,
                Place::Nested(_, system) => Some(system),
            };
            let span = config_span(self.source, system, index, &error.path).unwrap_or_else(|| config.span());
            self.add(Problem::new(span, error.message));
        }
        let text = config.get_ref().to_string();
        if text.len() > abi::CONFIG_LEN {
            let title = format!("the configuration has {} bytes", text.len());
            self.add(Problem::new(config.span(), title).label(format!("at most {}", abi::CONFIG_LEN)));
        }
        text
    }
}

/// The name of `service` in a scenario file.
fn spelling(service: Service) -> String {
    format!("{service:?}")
}

/// `name` as the description holds it; a longer one has been reported, and is never sent.
fn short(name: &str) -> Name {
    Name::try_from(name).unwrap_or_default()
}

/// `items` as the description holds them; what does not fit has been reported.
fn bounded<T: Clone, const N: usize>(items: &[T]) -> Bounded<T, N> {
    items.iter().take(N).cloned().collect()
}

/// The place of the value at `path` in the configuration of component number `index` of a nested system, or of the main one, in
/// the text `source`.
pub(crate) fn config_span(
    source: &str,
    system: Option<usize>,
    index: usize,
    path: &[configs::Step],
) -> Option<Range<usize>> {
    let document = DeTable::parse(source).ok()?;
    let table = match system {
        None => document.get_ref(),
        Some(system) => {
            let DeValue::Array(systems) = document.get_ref().get("system")?.get_ref() else { return None };
            let DeValue::Table(table) = systems.get(system)?.get_ref() else { return None };
            table
        }
    };
    let DeValue::Array(components) = table.get("component")?.get_ref() else {
        return None;
    };
    let DeValue::Table(component) = components.get(index)?.get_ref() else {
        return None;
    };
    let mut value = component.get("config")?;
    for step in path {
        let next = match (step, value.get_ref()) {
            (configs::Step::Key(key), DeValue::Table(table)) => table.get(key.as_str()),
            (configs::Step::Index(index), DeValue::Array(array)) => array.get(*index),
            _ => None,
        };
        // A path may name a key that is missing; then its table is the place.
        let Some(next) = next else { break };
        value = next;
    }
    Some(value.span())
}
