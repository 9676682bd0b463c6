//! Without privileges: this namespace has routes, others have none, and one line says why.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use harness::Finished;
use harness::PublicCopy;
use netlink::netns::Namespace;

use crate::program::GWLOOKUP;
use crate::scene::Router;

fn as_nobody(copy: &PublicCopy, args: &[&str]) -> Finished {
    harness::run(copy.as_nobody(&[]).args(args))
}

#[test]
fn records_of_other_namespaces_pass_without_a_route_and_one_warning() {
    let router = Router::new();
    let copy = PublicCopy::of(GWLOOKUP);
    let records = copy.folder().join("records");
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
    let finished = as_nobody(&copy, &["--input", records.to_str().unwrap()]);
    assert_eq!(finished.code, 0, "{finished:?}");
    let routed: Vec<bool> = finished
        .records()
        .iter()
        .map(|record| record.get("route").is_some())
        .collect();
    assert_eq!(routed, [true, false, false, false]);
    // Number 1 is nobody's. That is known if no process hides its namespace from this one.
    let summaries = [
        "2 namespace forbidden, 1 namespace not found",
        "3 namespace forbidden",
    ];
    let expected = summaries.map(|summary| {
        format!(
            "gwlookup: cannot look up routes in other network namespaces: CAP_SYS_ADMIN and CAP_SYS_PTRACE missing\n\
             gwlookup: 4 records: 1 with a route, 3 without ({summary}); 0 lost\n"
        )
    });
    assert!(expected.contains(&finished.err), "{}", finished.err);
}

#[test]
fn asking_in_a_forbidden_namespace_names_the_privilege() {
    let router = Router::new();
    let copy = PublicCopy::of(GWLOOKUP);
    let target = format!("127.0.0.1,,{}", router.path());
    let finished = as_nobody(&copy, &["--get", &target]);
    assert_eq!((finished.code, finished.out.as_str()), (4, ""));
    assert_eq!(finished.err.lines().count(), 1);
    assert!(finished.err.contains("CAP_SYS_ADMIN"), "{finished:?}");
}

#[test]
fn a_ring_of_someone_else_names_what_is_missing() {
    let place = crate::ring::TestRing::new();
    let writer = place.writer();
    let everyone = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.directory.path(), everyone).unwrap();
    let copy = PublicCopy::of(GWLOOKUP);
    let finished = as_nobody(&copy, &["--ring", &place.path]);
    assert_eq!(finished.code, 4, "{finished:?}");
    assert_eq!(finished.err.lines().count(), 1);
    assert!(finished.err.contains("CAP_DAC_OVERRIDE"), "{finished:?}");
    drop(writer);
}
