//! Compiles C with the machine's compiler, as a user of `contrib/ring` would.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The top of the source tree.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compiles one file of C.
pub fn compile(source: &Path, program: &Path) {
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"])
        .arg(program)
        .arg(source)
        .arg("-I")
        .arg(repository().join("bpf/include"))
        .arg("-I")
        .arg(repository().join("contrib/ring"))
        .status()
        .expect("a C compiler is installed");
    assert!(status.success(), "{} does not compile", source.display());
}

/// Compiles the reader of `contrib/ring` into this folder.
pub fn ringcat(folder: &Path) -> PathBuf {
    let program = folder.join("ringcat");
    compile(&repository().join("contrib/ring/ringcat.c"), &program);
    program
}
