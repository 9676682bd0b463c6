//! Rings among other users: what they put under the name, what they lock, and many writers that start at once.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::lchown;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::mpsc;
use std::thread;

use harness::PATIENCE;
use harness::need_root;
use harness::unique;
use nix::fcntl::FcntlArg;
use nix::fcntl::Flock;
use nix::fcntl::FlockArg;
use nix::fcntl::fcntl;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use shared::ring::Reader;
use shared::ring::RingError;
use shared::ring::RingName;
use shared::ring::Writer;
use shared::ring::layout::Source;
use shared::ring::lock;
use shared::ring::reader::Writer as WriterState;
use tempfile::TempDir;

/// Smallest ring: 64 slots.
const SMALL_BYTES: u64 = 4096 + 64 * 192;
/// A user who is not root.
const STRANGER: u32 = 65_533;

fn ring_at(path: &Path) -> RingName {
    path.to_str().unwrap().parse().unwrap()
}

fn create(name: &RingName) -> Result<Writer, RingError> {
    Writer::create(name, SMALL_BYTES, Source::Tracepoint)
}

/// What this returns; it fails if that takes for ever.
fn promptly<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(what()));
    receiver.recv_timeout(PATIENCE).expect("it does not hang")
}

/// Both ends on this name, as errors.
fn refusals(name: &RingName) -> [String; 2] {
    let (reader, writer) = (name.clone(), name.clone());
    [
        promptly(move || Reader::open(&reader).err().expect("refused").to_string()),
        promptly(move || create(&writer).err().expect("refused").to_string()),
    ]
}

/// The state after `kill -9`: the file is unchanged, and no process holds its lock.
fn leftover(name: &RingName) {
    let writer = create(name).unwrap();
    let bytes = fs::read(name.path()).unwrap();
    drop(writer);
    fs::write(name.path(), bytes).unwrap();
}

/// One thing of each kind, under the name `ring` in a directory of its own.
fn planted() -> Vec<(&'static str, TempDir, PathBuf)> {
    let plant = |what, make: &dyn Fn(&Path)| {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("ring");
        make(&path);
        (what, directory, path)
    };
    vec![
        plant("a FIFO", &|path| mkfifo(path, Mode::S_IRWXU).unwrap()),
        plant("a directory", &|path| fs::create_dir(path).unwrap()),
        plant("a symbolic link", &|path| {
            let target = path.with_file_name("target");
            leftover(&ring_at(&target));
            symlink(target, path).unwrap();
        }),
        plant("a socket", &|path| {
            drop(UnixListener::bind(path).unwrap());
        }),
    ]
}

#[test]
fn what_is_no_file_is_neither_followed_nor_waited_for_nor_removed() {
    for (what, directory, path) in planted() {
        let target = directory.path().join("target");
        let before = fs::read(&target).ok();
        let owner = fs::symlink_metadata(&path).unwrap().uid();
        let shown = path.display();
        assert_eq!(
            refusals(&ring_at(&path)),
            [
                format!("{shown} is {what} of user {owner}, not a ring"),
                format!(
                    "ring {shown} cannot be made: {what} of user {owner} has that name; \
                     remove it or choose another name"
                )
            ]
        );
        assert!(fs::symlink_metadata(&path).is_ok());
        assert_eq!(
            fs::read(&target).ok(),
            before,
            "{what}: nothing was written"
        );
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, 1 + usize::from(before.is_some()), "{what}");
    }
    let device = "/dev/zero".parse().unwrap();
    let [reader, writer] = refusals(&device);
    assert_eq!(reader, "/dev/zero is a device of user 0, not a ring");
    assert!(writer.contains("a device of user 0 has that name"));
}

#[test]
fn a_file_that_is_no_ring_is_not_replaced() {
    let directory = TempDir::new().unwrap();
    let name = ring_at(&directory.path().join("ring"));
    fs::write(name.path(), "notes of years").unwrap();
    let error = create(&name).err().expect("refused");
    assert!(matches!(error, RingError::Occupied { .. }), "{error}");
    assert_eq!(fs::read(name.path()).unwrap(), b"notes of years");

    // But what is left of a ring that was cut is.
    fs::write(name.path(), "").unwrap();
    drop(create(&name).unwrap());
}

#[test]
fn a_lock_that_any_user_can_hold_delays_no_start() {
    let directory = TempDir::new().unwrap();
    let name = ring_at(&directory.path().join("ring"));
    leftover(&name);
    // flock(2) needs no more than to open something for reading.
    let locks = [directory.path(), name.path()].map(|path| {
        let file = File::open(path).unwrap();
        Flock::lock(file, FlockArg::LockExclusive).unwrap()
    });
    let writer = promptly(move || create(&name)).unwrap();
    drop((writer, locks));
}

