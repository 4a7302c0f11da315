//! The init component: see the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

component::entry!(zelkova_init::run);
