//! Whether a scenario makes a system that can run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use harness::measure::WELL_KNOWN;
use harness::recipe::Recipe;
use harness::size::Size;
use heapless::Vec as Bounded;
use init::description::{
    COMPONENTS, Component as Started, Description, NAME_LEN, Name, OnExit, PROVIDES, ROUTES, Route, Target,
};
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
const RESERVED: [&str; 5] = ["core", "init", "vdso", "system", "zedboard.dtb"];
/// The services that core offers itself.
const CORE: [Service; 3] = [Service::Log, Service::Rom, Service::Hardware];

/// What a checked scenario hands to the target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    /// What init starts.
    pub(crate) description: Description,
    /// The programs, each once.
    pub(crate) binaries: Vec<String>,
    /// ROM modules with configurations: name and JSON text.
    pub(crate) configs: Vec<(String, String)>,
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
    let system = checker.components(&file.component);
    if checker.problems.is_empty() {
        Ok(system)
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
            if !ops.insert(*measure.op.get_ref()) {
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

    fn components(&mut self, components: &[Spanned<Component>]) -> Checked {
        let mut checked = Checked::default();
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
            self.component_name(component, known.contains_key(name));
            self.numbers(component);
            let before = lent;
            lent = lent.saturating_add(component.ram.get_ref().0);
            if before <= RAM && lent > RAM {
                let title =
                    format!("up to here the components are lent {lent} bytes, but the board has {RAM} ({})", Size(RAM));
                self.add(Problem::new(component.ram.span(), title).label("too much with this one"));
            }
            let provides = self.provides(component);
            let routes = self.routes(component, &known, &all);
            let binary = self.binary(component);
            let config = self.config(index, component, binary);
            let started = Started {
                name: short(name),
                binary: short(binary),
                config: config.as_ref().map(|(module, _)| short(module)),
                ram: u32::try_from(component.ram.get_ref().0).unwrap_or(u32::MAX),
                caps: *component.caps.get_ref(),
                priority: *component.priority.get_ref(),
                stack: u32::try_from(component.stack.get_ref().0).unwrap_or(u32::MAX),
                provides: bounded(&provides),
                routes: bounded(&routes),
                on_exit: match component.on_exit {
                    file::OnExit::Ignore => OnExit::Ignore,
                    file::OnExit::Finish => OnExit::Finish,
                },
            };
            if checked.description.components.push(started).is_err() {
                let title = format!("a system has at most {COMPONENTS} components");
                self.add(Problem::new(component.name.span(), title).label("one too many"));
            }
            if !checked.binaries.iter().any(|known| known == binary) {
                checked.binaries.push(binary.to_owned());
            }
            checked.configs.extend(config);
            known.entry(name).or_insert(Known { provides });
        }
        checked
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

    fn routes(&mut self, component: &Component, known: &BTreeMap<&str, Known>, all: &BTreeSet<&str>) -> Vec<Route> {
        let mut routes = Vec::new();
        for (name, target) in &component.route {
            let Some(service) = self.service(name) else {
                continue;
            };
            if routes.len() == ROUTES {
                let title = format!("a component has at most {ROUTES} routes");
                self.add(Problem::new(name.span(), title).label("one too many"));
            } else if let Some(target) = self.target(component, service, target, known, all) {
                routes.push(Route { service, target });
            }
        }
        routes
    }

    fn target(
        &mut self,
        component: &Component,
        service: Service,
        target: &Spanned<String>,
        known: &BTreeMap<&str, Known>,
        all: &BTreeSet<&str>,
    ) -> Option<Target> {
        let name = target.get_ref().as_str();
        let service_name = spelling(service);
        if name == "core" {
            if CORE.contains(&service) {
                return Some(Target::Core);
            }
            let own: Vec<String> = CORE.into_iter().map(spelling).collect();
            self.add(
                Problem::new(target.span(), format!("core does not provide {service_name}"))
                    .help(format!("core provides {}", own.join(", "))),
            );
            return None;
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

    fn config(&mut self, index: usize, component: &Component, binary: &str) -> Option<(String, String)> {
        let config = component.config.as_ref()?;
        if let Err(error) = configs::check(binary, config.get_ref()) {
            let span = config_span(self.source, index, &error.path).unwrap_or_else(|| config.span());
            self.add(Problem::new(span, error.message));
        }
        let module = format!("{}.cfg", component.name.get_ref());
        if module.len() > NAME_LEN {
            let title = format!("the configuration's module `{module}` has {} bytes", module.len());
            self.add(
                Problem::new(component.name.span(), title)
                    .label(format!("at most {NAME_LEN}"))
                    .help("shorten the component's name"),
            );
        }
        Some((module, config.get_ref().to_string()))
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

/// The place of the value at `path` in the configuration of component number `index` in the text
/// `source`.
pub(crate) fn config_span(source: &str, index: usize, path: &[configs::Step]) -> Option<Range<usize>> {
    let document = DeTable::parse(source).ok()?;
    let DeValue::Array(components) = document.get_ref().get("component")?.get_ref() else {
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
