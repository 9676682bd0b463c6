//! The outer form of BTF: header, sections, the size of each type, and the ways in which bytes can be
//! damaged. Pure.

/// Number of a type; 0 is `void`.
pub type TypeId = u32;

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
/// Magic, version, flags, header length, then offset and length of types and of strings, then of the layout
/// of kinds (since 7.1, if the build asks for it).
const HEADER_WITH_LAYOUT_BYTES: usize = 32;
/// `struct btf_layout`: bytes behind the head of a type, bytes per element, flags.
const LAYOUT_BYTES: usize = 4;
/// A kind is a number of seven bits.
const KINDS: usize = 128;
/// The head of a type: name, info, and size or type.
pub const TYPE_BYTES: usize = 12;

/// `BTF_KIND_STRUCT`.
pub const STRUCT: u32 = 4;
/// `BTF_KIND_UNION`.
pub const UNION: u32 = 5;

/// Why bytes are refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// They are something else, or of the other byte order.
    #[error("not BTF of this machine's byte order")]
    Foreign,
    /// They have a later form.
    #[error("BTF of version {0}, this program reads {VERSION}")]
    Version(u8),
    /// A section ends beyond the bytes, or in the middle of an entry.
    #[error("corrupt BTF: {0} cut short")]
    Cut(&'static str),
    /// A type is of a kind that neither this program nor the layout of kinds describes.
    #[error("type {id} of BTF is of the unknown kind {kind}")]
    Kind {
        /// The type.
        id: TypeId,
        /// `BTF_KIND_*`.
        kind: u32,
    },
    /// The name of a type lies outside of the strings.
    #[error("corrupt BTF: the name of type {0} is not in it")]
    Name(TypeId),
}

/// The sections.
pub struct Header<'a> {
    pub types: &'a [u8],
    pub strings: &'a [u8],
    /// One entry per kind; empty where there is none.
    pub layout: &'a [u8],
}

impl<'a> Header<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let cut = Corrupt::Cut("header");
        let header_bytes = word(bytes, 4).ok_or(cut)? as usize;
        if bytes[..2] != MAGIC.to_ne_bytes() {
            return Err(Corrupt::Foreign);
        }
        if bytes[2] != VERSION {
            return Err(Corrupt::Version(bytes[2]));
        }
        let (header, body) = bytes.split_at_checked(header_bytes).ok_or(cut)?;
        let section = |at: usize, name: &'static str| {
            let bytes = || {
                let start = word(header, at)? as usize;
                let len = word(header, at + 4)? as usize;
                body.get(start..start.checked_add(len)?)
            };
            bytes().ok_or(Corrupt::Cut(name))
        };
        let types = section(8, "types")?;
        let strings = section(16, "strings")?;
        if strings.last().is_some_and(|last| *last != 0) {
            return Err(Corrupt::Cut("strings"));
        }
        let layout = match header_bytes {
            HEADER_WITH_LAYOUT_BYTES.. => section(24, "layout")?,
            _ => &[],
        };
        Ok(Self {
            types,
            strings,
            layout,
        })
    }
}

/// What follows the head of a type, per kind: so many bytes, and so many more per element. It is a table,
/// since the processor would mispredict a branch per kind for most types.
pub struct Tails([Option<(u8, u8)>; KINDS]);

impl Tails {
    /// The known kinds, and later ones as the layout describes them. Where the size of a kind is unknown,
    /// nothing behind a type of it can be found.
    pub fn new(layout: &[u8]) -> Self {
        let mut tails = [None; KINDS];
        for (tail, layout) in tails.iter_mut().zip(layout.chunks_exact(LAYOUT_BYTES)) {
            *tail = Some((layout[0], layout[1]));
        }
        tails[0] = None;
        for (kinds, tail) in [
            (&[1, 14, 17][..], (4, 0)),
            (&[3], (12, 0)),
            (&[STRUCT, UNION, 15, 19], (0, 12)),
            (&[6, 13], (0, 8)),
            (&[2, 7, 8, 9, 10, 11, 12, 16, 18], (0, 0)),
        ] {
            for kind in kinds {
                tails[*kind as usize] = Some(tail);
            }
        }
        Self(tails)
    }

    pub fn bytes(&self, info: u32) -> Option<usize> {
        let (whole, each) = self.0[kind_number(info) as usize]?;
        Some(usize::from(whole) + usize::from(each) * len(info))
    }
}

/// The kind: five bits until 7.0, seven since; the new ones were zero before.
pub fn kind_number(info: u32) -> u32 {
    info >> 24 & 0x7f
}

/// The number of elements: 16 bits until 7.0, 24 since.
pub fn len(info: u32) -> usize {
    (info & 0xff_ffff) as usize
}

pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}
