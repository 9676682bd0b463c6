//! A capture: everything that the solver was given in one run, and how to solve it again.

use bincode::Decode;
use bincode::Encode;
use guess::attempt::Attempt;
use guess::fields::Place;
use guess::solve::sample::Sample;
use guess::solve::verdict::Finding;
use shared::kernel::KernelIdentity;
use shared::offsets::Field;

/// What one run saw.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Capture {
    /// The kernel that was measured.
    pub kernel: KernelIdentity,
    /// How its machine lays out a number in memory.
    pub(super) machine: Machine,
    /// The fields that were asked for.
    pub(super) fields: Vec<Place>,
    /// The samples of each round, in the order in which the solver saw them.
    pub(super) rounds: Vec<Vec<Sample>>,
    /// What the solver proved and fresh connections did not confirm, and why.
    pub(super) withdrawn: Vec<(Place, String)>,
}

/// What decides the meaning of bytes in memory. Samples of another kind of machine are not solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Machine {
    pub(super) big_endian: bool,
    pointer_bytes: u8,
}

impl Machine {
    /// The machine that this program runs on.
    pub(super) const HERE: Self = Self {
        big_endian: cfg!(target_endian = "big"),
        pointer_bytes: size_of::<usize>() as u8,
    };
}

impl Capture {
    /// The samples of an attempt that kept them, and its findings in the end.
    #[must_use]
    pub fn of(kernel: &KernelIdentity, attempt: Attempt, findings: &[Finding]) -> Self {
        let solver = &attempt.solver;
        let is_withdrawn = |finding: &&Finding| {
            finding.offset().is_none() && solver.proven(finding.field.into()).is_some()
        };
        let with_reason = |finding: &Finding| {
            let reason = finding.reason.clone().unwrap_or_default();
            (finding.field.into(), reason)
        };
        let withdrawn = findings.iter().filter(is_withdrawn).map(with_reason);
        let withdrawn = withdrawn.collect();
        let fields = solver.fields().iter().copied().map(Place::Field).collect();
        let mut samples = attempt.samples.into_iter();
        let mut taken = 0;
        let round = |end: &usize| {
            let count = end - taken;
            taken = *end;
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

    /// The number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum()
    }

    /// Searches again as the recorded run did, and withdraws what it withdrew.
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
