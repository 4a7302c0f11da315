//! That components know no kernel.
//!
//! # Theory of operation
//!
//! All components are built without a kernel's interface at hand: what would need it does not compile then. The files are
//! disassembled, and none may have an instruction that enters the kernel; that only the gate has, which the platform maps into each of them.
//!
//! The way through the gate has a price: a load of the function's address, a branch to it, and the function's return; and one instruction for the
//! address of the gate where it is not in a register yet. It is counted here from what the compiler made, so that nobody has to believe it.

use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::pipeline::{GATE, INIT, Pipeline};
use crate::workspace::Workspace;

/// Most instructions that a call through the gate may take beyond those of entering the kernel directly.
const MOST: usize = 4;
/// The gate's functions on the way of every request and every signal.
const HOT: [&str; 9] = [
    "gate_call",
    "gate_send",
    "gate_reply",
    "gate_recv",
    "gate_reply_recv",
    "gate_signal",
    "gate_wait",
    "gate_poll",
    "gate_yield",
];

/// Builds all components and looks at them. Returns what there is to say about them.
///
/// # Errors
///
/// The component that enters the kernel, and where; or that a call costs too much.
pub(crate) fn check(workspace: &Workspace, pipeline: &Pipeline<'_>) -> anyhow::Result<String> {
    let mut programs = workspace.components();
    pipeline.compile_system()?;
    pipeline.compile_components(programs.iter().map(String::as_str))?;
    programs.push(INIT.to_owned());
    let (mut instructions, mut calls) = (0, 0);
    for program in &programs {
        let code = disassemble(workspace, program)?;
        instructions += code.len();
        calls += calls_of_component(&code).with_context(|| program.clone())?;
    }
    ensure!(calls > 0, "no component calls the gate: what was disassembled?");

    let gate = disassemble(workspace, GATE)?;
    ensure!(gate.iter().any(Instruction::enters_kernel), "the gate does not enter the kernel: what was disassembled?");
    let mut dearest = 0;
    for function in HOT {
        dearest = dearest.max(beyond_bare(&gate, function)?);
    }
    // The gate's address, the function's address, and the branch.
    let price = 3 + dearest;
    ensure!(
        price <= MOST,
        "a call through the gate takes {price} instructions more than a direct one, at most {MOST} may be"
    );
    Ok(format!(
        "{} components, {instructions} instructions, none of which enters the kernel; {calls} places call the gate, \
         which takes at most {price} instructions more than entering the kernel there",
        programs.len()
    ))
}

/// A disassembled instruction.
#[derive(Debug, PartialEq, Eq)]
struct Instruction {
    /// The function that it is in.
    function: String,
    /// Hexadecimal digits.
    address: String,
    name: String,
    operands: String,
}

impl Instruction {
    /// Whether this is a supervisor call, under whatever condition.
    fn enters_kernel(&self) -> bool {
        self.name.starts_with("svc") || self.name.starts_with("swi")
    }
}

fn disassemble(workspace: &Workspace, program: &str) -> anyhow::Result<Vec<Instruction>> {
    let mut command = Command::new("arm-none-eabi-objdump");
    command.args(["--disassemble", "--no-show-raw-insn"]).arg(workspace.program(program));
    let output =
        command.output().context("cannot start arm-none-eabi-objdump (Debian package binutils-arm-none-eabi)")?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// The instructions in what objdump prints: `  100050:<tab>mvn<tab>r7, #0`, below lines like `00100050 <gate_call>:`.
fn parse(text: &str) -> Vec<Instruction> {
    let mut function = String::new();
    let mut code = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            name.1.clone_into(&mut function);
            continue;
        }
        let mut parts = line.split('\t');
        let (Some(address), Some(name)) = (parts.next().and_then(|it| it.trim().strip_suffix(':')), parts.next())
        else {
            continue;
        };
        // Data among the code is shown as a directive.
        if name.starts_with('.') {
            continue;
        }
        let operands = parts.next().unwrap_or_default().to_owned();
        code.push(Instruction {
            function: function.clone(),
            address: address.to_owned(),
            name: name.to_owned(),
            operands,
        });
    }
    code
}

