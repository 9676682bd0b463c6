//! Compiles the BPF objects that only tests and benchmarks load into the skeletons that they include.

#[path = "../bpf/build.rs"]
mod bpf;

fn main() {
    bpf::skeleton("one_candidate");
    bpf::skeleton("lifecycle");
}
