//! Generates the bindings for the kernel in the directory that `ZELKOVA_SEL4_PREFIX` names.
//!
//! Numbers come from the C compiler, which reads the kernel's own headers: a small C file makes it print every constant, size, offset
//! and invocation label that is wanted as a line of assembler.
//!
//! Invocations come from the kernel's XML files. The same method has other parameters in other kernels: some were added, some dropped,
//! some renamed, and some travel in words of another width. [`METHODS`] says which methods the platform uses and what it passes to them, by
//! name; what is generated takes exactly that, and packs the message as this kernel's description says. A parameter that this kernel wants and
//! the platform does not know is an error here, and one that this kernel does not know is dropped.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

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
    ("LABEL_IRQ_ACK", "IRQAckIRQ"),
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
    ("BOOT_INFO_IPC_BUFFER", "offsetof(seL4_BootInfo, ipcBuffer)"),
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

/// Constants that some kernels do not have, each with the identifier that tells whether this one does.
const OPTIONAL: &[(&str, &str, &str)] =
    &[("USER_CONTEXT_THREAD_ID", "tpidrurw", "offsetof(seL4_UserContext, tpidrurw) / 4")];

/// A method as the platform uses it.
struct Wanted {
    /// Interface in the kernel's description.
    interface: &'static str,
    /// Methods of it, of which the first that the kernel has is used.
    names: &'static [&'static str],
    /// Name of the function that is generated.
    function: &'static str,
    /// Its parameters: names in the kernels' descriptions, separated by `|`, of which the first is the function's; and Rust type.
    parameters: &'static [(&'static str, &'static str)],
    /// What the function does.
    doc: &'static str,
}

const fn wanted(
    interface: &'static str,
    names: &'static [&'static str],
    function: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    doc: &'static str,
) -> Wanted {
    Wanted { interface, names, function, parameters, doc }
}

const SPACE: (&str, &str) = ("vspace|pd|vroot|vspace_root", "Cap<PageDirectory>");
const RANGE: &[(&str, &str)] = &[("start", "u32"), ("end", "u32")];
const PLACE: &[(&str, &str)] = &[("index", "u32"), ("depth", "u8")];

