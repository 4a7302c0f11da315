//! Generates the bindings for the kernel in the directory that `ZELKOVA_SEL4_PREFIX` names.
//!
//! Numbers come from the C compiler, which reads the kernel's own headers: a small C file makes it print every constant, size and
//! offset that is wanted as a line of assembler. Invocations come from the kernel's XML files; their labels too
//! go through the C compiler, which knows which of them the kernel's configuration leaves out.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

/// Constants under the names that the bindings use, and the C expressions that the kernel's headers define them by.
const CONSTANTS: &[(&str, &str)] = &[
    ("SYS_CALL", "seL4_SysCall"),
    ("SYS_REPLY_RECV", "seL4_SysReplyRecv"),
    ("SYS_SEND", "seL4_SysSend"),
    ("SYS_NB_SEND", "seL4_SysNBSend"),
    ("SYS_RECV", "seL4_SysRecv"),
    ("SYS_REPLY", "seL4_SysReply"),
    ("SYS_YIELD", "seL4_SysYield"),
    ("SYS_NB_RECV", "seL4_SysNBRecv"),
    ("OBJECT_UNTYPED", "seL4_UntypedObject"),
    ("OBJECT_TCB", "seL4_TCBObject"),
    ("OBJECT_ENDPOINT", "seL4_EndpointObject"),
    ("OBJECT_NOTIFICATION", "seL4_NotificationObject"),
    ("OBJECT_CNODE", "seL4_CapTableObject"),
    ("OBJECT_SMALL_PAGE", "seL4_ARM_SmallPageObject"),
    ("OBJECT_LARGE_PAGE", "seL4_ARM_LargePageObject"),
    ("OBJECT_SECTION", "seL4_ARM_SectionObject"),
    ("OBJECT_PAGE_TABLE", "seL4_ARM_PageTableObject"),
    ("OBJECT_PAGE_DIRECTORY", "seL4_ARM_PageDirectoryObject"),
    ("SLOT_BITS", "seL4_SlotBits"),
    ("TCB_BITS", "seL4_TCBBits"),
    ("ENDPOINT_BITS", "seL4_EndpointBits"),
    ("NOTIFICATION_BITS", "seL4_NotificationBits"),
    ("PAGE_TABLE_BITS", "seL4_PageTableBits"),
    ("PAGE_DIRECTORY_BITS", "seL4_PageDirBits"),
    ("SECTION_BITS", "seL4_SectionBits"),
    ("ERROR_INVALID_ARGUMENT", "seL4_InvalidArgument"),
    ("ERROR_INVALID_CAPABILITY", "seL4_InvalidCapability"),
    ("ERROR_ILLEGAL_OPERATION", "seL4_IllegalOperation"),
    ("ERROR_RANGE", "seL4_RangeError"),
    ("ERROR_ALIGNMENT", "seL4_AlignmentError"),
    ("ERROR_FAILED_LOOKUP", "seL4_FailedLookup"),
    ("ERROR_TRUNCATED_MESSAGE", "seL4_TruncatedMessage"),
    ("ERROR_DELETE_FIRST", "seL4_DeleteFirst"),
    ("ERROR_REVOKE_FIRST", "seL4_RevokeFirst"),
    ("ERROR_NOT_ENOUGH_MEMORY", "seL4_NotEnoughMemory"),
    ("FAULT_CAP", "seL4_Fault_CapFault"),
    ("FAULT_UNKNOWN_SYSCALL", "seL4_Fault_UnknownSyscall"),
    ("FAULT_USER_EXCEPTION", "seL4_Fault_UserException"),
    ("FAULT_VM", "seL4_Fault_VMFault"),
    ("VM_FAULT_IP", "seL4_VMFault_IP"),
    ("VM_FAULT_ADDRESS", "seL4_VMFault_Addr"),
    ("VM_FAULT_PREFETCH", "seL4_VMFault_PrefetchFault"),
    ("VM_FAULT_STATUS", "seL4_VMFault_FSR"),
    ("CAP_FAULT_IP", "seL4_CapFault_IP"),
    ("CAP_FAULT_ADDRESS", "seL4_CapFault_Addr"),
    ("UNKNOWN_SYSCALL_IP", "seL4_UnknownSyscall_FaultIP"),
    ("UNKNOWN_SYSCALL_NUMBER", "seL4_UnknownSyscall_Syscall"),
    ("USER_EXCEPTION_IP", "seL4_UserException_FaultIP"),
    ("USER_EXCEPTION_NUMBER", "seL4_UserException_Number"),
    ("CAP_TCB", "seL4_CapInitThreadTCB"),
    ("CAP_CNODE", "seL4_CapInitThreadCNode"),
    ("CAP_VSPACE", "seL4_CapInitThreadVSpace"),
    ("CAP_IRQ_CONTROL", "seL4_CapIRQControl"),
    ("CAP_ASID_POOL", "seL4_CapInitThreadASIDPool"),
    ("RIGHTS_ALL", "seL4_AllRights.words[0]"),
    ("RIGHTS_READ_WRITE", "seL4_ReadWrite.words[0]"),
    ("RIGHTS_READ", "seL4_CanRead.words[0]"),
    ("ATTRIBUTES_DEFAULT", "seL4_ARM_Default_VMAttributes"),
    ("ATTRIBUTES_CACHEABLE", "seL4_ARM_PageCacheable"),
    ("ATTRIBUTES_EXECUTE_NEVER", "seL4_ARM_ExecuteNever"),
    ("USER_CONTEXT_WORDS", "sizeof(seL4_UserContext) / 4"),
    ("USER_CONTEXT_PC", "offsetof(seL4_UserContext, pc) / 4"),
    ("USER_CONTEXT_SP", "offsetof(seL4_UserContext, sp) / 4"),
    ("USER_CONTEXT_CPSR", "offsetof(seL4_UserContext, cpsr) / 4"),
    ("USER_CONTEXT_R0", "offsetof(seL4_UserContext, r0) / 4"),
    ("USER_CONTEXT_R7", "offsetof(seL4_UserContext, r7) / 4"),
    ("USER_CONTEXT_R1", "offsetof(seL4_UserContext, r1) / 4"),
    ("USER_CONTEXT_R2", "offsetof(seL4_UserContext, r2) / 4"),
    ("USER_CONTEXT_R3", "offsetof(seL4_UserContext, r3) / 4"),
    ("USER_CONTEXT_R4", "offsetof(seL4_UserContext, r4) / 4"),
    ("USER_CONTEXT_R5", "offsetof(seL4_UserContext, r5) / 4"),
    ("USER_CONTEXT_R6", "offsetof(seL4_UserContext, r6) / 4"),
    ("USER_CONTEXT_R8", "offsetof(seL4_UserContext, r8) / 4"),
    ("USER_CONTEXT_R9", "offsetof(seL4_UserContext, r9) / 4"),
    ("USER_CONTEXT_R10", "offsetof(seL4_UserContext, r10) / 4"),
    ("USER_CONTEXT_R11", "offsetof(seL4_UserContext, r11) / 4"),
    ("USER_CONTEXT_R12", "offsetof(seL4_UserContext, r12) / 4"),
    ("USER_CONTEXT_R14", "offsetof(seL4_UserContext, r14) / 4"),
    ("IPC_BUFFER_BYTES", "sizeof(seL4_IPCBuffer)"),
    ("IPC_BUFFER_WORDS", "offsetof(seL4_IPCBuffer, msg)"),
    ("IPC_BUFFER_CAPS", "offsetof(seL4_IPCBuffer, caps_or_badges)"),
    ("IPC_BUFFER_RECEIVE", "offsetof(seL4_IPCBuffer, receiveCNode)"),
    ("BOOT_INFO_EMPTY", "offsetof(seL4_BootInfo, empty)"),
    ("BOOT_INFO_IMAGE_FRAMES", "offsetof(seL4_BootInfo, userImageFrames)"),
    ("BOOT_INFO_UNTYPED", "offsetof(seL4_BootInfo, untyped)"),
    ("BOOT_INFO_UNTYPED_LIST", "offsetof(seL4_BootInfo, untypedList)"),
    ("BOOT_INFO_UNTYPED_SIZE", "sizeof(seL4_UntypedDesc)"),
    ("UNTYPED_ADDRESS", "offsetof(seL4_UntypedDesc, paddr)"),
    ("UNTYPED_BITS", "offsetof(seL4_UntypedDesc, sizeBits)"),
    ("UNTYPED_IS_DEVICE", "offsetof(seL4_UntypedDesc, isDevice)"),
    ("INFO_LABEL_SHIFT", "__builtin_ctz(seL4_MessageInfo_new(0xfffff, 0, 0, 0).words[0])"),
    ("INFO_UNWRAPPED_SHIFT", "__builtin_ctz(seL4_MessageInfo_new(0, 7, 0, 0).words[0])"),
    ("INFO_CAPS_SHIFT", "__builtin_ctz(seL4_MessageInfo_new(0, 0, 3, 0).words[0])"),
    ("INFO_LENGTH_SHIFT", "__builtin_ctz(seL4_MessageInfo_new(0, 0, 0, 127).words[0])"),
];

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed=ZELKOVA_SEL4_PREFIX");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(());
    }
    let Some(prefix) = env::var_os("ZELKOVA_SEL4_PREFIX").map(PathBuf::from) else {
        bail!(
            "programs for the target are built against a kernel: build with `cargo xtask`, which makes one and sets ZELKOVA_SEL4_PREFIX"
        );
    };
    let include = prefix.join("libsel4/include");
    println!("cargo:rerun-if-changed={}", include.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR")?);
    let interfaces = read_interfaces(&include)?;
    let numbers = probe(&include, &out, &interfaces)?;
    let mut constants = String::new();
    for (name, value) in &numbers {
        if name.starts_with("LABEL_") || CONSTANTS.iter().any(|(constant, _)| constant == name) {
            writeln!(constants, "#[doc = \"From the kernel's headers.\"]\npub const {name}: u32 = {};", *value as u32)?;
        }
    }
    let tpidrurw = numbers.iter().any(|(name, value)| name == "IPC_BUFFER_IN_TPIDRURW" && *value == 1);
    writeln!(
        constants,
        "/// The kernel announces the IPC buffer in TPIDRURW.\npub const IPC_BUFFER_IN_TPIDRURW: bool = {tpidrurw};"
    )?;
    let words = number(&numbers, "USER_CONTEXT_WORDS")? as usize;
    fs::write(out.join("constants.rs"), constants)?;
    fs::write(out.join("invocations.rs"), invocations(&interfaces, &numbers, words)?)?;
    fs::write(out.join("data.rs"), cap_data(&numbers)?)?;
    Ok(())
}

