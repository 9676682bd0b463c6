//! Which results are out of date: they are stored while the programs, the scenes and the table change.
//! Values in, values out; the caller knows which versions are older.

use std::collections::BTreeSet;

use shared::offsets::FieldSet;

use super::kernels::Kernel;
use super::kernels::Matrix;
use super::outcome::Outcome;

/// What the table requests of a kernel, without the number of runs, as a text to compare.
#[must_use]
pub fn asked(fields: FieldSet, kernel: &Kernel) -> String {
    format!("{fields:?} of {kernel:?}")
}

/// Why an outcome is out of date, in a few words each; none if it is not. `older` are the versions
/// whose programs or scenes differ from this tree's.
#[must_use]
pub fn stale(
    matrix: &Matrix,
    kernel: &Kernel,
    outcome: &Outcome,
    older: &BTreeSet<String>,
) -> Vec<String> {
    let mut said = Vec::new();
    let version = &outcome.sextant;
    if version.ends_with("-dirty") {
        said.push(format!("tried with {version}, which is not a commit"));
    } else if older.contains(version) {
        said.push(format!(
            "tried with {version}; the programs or scenes have changed since"
        ));
    }
    if outcome.asked != asked(matrix.fields, kernel) {
        said.push("the table has changed since".into());
    }
    let runs = outcome.idle.total.min(outcome.storm.total);
    if runs < matrix.runs as usize {
        said.push(format!("{runs} runs per state instead of {}", matrix.runs));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::judge::Verdict;
    use crate::matrix::outcome::Tally;

    const TABLE: &str = "
fields = 'conntrack'
runs = 2
short_runs = 1
condition_limit_ms = 2000
[[kernel]]
name = 'k'
arch = 'amd64'
source = { config = 'plain', version = '6.12' }
";

    fn outcome(matrix: &Matrix) -> Outcome {
        let runs = || [(1, Verdict::default()), (2, Verdict::default())];
        Outcome {
            kernel: "k".into(),
            release: "6".into(),
            taken: "6-1".into(),
            sextant: "abc".into(),
            asked: asked(matrix.fields, &matrix.kernels[0]),
            fields: Vec::new(),
            idle: Tally::of(&runs()),
            storm: Tally::of(&runs()),
            storm_connections: 20,
            conditions: Vec::new(),
        }
    }

    fn reasons(table: &str, outcome: &Outcome) -> Vec<String> {
        let matrix = Matrix::parse(table).unwrap();
        let older = BTreeSet::from(["old".to_owned()]);
        stale(&matrix, &matrix.kernels[0], outcome, &older)
    }

    #[test]
    fn a_result_of_this_tree_is_not_stale() {
        let outcome = outcome(&Matrix::parse(TABLE).unwrap());
        assert_eq!(reasons(TABLE, &outcome), Vec::<String>::new());
        let fewer = TABLE.replace("runs = 2", "runs = 1");
        assert_eq!(reasons(&fewer, &outcome), Vec::<String>::new());
        // Another kernel in the table changes nothing.
        let other = TABLE[TABLE.find("[[kernel]]").unwrap()..].replace("'k'", "'l'");
        assert_eq!(
            reasons(&format!("{TABLE}{other}"), &outcome),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_way_to_be_stale_is_reported() {
        let good = outcome(&Matrix::parse(TABLE).unwrap());
        let of = |version: &str| Outcome {
            sextant: version.into(),
            ..good.clone()
        };
        assert_eq!(
            reasons(TABLE, &of("old")),
            ["tried with old; the programs or scenes have changed since"]
        );
        assert_eq!(
            reasons(TABLE, &of("abc-dirty")),
            ["tried with abc-dirty, which is not a commit"]
        );
        let more = TABLE.replace("runs = 2", "runs = 3");
        assert_eq!(reasons(&more, &good), ["2 runs per state instead of 3"]);
        for other in [
            TABLE.replace("'conntrack'", "'all'"),
            format!("{TABLE}smp = 1"),
            format!("{TABLE}missing = [{{ fields = ['nf_conn.mark'], because = 'x' }}]"),
            format!("{TABLE}[[kernel.condition]]\nname = 'c'\nexit = 0"),
        ] {
            assert_eq!(
                reasons(&other, &good),
                ["the table has changed since"],
                "{other}"
            );
        }
    }
}
