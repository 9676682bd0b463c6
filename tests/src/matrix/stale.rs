//! What keeps an outcome from telling of this tree: outcomes are kept while the programs, the scenes
//! and the table go on. Values in, values out: whoever asks says which versions are older.

use std::collections::BTreeSet;

use shared::offsets::FieldSet;

use super::kernels::Kernel;
use super::kernels::Matrix;
use super::outcome::Outcome;

/// All that the table asks of a kernel but the number of runs, as a text that is only ever compared.
#[must_use]
pub fn asked(fields: FieldSet, kernel: &Kernel) -> String {
    format!("{fields:?} of {kernel:?}")
}

/// Why an outcome does not tell of this tree, in a few words each; none means that it does.
/// `older` are the versions in which what is tried was not what it is now.
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
        said.push(format!("tried with {version}, which is no commit"));
    } else if older.contains(version) {
        said.push(format!(
            "tried with {version}, and what is tried is another now"
        ));
    }
    if outcome.asked != asked(matrix.fields, kernel) {
        said.push("not known to be of the table as it is now".into());
    }
    let runs = outcome.idle.total.min(outcome.storm.total);
    if runs < matrix.runs as usize {
        said.push(format!("{runs} runs in a state instead of {}", matrix.runs));
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

    fn told(table: &str, outcome: &Outcome) -> Vec<String> {
        let matrix = Matrix::parse(table).unwrap();
        let older = BTreeSet::from(["old".to_owned()]);
        stale(&matrix, &matrix.kernels[0], outcome, &older)
    }

    #[test]
    fn what_is_of_this_tree_is_not_stale() {
        let outcome = outcome(&Matrix::parse(TABLE).unwrap());
        assert_eq!(told(TABLE, &outcome), Vec::<String>::new());
        let fewer = TABLE.replace("runs = 2", "runs = 1");
        assert_eq!(told(&fewer, &outcome), Vec::<String>::new());
        // What is asked of another kernel.
        let other = TABLE[TABLE.find("[[kernel]]").unwrap()..].replace("'k'", "'l'");
        assert_eq!(
            told(&format!("{TABLE}{other}"), &outcome),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_way_to_be_stale_is_told() {
        let good = outcome(&Matrix::parse(TABLE).unwrap());
        let of = |version: &str| Outcome {
            sextant: version.into(),
            ..good.clone()
        };
        assert_eq!(
            told(TABLE, &of("old")),
            ["tried with old, and what is tried is another now"]
        );
        assert_eq!(
            told(TABLE, &of("abc-dirty")),
            ["tried with abc-dirty, which is no commit"]
        );
        let more = TABLE.replace("runs = 2", "runs = 3");
        assert_eq!(told(&more, &good), ["2 runs in a state instead of 3"]);
        for other in [
            TABLE.replace("'conntrack'", "'all'"),
            format!("{TABLE}smp = 1"),
            format!("{TABLE}missing = [{{ fields = ['nf_conn.mark'], because = 'x' }}]"),
            format!("{TABLE}[[kernel.condition]]\nname = 'c'\nexit = 0"),
        ] {
            assert_eq!(
                told(&other, &good),
                ["not known to be of the table as it is now"],
                "{other}"
            );
        }
    }
}
