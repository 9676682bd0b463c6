//! The skeleton that libbpf-cargo generates from `bpf/conntrack.bpf.c`, and nothing else.
#![expect(
    unsafe_code,
    clippy::allow_attributes_without_reason,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/conntrack.skel.rs"));
