//! The same test on another kernel, in a guest.

use std::path::Path;

use super::visible::Source;
use crate::guest::Guest;
use crate::matrix::kernels::Matrix;

/// What the differential test said in a guest.
#[derive(Debug)]
pub struct Said {
    /// Its lines.
    pub lines: Vec<String>,
    /// Its exit code.
    pub code: String,
}

/// What to run there.
#[derive(Debug, Clone)]
pub struct Task<'a> {
    /// A kernel of `tests/kernels.toml`.
    pub kernel: &'a str,
    /// The folder that `scripts/build --static` prints.
    pub programs: &'a Path,
    /// First seed.
    pub seed: u64,
    /// Number of seeds.
    pub runs: u64,
    /// Flows of each.
    pub flows: usize,
    /// Which source.
    pub source: Source,
    /// Names of kinds; all, if there are none.
    pub kinds: &'a [String],
}

/// Boots the kernel and runs the test there.
///
/// # Errors
/// If there is no such kernel, or the guest fails.
pub fn play(task: &Task<'_>) -> anyhow::Result<Said> {
    // A guest emulates its processors: what is a moment here takes a second there.
    const EXPIRY_S: u32 = 5;
    let matrix = Matrix::parse(include_str!("../../kernels.toml"))?;
    let kernels = matrix.select(&[task.kernel.to_owned()])?;
    let kernel = kernels[0].source.fetch(kernels[0].arch)?;
    let guest = Guest {
        tools: &["ip", "nft", "conntrack"],
        limit_s: 120 + task.runs as u32 * (60 + task.flows as u32),
        ..Guest::new(&kernel, task.programs)
    };
    let mut scene = format!(
        "differential.sh --alone --seed {} --runs {} --flows {} --source {} --jobs 4 --expiry {EXPIRY_S}",
        task.seed, task.runs, task.flows, task.source
    );
    if !task.kinds.is_empty() {
        scene.push_str(&format!(" --kinds {}", task.kinds.join(",")));
    }
    let output = guest.play(&scene)?;
    Ok(Said {
        lines: output.lines("said").to_vec(),
        code: output.one("exit")?.to_owned(),
    })
}
