//! BTF as bytes (kernel `Documentation/bpf/btf.rst`): where each type is, which structs have a wanted
//! name, what a type is and what members it has. Pure; whatever the bytes are, an answer or a refusal,
//! in time and memory that grow with their number only.
//!
//! libbpf's reader checks and indexes all of the 100,000 types of a kernel, which takes longer than
//! the whole experiment; here one pass notes where each type is.

use super::header::Corrupt;
use super::header::Header;
use super::header::STRUCT;
use super::header::TYPE_BYTES;
use super::header::Tails;
use super::header::TypeId;
use super::header::UNION;
use super::header::kind_number;
use super::header::len;
use super::header::word;

const MEMBER_BYTES: usize = 12;

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
    /// A struct or a union.
    Composite {
        /// Its size.
        bytes: u32,
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
    /// From its name to the end of all strings, which end with a zero byte.
    text: &'a [u8],
    /// Its type.
    pub kind: TypeId,
    /// Where it is; none for a bit field.
    pub offset_bits: Option<u32>,
}

impl Member<'_> {
    /// Whether it has this name; an unnamed struct or union has the empty one.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        begins_with_name(self.text, name)
    }
}

/// Type information, indexed.
#[derive(Debug)]
pub struct Btf<'a> {
    /// What a module's type information continues: the numbers of types and strings.
    base: Option<&'a Self>,
    first_id: TypeId,
    first_string: u32,
    types: &'a [u8],
    strings: &'a [u8],
    /// Per type, from `first_id`, where it is in `types`.
    starts: Vec<u32>,
    structs: Vec<(&'static str, TypeId)>,
}

impl<'a> Btf<'a> {
    /// Indexes type information, of a module if there is a `base`, and notes the structs of these
    /// names.
    ///
    /// # Errors
    /// If the bytes are not whole. What members point to is looked at only when it is asked for.
    pub fn parse(
        bytes: &'a [u8],
        base: Option<&'a Self>,
        names: &[&'static str],
    ) -> Result<Self, Corrupt> {
        let header = Header::parse(bytes)?;
        let mut btf = Self {
            base,
            first_id: base.map_or(1, Self::next_id),
            first_string: base.map_or(0, Self::next_string),
            types: header.types,
            strings: header.strings,
            starts: Vec::with_capacity(header.types.len() / 24),
            structs: Vec::new(),
        };
        let tails = Tails::new(header.layout);
        let names_end = btf.next_string();
        let mut at = 0;
        let mut id = btf.first_id;
        while at < btf.types.len() {
            let cut = Corrupt::Cut("types");
            let name = word(btf.types, at).ok_or(cut)?;
            let info = word(btf.types, at + 4).ok_or(cut)?;
            let tail_bytes = tails.bytes(info).ok_or(Corrupt::Kind {
                id,
                kind: kind_number(info),
            })?;
            let end = at + TYPE_BYTES + tail_bytes;
            if end > btf.types.len() {
                return Err(cut);
            }
            if name >= names_end {
                return Err(Corrupt::Name(id));
            }
            if kind_number(info) == STRUCT {
                let text = btf.text(name).ok_or(Corrupt::Name(id))?;
                let named = names.iter().find(|name| begins_with_name(text, name));
                btf.structs.extend(named.map(|name| (*name, id)));
            }
            btf.starts.push(u32::try_from(at).map_err(|_| cut)?);
            id = id.checked_add(1).ok_or(cut)?;
            at = end;
        }
        Ok(btf)
    }

    /// The structs of a name that was wanted, without those of the base. More than one is a
    /// duplicate: the tool that wrote them could not see that they are the same, or they are not.
    pub fn structs(&self, name: &str) -> impl Iterator<Item = TypeId> {
        let named = self.structs.iter().filter(move |(known, _)| *known == name);
        named.map(|(_, id)| *id)
    }

    /// What a type is; none if there is no such type.
    #[must_use]
    pub fn kind(&self, id: TypeId) -> Option<Kind> {
        let (types, at) = self.find(id)?;
        let info = word(types, at + 4)?;
        let size_or_type = word(types, at + 8)?;
        Some(match kind_number(info) {
            1 | 6 | 16 | 19 => Kind::Scalar {
                bytes: size_or_type,
            },
            2 => Kind::Pointer,
            3 => Kind::Array {
                of: word(types, at + TYPE_BYTES)?,
                len: word(types, at + TYPE_BYTES + 8)?,
            },
            STRUCT | UNION => Kind::Composite {
                bytes: size_or_type,
            },
            8..=11 | 18 => Kind::Alias { of: size_or_type },
            _ => Kind::Other,
        })
    }

    /// The members of a struct or union, none of anything else. An item is none if its name is not
    /// there.
    pub fn members(&self, id: TypeId) -> impl Iterator<Item = Option<Member<'a>>> {
        let found = self
            .find(id)
            .and_then(|(types, at)| Some((types, at, word(types, at + 4)?)))
            .filter(|(_, _, info)| matches!(kind_number(*info), STRUCT | UNION));
        let (types, start, info) = found.unwrap_or_default();
        let has_bit_fields = info >> 31 == 1;
        (0..len(info)).map(move |index| {
            let at = start + TYPE_BYTES + index * MEMBER_BYTES;
            let offset = word(types, at + 8)?;
            Some(Member {
                text: self.text(word(types, at)?)?,
                kind: word(types, at + 4)?,
                offset_bits: match offset >> 24 {
                    _ if !has_bit_fields => Some(offset),
                    0 => Some(offset),
                    _ => None,
                },
            })
        })
    }

    fn next_id(&self) -> TypeId {
        // `parse` refuses more types than numbers.
        self.first_id + self.starts.len() as u32
    }

    fn next_string(&self) -> u32 {
        self.first_string.saturating_add(self.strings.len() as u32)
    }

    fn find(&self, id: TypeId) -> Option<(&'a [u8], usize)> {
        match (self.base, id.checked_sub(self.first_id)) {
            (_, Some(index)) => {
                let start = self.starts.get(index as usize)?;
                Some((self.types, *start as usize))
            }
            (Some(base), None) => base.find(id),
            (None, None) => None,
        }
    }

    /// From a string to the end of all strings.
    fn text(&self, at: u32) -> Option<&'a [u8]> {
        match (self.base, at.checked_sub(self.first_string)) {
            (_, Some(at)) => self
                .strings
                .get(at as usize..)
                .filter(|text| !text.is_empty()),
            (Some(base), None) => base.text(at),
            (None, None) => None,
        }
    }
}

fn begins_with_name(text: &[u8], name: &str) -> bool {
    // The cheaper comparison first: few names have the same length.
    text.get(name.len()) == Some(&0) && text.starts_with(name.as_bytes())
}
