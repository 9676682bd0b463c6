//! Compiles `bpf/one_candidate.bpf.c` into the skeleton that the benchmark's baseline includes.

#[path = "../bpf/build.rs"]
mod bpf;

fn main() {
    bpf::skeleton("one_candidate");
}