fn number(numbers: &[(String, i64)], name: &str) -> Result<i64> {
    numbers.iter().find(|(key, _)| key == name).map(|(_, value)| *value).with_context(|| format!("no {name}"))
}

struct Interface {
    name: String,
    methods: Vec<Method>,
}

struct Method {
    id: String,
    name: String,
    condition: String,
    parameters: Vec<Parameter>,
}

struct Parameter {
    name: String,
    kind: String,
    output: bool,
}

fn read_interfaces(include: &Path) -> Result<Vec<Interface>> {
    let mut interfaces = Vec::new();
    // The order in which the kernel numbers its invocations.
    for file in ["object-api.xml", "object-api-sel4-arch.xml", "object-api-arch.xml"] {
        let path = include.join("interfaces").join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let xml = roxmltree::Document::parse_with_options(&text, options)
            .with_context(|| format!("{} is no XML", path.display()))?;
        for interface in xml.descendants().filter(|node| node.has_tag_name("interface")) {
            let mut methods = Vec::new();
            for method in interface.children().filter(|node| node.has_tag_name("method")) {
                let attribute = |name: &str| method.attribute(name).unwrap_or_default().to_owned();
                let parameters = method
                    .children()
                    .filter(|node| node.has_tag_name("param"))
                    .map(|node| Parameter {
                        name: node.attribute("name").unwrap_or_default().to_owned(),
                        kind: node.attribute("type").unwrap_or_default().to_owned(),
                        output: node.attribute("dir") == Some("out"),
                    })
                    .collect();
                let condition = match method.children().find(|node| node.has_tag_name("condition")) {
                    Some(node) => node.children().find(roxmltree::Node::is_element).map(condition).unwrap_or_default(),
                    None => attribute("condition"),
                };
                methods.push(Method { id: attribute("id"), name: attribute("name"), condition, parameters });
            }
            interfaces.push(Interface { name: interface.attribute("name").unwrap_or_default().to_owned(), methods });
        }
    }
    Ok(interfaces)
}