/// The methods that the platform uses.
const METHODS: &[Wanted] = &[
    wanted(
        "seL4_Untyped",
        &["Retype"],
        "retype",
        &[
            ("kind|type", "u32"),
            ("size_bits", "u32"),
            ("root", "Cap<CNode>"),
            ("node_index", "u32"),
            ("node_depth", "u32"),
            ("node_offset", "u32"),
            ("num_objects", "u32"),
        ],
        "Makes objects from untyped memory.",
    ),
    wanted(
        "seL4_TCB",
        &["ReadRegisters"],
        "read_registers",
        &[("suspend_source", "bool"), ("arch_flags", "u8"), ("count", "u32")],
        "Reads a thread's registers.",
    ),
    wanted(
        "seL4_TCB",
        &["WriteRegisters"],
        "write_registers",
        &[("resume_target", "bool"), ("arch_flags", "u8"), ("count", "u32"), ("regs", "&UserContext")],
        "Writes a thread's registers.",
    ),
    // Kernels up to 5.x set the priority here too; it is set by `set_priority` for all of them.
    wanted(
        "seL4_TCB",
        &["Configure"],
        "configure",
        &[
            ("fault_ep", "u32"),
            ("cspace_root", "Cap<CNode>"),
            ("cspace_root_data", "u32"),
            SPACE,
            ("vspace_root_data", "u32"),
            ("buffer", "u32"),
            ("buffer_frame|bufferFrame", "Cap<Page>"),
            ("priority", "u32"),
        ],
        "Gives a thread its spaces and its IPC buffer.",
    ),
    wanted(
        "seL4_TCB",
        &["SetPriority"],
        "set_priority",
        &[("authority", "Cap<Tcb>"), ("priority", "u8")],
        "Sets a thread's priority, at most the authority's greatest.",
    ),
    wanted(
        "seL4_TCB",
        &["SetSpace"],
        "set_space",
        &[
            ("fault_ep", "u32"),
            ("cspace_root", "Cap<CNode>"),
            ("cspace_root_data", "u32"),
            SPACE,
            ("vspace_root_data", "u32"),
        ],
        "Gives a thread its spaces.",
    ),
    wanted("seL4_TCB", &["Suspend"], "suspend", &[], "Stops a thread."),
    wanted("seL4_TCB", &["Resume"], "resume", &[], "Lets a thread go on."),
    wanted(
        "seL4_TCB",
        &["BindNotification"],
        "bind_notification",
        &[("notification", "Cap<Notification>")],
        "Lets a thread that waits for messages receive signals too.",
    ),
    wanted("seL4_CNode", &["Revoke"], "revoke", PLACE, "Destroys everything derived from the capability in a slot."),
    wanted("seL4_CNode", &["Delete"], "delete", PLACE, "Empties a slot."),
    wanted(
        "seL4_CNode",
        &["CancelBadgedSends"],
        "cancel_badged_sends",
        PLACE,
        "Lets messages fail that wait to be received with the badge of the capability in a slot.",
    ),
    wanted("seL4_CNode", &["SaveCaller"], "save_caller", PLACE, "Moves the right to answer the last caller to a slot."),
    wanted(
        "seL4_CNode",
        &["Copy"],
        "copy",
        &[
            ("dest_index", "u32"),
            ("dest_depth", "u8"),
            ("src_root", "Cap<CNode>"),
            ("src_index", "u32"),
            ("src_depth", "u8"),
            ("rights", "u32"),
        ],
        "Copies a capability.",
    ),
    wanted(
        "seL4_CNode",
        &["Mint"],
        "mint",
        &[
            ("dest_index", "u32"),
            ("dest_depth", "u8"),
            ("src_root", "Cap<CNode>"),
            ("src_index", "u32"),
            ("src_depth", "u8"),
            ("rights", "u32"),
            ("badge", "u32"),
        ],
        "Copies a capability with a badge or guard.",
    ),
    wanted(
        "seL4_CNode",
        &["Move"],
        "move_to",
        &[
            ("dest_index", "u32"),
            ("dest_depth", "u8"),
            ("src_root", "Cap<CNode>"),
            ("src_index", "u32"),
            ("src_depth", "u8"),
        ],
        "Moves a capability.",
    ),
    wanted(
        "seL4_CNode",
        &["Mutate"],
        "mutate",
        &[
            ("dest_index", "u32"),
            ("dest_depth", "u8"),
            ("src_root", "Cap<CNode>"),
            ("src_index", "u32"),
            ("src_depth", "u8"),
            ("badge", "u32"),
        ],
        "Moves a capability and gives it a badge or guard.",
    ),
    // Kernels without the first leave the trigger as the interrupt controller has it.
    wanted(
        "seL4_IRQControl",
        &["GetTrigger", "Get"],
        "get",
        &[("irq", "u32"), ("trigger", "u32"), ("root", "Cap<CNode>"), ("index", "u32"), ("depth", "u8")],
        "Makes the handler of an interrupt; the trigger is 0 for level and 1 for edge.",
    ),
    wanted("seL4_IRQHandler", &["Ack"], "ack", &[], "Lets an interrupt happen again."),
    wanted(
        "seL4_IRQHandler",
        &["SetNotification"],
        "set_notification",
        &[("notification", "Cap<Notification>")],
        "Sets what an interrupt signals.",
    ),
    wanted(
        "seL4_ARM_Page",
        &["Map"],
        "map",
        &[SPACE, ("vaddr", "u32"), ("rights", "u32"), ("attr", "u32")],
        "Maps a frame.",
    ),
    wanted("seL4_ARM_Page", &["Unmap"], "unmap", &[], "Takes a frame's mapping away."),
    wanted(
        "seL4_ARM_PageTable",
        &["Map"],
        "map",
        &[SPACE, ("vaddr", "u32"), ("attr", "u32")],
        "Puts a second-level translation table in its place.",
    ),
    wanted("seL4_ARM_PageDirectory", &["Clean_Data"], "clean_data", RANGE, "Cleans the data cache."),
    wanted("seL4_ARM_PageDirectory", &["Invalidate_Data"], "invalidate_data", RANGE, "Invalidates the data cache."),
    wanted(
        "seL4_ARM_PageDirectory",
        &["CleanInvalidate_Data"],
        "clean_invalidate_data",
        RANGE,
        "Cleans and invalidates the data cache.",
    ),
    wanted("seL4_ARM_ASIDPool", &["Assign"], "assign", &[SPACE], "Gives a page directory an address space identifier."),
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
    let methods = read_methods(&include)?;
    let numbers = Headers { include: &include, out: &out }.probe(&methods)?;
    let mut constants = String::new();
    let doc = "/// From the kernel's headers.";
    for (name, _) in CONSTANTS {
        writeln!(constants, "{doc}\npub const {name}: u32 = {};", numbers.get(name)? as u32)?;
    }
    for (name, ..) in OPTIONAL {
        let value = numbers.find(name).map(|value| value as u32);
        writeln!(constants, "{doc}\npub const {name}: Option<u32> = {value:?};")?;
    }
    fs::write(out.join("constants.rs"), constants)?;
    let words = numbers.get("USER_CONTEXT_WORDS")? as usize;
    fs::write(out.join("invocations.rs"), invocations(&methods, &numbers, words)?)?;
    fs::write(out.join("data.rs"), cap_data(&numbers)?)?;
    Ok(())
}

