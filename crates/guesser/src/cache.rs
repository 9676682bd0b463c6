//! What an earlier run proved on this very kernel, kept in a file. It is a document like any other,
//! with entries for what only helps to reach a field besides. Nothing in it is believed: the caller
//! confirms it on fresh connections, as it confirms what it has just guessed.

use std::fs;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use shared::exit::Failure;
use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::MAX_DOCUMENT_BYTES;
use shared::offsets::Method;
use shared::offsets::Status;
use shared::offsets::codec;

use crate::place_file;
use guess::Known;
use guess::fields::Place;
use guess::proven::Proven;
use guess::solve::verdict::Finding;

/// The file of one kernel and one set of fields.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    fields: &'static [Field],
}

impl Cache {
    /// The file in this directory; none if the kernel has no build-id, by which alone one build is
    /// told from another.
    ///
    /// # Errors
    /// Exit 3 if there is no such directory.
    pub fn new(
        directory: &Path,
        kernel: &KernelIdentity,
        set: &str,
        fields: &'static [Field],
    ) -> anyhow::Result<Option<Self>> {
        let is_directory = fs::metadata(directory)
            .with_context(|| format!("cache in {}", directory.display()))?
            .is_dir();
        if !is_directory {
            let why = format!("cache in {}: not a directory", directory.display());
            return Err(Failure::Failed(why).into());
        }
        let Some(build_id) = &kernel.build_id else {
            log::warn!("this kernel has no build-id, so nothing is kept or taken from the cache");
            return Ok(None);
        };
        let path = directory.join(format!("{build_id}-{set}.offsets"));
        Ok(Some(Self { path, fields }))
    }

    /// What is known of this kernel. Of a file that is not to be used it is said why.
    #[must_use]
    pub fn load(&self, kernel: &KernelIdentity) -> Option<Known> {
        if !self.path.try_exists().unwrap_or(true) {
            return None;
        }
        let known = self
            .read()
            .and_then(|bytes| known(&bytes, kernel, self.fields));
        let path = self.path.display();
        known
            .inspect_err(|error| log::warn!("cache {path} is not used: {error:#}"))
            .ok()
    }

    fn read(&self) -> anyhow::Result<Vec<u8>> {
        // Who can write to the directory must not make us wait for ever.
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.path)?;
        if !file.metadata()?.is_file() {
            bail!("not a regular file");
        }
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT_BYTES as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Keeps what was proven, if it is everything. That it cannot be kept changes no answer.
    pub fn store(&self, document: &Document, proven: &Proven) {
        let is_proven = |field: &FieldResult| field.status == Status::Proven;
        if !document.fields.iter().all(is_proven) {
            log::info!("not kept in the cache, since not every field is proven");
            return;
        }
        let stored = codec::encode(&with_the_paths(document, proven))
            .map_err(anyhow::Error::new)
            .and_then(|bytes| Ok(place_file::replace(&self.path, &bytes, 0o644)?));
        let path = self.path.display();
        match stored {
            Ok(()) => log::info!("kept in {path}"),
            Err(error) => log::warn!("not kept in {path}: {error:#}"),
        }
    }
}

/// A document that also says where the places are that lead to its fields.
fn with_the_paths(document: &Document, proven: &Proven) -> Document {
    let mut document = document.clone();
    for (place, offset) in proven.iter() {
        if document
            .fields
            .iter()
            .any(|field| field.name == place.path())
        {
            continue;
        }
        document.fields.push(FieldResult {
            name: place.path().into(),
            status: Status::Proven,
            offset: Some(offset),
            size: place.size_bytes(),
            method: Some(Method::Guess),
            evidence_bits: None,
            candidates: vec![offset],
            btf_offset: None,
            reason: None,
        });
    }
    document
}

