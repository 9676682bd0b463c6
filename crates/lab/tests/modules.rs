//! The table of functions behind the rule on modules, against the running kernel. Needs root.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::fs;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::os::unix::fs::symlink;

use harness::need_root;
use lab::modules::Modules;
use lab::nft;
use lab::nft::Rewrite;
use lab::nft::Ruleset;
use netlink::Protocol;
use netlink::netns::Namespace;

fn use_everything<A: nft::Address>(address: A) {
    let rewrite = Rewrite {
        from: address,
        from_port: None,
        to: address,
        to_port: None,
    };
    let rules = Ruleset {
        zone: true,
        mark: true,
        dnat: vec![rewrite],
        snat: vec![rewrite],
        nat_requests: false,
    };
    let mut socket = Namespace::create()
        .unwrap()
        .socket(Protocol::Netfilter)
        .unwrap();
    assert_eq!(rules.install(&mut socket).unwrap(), []);
}

#[test]
fn what_has_just_been_used_needs_no_loading() {
    need_root();
    use_everything(Ipv4Addr::LOCALHOST);
    use_everything(Ipv6Addr::LOCALHOST);
    assert_eq!(Modules::running().would_load(nft::MODULES), [""; 0]);

    // The same as a container sees it that shows neither sysfs nor the kernel's modules.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("proc")).unwrap();
    symlink("/proc/kallsyms", dir.path().join("proc/kallsyms")).unwrap();
    assert_eq!(Modules::at(dir.path()).would_load(nft::MODULES), [""; 0]);
}
