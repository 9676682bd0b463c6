//! The whole experiment: makes the ground while the capture program loads, guesses, verifies on
//! fresh connections, and starts over once if they contradict.

use std::mem::MaybeUninit;
use std::panic;
use std::thread;
use std::thread::ScopedJoinHandle;

use anyhow::Context as _;
use shared::netns::Part;
use shared::offsets::Field;

use crate::bpf::Probe;
use crate::guess::guess;
use crate::linear_map;
use crate::random::Random;
use crate::sample::capture::Camera;
use crate::sample::capture::Tally;
use crate::sample::namespaces::Ground;
use crate::solve::Solver;
use crate::solve::verdict::Finding;
use crate::timing::Timing;
use crate::verify::verify;

/// Namespaces that track connections. Three, so that what follows the namespace is told from what
/// merely differs twice, and so that their inode numbers are evidence enough.
const TRACKED: usize = 3;

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// The verdict on each field.
    pub findings: Vec<Finding>,
    /// The searches, and a name for each sample.
    pub searches: (Solver, Vec<String>),
}

/// Measures the fields.
///
/// # Errors
/// Exit 4 or 5 if the kernel refuses, 3 if something fails.
pub fn run(fields: &[Field], timing: &mut Timing) -> anyhow::Result<Outcome> {
    thread::scope(|scope| {
        let grounds: Vec<_> = (0..TRACKED).map(|_| scope.spawn(Ground::tracked)).collect();
        let untracked = scope.spawn(Ground::untracked);
        let mut object = MaybeUninit::uninit();
        let mut probe = Probe::load(&mut object, linear_map::span_bytes()?)?;
        timing.lap("load");
        probe.attach()?;
        probe.follow_this_thread()?;
        timing.lap("attach");
        let mut grounds: Vec<Ground> = grounds.into_iter().map(join).collect::<Result<_, _>>()?;
        let mut untracked = join(untracked)?;
        timing.lap("namespaces");
        let mut camera = Camera {
            probe: &mut probe,
            random: Random::from_kernel().context("read /dev/urandom")?,
            tally: Tally::default(),
        };
        let outcome = attempt(fields, &mut camera, &mut grounds, &mut untracked, timing)?;
        log::info!("{}", camera.tally);
        Ok(outcome)
    })
}

fn attempt(
    fields: &[Field],
    camera: &mut Camera<'_, '_>,
    grounds: &mut [Ground],
    untracked: &mut Ground,
    timing: &mut Timing,
) -> anyhow::Result<Outcome> {
    let mut again = true;
    loop {
        let searches = guess(camera, grounds, fields)?;
        let mut findings = searches.0.findings();
        timing.lap("sample and solve");
        let proven: Vec<Field> = findings
            .iter()
            .filter(|finding| finding.offset().is_some())
            .map(|finding| finding.field)
            .collect();
        let contradicted = verify(camera, grounds, untracked, &searches.0, &proven)?;
        timing.lap("verify");
        if !contradicted.is_empty() && again {
            log::warn!("fresh connections contradict {contradicted:?}; starting over");
            again = false;
            continue;
        }
        for finding in &mut findings {
            if contradicted.contains(&finding.field) {
                finding.withdraw("fresh connections contradict it".into());
            }
            explain_absence(finding, grounds);
        }
        return Ok(Outcome { findings, searches });
    }
}

/// A field that this kernel cannot be made to use is missing for that reason.
fn explain_absence(finding: &mut Finding, grounds: &[Ground]) {
    let needs: &[Part] = match finding.field {
        Field::NfConnZone => &[Part::Zone],
        Field::NfConnMark => &[Part::Mark],
        Field::NfConnStatus => &[Part::Dnat, Part::Snat],
        _ => return,
    };
    let mut refused = grounds.iter().flat_map(Ground::refused);
    if let Some((part, refusal)) = refused.find(|(part, _)| needs.contains(part)) {
        if finding.offset().is_none() {
            finding.reason = Some(format!("this kernel refuses {part:?} rules: {refusal}"));
        }
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}
