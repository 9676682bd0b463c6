//! Paths of every kind, kernels with and without a field, modules, duplicates, and damaged bytes.

mod synthetic;

use std::io;

use proptest::prelude::any;
use proptest::prelude::prop;
use proptest::proptest;
use shared::offsets::Field;

use super::TypeInfo;
use super::format::Btf;
use super::header::Corrupt;
use super::walk::Absent;
use super::walk::Walk;
use synthetic::FWD;
use synthetic::PTR;
use synthetic::STRUCT;
use synthetic::TYPEDEF;
use synthetic::UNION;
use synthetic::Writer;

fn parse<'a>(bytes: &'a [u8], names: &[&'static str]) -> Btf<'a> {
    Btf::parse(bytes, None, names).unwrap()
}

fn no_module() -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

/// `struct holder { int a; struct { union { T pair[2]; long b; }; int :3; }; empty_t none; }` with
/// `typedef struct { int x; void *p; } T`.
fn holder() -> Vec<u8> {
    let mut btf = Writer::new();
    let int = btf.int(4);
    let long = btf.int(8);
    let pointer = btf.add("", PTR << 24, 0, &[]);
    let pair = btf.object("", 16, &[("x", int, 0), ("p", pointer, 8)]);
    let pair = btf.add("T", TYPEDEF << 24, pair, &[]);
    let pairs = btf.array(pair, 2);
    let inner = btf.composite(UNION, "", 32, &[("pair", pairs, 0), ("b", long, 0)]);
    let flags = 1 << 31 | STRUCT << 24 | 2;
    let bit_field = btf.name("bits");
    let outer = btf.add("", flags, 40, &[0, inner, 0, bit_field, int, 3 << 24 | 256]);
    let empty = btf.object("", 0, &[]);
    // A forward declaration of the same name must not be taken for the struct.
    btf.add("holder", FWD << 24, 0, &[]);
    let members = [
        ("a", int, 0),
        ("", outer, 8),
        ("none", empty, 48),
        ("beyond", long, 44),
    ];
    btf.object("holder", 48, &members);
    btf.bytes()
}

#[test]
fn paths_lead_through_unnamed_members_arrays_and_typedefs() {
    let bytes = holder();
    let btf = parse(&bytes, &["holder"]);
    for (path, bytes, answer) in [
        ("holder.a", 4, Ok(0)),
        ("holder.b", 8, Ok(8)),
        ("holder.pair", 32, Ok(8)),
        ("holder.pair[1].x", 4, Ok(24)),
        ("holder.pair[1].p", 8, Ok(32)),
        ("holder.pair[1]", 16, Ok(24)),
        ("holder.pair[2].x", 4, Err(Absent::Element(2))),
        ("holder.a[0]", 4, Err(Absent::Element(0))),
        ("holder.a.x", 4, Err(Absent::Member("x"))),
        ("holder.bits", 1, Err(Absent::BitField)),
        ("holder.none", 1, Err(Absent::Empty)),
        ("holder.beyond", 8, Err(Absent::Nowhere)),
        ("holder.a", 8, Err(Absent::Small(4))),
        ("holder.nope", 4, Err(Absent::Member("nope"))),
        ("nobody.a", 4, Err(Absent::Struct("nobody"))),
    ] {
        assert_eq!(Walk::new(&btf).offset(path, bytes), answer, "{path}");
    }
}

/// The structs of Sextant's fields, with the members that matter and some that no path may match.
fn kernel(net_ns: bool) -> Writer {
    let mut btf = Writer::new();
    let (half, word, long) = (btf.int(2), btf.int(4), btf.int(8));
    let pointer = btf.add("", PTR << 24, 0, &[]);
    let in6 = btf.object("in6_addr", 16, &[("in6_u", long, 0)]);
    let net_pointer = match net_ns {
        true => btf.object("", 8, &[("net", pointer, 0)]),
        false => btf.object("", 0, &[]),
    };
    let net_pointer = btf.add("possible_net_t", TYPEDEF << 24, net_pointer, &[]);

    let pair = btf.object("", 8, &[("skc_daddr", word, 0), ("skc_rcv_saddr", word, 4)]);
    let pair = btf.composite(UNION, "", 8, &[("skc_addrpair", long, 0), ("", pair, 0)]);
    let ports = btf.object("", 4, &[("skc_dport", half, 0), ("skc_num", half, 2)]);
    let common = [
        ("", pair, 0),
        ("", ports, 12),
        ("skc_family", half, 16),
        ("skc_net", net_pointer, 48),
        ("skc_v6_daddr", in6, 56),
        ("skc_v6_rcv_saddr", in6, 72),
    ];
    let common = btf.object("sock_common", 136, &common);
    let sock = btf.object("sock", 760, &[("__sk_common", common, 0)]);
    let saddr = [
        ("sk", sock, 0),
        ("inet_saddr", word, 784),
        ("inet_sport", half, 804),
    ];
    btf.object("inet_sock", 968, &saddr);
    btf.object(
        "tcp_sock",
        2200,
        &[("srtt_us", word, 1672), ("mdev_us", word, 1676)],
    );
    btf.object("socket", 128, &[("sk", pointer, 24)]);

    let headers = [
        ("transport_header", half, 48),
        ("network_header", half, 50),
        ("mac_header", half, 52),
    ];
    let headers = btf.object("", 60, &headers);
    let headers = btf.composite(UNION, "", 60, &[("", headers, 0), ("headers", headers, 0)]);
    let owner = btf.composite(UNION, "", 8, &[("sk", pointer, 0)]);
    let buffer = [
        ("", owner, 24),
        ("_nfct", long, 104),
        ("", headers, 128),
        ("head", pointer, 200),
    ];
    btf.object("sk_buff", 232, &buffer);

    let ports = btf.object("", 4, &[("dport", half, 0), ("sport", half, 2)]);
    let uli = btf.composite(UNION, "flowi_uli", 8, &[("ports", ports, 0)]);
    btf.object(
        "flowi4",
        64,
        &[("saddr", word, 40), ("daddr", word, 44), ("uli", uli, 48)],
    );
    btf.object(
        "flowi6",
        96,
        &[("daddr", in6, 40), ("saddr", in6, 56), ("uli", uli, 76)],
    );
    let ns = btf.object("ns_common", 24, &[("inum", word, 16)]);
    btf.object("net", 4096, &[("ns", ns, 128)]);
    btf
}

fn tracking(btf: &mut Writer, status_at: u32) {
    let (half, word, long) = (btf.int(2), btf.int(4), btf.int(8));
    let zone = btf.object("nf_conntrack_zone", 4, &[("id", half, 0)]);
    let tuple = btf.object("nf_conntrack_tuple", 40, &[("src", long, 0)]);
    let hash = btf.object("", 56, &[("hnnode", long, 0), ("tuple", tuple, 16)]);
    let hashes = btf.array(hash, 2);
    let members = [
        ("timeout", word, 8),
        ("zone", zone, 12),
        ("tuplehash", hashes, 16),
        ("status", long, status_at),
        ("ct_net", long, 136),
        ("mark", word, 168),
    ];
    btf.object("nf_conn", 248, &members);
}

#[test]
fn every_field_is_found_where_a_kernel_keeps_it() {
    let mut btf = kernel(true);
    tracking(&mut btf, 128);
    let info = TypeInfo::read(&btf.bytes(), no_module, Field::ALL).unwrap();
    for (field, at) in [
        (Field::SkBuffNfct, 104),
        (Field::NfConnTupleOrig, 32),
        (Field::NfConnTupleReply, 88),
        (Field::NfConnStatus, 128),
        (Field::NfConnCtNet, 136),
        (Field::NfConnMark, 168),
        (Field::NfConnZone, 12),
        (Field::NfConnTimeout, 8),
        (Field::NetNsInum, 144),
        (Field::SkBuffSk, 24),
        (Field::SkBuffHead, 200),
        (Field::SkBuffTransportHeader, 176),
        (Field::SkBuffNetworkHeader, 178),
        (Field::SkBuffMacHeader, 180),
        (Field::SockDaddr, 0),
        (Field::SockRcvSaddr, 4),
        (Field::SockDport, 12),
        (Field::SockNum, 14),
        (Field::SockFamily, 16),
        (Field::SockNet, 48),
        (Field::SockV6Daddr, 56),
        (Field::SockV6RcvSaddr, 72),
        (Field::InetSockSaddr, 784),
        (Field::InetSockSport, 804),
        (Field::TcpSockSrttUs, 1672),
        (Field::TcpSockMdevUs, 1676),
        (Field::SocketSk, 24),
        (Field::Flowi4Saddr, 40),
        (Field::Flowi4Daddr, 44),
        (Field::Flowi4Sport, 50),
        (Field::Flowi4Dport, 48),
        (Field::Flowi6Saddr, 56),
        (Field::Flowi6Daddr, 40),
        (Field::Flowi6Sport, 78),
        (Field::Flowi6Dport, 76),
    ] {
        assert_eq!(info.offset(field), Some(at), "{:?}", info.reason(field));
    }
    let silent = Field::ALL
        .iter()
        .filter(|field| info.offset(**field).is_none());
    assert_eq!(silent.count(), 0, "every field is in the list above");
}

#[test]
fn a_field_that_the_kernel_is_built_without_has_a_reason() {
    let info = TypeInfo::read(&kernel(false).bytes(), no_module, Field::ALL).unwrap();
    for (field, reason) in [
        (
            Field::SockNet,
            "BTF has it as an empty struct: this kernel is built without it",
        ),
        (
            Field::NfConnMark,
            "BTF has no struct nf_conn; /sys/kernel/btf/nf_conntrack: entity not found",
        ),
    ] {
        assert_eq!(info.offset(field), None);
        assert_eq!(info.reason(field), Some(reason));
    }
    assert_eq!(info.offset(Field::SockDport), Some(12));
}

#[test]
fn a_struct_of_the_module_alone_is_found_there() {
    let kernel = kernel(true);
    for copies in 1..=3 {
        let mut module = Writer::on(&kernel);
        (0..copies).for_each(|_| tracking(&mut module, 128));
        let info = TypeInfo::read(&kernel.bytes(), || Ok(module.bytes()), Field::ALL).unwrap();
        assert_eq!(info.offset(Field::NfConnTupleReply), Some(88));
        assert_eq!(info.offset(Field::NfConnStatus), Some(128));
        assert_eq!(info.offset(Field::SockDport), Some(12));
    }
}

#[test]
fn the_module_may_use_types_and_names_of_the_kernel() {
    let mut kernel = Writer::new();
    let word = kernel.int(4);
    let mark = kernel.name("mark");
    let name = kernel.name("nf_conn");
    let mut module = Writer::on(&kernel);
    let id = module.add("", STRUCT << 24 | 1, 8, &[mark, word, 32]);
    assert_eq!(id, word + 1);
    let mut bytes = module.bytes();
    bytes[24..28].copy_from_slice(&name.to_ne_bytes());
    let info = TypeInfo::read(&kernel.bytes(), || Ok(bytes), &[Field::NfConnMark]).unwrap();
    assert_eq!(info.offset(Field::NfConnMark), Some(4));
}

#[test]
fn duplicates_give_no_offset_where_they_differ() {
    let kernel = kernel(true);
    let mut module = Writer::on(&kernel);
    tracking(&mut module, 128);
    tracking(&mut module, 144);
    let info = TypeInfo::read(&kernel.bytes(), || Ok(module.bytes()), Field::ALL).unwrap();
    assert_eq!(info.offset(Field::NfConnStatus), None);
    let reason = "BTF contradicts itself: it has 2 structs of this name, which differ here";
    assert_eq!(info.reason(Field::NfConnStatus), Some(reason));
    assert_eq!(info.offset(Field::NfConnMark), Some(168));

    module.object("nf_conn", 8, &[]);
    let info = TypeInfo::read(&kernel.bytes(), || Ok(module.bytes()), Field::ALL).unwrap();
    assert_eq!(info.offset(Field::NfConnMark), None, "one lacks it");
}

#[test]
fn a_corrupt_module_affects_its_own_fields_only() {
    let kernel = kernel(true).bytes();
    let info = TypeInfo::read(&kernel, || Ok(vec![0; 30]), Field::ALL).unwrap();
    let reason = "BTF has no struct nf_conn; /sys/kernel/btf/nf_conntrack: \
                  not BTF of this machine's byte order";
    assert_eq!(info.reason(Field::NfConnStatus), Some(reason));
    assert_eq!(info.offset(Field::SockDport), Some(12));
}

#[test]
fn a_walk_through_a_struct_that_contains_itself_ends() {
    let mut btf = Writer::new();
    btf.object("loop", 8, &[("", 1, 0)]);
    btf.add("again", TYPEDEF << 24, 2, &[]);
    btf.object("alias", 8, &[("x", 2, 0)]);
    // Two unnamed members each, so that the paths double with every level.
    for level in 4..40 {
        btf.object("", 8, &[("", level + 1, 0), ("", level + 1, 0)]);
    }
    btf.object("wide", 8, &[("", 4, 0)]);
    let bytes = btf.bytes();
    let btf = parse(&bytes, &["loop", "alias", "wide"]);
    for path in ["loop.x", "alias.x", "wide.x"] {
        assert_eq!(
            Walk::new(&btf).offset(path, 1),
            Err(Absent::Nowhere),
            "{path}"
        );
    }
}

#[test]
fn a_later_kind_is_skipped_if_the_layout_has_its_size() {
    const LATER: u32 = 20;
    let mut btf = Writer::new();
    btf.add("new", LATER << 24 | 2, 0, &[7, 8, 9]);
    let int = btf.int(4);
    btf.object("net", 8, &[("x", int, 4)]);
    let unknown = Corrupt::Kind { id: 1, kind: LATER };
    assert_eq!(Btf::parse(&btf.bytes(), None, &[]).unwrap_err(), unknown);

    let mut kinds = [(0, 0); 21];
    assert_eq!(kinds.len(), LATER as usize + 1);
    kinds[LATER as usize] = (4, 4);
    let bytes = btf.bytes_with_layout(&kinds);
    let btf = parse(&bytes, &["net"]);
    assert_eq!(Walk::new(&btf).offset("net.x", 4), Ok(4));
}

#[test]
fn every_cut_is_refused() {
    let bytes = holder();
    for len in 0..bytes.len() {
        let found = Btf::parse(&bytes[..len], None, &[]);
        assert!(matches!(found, Err(Corrupt::Cut(_))), "cut at {len}");
    }
}

#[test]
fn other_byte_orders_and_versions_are_distinguished() {
    let mut bytes = holder();
    bytes[2] = 2;
    assert_eq!(
        Btf::parse(&bytes, None, &[]).unwrap_err(),
        Corrupt::Version(2)
    );
    bytes[..2].reverse();
    assert_eq!(Btf::parse(&bytes, None, &[]).unwrap_err(), Corrupt::Foreign);
}

proptest! {
    #[test]
    fn changed_bytes_are_read_without_a_panic(
        in_module in any::<bool>(), at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 1..16),
    ) {
        let base = kernel(true);
        let mut module = Writer::on(&base);
        tracking(&mut module, 128);
        let (mut base, mut module) = (base.bytes(), module.bytes());
        let changed = if in_module { &mut module } else { &mut base };
        let at = at.index(changed.len());
        for (byte, new) in changed[at..].iter_mut().zip(with) {
            *byte = new;
        }
        if let Ok(info) = TypeInfo::read(&base, || Ok(module), Field::ALL) {
            for field in Field::ALL {
                assert_ne!(info.offset(*field).is_some(), info.reason(*field).is_some());
            }
        }
    }
}