/// A condition of newer kernels' XML as a C expression.
fn condition(node: roxmltree::Node<'_, '_>) -> String {
    let parts = || node.children().filter(roxmltree::Node::is_element).map(condition).collect::<Vec<_>>();
    match node.tag_name().name() {
        "config" => format!("defined({})", node.attribute("var").unwrap_or_default()),
        "not" => format!("!({})", parts().join("")),
        "or" => format!("(({}))", parts().join(") || (")),
        _ => format!("(({}))", parts().join(") && (")),
    }
}

/// Lets the C compiler print every number.
fn probe(include: &Path, out: &Path, interfaces: &[Interface]) -> Result<Vec<(String, i64)>> {
    let mut source = String::from(
        "#define HAVE_AUTOCONF 1\n#include <stddef.h>\n#include <autoconf.h>\n#include <sel4/types.h>\n#include <sel4/bootinfo_types.h>\n\
         #define SHOW(name, value) __asm__ volatile(\"\\n@@ \" name \" %0\" :: \"i\"(value))\n",
    );
    source.push_str("enum { LABEL_INVALID");
    for method in interfaces.iter().flat_map(|interface| &interface.methods) {
        if method.condition.is_empty() {
            write!(source, ",\nLABEL_{}", method.id)?;
        } else {
            write!(source, "\n#if {}\n, LABEL_{}\n#endif\n", method.condition, method.id)?;
        }
    }
    source.push_str("\n};\nvoid show(void) {\n");
    for (name, expression) in CONSTANTS {
        writeln!(source, "SHOW(\"{name}\", {expression});")?;
    }
    for method in interfaces.iter().flat_map(|interface| &interface.methods) {
        let show = format!("SHOW(\"LABEL_{0}\", LABEL_{0});", method.id);
        if method.condition.is_empty() {
            writeln!(source, "{show}")?;
        } else {
            writeln!(source, "#if {}\n{show}\n#endif", method.condition)?;
        }
    }
    let types =
        fs::read_to_string(include.join("sel4/types_gen.h")).context("cannot read sel4/types_gen.h of the kernel")?;
    let (guard, badge) = if types.contains("seL4_CNode_CapData_new") {
        ("seL4_CNode_CapData_new", "0")
    } else {
        ("seL4_CapData_Guard_new", "seL4_CapData_Badge_new(1).words[0]")
    };
    writeln!(
        source,
        "SHOW(\"GUARD_NONE\", {guard}(0, 0).words[0]);\nSHOW(\"GUARD_SIZE_ONE\", {guard}(0, 1).words[0]);"
    )?;
    writeln!(source, "SHOW(\"BADGE_ONE\", {badge});")?;
    source.push_str("#ifdef CONFIG_IPC_BUF_TPIDRURW\nSHOW(\"IPC_BUFFER_IN_TPIDRURW\", 1);\n#endif\n}\n");
    let file = out.join("probe.c");
    fs::write(&file, source)?;
    let result = Command::new("arm-none-eabi-gcc")
        .args(["-S", "-O2", "-mcpu=cortex-a9", "-w", "-o", "-"])
        .arg("-I")
        .arg(include)
        .arg(&file)
        .output()
        .context("cannot run arm-none-eabi-gcc (Debian package gcc-arm-none-eabi)")?;
    if !result.status.success() {
        bail!("the kernel's headers do not compile:\n{}", String::from_utf8_lossy(&result.stderr));
    }
    let mut numbers = Vec::new();
    for line in String::from_utf8_lossy(&result.stdout).lines() {
        if let Some(("@@", rest)) = line.split_once(' ')
            && let Some((name, value)) = rest.split_once(' ')
        {
            let value = value.trim().trim_start_matches('#');
            numbers.push((name.to_owned(), value.parse().with_context(|| format!("{name} is {value}"))?));
        }
    }
    Ok(numbers)
}

