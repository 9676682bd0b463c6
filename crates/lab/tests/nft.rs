//! nf_tables batches against the running kernel, in namespaces of their own, as `nft` lists
//! them. Needs root and `/usr/sbin/nft`.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::net::Ipv4Addr;
use std::process::Command;

use harness::need_root;
use lab::Hook;
use lab::nft::Base;
use lab::nft::Batch;
use lab::nft::Compare;
use lab::nft::CtKey;
use lab::nft::Error;
use lab::nft::Expr;
use lab::nft::Family;
use lab::nft::Header;
use lab::nft::MetaKey;
use lab::nft::NatKind;
use lab::nft::Register;
use lab::nft::Value;
use netlink::Protocol;
use netlink::Socket;
use netlink::netns::Namespace;
use netlink::netns::Visit;
use nix::errno::Errno;

use Register::R1;
use Register::R2;

fn lab() -> (Visit, Socket) {
    need_root();
    let inside = Namespace::create().unwrap().visit().unwrap();
    (inside, Socket::open(Protocol::Netfilter).unwrap())
}

fn ruleset() -> String {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_expression_reads_as_it_was_meant() {
    let (_inside, mut socket) = lab();
    let is = |value| Expr::Cmp(R1, Compare::Equal, value);
    let addr = |offset| Expr::Payload(Header::Network, offset, 4, R1);
    let dport = Expr::Payload(Header::Transport, 2, 2, R1);
    let is_udp = [Expr::Meta(MetaKey::L4Proto, R1), is(Value::byte(17))];
    let to = |value: Ipv4Addr| Expr::Immediate(value.into(), R1);
    let nat = |kind, port| Expr::Nat(kind, Family::Ip, R1, port);

    let mut batch = Batch::new(Family::Ip, "t");
    batch.chain("raw", Base::filter(Hook::Prerouting, -300));
    batch.chain("out", Base::filter(Hook::Output, -150));
    batch.chain("dst", Base::nat(Hook::Output, -100));
    batch.chain("src", Base::nat(Hook::Postrouting, 100));
    batch.chain("loose", None);
    let zone = Expr::CtSet(CtKey::Zone, R1);
    batch.rule("raw", &[Expr::Immediate(Value::host_u32(7), R1), zone]);
    batch.rule(
        "out",
        &[
            Expr::Meta(MetaKey::Mark, R1),
            Expr::Cmp(R1, Compare::NotEqual, Value::host_u32(0)),
            Expr::CtSet(CtKey::Mark, R1),
        ],
    );
    let [proto, udp] = is_udp;
    let port = Expr::Immediate(Value::port(5353), R2);
    batch.rule(
        "dst",
        &[
            addr(16),
            is(Ipv4Addr::new(192, 0, 2, 1).into()),
            proto,
            udp,
            dport,
            is(Value::port(53)),
            to(Ipv4Addr::new(192, 0, 2, 2)),
            port,
            nat(NatKind::Dnat, Some(R2)),
        ],
    );
    batch.rule(
        "src",
        &[
            addr(12),
            is(Ipv4Addr::new(192, 0, 2, 3).into()),
            to(Ipv4Addr::new(192, 0, 2, 4)),
            nat(NatKind::Snat, None),
        ],
    );
    let new = Value::host_u32(8); // NF_CT_STATE_BIT(IP_CT_NEW)
    batch.rule("loose", &[Expr::CtLoad(CtKey::State, R1), is(new)]);
    batch.commit(&mut socket).unwrap();

    let text = ruleset();
    for line in [
        "type filter hook prerouting priority raw; policy accept;",
        "type filter hook output priority mangle; policy accept;",
        "type nat hook output priority -100; policy accept;",
        "type nat hook postrouting priority srcnat; policy accept;",
        "ct original zone set 7",
        "meta mark != 0x00000000 ct mark set meta mark",
        "ip daddr 192.0.2.1 udp dport 53 dnat to 192.0.2.2:5353",
        "ip saddr 192.0.2.3 snat to 192.0.2.4",
        "ct state == new",
    ] {
        assert!(
            text.lines().any(|other| other.trim() == line),
            "no line {line:?} in\n{text}"
        );
    }
}

#[test]
fn a_refused_batch_names_its_objects_and_leaves_nothing() {
    let (_inside, mut socket) = lab();
    let mut batch = Batch::new(Family::Ip, "t");
    batch.chain("good", Base::filter(Hook::Forward, 0));
    batch.chain("bad", Base::nat(Hook::Forward, 0));
    batch.rule("good", &[Expr::Meta(MetaKey::Mark, R1)]);
    batch.rule("missing", &[Expr::Meta(MetaKey::Mark, R1)]);
    let error = batch.commit(&mut socket).unwrap_err();
    let Error::Refused(refused) = &error else {
        panic!("{error}")
    };
    let refused: Vec<_> = refused
        .iter()
        .map(|refused| (refused.object, refused.name.as_str(), refused.refusal.errno))
        .collect();
    let bad = (2, "chain ip t bad", Errno::EOPNOTSUPP);
    let missing = (4, "rule in chain ip t missing", Errno::ENOENT);
    assert_eq!(refused, [bad, missing]);
    assert!(
        error
            .to_string()
            .starts_with("nftables refused chain ip t bad: EOPNOTSUPP"),
        "{error}"
    );
    assert_eq!(ruleset(), "");
}

#[test]
fn nothing_exists_twice() {
    let (_inside, mut socket) = lab();
    for expected in [None, Some(Errno::EEXIST)] {
        let batch = Batch::new(Family::Ip6, "t");
        let errno = match batch.commit(&mut socket) {
            Ok(()) => None,
            Err(Error::Refused(refused)) => Some(refused[0].refusal.errno),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(errno, expected);
    }
}
