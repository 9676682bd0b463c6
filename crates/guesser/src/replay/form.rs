//! A capture as bytes, and the bounds that a reader enforces: no capture may cost the solver unbounded time
//! or memory, and no number in it may be out of range.

use std::time::Duration;

use guess::fields::Place;
use guess::fields::SPECS;
use guess::path::MAX_PIECES;
use guess::path::PIECE_BYTES;
use guess::path::Step;
use guess::solve::sample::Expected;
use guess::solve::sample::Sample;
use guess::solve::sample::View;
use guess::solve::sample::Worth;
use shared::sealed::Broken;
use shared::sealed::Seal;

use super::capture::Capture;

/// Largest capture that is written or read. One of all fields takes less than 1 MiB.
pub const MAX_CAPTURE_BYTES: usize = 32 << 20;

const SEAL: Seal<MAX_CAPTURE_BYTES> = Seal {
    name: "offsets capture",
    magic: *b"SXTCAP\r\n",
    version: 1,
};

/// Several times what the longest run takes.
const MAX_ROUNDS: usize = 32;
const MAX_SAMPLES: usize = 2048;
/// From a packet to its socket, and to the file behind it.
const MAX_STEPS: usize = 3;
const MAX_NAME_BYTES: usize = 200;
/// Of a value, or of the first bytes of a header.
const MAX_VALUE_BYTES: usize = 64;
const MAX_READ_BYTES: usize = MAX_PIECES * PIECE_BYTES as usize;
/// Of the largest field; a sum over all samples of all searches then fits into 32 bits.
const MAX_WORTH_BITS: u32 = 40 * u8::BITS;
/// Of a name of the kernel, and of a reason.
const MAX_TEXT_BYTES: usize = 1024;
const MAX_RUN: Duration = Duration::from_secs(24 * 60 * 60);

/// The capture as bytes.
///
/// # Errors
/// If a reader would refuse it.
pub fn encode(capture: &Capture) -> Result<Vec<u8>, Broken> {
    check(capture).map_err(|why| SEAL.corrupt(why))?;
    SEAL.encode(capture)
}

/// Reads a capture, whatever machine it comes from.
///
/// # Errors
/// Names what is wrong.
pub fn decode(bytes: &[u8]) -> Result<Capture, Broken> {
    let capture: Capture = SEAL.decode(bytes)?;
    check(&capture).map_err(|why| SEAL.corrupt(why))?;
    Ok(capture)
}

fn check(capture: &Capture) -> Result<(), String> {
    let is_field = |place: &Place| matches!(place, Place::Field(_));
    let fields = &capture.fields;
    let is_new = |at: usize| !fields[..at].contains(&fields[at]);
    let are_fields = (0..fields.len()).all(is_new) && fields.iter().all(is_field);
    ensure(are_fields, "a field is listed twice, or is none")?;
    let kernel = &capture.kernel;
    let build_id = kernel.build_id.as_deref().unwrap_or_default();
    let names = [&kernel.release, &kernel.version, &kernel.machine, build_id];
    let reasons = capture.withdrawn.iter().map(|(_, why)| why.as_str());
    let is_text = |text: &str| text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control);
    let are_texts = names.into_iter().chain(reasons).all(is_text);
    ensure(are_texts, "a text is too long or has control characters")?;
    let mut withdrawn = capture.withdrawn.iter();
    let were_asked_for = withdrawn.all(|(place, _)| fields.contains(place));
    ensure(were_asked_for, "it withdraws what was not asked for")?;
    let are_few = capture.rounds.len() <= MAX_ROUNDS && capture.samples() <= MAX_SAMPLES;
    ensure(are_few, "more samples than a run takes")?;
    let mut samples = capture.rounds.iter().flatten().zip(1..);
    samples.try_for_each(|(sample, number)| {
        check_sample(sample).map_err(|what| format!("sample {number}: {what}"))
    })
}

fn check_sample(sample: &Sample) -> Result<(), &'static str> {
    let (expected, views) = (&sample.expected, &sample.views);
    ensure(sample.name.len() <= MAX_NAME_BYTES, "its name is too long")?;
    let are_few = expected.len() <= SPECS.len() && views.len() <= MAX_PIECES;
    ensure(are_few, "more than an event shows")?;
    let are_in_range = expected.iter().all(|(_, value)| is_in_range(value));
    ensure(are_in_range, "an expected value is out of range")?;
    let bytes: usize = views.iter().map(|view| view.bytes.len()).sum();
    ensure(bytes <= MAX_READ_BYTES, "more bytes than are read at once")?;
    for View { path, bytes, .. } in views {
        let is_pointer = |step: &Step| {
            let spec = step.pointer.spec();
            spec.leads_to().is_some() && step.offset < spec.inside.window_bytes()
        };
        let is_path = path.event == sample.event && path.steps.len() <= MAX_STEPS;
        let leads_there = is_path && path.steps.iter().all(is_pointer);
        ensure(leads_there, "a path leads nowhere")?;
        let end = match path.steps.last() {
            Some(step) => step.pointer.spec().leads_to(),
            None => Some(sample.event.shows()),
        };
        let fits = end.is_some_and(|end| bytes.len() <= end.window_bytes() as usize);
        ensure(fits, "a struct is larger than its window")?;
    }
    Ok(())
}

fn ensure(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    holds.then_some(()).ok_or(otherwise)
}

/// Whether the solver can calculate with it.
fn is_in_range(expected: &Expected) -> bool {
    let is_worth = |worth: &Worth| {
        let (Worth::Drawn(bits) | Worth::Given(bits)) = worth;
        *bits <= MAX_WORTH_BITS
    };
    match expected {
        Expected::Bytes { bytes, worth } => bytes.len() <= MAX_VALUE_BYTES && is_worth(worth),
        Expected::Shifted { shift, worth, .. } => *shift < u32::BITS && is_worth(worth),
        Expected::Index { landmark, bits, .. } => {
            (1..=MAX_VALUE_BYTES).contains(&landmark.len()) && *bits <= MAX_WORTH_BITS
        }
        Expected::Deadline {
            between: (least, most),
            ..
        } => least <= most && *most <= MAX_RUN,
        Expected::Object { .. } | Expected::Null | Expected::Address | Expected::Back => true,
    }
}
