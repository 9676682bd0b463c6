//! Delivers the document: to stdout or a file, as bincode, JSON or a table, and to a pinned map.
//! A reader always sees it whole: files and pins are made aside and then renamed. [`target`] decides
//! where it goes; [`table`] and [`pin`] are two of its forms.

mod pin;
mod table;
mod target;

use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use shared::atomic_file::place;
use shared::atomic_file::write_beside;
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
use target::Target;
use target::open_special;

pub use target::stopped;

/// Root needs these to replace a file in a folder of another user; other users do not have them.
const FILES: &[Capability] = &[Capability::CAP_DAC_OVERRIDE, Capability::CAP_FOWNER];
/// To make a map and pin it. Before 5.19 every command of `bpf()` needs `CAP_BPF` if
/// `kernel.unprivileged_bpf_disabled` is set, later only those that create something.
const PINS: &[Capability] = &[
    Capability::CAP_BPF,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
];

/// Where the document goes, and in which form.
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
    /// Exit 2 if bincode would go to a terminal, 3 if the file or the pin cannot be there.
    pub fn new(cli: &Cli) -> anyhow::Result<Self> {
        let (target, is_terminal) = Target::of(cli.output.as_deref())?;
        let format = match cli.format {
            Some(Format::Bincode) if is_terminal => {
                let why = "bincode is not for a terminal; use -o - to write it there";
                return Err(Failure::Usage(why.into()).into());
            }
            Some(format) => format,
            None if is_terminal => Format::Text,
            None => Format::Bincode,
        };
        // A pin in the settings is for the running kernel.
        let pin = cli.pin.clone().filter(|_| cli.replay.is_none());
        if let Some(path) = &pin {
            pin::check(path).with_context(|| format!("pin to {}", path.display()))?;
        }
        Ok(Self {
            target,
            format,
            pin,
        })
    }

    /// The capabilities that delivery needs, and the writing of other files if there are any.
    #[must_use]
    pub fn needs(&self, writes_other_files: bool) -> &'static [Capability] {
        match (&self.pin, &self.target) {
            (Some(_), _) => PINS,
            (None, Target::Stdout) if !writes_other_files => &[],
            (None, _) => FILES,
        }
    }

    /// Delivers the document if every field is proven, or if a part is enough.
    ///
    /// Each destination is opened or written aside before the first of them shows anything. The pin comes
    /// first, since a reader may look at it as soon as stdout ends.
    ///
    /// # Errors
    /// If a destination cannot be written, or a stop is requested while a pipe has no reader.
    pub fn deliver(&self, document: &Document, partial: bool, stop: &Stop) -> anyhow::Result<()> {
        let is_proven = |field: &FieldResult| field.status == Status::Proven;
        if !partial && !document.fields.iter().all(is_proven) {
            return Ok(());
        }
        let bytes = match self.format {
            Format::Bincode => codec::encode(document)?,
            Format::Json => [serde_json::to_vec(document)?, b"\n".to_vec()].concat(),
            Format::Text => table::table(document)?.into_bytes(),
        };
        let what = |path: &Path| format!("write the document to {}", path.display());
        let pin = || match &self.pin {
            Some(path) => pin::pin(path, &codec::encode(document)?)
                .with_context(|| format!("pin to {}", path.display())),
            None => Ok(()),
        };
        match &self.target {
            Target::File(path) => {
                let beside = write_beside(path, &bytes, 0o666).with_context(|| what(path))?;
                pin()?;
                place(beside, path).with_context(|| what(path))
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
    fn a_partial_document_is_delivered_only_on_request() {
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
    fn the_table_shows_the_candidates_of_an_ambiguous_field() {
        let text = table::table(&document(&[Status::Proven, Status::Ambiguous])).unwrap();
        assert_eq!(
            text,
            "6.12 x86_64 build-id none\n\
             FIELD         OFFSET  SIZE  STATUS     METHOD  BITS  CANDIDATES\n\
             nf_conn.mark     168     4  proven     guess     50  -\n\
             nf_conn.mark       -     4  ambiguous  -         50  168,400\n"
        );
    }
}