#[test]
fn a_lock_for_reading_is_no_sign_of_a_living_writer() {
    let directory = TempDir::new().unwrap();
    let name = ring_at(&directory.path().join("ring"));
    leftover(&name);
    let file = File::open(name.path()).unwrap();
    let lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    let reader = Reader::open(&name).unwrap();
    assert_eq!(reader.writer().unwrap(), WriterState::Died);
    let refused = {
        let name = name.clone();
        promptly(move || create(&name).err().expect("refused"))
    };
    assert!(matches!(refused, RingError::Contended(_)), "{refused}");
    drop(file);
    drop(create(&name).unwrap());
}

#[test]
fn a_ring_of_another_user_is_not_read() {
    need_root();
    let directory = TempDir::new().unwrap();
    let name = ring_at(&directory.path().join("ring"));
    let writer = create(&name).unwrap();
    assert!(Reader::open(&name).is_ok());
    lchown(name.path(), Some(STRANGER), None).unwrap();
    match Reader::open(&name) {
        Err(RingError::Owner { owner, .. }) => assert_eq!(owner, STRANGER),
        other => panic!("{:?}", other.err()),
    }
    drop(writer);
}

/// A name in /dev/shm; what is left of it goes with this.
struct Shared(RingName);

impl Shared {
    fn new() -> Self {
        Self(unique().parse().unwrap())
    }

    /// What was set aside.
    fn aside(&self) -> Vec<PathBuf> {
        let prefix = format!(".{}.", self.0.path().file_name().unwrap().to_str().unwrap());
        let paths = fs::read_dir(self.0.directory()).unwrap().flatten();
        paths
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for path in self.aside().into_iter().chain([self.0.path().to_owned()]) {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }
}

#[test]
fn nobody_keeps_root_from_a_name_in_dev_shm() {
    need_root();
    let fifo = |path: &Path| mkfifo(path, Mode::S_IRWXU).unwrap();
    let full_directory = |path: &Path| fs::create_dir_all(path.join("full")).unwrap();
    for plant in [&fifo as &dyn Fn(&Path), &full_directory] {
        let shared = Shared::new();
        let name = shared.0.clone();
        plant(name.path());
        lchown(name.path(), Some(STRANGER), None).unwrap();
        let planted = fs::symlink_metadata(name.path()).unwrap().ino();
        let writer = promptly(move || create(&name)).unwrap();
        assert!(Reader::open(&shared.0).is_ok());
        let aside = shared.aside();
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(fs::symlink_metadata(&aside[0]).unwrap().ino(), planted);
        drop(writer);
    }

    // A locked ring, be it forged or real, is no ring of root's.
    let shared = Shared::new();
    let theirs = create(&shared.0).unwrap();
    lchown(shared.0.path(), Some(STRANGER), None).unwrap();
    let ours = create(&shared.0).unwrap();
    assert_eq!(fs::metadata(shared.0.path()).unwrap().uid(), 0);
    drop(theirs);
    assert!(shared.0.path().exists(), "the name is no longer theirs");
    drop(ours);
}

#[test]
fn elsewhere_what_belongs_to_another_stays_and_is_named() {
    need_root();
    let directory = TempDir::new().unwrap();
    let name = ring_at(&directory.path().join("ring"));
    leftover(&name);
    // Locked, as the ring of a living writer is.
    let file = OpenOptions::new().write(true).open(name.path()).unwrap();
    lock::hold(&file).unwrap();
    lchown(name.path(), Some(STRANGER), None).unwrap();
    match promptly(move || create(&name)) {
        Err(RingError::Occupied { owner, .. }) => assert_eq!(owner, STRANGER),
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn of_many_writers_that_start_at_once_exactly_one_lives() {
    const WRITERS: usize = 12;
    for round in 0..200 {
        let directory = TempDir::new().unwrap();
        let name = ring_at(&directory.path().join("ring"));
        if round % 10 != 0 {
            leftover(&name);
        }
        let (start, tried) = (Barrier::new(WRITERS), Barrier::new(WRITERS));
        let lived: usize = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        let writer = create(&name);
                        tried.wait();
                        match writer {
                            Ok(writer) => {
                                let reader = Reader::open(&name).unwrap();
                                assert_eq!(reader.writer().unwrap(), WriterState::Alive);
                                drop(writer);
                                assert_eq!(reader.writer().unwrap(), WriterState::Closed);
                                1
                            }
                            Err(RingError::Busy { pid, .. }) => {
                                assert_eq!(pid, std::process::id());
                                0
                            }
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            let ends = writers.into_iter().map(|writer| writer.join().unwrap());
            ends.sum()
        });
        assert_eq!(lived, 1, "round {round}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
