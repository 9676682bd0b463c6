//! How a writer's file gets the ring's name. It is finished without a name, and the name is linked to it: of any
//! number of writers that start at once, the kernel lets one do that. No lock is waited for.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::hash::BuildHasher as _;
use std::hash::Hasher as _;
use std::hash::RandomState;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::fcntl::AtFlags;
use nix::unistd::Uid;
use nix::unistd::geteuid;
use nix::unistd::linkat;

use super::RingError;
use super::RingName;
use super::lock;
use super::lock::Succession;
use super::name::DIRECTORY;
use super::place;
use super::place::Found;

/// How long another process may take to replace the ring of a dead writer.
const PATIENCE: Duration = Duration::from_millis(800);

/// A new file without a name, or with one that nobody can guess.
pub struct Draft {
    file: File,
    hidden: Option<Hidden>,
}

/// The name of a file, removed when this is dropped.
struct Hidden(PathBuf);

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Draft {
    /// Makes a file in the directory of the ring.
    ///
    /// # Errors
    /// What the system refused.
    pub fn beside(ring: &RingName) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let unnamed = options
            .clone()
            .custom_flags(libc::O_TMPFILE)
            .open(ring.directory());
        match unnamed {
            // Not every file system has files without a name.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
                ) =>
            {
                let path = beside(ring, "");
                let file = options.create_new(true).open(&path)?;
                let hidden = Some(Hidden(path));
                Ok(Self { file, hidden })
            }
            file => file.map(|file| Self { file, hidden: None }),
        }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the finished file the ring's name, which it takes from the ring of a dead writer.
    ///
    /// # Errors
    /// [`RingError::Busy`] if a running process writes the ring of this name; [`RingError::Occupied`] if
    /// something else is there; [`RingError::Contended`]; or what the system refused.
    pub fn publish(self, ring: &RingName) -> Result<File, RingError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match self.link(ring) {
                Ok(()) => return Ok(self.file),
                Err(Errno::EEXIST) if Instant::now() < give_up => make_room(ring)?,
                Err(Errno::EEXIST) => return Err(RingError::Contended(ring.to_string())),
                Err(errno) => return Err(RingError::io("name ring", ring)(errno.into())),
            }
        }
    }

    fn link(&self, ring: &RingName) -> nix::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let from = self
            .hidden
            .as_ref()
            .map_or(Path::new(&unnamed), |hidden| &hidden.0);
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        linkat(AT_FDCWD, from, AT_FDCWD, ring.path(), follow)
    }
}

/// Takes away what has the ring's name, if that is right. If it was somebody else's turn, the name may still
/// be taken afterwards.
fn make_room(ring: &RingName) -> Result<(), RingError> {
    let Some(found) = place::look(ring)? else {
        return Ok(());
    };
    let occupied = |what| RingError::Occupied {
        name: ring.to_string(),
        what,
        owner: found.owner,
    };
    let me = geteuid();
    if Uid::from_raw(found.owner) != me {
        // In the directory of all rings, no user can keep root from a name.
        if me.is_root() && ring.directory() == Path::new(DIRECTORY) {
            return set_aside(ring, found);
        }
        return Err(occupied(found.what));
    }
    if found.what != place::FILE {
        return Err(occupied(found.what));
    }
    let file = match place::open(ring, true) {
        Ok((file, meta)) if Found::of(&meta).id == found.id => file,
        Ok(_) | Err(RingError::Missing(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    if !place::is_ring(&file).map_err(RingError::io("read", ring))? {
        return Err(occupied("a file that is no ring"));
    }
    match lock::succeed(&file).map_err(RingError::io("lock ring", ring))? {
        Succession::Ours if place::look(ring)? == Some(found) => {
            // Everyone who would replace it needs the lock, so it still is that file.
            fs::remove_file(ring.path()).map_err(RingError::io("replace ring", ring))
        }
        Succession::Ours => Ok(()),
        Succession::Alive => Err(RingError::Busy {
            name: ring.to_string(),
            pid: place::writer_pid(&file).unwrap_or(0),
        }),
        Succession::Contended => {
            thread::sleep(Duration::from_millis(1));
            Ok(())
        }
    }
}

/// Renames what another user has put under the name. Nothing of it is lost, and nothing of it is used.
fn set_aside(ring: &RingName, found: Found) -> Result<(), RingError> {
    let aside = beside(ring, &format!("user-{}.", found.owner));
    match fs::rename(ring.path(), &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(RingError::io("set aside what is in the place of", ring))?,
    }
    let moved = fs::symlink_metadata(&aside).map(|meta| Found::of(&meta));
    if moved.is_ok_and(|moved| moved.id == found.id) {
        let (what, owner) = (found.what, found.owner);
        log::warn!(
            "{ring} was {what} of user {owner}: it is {} now",
            aside.display()
        );
    } else {
        // Its owner removed it, and another ring got the name: that one gets it back.
        let none = AtFlags::empty();
        let _ = linkat(AT_FDCWD, &aside, AT_FDCWD, ring.path(), none);
        let _ = fs::remove_file(&aside);
    }
    Ok(())
}

/// A hidden name beside the ring that nobody can guess.
fn beside(ring: &RingName, mark: &str) -> PathBuf {
    let random = RandomState::new().build_hasher().finish();
    let file_name = ring.path().file_name().unwrap_or_default();
    let file_name = file_name.to_string_lossy();
    ring.directory()
        .join(format!(".{file_name}.{mark}{random:016x}"))
}
