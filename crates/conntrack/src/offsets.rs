//! Reads the offsets document from where the command line says, and refuses that of another kernel.

use std::fs::File;
use std::io;
use std::io::IsTerminal as _;
use std::io::Read;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use nix::sys::stat::SFlag;
use nix::sys::stat::fstat;
use shared::exit::Failure;
use shared::kernel::KernelIdentity;
use shared::offsets::MAX_DOCUMENT_BYTES;
use shared::offsets::codec;

use crate::bpf::pinned;
use crate::cli::Origin;
use crate::layout::Layout;

/// Where to read from by default: stdin, if it is a pipe or a file.
pub fn default_origin() -> Option<Origin> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return None;
    }
    let kind = SFlag::from_bits_truncate(fstat(stdin.as_fd()).ok()?.st_mode) & SFlag::S_IFMT;
    (kind == SFlag::S_IFIFO || kind == SFlag::S_IFREG).then_some(Origin::Stdin)
}

/// Reads a document to its end and arranges its offsets.
///
/// # Errors
/// Exit 3 if it cannot be read, is no document, or is that of another kernel.
pub fn read(origin: &Origin) -> anyhow::Result<Layout> {
    let (name, bytes) = match origin {
        Origin::Stdin => ("stdin".to_owned(), limited(io::stdin().lock())),
        Origin::File(path) => {
            let opened = File::open(path);
            (path.display().to_string(), opened.and_then(limited))
        }
        Origin::Pinned(path) => {
            let name = format!("pinned:{}", path.display());
            // The map's one value is as long as the document.
            let bytes =
                pinned::read_document(path).with_context(|| format!("offsets from {name}"))?;
            (name, Ok(bytes))
        }
    };
    let failed = || Failure::Failed(format!("offsets from {name}"));
    let bytes = bytes.with_context(failed)?;
    let running = KernelIdentity::running().context("identify the running kernel")?;
    let document = codec::decode_for(&bytes, &running).with_context(failed)?;
    Layout::of(&document).with_context(failed)
}

/// Everything up to one byte more than a document can have: enough to see that it is too long.
fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_DOCUMENT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
