//! Compiles `bpf/conntrack.bpf.c` and generates its skeleton.

#[path = "../../bpf/build.rs"]
mod bpf;

fn main() {
    bpf::skeleton("conntrack");
}
