//! Tests of the page: what it shows, in which order, and that it hides nothing.

use super::*;
use crate::matrix::condition::ConditionOutcome;
use crate::matrix::judge::Verdict;
use crate::matrix::stale::asked;

const KERNELS: &str = "
fields = 'conntrack'
runs = 1
short_runs = 1
condition_limit_ms = 2000
[[kernel]]
name = '6.12'
arch = 'amd64'
source = { suite = 'trixie', version = '6.12', flavour = 'cloud' }
[[kernel]]
name = 'nonetns'
arch = 'amd64'
source = { config = 'nonetns', version = '6.12' }
[[kernel]]
name = '7.2 arm64'
arch = 'arm64'
source = { suite = 'forky', version = '7.2', flavour = 'full' }
";

fn outcome(kernel: &str, fields: &[(&str, Option<u32>, Option<&str>, usize)]) -> Outcome {
    let field =
        |(path, offset, reason, proven): &(&str, Option<u32>, Option<&str>, usize)| FieldOutcome {
            path: (*path).into(),
            offset: *offset,
            reason: reason.map(Into::into),
            proven: *proven,
        };
    let matrix = Matrix::parse(KERNELS).unwrap();
    let row = matrix.kernels.iter().find(|row| row.name == kernel);
    Outcome {
        kernel: kernel.into(),
        release: "6.12.1-amd64".into(),
        taken: "6.12.1-1".into(),
        sextant: "abc1234".into(),
        asked: asked(matrix.fields, row.unwrap()),
        fields: fields.iter().map(field).collect(),
        idle: Tally::of(&[(40_000, Verdict::default())]),
        storm: Tally::of(&[(90_000, Verdict::default())]),
        storm_connections: 250,
        conditions: Vec::new(),
    }
}

#[test]
fn rows_are_fields_and_a_cell_is_an_offset_or_a_reason() {
    let matrix = Matrix::parse(KERNELS).unwrap();
    let mut first = outcome(
        "6.12",
        &[
            ("nf_conn.mark", Some(168), None, 2),
            ("socket.sk", Some(24), None, 1),
        ],
    );
    first.conditions.push(ConditionOutcome {
        name: "no bpf".into(),
        exit: Some(4),
        said: "guesser: a | b".into(),
        wall_us: 81_000,
        unexpected: Vec::new(),
    });
    let second = outcome(
        "nonetns",
        &[
            ("nf_conn.mark", Some(160), Some("two look alike"), 0),
            ("nf_conn.ct_net", None, Some("no namespaces"), 0),
            ("nf_conn.zone", Some(12), Some("two look alike"), 1),
        ],
    );
    // In whatever order they come.
    let text = page(&matrix, &[second, first], &BTreeSet::new());
    for line in [
        "| 6.12 | 6.12.1-amd64 | 6.12.1-1 | 1, 0, 1 | 40 ms | 1, 0, 1 | 90 ms | abc1234 |",
        "| `nf_conn.mark` | 168 |",
        "| `socket.sk` | 24 in 1 of 2 |",
        "| `nf_conn.mark` | 160, not proven [1] |",
        "| `nf_conn.ct_net` | absent [2] |",
        "| `nf_conn.zone` | 12 in 1 of 2 [1] |",
        "1. two look alike",
        "2. no namespaces",
        "| 6.12 | no bpf | 4 | 81 ms | `guesser: a \\| b` |",
        "Without a result: 7.2 arm64.",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    let unexpected = "- nonetns: nf_conn.zone is proven in 1 of 2 runs, despite: two look alike";
    assert!(text.ends_with(&format!(
        "## Not as expected\n\n{unexpected}\n\nWithout a result: 7.2 arm64.\n"
    )));
    assert!(text.find("amd64\n") < text.find("built here"));
}

#[test]
fn what_is_wrong_is_not_hidden() {
    let matrix = Matrix::parse(KERNELS).unwrap();
    let mut bad = outcome("6.12", &[]);
    let wrong = Verdict {
        wrong: vec!["nf_conn.mark: proven at 8, is at 168".into()],
        ..Verdict::default()
    };
    bad.storm = Tally::of(&[(1_000, wrong)]);
    let text = page(&matrix, &[bad], &BTreeSet::new());
    assert!(text.contains("0, **1**, 1"), "{text}");
    assert!(text.contains("- 6.12: storm: nf_conn.mark: proven at 8, is at 168 (1 of 1 runs)"));
}

#[test]
fn results_of_another_tree_are_listed() {
    let matrix = Matrix::parse(KERNELS).unwrap();
    let current = outcome("nonetns", &[]);
    let mut old = outcome("6.12", &[]);
    old.sextant = "old1234".into();
    old.idle = Tally::default();
    let older = BTreeSet::from(["old1234".to_owned()]);
    let text = page(&matrix, &[old, current], &older);
    let (_, section) = text.split_once("## Out of date\n").unwrap();
    let rows: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with('-'))
        .collect();
    let words = "tried with old1234; the programs or scenes have changed since; 0 runs per state instead of 1";
    assert_eq!(rows, [format!("- 6.12: {words}")]);
}
