//! A capture: everything that the solver was given in one run, so that the same search can be made
//! again anywhere, without privilege and without that kernel. `form` is how it is written and what a
//! reader refuses. It holds kernel memory: it goes to files of mode 0600, and never into a log.

mod form;

use std::fs;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;
use bincode::Decode;
use bincode::Encode;
use shared::kernel::KernelIdentity;
use shared::offsets::Field;

use crate::place_file;
use guess::attempt::Attempt;
use guess::fields::Place;
use guess::solve::sample::Sample;
use guess::solve::verdict::Finding;

pub use form::MAX_CAPTURE_BYTES;
pub use form::decode;
pub use form::encode;

/// What one run saw.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Capture {
    /// The kernel that was looked at.
    pub kernel: KernelIdentity,
    /// How its machine lays out a number in memory.
    machine: Machine,
    /// The fields that were asked for.
    fields: Vec<Place>,
    /// The samples of each round, in the order in which the solver saw them.
    rounds: Vec<Vec<Sample>>,
    /// What the solver proved and fresh connections did not confirm, and why.
    withdrawn: Vec<(Place, String)>,
}

/// What decides what bytes of memory mean. Samples of another kind of machine are not solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct Machine {
    big_endian: bool,
    pointer_bytes: u8,
}

impl Machine {
    const HERE: Self = Self {
        big_endian: cfg!(target_endian = "big"),
        pointer_bytes: size_of::<usize>() as u8,
    };
}

impl Capture {
    /// What a search was given that kept its samples, and what became of it in the end.
    #[must_use]
    pub fn of(kernel: &KernelIdentity, attempt: Attempt, findings: &[Finding]) -> Self {
        let solver = &attempt.solver;
        let lost = |finding: &&Finding| {
            finding.offset().is_none() && solver.proven(finding.field.into()).is_some()
        };
        let why = |finding: &Finding| finding.reason.clone().unwrap_or_default();
        let withdrawn = findings.iter().filter(lost);
        let withdrawn = withdrawn.map(|finding| (finding.field.into(), why(finding)));
        let withdrawn = withdrawn.collect();
        let fields = solver.fields().iter().copied().map(Place::Field).collect();
        let mut samples = attempt.samples.into_iter();
        let mut seen = 0;
        let round = |end: &usize| {
            let count = end - seen;
            seen = *end;
            samples.by_ref().take(count).collect()
        };
        Self {
            kernel: kernel.clone(),
            machine: Machine::HERE,
            fields,
            rounds: attempt.rounds.iter().map(round).collect(),
            withdrawn,
        }
    }

    /// The fields that were asked for.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.fields.iter().filter_map(|place| match place {
            Place::Field(field) => Some(*field),
            _ => None,
        })
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum()
    }

    /// Searches again, as the run did that was recorded, and takes back what it took back.
    #[must_use]
    pub fn solve(self) -> (Attempt, Vec<Finding>) {
        let fields: Vec<Field> = self.fields().collect();
        let mut attempt = Attempt::offline(&fields, false);
        for round in self.rounds {
            for sample in round {
                attempt.take(sample);
            }
            attempt.end_round();
        }
        let mut findings = attempt.solver.findings();
        for (place, why) in self.withdrawn {
            let mut all = findings.iter_mut();
            if let Some(finding) = all.find(|finding| place == finding.field.into()) {
                finding.withdraw(why);
            }
        }
        (attempt, findings)
    }
}

/// Refuses a place where no capture can be written, before anything is captured.
///
/// # Errors
/// If its directory is not there, or it is something else than a file.
pub fn check_destination(path: &Path) -> anyhow::Result<()> {
    let what = || format!("record to {}", path.display());
    let directory = place_file::parent(path);
    let inode = fs::metadata(directory)
        .with_context(|| format!("find {}", directory.display()))
        .with_context(what)?;
    let is_other = fs::symlink_metadata(path).is_ok_and(|there| !there.is_file());
    if !inode.is_dir() || is_other || path.file_name().is_none() {
        return Err(anyhow::anyhow!("no regular file can be there")).with_context(what);
    }
    Ok(())
}

/// Writes a capture, which only its owner may read.
///
/// # Errors
/// If it is too large, or cannot be written.
pub fn record(path: &Path, capture: &Capture) -> anyhow::Result<()> {
    let what = || format!("record to {}", path.display());
    let bytes = encode(capture).with_context(what)?;
    place_file::replace(path, &bytes, 0o600).with_context(what)?;
    let (samples, size) = (capture.samples(), bytes.len());
    log::info!("{samples} samples recorded, {size} bytes");
    Ok(())
}

/// Reads a capture.
///
/// # Errors
/// If it cannot be read, is none, or is of another kind of machine.
pub fn read(path: &Path) -> anyhow::Result<Capture> {
    let what = || format!("replay {}", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| {
            let most = MAX_CAPTURE_BYTES as u64 + 1;
            file.take(most).read_to_end(&mut bytes)
        })
        .with_context(what)?;
    let capture = decode(&bytes).with_context(what)?;
    if capture.machine != Machine::HERE {
        bail!(
            "replay {}: it was recorded on another kind of machine: {}",
            path.display(),
            capture.kernel.machine
        );
    }
    Ok(capture)
}

#[cfg(test)]
mod tests;