/// Functions for guards and badges, which older kernels pack into one tagged word.
fn cap_data(numbers: &[(String, i64)]) -> Result<String> {
    let none = number(numbers, "GUARD_NONE")? as u32;
    let step = (number(numbers, "GUARD_SIZE_ONE")? as u32).wrapping_sub(none);
    if number(numbers, "BADGE_ONE")? > 1 {
        bail!("badges of this kernel are no plain numbers");
    }
    Ok(format!(
        "/// Data for a CNode capability with a guard of `bits` zero bits.\n\
         pub const fn guard(bits: u32) -> u32 {{ {none:#x} + bits * {step:#x} }}\n\
         /// Data for an endpoint or notification capability with a badge.\n\
         pub const fn badge(badge: u32) -> u32 {{ badge }}\n"
    ))
}

/// Rust type of a parameter, and its width in a message; a width of 0 is a capability.
fn kind(kind: &str) -> (&'static str, usize) {
    match kind {
        "seL4_Uint8" => ("u8", 8),
        "seL4_Uint16" => ("u16", 16),
        "seL4_Bool" => ("bool", 1),
        "seL4_UserContext" => ("&UserContext", 0),
        "seL4_CNode" => ("Cap<CNode>", 0),
        "seL4_TCB" => ("Cap<Tcb>", 0),
        "seL4_Untyped" => ("Cap<Untyped>", 0),
        "seL4_CPtr" => ("AnyCap", 0),
        _ => ("u32", 32),
    }
}

