//! `circles`: names the files of a crate that import each other in a circle. `scripts/tidy` runs it.

mod arrows;
mod token;
mod tree;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use arrows::Arrows;

/// Arguments: folders with sources of a crate (`crates/kcheck/src`). Prints each circle: its files, each
/// behind it the files of the circle that it uses and by which names.
///
/// Exit: 0 no circle · 1 some · 2 no folder is named · 3 a file cannot be read.
fn main() -> ExitCode {
    let folders: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let mut out = io::stdout().lock();
    let found = match folders.is_empty() {
        true => return ExitCode::from(2),
        false => folders.iter().map(|folder| print_circles(folder, &mut out)),
    };
    match found.sum::<io::Result<usize>>() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "circles: {error}");
            ExitCode::from(3)
        }
    }
}

/// Prints the circles of all crates in a folder; how many there are.
fn print_circles(folder: &Path, out: &mut impl io::Write) -> io::Result<usize> {
    let mut count = 0;
    for root in roots(folder)? {
        let arrows = arrows::arrows(&tree::read(&root)?);
        for circle in arrows::circles(&arrows) {
            count += 1;
            print_circle(&arrows, &circle, out)?;
        }
    }
    Ok(count)
}

fn print_circle(
    arrows: &Arrows,
    circle: &BTreeSet<PathBuf>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    writeln!(out, "circle of {} files", circle.len())?;
    for file in circle {
        for (other, names) in arrows[file]
            .iter()
            .filter(|(other, _)| circle.contains(*other))
        {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (file, other) = (file.display(), other.display());
            writeln!(out, "    {file} -> {other}: {}", names.join(", "))?;
        }
    }
    Ok(())
}

/// The root files in a folder: of the library, of the program, and of those in `bin`.
fn roots(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut roots = vec![folder.join("lib.rs"), folder.join("main.rs")];
    if let Ok(entries) = fs::read_dir(folder.join("bin")) {
        for entry in entries {
            let path = entry?.path();
            roots.push(if path.is_dir() {
                path.join("main.rs")
            } else {
                path
            });
        }
    }
    roots.retain(|root| root.is_file());
    roots.sort();
    match roots.is_empty() {
        true => Err(io::Error::other(format!("{}: no crate", folder.display()))),
        false => Ok(roots),
    }
}
