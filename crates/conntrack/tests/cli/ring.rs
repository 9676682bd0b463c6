//! The ring's name among other users, and a ring that is cut while it is written.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::process::Stdio;

use harness::Running;
use nix::fcntl::Flock;
use nix::fcntl::FlockArg;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::CONNTRACK;
use super::apart;
use super::conntrack;
use super::refuses;

#[test]
fn what_has_the_name_and_is_no_ring_is_named_and_stays() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ring");
    let shown = path.to_str().unwrap();
    let refused = |what: &str| {
        let output = conntrack(&["--source", "netlink", "--ring", shown]);
        let said = format!(
            "ring {shown} cannot be made: {what} of user 0 has that name; \
             remove it or choose another name"
        );
        refuses(&output, 3, &said);
        assert!(fs::symlink_metadata(&path).is_ok());
    };
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    refused("a FIFO");
    fs::remove_file(&path).unwrap();
    symlink("/dev/null", &path).unwrap();
    refused("a symbolic link");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "notes").unwrap();
    refused("a file that is no ring");
}

#[test]
fn a_lock_that_any_user_can_hold_delays_no_start() {
    let directory = TempDir::new().unwrap();
    let held = File::open(directory.path()).unwrap();
    let _held = Flock::lock(held, FlockArg::LockExclusive).unwrap();
    let path = directory.path().join("ring");
    let ring = path.to_str().unwrap();
    let output = conntrack(&["--source", "netlink", "--ring", ring, "--duration", "0"]);
    assert_eq!(output.code, 0, "{}", output.err);
}

#[test]
fn a_ring_that_is_cut_while_it_is_written_ends_the_writer_with_one_line() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ring");
    for length in [0, 5000] {
        let mut command = Command::new("sh");
        // Its stdout is the descriptor on which it says that it is ready.
        apart(&mut command)
            .args(["-c", "exec \"$@\" --ready-fd 3 3>&1", "sh", CONNTRACK])
            .args(["--source", "netlink", "--ring", path.to_str().unwrap()])
            .stdin(Stdio::null());
        let mut running = Running::start(&mut command);
        assert_eq!(running.line(), "\n");
        let ring = OpenOptions::new().write(true).open(&path).unwrap();
        ring.set_len(length).unwrap();
        let output = running.finish();
        assert_eq!(output.code, 3, "{}", output.err);
        let shown = path.display();
        let said =
            format!("conntrack: ring {shown} was cut short or overwritten by another process\n");
        assert_eq!(output.err, said);
        assert!(!path.exists());
    }
}