/// Number of places where a component calls the gate; it may enter the kernel nowhere else.
fn calls_of_component(code: &[Instruction]) -> anyhow::Result<usize> {
    ensure!(!code.is_empty(), "no instructions: what was disassembled?");
    if let Some(Instruction { function, address, name, operands }) = code.iter().find(|it| it.enters_kernel()) {
        bail!("enters the kernel at {address} in {function}, not through the gate: {name} {operands}");
    }
    calls_through_gate(code)
}

/// Number of places that call the gate: a branch to what was just loaded.
fn calls_through_gate(code: &[Instruction]) -> anyhow::Result<usize> {
    let mut calls = 0;
    for (before, call) in code.iter().zip(code.iter().skip(1)) {
        if call.name == "blx" && call.operands == "lr" {
            ensure!(
                before.name == "ldr" && before.operands.starts_with("lr, ["),
                "the call at {} does not follow the load of its address",
                call.address
            );
            calls += 1;
        }
    }
    Ok(calls)
}

/// Instructions of a function of the gate beyond what entering the kernel needs: the number of the call in r7, an empty message in
/// r1 for those that have none, and the supervisor call.
fn beyond_bare(gate: &[Instruction], function: &str) -> anyhow::Result<usize> {
    let own: Vec<_> = gate.iter().filter(|it| it.function == function).collect();
    ensure!(own.iter().any(|it| it.enters_kernel()), "{function} of the gate does not enter the kernel");
    let needed = |it: &Instruction| {
        let number = it.name == "mvn" && it.operands.starts_with("r7, ");
        let message = it.name == "mov" && it.operands.starts_with("r1, #0");
        it.enters_kernel() || number || message
    };
    Ok(own.iter().filter(|it| !needed(it)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE_TEXT: &str = "\nvdso:     file format elf32-littlearm\n\n00100000 <GATE>:\n  100000:\t.word\t0x5441475a\n\n\
        00100050 <gate_call>:\n  100050:\tmvn\tr7, #0\n  100054:\tsvc\t0x00000000\n  100058:\tbx\tlr\n\n\
        0010005c <gate_signal>:\n  10005c:\tmov\tr1, #0\n  100060:\tpush\t{r7, lr}\n  100064:\tmvn\tr7, #3\n\
        \x20 100068:\tsvcne\t0x00000000\n  10006c:\tpop\t{r7, pc}\n";

    #[test]
    fn instructions_are_told_from_data() {
        let gate = parse(GATE_TEXT);
        assert_eq!(gate.len(), 8);
        let [mvn, svc, ..] = &gate[..] else { panic!("{gate:?}") };
        assert_eq!((mvn.function.as_str(), mvn.name.as_str(), mvn.operands.as_str()), ("gate_call", "mvn", "r7, #0"));
        assert!(!mvn.enters_kernel() && svc.enters_kernel());
        assert_eq!(gate.iter().filter(|it| it.enters_kernel()).count(), 2);
    }

    #[test]
    fn the_price_of_the_gate_is_what_is_not_needed_without_it() {
        let gate = parse(GATE_TEXT);
        assert_eq!(beyond_bare(&gate, "gate_call").unwrap(), 1);
        assert_eq!(beyond_bare(&gate, "gate_signal").unwrap(), 2);
        beyond_bare(&gate, "gate_wait").unwrap_err();
    }

    #[test]
    fn a_component_that_enters_the_kernel_is_refused() {
        let code = |instruction: &str| {
            parse(&format!("00180000 <run>:\n  180000:\tldr\tlr, [r3]\n  180004:\tblx\tlr\n  180008:\t{instruction}\n"))
        };
        assert_eq!(calls_of_component(&code("bx\tlr")).unwrap(), 1);
        for call in ["svc\t0x00000000", "svceq\t0x00000063", "swi\t0"] {
            let error = calls_of_component(&code(call)).unwrap_err().to_string();
            assert!(error.contains("180008 in run"), "{error}");
        }
        calls_of_component(&[]).unwrap_err();
    }

    #[test]
    fn calls_are_counted() {
        let code = |load: &str| {
            parse(&format!("00180000 <run>:\n  180000:\t{load}\n  180004:\tblx\tlr\n  180008:\tblx\tr3\n"))
        };
        assert_eq!(calls_through_gate(&code("ldr\tlr, [ip, #8]")).unwrap(), 1);
        calls_through_gate(&code("mov\tlr, r3")).unwrap_err();
    }
}
