//! Namespaces on the running kernel. Needs root; leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use harness::Namespace as Named;
use harness::Process;
use harness::need_root;
use netlink::Protocol;
use netlink::Request;
use netlink::netns;
use netlink::netns::Error;
use netlink::netns::Namespace;

fn own_inum() -> u32 {
    let link = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let text = link.to_str().unwrap();
    text.trim_start_matches("net:[")
        .trim_end_matches(']')
        .parse()
        .unwrap()
}

/// Whether the namespace is nowhere to be found. A process with more capabilities than this one
/// hides its own namespace, so "hidden" is as good an answer as "not found".
fn is_gone(inum: u32) -> bool {
    match netns::find(inum) {
        Err(Error::NotFound { inum: asked } | Error::Hidden { inum: asked, .. }) => asked == inum,
        _ => false,
    }
}

/// A process that stays in the namespace it was started in.
fn sleeper() -> Process {
    Process::start(Command::new("sleep").arg("60").stdout(Stdio::null()))
}

#[test]
fn several_namespaces_are_visited_in_any_order() {
    need_root();
    let home = own_inum();
    let first = Namespace::create().unwrap();
    let second = Namespace::create().unwrap();
    assert_eq!(own_inum(), home, "making one does not move the thread");
    assert!(first.inum() != second.inum() && first.inum() != home && second.inum() != home);
    {
        let _in_second = second.visit().unwrap();
        assert_eq!(own_inum(), second.inum());
        let in_first = first.visit().unwrap();
        assert_eq!(own_inum(), first.inum());
        in_first.leave().unwrap();
        assert_eq!(own_inum(), second.inum());
    }
    assert_eq!(own_inum(), home);
    let _again = first.try_clone().unwrap().visit().unwrap();
    assert_eq!(own_inum(), first.inum());
}

#[test]
fn loopback_carries_packets_in_a_new_namespace() {
    need_root();
    let lab = Namespace::create().unwrap();
    let _inside = lab.visit().unwrap();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let receiver = UdpSocket::bind(address).unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        UdpSocket::bind(address)
            .unwrap()
            .send_to(b"hello", receiver.local_addr().unwrap())
            .unwrap();
        assert_eq!(receiver.recv(&mut [0; 16]).unwrap(), 5, "{address}");
    }
}

#[test]
fn other_threads_stay_where_they_are() {
    need_root();
    let home = own_inum();
    let lab = Namespace::create().unwrap();
    assert_eq!(lab.run(own_inum).unwrap(), lab.inum());
    assert_eq!(own_inum(), home);
    let _inside = lab.visit().unwrap();
    thread::scope(|scope| {
        // A thread starts where the one is that starts it, and leaves it alone.
        scope.spawn(|| Namespace::create().unwrap());
    });
    assert_eq!(own_inum(), lab.inum());
}

#[test]
fn a_socket_opened_inside_sees_the_inside() {
    need_root();
    let lab = Namespace::create().unwrap();
    let mut socket = lab.socket(Protocol::Route).unwrap();
    let mut links = Vec::new();
    let _ = socket
        .dump(&mut Request::new(libc::RTM_GETLINK, 0, &[0; 16]), |link| {
            let (ifinfomsg, _) = link.split::<16>().unwrap();
            links.push(i32::from_ne_bytes(ifinfomsg[4..8].try_into().unwrap()));
        })
        .unwrap();
    assert_eq!(links.first(), Some(&1), "loopback comes first: {links:?}");
    let outside = fs::read_dir("/sys/class/net").unwrap().count();
    let inside = lab
        .run(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap())
        .unwrap();
    assert_eq!(
        links.len(),
        inside.lines().count() - 2,
        "{outside} outside, inside:\n{inside}"
    );
}

#[test]
fn a_namespace_is_found_through_a_process_and_gone_with_it() {
    need_root();
    let lab = Namespace::create().unwrap();
    let inum = lab.inum();
    assert_eq!(netns::find(own_inum()).unwrap().inum(), own_inum());
    assert!(is_gone(inum), "only this test's descriptor holds it");
    let sleeper = lab.run(sleeper).unwrap();
    assert_eq!(netns::find(inum).unwrap().inum(), inum);
    drop(sleeper);
    assert!(is_gone(inum));
}

/// The places of a survey that this namespace is in.
fn surveyed(inum: u32) -> Vec<netns::Place> {
    let places = netns::survey().places.into_iter();
    places.filter(|place| place.inum() == inum).collect()
}

#[test]
fn a_survey_has_each_namespace_once_and_keeps_none_alive() {
    need_root();
    assert_eq!(surveyed(own_inum()).len(), 1);
    let named = Named::new();
    let inum = named.inum();
    // A process is in it, too.
    let inside = Namespace::open(Path::new(&named.path())).unwrap();
    let sleeper = inside.run(sleeper).unwrap();
    drop(inside);
    let places = surveyed(inum);
    assert_eq!(places.len(), 1, "{places:?}");
    assert_eq!(places[0].open().unwrap().inum(), inum);
    drop((sleeper, named));
    assert_eq!(
        places[0].open().unwrap_err(),
        Error::NotFound { inum },
        "the place keeps it"
    );
    assert!(surveyed(inum).is_empty());
}

#[test]
fn a_namespace_that_is_mounted_anywhere_is_surveyed() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my net");
    fs::write(&path, "").unwrap();
    let lab = Namespace::create().unwrap();
    let inum = lab.inum();
    let mount = |args: &[&std::ffi::OsStr]| Command::new(args[0]).args(&args[1..]).status();
    let file = format!(
        "/proc/{}/task/{}/ns/net",
        std::process::id(),
        nix::unistd::gettid()
    );
    let bound = lab.visit().unwrap();
    let status = mount(&[
        "mount".as_ref(),
        "--bind".as_ref(),
        file.as_ref(),
        path.as_ref(),
    ]);
    bound.leave().unwrap();
    assert!(status.unwrap().success());
    drop(lab);
    let places = surveyed(inum);
    let opened = places.first().map(|place| place.open().map(|it| it.inum()));
    assert!(
        mount(&["umount".as_ref(), path.as_ref()])
            .unwrap()
            .success()
    );
    assert_eq!(opened, Some(Ok(inum)));
    assert!(surveyed(inum).is_empty());
}

#[test]
fn what_only_a_descriptor_keeps_is_in_a_full_survey() {
    need_root();
    let lab = Namespace::create().unwrap();
    let inum = lab.inum();
    assert!(is_gone(inum) && surveyed(inum).is_empty());
    let full = || {
        let mut places = netns::full_survey().places.into_iter();
        places.find(|place| place.inum() == inum)
    };
    let place = full().unwrap();
    assert_eq!(place.open().unwrap().inum(), inum);
    drop(lab);
    assert_eq!(full(), None);
}

#[test]
fn a_named_namespace_is_found_and_other_files_are_not() {
    need_root();
    let named = Named::new();
    let path = Path::new("/run/netns").join(named.name());
    let inum = Namespace::open(&path).unwrap().inum();
    assert_eq!(netns::find(inum).unwrap().inum(), inum);
    drop(named);
    assert!(is_gone(inum));

    let file = Path::new("/proc/self/status");
    assert_eq!(
        Namespace::open(file).unwrap_err(),
        Error::NotANamespace {
            path: file.to_owned()
        }
    );
    assert!(matches!(
        Namespace::open(&path).unwrap_err(),
        Error::Open { .. }
    ));
}
