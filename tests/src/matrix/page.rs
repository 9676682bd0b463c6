//! Writes the page `docs/kernels.md` from the outcomes. The same outcomes make the same page.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::kernels::Arch;
use super::kernels::Kernel;
use super::kernels::Matrix;
use super::kernels::Source;
use super::outcome::FieldOutcome;
use super::outcome::Outcome;
use super::outcome::Tally;
use super::stale::stale;

const HEAD: &str = "\
# Kernels

Which fields `guesser --method guess` proves on which kernels, and where they are. Written by
`scripts/matrix --write` from the kernels in `tests/kernels.toml`. Edit that file, not this one.

A kernel is booted under emulation (`scripts/vm`), where everything takes longer than on hardware.
Each run is a process of its own: *idle* on a guest that does nothing else, *storm* beside two
processes that connect and close without pause. A run is complete if every field is proven, except
those with a reason below; it is **wrong** if one claimed offset is not the true one. The true
offsets come from `scripts/truth`, which is independent of guesser.
";

const OUTDATED: &str = "\
The results of these kernels are older than the programs, the scenes or the table.
";

/// Kernels that share a table.
struct Group {
    title: &'static str,
    holds: fn(&Kernel) -> bool,
}

const GROUPS: [Group; 3] = [
    Group {
        title: "Distribution kernels, amd64",
        holds: |kernel| packaged(kernel) && kernel.arch == Arch::Amd64,
    },
    Group {
        title: "Distribution kernels, arm64",
        holds: |kernel| packaged(kernel) && kernel.arch == Arch::Arm64,
    },
    Group {
        title: "Kernels built here, with layouts that no distribution ships",
        holds: |kernel| !packaged(kernel),
    },
];

fn packaged(kernel: &Kernel) -> bool {
    matches!(kernel.source, Source::Package { .. })
}

/// The page. It names kernels without an outcome. `older` are the versions whose programs or scenes differ
/// from this tree's.
#[must_use]
pub fn page(matrix: &Matrix, outcomes: &[Outcome], older: &BTreeSet<String>) -> String {
    let mut text = HEAD.to_owned();
    let mut reasons = Vec::new();
    for group in &GROUPS {
        let kernels = matrix.kernels.iter().filter(|kernel| (group.holds)(kernel));
        let tried: Vec<&Outcome> = kernels
            .filter_map(|kernel| find(outcomes, kernel))
            .collect();
        if !tried.is_empty() {
            text += &format!("\n## {}\n\n", group.title);
            text += &table_of_runs(&tried);
            text.push('\n');
            text += &table_of_fields(&tried, &mut reasons);
        }
    }
    if !reasons.is_empty() {
        text += "\n## Reasons\n\n";
        for (number, reason) in (1..).zip(&reasons) {
            text += &format!("{number}. {reason}\n");
        }
    }
    text += &conditions(matrix, outcomes);
    text += &departures(matrix, outcomes, older);
    text
}

fn find<'a>(outcomes: &'a [Outcome], kernel: &Kernel) -> Option<&'a Outcome> {
    outcomes
        .iter()
        .find(|outcome| outcome.kernel == kernel.name)
}

/// One row of a table, its cells escaped.
fn row<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> String {
    let mut line = String::from("|");
    for cell in cells {
        let cell = cell.as_ref().replace('|', "\\|");
        // Writing into a String cannot fail.
        let _ = write!(line, " {cell} |");
    }
    line + "\n"
}

fn head<S: AsRef<str>>(cells: &[S]) -> String {
    row(cells) + &row(cells.iter().map(|_| "---"))
}

fn table_of_runs(tried: &[&Outcome]) -> String {
    let mut table = head(&[
        "kernel",
        "release",
        "package",
        "idle: complete, wrong, of",
        "median",
        "storm: complete, wrong, of",
        "median",
        "Sextant",
    ]);
    for outcome in tried {
        table += &row([
            &outcome.kernel,
            &outcome.release,
            &outcome.taken,
            &counts(&outcome.idle),
            &median(&outcome.idle),
            &counts(&outcome.storm),
            &median(&outcome.storm),
            &outcome.sextant,
        ]);
    }
    table
}

