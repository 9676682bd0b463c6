//! A capture as bytes, and the bounds within which one is believed: what the solver is given must
//! take neither unbounded time nor memory, and no number in it may be out of range.

use std::time::Duration;

use shared::sealed::Broken;
use shared::sealed::Seal;

use super::Capture;
use guess::fields::Place;
use guess::fields::SPECS;
use guess::path::AccessPath;
use guess::path::MAX_PIECES;
use guess::path::PIECE_BYTES;
use guess::solve::sample::Expected;
use guess::solve::sample::Sample;
use guess::solve::sample::View;
use guess::solve::sample::Worth;

/// Largest capture that is written or read. Of all fields, one takes less than 1 MiB.
pub const MAX_CAPTURE_BYTES: usize = 32 << 20;

const SEAL: Seal<MAX_CAPTURE_BYTES> = Seal {
    name: "offsets capture",
    magic: *b"SXTCAP\r\n",
    version: 1,
};

/// Several times of what the longest run takes.
const MAX_ROUNDS: usize = 32;
const MAX_SAMPLES: usize = 2048;
/// From a packet to its socket, to the file behind it.
const MAX_STEPS: usize = 3;
const MAX_NAME_BYTES: usize = 200;
/// Of a value, or of what a header begins with.
const MAX_VALUE_BYTES: usize = 64;
const MAX_SEEN_BYTES: usize = MAX_PIECES * PIECE_BYTES as usize;
/// Of the largest field; a sum over all samples of all searches then fits into 32 bits.
const MAX_WORTH_BITS: u32 = 40 * u8::BITS;
/// Of what a kernel says of itself, and of a reason.
const MAX_TEXT_BYTES: usize = 1024;
const MAX_RUN: Duration = Duration::from_secs(24 * 60 * 60);

/// The capture as bytes.
///
/// # Errors
/// If it is beyond any bound of the reader.
pub fn encode(capture: &Capture) -> Result<Vec<u8>, Broken> {
    check(capture).map_err(|why| SEAL.corrupt(why))?;
    SEAL.encode(capture)
}

/// Reads a capture, whatever machine it is of.
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
    if !(0..fields.len()).all(is_new) || !fields.iter().all(is_field) {
        return Err("the list of fields makes no sense".into());
    }
    let kernel = &capture.kernel;
    let build_id = kernel.build_id.as_deref().unwrap_or_default();
    let said = [&kernel.release, &kernel.version, &kernel.machine, build_id];
    let reasons = capture.withdrawn.iter().map(|(_, why)| why.as_str());
    let is_text = |text: &str| text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control);
    if !said.into_iter().chain(reasons).all(is_text) {
        return Err("a text in it is none".into());
    }
    if !capture
        .withdrawn
        .iter()
        .all(|(place, _)| fields.contains(place))
    {
        return Err("it takes back what was not asked for".into());
    }
    if capture.rounds.len() > MAX_ROUNDS || capture.samples() > MAX_SAMPLES {
        return Err("more samples than a run takes".into());
    }
    let mut samples = capture.rounds.iter().flatten().zip(1..);
    samples.try_for_each(|(sample, number)| {
        check_sample(sample).map_err(|what| format!("sample {number}: {what}"))
    })
}

fn check_sample(sample: &Sample) -> Result<(), &'static str> {
    if sample.name.len() > MAX_NAME_BYTES {
        return Err("its name is too long");
    }
    if sample.expected.len() > SPECS.len() || sample.views.len() > MAX_PIECES {
        return Err("more than an event shows");
    }
    if !sample.expected.iter().all(|(_, expected)| holds(expected)) {
        return Err("an expected value is out of range");
    }
    let seen: usize = sample.views.iter().map(|view| view.bytes.len()).sum();
    if seen > MAX_SEEN_BYTES {
        return Err("more bytes than are read at once");
    }
    let fits = |view: &View| {
        let last = view.path.steps.last();
        let end = last.map_or(Some(sample.event.shows()), |step| {
            step.pointer.spec().leads_to()
        });
        end.is_some_and(|end| view.bytes.len() <= end.window_bytes() as usize)
    };
    let leads = |path: &AccessPath| {
        let pointers = path.steps.iter().all(|step| {
            let spec = step.pointer.spec();
            spec.leads_to().is_some() && step.offset < spec.inside.window_bytes()
        });
        path.event == sample.event && path.steps.len() <= MAX_STEPS && pointers
    };
    if !sample.views.iter().all(|view| leads(&view.path)) {
        return Err("a way leads nowhere");
    }
    if !sample.views.iter().all(fits) {
        return Err("a struct is larger than it is searched");
    }
    Ok(())
}

/// Whether the solver can calculate with it.
fn holds(expected: &Expected) -> bool {
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