fn object(interface: &str) -> Option<&'static str> {
    Some(match interface {
        "seL4_Untyped" => "Untyped",
        "seL4_TCB" => "Tcb",
        "seL4_CNode" => "CNode",
        "seL4_IRQControl" => "IrqControl",
        "seL4_IRQHandler" => "IrqHandler",
        "seL4_ARM_Page" => "Page",
        "seL4_ARM_PageTable" => "PageTable",
        "seL4_ARM_PageDirectory" => "PageDirectory",
        "seL4_ARM_ASIDControl" => "AsidControl",
        "seL4_ARM_ASIDPool" => "AsidPool",
        _ => return None,
    })
}

fn snake(name: &str) -> String {
    let mut result = String::new();
    let mut before_lower = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            if before_lower {
                result.push('_');
            }
            result.push(character.to_ascii_lowercase());
            before_lower = false;
        } else if character == '_' {
            before_lower = true;
        } else {
            result.push(character);
            before_lower = true;
        }
    }
    match result.as_str() {
        "type" | "move" | "priority_" => format!("{result}_"),
        _ => result,
    }
}

fn invocations(interfaces: &[Interface], numbers: &[(String, i64)], context_words: usize) -> Result<String> {
    let mut code = String::new();
    for interface in interfaces {
        let Some(object) = object(&interface.name) else { continue };
        writeln!(code, "impl Cap<{object}> {{")?;
        for method in &interface.methods {
            let label = format!("LABEL_{}", method.id);
            if !numbers.iter().any(|(name, _)| *name == label) {
                continue;
            }
            let outputs = method.parameters.iter().filter(|p| p.output).count();
            if outputs > 1 {
                continue;
            }
            write_method(&mut code, method, &label, context_words)?;
        }
        writeln!(code, "}}")?;
    }
    Ok(code)
}

fn write_method(code: &mut String, method: &Method, label: &str, context_words: usize) -> Result<()> {
    let (mut arguments, mut caps) = (String::new(), Vec::new());
    let mut words: Vec<Vec<String>> = Vec::new();
    let mut context = None;
    let mut bit = 0usize;
    for parameter in method.parameters.iter().filter(|parameter| !parameter.output) {
        let (rust, width) = kind(&parameter.kind);
        let name = snake(&parameter.name);
        write!(arguments, ", {name}: {rust}")?;
        if rust == "&UserContext" {
            context = Some(name);
            continue;
        }
        if width == 0 {
            caps.push(format!("{name}.pointer()"));
            continue;
        }
        // Small values share a word, each aligned to its own width.
        let align = width;
        bit = bit.next_multiple_of(align);
        if words.len() <= bit / 32 {
            words.push(Vec::new());
        }
        let value = if rust == "u32" { name } else { format!("u32::from({name})") };
        let value = if bit.is_multiple_of(32) { value } else { format!("{value} << {}", bit % 32) };
        words.last_mut().context("no word")?.push(value);
        bit += width;
    }
    let words: Vec<String> = words.into_iter().map(|parts| parts.join(" | ")).collect();
    let output = method.parameters.iter().find(|parameter| parameter.output);
    let (result, value) = match output.map(|parameter| parameter.kind.as_str()) {
        Some(kind) if kind.starts_with("seL4_UserContext") => ("UserContext", "Ok(UserContext::from_answer(result))"),
        Some(_) => ("u32", "Ok(result[0])"),
        None => ("()", "let _ = result;\n        Ok(())"),
    };
    writeln!(code, "    /// `{}` of the kernel's object interface.", method.name)?;
    writeln!(code, "    #[allow(clippy::too_many_arguments, reason = \"the kernel's own signature\")]")?;
    writeln!(code, "    pub fn {}(self{arguments}) -> Result<{result}, Error> {{", snake(&method.name))?;
    let caps = caps.join(", ");
    match context {
        Some(context) => {
            writeln!(code, "        let mut words = [0; {} + {context_words}];", words.len())?;
            writeln!(code, "        let (head, tail) = words.split_at_mut({});", words.len())?;
            writeln!(code, "        head.copy_from_slice(&[{}]);", words.join(", "))?;
            writeln!(code, "        tail.copy_from_slice(&{context}.0);")?;
            writeln!(code, "        let result = invoke(self.pointer(), {label}, &words, &[{caps}])?;")?;
        }
        None => writeln!(
            code,
            "        let result = invoke(self.pointer(), {label}, &[{}], &[{caps}])?;",
            words.join(", ")
        )?,
    }
    writeln!(code, "        {value}")?;
    writeln!(code, "    }}")?;
    Ok(())
}
