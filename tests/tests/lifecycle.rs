//! The bench of conntrack's BPF programs, `lifecycle`: here, on the short set of `tests/kernels.toml`, and, if asked
//! for by name, on every kernel of it (`scripts/lifecycle`).

use std::env;
use std::path::Path;
use std::process::Command;

use scenes::guest::Guest;
use scenes::matrix::kernels::Arch;
use scenes::matrix::kernels::Kernel;
use scenes::matrix::kernels::Matrix;

fn matrix() -> Matrix {
    Matrix::parse(include_str!("../kernels.toml")).expect("data that makes sense")
}

/// Boots a kernel and runs every case there; returns the release and what the bench said last.
fn play(kernel: &Kernel) -> anyhow::Result<String> {
    let variable = match kernel.arch {
        Arch::Amd64 => "SEXTANT_STATIC_DIR",
        Arch::Arm64 => "SEXTANT_STATIC_DIR_ARM64",
    };
    let programs = env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} names the folder that scripts/build --static prints")
    });
    let folder = kernel.source.fetch(kernel.arch)?;
    let guest = Guest {
        smp: kernel.smp,
        limit_s: 300,
        ..Guest::new(&folder, Path::new(&programs))
    };
    let output = guest.play("lifecycle.sh")?;
    let said = output.lines("said");
    anyhow::ensure!(output.one("exit")? == "0", "{said:#?}");
    let last = said.last().map_or("", String::as_str);
    Ok(format!("{}: {last}", output.one("kernel")?))
}

#[test]
fn every_case_holds_here() {
    let output = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
        .output()
        .expect("the bench starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{error}");
}

fn check(name: &str) {
    let matrix = matrix();
    let kernels = matrix.select(&[name.to_owned()]).expect("a kernel");
    play(kernels[0]).expect("every case holds");
}

#[test]
fn guest_every_case_holds_on_5_10() {
    check("5.10");
}

#[test]
fn guest_every_case_holds_on_6_12() {
    check("6.12");
}

#[test]
#[ignore = "takes minutes: scripts/lifecycle runs it"]
fn guest_every_case_holds_on_the_named_kernels() {
    let names = env::var("SEXTANT_KERNELS").unwrap_or_default();
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let matrix = matrix();
    let mut failed = Vec::new();
    for kernel in matrix.select(&names).expect("kernels of the table") {
        match play(kernel) {
            Ok(said) => println!("{}: {said}", kernel.name),
            Err(error) => {
                println!("{}: {error:#}", kernel.name);
                failed.push(&kernel.name);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
