//! A capture as bytes, and the bounds within which one is believed: what the solver is given must
//! take neither unbounded time nor memory, and no number in it may be out of range.

use std::time::Duration;

use bincode::Decode;
use bincode::Encode;
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::DecodeError;
use bincode::error::EncodeError;
use shared::sealed::Broken;
use shared::sealed::Seal;

use super::Capture;
use crate::fields::Place;
use crate::fields::SPECS;
use crate::solve::sample::Expected;
use crate::solve::sample::Sample;
use crate::solve::sample::View;
use crate::solve::sample::Worth;
use crate::way::MAX_PIECES;
use crate::way::PIECE_BYTES;
use crate::way::Way;

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
        let last = view.way.steps.last();
        let end = last.map_or(Some(sample.event.shows()), |step| {
            step.pointer.spec().leads_to()
        });
        end.is_some_and(|end| view.bytes.len() <= end.window_bytes() as usize)
    };
    let leads = |way: &Way| {
        let pointers = way.steps.iter().all(|step| {
            let spec = step.pointer.spec();
            spec.leads_to().is_some() && step.offset < spec.inside.window_bytes()
        });
        way.event == sample.event && way.steps.len() <= MAX_STEPS && pointers
    };
    if !sample.views.iter().all(|view| leads(&view.way)) {
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

/// By its path, which is a contract, and not by its place in a list.
impl Encode for Place {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.path().encode(encoder)
    }
}

impl<C> Decode<C> for Place {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let path = String::decode(decoder)?;
        Self::of_path(&path).ok_or(DecodeError::Other("a place that is not known"))
    }
}
bincode::impl_borrow_decode!(Place);
