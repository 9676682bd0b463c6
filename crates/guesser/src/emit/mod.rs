//! Hands the document over: to stdout or a file, as bincode, JSON or a table, and to a pinned map.
//! What a reader sees is always whole: files and pins are made aside and then renamed. [`target`] is
//! where it goes; [`table`] and [`pin`] are two of the forms.

mod pin;
mod table;
mod target;

use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use shared::capability::Capability;
use shared::exit::Failure;
use shared::line::Lines;
use shared::offsets::Document;
use shared::offsets::FieldResult;
use shared::offsets::Status;
use shared::offsets::codec;
use shared::stop::Stop;

use crate::cli::Cli;
use crate::cli::Format;
use crate::place_file::write_beside;
use target::Target;
use target::open_special;

/// To put a file where root may, whoever owns the folder; a user who is not root has neither.
const FILES: &[Capability] = &[Capability::CAP_DAC_OVERRIDE, Capability::CAP_FOWNER];
/// To make a map and pin it. Before 5.19 every command of `bpf()` wants `CAP_BPF` if
/// `kernel.unprivileged_bpf_disabled` is set, later only those that make something.
const PINS: &[Capability] = &[
    Capability::CAP_BPF,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
];

/// What is said after SIGINT or SIGTERM.
#[must_use]
pub fn stopped() -> Failure {
    Failure::Failed("stopped by a signal before the end; nothing is emitted".into())
}

/// Where the document shall go, and how.
#[derive(Debug)]
pub struct Destination {
    target: Target,
    format: Format,
    pin: Option<PathBuf>,
}

impl Destination {
    /// What the command line says, checked before any work is done.
    ///
    /// # Errors
    /// Exit 2 if bytes would go to a terminal, 3 if the file or the pin has no place.
    pub fn new(cli: &Cli) -> anyhow::Result<Self> {
        let (target, terminal) = Target::of(cli.output.as_deref())?;
        let format = match cli.format {
            Some(Format::Bincode) if terminal => {
                let why = "bincode is not for a terminal; -o - insists";
                return Err(Failure::Usage(why.into()).into());
            }
            Some(format) => format,
            None if terminal => Format::Text,
            None => Format::Bincode,
        };
        // A pin that the settings name is of the running kernel.
        let pin = cli.pin.clone().filter(|_| cli.replay.is_none());
        if let Some(pin) = &pin {
            pin::check(pin)?;
        }
        Ok(Self {
            target,
            format,
            pin,
        })
    }

    /// What capabilities it takes to hand the document over.
    #[must_use]
    pub fn needs(&self) -> &'static [Capability] {
        match (&self.pin, &self.target) {
            (Some(_), _) => PINS,
            (None, Target::File(_) | Target::Special(_)) => FILES,
            (None, Target::Stdout) => &[],
        }
    }

    /// The same if other files are written as well.
    #[must_use]
    pub fn needs_files(&self) -> &'static [Capability] {
        match &self.pin {
            Some(_) => PINS,
            None => FILES,
        }
    }

    /// Hands the document over if all of it is proven, or if a part will do.
    ///
    /// # Errors
    /// If a place cannot be written, or a stop is asked for before somebody reads there.
    pub fn deliver(&self, document: &Document, partial: bool, stop: &Stop) -> anyhow::Result<()> {
        let proven = |field: &FieldResult| field.status == Status::Proven;
        if partial || document.fields.iter().all(proven) {
            self.emit(document, stop)?;
        }
        Ok(())
    }

    /// Every place is opened or written aside before the first of them shows anything. The pin is first:
    /// who waits for the end of stdout may look there.
    fn emit(&self, document: &Document, stop: &Stop) -> anyhow::Result<()> {
        let bytes = match self.format {
            Format::Bincode => codec::encode(document)?,
            Format::Json => [serde_json::to_vec(document)?, b"\n".to_vec()].concat(),
            Format::Text => table::table(document).into_bytes(),
        };
        let what = |path: &Path| format!("write the document to {}", path.display());
        let pin = || match &self.pin {
            Some(path) => pin::pin(path, &codec::encode(document)?),
            None => Ok(()),
        };
        match &self.target {
            Target::File(path) => {
                let beside = write_beside(path, &bytes, 0o666).with_context(|| what(path))?;
                pin()?;
                let placed = beside.persist(path).map(|_file| ());
                placed.with_context(|| what(path))
            }
            Target::Special(path) => {
                let mut special = open_special(path, stop).with_context(|| what(path))?;
                pin()?;
                special.write_all(&bytes).with_context(|| what(path))
            }
            Target::Stdout => {
                pin()?;
                let mut out = Lines::stdout();
                out.bytes(&bytes)?;
                Ok(out.flush()?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use shared::kernel::KernelIdentity;
    use shared::offsets::Method;

    fn document(statuses: &[Status]) -> Document {
        let field = |status: &Status| FieldResult {
            name: "nf_conn.mark".into(),
            status: *status,
            offset: (*status == Status::Proven).then_some(168),
            size: 4,
            method: (*status == Status::Proven).then_some(Method::Guess),
            evidence_bits: Some(50),
            candidates: if *status == Status::Proven {
                vec![168]
            } else {
                vec![168, 400]
            },
            btf_offset: None,
            reason: None,
        };
        Document {
            schema: Document::SCHEMA,
            kernel: KernelIdentity {
                release: "6.12".into(),
                version: "#1".into(),
                machine: "x86_64".into(),
                build_id: None,
            },
            elapsed_us: 1,
            fields: statuses.iter().map(field).collect(),
        }
    }

    #[test]
    fn a_part_is_delivered_only_to_who_wants_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("offsets");
        let destination = Destination {
            target: Target::File(file.clone()),
            format: Format::Bincode,
            pin: None,
        };
        let part = document(&[Status::Proven, Status::Ambiguous]);
        let stop = Stop::on_signals().unwrap();
        destination.deliver(&part, false, &stop).unwrap();
        assert!(!file.exists());
        destination.deliver(&part, true, &stop).unwrap();
        assert_eq!(codec::decode(&fs::read(&file).unwrap()), Ok(part));
        let whole = document(&[Status::Proven]);
        destination.deliver(&whole, false, &stop).unwrap();
        assert_eq!(codec::decode(&fs::read(&file).unwrap()), Ok(whole));
    }

    #[test]
    fn the_table_shows_what_is_ambiguous() {
        let text = table::table(&document(&[Status::Proven, Status::Ambiguous]));
        assert_eq!(
            text,
            "6.12 x86_64 build-id none\n\
             FIELD         OFFSET  SIZE  STATUS     METHOD  BITS  CANDIDATES\n\
             nf_conn.mark     168     4  proven     guess     50  -\n\
             nf_conn.mark       -     4  ambiguous  -         50  168,400\n"
        );
    }
}
