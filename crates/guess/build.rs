//! Compiles `bpf/guess.bpf.c` into the skeleton that `src/bpf/skel.rs` includes.

#[path = "../../bpf/build.rs"]
mod bpf;

fn main() {
    bpf::skeleton("guess");
}
