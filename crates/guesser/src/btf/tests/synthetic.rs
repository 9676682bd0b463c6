//! Type information made by hand, as the bytes that a kernel would show.

use crate::btf::header::TypeId;

pub const INT: u32 = 1;
pub const PTR: u32 = 2;
pub const ARRAY: u32 = 3;
pub const STRUCT: u32 = 4;
pub const UNION: u32 = 5;
pub const FWD: u32 = 7;
pub const TYPEDEF: u32 = 8;

/// Writes types one after the other.
pub struct Writer {
    types: Vec<u32>,
    strings: Vec<u8>,
    first_string: u32,
    next_id: TypeId,
}

impl Writer {
    pub fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            first_string: 0,
            next_id: 1,
        }
    }

    /// What a module adds.
    pub fn on(base: &Self) -> Self {
        Self {
            types: Vec::new(),
            strings: Vec::new(),
            first_string: base.first_string + base.strings.len() as u32,
            next_id: base.next_id,
        }
    }

    pub fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.first_string + self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    pub fn add(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> TypeId {
        let name = self.name(name);
        self.types.extend([name, info, size_or_type]);
        self.types.extend(tail);
        self.next_id += 1;
        self.next_id - 1
    }

    pub fn int(&mut self, bytes: u32) -> TypeId {
        self.add("int", INT << 24, bytes, &[bytes * 8])
    }

    pub fn array(&mut self, of: TypeId, len: u32) -> TypeId {
        self.add("", ARRAY << 24, 0, &[of, of, len])
    }

    /// Members as name, type, offset in bits.
    pub fn composite(
        &mut self,
        kind: u32,
        name: &str,
        bytes: u32,
        of: &[(&str, TypeId, u32)],
    ) -> TypeId {
        let mut tail = Vec::new();
        for (member, kind, offset_bits) in of {
            tail.extend([self.name(member), *kind, *offset_bits]);
        }
        self.add(name, kind << 24 | of.len() as u32, bytes, &tail)
    }

    /// Members as name, type, offset in bytes.
    pub fn object(&mut self, name: &str, bytes: u32, of: &[(&str, TypeId, u32)]) -> TypeId {
        let of: Vec<_> = of
            .iter()
            .map(|(name, id, at)| (*name, *id, at * 8))
            .collect();
        self.composite(STRUCT, name, bytes, &of)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with_layout(&[])
    }

    /// With a description of kinds: per kind bytes behind the head, and bytes per element.
    pub fn bytes_with_layout(&self, kinds: &[(u8, u8)]) -> Vec<u8> {
        let words = self.types.iter().flat_map(|word| word.to_ne_bytes());
        let types: Vec<u8> = words.collect();
        let layout: Vec<u8> = kinds
            .iter()
            .flat_map(|(whole, each)| [*whole, *each, 0, 0])
            .collect();
        let (types_len, strings_len) = (types.len() as u32, self.strings.len() as u32);
        let mut header = vec![0, types_len, types_len, strings_len];
        if !kinds.is_empty() {
            header.extend([types_len + strings_len, layout.len() as u32]);
        }
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend((8 + header.len() as u32 * 4).to_ne_bytes());
        bytes.extend(header.iter().flat_map(|word| word.to_ne_bytes()));
        [bytes, types, self.strings.clone(), layout].concat()
    }
}
