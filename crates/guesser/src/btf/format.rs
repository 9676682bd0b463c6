//! BTF as bytes (kernel `Documentation/bpf/btf.rst`): finds types by number or name and reads their
//! members. Pure; whatever the bytes are, an answer or none.
//!
//! libbpf's reader checks and indexes all of the 100,000 types of a kernel, which takes longer than
//! the whole experiment; here one pass notes where each type is.

const MAGIC: u16 = 0xeb9f;
/// Magic, version, flags, header length, then offset and length of types and of strings.
const HEADER_BYTES: usize = 24;
/// Name, info, and size or type.
const TYPE_BYTES: usize = 12;

/// Number of a type; 0 is `void`.
pub type TypeId = u32;

/// `BTF_KIND_*`, as far as paths lead through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number, an enumeration or a float of this size.
    Scalar {
        /// Its size.
        bytes: u32,
    },
    /// A pointer.
    Pointer,
    /// So many of one type.
    Array {
        /// Of what.
        of: TypeId,
        /// How many.
        len: u32,
    },
    /// A struct, or a union if so said.
    Composite {
        /// Its size.
        bytes: u32,
        /// Whether its members share their place.
        is_union: bool,
    },
    /// A typedef, `const`, `volatile`, `restrict` or tag.
    Alias {
        /// Of what.
        of: TypeId,
    },
    /// A function, a variable, or a struct of which only the name is known.
    Other,
}

/// A member of a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Empty: an unnamed struct or union.
    pub name: &'a [u8],
    /// Its type.
    pub kind: TypeId,
    /// Where it is; none for a bit field.
    pub offset_bits: Option<u32>,
}

/// Type information, indexed.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Per type, from number 1, where it is in `types`.
    starts: Vec<u32>,
}

impl<'a> Btf<'a> {
    /// Indexes type information of this machine's byte order.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        if header.get(..2)? != MAGIC.to_ne_bytes() {
            return None;
        }
        let body = bytes.get(word(header, 4)? as usize..)?;
        let section = |at: usize| {
            let (start, len) = (word(header, at)? as usize, word(header, at + 4)? as usize);
            body.get(start..start.checked_add(len)?)
        };
        let mut btf = Self {
            types: section(8)?,
            strings: section(16)?,
            starts: Vec::new(),
        };
        // Kernels have one type per 30 bytes or so.
        btf.starts.reserve(btf.types.len() / 24);
        let mut at = 0;
        while at < btf.types.len() {
            btf.starts.push(u32::try_from(at).ok()?);
            at += TYPE_BYTES + tail_bytes(word(btf.types, at + 4)?)?;
        }
        Some(btf)
    }

    /// The first struct of this name that is more than a name.
    #[must_use]
    pub fn find_struct(&self, name: &str) -> Option<TypeId> {
        let index = self.starts.iter().position(|&start| {
            let at = start as usize;
            word(self.types, at + 4).is_some_and(|info| kind_number(info) == 4)
                && word(self.types, at).is_some_and(|found| self.is_name(found, name.as_bytes()))
        })?;
        TypeId::try_from(index + 1).ok()
    }

    /// What a type is.
    #[must_use]
    pub fn kind(&self, id: TypeId) -> Option<Kind> {
        let at = self.start(id)?;
        let info = word(self.types, at + 4)?;
        let size_or_type = word(self.types, at + 8)?;
        Some(match kind_number(info) {
            1 | 6 | 16 | 19 => Kind::Scalar {
                bytes: size_or_type,
            },
            2 => Kind::Pointer,
            3 => Kind::Array {
                of: word(self.types, at + TYPE_BYTES)?,
                len: word(self.types, at + TYPE_BYTES + 8)?,
            },
            number @ (4 | 5) => Kind::Composite {
                bytes: size_or_type,
                is_union: number == 5,
            },
            8..=11 | 18 => Kind::Alias { of: size_or_type },
            _ => Kind::Other,
        })
    }

    /// The members of a struct or union; none of anything else.
    pub fn members(&self, id: TypeId) -> impl Iterator<Item = Member<'a>> {
        const MEMBER_BYTES: usize = 12;
        let (types, strings) = (self.types, self.strings);
        let (start, info) = self
            .start(id)
            .and_then(|at| Some((at, word(types, at + 4)?)))
            .filter(|(_, info)| matches!(kind_number(*info), 4 | 5))
            .unwrap_or_default();
        let has_bit_fields = info >> 31 == 1;
        (0..len(info)).map_while(move |index| {
            let at = start + TYPE_BYTES + index * MEMBER_BYTES;
            let offset = word(types, at + 8)?;
            Some(Member {
                name: string(strings, word(types, at)?)?,
                kind: word(types, at + 4)?,
                offset_bits: match offset >> 24 {
                    _ if !has_bit_fields => Some(offset),
                    0 => Some(offset),
                    _ => None,
                },
            })
        })
    }

    fn start(&self, id: TypeId) -> Option<usize> {
        let index = (id as usize).checked_sub(1)?;
        self.starts.get(index).map(|&start| start as usize)
    }

    fn is_name(&self, at: u32, name: &[u8]) -> bool {
        let found = self.strings.get(at as usize..);
        found.is_some_and(|text| text.starts_with(name) && text.get(name.len()) == Some(&0))
    }
}

fn kind_number(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn len(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// What follows the head of a type; none for a kind that is not known, since then nothing behind it
/// can be found.
fn tail_bytes(info: u32) -> Option<usize> {
    let len = len(info);
    Some(match kind_number(info) {
        1 | 14 | 17 => 4,
        3 => 12,
        4 | 5 | 15 | 19 => len * 12,
        6 | 13 => len * 8,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

fn string(strings: &[u8], at: u32) -> Option<&[u8]> {
    let text = strings.get(at as usize..)?;
    text.split(|byte| *byte == 0).next()
}