/// A method in the kernel's description. One that depends on the configuration is there once for each condition.
struct Method {
    interface: String,
    /// Name of its label.
    id: String,
    name: String,
    /// When this kernel has it, as a C expression; empty: always.
    condition: String,
    parameters: Vec<Parameter>,
}

struct Parameter {
    name: String,
    kind: String,
    output: bool,
}

fn read_methods(include: &Path) -> Result<Vec<Method>> {
    let mut methods = Vec::new();
    for file in ["object-api.xml", "object-api-sel4-arch.xml", "object-api-arch.xml"] {
        let path = include.join("interfaces").join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let xml = roxmltree::Document::parse_with_options(&text, options)
            .with_context(|| format!("{} is no XML", path.display()))?;
        for interface in xml.descendants().filter(|node| node.has_tag_name("interface")) {
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
                let interface = interface.attribute("name").unwrap_or_default().to_owned();
                methods.push(Method { interface, id: attribute("id"), name: attribute("name"), condition, parameters });
            }
        }
    }
    Ok(methods)
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

/// The kernel's headers, as the C compiler reads them.
struct Headers<'a> {
    include: &'a Path,
    out: &'a Path,
}

/// What the C compiler has printed.
struct Numbers(Vec<(String, i64)>);

impl Numbers {
    fn find(&self, name: &str) -> Option<i64> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    fn get(&self, name: &str) -> Result<i64> {
        self.find(name).with_context(|| format!("no {name}"))
    }
}

/// What the small C file begins with.
const INCLUDES: &str = "#define HAVE_AUTOCONF 1\n#include <stddef.h>\n#include <autoconf.h>\n#include <sel4/types.h>\n\
    #include <sel4/bootinfo_types.h>\n#include <sel4/invocation.h>\n#include <sel4/sel4_arch/invocation.h>\n\
    #include <sel4/arch/invocation.h>\n";