/// What a file says of these fields of this kernel.
fn known(bytes: &[u8], kernel: &KernelIdentity, fields: &[Field]) -> anyhow::Result<Known> {
    let document = codec::decode_for(bytes, kernel)?;
    let mut offsets = Vec::new();
    for entry in &document.fields {
        // Of another version of this program, perhaps; if it is needed, that is noticed below.
        let Some(place) = Place::of_path(&entry.name) else {
            continue;
        };
        let Some(offset) = entry.offset.filter(|_| entry.status == Status::Proven) else {
            bail!("{place} is not proven");
        };
        let spec = place.spec();
        let end = offset.checked_add(place.size_bytes());
        let fits = end.is_some_and(|end| end <= spec.inside.window_bytes());
        if !fits || offset % spec.align_bytes != 0 {
            bail!("{place} cannot be at {offset}");
        }
        offsets.push((place, offset));
    }
    let proven: Proven = offsets.into_iter().collect();
    let finding = |field: &Field| {
        let place = Place::Field(*field);
        let offset = proven.offset(place);
        let offset = offset.with_context(|| format!("it does not hold {field}"))?;
        let entry = document.result(*field);
        if proven.paths(place.spec().searched_at()).is_empty() {
            bail!("it does not say how to reach {field}");
        }
        Ok(Finding {
            field: *field,
            status: Status::Proven,
            candidates: vec![offset],
            evidence_bits: entry.and_then(|entry| entry.evidence_bits),
            reason: None,
        })
    };
    let findings = fields.iter().map(finding).collect::<anyhow::Result<_>>()?;
    Ok(Known { findings, proven })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[Field] = &[Field::SocketSk, Field::SkBuffSk];

    fn kernel(version: &str) -> KernelIdentity {
        KernelIdentity {
            release: "6.12".into(),
            version: version.into(),
            machine: "x86_64".into(),
            build_id: Some("ab".repeat(20)),
        }
    }

    fn proven() -> Proven {
        [
            (Place::Field(Field::SkBuffSk), 24),
            (Place::SockSocket, 624),
            (Place::Field(Field::SocketSk), 24),
        ]
        .into_iter()
        .collect()
    }

    fn document(fields: &[Field]) -> Document {
        let entry = |field: &Field| FieldResult {
            name: field.path().into(),
            status: Status::Proven,
            offset: proven().offset(Place::Field(*field)),
            size: field.size_bytes(),
            method: Some(Method::GuessBtf),
            evidence_bits: Some(77),
            candidates: vec![24],
            btf_offset: Some(24),
            reason: None,
        };
        Document {
            schema: Document::SCHEMA,
            kernel: kernel("#1"),
            elapsed_us: 1,
            fields: fields.iter().map(entry).collect(),
        }
    }

    fn said(document: &Document) -> String {
        let bytes = codec::encode(document).unwrap();
        known(&bytes, &kernel("#1"), FIELDS)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_kept_is_known_again_with_the_way_to_it() {
        let whole = with_the_paths(&document(FIELDS), &proven());
        assert_eq!(whole.fields.len(), 3);
        let bytes = codec::encode(&whole).unwrap();
        let known = known(&bytes, &kernel("#1"), FIELDS).unwrap();
        assert_eq!(known.proven, proven());
        let offsets: Vec<_> = known.findings.iter().map(Finding::offset).collect();
        assert_eq!(offsets, [Some(24), Some(24)]);
        assert_eq!(known.findings[0].evidence_bits, Some(77));
    }

    #[test]
    fn what_does_not_suffice_is_refused() {
        assert_eq!(
            said(&document(FIELDS)),
            "it does not say how to reach socket.sk"
        );
        let part = with_the_paths(&document(&FIELDS[1..]), &Proven::default());
        assert_eq!(said(&part), "it does not hold socket.sk");
        let mut open = document(FIELDS);
        open.fields[0].status = Status::Ambiguous;
        assert_eq!(said(&open), "socket.sk is not proven");
        for offset in [25, 1280, u32::MAX - 7] {
            let mut beyond = document(FIELDS);
            beyond.fields[0].offset = Some(offset);
            assert_eq!(said(&beyond), format!("socket.sk cannot be at {offset}"));
        }
    }

    #[test]
    fn another_build_is_another_kernel() {
        let bytes = codec::encode(&with_the_paths(&document(FIELDS), &proven())).unwrap();
        let error = known(&bytes, &kernel("#2"), FIELDS).unwrap_err();
        assert!(error.to_string().starts_with("offsets of another kernel"));
    }
}
