//! The types in BTF (kernel `Documentation/bpf/btf.rst`): where each one begins, which structs have a wanted
//! name, what a type is and which members it has. Pure. Whatever the bytes are, they give an answer or a
//! refusal, in time and memory proportional to their length.
//!
//! libbpf's reader checks and indexes all of the 100,000 types of a kernel, which takes longer than
//! the whole experiment; here one pass notes where each type begins.

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
const POINTER_BYTES: u32 = 8;

/// What a type is, as far as a path can lead through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeKind {
    /// A number, an enumeration, a float, a pointer, a struct or a union of so many bytes.
    Sized(u32),
    /// So many elements of one type.
    Array { of: TypeId, len: u32 },
    /// A typedef, `const`, `volatile`, `restrict` or tag.
    Alias(TypeId),
}

/// A member of a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// From its name, which ends with a zero byte, to the end of all strings.
    text: &'a [u8],
    /// Its type.
    pub of: TypeId,
    /// Its offset; none for a bit field.
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
    /// The type information that a module's continues: its type numbers and string offsets go on there.
    base: Option<&'a Self>,
    first_id: TypeId,
    first_string: u32,
    types: &'a [u8],
    strings: &'a [u8],
    /// Per type, from `first_id` on, where it begins in `types`.
    starts: Vec<u32>,
    structs: Vec<(&'static str, TypeId)>,
}

impl<'a> Btf<'a> {
    /// Indexes type information, of a module if there is a `base`, and notes the structs of these
    /// names.
    ///
    /// # Errors
    /// If the bytes are damaged or cut short. Members are checked only when a path leads to them.
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
            let kind = kind_number(info);
            let tail_bytes = tails.bytes(info).ok_or(Corrupt::Kind { id, kind })?;
            let end = at + TYPE_BYTES + tail_bytes;
            if end > btf.types.len() {
                return Err(cut);
            }
            if name >= names_end {
                return Err(Corrupt::Name(id));
            }
            if kind == STRUCT {
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

    /// The structs of a wanted name, without those of the base. There can be several: the program that
    /// merged the types did not see that they are the same, or they differ.
    pub fn structs(&self, name: &str) -> impl Iterator<Item = TypeId> {
        let named = self.structs.iter().filter(move |(known, _)| *known == name);
        named.map(|(_, id)| *id)
    }

    /// What a type is; none if there is no such type, or no path leads through it: a function, a variable,
    /// or a struct of which only the name is known.
    #[must_use]
    pub fn kind(&self, id: TypeId) -> Option<TypeKind> {
        let found = self.find(id)?;
        let size_or_type = word(found, 8)?;
        Some(match kind_number(word(found, 4)?) {
            1 | STRUCT | UNION | 6 | 16 | 19 => TypeKind::Sized(size_or_type),
            2 => TypeKind::Sized(POINTER_BYTES),
            3 => TypeKind::Array {
                of: word(found, TYPE_BYTES)?,
                len: word(found, TYPE_BYTES + 8)?,
            },
            8..=11 | 18 => TypeKind::Alias(size_or_type),
            _ => return None,
        })
    }

    /// The members of a struct or union; any other type has none. An item is none if it is corrupt.
    pub fn members(&self, id: TypeId) -> impl Iterator<Item = Option<Member<'a>>> {
        let found = self.find(id).unwrap_or_default();
        let has_members = |info: &u32| matches!(kind_number(*info), STRUCT | UNION);
        let info = word(found, 4).filter(has_members).unwrap_or(0);
        let has_bit_fields = info >> 31 == 1;
        (0..len(info)).map(move |index| {
            let at = TYPE_BYTES + index * MEMBER_BYTES;
            let offset = word(found, at + 8)?;
            Some(Member {
                text: self.text(word(found, at)?)?,
                of: word(found, at + 4)?,
                offset_bits: (!has_bit_fields || offset >> 24 == 0).then_some(offset),
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

    /// From a type to the end of all types.
    fn find(&self, id: TypeId) -> Option<&'a [u8]> {
        match id.checked_sub(self.first_id) {
            Some(index) => self.types.get(*self.starts.get(index as usize)? as usize..),
            None => self.base?.find(id),
        }
    }

    /// From a string to the end of all strings.
    fn text(&self, at: u32) -> Option<&'a [u8]> {
        match at.checked_sub(self.first_string) {
            Some(at) => {
                let text = self.strings.get(at as usize..)?;
                (!text.is_empty()).then_some(text)
            }
            None => self.base?.text(at),
        }
    }
}

fn begins_with_name(text: &[u8], name: &str) -> bool {
    // The cheaper comparison first: few names have the same length.
    text.get(name.len()) == Some(&0) && text.starts_with(name.as_bytes())
}
