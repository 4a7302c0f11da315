//! Triple timer counter driver and Timer server.
