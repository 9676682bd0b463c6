//! Hands the document over: to stdout or a file, as bincode, JSON or a table, and to a pinned map.
//! What a reader sees is always whole: files and pins are made aside and then renamed. [`table`] and
//! [`pin`] are two of the forms.

mod pin;
mod table;

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use caps::Capability;
use shared::exit::Failure;
use shared::line;
use shared::line::Lines;
use shared::offsets::Document;
use shared::offsets::FieldResult;
use shared::offsets::Status;
use shared::offsets::codec;

use crate::cli::Cli;
use crate::cli::Format;
use crate::file;
use crate::privilege;

/// Where the document shall go, and how.
#[derive(Debug)]
pub struct Destination {
    /// None: stdout.
    file: Option<PathBuf>,
    format: Format,
    pin: Option<PathBuf>,
}

impl Destination {
    /// What the command line says, checked before any work is done.
    ///
    /// # Errors
    /// Exit 2 if bytes would go to a terminal, 3 if a pin has no place.
    pub fn new(cli: &Cli) -> anyhow::Result<Self> {
        let dash = Path::new("-");
        let file = cli.output.clone().filter(|path| path != dash);
        let terminal = cli.output.is_none() && line::stdout_is_terminal();
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
        Ok(Self { file, format, pin })
    }

    /// What capabilities it takes to hand the document over.
    #[must_use]
    pub fn needs(&self) -> &'static [Capability] {
        match (&self.pin, &self.file) {
            (Some(_), _) => privilege::PINS,
            (None, Some(_)) => privilege::FILES,
            (None, None) => privilege::NOTHING,
        }
    }

    /// Hands the document over if all of it is proven, or if a part will do.
    ///
    /// # Errors
    /// If a place cannot be written.
    pub fn deliver(&self, document: &Document, partial: bool) -> anyhow::Result<()> {
        let proven = |field: &FieldResult| field.status == Status::Proven;
        if partial || document.fields.iter().all(proven) {
            self.emit(document)?;
        }
        Ok(())
    }

    /// To the pin first: who waits for the end of stdout may look there.
    fn emit(&self, document: &Document) -> anyhow::Result<()> {
        if let Some(path) = &self.pin {
            pin::pin(path, &codec::encode(document)?)?;
        }
        let bytes = match self.format {
            Format::Bincode => codec::encode(document)?,
            Format::Json => [serde_json::to_vec(document)?, b"\n".to_vec()].concat(),
            Format::Text => table::table(document).into_bytes(),
        };
        match &self.file {
            None => {
                let mut out = Lines::stdout();
                out.bytes(&bytes)?;
                out.flush()?;
                Ok(())
            }
            Some(path) => write_file(path, &bytes)
                .with_context(|| format!("write the document to {}", path.display())),
        }
    }
}

/// Replaces a regular file whole; writes to anything else as it is.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let special = path.metadata().is_ok_and(|inode| !inode.is_file());
    if special {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    file::replace(path, bytes, 0o666)
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
            file: Some(file.clone()),
            format: Format::Bincode,
            pin: None,
        };
        let part = document(&[Status::Proven, Status::Ambiguous]);
        destination.deliver(&part, false).unwrap();
        assert!(!file.exists());
        destination.deliver(&part, true).unwrap();
        assert_eq!(codec::decode(&fs::read(&file).unwrap()), Ok(part));
        let whole = document(&[Status::Proven]);
        destination.deliver(&whole, false).unwrap();
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
