//! Without privileges: this namespace has routes, others have none, and one line says why.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::process::Stdio;

use netlink::netns::Namespace;
use tempfile::TempDir;

use crate::program::Finished;
use crate::program::Running;
use crate::scene::Router;

/// Who owns nothing.
const NOBODY: u32 = 65_534;

/// A copy of the program that anyone may run.
fn as_nobody(directory: &TempDir, args: &[&str]) -> Finished {
    let program = directory.path().join("gwlookup");
    // By another process: what this one still had open for writing when another test forks could
    // not be run (ETXTBSY).
    let mut install = Command::new("install");
    install.args(["-m", "755", env!("CARGO_BIN_EXE_gwlookup")]);
    assert!(install.arg(&program).status().unwrap().success());
    let everyone = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), everyone).unwrap();
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Running::start(&mut command).finish()
}

#[test]
fn records_of_other_namespaces_pass_without_a_route_and_one_warning() {
    let router = Router::new();
    let directory = TempDir::new().unwrap();
    let records = directory.path().join("records");
    let own = Namespace::current().unwrap().inum();
    let lines: String = [own, router.inum(), 1, router.inum()]
        .map(|netns| {
            format!(
                r#"{{"type":"new","ts_ns":1,"netns":{netns},"orig":{{"src":"127.0.0.1","dst":"127.0.0.1"}},"reply":{{"src":"127.0.0.1","dst":"127.0.0.1"}}}}"#
            ) + "\n"
        })
        .concat();
    fs::write(&records, lines).unwrap();
    fs::set_permissions(&records, fs::Permissions::from_mode(0o644)).unwrap();
    let finished = as_nobody(&directory, &["--input", records.to_str().unwrap()]);
    assert_eq!(finished.code, 0, "{finished:?}");
    let routed: Vec<bool> = finished
        .records()
        .iter()
        .map(|record| record.get("route").is_some())
        .collect();
    assert_eq!(routed, [true, false, false, false]);
    assert_eq!(
        finished.stderr,
        "gwlookup: cannot look up routes in other network namespaces: CAP_SYS_ADMIN and CAP_SYS_PTRACE missing\n\
         gwlookup: 4 records: 1 with a route, 3 without (3 namespace forbidden); 0 lost\n"
    );
}

#[test]
fn asking_in_a_forbidden_namespace_names_the_privilege() {
    let router = Router::new();
    let directory = TempDir::new().unwrap();
    let target = format!("127.0.0.1,,{}", router.path());
    let finished = as_nobody(&directory, &["--get", &target]);
    assert_eq!((finished.code, finished.stdout.as_str()), (4, ""));
    assert_eq!(finished.stderr.lines().count(), 1);
    assert!(finished.stderr.contains("CAP_SYS_ADMIN"), "{finished:?}");
}

#[test]
fn a_ring_of_someone_else_names_what_is_missing() {
    let place = crate::ring::Place::new();
    let writer = place.writer();
    let everyone = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.directory.path(), everyone).unwrap();
    let directory = TempDir::new().unwrap();
    let finished = as_nobody(&directory, &["--ring", &place.path]);
    assert_eq!(finished.code, 4, "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1);
    assert!(finished.stderr.contains("CAP_DAC_OVERRIDE"), "{finished:?}");
    drop(writer);
}
