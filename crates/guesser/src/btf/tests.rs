//! Type information made by hand: a struct with every turn that a path can take, and bytes that are
//! none.

use proptest::prelude::any;
use proptest::prelude::prop;
use proptest::proptest;

use super::Btf;
use super::TypeInfo;
use super::offset;
use shared::offsets::Field;

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;

#[derive(Default)]
struct Writer {
    types: Vec<u32>,
    strings: Vec<u8>,
    count: u32,
}

impl Writer {
    fn new() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn add(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = self.name(name);
        self.types.extend([name, info, size_or_type]);
        self.types.extend(tail);
        self.count += 1;
        self.count
    }

    fn int(&mut self, bytes: u32) -> u32 {
        self.add("int", INT << 24, bytes, &[bytes * 8])
    }

    fn composite(&mut self, kind: u32, name: &str, bytes: u32, of: &[(&str, u32, u32)]) -> u32 {
        let mut tail = Vec::new();
        for (member, kind, offset_bits) in of {
            tail.extend([self.name(member), *kind, *offset_bits]);
        }
        self.add(name, kind << 24 | of.len() as u32, bytes, &tail)
    }

    fn bytes(&self) -> Vec<u8> {
        let types: Vec<u8> = self
            .types
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let (types_len, strings_len) = (types.len() as u32, self.strings.len() as u32);
        for word in [24, 0, types_len, types_len, strings_len] {
            bytes.extend(word.to_ne_bytes());
        }
        [bytes, types, self.strings.clone()].concat()
    }
}

/// `struct holder { int a; struct { union { T pair[2]; long b; }; int :3; }; empty_t none; }` with
/// `typedef struct { int x; void *p; } T`.
fn holder() -> Vec<u8> {
    let mut btf = Writer::new();
    let int = btf.int(4);
    let long = btf.int(8);
    let pointer = btf.add("", PTR << 24, 0, &[]);
    let pair = btf.composite(STRUCT, "", 16, &[("x", int, 0), ("p", pointer, 64)]);
    let pair = btf.add("T", TYPEDEF << 24, pair, &[]);
    let pairs = btf.add("", ARRAY << 24, 0, &[pair, int, 2]);
    let inner = btf.composite(UNION, "", 32, &[("pair", pairs, 0), ("b", long, 0)]);
    let flags = 1 << 31 | STRUCT << 24 | 2;
    let bit_field = btf.name("bits");
    let outer = btf.add("", flags, 40, &[0, inner, 0, bit_field, int, 3 << 24 | 256]);
    let empty = btf.composite(STRUCT, "", 0, &[]);
    // A forward declaration of the same name must not be taken for the struct.
    btf.add("holder", 7 << 24, 0, &[]);
    btf.composite(
        STRUCT,
        "holder",
        48,
        &[("a", int, 0), ("", outer, 64), ("none", empty, 384)],
    );
    btf.bytes()
}

#[test]
fn paths_lead_through_unnamed_members_arrays_and_typedefs() {
    let bytes = holder();
    let btf = Btf::parse(&bytes).unwrap();
    for (path, bytes, at) in [
        ("holder.a", 4, Some(0)),
        ("holder.b", 8, Some(8)),
        ("holder.pair", 32, Some(8)),
        ("holder.pair[1].x", 4, Some(24)),
        ("holder.pair[1].p", 8, Some(32)),
        ("holder.pair[1]", 16, Some(24)),
        ("holder.pair[2].x", 4, None),
        ("holder.a[0]", 4, None),
        ("holder.a.x", 4, None),
        ("holder.bits", 1, None),
        ("holder.none", 1, None),
        ("holder.a", 8, None),
        ("holder.nope", 4, None),
        ("nobody.a", 4, None),
    ] {
        assert_eq!(offset(&btf, path, bytes), at, "{path}");
    }
}

#[test]
fn a_struct_that_holds_itself_ends() {
    let mut btf = Writer::new();
    btf.composite(STRUCT, "loop", 8, &[("", 1, 0)]);
    btf.add("again", TYPEDEF << 24, 2, &[]);
    btf.composite(STRUCT, "alias", 8, &[("x", 2, 0)]);
    let bytes = btf.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(offset(&btf, "loop.x", 1), None);
    assert_eq!(offset(&btf, "alias.x", 1), None);
}

#[test]
fn every_cut_is_answered() {
    let bytes = holder();
    for len in 0..bytes.len() {
        let found = Btf::parse(&bytes[..len]);
        assert!(found.is_none(), "cut at {len}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..16),
    ) {
        let mut bytes = holder();
        let at = at.index(bytes.len());
        for (byte, new) in bytes[at..].iter_mut().zip(with) {
            *byte = new;
        }
        if let Some(btf) = Btf::parse(&bytes) {
            for path in ["holder.pair[1].p", "holder.b", "holder.bits"] {
                let _ = offset(&btf, path, 4);
            }
        }
        let _ = TypeInfo::read(&bytes, Field::ALL);
    }
}
