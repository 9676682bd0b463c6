//! Compiles `bpf/kcheck.bpf.c` into the object that `src/bpf/mod.rs` includes.

#[path = "../../bpf/build.rs"]
mod bpf;

fn main() {
    bpf::skeleton("kcheck");
}