impl Headers<'_> {
    /// Lets the C compiler work on a text.
    fn compile(&self, mode: &[&str], source: &str) -> Result<String> {
        let file = self.out.join("probe.c");
        fs::write(&file, source)?;
        let result = Command::new("arm-none-eabi-gcc")
            .args(mode)
            .args(["-O2", "-mcpu=cortex-a9", "-w", "-o", "-"])
            .arg("-I")
            .arg(self.include)
            .arg(&file)
            .output()
            .context("cannot run arm-none-eabi-gcc (Debian package gcc-arm-none-eabi)")?;
        if !result.status.success() {
            bail!("the kernel's headers do not compile:\n{}", String::from_utf8_lossy(&result.stderr));
        }
        Ok(String::from_utf8_lossy(&result.stdout).into_owned())
    }

    /// All identifiers that the headers use or define.
    fn identifiers(&self) -> Result<HashSet<String>> {
        let text = self.compile(&["-E", "-P"], INCLUDES)?;
        let separators = |character: char| !character.is_ascii_alphanumeric() && character != '_';
        Ok(text.split(separators).map(String::from).collect())
    }

    /// Lets the C compiler print every number, and the label of each method that this kernel has as `METHOD_` and its index.
    fn probe(&self, methods: &[Method]) -> Result<Numbers> {
        let identifiers = self.identifiers()?;
        let mut source = String::from(INCLUDES);
        source.push_str("#define SHOW(name, value) __asm__ volatile(\"\\n@@ \" name \" %0\" :: \"i\"(value))\n");
        source.push_str("void show(void) {\n");
        for (name, expression) in CONSTANTS {
            writeln!(source, "SHOW(\"{name}\", {expression});")?;
        }
        for (name, identifier, expression) in OPTIONAL {
            if identifiers.contains(*identifier) {
                writeln!(source, "SHOW(\"{name}\", {expression});")?;
            }
        }
        for (index, method) in methods.iter().enumerate() {
            let show = format!("SHOW(\"METHOD_{index}\", {});", method.id);
            if !identifiers.contains(&method.id) {
                continue;
            }
            if method.condition.is_empty() {
                writeln!(source, "{show}")?;
            } else {
                writeln!(source, "#if {}\n{show}\n#endif", method.condition)?;
            }
        }
        // Older kernels pack guards and badges into one tagged word.
        let (guard, badge) = if identifiers.contains("seL4_CNode_CapData_new") {
            ("seL4_CNode_CapData_new", "1")
        } else {
            ("seL4_CapData_Guard_new", "seL4_CapData_Badge_new(1).words[0]")
        };
        writeln!(
            source,
            "SHOW(\"GUARD_NONE\", {guard}(0, 0).words[0]);\nSHOW(\"GUARD_SIZE_ONE\", {guard}(0, 1).words[0]);"
        )?;
        writeln!(source, "SHOW(\"BADGE_ONE\", {badge});\n}}")?;
        let mut numbers = Vec::new();
        for line in self.compile(&["-S"], &source)?.lines() {
            if let Some(("@@", rest)) = line.split_once(' ')
                && let Some((name, value)) = rest.split_once(' ')
            {
                let value = value.trim().trim_start_matches('#');
                numbers.push((name.to_owned(), value.parse().with_context(|| format!("{name} is {value}"))?));
            }
        }
        Ok(Numbers(numbers))
    }
}

/// Functions for guards and badges.
fn cap_data(numbers: &Numbers) -> Result<String> {
    let none = numbers.get("GUARD_NONE")? as u32;
    let step = (numbers.get("GUARD_SIZE_ONE")? as u32).wrapping_sub(none);
    ensure!(numbers.get("BADGE_ONE")? == 1, "badges of this kernel are no plain numbers");
    let tag = if none == 0 { String::new() } else { format!("{none:#x} + ") };
    Ok(format!(
        "/// Data for a CNode capability with a guard of `bits` zero bits.\n\
         pub const fn guard(bits: u32) -> u32 {{ {tag}bits * {step:#x} }}\n\
         /// Data for an endpoint or notification capability with a badge.\n\
         pub const fn badge(badge: u32) -> u32 {{ badge }}\n"
    ))
}

/// How a parameter travels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Travels {
    /// As so many bits of a message word.
    Bits(usize),
    /// As a capability.
    Cap,
    /// As all registers of a thread.
    Registers,
}

fn travels(kind: &str) -> Travels {
    match kind {
        "seL4_Uint8" => Travels::Bits(8),
        "seL4_Uint16" => Travels::Bits(16),
        "seL4_Bool" => Travels::Bits(1),
        "seL4_UserContext" => Travels::Registers,
        "seL4_CNode" | "seL4_TCB" | "seL4_Untyped" | "seL4_CPtr" => Travels::Cap,
        _ => Travels::Bits(32),
    }
}

