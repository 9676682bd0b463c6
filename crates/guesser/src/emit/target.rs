//! Where the document goes: to stdout, to a file that is replaced whole, or into a pipe or device that
//! exists already. An impossible target is refused before any work is done.

use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;
use nix::fcntl::fcntl;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::stat::fstat;
use shared::atomic_file;
use shared::exit::Failure;
use shared::line;
use shared::stop::Stop;

/// How long to wait between two attempts to open a pipe that has no reader.
const PAUSE_MS: u16 = 50;

/// The error after SIGINT or SIGTERM.
#[must_use]
pub fn stopped() -> Failure {
    Failure::Failed("stopped by a signal before the end; nothing is emitted".into())
}

/// Where the document goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A regular file, which may not exist yet.
    File(PathBuf),
    /// Something else: a pipe or a device.
    Special(PathBuf),
}

impl Target {
    /// What `-o` says, and whether a person would read it there without having asked for it.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub fn of(output: Option<&Path>) -> anyhow::Result<(Self, bool)> {
        let Some(path) = output else {
            return Ok((Self::Stdout, line::stdout_is_terminal()));
        };
        if path == Path::new("-") {
            return Ok((Self::Stdout, false));
        }
        let file = || (Self::File(path.to_owned()), false);
        let target = match path.metadata() {
            // As /dev/stdout, which is a link that must not be replaced.
            Ok(inode) if is_open_at(&inode, &io::stdout()) => {
                Ok((Self::Stdout, line::stdout_is_terminal()))
            }
            Ok(inode) if inode.is_dir() => Err(io::Error::from(Errno::EISDIR).into()),
            Ok(inode) if inode.is_file() && !is_open_at(&inode, &io::stderr()) => Ok(file()),
            Ok(inode) => {
                let is_terminal = inode.file_type().is_char_device() && is_terminal(path);
                Ok((Self::Special(path.to_owned()), is_terminal))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                atomic_file::check(path).map(|()| file())
            }
            Err(error) => Err(error.into()),
        };
        target.with_context(|| format!("write the document to {}", path.display()))
    }
}

fn is_open_at(inode: &Metadata, stream: &impl AsFd) -> bool {
    fstat(stream).is_ok_and(|open| (open.st_dev, open.st_ino) == (inode.dev(), inode.ino()))
}

fn is_terminal(path: &Path) -> bool {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let mut options = File::options();
    let device = options.write(true).custom_flags(flags.bits()).open(path);
    device.is_ok_and(|device| device.is_terminal())
}

/// Opens a pipe or device to write to. Waits until a pipe has a reader.
///
/// # Errors
/// If it cannot be written, or a stop is requested while it has no reader.
pub fn open_special(path: &Path, stop: &Stop) -> anyhow::Result<File> {
    let mut options = File::options();
    let waiting = options.append(true).custom_flags(libc::O_NONBLOCK);
    let file = loop {
        match waiting.open(path) {
            Ok(file) => break file,
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => {
                let mut signals = [PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut signals, PollTimeout::from(PAUSE_MS));
                if stop.asked() {
                    return Err(stopped().into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    };
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_kind_of_file_decides_the_target() {
        let dir = tempfile::tempdir().unwrap();
        let (file, fresh) = (dir.path().join("file"), dir.path().join("fresh"));
        fs::write(&file, "old").unwrap();
        for path in [&file, &fresh] {
            let target = Target::of(Some(path)).unwrap();
            assert_eq!(target, (Target::File(path.clone()), false));
        }
        let null = Path::new("/dev/null");
        assert_eq!(
            Target::of(Some(null)).unwrap(),
            (Target::Special(null.to_owned()), false)
        );
        assert_eq!(
            Target::of(Some(Path::new("-"))).unwrap(),
            (Target::Stdout, false)
        );
    }

    #[test]
    fn an_impossible_target_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [
            dir.path().to_owned(),
            dir.path().join("none/offsets"),
            file.join("offsets"),
        ] {
            let error = Target::of(Some(&path)).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
}
