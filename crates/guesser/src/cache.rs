//! What an earlier run proved on this very kernel, in a file. The file is a document like any other, with
//! additional entries for the pointers that lead to its fields. Nothing in it is trusted: the caller
//! confirms it on fresh connections, as it confirms what it has just measured.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use guess::Known;
use guess::fields::Place;
use guess::proven::Proven;
use guess::solve::verdict::Finding;
use shared::atomic_file;
use shared::kernel::KernelIdentity;
use shared::offsets::Document;
use shared::offsets::Field;
use shared::offsets::FieldResult;
use shared::offsets::MAX_DOCUMENT_BYTES;
use shared::offsets::Method;
use shared::offsets::Status;
use shared::offsets::codec;

use crate::results::entry;

/// The file of one kernel and one set of fields.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    fields: &'static [Field],
}

impl Cache {
    /// The file in this directory; none if the kernel has no build-id, since nothing else distinguishes two
    /// builds.
    ///
    /// # Errors
    /// If there is no such directory.
    pub fn new(
        directory: &Path,
        kernel: &KernelIdentity,
        set: &str,
        fields: &'static [Field],
    ) -> anyhow::Result<Option<Self>> {
        let build_id = kernel.build_id.as_deref();
        let name = format!("{}-{set}.offsets", build_id.unwrap_or_default());
        let path = directory.join(name);
        atomic_file::check(&path).with_context(|| format!("cache in {}", directory.display()))?;
        if build_id.is_none() {
            log::warn!("this kernel has no build-id, so the cache is not used");
        }
        Ok(build_id.map(|_| Self { path, fields }))
    }

    /// What the file says about this kernel. If the file cannot be used, a warning says why.
    #[must_use]
    pub fn load(&self, kernel: &KernelIdentity) -> Option<Known> {
        if !self.path.try_exists().unwrap_or(true) {
            return None;
        }
        let bytes = self.read();
        let known = bytes.and_then(|bytes| known(&bytes, kernel, self.fields));
        let path = self.path.display();
        known
            .inspect_err(|error| log::warn!("cache {path} is not used: {error:#}"))
            .ok()
    }

    fn read(&self) -> anyhow::Result<Vec<u8>> {
        // Nobody who can write to the directory may make us wait for ever.
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

    /// Writes the file if every field is proven. A failure is only reported, since the answer is the same.
    pub fn store(&self, document: &Document, proven: &Proven) {
        let is_proven = |field: &FieldResult| field.status == Status::Proven;
        if !document.fields.iter().all(is_proven) {
            log::info!("not cached, since not every field is proven");
            return;
        }
        let store = || -> anyhow::Result<()> {
            let bytes = codec::encode(&with_pointers(document, proven))?;
            Ok(atomic_file::replace(&self.path, &bytes, 0o644)?)
        };
        let path = self.path.display();
        match store() {
            Ok(()) => log::info!("cached in {path}"),
            Err(error) => log::warn!("not cached in {path}: {error:#}"),
        }
    }
}

/// A document that also has the places that lead to its fields.
fn with_pointers(document: &Document, proven: &Proven) -> Document {
    let mut document = document.clone();
    for (place, offset) in proven.iter() {
        let mut fields = document.fields.iter();
        if !fields.any(|field| field.name == place.path()) {
            let pointer = entry(place, Some(offset), Method::Guess);
            document.fields.push(pointer);
        }
    }
    document
}

/// What the bytes of a file say about these fields of this kernel.
fn known(bytes: &[u8], kernel: &KernelIdentity, fields: &[Field]) -> anyhow::Result<Known> {
    let document = codec::decode_for(bytes, kernel)?;
    let mut offsets = Vec::new();
    for cached in &document.fields {
        // Another version of this program may know more places. If one that is needed is absent, that is
        // noticed below.
        let Some(place) = Place::of_path(&cached.name) else {
            continue;
        };
        let Some(offset) = cached.offset.filter(|_| cached.status == Status::Proven) else {
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
        let offset = offset.with_context(|| format!("it does not have {field}"))?;
        if proven.paths(place.spec().searched_at()).is_empty() {
            bail!("it does not say how to reach {field}");
        }
        Ok(Finding {
            field: *field,
            status: Status::Proven,
            candidates: vec![offset],
            evidence_bits: document
                .result(*field)
                .and_then(|cached| cached.evidence_bits),
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

    fn refusal(document: &Document) -> String {
        let bytes = codec::encode(document).unwrap();
        known(&bytes, &kernel("#1"), FIELDS)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_cached_document_has_the_path_to_its_fields() {
        let whole = with_pointers(&document(FIELDS), &proven());
        assert_eq!(whole.fields.len(), 3);
        let bytes = codec::encode(&whole).unwrap();
        let known = known(&bytes, &kernel("#1"), FIELDS).unwrap();
        assert_eq!(known.proven, proven());
        let offsets: Vec<_> = known.findings.iter().map(Finding::offset).collect();
        assert_eq!(offsets, [Some(24), Some(24)]);
        assert_eq!(known.findings[0].evidence_bits, Some(77));
    }

    #[test]
    fn an_incomplete_or_impossible_document_is_refused() {
        assert_eq!(
            refusal(&document(FIELDS)),
            "it does not say how to reach socket.sk"
        );
        let part = with_pointers(&document(&FIELDS[1..]), &Proven::default());
        assert_eq!(refusal(&part), "it does not have socket.sk");
        let mut open = document(FIELDS);
        open.fields[0].status = Status::Ambiguous;
        assert_eq!(refusal(&open), "socket.sk is not proven");
        for offset in [25, 1280, u32::MAX - 7] {
            let mut beyond = document(FIELDS);
            beyond.fields[0].offset = Some(offset);
            assert_eq!(refusal(&beyond), format!("socket.sk cannot be at {offset}"));
        }
    }

    #[test]
    fn another_build_is_another_kernel() {
        let bytes = codec::encode(&with_pointers(&document(FIELDS), &proven())).unwrap();
        let error = known(&bytes, &kernel("#2"), FIELDS).unwrap_err();
        assert!(error.to_string().starts_with("offsets of another kernel"));
    }
}
