//! Where network namespaces are found on this host: names, mounts, processes, threads, descriptors.
//! Opens none.

use std::fs;
use std::io;
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::error::Error;
use super::namespace::Namespace;
use super::namespace::OWN;

/// Where named namespaces are bound: by `ip netns` and by container engines.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];
/// The mounts that the calling thread sees.
const MOUNTS: &str = "/proc/thread-self/mountinfo";

/// A file that stands for a network namespace. It keeps nothing open, so it does not keep the
/// namespace alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    inum: u32,
}

impl Place {
    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The namespace's inode number.
    #[must_use]
    pub fn inum(&self) -> u32 {
        self.inum
    }

    /// Opens the namespace.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the file has gone or stands for another namespace now, or another
    /// error if it cannot be opened.
    pub fn open(&self) -> Result<Namespace, Error> {
        let gone = Error::NotFound { inum: self.inum };
        match Namespace::open(&self.path) {
            Ok(found) if found.inum() == self.inum => Ok(found),
            Ok(_) | Err(Error::NotANamespace { .. }) => Err(gone),
            Err(error) if error.is_gone() => Err(gone),
            Err(error) => Err(error),
        }
    }
}

/// What looking at one file came to.
pub(super) enum Look {
    /// It stands for a namespace.
    Here(Place),
    /// It may not be looked at; holds its path.
    Hidden(PathBuf),
}

/// Named and mounted namespaces, then those of processes. Other files and what ends meanwhile is
/// left out.
pub(super) fn usual() -> impl Iterator<Item = Look> {
    let named = NAMED.iter().flat_map(|dir| entries(Path::new(dir)));
    let named = named.filter_map(|path| look(path, by_inode));
    let mounts = iter::once_with(|| fs::read_to_string(MOUNTS).unwrap_or_default());
    let mounts = mounts.flat_map(|text| mounted(&text)).map(Look::Here);
    let processes = processes().filter_map(|process| look(process.join("ns/net"), by_link));
    named.chain(mounts).chain(processes)
}

/// Namespaces that only a thread is in, or only a descriptor keeps: a search of every process but those
/// that hide, which are among the [`usual`] places.
pub(super) fn unusual() -> impl Iterator<Item = Look> {
    processes().flat_map(|process| {
        let threads = entries(&process.join("task")).map(|thread| thread.join("ns/net"));
        let descriptors = entries(&process.join("fd"));
        let links = threads.chain(descriptors);
        let looked = links.filter_map(|path| look(path, by_link));
        looked.filter(|looked| matches!(looked, Look::Here(_)))
    })
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let all = iter::once_with(|| entries(Path::new("/proc"))).flatten();
    all.filter(|path| {
        let name = path.file_name().map_or(&[][..], |name| name.as_bytes());
        name.iter().all(u8::is_ascii_digit)
    })
}

/// What is the same for two processes (`/proc/PID/ns/net`) if and only if they are in one namespace: the
/// inode of a file that each namespace has its own of. Looking there needs no privilege
/// (`get_proc_task_net` in the kernel's `fs/proc/proc_net.c`).
pub(super) fn mark(namespace_of_process: &Path) -> Option<u64> {
    let process = namespace_of_process.parent()?.parent()?;
    let file = process.join("net/dev").metadata().ok()?;
    Some(file.ino())
}

/// The paths in a directory; none if it does not exist.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn look(path: PathBuf, inum: impl Fn(&Path) -> io::Result<Option<u32>>) -> Option<Look> {
    match inum(&path) {
        Ok(inum) => inum.map(|inum| Look::Here(Place { path, inum })),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(Look::Hidden(path)),
        Err(_) => None,
    }
}

/// A name that nothing is bound to (any more) is a usual file, of another file system.
fn by_inode(path: &Path) -> io::Result<Option<u32>> {
    let inode = path.metadata()?;
    let is_ours = inode.dev() == Path::new(OWN).metadata()?.dev();
    let inum = u32::try_from(inode.ino()).ok();
    Ok(inum.filter(|_| is_ours))
}

/// A descriptor may be of anything, so it is not followed.
fn by_link(path: &Path) -> io::Result<Option<u32>> {
    let target = fs::read_link(path)?;
    Ok(target.to_str().and_then(inum_of))
}

/// `net:[4026531840]`.
fn inum_of(name: &str) -> Option<u32> {
    name.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// The network namespaces among the lines of a `mountinfo` (`proc_pid_mountinfo(5)`).
fn mounted(mountinfo: &str) -> Vec<Place> {
    let namespace = |line: &str| {
        let (mount, system) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let inum = inum_of(words.next()?)?;
        let path = unescaped(words.next()?);
        let is_nsfs = system.split(' ').next() == Some("nsfs");
        is_nsfs.then_some(Place { path, inum })
    };
    mountinfo.lines().filter_map(namespace).collect()
}

/// A path as `mountinfo` writes it: blanks and backslashes are three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let octal = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                path.push(byte.into());
                path.push_str(&part[3..]);
            }
            None => {
                path.push('\\');
                path.push_str(part);
            }
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_namespaces_are_those_of_nsfs() {
        let mountinfo = "\
22 1 0:20 / /proc rw,relatime - proc proc rw
90 25 0:4 net:[4026532315] /run/netns/a rw shared:40 - nsfs nsfs rw
91 25 0:4 mnt:[4026532316] /run/mnt rw - nsfs nsfs rw
92 25 0:4 net:[4026532317] /var/my\\040net rw shared:1 master:2 - nsfs nsfs rw
93 25 0:9 net:[1] /run/not rw - tmpfs tmpfs rw
94 25";
        let places = mounted(mountinfo);
        let seen: Vec<(u32, &Path)> = places
            .iter()
            .map(|place| (place.inum, place.path.as_path()))
            .collect();
        let expected = [
            (4_026_532_315, Path::new("/run/netns/a")),
            (4_026_532_317, Path::new("/var/my net")),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn paths_are_unescaped() {
        for (text, path) in [
            ("/a", "/a"),
            ("/a\\040b\\134c", "/a b\\c"),
            ("/a\\9", "/a\\9"),
            ("\\", "\\"),
        ] {
            assert_eq!(unescaped(text), Path::new(path), "{text}");
        }
    }
}