fn counts(tally: &Tally) -> String {
    let wrong = match tally.wrong {
        0 => "0".into(),
        wrong => format!("**{wrong}**"),
    };
    format!("{}, {wrong}, {}", tally.complete, tally.total)
}

/// A tally's median time as text.
#[must_use]
pub fn median(tally: &Tally) -> String {
    tally
        .median_ms()
        .map_or("no run".into(), |ms| format!("{ms:.0} ms"))
}

fn table_of_fields(tried: &[&Outcome], reasons: &mut Vec<String>) -> String {
    let titles = tried.iter().map(|outcome| outcome.kernel.clone());
    let titles: Vec<String> = ["field".to_owned()].into_iter().chain(titles).collect();
    let mut table = head(&titles);
    // The set of fields may have grown since a kernel was tried.
    let mut paths: Vec<&str> = Vec::new();
    for outcome in tried {
        for field in &outcome.fields {
            if !paths.contains(&field.path.as_str()) {
                paths.push(&field.path);
            }
        }
    }
    for path in paths {
        let mut cells = vec![format!("`{path}`")];
        for outcome in tried {
            let field = outcome.fields.iter().find(|field| field.path == path);
            cells.push(field.map_or("not requested".into(), |field| {
                cell(field, outcome.runs(), reasons)
            }));
        }
        table += &row(cells);
    }
    table
}

fn cell(field: &FieldOutcome, runs: usize, reasons: &mut Vec<String>) -> String {
    let place = field
        .offset
        .map_or("absent".into(), |offset| offset.to_string());
    match &field.reason {
        Some(reason) => {
            let at = reasons.iter().position(|known| known == reason);
            let at = at.unwrap_or_else(|| {
                reasons.push(reason.clone());
                reasons.len() - 1
            });
            let how = match (field.offset, field.proven) {
                (None, _) => String::new(),
                (Some(_), 0) => ", not proven".into(),
                (Some(_), proven) => format!(" in {proven} of {runs}"),
            };
            format!("{place}{how} [{}]", at + 1)
        }
        None if field.proven == runs => place,
        None => format!("{place} in {} of {runs}", field.proven),
    }
}

fn conditions(matrix: &Matrix, outcomes: &[Outcome]) -> String {
    let mut table = String::new();
    for outcome in matrix
        .kernels
        .iter()
        .filter_map(|kernel| find(outcomes, kernel))
    {
        for condition in &outcome.conditions {
            let exit = condition
                .exit
                .map_or("none".into(), |code| code.to_string());
            let said = match condition.said.as_str() {
                "" => String::new(),
                said => format!("`{said}`"),
            };
            table += &row([
                outcome.kernel.as_str(),
                &condition.name,
                &exit,
                &format!("{} ms", condition.wall_us / 1_000),
                &said,
            ]);
        }
    }
    if table.is_empty() {
        return table;
    }
    let limit_s = matrix.condition_limit_ms as f64 / 1e3;
    format!(
        "\n## Conditions\n\nHow guesser ends where something is forbidden or missing. No run may \
         take longer than {limit_s} s.\n\n{}{table}",
        head(&["kernel", "condition", "exit", "time", "says"])
    )
}

/// What is not as expected, out of date, or without an outcome.
fn departures(matrix: &Matrix, outcomes: &[Outcome], older: &BTreeSet<String>) -> String {
    let (mut unexpected, mut outdated) = (String::new(), String::new());
    let mut without = Vec::new();
    for kernel in &matrix.kernels {
        let name = kernel.name.as_str();
        let Some(outcome) = find(outcomes, kernel) else {
            without.push(name);
            continue;
        };
        for words in outcome.unexpected() {
            unexpected += &format!("- {name}: {words}\n");
        }
        let reasons = stale(matrix, kernel, outcome, older);
        if !reasons.is_empty() {
            outdated += &format!("- {name}: {}\n", reasons.join("; "));
        }
    }
    let mut text = String::new();
    if !unexpected.is_empty() {
        text += &format!("\n## Not as expected\n\n{unexpected}");
    }
    if !outdated.is_empty() {
        text += &format!("\n## Out of date\n\n{OUTDATED}\n{outdated}");
    }
    if !without.is_empty() {
        text += &format!("\nWithout a result: {}.\n", without.join(", "));
    }
    text
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
