//! Numbers of the kernel.
#![allow(clippy::unreadable_literal, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/constants.rs"));
include!(concat!(env!("OUT_DIR"), "/data.rs"));

const _: () = {
    assert!(IPC_BUFFER_BYTES as usize == size_of::<abi::IpcBuffer>());
    assert!(IPC_BUFFER_WORDS as usize == core::mem::offset_of!(abi::IpcBuffer, words));
    assert!(IPC_BUFFER_CAPS as usize == core::mem::offset_of!(abi::IpcBuffer, caps));
    assert!(IPC_BUFFER_RECEIVE as usize == core::mem::offset_of!(abi::IpcBuffer, receive_cnode));
    assert!(INFO_LABEL_SHIFT == 12 && INFO_UNWRAPPED_SHIFT == 9 && INFO_CAPS_SHIFT == 7 && INFO_LENGTH_SHIFT == 0);
};
