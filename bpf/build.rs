//! How a crate's build script turns `bpf/NAME.bpf.c` into a skeleton in `OUT_DIR`.
//! Included with `#[path]` by each build script, so that the flags are stated once.

use std::env;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

/// Compiles `bpf/NAME.bpf.c` against UAPI headers only and writes `OUT_DIR/NAME.skel.rs`, with the
/// object it was made from beside it as `OUT_DIR/NAME.bpf.o`.
pub fn skeleton(name: &str) {
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let mut above = package.ancestors().map(|folder| folder.join("bpf"));
    let bpf = above.find(|bpf| bpf.join("build.rs").is_file());
    let bpf = bpf.expect("this file lies in bpf/ above every package that includes it");
    let out = PathBuf::from(variable("OUT_DIR"));
    let arch = variable("CARGO_CFG_TARGET_ARCH");
    // Name of the architecture in libbpf's headers, and in the path of its kernel headers.
    let (target, triplet) = match arch.as_str() {
        "x86_64" => ("x86", "x86_64-linux-gnu"),
        "aarch64" => ("arm64", "aarch64-linux-gnu"),
        other => panic!("no BPF headers are known for {other}"),
    };
    SkeletonBuilder::new()
        .source(bpf.join(format!("{name}.bpf.c")))
        .obj(out.join(format!("{name}.bpf.o")))
        .clang_args([
            format!("-I{}", bpf.join("include").display()),
            format!("-I/usr/include/{triplet}"),
            format!("-D__TARGET_ARCH_{target}"),
            "-Wall".into(),
            "-Werror".into(),
        ])
        .build_and_generate(out.join(format!("{name}.skel.rs")))
        .unwrap_or_else(|error| panic!("bpf/{name}.bpf.c: {error:#}"));
    println!("cargo:rerun-if-changed={}", bpf.display());
}