/// The type of the bindings for an interface of the kernel.
fn object(interface: &str) -> Result<&'static str> {
    Ok(match interface {
        "seL4_Untyped" => "Untyped",
        "seL4_TCB" => "Tcb",
        "seL4_CNode" => "CNode",
        "seL4_IRQControl" => "IrqControl",
        "seL4_IRQHandler" => "IrqHandler",
        "seL4_ARM_Page" => "Page",
        "seL4_ARM_PageTable" => "PageTable",
        "seL4_ARM_PageDirectory" => "PageDirectory",
        "seL4_ARM_ASIDPool" => "AsidPool",
        other => bail!("no type for {other}"),
    })
}

fn invocations(methods: &[Method], numbers: &Numbers, context_words: usize) -> Result<String> {
    let mut code = String::new();
    for wanted in METHODS {
        let found = wanted.names.iter().find_map(|name| {
            let here = |(index, method): (usize, &Method)| {
                let label = numbers.find(&format!("METHOD_{index}"))?;
                (method.interface == wanted.interface && method.name == *name).then_some((index, label))
            };
            methods.iter().enumerate().find_map(here)
        });
        let (index, label) = found
            .with_context(|| format!("this kernel has no {} of {}", wanted.names.join(" or "), wanted.interface))?;
        let method = methods.get(index).context("index of a method")?;
        writeln!(code, "impl Cap<{}> {{", object(wanted.interface)?)?;
        write_method(&mut code, wanted, method, label, context_words)
            .with_context(|| format!("{} of {}", method.name, method.interface))?;
        writeln!(code, "}}")?;
    }
    Ok(code)
}

fn write_method(code: &mut String, wanted: &Wanted, method: &Method, label: i64, context_words: usize) -> Result<()> {
    let own_name = |names: &'static str| names.split('|').next().unwrap_or(names);
    let mut used = HashSet::new();
    let mut caps = Vec::new();
    let mut words: Vec<Vec<String>> = Vec::new();
    let mut context = None;
    let mut bit = 0usize;
    for parameter in method.parameters.iter().filter(|parameter| !parameter.output) {
        let known = wanted.parameters.iter().find(|(names, _)| names.split('|').any(|name| name == parameter.name));
        let (names, rust) = known.with_context(|| format!("its parameter `{}` is unknown here", parameter.name))?;
        let name = own_name(names);
        used.insert(name);
        match travels(&parameter.kind) {
            Travels::Registers => context = Some(name),
            Travels::Cap => {
                ensure!(rust.starts_with("Cap<"), "`{}` is a capability", parameter.name);
                caps.push(format!("{name}.pointer()"));
            }
            Travels::Bits(width) => {
                ensure!(!rust.starts_with("Cap<"), "`{}` is no capability", parameter.name);
                // Small values share a word, each aligned to its own width.
                bit = bit.next_multiple_of(width);
                if words.len() <= bit / 32 {
                    words.push(Vec::new());
                }
                let value = if *rust == "u32" { name.to_owned() } else { format!("u32::from({name})") };
                let value = if width == 32 { value } else { format!("({value} & {:#x})", (1u32 << width) - 1) };
                let value = if bit.is_multiple_of(32) { value } else { format!("{value} << {}", bit % 32) };
                words.last_mut().context("no word")?.push(value);
                bit += width;
            }
        }
    }
    let words: Vec<String> = words.into_iter().map(|parts| parts.join(" | ")).collect();
    let output = method.parameters.iter().find(|parameter| parameter.output);
    let (result, value) = match output.map(|parameter| parameter.kind.as_str()) {
        Some(kind) if kind.starts_with("seL4_UserContext") => ("UserContext", "Ok(UserContext::from_answer(result))"),
        Some(kind) => bail!("it returns {kind}"),
        None => ("()", "let _ = result;\n        Ok(())"),
    };
    let arguments = wanted.parameters.iter().fold(String::new(), |text, (names, rust)| {
        let name = own_name(names);
        let unused = if used.contains(name) { "" } else { "_" };
        format!("{text}, {unused}{name}: {rust}")
    });
    writeln!(code, "    /// {}", wanted.doc)?;
    writeln!(code, "    ///\n    /// The kernel's `{}`.", method.id)?;
    writeln!(code, "    #[allow(clippy::too_many_arguments, reason = \"the kernel's own signature\")]")?;
    writeln!(code, "    pub fn {}(self{arguments}) -> Result<{result}, Error> {{", wanted.function)?;
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
